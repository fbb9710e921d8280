# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing the chain and its sets to a state. Private to this collection.

Sets and their members come first, then the chain, then its jump. What is taken away goes the other way round: the jump, then
the counters are read for the last time, then the chain, then its sets. What a change did is believed only after it was read back.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from ansible_collections.homenet.traffic.plugins.plugin_utils._backend import Counted, State, together
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain import (
    ChainError,
    Marker,
    Observed,
    Settings,
    Step,
    Wanted,
    as_commands,
    command,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_move import plan_unhook
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_plan import plan_absent, plan_empty, simulate
from ansible_collections.homenet.traffic.plugins.plugin_utils._chain_rules import marker
from ansible_collections.homenet.traffic.plugins.plugin_utils._chains import CHUNK, Change, quoted
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset import (
    as_lines,
    is_sound,
    life_sets,
    plan_chain,
    plan_sets,
    restore_command,
    set_matches,
    simulate_sets,
    single_commands,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_reader import SetReader
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_sets import AddressSet, Sets, without
from ansible_collections.homenet.traffic.plugins.plugin_utils._ipset_state import counted_in, in_order, left_over, total
from ansible_collections.homenet.traffic.plugins.plugin_utils._iptables import Family
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group

ROUNDS = 4  # of planning and doing; one is usual, and another run that is at it makes for more
PATIENCE = 30  # times that a set is tried to be taken away: with nftables inside, the kernel lets go of it a moment later
PAUSE = 0.1

_ERROR_LINE = re.compile(r"Error in line (\d{1,6}):")


class SetChange:
    """A wish. ``final`` is what had been counted when something was taken away."""

    def __init__(
        self,
        families: Sequence[Family],
        reader: SetReader,
        state: State,
        hosts: Sequence[str],
        interfaces: Sequence[str],
        prune: bool,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._families = families
        self._reader = reader
        self._state = state
        self._sleep = sleep
        self._restores = True
        self._gone = Counted()
        self._wanted: dict[int, Wanted] = {}
        self._markers: dict[int, Marker] = {}
        for family in families if state == "present" else ():
            settings = family.chains.settings
            mine = tuple(host for host in hosts if (":" in host) == (settings.family == 6))
            self._wanted[settings.family] = Wanted(mine, tuple(interfaces), prune, settings.family)
            self._markers[settings.family] = Marker.of(settings.family, secrets.randbits(128))
        self.final: Counted | None = None

    # What is to be done

    def _plan(self, family: Family) -> Callable[[Observed], Sequence[Step]]:
        settings = family.chains.settings
        if self._state != "present":
            return partial(plan_empty if self._state == "empty" else plan_absent, settings)
        wanted, new = self._wanted[settings.family], self._markers[settings.family]
        return lambda seen: plan_chain(settings, seen, wanted, new)

    def _set_lines(self, settings: Settings, observed: Observed, sets: Sets) -> tuple[str, ...]:
        life = marker(observed.chain) or self._markers[settings.family]
        return plan_sets(settings, sets, self._wanted[settings.family], life)

    def _require(self) -> None:
        """Refuse what can be refused, before anything is changed."""
        for family in self._families:
            if self._state != "present":
                family.seen = family.chains.closer(family.observed)
            elif family.move:
                family.move.require_movable()
            if self._state != "present" or not self._is_sound(family):
                self._refuse_other_rules(family)
                plan_absent(family.chains.settings, family.observed)
            self._plan(family)(family.observed)

    def _refuse_other_rules(self, family: Family) -> None:
        """A set that somebody else's rule looks into cannot be taken away."""
        chains = (family.found.chain if family.found else None, family.there)
        ours = [match.name for chain in chains for match in set_matches(chain)]
        for name in sorted(set(ours)):
            if name in self._reader.seen and self._reader.seen[name].references > ours.count(name):
                raise ChainError(
                    f"Rules that homenet.traffic did not make look into the set {name}, so it cannot be removed, and nothing was. Find "
                    f"them with `iptables-save | grep {name}`, delete them, and run it again."
                )

    def _is_sound(self, family: Family) -> bool:
        return is_sound(family.chains.settings, family.counting, self._reader.seen)

    # Preview

    def preview(self) -> tuple[list[str], list[str]]:
        """The commands that it would take, and what would be there afterwards."""
        self._require()
        sets = dict(self._reader.seen)
        gone = self._names_to_go()
        commands: list[str] = []
        chains: list[str] = []
        kept: set[str] = set()
        for family in self._families:
            lines, observed, sets = self._preview_of(family, sets)
            commands += lines
            chains += as_commands(family.chains.settings, observed)
            kept |= {match.name for match in set_matches(observed.chain)}
        last = [f"destroy {name}" for name in sorted(gone - kept)]
        after = simulate_sets(sets, last)
        program = self._reader.program
        return [*commands, *single_commands(program, last)], [*single_commands(program, as_lines(after)), *chains]

    def _preview_of(self, family: Family, sets: dict[str, AddressSet]) -> tuple[list[str], Observed, dict[str, AddressSet]]:
        settings = family.chains.settings
        present = self._state == "present"
        commands, observed = family.move.preview(present) if family.move else ([], family.observed)
        if present and not self._is_sound(family):
            steps = plan_absent(settings, observed)
            commands += [command(settings, step) for step in steps]
            observed = simulate(settings, observed, steps)
        if present:
            lines = self._set_lines(settings, observed, sets)
            commands += single_commands(self._reader.program, lines)
            sets = simulate_sets(sets, lines)
        steps = tuple(self._plan(family)(observed))
        commands += [command(settings, step) for step in steps]
        return commands, simulate(settings, observed, steps), sets

    # Doing

    def bring(self, commands: list[str]) -> None:
        """Do it, and read it back."""
        self._require()
        self._gone = counted_in(self._left())
        change = Change(commands=commands)
        if self._state == "present":
            self._install(change)
        else:
            self._take_away(change)

    def _install(self, change: Change) -> None:
        """Plan again for what is still missing, because another run was at it, too."""
        gone = self._names_to_go()
        error: ChainError | None = None
        for _round in range(ROUNDS):
            if not self._is_to_do():
                break
            error = None
            self._retire(change)
            for family in self._families:
                error = self._bring_up(family, change) or error
            self._reader.look()
        if self._is_to_do():
            raise error or ChainError(
                f"{self._reader.where}: the chain and its sets were not as they should be, again and again: is another run at it? "
                "Traffic passes as before; run it again."
            )
        names = {name for family in self._families for name in life_sets(family.chains.settings, family.observed)}
        self._destroy((gone | {one.name for one in self._left()}) - names, change.commands)

    def _is_to_do(self) -> bool:
        return any(
            family.move
            or not self._is_sound(family)
            or self._set_lines(family.chains.settings, family.observed, self._reader.seen)
            or self._plan(family)(family.observed)
            for family in self._families
        )

    def _retire(self, change: Change) -> None:
        """Move what is in the other table, and take away chains that do not go with their sets."""
        for family in self._families:
            if family.move:
                family.seen, family.move = family.move.move(change), None
        over = [family for family in self._families if not self._is_sound(family)]
        for family in over:
            self._stop(family, change)
        if not over:
            return
        self._reader.look()
        self._gone = together(self._gone, total([family.observed for family in over], self._reader.seen))
        for family in over:
            self._converge(family, partial(plan_absent, family.chains.settings), change)
        self._conclude()

    def _bring_up(self, family: Family, change: Change) -> ChainError | None:
        """The sets, then the chain. An error that another run may be the reason of is returned."""
        settings = family.chains.settings
        lines = self._set_lines(settings, family.observed, self._reader.seen)
        words = self._run(lines, change.commands) if lines else ""
        if words and self._set_lines(settings, family.observed, self._reader.seen):
            return ChainError(
                f"{self._reader.where}: the router did not do all that it was told (ipset said {words}). Traffic passes as before; run it "
                "again, and report it if it happens twice."
            )
        try:
            self._converge(family, self._plan(family), change)
        except ChainError as error:
            return error
        return None

    def _take_away(self, change: Change) -> None:
        """Chains, jumps and sets; of a chain that is only to be emptied, chain and jump stay."""
        gone = self._names_to_go()
        if any(family.move or self._plan(family)(family.observed) for family in self._families):
            for family in self._families:
                if family.move:
                    family.move.stop(change)
                self._stop(family, change, whole=True)
            self._last_count(change)
        for family in self._families:
            if family.move:
                family.move.remove(change)
                family.move = None
            self._converge(family, self._plan(family), change, whole=True)
        self._destroy(gone, change.commands)

    def _last_count(self, change: Change) -> None:
        """What the chains and their sets have counted, now that no packet meets them any more."""
        if change.commands:
            self._reader.look()
            self._conclude()

    def _stop(self, family: Family, change: Change, whole: bool = False) -> None:
        self._converge(family, partial(plan_unhook, family.chains.settings), change, whole)

    def _converge(self, family: Family, plan: Callable[[Observed], Sequence[Step]], change: Change, whole: bool = False) -> None:
        try:
            family.chains.converge(plan, change, family.observed, whole)
        finally:
            family.seen = change.after

    def _conclude(self) -> None:
        seen = [one for family in self._families for one in family.counted]
        self.final = in_order(together(self._gone, total(seen, self._reader.seen)))

    # Sets

    def _left(self) -> list[AddressSet]:
        seen = [(family.chains.settings, one) for family in self._families for one in family.counted]
        return left_over(seen, self._reader.seen)

    def _names_to_go(self) -> set[str]:
        """The sets that are over, or will be, when no chain looks into them any more."""
        gone = {one.name for one in self._left()}
        for family in self._families:
            if self._state != "present" or not self._is_sound(family):
                for seen in (*family.counted, family.observed):
                    gone |= {match.name for match in set_matches(seen.chain)} | life_sets(family.chains.settings, seen)
        return gone & set(self._reader.seen)

    def _run(self, lines: Sequence[str], commands: list[str]) -> str:
        """Hand lines to ipset, and list the sets anew. Returns the words of a complaint."""
        while lines:
            some = lines if self._restores else lines[:CHUNK]
            if words := self._run_some(some, commands):
                return words
            lines = lines[len(some) :]
        return ""

    def _run_some(self, lines: Sequence[str], commands: list[str]) -> str:
        """The same in one exchange."""
        reader = self._reader
        restore = (restore_command(reader.program, lines),) if self._restores else tuple(single_commands(reader.program, lines))
        loses = any(line.startswith("del ") for line in lines)
        last_look = reader.last_look()
        reader.questions.foresee((), [Group((*((last_look,) if loses else ()), *restore), all_of=True), *reader.listing()])
        if reader.questions.has_answer(last_look):
            self._keep(reader.last_seen(reader.questions.remembered(last_look)))
        words, done = "", 0
        for line in restore:
            if not reader.questions.has_answer(line):
                break
            answer = reader.questions.remembered(line)
            if answer.status:
                words = quoted(reader.questions.quiet(answer.text))
                failed = _ERROR_LINE.search(answer.text)
                done += int(failed[1]) - 1 if failed else 0
                self._restores = self._restores and failed is not None
                break
            done += len(lines) if self._restores else 1
        commands += single_commands(reader.program, lines[:done])
        was = reader.seen
        reader.look()
        if loses:
            self._gone = together(self._gone, counted_in(without(was, reader.seen)))
        return words

    def _keep(self, sets: Sets | None) -> None:
        """What was counted until now, before some of it is forgotten."""
        if sets is not None:
            self._reader.seen = sets
            self._conclude()

    def _destroy(self, names: Iterable[str], commands: list[str]) -> None:
        """Take sets away. Only those that nothing looks into can be: the kernel sees to that."""
        left = sorted(set(names) & set(self._reader.seen))
        for attempt in range(PATIENCE):
            if not left:
                return
            if attempt:
                self._sleep(PAUSE)
            lines = single_commands(self._reader.program, [f"destroy {name}" for name in left])
            self._reader.questions.foresee((), [*(Group((line,)) for line in lines), *self._reader.listing()])
            for line in lines:
                if self._reader.questions.remembered(line).status == 0:
                    commands.append(line)
            self._reader.look()
            left = [name for name in left if name in self._reader.seen]
        if left:
            raise ChainError(
                f"{self._reader.where}: the set {left[0]} is still in use, so it was not taken away. Traffic passes as before. Find what "
                f"looks into it with `iptables-save | grep {left[0]}`, delete it, and run it again."
            )
