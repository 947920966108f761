"""What nginx lets through to the application, what it adds, and what it answers itself."""

from __future__ import annotations

import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hostlab import controller, soak, traffic

DOMAIN = "shop.example.com"

# What a client may claim to be, beside X-Forwarded-For and -Proto.
CLAIMS = {
    "Forwarded": "for=203.0.113.9;proto=https;host=evil.example",
    "X-Real-IP": "203.0.113.9",
    "X-Client-IP": "203.0.113.9",
    "True-Client-IP": "203.0.113.9",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Protocol": "https",
    "X-Forwarded-Scheme": "https",
    "Front-End-Https": "on",
    "X-Script-Name": "/evil",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-Remote-User": "root",
    "X-Request-ID": "evil",
    "Proxy": "http://evil.example",
    "SCRIPT_NAME": "/evil",
    "X_Forwarded_For": "203.0.113.9",
}


def ask(one, path="/sees", headers=None, **more):
    return traffic.get(one.address, path, DOMAIN, headers, **more)


def own_address(one):
    """The address from which the test's requests come."""
    return one.run(
        "sh -c %s", "ss --no-header --tcp state established sport = :22 | awk '{print $NF}' | head -n 1"
    ).rsplit(":", 1)[0]


def assert_truth(one, seen, client, scheme="http"):
    assert (seen["client"], seen["scheme"], seen["host"]) == (client, scheme, DOMAIN)
    told = seen["headers"]
    port = "443" if scheme == "https" else "80"
    assert told["x-forwarded-for"] == told["x-real-ip"] == client
    assert (told["x-forwarded-proto"], told["x-forwarded-host"], told["x-forwarded-port"]) == (scheme, DOMAIN, port)
    assert "evil" not in json.dumps(seen)
    assert "203.0.113.9" not in json.dumps(
        {**seen, "client": "", "headers": {**told, "x-forwarded-for": "", "x-real-ip": ""}}
    )


def test_a_client_is_not_believed(serve, shops):
    serve()
    for one in shops:
        claims = {**CLAIMS, "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        assert_truth(one, ask(one, headers=claims).json(), own_address(one))
        assert "upgrade" not in ask(one, headers={"Upgrade": "websocket", "Connection": "upgrade"}).json()["headers"]


def test_a_trusted_proxy_tells_of_the_client_and_nobody_else_does(serve, shops):
    addresses = {own_address(one) for one in shops}
    serve(trusted_proxies=[*addresses, "198.51.100.0/24", "2001:db8::/32"])
    for one in shops:
        told = {**CLAIMS, "X-Forwarded-Proto": "https"}
        chains = {
            "203.0.113.9": "203.0.113.9",
            "192.0.2.66, 203.0.113.9, 198.51.100.7": "203.0.113.9",
            "203.0.113.9, 2001:db8::1": "203.0.113.9",
            "2001:db9::1": "2001:db9::1",
        }
        for chain, client in chains.items():
            seen = ask(one, headers={**told, "X-Forwarded-For": chain}).json()
            assert_truth(one, seen, client, "https")
            assert json.loads(one.run("tail -n 1 /var/log/nginx/shop.access.log"))["client"] == client
        seen = ask(one, headers={"X-Forwarded-Proto": "gopher"}).json()
        assert seen["scheme"] == "http"
        # From the host itself, which is none of these.
        claims = "-H 'X-Forwarded-For: 203.0.113.9' -H 'X-Forwarded-Proto: https'"
        seen = json.loads(one.run(f"curl -s -H 'Host: {DOMAIN}' {claims} 127.0.0.1/sees"))
        assert (seen["client"], seen["scheme"]) == ("127.0.0.1", "http")


def test_every_answer_has_the_headers(serve, shops, has_headers):
    serve(
        headers={
            "content_type_options": "",
            "frame_options": "DENY",
            "permissions_policy": "usb=()",
            "content_security_policy": "default-src 'self'; img-src \"x\\y\"",
            "referrer_policy": "",
            "extra": {"X-Robots-Tag": "noindex"},
        }
    )
    changed = {
        "X-Content-Type-Options": None,
        "X-Frame-Options": "DENY",
        "Permissions-Policy": "usb=()",
        "Content-Security-Policy": "default-src 'self'; img-src \"x\\y\"",
        "Referrer-Policy": None,
        "X-Robots-Tag": "noindex",
    }
    for one in shops:
        assert has_headers(ask(one), **changed)
        assert has_headers(ask(one, "/not-there"), **changed)
        answer = ask(one, "/takes", method="POST", body=b"x" * 17_000_000)
        assert answer.status == 413
        assert has_headers(answer, **changed)
        died = ask(one, "/dies")
        assert (died.status, died.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
        assert has_headers(died, **changed)
        assert "Bad Gateway" in died.body
        died = ask(one, "/dies", headers={"Accept": "application/problem+json, */*"})
        assert (died.status, died.headers["Content-Type"]) == (502, "application/json")
        assert died.json()["status"] == 502
        # What the application says itself stands, once.
        assert has_headers(ask(one, "/sends"), **{**changed, "X-Frame-Options": "SAMEORIGIN"})
        assert "Retry-After" not in ask(one).headers


def test_what_may_have_been_done_is_not_done_again(serve, shops):
    """The worker dies of the request, which others could answer: a method that is not idempotent (RFC 9110)."""
    serve()
    for one in shops:
        deaths = "/var/lib/shop/deaths"
        one.run("rm -f %s", deaths)
        wanted = []
        for method in ("POST", "PATCH"):
            for number in range(3):
                # nginx has used connections to the application, if it keeps any.
                assert [ask(one).status for _ in range(4)] == [200] * 4
                assert ask(one, f"/dies?{number}", method=method, body=b"order").status == 502
                wanted.append(f"{method} {number}")
        assert one.run("cat %s", deaths).splitlines() == wanted
        assert not answers_early(one)


def answers_early(one):
    """Whether the application is asked, and its answer comes, before the end of a request's body."""
    with socket.create_connection((one.address, 80), timeout=1.5) as client:
        client.sendall(f"POST /early HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 100000\r\n\r\nbegun".encode())
        try:
            return client.recv(4096).startswith(b"HTTP/1.1 200 ")
        except TimeoutError:
            return False


def test_who_waits_too_long_is_told_so(serve, shop, shops, tmp_path, has_headers):
    """nginx waits longer than the application's workers may take. Here it does not, as those would end the request."""
    serve()
    assert {ask(one, "/slow?seconds=3").status for one in shops} == {200}
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>Too busy</title>")
    shop.site("--tags", "nginx", "-e", "nginx_read_timeout=1", pages={"error": str(page)})
    serve.forget()
    for one in shops:
        began = time.monotonic()
        late = ask(one, "/slow?seconds=3")
        assert 0.9 < time.monotonic() - began < 2.9
        assert (late.status, late.headers["Content-Type"]) == (504, "text/html; charset=utf-8")
        assert late.body == page.read_text()
        assert has_headers(late)
        late = ask(one, "/slow?seconds=3", headers={"Accept": "application/json"})
        assert (late.status, late.headers["Content-Type"], late.json()["status"]) == (504, "application/json", 504)


def test_limits_of_bodies_rates_and_connections(serve, shops, has_headers):
    serve(max_body="2M", rate_limit={"rate": 1, "burst": 5, "connections": 2})
    for one in shops:
        assert ask(one, "/takes", method="POST", body=b"x" * 2_000_000).json() == {"length": 2_000_000}
        assert ask(one, "/takes", method="POST", body=b"x" * 2_200_000).status == 413
        time.sleep(7)
        answers = [ask(one) for _ in range(12)]
        statuses = [answer.status for answer in answers]
        assert statuses[:6] == [200] * 6
        assert statuses.count(429) >= 4
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.headers["Retry-After"] == "1"
        assert has_headers(refused)
        time.sleep(7)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(ask, [one] * 4, ["/slow?seconds=2"] * 4))
        assert sorted(answer.status for answer in answers) == [200, 200, 429, 429]


def test_who_is_let_in(serve, shops, has_headers):
    addresses = list({own_address(one) for one in shops})
    serve(access={"allow": ["192.0.2.0/24"]})
    for one in shops:
        refused = ask(one)
        assert refused.status == 403
        assert has_headers(refused)
        assert one.run(f"curl -s -o /dev/null -w '%{{http_code}}' -H 'Host: {DOMAIN}' 127.0.0.1/sees") == "200"
    serve(access={"allow": addresses})
    assert {ask(one).status for one in shops} == {200}
    serve(access={"allow": ["0.0.0.0/0"], "deny": addresses})
    assert {ask(one).status for one in shops} == {403}


def test_maintenance_is_switched_without_a_release_and_releases_go_on(serve, shop, shops, tmp_path, has_headers):
    serve()
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>Back on Monday</title>$request_id 100%")
    before = [one.release for one in shops]
    shop.site("--tags", "nginx", maintenance=True)
    for one, release in zip(shops, before, strict=True):
        answer = ask(one)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "300")
        assert "Maintenance" in answer.body
        assert ask(one, headers={"Accept": "application/json"}).json()["error"] == "Maintenance"
        assert has_headers(answer)
        assert one.release == release
    shop.site(maintenance=True, env={"A": "1"}, pages={"maintenance": str(page)})
    for one, release in zip(shops, before, strict=True):
        assert ask(one).body == page.read_text()
        assert one.release != release
    shop.site(env={"A": "2"})
    assert {ask(one).status for one in shops} == {200}
    serve(pages={"error": str(page)})
    for one in shops:
        assert ask(one, "/dies").body == page.read_text()
        one.run("systemctl stop %s %s", f"shop@{one.release}.socket", one.service)
        gone = ask(one)
        assert (gone.status, gone.headers["Retry-After"], gone.body) == (503, "300", page.read_text())
        assert has_headers(gone)
        gone = ask(one, headers={"Accept": "application/json"})
        assert (gone.status, gone.headers["Content-Type"], gone.json()["status"]) == (503, "application/json", 503)
        one.run("systemctl start %s", f"shop@{one.release}.socket")
        assert ask(one).status == 200


def pieces(one):
    """Seconds to the first piece of a streamed answer, and to its end."""
    connection = http.client.HTTPConnection(one.address, 80, timeout=20)
    start = time.monotonic()
    connection.request("GET", "/streams", headers={"Host": DOMAIN})
    response = connection.getresponse()
    assert response.read(5) == b"first"
    first = time.monotonic() - start
    assert response.read() == b"second"
    return first, time.monotonic() - start


def upgraded(one, said):
    """What the other end of a connection that has become a WebSocket's answers."""
    with socket.create_connection((one.address, 80), timeout=20) as client:
        lines = ["GET /socket HTTP/1.1", f"Host: {DOMAIN}", "Upgrade: websocket", "Connection: Upgrade", "", ""]
        client.sendall("\r\n".join(lines).encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
        client.sendall(said)
        return client.recv(100)


def test_streams_upgrades_and_further_directives(serve, shops, has_headers):
    serve(
        worker_class="gthread",
        websockets=True,
        buffering=False,
        nginx_server_extra="location = /extra {\n    return 204;  # nothing\n}",
        nginx_location_extra="proxy_set_header X-Extra 'a; b';",
    )
    for one in shops:
        first, last = pieces(one)
        assert first < 1.5 <= last
        assert answers_early(one)
        assert upgraded(one, b"hello") == b"echo of hello"
        assert "upgrade" not in ask(one).json()["headers"]
        assert ask(one).json()["headers"]["x-extra"] == "a; b"
        extra = ask(one, "/extra")
        assert extra.status == 204
        assert has_headers(extra)


def test_an_application_under_a_path(serve, shop, shops, has_headers):
    serve(prefix="/shop")
    for one in shops:
        seen = ask(one, "/shop/sees?a=1").json()
        assert seen["headers"]["x-forwarded-prefix"] == "/shop"
        assert seen["url"] == f"http://{DOMAIN}/shop/sees?a=1"
        moved = ask(one, "/shop?a=1")
        assert (moved.status, moved.headers["Location"]) == (308, "/shop/?a=1")
        assert has_headers(moved)
        assert has_headers(ask(one, "/elsewhere"))
        assert {ask(one, path).status for path in ("/", "/sees", "/shopper", "/shop/../sees")} == {404}
    # Probes find it there.
    run = shop.site(prefix="/shop", env={"A": "3"})
    assert set(run.failed.values()) == {0}


@soak.only
def test_a_template_of_ones_own_serves_where_it_is_not_asked_for_the_application(serve, shop, shops, tmp_path):
    serve()
    template = tmp_path / "own.conf.j2"
    template.write_text(
        "server {\n    listen 80;\n    listen [::]:80;\n"
        "    server_name {{ nginx_domains | join(' ') }};\n    return 418 'of {{ nginx_site_name }}';\n}\n"
    )
    own = ("--tags", "nginx", "-e", f"nginx_site_template={template}")
    run = shop.site(*own, check=False)
    for one in shops:
        assert "GET /ready through nginx (http://127.0.0.1, Host shop.example.com) was answered with status 418" in (
            run.error(one.inventory_name)
        )
        assert ask(one).status == 200
    shop.site(*own, "-e", "nginx_probe=false")
    serve.forget()
    assert {(ask(one).status, ask(one).body) for one in shops} == {(418, "of shop")}


def test_a_site_is_asked_for_what_means_ready(serve, shop, shops):
    health = {"ready": "/up", "status": 204}
    serve(health=health)
    wrong = "location = /up { return 200; }"
    run = shop.site("--tags", "nginx", check=False, health=health, nginx_server_extra=wrong)
    for one in shops:
        error = run.error(one.inventory_name)
        assert "GET /up through nginx" in error
        assert "was answered with status 200; the application itself answered with 204" in error
        assert ask(one, "/up").status == 204


@soak.only
def test_a_domain_may_become_another_with_a_release(serve, shops):
    """Until the site has changed too, nginx does not know the name under which the release is looked at."""
    serve()
    serve(domains=["new.example.com", DOMAIN])
    for one in shops:
        assert {traffic.get(one.address, "/sees", name).status for name in (DOMAIN, "new.example.com")} == {200}
    run = serve(domains=["new.example.com"], env={"A": "4"})
    assert set(run.changed.values()) == {2}
    for one in shops:
        assert traffic.get(one.address, "/sees", "new.example.com").status == 200
        assert one.run(f"curl -s -o /dev/null -w '%{{http_code}}' -H 'Host: {DOMAIN}' 127.0.0.1/sees || true") == "000"


def listening(one, port):
    rows = one.run("ss --no-header --listening --tcp --numeric").splitlines()
    return [row.split()[3] for row in rows if row.split()[3].endswith(f":{port}")]


def test_nginx_tells_what_it_counts_to_the_host_itself(shop, shops, serve):
    serve()
    shop.site("-e", "nginx_status_address=127.0.0.1:8081")
    for one in shops:
        assert "Active connections:" in one.run("curl -s http://127.0.0.1:8081/nginx_status")
        assert listening(one, 8081) == ["127.0.0.1:8081"]
    shop.site()
    assert not any(listening(one, 8081) for one in shops)


def test_good_answers_to_health_checks_are_not_logged(serve, shops):
    serve()
    for one in shops:
        lines = one.run("cat /var/log/nginx/shop.access.log").count("\n")
        assert ask(one, "/ready").status == 200
        assert ask(one, "/readiness").status == 404
        added = one.run("cat /var/log/nginx/shop.access.log").splitlines()[lines + 1 :]
        assert [json.loads(line)["path"] for line in added] == ["/readiness"]
        duration = json.loads(added[0])["upstream_duration"]
        assert 0 <= duration < 5


@pytest.mark.parametrize("own", [True, pytest.param(False, marks=soak.only)])
def test_an_unchanged_run_changes_nothing(serve, shop, hashed, own):
    keys = {"access": {"users": {"alice": hashed}}, "tls": {"mode": "self_signed"}} if own else {}
    serve(**keys)
    assert set(shop.site(**keys).changed.values()) == {0}
    checked = controller.playbook(*shop.arguments(keys), "--check", "--diff")
    assert set(checked.changed.values()) == {0}
