"""Requests that were made to be misread: the application sees the truth, or nginx refuses them."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

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
    """A request, and what becomes of it.

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

KINDS = {
    "plain": {},
    "pathed": {"prefix": "/shop"},
    "trusting": {},
    "open": {"buffering": False, "websockets": True, "domains": ["open.example.com", "*.open.example.com"]},
}
SERVERS = {
    "sync": {"worker_class": "sync", "workers": 2},
    "pywsgi": {"server": "gevent"},
}


def converse(address: str, request: str) -> bytes:
    """All that comes back on a connection until it is closed, or silent."""
    received = b""
    with socket.create_connection((address, 80), timeout=PATIENCE) as connection:
        try:
            connection.sendall(request.encode("latin-1"))
            while some := connection.recv(65536):
                received += some
                connection.settimeout(SILENCE)
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
    return received


def status(received: bytes) -> int:
    """Of the first final answer; 0 when there was none."""
    found = [int(code) for code in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", received, re.MULTILINE)]
    return next((code for code in found if code >= 200), 0)


def converse_all(address: str, requests: list[str]) -> list[bytes]:
    with ThreadPoolExecutor(24) as pool:
        return list(pool.map(lambda request: converse(address, request), requests))


@pytest.fixture(scope="module", params=SERVERS)
def kinds(request, serve, app, believed_address):
    """An application of each kind, by one of the servers."""
    server = SERVERS[request.param]
    trusted = sorted(set(believed_address.values()))
    apps = [
        app(name, **{**keys, **server}, **({"trusted_proxies": trusted} if name == "trusting" else {}))
        for name, keys in KINDS.items()
    ]
    # An upgraded connection would take a sync worker.
    if request.param == "sync":
        apps[-1]["worker_class"] = "gthread"
    serve(apps)
    return request.param


def seen(one, name: str) -> list[dict]:
    """Every request that got to an application since the last call."""
    path = f"/var/lib/{name}/seen"
    text = one.run("sh -c %s", f"if [ -e {path} ]; then cat {path}; rm {path}; fi")
    return [json.loads(line) for line in text.splitlines()]


def prefix_of(name: str) -> str:
    return str(KINDS[name].get("prefix", ""))


def assert_outcome(case: Case, got: int, records: list[dict]) -> None:
    """A request is answered and seen once, or refused and seen by nobody, and none that it hides is seen."""
    assert all("hidden" not in record["path"] for record in records)
    if case.outcome == "served":
        assert (got, len(records)) == (200, 1)
    elif case.outcome == "refused":
        assert not records
        assert got == 0 or got >= 400
    else:
        assert len(records) <= 1


def assert_truth(record: dict, case: Case, name: str, sender: str) -> None:
    domain = f"{name}.example.com"
    client, scheme = (case.client or sender, case.scheme) if name == "trusting" else (sender, "http")
    if scheme == "either":
        scheme = record["scheme"]
        assert scheme in ("http", "https")
    told = dict(record["headers"])
    assert len(told) == len(record["headers"]), record
    assert (record["client"], record["scheme"], record["host"]) == (client, scheme, domain)
    assert record["script"] == prefix_of(name)
    assert record["url"].startswith(f"{scheme}://{domain}{prefix_of(name)}/")
    assert told["x-forwarded-for"] == told["x-real-ip"] == client
    assert (told["x-forwarded-host"], told["x-forwarded-proto"]) == (domain, scheme)
    assert told["x-forwarded-port"] in ({"80", "443"} if name == "trusting" else {"80"})
    assert told.get("x-forwarded-prefix", "") == prefix_of(name)
    assert "evil" not in json.dumps(record)
    if name != "trusting":
        assert FORGED not in json.dumps(record)


def test_an_application_sees_the_truth_or_nothing(kinds, shops, believed_address):
    wrong = []
    for one in shops:
        for name in KINDS:
            seen(one, name)
            requests, cases = [], list(CASES.items())
            for number, (_title, case) in enumerate(cases):
                requests.append(case.write(f"{name}.example.com", f"{prefix_of(name)}/audit/case-{number}"))
            answers = converse_all(one.address, requests)
            records: dict[int, list[dict]] = {number: [] for number in range(len(cases))}
            for record in seen(one, name):
                found = re.search(r"/audit/case-(\d+)", record["path"])
                assert found, f"{name} saw what nobody sent: {record}"
                records[int(found[1])].append(record)
            for number, (title, case) in enumerate(cases):
                try:
                    assert_outcome(case, status(answers[number]), records[number])
                    for record in records[number]:
                        assert_truth(record, case, name, believed_address[one.inventory_name])
                except (AssertionError, KeyError) as error:
                    said = f"{error!r}: {answers[number][:200]!r}, {records[number]}"
                    wrong.append(f"{one.inventory_name}, {name}, {title}: {said}")
    assert not wrong, f"{kinds}: " + "\n".join(wrong)


def test_requests_on_one_connection_are_told_apart(kinds, shops):
    """The second one is a request of its own, with its own truth, however the first one's body ends."""
    for one in shops:
        for name in KINDS:
            seen(one, name)
            target, domain = f"{prefix_of(name)}/audit", f"{name}.example.com"
            second = f"GET {target}/second HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n"
            for head, body in (
                ("Content-Length: 5", "hello"),
                ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
            ):
                first = f"POST {target}/first HTTP/1.1\r\nHost: {domain}\r\nX-Mine: first\r\n{head}\r\n\r\n{body}"
                received = converse(one.address, first + second)
                assert received.count(b"HTTP/1.1 200 ") == 2, received
                told = seen(one, name)
                assert [(each["path"], each["body"]) for each in told] == [
                    ("/audit/first", "hello"),
                    ("/audit/second", ""),
                ]
                assert [dict(each["headers"]).get("x-mine") for each in told] == ["first", None]


# Characters of a Host that nginx takes. Some end the host in a URL, some are merely in none.
STRANGE = "?#@\\%,;\"'<>{}|^`()!*+=~&$\xe9"


def test_a_wildcard_has_no_room_for_another_host(kinds, shops):
    for one in shops:
        seen(one, "open")
        hosts = [f"evil.example{character}.open.example.com" for character in STRANGE]
        answers = converse_all(
            one.address, [f"GET /audit/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n" for host in hosts]
        )
        assert {status(answer) for answer in answers} <= {0, 400}, dict(zip(hosts, answers, strict=True))
        assert seen(one, "open") == []
        for host in ("a.open.example.com", "a-b.c-d.open.example.com", "OPEN.example.com"):
            answer = converse(one.address, f"GET /audit/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            assert status(answer) == 200
        assert [record["host"] for record in seen(one, "open")] == [
            "a.open.example.com",
            "a-b.c-d.open.example.com",
            "open.example.com",
        ]


def test_a_request_becomes_a_websocket_and_nothing_else(kinds, shops):
    for one in shops:
        for name in KINDS:
            seen(one, name)
            head = f"GET {prefix_of(name)}/audit/x HTTP/1.1\r\nHost: {name}.example.com\r\nConnection: Upgrade\r\n"
            for wanted in ("WebSocket", "h2c", "TLS/1.0", "websocket, h2c"):
                converse(one.address, f"{head}Upgrade: {wanted}\r\n\r\n")
            told = [dict(record["headers"]) for record in seen(one, name)]
            passed = [(each.get("connection"), each.get("upgrade")) for each in told]
            first = ("upgrade", "websocket") if name == "open" else (None, None)
            assert passed == [first, *[(None, None)] * 3], (one.inventory_name, kinds, name)


PATHS = [
    *("/audit/a%2Fb", "/audit//a", "/audit/http://x/y", "/audit/a/./b", "/audit/a/%2e%2e/b", "/audit/%61"),
    *("/audit/a%20b+c;d=e", "/audit/x?y=%2F&z=//&%3F", "/audit/a%25b%252F", "/audit/%C3%A9%FF", "/audit/a%3Fb%23c"),
]


def test_a_path_is_the_same_with_a_prefix(kinds, shops):
    for one in shops:
        told = {}
        for name in ("plain", "pathed"):
            seen(one, name)
            for path in PATHS:
                head = f"GET {prefix_of(name)}{path} HTTP/1.1\r\nHost: {name}.example.com\r\nConnection: close\r\n\r\n"
                assert status(converse(one.address, head)) in (200, 308, 404)
            told[name] = [(record["raw"], record["path"]) for record in seen(one, name)]
        assert len(told["plain"]) == len(PATHS)
        assert told["pathed"] == told["plain"]
        if kinds == "sync":
            assert [raw for raw, _path in told["plain"]] == PATHS
        # Other spellings of the prefix are not it.
        for path in ("/%73hop/audit/x", "/x/../shop/audit/x", "//shop/audit/x", "/SHOP/audit/x", "/shopaudit/x"):
            head = f"GET {path} HTTP/1.1\r\nHost: pathed.example.com\r\nConnection: close\r\n\r\n"
            assert status(converse(one.address, head)) == 404
        assert seen(one, "pathed") == []
