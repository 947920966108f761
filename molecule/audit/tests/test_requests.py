"""Requests that were made to be misread: the application sees the truth, or nginx refuses them."""

from __future__ import annotations

import json
import re

import pytest
from hostlab import hostile, http2, soak
from hostlab.hostile import CASES, CLAIMS, FORGED, Case, converse, converse_all, status

SERVERS = {
    "sync": {"worker_class": "sync", "workers": 2},
    "pywsgi": {"server": "gevent"},
}


# gunicorn in the ordinary run: what nginx hands on is the same for each.
@pytest.fixture(scope="module", params=["sync", pytest.param("pywsgi", marks=soak.only)])
def kinds(request, serve, sites):
    """An application of each kind, by one of the servers."""
    serve(sites(SERVERS[request.param]))
    return request.param


@pytest.fixture
def prefix_of(kind_keys):
    return {name: str(keys.get("prefix", "")) for name, keys in kind_keys.items()}


@pytest.fixture
def places(prefix_of):
    """Where applications are asked: by their own location, and one of them by one of the user's, too."""
    return [*((name, f"{prefix}/audit") for name, prefix in prefix_of.items()), ("tls", "/own")]


def name_in_tls(name: str) -> str:
    """Empty for applications that are asked over HTTP."""
    return f"{name}.example.com" if name in ("tls", "pathed") else ""


def assert_outcome(outcome: str, got: int, records: list[dict]) -> None:
    """A request is answered and seen once, or refused and seen by nobody, and none that it hides is seen."""
    assert all("hidden" not in record["path"] for record in records)
    if outcome == "served":
        assert (got, len(records)) == (200, 1)
    elif outcome == "refused":
        assert not records
        assert got == 0 or got >= 400
    else:
        assert len(records) <= 1


def assert_truth(record: dict, case: Case, name: str, sender: str, prefix: str = "") -> None:
    domain = f"{name}.example.com"
    own = "https" if name_in_tls(name) else "http"
    client, scheme = (case.client or sender, case.scheme) if name == "trusting" else (sender, own)
    if scheme == "either":
        scheme = record["scheme"]
        assert scheme in ("http", "https")
    told = dict(record["headers"])
    assert len(told) == len(record["headers"]), record
    assert (record["client"], record["scheme"], record["host"]) == (client, scheme, domain)
    assert record["script"] == prefix
    assert record["url"].startswith(f"{scheme}://{domain}{prefix}/")
    assert told["x-forwarded-for"] == told["x-real-ip"] == client
    assert (told["x-forwarded-host"], told["x-forwarded-proto"]) == (domain, scheme)
    assert told["x-forwarded-port"] in ({"80", "443"} if name == "trusting" else {"443" if own == "https" else "80"})
    assert told.get("x-forwarded-prefix", "") == prefix
    assert "evil" not in json.dumps(record)
    if name != "trusting":
        assert FORGED not in json.dumps(record)


def by_number(records: list[dict], count: int, name: str) -> list[list[dict]]:
    """What an application saw of each request; the path of each ends in its number."""
    found: list[list[dict]] = [[] for _ in range(count)]
    for record in records:
        number = re.search(r"case-(\d+)", record["path"])
        assert number, f"{name} saw what nobody sent: {record}"
        found[int(number[1])].append(record)
    return found


def test_an_application_sees_the_truth_or_nothing(kinds, shops, seen, places, prefix_of, believed_address):
    wrong = []
    for one in shops:
        for name, target in places:
            seen(one, name)
            requests = [
                case.write(f"{name}.example.com", f"{target}/case-{number}")
                for number, case in enumerate(CASES.values())
            ]
            answers = converse_all(one.address, requests, name_in_tls(name))
            records = by_number(seen(one, name), len(CASES), name)
            for (title, case), answer, found in zip(CASES.items(), answers, records, strict=True):
                try:
                    assert_outcome(case.outcome, status(answer), found)
                    for record in found:
                        assert_truth(record, case, name, believed_address[one.inventory_name], prefix_of[name])
                except (AssertionError, KeyError) as error:
                    wrong.append(f"{one.inventory_name}, {name}{target}, {title}: {error!r}: {answer[:200]!r}, {found}")
    assert not wrong, f"{kinds}: " + "\n".join(wrong)


def test_it_does_so_over_http_2(kinds, shops, seen, places, prefix_of, believed_address):
    """nginx makes HTTP/1.1 of it."""
    wrong = []
    plain = hostile.Case(hostile.get(), "served")
    for one in shops:
        for name, target in (place for place in places if name_in_tls(place[0])):
            domain = f"{name}.example.com"
            titles = list(http2.cases(domain, target))
            requests = [http2.cases(domain, f"{target}/case-{at}")[title] for at, title in enumerate(titles)]
            seen(one, name)
            answers = http2.exchange_all(one.address, domain, requests)
            records = by_number(seen(one, name), len(titles), name)
            for title, request, answer, found in zip(titles, requests, answers, records, strict=True):
                try:
                    assert_outcome(request.outcome, answer, found)
                    for record in found:
                        assert_truth(record, plain, name, believed_address[one.inventory_name], prefix_of[name])
                except (AssertionError, KeyError) as error:
                    wrong.append(f"{one.inventory_name}, {name}{target}, {title}: {error!r}: {answer}, {found}")
    assert not wrong, f"{kinds}: " + "\n".join(wrong)


def test_it_does_so_over_http_3(kinds, shops, seen):
    """As curl has it, whose Host becomes :authority; where nginx and curl know it."""
    known = [one for one in shops if "debian13" in one.inventory_name]
    assert known
    for one in known:
        seen(one, "tls")
        curl = "curl --http3-only --insecure --silent --output /dev/null --write-out '%{http_code} %{http_version}'"
        lines = [f"{name}: {value}" for name, value in CLAIMS.items()]
        claims = " ".join(f"--header '{line}'" for line in [*lines, "Connection: x-real-ip", "Transfer-Encoding: x"])
        url = "--connect-to ::127.0.0.1: https://tls.example.com/audit/case-0"
        assert one.run("sh -c %s", f"{curl} {claims} {url}") == "200 3"
        [record] = seen(one, "tls")
        assert_truth(record, hostile.Case(hostile.get(), "served"), "tls", "127.0.0.1")
        for host in ("evil.example", "tls.example.com@evil.example", "evil@tls.example.com", "tls.example.com/evil"):
            assert one.run("sh -c %s", f"{curl} --header 'Host: {host}' {url} || true").split()[0] in ("000", "400")
        assert seen(one, "tls") == []


def test_a_name_in_tls_is_no_host(kinds, shops, seen, believed_address):
    """A connection under the name of one site may ask for another one that has TLS, whose truth it is then."""
    plain = hostile.Case(hostile.get(), "served")
    for one in shops:
        for name, other, prefix in (("tls", "pathed", "/shop"), ("pathed", "tls", "")):
            seen(one, other)
            request = f"GET {prefix}/audit/x HTTP/1.1\r\nHost: {other}.example.com\r\nConnection: close\r\n\r\n"
            assert status(converse(one.address, request, name_in_tls(name))) == 200
            [record] = seen(one, other)
            assert_truth(record, plain, other, believed_address[one.inventory_name], prefix)
            # One without, or none at all, is not there.
            for host in ("plain.example.com", "evil.example"):
                request = f"GET /audit/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                assert converse(one.address, request, name_in_tls(name)) == b""
        assert seen(one, "plain") == []


def test_requests_on_one_connection_are_told_apart(kinds, shops, seen, places):
    """The second one is a request of its own, with its own truth, however the first one's body ends."""
    for one in shops:
        for name, target in places:
            seen(one, name)
            domain = f"{name}.example.com"
            second = f"GET {target}/second HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n"
            for head, body in (
                ("Content-Length: 5", "hello"),
                ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
            ):
                first = f"POST {target}/first HTTP/1.1\r\nHost: {domain}\r\nX-Mine: first\r\n{head}\r\n\r\n{body}"
                received = converse(one.address, first + second, name_in_tls(name))
                assert received.count(b"HTTP/1.1 200 ") == 2, received
                told = seen(one, name)
                assert [(each["path"], each["body"]) for each in told] == [
                    ("/audit/first", "hello"),
                    ("/audit/second", ""),
                ]
                assert [dict(each["headers"]).get("x-mine") for each in told] == ["first", None]


# Characters of a Host that nginx takes. Some end the host in a URL, some are merely in none.
STRANGE = "?#@\\%,;\"'<>{}|^`()!*+=~&$\xe9"


def test_a_wildcard_has_no_room_for_another_host(kinds, shops, seen):
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


def test_a_request_becomes_a_websocket_and_nothing_else(kinds, shops, seen, places):
    wanted = ["WebSocket", "h2c", "TLS/1.0", "websocket, h2c"]
    for one in shops:
        for name, target in places:
            seen(one, name)
            heads = [
                f"GET {target}/{number} HTTP/1.1\r\nHost: {name}.example.com\r\nConnection: Upgrade\r\nUpgrade: {each}"
                for number, each in enumerate(wanted)
            ]
            converse_all(one.address, [f"{head}\r\n\r\n" for head in heads], name_in_tls(name))
            told = {record["path"]: dict(record["headers"]) for record in seen(one, name)}
            passed = [(told[path].get("connection"), told[path].get("upgrade")) for path in sorted(told)]
            first = ("upgrade", "websocket") if name == "open" else (None, None)
            assert passed == [first, *[(None, None)] * 3], (one.inventory_name, kinds, name, target)


PATHS = [
    *("/audit/a%2Fb", "/audit//a", "/audit/http://x/y", "/audit/a/./b", "/audit/a/%2e%2e/b", "/audit/%61"),
    *("/audit/a%20b+c;d=e", "/audit/x?y=%2F&z=//&%3F", "/audit/a%25b%252F", "/audit/%C3%A9%FF", "/audit/a%3Fb%23c"),
]


def test_a_path_is_the_same_with_a_prefix(kinds, shops, seen, prefix_of):
    for one in shops:
        told = {}
        for name in ("plain", "pathed"):
            seen(one, name)
            for path in PATHS:
                head = f"GET {prefix_of[name]}{path} HTTP/1.1\r\nHost: {name}.example.com\r\nConnection: close\r\n\r\n"
                assert status(converse(one.address, head, name_in_tls(name))) in (200, 308, 404)
            told[name] = [(record["raw"], record["path"]) for record in seen(one, name)]
        assert len(told["plain"]) == len(PATHS)
        assert told["pathed"] == told["plain"]
        if kinds == "sync":
            assert [raw for raw, _path in told["plain"]] == PATHS
        # Other spellings of the prefix are not it.
        for path in ("/%73hop/audit/x", "/x/../shop/audit/x", "//shop/audit/x", "/SHOP/audit/x", "/shopaudit/x"):
            head = f"GET {path} HTTP/1.1\r\nHost: pathed.example.com\r\nConnection: close\r\n\r\n"
            assert status(converse(one.address, head, name_in_tls("pathed"))) == 404
        assert seen(one, "pathed") == []
