# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import math
from collections.abc import Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.homenet.traffic.plugins.plugin_utils import _text


def _number(value: object, name: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise AnsibleFilterError(f"homenet.traffic.{name} takes a number, and this is not one: {value!r}")
    return value


def human_bytes(value: object) -> str:
    """A number of bytes in decimal units."""
    return _text.human_bytes(round(_number(value, "human_bytes")))


def human_rate(value: object) -> str:
    """A number of bytes a second as bits a second in decimal units."""
    return _text.human_rate(_number(value, "human_rate"))


class FilterModule:
    """Sizes and rates for people."""

    def filters(self) -> dict[str, Callable[[object], str]]:
        """The filters by their names."""
        return {"human_bytes": human_bytes, "human_rate": human_rate}
