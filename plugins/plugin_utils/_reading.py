# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values out of a reading, which may come from anywhere: a user registers and passes it on. Private to this collection. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import parse_time, plain_text

_TOO_MANY_BYTES = 1 << 128


class ReadingReader:
    """Takes values out of a result, and says what is wrong with it where it is not of the expected shape."""

    def __init__(self, what: str) -> None:
        self._what = what

    def _wrong(self, key: str, wanted: str) -> TrafficError:
        return TrafficError(
            f"{self._what} is not a result of homenet.traffic.counters_info: {key!r} is not {wanted}. Register "
            "the result of that module and report on it."
        )

    def mapping(self, source: Mapping[str, Any], key: str, *, optional: bool = False) -> Mapping[str, Any]:
        """A dictionary; an empty one where it may be missing."""
        value = source.get(key)
        if value is None and optional:
            return {}
        if not isinstance(value, Mapping):
            raise self._wrong(key, "a dictionary")
        return value

    def mappings(self, source: Mapping[str, Any], key: str, *, optional: bool = False) -> Sequence[Mapping[str, Any]]:
        """A list of dictionaries; an empty one where it may be missing."""
        value = source.get(key)
        if value is None and optional:
            return ()
        if not isinstance(value, Sequence) or not all(isinstance(one, Mapping) for one in value):
            raise self._wrong(key, "a list of dictionaries")
        return value

    def text(self, source: Mapping[str, Any], key: str) -> str:
        """A text, as it can be shown."""
        value = source.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        return plain_text(value)

    def optional_text(self, source: Mapping[str, Any], key: str) -> str | None:
        """A text, or None."""
        return None if source.get(key) is None else self.text(source, key)

    def number(self, source: Mapping[str, Any], key: str) -> int:
        """A number of bytes; 0 where there is none."""
        value = source.get(key)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _TOO_MANY_BYTES:
            raise self._wrong(key, "a number of bytes")
        return int(value)

    def time(self, source: Mapping[str, Any], key: str) -> datetime | None:
        """A time, or None."""
        value = source.get(key)
        if value is None:
            return None
        found = parse_time(value)
        if found is None:
            raise self._wrong(key, "a time with its time zone")
        return found
