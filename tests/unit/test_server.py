# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The application under gevent's server alone, in the hands of a systemd that is a test."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gunicorn.instrument.statsd import Statsd

from ansible_collections.wsgiops.flask.tests.unit.service import (
    DEADLINE,
    WAITING,
    Answer,
    Output,
    ask,
    connect,
    eventually,
    get,
    hostile_requests,
    make_release,
    read_answer,
    render,
)

APPLICATION = '''
import gc, os, sys, time
from gevent.monkey import get_original

def wait_for(name, sleep=time.sleep):
    """Tell that it began, and wait for the file."""
    open(name + ".began", "w").close()
    while not os.path.exists(name):
        sleep(0.01)

def create_app(text="made", *, more=""):
    def made(environ, start_response):
        start_response("200 OK", [("Content-Length", str(len(text + more)))])
        return [(text + more).encode()]
    return made

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"the default"]

def app(environ, start_response):
    path = environ["PATH_INFO"]
    body = b"ok"
    if path == "/slow":
        wait_for("slow")
    elif path == "/blocking":
        wait_for("blocking", get_original("time", "sleep"))
    elif path == "/error":
        raise RuntimeError("on purpose")
    elif path == "/exit":
        sys.exit("the application says so")
    elif path == "/silent":
        return []
    elif path == "/environ":
        wanted = {name: value for name, value in environ.items() if isinstance(value, (str, bool, tuple))}
        body = repr((wanted, sys.path, sorted(os.environ))).encode()
    elif path == "/body":
        body = environ["wsgi.input"].read()
    elif path == "/empty":
        start_response("204 No Content", [])
        return []
    elif path == "/frozen":
        body = str(gc.get_freeze_count()).encode()
    elif path == "/print":
        print("said to stdout", flush=True)
        print("said to stderr", file=sys.stderr)
    start_response("200 OK", [("X-App", "1"), ("Content-Length", str(len(body)))])
    return [body]
'''

# A shell becomes the server: it passes its own process id on, and the socket as descriptor 3.
HANDOVER = 'export LISTEN_PID=$$; exec "${@:2}" 3<&"$1"'


class Service:
    """A running server.py with a release of its own, and what systemd would be to it."""

    def __init__(self, home: Path, application: str = APPLICATION, abstract: bool = False, **keys: t.Any) -> None:
        self.keys = {"server": "gevent", "logs": {"access": "gunicorn"}, **keys}
        self.home = make_release(home, application, self.keys, "server.json.j2")
        self.code = home / "code"
        self.socket = home / "s"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen(64)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(f"\0{home}/notify" if abstract else str(home / "notify"))
        self.notified.settimeout(DEADLINE)
        self.output = Output()
        self.errors = home / "errors"
        self.environment = {
            "NOTIFY_SOCKET": f"@{home}/notify" if abstract else str(home / "notify"),
            "LISTEN_FDS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, listener: socket.socket | None = None, **environment: str) -> None:
        inherited = (listener or self.listener).fileno()
        command = ["bash", "-c", HANDOVER, "sh", str(inherited), sys.executable, str(self.home / "server.py")]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*command, *arguments],
                cwd=self.code,
                stdin=subprocess.DEVNULL,
                stdout=self.output.end,
                stderr=errors,
                pass_fds=[inherited],
                env={**os.environ, **self.environment, **environment},
            )

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def ended(self) -> int:
        """The exit status; there is one within the deadline."""
        assert self.process
        return self.process.wait(DEADLINE)

    def state(self) -> str:
        """What systemd is told next."""
        return self.notified.recv(1024).decode()

    def told(self, seconds: float = 0) -> bool:
        """Whether systemd is told anything within that time."""
        return bool(select.select([self.notified], [], [], seconds)[0])

    def said(self) -> str:
        return self.errors.read_text()

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.listener.close()
        self.notified.close()
        self.output.close()


Make = Callable[..., Service]


@pytest.fixture
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Makes services in directories whose names are short: sockets in them have 107 bytes for their path."""
    with contextlib.ExitStack() as stack:

        def made(*arguments: t.Any, **keys: t.Any) -> Service:
            service = Service(tmp_path_factory.mktemp("s"), *arguments, **keys)
            stack.callback(service.close)
            return service

        yield made


@pytest.fixture
def ready(make: Make) -> Make:
    """Makes services, starts them and waits for READY; `environment` is further variables."""

    def made(environment: t.Mapping[str, str] | None = None, **keys: t.Any) -> Service:
        service = make(**keys)
        service.start(**(environment or {}))
        assert service.state() == "READY=1", service.said()
        return service

    return made


def begun(service: Service, target: str) -> socket.socket:
    """A connection whose request the application has begun with."""
    client = connect(service.socket)
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
    assert eventually((service.code / f"{target[1:]}.began").exists)
    return client


# --- start --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_is_said_when_the_application_is_imported(make: Make, abstract: bool) -> None:
    service = make(APPLICATION + 'wait_for("imported")\n', abstract=abstract)
    service.start()
    assert eventually((service.code / "imported.began").exists)
    assert not service.told()
    (service.code / "imported").touch()
    assert service.state() == "READY=1"
    assert get(service.socket).body == b"ok"


@pytest.mark.parametrize(
    ("application", "last"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("app = 5", "TypeError: shop:app is no WSGI application but 5"),
        ("other = 5", "AttributeError: module 'shop' has no attribute 'app'"),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\nraise RuntimeError",
            "RuntimeError",
        ),
    ],
)
def test_a_broken_application_fails_the_check(make: Make, application: str, last: str) -> None:
    service = make(application)
    service.start("--check")
    assert service.ended() == 1
    assert service.said().startswith("Traceback (most recent call last):")
    assert service.said().splitlines()[-1] == last
    assert not service.told()


def test_a_broken_application_fails_the_start(make: Make) -> None:
    sleeper = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n"
    service = make(sleeper + "raise RuntimeError('broken')")
    service.start()
    assert service.ended() == 1
    assert service.said().splitlines()[-1] == "RuntimeError: broken"
    assert not service.told()


def test_the_check_ends_whatever_threads_the_application_starts(make: Make) -> None:
    sleeper = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n"
    service = make(APPLICATION + sleeper, logs={"to": "files", "access": "both"})
    service.start("--check", LISTEN_FDS="")
    assert service.ended() == 0
    assert service.said() == ""
    assert not service.told()
    # The log files are the service's to make.
    assert list((service.home / "logs").iterdir()) == []


@pytest.mark.parametrize(
    ("wsgi", "body"),
    [
        ("shop", b"the default"),
        ("shop:create_app()", b"made"),
        ('shop:create_app("a", more="b")', b"ab"),
        ("package.inner:app", b"ok"),
    ],
)
def test_what_wsgi_may_name(make: Make, wsgi: str, body: bytes) -> None:
    service = make(wsgi=wsgi)
    (service.code / "package").mkdir()
    (service.code / "package" / "inner.py").write_text("from shop import app\n")
    service.start()
    assert service.state() == "READY=1", service.said()
    assert get(service.socket).body == body


@pytest.mark.parametrize("wsgi", ["shop:app.attribute", "shop:(lambda: 1)()", "shop:create_app(open('x'))"])
def test_what_wsgi_may_not_name(make: Make, wsgi: str) -> None:
    service = make(wsgi=wsgi)
    service.start("--check")
    assert service.ended() == 1


@pytest.mark.parametrize("count", ["", "2"])
def test_without_one_socket_from_systemd_it_does_not_start(make: Make, count: str) -> None:
    service = make()
    service.start(LISTEN_FDS=count)
    assert service.ended() == 1
    assert "server.py: systemd has to hand over one socket" in service.said()
    assert not service.told()


def test_a_socket_for_another_process_is_not_taken(make: Make) -> None:
    service = make()
    environment = {**os.environ, **service.environment, "LISTEN_PID": "1"}
    command = [sys.executable, str(service.home / "server.py")]
    done = subprocess.run(
        command, cwd=service.code, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 1
    assert "server.py: systemd has to hand over one socket, not 1 to process 1" in done.stderr


def test_another_kind_of_socket_is_not_taken(make: Make) -> None:
    service = make()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service.start(listener=listener)
        assert service.ended() == 1
    assert "server.py: the socket from systemd is no unix socket that listens" in service.said()


def test_it_listens_on_no_network(ready: Make) -> None:
    service = ready()
    assert service.process
    links = []
    for path in Path(f"/proc/{service.process.pid}/fd").iterdir():
        # That of a connection which has just ended.
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(path))
    held = {link[len("socket:[") : -1] for link in links if link.startswith("socket:")}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        rows = Path("/proc/net", table).read_text().splitlines()[1:]
        assert held.isdisjoint(row.split()[9] for row in rows)


def test_programs_that_the_application_starts_do_not_get_the_socket(ready: Make) -> None:
    service = ready()
    assert service.process
    info = Path(f"/proc/{service.process.pid}/fdinfo/3").read_text()
    flags = re.search(r"^flags:\s+([0-7]+)$", info, re.MULTILINE)
    assert flags
    assert int(flags[1], 8) & os.O_CLOEXEC


def test_the_names_of_the_release_and_of_the_application_stay_apart(make: Make) -> None:
    """The code comes first on the path for what the application imports, and not before the standard library's own
    modules for what the server does; the release directory is not on it."""
    service = make()
    for name in ("socket", "json", "argparse", "atexit"):
        (service.code / f"{name}.py").write_text("raise RuntimeError('taken for the standard library')\n")
    (service.code / "access_log.py").write_text("own = True\n")
    (service.code / "shop.py").write_text("import access_log, sys\nassert access_log.own\n" + APPLICATION)
    further = service.home / "further"
    further.mkdir()
    service.start(PYTHONPATH=str(further))
    assert service.state() == "READY=1", service.said()
    path = eval(get(service.socket, "/environ").body)[1]
    assert path[:2] == [str(service.code), str(further)]
    assert str(service.home) not in path


# --- requests -----------------------------------------------------------------------------------------------------


def test_the_environ_is_gunicorns(ready: Make) -> None:
    service = ready()
    target = "/environ?a=%20b"
    fields = "X-Forwarded-Proto: https|X-Forwarded-For: 192.0.2.7|X_Forwarded_For: 192.0.2.8|Remote_Addr: 192.0.2.9"
    fields += "|X-Two: 1|X-Two: 2|X-End: \xc3\xa0|Connection: close"
    head = f"GET {target} HTTP/1.1|Host: shop.example.com:8443|{fields}||".replace("|", "\r\n")
    environ, _path, variables = eval(ask(service.socket, head.encode("latin-1")).body)
    wanted = {
        "RAW_URI": target,
        "PATH_INFO": "/environ",
        "QUERY_STRING": "a=%20b",
        "SCRIPT_NAME": "",
        "REMOTE_ADDR": "",
        "SERVER_NAME": "shop.example.com",
        "SERVER_PORT": "8443",
        "HTTP_HOST": "shop.example.com:8443",
        "HTTP_X_FORWARDED_FOR": "192.0.2.7",
        "HTTP_X_TWO": "1,2",
        "HTTP_X_END": "\xc3\xa0",
        "wsgi.url_scheme": "https",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {name: environ.get(name) for name in wanted} == wanted
    assert "HTTP_REMOTE_ADDR" not in environ
    assert not {"LISTEN_FDS", "LISTEN_PID"} & set(variables)
    plain = eval(get(service.socket, "/environ", X_Forwarded_Proto="ftp").body)[0]
    assert (plain["wsgi.url_scheme"], plain["SERVER_PORT"]) == ("http", "80")


HEAD = b"GET / HTTP/1.1\r\nHost: shop\r\n"
POST = b"POST /body HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n"


def test_bodies(ready: Make) -> None:
    service = ready()
    assert ask(service.socket, POST + b"Content-Length: 3\r\n\r\nabc").body == b"abc"
    assert ask(service.socket, POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").body == b"abc"
    assert ask(service.socket, POST + b"\r\n").body == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        POST + b"Content-Length: +3\r\n\r\nabc",
        POST + b"Content-Length: 0_3\r\n\r\nabc",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: \r\n\r\n",
        POST + b"Transfer-Encoding: identity\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Host: desk\r\n\r\n",
        HEAD + b"Folded: a\r\n b\r\n\r\n",
        HEAD + b"No-Colon\r\n\r\n",
        HEAD + b"Space : a\r\n\r\n",
        HEAD + b": a\r\n\r\n",
        HEAD + b"Bare-Lf: a\n\r\n",
        HEAD + b"Bare-Cr: a\rb\r\n\r\n",
        HEAD + b"Nul: a\0b\r\n\r\n",
        HEAD + b"\n",
        HEAD + b"Long: " + b"a" * 8190 + b"\r\n\r\n",
        HEAD + b"Many: a\r\n" * 100 + b"\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"GET http://shop/ HTTP/1.1\r\n\r\n",
        b"CONNECT shop:80 HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /\t HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
    ],
    ids=lambda data: ascii(data[:90]),
)
def test_what_is_no_request_is_refused(refuser: Service, request_bytes: bytes) -> None:
    answer = ask(refuser.socket, request_bytes + b"GET /smuggled HTTP/1.1\r\n\r\n")
    assert answer.status == 400
    assert "x-app" not in answer.headers
    assert b"HTTP/1.1" not in answer.body


@pytest.fixture(scope="module")
def refuser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all requests that are none."""
    service = Service(tmp_path_factory.mktemp("s"))
    try:
        service.start()
        assert service.state() == "READY=1", service.said()
        yield service
        assert get(service.socket).status == 200
        assert {line.partition(":")[0] for line in service.said().splitlines()} == {"server.py"}
    finally:
        service.close()


def test_what_is_loaded_the_garbage_collector_leaves_alone(refuser: Service) -> None:
    assert int(get(refuser.socket, "/frozen").body) > 1000


def test_once_another_release_is_current_an_answer_ends_its_connection(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("s")
    (home / "r" / "a").mkdir(parents=True)
    service = Service(home / "r" / "a")
    try:
        service.start()
        assert service.state() == "READY=1", service.said()
        with connect(service.socket) as client:
            for release, connection in ((None, None), ("a", None), ("b", "close")):
                (home / "current").unlink(missing_ok=True)
                if release:
                    (home / "current").symlink_to(f"r/{release}")
                client.sendall(HEAD + b"\r\n")
                assert read_answer(client).headers.get("connection") == connection
            assert client.recv(1) == b""
    finally:
        service.close()


def test_the_length_of_a_request_line(refuser: Service) -> None:
    """gunicorn's limit_request_line, by default."""
    assert get(refuser.socket, "/" + "a" * (4094 - len("GET / HTTP/1.1"))).status == 200
    assert get(refuser.socket, "/" + "a" * (4095 - len("GET / HTTP/1.1"))).status == 414
    assert eventually(lambda: 414 in [line["status"] for line in refuser.output.lines()])


def test_as_many_and_as_long_fields_as_are_allowed(refuser: Service) -> None:
    assert ask(refuser.socket, HEAD + b"Many: a\r\n" * 97 + b"Connection: close\r\n\r\n").status == 200
    field = b"Long: " + b"a" * (8190 - len(b"Long: \r\n")) + b"\r\n"
    assert ask(refuser.socket, HEAD + field + b"Connection: close\r\n\r\n").status == 200


def test_errors_of_the_application(ready: Make) -> None:
    """Even one that calls sys.exit() ends no other request, and whoever is woken finds which request it was."""
    service = ready()
    slow = begun(service, "/slow")
    assert get(service.socket, "/error", X_Request_ID="r1").status == 500
    assert get(service.socket, "/exit", X_Request_ID="r2").status == 500
    assert get(service.socket, "/silent", X_Request_ID="r3").status == 500
    (service.code / "slow").touch()
    assert read_answer(slow).status == 200
    slow.close()
    assert "server.py: error handling request 'GET' '/error' 'r1'\nTraceback" in service.said()
    assert "RuntimeError: on purpose\n" in service.said()
    assert "SystemExit: the application says so\n" in service.said()
    assert "AssertionError: the application did not call start_response()\n" in service.said()
    lines = service.output.lines(4)
    assert {line["request_id"]: line["status"] for line in lines} == {"r1": 500, "r2": 500, "r3": 500, "": 200}


def test_one_line_for_each_answer(ready: Make) -> None:
    service = ready()
    requests = hostile_requests(500)
    answers = [ask(service.socket, request.raw(f"r{number}")) for number, request in enumerate(requests)]
    statuses = [answer.status for answer in answers]
    lines = service.output.lines(len(requests))
    assert [line["status"] for line in lines] == statuses
    taken = [number for number, answer in enumerate(answers) if "x-app" in answer.headers]
    assert len(taken) > 400
    for number in taken:
        line = lines[number]
        assert (line["request_id"], line["method"], line["protocol"]) == (f"r{number}", "GET", "HTTP/1.1")
        assert line["bytes"] == 2
        for name, said in requests[number].texts().items():
            assert said.startswith(line[name])
            assert line[name] == said or len(json.dumps(said)) > 4096


def test_what_is_counted_and_when(ready: Make) -> None:
    service = ready()
    with connect(service.socket) as client:
        for target in ("/", "/empty", "/error"):
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: shop\r\nX-Tracking-ID: {target}\r\n\r\n".encode())
            assert read_answer_of(client, target).status
    lines = service.output.lines(3)
    assert [(line["tracking_id"], line["status"]) for line in lines] == [("/", 200), ("/empty", 204), ("/error", 500)]
    assert [line["bytes"] for line in lines] == [2, 0, len(b"Internal Server Error")]


def read_answer_of(client: socket.socket, target: str) -> Answer:
    """The next answer on a connection; the one without a body does not say how long it is."""
    if target != "/empty":
        return read_answer(client)
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += client.recv(65536)
    return Answer(int(data.split()[1]), {}, b"")


def test_no_lines_unless_they_are_wanted(ready: Make) -> None:
    service = ready(logs={"access": "nginx"})
    assert get(service.socket, "/print").status == 200
    service.signal(signal.SIGTERM)
    assert service.ended() == 0
    assert b"".join(service.output.writes) == b"said to stdout\n"


@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
def test_metrics_are_gunicorns(ready: Make, tmp_path_factory: pytest.TempPathFactory, family: str) -> None:
    with socket.socket(getattr(socket, family), socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0) if family == "AF_INET" else str(tmp_path_factory.mktemp("m") / "m"))
        receiver.settimeout(DEADLINE)
        name = receiver.getsockname()
        target = f"127.0.0.1:{name[1]}" if family == "AF_INET" else name
        service = ready(metrics={"statsd": target})
        assert get(service.socket, "/error").status == 500
        metrics = [re.sub(rb"[0-9.]+\|ms", b"|ms", receiver.recv(1024)) for attempt in range(3)]
        ours = Statsd.__new__(Statsd)
        ours.prefix, ours.dogstatsd_tags, ours.sock = "shop.", "", Recorder()
        ours.timer("gunicorn.request.duration", 1.5)
        ours.increment("gunicorn.requests", 1)
        ours.increment("gunicorn.request.status.500", 1)
        assert metrics == [re.sub(rb"[0-9.]+\|ms", b"|ms", metric) for metric in ours.sock.sent]
        # Nobody takes them any more: many times what the queue holds.
        assert {get(service.socket).status for attempt in range(50)} == {200}
    assert get(service.socket).status == 200


class Recorder:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)


def test_a_receiver_that_is_not_found_is_told_of_and_no_more(ready: Make) -> None:
    service = ready(metrics={"statsd": "receiver.invalid:8125"})
    assert get(service.socket).status == 200
    assert "server.py: no metrics, as receiver.invalid:8125 is not found" in service.said()


def test_as_many_connections_as_the_pool_has_places(ready: Make) -> None:
    service = ready(worker_connections=1)
    slow = begun(service, "/slow")
    with connect(service.socket) as waiting:
        waiting.sendall(HEAD + b"Connection: close\r\n\r\n")
        assert not select.select([waiting], [], [], 0.3)[0]
        (service.code / "slow").touch()
        assert read_answer(slow).status == 200
        slow.close()
        assert read_answer(waiting).status == 200


# --- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_requests_in_flight_finish(ready: Make, number: int) -> None:
    service = ready()
    slow = begun(service, "/slow")
    service.signal(number)
    assert service.state() == "STOPPING=1"
    with connect(service.socket) as late:
        late.sendall(HEAD + b"\r\n")
        (service.code / "slow").touch()
        answer = read_answer(slow)
        assert (answer.body, answer.headers["connection"]) == (b"ok", "close")
        slow.close()
        assert service.ended() == 0
        # It waits in systemd's socket, for whoever comes next.
        taken = service.listener.accept()[0]
        with taken:
            assert taken.recv(1024).startswith(HEAD)


def test_connections_without_a_request_do_not_delay_a_stop(ready: Make) -> None:
    service = ready(graceful_timeout=3600)
    with connect(service.socket) as idle, connect(service.socket) as silent:
        idle.sendall(HEAD + b"\r\n")
        assert read_answer(idle).status == 200
        service.signal(signal.SIGTERM)
        assert service.ended() == 0
        assert silent.recv(1) == b""
        assert idle.recv(1) == b""


def test_a_connection_that_had_its_answers_is_not_waited_for(ready: Make) -> None:
    """Not even as long as one that had none."""
    service = ready(graceful_timeout=1)
    with connect(service.socket) as idle:
        idle.sendall(HEAD + b"\r\n")
        assert read_answer(idle).status == 200
        service.signal(signal.SIGTERM)
        assert service.ended() == 0
    assert "not finished" not in service.said()


def test_a_request_that_comes_with_the_stop_is_answered(ready: Make) -> None:
    """nginx connects, and sends its request a moment later."""
    service = ready()
    with connect(service.socket) as client:
        # It has been accepted when the next one has its answer.
        assert get(service.socket).status == 200
        service.signal(signal.SIGTERM)
        assert service.state() == "STOPPING=1"
        client.sendall(HEAD + b"\r\n")
        assert read_answer(client).status == 200
    assert service.ended() == 0


def test_what_takes_too_long_is_ended(ready: Make) -> None:
    service = ready(graceful_timeout=1)
    with begun(service, "/slow") as slow:
        service.signal(signal.SIGTERM)
        assert service.ended() == 0
        assert read_answer(slow).status in (0, 500)
    assert "server.py: requests not finished after 1 s (graceful_timeout): 1" in service.said()


def test_a_second_signal_ends_at_once(ready: Make) -> None:
    service = ready(graceful_timeout=3600)
    with begun(service, "/slow"):
        service.signal(signal.SIGTERM)
        assert service.state() == "STOPPING=1"
        service.signal(signal.SIGTERM)
        assert service.ended() == 0


def test_the_application_may_clean_up_and_its_threads_do_not_hold_the_end_up(make: Make) -> None:
    ending = """
import atexit, threading
atexit.register(lambda: open("cleaned", "w").close())
threading.Thread(target=time.sleep, args=(3600,)).start()
"""
    service = make(APPLICATION + ending)
    service.start()
    assert service.state() == "READY=1", service.said()
    service.signal(signal.SIGTERM)
    assert service.ended() == 0
    assert (service.code / "cleaned").exists()


def test_the_watchdog_hears_nothing_of_a_blocked_process(ready: Make) -> None:
    service = ready({"WATCHDOG_USEC": "300000"})
    assert [service.state() for attempt in range(3)] == ["WATCHDOG=1"] * 3
    with begun(service, "/blocking") as blocking:
        while service.told():
            service.state()
        assert not service.told(1)
        (service.code / "blocking").touch()
        assert service.state() == "WATCHDOG=1"
        assert read_answer(blocking).status == 200


def test_signs_of_life_come_in_time(ready: Make) -> None:
    service = ready({"WATCHDOG_USEC": "30000"})
    start = time.monotonic()
    assert {service.state() for attempt in range(50)} == {"WATCHDOG=1"}
    assert time.monotonic() - start < DEADLINE


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "300000", "WATCHDOG_PID": "1"}])
def test_a_watchdog_that_is_not_ours_hears_nothing(ready: Make, environment: dict[str, str]) -> None:
    assert not ready(environment).told(0.5)


# --- log files ----------------------------------------------------------------------------------------------------


def test_log_files_are_reopened(ready: Make) -> None:
    service = ready(logs={"to": "files", "access": "both"})
    logs = service.home / "logs"
    assert get(service.socket, "/print", X_Request_ID="first").status == 200
    for name in ("error.log", "access.log"):
        (logs / name).rename(logs / f"{name}.1")
    service.signal(signal.SIGUSR1)

    def reopened() -> bool:
        get(service.socket, X_Request_ID=WAITING)
        return all((logs / name).exists() for name in ("error.log", "access.log"))

    assert eventually(reopened)
    assert get(service.socket, "/print", X_Request_ID="second").status == 200
    assert eventually(lambda: "second" in (logs / "access.log").read_text())
    before, after = [(logs / name).read_text() for name in ("access.log.1", "access.log")]
    assert json.loads(before.splitlines()[0])["request_id"] == "first"
    assert "second" not in before
    assert "first" not in after
    said = (logs / "error.log.1").read_text()
    assert "server.py: ready" in said
    for text in (said, (logs / "error.log").read_text()):
        assert text.endswith("said to stdout\nsaid to stderr\n")
    assert service.output.writes == []


def test_a_log_file_that_cannot_be_opened_stops_no_service_that_runs(ready: Make) -> None:
    service = ready(logs={"to": "files", "access": "both"})
    logs = service.home / "logs"
    logs.rename(service.home / "moved")
    service.signal(signal.SIGUSR1)
    error_log = service.home / "moved" / "error.log"
    assert eventually(lambda: "server.py: log files are not reopened: [Errno 2]" in error_log.read_text())
    assert get(service.socket, X_Request_ID="next").status == 200
    assert eventually(lambda: '"next"' in (service.home / "moved" / "access.log").read_text())


def test_a_log_file_that_cannot_be_opened_fails_the_start(make: Make) -> None:
    service = make(logs={"to": "files"})
    (service.home / "logs").rename(service.home / "moved")
    service.start()
    assert service.ended() == 1
    assert "error.log" in service.said()


# --- settings -----------------------------------------------------------------------------------------------------


def test_the_settings_of_an_application() -> None:
    found = json.loads(render("server.json.j2", {"server": "gevent"}))
    assert "wsgiops.flask" in found.pop("managed_by")
    assert found == {
        "name": "shop",
        "wsgi": "shop:app",
        "worker_connections": 1000,
        "graceful_timeout": 30,
        "error_log": None,
        "access_log": None,
        "statsd": None,
    }


@pytest.mark.parametrize(
    ("keys", "settings"),
    [
        ({"wsgi": 'shop:create_app("\\"\\\\ä")'}, {"wsgi": 'shop:create_app("\\"\\\\ä")'}),
        ({"worker_connections": "50", "graceful_timeout": "7"}, {"worker_connections": 50, "graceful_timeout": 7}),
        ({"logs": {"access": "none"}}, {"access_log": None}),
        ({"logs": {"access": "gunicorn"}}, {"access_log": "-"}),
        ({"logs": {"to": "files"}}, {"error_log": "/var/log/shop/error.log", "access_log": None}),
        (
            {"logs": {"access": "both", "to": "files"}},
            {"error_log": "/var/log/shop/error.log", "access_log": "/var/log/shop/access.log"},
        ),
        ({"metrics": {"statsd": "/run/statsd"}}, {"statsd": "/run/statsd"}),
    ],
    ids=str,
)
def test_what_a_key_sets(keys: dict[str, t.Any], settings: dict[str, t.Any]) -> None:
    assert json.loads(render("server.json.j2", keys)) == {**json.loads(render("server.json.j2", {})), **settings}
