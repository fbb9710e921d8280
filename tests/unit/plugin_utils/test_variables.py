# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A misspelt variable would silently do something else than its user wants."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._variables import misspelt, told_by_option

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("traffic_bakend", "traffic_backend"),
        ("traffic_host", "traffic_hosts"),
        ("traffic_wan_interface", "traffic_wan_interfaces"),
        ("traffic_report_directory", "traffic_report_dir"),
        ("traffic_selftest_urls", "traffic_selftest_url"),
    ],
)
def test_a_misspelt_variable_is_named(written: str, meant: str) -> None:
    assert list(misspelt(["ansible_host", written])) == [
        f"{written} is no variable of homenet.traffic, so it changes nothing. Was {meant} meant?"
    ]


@pytest.mark.parametrize("name", ["traffic_", "traffic_light", "traffic_vault_home_password", "traffic", "bakend"])
def test_variables_of_the_users_own_are_his_affair(name: str) -> None:
    assert list(misspelt([name])) == []


def test_all_variables_of_this_collection_are_known() -> None:
    """Those that its playbooks, plugins and documentation speak of."""
    files = [ROOT / "README.md", *(file for folder in ("playbooks", "plugins", "docs") for file in (ROOT / folder).rglob("*.*"))]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files if file.suffix in {".md", ".py", ".yml"})
    names = set(re.findall(r"\btraffic_[a-z_]+[a-z]\b", text))
    assert {"traffic_backend", "traffic_selftest_fetched", "traffic_report_dir"} <= names
    assert list(misspelt(sorted(names))) == []


@pytest.mark.parametrize(
    ("complaint", "prefix", "told"),
    [
        ("value of backend must be one of: auto, got: x", "traffic_", " Check the variable traffic_backend."),
        ("argument 'interval' is of type str and cannot be converted", "traffic_", " Check the variable traffic_interval."),
        ("value of formats must be one or more of: md. Got: pdf", "traffic_report_", " Check the variable traffic_report_formats."),
        ("value of what must be one of: chain", "traffic_", ""),
        ("the value of backend is odd", "traffic_", ""),
    ],
)
def test_a_wrong_value_is_told_by_the_name_of_the_variable(complaint: str, prefix: str, told: str) -> None:
    assert told_by_option(complaint, prefix) == (f"{complaint}.{told}" if told else complaint)
