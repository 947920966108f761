# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs inside the service: the gunicorn role's files of a release, and requests that mean harm."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import re
import shutil
import socket
import threading
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ansible_collections.wsgiops.flask.tests.unit.rendering import Render, rendering

REPOSITORY = Path(__file__).resolve().parents[2]
ROLE = REPOSITORY / "roles" / "gunicorn"
FIELDS = "time request_id client protocol host method path status bytes duration referer user_agent tracking_id".split()
DEADLINE = 30.0  # seconds, generous for a busy machine

# X-Request-ID of requests that only find out whether a server answers.
WAITING = "waiting"

_kept_open = contextlib.ExitStack()
atexit.register(_kept_open.close)


@functools.cache
def _render() -> Render:
    return _kept_open.enter_context(rendering(REPOSITORY, "gunicorn"))


@functools.cache
def _rendered(template: str, keys: str, logs: Path) -> str:
    layout = {"error_log": str(logs / "error.log"), "access_log": str(logs / "access.log")}
    lookup = f"lookup('ansible.builtin.template', '{template}')"
    return t.cast("str", _render()(lookup, json.loads(keys), __gunicorn_layout=layout))


def render(template: str, keys: dict[str, t.Any], logs: Path = Path("/var/log/shop")) -> str:
    """A template of the role for an application with further keys, whose log files are in a directory."""
    return _rendered(template, json.dumps(keys), logs)


def make_release(home: Path, application: str, keys: dict[str, t.Any], template: str) -> Path:
    """A directory with a release's files, the application's module shop in code/; what it logs to files, logs/ gets."""
    (home / "logs").mkdir(exist_ok=True)
    (home / "code").mkdir()
    (home / "code" / "shop.py").write_text(application)
    for path in (ROLE / "files").iterdir():
        if path.is_file():
            shutil.copy(path, home)
    (home / template.removesuffix(".j2")).write_text(render(template, keys, home / "logs"))
    return home


def eventually(probe: Callable[[], t.Any]) -> t.Any:
    """The first result of `probe` that is true; the last one when there is none in time."""
    end = time.monotonic() + DEADLINE
    while not (result := probe()) and time.monotonic() < end:
        time.sleep(0.02)
    return result


class Output:
    """A program's output, one entry for each write(2) of it: `end` is what the program writes to."""

    def __init__(self) -> None:
        self._ours, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.writes: list[bytes] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while data := self._ours.recv(1 << 20):
            self.writes.append(data)

    def close(self) -> None:
        """To be called when the program has ended."""
        self.end.close()
        self._thread.join(DEADLINE)
        self._ours.close()

    def lines(self, count: int = 0) -> list[dict[str, t.Any]]:
        """The access lines, once there are `count`; each is a write. Without those of requests by which tests wait."""

        def found() -> list[dict[str, t.Any]]:
            lines = [parsed(write) for write in list(self.writes)]
            return [line for line in lines if line["request_id"] != WAITING]

        eventually(lambda: len(found()) >= count)
        return found()


def parsed(write: bytes) -> dict[str, t.Any]:
    """What an access line says, and that it is one."""
    assert write.endswith(b"}\n")
    assert write.isascii()
    assert write.count(b"\n") == 1
    pairs = json.loads(write, object_pairs_hook=list)
    assert [name for name, value in pairs] == FIELDS
    line = dict(pairs)
    assert {name: type(value) for name, value in pairs if name in ("status", "bytes")} == {"status": int, "bytes": int}
    assert isinstance(line["duration"], float)
    assert line["duration"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", line["time"])
    return line


class Answer(t.NamedTuple):
    """An answer as it came, the head's names in lower case; status 0 where there was none."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(DEADLINE)
    client.connect(str(path))
    return client


def received(client: socket.socket) -> bytes:
    """What has come since; empty at the end of the connection, however it ended."""
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""


def read_answer(client: socket.socket) -> Answer:
    """One answer that says how long it is, or that ends with the connection."""
    data = b""
    while b"\r\n\r\n" not in data and (more := received(client)):
        data += more
    head, _blank, body = data.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, colon, value in (field.partition(":") for field in fields)}
    length = int(headers.get("content-length", -1))
    while (len(body) < length or length == -1) and (more := received(client)):
        body += more
    return Answer(int(first.split()[1]) if first else 0, headers, body)


def ask(path: Path, request: bytes) -> Answer:
    """The answer to the bytes of a request."""
    with connect(path) as client:
        with contextlib.suppress(BrokenPipeError):  # refused before all of it was read
            client.sendall(request)
        return read_answer(client)


def get(path: Path, target: str = "/", **headers: str) -> Answer:
    """The answer to a GET; an underscore in a header's name stands for a hyphen."""
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in {"Host": "shop", **headers}.items())
    return ask(path, f"GET {target} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n".encode("latin-1"))


# --- requests that mean harm --------------------------------------------------------------------------------------

# Pieces that end a JSON text, a line or a percent-encoded byte, and forged fields: all allowed in a request's target.
TEXTS = [bytes([code]) for code in range(0x21, 0x7F)]
TEXTS += b'\\" \\\\" \\u0041 \\ud83d %0a %0d%0a %09 %22 %5c %00 %ff %u0022 %C3%A4 {0} %(line)s ${x} <!--'.split()
TEXTS += [b'","status":200,"x":"', b'"}\\n{"time":"', b'"}%0a{"time":"']
# Further ones that are allowed in a header's value: those that are no UTF-8, too.
BYTES = [*TEXTS, b" ", b"\t", *(bytes([code]) for code in range(0x80, 0x100)), b"\xed\xa0\x80", b"\xf0\x9f\x98"]
BYTES += [text.encode() for text in ("äöü", "\u2028", "\U0001f600")]
# Control bytes, which no server has to take.
CONTROL = [bytes([code]) for code in (*range(0x20), 0x7F) if code not in b"\t\r\n"]
# What fills 8 kB.
LONG = [b"A", b'"', b"\\", b"\xff", "\u20ac".encode(), "\U0001f600".encode()]


def _joined(pieces: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(pieces), max_size=8).map(b"".join)


_long = st.builds(lambda piece, size: (piece * size)[:size], st.sampled_from(LONG), st.integers(4000, 8000))
_values = st.one_of(_joined(BYTES), _joined(BYTES), _joined(BYTES), _long)
_fields = {
    "host": "Host",
    "client": "X-Forwarded-For",
    "referer": "Referer",
    "user_agent": "User-Agent",
    "tracking_id": "X-Tracking-ID",
}


class Hostile(t.NamedTuple):
    """A request by what its access line calls its parts."""

    path: bytes
    fields: dict[str, bytes]

    def raw(self, request_id: str) -> bytes:
        fields = [b"%s: %s\r\n" % (_fields[name].encode(), value) for name, value in self.fields.items()]
        fields.append(f"X-Request-ID: {request_id}\r\nConnection: close\r\n\r\n".encode())
        return b"GET %s HTTP/1.1\r\n" % self.path + b"".join(fields)

    def texts(self) -> dict[str, str]:
        """What the access line has to say of it, as long as that is short."""
        values = {"path": self.path, **self.fields}
        return {name: value.strip(b" \t").decode("utf-8", "replace") for name, value in values.items()}


@functools.cache
def hostile_requests(count: int) -> list[Hostile]:
    """So many of them, the same at each run; about one in ten has control bytes."""
    found: list[Hostile] = []
    paths = st.one_of(
        _joined(TEXTS), _joined(TEXTS), _long.map(lambda value: value[:1] * 3000 if value[0] < 0x80 else b"")
    )
    usual = st.builds(
        Hostile,
        paths.map(lambda path: b"/" + path),
        st.fixed_dictionaries({}, optional=dict.fromkeys(_fields, _values)),
    )
    odd = st.builds(
        Hostile,
        _joined(BYTES + CONTROL).map(lambda path: b"/" + path),
        st.fixed_dictionaries({"referer": _joined(BYTES + CONTROL)}),
    )

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(st.integers(0, 9).flatmap(lambda kind: odd if kind == 9 else usual))
    def collect(request: Hostile) -> None:
        found.append(request)

    collect()
    return found
