# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook selftest says where nothing can be tested. What it finds in real traffic: tests/lab/test_selftest.py."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from control import Control, Place, Run

from router.serving import serve
from router.spec import fleet


class Zeros(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2000000")
        self.end_headers()
        self.wfile.write(bytes(2_000_000))

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Zeros) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}/file?token=secret"
        made.shutdown()
        thread.join()


def words(run: Run) -> str:
    return " ".join(run.out.split())


def test_a_file_that_did_not_pass_the_router(control: Control, url: str) -> None:
    with serve() as routers:
        control.playbook(routers[0], "setup_traffic")
        elsewhere = control.playbook(routers[0], "selftest", traffic_selftest_url=url)
        done = control.playbook(routers[0], "selftest", traffic_selftest_url=url, traffic_selftest_host="192.168.1.2")
        nobody = control.playbook(routers[0], "selftest", traffic_selftest_url=url, traffic_selftest_host="192.168.1.222")
        assert all(session.ended == "exit" for session in routers[0].sessions)
    assert elsewhere.status == done.status == nobody.status == 2
    assert "this machine (127.0.0.1) is not on this router's network (192.168.1.0/24)" in words(elsewhere)
    assert "nothing was counted of what this machine (192.168.1.2) fetched" in words(done)
    assert "It did not come through this router: ppp0 received 0 B meanwhile." in words(done)
    assert "this machine (192.168.1.222) has no counter of its own yet" in words(nobody)
    assert "secret" not in done.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "set traffic_selftest_url"),
        ({"traffic_selftest_url": "file:///etc/passwd"}, "traffic_selftest_url is not a URL of a file to fetch by http or https"),
        ({"traffic_selftest_url": "http://user:secret@example.net/"}, "holds a user name or a password"),
        ({"traffic_selftest_url": "http://example.net/", "traffic_selftest_host": "pc"}, "traffic_selftest_host: 'pc' is not an address"),
        ({"traffic_selftest_url": "http://example.net/", "traffic_selftest_time_limit": 61}, "a number of seconds from 1 to 60"),
        ({"traffic_selftest_url": "http://example.net/", "traffic_selftest_size_limit": 0}, "it is a number of bytes"),
    ],
)
def test_what_is_wrong_with_the_variables_is_said_before_the_log_in(control: Control, given: dict[str, object], said: str) -> None:
    with serve() as routers:
        done = control.playbook(routers[0], "selftest", **given)
        assert not routers[0].sessions
    assert done.status == 2
    assert said in words(done)
    assert "secret" not in done.out


def test_every_failed_router_is_named(control: Control, url: str) -> None:
    with serve(*fleet(2, hosts=2)) as routers:
        control.playbook(routers, "setup_traffic")
        routers[0].set_faults(greeting="busy")
        run = control.playbook(routers, "selftest", traffic_selftest_url=url, traffic_selftest_host="192.168.1.2")
    assert run.status == 2
    assert "! router0001: " in run.out
    assert "another administrator is logged in" in run.out
    assert "! router0002: " in run.out


def test_the_only_router_is_unreachable(control: Control, url: str) -> None:
    run = control.playbook(Place("127.0.0.1", 1), "selftest", traffic_selftest_url=url)
    assert run.status == 4, run.out
    assert run.recap()["unreachable"] == 1
    assert "the connection was refused" in run.out
