"""Access lines of requests that nobody well-meaning sends: each is one line of JSON, and tells what was sent."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hostlab import raw
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

NGINX_LOG = "/var/log/nginx/shop.access.log"
SERVER_LOG, ERROR_LOG = "/var/log/shop/access.log", "/var/log/shop/error.log"

FIELDS = [
    *("time", "request_id", "client", "protocol", "host", "method", "path", "status", "bytes", "duration"),
    *("referer", "user_agent", "tracking_id"),
]
# nginx tells besides how long the application took, where it was asked at all.
NGINX_FIELDS = [*FIELDS[:10], "upstream_duration", *FIELDS[10:]]
NUMBERS = {"status", "bytes", "duration", "upstream_duration"}

# ISO 8601, with the zone.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")

ABSENT = ("upstream_duration", None)

CASES = 600

# What ends a text, a line or an object, what is no UTF-8 (RFC 3629), and what a template or a terminal would act on.
NASTY = [
    *(b'"', b"\\", b'\\"', b"\\u0000", b"'", b'","status":1,"path":"', b'"}\n{"path":"/forged', b"{}", b"["),
    *(b"\t", b"\n", b"\r", b"\r\n ", b"\x00", b"\x01", b"\x08", b"\x1b[31m", b"\x1f", b"\x7f"),
    *(b"%22%7d%0a", b"%0a", b"%0d%0a", b"%00", b"%ff", b"%"),
    *(b"\x80", b"\xc3", b"\xc0\xaf", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98", b"\xfe\xff"),
    "\u00e9\u20ac\U0001f600\U0010ffff\u2028\u0085".encode(),
    *(b"%(h)s", b"{0}", b"$status", b"${jndi:x}", b"`id`", b"<script>", b"-", b" ", b"#", b"?", b"//", b"/../", b";"),
]
# nginx and gunicorn refuse some bytes in some places. What has none of them gets as far as the application.
TAKEN = [part for part in NASTY if not re.search(rb"[\x00-\x1f\x7f]", part)]
TAKEN_IN_PATHS = [part for part in TAKEN if not re.search(rb"[ \x80-\xff]|%($|00|\()", part)]


def text(parts: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(parts), min_size=1, max_size=6).map(b"".join)


def long(parts: list[bytes], most: int) -> st.SearchStrategy[bytes]:
    return st.builds(lambda part, size: (part * size)[:size], st.sampled_from(parts), st.integers(most // 2, most))


ANY = text(NASTY) | st.binary(max_size=40)
# nginx takes lines of up to 8 kB (large_client_header_buffers), gunicorn a first line of 4094 and headers of 8190.
TARGETS = text(TAKEN_IN_PATHS) | long(TAKEN_IN_PATHS, 4100)
VALUES = text(TAKEN) | long(TAKEN, 8200)
CREDENTIALS = ANY.map(lambda user: b"Basic " + base64.b64encode(user + b"\nsecond line:secret"))
NAMES = [b"Referer", b"User-Agent", b"X-Tracking-ID", b"X-Request-ID", b"X-Forwarded-For", b"Cookie"]


def headers(values: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[tuple[bytes, bytes]]]:
    header = st.tuples(st.sampled_from(NAMES), values) | st.tuples(st.just(b"Authorization"), CREDENTIALS)
    return st.lists(header, max_size=3, unique_by=lambda one: one[0])


@dataclass(frozen=True)
class Request:
    """What a client sends: harmless but for what is given."""

    target: bytes = b""
    method: bytes = b"GET"
    protocol: bytes = b"HTTP/1.1"
    host: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def path(self, marker: str) -> bytes:
        return f"/{marker}/".encode() + self.target

    def as_bytes(self, marker: str) -> bytes:
        lines = [
            b" ".join([self.method, self.path(marker), self.protocol]).rstrip(b" "),
            b"Connection: close",
            b"Host: " + self.host + b"shop.example.com",
            *(name + b": " + value for name, value in self.headers),
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"


METHODS = st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS", b"get", b'G"ET', b"A" * 40])
PROTOCOLS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.7", b"HTTP/2.0", b"", b"HTTP/\xff"])
HOSTS = text(TAKEN).map(lambda part: part + b".")
REQUESTS = st.one_of(
    st.builds(Request, TARGETS, headers=headers(VALUES)),
    st.builds(Request, TARGETS, headers=headers(VALUES), host=HOSTS),
    st.builds(Request, headers=headers(ANY)),
    st.builds(Request, TARGETS, METHODS, PROTOCOLS),
    st.builds(Request, ANY, METHODS, PROTOCOLS, ANY, headers(ANY)),
)


def generated() -> dict[str, Request]:
    """The same requests in each run, by the marker in their path."""
    found: list[Request] = []

    # On a busy machine hypothesis would call the making of these slow.
    @settings(
        max_examples=CASES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(REQUESTS)
    def collect(request):
        found.append(request)

    collect()
    return {f"marker-{number}": request for number, request in enumerate(found)}


Lines = Callable[[], list[bytes]]


def lines_after(one, path: str) -> Lines:
    """A function that returns what was added to a log since."""
    start = int(one.run("stat --format %%s %s", path))
    return lambda: lines(one, f"tail --bytes +{start + 1} {path}")


def entries_after(one) -> Lines:
    """A function that returns what the service has said since, by the journal."""
    show = f"journalctl --quiet --output=cat _SYSTEMD_UNIT={one.service}"
    # A cursor of another service's entry hides the first that comes after it (systemd 252).
    cursor = one.run(f"{show} --lines=1 --show-cursor").splitlines()[-1].removeprefix("-- cursor: ")
    show += f" --after-cursor='{cursor}'"
    return lambda: lines(one, f"journalctl --sync; {show}")


def lines(one, command: str) -> list[bytes]:
    """The lines that a command of the host writes, as they are."""
    written = base64.b64decode(one.run("sh -c %s", f"{{ {command}; }} | base64"))
    assert written.endswith(b"\n") or not written
    return written.split(b"\n")[:-1]


def parsed(line: bytes, fields: list[str]) -> dict[str, object]:
    """An access line, by the letter of RFC 8259: UTF-8, no name twice, no NaN."""

    def unique(pairs):
        assert [name for name, _ in pairs] == fields
        return dict(pairs)

    def refused(word):
        raise AssertionError(word)

    found = json.loads(line.decode("utf-8"), object_pairs_hook=unique, parse_constant=refused)
    for name, value in found.items():
        assert isinstance(value, (int, float) if name in NUMBERS else str) or (name, value) == ABSENT, line
    assert TIME.fullmatch(str(found["time"])), line
    return found


def by_marker(found: list[dict], sent: dict[str, Request]) -> dict[str, dict]:
    """Access lines by the request that they are about."""
    sorted_out = {}
    for line in found:
        # Of a first line that it can't read pywsgi tells that there was one, and nothing of what stood there.
        if line["path"] == "":
            assert line["status"] in (400, 414), line
            assert not any(line[name] for name in set(FIELDS) - NUMBERS - {"time"}), line
            continue
        named = re.match(r"/(marker-\d+)/", str(line["path"]))
        assert named, f"nobody sent {line}"
        assert named[1] in sent, f"nobody sent {line}"
        assert named[1] not in sorted_out, f"twice: {line}"
        sorted_out[named[1]] = line
    return sorted_out


def as_utf8(value: bytes) -> str:
    """What is written of a value: all of it, or what is UTF-8 at its beginning and a mark."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        return value[: error.start].decode("utf-8") + "\ufffd"


# Where the server's access lines go, and keys. gunicorn's are of one make, whatever its workers are.
SERVERS = {
    "sync to the journal": ("journal", {"worker_class": "sync"}),
    "gthread": ("files", {"worker_class": "gthread"}),
    "gevent": ("files", {"worker_class": "gevent"}),
    "pywsgi": ("files", {"server": "gevent"}),
    "pywsgi to the journal": ("journal", {"server": "gevent"}),
}

# Headers that have a field of their own.
FIELD_OF = {b"Referer": "referer", b"User-Agent": "user_agent", b"X-Tracking-ID": "tracking_id"}


def assert_tells(line: dict[str, object], request: Request) -> None:
    """nginx's line of a request that was answered holds the headers that were sent, as far as they are UTF-8."""
    # What ends a line of the head, and with it a value, is not for this test to take apart.
    if re.search(rb"[\r\n]", b"".join(value for _, value in request.headers)):
        return
    sent = dict(request.headers)
    for name, named in FIELD_OF.items():
        assert line[named] == as_utf8(sent.get(name, b"").strip(b" "))


def added(one, server: str) -> Callable[[], tuple[list[bytes], list[bytes], list[bytes]]]:
    """A function that returns what was added since: nginx's access lines, the server's, and what else that said."""
    nginx = lines_after(one, NGINX_LOG)
    if SERVERS[server][0] == "files":
        access, error = lines_after(one, SERVER_LOG), lines_after(one, ERROR_LOG)
        return lambda: (nginx(), access(), error())
    journal = entries_after(one)

    def from_journal() -> tuple[list[bytes], list[bytes], list[bytes]]:
        said = journal()
        access = [line for line in said if line.startswith(b"{")]
        return nginx(), access, [line for line in said if line not in access]

    return from_journal


@pytest.mark.parametrize("server", SERVERS)
def test_no_client_breaks_or_forges_an_access_line(shop, shops, server, capsys):
    del shop.app["workers"]
    to, keys = SERVERS[server]
    shop.deploy(logs={"to": to, "access": "both"}, **keys)
    requests = generated()
    assert len(requests) >= 500
    for one in shops:
        read = added(one, server)
        sent = [request.as_bytes(marker) for marker, request in requests.items()]
        answers = dict(zip(requests, raw.exchange_all(one.address, sent), strict=True))
        of_nginx, of_server, said = read()
        nginx = by_marker([parsed(line, NGINX_FIELDS) for line in of_nginx], requests)
        assert b"".join(of_server).isascii()
        served = by_marker([parsed(line, FIELDS) for line in of_server], requests)

        # The site has headers of its own. What names no site, or is no request to nginx, is answered by none, and not
        # logged.
        assert len(of_nginx) == len(nginx)
        assert set(nginx) == {
            marker for marker, answer in answers.items() if "x-content-type-options" in answer.headers
        }
        for marker, line in nginx.items():
            assert line["status"] == answers[marker].status
            assert line["path"] == as_utf8(requests[marker].path(marker))

        # The application names the request in its answer; gunicorn and pywsgi, which refuse some, do not.
        answered = {
            marker: answer.headers["x-request-id"]
            for marker, answer in answers.items()
            if "x-request-id" in answer.headers
        }
        assert len(answered) > len(requests) / 4
        for marker, request_id in answered.items():
            assert nginx[marker]["upstream_duration"] is not None
            assert nginx[marker]["request_id"] == served[marker]["request_id"] == request_id
            assert_tells(nginx[marker], requests[marker])

        # Of what they refuse pywsgi writes an access line, and gunicorn a line elsewhere.
        passed = {marker for marker, line in nginx.items() if line["upstream_duration"] is not None}
        assert set(served) <= passed
        refused = len(requests) - len(passed), len(passed) - len(answered)
        if "server" in keys:
            assert len(of_server) == len(passed)
        else:
            assert len(of_server) == len(answered)
            assert sum(b"Invalid request" in line for line in said) == refused[1]
        with capsys.disabled():
            print(
                f"\n{one.inventory_name}, {server}: of {len(requests)} requests nginx refused {refused[0]}, "
                f"the server {refused[1]}, and the application answered {len(answered)}"
            )
