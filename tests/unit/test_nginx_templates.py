# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site that the nginx role writes: what of it an application's keys decide."""

from __future__ import annotations

import json
import re
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import nginx_lint
import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.plugin_utils._front import DROPPED_HEADERS, SET_HEADERS
from ansible_collections.wsgiops.flask.tests.unit.rendering import Render, rendering

Keys = dict[str, t.Any]
Directives = Callable[..., list[str]]

TLS = {"tls": {"mode": "self_signed"}}
SITE = "lookup('ansible.builtin.template', 'site.conf.j2')"
SHARED = "lookup('ansible.builtin.template', 'http.conf.j2')"
DOORS = "lookup('ansible.builtin.template', 'catch_all.conf.j2')"

# What nginx's hash of variables has room for in a bucket of 64 bytes (ngx_hash_init): a pointer, a length and the name,
# rounded up to 8, and a pointer that ends the bucket.
LONGEST_VARIABLE = 46


@pytest.fixture(scope="module")
def render(repository: Path) -> Iterator[Render]:
    with rendering(repository, "nginx") as render:
        yield render


@pytest.fixture
def directives(render: Render) -> Directives:
    """Values of a directive in the site of an application with further keys."""

    def read(name: str, variables: Keys | None = None, **keys: t.Any) -> list[str]:
        return re.findall(rf"^ *{name} (.*);$", render(SITE, keys, **(variables or {})), re.MULTILINE)

    return read


@pytest.mark.parametrize(
    ("logs", "written"),
    [
        ({}, "/var/log/nginx/shop.access.log wsgiops_flask if=$app_shop_logged"),
        ({"access": "nginx"}, "/var/log/nginx/shop.access.log wsgiops_flask if=$app_shop_logged"),
        ({"access": "both"}, "/var/log/nginx/shop.access.log wsgiops_flask if=$app_shop_logged"),
        ({"access": "gunicorn"}, "off"),
        ({"access": "none"}, "off"),
    ],
)
def test_who_writes_access_lines(directives: Directives, logs: dict[str, str], written: str) -> None:
    assert directives("access_log", logs=logs) == [written]


@pytest.mark.parametrize(
    ("restart", "told"),
    [({}, "300"), ({"cooldown": 60}, "60"), ({"cooldown": "60"}, "60"), ({"cooldown": 0}, "120")],
)
def test_when_clients_are_told_to_come_again(directives: Directives, restart: dict[str, t.Any], told: str) -> None:
    assert directives(re.escape('"~^503:(502)?$"'), restart=restart) == [told]


@pytest.mark.parametrize(
    ("keys", "directive", "values"),
    [
        ({}, "listen", ["80", "[::]:80"]),
        ({}, "ssl_certificate", []),
        (TLS, "ssl_certificate", ["/etc/nginx/wsgiops-flask/shop/certificate.pem"]),
        (TLS, "ssl_certificate_key", ["/etc/nginx/wsgiops-flask/shop/key.pem"]),
        (TLS, "ssl_protocols", ["TLSv1.2 TLSv1.3"]),
        (TLS, "ssl_session_tickets", ["off"]),
        (TLS, "return", ["308 https://$host$request_uri", "503", "503", "502"]),
        ({"tls": {"mode": "self_signed", "redirect": False}}, "return", ["503", "503", "502"]),
        ({"tls": {"mode": "self_signed", "redirect": "no"}}, "return", ["503", "503", "502"]),
        (TLS, "add_header Strict-Transport-Security", []),
        ({"tls": {"hsts": 60}}, "add_header Strict-Transport-Security", []),
        ({"tls": {"mode": "self_signed", "hsts": 60}}, "https", ['"max-age=60"']),
        (
            {"tls": {"mode": "self_signed", "hsts": "60", "hsts_subdomains": "yes"}},
            "https",
            ['"max-age=60; includeSubDomains"'],
        ),
        ({}, "set_real_ip_from", []),
        ({"trusted_proxies": ["10.0.0.0/8", "::1"]}, "set_real_ip_from", ["10.0.0.0/8", "::1"]),
        ({"trusted_proxies": ["10.0.0.0/8"]}, "10.0.0.0/8", ["1"]),
        ({}, "proxy_read_timeout", ["35s"]),
        ({"timeout": 90}, "proxy_send_timeout", ["95s"]),
        ({"websockets": True}, "proxy_read_timeout", ["3600s"]),
        ({}, "proxy_set_header Upgrade", ['""'] * 2),
        ({"websockets": True}, "proxy_set_header Upgrade", ["$wsgiops_flask_upgrade"] * 2),
        ({"websockets": "no"}, "proxy_set_header Upgrade", ['""'] * 2),
        ({}, "proxy_next_upstream", ["error"]),
        ({}, "keepalive", ["1024"]),
        ({}, "keepalive_time", ["10s"]),
        ({}, "keepalive_timeout", ["100ms"]),
        ({}, "proxy_buffering", []),
        ({"buffering": False}, "proxy_buffering", ["off"]),
        ({"buffering": False}, "proxy_request_buffering", ["off"]),
        ({}, "client_max_body_size", ["16M"]),
        ({"max_body": "1g"}, "client_max_body_size", ["1G"]),
        ({"max_body": 1048576}, "client_max_body_size", ["1048576"]),
        ({}, "limit_req_zone", []),
        ({"rate_limit": {"rate": 0.5}}, "limit_req_zone", ["$binary_remote_addr zone=app_shop_rate:10m rate=30r/m"]),
        ({"rate_limit": {"rate": "20"}}, "limit_req_zone", ["$binary_remote_addr zone=app_shop_rate:10m rate=1200r/m"]),
        ({"rate_limit": {"rate": 5}}, "limit_req", ["zone=app_shop_rate burst=20 nodelay"]),
        ({"rate_limit": {"rate": 5, "burst": 0}}, "limit_req", ["zone=app_shop_rate"]),
        ({}, '"429:"', ["1"]),
        ({"rate_limit": {"rate": 20}}, '"429:"', ["1"]),
        ({"rate_limit": {"rate": "0.3"}}, '"429:"', ["4"]),
        ({"rate_limit": {"rate": 0.1}}, '"429:"', ["10"]),
        ({"rate_limit": {"connections": 1}}, '"429:"', ["1"]),
        ({}, "large_client_header_buffers", ["4 8k"]),
        ({}, "limit_conn", []),
        ({"rate_limit": {"connections": 7}}, "limit_conn", ["app_shop_connections 7"]),
        ({}, "deny", []),
        ({"access": {"deny": ["192.0.2.1"]}}, "deny", ["192.0.2.1"]),
        ({"access": {"allow": ["192.0.2.0/24"]}}, "allow", ["127.0.0.1", "::1", "192.0.2.0/24", "all"]),
        ({"access": {"allow": ["192.0.2.0/24"]}}, "deny", ["all"]),
        ({"access": {"users": {"a": "$6$b"}}}, "auth_basic_user_file", ["/etc/nginx/wsgiops-flask/shop/users"]),
        ({}, "auth_basic", ["off"]),
        ({}, "expires", []),
        ({"static": [{"url": "/s/", "path": "shop/s"}]}, "expires", ["3600s"]),
        ({"static": [{"url": "/s/", "path": "shop/s", "cache": "0"}]}, "expires", ["0s"]),
        ({"static": [{"url": "/s/", "path": "/srv/s"}]}, "alias", ["/srv/s/", "/etc/nginx/wsgiops-flask/_pages/"]),
        (
            {"static": [{"url": "/s/", "path": "shop/s"}]},
            "alias",
            ["/opt/shop/current/code/shop/s/", "/etc/nginx/wsgiops-flask/_pages/"],
        ),
        (
            {"prefix": "/a", **TLS, "maintenance": True},
            "return",
            ["308 https://$host$request_uri", "503", "308 /a/$is_args$args", "404"],
        ),
        ({"static": [{"url": "/s/", "path": "s"}]}, "gzip_static", ["on"]),
        ({"static": [{"url": "/s/", "path": "s"}], "compression": "none"}, "gzip_static", []),
        ({}, "gzip", ["on"]),
        ({"compression": "none"}, "gzip", ["off"]),
        ({"compression": "none"}, "gzip_types", []),
        ({}, "brotli", []),
        ({"compression": "brotli"}, "brotli", ["on"]),
        ({"compression": "brotli"}, "gzip", ["on"]),
        ({"static": [{"url": "/s/", "path": "s"}], "compression": "brotli"}, "brotli_static", ["on"]),
        ({"maintenance": True}, "proxy_pass", []),
        ({"maintenance": True}, "return", ["503"]),
        ({"maintenance": "off"}, "return", ["503", "503", "502"]),
        ({}, "alias", ["/etc/nginx/wsgiops-flask/_pages/"]),
        ({"prefix": "/a/b"}, "proxy_pass", ["http://app_shop/$app_shop_path"]),
        ({"prefix": "/a.b"}, '"~^/a\\\\.b/(.*)$"', ["$1"]),
        ({"prefix": "/a/b"}, "proxy_set_header X-Forwarded-Prefix", ['"/a/b"'] * 2),
        ({}, "proxy_pass", ["http://app_shop"]),
        ({}, "server", ["unix:/opt/shop/current/socket"]),
        ({}, "if ($host", []),
        ({"domains": ["shop.example.com", "*.shop.example.com"]}, "return", ["400", "503", "503", "502"]),
    ],
    ids=str,
)
def test_a_key_decides_a_directive(directives: Directives, keys: Keys, directive: str, values: list[str]) -> None:
    assert directives(re.escape(directive), **keys) == values


@pytest.mark.parametrize(
    ("version", "keys", "listens"),
    [
        ("1.22", {}, ["443 ssl http2", "[::]:443 ssl http2"]),
        ("1.22", {"http2": False}, ["443 ssl", "[::]:443 ssl"]),
        ("1.22", {"http3": True}, ["443 ssl http2", "[::]:443 ssl http2"]),
        ("1.26", {}, ["443 ssl", "[::]:443 ssl"]),
        ("1.26", {"http3": True}, ["443 ssl", "[::]:443 ssl", "443 quic", "[::]:443 quic"]),
    ],
)
def test_protocols_by_version_of_nginx(directives: Directives, version: str, keys: Keys, listens: list[str]) -> None:
    tls = {"mode": "self_signed", **keys}
    variables = {"nginx_version": version}
    assert directives("listen", variables, tls=tls)[2:] == listens
    switch = [] if version == "1.22" else ["off" if keys.get("http2") is False else "on"]
    assert directives("http2", variables, tls=tls) == switch
    assert len(directives("add_header Alt-Svc", variables, tls=tls)) == (version == "1.26" and "http3" in keys)


@pytest.mark.parametrize(
    ("facts", "version"),
    [
        ({"distribution": "Debian", "distribution_major_version": "12"}, "1.22"),
        ({"distribution": "Debian", "distribution_major_version": "13"}, "1.26"),
        ({"distribution": "Ubuntu", "distribution_major_version": "24"}, "1.22"),
        ({}, "1.22"),
    ],
)
def test_the_version_is_that_of_the_distribution(render: Render, facts: Keys, version: str) -> None:
    assert render("nginx_version", {}, ansible_facts=facts) == version


@pytest.mark.parametrize(
    ("apps", "https", "quic"),
    [
        ([{}], 0, 0),
        ([{"tls": {"mode": "none", "http3": True}}], 0, 0),
        ([{}, TLS], 2, 0),
        ([{**TLS, "state": "absent"}], 0, 0),
        ([{**TLS, "state": "present"}], 2, 0),
        ([TLS, {"tls": {"mode": "provided", "http3": "yes"}}], 2, 2),
    ],
)
def test_the_door_to_unknown_hosts_is_closed_where_there_is_one(
    render: Render, apps: list[Keys], https: int, quic: int
) -> None:
    found = render(DOORS, {}, flask_apps=apps, nginx_version="1.26")
    assert len(re.findall(r"listen .*443 ssl default_server;", found)) == https
    assert len(re.findall(r"listen .*443 quic reuseport default_server;", found)) == quic
    assert ("ssl_reject_handshake on;" in found) == bool(https)


# Every key that adds something to a site.
FULL: Keys = {
    **nginx_lint.KEYS,
    "name": "full",
    "tls": {**nginx_lint.KEYS["tls"], "mode": "acme"},
    "compression": "brotli",
}


@pytest.mark.parametrize("more", [{}, {"maintenance": True}])
def test_no_location_has_headers_of_its_own(render: Render, more: Keys) -> None:
    """It would have none of the server's."""
    found = render(SITE, {**FULL, **more}, nginx_version="1.26")
    assert len(re.findall(r"^    location ", found, re.MULTILINE)) > 5
    assert len(re.findall(r"^    add_header ", found, re.MULTILINE)) == found.count("add_header") == 9


def test_gixy_finds_nothing(render: Render, tmp_path: Path) -> None:
    """Nor in what no host of the tests has: modules for brotli, and an authority of the Internet."""
    sites: dict[str, Keys] = {
        "full": FULL,
        "resting": {**FULL, "domains": ["resting.example.com"], "maintenance": True},
        "safe": {"domains": ["safe.example.com"], **TLS},
        "plain": {},
    }
    texts = {name: render(SITE, {**keys, "name": name}, nginx_version="1.26") for name, keys in sites.items()}
    texts["doors"] = render(DOORS, {}, flask_apps=[FULL], nginx_version="1.26")
    texts["http"] = render(SHARED, {}, nginx_status_address="127.0.0.1:8081")
    for name, text in texts.items():
        (tmp_path / f"{name}.conf").write_text(nginx_lint.readable(text))
    (tmp_path / "nginx").write_text("events {}\nhttp {\n    include *.conf;\n}\n")
    found = nginx_lint.findings(tmp_path / "nginx")
    assert {Path(finding["file"]).parent for finding in found} == {tmp_path}
    nginx_lint.assert_nothing_serious(found)


def test_there_is_no_stapling(render: Render) -> None:
    """Public authorities have no responder any more."""
    assert "stapling" not in render(SITE, FULL, nginx_version="1.26") + render(DOORS, {}, flask_apps=[FULL])


def test_headers_are_those_of_the_server_alone(render: Render) -> None:
    """A location with one of its own would have none of these."""
    found = render(SITE, {**TLS, "headers": {"content_security_policy": 'a "b" \\c', "frame_options": ""}})
    inside = found[found.index("    location") :]
    assert "add_header" not in inside
    assert r'"" "a \"b\" \\c";' in found
    assert "X-Frame-Options" not in found


@pytest.mark.parametrize("keys", [{}, {"websockets": True, "prefix": "/shop", "trusted_proxies": ["10.0.0.0/8"]}])
def test_every_location_tells_the_same(render: Render, keys: Keys) -> None:
    """That of the application by itself, as further headers in it would take the server's away."""
    extra = {"nginx_server_extra": "# extra", "nginx_location_extra": "proxy_set_header X-Extra a;"}
    found = render(SITE, {**keys, **extra})
    header = re.compile(r"^ *proxy_set_header (\S+) .*;$", re.MULTILINE)
    before, _mark, after = found.partition("    # extra\n")
    told = header.findall(before)
    assert {name.lower() for name in told} == SET_HEADERS | DROPPED_HEADERS
    assert len(set(told)) == len(told)
    assert header.findall(after) == [*told, "X-Extra"]
    lines = [[line.strip() for line in part.splitlines() if "proxy_set_header" in line] for part in (before, after)]
    assert lines[0] == lines[1][:-1]


ACME_PATH = "/.well-known/acme-challenge/x"
DOOR = re.compile(r"^map \"\$app_shop_scheme \$uri\" \$app_shop_door \{\n((?:    .*;\n)+)\}$", re.MULTILINE)


@pytest.mark.parametrize(
    ("keys", "answers"),
    [
        ({}, None),
        ({"tls": {"mode": "self_signed", "redirect": False}}, None),
        (
            TLS,
            {"http /": "tls", "https /": "", "http /.well-known/acme-challenge/x": "tls", "http /.wsgiops-flask/x": ""},
        ),
        (
            {"tls": {"mode": "acme"}},
            {"http /": "tls", "http /.well-known/acme-challenge/x": "", "http /.well-known": "tls"},
        ),
        ({"maintenance": True}, {"http /": "rest", "http /s/x": "rest", "http /.wsgiops-flask/x": ""}),
        (
            {"tls": {"mode": "acme"}, "maintenance": True},
            {
                "http /": "tls",
                "https /": "rest",
                "http /.well-known/acme-challenge/x": "",
                "https /.wsgiops-flask/x": "",
            },
        ),
    ],
    ids=str,
)
def test_what_holds_before_any_location(render: Render, keys: Keys, answers: dict[str, str] | None) -> None:
    """As nginx reads a map: the first pattern that is found, and the default."""
    found = DOOR.findall(render(SITE, keys))
    if answers is None:
        assert found == []
        return
    [body] = found
    rows = [line.strip().removesuffix(";").split(" ") for line in body.splitlines()]
    assert rows[0] == ["volatile"]
    assert rows[1][0] == "default"
    patterns = {" ".join(row[:-1]).strip('"').removeprefix("~"): row[-1].strip('"') for row in rows[2:]}
    for asked, answer in answers.items():
        matching = [value for pattern, value in patterns.items() if re.search(pattern, asked)]
        assert [*matching, rows[1][1].strip('"')][0] == answer, asked


def test_variables_have_room_in_nginx(render: Render) -> None:
    keys = {
        "name": "x" * 31,
        "trusted_proxies": ["::1"],
        "tls": {"mode": "self_signed", "hsts": 1},
        "headers": {"content_security_policy": "x", "extra": {f"X-{number}": "y" for number in range(9)}},
    }
    names = re.findall(r"\$(app_x{31}\w*)", render(SITE, keys))
    assert len(set(names)) > 15
    assert max(map(len, names)) <= LONGEST_VARIABLE


def test_own_pages_stand_in_the_place_of_the_others(directives: Directives, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>own\n")
    own, shared = "/etc/nginx/wsgiops-flask/shop/", "/etc/nginx/wsgiops-flask/_pages/"
    assert directives("alias", pages={"error": str(page)}) == [shared, *[f"{own}error.html"] * 3]
    assert directives("alias", pages={"maintenance": str(page)}) == [shared, f"{own}maintenance.html"]


@pytest.mark.parametrize(
    ("keys", "url"),
    [
        ({}, "http://127.0.0.1"),
        ({"prefix": "/shop"}, "http://127.0.0.1/shop"),
        (TLS, "https://127.0.0.1"),
        ({"tls": {"mode": "self_signed", "redirect": False}}, "http://127.0.0.1"),
        ({"maintenance": True}, ""),
        ({"access": {"users": {"a": "$6$b"}}}, ""),
    ],
    ids=str,
)
def test_the_site_tells_where_probes_meet_the_application(render: Render, keys: Keys, url: str) -> None:
    [told] = [file for file in render("__nginx_files", keys) if file["path"] == Layout("shop").nginx_front_url]
    assert told["content"] == (f"{url}\nshop.example.com\n" if url else "\n")


USERS: Keys = {"access": {"users": {"a": "$6$b"}}}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, {}),
        ({"domains": ["a.example", "b.example"], "name": "desk"}, {"name": "desk", "host": "a.example"}),
        ({"prefix": "/shop"}, {"url": "http://127.0.0.1/shop"}),
        ({"health": {"ready": "/up", "status": 204}}, {"path": "/up", "status": 204}),
        ({"maintenance": True}, {"guard": 503}),
        ({**TLS, **USERS}, {"guard": 401, "url": "https://127.0.0.1"}),
        ({**TLS, **USERS, "maintenance": True}, {"guard": 503, "url": "https://127.0.0.1"}),
    ],
    ids=str,
)
def test_how_a_changed_site_is_asked(render: Render, keys: Keys, told: Keys) -> None:
    wanted = {
        "name": "shop",
        "url": "http://127.0.0.1",
        "host": "shop.example.com",
        "path": "/ready",
        "status": 200,
        "upstream": f"/opt/{keys.get('name', 'shop')}/current/socket",
        "guard": 0,
        **told,
    }
    assert render("__nginx_site_arguments", keys)["probe"] == wanted
    assert json.loads(files(render, keys)["probe.json"]) == wanted
    assert render("__nginx_shared_arguments", keys)["probes"] == "/etc/nginx/wsgiops-flask/*/probe.json"
    assert render("__nginx_site_arguments", keys, nginx_probe=False)["probe"] is None
    assert "probe.json" in {Path(path).name for path in gone(render, keys, nginx_probe=False)}


@pytest.mark.parametrize(
    ("keys", "seen", "logged"),
    [
        ({}, "/ready:200", False),
        ({}, "/ready:204", False),
        ({}, "/ready:503", True),
        ({}, "/readyz:200", True),
        ({"prefix": "/shop", "health": {"ready": "/a.b?c=d"}}, "/shop/a.b:200", False),
        ({"prefix": "/shop", "health": {"ready": "/a.b?c=d"}}, "/shop/a-b:200", True),
    ],
)
def test_good_answers_to_health_checks_are_not_logged(render: Render, keys: Keys, seen: str, logged: bool) -> None:
    """The pattern as nginx reads it: two backslashes between quotes are one."""
    [pattern] = re.findall(r'^    "~(.*):2\[0-9\]\[0-9\]\$" 0;$', render(SITE, keys), re.MULTILINE)
    found = re.search(pattern.replace("\\\\", "\\") + ":2[0-9][0-9]$", seen)
    assert (found is None) == logged


def test_users_are_a_secret_file_of_nginx(render: Render) -> None:
    keys = {"access": {"users": {"alice": "$6$a", "bob": "$6$b"}}}
    [users] = [file for file in render("__nginx_files", keys) if "secret" in file]
    assert users["secret"] == "alice:$6$a\nbob:$6$b\n"
    assert (users["mode"], users["group"]) == ("0640", "www-data")
    assert users["path"] not in gone(render, keys)
    assert users["path"] in gone(render, {})


def test_what_is_not_wanted_goes(render: Render, tmp_path: Path) -> None:
    directory = Layout("shop").nginx_directory
    pair, acme = {"certificate.pem", "key.pem"}, {"certbot.ini", "acme-ca-bundle"}
    away = {"error.html", "maintenance.html", "users"} | pair | acme
    tmpfiles = Layout("shop").tmpfiles
    assert {path.removeprefix(directory + "/") for path in gone(render, {})} == {*away, tmpfiles}
    assert {Path(path).name for path in gone(render, TLS)} == {*away - pair, "shop.conf"}
    private = {"tls": {"mode": "acme", "acme": {"ca_bundle": "/etc/ssl/authority.pem"}}}
    assert {Path(path).name for path in gone(render, private)} == {*away - pair - acme, "shop.conf"}


def test_further_directives_stand_where_they_belong(render: Render) -> None:
    found = render(
        SITE,
        {"nginx_server_extra": "gzip on;\n# end", "nginx_location_extra": "proxy_cache off;", "websockets": True},
    )
    assert "\n    gzip on;\n    # end\n" in found
    assert re.search(r"\n        proxy_cache off;\n    \}\n", found)


def test_directories_of_media_are_made_before_nginx_serves_them(render: Render) -> None:
    paths = ["/var/lib/shop/media", "/srv/s", "/var/lib/shop/a/b/two", "/var/lib/shop/a/one", "/var/lib/shop/media/x/y"]
    keys = {"static": [{"url": f"/{number}/", "path": path} for number, path in enumerate(paths)]}
    [made] = [file for file in render("__nginx_files", keys) if file["path"] == "/etc/tmpfiles.d/shop.conf"]
    assert re.findall("^d .*", made["content"], re.MULTILINE) == [
        "d /var/lib/shop/a 0751 shop shop",
        "d /var/lib/shop/a/b 0751 shop shop",
        "d /var/lib/shop/a/b/two 2750 shop www-data",
        "d /var/lib/shop/a/one 2750 shop www-data",
        "d /var/lib/shop/media 2750 shop www-data",
        "d /var/lib/shop/media/x 0751 shop shop",
        "d /var/lib/shop/media/x/y 2750 shop www-data",
    ]
    reload = render("__nginx_apply", {})
    script, *arguments = render("__nginx_site_apply", keys)[2:]
    assert script.startswith("#!/bin/sh\n# Makes the directories")
    assert arguments == ["sh", "/etc/tmpfiles.d/shop.conf", *reload]
    assert render("__nginx_site_apply", {"static": keys["static"][1:2]}) == reload
    assert "/etc/tmpfiles.d/shop.conf" in gone(render, {"static": keys["static"][1:2]})


@pytest.mark.parametrize(("prefix", "locations"), [("", ["^~ /s/"]), ("/shop", ["^~ /shop/s/"])])
def test_static_files_stand_below_the_prefix(render: Render, prefix: str, locations: list[str]) -> None:
    found = render(SITE, {"prefix": prefix, "static": [{"url": "/s/", "path": "s"}]})
    assert re.findall(r"location (\^~ .*s/) \{\n        alias", found) == locations


@pytest.mark.parametrize(
    ("apps", "brotli"),
    [([{}], False), ([{}, {"compression": "brotli"}], True), ([{"compression": "brotli", "state": "absent"}], False)],
)
def test_packages_are_those_that_applications_need(render: Render, apps: list[Keys], brotli: bool) -> None:
    packages = render("__nginx_packages", {}, flask_apps=apps)
    assert packages[:2] == ["nginx", "openssl"]
    assert ("libnginx-mod-http-brotli-filter" in packages) == brotli


@pytest.mark.parametrize(("address", "count"), [("", 0), ("127.0.0.1:8081", 1)])
def test_counters_are_told_where_they_are_asked_for(render: Render, address: str, count: int) -> None:
    found = render("lookup('ansible.builtin.template', 'http.conf.j2')", {}, nginx_status_address=address)
    assert found.count("stub_status;") == found.count("listen 127.0.0.1:8081;") == count


# --- acme ---------------------------------------------------------------------------------------------------------

ACME = {"tls": {"mode": "acme"}}
CHALLENGE = r"\n    location \^~ /\.well-known/acme-challenge/ \{\n((?:        .*;\n)+)    \}\n"


def files(render: Render, keys: Keys) -> dict[str, str]:
    """Texts of the application's files by name."""
    return {Path(file["path"]).name: file["content"] for file in render("__nginx_files", keys) if file.get("content")}


def gone(render: Render, keys: Keys, **variables: t.Any) -> set[str]:
    """Paths of what is not to be there."""
    empty = {file["path"] for file in render("__nginx_files", keys, **variables) if file.get("content") == ""}
    return empty | set(render("__nginx_files_gone", keys, **variables))


def settings(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z-]+) = (.+)$", text, re.MULTILINE))


@pytest.mark.parametrize("keys", [{}, {"maintenance": True}, {"prefix": "/shop"}, {"access": {"users": {"a": "$6$b"}}}])
def test_the_authority_is_answered_whatever_else_holds(render: Render, keys: Keys) -> None:
    [location] = re.findall(CHALLENGE, render(SITE, {**ACME, **keys}))
    assert [line.strip() for line in location.splitlines()] == [
        "root /etc/nginx/wsgiops-flask/shop/acme/webroot;",
        "default_type text/plain;",
        "auth_basic off;",
        "allow all;",
    ]
    assert not re.search(CHALLENGE, render(SITE, {**TLS, **keys}))


def test_what_certbot_is_told(render: Render) -> None:
    found = files(render, {**ACME, "domains": ["shop.example.com", "www.example.com"]})
    assert "acme-ca-bundle" not in found
    told = settings(found["certbot.ini"])
    directory = Layout("shop").nginx_directory
    assert told == {
        "server": "https://acme-v02.api.letsencrypt.org/directory",
        "register-unsafely-without-email": "true",
        "agree-tos": "true",
        "non-interactive": "true",
        "cert-name": "shop",
        "domains": "shop.example.com,www.example.com",
        "key-type": "ecdsa",
        "authenticator": "webroot",
        "webroot-path": f"{directory}/acme/webroot",
        "keep-until-expiring": "true",
        "renew-with-new-domains": "true",
        "config-dir": told["config-dir"],
        "work-dir": told["config-dir"] + "/work",
        "logs-dir": told["config-dir"] + "/logs",
        "max-log-backups": "10",
    }
    assert re.fullmatch(rf"{directory}/acme/[0-9a-f]{{16}}", told["config-dir"])
    assert render("__nginx_acme_state", ACME) == told["config-dir"]


def test_certbot_is_told_of_another_authority_and_keeps_its_own_for_each(render: Render) -> None:
    private = {"email": "a@example.com", "directory": "https://acme.example/directory", "ca_bundle": "/etc/ca.pem"}
    found = files(render, {"tls": {"mode": "acme", "acme": private}})
    assert found["acme-ca-bundle"] == "/etc/ca.pem\n"
    told = settings(found["certbot.ini"])
    assert (told["server"], told["email"]) == (private["directory"], "a@example.com")
    assert "register-unsafely-without-email" not in told
    authorities = [
        "production",
        "staging",
        private["directory"],
        "https://acme-staging-v02.api.letsencrypt.org/directory",
    ]
    states = [
        render("__nginx_acme_state", {"tls": {"mode": "acme", "acme": {"directory": one}}}) for one in authorities
    ]
    assert len(set(states)) == 3
    assert states[1] == states[3]
    assert states[2] == told["config-dir"]


@pytest.mark.parametrize(
    ("apps", "packages", "is_renewed"),
    [
        ([], ["nginx", "openssl"], False),
        ([{"tls": {"mode": "provided"}}], ["nginx", "openssl"], False),
        ([{"tls": {"mode": "self_signed"}}], ["nginx", "openssl"], True),
        ([{}, {"tls": {"mode": "acme"}}], ["nginx", "openssl", "certbot"], True),
        ([{"state": "absent", "tls": {"mode": "acme"}}], ["nginx", "openssl"], False),
    ],
)
def test_what_applications_need_of_the_host(
    render: Render, apps: list[Keys], packages: list[str], is_renewed: bool
) -> None:
    assert render("__nginx_packages", {}, flask_apps=apps) == packages
    assert render("__nginx_any_renewed", {}, flask_apps=apps) == is_renewed


CRON = {"ansible_facts": {"service_mgr": "sysvinit"}, "inventory_hostname": "web1"}


@pytest.mark.parametrize("host", ["web1", "web2", "10.0.0.1"])
def test_cron_understands_its_lines(render: Render, host: str) -> None:
    facts = {**CRON, "inventory_hostname": host}
    files = render("__nginx_keep_files", {}, **facts) + render("__nginx_renewal_lines", {}, **facts)
    tables = {file["path"]: file["content"] for file in files if file["path"].startswith("/etc/cron.d/")}
    assert {Path(path).name for path in tables} == {"wsgiops-flask-nginx", "wsgiops-flask-certificates"}
    for content in tables.values():
        assert content.endswith("\n")
        [path, *lines] = [line for line in content.splitlines() if not line.startswith("#")]
        assert path == "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        for line in lines:
            assert re.match(r"(@reboot|[*0-9]+ [*0-9,]+ \* \* \*) root (sh|for) ", line)
            # To cron it is the end of the line.
            assert "%" not in line
    renewal = tables["/etc/cron.d/wsgiops-flask-certificates"].splitlines()[-1]
    assert " root sh /etc/nginx/wsgiops-flask/_undo.sh; for c in " in renewal
    minute, hours = renewal.split()[:2]
    early, late = map(int, hours.split(","))
    assert 0 <= int(minute) < 60
    assert 0 <= early < 12
    assert late == early + 12


def test_cron_renews_at_another_time_on_each_host(render: Render) -> None:
    """Which is a reason for two hosts to differ, and so there is none where nothing is renewed, or systemd does it."""

    def seeds(apps: list[Keys], **facts: t.Any) -> set[str]:
        hosts = ("web1", "web2")
        return {render("__nginx_renewal_seed", {}, flask_apps=apps, inventory_hostname=host, **facts) for host in hosts}

    renewed: list[Keys] = [{"name": "shop", "tls": {"mode": "self_signed"}}]
    no_systemd = {"ansible_facts": CRON["ansible_facts"]}
    assert seeds(renewed, **no_systemd) == {"web1", "web2"}
    assert seeds(renewed) == seeds([{"name": "shop"}], **no_systemd) == {""}


def test_what_renews_is_what_runs_the_host(render: Render) -> None:
    def names(**facts: t.Any) -> set[str]:
        return {Path(file["path"]).name for file in render("__nginx_renewal_files", {}, **facts)}

    scripts = {"_renew_certificate.sh", "_issue_certificate.sh", "_reload_nginx.sh"}
    units = {"wsgiops-flask-certificates.service", "wsgiops-flask-certificates.timer"}
    assert names(inventory_hostname="web1") == scripts | units
    assert names(**CRON) == scripts | {"wsgiops-flask-certificates"}
    assert "daemon-reload" in render("__nginx_renewal_begin", {}, inventory_hostname="web1")[2]
    assert render("__nginx_renewal_begin", {}, **CRON) == []
    # Who leaves has not asked which it is.
    kept = {Path(path).name for path in render("__nginx_kept_paths", {}, inventory_hostname="web1")}
    cron = {"wsgiops-flask-certificates", "wsgiops-flask-nginx", "_keep_nginx.sh"}
    assert kept == scripts | units | cron | {"_undo.sh", "wsgiops-flask-undo.service"}


@pytest.mark.parametrize("hardening", [True, False])
def test_what_died_half_way_is_undone_before_systemd_starts_nginx(render: Render, hardening: bool) -> None:
    arguments = render("__nginx_drop_in_arguments", {}, nginx_hardening=hardening)
    files = {Path(file["path"]).name: file["content"] for file in arguments["files"]}
    assert set(files) == {"_undo.sh", "wsgiops-flask-undo.service", *(["wsgiops-flask.conf"] if hardening else [])}
    unit = files["wsgiops-flask-undo.service"].splitlines()
    assert {"Before=nginx.service", "WantedBy=nginx.service"} < set(unit)
    assert "ExecStart=/bin/sh /etc/nginx/wsgiops-flask/_undo.sh" in unit
    assert arguments["apply"][2].endswith(
        "systemctl daemon-reload && systemctl enable --quiet wsgiops-flask-undo.service"
    )


def test_cron_is_a_package_where_there_is_no_systemd(render: Render) -> None:
    assert ("cron" in render("__nginx_packages", {})) is False
    assert "cron" in render("__nginx_packages", {}, **CRON)
    assert "cron" in render("__nginx_packages", {}, nginx_service_manager="cron")


# --- without root -------------------------------------------------------------------------------------------------

ROOTLESS: Keys = {"flask_become": False, "flask_root": "/home/me/apps"}
USER: Keys = {**ROOTLESS, "nginx_mode": "user", "nginx_port": "8081"}


@pytest.mark.parametrize(
    ("directive", "of_file", "of_user"),
    [
        ("listen", ["80", "[::]:80"], ["8081", "[::]:8081"]),
        ("server", ["unix:/home/me/apps/shop/current/socket"], None),
        ("alias", ["/home/me/apps/nginx/pages/"], None),
        ("error_log", ["/var/log/nginx/shop.error.log"], ["/home/me/apps/nginx/log/shop.error.log"]),
        (
            "access_log",
            ["/var/log/nginx/shop.access.log wsgiops_flask if=$app_shop_logged"],
            ["/home/me/apps/nginx/log/shop.access.log wsgiops_flask if=$app_shop_logged"],
        ),
    ],
)
def test_a_site_without_root(
    directives: Directives, directive: str, of_file: list[str], of_user: list[str] | None
) -> None:
    assert directives(directive, ROOTLESS) == of_file
    assert directives(directive, USER) == (of_file if of_user is None else of_user)


def test_where_a_site_without_root_is_and_where_it_is_asked(render: Render) -> None:
    site, url, gone = "__nginx_layout.nginx_site", "__nginx_front_url", "__nginx_other_site"
    file, own = "/home/me/apps/shop/nginx.conf", "/home/me/apps/nginx/conf.d/shop.conf"
    assert [render(name, {}, **ROOTLESS) for name in (site, gone, url)] == [file, [own], ""]
    keys = {"prefix": "/a"}
    assert [render(name, keys, **USER) for name in (site, gone, url)] == [own, [file], "http://127.0.0.1:8081/a"]
    assert render(gone, {}) == []


def test_what_a_user_has_for_nginx_is_in_one_directory(render: Render) -> None:
    """But for what nginx's package brings."""
    text = render("lookup('ansible.builtin.template', 'nginx.conf.j2')", {}, **USER)
    paths = set(re.findall(r"(?<![a-z*])/[^;\s]+", text))
    assert {path for path in paths if not path.startswith("/home/me/apps/nginx/")} == {"/etc/nginx/mime.types"}
    files = render("__nginx_keep_files | map(attribute='path') | list", {}, **USER)
    assert files == [f"/home/me/apps/nginx/{name}" for name in ("keep_nginx.sh", "undo.sh", "logrotate.conf")]
    assert render("[__nginx_catch_all_path, __nginx_http_path] | map('dirname') | unique", {}, **USER) == [
        "/home/me/apps/nginx/conf.d"
    ]


def test_a_crontab_of_a_user_names_none_and_sets_nothing(render: Render) -> None:
    """What it sets would hold for lines of others."""
    lines = render("lookup('ansible.builtin.template', 'nginx.cron.j2')", {}, **USER).splitlines()
    own = "WSGIOPS_NGINX=/home/me/apps/nginx sh /home/me/apps/nginx/keep_nginx.sh"
    assert [line for line in lines if not line.startswith("#")] == [
        f"@reboot {own} check >/dev/null 2>&1",
        f"* * * * * {own} check >/dev/null 2>&1",
        f"47 * * * * {own} rotate >/dev/null 2>&1",
    ]
    of_root = render("lookup('ansible.builtin.template', 'nginx.cron.j2')", {}).splitlines()
    assert [line for line in of_root if not line.startswith("#")] == [
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "@reboot root sh /etc/nginx/wsgiops-flask/_keep_nginx.sh check >/dev/null 2>&1",
        "* * * * * root sh /etc/nginx/wsgiops-flask/_keep_nginx.sh check >/dev/null 2>&1",
    ]
