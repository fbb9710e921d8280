# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers on real sockets: telnet's own bytes, timing, endings, the control socket and the playground."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router import ControlClient, ControlError, Faults, Router, RouterSpec, fleet, serve
from router.client import Client
from router.telnet import TelnetServer

PROGRAM = Path(__file__).resolve().parents[2] / "router"


def wait_for(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def home() -> Iterator[Router]:
    with serve(RouterSpec(hosts=2)) as routers:
        yield routers[0]


def test_a_conversation_from_login_to_exit(home: Router) -> None:
    with Client(home.host, home.port) as client:
        client.log_in()
        for line in ("-N TRAFFIC", "-A TRAFFIC -i ppp0 -d 192.168.1.2 -j RETURN", "-I FORWARD 1 -j TRAFFIC"):
            assert client.run(f"iptables {line}") == ""
        home.use_link("192.168.1.2", 1_000_001, 777)
        listing = client.run("iptables -nvxL TRAFFIC")
        client.send(b"exit\r\n")
        client.read_to_end()
    assert " 1000001 RETURN     all  --  ppp0   *       0.0.0.0/0            192.168.1.2 " in listing
    assert home.sessions[0].ended == "exit"
    assert home.sessions[0].lines[-2:] == ["iptables -nvxL TRAFFIC", "exit"]
    assert home.sessions[0].logins == ["ok"]


def test_a_client_that_hangs_up_is_noticed(home: Router) -> None:
    with Client(home.host, home.port) as client:
        client.log_in()
        assert home.sessions[0].ended == ""
    wait_for(lambda: home.sessions[0].ended == "dropped")
    assert home.open_sessions == 0


# --- telnet


def test_options_are_offered_and_others_refused_once(home: Router) -> None:
    with Client(home.host, home.port) as client:
        client.read_until("Login: ")
        client.send(b"\xff\xfd\x06\xff\xfd\x06\xff\xfb\x18\xff\xfb\x1f\xff\xfd\x01\xff\xfa\x1f\0\x50\0\x18\xff\xf0ad\xff\xf1min\r\n")
        deadline = time.monotonic() + 5
        while b"Password: " not in client.raw and time.monotonic() < deadline:
            client.raw += client.socket.recv(4096)
    assert client.raw == b"\xff\xfc\x06\xff\xfe\x18admin\r\nPassword: "


def test_telnet_bytes_split_anywhere() -> None:
    data = b"a\xff\xffb\xff\xfd\x06c\xff\xfa\x18\x00x\xff\xff\xff\xf0d\xff\xf9e"
    for place in range(len(data) + 1):
        server = TelnetServer()
        parts = [server.receive(data[:place]), server.receive(data[place:])]
        assert b"".join(typed for typed, reply in parts) == b"a\xffbcde"
        assert b"".join(reply for typed, reply in parts) == b"\xff\xfc\x06"


def test_bytes_that_telnet_escapes() -> None:
    with serve(RouterSpec(hosts=1, prompt="\udcff> ")) as routers, Client(routers[0].host, routers[0].port) as client:
        assert client.log_in(prompt="\xff> ") == "\r\n\xff> "


# --- faults of timing and transport


def test_one_byte_at_a_time() -> None:
    spec = RouterSpec(hosts=1, faults=Faults(one_byte=True, byte_delay=0.002))
    with serve(spec) as routers, Client(routers[0].host, routers[0].port) as client:
        sizes = []
        while not client.text.endswith("Login: "):
            data = client.socket.recv(4096)
            sizes.append(len(data))
            client.raw += data
        assert client.text == "BCM96338 ADSL Router\r\nLogin: "
        # On a busy machine some travel together.
        assert len(sizes) > 3
        routers[0].set_faults(byte_delay=0.0)
        client.raw = b""
        client.send(b"admin\r\nadmin\r\nexit\r\n")
        assert client.read_to_end().endswith("Bye bye. Have a nice day!!!\r\n")


def test_silence_after_connect_keeps_the_line_open() -> None:
    spec = RouterSpec(faults=Faults(silent_at="connect"))
    with serve(spec) as routers, Client(routers[0].host, routers[0].port) as client:
        assert client.read_for(0.15) == ""
        assert not client.ended


@pytest.mark.parametrize(
    "faults",
    [Faults(cut_after_received=20), Faults(cut_at_command=1), Faults(truncate_output=True), Faults(cut_after_sent=60)],
    ids=str,
)
def test_cuts_end_the_connection(faults: Faults) -> None:
    with serve(RouterSpec(faults=faults)) as routers, Client(routers[0].host, routers[0].port) as client:
        client.send(b"admin\r\nadmin\r\narp show\r\n")
        client.read_to_end()
        assert routers[0].sessions[0].ended == "closed"


def test_one_session_at_a_time() -> None:
    with serve(RouterSpec(max_sessions=1)) as routers:
        with Client(routers[0].host, routers[0].port) as first:
            first.log_in()
            with Client(routers[0].host, routers[0].port) as second:
                assert second.read_to_end().endswith("Reject the connection request !!!")
        wait_for(lambda: routers[0].open_sessions == 0)
        with Client(routers[0].host, routers[0].port) as third:
            third.log_in()


def test_slow_answers_come_in_order() -> None:
    with serve(RouterSpec(faults=Faults(command_delay=0.05))) as routers, Client(routers[0].host, routers[0].port) as client:
        start = time.monotonic()
        client.send(b"admin\r\n")
        client.send(b"admin\r\necho a\r\nexit\r\n")
        text = client.read_to_end()
        assert time.monotonic() - start > 0.05
        assert text.index("Password: ") < text.index("echo a") < text.index("exit") < text.index("Bye bye")


def test_the_echo_may_come_apart_from_the_answer() -> None:
    with serve(RouterSpec(faults=Faults(nagle=True))) as routers, Client(routers[0].host, routers[0].port) as client:
        client.log_in()
        assert client.run("echo a") == "a\n"


# --- fleets and control


def test_a_fleet_has_routers_of_its_own_in_one_process() -> None:
    with serve(*fleet(200, hosts=3, seed=5)) as routers:
        assert len({router.port for router in routers}) == 200
        routers["router0007"].iptables(["-N", "TRAFFIC"])
        with Client(routers["router0007"].host, routers["router0007"].port) as client:
            client.log_in()
            assert "Chain TRAFFIC" in client.run("iptables -L TRAFFIC")
        assert "No chain" in routers["router0008"].listing()
        assert routers["router0007"].hosts != routers["router0008"].hosts


def test_the_same_seed_makes_the_same_fleet() -> None:
    first, second = ([spec.all_hosts() for spec in fleet(3, seed=9)] for attempt in range(2))
    assert first == second
    assert first != [spec.all_hosts() for spec in fleet(3, seed=10)]


def test_the_control_socket() -> None:
    with serve(*fleet(2, hosts=5)) as routers, ControlClient(routers.control) as control:
        names = [router["name"] for router in control("list")]
        assert names == ["router0001", "router0002"]
        control("use", router="router0002", host="192.168.1.3", download=1000, upload=50)
        assert routers["router0002"].totals["192.168.1.3"].download_bytes == 1000
        truth = control("truth", router="router0002")
        assert truth["hosts"]["192.168.1.3"]["upload_bytes"] == 50
        assert truth["interfaces"]["ppp0"]["received_bytes"] == 1000
        evening = control("evening", seed=3)
        assert set(evening) == set(names)
        used = sum(amount[0] for amount in evening["router0001"].values())
        assert used == sum(totals.download_bytes for totals in routers["router0001"].totals.values()) > 0
        assert control("faults", router="router0001", set={"no_arp": True, "lock_commands": 2}) == {"no_arp": True, "lock_commands": 2}
        assert control("faults", router="router0001", clear=True) == {}
        assert control("iptables", router="router0001", words=["-N", "TRAFFIC"]) == {"text": "", "status": 0}
        assert "TRAFFIC" not in control("firewall", router="router0001")
        assert control("transcript", router="router0001") == []
        control("add_host", router="router0001", ip="192.168.1.99", mac="02:00:00:00:00:99", name="x")
        assert "192.168.1.99" in routers["router0001"].hosts


@pytest.mark.parametrize(
    ("action", "arguments", "message"),
    [
        ("nonsense", {}, "no such action"),
        ("use", {"router": "nobody"}, "no router 'nobody'"),
        ("use", {"router": "home"}, "missing argument 'host'"),
        ("use", {"router": "home", "host": "10.9.9.9", "download": 1, "upload": 1}, "no host 10.9.9.9"),
        ("faults", {"set": {"nonsense": 1}}, "no such fault"),
        ("stop", {}, "not a playground"),
    ],
)
def test_control_says_what_is_wrong(action: str, arguments: dict[str, object], message: str) -> None:
    with serve(RouterSpec()) as routers, ControlClient(routers.control) as control, pytest.raises(ControlError, match=message):
        control(action, **arguments)


# --- the playground


def playground(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL
    )


def test_the_playground(tmp_path: Path) -> None:
    ready, inventory, pid = tmp_path / "ready.json", tmp_path / "inventory.yml", tmp_path / "pid"
    words = ["--routers", "3", "--hosts", "4", "--ready", str(ready), "--inventory", str(inventory), "--pid-file", str(pid), "--for", "60"]
    process = playground(*words)
    try:
        wait_for(ready.exists, 20)
        state = json.loads(ready.read_text())
        assert state["pid"] == process.pid == int(pid.read_text())
        first = state["routers"][0]
        with Client(first["host"], first["port"]) as client:
            client.log_in(first["user"], first["password"])
        lines = inventory.read_text().splitlines()
        assert lines[:6] == ["---", "routers:", "  hosts:", '    "router0001":', '      ansible_host: "127.0.0.1"',
                             f"      ansible_port: {first['port']}"]  # fmt: skip
        assert "    ansible_connection: homenet.traffic.telnet" in lines
        say = [sys.executable, str(PROGRAM), "control", "--ready", str(ready)]
        done = subprocess.run([*say, "--router", "router0002", "evening"], capture_output=True, text=True, timeout=20, check=True)
        assert set(json.loads(done.stdout)) == {"router0002"}
        wrong = subprocess.run([*say, "use", "host=1"], capture_output=True, text=True, timeout=20, check=False)
        assert wrong.returncode == 1
        assert "no router None" in wrong.stderr
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=10)[0]
    finally:
        process.kill()
    assert process.returncode == 0
    assert f"telnet {first['host']} {first['port']}" in output
    assert not ready.exists()
    assert not pid.exists()
    assert inventory.exists()


def test_the_playground_ends_by_itself_and_explains_a_taken_port() -> None:
    process = playground("--for", "0.1", "--quiet")
    assert process.communicate(timeout=20)[0] == ""
    assert process.returncode == 0
    with serve(RouterSpec()) as routers:
        process = playground("--port", str(routers[0].port))
        output = process.communicate(timeout=20)[0]
    assert process.returncode == 1
    assert output.startswith("python tests/router: ")
    assert str(routers[0].port) in output
