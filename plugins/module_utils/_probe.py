# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP over a unix socket, and the state of a socket's queue."""

from __future__ import annotations

import http.client
import socket
import typing as t


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def http_status(path: str, target: str, host: str, timeout: float) -> t.Optional[int]:
    """Status of ``GET target`` over the unix socket ``path``, ``None`` when no answer came within ``timeout`` seconds.

    :param host: the Host header: one that the application trusts, its first domain.
    """
    connection = _UnixConnection(path, timeout)
    headers = {"Host": host, "User-Agent": "wsgiops.flask", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"}
    try:
        connection.request("GET", target, headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
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
