# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversations without a network: what is typed, and what comes back."""

from __future__ import annotations

import pytest

from router import GREETINGS, HOSTILE_NAMES, Faults, Host, Session, hostile_hosts
from router.commands import HELP
from router.typist import LOGIN, Clock, ask, log_in, make

BANNER = b"BCM96338 ADSL Router\r\n"
PROMPT = b"\r\n > "


# --- login


def test_login_to_the_byte() -> None:
    session = Session(make())
    assert session.start() == BANNER + b"Login: "
    assert session.receive(b"admin") == b"admin"
    assert session.receive(b"\r\n") == b"\r\nPassword: "
    assert session.receive(b"admin") == b""
    assert session.receive(b"\r\n") == PROMPT
    assert session.receive(b"\r\n") == PROMPT
    assert session.receive(b"exit\r\n").startswith(b"exit\r\n")
    assert session.closed
    assert session.record
    assert session.record.ended == "exit"


@pytest.mark.parametrize("enter", [b"\r\n", b"\r\0", b"\r", b"\n"])
def test_every_kind_of_enter(enter: bytes) -> None:
    session = Session(make())
    session.start()
    assert session.receive(enter.join([b"admin", b"admin", b"echo a", b""])).endswith(b"echo a\r\na" + PROMPT)


def test_the_answers_do_not_depend_on_how_the_bytes_arrive() -> None:
    typed = LOGIN + b"arp show\r\niptables -nvxL FORWARD\r\nfoo\r\nexit\r\n"
    whole, split = Session(make()), Session(make())
    whole.start()
    split.start()
    assert whole.receive(typed) == b"".join(split.receive(bytes([byte])) for byte in typed)


def test_wrong_passwords_and_the_lock_out() -> None:
    clock = Clock()
    router = make(clock)
    session = Session(router)
    session.start()
    wrong = b"admin\r\nnope\r\n"
    refused = b"admin\r\nPassword: \r\nLogin incorrect. Try again.\r\nLogin: "
    assert session.receive(wrong) == refused
    assert session.receive(wrong) == refused
    assert session.receive(wrong).endswith(b"Maximum number of incorrect account entries exceeded.\r\n")
    assert session.closed
    assert session.record
    assert session.record.logins == ["refused"] * 3
    again = Session(router)
    assert again.start() == BANNER + b"Maximum number of incorrect account entries exceeded.\r\n"
    assert again.closed
    clock.now += 301
    assert Session(router).start() == BANNER + b"Login: "


def test_a_password_only_and_no_login_at_all() -> None:
    session = Session(make(login="password"))
    assert session.start() == BANNER + b"Password: "
    assert session.receive(b"admin\r\n") == PROMPT
    assert Session(make(login="none")).start() == BANNER + b" > "


def test_more_sessions_than_the_router_allows() -> None:
    router = make(max_sessions=1)
    first = log_in(router)
    second = Session(router)
    assert b"System administrator is connecting" in second.start()
    assert second.closed
    first.hang_up()
    assert Session(router).start() == BANNER + b"Login: "


@pytest.mark.parametrize("greeting", GREETINGS)
def test_greetings_that_are_no_login(greeting: str) -> None:
    session = Session(make(faults=Faults(greeting=greeting)))
    said = session.start().decode()
    assert said.endswith(GREETINGS[greeting].replace("\n", "\r\n"))
    assert "Login" not in said
    assert session.closed == (greeting != "captcha")


# --- commands


def test_arp_show() -> None:
    rows = ask(make(hosts=3, incomplete_hosts=1), "arp show").split("\n")
    assert rows[:2] == ["", "IP address       HW type     Flags       HW address            Mask     Device"]
    by_ip = {row.split()[0]: row.split() for row in rows[2:] if row}
    assert set(by_ip) == {"192.168.1.2", "192.168.1.3", "192.168.1.4", "192.168.1.5", "100.64.7.1"}
    assert all(len(row) == 6 for row in by_ip.values())
    assert by_ip["100.64.7.1"][5] == "nas_0_0_35"
    assert by_ip["192.168.1.5"][2:4] == ["0x0", "00:00:00:00:00:00"]
    assert ask(make(arp_blank_line=False), "arp show").startswith("IP address ")


@pytest.mark.parametrize(
    ("layout", "lines"),
    [
        ("words", ["Bridge br0", "   MAC Addr          IP Addr     Lease Time Remaining    Hostname",
                   "02:00:00:00:00:02  192.168.1.2     23 hours, 12 minutes, 5 seconds    ali-laptop",
                   "02:00:00:00:00:03  192.168.1.3     1 hours, 4 minutes, 9 seconds "]),
        ("seconds", ["Bridge br0", "   MAC Addr          IP Addr     Lease Time Remaining    Hostname",
                     "02:00:00:00:00:02  192.168.1.2        83525                   ali-laptop",
                     "02:00:00:00:00:03  192.168.1.3        3849"]),
        ("bare", ["02:00:00:00:00:02 192.168.1.2     83525      ali-laptop", "02:00:00:00:00:03 192.168.1.3     3849"]),
    ],
)  # fmt: skip
def test_lanhosts_in_every_layout(layout: str, lines: list[str]) -> None:
    assert ask(make(lanhosts_layout=layout), "lanhosts show all").splitlines() == lines


def test_route_show_is_the_sample_with_our_addresses() -> None:
    assert ask(make(), "route show") == (
        "\nKernel IP routing table\n"
        "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface\n"
        "100.64.7.1      *               255.255.255.255 UH    0      0        0 ppp0\n"
        "192.168.1.0     *               255.255.255.0   U     0      0        0 br0\n"
        "default         100.64.7.1      0.0.0.0         UG    0      0        0 ppp0\n\n"
    )


def test_ifconfig_counts_what_was_forwarded() -> None:
    router = make()
    router.use_link("192.168.1.2", 5000, 70)
    ppp0, br0 = ask(router, "ifconfig ppp0"), ask(router, "ifconfig br0")
    assert "RX bytes:5000 (4.8 KiB)  TX bytes:70 (70.0 B)\n" in ppp0
    assert "RX bytes:70 (70.0 B)  TX bytes:5000 (4.8 KiB)\n" in br0
    assert "RX packets:5 " in ppp0
    assert ask(router, "ifconfig nope").startswith("ifconfig: nope: error")
    assert ask(router, "ifconfig").count("Link encap") == 5


def test_interface_counters_of_32_bits_wrap() -> None:
    router = make(counters_32_bit=True)
    router.use_link("192.168.1.2", 2**32 + 5, 0)
    assert "RX bytes:5 " in ask(router, "ifconfig ppp0")


def test_clocks() -> None:
    clock = Clock()
    router = make(clock, uptime=3120.0)
    assert "  up 52 min,\n" in ask(router, "sysinfo")
    clock.now += 90000
    assert " up 1 day,  1:52, load" in ask(router, "uptime")
    assert ask(router, "cat /proc/uptime").startswith("93120.00 ")
    router.restart()
    assert ask(router, "cat /proc/uptime").startswith("0.00 ")


def test_the_rest() -> None:
    router = make()
    assert ask(router, "help").split() == list(HELP)
    assert ask(router, "echo  a  b") == "a  b\n"
    assert ask(router, "cat /etc/passwd") == "cat: /etc/passwd: No such file or directory\n"
    assert ask(router, "df -h") == "telnetd:error:3120.000:processInput:388:unrecognized command df -h\n"
    assert ask(router, "iptables -L 'NOPE") == "sh: syntax error: unterminated quoted string\n"
    assert ask(router, "defaultgateway show") == "Default Gateway: ppp0\n"
    assert "\nUsage: arp add" in ask(router, "arp")
    assert "eth0:" in ask(router, "cat /proc/net/dev")


def test_a_line_longer_than_the_buffer_is_cut_and_run() -> None:
    router = make(line_limit=20)
    session = log_in(router)
    session.receive(b"iptables -N TRAFFIC-AND-MORE\r\n")
    assert router.transcript == ["iptables -N TRAFFIC-"]


def test_rubbing_out() -> None:
    session = log_in(make())
    assert session.receive(b"echo ax\x7fb\r\n").endswith(b"\b \bb\r\nab" + PROMPT)


def test_hostile_names_come_out_as_they_are() -> None:
    router = make(hosts=hostile_hosts(), lanhosts_layout="bare", line_end="\r\n")
    session = log_in(router)
    text = session.receive(b"lanhosts show all\r\n")
    for name in HOSTILE_NAMES.values():
        # The terminal turns every LF into CR LF.
        assert name.replace(b"\n", b"\r\n") + b"\r\n" in text


# --- the shared state


def test_sessions_share_one_firewall() -> None:
    router = make()
    ask(router, "iptables -N TRAFFIC")
    assert ask(router, "iptables -N TRAFFIC") == "iptables: Chain already exists.\n"
    assert router.transcript == ["iptables -N TRAFFIC", "exit"] * 2


def test_the_link_and_the_counters_agree_to_the_byte() -> None:
    router = make()
    before = router.foreign_firewall()
    for line in (
        "iptables -N TRAFFIC",
        "iptables -A TRAFFIC -i ppp0 -d 192.168.1.2 -j RETURN",
        "iptables -A TRAFFIC -s 192.168.1.2 -o ppp0 -j RETURN",
        "iptables -A TRAFFIC -i ppp0",
        "iptables -A TRAFFIC -o ppp0",
        "iptables -I FORWARD 1 -j TRAFFIC",
    ):
        assert ask(router, line) == ""
    router.use_link("192.168.1.2", 123_456_789, 987_654)
    router.use_link("192.168.1.3", 59, 0)
    router.own_traffic(5000, 6000)
    rows = [[int(word) for word in line.split()[:2]] for line in router.listing().splitlines()[2:]]
    assert [row[1] for row in rows] == [123_456_789, 987_654, 59, 0]
    assert router.totals["192.168.1.2"].download_bytes == 123_456_789
    assert router.interfaces["ppp0"].received_bytes == 123_456_789 + 59 + 5000
    assert router.foreign_firewall() == before


def test_what_the_firewall_drops_does_not_reach_the_wan() -> None:
    router = make()
    router.iptables("-I FORWARD -s 192.168.1.2 -j DROP".split())
    totals = router.use_link("192.168.1.2", 0, 1000)
    assert (totals.upload_bytes, totals.dropped_bytes) == (1000, 1000)
    assert router.interfaces["ppp0"].sent_bytes == 0
    assert router.interfaces["br0"].received_bytes == 1000


def test_reconnecting_puts_the_firmwares_rules_in_front() -> None:
    router = make()
    router.iptables("-I FORWARD -i ppp0 -d 192.168.1.2".split())
    router.reconnect("ppp1")
    targets = [line.split()[2] for line in router.listing("FORWARD").splitlines()[2:4]]
    assert targets == ["TCPMSS", "parental"]
    assert "0 ppp1\n" in ask(router, "route show")


def test_restart_forgets_everything_but_the_hosts() -> None:
    router = make(setup=("-N TRAFFIC",))
    assert "Chain TRAFFIC" in router.listing()
    router.restart()
    assert "No chain" in router.listing()
    assert "parental" in router.listing("FORWARD")
    assert len(router.hosts) == 2


def test_hosts_come_and_go() -> None:
    router = make()
    router.add_host(Host("192.168.1.9", "02:00:00:00:00:09", b"new"))
    router.remove_host("192.168.1.2")
    text = ask(router, "arp show")
    assert "192.168.1.9 " in text
    assert "192.168.1.2 " not in text
    with pytest.raises(ValueError, match="no host"):
        router.use_link("192.168.1.2", 1, 1)
