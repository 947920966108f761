# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Issued

from ansible_collections.wsgiops.flask.plugins.module_utils import _probe
from ansible_collections.wsgiops.flask.plugins.module_utils._probe import (
    NoAnswer,
    ask_front,
    ask_socket,
    busy_connections,
)
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Behaviour, Front, Host, UnixServer, connect

Serve = Callable[..., UnixServer]


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("s") / "app.sock")


@pytest.fixture
def serve(path: str) -> Iterator[Serve]:
    servers: list[UnixServer] = []

    def start(**behaviour: t.Any) -> UnixServer:
        servers.append(UnixServer(path, Behaviour(**behaviour)))
        servers[-1].serve()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def eventually(path: str, count: int) -> bool:
    """Whether the socket comes to have so many connections; the kernel's table lags behind a close."""
    deadline = time.monotonic() + 5
    while busy_connections(path) != count and time.monotonic() < deadline:
        time.sleep(0.01)
    return busy_connections(path) == count


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_any_answer_has_its_status_and_its_body(path: str, serve: Serve, status: int) -> None:
    serve(statuses=(status,), body="größer\n")
    answer = ask_socket(path, "/", "shop.example.com", 5)
    assert (answer.status, answer.body) == (status, "größer\n")
    assert answer.location == ("https://elsewhere.example.com/" if status == 302 else "")


def test_a_slow_answer_tells_how_slow(path: str, serve: Serve) -> None:
    serve(delay=0.1)
    assert ask_socket(path, "/", "shop.example.com", 5).seconds >= 0.1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_application_is_told_with_which_scheme_clients_come(path: str, serve: Serve, scheme: str) -> None:
    server = serve()
    ask_socket(path, "/", "shop.example.com", 5, scheme=scheme)
    assert [headers["X-Forwarded-Proto"] for _path, headers in server.requests] == [scheme]


def test_no_more_is_read_than_a_report_needs(path: str, serve: Serve) -> None:
    serve(body="x" * (_probe.BODY_LIMIT + 1))
    assert len(ask_socket(path, "/", "shop.example.com", 5).body) == _probe.BODY_LIMIT


def test_the_request_is_one_that_the_application_trusts(path: str, serve: Serve) -> None:
    server = serve()
    ask_socket(path, "/ready?x=1", "shop.example.com", 5)
    [(target, headers)] = server.requests
    assert target == "/ready?x=1"
    assert headers["Host"] == "shop.example.com"
    assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == ("127.0.0.1", "http")


def test_a_request_at_the_front_says_nothing_that_only_nginx_may_say(
    host: Host, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def answer(path: str, headers: dict[str, str]) -> tuple[int, str]:
        seen[path] = headers
        return 200, "ok"

    monkeypatch.setattr(front, "answer", answer)
    assert ask_front(front.url, "/ready", "shop.example.com", 5).body == "ok"
    assert seen["/ready"]["Host"] == "shop.example.com"
    assert not [name for name in seen["/ready"] if name.startswith("X-")]


def test_a_request_at_the_front_may_go_over_tls_under_the_name_of_the_host(front: Front, tmp_path: Path) -> None:
    """With any certificate: clients decide whether they believe it."""
    issued = Issued("another name", ["other.example.com"])
    (tmp_path / "pair.pem").write_text(issued.certificate + issued.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)  # type: ignore[assignment]
    front.socket = context.wrap_socket(front.socket, server_side=True)
    url = front.url.replace("http:", "https:")
    assert ask_front(f"{url}/shop", "/ready", "shop.example.com", 5).status == 502
    assert names == ["shop.example.com"]
    assert front.requests == [(None, "/shop/ready", "shop.example.com")]


def test_who_does_not_answer_in_time_does_not_answer(path: str, serve: Serve) -> None:
    serve(mute=True)
    with pytest.raises(NoAnswer, match=r"^none within 0\.1 s$"):
        ask_socket(path, "/", "localhost", 0.1)


def test_a_request_that_became_pointless_is_given_up(path: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(mute=True)
    monkeypatch.setattr(_probe, "WATCH", 0.01)
    asked = itertools.count()
    with pytest.raises(NoAnswer, match=r"^none before its main process ended$"):
        ask_socket(path, "/", "localhost", 60, lambda: next(asked) == 3)
    assert next(asked) == 4


@pytest.mark.parametrize("there", [True, False])
def test_where_nobody_listens_is_no_answer(path: str, there: bool) -> None:
    if there:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.close()
    with pytest.raises(NoAnswer, match="Connection refused" if there else "No such file"):
        ask_socket(path, "/", "localhost", 5)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n\r\n"])
def test_what_is_no_http_is_no_answer(path: str, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def talk() -> None:
            client, _address = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(NoAnswer):
            ask_socket(path, "/", "localhost", 5)
        thread.join()


def test_waiting_and_accepted_connections_are_counted(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        assert busy_connections(path) == 0
        first, second = connect(path), connect(path)
        assert busy_connections(path) == 2
        accepted, _address = listener.accept()
        assert busy_connections(path) == 2
        accepted.close()
        first.close()
        assert eventually(path, 1)
        listener.accept()[0].close()
        second.close()
        assert eventually(path, 0)


def test_the_sockets_of_others_are_not_counted(path: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + "2")
        listener.listen()
        with connect(path + "2"):
            assert busy_connections(path) == 0
            assert busy_connections(str(Path(path).parent)) == 0
