# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users run: the playbooks, for one router and for many, and what is left when one of them fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from control import Control, Place

from router.serving import serve
from router.spec import HOSTILE_NAMES, RouterSpec, fleet, hostile_hosts

PLAYBOOKS = ["hosts", "setup_traffic", "report", "flush_traffic", "remove_traffic", "live", "check"]


def report_of(control: Control, router: str = "home") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((control.folder / f"reports/{router}.json").read_text(encoding="utf-8"))
    return found


def test_hosts(control: Control) -> None:
    with serve() as routers:
        run = control.playbook(routers[0], "hosts")
    assert run.status == 0
    assert "home: 15 devices on the network now" in run.out
    assert "ali-laptop      192.168.1.2 " in run.out
    assert run.recap() == {"ok": 2, "changed": 0, "unreachable": 0, "failed": 0, "skipped": 0, "rescued": 0, "ignored": 0}


def test_hosts_in_an_outage(control: Control) -> None:
    """Just then, one asks who is there."""
    with serve() as routers:
        routers[0].set_faults(no_default_route=True)
        run = control.playbook(routers, "hosts")
    assert run.status == 0, run.out
    assert "15 devices on the network now" in run.out
    said = "no default route now, so the way to the Internet is not known: whoever is on that side is among the devices, too."
    assert said in " ".join(run.out.split())


def test_a_removal_that_is_cut_off_shows_what_had_been_counted(control: Control) -> None:
    with serve() as routers:
        router = routers[0]
        control.playbook(router, "setup_traffic")
        router.use_link("192.168.1.4", 5_000_000_000, 70_000_000)
        control.playbook(router, "remove_traffic", "--check")
        looks = len(router.sessions[-1].lines)
        for command, tried in ((4, False), (looks + 5, True)):
            router.set_faults(cut_at_command=command)
            cut = control.playbook(router, "remove_traffic")
            assert cut.status == 2, cut.out
            assert ("home: the counters may be gone, although the run failed; the next one tells." in cut.out) is tried
            lines = [line.split() for line in cut.out.splitlines()]
            assert (["total", "5.00", "GB", "100.0", "%", "70.0", "MB", "100.0", "%"] in lines) is tried
        router.set_faults(cut_at_command=None)
        assert "chain and jump are gone" in control.playbook(router, "remove_traffic").out


def test_from_set_up_to_removal(control: Control) -> None:
    with serve() as routers:
        router = routers[0]
        untouched = router.foreign_firewall()
        preview = control.playbook(router, "setup_traffic", "--check", "--diff")
        assert "home: would run 35 commands; nothing was changed." in preview.out
        assert "+iptables -A TRAFFIC -i ppp0 -d 192.168.1.2 -j RETURN" in preview.out
        assert router.foreign_firewall(chain="") == untouched
        assert "counting 15 hosts on ppp0, after 35 commands." in control.playbook(router, "setup_traffic").out
        again = control.playbook(router, "setup_traffic")
        assert "counting 15 hosts on ppp0, as before" in again.out
        assert again.recap()["changed"] == 0

        router.use_link("192.168.1.4", 5_000_000_000, 70_000_000)
        router.use_link("192.168.1.2", 1_000_000_000, 30_000_000)
        shown = control.playbook(router, "report")
        assert shown.status == 0
        lines = [line.split() for line in shown.out.splitlines()]
        mac = router.hosts["192.168.1.4"].mac
        assert ["living-room-tv", "192.168.1.4", mac, *"5.00 GB 83.3 % 70.0 MB 70.0 %".split()] in lines
        assert "13 hosts without traffic." in shown.out
        found = report_of(control)
        assert [(host["ip"], host["download_bytes"]) for host in found["hosts"][:3]] == [
            ("192.168.1.4", 5_000_000_000),
            ("192.168.1.2", 1_000_000_000),
            ("192.168.1.3", 0),
        ]
        assert found["hosts"][0]["download_percent"] == 83.33
        written = {path.name for path in (control.folder / "reports").iterdir()}
        assert written >= {"home.csv", "home.html", "home.json", "home.md", "index.html"}

        flushed = control.playbook(router, "flush_traffic")
        assert "It had counted until then:" in flushed.out
        assert ["total", "6.00", "GB", "100.0", "%", "100", "MB", "100.0", "%"] in [line.split() for line in flushed.out.splitlines()]
        removed = control.playbook(router, "remove_traffic")
        assert "chain and jump are gone" in removed.out
        assert "there is no chain TRAFFIC in the table filter; nothing to remove" in control.playbook(router, "remove_traffic").out
        assert router.foreign_firewall(chain="") == untouched

        old = report_of(control)
        without = control.playbook(router, "report")
        assert without.status == 2
        assert without.recap()["failed"] == 1
        assert "Run setup_traffic first; reports of earlier days are kept" in " ".join(without.out.split())
        assert report_of(control) == old, "the old files stay"


def test_check(control: Control) -> None:
    spec = RouterSpec(wan_ip="192.168.0.20", files={"/proc/modules": "pktflow 85344 2 bcm_enet, Live 0xc0ca2000 (P)\n"})
    with serve(spec) as routers:
        run = control.playbook(routers[0], "check")
        assert run.status == 0, run.out
        assert run.recap() == {"ok": 2, "changed": 0, "unreachable": 0, "failed": 0, "skipped": 0, "rescued": 0, "ignored": 0}
        assert "System     firmware 3.12L.04.A2pB023k.d20k_rc2" in run.out
        assert "\n! Broadcom's flow cache is loaded" in run.out
        assert "\n! ppp0 has a private address (192.168.0.20): another router stands" in run.out
        assert "\nhome: fit for counting, but not for all traffic (" in run.out
        assert "\nFit for counting, but not for all traffic: see" in run.out
        assert "Whether this router forwards IPv6" not in run.out

        routers[0].set_faults(no_command="cat")
        run = control.playbook(routers[0], "check")
        assert run.status == 0, run.out
        assert "\nWhether this router forwards IPv6 cannot be seen over this command line." in run.out, "no warning"

        routers[0].set_faults(no_iptables=True)
        run = control.playbook(routers[0], "check")
        assert run.status == 2, "nothing can be counted"
        assert run.recap()["failed"] == 1
        assert "\nhome: not fit for counting (" in run.out
        assert "Firewall   no iptables" in run.out
        assert "\nNot fit for counting: 127.0.0.1 port" in run.out
        assert run.out.index("Nothing can be counted on home") > run.out.index("\nNot fit for counting"), "the text comes first"


def test_check_of_several(control: Control) -> None:
    """Each router has its own status in the recap."""
    with serve(*fleet(3, hosts=2)) as routers:
        names = [router.spec.name for router in routers]
        routers[1].set_faults(no_iptables=True)
        run = control.playbook(routers, "check")
    assert run.status == 2, run.out
    assert [run.recap(name)["failed"] for name in names] == [0, 1, 0]
    assert f"\n{names[0]}: fit for counting (" in run.out
    assert f"\n{names[1]}: not fit for counting (" in run.out
    assert "Firewall   no iptables" in run.out
    assert "It failed on" not in run.out, "it is told like the others"


def test_a_failed_router_does_not_spoil_the_others(control: Control) -> None:
    with serve(*fleet(5, hosts=3)) as routers:
        names = [router.spec.name for router in routers]
        run = control.playbook(routers, "setup_traffic")
        assert run.status == 0, run.out
        for router in routers:
            router.use_link("192.168.1.2", 1000, 10)
        assert control.playbook(routers, "report").status == 0
        routers[1].set_faults(no_iptables=True)
        routers[3].set_faults(silent_at="connect")
        routers[2].use_link("192.168.1.3", 77, 7)
        run = control.playbook(routers, "report", ansible_timeout=4)
    assert run.status in (2, 4, 6)
    assert run.recap(names[1])["failed"] == 1
    assert run.recap(names[3])["unreachable"] == 1
    assert [run.recap(names[number])["failed"] for number in (0, 2, 4)] == [0, 0, 0]
    assert "Traceback" not in run.out
    for number in (0, 2, 4):
        assert report_of(control, names[number])["totals"]["download_bytes"] == (1077 if number == 2 else 1000)
    index = (control.folder / "reports/index.html").read_text(encoding="utf-8")
    assert "no command `iptables`" in index.replace("&#39;", "'").replace("&#96;", "`")
    assert "said nothing for 4 s" in index
    assert all(name in index for name in names)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_playbook_names_every_failed_router(control: Control, playbook: str) -> None:
    with serve(*fleet(2, hosts=2)) as routers:
        control.playbook(routers, "setup_traffic")
        routers[0].set_faults(greeting="busy")
        run = control.playbook(routers, playbook)
        assert run.status == 2
        assert "! router0001: " in run.out
        assert "another administrator is logged in" in run.out
        assert (run.recap("router0001")["failed"], run.recap("router0002")["failed"]) == (1, 0)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_the_only_router_is_unreachable(control: Control, playbook: str) -> None:
    run = control.playbook(Place("127.0.0.1", 1), playbook)
    assert run.status == 4, run.out
    assert run.recap()["unreachable"] == 1
    assert "the connection was refused" in run.out
    assert "Traceback" not in run.out


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_all_of_several_routers_are_unreachable(control: Control, playbook: str) -> None:
    """The task that is for all of them must run though none of them is left in the play."""
    run = control.playbook([Place("127.0.0.1", 1, name) for name in ("cabin", "home", "shop")], playbook)
    assert run.status == 4, run.out
    assert [run.recap(name)["unreachable"] for name in ("cabin", "home", "shop")] == [1, 1, 1]
    for name in ("cabin", "home", "shop"):
        assert f"\n! {name}: 127.0.0.1 port 1: the connection was refused" in run.out
    assert "Traceback" not in run.out
    assert run.out.count("cabin: 127.0.0.1 port 1: the connection was refused") == 1, "said once, in the list"
    if playbook == "report":
        rows = json.loads((control.folder / "reports/index.json").read_text(encoding="utf-8"))["routers"]
        assert [(row["router"], row["error"]["unreachable"]) for row in rows] == [("cabin", True), ("home", True), ("shop", True)]


@pytest.mark.parametrize("playbook", ["hosts", "report", "live"])
def test_the_first_router_is_unreachable(control: Control, playbook: str) -> None:
    """It runs the task for all of them; its error is not theirs, and none of them is asked less often for it."""
    with serve(*fleet(2, hosts=2)) as routers:
        control.playbook(routers, "setup_traffic")
        off = Place("127.0.0.1", 1, "attic")
        run = control.playbook([off, *routers], playbook, traffic_repeat=2, traffic_interval=1)
    assert run.status == 4, run.out
    assert "\n! attic: 127.0.0.1 port 1: the connection was refused" in run.out
    assert (run.recap("attic")["unreachable"], run.recap("attic")["failed"]) == (1, 0)
    for router in routers:
        assert run.out.count(f"\n{router.spec.name}: ") == (2 if playbook == "live" else 1), run.out
        assert (run.recap(router.spec.name)["unreachable"], run.recap(router.spec.name)["failed"]) == (0, 0)


def test_an_error_is_not_lost_when_the_first_router_is_unreachable(control: Control) -> None:
    """In a play of a user's own, where router_info does not fail by itself."""
    look = {"homenet.traffic.router_info": {}, "register": "traffic_reading"}
    show = {"homenet.traffic.show": {"what": "check"}, "run_once": True, "ignore_errors": "{{ false }}"}
    play = [{"hosts": "routers", "gather_facts": False, "vars": {"traffic_first_stays": True}, "tasks": [look, show]}]
    (control.folder / "own.yml").write_text(json.dumps(play), encoding="utf-8")
    with serve() as routers:
        routers[0].set_faults(no_iptables=True)
        inventory = control.inventory([Place("127.0.0.1", 1, "attic"), *routers], {})
        run = control.run("ansible-playbook", "-i", str(inventory), "own.yml")
    assert run.status == 4, run.out
    assert "attic is unreachable, as was said above. Nothing can be counted on home" in run.out


def test_the_first_router_is_unreachable_and_nothing_can_be_written(control: Control) -> None:
    (control.folder / "reports").write_text("not a directory")
    with serve() as routers:
        control.playbook(routers, "setup_traffic")
        run = control.playbook([Place("127.0.0.1", 1, "attic"), *routers], "report")
    assert run.status == 4, run.out
    assert "The directory reports cannot be made" in run.out
    assert run.recap("attic")["unreachable"] == 1


@pytest.mark.parametrize("reachable", [True, False])
def test_a_variable_that_cannot_be_used_is_never_ignored(control: Control, reachable: bool) -> None:
    with serve() as routers:
        control.playbook(routers, "setup_traffic")
        router = routers[0] if reachable else Place("127.0.0.1", 1)
        run = control.playbook(router, "report", traffic_report_dir="{{ 1 / 0 }}")
    assert run.status == 2, run.out
    assert run.recap()["failed"] == 1


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_no_group_of_routers(control: Control, playbook: str) -> None:
    path = control.folder / "empty.ini"
    path.write_text("[others]\nlocalhost ansible_connection=local\n", encoding="utf-8")
    root = Path(__file__).resolve().parents[2]
    run = control.run("ansible-playbook", "-i", str(path), str(root / "playbooks" / f"{playbook}.yml"))
    assert run.status != 0
    assert "ansible_connection: homenet.traffic.telnet" in run.out, "an example that can be copied"
    assert "Traceback" not in run.out


def test_by_name_and_with_another_group(control: Control) -> None:
    with serve() as routers:
        inventory = control.inventory(routers[0], {})
        run = control.run("ansible-playbook", "-i", str(inventory), "homenet.traffic.hosts", "-e", "traffic_routers=home")
    assert run.status == 0, run.out
    assert "15 devices" in run.out


def test_nobody_is_there(control: Control) -> None:
    """The set-up fails only where no host has rules either; everything else goes on."""
    with serve(RouterSpec(hosts=2)) as routers:
        routers[0].set_faults(no_arp=True)
        assert "home: 0 devices on the network now" in control.playbook(routers[0], "hosts").out
        nobody = control.playbook(routers[0], "setup_traffic")
        assert nobody.status == 2
        assert "list addresses in traffic_hosts" in " ".join(nobody.out.split())
        routers[0].clear_faults()
        assert control.playbook(routers[0], "setup_traffic").status == 0
        routers[0].use_link("192.168.1.2", 100, 10)
        routers[0].set_faults(no_arp=True)
        assert control.playbook(routers[0], "setup_traffic").recap()["changed"] == 0
        assert control.playbook(routers[0], "report").status == 0
        found = report_of(control)["hosts"]
    assert [(host["ip"], host["name"], host["download_bytes"]) for host in found] == [
        ("192.168.1.2", "ali-laptop", 100),
        ("192.168.1.3", "sara-phone", 0),
    ]


def test_variables_of_the_user(control: Control) -> None:
    with serve() as routers:
        variables: dict[str, Any] = {
            "traffic_chain": "Who", "traffic_table": "mangle", "traffic_hosts": ["192.168.1.3"], "traffic_wan_interfaces": ["ppp0"],
            "traffic_report_dir": "elsewhere", "traffic_report_formats": ["json"], "traffic_profile": "broadcom",
        }  # fmt: skip
        assert control.playbook(routers[0], "setup_traffic", **variables).status == 0
        assert routers[0].listing("Who", "mangle").count("192.168.1.3") == 2
        routers[0].use_link("192.168.1.3", 5, 6)
        assert control.playbook(routers[0], "report", **variables).status == 0
        assert (control.folder / "elsewhere/home.json").exists()
        assert not (control.folder / "elsewhere/home.md").exists()
        assert control.playbook(routers[0], "setup_traffic", **variables, traffic_prune=True).recap()["changed"] == 0


def test_a_misspelt_variable_is_named_once(control: Control) -> None:
    with serve(RouterSpec(name="one"), RouterSpec(name="two")) as routers:
        run = control.playbook(routers, "hosts", traffic_profil="broadcom", traffic_light="red")
    assert run.status == 0, run.out
    said = " ".join(run.out.split())
    assert said.count("traffic_profil is no variable of homenet.traffic, so it changes nothing. Was traffic_profile meant?") == 1
    assert "traffic_light" not in said


def test_a_wrong_value_is_told_by_the_name_of_the_variable(control: Control) -> None:
    with serve() as routers:
        run = control.playbook(routers[0], "setup_traffic", traffic_backend="iptable")
        assert "got: iptable. Check the variable traffic_backend." in " ".join(run.out.split())
        control.playbook(routers[0], "setup_traffic")
        run = control.playbook(routers[0], "report", traffic_report_formats="pdf")
        assert "pdf. Check the variable traffic_report_formats." in " ".join(run.out.split())


def test_hostile_names_in_every_report(control: Control) -> None:
    names = {kind: name for kind, name in HOSTILE_NAMES.items() if kind != "prompt_on_a_line"}
    with serve(RouterSpec(hosts=hostile_hosts(names))) as routers:
        control.playbook(routers[0], "setup_traffic")
        for host in routers[0].hosts:
            routers[0].use_link(host, 1000, 1000)
        run = control.playbook(routers[0], "report")
    assert run.status == 0, run.out
    assert "\x1b" not in run.out
    assert "{{ 7*7 }}" in run.out
    assert max(map(len, run.out.splitlines())) < 130
    files = {path.suffix: path.read_text(encoding="utf-8") for path in (control.folder / "reports").glob("home.*")}
    assert "<script" not in files[".html"]
    assert "&lt;script&gt;" in files[".html"]
    assert "\n=cmd()" not in files[".csv"] and ",=cmd()" not in files[".csv"]
    assert {host["name"] for host in json.loads(files[".json"])["hosts"]} >= {"{{ 7*7 }}", "$(reboot)", "<script>alert(1)</script>"}
    for text in files.values():
        assert not {"\x1b", "\x0b", "\u2028"} & set(text)
        assert "49" not in [cell.strip() for cell in text.replace("|", ",").split(",")], "a template was run"
