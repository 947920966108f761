"""What a client gets through nginx."""

from __future__ import annotations

import http.client

import pytest
from hostlab import traffic

HOST = "shop.example.com"


def test_page_and_facts_of_the_deployment(shop):
    page = traffic.get(shop.address, "/", HOST)
    facts = traffic.get(shop.address, "/whoami", HOST).json()
    assert page.status == 200
    assert "text/html" in page.headers["Content-Type"]
    assert shop.release in page.body
    assert facts["release"] == shop.release
    assert facts["worker_class"] == "sync"
    assert facts["pid"] in shop.workers
    assert facts["scheme"] == "http"
    assert facts["host"] == HOST


@pytest.mark.parametrize("domain", ["shop.example.com", "www.shop.example.com"])
def test_every_domain_is_served(shop, domain):
    assert traffic.get(shop.address, "/whoami", domain).json()["host"] == domain


def test_application_can_write_its_state(shop):
    assert traffic.get(shop.address, "/ready", HOST).status == 200
    assert shop.host.file("/var/lib/shop/reference.sqlite3").user == "shop"


def test_client_can_not_lie_about_itself(shop):
    truth = traffic.get(shop.address, "/whoami", HOST).json()
    lies = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example.com",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Ssl": "on",
        "X-Forwarded-Protocol": "ssl",
        "Forwarded": "for=203.0.113.7;proto=https",
    }
    told = traffic.get(shop.address, "/whoami", HOST, lies).json()
    for fact in ("client", "scheme", "host", "script_name", "forwarded"):
        assert told[fact] == truth[fact]
    assert truth["client"] not in (None, "", "203.0.113.7")


@pytest.mark.parametrize("stranger", ["other.example.com", "localhost", ""])
def test_unknown_hosts_get_no_application(shop, stranger):
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        traffic.get(shop.address, "/whoami", stranger or shop.address)


def test_one_request_id_from_nginx_to_the_client(shop):
    answer = traffic.get(shop.address, "/whoami", HOST, {"X-Request-ID": "a-clients-own-idea"})
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] != "a-clients-own-idea"


def test_only_nginx_and_sshd_listen_on_the_network(shop):
    listening = shop.run("ss --listening --tcp --udp --no-header --processes")
    names = {line.split('(("')[1].split('"')[0] for line in listening.splitlines()}
    assert names == {"nginx", "sshd"}
