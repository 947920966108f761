"""Requests that were made to be misread, and a client that sends them as they are."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hostlab import traffic

Write = Callable[[str, str], str]

# Until the first byte of an answer, and of silence after the last one.
PATIENCE, SILENCE = 10.0, 0.7

FORGED = "203.0.113.9"

# What a client may claim to be.
CLAIMS = {
    "X-Forwarded-For": FORGED,
    "X-Forwarded-Proto": "https",
    "Forwarded": f"for={FORGED};proto=https;host=evil.example",
    "X-Real-IP": "evil",
    "X-Client-IP": "evil",
    "True-Client-IP": "evil",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Ssl": "evil",
    "X-Forwarded-Server": "evil",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-Remote-User": "evil",
    "X-Request-ID": "evil",
    "X-Script-Name": "/evil",
    "Proxy": "http://evil.example",
    "SCRIPT_NAME": "/evil",
    "PATH_INFO": "/evil",
    "REMOTE_ADDR": "evil",
    "X_Forwarded_For": "evil",
    "X_Forwarded_Host": "evil",
}


def get(*headers: str, first: str = "GET {t} HTTP/1.1", host: str = "Host: {d}", body: str = "") -> Write:
    """A request whose header lines are these; in all texts {d} is the domain, {t} the path and {s} a hidden request."""

    def write(domain: str, target: str) -> str:
        hidden = f"GET {target}/hidden HTTP/1.1\r\nHost: {domain}\r\n\r\n"
        lines = [line for line in (first, host, *headers) if line]
        text = "\r\n".join([*lines, "", ""]) + body
        filled = text.replace("{d}", domain).replace("{t}", target)
        length = len(body.replace("{d}", domain).replace("{t}", target).replace("{s}", hidden))
        return filled.replace("{s}", hidden).replace("{length}", str(length))

    return write


def post(*headers: str, body: str = "", **more: str) -> Write:
    return get(*headers, first="POST {t} HTTP/1.1", body=body, **more)


@dataclass(frozen=True)
class Case:
    """A request, and what becomes of it where the application answers.

    :param outcome: served, refused or either; what is served is so once, and tells the truth.
    :param client: who the client is to an application that believes the sender, empty for the sender itself.
    :param scheme: with which scheme, likewise; either where it depends on nginx's version.
    """

    write: Write
    outcome: str
    client: str = ""
    scheme: str = "http"


def chunked(body: str, *headers: str) -> Write:
    return post("Transfer-Encoding: chunked", *headers, body=body)


SERVED = {
    "plain": get(),
    "host with its port": get(host="Host: {d}:80"),
    "host with another port": get(host="Host: {d}:666"),
    "host with a user behind its port": get(host="Host: {d}:80@elsewhere.example"),
    "host with a dot at its end": get(host="Host: {d}."),
    "host without a space": get(host="Host:{d}"),
    "host of the request line counts": get(first="GET http://{d}{t} HTTP/1.1", host="Host: evil.example"),
    "https in the request line": get(first="GET https://{d}{t} HTTP/1.1"),
    "headers with underscores": get("SCRIPT_NAME: /evil", "X_Forwarded_Host: evil", "REMOTE_USER: evil"),
    "script name": get("Script-Name: /wicked", "Path-Info: /wicked", "Remote-User: wicked", "Https: on"),
    "connection names headers": get("Connection: close, X-Forwarded-For, X-Real-IP, X-Forwarded-Host, Host"),
    "connection names hop by hop": get("Connection: keep-alive, X-Forwarded-Proto", "Keep-Alive: timeout=600"),
    "upgrade to h2c": get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    "http 1.0": get("Connection: keep-alive", first="GET {t} HTTP/1.0"),
    "http 1.9": get(first="GET {t} HTTP/1.9"),
    "bare LF": lambda d, t: f"GET {t} HTTP/1.1\nHost: {d}\nX-Forwarded-Host: evil\n\n",
    "empty lines first": lambda d, t: f"\r\n\r\nGET {t} HTTP/1.1\r\nHost: {d}\r\n\r\n",
    "body that looks like a request": post("Content-Length: {length}", body="{s}"),
    "body of a GET": get("Content-Length: {length}", body="{s}"),
    "body of a DELETE": get("Content-Length: {length}", first="DELETE {t} HTTP/1.1", body="{s}"),
    "body after 100-continue": post("Expect: 100-continue", "Content-Length: {length}", body="{s}"),
    "underscore in the coding": post("Transfer_Encoding: chunked", "Content-Length: {length}", body="0\r\n\r\n{s}"),
    "coding with another name": post("X-Transfer-Encoding: chunked", "Content-Length: {length}", body="0\r\n\r\n{s}"),
    "chunked": chunked("5\r\nhello\r\n0\r\n\r\n"),
    "chunked in capitals": post("Transfer-Encoding: CHUNKED", body="5\r\nhello\r\n0\r\n\r\n"),
    "trailers": chunked("5\r\nhello\r\n0\r\nX-Forwarded-Host: evil\r\nHost: evil\r\n\r\n", "Trailer: X-Forwarded-Host"),
    "extension of a chunk": chunked('5;a="evil"\r\nhello\r\n0;b\r\n\r\n'),
}

REFUSED = {
    "two hosts": get("Host: evil.example"),
    "two hosts, the other one first": get("Host: {d}", host="Host: evil.example"),
    "two equal hosts": get("Host: {d}"),
    "two hosts in one": get(host="Host: {d}, evil.example"),
    "no host": get(host=""),
    "empty host": get(host="Host: "),
    "host with user": get(host="Host: evil@{d}"),
    "host with a path": get(host="Host: {d}/evil"),
    "host with a space": get(host="Host: {d} evil.example"),
    "host with a tab": get(host="Host: {d}\tevil.example"),
    "host with NUL": get(host="Host: {d}\0evil.example"),
    "host with two dots": get(host="Host: {d}.."),
    "host of somebody else": get(host="Host: evil.example"),
    "host that ends like it": get(host="Host: evil{d}"),
    "another host in the request line": get(first="GET http://evil.example{t} HTTP/1.1"),
    "user in the request line": get(first="GET http://evil@{d}{t} HTTP/1.1"),
    "authority as target": get(first="GET {d}:80 HTTP/1.1"),
    "space before the colon": get("X-Forwarded-For : 203.0.113.9"),
    "space before the host's colon": get(host="Host : {d}"),
    "space before the coding's colon": post("Transfer-Encoding : chunked", body="0\r\n\r\n{s}"),
    "folded line": get("X-A: b", "  X-Forwarded-Host: evil"),
    "folded coding": post("Transfer-Encoding:", " chunked", "Content-Length: 5", body="0\r\n\r\n{s}"),
    "line without a name": get(": evil"),
    "NUL in a name": get("X-\0A: b"),
    "NUL in a value": get("X-A: b\0c"),
    "bare CR": post("X-A: b\rTransfer-Encoding: chunked", "Content-Length: {length}", body="0\r\n\r\n{s}"),
    "length and coding": post("Content-Length: {length}", "Transfer-Encoding: chunked", body="0\r\n\r\n{s}"),
    "coding and length": post("Transfer-Encoding: chunked", "Content-Length: 4", body="5c\r\n{s}\r\n0\r\n\r\n"),
    "length and coding after a bare LF": post(
        "Content-Length: {length}", "X-A: b\nTransfer-Encoding: chunked", body="0\r\n\r\n{s}"
    ),
    "two lengths": post("Content-Length: 5", "Content-Length: {length}", body="hello{s}"),
    "two equal lengths": post("Content-Length: 5", "Content-Length: 5", body="hello{s}"),
    "two lengths in one": post("Content-Length: 5, 5", body="hello{s}"),
    "length with a sign": post("Content-Length: +5", body="hello{s}"),
    "negative length": post("Content-Length: -1", body="{s}"),
    "hexadecimal length": post("Content-Length: 0x5", body="hello{s}"),
    "length beyond all numbers": post("Content-Length: 99999999999999999999", body="{s}"),
    "length in parts": post("Content-Length: 5 5", body="hello{s}"),
    "coding identity": post("Transfer-Encoding: identity", "Content-Length: 5", body="hello{s}"),
    "coding xchunked": post("Transfer-Encoding: xchunked", body="0\r\n\r\n{s}"),
    "two codings in one": post("Transfer-Encoding: chunked, identity", body="0\r\n\r\n{s}"),
    "chunked twice": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body="0\r\n\r\n{s}"),
    "chunked and identity": post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body="0\r\n\r\n{s}"),
    "coding after a tab": post("Transfer-Encoding: \tchunked", body="0\r\n\r\n{s}"),
    "coding after a vertical tab": post("Transfer-Encoding: \x0bchunked", body="0\r\n\r\n{s}"),
    "chunked in HTTP 1.0": get("Transfer-Encoding: chunked", first="POST {t} HTTP/1.0", body="0\r\n\r\n{s}"),
    "chunk of a negative size": chunked("-5\r\nhello\r\n0\r\n\r\n{s}"),
    "chunk of a size with 0x": chunked("0x5\r\nhello\r\n0\r\n\r\n{s}"),
    "chunk beyond all numbers": chunked("fffffffffffffffff\r\nhello\r\n0\r\n\r\n{s}"),
    "chunk of no size": chunked("\r\nhello\r\n0\r\n\r\n{s}"),
    "chunk that is longer": chunked("5\r\nhellohello\r\n0\r\n\r\n{s}"),
    "http 0.9": lambda d, t: f"GET {t}\r\n",
    "http 2.0": get(first="GET {t} HTTP/2.0"),
    "the preface of http 2": lambda d, t: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": get(first="GET {t} ICAP/1.0"),
    "no protocol at all": lambda d, t: "\x16\x03\x01\x02\x00\x01\x00\x01",
    "space in the path": get(first="GET {t} /evil HTTP/1.1"),
    "NUL in the path": get(first="GET {t}\0 HTTP/1.1"),
    "lower-case method": get(first="get {t} HTTP/1.1"),
    "trace": get(first="TRACE {t} HTTP/1.1"),
    "connect": get(first="CONNECT {d}:80 HTTP/1.1"),
    "connect to elsewhere": get(first="CONNECT 127.0.0.1:22 HTTP/1.1"),
    "options of all": get(first="OPTIONS * HTTP/1.1"),
    "out of the root": get(first="GET /../..{t} HTTP/1.1"),
}

EITHER = {
    # nginx takes spaces there, which RFC 9112 calls bad whitespace.
    "chunk of a size with a space": chunked("5 \r\nhello\r\n0\r\n\r\n"),
    "chunk with bare LF": chunked("5\nhello\n0\n\n"),
    # nginx 1.22 takes it for a header without a value.
    "line without a colon": get("nothing"),
    "host and user in HTTP 0.9": lambda d, t: f"GET http://{d}{t}\r\n",
    "two slashes": get(first="GET //elsewhere.example{t} HTTP/1.1"),
}

CASES = {
    **{name: Case(write, "served") for name, write in SERVED.items()},
    **{name: Case(write, "refused") for name, write in REFUSED.items()},
    **{name: Case(write, "either") for name, write in EITHER.items()},
    "upper-case host": Case(lambda d, t: f"GET {t} HTTP/1.1\r\nHost: {d.upper()}\r\n\r\n", "served"),
    "claims": Case(get(*[f"{name}: {value}" for name, value in CLAIMS.items()]), "served", FORGED, "https"),
    "claims of HTTP": Case(get("X-Forwarded-Proto: http", "X-Forwarded-Port: 80", "X-Forwarded-Ssl: off"), "served"),
    "repeated claims": Case(
        get("X-Forwarded-For: evil", f"X-Forwarded-For: {FORGED}", "X-Forwarded-Host: evil", "X-Forwarded-Host: evil"),
        "served",
        FORGED,
    ),
    "a chain of claims": Case(get(f"X-Forwarded-For: evil, 198.51.100.66, {FORGED}"), "served", FORGED),
    "no address": Case(get("X-Forwarded-For: evil"), "served"),
    "no address at the end": Case(get(f"X-Forwarded-For: {FORGED}, evil"), "served"),
    "the name of a socket": Case(get("X-Forwarded-For: unix:"), "served"),
    "no scheme": Case(get("X-Forwarded-Proto: evil"), "served"),
    "two schemes": Case(get("X-Forwarded-Proto: https, http"), "served"),
    # nginx 1.22 knows the first of several headers alone, later ones all of them, which are no scheme together.
    "two headers of schemes": Case(
        get("X-Forwarded-Proto: https", "X-Forwarded-Proto: http"), "served", scheme="either"
    ),
}


def converse(address: str, request: str, tls: str = "") -> bytes:
    """All that comes back on a connection until it is closed, or silent; over TLS under a name, where one is given."""
    received = b""
    with connect(address, tls) as connection:
        try:
            connection.sendall(request.encode("latin-1"))
            while some := connection.recv(65536):
                received += some
                connection.settimeout(SILENCE)
        # Without the TLS alert that would end it, say, when it is the server that is sent nonsense.
        except (TimeoutError, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            pass
    return received


@contextlib.contextmanager
def connect(address: str, tls: str = "", protocol: str = "http/1.1") -> Iterator[socket.socket]:
    with socket.create_connection((address, 443 if tls else 80), timeout=PATIENCE) as plain:
        if not tls:
            yield plain
            return
        context = traffic.any_certificate()
        context.set_alpn_protocols([protocol])
        with context.wrap_socket(plain, server_hostname=tls) as wrapped:
            yield wrapped


def statuses(received: bytes) -> list[int]:
    """Of all final answers."""
    found = [int(code) for code in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", received, re.MULTILINE)]
    return [code for code in found if code >= 200]


def status(received: bytes) -> int:
    """Of the first final answer; 0 when there was none."""
    return next(iter(statuses(received)), 0)


def converse_all(address: str, requests: Sequence[str], tls: str = "") -> list[bytes]:
    with ThreadPoolExecutor(24) as pool:
        return list(pool.map(lambda request: converse(address, request, tls), requests))
