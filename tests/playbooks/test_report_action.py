# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module report in a real ansible-playbook, on readings that are given to it or registered by any task."""

from __future__ import annotations

import json
from typing import Any

import pytest
from control import Control, Run
from readings import HOSTILE_NAMES, named, reading

from ansible_collections.homenet.traffic.plugins.plugin_utils._text import visible


def play(control: Control, tasks: list[dict[str, Any]], routers: list[str], *flags: str, **keywords: Any) -> Run:
    inventory = control.folder / "inventory.json"
    hosts = {"routers": {"hosts": {router: {} for router in routers}, "vars": {"ansible_connection": "local"}}}
    inventory.write_text(json.dumps(hosts), encoding="utf-8")
    path = control.folder / "play.json"
    path.write_text(json.dumps([{"hosts": "routers", "gather_facts": False, "tasks": tasks, **keywords}]), encoding="utf-8")
    return control.run("ansible-playbook", "-i", str(inventory), str(path), *flags)


def report(**options: Any) -> dict[str, Any]:
    return {"homenet.traffic.report": options, "run_once": True, "register": "done"}


SHOW = {"ansible.builtin.debug": {"var": "done"}, "run_once": True}


def shown(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.out.partition("=> ")[2].partition("\n}")[0] + "\n}")["done"]
    return found


def given(control: Control, readings: dict[str, Any], *flags: str, **options: Any) -> Run:
    """Report on these readings, which come from a file, so that nobody takes them for templates."""
    path = control.folder / "readings.json"
    path.write_text(json.dumps(readings), encoding="utf-8")
    source = "{{ lookup('ansible.builtin.file', '" + str(path) + "') | from_json }}"
    return play(control, [report(readings=source, **options), SHOW], ["home"], *flags)


def test_readings_that_are_given(control: Control) -> None:
    run = given(control, {"b-10": named(["tv"]), "b-9": named(["pc"]), "c": {"failed": True, "msg": "no answer", "unreachable": True}})
    assert run.status == 0, run.out
    assert run.out.index("b-9: since counting began") < run.out.index("b-10: since counting began") < run.out.index("! c: no answer")
    reports = control.folder / "reports"
    result = shown(run)
    assert result["changed"] is True
    assert result["routers"] == ["b-9", "b-10"]
    assert result["failed_routers"] == [{"router": "c", "msg": "no answer", "unreachable": True}]
    assert result["msg"] == "2 reports, 1 router without one."
    assert sorted(result["files"]) == sorted(str(path) for path in reports.iterdir())
    assert len(result["files"]) == 10
    assert "c" in json.loads((reports / "index.json").read_text(encoding="utf-8"))["routers"][2]["router"]


def test_check_mode_says_what_it_would_write(control: Control) -> None:
    run = given(control, {"home": named(["tv"])}, "--check", dir="elsewhere", formats=["json"])
    assert run.status == 0, run.out
    assert "Would be written to elsewhere/: home.json" in run.out
    assert shown(run)["files"] == [str(control.folder / "elsewhere/home.json"), str(control.folder / "elsewhere/index.json")]
    assert shown(run)["msg"] == "1 report in check mode, 0 routers without one."
    assert not (control.folder / "elsewhere").exists()


def test_without_files(control: Control) -> None:
    run = given(control, {"home": named(["tv"])}, formats=[])
    assert run.status == 0, run.out
    assert "tv     192.168.1.2  00:11:22:33:44:55  10.0 kB  100.0 %" in run.out
    assert shown(run)["changed"] is False
    assert not (control.folder / "reports").exists()


def test_hostile_names_are_neither_templates_nor_terminal_commands(control: Control) -> None:
    run = given(control, {"home": named(name for name in HOSTILE_NAMES if "\ud800" not in name)})
    assert run.status == 0, run.out
    assert "{{ 7*7 }}" in run.out
    assert visible("evil\u202egnp.exe") in run.out
    assert all(character.isprintable() for character in run.out if character != "\n")
    assert "{{ 7*7 }}" in (control.folder / "reports/home.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("readings", "message"),
    [
        ({"index": named(["tv"])}, "A router cannot be named index: index.html is the page over all routers."),
        ({"home": reading(problems=[("chain_missing", "There is no chain TRAFFIC. Run setup_traffic.")])}, "home: There is no chain"),
        ({"home": {"changed": False}}, "home: the reading is not a result of homenet.traffic.counters_info: 'chain' is not a dictionary"),
        ({"x" * 300: named(["tv"])}, "The router's name is too long"),
    ],
)  # fmt: skip
def test_a_router_that_it_cannot_report_on(control: Control, readings: dict[str, Any], message: str) -> None:
    run = given(control, {**readings, "other": named(["tv"])})
    assert run.status == 2, run.out
    assert run.recap()["failed"] == 1
    assert message in run.out
    assert "Traceback" not in run.out and "exception occurred" not in run.out
    assert (control.folder / "reports/other.json").exists(), "the others have theirs"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ["pdf"]}, "value of formats must be one or more of: html, md, json, csv. Got no match for: pdf"),
        ({"dir": "/proc/nope"}, "The directory /proc/nope cannot be made"),
        ({"colour": True}, "Supported parameters include"),
    ],
)
def test_wrong_options(control: Control, options: dict[str, Any], message: str) -> None:
    run = given(control, {"home": named(["tv"])}, **options)
    assert run.status == 2, run.out
    assert message in run.out
    assert "Traceback" not in run.out and "exception occurred" not in run.out


# What the play registered

def test_what_was_registered(control: Control) -> None:
    for name in ("good", "bad", "good2"):
        (control.folder / f"{name}.reading").write_text(json.dumps(named([f"tv-of-{name}", "{{ 7*7 }}"])), encoding="utf-8")
    read = {
        "ansible.builtin.set_fact": {"traffic_reading": "{{ lookup('ansible.builtin.file', file) | from_json }}"},
        "vars": {"file": "{{ playbook_dir }}/{{ inventory_hostname }}.reading"},
    }
    failing = {"ansible.builtin.fail": {"msg": "no answer"}, "when": "'bad' in inventory_hostname", "register": "failing"}
    tasks = [{"block": [read, failing], "always": [report(result="traffic_reading")]}]
    run = play(control, tasks, ["bad", "good", "good2"])
    assert run.status == 2, run.out
    assert (run.recap("bad")["failed"], run.recap("good")["failed"]) == (1, 0)
    assert "tv-of-good2 " in run.out and "{{ 7*7 }} " in run.out


def test_failed_and_unreachable_routers_are_named(control: Control) -> None:
    """The form of playbooks/report.yml, with the modules of Ansible in place of ours."""
    (control.folder / "reading").write_text(json.dumps(named(["tv"])), encoding="utf-8")
    read = {
        "ansible.builtin.raw": "test {{ inventory_hostname }} != failed",
        "register": "traffic_reading",
        "vars": {"ansible_connection": "{{ 'ssh' if inventory_hostname == 'off' else 'local' }}", "ansible_host": "127.0.0.1",
                 "ansible_port": 1, "ansible_ssh_retries": 0},
    }  # fmt: skip
    run = play(control, [{"block": [read], "always": [report()]}], ["off", "failed", "odd"])
    assert run.status in (2, 4), run.out
    assert "! failed: non-zero return code" in run.out
    assert "! off: " in run.out
    assert "! odd: odd: the reading is not a result" in run.out
    assert run.recap("off")["unreachable"] == 1
    index = json.loads((control.folder / "reports/index.json").read_text(encoding="utf-8"))["routers"]
    assert {row["router"]: row["error"]["unreachable"] for row in index} == {"failed": False, "odd": False, "off": True}


def test_no_router_registered_anything(control: Control) -> None:
    run = play(control, [report(result="readingg")], ["home"])
    assert run.status == 2
    assert "No router of this play has the variable readingg." in run.out


def test_it_is_for_all_routers_together(control: Control) -> None:
    run = play(control, [{"homenet.traffic.report": {}}], ["a", "b"])
    assert run.status == 2
    assert "add 'run_once: true' to it" in run.out
