"""Requests as bytes, as no library for HTTP would send them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

TIMEOUT = 20.0


@dataclass(frozen=True)
class RawAnswer:
    """What came back until the connection was closed.

    :param status: 0 when there was no answer.
    :param headers: by lower-case name; of several with one name the last.
    """

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(address: str, request: bytes) -> RawAnswer:
    """Send one request over a connection of its own; it has to ask for the connection to be closed."""
    received = b""
    with socket.create_connection((address, 80), timeout=TIMEOUT) as connection:
        # A server that refuses a request need not read it to its end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        with contextlib.suppress(ConnectionResetError):
            while some := connection.recv(65536):
                received += some
    return parse(received)


def exchange_all(address: str, requests: Sequence[bytes], at_a_time: int = 8) -> list[RawAnswer]:
    """The answers to requests, in the order of the requests."""
    with ThreadPoolExecutor(at_a_time) as pool:
        return list(pool.map(lambda request: exchange(address, request), requests))


def parse(received: bytes) -> RawAnswer:
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    status = int(first.split(" ")[1]) if first.startswith("HTTP/") else 0
    return RawAnswer(status, {name.lower(): value.strip() for name, _, value in fields}, body)
