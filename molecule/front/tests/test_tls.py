"""Certificates, and what clients get with them."""

from __future__ import annotations

import datetime
import socket
import ssl

import pytest
from certificates import Issued
from cryptography import x509
from hostlab import controller, traffic
from hostlab.fixtures import assert_none_failed

DOMAIN = "shop.example.com"
NOW = datetime.datetime.now(datetime.UTC)
WRONG_THROUGH_NGINX = """
@app.before_request
def refuse():
    if "X-Real-IP" in request.headers:
        return "no", 500
"""
DIRECTORY = "/etc/nginx/wsgiops-flask/shop"


@pytest.fixture(scope="module")
def authority():
    return Issued("Test authority", authority=True)


@pytest.fixture
def trusting(authority):
    """A client that trusts this authority and no other."""
    return ssl.create_default_context(cadata=authority.certificate)


def provided(issued, **other):
    return {"mode": "provided", "certificate": issued.certificate, "key": issued.key, **other}


def handshake(address, name=DOMAIN, context=None):
    """What a TLS client agrees on with a server."""
    with (
        socket.create_connection((address, 443), timeout=10) as plain,
        (context or traffic.any_certificate()).wrap_socket(plain, server_hostname=name) as tls,
    ):
        return tls.version(), tls.selected_alpn_protocol(), tls.getpeercert(binary_form=True)


def https(one, path="/sees", **more):
    return traffic.get(one.address, path, DOMAIN, tls=traffic.any_certificate(), **more)


def curl(one, option):
    """Protocol and status of a request that the host itself sends."""
    wanted = "-sk -o /dev/null -w '%{http_version} %{http_code}'"
    return one.run(f"curl {option} {wanted} --connect-to ::127.0.0.1: https://{DOMAIN}/sees")


def test_a_self_signed_certificate_and_what_goes_with_tls(serve, shops, has_headers):
    serve(tls={"mode": "self_signed", "hsts": 63072000, "hsts_subdomains": True})
    for one in shops:
        moved = traffic.get(one.address, "/sees?a=1", DOMAIN)
        assert (moved.status, moved.headers["Location"]) == (308, f"https://{DOMAIN}/sees?a=1")
        assert "Strict-Transport-Security" not in moved.headers
        assert has_headers(moved)
        answer = https(one)
        assert (answer.json()["scheme"], answer.json()["url"]) == ("https", f"https://{DOMAIN}/sees")
        assert answer.json()["headers"]["x-forwarded-port"] == "443"
        assert answer.headers["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"
        certificate = x509.load_der_x509_certificate(handshake(one.address)[2])
        assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        ) == [DOMAIN]
        assert certificate.not_valid_after_utc > NOW + datetime.timedelta(days=300)
        assert one.run("stat --format '%%a %%U' %s", f"{DIRECTORY}/key.pem") == "600 root"
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(one.address, context=ssl.create_default_context())
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            handshake(one.address, "other.example.com")


def test_versions_protocols_and_sessions(serve, shops):
    serve(tls={"mode": "self_signed", "hsts": 63072000, "hsts_subdomains": True})
    for one in shops:
        for version, accepted in (
            (ssl.TLSVersion.TLSv1_1, False),
            (ssl.TLSVersion.TLSv1_2, True),
            (ssl.TLSVersion.TLSv1_3, True),
        ):
            context = traffic.any_certificate()
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
            context.set_ciphers("ALL:@SECLEVEL=0")
            if accepted:
                context.minimum_version = version
                assert handshake(one.address, context=context)[0] == version.name.replace("_", ".")
            else:
                with pytest.raises(ssl.SSLError):
                    handshake(one.address, context=context)
        context = traffic.any_certificate()
        context.set_alpn_protocols(["h2", "http/1.1"])
        assert handshake(one.address, context=context)[1] == "h2"
        told = one.run(
            f"curl -sk --http2 -o /dev/null -w '%{{http_version}} %{{http_code}}' --connect-to ::127.0.0.1: https://{DOMAIN}/sees"
        )
        assert told == "2 200"
        tickets = one.run(
            f"sh -c 'echo | openssl s_client -tls1_2 -servername {DOMAIN} -connect 127.0.0.1:443 2>/dev/null'"
        )
        assert "TLS session ticket" not in tickets


def test_http_2_and_3_are_a_choice(serve, shops):
    serve(tls={"mode": "self_signed", "http2": False, "http3": True, "redirect": False})
    for one in shops:
        assert traffic.get(one.address, "/sees", DOMAIN).json()["scheme"] == "http"
        context = traffic.any_certificate()
        context.set_alpn_protocols(["h2", "http/1.1"])
        assert handshake(one.address, context=context)[1] == "http/1.1"
        has_http3 = one.run("sh -c 'nginx -V 2>&1'").count("http_v3_module") == 1
        assert has_http3 == ("debian13" in one.inventory_name)
        listens = one.run("ss --no-header --listening --udp --numeric sport = :443") != ""
        assert ("h3" in https(one).headers.get("Alt-Svc", "")) == has_http3
        assert listens == has_http3
        if has_http3:
            assert curl(one, "--http3-only") == "3 200"


def test_a_certificate_of_an_authority_changes_without_a_lost_request(serve, shop, shops, streams, authority, trusting):
    first, second = (Issued(DOMAIN, [DOMAIN], issuer=authority) for _ in range(2))
    serve(tls=provided(first))
    for one in shops:
        assert handshake(one.address, context=trusting)[0] == "TLSv1.3"
    assert set(shop.site(tls=provided(first)).changed.values()) == {0}
    for one in shops:
        for path, text in (("/root/shop.pem", second.certificate), ("/root/shop.key", second.key)):
            one.run("sh -c %s", f"umask 077; cat > {path} <<'END'\n{text}END")
    with streams(tls=trusting) as clients:
        run = shop.site("-vvv", "--diff", tls=provided(second, certificate="/root/shop.pem", key="/root/shop.key"))
    assert_none_failed(clients)
    wanted = ssl.PEM_cert_to_DER_cert(second.certificate)
    assert {handshake(one.address)[2] for one in shops} == {wanted}
    for issued in (first, second):
        assert issued.key.splitlines()[1] not in run.output


def test_a_wrong_certificate_changes_nothing(serve, shop, shops, authority):
    good, other = (Issued(DOMAIN, [DOMAIN], issuer=authority) for _ in range(2))
    serve(tls=provided(good))
    before = [(one.release, handshake(one.address)[2]) for one in shops]
    nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    wrong = [
        (provided(good, key=other.key), "tls.key"),
        (provided(Issued(DOMAIN, [DOMAIN], begins=-9, ends=-1, issuer=authority)), "tls.certificate"),
        (provided(Issued("other", ["other.example.com"], issuer=authority)), "tls.certificate"),
        (provided(good, certificate=nonsense), "tls.certificate"),
        (provided(good, certificate="/root/none.pem"), "tls.certificate"),
    ]
    for tls, key in wrong:
        run = shop.site(tls=tls, env={"WRONG": "1"}, check=False)
        for one in shops:
            error = run.error(one.inventory_name)
            assert error.startswith(f"shop: {key}: "), error
            assert "Nothing was changed" in error
        assert good.key.splitlines()[1] not in run.output
    assert [(one.release, handshake(one.address)[2]) for one in shops] == before


def test_a_self_signed_certificate_is_renewed_before_it_ends(serve, shops):
    serve(tls={"mode": "self_signed"})
    for one in shops:
        assert one.run("systemctl is-active wsgiops-flask-certificates.timer") == "active"
        one.run("systemctl start wsgiops-flask-certificates.service")
        kept = handshake(one.address)[2]
        again = "openssl x509 -in certificate.pem -signkey key.pem -days 20 -out new.pem && mv new.pem certificate.pem"
        one.run("sh -c %s", f"cd {DIRECTORY} && {again} && nginx -s reload")
        controller.wait_until(lambda one=one, kept=kept: handshake(one.address)[2] != kept, 10, "it has the short one")
        short = handshake(one.address)[2]
        with traffic.traffic(one.address, "/whoami", DOMAIN, rate=50, tls=traffic.any_certificate()) as stream:
            one.run("systemctl start wsgiops-flask-certificates.service")
            controller.wait_until(lambda one=one, short=short: handshake(one.address)[2] != short, 10, "it is renewed")
        assert_none_failed([stream])
        renewed = x509.load_der_x509_certificate(handshake(one.address)[2])
        assert renewed.not_valid_after_utc > NOW + datetime.timedelta(days=300)
        assert "renewed" in one.run("journalctl --quiet --output=cat --unit=wsgiops-flask-certificates.service")


def test_a_password_is_asked_for_and_releases_go_on(serve, shop, shops, hashed, has_headers):
    keys = {"tls": {"mode": "self_signed"}, "access": {"users": {"alice": hashed}}}
    serve(**keys)
    for one in shops:
        refused = https(one)
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Basic realm="shop"')
        assert has_headers(refused)
        assert https(one, headers={"Authorization": "Basic YWxpY2U6d3Jvbmc="}).status == 401
        assert https(one, headers={"Authorization": "Basic YWxpY2U6c2VjcmV0"}).json()["scheme"] == "https"
        assert one.run("stat --format '%%a %%U:%%G' %s", f"{DIRECTORY}/users") == "640 root:www-data"
    before = [one.release for one in shops]
    run = shop.site("-vvv", "--diff", env={"A": "9"}, **{**keys, "access": {"users": {"bob": hashed}}})
    assert [one.release for one in shops] != before
    assert hashed.split("$")[-1] not in run.output


def test_without_tls_nothing_of_it_is_left(serve, shops):
    serve(tls={"mode": "self_signed"})
    serve()
    for one in shops:
        assert traffic.get(one.address, "/sees", DOMAIN).json()["scheme"] == "http"
        assert one.run("ls %s", DIRECTORY).split() == ["front-url", "probe.json"]
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((one.address, 443), timeout=10)


def test_probes_after_a_switch_come_over_tls(serve, shop, shops):
    """What answers wrongly there alone is taken back."""
    keys = {"tls": {"mode": "self_signed"}}
    serve(**keys)
    before = [one.release for one in shops]
    source = (shop.source / "wsgi.py").read_text()
    shop.add(WRONG_THROUGH_NGINX, "wsgi.py")
    run = shop.site(check=False, **keys)
    (shop.source / "wsgi.py").write_text(source)
    for one in shops:
        assert (
            "through nginx (https://127.0.0.1, Host shop.example.com): GET /ready was answered with status 500"
            in run.error(one.inventory_name)
        )
    assert [one.release for one in shops] == before
    assert {https(one).status for one in shops} == {200}
