"""The application under the real servers: gunicorn as in production, Flask's own as in development."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

DEADLINE = 20.0  # seconds for a server to start or to stop, generous for a busy machine

T = TypeVar("T")


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over the unix socket at `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str] | None = None) -> dict[str, object]:
    """Return the JSON that `path` answers, and close the connection."""
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        assert response.status == 200
        return json.load(response)
    finally:
        connection.close()


def wait_for(probe: Callable[[], T | None], server: subprocess.Popen[bytes], log: Path) -> T:
    """Return the first result of `probe` that is one; fail with the server's log if it ends or time runs out."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and server.poll() is None:
        try:
            if (result := probe()) is not None:
                return result
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail(f"no server (exit status {server.poll()}):\n{log.read_text()}")


@contextmanager
def running(command: list[str], folder: Path, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module as a server in `folder`, its output in `log`; kill it in the end if it still runs."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield server
    finally:
        # The group, because a killed gunicorn leaves its workers behind for a moment.
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_gunicorn_on_a_unix_socket(app_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    path, log = tmp_path / "app.sock", tmp_path / "log"
    command = ["gunicorn", "--bind", f"unix:{path}", "--workers", "2", "--no-control-socket", "wsgi:app"]
    with running(command, app_folder, log, FLASK_PROXY_HOPS="1", FLASK_RELEASE="12345678") as server:
        wait_for(lambda: get(UnixConnection(path), "/health"), server, log)

        def both_workers() -> set[object] | None:
            with ThreadPoolExecutor() as pool:
                answers = pool.map(lambda _: get(UnixConnection(path), "/slow?seconds=0.2"), range(2))
                pids = {answer["pid"] for answer in answers}
            return pids if len(pids) == 2 else None

        workers = wait_for(both_workers, server, log)
        assert server.pid not in workers

        direct = get(UnixConnection(path), "/whoami")
        assert (direct["client"], direct["scheme"], direct["release"]) == (None, "http", "12345678")
        assert str(direct["server"]).startswith("gunicorn/")

        from_nginx = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Request-ID": "request-0006"}
        proxied = get(UnixConnection(path), "/whoami", from_nginx)
        assert (proxied["client"], proxied["scheme"]) == ("192.0.2.7", "https")

        assert get(UnixConnection(path), "/ready")["checks"] == {"database": "ok"}
        assert (tmp_path / "reference.sqlite3").is_file()

        get(UnixConnection(path), "/slow?seconds=0", from_nginx)
        assert "INFO [request-0006] waited 0 s\n" in log.read_text()

        with ThreadPoolExecutor() as pool:
            last = pool.submit(get, UnixConnection(path), "/slow?seconds=1")
            time.sleep(0.3)
            server.terminate()
            assert last.result()["slept"] == 1, "a request in flight is finished before the stop"
        assert server.wait(DEADLINE) == 0


@pytest.mark.parametrize("options", [["gthread", "--threads", "4"], ["gevent"]], ids=lambda options: options[0])
def test_one_worker_waits_for_several_requests_at_once(app_folder: Path, tmp_path: Path, options: list[str]) -> None:
    """/slow and /test hold neither a thread nor, under gevent, the process."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    if "gevent" in options:
        pytest.importorskip("gevent", reason="gevent is not installed")
    path, log = tmp_path / "app.sock", tmp_path / "log"
    command = ["gunicorn", "--bind", f"unix:{path}", "--worker-class", *options, "--no-control-socket", "wsgi:app"]
    with running(command, app_folder, log, FLASK_WORKER_CLASS=options[0]) as server:
        wait_for(lambda: get(UnixConnection(path), "/health"), server, log)
        with ThreadPoolExecutor(4) as pool:
            start = time.monotonic()
            answers = list(pool.map(lambda _: get(UnixConnection(path), "/slow?seconds=1"), range(4)))
            assert time.monotonic() - start < 3.5, "one after the other they take 4 s"
        assert len({answer["pid"] for answer in answers}) == 1
        assert get(UnixConnection(path), "/ready")["checks"] == {"database": "ok"}
        server.terminate()
        assert server.wait(DEADLINE) == 0


def test_gunicorn_does_not_start_with_a_wrong_setting(app_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    log = tmp_path / "log"
    command = ["gunicorn", "--check-config", "wsgi:app"]
    with running(command, app_folder, log, FLASK_PROXY_HOPS="many") as server:
        assert server.wait(DEADLINE) == 1
    assert "FLASK_PROXY_HOPS is 'many': accepted is a whole number from 0" in log.read_text()


def test_the_development_server(app_folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["flask", "--app", "wsgi", "run", "--port", "0"]
    with running(command, app_folder, log) as server:
        found = wait_for(lambda: re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text()), server, log)
        answer = get(http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=DEADLINE), "/whoami")
        assert (answer["client"], answer["worker_class"]) == ("127.0.0.1", "development")
