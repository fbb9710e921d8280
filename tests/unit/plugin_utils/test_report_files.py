# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where reports are kept: names that stay in their directory, whole files or none, and an index that forgets nobody."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import HOSTILE_NAMES, NOW, counter, hour_later, named, reading

from ansible_collections.homenet.traffic.plugins.plugin_utils import _report_files
from ansible_collections.homenet.traffic.plugins.plugin_utils._index import Failure
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import report_contract, report_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._report_files import (
    ReportDirectory,
    Written,
    file_stem,
    file_stems,
    same_file,
    write_whole,
)

ALL = ("html", "md", "json", "csv")


@pytest.mark.parametrize(
    ("router", "stem"),
    [
        ("home", "home"),
        ("router-1.example_net", "router-1.example_net"),
        ("خانه", "خانه"),
        ("a b", "a%20b"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("..", "%2E."),
        (".", "%2E"),
        (".hidden", "%2Ehidden"),
        ("a/b", "a%2Fb"),
        ("a\\b", "a%5Cb"),
        ("2001:db8::1", "2001%3Adb8%3A%3A1"),
        ("100%", "100%25"),
        ("a\x00b\n", "a%00b%0A"),
        ("\ud800", "%ED%A0%80"),
        ("index.html", "index.html"),
    ],
)
def test_file_stem(router: str, stem: str) -> None:
    assert file_stem(router) == stem


@given(st.text(min_size=1, max_size=40) | st.sampled_from([name for name in HOSTILE_NAMES if name]))
def test_a_file_stays_in_its_directory_and_belongs_to_one_router(router: str) -> None:
    try:
        stem = file_stem(router)
    except TrafficError:
        return
    assert Path("reports", f"{stem}.html").parent == Path("reports")
    assert stem not in ("", ".", "..") and not stem.startswith(".") and len(stem.encode()) <= 180
    assert not set(stem) & set("/\\\0\n :*?\"<>|")
    assert unquote(stem, errors="surrogatepass") == router, "so no other router can have it"


@pytest.mark.parametrize("router", ["", "index", "INDEX", "Index", "x" * 181, "日" * 61])
def test_refused_names(router: str) -> None:
    with pytest.raises(TrafficError):
        file_stem(router)


def test_names_that_differ_in_case_only() -> None:
    found = file_stems(["Home", "home", "cabin"], known=["CABIN"])
    assert found["Home"] == "Home"
    assert "The routers Home and home would share their files" in str(found["home"])
    assert "The routers CABIN and cabin would share their files" in str(found["cabin"])
    assert same_file("e\u0301") == same_file("é")


# One file


def test_a_file_is_whole_and_readable(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_whole(tmp_path / "a.csv", "x\r\né")
    finally:
        os.umask(old)
    assert (tmp_path / "a.csv").read_bytes() == "x\r\né".encode()
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [tmp_path / "a.csv"]


def test_the_umask_counts(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        write_whole(tmp_path / "a", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_links_are_replaced_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    (tmp_path / "a.html").symlink_to(victim)
    write_whole(tmp_path / "a.html", "new")
    assert victim.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "a.html").is_symlink()

    monkeypatch.setattr(_report_files.secrets, "token_hex", lambda size: "guessed")
    planted = tmp_path / ".b.html.guessed.tmp"
    planted.symlink_to(victim)
    with pytest.raises(TrafficError, match=r"b\.html cannot be written: File exists"):
        write_whole(tmp_path / "b.html", "new")
    assert victim.read_text(encoding="utf-8") == "mine"


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    with pytest.raises(TrafficError, match=r"a\.html cannot be written: .* Set traffic_report_dir"):
        write_whole(tmp_path / "a.html", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


# The directory


def write(
    directory: Path,
    routers: Mapping[str, dict[str, object]],
    failures: Mapping[str, str] | None = None,
    now: datetime = NOW,
    inventory: tuple[str, ...] = (),
    formats: tuple[str, ...] = ALL,
    dry: bool = False,
) -> Written:
    reports = {router: partial(report_of, router, given, now) for router, given in routers.items()}
    failed = {router: Failure(router, message, now) for router, message in (failures or {}).items()}
    return ReportDirectory(directory, formats, dry).write(reports, failed, now, inventory.__contains__)


def index(directory: Path) -> dict[str, dict[str, object]]:
    document = json.loads((directory / "index.json").read_text(encoding="utf-8"))
    return {row["router"]: row for row in document["routers"]}


def test_what_is_written(tmp_path: Path) -> None:
    done = write(tmp_path / "new" / "reports", {"home": named(["tv"])})
    assert [path.name for path in done.files] == ["home.html", "home.md", "home.json", "home.csv", "index.json", "index.html"]
    assert sorted(path.name for path in (tmp_path / "new" / "reports").iterdir()) == sorted(path.name for path in done.files)
    assert [report.router for report in done.reports] == ["home"]


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    done = write(tmp_path / "reports", {"home": named(["tv"])}, dry=True)
    assert len(done.files) == 6
    assert not (tmp_path / "reports").exists()


def test_some_formats_and_none(tmp_path: Path) -> None:
    write(tmp_path / "a", {"home": named(["tv"])}, formats=("json",))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["home.json", "index.json"]
    assert write(tmp_path / "b", {"home": named(["tv"])}, formats=()).files == []
    assert not (tmp_path / "b").exists()


def test_a_failed_router_keeps_its_files_and_its_row(tmp_path: Path) -> None:
    write(tmp_path, {"home": named(["tv"]), "cabin": named(["pc"])})
    before = {path.name: path.read_bytes() for path in tmp_path.glob("home.*")}
    later = NOW + timedelta(hours=3)
    done = write(tmp_path, {"cabin": named(["pc"])}, {"home": "no answer"}, later)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("home.*")} == before
    row = index(tmp_path)["home"]
    assert row["error"] == {"message": "no answer", "at": later.isoformat(), "unreachable": False}
    assert row["report"]["generated_at"] == NOW.isoformat()  # type: ignore[index]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "no answer" in page and "3 hours earlier" in page and 'href="home.html"' in page
    assert done.refused == []


def test_a_router_without_a_chain_keeps_its_files(tmp_path: Path) -> None:
    write(tmp_path, {"home": named(["tv"])})
    before = (tmp_path / "home.json").read_bytes()
    done = write(tmp_path, {"home": reading(problems=[("chain_missing", "There is no chain. Run setup_traffic.")])})
    assert (tmp_path / "home.json").read_bytes() == before
    assert done.refused == ["home"]
    assert done.failures["home"].message == "home: There is no chain. Run setup_traffic."


def test_a_router_whose_files_cannot_be_written_does_not_spoil_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    done = write(tmp_path, {"a": named(["tv"]), "b": named(["tv"]), "index": named(["tv"])})
    assert [report.router for report in done.reports] == ["b"]
    assert done.refused == ["a", "index"]
    assert {router for router, row in index(tmp_path).items() if row["error"]} == {"a", "index"}


def test_with_a_limit_the_others_stay(tmp_path: Path) -> None:
    write(tmp_path, {"a": named(["tv"]), "b": named(["tv"])}, {"c": "off", "d": "off"})
    done = write(tmp_path, {"a": named(["tv"])}, now=NOW + timedelta(days=2), inventory=("a", "b", "c"))
    rows = index(tmp_path)
    assert set(rows) == {"a", "b", "c"}, "d is not in the inventory and has no files"
    assert rows["b"]["report"]["generated_at"] == NOW.isoformat()  # type: ignore[index]
    assert "2 days earlier" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert done.warnings == []
    (tmp_path / "b.html").unlink()
    write(tmp_path, {"a": named(["tv"])}, formats=("json",))
    assert set(index(tmp_path)) == {"a", "b"}, "its other files are there"
    for form in ALL[1:]:
        (tmp_path / f"b.{form}").unlink()
    write(tmp_path, {"a": named(["tv"])})
    assert set(index(tmp_path)) == {"a"}


def coverage(directory: Path, router: str = "home") -> object:
    return json.loads((directory / f"{router}.json").read_text(encoding="utf-8"))["coverage"]


FIRST = reading(counters=[counter("10.0.0.1", 0, 0)])
SECOND = hour_later(FIRST, (40_000_000, 5_000_000), counter("10.0.0.1", 10_000_000, 5_000_000))
UNKNOWN = {"download": None, "upload": None}


def test_coverage_is_of_the_time_since_the_last_report(tmp_path: Path) -> None:
    write(tmp_path, {"home": FIRST})
    assert coverage(tmp_path) == UNKNOWN
    write(tmp_path, {"home": SECOND}, now=NOW + timedelta(hours=1))
    assert coverage(tmp_path) == {"download": 25.0, "upload": 100.0}
    assert "much of its traffic was not counted" in (tmp_path / "index.html").read_text(encoding="utf-8")
    write(tmp_path, {"home": SECOND}, now=NOW + timedelta(hours=1))
    assert coverage(tmp_path) == UNKNOWN, "nothing has passed since the last report"
    assert "much of its traffic" not in (tmp_path / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["html", "md", "csv", "json"])
def test_the_last_reading_is_kept_with_any_format(tmp_path: Path, form: str) -> None:
    write(tmp_path, {"home": FIRST}, formats=(form,))
    write(tmp_path, {"home": SECOND})
    assert coverage(tmp_path) == {"download": 25.0, "upload": 100.0}


def test_what_does_not_read_a_router_leaves_its_last_reading(tmp_path: Path) -> None:
    """Another router's turn, a failure, check mode, a report without files."""
    write(tmp_path, {"home": FIRST, "cabin": FIRST})
    write(tmp_path, {"cabin": SECOND}, inventory=("home",))
    write(tmp_path, {}, {"home": "no answer"})
    write(tmp_path, {"home": {**SECOND, "chain": None}})
    write(tmp_path, {"home": SECOND}, dry=True)
    done = write(tmp_path, {"home": SECOND}, formats=())
    assert report_contract(done.reports[0])["coverage"] == {"download": 25.0, "upload": 100.0}
    write(tmp_path, {"home": SECOND})
    assert coverage(tmp_path) == {"download": 25.0, "upload": 100.0}


def test_an_index_of_the_version_before_and_one_that_this_version_wrote(tmp_path: Path) -> None:
    write(tmp_path, {"home": FIRST, "cabin": FIRST})
    document = json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))
    assert document["schema"] == "homenet.traffic/index/1"
    for row in document["routers"]:
        assert set(row) - {"reading"} == {"router", "report", "error"}, "what the version before takes; it reads no more"
        del row["reading"]
    (tmp_path / "index.json").write_text(json.dumps(document), encoding="utf-8")
    done = write(tmp_path, {"home": SECOND}, inventory=("cabin",))
    assert (done.warnings, coverage(tmp_path)) == ([], UNKNOWN)
    assert set(index(tmp_path)) == {"home", "cabin"}


def test_two_inventories_that_differ_in_case(tmp_path: Path) -> None:
    write(tmp_path, {"Home": named(["tv"])})
    done = write(tmp_path, {"home": named(["tv"])})
    assert done.refused == ["home"]
    assert not (tmp_path / "home.html").exists() or (tmp_path / "Home.html").samefile(tmp_path / "home.html")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', "[" * 100_000, '"\\ud800"', "\x00"])
def test_an_index_that_cannot_be_read_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text, encoding="utf-8")
    done = write(tmp_path, {"home": named(["tv"])})
    assert set(index(tmp_path)) == {"home"}
    assert len(done.warnings) == 1 and "index.json could not be read and is begun anew" in done.warnings[0]


def test_the_directory_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(TrafficError, match=r"The directory .*/file/reports cannot be made: .* Set traffic_report_dir"):
        write(tmp_path / "file" / "reports", {"home": named(["tv"])})


def test_two_runs_at_once_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_report_files, "LOCK_PATIENCE", 0.2)
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TrafficError, match="Another run has been writing reports"):
            write(tmp_path, {"home": named(["tv"])})
    finally:
        os.close(other)
    assert write(tmp_path, {"home": named(["tv"])}).files
