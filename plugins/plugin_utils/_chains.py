# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain and FORWARD of one table, on a router: listed and changed. Private to this collection.

What a command printed is read strictly; what a command changed is believed only after it was read back.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    GOTO,
    ChainError,
    Observed,
    Settings,
    Step,
    as_commands,
    command,
    goto_command,
    is_sub_name,
    last_look,
    list_all_command,
    list_command,
    restore_command,
    set_help_command,
    version_command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import TEMPLATES, Profile, Read
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions, UnreadableError
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Program, TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Answer, Group

LOCK_PATIENCE = 10.0  # seconds to wait for another program's xtables lock
LOCK_PAUSE = 0.5
ROUNDS = 40  # of planning and doing; two or three are usual, each number of a duplicate rule takes one
IN_VAIN = 3  # rounds that change nothing, until it is given up: one such may be another run's doing, which undoes the same
CHUNK = 100  # commands in one script: a terminal and its buffers are small

_NO_PROGRAM = ("not_found", "unrecognized_command", "bad_argument")
PERMISSION = (
    "The user that logs in may not change the firewall: log in as the router's administrator (or, over ansible.builtin.ssh or local, set "
    "ansible_become)."
)
_HELP = {
    "permission": PERMISSION,
    "no_such_table": "The firmware lacks this table: choose the other one with traffic_table.",
    "incompatible": "The table was made with nft, and this iptables cannot show it: choose the other one with traffic_table.",
    "lock_held": "Another program has held the lock of the firewall all the time. Run it again.",
}


class FirewallError(TrafficError):
    """The router's firewall cannot be used for counting. The code names the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Change:
    """What was done to the chain so far; filled in as it happens, so that an error loses nothing."""

    after: Observed | None = None
    commands: list[str] = field(default_factory=list)
    looks: list[Observed] | None = None
    """Where rules that count are taken away: what a shell listed right before, each time."""


Plan = Callable[[Observed], Sequence[Step]]


class Chains:
    """The chain of ours and FORWARD, in one table of a router."""

    def __init__(
        self,
        questions: Questions,
        profile: Profile,
        where: str,
        settings: Settings,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._questions = questions
        self._profile = profile
        self._where = where
        self._sleep = sleep
        self._held_up = False
        six = settings.family == 6
        self._programs = profile.ip6tables if six else profile.iptables
        self._restores = (profile.ip6tables_restore if six else profile.iptables_restore) if questions.has_shell else ()
        self._template = TEMPLATES / "textfsm" / "ip6tables.textfsm" if six else profile.chain_template
        self.settings = replace(settings, program=self._programs[0])
        self.forward: Chain | None = None  # as it was seen last

    def in_other_table(self) -> Chains:
        """The chain of the same name in the other table."""
        table = "mangle" if self.settings.table == "filter" else "filter"
        other = Chains(self._questions, self._profile, self._where, replace(self.settings, table=table), self._sleep)
        other._choose(self._programs)
        return other

    def _choose(self, programs: Sequence[str]) -> None:
        self._programs = tuple(programs)
        self.settings = replace(self.settings, program=programs[0])

    # Listing

    def listing(self, whole: bool = False) -> list[Group]:
        """The commands that ``observe`` asks first, to be foreseen."""
        ways = [replace(self.settings, program=program) for program in self._programs]
        lines = [[list_command(way, name) for way in ways] for name in ("FORWARD", self.settings.chain)]
        lines += [[list_all_command(way) for way in ways]] if whole else []
        return [Group(tuple(one), one_program=True) for one in lines]

    def observe(self, whole: bool = False) -> Observed:
        """The chain and FORWARD as they are now, and the sub-chains that the chain leads to; ``whole``: also all others."""
        forward = self._chain("FORWARD")
        if forward is None:
            raise TrafficError(f"{self._where}: iptables shows no chain FORWARD in the table {self.settings.table}.")
        self.forward = forward
        chain = self._chain(self.settings.chain)
        seen = Observed(chain, forward)
        return self.closer(seen) if whole or (chain and any(rule.extra == GOTO for rule in chain.rules)) else seen

    def closer(self, seen: Observed) -> Observed:
        """What was observed, with all sub-chains out of a listing of all chains; what others hold is not read."""
        chains = self._ours_in(self._iptables(list_all_command))
        return replace(seen, subs={name: chain for name, chain in chains.items() if name != self.settings.chain})

    def _ours_in(self, answer: Answer) -> dict[str, Chain]:
        """The chain and its sub-chains, in a listing of all chains."""
        line = list_all_command(self.settings)
        texts = {text.removeprefix("Chain ").partition(" ")[0]: text for text in re.split(r"(?m)^(?=Chain )", answer.text)}
        if answer.status or "FORWARD" not in texts:
            raise TrafficError(f"{self._where}: `{line}` did not list all chains. It printed {quoted(answer.text)}. Run it again.")
        chain = self.settings.chain
        ours = [text for name, text in texts.items() if name == chain or is_sub_name(chain, name)]
        found: list[Chain] = self._questions.parsed("chains", Read(line, self._template), "".join(ours)) if ours else []
        return {chain.name: self._without_glued_noise(chain) for chain in found}

    def chain(self) -> Chain | None:
        """The chain of ours; None also where the router lacks the table."""
        try:
            return self._chain(self.settings.chain)
        except TrafficError:
            return None

    def _chain(self, name: str) -> Chain | None:
        answer = self._iptables(lambda settings: list_command(settings, name))
        line = list_command(self.settings, name)
        try:
            chains: list[Chain] = self._questions.parsed("chains", Read(line, self._template), answer.text)
        except UnreadableError:
            if self._questions.complaint(answer.text) == "no_such_chain":
                return None
            raise
        found = [chain for chain in chains if chain.name == name]
        if not found:
            raise TrafficError(f"{self._where}: `{line}` did not list the chain {name}. It printed {quoted(answer.text)}.")
        if answer.status:
            raise TrafficError(f"{self._where}: `{line}` ended with status {answer.status}, so its listing is not believed. Run it again.")
        return self._without_glued_noise(found[0])

    def _without_glued_noise(self, chain: Chain) -> Chain:
        ours = self.settings.chain
        rules = tuple(
            self._questions.quiet_rule(rule) if rule.extra and (chain.name.startswith(ours) or rule.target == ours) else rule
            for rule in chain.rules
        )
        return replace(chain, rules=rules)

    def _iptables(self, line_with: Callable[[Settings], str]) -> Answer:
        """Run an iptables command, in the first way that works, waiting for another program to give back the lock."""
        while True:
            line = line_with(self.settings)
            answer = self._patient(line)
            text = answer.text
            if not text.strip() or text.startswith("Chain "):
                return answer  # silence, or a listing: nothing to complain of
            code = self._questions.complaint(text)
            if code in _NO_PROGRAM and len(self._programs) > 1:
                self._choose(self._programs[1:])
                continue
            if code in ("not_found", "unrecognized_command"):
                raise self._no_iptables(text)
            if code in _HELP:
                raise FirewallError(code, f"{self._where}: `{line}` failed: {quoted(text)}. {_HELP[code]}")
            return answer

    def _patient(self, line: str) -> Answer:
        return self._unlocked(lambda: self._questions.remembered(line))

    def _unlocked(self, ask: Callable[[], Answer]) -> Answer:
        """Ask again while another program holds the lock; an iptables that waits itself takes part of our patience."""
        waited = 0.0
        while True:
            start = time.monotonic()
            answer = ask()
            waited += max(LOCK_PAUSE, time.monotonic() - start)
            if waited > LOCK_PATIENCE or not self._is_locked(answer):
                return answer
            self._sleep(LOCK_PAUSE)

    def _is_locked(self, answer: Answer) -> bool:
        text = answer.text
        return bool(text.strip()) and not text.startswith("Chain ") and self._questions.complaint(text) == "lock_held"

    def _no_iptables(self, text: str) -> TrafficError:
        program = self.settings.program.split()[0]
        if any(one.name == "nftables" for one in self._questions.read_any("programs")):
            return FirewallError(
                "nftables_only",
                f"{self._where} has nftables and no iptables. Set traffic_backend to auto or nftables.",
            )
        return FirewallError(
            "no_iptables",
            f"{self._where} has no command `{program}` ({quoted(text)}): without iptables it cannot count each "
            "host. Where it has one under another name, write a profile with the key iptables (docs/profiles.md).",
        )

    # The program

    def versions(self) -> list[Group]:
        """The commands that ``version`` may ask, to be foreseen. An old iptables ignores what it does not know before this word."""
        return [Group((version_command(replace(self.settings, program=program)),)) for program in self._programs]

    def help_commands(self) -> list[str]:
        """The commands of which one tells whether rules can look into sets."""
        return [set_help_command(replace(self.settings, program=program)) for program in self._programs]

    def version(self) -> Program | None:
        """The iptables that is used; None where it does not tell."""
        line = version_command(self.settings)
        way = Read(line, TEMPLATES / "textfsm" / "program_version.textfsm")
        try:
            found: list[Program] = self._questions.parsed("programs", way, self._questions.remembered(line).text)
        except UnreadableError:
            return None
        return found[0]

    # Changes

    def converge(self, plan: Plan, change: Change, observed: Observed, whole: bool = False) -> None:
        """Run a plan and read back; plan again for what is still missing, until nothing is, or nothing changes.

        What is there afterwards decides, and not the words with which a command was answered, since nearly every iptables is
        silent when all went well. ``whole``: the plan is for sub-chains, too, to which nothing leads.
        """
        change.after = observed if whole else self.ready(plan, observed)
        steps = plan(change.after)
        whole = whole or self._is_for_subs(steps)
        if steps and not self._questions.has_shell:
            self._refuse_prefixes(steps)
        in_vain = 0
        for _round in range(ROUNDS + len(steps) // CHUNK):
            if not steps:
                return
            before = self._restores, self.settings, as_commands(self.settings, change.after)
            words = self._perform(steps, change, whole)
            change.after = self.observe(whole)
            left = plan(change.after)
            now = self._restores, self.settings, as_commands(self.settings, change.after)
            in_vain = in_vain + 1 if left == steps and now == before and not self._held_up else 0
            if in_vain == IN_VAIN:
                break
            steps = left
        if steps:
            raise ChainError(self._not_done(steps, words))

    def ready(self, plan: Plan, seen: Observed) -> Observed:
        """What was observed, looked at closer where a plan makes sub-chains: perhaps an earlier run has begun some.

        Kernels 2.4 and their iptables know no goto; then the settings say so, and a plan makes none.
        """
        if seen.subs or not self._is_for_subs(plan(seen)):
            return seen
        text = self._patient(goto_command(self.settings)).text
        if "requires an argument" not in text and self._questions.complaint(text) == "bad_argument":
            self.settings = replace(self.settings, goto=False)
        return self.closer(seen)

    def _is_for_subs(self, steps: Sequence[Step]) -> bool:
        return any(is_sub_name(self.settings.chain, step.chain) for step in steps)

    def _perform(self, steps: Sequence[Step], change: Change, whole: bool) -> str:
        """Run steps, or the first of them. Returns the words of a complaint."""
        self._held_up = False
        if self._restores and all(step.action != "delete_number" for step in steps):
            return self._restore(steps, change, whole)
        together: list[str] = []
        for number, step in enumerate(steps):
            if number and step.chain == "FORWARD" and step.action == "insert":
                break  # never a second jump: see first whether another run has set one meanwhile
            together.append(command(self.settings, step))
            if step.action == "delete_number":
                break  # the numbers of the others may have changed meanwhile
        if self._questions.has_shell:
            return self._run_all(together[:CHUNK], change, whole, self._last_look(steps, change))
        return next(filter(None, (self._run_one(line, change) for line in together)), "")

    def _restore(self, steps: Sequence[Step], change: Change, whole: bool) -> str:
        """All steps as one change, which is done as a whole or not at all."""
        program = self._restores[0]
        answer = self._change(restore_command(self.settings, program, steps), whole, self._last_look(steps, change))
        self._keep_last_look(change)
        words = self._questions.quiet(answer.text).strip()
        if not answer.status:
            change.commands += [command(self.settings, step) for step in steps]
        elif not self._is_locked(answer):
            # Where a line of it failed, only single commands get further: another way might not wait for the lock.
            self._restores = self._restores[1:] if self._questions.complaint(words) in _NO_PROGRAM else ()
        return f"`{program}` was answered with {quoted(words)}" if words or answer.status else ""

    def _last_look(self, steps: Sequence[Step], change: Change) -> list[Group]:
        """Asked before steps that take away rules which count, in the same exchange."""
        loses = any(step.action == "delete" and step.chain != "FORWARD" for step in steps)
        return [Group((last_look(self.settings),))] if loses and change.looks is not None else []

    def _keep_last_look(self, change: Change) -> None:
        line = last_look(self.settings)
        if change.looks is None or change.after is None or not self._questions.has_answer(line):
            return
        try:
            chains = self._ours_in(self._questions.remembered(line))
        except TrafficError:
            return  # what was seen before that is told instead
        change.looks.append(Observed(chains.pop(self.settings.chain, None), change.after.forward, chains))

    def _change(self, line: str, whole: bool, before: Sequence[Group]) -> Answer:
        """One command that changes something, and the listings that will be asked for next, in one exchange."""

        def ask() -> Answer:
            self._questions.foresee((), [*before, Group((line,)), *self.listing(whole)])
            return self._questions.remembered(line)

        return self._unlocked(ask)

    def _run_all(self, lines: Sequence[str], change: Change, whole: bool, before: Sequence[Group]) -> str:
        """Commands in one exchange, up to the first that fails, or that comes a second time."""
        lines = lines[: next((at for at, line in enumerate(lines) if line in lines[:at]), len(lines))]
        self._questions.foresee((), [*before, Group(tuple(lines), all_of=True), *self.listing(whole)])
        self._keep_last_look(change)
        for line in lines:
            if not self._questions.has_answer(line):
                break
            answer = self._questions.remembered(line)
            change.commands.append(line)
            if answer.status:
                self._learn(line, answer)
                self._hold_up(answer)
                return f"`{line}` was answered with {quoted(answer.text)}"
        return ""

    def _hold_up(self, answer: Answer) -> None:
        """An old iptables does not wait for the lock, so a command that met it is no reason to give up yet."""
        if self._is_locked(answer):
            self._held_up = True
            self._sleep(LOCK_PAUSE)

    def _run_one(self, line: str, change: Change) -> str:
        change.commands.append(line)
        answer = self._iptables(lambda _settings: line)
        self._learn(line, answer)
        words = self._questions.quiet(answer.text).strip()
        return f"`{line}` was answered with {quoted(words)}" if words else ""

    def _learn(self, line: str, answer: Answer) -> None:
        """A kernel may know no goto where its iptables does."""
        if " -g " in line and self._questions.complaint(answer.text) == "bad_argument":
            self.settings = replace(self.settings, goto=False)

    def _refuse_prefixes(self, steps: Sequence[Step]) -> None:
        """A command that was cut in the name of a chain of ours must not meet somebody else's."""
        text = self._iptables(list_all_command).text
        # An empty chain that nobody uses does no harm: such a cut may have left it itself.
        used = re.findall(r"^Chain (\S+) \((?!0 references\)\n[^\n]*\n*(?:Chain|\Z))", text, re.MULTILINE)
        ours = {self.settings.chain, *(step.chain for step in steps)} - {"FORWARD"}
        shorter = [(name, one) for name in used for one in sorted(ours) if name not in ours and one.startswith(name)]
        if shorter:
            raise ChainError(
                f"{self._where}: there is a chain {shorter[0][0]}, whose name is the beginning of {shorter[0][1]}. A command that was "
                "cut off could meet it, so nothing was changed. Choose another name with traffic_chain."
            )

    def _not_done(self, left: Sequence[Step], words: str) -> str:
        missing = "; ".join(command(self.settings, step) for step in left[:3]) + ("; ..." if len(left) > 3 else "")
        said = f" ({words})" if words else ""
        return (
            f"{self._where}: the router did not do all that it was told{said}. Still to be done: {missing}. Traffic passes as "
            "before; run it again, and report it if it happens twice."
        )


def quoted(text: str) -> str:
    """Words of a router, for a message: one line, not too long."""
    line = " ".join(text.split())
    return '"' + (line if len(line) <= 160 else f"{line[:157]}...") + '"'
