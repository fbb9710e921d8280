# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where reports are kept: file names, whole files or none, and the index over all routers. Private to this collection."""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import Reading
from ansible_collections.homenet.traffic.plugins.plugin_utils._index import (
    Failure,
    IndexRow,
    index_rows,
    merge_index,
    row_of,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._render import RENDERERS, index_html, index_json
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import Report

try:
    import fcntl
except ImportError:  # not on every system that a sanity test imports on
    fcntl = None  # type: ignore[assignment]

INDEX = "index"
LONGEST_STEM = 180  # bytes; file systems take 255, endings and the name of a temporary file need some
LOCK_PATIENCE = 10.0  # seconds to wait for another run that writes the same directory
_KEPT = frozenset("-_.@+,=")


def file_stem(router: str) -> str:
    """The name of a router's files without their endings: its own where it is safe, percent-encoded where not.

    Letters and digits of any script stay. No two routers get the same one, and none gets out of its directory.
    """
    stem = "".join(
        character
        if (character.isalnum() or character in _KEPT) and not (character == "." and position == 0)
        else _encoded(character)
        for position, character in enumerate(router)
    )
    if not stem:
        raise TrafficError("A router without a name cannot have a report: name it in the inventory.")
    if len(stem.encode()) > LONGEST_STEM:
        raise TrafficError(
            f"The router's name is too long to name files after it: {router[:40]}... Give it a shorter one in the inventory "
            "(its address belongs in ansible_host)."
        )
    if same_file(stem) == INDEX:
        raise TrafficError(
            f"A router cannot be named {router}: index.html is the page over all routers. Give it another name in the inventory."
        )
    return stem


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def same_file(stem: str) -> str:
    """Equal for names that some file systems take for the same file: those that differ in case or composition only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())


def file_stems(routers: Sequence[str], known: Sequence[str] = ()) -> dict[str, str | TrafficError]:
    """The files' name of every router, or why it cannot have one. ``known`` are other routers with files there."""
    stems: dict[str, str | TrafficError] = {}
    taken = {}
    for other in known:
        try:
            taken[same_file(file_stem(other))] = other
        except TrafficError:
            continue
    for router in routers:
        try:
            stem = file_stem(router)
            first = taken.setdefault(same_file(stem), router)
            if first != router:
                raise TrafficError(
                    f"The routers {first} and {router} would share their files on a file system that does not tell case. "
                    "Give one of them another name in the inventory."
                )
            stems[router] = stem
        except TrafficError as error:
            stems[router] = error
    return stems


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader finds the old one or the new one, and never a part.

    A link that somebody put there is replaced, not followed. The mode is 0644 less the umask.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        try:
            with open(descriptor, "wb", buffering=0) as file:
                left = memoryview(text.encode())
                while left:
                    left = left[file.write(left) :]
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise TrafficError(
            f"{path} cannot be written: {error.strerror}. Set traffic_report_dir to a directory that you may write."
        ) from error


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Keep two runs from writing the same index at a time. Where directories cannot be locked, do without."""
    descriptor = -1
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        if fcntl is not None:
            _lock(descriptor, directory)
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                return
        if time.monotonic() > deadline:
            raise TrafficError(
                f"Another run has been writing reports to {directory} for {LOCK_PATIENCE:g} seconds. Run it again later."
            )
        time.sleep(0.05)


@dataclass
class Written:
    """What a run wrote, or would write."""

    files: list[Path] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)  # routers that failed here, not on their own task
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ReportDirectory:
    """The directory that reports are written to, and in which formats. ``dry`` writes nothing."""

    path: Path
    formats: Sequence[str]
    dry: bool = False

    def write(
        self,
        reports: Mapping[str, Callable[[Reading | None], Report]],
        failures: Mapping[str, Failure],
        now: datetime,
        in_inventory: Callable[[str], bool],
    ) -> Written:
        """Write all reports and the index. A router whose report cannot be made keeps its old files.

        A report is made with the reading that the index kept of the last one.
        """
        written = Written(failures=dict(failures))
        if self.dry or not self.formats:
            self._write(reports, now, in_inventory, written)
            return written
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrafficError(
                f"The directory {self.path} cannot be made: {error.strerror}. Set traffic_report_dir to another one."
            ) from error
        try:
            with only_writer(self.path):
                self._write(reports, now, in_inventory, written)
        except OSError as error:
            raise TrafficError(f"The directory {self.path} cannot be used: {error.strerror}.") from error
        return written

    def _write(
        self,
        reports: Mapping[str, Callable[[Reading | None], Report]],
        now: datetime,
        in_inventory: Callable[[str], bool],
        written: Written,
    ) -> None:
        old = self._old_rows(written)
        tried = {*reports, *written.failures}
        kept = [row.router for row in old if row.router not in tried and self._keeps(row, in_inventory)]
        stems = file_stems(list(reports), kept)
        before = {row.router: row.reading for row in old}
        reported: dict[str, IndexRow] = {}
        for router, make in reports.items():
            try:
                stem = stems[router]
                if isinstance(stem, TrafficError):
                    raise stem
                report = make(before.get(router))
                texts = {f"{stem}.{form}": RENDERERS[form](report) for form in self.formats}
                for name, text in texts.items():
                    self._put(name, text, written)
            except TrafficError as error:
                written.failures[router] = Failure(router, str(error), now)
                written.refused.append(router)
            else:
                written.reports.append(report)
                reported[router] = row_of(report, self.formats)
        if not self.formats:
            return
        wanted = {*tried, *kept}
        rows = merge_index(old, reported, written.failures, lambda router: router in wanted)
        self._put(f"{INDEX}.json", index_json(rows, now), written)
        if "html" in self.formats:
            self._put(f"{INDEX}.html", index_html(rows, now, self._link), written)

    def _put(self, name: str, text: str, written: Written) -> None:
        path = self.path / name
        if not self.dry:
            write_whole(path, text)
        written.files.append(path)

    def _old_rows(self, written: Written) -> list[IndexRow]:
        """The rows of the last index. One that cannot be read is begun anew, and the user is told."""
        path = self.path / f"{INDEX}.json"
        try:
            return index_rows(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError, TrafficError) as error:
            written.warnings.append(f"{path} could not be read and is begun anew with this run's routers: {error}")
            return []

    def _keeps(self, row: IndexRow, in_inventory: Callable[[str], bool]) -> bool:
        """Whether another router's row stays: while it is in the inventory, or its files are there."""
        return in_inventory(row.router) or self._link(row) is not None

    def _link(self, row: IndexRow) -> str | None:
        """The file that a router's row points to."""
        if row.summary is None:
            return None
        try:
            stem = file_stem(row.router)
        except TrafficError:
            return None
        for form in (form for form in RENDERERS if form in row.summary.formats):
            name = f"{stem}.{form}"
            if row.summary.generated_at and (self.path / name).is_file():
                return name
        return None
