# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of parsing share: fixtures, samples, and the records that are expected of them.

A pair is a text and a JSON beside it, in the format of ../shared/samples/README.md. Those of tests/unit/fixtures hold
nothing but one command's output; the samples can also hold prompts and echoed commands, of one or several commands.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counter
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_json import read_json
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_table import NftTable
from ansible_collections.homenet.traffic.plugins.plugin_utils._nft_text import read_text
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import (
    Kind,
    ParseError,
    error_code,
    parse,
    visible,
    without_noise,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = ROOT / "templates" / "textfsm"
FIXTURES = ROOT / "tests" / "unit" / "fixtures"
SAMPLES = Path(os.environ.get("HOMENET_SAMPLES") or ROOT.parent / "shared" / "samples")

#: The templates of each kind, in the order in which a profile would try them.
BY_KIND: Mapping[Kind, tuple[str, ...]] = {
    "neighbors": ("arp_table", "arp", "arp_columns", "ip_neigh"),
    "names": (
        "lanhosts",
        "lanhosts_active",
        "dnsmasq_leases",
        "dumpleases",
        "odhcpd_leases",
        "edgeos_leases",
        "dhcpd_leases",
        "arp",
        "arp_columns",
        "hosts",
        "ethers",
    ),
    "routes": ("route", "ip_route", "proc_net_route", "edgeos_route"),
    "interfaces": ("ifconfig", "ifconfig_flags", "proc_net_dev", "ip_link", "showstats"),
    "addresses": ("ip_addr", "ip_brief", "ifconfig_addresses", "ifconfig_flags_addresses"),
    "uptime": ("proc_uptime", "uptime", "sysinfo", "huawei_device"),
    "system": (
        "openwrt_release",
        "ddwrt_banner",
        "nvram_system",
        "edgeos_version",
        "os_release",
        "device_model",
        "uname",
        "swversion",
        "proc_version",
        "huawei_device",
    ),
    "programs": ("program_version",),
    "chains": ("iptables", "ip6tables"),
}
#: What the samples call a kind of records -> what parse() calls it.
KINDS: Mapping[str, Kind] = {
    "neighbors": "neighbors",
    "names": "names",
    "routes": "routes",
    "interfaces": "interfaces",
    "addresses": "addresses",
    "uptime": "uptime",
    "system": "system",
    "programs": "programs",
    "chain": "chains",
}
#: Fixtures that no template reads: nft's and ipset's listings have readers of their own.
NFT = "nft"
IPSET = "ipset"
#: Read elsewhere (test_dialogue.py).
NOT_OURS = frozenset({"dialogue"})


@dataclass(frozen=True)
class Pair:
    """A text and what is expected of it."""

    path: Path
    text: str
    expected: tuple[Mapping[str, Any], ...]

    @property
    def kinds(self) -> set[str]:
        return {str(one["kind"]) for one in self.expected}


def pairs(folder: Path) -> Iterator[Pair]:
    for path in sorted(folder.rglob("*.json")):
        expected = json.loads(path.read_text(encoding="utf-8"))
        text = path.with_suffix(".txt").read_bytes().decode("utf-8")
        yield Pair(path, text, tuple(expected if isinstance(expected, list) else [expected]))


def template(name: str) -> Path:
    return TEMPLATES / f"{name}.textfsm"


def patterns(key: str) -> Any:
    """The patterns of _common.yml under a key, compiled as _profile.py does."""
    found = yaml.safe_load((ROOT / "templates" / "routers" / "_common.yml").read_text(encoding="utf-8"))[key]

    def compiled(texts: Sequence[str]) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(text, re.IGNORECASE | re.MULTILINE) for text in texts)

    return {code: compiled(texts) for code, texts in found.items()} if isinstance(found, dict) else compiled(found)


ERRORS: Mapping[str, Sequence[re.Pattern[str]]] = patterns("errors")
NOISE: Sequence[re.Pattern[str]] = patterns("noise")


def quiet(text: str) -> str:
    """What parse() is given: visible, without the log lines."""
    return without_noise(visible(text), NOISE)[0]


def read(kind: Kind, text: str) -> list[Any]:
    """The records of a text, read by the first template of the kind that knows it. Raises the first ParseError."""
    refusals: list[ParseError] = []
    for name in BY_KIND[kind]:
        try:
            return parse(kind, template(name), quiet(text))
        except ParseError as refusal:
            refusals.append(refusal)
    raise refusals[0]


def read_nft(text: str) -> list[NftTable]:
    """The tables of a listing of nft, in either form. Raises NotUnderstood."""
    return (read_json if text.lstrip().startswith("{") else read_text)(quiet(text))


def code_of(text: str) -> str | None:
    return error_code(quiet(text), ERRORS)


# What our records are in the samples' JSON


def _neighbor(one: Any) -> dict[str, Any]:
    return {"ip": one.ip, "mac": one.mac, "interface": one.interface, "complete": one.complete}


def _lease(one: Any) -> dict[str, Any]:
    return {"ip": one.ip, "mac": one.mac, "name": one.name}


def _counters(one: Any) -> dict[str, Any]:
    return {"interface": one.interface, "received_bytes": one.received_bytes, "sent_bytes": one.sent_bytes}


def _address(one: Any) -> dict[str, Any]:
    return {"interface": one.interface, "ip": one.ip, "prefix": one.prefix}


def _system(one: Any) -> dict[str, Any]:
    return {"name": one.name, "version": one.version, "model": one.model, "kernel": one.kernel}


def _program(one: Any) -> dict[str, Any]:
    return {"name": one.name, "version": one.version, "backend": one.backend}


def _rule(one: Any) -> dict[str, Any]:
    ways = {"in": one.in_interface, "out": one.out_interface}
    places = {"source": one.source, "destination": one.destination}
    return {"packets": one.packets, "bytes": one.bytes, "target": one.target, **ways, **places}


_ONE: Mapping[str, Callable[[Any], Mapping[str, Any]]] = {
    "neighbors": _neighbor,
    "names": _lease,
    "routes": lambda one: {"interface": one},
    "interfaces": _counters,
    "addresses": _address,
    "system": _system,
    "programs": _program,
}


def objects(kind: str, records: Sequence[Any]) -> list[dict[str, Any]]:
    """One answer's records, as the objects that a sample expects: one, but one for each chain."""
    if kind == "chain":
        chains: Sequence[Chain] = records
        return [{"kind": kind, "chain": one.name, "records": [_rule(rule) for rule in one.rules]} for one in chains]
    if kind == "uptime":
        return [{"kind": kind, "seconds": records[0]}]
    return [{"kind": kind, "records": [_ONE[kind](one) for one in records]}]


def nft_records(tables: Sequence[NftTable]) -> list[dict[str, Any]]:
    """Everything that counts."""
    found: list[tuple[NftTable, str, str, str | None, Counter | None]] = []
    for table in tables:
        found += [(table, "counter", name, None, counter) for name, counter in table.counters.items()]
        found += [(table, "set", name, key, counter) for name, one in table.sets.items() for key, counter in one.elements.items()]
        found += [(table, "rule", name, rule.comment, rule.counter) for name, one in table.chains.items() for rule in one.rules]
    return [
        {"family": table.family, "table": table.name, "object": what, "name": name, "key": key}
        | {"packets": counter.packets, "bytes": counter.bytes}
        for table, what, name, key, counter in found
        if counter
    ]


def wanted(expected: Mapping[str, Any]) -> dict[str, Any]:
    """An expectation of the samples, with names as we show them."""
    found = {key: value for key, value in expected.items() if key != "origin"}
    if found["kind"] == "names":
        found["records"] = [{**one, "name": one["name"] and shown(one["name"])} for one in found["records"]]
    return found


def shown(name: str) -> str:
    return visible(name).replace("\t", "\\t")


# A sample's text -> the answers in it

_PROMPT = re.compile(r"(?P<start>[^>#$%\n]{0,60})(?P<sign>[>#$%])(?P<blank> ?)")


def answers(name: str, text: str) -> list[str]:
    """The answers in a sample, one for each command. ``name`` is the file's: what__variant_with_words."""
    what, _mark, variant = name.partition("__")
    words = variant.split("_")
    if "prompted" in words:
        return _between(text, _prompt_of(text).match)
    if "echo" in words:
        return _between(text, _echo_in(text, set(what.split("_"))))
    return [text]


def _echo_in(text: str, named: set[str]) -> Callable[[str], bool]:
    """What tells an echoed command: it is the first line, or has no other words than the file's name."""
    first = next(line for line in text.split("\n") if line.strip())
    return lambda line: line == first or (bool(line.split()) and {word.lstrip("-") for word in line.split()} <= named)


def _prompt_of(text: str) -> re.Pattern[str]:
    """What starts the lines of this text that show a prompt, learned from its first line. A shell's names its folder."""
    found = _PROMPT.match(visible(text).lstrip("\n"))
    assert found, "no prompt in the first line of a text that should have one"
    start = found["start"].strip()
    account = re.match(r"\[?[^\s@]+@[^\s:\]]+", start)
    fixed, varying = (account[0], r"[^>#$%]*") if account else (start, "")
    after = r"(?:\s|$)" if found["blank"] else ""
    return re.compile(rf" ?{re.escape(fixed)}{varying} ?{re.escape(found['sign'])}{after}")


def _between(text: str, is_command: Callable[[str], Any]) -> list[str]:
    found: list[list[str]] = [[]]
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        command = line.rstrip("\n")
        if is_command(command) and not any(pattern.fullmatch(command.rstrip("\r")) for pattern in NOISE):
            found.append([])
        else:
            found[-1].append(line)
    return ["".join(lines) for lines in found[1:] if quiet("".join(lines)).strip()]
