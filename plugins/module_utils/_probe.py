# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP requests as a probe makes them, and the state of a socket's queue."""

from __future__ import annotations

import dataclasses
import http.client
import select
import socket
import ssl
import time
import typing as t
import urllib.parse

# How often a request that waits for its answer looks whether it still makes sense to wait, in seconds.
WATCH = 0.2

# What of an answer's body is read: a readiness report is short, and a probe must not download a file.
BODY_LIMIT = 64 * 1024


class NoAnswer(Exception):
    """There was no answer; the text says why."""


class TooSlow(NoAnswer):
    """There was none in time, of somebody who may be about to give one."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP answer; ``seconds`` from the connection's beginning to the end of the body."""

    status: int
    body: str
    location: str
    seconds: float


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _FrontConnection(http.client.HTTPConnection):
    """A connection to an address, with TLS under a host's name where the URL says so."""

    def __init__(self, url: urllib.parse.SplitResult, host: str, timeout: float) -> None:
        self._tls = url.scheme == "https"
        super().__init__(url.hostname or "", url.port or (443 if self._tls else 80), timeout=timeout)
        self._host = host

    def connect(self) -> None:
        super().connect()
        if self._tls:
            # The question is whether the application answers; its certificate was checked when it came to the host.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock, server_hostname=self._host)


def _never() -> bool:
    return False


def ask_socket(
    path: str,
    target: str,
    host: str,
    timeout: float,
    pointless: t.Callable[[], bool] = _never,
    scheme: str = "http",
) -> Answer:
    """The answer to ``GET target`` over the unix socket ``path``.

    :param host: the Host header: one that the application trusts.
    :param timeout: seconds.
    :param pointless: asked while the answer is waited for; once true, there will be none.
    :param scheme: ``http`` or ``https``, with which clients come; an application may send others away.
    :raises NoAnswer: when there is none in time.
    """
    headers = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": scheme}
    return _ask(_UnixConnection(path, timeout), target, dict(headers, Host=host), timeout, pointless)


def ask_front(url: str, target: str, host: str, timeout: float) -> Answer:
    """The answer to ``GET target`` as a client gets it.

    :param url: scheme, address and port, and the path under which the application is mounted.
    :param host: the name that the client asks for.

    :raises NoAnswer: when there is none within ``timeout`` seconds.
    """
    parsed = urllib.parse.urlsplit(url)
    connection = _FrontConnection(parsed, host, timeout)
    return _ask(connection, parsed.path + target, {"Host": host}, timeout, _never)


def _ask(
    connection: http.client.HTTPConnection,
    target: str,
    headers: t.Mapping[str, str],
    timeout: float,
    pointless: t.Callable[[], bool],
) -> Answer:
    start = time.monotonic()
    deadline = start + timeout
    try:
        connection.request("GET", target, headers=dict(headers, **{"User-Agent": "wsgiops.flask"}))
        while not select.select([connection.sock], [], [], min(WATCH, max(deadline - time.monotonic(), 0)))[0]:
            if pointless():
                raise NoAnswer("none before its main process ended")
            if time.monotonic() >= deadline:
                raise TooSlow("none within {0:g} s".format(round(timeout, 1)))
        response = connection.getresponse()
        body = response.read(BODY_LIMIT).decode("utf-8", "replace")
        return Answer(response.status, body, response.getheader("Location") or "", time.monotonic() - start)
    except socket.timeout as error:
        raise TooSlow(str(error)) from None
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(str(error) or type(error).__name__) from None
    finally:
        connection.close()


def busy_connections(path: str) -> int:
    """Connections to the listening unix socket ``path``: accepted ones that are open, and those that wait in its queue.

    From /proc/net/unix (proc(5)): the server's side of each connection carries the listener's path, also while it waits
    to be accepted; the listener itself is told apart by the flag ``__SO_ACCEPTCON`` (0x10000).
    """
    count = 0
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as table:
        next(table)
        for line in table:
            fields = line.split(None, 7)
            if len(fields) == 8 and fields[7].rstrip("\n") == path and not int(fields[3], 16) & 0x10000:
                count += 1
    return count
