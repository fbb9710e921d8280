# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a report, read back with real parsers: what a host calls itself is text in each of them."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from readings import HOSTILE_NAMES, NOW, counter, host, hour_later, named, reading

from ansible_collections.homenet.traffic.plugins.plugin_utils._index import Failure, IndexRow, row_of
from ansible_collections.homenet.traffic.plugins.plugin_utils._render import (
    CSV_HEADER,
    RENDERERS,
    age,
    as_csv,
    as_html,
    as_markdown,
    index_html,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import (
    Report,
    report_contract,
    report_of,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import csv_text, cut, plain_text, visible

name_lists = st.lists(st.none() | st.text() | st.sampled_from(HOSTILE_NAMES), min_size=1, max_size=5)
HOSTILE = report_of("home", named(HOSTILE_NAMES), NOW)
HOME = report_of(
    "home",
    reading(
        [host("192.168.1.2", "ali-laptop"), host("192.168.1.10"), host("192.168.1.4", "tv", None), host("192.168.1.5", "new")],
        [counter("192.168.1.2", 1_094_857_362, 52_117_840), counter("192.168.1.10", 2_000_000_000, 5), counter("192.168.1.4", 0, 0)],
        (61_904, 71_130),
        [("jump_not_first", "The jump is rule 3 of FORWARD. Run setup_traffic.")],
    ),
    NOW,
)


def covered(download: int, interface: str = "ppp0") -> Report:
    """The report after another 50 MB had passed in both directions, all of the upload counted."""
    first = reading([host("192.168.1.2", "tv")], [counter("192.168.1.2", 0, 0)], (0, 0), [("jump_duplicate", "Two jumps.")])
    first["wan"][0]["interface"] = interface
    later = hour_later(first, (50_000_000, 50_000_000), counter("192.168.1.2", download, 50_000_000))
    return report_of("home", later, NOW, report_of("home", first, NOW).reading)


def shown_name(name: str | None) -> str:
    return visible(name) if name and name.strip() else ""


# HTML

TAGS = set(
    "html head meta title style body header p a h1 bdi time main section h2 ul li dl div dt dd span table caption thead tr th "
    "tbody td tfoot svg rect details summary footer".split()
)
VOID = {"meta", "rect"}


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.text[tag][-1] += data

    def of(self, tag: str, name: str) -> list[str]:
        return [attributes[name] or "" for found, attributes in self.tags if found == tag and name in attributes]


def check_page(html: str, links: list[str]) -> Page:
    """A page that is whole, that runs nothing, and that loads nothing."""
    page = Page(html)
    assert {tag for tag, attributes in page.tags} <= TAGS
    for tag, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on")} | ({"src", "srcdoc", "action", "style"} & set(attributes))
        assert "href" not in attributes or tag == "a"
    assert page.of("a", "href") == links
    digest = base64.b64encode(hashlib.sha256(page.text["style"][0].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert policy in page.of("meta", "content")
    assert "url(" not in page.text["style"][0] and "@import" not in page.text["style"][0]
    assert "width=device-width, initial-scale=1" in page.of("meta", "content")
    assert all(scope in ("col", "row") for scope in page.of("th", "scope"))
    assert len(page.of("th", "scope")) == len([tag for tag, attributes in page.tags if tag == "th"])
    return page


def test_html() -> None:
    page = check_page(as_html(HOME), ["index.html"])
    assert page.text["h1"] == ["home"]
    text = " ".join(page.text["body"][0].split())
    for part in (
        "since counting began, until 2026-11-22 13:00 UTC",
        "The jump is rule 3 of FORWARD. Run setup_traffic.",
        "3.09 GB3,094,919,266 bytes",
        "ali-laptop192.168.1.200:11:22:33:44:55 1.09 GB 35.4 % 1,094,857,362 B 52.1 MB 99.9 % 52,117,840 B",
        "1 host without traffic",
        "Without a counter: new. setup_traffic gives it one.",
        "Hosts without a counter",
    ):
        assert part in text
    assert page.of("rect", "width") == ["64.62%", "0.0%", "35.38%", "99.86%", "0.0%", "0.14%"]
    assert page.of("time", "datetime") == ["2026-11-22T13:00:00+00:00", "2026-11-22T13:00:05+00:00"]


@pytest.mark.parametrize("low", [False, True])
def test_coverage_in_html(low: bool) -> None:
    page = check_page(as_html(covered(20_000_000 if low else 50_000_000)), ["index.html"])
    share = "40.0 %" if low else "100.0 %"
    assert f"Coverage since 2026-11-22 13:00 UTC: {share} of the download and 100.0 % of the upload on ppp0" in page.text["body"][0]
    assert page.of("li", "class") == (["alarm"] if low else [])
    assert page.of("section", "class") == (["note bad"] if low else ["note"])
    assert page.of("p", "class").count("alarm") == low
    assert page.text["li"][-1] == "Two jumps."
    assert page.text["li"][0].startswith("Only 40.0 % of the download (20.0 MB of 50.0 MB) on ppp0") is low


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_interface(name: str) -> None:
    """Readings can come from a file, whatever that says."""
    report = covered(20_000_000, name)
    page = check_page(as_html(report), ["index.html"])
    assert f"of the upload on {visible(plain_text(name))} was counted." in page.text["body"][0]
    check_markdown(report)
    json.loads(RENDERERS["json"](report))


def check_html_names(report: Report) -> None:
    page = check_page(as_html(report), ["index.html"])
    labels = [text for text, (tag, attributes) in zip(page.text["span"], [one for one in page.tags if one[0] == "span"], strict=True)
              if attributes.get("class") == "label"]  # fmt: skip
    assert labels == [shown_name(one.name) or one.ip for one in report.active]


def test_hostile_names_in_html() -> None:
    check_html_names(HOSTILE)


@settings(max_examples=40)
@given(name_lists, st.text(min_size=1))
def test_any_name_in_html(names: list[str | None], said: str) -> None:
    check_html_names(report_of("home", named(names) | {"notes": [said]}, NOW))


@pytest.mark.parametrize("size", [0, 1, 400])
def test_html_of_any_size_is_whole(size: int) -> None:
    check_page(as_html(report_of("home", named(["x"] * size), NOW)), ["index.html"])


# The page over all routers

FILES = {"a b": "a%20b.html", "old": "old.html", "failing": "failing.html"}


def index_rows_of(names: list[str | None], message: str) -> list[IndexRow]:
    now, before = NOW, NOW - timedelta(days=3, hours=5)
    return [
        row_of(report_of("a b", named(names), now), ["html"]),
        row_of(report_of("old", named(names) | {"read_at": before.isoformat()}, before), ["html"]),
        replace(row_of(report_of("failing", named(names), before), ["html"]), failure=Failure("failing", message, now, True)),
        IndexRow("never", None, Failure("never", message, before)),
    ]


def test_index() -> None:
    page = check_page(
        index_html(index_rows_of(["tv"], "no answer"), NOW, lambda row: FILES.get(row.router)),
        ["failing.html", "a%2520b.html", "old.html"],
    )
    assert [unquote(link) for link in page.of("a", "href")] == [FILES["failing"], FILES["a b"], FILES["old"]]
    text = " ".join(page.text["body"][0].split())
    for part in (
        "2 of 4 routers could not be read",
        "Unreachable: no answer",
        "Failed 3 days earlier: no answer",
        "no report yet",
        "last read 2026-11-19 08:00 UTC, 3 days earlier",
        "1 of 1 hosts with traffic, most: tv read 2026-11-22 13:00 UTC",
    ):
        assert part in text


@settings(max_examples=40)
@given(name_lists, st.text(min_size=1) | st.sampled_from(HOSTILE_NAMES), st.text(min_size=1))
def test_any_text_in_the_index(names: list[str | None], message: str, router: str) -> None:
    rows = [*index_rows_of(names, message), IndexRow(router, None, Failure(router, message, NOW))]
    page = check_page(
        index_html(rows, NOW, lambda row: FILES.get(row.router)), ["failing.html", "a%2520b.html", "old.html"]
    )
    assert page.text["td"].count(f"Failed: {visible(message)}") == 1


def test_an_index_of_nothing() -> None:
    assert "No router has been read yet." in check_page(index_html([], NOW, lambda row: None), []).text["body"][0]


@pytest.mark.parametrize(
    ("passed", "shown"),
    [
        (timedelta(seconds=-5), "less than a minute"), (timedelta(seconds=59), "less than a minute"),
        (timedelta(seconds=60), "1 minute"), (timedelta(minutes=59, seconds=59), "59 minutes"), (timedelta(hours=1), "1 hour"),
        (timedelta(hours=47), "1 day"), (timedelta(days=400), "400 days"),
    ],
)  # fmt: skip
def test_age(passed: timedelta, shown: str) -> None:
    assert age(NOW - passed, NOW) == shown


# Markdown

GITHUB = MarkdownIt("gfm-like", {"linkify": True, "html": True}).enable(["linkify", "table"])
PLAIN = MarkdownIt("commonmark")
HARMLESS = {"text", "code_inline", "softbreak", "strong_open", "strong_close"}


def inline_tokens(tokens: list[Token]) -> list[list[Token]]:
    return [token.children or [] for token in tokens if token.type == "inline"]


def check_markdown(report: Report) -> None:
    text = as_markdown(report)
    assert text.endswith(".\n")
    for renderer in (GITHUB, PLAIN):
        tokens = renderer.parse(text)
        assert not {token.type for token in tokens} & {"html_block", "fence", "code_block", "hr", "blockquote_open"}
        assert {token.type for line in inline_tokens(tokens) for token in line} <= HARMLESS
        assert not [token for token in tokens if token.type == "heading_open"][1:]
    rows: list[list[list[Token]]] = []
    for token in GITHUB.parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows and token.level > 3:
            rows[-1].append(token.children or [])
    assert all(len(row) == 7 for row in rows)
    found = ["".join(token.content for token in row[0]) for row in rows[1 : 1 + len(report.active)]]
    assert found == [cut(shown_name(one.name), 80) for one in report.active]


def test_coverage_in_markdown() -> None:
    text = as_markdown(covered(20_000_000))
    assert (
        "14:00 UTC.\n\nCoverage since 2026-11-22 13:00 UTC: 40.0 % of the download and 100.0 % of the upload on ppp0 was counted.\n\n"
        in text
    )
    assert "- **Warning:** Only 40.0 % of the download (20.0 MB of 50.0 MB) on ppp0" in text
    assert "Coverage" not in as_markdown(HOME)


def test_markdown() -> None:
    assert as_markdown(HOME) == """\
# Traffic of `home`

Who used the link since counting began, until 2026-11-22 13:00 UTC.

Read these numbers with care:

- **Warning:** The jump is rule 3 of FORWARD. Run `setup_traffic.`

| Host | IP | MAC | Download | Share | Upload | Share |
|:--|:--|:--|--:|--:|--:|--:|
|  | `192.168.1.10` | `00:11:22:33:44:55` | 2.00 GB | 64.6 % | 5 B | &lt;0.1 % |
| `ali-laptop` | `192.168.1.2` | `00:11:22:33:44:55` | 1.09 GB | 35.4 % | 52.1 MB | 99.9 % |
| Hosts without a counter | | | 61.9 kB | &lt;0.1 % | 71.1 kB | 0.1 % |
| **Total** | | | **3.09 GB** | | **52.2 MB** | |

1 host without traffic.

Without a counter: new. `setup_traffic` gives it one.

1 kB is 1,000 bytes. Percentages are of all that was counted in that direction.
Generated on 2026-11-22 13:00 UTC by homenet.traffic.
"""


def test_hostile_names_in_markdown() -> None:
    check_markdown(HOSTILE)


@given(name_lists, st.text(min_size=1) | st.sampled_from(HOSTILE_NAMES))
def test_any_name_in_markdown(names: list[str | None], said: str) -> None:
    check_markdown(report_of("home", named(names) | {"notes": [said]}, NOW))


def test_markdown_of_a_router_with_nothing_counted() -> None:
    text = as_markdown(report_of("<b>home</b>", reading([host("192.168.1.2")]), NOW))
    assert text.startswith("# Traffic of `<b>home</b>`\n")
    assert "Nothing has been counted yet.\n\n1 host without traffic.\n" in text


# CSV and JSON


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_csv() -> None:
    assert as_csv(HOME) == (
        '"router","kind","name","ip","mac","person","download_bytes","upload_bytes","download_percent","upload_percent"\r\n'
        '"home","host",,"192.168.1.10","00:11:22:33:44:55",,2000000000,5,64.62,0.0\r\n'
        '"home","host","ali-laptop","192.168.1.2","00:11:22:33:44:55",,1094857362,52117840,35.38,99.86\r\n'
        '"home","host","tv","192.168.1.4",,,0,0,0.0,0.0\r\n'
        '"home","host","new","192.168.1.5","00:11:22:33:44:55",,0,0,0.0,0.0\r\n'
        '"home","unattributed",,,,,61904,71130,0.0,0.14\r\n'
    )


@given(name_lists)
def test_the_lines_of_a_csv_file_sum_up_to_the_totals(names: list[str | None]) -> None:
    report = report_of("home", named(names) | {"unattributed": {"download_bytes": 7, "upload_bytes": 8}}, NOW)
    rows = rows_of(as_csv(report))
    assert all(set(row) == set(CSV_HEADER) for row in rows)
    assert sum(int(row["download_bytes"]) for row in rows) == report.totals.download_bytes
    assert sum(int(row["upload_bytes"]) for row in rows) == report.totals.upload_bytes
    assert [row["name"] for row in rows] == [*(csv_text(one.name or "") for one in report.hosts), ""]


def test_hostile_names_in_csv() -> None:
    text = as_csv(HOSTILE)
    assert [row["name"] for row in rows_of(text)] == [*(csv_text(one.name or "") for one in HOSTILE.hosts), ""]
    assert not re.search(r"[^\r\n\x20-\U0010ffff]|\u2028|\u202e", text)


@given(name_lists, st.text(min_size=1))
def test_json(names: list[str | None], router: str) -> None:
    report = report_of(router, named(names), NOW)
    text = RENDERERS["json"](report)
    assert json.loads(text.encode()) == report_contract(report)
    assert [one["name"] for one in json.loads(text)["hosts"]] == [
        None if name is None else re.sub("[\ud800-\udfff]", "\ufffd", name) for name in names
    ]


@pytest.mark.parametrize("form", list(RENDERERS))
def test_no_name_is_a_template(form: str) -> None:
    report = report_of("{{ 7*7 }}", named(["{{ 7*7 }}", "{% raw %}"]) | {"notes": ["{{ 8*8 }}"]}, NOW)
    text = RENDERERS[form](report)
    assert "{{ 7*7 }}" in text and "{% raw %}" in text
    assert "49" not in re.sub(r"[0-9:,.-]{4,}", "", text)
