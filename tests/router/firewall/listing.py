# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``iptables -L`` to the byte, ``-S`` and iptables-save."""

from __future__ import annotations

from dataclasses import dataclass

from .dialect import Dialect
from .packet import PROTOCOL_NAMES, PROTOCOLS
from .rules import Chain, Firewall, Rule, RuleSpec, Table

# With -n, only these come from a list inside iptables; the others would need /etc/protocols.
NUMERIC_NAMES = {0} | {PROTOCOLS[name] for name in ("tcp", "sctp", "udp", "udplite", "icmp", "esp", "ah")}


@dataclass(frozen=True)
class Format:
    numeric: bool = False
    verbose: bool = False
    exact: bool = False
    line_numbers: bool = False


def number(value: int, exact: bool) -> str:
    """Eight columns exactly, or five with K, M, G and T rounded one after the other, as iptables does."""
    if exact:
        return f"{value:8} "
    if value <= 99999:
        return f"{value:5} "
    suffixes = "KMGT"
    while suffixes:
        value, suffix, suffixes = (value + 500) // 1000, suffixes[0], suffixes[1:]
        if value <= 9999:
            break
    return f"{value:4}{suffix} "


def list_table(table: Table, only: str | None, rule_number: int | None, form: Format, dialect: Dialect) -> str | None:
    """None when there is no such chain."""
    shown = [chain for chain in table.listed() if only in (None, chain.name)]
    if not shown:
        return None
    return "\n".join(_list_chain(table, chain, rule_number, form, dialect) for chain in shown)


def _list_chain(table: Table, chain: Chain, rule_number: int | None, form: Format, dialect: Dialect) -> str:
    lines = [] if rule_number else [_title(table, chain, form), _header(form)]
    for position, rule in enumerate(chain.rules, 1):
        if rule_number in (None, position):
            lines.append(_rule_line(rule, position, form, dialect))
    return "".join(f"{line}\n" for line in lines)


def _title(table: Table, chain: Chain, form: Format) -> str:
    if chain.policy is None:
        return f"Chain {chain.name} ({table.references(chain.name)} references)"
    counts = ""
    if form.verbose:
        # The title has no columns, so its numbers are not padded.
        packets = number(chain.policy.packets, form.exact).strip()
        counts = f" {packets} packets, {number(chain.policy.bytes, form.exact).strip()} bytes"
    return f"Chain {chain.name} (policy {chain.policy.spec.jump}{counts})"


def _header(form: Format) -> str:
    text = f"{'num':<4} " if form.line_numbers else ""
    if form.verbose:
        text += f"{'pkts':>8} {'bytes':>10} " if form.exact else f"{'pkts':>5} {'bytes':>5} "
    text += f"{'target':<9}  prot opt"
    if form.verbose:
        text += f" {'in':<6} {'out':<6} "
    return f"{text} {'source':<19}  {'destination':<19} "


def _rule_line(rule: Rule, position: int, form: Format, dialect: Dialect) -> str:
    text = f"{position:<4} " if form.line_numbers else ""
    if form.verbose:
        text += number(rule.packets, form.exact) + number(rule.bytes, form.exact)
    spec = rule.spec
    text += f"{spec.jump:<9} {_sign(spec, 'p')}{_protocol(spec, form.numeric, dialect):<5}{_fragment(spec)} "
    if form.verbose:
        text += f" {_interface(spec, 'i', form.numeric):<6} {_interface(spec, 'o', form.numeric):<6} "
    text += f"{_sign(spec, 's')}{spec.source.show(form.numeric):<19} "
    text += f"{_sign(spec, 'd')}{spec.destination.show(form.numeric):<19} "
    return text + _extensions(spec, form.numeric)


def _extensions(spec: RuleSpec, numeric: bool) -> str:
    text = "[goto] " if spec.goto else ""
    text += "".join(match.show(numeric) for match in spec.matches)
    return text + (spec.target.show(numeric) if spec.target else "")


def _sign(spec: RuleSpec, letter: str) -> str:
    return "!" if letter in spec.inverted else " "


def _fragment(spec: RuleSpec) -> str:
    return ("!" if "f" in spec.inverted else "-") + ("f" if spec.fragment else "-")


def _protocol(spec: RuleSpec, numeric: bool, dialect: Dialect) -> str:
    if numeric and dialect.numeric_protocol:
        return str(spec.protocol)
    return _protocol_name(spec, numeric)


def _protocol_name(spec: RuleSpec, numeric: bool) -> str:
    if numeric and spec.protocol not in NUMERIC_NAMES:
        return str(spec.protocol)
    return PROTOCOL_NAMES.get(spec.protocol, str(spec.protocol)) if spec.protocol else "all"


def _interface(spec: RuleSpec, letter: str, numeric: bool) -> str:
    name = spec.in_interface if letter == "i" else spec.out_interface
    return ("!" if letter in spec.inverted else "") + (name or ("*" if numeric else "any"))


def echo_line(spec: RuleSpec) -> str:
    """What ``-v`` prints for a rule that it adds or deletes."""
    text = f"{spec.jump} {_sign(spec, 'p')}{_protocol_name(spec, True)} opt {_fragment(spec)} "
    text += f"in {_interface(spec, 'i', True)} out {_interface(spec, 'o', True)} "
    text += f"{_sign(spec, 's')}{spec.source.show(True)} {_sign(spec, 'd')}-> {spec.destination.show(True)}  "
    return text + _extensions(spec, True)


def rule_options(spec: RuleSpec, counters: str = "") -> str:
    """The rule as options of ``iptables -A CHAIN``, with a leading blank; counters stand before the target."""
    text = _saved_networks(spec)
    for letter, name in (("i", spec.in_interface), ("o", spec.out_interface)):
        if name not in ("", "+"):
            text += f"{_saved_sign(spec, letter)} -{letter} {name}"
    if spec.protocol:
        text += f"{_saved_sign(spec, 'p')} -p {PROTOCOL_NAMES.get(spec.protocol, spec.protocol)}"
    if spec.fragment:
        text += f"{_saved_sign(spec, 'f')} -f"
    text += "".join(match.save() for match in spec.matches) + counters
    if spec.jump:
        text += f" -{'g' if spec.goto else 'j'} {spec.jump}"
    return text + (spec.target.saved if spec.target else "")


def _saved_networks(spec: RuleSpec) -> str:
    text = ""
    for letter, network in (("s", spec.source), ("d", spec.destination)):
        if network.mask or network.address or letter in spec.inverted:
            text += f"{_saved_sign(spec, letter)} -{letter} {network.show_saved()}"
    return text


def _saved_sign(spec: RuleSpec, letter: str) -> str:
    return " !" if letter in spec.inverted else ""


def list_rules(table: Table, only: str | None, rule_number: int | None, counters: bool) -> str | None:
    """``-S``."""
    shown = [chain for chain in table.listed() if only in (None, chain.name)]
    if not shown:
        return None
    lines = [] if rule_number else [_declaration(chain, counters) for chain in shown]
    for chain in shown:
        for position, rule in enumerate(chain.rules, 1):
            if rule_number in (None, position):
                lines.append(f"-A {chain.name}{_rule_with_counters(rule, counters)}")
    return "".join(f"{line}\n" for line in lines)


def _declaration(chain: Chain, counters: bool) -> str:
    if chain.policy is None:
        return f"-N {chain.name}"
    counts = f" -c {chain.policy.packets} {chain.policy.bytes}" if counters else ""
    return f"-P {chain.name} {chain.policy.spec.jump}{counts}"


def _rule_with_counters(rule: Rule, counters: bool) -> str:
    return rule_options(rule.spec, f" -c {rule.packets} {rule.bytes}" if counters else "")


def save(firewall: Firewall, *, without: str | None = None, counters: bool = False) -> str:
    """Like iptables-save. ``without`` leaves out a chain and the jumps to it: what is left is somebody else's."""
    return "".join(_save_table(table, without, counters) for table in firewall.tables.values())


def _save_table(table: Table, without: str | None, counters: bool) -> str:
    shown = [chain for chain in table.listed() if chain.name != without]
    lines = [f"*{table.name}", *(_save_title(chain, counters) for chain in shown)]
    for chain in shown:
        for rule in chain.rules:
            if without is None or rule.spec.jump != without:
                counts = f"[{rule.packets}:{rule.bytes}] " if counters else ""
                lines.append(f"{counts}-A {chain.name}{rule_options(rule.spec)}")
    return "".join(f"{line}\n" for line in [*lines, "COMMIT"])


def _save_title(chain: Chain, counters: bool) -> str:
    policy = chain.policy
    counts = f" [{policy.packets}:{policy.bytes}]" if policy and counters else " [0:0]" if counters else ""
    return f":{chain.name} {policy.spec.jump if policy else '-'}{counts}"
