# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees in the terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from readings import HOSTILE_NAMES, NOW, counter, host, hour_later, named, reading

from ansible_collections.homenet.traffic.plugins.plugin_utils._index import Failure
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import report_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._terminal import (
    WIDTH,
    files_text,
    hosts_table,
    pieces,
    report_table,
    reports_text,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import width

HOME = reading(
    [host("192.168.1.2", "ali-laptop"), host("192.168.1.10", None), host("192.168.1.4", "tv", None), host("192.168.1.5")],
    [counter("192.168.1.2", 1_094_857_362, 52_117_840), counter("192.168.1.10", 2_000_000_000, 5), counter("192.168.1.4", 0, 0)],
    (61_904, 71_130),
    [
        (
            "jump_not_first",
            "The jump to TRAFFIC is rule 3 of FORWARD: traffic that an earlier rule decides is not counted. Run setup_traffic.",
        )
    ],
)


def test_a_report() -> None:
    assert report_table(report_of("home", HOME, NOW)) == """\
home: since counting began, until 2026-11-22 13:00 UTC
NAME                     IP            MAC                   DOWN    SHARE       UP    SHARE
-                        192.168.1.10  00:11:22:33:44:55  2.00 GB   64.6 %      5 B   <0.1 %
ali-laptop               192.168.1.2   00:11:22:33:44:55  1.09 GB   35.4 %  52.1 MB   99.9 %
hosts without a counter                                   61.9 kB   <0.1 %  71.1 kB    0.1 %
--------------------------------------------------------------------------------------------
total                                                     3.09 GB  100.0 %  52.2 MB  100.0 %
1 host without traffic.
Without a counter: 192.168.1.5. setup_traffic gives it one.
! The jump to TRAFFIC is rule 3 of FORWARD: traffic that an earlier rule decides is not counted. Run
  setup_traffic."""


def test_low_coverage_is_red() -> None:
    later = hour_later(HOME, (30_000_000, 2_000_000), *HOME["counters"])
    report = report_of("home", later, NOW, report_of("home", HOME, NOW).reading)
    pieces = reports_text([report], [Failure("c", "no answer", NOW)], "Written to reports/: home.html")
    assert [red for _text, red in pieces] == [False, True, False]
    assert pieces[1][0] == """\
Coverage since 2026-11-22 13:00 UTC: 0.0 % of the download and 0.0 % of the upload on ppp0 was
  counted.
! Only 0.0 % of the download (0 B of 30.0 MB) on ppp0 since 2026-11-22 13:00 UTC was counted. The
  rest is the router's own traffic, or traffic that bypassed the counters. Mend first what the other
  warnings tell. Acceleration (flow cache, flow offload) does that, whatever its vendor calls it,
  and so does IPv6 on a router that cannot count it: ansible-playbook homenet.traffic.check tells
  what there is, and what to do about it."""
    assert pieces[2][0].startswith("! The jump to TRAFFIC is rule 3")
    assert pieces[2][0].endswith("\n\nNo report of 1 router:\n! c: no answer\n\nWritten to reports/: home.html")
    assert "\n".join(text for text, _red in pieces).startswith(report_table(report) + "\n\n")


def test_good_coverage_is_said_quietly() -> None:
    first = reading([host("192.168.1.2")], [counter("192.168.1.2", 0, 0)])
    later = hour_later(first, (2_000_000, 10), counter("192.168.1.2", 1_990_000, 10))
    text = report_table(report_of("home", later, NOW, report_of("home", first, NOW).reading))
    assert text.endswith("\nCoverage since 2026-11-22 13:00 UTC: 99.5 % of the download on ppp0 was counted.")


def test_nothing_counted() -> None:
    assert report_table(report_of("home", reading([host("192.168.1.2")]), NOW)) == (
        "home: since counting began, until 2026-11-22 13:00 UTC\nNothing has been counted yet.\n1 host without traffic."
    )


def test_several_routers_and_those_that_failed_last() -> None:
    [(text, red)] = reports_text(
        [report_of(router, HOME, NOW) for router in ("a", "b")], [Failure("c", "no answer", NOW), Failure("d", "cut", NOW)]
    )
    assert not red
    blocks = text.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        "a: since counting began, until 2026-11-22 13:00 UTC",
        "b: since counting began, until 2026-11-22 13:00 UTC",
        "No report of 2 routers:",
    ]
    assert blocks[2].splitlines()[1:] == ["! c: no answer", "! d: cut"]


def test_hosts() -> None:
    assert hosts_table("home", HOME["hosts"][:3]) == """\
home: 3 devices on the network now
NAME        IP            MAC
ali-laptop  192.168.1.2   00:11:22:33:44:55
-           192.168.1.10  00:11:22:33:44:55
tv          192.168.1.4"""
    assert hosts_table("home", HOME["hosts"][:1]).startswith("home: 1 device on the network now\n")
    assert hosts_table("home", []) == "home: 0 devices on the network now"


def test_tables_stand_apart_and_single_lines_together() -> None:
    blocks = [[("a: done.", False)], [("b: done.", False)], [("c: gone.\nIt had counted", False)], [("d: done.", False)], [("e: 1", True)]]
    assert pieces(blocks, dense=True) == [("a: done.\nb: done.\n\nc: gone.\nIt had counted\n\nd: done.", False), ("e: 1", True)]
    assert pieces(blocks[:2]) == [("a: done.\n\nb: done.", False)]


def test_where_the_files_are() -> None:
    assert files_text("reports", []) == ""
    assert files_text("reports/", ["home.html", "home.md", "index.json"]) == "Written to reports/: home.html, home.md"
    assert files_text("r", ["a.html"], dry=True) == "Would be written to r/: a.html"
    many = [f"{number}.html" for number in range(20)]
    assert files_text("r", [*many, "index.html"]) == "Written to r/: 21 files, all routers on one page in index.html"


@given(st.lists(st.none() | st.text() | st.sampled_from(HOSTILE_NAMES), min_size=1, max_size=4), st.text(min_size=1))
def test_names_stay_text_of_a_bounded_width(names: list[str | None], said: str) -> None:
    given = named(names) | {"notes": [said]}
    shown = [
        *(text for text, _red in reports_text([report_of("home", given, NOW)], [Failure(said, said, NOW)])),
        hosts_table(said, given["hosts"]),
        files_text(said, [said]),
    ]
    for line in "\n".join(shown).split("\n"):
        assert line.isprintable(), ascii(line)
        assert width(line) <= WIDTH


def test_one_line_a_host_whatever_its_name() -> None:
    lines = report_table(report_of("home", named(HOSTILE_NAMES), NOW)).split("\n")
    assert len(lines) == 2 + len(HOSTILE_NAMES) + 2
