# Copyright: homenet.traffic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from ansible_collections.homenet.traffic.plugins.plugin_utils._fetch import Arrived, CannotFetch, Fetch, Limits, check_url
from ansible_collections.homenet.traffic.plugins.plugin_utils._records import TrafficError

SIZE = 3_000_000
ENOUGH = Limits(100_000_000, 30)
EVIL = "<script>\x1b[31m"


class Files(http.server.BaseHTTPRequestHandler):
    """/file, and what a server can do instead."""

    def do_GET(self) -> None:
        name = self.path.partition("?")[0]
        if name == "/moved":
            self._lead("/file")
        elif name == "/elsewhere":
            self._lead("ftp://127.0.0.1/file")
        elif name == "/round":
            self._lead("/round")
        elif name == "/forbidden":
            self.send_response(403, EVIL)
            self.end_headers()
        elif name == "/nonsense":
            self.wfile.write(EVIL.encode() + b"\r\n")
        elif name == "/ranged":
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            self._send(206, int(last) - int(first) + 1)
        else:
            self._send(200, SIZE)

    def _lead(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.end_headers()

    def _send(self, status: int, size: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        try:
            self.wfile.write(bytes(size))
        except OSError:
            pass  # nobody wants the rest

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


def fetched(url: str, limits: Limits = ENOUGH, address: str | None = None) -> Arrived:
    with closing(Fetch(url, limits, address)) as fetch:
        fetch.open()
        assert fetch.address == "127.0.0.1"
        fetch.read()
        return fetch.arrived()


def test_a_file(server: str) -> None:
    arrived = fetched(f"{server}/file")
    assert arrived.payload == SIZE
    # The head of the answer comes on top; the end of the connection, which has a number of its own, does not.
    assert arrived.stream is not None
    head = arrived.stream - SIZE
    assert b"HTTP/1.0 200 OK\r\n" in told(f"{server}/file")[:head]
    assert told(f"{server}/file").index(b"\r\n\r\n") + 4 == head
    assert arrived.header == 20 + 20 + 12


def told(url: str) -> bytes:
    """The answer to the same question, byte by byte."""
    port = int(url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        plain.sendall(b"GET /file HTTP/1.0\r\n\r\n")
        return plain.makefile("rb").read(1000)


def test_where_it_was_moved_to_counts_too(server: str) -> None:
    straight, moved = fetched(f"{server}/file"), fetched(f"{server}/moved")
    assert moved.payload == SIZE
    assert moved.stream and straight.stream
    assert moved.stream > straight.stream


def test_not_more_than_the_limit_is_asked_for(server: str) -> None:
    assert fetched(f"{server}/ranged", Limits(10_000, 30)).payload == 10_000


def test_the_rest_of_a_file_is_left(server: str) -> None:
    """Also by a server that does not know ranges; what it has sent by then counts as arrived."""
    arrived = fetched(f"{server}/file", Limits(10_000, 30))
    assert 10_000 <= arrived.payload < SIZE
    assert arrived.stream and arrived.stream > arrived.payload


def test_after_its_time_nothing_is_read(server: str) -> None:
    assert fetched(f"{server}/file", Limits(100_000_000, 0)).payload == 0


def test_no_proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert fetched(f"{server}/file").payload == SIZE


def test_it_is_fetched_from_the_address_that_was_asked_for(server: str) -> None:
    with closing(Fetch(f"{server}/file", ENOUGH, "127.0.0.2")) as fetch:
        fetch.open()
        assert fetch.address == "127.0.0.2"


def test_an_address_that_is_not_ours_is_no_obstacle(server: str) -> None:
    assert fetched(f"{server}/file", address="192.0.2.1").payload == SIZE


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/forbidden", "the server answers 403 (Forbidden)"),
        ("/elsewhere", "it leads to where there is neither http nor https"),
        ("/round", "the server answers 302 (Found)"),
        ("/nonsense", "what answers there does not speak HTTP as it should (BadStatusLine)"),
    ],
)
def test_why_not_in_no_word_of_the_server(server: str, name: str, why: str) -> None:
    with pytest.raises(CannotFetch) as caught:
        fetched(f"{server}{name}?token=secret")
    assert str(caught.value) == f"{server}{name} could not be fetched by this machine: {why}."


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file"
        with pytest.raises(CannotFetch, match=r"could not be fetched by this machine: Connection refused\."):
            fetched(url)


def test_https_is_tls(server: str) -> None:
    with pytest.raises(CannotFetch, match="SSL"):
        fetched(server.replace("http:", "https:"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.net/a/b.bin?token=secret#x", "https://example.net/a/b.bin"),
        ("HTTP://Example.NET:8080/a", "http://example.net:8080/a"),
        ("http://[2001:db8::1]:81/a", "http://[2001:db8::1]:81/a"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert check_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.net/a", "example.net/a", "", "http:///a", "http://example.net/a b", "http://example.net/\x1b",
        "http://example.net:99999/", "http://[::1/", "http://user:secret@example.net/a", "http://secret@example.net/a",
        "http://ex\u0430mple.net/",
    ],
)  # fmt: skip
def test_a_url_that_will_not_do(url: str) -> None:
    with pytest.raises(TrafficError) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)
    assert str(caught.value).isprintable()
