# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes packets by the counters, turned off while counting is installed, and on again. Private to this collection.

Only when the user asks for it. The commands are those of the profile's findings, and last until the router restarts. What was turned
off stands in a file in the router's /tmp, which a restart empties too; so no other control node, nor another day, can forget it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.homenet.traffic.plugins.plugin_utils._findings import NO_ACCELERATION
from ansible_collections.homenet.traffic.plugins.plugin_utils._profile import Sign
from ansible_collections.homenet.traffic.plugins.plugin_utils._questions import Questions
from ansible_collections.homenet.traffic.plugins.plugin_utils._shell import Group

MEMORY = "/tmp/homenet-traffic-acceleration"
# A file of ours and nothing that somebody laid there in its place.
_RECALL = f"[ -f {MEMORY} ] && [ ! -L {MEMORY} ] && cat {MEMORY}"


def listing() -> list[Group]:
    """The command that tells what was turned off, to be foreseen."""
    return [Group((_RECALL,))]


def to_turn_off(questions: Questions) -> list[Sign]:
    """What is on now and can be turned off by a command."""
    return [sign for sign in questions.signs() if sign.off and sign.on]


def left_on(questions: Questions) -> None:
    """Say of which of what is on now nothing is known that would turn it off and on again."""
    for sign in questions.signs():
        if not (sign.off and sign.on) and sign.code not in NO_ACCELERATION:
            questions.note(
                f"traffic_acceleration: {sign.code} is left on. No command is known that turns it off just until the router restarts; "
                "how to turn it off for good is told below."
            )


def off_commands(signs: Sequence[Sign]) -> list[str]:
    """What turns them off. It is written down first: to turn on what is on already does no harm."""
    return [f"[ ! -L {MEMORY} ] && echo {sign.code} >> {MEMORY} && {{ {sign.off}; }}" for sign in signs]


def turn_off(questions: Questions, signs: Sequence[Sign], commands: list[str]) -> None:
    """Turn them off, and look whether they are."""
    _run(questions, off_commands(signs), commands)
    questions.forget_signs()
    still = {sign.code for sign in questions.signs()}
    for sign in signs:
        if sign.code in still:
            questions.note(f"traffic_acceleration: {sign.code} could not be turned off: {sign.message}")
        else:
            questions.note(f"traffic_acceleration: {sign.code} is turned off, until remove_traffic is run or the router restarts.")


def turned_off(questions: Questions) -> list[str]:
    """The codes of what was turned off."""
    answer = questions.remembered(_RECALL)
    said = answer.text.split() if answer.status == 0 else []
    return [sign.code for sign in {sign.code: sign for sign in questions.known_signs()}.values() if sign.code in said]


def on_commands(questions: Questions) -> list[str]:
    """What turns on again what was turned off; none where nothing was."""
    codes = turned_off(questions)
    again = [sign.on for sign in questions.known_signs() if sign.code in codes and sign.on]
    return [*dict.fromkeys(again), f"rm -f {MEMORY}"] if codes else []


def turn_on(questions: Questions, lines: Sequence[str], commands: list[str]) -> None:
    """Turn on again what was turned off."""
    _run(questions, lines, commands)
    questions.forget_signs()


def _run(questions: Questions, lines: Sequence[str], commands: list[str]) -> None:
    answers = questions.ask_all([Group((line,)) for line in lines])
    for line in lines:
        commands.append(line)
        answer = answers.get(line)
        if answer is None or answer.status:
            questions.note(f"traffic_acceleration: `{line}` failed: {' '.join(answer.text.split())[:160] if answer else 'it was not run'}.")
