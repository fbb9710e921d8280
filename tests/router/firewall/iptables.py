# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``iptables`` program over a :class:`Firewall`: words in, text and exit status out.

Not there: ``-vv`` (a dump of the kernel's tables), name resolution, ``nat`` and ``raw``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .command import Informed, Parser, Request
from .dialect import INVALID, NO_SUCH, ROUTER, VERSION_PROBLEM, Dialect, KernelError, UsageError
from .listing import Format, echo_line, list_rules, list_table
from .options import missing_target
from .rules import STANDARD, Chain, Firewall, Rule, RuleSpec, Table

HINT = "Try `iptables -h' or 'iptables --help' for more information.\n"


@dataclass(frozen=True)
class Result:
    """What a run printed (output and errors in the order of a terminal) and its exit status."""

    text: str = ""
    status: int = 0


def run(firewall: Firewall, words: list[str], dialect: Dialect = ROUTER) -> Result:
    """``words`` are the arguments after ``iptables``."""
    try:
        request = Parser(["iptables", *words], dialect).parse()
        return _execute(firewall, request, dialect)
    except Informed as informed:
        return Result(str(informed))
    except UsageError as error:
        return _usage(error, dialect)
    except KernelError as error:
        more = " Run `dmesg' for more information." if error.invalid else ""
        return Result(f"iptables: {error.text}.{more}\n", 1)


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
    text = _Execution(table, request, dialect).run()
    return Result(warnings + text)


class _Execution:
    """One request on one table; nothing is changed unless all of it can be."""

    def __init__(self, table: Table, request: Request, dialect: Dialect) -> None:
        self._table = table
        self._request = request
        self._dialect = dialect

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
        request = self._request
        return [self._spec(source, destination) for source in range(len(request.sources)) for destination in range(len(request.destinations))]

    def _spec(self, source: int, destination: int) -> RuleSpec:
        request = self._request
        return RuleSpec(
            source=request.sources[source],
            destination=request.destinations[destination],
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
                newline = "\n" if self._dialect.blank_line_in_errors else ""
                raise UsageError(f"Can't use -{letter} with {request.chain}{newline}")

    def _check_target(self) -> None:
        request = self._request
        known = not request.jump or request.jump in self._table.chains or request.target is not None
        if known:
            return
        if "g" in request.options:
            raise UsageError(f"goto '{request.jump}' is not a chain\n")
        raise missing_target(request.jump)

    def _check_kernel(self, spec: RuleSpec) -> None:
        """What only the kernel, not the command line, finds fault with."""
        jump = self._table.chains.get(spec.jump)
        if jump is not None and jump.policy is not None:
            raise KernelError(INVALID, invalid=True)
        if spec.jump == "REJECT" and self._table.name != "filter":
            raise KernelError(INVALID, invalid=True)
        needs_tcp = spec.jump == "TCPMSS" or any(getattr(match, "name", "") == "tcp" for match in spec.matches)
        if needs_tcp and (spec.protocol != 6 or "p" in spec.inverted):
            raise KernelError(INVALID, invalid=True)

    def _change(self, chain: Chain, rules: list[Rule]) -> None:
        before, chain.rules = chain.rules, rules
        try:
            self._table.check_loops()
        except KernelError:
            chain.rules = before
            raise

    def _echo(self, specs: list[RuleSpec]) -> str:
        if "v" not in self._request.options:
            return ""
        return "".join(f"{echo_line(spec, self._dialect)}\n" for spec in specs)

    def _add(self) -> str:
        specs = self._specs()
        chain = self._chain()
        request = self._request
        position = len(chain.rules) if request.command == "A" else (request.rule_number or 1) - 1
        if position > len(chain.rules):
            raise KernelError("Index of insertion too big")
        rules = list(chain.rules)
        for spec in specs:
            self._check_kernel(spec)
            rules.insert(position, Rule(spec, *request.counters))
            position += request.command == "A"
        self._change(chain, rules)
        return self._echo(specs)

    def _replace(self) -> str:
        specs = self._specs()
        chain = self._chain()
        position = (self._request.rule_number or 1) - 1
        if position >= len(chain.rules):
            raise KernelError("Index of replacement too big")
        self._check_kernel(specs[0])
        rules = list(chain.rules)
        rules[position] = Rule(specs[0], *self._request.counters)
        self._change(chain, rules)
        return self._echo(specs)

    def _delete(self) -> str:
        problem = "Bad rule (does a matching rule exist in that chain?)"
        specs = self._specs()
        chain = self._chain(problem)
        rules = list(chain.rules)
        for spec in specs:
            found = next((position for position, rule in enumerate(rules) if rule.spec == spec), None)
            if found is None:
                raise KernelError(problem)
            del rules[found]
        chain.rules = rules
        return self._echo(specs)

    def _delete_number(self) -> str:
        chain = self._chain()
        position = (self._request.rule_number or 1) - 1
        if position >= len(chain.rules):
            raise KernelError("Index of deletion too big")
        del chain.rules[position]
        return ""

    def _check(self) -> str:
        problem = "Bad rule (does a matching rule exist in that chain?)"
        specs = self._specs()
        chain = self._chain(problem)
        if not all(any(rule.spec == spec for rule in chain.rules) for spec in specs):
            raise KernelError(problem)
        return self._echo(specs)

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

    def _every_chain(self, told: str) -> tuple[list[Chain], str]:
        chains = [self._chain()] if self._request.chain is not None else self._table.listed()
        verbose = "v" in self._request.options
        return chains, "".join(f"{told} chain `{chain.name}'\n" for chain in chains if verbose)

    def _flush(self) -> str:
        chains, text = self._every_chain("Flushing")
        for chain in chains:
            chain.rules = []
        return text

    def _zero(self) -> str:
        chains, text = self._every_chain("Zeroing")
        for chain in chains:
            chain.zero()
        return text

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
        if self._request.chain is not None:
            chains = [self._chain()]
        else:
            chains = [chain for chain in self._table.listed() if chain.policy is None]
        for chain in chains:
            self._check_deletable(chain)
        for chain in chains:
            del self._table.chains[chain.name]
        return "".join(f"Deleting chain `{chain.name}'\n" for chain in chains if "v" in self._request.options)

    def _check_deletable(self, chain: Chain) -> None:
        if chain.policy is not None:
            raise KernelError(INVALID, invalid=True)
        if self._table.references(chain.name):
            raise KernelError("Too many links")
        if chain.rules:
            raise KernelError("Directory not empty")

    def _rename(self) -> str:
        chain, name = self._chain(), self._request.argument
        if name in self._table.chains or name in STANDARD:
            raise KernelError("File exists")
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
