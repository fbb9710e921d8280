# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page over all routers, and what is kept from run to run."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from readings import NOW, named

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import kept_of, reading_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._index import (
    Failure,
    IndexRow,
    index_contract,
    index_rows,
    merge_index,
    router_order,
    row_of,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError
from ansible_collections.homenet.traffic.plugins.plugin_utils._render import index_json
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import report_of


def row(router: str, *, failed: bool = False) -> IndexRow:
    report = report_of(router, named(["tv", "pc"]), NOW)
    failure = Failure(router, "no answer", NOW, unreachable=True) if failed else None
    return replace(row_of(report, ["html", "json"]), failure=failure)


def test_the_index_survives_its_file() -> None:
    rows = [row("a"), row("b", failed=True), IndexRow("c", None, Failure("c", "never", NOW))]
    assert index_rows(json.loads(json.dumps(index_contract(rows, NOW)))) == rows


def test_what_the_index_says_of_a_report() -> None:
    found = index_contract([row("home", failed=True)], NOW)["routers"][0]
    assert found == {
        "router": "home",
        "report": {
            "generated_at": "2026-11-22T13:00:05+00:00",
            "to": "2026-11-22T13:00:00+00:00",
            "totals": {"download_bytes": 30_000, "upload_bytes": 2000},
            "hosts": 2,
            "active_hosts": 2,
            "heaviest": "tv",
            "warnings": [],
            "formats": ["html", "json"],
        },
        "error": {"message": "no answer", "at": "2026-11-22T13:00:05+00:00", "unreachable": True},
        "reading": kept_of(reading_of(named(["tv", "pc"]))),  # type: ignore[arg-type]
    }


def test_one_router_a_line() -> None:
    rows = [row("a"), row("b\n\ud800", failed=True)]
    text = index_json([replace(rows[0], router="a\u2028b"), rows[1]], NOW)
    assert len(text.split("\n")) == 5
    assert json.loads(text) == index_contract([replace(rows[0], router="a\u2028b"), rows[1]], NOW)
    assert json.loads(index_json([], NOW))["routers"] == []


@pytest.mark.parametrize(
    "kept",
    [None, 5, [], "x", {}, {"read_at": 5}, {**named(["tv"]), "counters": 5}, {**named(["tv"]), "wan": [{}]},
     {**named(["tv"]), "marker": 5}, {**named(["tv"]), "uptime_seconds": 1e9}, {**named(["tv"]), "uptime_seconds": 10**30},
     {**named(["tv"]), "counters": [{"ip": "1.1.1.1", "download_bytes": -1}]}, {**named(["tv"]), "read_at": "2026-11-22T13:00:00"}],
)  # fmt: skip
def test_the_reading_of_another_version_or_a_broken_one_is_forgotten(kept: object) -> None:
    """The rest of the index is worth as much without it. The version before this one wrote none."""
    document = index_contract([row("a"), row("b")], NOW)
    document["routers"][0]["reading"] = kept
    assert index_rows(document) == [replace(row("a"), reading=None), row("b")]
    del document["routers"][0]["reading"]
    assert index_rows(document) == [replace(row("a"), reading=None), row("b")]


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"schema": "homenet.traffic/index/2", "routers": []}, {"schema": "homenet.traffic/index/1"},
     {"schema": "homenet.traffic/index/1", "routers": [{"router": "a"}]},
     {"schema": "homenet.traffic/index/1", "routers": [{"router": 5, "report": None, "error": None}]},
     {"schema": "homenet.traffic/index/1", "routers": [{"router": "a", "report": 5, "error": None}]},
     {"schema": "homenet.traffic/index/1", "routers": [{"router": "a", "report": {}, "error": None}]}],
)  # fmt: skip
def test_not_an_index(document: object) -> None:
    with pytest.raises(TrafficError):
        index_rows(document)


def test_a_run_renews_its_own_rows_only() -> None:
    later = NOW + timedelta(hours=3)
    old = [row("good"), row("fails-now"), row("was-failing", failed=True), row("not-in-run"), row("gone")]
    new = {name: row_of(report_of(name, named(["x"]), later), ["json"]) for name in ("good", "was-failing")}
    failure = Failure("fails-now", "cut", later)
    rows = merge_index(
        old, new, {"fails-now": failure, "never": Failure("never", "off", later)}, lambda name: name != "gone"
    )
    assert {one.router: one for one in rows} == {
        **new,
        "fails-now": replace(old[1], failure=failure),
        "not-in-run": old[3],
        "never": IndexRow("never", None, Failure("never", "off", later)),
    }


def test_routers_are_in_the_order_of_people() -> None:
    assert sorted(["home-10", "Home-2", "home-1", "a"], key=router_order) == ["a", "home-1", "Home-2", "home-10"]
