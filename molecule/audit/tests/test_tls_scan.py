"""testssl.sh's look at TLS as the collection configures it."""

from __future__ import annotations

import json

import pytest
from certificates import Issued
from hostlab import controller

DOMAIN = "shop.example.com"

# What is told of any server that is set up for such a test, or that was decided on, by testssl's id, and why.
ACCEPTED = {
    # The authority is one that the test made: nobody knows it, which makes the grade a T, and it keeps no list of what
    # it took back.
    "cert_chain_of_trust",
    "cert_revocation",
    "overall_grade",
    # Mozilla's intermediate configuration leaves the choice to clients, as each of the ciphers is good, and ChaCha20 is
    # the faster one without AES in hardware.
    "cipher_order",
    # Pages are compressed by default. Which of them hold a secret beside what somebody sent, only the
    # application knows (breachattack.com); compression: none is for those.
    "BREACH",
}

# WARN is of the scanner and not of what it scans: something that it could not look at, on a busy machine, say. What it
# has to have looked at is in a test below.
HARMLESS = {"OK", "INFO", "LOW", "DEBUG", "WARN"}

# Clients that are simulated, every cipher one by one, and what is about HTTP and not TLS take minutes and say no more.
OPTIONS = "--quiet --warnings batch --color 0 --nodns none --ip 127.0.0.1 -p -s -f -P -S -h -U"


@pytest.fixture(scope="module")
def scans(serve, app, shops) -> dict[str, list[dict[str, str]]]:
    authority = Issued("Test authority", authority=True)
    issued = Issued(DOMAIN, [DOMAIN], issuer=authority)
    tls = {"mode": "provided", "certificate": issued.certificate, "key": issued.key, "hsts": 63072000}
    serve([app("shop", tls=tls)])

    def scan(one):
        one.run("rm -f /tmp/scan.json")
        command = (
            f"cd /tmp && timeout 400 testssl {OPTIONS} --jsonfile /tmp/scan.json {DOMAIN}:443 > /tmp/scan.log 2>&1"
        )
        one.run("sh -c %s", f"{command}; test -s /tmp/scan.json || (tail -n 40 /tmp/scan.log; exit 1)")
        return json.loads(one.run("cat /tmp/scan.json"))

    found = controller.on_each(shops, scan)
    return {one.inventory_name: each for one, each in zip(shops, found, strict=True)}


def test_nothing_above_low_is_found(scans):
    for name, findings in scans.items():
        serious = [each for each in findings if each["severity"] not in HARMLESS]
        unexplained = [finding for finding in serious if finding["id"] not in ACCEPTED]
        assert not unexplained, f"{name}: {json.dumps(unexplained, indent=2)}"


def test_a_second_handshake_is_bound_to_the_first(scans, shops):
    """RFC 5746."""
    for one in shops:
        asked = f"echo | openssl s_client -tls1_2 -servername {DOMAIN} -connect 127.0.0.1:443 2>/dev/null"
        assert "Secure Renegotiation IS supported" in one.run("sh -c %s", asked)


def test_the_scan_looked_at_what_it_should(scans):
    for findings in scans.values():
        told = {finding["id"]: finding["finding"] for finding in findings}
        assert told["SSLv3"] == told["TLS1"] == told["TLS1_1"] == "not offered"
        assert "offered" in told["TLS1_2"]
        assert told["TLS1_3"].startswith("offered")
        assert "not vulnerable" in told["heartbleed"]
        assert told["HSTS_time"].startswith("730 days")
