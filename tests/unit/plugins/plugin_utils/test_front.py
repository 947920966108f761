# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ansible_collections.wsgiops.flask.plugins.plugin_utils._front import (
    LARGEST_PAGE,
    RESERVED_HEADERS,
    Directive,
    directives,
    front_problems,
)
from ansible_collections.wsgiops.flask.plugins.plugin_utils._schema import problems

Check = Callable[..., list[str]]

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBc3VwcG9zZWQ=\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nc3VwcG9zZWRseVNlY3JldA==\n-----END PRIVATE KEY-----\n"

# Of the password hunter2, by openssl passwd and crypt(3).
HASHES = [
    "$6$saltsalt$8iYtNHxjWRl.NF6oNZ5tF.iKFlQREaXBLlSmZKP6dy9l5z3vsooWNW0/GZ6Nej73/TFug6pIPSqbJoCT6dfnj.",
    "$6$rounds=5000$salt$wAH.7/lcHCMJGFjRlqUqFxcc7YA/UTYSAsXRVlygbexkXyhkV2uwiJtwTlie0Eo8qerF9f.eK6LEsR.Tlhp/k0",
    "$5$saltsalt$OIdfjX.u4Y3SJ4I2bX8w5BMf1VAUhHABNUirScDzZi3",
    "$y$j9T$saltsaltsaltsaltsalt..$W5Hle3EJY.eOiwQQjEOVzLQN8H8I0H3hk25POMi0fnC",
    "$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.",
    "$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.",
    "$apr1$saltsalt$r/QcFGT5pNL28bNkeDMHR.",
]


@pytest.fixture(scope="module")
def schema(repository: Path) -> t.Any:
    """The schema that the playbooks use."""
    return yaml.safe_load((repository / "playbooks" / "vars" / "app_schema.yml").read_text())["app_schema"]


@pytest.fixture
def check(schema: t.Any) -> Check:
    """Problems of an application with some keys set."""

    def run(**keys: t.Any) -> list[str]:
        return front_problems(keys, schema, Path)

    return run


@pytest.fixture
def check_all(schema: t.Any, tmp_path: Path) -> Check:
    """Problems of a whole application with some keys set."""
    (tmp_path / "shop.py").write_text("app = ...\n")
    (tmp_path / "requirements.txt").write_text("gunicorn\n")
    app = {"name": "shop", "source": str(tmp_path), "wsgi": "shop:app", "domains": ["shop.example.com"]}

    def run(**keys: t.Any) -> list[str]:
        return problems([{**app, **keys}], schema, Path)

    return run


def provided(**keys: t.Any) -> dict[str, t.Any]:
    """Keys of TLS with a certificate and its key, some of them changed; those that are `...` are left out."""
    tls = {"mode": "provided", "certificate": CERTIFICATE, "key": KEY, **keys}
    return {key: value for key, value in tls.items() if value is not ...}


def test_an_application_without_keys_of_nginx(check: Check) -> None:
    assert check() == []


# --- prefix -------------------------------------------------------------------------------------------------------

PREFIX_RULE = (
    "empty, or segments of letters, digits and ._~-, each after a slash, other than . and .., "
    "without a slash at the end"
)


@pytest.mark.parametrize("prefix", ["", "/shop", "/a/b-c_d.e~f", "/~me", "/..a", "/...", "/.well-known/x", "/1"])
def test_a_good_prefix(check: Check, prefix: str) -> None:
    assert check(prefix=prefix) == []


@pytest.mark.parametrize(
    "prefix",
    [
        "/.", "/..", "/a/..", "/./a", "/a/../b", "/a b", "/a\tb", "/a%20b", "/ä", "/a?b", "/a#b", "/a;b", "/a{b}",
        "/$uri", "/a\0", '/"a"', "/a\\b", "a@b", "https://shop.example.com",
    ],
)  # fmt: skip
def test_a_bad_prefix(check: Check, prefix: str) -> None:
    assert check(prefix=prefix) == [f"prefix: {prefix!r} is not accepted: {PREFIX_RULE}"]


@pytest.mark.parametrize(
    ("prefix", "near"),
    [
        ("shop", "/shop"),
        ("/shop/", "/shop"),
        ("shop/", "/shop"),
        ("//a//b", "/a/b"),
        ("/a\n", "/a"),
        (" /a ", "/a"),
        ("/", ""),
    ],
)
def test_a_prefix_that_is_nearly_one(check: Check, prefix: str, near: str) -> None:
    assert check(prefix=prefix) == [f"prefix: {prefix!r} is not accepted: {PREFIX_RULE}; did you mean {near!r}?"]


# --- TLS ----------------------------------------------------------------------------------------------------------

FILE_RULE = "an absolute path on the host without . and .. in it, of letters, digits and ._+,=@~-"
CERTIFICATE_RULE = f"PEM text with the line -----BEGIN CERTIFICATE-----, or {FILE_RULE}"
KEY_RULE = f"PEM text with the line -----BEGIN PRIVATE KEY-----, or {FILE_RULE}"
BAD_PATHS = [
    "", "/", "tls.pem", "./tls.pem", "~/tls.pem", "/etc/", "//etc/tls.pem", "/etc/../tls.pem", "/etc/./a", "/etc/a b",
    "/etc/a;", "/etc/$a", "/etc/ä", "/etc/a\n", "/etc/\"a\"", "/etc/{a}", "/etc/a\0", "MIIBc3VwcG9zZWQ=",
]  # fmt: skip


@pytest.mark.parametrize("tls", [{}, {"mode": "none"}, {"mode": "self_signed"}, provided()])
def test_modes_of_tls(check: Check, tls: t.Any) -> None:
    assert check(tls=tls) == []


@pytest.mark.parametrize("path", ["/etc/ssl/shop.pem", "/srv/a_b+c,d=e@f~g-h/1.pem", "/..a"])
def test_files_of_tls_on_the_host(check: Check, path: str) -> None:
    assert check(tls=provided(certificate=path, key=path)) == []


@pytest.mark.parametrize("kind", ["", "RSA ", "EC "])
def test_kinds_of_keys(check: Check, kind: str) -> None:
    assert check(tls=provided(key=KEY.replace("PRIVATE", f"{kind}PRIVATE"))) == []
    assert check(tls=provided(key=f"a comment\n{KEY}")) == []


def test_more_than_one_certificate(check: Check) -> None:
    assert check(tls=provided(certificate=f"# of the shop\n{CERTIFICATE}{CERTIFICATE}")) == []


def test_a_provided_certificate_is_required_and_so_is_its_key(check: Check) -> None:
    certificate, key = (f"tls.{name}: is required with tls.mode provided" for name in ("certificate", "key"))
    assert check(tls=provided(certificate=...)) == [certificate]
    assert check(tls=provided(key=...)) == [key]
    assert check(tls={"mode": "provided"}) == [certificate, key]


@pytest.mark.parametrize("mode", [..., "none", "self_signed"])
@pytest.mark.parametrize("name", ["certificate", "key"])
def test_files_of_tls_that_are_not_used(check: Check, mode: t.Any, name: str) -> None:
    rule = f"used with tls.mode provided alone, and tls.mode is {'none' if mode is ... else mode}"
    for text in ("/etc/ssl/shop.pem", CERTIFICATE, KEY, ""):
        tls = {name: text, **({} if mode is ... else {"mode": mode})}
        assert check(tls=tls) == [f"tls.{name}: the text given is not accepted: {rule}"]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_what_is_neither_pem_nor_a_path(check: Check, path: str) -> None:
    told = "the text given is not accepted"
    assert check(tls=provided(certificate=path)) == [f"tls.certificate: {told}: {CERTIFICATE_RULE}"]
    assert check(tls=provided(key=path)) == [f"tls.key: {told}: {KEY_RULE}"]


def test_pem_of_another_kind(check: Check) -> None:
    request = CERTIFICATE.replace("CERTIFICATE", "CERTIFICATE REQUEST")
    assert check(tls=provided(certificate=request)) == [
        f"tls.certificate: the text given is not accepted: {CERTIFICATE_RULE}"
    ]
    for text in (CERTIFICATE, KEY.replace("PRIVATE", "PUBLIC"), KEY.replace("BEGIN", "begin")):
        assert check(tls=provided(key=text)) == [f"tls.key: the text given is not accepted: {KEY_RULE}"]


@pytest.mark.parametrize("text", [KEY, CERTIFICATE + KEY, KEY.replace("PRIVATE", "EC PRIVATE")])
def test_a_key_in_the_place_of_the_certificate(check: Check, text: str) -> None:
    rule = "it holds a private key; move that into tls.key"
    assert check(tls=provided(certificate=text)) == [f"tls.certificate: the text given is not accepted: {rule}"]


@pytest.mark.parametrize(
    "text",
    [
        KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAA==\n",
    ],
)
def test_a_key_with_a_passphrase(check: Check, text: str) -> None:
    rule = "nginx can't ask for its passphrase; take that off with openssl pkey, and keep the key in Ansible Vault"
    assert check(tls=provided(key=text)) == [f"tls.key: the text given is not accepted: {rule}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hsts", 1),
        ("hsts", "63072000"),
        ("hsts_subdomains", True),
        ("hsts_subdomains", "yes"),
        ("http3", True),
        ("http3", "on"),
    ],
)
def test_what_wants_tls(check: Check, name: str, value: t.Any) -> None:
    told = f"tls.{name}: {value!r} is not accepted: used with TLS alone, and tls.mode is none"
    assert check(tls={name: value}) == [told]
    assert check(tls={name: value, "mode": "none"}) == [told]
    with_tls = {"hsts": 300, name: value}
    assert check(tls={**with_tls, "mode": "self_signed"}) == []
    assert check(tls=provided(**with_tls)) == []


@pytest.mark.parametrize(
    "tls",
    [
        {"hsts": 0},
        {"hsts": "0"},
        {"hsts_subdomains": False},
        {"http3": "no"},
        {"http2": True},
        {"http2": False},
        {"redirect": False},
        {"redirect": True},
    ],
)
def test_what_promises_nothing_goes_without_tls(check: Check, tls: t.Any) -> None:
    assert check(tls=tls) == []


@pytest.mark.parametrize("hsts", [{}, {"hsts": 0}, {"hsts": "0"}])
def test_subdomains_want_a_time(check: Check, hsts: t.Any) -> None:
    rule = "used with tls.hsts above 0 alone, which tells for how long"
    assert check(tls={"mode": "self_signed", "hsts_subdomains": True, **hsts}) == [
        f"tls.hsts_subdomains: True is not accepted: {rule}"
    ]
    assert check(tls={"mode": "self_signed", "hsts_subdomains": False, **hsts}) == []


ACME = {"mode": "acme"}


@pytest.mark.parametrize(
    "acme",
    [
        {},
        {"email": "a.b+c@mail.Example.com"},
        {"directory": "staging"},
        {"directory": "https://acme.example.com:8443/directory?a=%20"},
        {"directory": "https://acme", "ca_bundle": "/etc/ssl/authority.pem"},
    ],
)
def test_authorities(check: Check, acme: t.Any) -> None:
    assert check(tls={**ACME, "acme": acme}, domains=["shop.example.com"]) == []
    assert check(tls={**ACME, "acme": acme, "hsts": 300, "http3": True}) == []


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        *(
            ("email", value, "an address such as admin@example.com, of letters, digits and ._+- in front of the @")
            for value in [
                "",
                "admin",
                "@example.com",
                "a b@example.com",
                "a@b@example.com",
                "a@-b",
                "a@b.com\n",
                "a@[::1]",
            ]
        ),
        *(
            ("directory", value, "production, staging, or the https URL of an authority's directory")
            for value in [
                "",
                "Production",
                "http://acme",
                "https://",
                "https://a b/",
                "https://a/#b",
                "https://a/\n",
                "https://-/",
            ]
        ),
        *(("ca_bundle", value, FILE_RULE) for value in BAD_PATHS),
    ],
)
def test_authorities_that_are_none(check: Check, key: str, value: str, rule: str) -> None:
    told = f"tls.acme.{key}: {value!r} is not accepted: {rule}"
    assert check(tls={**ACME, "acme": {key: value}}) == [told]


@pytest.mark.parametrize("mode", ["none", "self_signed"])
@pytest.mark.parametrize("key", ["email", "directory", "ca_bundle"])
def test_an_authority_that_nobody_asks(check: Check, mode: str, key: str) -> None:
    told = f"tls.acme.{key}: '/a' is not accepted: used with tls.mode acme alone, and tls.mode is {mode}"
    assert check(tls={"mode": mode, "acme": {key: "/a"}}) == [told]
    assert check(tls={"mode": mode, "acme": {"directory": "production"}}) == []


@pytest.mark.parametrize("domain", ["*.example.com", "192.0.2.1"])
def test_domains_that_no_authority_can_ask(check: Check, domain: str) -> None:
    rule = "an authority that asks over HTTP issues no certificate for it; leave it out, or use another tls.mode"
    domains = ["shop.example.com", domain]
    assert check(tls=ACME, domains=domains) == [f"domains: {domain!r} is not accepted: {rule}"]
    assert check(tls={"mode": "none"}, domains=domains) == []


def test_browsers_may_be_told_without_a_redirect(check: Check) -> None:
    assert check(tls={"mode": "self_signed", "hsts": 300, "redirect": False}) == []


# --- addresses ----------------------------------------------------------------------------------------------------

NETWORK_KEYS = ["trusted_proxies", "access.allow", "access.deny"]
NETWORK_RULE = "an IPv4 or IPv6 address, or a network such as 192.0.2.0/24"


@pytest.mark.parametrize("tls", [{"mode": "self_signed"}, provided()])
def test_addresses_have_no_tls(check: Check, tls: t.Any) -> None:
    rule = "an address has no TLS of its own, as clients do not send it; use host names, or tls.mode none"
    domains = ["shop.example.com", "192.0.2.1", "1.2.3.4.example.com"]
    assert check(domains=domains, tls=tls) == [f"domains: '192.0.2.1' is not accepted: {rule}"]
    assert check(domains=domains) == []


def with_networks(key: str, networks: list[str]) -> dict[str, t.Any]:
    outer, *inner = key.split(".")
    return {outer: {inner[0]: networks} if inner else networks}


@pytest.mark.parametrize("key", NETWORK_KEYS)
def test_good_networks(check: Check, key: str) -> None:
    good = ["192.0.2.1", "10.0.0.0/8", "198.51.100.7/32", "2001:db8::1", "2001:DB8:1::/48", "::1/128", "fe80::/10"]
    assert check(**with_networks(key, [])) == []
    assert check(**with_networks(key, good)) == []


@pytest.mark.parametrize("key", NETWORK_KEYS)
@pytest.mark.parametrize(
    "text",
    [
        "", "all", "localhost", "unix:", "shop.example.com", "10.0.0", "10.0.0.256", "10.0.0.0/33", "10.0.0.0/", "/8",
        "10.0.0.0-10.0.0.9", "10.0.0.0/-1", "010.0.0.1", "2001:db8::/129", "2001:db8:::1", "[::1]", "10.0.0.1;",
        "10.0.0.1:80", "10.0.0.٣", "fe80::1%eth0", "$remote_addr", "5", "10.0.0.1/0",
    ],
)  # fmt: skip
def test_bad_networks(check: Check, key: str, text: str) -> None:
    assert check(**with_networks(key, ["192.0.2.1", text])) == [f"{key}: {text!r} is not accepted: {NETWORK_RULE}"]


@pytest.mark.parametrize("key", NETWORK_KEYS)
@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("10.0.0.1\n", "10.0.0.1"),
        (" 10.0.0.0/8", "10.0.0.0/8"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ],
)
def test_networks_that_are_nearly_one(check: Check, key: str, text: str, near: str) -> None:
    told = f"{key}: {text!r} is not accepted: {NETWORK_RULE}; did you mean {near!r}?"
    assert check(**with_networks(key, [text])) == [told]


@pytest.mark.parametrize("key", NETWORK_KEYS)
@pytest.mark.parametrize(
    ("first", "second"),
    [("10.0.0.1", "10.0.0.1"), ("10.0.0.1", "10.0.0.1/32"), ("::1/128", "0:0::1"), ("2001:db8::/32", "2001:DB8::/32")],
)
def test_a_network_that_stands_there_twice(check: Check, key: str, first: str, second: str) -> None:
    rule = f"it stands there already, as {first!r}; leave one out"
    assert check(**with_networks(key, [first, "192.0.2.9", second])) == [f"{key}: {second!r} is not accepted: {rule}"]


def test_a_network_in_another_stands_there_once(check: Check) -> None:
    assert check(access={"deny": ["10.0.0.0/8", "10.0.0.0/16", "10.0.0.0"]}) == []


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_every_client_is_nobodys_proxy(check: Check, network: str) -> None:
    rule = "it believes every client what it says of itself; give the addresses of the proxies"
    assert check(trusted_proxies=["10.0.0.1", network]) == [f"trusted_proxies: {network!r} is not accepted: {rule}"]
    assert check(access={"allow": [network]}) == []
    assert check(access={"deny": [network]}) == []


@pytest.mark.parametrize("denied", ["10.0.0.1", "10.0.0.1/32"])
def test_a_network_is_allowed_or_denied(check: Check, denied: str) -> None:
    rule = "it stands in access.allow too; leave it out of one"
    assert check(access={"allow": ["10.0.0.1"], "deny": ["192.0.2.1", denied]}) == [
        f"access.deny: {denied!r} is not accepted: {rule}"
    ]


def test_a_part_of_what_is_allowed_may_be_denied(check: Check) -> None:
    assert check(access={"allow": ["10.0.0.0/8", "x"], "deny": ["10.0.0.1", "y"]}) == [
        f"access.allow: 'x' is not accepted: {NETWORK_RULE}",
        f"access.deny: 'y' is not accepted: {NETWORK_RULE}",
    ]


# --- users --------------------------------------------------------------------------------------------------------

HASH_RULE = "the hash of a password in the form $y$, $6$, $5$, $2y$, $2b$ or $apr1$; openssl passwd -6 makes one"
CLEAR = (
    "access.users: is not accepted with tls.mode none: passwords would travel in the clear; "
    "set tls.mode, or trusted_proxies to what ends TLS in front of nginx"
)


def users(of: t.Any) -> dict[str, t.Any]:
    return {"access": {"users": of}, "tls": {"mode": "self_signed"}}


@pytest.mark.parametrize("value", HASHES)
def test_hashes_of_passwords(check: Check, value: str) -> None:
    assert check(**users({"jo": value})) == []


@pytest.mark.parametrize(
    "value",
    [
        "hunter2", "", "{PLAIN}hunter2", "{SHA}87yF1j+5Ukt0Bvbbe1tPPfRbeZw=", "$1$saltsalt$v4cBSKRFYnTdKBqSNbK6d.",
        "saQ6SN5qpJQZQ", "$6$saltsalt$hunter2", "$2a$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.",
        "!", "*", f"{HASHES[0]}\n", f" {HASHES[0]}", f"{HASHES[0]}:x", f"{HASHES[0]}x", HASHES[2].replace("$5", "$6"),
        HASHES[0].replace("$saltsalt", "$"), HASHES[6].replace("apr1", "1"), "$y$hunter2", None, 4711, True,
        ["hunter2"],
    ],
)  # fmt: skip
def test_what_is_no_hash_is_refused_and_never_shown(check: Check, value: t.Any) -> None:
    assert check(**users({"al": HASHES[0], "jo": value})) == [
        f"access.users.jo: the text given is not accepted: {HASH_RULE}"
    ]


@pytest.mark.parametrize("name", ["jo", "Jo.Doe", "jo+x@example.com", "_-", "x" * 64, "7"])
def test_a_good_name_of_a_user(check: Check, name: str) -> None:
    assert check(**users({name: HASHES[0]})) == []


@pytest.mark.parametrize("name", ["", "jo:x", "jo doe", "jo\n", "#jo", "jö", "x" * 65, "a/b", 7, True, None])
def test_a_bad_name_of_a_user(check: Check, name: t.Any) -> None:
    rule = "a string of 1 to 64 letters, digits and ._@+-"
    assert check(**users({name: HASHES[0]})) == [f"access.users: {name!r} is not accepted: {rule}"]


def test_passwords_do_not_travel_in_the_clear(check: Check) -> None:
    access = {"users": {"jo": HASHES[0]}}
    assert check(access=access) == [CLEAR]
    assert check(access=access, tls={"mode": "none"}, trusted_proxies=[]) == [CLEAR]
    assert check(access=access, tls=provided()) == []
    assert check(access=access, trusted_proxies=["10.0.0.1"]) == []
    assert check(access={"users": {}}) == []


# --- websockets and rates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [{}, {"server": "gunicorn"}, {"worker_class": "sync"}])
@pytest.mark.parametrize("websockets", [True, "yes", 1])
def test_websockets_do_not_go_with_sync_workers(check: Check, keys: t.Any, websockets: t.Any) -> None:
    rule = "a sync worker answers one request at a time; use worker_class gevent or gthread, or server gevent"
    assert check(websockets=websockets, **keys) == [f"websockets: {websockets!r} is not accepted: {rule}"]
    assert check(websockets=False, **keys) == []
    assert check(websockets="no", **keys) == []


@pytest.mark.parametrize("keys", [{"worker_class": "gevent"}, {"worker_class": "gthread"}, {"server": "gevent"}])
def test_websockets_go_with_others(check: Check, keys: t.Any) -> None:
    assert check(websockets=True, **keys) == []


def test_a_burst_wants_a_rate(check: Check) -> None:
    for limit in ({"burst": 20}, {"burst": 20, "connections": 5}):
        assert check(rate_limit=limit) == [
            "rate_limit.burst: 20 is not accepted: used with rate_limit.rate alone, which is not given"
        ]
    for limit in ({"rate": 0.5}, {"rate": 5, "burst": 0}, {"connections": 5}, {}):
        assert check(rate_limit=limit) == []


# --- headers ------------------------------------------------------------------------------------------------------

VALUE_RULE = "printable ASCII characters without spaces around them and without $, which nginx takes for a variable"
OWN_KEYS = [
    "content_type_options",
    "frame_options",
    "referrer_policy",
    "permissions_policy",
    "content_security_policy",
]
BAD_VALUES = ["a\nb", "a\r\nSet-Cookie: b=c", "a\0", "a\tb", "\x7f", "ä", "$uri", "a$", " a", "a ", " "]


def test_the_tests_know_all_headers_with_keys(schema: t.Any) -> None:
    assert {*OWN_KEYS, "extra"} == set(schema["headers"]["options"])


@pytest.mark.parametrize("value", ["a", "a; b=\"c\" 'd' \\ {e}", "!", "~", "#", "%", "default-src 'self'"])
def test_good_values_of_headers(check: Check, value: str) -> None:
    assert check(headers={**dict.fromkeys(OWN_KEYS, value), "extra": {"X-Shop": value}}) == []


@pytest.mark.parametrize("value", BAD_VALUES)
def test_bad_values_of_headers(check: Check, value: str) -> None:
    for key in OWN_KEYS:
        assert check(headers={key: value}) == [f"headers.{key}: {value!r} is not accepted: {VALUE_RULE}"]
    assert check(headers={"extra": {"X-Shop": value}}) == [
        f"headers.extra.X-Shop: {value!r} is not accepted: a string that is not empty, {VALUE_RULE}"
    ]


def test_an_empty_header_is_left_out(check: Check) -> None:
    assert check(headers=dict.fromkeys(OWN_KEYS, "")) == []


@pytest.mark.parametrize("value", ["", None, 5, True, ["a"], {}])
def test_a_further_header_has_a_value(check: Check, value: t.Any) -> None:
    assert check(headers={"extra": {"X-Shop": value}}) == [
        f"headers.extra.X-Shop: {value!r} is not accepted: a string that is not empty, {VALUE_RULE}"
    ]


@pytest.mark.parametrize("name", ["X-Shop", "cache-control", "NEL", "x", "X-2", "X-Frame"])
def test_good_names_of_headers(check: Check, name: str) -> None:
    assert check(headers={"extra": {name: "a"}}) == []


@pytest.mark.parametrize(
    "name",
    [
        "", "X Shop", "X-Shop:", "X-Shöp", "X-Shop\n", "X;", '"X"', "a/b", "{", "X.Shop", "X_Shop", "#X", "X$a", "1X",
        "-X", 5, None,
    ],
)  # fmt: skip
def test_bad_names_of_headers(check: Check, name: t.Any) -> None:
    rule = "a header's name, a letter first, then letters, digits and hyphens"
    assert check(headers={"extra": {name: "a"}}) == [f"headers.extra: {name!r} is not accepted: {rule}"]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("X-Content-Type-Options", "use headers.content_type_options"),
        ("X-Frame-Options", "use headers.frame_options"),
        ("Referrer-Policy", "use headers.referrer_policy"),
        ("Permissions-Policy", "use headers.permissions_policy"),
        ("Content-Security-Policy", "use headers.content_security_policy"),
        ("Strict-Transport-Security", "use tls.hsts"),
        *(
            (name, "it describes one answer or its connection, which nginx and the application know")
            for name in "Content-Length Content-Type Transfer-Encoding Connection Date Server Location".split()
        ),
        ("Set-Cookie", "a cookie is the application's to set, answer by answer"),
        (
            "X-XSS-Protection",
            "browsers dropped it, and those that still know it leak through it; use headers.content_security_policy",
        ),
    ],
)  # fmt: skip
def test_headers_that_are_not_to_be_given(check: Check, name: str, rule: str) -> None:
    assert name.lower() in RESERVED_HEADERS
    for written in (name, name.lower(), name.upper()):
        assert check(headers={"extra": {written: "a"}}) == [f"headers.extra: {written!r} is not accepted: {rule}"]


def test_headers_that_differ_by_case(check: Check) -> None:
    rule = "it is 'X-Shop', which stands there too, as case makes no difference; leave one out"
    assert check(headers={"extra": {"X-Shop": "a", "X-Other": "b", "x-shop": "a"}}) == [
        f"headers.extra: 'x-shop' is not accepted: {rule}"
    ]


# --- pages --------------------------------------------------------------------------------------------------------

PAGE_RULE = "accepted is an HTML file on the controller, UTF-8, at most 1 MiB"
PAGES = pytest.mark.parametrize("name", ["error", "maintenance"])


@PAGES
def test_a_good_page(check: Check, tmp_path: Path, name: str) -> None:
    page = tmp_path / "page.html"
    for content in ("<h1>später</h1>\n".encode(), b"", b"x" * LARGEST_PAGE):
        page.write_bytes(content)
        assert check(pages={name: str(page)}) == []
    (tmp_path / "link").symlink_to(page)
    assert check(pages={name: str(tmp_path / "link")}) == []


@PAGES
def test_a_page_is_resolved(schema: t.Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "page.html").write_text("soon")
    assert front_problems({"pages": {name: "page.html"}}, schema, lambda text: tmp_path / text) == []
    assert front_problems({"pages": {name: "other.html"}}, schema, lambda text: tmp_path / text) == [
        f"pages.{name}: {tmp_path}/other.html does not exist; {PAGE_RULE}"
    ]


@PAGES
def test_a_page_that_is_no_text_file(check: Check, tmp_path: Path, name: str) -> None:
    (tmp_path / "latin").write_bytes("später".encode("latin-1"))
    (tmp_path / "large").write_bytes(b"x" * (LARGEST_PAGE + 1))
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "device").symlink_to("/dev/null")
    for path, trouble in {
        "latin": "is not UTF-8",
        "large": "is too large",
        "nowhere": "does not exist",
        "device": "is not a regular file",
        ".": "is not a regular file",
        "a\0": "does not exist",
    }.items():
        assert check(pages={name: f"{tmp_path}/{path}"}) == [f"pages.{name}: {tmp_path / path} {trouble}; {PAGE_RULE}"]


def test_a_page_that_can_not_be_read(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: t.Any, **_named: t.Any) -> str:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "page.html").write_text("soon")
    monkeypatch.setattr(Path, "read_text", refuse)
    assert check(pages={"error": f"{tmp_path}/page.html"}) == [
        f"pages.error: {tmp_path}/page.html can't be read (Permission denied); {PAGE_RULE}"
    ]


# --- directives ---------------------------------------------------------------------------------------------------

EXTRAS = pytest.mark.parametrize("key", ["nginx_server_extra", "nginx_location_extra"])


@EXTRAS
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n \t\n",
        "# a comment alone, which isn't closed {",
        "gzip on;",
        "gzip on; # on; {\n",
        "gzip\n\ton\n;\n",
        "if ($uri ~ \"^/a{2}\") {\n    return 404;\n}\n",
        "set $a ${b}c; set $d x${e}; set $f \"${g}\";",
        "set $a a#b; set $b \\;\\{\\}; set $c a}b;",
        "set $a \"it's; {\"; set $b '\"#}';",
        "set $a \"\\\"}\"; set $b '\\'}';",
        "set $a a\"b; set $c d'e;",
        "set $a b\\\nc; set $d \"e\\\nf\"; set $g 'h\\\ni';",
        "types { }",
        "location = /x { if ($a) { return 200 'ä'; } }\nlocation /y { }",
        "more_set_headers 'X-Shop: a';",
    ],
)  # fmt: skip
def test_good_directives(check: Check, key: str, text: str) -> None:
    assert check(**{key: text}) == []


UNFINISHED = "a directive ends with a semicolon, or with a block in braces"
UNQUOTED = "a quote is closed, and a space, a semicolon or an opening brace comes next"
OUTSIDE = "it would close the block around the text; each closing brace has an opening one before it"


@EXTRAS
@pytest.mark.parametrize(
    ("text", "what", "line", "rule"),
    [
        ("gzip on", "gzip", 1, UNFINISHED),
        ("gzip on;\ngzip_vary\non", "gzip_vary", 2, UNFINISHED),
        ("gzip on # ;", "gzip", 1, UNFINISHED),
        ("if ($a) { return 404 }", "return", 1, UNFINISHED),
        ("set $a b\\;", "set", 1, UNFINISHED),
        ("types {", "types", 1, "its block ends with a closing brace"),
        ("\nif ($a) {\nif ($b) { return 404; }", "if", 2, "its block ends with a closing brace"),
        ("types { # }", "types", 1, "its block ends with a closing brace"),
        ("}", "}", 1, OUTSIDE),
        ("gzip on;\n}\nlocation /a {", "}", 2, OUTSIDE),
        ("types { } }", "}", 1, OUTSIDE),
        (";", ";", 1, "a directive stands in front of it"),
        ("gzip on;;", ";", 1, "a directive stands in front of it"),
        ("gzip on;\n{ }", "{", 2, "a directive stands in front of it"),
        ('set $a "b;\n', '"', 1, UNQUOTED),
        ("gzip on;\nset $a 'b;\n", "'", 2, UNQUOTED),
        ('set $a "b"c;', '"', 1, UNQUOTED),
        ("set $a 'b'\"c\";", "'", 1, UNQUOTED),
        ('set $a "b\\";', '"', 1, UNQUOTED),
        ('set $a "b"}', '"', 1, UNQUOTED),
        ("gzip on;\\", "\\", 1, "a backslash has a character behind it"),
        ("gzip on; a\\", "\\", 1, "a backslash has a character behind it"),
        *(
            (f"gzip on;\n# {control}\n", control, 2, "of control characters newlines and tabs alone")
            for control in "\0\x01\x08\x0b\x0c\r\x1f\x7f"
        ),
    ],
)
def test_what_can_not_stand_in_a_block(check: Check, key: str, text: str, what: str, line: int, rule: str) -> None:
    assert check(**{key: text}) == [f"{key}: {what!r} in line {line} is not accepted: {rule}"]


def test_the_directives_of_a_text() -> None:
    text = """
# outside {
if ($a = "b c") {   # inside }
    return 'd;e' ${f}g
        h\\ i;
}
gzip on; types { }
"""
    assert list(directives(text)) == [
        Directive(("if", "($a", "=", "b c", ")"), 3, 0),
        Directive(("return", "d;e", "${f}g", "h\\ i"), 4, 1),
        Directive(("gzip", "on"), 7, 0),
        Directive(("types",), 7, 0),
    ]


@EXTRAS
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("add_header X-Shop a;", 1),
        ("gzip on;\nadd_header X-Shop a always;\n", 2),
        ("if ($a) {\n  if ($b) {\n    'add_header' X-Shop a;\n  }\n}", 3),
        ("location /x { \"add_header\" X-Shop a; }", 1),
    ],
)  # fmt: skip
def test_headers_have_a_key_of_their_own(check: Check, key: str, text: str, line: int) -> None:
    rule = "one alone would take all other headers away from where it stands; use headers.extra"
    assert check(**{key: text}) == [f"{key}: 'add_header' in line {line} is not accepted: {rule}"]


@EXTRAS
def test_add_header_is_a_directive_by_its_place(check: Check, key: str) -> None:
    assert check(**{key: "# add_header a b;\nset $a add_header; set $b ';add_header c d;';"}) == []


@EXTRAS
def test_code_in_lua_is_not_read(check: Check, key: str) -> None:
    rule = "what it holds is Lua, which is not read here; use content_by_lua_file"
    text = "location /x { content_by_lua_block { -- don't\n } }"
    assert check(**{key: text})[0] == f"{key}: 'content_by_lua_block' in line 1 is not accepted: {rule}"
    assert check(**{key: "location /x { content_by_lua_file /srv/x.lua; }"}) == []


@pytest.mark.parametrize(
    ("key", "text", "rule"),
    [
        ("nginx_server_extra", "listen 8080;", "the addresses are the role's; use tls for those of TLS"),
        ("nginx_server_extra", "server_name a.example;", "use domains"),
        (
            "nginx_location_extra",
            "proxy_pass http://127.0.0.1:8000;",
            "the role leads to the application; use a location in nginx_server_extra",
        ),
    ],
)
def test_directives_of_the_role(check: Check, key: str, text: str, rule: str) -> None:
    name = text.split()[0]
    assert check(**{key: f"gzip on; {text}"}) == [f"{key}: {name!r} in line 1 is not accepted: {rule}"]
    assert check(**{key: f"location /x {{ {text} }}"}) == []


@pytest.mark.parametrize("key", ["nginx_server_extra", "nginx_location_extra"])
@pytest.mark.parametrize("header", ["Host", "X-Forwarded-For", "x-forwarded-prefix", "X-Request-ID", "connection"])
def test_headers_of_the_role(check: Check, key: str, header: str) -> None:
    rule = f"{header} tells the application what nginx knows, and the role sets it"
    for written in (header, f'"{header}"', f"'{header}'"):
        assert check(**{key: f"\nproxy_set_header {written} a;"}) == [
            f"{key}: 'proxy_set_header' in line 2 is not accepted: {rule}"
        ]


@pytest.mark.parametrize("header", ["FORWARDED", "X-Remote-User", "cf-connecting-ip"])
def test_headers_that_the_role_takes_away(check: Check, header: str) -> None:
    rule = f"the role takes {header} away, as clients send it and applications believe it; use a name of your own"
    assert check(nginx_location_extra=f"proxy_set_header {header} $http_x;") == [
        f"nginx_location_extra: 'proxy_set_header' in line 1 is not accepted: {rule}"
    ]


@pytest.mark.parametrize("key", ["nginx_server_extra", "nginx_location_extra"])
@pytest.mark.parametrize(
    "text", ["location /x { %s proxy_pass a; }", "if ($x) { %s }", "location /x { if ($x) { %s } }"]
)
def test_a_block_with_a_header_of_its_own_would_have_no_other(check: Check, key: str, text: str) -> None:
    rule = (
        "one alone would take all headers away from its block that say who the client is, and those that a client "
        "sends itself would be believed; give it a variable outside of all blocks, which blocks may set"
    )
    assert check(**{key: text % "proxy_set_header X-Shop a;"}) == [
        f"{key}: 'proxy_set_header' in line 1 is not accepted: {rule}"
    ]


def test_further_headers_for_the_application(check: Check) -> None:
    assert check(nginx_location_extra="proxy_set_header X-Country $country; proxy_set_header;") == []
    assert check(nginx_location_extra="proxy_set_header X-A $a; location /x { set $a 1; proxy_pass a; }") == []


def test_further_headers_of_the_server_are_for_locations_that_hand_on(check: Check) -> None:
    rule = "the application's location has some, so nginx would ignore it; use nginx_location_extra"
    for text in ("proxy_set_header X-Shop a;", "proxy_set_header X-Shop a; location /x { return 204; }"):
        assert check(nginx_server_extra=text) == [
            f"nginx_server_extra: 'proxy_set_header' in line 1 is not accepted: {rule}"
        ]
    assert check(nginx_server_extra='set $a ""; proxy_set_header X-A $a; location /x { set $a 1; proxy_pass a; }') == []


def test_directives_that_are_fine_elsewhere(check: Check) -> None:
    assert check(nginx_location_extra="listen 1; server_name a;", nginx_server_extra="proxy_pass a;") == []


# --- secrets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        {"tls": {"mode": "provided", "certificate": "s3cret", "key": "s3cret"}},
        {"tls": {"mode": "provided", "certificate": f"{KEY}s3cret", "key": "/s3cret/.."}},
        {"tls": {"mode": "provided", "key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\ns3cret"}},
        {"tls": {"mode": "provided", "key": "Proc-Type: 4,ENCRYPTED\ns3cret"}},
        {"tls": {"certificate": "s3cret", "key": f"{KEY}s3cret"}},
        {"tls": {"key": ["s3cret"]}},
        {"tls": {"keys": "s3cret"}},
        {"tls": "s3cret"},
        {"access": {"users": {"jo": "s3cret"}}},
        {"access": {"users": {"jo": ["s3cret"]}}},
        {"access": {"users": ["jo:s3cret"]}},
        {"access": {"user": {"jo": "s3cret"}}},
        {"nginx_location_extra": "proxy_set_header Authorization 's3cret'"},
        {"nginx_location_extra": "proxy_set_header Authorization 's3cret;"},
        {"nginx_location_extra": "proxy_set_header Host s3cret;"},
    ],
)
def test_secrets_are_never_shown(check_all: Check, keys: t.Any) -> None:
    found = check_all(**keys)
    assert found
    assert "s3cret" not in "\n".join(found)
    assert "c3VwcG9zZWRseVNlY3JldA" not in "\n".join(found)


# --- within the whole ---------------------------------------------------------------------------------------------


def test_what_nginx_does_is_looked_at(check_all: Check, tmp_path: Path) -> None:
    assert check_all(prefix="shop/", pages={"error": f"{tmp_path}/gone.html"}) == [
        f"shop: prefix: 'shop/' is not accepted: {PREFIX_RULE}; did you mean '/shop'?",
        f"shop: pages.error: {tmp_path}/gone.html does not exist; {PAGE_RULE}",
    ]


def test_an_application_with_every_key_of_nginx(check_all: Check, schema: t.Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("soon")
    every = {
        "prefix": "/shop",
        "tls": {
            **provided(),
            "acme": {"directory": "production"},
            "redirect": False,
            "hsts": 63072000,
            "hsts_subdomains": True,
            "http2": False,
            "http3": True,
        },
        "trusted_proxies": ["10.0.0.0/8", "2001:db8::1"],
        "static": [{"url": "/media/", "path": "/srv/media"}],
        "compression": "none",
        "websockets": True,
        "buffering": False,
        "max_body": "1K",
        "rate_limit": {"rate": 0.5, "burst": 0, "connections": 10},
        "access": {"allow": ["192.0.2.0/24"], "deny": ["192.0.2.1"], "users": {"jo": HASHES[0]}},
        "headers": {**dict.fromkeys(OWN_KEYS, "a"), "extra": {"X-Shop": "b"}},
        "maintenance": True,
        "pages": {"error": str(page), "maintenance": str(page)},
        "nginx_server_extra": "gzip on;\n",
        "nginx_location_extra": "proxy_set_header X-Shop a;\n",
    }
    assert list(every) == list(schema)[list(schema).index("prefix") :]
    for key, given in every.items():
        if "options" in schema[key]:
            assert set(given) == set(schema[key]["options"])
    assert check_all(**every, worker_class="gthread") == []


@pytest.mark.parametrize(
    ("key", "low", "high", "rule"),
    [
        ("tls.hsts", 0, 63072000, "whole seconds from 0 to 63072000; 0 is off"),
        ("rate_limit.rate", 0.1, 10000, "requests a second, from 0.1 to 10000"),
        ("rate_limit.burst", 0, 10000, "a whole number from 0 to 10000"),
        ("rate_limit.connections", 1, 10000, "a whole number from 1 to 10000"),
    ],
)
def test_numbers(check_all: Check, key: str, low: float, high: float, rule: str) -> None:
    outer, inner = key.split(".")
    base = {"tls": {"mode": "self_signed"}, "rate_limit": {"rate": 1}}[outer]
    for good in (low, high, str(low), str(high)):
        assert check_all(**{outer: {**base, inner: good}}) == []
    for bad in (low - 1, high + 1, "many", True, 10**30):
        assert check_all(**{outer: {**base, inner: bad}}) == [f"shop: {key}: {bad!r} is not accepted: {rule}"]


def test_the_size_of_a_body(check_all: Check) -> None:
    for good in ("1K", 1024, "16M", "1024T"):
        assert check_all(max_body=good) == []
    rule = "a size from 1K to 1024T, a whole number of bytes or one with K, M, G or T behind it"
    for bad in (0, "0", 1023, "1025T", "much"):
        assert check_all(max_body=bad) == [f"shop: max_body: {bad!r} is not accepted: {rule}"]


@pytest.mark.parametrize("word", ["no", "off"])
def test_what_yaml_makes_of_no_tls(check_all: Check, word: str) -> None:
    hint = "YAML makes false of no and off; write none"
    assert check_all(**yaml.safe_load(f"tls: {{mode: {word}}}")) == [
        f"shop: tls.mode: a boolean was given; accepted is a string; {hint}"
    ]


def test_every_problem_is_told(check: Check) -> None:
    found = check(
        prefix="/",
        tls={"key": KEY, "hsts": 5, "hsts_subdomains": True, "http3": True},
        trusted_proxies=["x", "::/0"],
        websockets=True,
        rate_limit={"burst": 5},
        access={"allow": ["x", "::1"], "deny": ["y", "::1"], "users": {"jo": "x", "": "x"}},
        headers={"frame_options": "$", "extra": {"Server": "x", "": "x", "X-Shop": ""}},
        pages={"error": "/no/such", "maintenance": "/no/such"},
        nginx_server_extra="listen 1; add_header a b; server_name c; }",
        nginx_location_extra="proxy_pass a; proxy_set_header Host b; c",
    )
    assert [problem.split(": ")[0] for problem in found] == [
        "prefix",
        "tls.key",
        "tls.hsts",
        "tls.hsts_subdomains",
        "tls.http3",
        "trusted_proxies",
        "trusted_proxies",
        "websockets",
        "rate_limit.burst",
        "access.allow",
        "access.deny",
        "access.deny",
        "access.users.jo",
        "access.users",
        "headers.frame_options",
        "headers.extra",
        "headers.extra",
        "headers.extra.X-Shop",
        "pages.error",
        "pages.maintenance",
        *["nginx_server_extra"] * 4,
        *["nginx_location_extra"] * 3,
    ]
