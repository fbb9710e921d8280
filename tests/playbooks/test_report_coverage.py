# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report tells which share of the traffic was counted, from one run to the next."""

from __future__ import annotations

import json
import re
from typing import Any

from control import ROOT, Control

from router.serving import serve
from router.spec import RouterSpec, fleet

MB = 1_000_000
UNKNOWN = {"download": None, "upload": None}


def report_of(control: Control, router: str = "home") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((control.folder / f"reports/{router}.json").read_text(encoding="utf-8"))
    return found


def test_from_report_to_report(control: Control) -> None:
    with serve() as routers:
        home = routers[0]
        control.playbook(home, "setup_traffic")
        home.use_link("192.168.1.2", 5 * MB, MB)
        control.playbook(home, "report")
        assert report_of(control)["coverage"] == UNKNOWN

        home.use_link("192.168.1.2", 90 * MB, 8 * MB)
        home.use_link("192.168.1.77", 9 * MB, 0, known_only=False)  # a host without a rule
        home.own_traffic(MB, 0)
        well = control.playbook(home, "report", "-e", json.dumps({"traffic_report_formats": ["md", "json"]}))
        assert report_of(control)["coverage"] == {"download": 99.0, "upload": 100.0}
        assert "99.0 % of the download and 100.0 % of the upload on ppp0 was counted." in well.out.replace("\n  ", " ")
        assert report_of(control)["warnings"] == []

        home.use_link("192.168.1.2", 20 * MB, 2 * MB)
        home.own_traffic(60 * MB, 0)  # as traffic looks that bypasses the counters
        badly = control.playbook(home, "report")
        assert badly.status == 0, "it is a warning"
        found = report_of(control)
        assert found["coverage"] == {"download": 25.0, "upload": 100.0}
        assert [one["code"] for one in found["warnings"]] == ["low_coverage"]
        assert "! Only 25.0 % of the download (20.0 MB of 80.0 MB) on ppp0" in badly.out
        assert 'class="alarm"' in (control.folder / "reports/home.html").read_text(encoding="utf-8")

        control.playbook(home, "report")
        assert report_of(control)["coverage"] == UNKNOWN, "nothing passed since"


def test_red_in_a_terminal_with_colours(control: Control) -> None:
    with serve() as routers:
        home = routers[0]
        control.playbook(home, "setup_traffic")
        control.playbook(home, "report")
        home.own_traffic(60 * MB, 0)
        words = ("ansible-playbook", "-i", str(control.inventory(home, {})), str(ROOT / "playbooks/report.yml"))
        shown = control.run(*words, ANSIBLE_NOCOLOR="0", ANSIBLE_FORCE_COLOR="1")
    red = re.findall(r"^\x1b\[0;31m(.*?)\x1b\[0m$", shown.out, re.MULTILINE)
    assert [line.split()[:2] for line in red if not line.startswith("  ")] == [["Coverage", "since"], ["!", "Only"]]


def test_what_cannot_be_compared_is_not_known(control: Control) -> None:
    with serve() as routers:
        home = routers[0]
        control.playbook(home, "setup_traffic")
        control.playbook(home, "report")
        home.use_link("192.168.1.2", 50 * MB, MB)
        control.playbook(home, "flush_traffic")
        control.playbook(home, "setup_traffic")
        flushed = control.playbook(home, "report")
        assert report_of(control)["coverage"] == UNKNOWN
        assert "is not known: the counters were emptied or made anew." in flushed.out.replace("\n  ", " ")

        home.restart()
        control.playbook(home, "setup_traffic")
        home.use_link("192.168.1.2", 50 * MB, MB)
        control.playbook(home, "report")
        assert report_of(control)["coverage"] == UNKNOWN
        home.use_link("192.168.1.2", 50 * MB, MB)
        control.playbook(home, "report")
        assert report_of(control)["coverage"] == {"download": 100.0, "upload": 100.0}


def test_a_counter_of_32_bits(control: Control) -> None:
    with serve(RouterSpec(counters_32_bit=True)) as routers:
        home = routers[0]
        control.playbook(home, "setup_traffic")
        home.use_link("192.168.1.2", 4_290 * MB, MB)
        control.playbook(home, "report")
        home.use_link("192.168.1.2", 60 * MB, 5 * MB)
        home.own_traffic(20 * MB, 0)
        control.playbook(home, "report")
    assert report_of(control)["coverage"] == {"download": 75.0, "upload": 100.0}


def test_with_a_limit_and_after_a_failure(control: Control) -> None:
    with serve(*fleet(2, hosts=2)) as routers:
        second = routers[1]
        control.playbook(routers, "setup_traffic")
        control.playbook(routers, "report")
        for router in routers:
            router.use_link("192.168.1.2", 10 * MB, MB)
        control.playbook(routers, "report", "--limit", "router0001")
        assert report_of(control, "router0001")["coverage"] == {"download": 100.0, "upload": 100.0}
        second.set_faults(greeting="busy")
        assert control.playbook(routers, "report").status == 2
        second.clear_faults()
        second.own_traffic(30 * MB, 0)
        control.playbook(routers, "report")
        assert report_of(control, "router0002")["coverage"] == {"download": 25.0, "upload": 100.0}, "of all since its last report"
        assert report_of(control, "router0001")["coverage"] == UNKNOWN


def test_a_host_that_came_later_is_named(control: Control) -> None:
    """In the terminal and in every format that people read; the next report still knows it."""
    with serve(RouterSpec(hosts=2)) as routers:
        home = routers[0]
        control.playbook(home, "setup_traffic", traffic_hosts=["192.168.1.2"])
        home.use_link("192.168.1.2", MB, MB)
        assert "First counted" not in control.playbook(home, "report").out
        control.playbook(home, "setup_traffic")
        home.use_link("192.168.1.3", MB, MB)
        shown = [control.playbook(home, "report").out for _time in range(2)]
    for text in (*shown, *((control.folder / f"reports/home.{form}").read_text(encoding="utf-8") for form in ("html", "md"))):
        assert re.search(r"First counted after `?20[0-9-]+`? `?[0-9:]+`? UTC: `?sara-phone`?\.", text), text
