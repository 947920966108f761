"""HTTP/2 as bytes (RFC 9113): a client that sends header fields which no library would, one request a connection."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from hostlab import hostile

Fields = Sequence[tuple[str, str]]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1

# Of the static table (RFC 7541, appendix A), by index.
STATUSES = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}


@dataclass(frozen=True)
class Request:
    """A request on stream 1, and what becomes of it where the application answers.

    :param fields: in this order, pseudo-header fields and others.
    :param outcome: served, refused or either.
    """

    fields: Fields
    body: bytes | None = None
    outcome: str = "served"
    trailers: Fields = field(default_factory=list)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def block(fields: Fields) -> bytes:
    """Literal fields that are not indexed, with names and values as they are (RFC 7541, section 6.2.2)."""
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in fields)


def _string(text: str) -> bytes:
    """Without Huffman's code, the length in seven bits and what is above them (RFC 7541, section 5.1)."""
    data = text.encode("latin-1")
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, head = len(data) - 127, b"\x7f"
    while rest >= 128:
        head += bytes([rest % 128 + 128])
        rest //= 128
    return head + bytes([rest]) + data


def written(request: Request) -> bytes:
    ends = END_STREAM if request.body is None else 0
    data = PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS | ends, 1, block(request.fields))
    if request.body is not None:
        data += frame(DATA, 0 if request.trailers else END_STREAM, 1, request.body)
    if request.trailers:
        data += frame(HEADERS, END_HEADERS | END_STREAM, 1, block(request.trailers))
    return data


def frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    received = b""
    while some := connection.recv(65536):
        received += some
        while len(received) >= 9 and len(received) >= (size := 9 + int.from_bytes(received[:3], "big")):
            kind, flags, stream = struct.unpack(">BBI", received[3:9])
            yield kind, flags, stream & 0x7FFFFFFF, received[9:size]
            received = received[size:]


def exchange(address: str, name: str, request: Request) -> int:
    """The status of the answer, 0 for none: the connection or the stream was ended instead."""
    try:
        with hostile.connect(address, name, "h2") as connection:
            connection.sendall(written(request))
            for kind, flags, _stream, payload in frames(connection):
                if kind == HEADERS:
                    return _status(payload)
                if kind in (RST_STREAM, GOAWAY):
                    return 0
                if kind == SETTINGS and not flags & ACK:
                    connection.sendall(frame(SETTINGS, ACK, 0, b""))
    except (TimeoutError, ConnectionError):
        pass
    return 0


def exchange_all(address: str, name: str, requests: Sequence[Request]) -> list[int]:
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda request: exchange(address, name, request), requests))


def _status(payload: bytes) -> int:
    """Of a header block of nginx's, which has the status first: indexed, or as a literal of three digits."""
    # A change of the table's size may be in front of it.
    while payload[0] & 0xE0 == 0x20:
        payload = payload[1:]
    if payload[0] & 0x80:
        return STATUSES[payload[0] & 0x7F]
    assert payload[1] == 3, payload
    return int(payload[2:5])


def request_of(domain: str, target: str) -> list[tuple[str, str]]:
    """The fields of an ordinary GET."""
    return [(":method", "GET"), (":scheme", "https"), (":authority", domain), (":path", target)]


def cases(domain: str, target: str) -> dict[str, Request]:
    """Requests by title; what is served is so once, and tells the truth."""
    plain = request_of(domain, target)
    hidden = f"GET {target}/hidden HTTP/1.1\r\nHost: {domain}\r\n\r\n"

    def with_(*fields: tuple[str, str], **changed: str) -> list[tuple[str, str]]:
        """The ordinary one with other pseudo-header fields, and these."""
        pseudo = {name[1:]: value for name, value in plain} | changed
        return [*((f":{name}", value) for name, value in pseudo.items() if value), *fields]

    def post(*fields: tuple[str, str]) -> list[tuple[str, str]]:
        return with_(*fields, method="POST")

    served = {
        "plain": Request(plain),
        "claims": Request(with_(*((name.lower(), value) for name, value in hostile.CLAIMS.items()))),
        "claims of HTTP": Request(with_(("x-forwarded-proto", "http"), ("x-forwarded-port", "80"))),
        "authority with a port": Request(with_(authority=f"{domain}:666")),
        "upper-case authority": Request(with_(authority=domain.upper())),
        "host in the place of the authority": Request(with_(("host", domain), authority="")),
        "script name": Request(with_(("script-name", "/wicked"), ("path-info", "/wicked"), ("https", "off"))),
        "body": Request(post(), b"hello"),
        "body of its length": Request(post(("content-length", "5")), b"hello"),
        "body that looks like a request": Request(post(), hidden.encode()),
    }
    refused = {
        "another authority": Request(with_(authority="evil.example")),
        "authority with a user": Request(with_(authority=f"evil@{domain}")),
        "authority with a path": Request(with_(authority=f"{domain}/evil")),
        "authority with a line": Request(with_(authority=f"{domain}\r\nX-Forwarded-Host: evil")),
        "two authorities": Request([*plain, (":authority", "evil.example")]),
        "two paths": Request([*plain, (":path", "/evil")]),
        "no path": Request(with_(path="")),
        "no method": Request(with_(method="")),
        "a path with a line": Request(with_(path=f"{target} HTTP/1.1\r\nHost: evil\r\n\r\n")),
        "a path that is none": Request(with_(path="evil")),
        "all paths": Request(with_(path="*")),
        "a method with a line": Request(with_(method=f"GET {target} HTTP/1.1\r\nX-Evil: a\r\n\r\nGET")),
        "a method with a blank": Request(with_(method="GET /evil")),
        "a lower-case method": Request(with_(method="get")),
        "connect": Request(with_(method="CONNECT")),
        "trace": Request(with_(method="TRACE")),
        "a pseudo-header field of its own": Request([*plain, (":evil", "evil")]),
        "a value with a line": Request(with_(("x-a", "b\r\nX-Forwarded-Host: evil"))),
        "a value with a line feed": Request(with_(("x-a", f"b\n\n{hidden}"))),
        "a value with NUL": Request(with_(("x-a", "b\0c"))),
        "a name with a line": Request(with_(("x-a: b\r\nx-forwarded-host", "evil"))),
        "a name in upper case": Request(with_(("X-Forwarded-Host", "evil"))),
        "a length that is too small": Request(post(("content-length", "1")), hidden.encode()),
        "a length that is too large": Request(post(("content-length", "99")), b"hello"),
        "a length without a body": Request(post(("content-length", "99"))),
        "a length that is none": Request(post(("content-length", "5, 5")), b"hello"),
        "two lengths": Request(post(("content-length", "5"), ("content-length", "6")), b"hello"),
    }
    either = {
        "another host beside the authority": Request(with_(("host", "evil.example"))),
        "a field of the connection": Request(with_(("connection", "x-real-ip, x-forwarded-for"))),
        "an upgrade": Request(with_(("connection", "upgrade"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk"))),
        "a coding": Request(post(("transfer-encoding", "chunked")), f"0\r\n\r\n{hidden}".encode()),
        "a coding and a length": Request(post(("transfer-encoding", "chunked"), ("content-length", "5")), b"0\r\n\r\n"),
        "another scheme": Request(with_(scheme="http")),
        "a scheme with a line": Request(with_(scheme="https\r\nX-Evil: a")),
        "a pseudo-header field behind others": Request([plain[0], ("x-a", "b"), *plain[1:]]),
        "an empty name": Request(with_(("", "evil"))),
        "a name with a blank": Request(with_(("x-forwarded-host ", "evil"))),
        "trailers": Request(post(), b"hello", trailers=[("x-forwarded-host", "evil"), ("host", "evil")]),
    }
    return {
        **served,
        **{title: Request(each.fields, each.body, "refused", each.trailers) for title, each in refused.items()},
        **{title: Request(each.fields, each.body, "either", each.trailers) for title, each in either.items()},
    }
