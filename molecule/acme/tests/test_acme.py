"""Certificates of an ACME authority: the first one, the next ones, and what holds when there is none to be had."""

from __future__ import annotations

import re
import socket
import ssl

import pytest
from cryptography import x509
from hostlab import controller, soak, traffic
from hostlab.fixtures import assert_none_failed

DOMAIN = "shop.example.com"
MORE = [DOMAIN, "www.shop.example.com"]
DIRECTORY = "/etc/nginx/wsgiops-flask/shop"
URL = "https://acme.example.com:14000/directory"
ACME = {"mode": "acme", "acme": {"directory": URL, "ca_bundle": "/srv/authority/ca.pem"}}
SERVICE = "wsgiops-flask-certificates"


def certificate(one, context=None, name=DOMAIN):
    """What a TLS client gets, whom a context makes ask for proof."""
    with (
        socket.create_connection((one.address, 443), timeout=10) as plain,
        (context or traffic.any_certificate()).wrap_socket(plain, server_hostname=name) as tls,
    ):
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))


def in_place(one):
    """What nginx is to use. Workers that a reload ends may answer with another one for a moment more."""
    return x509.load_pem_x509_certificate(one.run("cat %s", f"{DIRECTORY}/certificate.pem").encode())


def names(found):
    extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return sorted(extension.value.get_values_for_type(x509.DNSName))


def assert_issued(one, context, domains):
    """Those who trust the authority get a certificate for exactly these domains."""

    def is_there():
        try:
            return names(certificate(one, context)) == sorted(domains)
        except ssl.SSLCertVerificationError:
            return False

    controller.wait_until(is_there, 10, f"the authority's certificate for {domains} is in use")


def is_self_signed(found):
    return found.subject == found.issuer


def https(one, path="/whoami", **more):
    return traffic.get(one.address, path, DOMAIN, tls=traffic.any_certificate(), **more)


def output(run):
    """What a run said, on one line: Ansible wraps warnings."""
    return re.sub(r"\s+", " ", run.output)


def leftovers(one):
    """What is there for certbot's sake, and where else it could have left something."""
    places = f"{DIRECTORY}/certbot.ini {DIRECTORY}/acme-ca-bundle {DIRECTORY}/acme /etc/letsencrypt/live"
    return one.run("sh -c %s", f"ls -d {places} 2>/dev/null || true").split()


def test_a_first_run_without_an_answer_fails_and_the_site_serves_until_there_is_one(shop, shops, answering, trusting):
    shop.serve()
    answering(False)
    run = shop.site(check=False, tls=ACME)
    for one in shops:
        error = run.error(one.inventory_name)
        assert error.startswith(f"shop: tls.mode: acme: no new certificate for {DOMAIN} from {URL}. The site is served")
        assert "with a self-signed one" in error
        assert "refused" in error
        # Everything else of the application is in place.
        assert "TASK [Confirm the release of shop]" in run.output
        assert https(one).status == 200
        moved = traffic.get(one.address, "/whoami", DOMAIN)
        assert (moved.status, moved.headers["Location"]) == (308, f"https://{DOMAIN}/whoami")
        assert is_self_signed(certificate(one))
        # The timer does no better, and does not take the stand-in for a self-signed one that it should renew.
        with one.host.sudo():
            assert one.host.run("systemctl start %s.service", SERVICE).failed
        assert "certbot failed" in one.run(f"journalctl --quiet --output=cat --unit={SERVICE}.service")
        assert is_self_signed(certificate(one))
    answering(True)
    # The timer tries again, with no run.
    shops[0].run("systemctl start %s.service", SERVICE)
    assert_issued(shops[0], trusting[shops[0].inventory_name], [DOMAIN])
    run = shop.site(tls=ACME)
    assert run.changed[shops[0].inventory_name] == 0
    assert run.changed[shops[1].inventory_name] == 1
    for one in shops:
        assert_issued(one, trusting[one.inventory_name], [DOMAIN])


def test_a_first_start_ends_with_an_issued_one(shop, shops, trusting):
    shop.serve()
    planned = controller.playbook(*shop.arguments({"tls": ACME}), "--check", "--diff")
    assert min(planned.changed.values()) > 0
    for one in shops:
        assert leftovers(one) == []
    shop.serve(tls=ACME)
    for one in shops:
        assert_issued(one, trusting[one.inventory_name], [DOMAIN])
        assert one.run("stat --format '%%a %%U' %s", f"{DIRECTORY}/key.pem") == "600 root"
        assert one.run("systemctl is-active %s.timer", SERVICE) == "active"
        # Debian's own timer has nothing to renew.
        assert one.run("certbot certificates 2>&1").count("No certificates found") == 1


def test_an_unchanged_run_changes_nothing_and_asks_for_no_more_than_one_without_an_authority(shop, shops):
    shop.serve(tls={"mode": "self_signed"})
    without = shop.site("-vvv", tls={"mode": "self_signed"})
    shop.serve(tls=ACME)
    again = shop.site("-vvv", tls=ACME)
    assert set(again.changed.values()) == {0}
    for one in shops:
        name = one.inventory_name
        assert again.remote_executions(name) == without.remote_executions(name)
    checked = controller.playbook(*shop.arguments({"tls": ACME}), "--check", "--diff")
    assert set(checked.changed.values()) == {0}


def test_the_timer_renews_what_is_due_without_a_lost_request(shop, shops, trusting):
    shop.serve(tls=ACME)
    for one in shops:
        context = trusting[one.inventory_name]
        before = in_place(one)
        one.run("systemctl start %s.service", SERVICE)
        assert in_place(one) == before
        controller.wait_until(lambda one=one, before=before: certificate(one) == before, 10, "it is in use")
        # As if it were older: due is what ends within that time.
        renewal = f"sed -i '1i renew_before_expiry = 365 days' {DIRECTORY}/acme/*/renewal/shop.conf"
        one.run("sh -c %s", renewal)
        with traffic.traffic(one.address, "/whoami", DOMAIN, rate=25, tls=context) as stream:
            one.run("systemctl start %s.service", SERVICE)
            controller.wait_until(
                lambda one=one, context=context, before=before: certificate(one, context) != before, 10, "it is renewed"
            )
        assert_none_failed([stream])
        assert len(stream.outcomes) > 25
        assert_issued(one, context, [DOMAIN])
        assert ": issued, it ends on" in one.run(f"journalctl --quiet --output=cat --unit={SERVICE}.service")
        one.run("sh -c %s", f"sed -i /renew_before_expiry/d {DIRECTORY}/acme/*/renewal/shop.conf")


# It answers what no authority would, with the authority's own certificate.
NONSENSE = """
import http.server, ssl
class Nonsense(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>It works!</html>")
    do_POST = do_HEAD = do_GET
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/srv/authority/server.pem", "/srv/authority/server.key")
server = http.server.HTTPServer(("127.0.0.1", 14000), Nonsense)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def fails_to_renew(one):
    """The timer's service fails, and says of what; nothing else changes."""
    before = in_place(one)
    with one.host.sudo():
        assert one.host.run("systemctl start %s.service", SERVICE).failed
    assert in_place(one) == before
    assert https(one).status == 200
    return one.run(f"journalctl --quiet --output=cat --lines=30 --unit={SERVICE}.service")


def test_a_renewal_that_fails_is_tried_again(shop, shops, answering, trusting):
    """An authority that is down, that fails to issue, and that talks nonsense; the site goes on with what it has."""
    shop.serve(tls=ACME)
    for one in shops:
        context = trusting[one.inventory_name]
        before = in_place(one)
        one.run("sh -c %s", f"sed -i '1i renew_before_expiry = 365 days' {DIRECTORY}/acme/*/renewal/shop.conf")
        one.run("systemctl stop authority.service")
        assert "certbot failed; it is as before" in fails_to_renew(one)
        one.run("sh -c %s", f"cat >/srv/nonsense.py <<'END'\n{NONSENSE}END")
        one.run("systemd-run --quiet --collect --unit=nonsense python3 /srv/nonsense.py")
        assert "certbot failed; it is as before" in fails_to_renew(one)
        one.run("systemctl stop nonsense.service")
        one.run("systemctl start authority.service")
        one.run("sh -c %s", "echo nonsense >/srv/authority/days")
        try:
            assert "certbot failed; it is as before" in fails_to_renew(one)
        finally:
            one.run("sh -c %s", "echo 90 >/srv/authority/days")
        assert_issued(one, context, [DOMAIN])
        one.run("systemctl start %s.service", SERVICE)
        assert in_place(one) != before
        assert_issued(one, context, [DOMAIN])
        one.run("sh -c %s", f"sed -i /renew_before_expiry/d {DIRECTORY}/acme/*/renewal/shop.conf")


def test_other_domains_are_another_certificate_whatever_else_the_site_refuses(shop, shops, trusting):
    shop.serve(tls=ACME)
    hashed = "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"
    closed = {
        "access": {"allow": ["192.0.2.0/24"], "users": {"alice": hashed}},
        "rate_limit": {"rate": 0.1, "burst": 0},
        "maintenance": True,
    }
    shop.site(domains=MORE, tls=ACME, **closed)
    for one in shops:
        assert_issued(one, trusting[one.inventory_name], MORE)
        one.run("sh -c %s", f"d={DIRECTORY}/acme/webroot/.well-known/acme-challenge; mkdir -p $d; echo it > $d/token")
        for path in ("/", "/.well-known/acme-challenger", "/.well-known/"):
            assert traffic.get(one.address, path, DOMAIN).status in {308, 403}
        answers = [traffic.get(one.address, "/.well-known/acme-challenge/token", name) for name in MORE * 2]
        assert {(answer.status, answer.body, answer.headers["Content-Type"]) for answer in answers} == {
            (200, "it\n", "text/plain")
        }
        # Whoever asks for something else there, or in somebody else's name, gets nothing.
        out = (
            "/../../certbot.ini",
            "/%2e%2e/%2e%2e/%2e%2e/certbot.ini",
            "/..%2f..%2fcertbot.ini",
            "../token",
            "//etc/passwd",
        )
        for path in out:
            answer = traffic.get(one.address, f"/.well-known/acme-challenge{path}", DOMAIN)
            assert answer.status in {308, 400, 404}, path
        # The end of the connection, or its reset: nginx resets what it ends by 444 (reset_timedout_connection).
        with pytest.raises(ConnectionResetError):
            traffic.get(one.address, "/.well-known/acme-challenge/token", "evil.example")
        one.run("rm -r %s", f"{DIRECTORY}/acme/webroot/.well-known")
    shop.site(domains=[DOMAIN], tls=ACME)
    for one in shops:
        assert_issued(one, trusting[one.inventory_name], [DOMAIN])
    shop.serve(tls=ACME)


def test_a_domain_that_leads_elsewhere_is_an_error_and_those_that_do_not_are_served(shop, shops, trusting):
    shop.serve(tls=ACME)
    before = [in_place(one) for one in shops]
    domains = [DOMAIN, "elsewhere.example.com"]
    run = shop.site(check=False, domains=domains, tls=ACME)
    for one, had in zip(shops, before, strict=True):
        error = run.error(one.inventory_name)
        assert f"shop: tls.mode: acme: no new certificate for {', '.join(domains)} from {URL}. The site is" in error
        assert "served with the previous one" in error
        assert "404" in error
        assert in_place(one) == had
        assert_issued(one, trusting[one.inventory_name], [DOMAIN])
        one.run("cp /etc/hosts /root/before")
        one.run("sh -c %s", "sed 's/^[0-9.]* elsewhere/127.0.0.1 elsewhere/' /root/before >/etc/hosts")
    try:
        shop.site(domains=domains, tls=ACME)
        for one in shops:
            assert_issued(one, trusting[one.inventory_name], domains)
    finally:
        for one in shops:
            one.run("sh -c %s", "cat /root/before >/etc/hosts")


def test_an_authority_that_is_down_is_a_warning_while_its_certificate_is_good(shop, shops, answering, trusting):
    shop.serve(tls=ACME)
    before = [in_place(one) for one in shops]
    told = {**ACME, "acme": {**ACME["acme"], "email": "admin@example.com"}}
    answering(False)
    # Nobody is asked as long as nothing changes.
    assert "no new certificate" not in shop.site(tls=ACME).output
    run = shop.site(tls=told)
    warning = f"shop: tls.mode: acme: no new certificate for {DOMAIN} from {URL}. The one in place lasts until"
    assert warning in output(run)
    answering(True)
    for one, had in zip(shops, before, strict=True):
        assert_issued(one, trusting[one.inventory_name], [DOMAIN])
        one.run("systemctl start %s.service", SERVICE)
        journal = one.run(f"journalctl --quiet --output=cat --unit={SERVICE}.service")
        assert "the authority knows the new tls.acme.email" in journal
        assert in_place(one) == had
    assert set(shop.site(tls=told).changed.values()) == {0}
    shop.serve(tls=ACME)


@pytest.mark.parametrize("mode", ["self_signed", pytest.param("none", marks=soak.only)])
def test_another_mode_leaves_nothing_of_certbot(shop, shops, mode):
    shop.serve(tls=ACME)
    for one in shops:
        assert len(leftovers(one)) == 3
    shop.serve(tls={"mode": mode})
    for one in shops:
        assert leftovers(one) == []
        if mode == "self_signed":
            assert is_self_signed(certificate(one))


def test_an_application_that_goes_leaves_nothing(shop, shops):
    shop.serve(tls=ACME)
    controller.playbook("--limit", ",".join(shop.hosts), "-e", '{"flask_apps": [{"name": "shop", "state": "absent"}]}')
    for one in shops:
        assert leftovers(one) == []
        places = "/etc/nginx/wsgiops-flask /etc/systemd/system/wsgiops-flask* /etc/systemd/system/nginx.service.wants"
        everything = f"ls -d {places} /var/lib/wsgiops.flask 2>/dev/null || true"
        assert one.run("sh -c %s", everything) == ""
