# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Access lines and metrics: the functions, and gunicorn with the configuration that the role writes."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import types
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.wsgiops.flask.tests.unit.service import (
    DEADLINE,
    ROLE,
    WAITING,
    Output,
    ask,
    connect,
    eventually,
    get,
    hostile_requests,
    make_release,
    parsed,
    read_answer,
)

NAMES = {
    "request_id": "HTTP_X_REQUEST_ID",
    "client": "HTTP_X_FORWARDED_FOR",
    "protocol": "SERVER_PROTOCOL",
    "host": "HTTP_HOST",
    "method": "REQUEST_METHOD",
    "path": "RAW_URI",
    "referer": "HTTP_REFERER",
    "user_agent": "HTTP_USER_AGENT",
    "tracking_id": "HTTP_X_TRACKING_ID",
}

# journald cuts lines at 48 KiB: LineMax= in journald.conf(5).
LINE_MAX = 48 * 1024

APPLICATION = """
import os, sys
import access_log  # one of the application's own

HERE = os.path.dirname(__file__)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/early":
        raise RuntimeError("before the answer")
    if path == "/paths":
        body = repr((sys.path, access_log.OWN)).encode()
    else:
        body = b"ok"
    if path == "/empty":
        start_response("204 No Content", [])
        return []
    if path == "/file":
        start_response("200 OK", [("X-App", "1"), ("Content-Length", "5000")])
        return environ["wsgi.file_wrapper"](open(os.path.join(HERE, "file"), "rb"))
    start_response("200 OK", [("X-App", "1"), ("Content-Length", str(len(body)))])
    if path == "/late":
        return failing()
    return [body]

def failing():
    raise RuntimeError("after start_response, before the head was sent")
    yield b""
"""


@pytest.fixture(scope="module")
def access_log() -> types.ModuleType:
    """The module as servers load it."""
    spec = importlib.util.spec_from_file_location("_wsgiops_flask_access_log", ROLE / "files" / "access_log.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- the function -------------------------------------------------------------------------------------------------


def line_of(access_log: types.ModuleType, environ: dict[str, t.Any]) -> dict[str, t.Any]:
    return parsed(access_log.access_line(environ, 200, 5, 0.25).encode() + b"\n")


def test_what_a_line_says(access_log: types.ModuleType) -> None:
    environ = {wsgi: f"the {name}" for name, wsgi in NAMES.items()}
    line = line_of(access_log, environ)
    assert {name: line[name] for name in NAMES} == {name: f"the {name}" for name in NAMES}
    assert (line["status"], line["bytes"], line["duration"]) == (200, 5, 0.25)


def test_what_is_absent_is_empty(access_log: types.ModuleType) -> None:
    line = line_of(access_log, {})
    assert {name: line[name] for name in NAMES} == dict.fromkeys(NAMES, "")


def test_a_clock_that_was_set_back(access_log: types.ModuleType) -> None:
    assert parsed(access_log.access_line({}, 200, 5, -3600.0).encode() + b"\n")["duration"] == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "caf\ufffd"),
        (b"\xf0\x9f\x98\x80", "\U0001f600"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b'"\\/\x00\n\x7f', '"\\/\x00\n\x7f'),
    ],
)
def test_bytes_become_text(access_log: types.ModuleType, value: bytes, text: str) -> None:
    assert line_of(access_log, {"HTTP_REFERER": value.decode("latin-1")})["referer"] == text


@pytest.mark.parametrize(("value", "text"), [("\u20ac", "€"), ("\ud83d", "?"), (None, "None"), (5, "5")])
def test_what_an_application_put_into_its_environ(access_log: types.ModuleType, value: t.Any, text: str) -> None:
    assert line_of(access_log, {"HTTP_REFERER": value})["referer"] == text


@pytest.mark.parametrize("filler", ["A", '"', "\\", "\x00", "\xe2\x82\xac", "\xf0\x9f\x98\x80"], ids=ascii)
@pytest.mark.parametrize("shift", range(12))
def test_a_long_text_is_cut_between_characters(access_log: types.ModuleType, filler: str, shift: int) -> None:
    text = ("A" * shift + filler * 4096).encode("latin-1").decode()
    cut = line_of(access_log, {"HTTP_REFERER": "A" * shift + filler * 4096})["referer"]
    assert text.startswith(cut)
    # The next character would not have fitted.
    assert len(json.dumps(cut)) <= access_log.LIMIT < len(json.dumps(text[: len(cut) + 1]))


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(NAMES.values())),
        st.one_of(
            st.binary(max_size=60),
            st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
            st.lists(st.sampled_from([b'"', b"\\", b"\n", b'","status":200,"x":"', b"%0a", b"\xff"])).map(b"".join),
            st.builds(lambda piece, size: piece * size, st.binary(min_size=1, max_size=4), st.integers(2000, 8192)),
        ),
    ),
    st.integers(100, 599),
    st.integers(0, 1 << 60),
    st.floats(0, 1e6),
)
def test_no_request_breaks_a_line(
    access_log: types.ModuleType, environ: dict[str, bytes], status: int, sent: int, seconds: float
) -> None:
    text = access_log.access_line(
        {name: value.decode("latin-1") for name, value in environ.items()}, status, sent, seconds
    )
    line = parsed(text.encode() + b"\n")
    assert len(text) < LINE_MAX
    assert (line["status"], line["bytes"]) == (status, sent)
    for name, wsgi in NAMES.items():
        said = environ.get(wsgi, b"").decode("utf-8", "replace")
        if len(json.dumps(said)) <= access_log.LIMIT:
            assert line[name] == said
        else:
            assert said.startswith(line[name])
            assert len(json.dumps(line[name])) > access_log.LIMIT - len("\\ud83d\\ude00")


# --- gunicorn -----------------------------------------------------------------------------------------------------


class Gunicorn:
    """A running gunicorn with a release of its own; `output` is what it writes to stdout."""

    def __init__(self, home: Path, **keys: t.Any) -> None:
        keys = {"workers": 1, "logs": {"access": "gunicorn"}, **keys}
        self.home = make_release(home, APPLICATION, keys, "gunicorn.conf.py.j2")
        (home / "code" / "access_log.py").write_text("OWN = 'of the application'\n")
        (home / "code" / "file").write_bytes(b"x" * 5000)
        self.socket = home / "s"
        self.output = Output()
        self.errors = home / "errors"
        command = [sys.executable, "-m", "gunicorn", "--config", str(home / "gunicorn.conf.py")]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*command, "--bind", f"unix:{self.socket}"],
                cwd=home / "code",
                stdout=self.output.end,
                stderr=errors,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
            )
        with self.output.end:
            assert eventually(self._answers), self.errors.read_text()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return get(self.socket, "/empty", X_Request_ID=WAITING).status == 204
        return False

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.output.close()


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose name is short: sockets in it have 107 bytes for their path."""
    return tmp_path_factory.mktemp("g")


@contextlib.contextmanager
def gunicorn(home: Path, **keys: t.Any) -> Iterator[Gunicorn]:
    running = Gunicorn(home, **keys)
    try:
        yield running
    finally:
        running.stop()


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_gunicorn_writes_one_line_for_each_answer(access_log: types.ModuleType, home: Path, worker_class: str) -> None:
    requests = hostile_requests(500)
    with gunicorn(home, worker_class=worker_class) as server:
        answers = [ask(server.socket, request.raw(f"r{number}")) for number, request in enumerate(requests)]
        ended = get(server.socket, X_Request_ID="last")
    found: dict[str, list[dict[str, t.Any]]] = {}
    for line in server.output.lines():
        found.setdefault(line["request_id"], []).append(line)
    assert ended.status == 200
    assert len(found.pop("last")) == 1
    answered = {f"r{number}": requests[number] for number, answer in enumerate(answers) if "x-app" in answer.headers}
    assert len(answered) > 400
    # What gunicorn refused before it was a request has no line.
    assert set(found) == set(answered)
    for request_id, request in answered.items():
        [line] = found[request_id]
        assert (line["method"], line["protocol"], line["status"], line["bytes"]) == ("GET", "HTTP/1.1", 200, 2)
        for name, said in request.texts().items():
            assert line[name] == said or len(json.dumps(said)) > access_log.LIMIT
            assert said.startswith(line[name])


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_an_error_has_one_line_that_tells_whose_request_it_was(home: Path, worker_class: str) -> None:
    with gunicorn(home, worker_class=worker_class) as server:
        for path in ("/early", "/late"):
            answer = get(server.socket, path, X_Request_ID=path, X_Forwarded_For="192.0.2.7", Referer="there")
            assert answer.status == 500
        early, late = server.output.lines(2)
    for line, path in ((early, "/early"), (late, "/late")):
        assert (line["path"], line["request_id"], line["status"]) == (path, path, 500)
        assert (line["client"], line["host"], line["referer"]) == ("192.0.2.7", "shop", "there")
    assert len(server.output.lines()) == 2


def test_bytes_are_those_of_the_body(home: Path) -> None:
    with gunicorn(home) as server:
        for path in ("/", "/empty", "/file"):
            get(server.socket, path)
        ask(server.socket, b"HEAD /file HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        lines = server.output.lines(4)
    assert [(line["path"], line["bytes"]) for line in lines] == [("/", 2), ("/empty", 0), ("/file", 5000), ("/file", 0)]
    assert lines[3]["method"] == "HEAD"


def test_the_release_directory_is_not_on_the_path(home: Path) -> None:
    with gunicorn(home) as server:
        answer = get(server.socket, "/paths")
    path, own = eval(answer.body)
    assert path[0] == str(home / "code")
    assert str(home) not in path
    assert own == "of the application"


def test_lines_go_to_the_file_and_to_a_new_one_after_usr1(home: Path) -> None:
    with gunicorn(home, logs={"access": "both", "to": "files"}) as server:
        log, rotated = home / "logs" / "access.log", home / "logs" / "access.log.1"
        assert eventually(log.read_text)
        log.rename(rotated)
        server.process.send_signal(signal.SIGUSR1)

        def reopened() -> bool:
            get(server.socket, X_Request_ID="next")
            return log.exists() and log.read_text() != ""

        assert eventually(reopened)
    lines = [parsed(line) for log in (rotated, log) for line in log.read_bytes().splitlines(keepends=True)]
    assert {line["request_id"] for line in lines} == {WAITING, "next"}
    assert server.output.writes == []
    assert "Listening at" in (home / "logs" / "error.log").read_text()


@pytest.mark.parametrize("access", ["nginx", "gunicorn"])
def test_gunicorn_sends_metrics_with_and_without_lines(home: Path, access: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(DEADLINE)
        target = f"127.0.0.1:{receiver.getsockname()[1]}"
        with gunicorn(home, logs={"access": access}, metrics={"statsd": target}) as server:
            assert get(server.socket).status == 200
            seen: set[bytes] = set()
            while not any(b"status.200" in metric for metric in seen):
                seen.add(receiver.recv(1024))
        lines = len(server.output.lines(1 if access == "gunicorn" else 0))
    assert b"shop.gunicorn.requests:1|c|@1.0" in seen
    assert b"shop.gunicorn.request.status.200:1|c|@1.0" in seen
    assert any(metric.startswith(b"shop.gunicorn.request.duration:") for metric in seen)
    assert lines == (1 if access == "gunicorn" else 0)


@pytest.mark.parametrize("worker_class", ["sync", "gevent"])
def test_a_receiver_of_metrics_that_hangs_or_comes_late_stops_nothing(home: Path, worker_class: str) -> None:
    path = home / "statsd"
    with gunicorn(home, worker_class=worker_class, metrics={"statsd": str(path)}) as server:
        assert get(server.socket).status == 200
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(str(path))
            receiver.settimeout(DEADLINE)
            # Many times what its queue holds: net.unix.max_dgram_qlen.
            assert {get(server.socket).status for attempt in range(50)} == {200}
            assert receiver.recv(1024).startswith(b"shop.gunicorn.")
    assert "statsd" not in server.errors.read_text()


def test_nobody_who_takes_metrics_is_no_error(home: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{free.getsockname()[1]}"
    with gunicorn(home, metrics={"statsd": target}) as server:
        assert {get(server.socket).status for attempt in range(10)} == {200}
    assert "statsd" not in server.errors.read_text()


def test_requests_of_one_connection(home: Path) -> None:
    with gunicorn(home, worker_class="gthread") as server:
        with connect(server.socket) as client:
            for number in range(3):
                client.sendall(f"GET /{number} HTTP/1.1\r\nHost: shop\r\nX-Request-ID: {number}\r\n\r\n".encode())
                assert read_answer(client).status == 200
        lines = server.output.lines(3)
    assert [(line["request_id"], line["path"]) for line in lines] == [("0", "/0"), ("1", "/1"), ("2", "/2")]
