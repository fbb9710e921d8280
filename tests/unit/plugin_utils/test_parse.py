# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parser itself: what makes text harmless, what is an error and where, and templates of users."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils import _parse
from ansible_collections.homenet.traffic.plugins.plugin_utils._parse import (
    NOISE_LINE,
    Kind,
    ParseError,
    error_code,
    load_template,
    parse,
    visible,
    without_noise,
)
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import Chain, Lease, Neighbor, Rule, TrafficError
from ansible_collections.homenet.traffic.tests.unit.plugin_utils import reading
from ansible_collections.homenet.traffic.tests.unit.plugin_utils.reading import NOISE, quiet, template

ARP = """IP address       HW type     Flags       HW address            Mask     Device
192.168.1.2      0x1         0x2         02:00:00:00:00:02     *        br0
192.168.1.3      0x1         0x0         00:00:00:00:00:00     *        br0
"""
CHAIN = """Chain TRAFFIC (1 references)
    pkts      bytes target     prot opt in     out     source               destination         
       5      600 RETURN     all  --  ppp0   *       0.0.0.0/0            192.168.1.2         
       7      800            udp  --  *      !ppp0   192.168.1.2          0.0.0.0/0            udp dpt:53 /* x */
"""  # noqa: W291


class TestVisible:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a\r\nb\r\r\nc\r", "a\nb\nc"),
            ("\r\n\rLogin:", "\nLogin:"),
            ("a\rb", "a\\x0db"),
            ("\x1b[2J", "\\x1b[2J"),
            ("a\x0bb\x0cc\x1cd\x1de\x1ef\x00g\x7fh", "a\\x0bb\\x0cc\\x1cd\\x1de\\x1ef\\x00g\\x7fh"),
            ("a\x85b\x9bc", "a\\x85b\\x9bc"),
            ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
            (
                "\u202egnp.exe\u202c \u2066x\u2069 \u200e\u200f\u061c",
                "\\u202egnp.exe\\u202c \\u2066x\\u2069 \\u200e\\u200f\\u061c",
            ),
            ("\ud800", "\\ud800"),
            ("a\tb  Café 😀 \u200c\ufffd", "a\tb  Café 😀 \u200c\ufffd"),
        ],
    )
    def test_examples(self, text: str, shown: str) -> None:
        assert visible(text) == shown
        assert visible(shown) == shown

    def test_a_megabyte_of_anything(self) -> None:
        """A pattern that tries every way to split it would not come back."""
        for text in ("\r" * 2**20, "\r\n" * 2**19, "\x1b" * 2**18, "\n\r" * 2**19):
            assert not {"\r", "\x1b"} & set(visible(text))


class TestNoise:
    LOG = (
        "000000812 [Info..] [WST ] (ws_scan_busy        :2177) Checking for busy channels (3 remaining attempts)",
        "# Warning: iptables-legacy tables present, use iptables-legacy to see them",
        "[   12.345678] br0: port 2(eth0.2) entering forwarding state",
        "<4>[  812.000001] ip_conntrack: table full, dropping packet.",
        "sendto: Network is unreachable",
        "consoled:error:134.356:prctl_runCommandInShellWithTimeout:174:prctl_collect failed, ret=9809",
        "Line 0: xDSL G.994 training",
        "Line 0: ADSL link up, Bearer 0, us=1019, ds=11943",
        "smd:error:411.821:collectApp:1463:consoled (pid 2479) exited due to uncaught signal number 11",
        "Another app is currently holding the xtables lock; waiting (1s) for it to exit...",
        "modprobe: module ip_tables not found in modules.dep",
        "device wl0 entered promiscuous mode",
    )

    @pytest.mark.parametrize("line", LOG)
    def test_a_log_line_is_taken_out_and_counted(self, line: str) -> None:
        text, count = without_noise(f"a\n{line}\nb\n{line}\n", NOISE)
        assert (text, count) == (f"a\n{NOISE_LINE}\nb\n{NOISE_LINE}\n", 2)

    @pytest.mark.parametrize("line", LOG)
    def test_parts_of_a_line_are_no_noise(self, line: str) -> None:
        """A host cannot hide its row with a name that looks like a log line."""
        row = f"192.168.1.2 0x1 0x2 02:00:00:00:00:02 * br0 {line}"
        assert without_noise(row, NOISE) == (row, 0)
        assert without_noise(f"{line} (192.168.1.2) at 02:00:00:00:00:02 [ether] on br0" * 20, NOISE)[1] == 0
        for end in range(1, len(line)):
            name = line[:end].replace(" ", "")
            assert without_noise(f"{name} (192.168.1.2) at 02:00:00:00:00:02 [ether] on br0", NOISE)[1] == 0

    def test_noise_changes_neither_records_nor_line_numbers(self) -> None:
        noisy = "\n".join(line for row in ARP.split("\n")[:3] for line in (row, *self.LOG)) + "\n"
        assert without_noise(noisy, NOISE)[1] == 3 * len(self.LOG)
        assert parse("neighbors", template("arp_table"), quiet(noisy)) == parse("neighbors", template("arp_table"), ARP)
        with pytest.raises(ParseError) as error:
            parse("neighbors", template("arp_table"), quiet(noisy + "what is this\n"))
        assert error.value.line == 3 * len(self.LOG) + 4

    def test_noise_inside_an_interface_does_not_end_it(self) -> None:
        text = (
            "br0       Link encap:Ethernet  HWaddr 02:00:00:00:00:01\n{noise}"
            "          UP BROADCAST  MTU:1500  Metric:1\n{noise}"
            "          RX packets:1 errors:0 dropped:0 overruns:0 frame:0\n{noise}"
            "          RX bytes:60 (60.0 B)  TX bytes:120 (120.0 B)\n"
        )
        clean = parse("interfaces", template("ifconfig"), text.format(noise=""))
        assert parse("interfaces", template("ifconfig"), quiet(text.format(noise=self.LOG[0] + "\n"))) == clean


class TestRecords:
    def test_neighbors(self) -> None:
        assert parse("neighbors", template("arp_table"), ARP) == [
            Neighbor("192.168.1.2", "02:00:00:00:00:02", "br0", complete=True),
            Neighbor("192.168.1.3", None, "br0", complete=False),
        ]

    def test_a_chain_with_all_that_the_listing_says(self) -> None:
        assert parse("chains", template("iptables"), CHAIN) == [
            Chain(
                "TRAFFIC",
                1,
                None,
                (
                    Rule(5, 600, "RETURN", None, "ppp0", None, None, "192.168.1.2"),
                    Rule(7, 800, None, "udp", None, "!ppp0", "192.168.1.2", None, "udp dpt:53 /* x */"),
                ),
            )
        ]

    @pytest.mark.parametrize(
        ("head", "references", "policy"),
        [
            ("(policy DROP 0 packets, 0 bytes)", None, "DROP"),
            ("(policy ACCEPT 31M packets, 27G bytes)", None, "ACCEPT"),
            ("(policy ACCEPT)", None, "ACCEPT"),
            ("(0 references)", 0, None),
            ("(12 references)", 12, None),
            ("(-1 references)", None, None),
        ],
    )
    def test_heads_of_chains(self, head: str, references: int | None, policy: str | None) -> None:
        (chain,) = parse("chains", template("iptables"), CHAIN.replace("(1 references)", head))
        assert (chain.references, chain.policy) == (references, policy)

    @pytest.mark.parametrize(
        ("fields", "target", "protocol", "extra"),
        [
            ("all  --  *      *       0.0.0.0/0            0.0.0.0/0           ", None, None, ""),
            ("0    --  *      *       0.0.0.0/0            0.0.0.0/0           [goto] ", None, None, "[goto]"),
            ("tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:80", None, "tcp", "tcp dpt:80"),
            ("!udp  --  *      *       0.0.0.0/0            0.0.0.0/0           ", None, "!udp", ""),
            ("253  --  *      *       0.0.0.0/0            0.0.0.0/0           ", None, "253", ""),
            ("ipv6-icmp--  *      *       0.0.0.0/0            0.0.0.0/0           ", None, "ipv6-icmp", ""),
            ("x all  -f  *      *       0.0.0.0/0            0.0.0.0/0           ", "x", None, "-f"),
            ("all all  !f  *      *       0.0.0.0/0            0.0.0.0/0           ", "all", None, "!f"),
            ("a-- all  --  *      *       0.0.0.0/0            0.0.0.0/0           ", "a--", None, ""),
        ],
    )
    def test_a_blank_target_is_not_mistaken(self, fields: str, target: str | None, protocol: str | None, extra: str) -> None:
        rule = parse("chains", template("iptables"), f"{CHAIN}      12     1404 {fields}\n")[0].rules[2]
        found = (rule.packets, rule.bytes, rule.target, rule.protocol, rule.extra, rule.source, rule.destination)
        assert found == (12, 1404, target, protocol, extra, None, None)

    @pytest.mark.parametrize("name", ["", " ", "  ", "*", "?", " ? ", "(null)"])
    def test_no_name(self, name: str) -> None:
        row = f"02:00:00:00:00:02  192.168.1.2        86399              {name}\n"
        assert parse("names", template("lanhosts"), row) == [Lease("192.168.1.2", "02:00:00:00:00:02", None)]

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("a\tb", "a\\tb"),
            ("a\x0b02:00:00:00:00:09 192.168.1.9 1 forged", "a\\x0b02:00:00:00:00:09 192.168.1.9 1 forged"),
            ("a\u2028b\u0085c\x1b[31m", "a\\u2028b\\x85c\\x1b[31m"),
            ("> ", ">"),
            ("Bridge br0", "Bridge br0"),
            ("02:00:00:00:00:09 192.168.1.9 1 forged", "02:00:00:00:00:09 192.168.1.9 1 forged"),
            ("\u00a0x\u00a0", "x"),
            ("n" * 4096, "n" * 4096),
        ],
    )
    def test_a_name_stays_one_name(self, name: str, shown: str) -> None:
        row = f"02:00:00:00:00:02  192.168.1.2        86399              {name}\n"
        assert parse("names", template("lanhosts"), row) == [Lease("192.168.1.2", "02:00:00:00:00:02", shown)]


class TestErrors:
    @pytest.mark.parametrize(
        ("kind", "name", "text", "code", "message"),
        [
            (
                "neighbors",
                "arp_table",
                ARP + "\nwhat is this?\n",
                "unknown_line",
                "line 5 does not fit the template arp_table.textfsm: 'what is this?'",
            ),
            (
                "neighbors",
                "arp_table",
                ARP.replace("192.168.1.3 ", "192.168.1.333 "),
                "bad_value",
                "line 3: '192.168.1.333' is not an IP address (template arp_table.textfsm): '192.168.1.333      0x1",
            ),
            (
                "neighbors",
                "arp_table",
                ARP.replace("00:02 ", "00 "),
                "bad_value",
                "line 2: '02:00:00:00:00' is not a MAC address (template arp_table.textfsm): ",
            ),
            (
                "neighbors",
                "arp_table",
                "",
                "empty",
                "the output is empty, which the template arp_table.textfsm does not allow",
            ),
            (
                "chains",
                "iptables",
                "\n" + CHAIN.split("\n", maxsplit=1)[0] + "\n\n",
                "truncated",
                "the output ends too early for the template iptables.textfsm, after line 2: 'Chain TRAFFIC (1 references)'",
            ),
            (
                "chains",
                "iptables",
                CHAIN.replace("  600 ", " 600K "),
                "rounded_counters",
                "line 3: no exact count can be had from rounded counters or none (template iptables.textfsm): ",
            ),
            (
                "chains",
                "iptables",
                CHAIN.replace("  600 ", " 18446744073709551616 "),
                "bad_value",
                "line 3: '18446744073709551616' is not a counter (template iptables.textfsm): ",
            ),
            (
                "interfaces",
                "ifconfig",
                "br0:0     Link encap:Ethernet  HWaddr 02:00:00:00:00:01\n          UP  MTU:1500  Metric:1\n",
                "no_records",
                "the output holds no interfaces that the template ifconfig.textfsm could read",
            ),
        ],
    )
    def test_messages(self, kind: Kind, name: str, text: str, code: str, message: str) -> None:
        with pytest.raises(ParseError) as error:
            parse(kind, template(name), text)
        assert (error.value.code, error.value.template) == (code, f"{name}.textfsm")
        assert str(error.value).startswith(message)

    def test_a_long_line_is_shortened_and_harmless(self) -> None:
        with pytest.raises(ParseError) as error:
            parse("neighbors", template("arp_table"), ARP + "\x1b[31m" + "x" * 9999)
        assert error.value.line == 4
        assert len(str(error.value)) < 250
        assert "\x1b" not in str(error.value)

    def test_half_of_a_table_of_two_halves(self) -> None:
        rows = "Interface Status    Total  Multicast\n                    Bytes       Pkts       Errs    Drops   Bytes\n"
        text = f"Received Counters:\n{rows}eth0 Up 1 1 0 0 0 0 1 0\n\nTransmitted Counters:\n{rows}"
        with pytest.raises(ParseError, match="line 4: an interface without one of its two counters"):
            parse("interfaces", template("showstats"), text)

    def test_a_message_that_no_list_knows_has_no_code(self) -> None:
        assert error_code("all is well\nnot found\n", {"not_found": [re.compile("x: not found")]}) is None

    def test_the_first_line_decides(self) -> None:
        wordings = {"b": [re.compile("second|both")], "a": [re.compile("first.*|both")]}
        assert error_code("what\n first \r\nsecond\n", wordings) == "a"
        assert error_code("both", wordings) == "b"

    def test_only_a_whole_line_of_the_length_of_a_message_is_one(self) -> None:
        wordings = {"not_found": [re.compile("sh: .*: not found")], "busy": [re.compile("busy")]}
        assert error_code("sh: x: not found", wordings) == "not_found"
        assert error_code("192.168.1.2 sh: x: not found", wordings) is None
        assert error_code("busy?", wordings) is None
        assert error_code(f"sh: {'x' * 1000}: not found", wordings) is None

    @pytest.mark.parametrize(
        "place",
        ["192.168.1", "192.168.1.256", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/255.255", "0", "!", "1.2.3.4.5", "fe80:::1", "!::/129"],
    )
    def test_a_rule_for_no_address(self, place: str) -> None:
        template_name = "ip6tables" if ":" in place else "iptables"
        text = CHAIN.split("\n       7", maxsplit=1)[0].replace("0.0.0.0/0  ", "::/0  ") if ":" in place else CHAIN
        with pytest.raises(ParseError) as error:
            parse("chains", template(template_name), text.replace("192.168.1.2 ", f"{place} ", 1))
        assert error.value.line == 3

    @pytest.mark.parametrize(
        "place", ["192.168.1.0/24", "!10.0.0.0/255.0.255.0", "desk-pc.lan", "dsl.example.net/24", "1.2.3.4/0"]
    )
    def test_a_rule_for_some_place(self, place: str) -> None:
        assert (
            parse("chains", template("iptables"), CHAIN.replace("192.168.1.2 ", f"{place} ", 1))[0].rules[0].destination == place
        )

    def test_a_rule_that_was_cut_in_its_destination(self) -> None:
        """192.168.1.2 can be the beginning of 192.168.1.20, and a rule without its matches counts other packets."""
        text = CHAIN.split("\n       7", maxsplit=1)[0]
        start = text.rindex("192.168.1.2")
        for end in range(start + 1, len(text)):
            with pytest.raises(ParseError):
                parse("chains", template("iptables"), text[:end])
        for whole in (text, f"{text}\n\n", quiet(f"{text}\n{TestNoise.LOG[1]}")):
            assert len(parse("chains", template("iptables"), whole)[0].rules) == 1
        trimmed = "\n".join(line.rstrip() for line in text.replace("192.168.1.2", "10.0.0.1").split("\n"))
        assert len(parse("chains", template("iptables"), trimmed)[0].rules) == 1

    def test_an_unknown_protocol_is_taken_for_one(self) -> None:
        found = parse("chains", template("iptables"), CHAIN.replace("udp  --", "newproto --"))[0].rules[1]
        assert (found.target, found.protocol) == (None, "newproto")

    def test_an_interface_that_is_listed_twice(self) -> None:
        text = (reading.FIXTURES / "proc_net_dev" / "proc_net_dev__linux_6.txt").read_text(encoding="utf-8")
        with pytest.raises(ParseError, match="line 8: an interface that is listed twice"):
            parse("interfaces", template("proc_net_dev"), text + text.splitlines()[2] + "\n")

    def test_a_line_longer_than_any_device_prints(self) -> None:
        row = "02:00:00:00:00:02  192.168.1.2        86399              "
        with pytest.raises(ParseError) as error:
            parse("names", template("lanhosts"), f"{row}a\n{row}{'n' * 40000}\n")
        assert (error.value.line, error.value.code) == (2, "unknown_line")

    def test_the_end_of_a_line_is_no_line(self) -> None:
        block = "br0       Link encap:Ethernet  HWaddr 02:00:00:00:00:01\n          UP  MTU:1500  Metric:1\n"
        with pytest.raises(ParseError) as error:
            parse("interfaces", template("ifconfig"), block)
        assert (error.value.code, error.value.line) == ("truncated", 2)


ONE_LINE = (
    "2: br0: <BROADCAST> mtu 1500 qdisc noqueue \\    link/ether 02:1a:00:00:00:01 brd ff:ff:ff:ff:ff:ff\\    RX:  bytes packets errors "
    "dropped  missed   mcast \\    432 6 0 0 0 6 \\    TX:  bytes packets errors dropped carrier collsns \\    814 9 0 0 0 0 \n"
)
TOYBOX = (
    "ppp0      Link encap:Point-to-Point Protocol\n          RX packets:1 errors:0 dropped:0 overruns:0 frame:0\n"
    "          RX bytes:17453623 TX bytes:11539856"
)
ROUTE6 = (
    "Kernel IPv6 routing table\nDestination                    Next Hop                   Flag Met Ref Use If\n"
    "[::]/0                         gateway                    UG   100 1      4 wan\n"
)


class TestStrict:
    """What stands beside a layout that is read, and must not be."""

    @pytest.mark.parametrize(
        ("kind", "name", "text"),
        [
            ("addresses", "ip_brief", "lo               UNKNOWN        127.0.0.1/8"),  # of /8 or of /80
            ("addresses", "ip_brief", "br0              UP             192.168.1.1/24 and more \n"),
            ("addresses", "ip_brief", "br0              ODD            192.168.1.1/24 \n"),
            ("addresses", "ip_brief", f"br0              UP             {'192.168.1.1/24 ' * 13}\n"),
            ("interfaces", "ifconfig", TOYBOX),
            ("interfaces", "ifconfig", f"{TOYBOX}\n"),
            ("interfaces", "ifconfig", f"{TOYBOX} more\n\n"),
            *(("interfaces", "ip_link", ONE_LINE[:end]) for end in range(1, len(ONE_LINE) - 9)),
            ("interfaces", "ip_link", ONE_LINE.replace("432 6", "4.32k 6")),
            ("interfaces", "ip_link", ONE_LINE.replace("\\    RX:", "\\    odd 1\\    RX:")),
            ("interfaces", "ip_link", ONE_LINE + ONE_LINE.partition("\\    RX:")[0] + "\n"),
            ("names", "lanhosts", "02:24:1e:00:00:06  192.168.1.        78              tv\n"),
            ("names", "lanhosts", "02:24:1e:00:00:06  192        78              tv\n"),
            ("names", "lanhosts", "02:24:1e:00:00:06          78 tv\n"),
            ("names", "lanhosts", "02:24:1e:00:00:06  192"),
            ("neighbors", "arp", "? (192.168.71.2) at 02:50:56:f7:4a:fc on em0 expires in a while [ethernet]\n"),
            ("routes", "route", f"{ROUTE6}[::]/0 gateway\n"),
            (
                "routes", "route",
                ROUTE6.split("[::]", 1)[0] + "192.168.1.0     0.0.0.0         255.255.255.0   U     0      0        0 br0\n",
            ),
            *(("routes", "ip_route", "default via 192.168.1.1 dev eth0"[:end]) for end in range(1, 29)),
            ("uptime", "uptime", "up 1 year, "),
            ("uptime", "uptime", "up 2 weeks, 1 day, "),
        ],
    )
    def test_what_is_nearly_right_is_an_error(self, kind: Kind, name: str, text: str) -> None:
        with pytest.raises(ParseError):
            parse(kind, template(name), text)

    def test_what_is_right(self) -> None:
        assert parse("interfaces", template("ip_link"), ONE_LINE)[0].sent_bytes == 814
        assert parse("interfaces", template("ifconfig"), f"{TOYBOX}\n\n")[0].sent_bytes == 11539856
        assert parse("routes", template("route"), ROUTE6) == ["wan"]
        assert parse("routes", template("route"), ROUTE6.replace(" UG ", " !n ")) == []


class TestTemplatesOfUsers:
    STRICT = "Value IP (\\S+)\nValue MAC (\\S+)\n\nStart\n  ^${IP} is ${MAC}$$ -> Record\n  ^. -> Error\n"

    def write(self, folder: Path, text: str) -> Path:
        path = folder / "mine.textfsm"
        path.write_text(text, encoding="utf-8")
        return path

    def test_one_without_ends_is_read_to_the_end(self, tmp_path: Path) -> None:
        found = parse("neighbors", self.write(tmp_path, self.STRICT), "10.0.0.1 is 2-0-0-0-0-A\n\n10.0.0.2 is *")
        assert found == [
            Neighbor("10.0.0.1", "02:00:00:00:00:0a", None, complete=True),
            Neighbor("10.0.0.2", None, None, complete=True),
        ]

    def test_its_last_record_can_be_left_to_the_end(self, tmp_path: Path) -> None:
        text = self.STRICT.replace(" -> Record", "")
        assert len(parse("neighbors", self.write(tmp_path, text), "10.0.0.1 is *\n")) == 1

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("\n  ^. -> Error", ""), r"the state Start must end in the rule '\^\. -> Error'"),
            (("Value IP", "Value Required IP"), "the option Required cannot be used"),
            (("Value IP", "Value List IP"), "the option List cannot be used"),
            (("Value IP", "Value ADDRESS"), "is not a TextFSM template"),
            (("(\\S+)\nValue MAC", "(\\S+\nValue MAC"), "is not a TextFSM template"),
            (("Start", "Begin"), "is not a TextFSM template: Missing state 'Start'"),
        ],
    )
    def test_one_that_could_skip_lines_is_refused(self, tmp_path: Path, change: tuple[str, str], message: str) -> None:
        path = self.write(tmp_path, self.STRICT.replace(*change))
        with pytest.raises(TrafficError, match=message) as error:
            parse("neighbors", path, "10.0.0.1 is *\n")
        assert str(path) in str(error.value)

    def test_one_that_lacks_a_value_is_refused(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, self.STRICT)
        with pytest.raises(TrafficError, match="defines no Value INTERFACE, which a template for routes needs"):
            parse("routes", path, "")
        with pytest.raises(TrafficError, match="defines no Value NAME or HOST"):
            parse("names", path, "")

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(TrafficError, match=r"nowhere\.textfsm cannot be read"):
            load_template(tmp_path / "nowhere.textfsm")

    def test_a_code_of_its_own(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, self.STRICT.replace("  ^. ->", '  ^busy -> Error "busy"\n  ^. ->'))
        with pytest.raises(ParseError) as error:
            parse("neighbors", path, "busy\n")
        assert error.value.code == "busy"

    @pytest.mark.parametrize(
        ("kind", "values", "message"),
        [
            ("uptime", "DAYS", "line 2: a second uptime"),
            ("routes", "INTERFACE OTHER", "line 1: a default route without an interface"),
            ("interfaces", "OTHER INTERFACE RECEIVED SENT", "line 1: no interface"),
        ],
    )
    def test_records_that_say_too_little_or_too_much(self, tmp_path: Path, kind: Kind, values: str, message: str) -> None:
        head = "".join(f"Value {value} (\\d*)\n" for value in values.split())
        filled = values.split()[-1] if kind == "routes" else values.split()[0]
        path = self.write(tmp_path, f"{head}\nStart\n  ^${{{filled}}}$$ -> Record\n  ^. -> Error\n")
        with pytest.raises(ParseError, match=message):
            parse(kind, path, "1\n2\n")

    def test_the_line_of_a_record_at_the_end(self, tmp_path: Path) -> None:
        text = self.STRICT.replace("$$ -> Record", "$$").replace("  ^. ->", "  ^\\x04 -> Record\n  ^. ->")
        with pytest.raises(ParseError) as error:
            parse("neighbors", self.write(tmp_path, text), "10.0.0.1 is wrong\n")
        assert (error.value.line, error.value.code) == (1, "bad_value")

    def test_rules_before_any_chain(self, tmp_path: Path) -> None:
        text = "Value CHAIN (x)\nValue PACKETS (\\d+)\nValue BYTES (\\d+)\n\nStart\n  ^${PACKETS} ${BYTES} -> Record\n  ^. -> Error\n"
        with pytest.raises(ParseError, match="line 1: a rule before any chain"):
            parse("chains", self.write(tmp_path, text), "1 2\n")


def test_without_textfsm_there_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_parse, "HAS_TEXTFSM", False)
    with pytest.raises(TrafficError, match="pip install textfsm"):
        load_template(Path("/not/cached.textfsm"))


def test_the_file_imports_without_textfsm(monkeypatch: pytest.MonkeyPatch) -> None:
    """ansible-test imports every file on a Python that has none of our libraries."""
    monkeypatch.setitem(sys.modules, "textfsm", None)
    source = Path(_parse.__file__).read_text(encoding="utf-8")
    found: dict[str, object] = {"__name__": "imported_again"}
    monkeypatch.setitem(sys.modules, "imported_again", _parse)
    exec(compile(source, _parse.__file__, "exec"), found)
    assert found["HAS_TEXTFSM"] is False
