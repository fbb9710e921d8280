# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found out about a router, in words for the terminal. Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._findings import NOTES, NOTHING_LOST, UNFIT, UNSEEN, is_carriers
from ansible_collections.homenet.traffic.plugins.plugin_utils._terminal import WIDTH, count_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import human_bytes, plain_text, visible, wrapped

NOTHING_FOUND = (
    "Nothing was found that keeps traffic from being counted. What the router does not tell of would show in the report, as a low share of "
    "counted traffic."
)

FIT = "fit for counting"
FIT_FOR_SOME = "fit for counting, but not for all traffic"
NOT_FIT = "not fit for counting"

_LABEL = 11


def check_text(router: str, result: Mapping[str, Any]) -> str:
    """The result of ``router_info``; the first line says whether the router is fit for counting, the last ones why not."""
    unfit = [one for one in result["findings"] if one["code"] in UNFIT]
    noted = [one for one in result["findings"] if one["code"] in NOTES]
    others = [one for one in result["findings"] if one["code"] not in UNFIT | NOTES]
    problems = [one for one in (result["chain"] or {}).get("problems", ()) if one["code"] != "chain_missing"]
    verdict = _verdict(unfit, [*problems, *others])
    lines = wrapped(f"{visible(router)}: {verdict} (it was only looked at; nothing was changed)", WIDTH)
    for label, texts in _facts(result):
        for number, text in enumerate(texts):
            lines += wrapped(visible(plain_text(text)), WIDTH, f"  {'' if number else label:<{_LABEL}}", " " * (_LABEL + 2))
    lines.append("")
    lines += _warnings([*problems, *others]) or ([] if unfit else wrapped(NOTHING_FOUND, WIDTH))
    for note in (*(plain_text(one["message"]) for one in noted), UNSEEN):
        lines += wrapped(visible(note), WIDTH)
    return "\n".join([*lines, "", *_last_lines(result, verdict, unfit)])


def _warnings(found: Iterable[Mapping[str, Any]]) -> list[str]:
    return [line for one in found for line in wrapped(visible(plain_text(one["message"])), WIDTH, "! ", "  ")]


def _verdict(unfit: Sequence[Mapping[str, Any]], others: Iterable[Mapping[str, Any]]) -> str:
    if unfit:
        return NOT_FIT
    return FIT_FOR_SOME if any(one["code"] not in NOTHING_LOST for one in others) else FIT


def _last_lines(result: Mapping[str, Any], verdict: str, unfit: Sequence[Mapping[str, Any]]) -> list[str]:
    text = verdict.capitalize()
    if unfit:
        text += ": " + " ".join(plain_text(one["message"]) for one in unfit)
    else:
        where = ": see the lines that begin with an exclamation mark" if verdict == FIT_FOR_SOME else ""
        text += f"{where}. {_next(result['chain'])}"
    return wrapped(visible(text), WIDTH, following="  ")


def _next(chain: Mapping[str, Any] | None) -> str:
    if chain and chain["installed"]:
        return "Counting is installed."
    if chain and chain["hosts"]:
        return "Counting was installed, and is so no more: setup_traffic does it again."
    return (
        "Counting is not installed yet: setup_traffic does it (with --check --diff it only shows what it would do), and remove_traffic "
        "undoes it."
    )


def _facts(result: Mapping[str, Any]) -> Iterable[tuple[str, list[str]]]:
    yield "System", [_system(result["system"] or {})]
    yield "Firewall", [_firewall(result)]
    yield "Internet", [_wan(one) for one in result["wan"]] or ["not known by which interface"]
    lan = [f"{one['interface']}, {_addresses(one['addresses'])}" for one in result["lan"]]
    yield "Network", lan or ["the router does not tell its addresses"]
    yield "Devices", [_devices(result)]
    yield "Counting", [_chain(result)]


def _system(system: Mapping[str, Any]) -> str:
    name, version, model, kernel = (system.get(key) for key in ("name", "version", "model", "kernel"))
    firmware = " ".join(word for word in (name or (version and "firmware"), version) if word)
    device = " on ".join(word for word in (firmware, model) if word)
    return ", ".join(word for word in (device, kernel and f"Linux {kernel}") if word) or "the router does not tell"


def _firewall(result: Mapping[str, Any]) -> str:
    found = result["iptables"]
    beside = " and ".join(f"{name} {result[name]}" for name in ("nftables", "ipset") if result[name])
    if not found:
        return f"no iptables{'; ' if beside else ''}{beside}"
    backend = f" ({found['backend']})" if found["backend"] else ""
    called = "" if found["program"] == "iptables" else f", called as `{found['program']}`"
    return f"iptables {found['version']}{backend}{called}{'; beside it ' if beside else ''}{beside}"


def _wan(one: Mapping[str, Any]) -> str:
    if one["received_bytes"] is None:
        counters = "the router does not tell what the interface itself has counted, so no report can tell the share that was counted"
    else:
        counters = f"by its own counters received {human_bytes(one['received_bytes'])}, sent {human_bytes(one['sent_bytes'])}"
    return f"{one['interface']}, {_addresses(one['addresses'])}; {counters}"


def _addresses(addresses: Sequence[str]) -> str:
    """Those that mean something to people."""
    shown = [
        f"{address} (the provider shares it among customers; counting is not affected)" if is_carriers(address) else address
        for address in addresses
        if not address.startswith("fe80:")
    ]
    return ", ".join(shown) or "address unknown"


def _devices(result: Mapping[str, Any]) -> str:
    if result["hosts"] is None:
        return "not known"
    asked = {kind: ", ".join(f"`{command}`" for command in result["sources"].get(kind, ())) for kind in ("neighbors", "names")}
    names = f"names from {asked['names']}" if asked["names"] else "without names: they are shown by their addresses"
    return f"{result['hosts']} on the network now, from {asked['neighbors']}; {names}"


def _chain(result: Mapping[str, Any]) -> str:
    chain = result["chain"]
    if chain is None:
        return "not known"
    if result["backend"] == "nftables":
        where = f"the nftables table {result['table']}"
        return f"{where} counts {count_of(chain['hosts'], 'host')}" if chain["installed"] else f"not installed; it would be {where}"
    where = f"the chain {result['name']} in the table {result['table']}"
    if not chain["installed"]:
        missing = any(problem["code"] == "chain_missing" for problem in chain["problems"])
        return f"not installed: {where} is {'not there' if missing else 'there, but nothing leads to it'}"
    counts = "counts, with sets of ipset," if result["backend"] == "ipset" else "has rules for"
    return f"{where} {counts} {count_of(chain['hosts'], 'host')}; the jump to it is rule {chain['jump_position']} of FORWARD"
