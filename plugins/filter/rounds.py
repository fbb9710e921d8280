# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable

from ansible.errors import AnsibleFilterError

MOST = 10_000


def rounds(value: object) -> list[int]:
    """The numbers from 1 up to a number, which may be a text, as extra variables are."""
    try:
        number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else 0
    except ValueError:
        number = 0
    if not 1 <= number <= MOST:
        raise AnsibleFilterError(f"traffic_repeat is {value!r}; it is how often to measure, a number from 1 to {MOST}.")
    return list(range(1, number + 1))


class FilterModule:
    """What the playbook `live` asks before anything runs."""

    def filters(self) -> dict[str, Callable[..., list[int]]]:
        """The filters by their names."""
        return {"rounds": rounds}
