# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as the text of its files. Private to this collection. Reads nothing but its templates.

The templates are rendered with an environment of our own, never with Ansible's: what a host calls itself is a value
here, never a template. Everything is escaped unless a template says otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible_collections.homenet.traffic.plugins.plugin_utils._coverage import coverage_text
from ansible_collections.homenet.traffic.plugins.plugin_utils._index import IndexRow, index_contract
from ansible_collections.homenet.traffic.plugins.plugin_utils._report import LOW_COVERAGE, Report, late_lines, report_contract
from ansible_collections.homenet.traffic.plugins.plugin_utils._text import (
    Markdown,
    csv_line,
    cut,
    grouped,
    human_bytes,
    markdown_code,
    markdown_escape,
    percent,
    visible,
)

try:
    from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
except ImportError:  # Ansible itself needs it; only a sanity test imports without it
    pass

FORMATS = ("html", "md", "json", "csv")
TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "reports"

CSV_HEADER = (
    "router", "kind", "name", "ip", "mac", "person",
    "download_bytes", "upload_bytes", "download_percent", "upload_percent",
)  # fmt: skip


def as_json(document: Mapping[str, Any]) -> str:
    """A document of a contract."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def as_csv(report: Report) -> str:
    """One line a host, and one for what hosts without a counter used: their sum is the total."""
    lines = [csv_line(CSV_HEADER)]
    for host in report.hosts:
        lines.append(
            csv_line([
                report.router, "host", host.name, host.ip, host.mac, host.person,
                host.amount.download_bytes, host.amount.upload_bytes,
                host.share.download_percent, host.share.upload_percent,
            ])
        )  # fmt: skip
    if report.unattributed is not None:
        share = report.unattributed_share
        lines.append(
            csv_line([
                report.router, "unattributed", None, None, None, None,
                report.unattributed.download_bytes, report.unattributed.upload_bytes,
                share.download_percent, share.upload_percent,
            ])
        )  # fmt: skip
    return "".join(lines)


def as_html(report: Report) -> str:
    """A page on its own: no script, nothing loaded from elsewhere."""
    return _html().get_template("report.html.j2").render(report=report)


def as_markdown(report: Report) -> str:
    """Markdown with a table, as GitHub and others render it."""
    return _markdown().get_template("report.md.j2").render(report=report)


RENDERERS: dict[str, Callable[[Report], str]] = {
    "html": as_html,
    "md": as_markdown,
    "json": lambda report: as_json(report_contract(report)),
    "csv": as_csv,
}


def index_json(rows: Sequence[IndexRow], now: datetime) -> str:
    """The index as a document with one router a line, which takes half the time of one with one value a line."""
    document = index_contract(rows, now)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in document.pop("routers"))
    return f'{json.dumps(document)[:-1]}, "routers": [\n{lines}\n]}}\n'


def index_html(rows: Sequence[IndexRow], now: datetime, link: Callable[[IndexRow], str | None]) -> str:
    """The page over all routers. ``link`` names the file of a router's report."""
    return _html().get_template("index.html.j2").render(rows=rows, now=now, link=link)


def age(then: datetime, now: datetime) -> str:
    """How long ago something was, in one unit."""
    passed = max(now - then, timedelta(0))
    for unit, one in (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1))):
        if passed >= one:
            number = passed // one
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "less than a minute"


def _time(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC"


def _name(name: str | None) -> str:
    """A name to show; nothing for one that shows nothing."""
    return visible(name) if name and name.strip() else ""


def _short(name: str | None) -> str:
    """A name that fits into a table. The whole of it stands in the JSON and CSV files."""
    return cut(_name(name), 80)


def _markdown_percent(part: int, whole: int) -> Markdown:
    return Markdown(percent(part, whole).replace("<", "&lt;").replace(">", "&gt;"))


def _url(file: str) -> str:
    return quote(file, safe="")


def _cache() -> FileSystemBytecodeCache | None:
    """Compiled templates from earlier runs, in a folder that is only the user's: compiling takes longer than rendering."""
    try:
        return FileSystemBytecodeCache()
    except (OSError, RuntimeError):
        return None  # no folder for it; it is only slower


@lru_cache(maxsize=1)
def _html() -> Environment:
    environment = Environment(
        autoescape=True,
        auto_reload=False,
        bytecode_cache=_cache(),
        keep_trailing_newline=True,
        loader=FileSystemLoader(TEMPLATES),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment.globals.update(low_coverage=LOW_COVERAGE, style=Markup(style), style_hash=f"sha256-{digest}")
    environment.filters.update(
        age=age, bytes=human_bytes, coverage=coverage_text, grouped=grouped, late=late_lines, name=_name, percent=percent, short=_short,
        time=_time, url=_url, visible=visible,
    )  # fmt: skip
    return environment


@lru_cache(maxsize=1)
def _markdown() -> Environment:
    environment = Environment(
        auto_reload=False,
        bytecode_cache=_cache(),
        finalize=markdown_escape,
        keep_trailing_newline=True,
        loader=FileSystemLoader(TEMPLATES),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        bytes=human_bytes, code=markdown_code, coverage=coverage_text, late=late_lines, percent=_markdown_percent, short=_short, time=_time
    )
    return environment
