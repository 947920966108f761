# Managed by the Ansible collection wsgiops.flask; changes made here are undone by its next run.
# Role gunicorn: the application under gevent.pywsgi alone, in one process.
#
#   python server.py [--check] [SETTINGS]
#
# SETTINGS is server.json beside this file. systemd hands over the socket (sd_listen_fds(3)), and hears that the
# application is imported (sd_notify(3)) and that nothing blocks the process (sd_watchdog_enabled(3)). SIGTERM lets
# requests in flight finish, a second one ends at once; SIGUSR1 reopens log files. --check imports the application.
# ruff: noqa: E402
from __future__ import annotations

import sys

# Python starts with the directory of this file, whose names are not to stand before those of the standard library.
if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]

from gevent import monkey

monkey.patch_all()

import argparse
import ast
import atexit
import contextlib
import gc
import importlib.util
import io
import json
import os
import re
import signal
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import gevent
from gevent import pywsgi
from gevent.pool import Pool

HERE = os.path.dirname(os.path.abspath(__file__))
CURRENT = os.path.join(os.path.dirname(os.path.dirname(HERE)), "current")
END_OF_LINK = "/" + os.path.basename(HERE)

# What gunicorn takes by default: 4094 bytes of a request line, 8190 of a header field with the end of its line, and 100
# fields, of which http.client takes 99.
pywsgi.MAX_REQUEST_LINE = 4094 + len("\r\n") + 1
MAX_FIELD = 8190
MAX_FIELDS = 99
# RFC 9112, 3, with the target in its origin form, which is all that nginx sends; RFC 9110, 5.1 and 5.5.
REQUEST_LINE = re.compile(r"([A-Z0-9!$%&'*+.^_`|~-]{3,20}) (/[\x21-\x7e]*) (HTTP/1\.[01])\r\n")
FIELD = re.compile(rb"[0-9A-Za-z!#$%&'*+.^_`|~-]+:[\t\x20-\x7e\x80-\xff]*\r\n")
# Fields of which nginx and the application might each believe another one.
SINGLE_FIELDS = ("Host", "Content-Type", "Content-Length", "Transfer-Encoding")

# Seconds between two signs of life at most, so that a request may block the process for nearly all of `timeout`.
PING = 1.0
# Seconds that a stop waits for the first request of a connection: nginx sends it as soon as it is connected.
FIRST_REQUEST = 1.0


def say(text: str) -> None:
    sys.stderr.write(f"server.py: {text}\n")


def end(status: int) -> NoReturn:
    """End at once: threads that the application started would hold up the usual way out."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(status)


def another_is_current() -> bool:
    """Whether nginx connects to another release: then each answer ends its connection, which nginx would use again."""
    try:
        return not os.readlink(CURRENT).endswith(END_OF_LINK)
    except OSError:
        return False


class Handler(pywsgi.WSGIHandler):
    """One connection. What it takes for a request, gunicorn does too."""

    sent = 0  # bytes of the answer's body
    started = 0.0

    def read_requestline(self) -> str:
        self.server.idle.add(self)
        try:
            line = super().read_requestline()
        finally:
            self.server.idle.discard(self)
        # Nothing of the request before is to show in this one's access line.
        self.environ: dict[str, Any] = {}
        self.code, self.sent, self.started = None, 0, time.monotonic()
        return line

    def read_request(self, raw_requestline: str) -> bool:
        line = REQUEST_LINE.fullmatch(raw_requestline)
        if not line:
            raise ValueError("malformed request line")
        self.environ["REQUEST_METHOD"], self.environ["RAW_URI"], self.environ["SERVER_PROTOCOL"] = line.groups()
        return super().read_request(raw_requestline)

    def MessageClass(self, lines: Any, *_: Any) -> Any:
        head: list[bytes] = []
        while (line := lines.readline(MAX_FIELD)) != b"\r\n":
            if len(head) == MAX_FIELDS or not FIELD.fullmatch(line):
                raise ValueError("malformed header field, or too many")
            head.append(line)
        headers = super().MessageClass(io.BytesIO(b"".join(head) + line))
        if any(len(headers.get_all(name, ())) > 1 for name in SINGLE_FIELDS):
            raise ValueError("repeated header field")
        length, coding = headers.get("Content-Length"), headers.get("Transfer-Encoding")
        if length is not None and not re.fullmatch("[0-9]{1,18}", length):
            raise ValueError("malformed Content-Length")
        if coding is not None and (coding != "chunked" or length is not None or self.request_version != "HTTP/1.1"):
            raise ValueError("Transfer-Encoding leaves the end of the body in doubt")
        return headers

    def get_environ(self) -> dict[str, Any]:
        environ = super().get_environ()
        # nginx alone connects, and always sets X-Forwarded-Proto.
        secure = environ.get("HTTP_X_FORWARDED_PROTO") == "https"
        name, _colon, port = environ.get("HTTP_HOST", "").partition(":")
        environ["RAW_URI"] = self.path
        environ["REMOTE_ADDR"] = ""
        environ["SERVER_NAME"] = name
        environ["SERVER_PORT"] = port or ("443" if secure else "80")
        environ["wsgi.url_scheme"] = "https" if secure else "http"
        return environ

    def _headers(self) -> Any:
        for name, value in self.headers.items():
            if "_" not in name and name.lower() not in ("content-type", "content-length"):
                # gevent's own strips bytes 85 and A0 too, with which characters of UTF-8 end.
                yield "HTTP_" + name.replace("-", "_").upper(), value.strip(" \t")

    def finalize_headers(self) -> None:
        super().finalize_headers()
        if self.server.stopping or another_is_current():
            self.response_headers.append((b"Connection", b"close"))
            self.close_connection = True

    def write(self, data: bytes) -> None:
        super().write(data)
        self.sent += len(data)

    def process_result(self) -> None:
        super().process_result()
        if not self.headers_sent:
            raise AssertionError("the application did not call start_response()")

    def log_request(self) -> None:
        status = self.status if self.code is None else self.code
        if status is not None:  # the client did not go away before there was one
            # pywsgi makes the code of an answer that it could not send negative.
            self.server.report(self.environ, abs(int(status)), self.sent, time.monotonic() - self.started)

    def log_error(self, msg: str, *args: Any) -> None:
        say(msg % args if args else msg)

    def _log_error(self, kind: Any, error: Any, trace: Any) -> None:
        # gevent takes an application's sys.exit() for the end of the process.
        if not issubclass(kind, gevent.GreenletExit):
            names = ("REQUEST_METHOD", "RAW_URI", "HTTP_X_REQUEST_ID")
            say("error handling request " + " ".join(ascii(self.environ.get(name, "")) for name in names))
            traceback.print_exception(kind, error, trace)


class Server(pywsgi.WSGIServer):
    """All connections of the socket. `report` is told of each answered request."""

    handler_class = Handler

    def __init__(self, listener: Any, application: Any, connections: int, report: Callable[..., None]) -> None:
        super().__init__(listener, application, spawn=Pool(connections), environ={"wsgi.multithread": True})
        self.idle: set[Handler] = set()  # connections between two requests, or before the first
        self.report = report
        self.stopping = False

    def ask_to_stop(self) -> None:
        if self.stopping:
            end(0)
        self.stopping = True
        notify("STOPPING=1")
        self.close()

    def stop(self, timeout: float = 0) -> None:
        """Let requests in flight finish for `timeout` seconds, then end them."""
        self.close()
        start = time.monotonic()
        while self.pool and time.monotonic() < start + timeout:
            for handler in list(self.idle):
                # A request that has arrived already is still read.
                if handler.requestline is not None or time.monotonic() > start + FIRST_REQUEST:
                    with contextlib.suppress(OSError):
                        handler.socket.shutdown(socket.SHUT_RD)
            self.pool.join(timeout=0.1)
        if self.pool:
            say(f"requests not finished after {timeout} s (graceful_timeout): {len(self.pool)}")
            self.pool.kill(timeout=1)


class Logs:
    """The descriptors that log files are open at, and the one for access lines."""

    def __init__(self, error_log: str | None, access_log: str | None) -> None:
        self.access = 1
        self._paths = {1: error_log, 2: error_log} if error_log else {}
        if access_log and access_log != "-":
            self.access = os.open(os.devnull, os.O_WRONLY)
            self._paths[self.access] = access_log
        self._open()

    def reopen(self) -> None:
        try:
            self._open()
        except OSError as error:
            say(f"log files are not reopened: {error}")

    def write_access(self, line: str) -> None:
        try:
            os.write(self.access, line.encode("ascii") + b"\n")
        except OSError as error:
            say(f"an access line is lost: {error}")

    def _open(self) -> None:
        sys.stdout.flush()
        for descriptor, path in self._paths.items():
            opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            os.dup2(opened, descriptor, inheritable=descriptor in (1, 2))
            os.close(opened)


def reporter(settings: dict[str, Any], logs: Logs) -> Callable[..., None]:
    """A function that writes a request's access line, and sends its metrics under gunicorn's names."""
    access_log = load_access_log()
    receiver = None
    if settings["statsd"]:
        try:
            receiver = access_log.Receiver(settings["statsd"])
        except OSError as error:
            say(f"no metrics, as {settings['statsd']} is not found: {error}")

    def report(environ: dict[str, Any], status: int, sent: int, seconds: float) -> None:
        if settings["access_log"]:
            logs.write_access(access_log.access_line(environ, status, sent, seconds))
        if receiver:
            for metric in (
                f"request.duration:{seconds * 1000:.3f}|ms",
                "requests:1|c|@1.0",
                f"request.status.{status}:1|c|@1.0",
            ):
                receiver.send(f"{settings['name']}.gunicorn.{metric}".encode())

    return report


def load_access_log() -> Any:
    """access_log.py beside this file, whose directory is not to be on sys.path."""
    spec = importlib.util.spec_from_file_location("_wsgiops_flask_access_log", os.path.join(HERE, "access_log.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_application(wsgi: str) -> Any:
    """What module:variable or module:factory() names, found as gunicorn.util.import_app finds it."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module, _colon, attribute = wsgi.partition(":")
    found = importlib.import_module(module)
    expression = ast.parse(attribute or "application", mode="eval").body
    name = expression.func if isinstance(expression, ast.Call) else expression
    if not isinstance(name, ast.Name):
        raise ValueError(f"{wsgi} is neither module:variable nor module:factory()")
    application = getattr(found, name.id)
    if isinstance(expression, ast.Call):
        arguments = [ast.literal_eval(argument) for argument in expression.args]
        named = {str(argument.arg): ast.literal_eval(argument.value) for argument in expression.keywords}
        application = application(*arguments, **named)
    if not callable(application):
        raise TypeError(f"{wsgi} is no WSGI application but {application!r}")
    return application


def listening_socket() -> socket.socket:
    """The socket of the service's socket unit (sd_listen_fds(3))."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    if (pid, count) != (str(os.getpid()), "1"):
        sys.exit(f"server.py: systemd has to hand over one socket, not {count or 0} to process {pid or 'none'}")
    found = socket.socket(fileno=3)
    found.set_inheritable(False)
    if found.family != socket.AF_UNIX or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sys.exit("server.py: the socket from systemd is no unix socket that listens")
    return found


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); outside of it there is nobody to tell."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            try:
                client.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
            except OSError as error:
                say(f"{state} did not reach systemd: {error}")


def keep_pinging() -> None:
    """Give systemd's watchdog a sign of life as long as greenlets get their turn (sd_watchdog_enabled(3))."""
    seconds = int(os.environ.get("WATCHDOG_USEC", 0)) / 1e6
    while seconds and os.environ.get("WATCHDOG_PID") in (None, str(os.getpid())):
        notify("WATCHDOG=1")
        gevent.sleep(min(seconds / 3, PING))


def main() -> None:
    parser = argparse.ArgumentParser(description="serve a WSGI application on systemd's socket")
    parser.add_argument("--check", action="store_true", help="import the application, and end")
    parser.add_argument("settings", nargs="?", default=os.path.join(HERE, "server.json"))
    arguments = parser.parse_args()
    with open(arguments.settings, encoding="utf-8") as file:
        settings = json.load(file)
    if not arguments.check:
        logs = Logs(settings["error_log"], settings["access_log"])
        listener = listening_socket()
    try:
        application = load_application(settings["wsgi"])
    except BaseException:  # an application that calls sys.exit() cannot be served either
        traceback.print_exc()
        end(1)
    if arguments.check:
        end(0)
    # It stays: the garbage collector need not go through all of it again and again.
    gc.collect()
    gc.freeze()

    server = Server(listener, application, settings["worker_connections"], reporter(settings, logs))
    gevent.signal_handler(signal.SIGTERM, server.ask_to_stop)
    gevent.signal_handler(signal.SIGINT, server.ask_to_stop)
    gevent.signal_handler(signal.SIGUSR1, logs.reopen)
    server.start()
    notify("READY=1")
    gevent.spawn(keep_pinging)
    say(f"ready, gevent {gevent.__version__}")
    server.serve_forever(stop_timeout=settings["graceful_timeout"])
    try:
        atexit._run_exitfuncs()
    finally:
        end(0 if server.stopping else 1)


if __name__ == "__main__":
    main()
