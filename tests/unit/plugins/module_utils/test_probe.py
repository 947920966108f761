# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._probe import busy_connections, http_status
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import UnixServer, connect

Serve = Callable[..., UnixServer]


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("s") / "app.sock")


@pytest.fixture
def serve(path: str) -> Iterator[Serve]:
    servers: list[UnixServer] = []

    def start(**options: int) -> UnixServer:
        servers.append(UnixServer(path, **options))  # type: ignore[arg-type]
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
def test_any_answer_has_its_status(path: str, serve: Serve, status: int) -> None:
    serve(status=status)
    assert http_status(path, "/", "shop.example.com", 5) == status


def test_the_request_is_one_that_the_application_trusts(path: str, serve: Serve) -> None:
    server = serve()
    http_status(path, "/ready?x=1", "shop.example.com", 5)
    [(target, headers)] = server.requests
    assert target == "/ready?x=1"
    assert headers["Host"] == "shop.example.com"
    assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == ("127.0.0.1", "http")


def test_who_does_not_answer_in_time_has_no_status(path: str, serve: Serve) -> None:
    serve(mute=True)
    start = time.monotonic()
    assert http_status(path, "/", "localhost", 0.2) is None
    assert 0.2 <= time.monotonic() - start < 2


def test_where_nobody_listens_is_no_status(path: str) -> None:
    assert http_status(path, "/", "localhost", 5) is None
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.close()
    assert http_status(path, "/", "localhost", 5) is None


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n\r\n"])
def test_what_is_no_http_is_no_status(path: str, answer: bytes) -> None:
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
        assert http_status(path, "/", "localhost", 5) is None
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
