# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``iptables`` program over a :class:`Firewall`: words in, text and exit status out.

Not there: ``-vv`` (a dump of the kernel's tables), name resolution, ``nat`` and ``raw``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .addresses import Network
from .command import Informed, Parser, Request
from .dialect import INVALID, NO_SUCH, NO_SUCH_RULE, RESOURCE_PROBLEM, ROUTER, VERSION_PROBLEM, Dialect, KernelError, UsageError
from .listing import Format, echo_line, list_rules, list_table
from .options import missing_target
from .rules import STANDARD, Chain, Firewall, Rule, RuleSpec, Table

HINT = "Try `iptables -h' or 'iptables --help' for more information.\n"


@dataclass(frozen=True)
class Result:
    """What a run printed (output and errors in the order of a terminal) and its exit status."""

    text: str = ""
    status: int = 0


def run(
    firewall: Firewall, words: list[str], dialect: Dialect = ROUTER, lock: Callable[[], str] | None = None
) -> Result:
    """``words`` are the arguments after ``iptables``.

    ``lock`` is asked once the command line is known to be right, as the real lock is: a text means that it is held.
    """
    try:
        request = Parser(["iptables", *words], dialect).parse()
        held = lock() if lock else ""
        if held:
            return Result(f"{held}\n", RESOURCE_PROBLEM)
        return _execute(firewall, request, dialect)
    except Informed as informed:
        return Result(str(informed))
    except UsageError as error:
        return _usage(error, dialect)


def _usage(error: UsageError, dialect: Dialect) -> Result:
    text = f"{error.text}\n" if error.bare else f"iptables v{dialect.version}: {error.text}\n"
    if error.status == VERSION_PROBLEM:
        return Result(f"{text}Perhaps iptables or your kernel needs to be upgraded.\n", error.status)
    return Result(text + HINT, error.status)


def _execute(firewall: Firewall, request: Request, dialect: Dialect) -> Result:
    table = firewall.tables.get(request.table)
    if table is None:
        why = "Table does not exist (do you need to insmod?)"
        raise UsageError(f"can't initialize iptables table `{request.table}': {why}", VERSION_PROBLEM)
    warnings = "".join(f"{line}\n" for line in request.warnings)
    execution = _Execution(table, request, dialect)
    try:
        return Result(warnings + execution.run())
    except KernelError as error:
        more = " Run `dmesg' for more information." if error.invalid else ""
        return Result(f"{warnings}{execution.echo}iptables: {error.text}.{more}\n", 1)


class _Execution:
    """One request on one table; nothing is changed unless all of it can be."""

    def __init__(self, table: Table, request: Request, dialect: Dialect) -> None:
        self._table = table
        self._request = request
        self._dialect = dialect
        self.echo = ""
        """What -v printed before anything was tried."""

    def run(self) -> str:
        actions: dict[str, Callable[[], str]] = {
            "A": self._add, "I": self._add, "R": self._replace, "D": self._delete, "D#": self._delete_number,
            "C": self._check, "L": self._list, "S": self._list_rules, "F": self._flush, "Z": self._zero,
            "Z#": self._zero_number, "N": self._new, "X": self._delete_chains, "E": self._rename, "P": self._policy,
        }  # fmt: skip
        return actions[self._request.command]()

    def _chain(self, problem: str = NO_SUCH) -> Chain:
        chain = self._table.chains.get(self._request.chain or "")
        if chain is None:
            raise KernelError(problem)
        return chain

    def _specs(self) -> list[RuleSpec]:
        """One rule for every pair of source and destination."""
        self._check_hook()
        self._check_target()
        sources, destinations = self._request.sources, self._request.destinations
        return [self._spec(source, destination) for source in sources for destination in destinations]

    def _spec(self, source: Network, destination: Network) -> RuleSpec:
        request = self._request
        return RuleSpec(
            source=source,
            destination=destination,
            in_interface=request.in_interface,
            out_interface=request.out_interface,
            protocol=request.protocol,
            fragment="f" in request.options,
            inverted=frozenset(request.inverted),
            matches=tuple(extension.build_match() for extension in request.matches),
            jump=request.jump,
            goto="g" in request.options,
            target=request.target.build_target() if request.target else None,
        )

    def _check_hook(self) -> None:
        request = self._request
        for letter, hooks in (("o", ("PREROUTING", "INPUT")), ("i", ("POSTROUTING", "OUTPUT"))):
            if letter in request.options and request.chain in hooks:
                raise UsageError(f"Can't use -{letter} with {request.chain}\n")

    def _check_target(self) -> None:
        request = self._request
        known = not request.jump or request.jump in self._table.chains or request.target is not None
        if known:
            return
        if "g" in request.options:
            newline = "\n" if self._dialect.blank_line_in_errors else ""
            raise UsageError(f"goto '{request.jump}' is not a chain{newline}")
        raise missing_target(request.jump)

    def _check_jump(self, spec: RuleSpec) -> None:
        jump = self._table.chains.get(spec.jump)
        if jump is not None and jump.policy is not None:
            raise KernelError(INVALID, invalid=True)

    def _check_kernel(self, spec: RuleSpec) -> None:
        """What only the kernel, not the command line, finds fault with."""
        if spec.jump == "REJECT" and self._table.name != "filter":
            raise KernelError(INVALID, invalid=True)
        needed = {match.protocol for match in spec.matches} | ({6} if spec.jump == "TCPMSS" else set())
        if needed - {0} and ("p" in spec.inverted or needed - {0, spec.protocol}):
            raise KernelError(INVALID, invalid=True)

    def _change(self, chain: Chain, rules: list[Rule], specs: list[RuleSpec]) -> None:
        before, chain.rules = chain.rules, rules
        try:
            self._table.check_loops()
            for spec in specs:
                self._check_kernel(spec)
        except KernelError:
            chain.rules = before
            raise

    def _specs_told(self) -> list[RuleSpec]:
        specs = self._specs()
        if "v" in self._request.options:
            self.echo = "".join(f"{echo_line(spec)}\n" for spec in specs)
        return specs

    def _add(self) -> str:
        specs = self._specs_told()
        chain = self._chain()
        request = self._request
        position = len(chain.rules) if request.command == "A" else (request.rule_number or 1) - 1
        if position > len(chain.rules):
            raise KernelError("Index of insertion too big")
        rules = list(chain.rules)
        for spec in specs:
            self._check_jump(spec)
            rules.insert(position, Rule(spec, *request.counters))
            position += request.command == "A"
        self._change(chain, rules, specs)
        return self.echo

    def _replace(self) -> str:
        specs = self._specs_told()
        chain = self._chain()
        position = (self._request.rule_number or 1) - 1
        if position >= len(chain.rules):
            raise KernelError("Index of replacement too big")
        self._check_jump(specs[0])
        rules = list(chain.rules)
        rules[position] = Rule(specs[0], *self._request.counters)
        self._change(chain, rules, specs)
        return self.echo

    def _find(self, rules: list[Rule], spec: RuleSpec) -> int:
        self._check_jump(spec)
        found = next((position for position, rule in enumerate(rules) if rule.spec.same_as(spec)), None)
        if found is None:
            # Looking up a target that is no verdict makes the library forget what it was asked.
            raise KernelError(NO_SUCH_RULE if spec.jump in ("", *STANDARD) else NO_SUCH)
        return found

    def _delete(self) -> str:
        specs = self._specs_told()
        chain = self._chain(NO_SUCH_RULE)
        rules = list(chain.rules)
        for spec in specs:
            del rules[self._find(rules, spec)]
        chain.rules = rules
        return self.echo

    def _delete_number(self) -> str:
        chain = self._chain()
        position = (self._request.rule_number or 1) - 1
        if position >= len(chain.rules):
            raise KernelError("Index of deletion too big")
        del chain.rules[position]
        return ""

    def _check(self) -> str:
        specs = self._specs_told()
        chain = self._chain(NO_SUCH_RULE)
        for spec in specs:
            self._find(chain.rules, spec)
        return self.echo

    def _list(self) -> str:
        request = self._request
        form = Format(*(letter in request.options for letter in "nvx0"))
        text = list_table(self._table, request.chain, request.rule_number, form, self._dialect)
        if text is None:
            raise KernelError(NO_SUCH)
        return text + self._zero_too()

    def _list_rules(self) -> str:
        request = self._request
        text = list_rules(self._table, request.chain, request.rule_number, "v" in request.options)
        if text is None:
            raise KernelError(NO_SUCH)
        return text + self._zero_too()

    def _zero_too(self) -> str:
        if not self._request.also_zero:
            return ""
        return self._zero_number() if self._request.also_zero == "Z#" else self._zero()

    def _every_chain(self, told: str) -> list[Chain]:
        chosen = self._request.chain
        names = [chain.name for chain in self._table.listed() if told != "Deleting" or chain.policy is None]
        if "v" in self._request.options:
            self.echo += "".join(f"{told} chain `{name}'\n" for name in ([chosen] if chosen is not None else names))
        return [self._chain()] if chosen is not None else [self._table.chains[name] for name in names]

    def _flush(self) -> str:
        for chain in self._every_chain("Flushing"):
            chain.rules = []
        return self.echo

    def _zero(self) -> str:
        for chain in self._every_chain("Zeroing"):
            chain.zero()
        return self.echo

    def _zero_number(self) -> str:
        chain = self._chain()
        position = (self._request.rule_number or 1) - 1
        if position >= len(chain.rules):
            raise KernelError("Index of counter too big")
        chain.rules[position].packets = chain.rules[position].bytes = 0
        return ""

    def _new(self) -> str:
        name = self._request.chain or ""
        if name in self._table.chains or name in STANDARD:
            raise KernelError("Chain already exists")
        self._table.chains[name] = Chain(name)
        return ""

    def _delete_chains(self) -> str:
        """All or nothing: one chain that is in use keeps every other, too."""
        chains = self._every_chain("Deleting")
        problems = [problem for chain in chains if (problem := self._not_deletable(chain))]
        if problems:
            # One after the other is tried; what is reported is the last one's trouble.
            raise problems[-1]
        for chain in chains:
            del self._table.chains[chain.name]
        return self.echo

    def _not_deletable(self, chain: Chain) -> KernelError | None:
        if chain.policy is not None:
            return KernelError(INVALID, invalid=True)
        if self._table.references(chain.name):
            return KernelError("Too many links")
        return KernelError("Directory not empty") if chain.rules else None

    def _rename(self) -> str:
        name = self._request.argument
        if name in self._table.chains or name in STANDARD:
            raise KernelError("File exists")
        chain = self._chain()
        if chain.policy is not None:
            raise KernelError(NO_SUCH)
        del self._table.chains[chain.name]
        for rule in (rule for other in [chain, *self._table.chains.values()] for rule in other.rules):
            if rule.spec.jump == chain.name:
                rule.spec = replace(rule.spec, jump=name)
        chain.name = name
        self._table.chains[name] = chain
        return ""

    def _policy(self) -> str:
        chain = self._table.chains.get(self._request.chain or "")
        if chain is None or chain.policy is None:
            raise KernelError("Bad built-in chain name")
        if self._request.argument not in ("ACCEPT", "DROP"):
            raise KernelError("Bad policy name", invalid=True)
        counters = self._request.counters if "c" in self._request.options else (chain.policy.packets, chain.policy.bytes)
        chain.policy = Rule(RuleSpec(jump=self._request.argument), *counters)
        return ""
