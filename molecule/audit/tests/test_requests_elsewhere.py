"""Requests that were made to be misread, to where nginx answers by itself: nobody is led elsewhere, or let in."""

from __future__ import annotations

import re

import pytest
from hostlab import hostile, traffic
from hostlab.hostile import CASES, CLAIMS, FORGED, converse, converse_all, status, statuses

# Where, by title: the site, the path, the name in TLS, and the status.
PLACES = {
    "files": ("plain", "/files/case", "", 200),
    "the pages of errors": ("plain", "/.wsgiops-flask/502.html", "", 404),
    "the prefix itself": ("pathed", "/shop", "pathed.example.com", 308),
    "beside the prefix": ("pathed", "/elsewhere", "pathed.example.com", 404),
    "on the way to TLS": ("pathed", "/shop/audit/case", "", 308),
    "on the way to TLS, in a location of the user's": ("tls", "/own/case", "", 308),
    "maintenance": ("tls", "/audit/case", "tls.example.com", 503),
    "maintenance, in a location of the user's": ("tls", "/own/case", "tls.example.com", 503),
}


@pytest.fixture(scope="module", autouse=True)
def elsewhere(serve, sites, shops):
    """The same applications and releases as before, if others were before, with other sites."""
    for one in shops:
        one.run("sh -c %s", "mkdir -p /srv/files && echo here >/srv/files/case")
    limit = {"rate_limit": {"rate": 0.1, "burst": 0}}
    more = {
        "plain": {"static": [{"url": "/files/", "path": "/srv/files"}]},
        "pathed": limit,
        "trusting": {"access": {"allow": [FORGED, "192.0.2.0/24"]}, **limit},
        "open": {"access": {"allow": [FORGED]}},
        "tls": {"maintenance": True},
    }
    serve(sites({"server": "gevent"}, **more))


def leads(received: bytes) -> list[str]:
    return [found.decode("latin-1") for found in re.findall(rb"(?im)^location: *(.*?)\r?$", received)]


@pytest.mark.parametrize("place", ["files", "on the way to TLS", "maintenance"])
def test_nobody_is_led_elsewhere(shops, seen, place):
    name, target, tls, _status = PLACES[place]
    domain = f"{name}.example.com"
    requests = [case.write(domain, target) for case in CASES.values()]
    wrong = []
    for one in shops:
        seen(one, name)
        answers = converse_all(one.address, requests, tls)
        for (title, case), received in zip(CASES.items(), answers, strict=True):
            got = statuses(received)
            # What is left of a refused request is refused, too; nothing in a body is a request.
            is_well = len(got) <= 1 or set(got[1:]) == {400}
            is_well &= case.outcome != "refused" or status(received) in (0, *range(300, 600))
            is_well &= b"evil" not in received
            is_well &= all(place.startswith(f"https://{domain}/") for place in leads(received))
            if not is_well:
                wrong.append(f"{one.inventory_name}, {title}: {received[:300]!r}")
        # With two slashes in front it is another path, which is the application's where there is nothing else.
        assert [record for record in seen(one, name) if "elsewhere.example/" not in record["path"]] == []
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("place", PLACES)
def test_each_place_answers_as_it_should(shops, seen, place):
    name, target, tls, wanted = PLACES[place]
    claims = hostile.get(*[f"{name}: {value}" for name, value in CLAIMS.items()], "Connection: close")
    for one in shops:
        received = converse(one.address, claims(f"{name}.example.com", target), tls)
        assert status(received) == wanted
        assert b"Server: nginx\r\n" in received
        assert b"nginx/" not in received
        assert b"evil" not in received
        assert leads(received) == {
            308: ["/shop/"] if place == "the prefix itself" else [f"https://{name}.example.com{target}"]
        }.get(wanted, [])
        assert seen(one, name) == []


@pytest.mark.parametrize(
    "path",
    [
        "/files/../{out}",
        "/files/./../{out}",
        "/files/%2e%2e/{out}",
        "/files/..%2f{out}",
        "/files/%2e%2e%2f{out}",
        "/files/..\\{out}",
        "/files../{out}",
        "/files//../../{out}",
        "/files/%00/../{out}",
        "/files/{out}",
        "/files//{out}",
    ],
)
def test_files_have_no_way_out(shops, path):
    for one in shops:
        one.run("sh -c %s", "echo secret >/srv/out && mkdir -p /srv/files/etc")
        for out in ("out", "srv/out", "/srv/out"):
            request = f"GET {path.format(out=out)} HTTP/1.1\r\nHost: plain.example.com\r\nConnection: close\r\n\r\n"
            received = converse(one.address, request)
            assert b"secret" not in received
            assert status(received) in (301, 400, 403, 404), received


def test_a_forged_address_lets_nobody_in(shops, believed_address):
    """Those alone are let in that a trusted proxy, which the test is to one of the sites, says to be the client."""
    for one in shops:
        for chain, is_let_in in (
            ("", False),
            (FORGED, True),
            (f"{FORGED}, 198.51.100.66", False),
            ("198.51.100.67, 192.0.2.1", True),
            (f"192.0.2.2, {believed_address[one.inventory_name]}", True),
        ):
            headers = {"X-Forwarded-For": chain, "X-Real-IP": FORGED, "Forwarded": f"for={FORGED}"}
            asked = traffic.get(one.address, "/audit/x", "trusting.example.com", headers)
            assert asked.status == (200 if is_let_in else 403), chain
            assert traffic.get(one.address, "/audit/x", "open.example.com", headers).status == 403


def test_a_forged_address_gets_round_no_limit(shops):
    """Of one request in ten seconds. To one who believes it, each address is another client."""
    for one in shops:
        for name, path, tls, wanted in (
            ("pathed", "/shop/audit/x", traffic.any_certificate(), [200, 429, 429, 429]),
            ("trusting", "/audit/x", None, [200] * 4),
        ):
            asked = [
                traffic.get(one.address, path, f"{name}.example.com", {"X-Forwarded-For": f"192.0.2.{number}"}, tls)
                for number in range(10, 14)
            ]
            assert [answer.status for answer in asked] == wanted
            assert {answer.headers.get("Retry-After") for answer in asked if answer.status == 429} <= {"10"}
