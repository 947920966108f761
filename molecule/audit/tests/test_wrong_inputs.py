"""Wrong keys of the front door, wrong neighbours and taken ports: each is told clearly, and the old site serves."""

from __future__ import annotations

import contextlib
import re

import pytest
from certificates import Issued
from hostlab import traffic
from hostlab.nginx import state

DOMAIN = "shop.example.com"
TLS = {"mode": "self_signed"}
CLEAR = "clear-text-password"
HASH = "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"
GUARDED = {"tls": TLS, "access": {"users": {"alice": HASH}}}
KEY = Issued("shop.example.com").key
CERTIFICATE = Issued("shop.example.com").certificate

# Seconds for which a site that does not serve may be there: two reloads and three probes, on a busy host.
WINDOW = 3.0

# Keys, each of them wrong in one way, and what the line of the error about it starts with.
WRONG = [
    ({"domains": []}, "domains: at least one"),
    ({"domains": ["-bad.example.com"]}, "domains: '-bad.example.com'"),
    ({"domains": ["Upper.example.com"]}, "domains: 'Upper.example.com'"),
    ({"domains": ["two words.example.com"]}, "domains: 'two words.example.com'"),
    ({"domains": ["end.example.com; root /"]}, "domains: 'end.example.com; root /'"),
    ({"domains": ["*.first.example.com"]}, "domains: '*.first.example.com' can't be the first"),
    ({"domains": [DOMAIN]}, f"domains: '{DOMAIN}' belongs to shop already"),
    ({"prefix": "shop"}, "prefix: 'shop'"),
    ({"prefix": "/shop/"}, "prefix: '/shop/'"),
    ({"prefix": "/a/../b"}, "prefix: '/a/../b'"),
    ({"prefix": "/a b"}, "prefix: '/a b'"),
    ({"prefix": "/{a}"}, "prefix: '/{a}'"),
    ({"tls": {"mode": "letsencrypt"}}, "tls.mode: 'letsencrypt'"),
    ({"tls": {"mode": "provided", "certificate": "/root/a.pem"}}, "tls.key: is required"),
    ({"tls": {"mode": "provided", "key": "/root/a.key"}}, "tls.certificate: is required"),
    ({"tls": {"mode": "provided", "certificate": KEY, "key": KEY}}, "tls.certificate: the text given"),
    ({"tls": {"mode": "provided", "certificate": CERTIFICATE, "key": "root/a.key"}}, "tls.key: the text given"),
    ({"tls": {**TLS, "key": "/root/a.key"}}, "tls.key: the text given"),
    ({"tls": {**TLS, "hsts": -1}}, "tls.hsts: "),
    ({"tls": {**TLS, "hsts": 63072001}}, "tls.hsts: "),
    ({"tls": {"hsts": 60}}, "tls.hsts: "),
    ({"tls": {**TLS, "hsts_subdomains": True}}, "tls.hsts_subdomains: "),
    ({"tls": {**TLS, "redirect": "perhaps"}}, "tls.redirect: 'perhaps'"),
    ({"tls": {"http3": True}}, "tls.http3: "),
    ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies: '10.0.0.1/8'"),
    ({"trusted_proxies": ["0.0.0.0/0"]}, "trusted_proxies: '0.0.0.0/0'"),
    ({"trusted_proxies": ["proxy.example.com"]}, "trusted_proxies: 'proxy.example.com'"),
    ({"trusted_proxies": "10.0.0.1"}, "trusted_proxies: a string was given"),
    ({"websockets": True, "worker_class": "sync"}, "websockets: True"),
    ({"buffering": "perhaps"}, "buffering: 'perhaps'"),
    ({"max_body": "16 MB"}, "max_body: '16 MB'"),
    ({"rate_limit": {"rate": 0}}, "rate_limit.rate: 0"),
    ({"rate_limit": {"burst": 5}}, "rate_limit.burst: 5"),
    ({"rate_limit": {"connections": "many"}}, "rate_limit.connections: 'many'"),
    ({"access": {"allow": ["300.1.1.1"]}}, "access.allow: '300.1.1.1'"),
    ({"access": {"allow": ["192.0.2.1"], "deny": ["192.0.2.1"]}}, "access.deny: '192.0.2.1'"),
    ({"tls": TLS, "access": {"users": {"alice": CLEAR}}}, "access.users.alice: the text given"),
    ({"tls": TLS, "access": {"users": {"a:b": "x"}}}, "access.users: 'a:b'"),
    ({"headers": {"frame_options": "DENY\r\nSet-Cookie: a=b"}}, "headers.frame_options: "),
    ({"headers": {"extra": {"X-A": "b\nc"}}}, "headers.extra.X-A: "),
    ({"headers": {"extra": {"X-A": "$host"}}}, "headers.extra.X-A: '$host'"),
    ({"headers": {"extra": {"X A": "b"}}}, "headers.extra: 'X A'"),
    ({"headers": {"extra": {"Set-Cookie": "a=b"}}}, "headers.extra: 'Set-Cookie'"),
    ({"maintenance": "soon"}, "maintenance: 'soon'"),
    ({"pages": {"error": "/nowhere/page.html"}}, "pages.error: /nowhere/page.html does not exist"),
    ({"nginx_server_extra": "listen 8080;"}, "nginx_server_extra: 'listen' in line 1"),
    ({"nginx_server_extra": "gzip on;\n}"}, "nginx_server_extra: '}' in line 2"),
    ({"nginx_server_extra": "location /a {"}, "nginx_server_extra: 'location' in line 1"),
    ({"nginx_server_extra": "gzip on"}, "nginx_server_extra: 'gzip' in line 1"),
    ({"nginx_server_extra": "add_header X-A b;"}, "nginx_server_extra: 'add_header' in line 1"),
    ({"nginx_location_extra": "proxy_pass http://127.0.0.1;"}, "nginx_location_extra: 'proxy_pass' in line 1"),
    ({"nginx_location_extra": "proxy_set_header Host evil;"}, "nginx_location_extra: 'proxy_set_header' in line 1"),
    ({"nginx_location_extra": "proxy_set_header Forwarded a;"}, "nginx_location_extra: 'proxy_set_header' in line 1"),
    (
        {"nginx_server_extra": "location /a {\nproxy_set_header X-A a; proxy_pass http://127.0.0.1; }"},
        "nginx_server_extra: 'proxy_set_header' in line 2",
    ),
    ({"nginx_location_extra": 'return 200 "a;'}, "nginx_location_extra: "),
    ({"proxies": ["10.0.0.1"]}, "proxies: unknown key"),
]


@pytest.fixture(scope="module", autouse=True)
def old_site(serve, app):
    """The application that serves before and after every mistake."""
    entry = app("shop")
    serve([entry])
    return entry


def assert_serves(one):
    assert traffic.get(one.address, "/audit/x", DOMAIN).body == "seen"


def test_every_mistake_is_in_one_error(serve, app, old_site, shops):
    assert len(WRONG) > 40
    before = [state(one) for one in shops]
    apps = [old_site, *(app(f"wrong-{number}", **keys) for number, (keys, _said) in enumerate(WRONG))]
    run = serve(apps, check=False)
    assert set(run.changed.values()) == {0}
    errors = [error for error in (run.output,) if "Nothing was changed" in error]
    assert errors, run.output[-3000:]
    told = run.error(shops[0].inventory_name)
    lines = told.splitlines()[1:]
    for number, (keys, said) in enumerate(WRONG):
        assert any(line.startswith(f"- wrong-{number}: {said}") for line in lines), f"{keys}:\n{told}"
    # Each mistake once, and nothing of the application that is right.
    assert len(lines) == len(WRONG), told
    assert f"flask_apps has {len(WRONG)} problem(s)" in told
    for secret in (CLEAR, KEY.splitlines()[1]):
        assert secret not in run.output
    assert [state(one) for one in shops] == before
    for one in shops:
        assert_serves(one)


@contextlib.contextmanager
def somebody_elses(shops, text, path="/etc/nginx/conf.d/theirs.conf"):
    """A site that somebody else put there; it is as it was afterwards."""
    for one in shops:
        one.run("sh -c %s", f"cat > {path} <<'END'\n{text}\nEND")
    try:
        yield path
        for one in shops:
            assert one.run("cat %s", path) == text
    finally:
        for one in shops:
            one.run("rm %s", path)


@contextlib.contextmanager
def taken(shops, port):
    """Another program that listens at a port."""
    command = f"systemd-run --quiet --collect --unit=taken python3 -m http.server {port} --directory /srv"
    for one in shops:
        one.run(command)
        one.run(
            "sh -c %s", f"for i in $(seq 100); do ss -Hltn sport = :{port} | grep -q . && exit; sleep 0.1; done; exit 1"
        )
    try:
        yield
    finally:
        for one in shops:
            one.run("systemctl stop taken.service")


def assert_refused(run, shops, *words):
    """Every host says these words, and serves as before."""
    assert run.status != 0
    for one in shops:
        error = run.error(one.inventory_name)
        for word in words:
            assert word in error, error
        assert_serves(one)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"nginx_server_extra": "nonsense on;"}, ['unknown directive "nonsense" in /etc/nginx/conf.d/shop.conf:']),
        ({"nginx_location_extra": "nonsense on;"}, ['unknown directive "nonsense" in /etc/nginx/conf.d/shop.conf:']),
        (
            {"nginx_server_extra": "location / { return 204; }"},
            ['duplicate location "/" in /etc/nginx/conf.d/shop.conf:'],
        ),
        ({"nginx_server_extra": "if ($no_such_thing) { return 403; }"}, ['unknown "no_such_thing" variable']),
        ({"nginx_server_extra": "client_max_body_size 1G;"}, ['"client_max_body_size" directive is duplicate']),
    ],
    ids=str,
)
def test_what_nginx_alone_can_refuse_is_told_in_its_words(serve, app, shops, keys, words):
    before = [state(one) for one in shops]
    run = serve([app("shop", **keys)], "--tags", "nginx", check=False)
    assert_refused(run, shops, *words, "files that this run changed are as before")
    assert [state(one) for one in shops] == before


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"nginx_server_extra": "return 500;"}, "was answered with status 500"),
        ({"nginx_server_extra": "return 444;"}, "got no answer"),
        ({"nginx_location_extra": "deny all;"}, "was answered with status 403"),
        ({"nginx_location_extra": "rewrite ^/ready /nowhere break;"}, "was answered with status 404"),
        ({"tls": TLS, "nginx_location_extra": "return 404;"}, "was answered with status 404"),
        ({**GUARDED, "nginx_server_extra": "return 500;"}, "was answered with status 500 in the place of 401"),
    ],
    ids=str,
)
def test_what_nginx_takes_and_does_not_serve_is_taken_back(serve, app, shops, keys, word):
    """What it costs is the requests of the moment from the reload to the third wrong answer and the reload back."""
    before = [state(one) for one in shops]
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(traffic.traffic(one.address, "/audit/x", DOMAIN, rate=25)) for one in shops]
        run = serve([app("shop", **keys)], "--tags", "nginx", check=False)
    assert_refused(run, shops, word, "itself answered with 200", "as before, and in use again", "Host shop.example.com")
    if "tls" not in keys:
        assert [state(one) for one in shops] == before
    for stream in streams:
        wrong = [outcome.started for outcome in stream.outcomes if not outcome.ok]
        print(f"{len(wrong)} of {len(stream.outcomes)} failed", "within", max(wrong, default=0) - min(wrong, default=0))
        assert not wrong or max(wrong) - min(wrong) < WINDOW, stream.explain()


def test_a_site_is_changed_while_the_application_is_down(serve, old_site, app, shops):
    for one in shops:
        one.run("systemctl stop %s %s", f"shop@{one.release}.socket", f"shop@{one.release}.service")
    serve([app("shop", nginx_server_extra="etag on;")], "--tags", "nginx")
    run = serve([app("shop", nginx_server_extra="return 444;")], "--tags", "nginx", check=False)
    for one in shops:
        assert "the application itself gives no answer" in run.error(one.inventory_name)
    serve([old_site], "--tags", "nginx")
    for one in shops:
        one.run("systemctl start %s", f"shop@{one.release}.socket")
        assert_serves(one)


# Variables of the whole host, none of which makes sense.
OPTIONS = {
    "nginx_client_timeout": "0",
    "nginx_read_timeout": "soon",
    "nginx_retry_after": "-1",
    "nginx_version": "new",
    "nginx_status_address": "nonsense",
    "nginx_ipv6": "perhaps",
}


def test_variables_of_the_host_are_looked_at_before_anything_changes(serve, old_site, shops):
    before = [state(one) for one in shops]
    wrong = [word for name, value in OPTIONS.items() for word in ("-e", f"{name}={value}")]
    run = serve([old_site], *wrong, check=False)
    assert_refused(run, shops, "Nothing was changed", *(f"{name}: '{value}'" for name, value in OPTIONS.items()))
    assert set(run.changed.values()) == {0}
    assert [state(one) for one in shops] == before


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        # Another program has the port.
        ("nginx_status_address=127.0.0.1:8082", ["bind() to 127.0.0.1:8082 failed (98: Address already in use)"]),
        # nginx takes it, and meets clients on the host with it.
        ("nginx_status_address=127.0.0.1:80", ["was answered with status 404", "itself answered with 200"]),
    ],
)
def test_what_all_sites_share_is_taken_back_too(serve, old_site, shops, variable, words):
    before = [state(one) for one in shops]
    with taken(shops, 8082):
        run = serve([old_site], "--tags", "nginx", "-e", variable, check=False)
    assert_refused(run, shops, *words, "as before")
    assert [state(one) for one in shops] == before


OTHER = "server { listen 80; server_name other.example.com; return 200 theirs; }"


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        ("nonsense on;", {"nginx_server_extra": "etag on;"}, ["/etc/nginx/conf.d/theirs.conf:1"]),
        (
            f"server {{ listen 80; server_name other.example.com\n  {DOMAIN}; return 200 theirs; }}",
            {"nginx_server_extra": "etag on;"},
            [f"domains: another site on this host has {DOMAIN} already, in /etc/nginx/conf.d/theirs.conf."],
        ),
        (
            OTHER,
            {"domains": [DOMAIN, "other.example.com"]},
            ["domains: another site on this host has other.example.com already, in /etc/nginx/conf.d/theirs.conf."],
        ),
        (
            OTHER.replace("80;", "80 default_server;"),
            {"nginx_server_extra": "etag on;"},
            ["a duplicate default server for 0.0.0.0:80 in /etc/nginx/conf.d/theirs.conf:1", "nginx_catch_all: false"],
        ),
        (
            "server { listen 443 ssl default_server; ssl_reject_handshake on; }",
            {"tls": TLS},
            ["a duplicate default server for 0.0.0.0:443 in /etc/nginx/conf.d/theirs.conf:1", "nginx_catch_all: false"],
        ),
    ],
    ids=["broken", "same domain", "new domain", "default server", "default server of TLS"],
)
def test_a_site_of_somebody_else_is_told_and_not_touched(serve, app, shops, text, keys, words):
    before = [state(one) for one in shops]
    with somebody_elses(shops, text):
        run = serve([app("shop", **keys)], "--tags", "nginx", check=False)
        assert_refused(run, shops, *words)
    for one in shops:
        one.run("systemctl reload nginx")
    assert [state(one) for one in shops] == before


def test_the_default_server_of_somebody_else_may_stay(serve, old_site, app, shops):
    with somebody_elses(shops, "server { listen 443 ssl default_server; ssl_reject_handshake on; }"):
        serve([app("shop", tls=TLS)], "--tags", "nginx", "-e", "nginx_catch_all=false")
        for one in shops:
            answer = traffic.get(one.address, "/audit/x", DOMAIN, tls=traffic.any_certificate())
            assert answer.body == "seen"
    serve([old_site], "--tags", "nginx")


def test_a_port_of_another_program_is_told(serve, old_site, app, shops):
    """nginx -t accepts such a site, and a reload reports success; nginx itself goes on without it."""
    before = [state(one) for one in shops]
    with taken(shops, 443):
        run = serve([app("shop", tls=TLS)], "--tags", "nginx", check=False)
        assert_refused(run, shops, "bind() to 0.0.0.0:443 failed (98: Address already in use)", "are as before")
        assert [state(one) for one in shops] == before
    serve([app("shop", tls=TLS)], "--tags", "nginx")
    for one in shops:
        assert traffic.get(one.address, "/audit/x", DOMAIN, tls=traffic.any_certificate()).body == "seen"
    serve([old_site], "--tags", "nginx")
    for one in shops:
        assert_serves(one)


def test_a_stopped_nginx_whose_port_is_taken_is_told(serve, old_site, app, shops):
    for one in shops:
        one.run("systemctl stop nginx")
    with taken(shops, 80):
        for keys in ({}, {"nginx_server_extra": "etag on;"}):
            run = serve([app("shop", **keys)], "--tags", "nginx", check=False)
            for one in shops:
                said = re.findall(rf"^fatal: \[{one.inventory_name}\].*$", run.output, re.MULTILINE)
                assert "bind() to 0.0.0.0:80 failed (98: Address already in use)" in said[-1], said
    serve([old_site], "--tags", "nginx")
    for one in shops:
        assert_serves(one)
