# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ansible_collections.wsgiops.flask.plugins.plugin_utils import _values
from ansible_collections.wsgiops.flask.plugins.plugin_utils._schema import RESERVED_NAMES, problems, warnings

App = dict[str, t.Any]
Check = Callable[..., list[str]]


@pytest.fixture(scope="module")
def schema(repository: Path) -> t.Any:
    """The schema that the playbooks use."""
    return yaml.safe_load((repository / "playbooks" / "vars" / "app_schema.yml").read_text())["app_schema"]


@pytest.fixture
def app(tmp_path: Path) -> App:
    """A minimal application with its source."""
    source = tmp_path / "shop"
    source.mkdir()
    (source / "shop.py").write_text("def create_app():\n    ...\n")
    (source / "requirements.txt").write_text("flask\ngunicorn[gevent]\n")
    return {"name": "shop", "source": str(source), "wsgi": "shop:create_app()", "domains": ["shop.example.com"]}


@pytest.fixture
def check(app: App, schema: t.Any) -> Check:
    """Problems of the minimal application with some keys changed; those that are `...` are left out."""

    def run(**changes: t.Any) -> list[str]:
        changed = {key: value for key, value in {**app, **changes}.items() if value is not ...}
        return problems([changed], schema, Path)

    return run


# --- without root ---


@pytest.mark.parametrize(
    ("changes", "modes", "key"),
    [
        ({"tls": {"mode": "self_signed"}}, ["file", "user"], "tls.mode: 'self_signed'"),
        ({"compression": "brotli"}, ["file", "user"], "compression: 'brotli'"),
        ({"static": [{"url": "/m/", "path": "/var/lib/a/b"}]}, ["file", "user"], "static: '/var/lib/a/b'"),
        ({"access": {"users": {"a": "$5$salt$" + 43 * "x"}}, "trusted_proxies": ["::1"]}, ["file"], "access.users:"),
        ({"static": [{"url": "/m/", "path": "/srv/media"}]}, [], ""),
        ({"access": {"allow": ["192.0.2.1"]}, "compression": "gzip", "maintenance": True}, [], ""),
    ],
)
def test_what_needs_root_in_nginx_is_refused_without(
    app: App, schema: t.Any, changes: App, modes: list[str], key: str
) -> None:
    """With the key's name and why."""
    found = {mode: problems([{**app, **changes}], schema, Path, mode) for mode in ("system", "file", "user")}
    assert [mode for mode, problem in found.items() if problem] == modes
    for mode in modes:
        [problem] = found[mode]
        assert problem.startswith(f"shop: {key}")
        assert "root" in problem


# --- warnings -----------------------------------------------------------------------------------------------------


def test_what_is_hardly_meant_is_told_of_applications_that_stay(app: App, schema: t.Any) -> None:
    hasty = {**app, "graceful_timeout": 10}
    assert problems([hasty], schema, Path) == []
    [warning] = warnings([app, {**hasty, "name": "desk"}, {**hasty, "name": "till", "state": "absent"}], schema)
    assert warning.startswith("desk: graceful_timeout: 10 s is less than the 30 s that a request may take (timeout)")


# --- what is accepted ---------------------------------------------------------------------------------------------


def test_a_minimal_application_has_no_problems(check: Check) -> None:
    assert check() == []


def test_an_application_with_every_key_has_no_problems(check: Check, app: App, schema: t.Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("soon")
    every = {
        "state": "present",
        "remove_data": False,
        "domains": ["shop.example.com", "*.shop.example.com"],
        "exclude": ["/docs/"],
        "python": "/usr/bin/python3.11",
        "installer": "pip",
        "requirements": "requirements.txt",
        "service": "systemd",
        "server": "gunicorn",
        "workers": 4,
        "worker_class": "gthread",
        "threads": 8,
        "worker_connections": 500,
        "max_requests": 1000,
        "preload": True,
        "timeout": 60,
        "graceful_timeout": 120,
        "gunicorn_settings": {"max_requests_jitter": 9, "sendfile": True, "dirty_apps": ["a:A"], "loglevel": "debug"},
        "restart": {"policy": "always", "delay": 0.5, "burst": 10, "interval": 600, "cooldown": 0},
        "limits": {
            "memory": "1G",
            "memory_high": 805306368,
            "cpu": 1.5,
            "tasks": 512,
            "open_files": 4096,
            "oom_policy": "kill",
        },
        "network": "local",
        "sandbox": {
            "writable_paths": ["/srv/shop/uploads"],
            "home": "read-only",
            "devices": True,
            "write_execute": True,
            "system_calls": ["@resources", "mbind"],
            "address_families": ["AF_NETLINK"],
            "namespaces": True,
            "groups": ["video", "render"],
        },
        "health": {
            "ready": "/healthz/ready?deep=1",
            "status": 204,
            "host": "localhost",
            "timeout": 60,
            "settle": 0.5,
            "body": r"^ok\b",
            "latency": 1.5,
        },
        "hooks": {
            "once": ["flask db upgrade"],
            "before_switch": ["flask warm"],
            "after_switch": ["flask tell 'done'", "true"],
            "timeout": 600,
        },
        "overlap": False,
        "confirm": 120,
        "keep_releases": 3,
        "release_label": "v1.0/rc-1+b_2",
        "env": {"DEBUG": "0", "POOL": 5, "_X": 1.5},
        "secrets": {"SECRET_KEY": "s3cret", "PIN": 1234},
        "logs": {
            "to": "files",
            "access": "both",
            "rotate": {"frequency": "weekly", "size": "100M", "keep": 30, "method": "copytruncate"},
        },
        "metrics": {"statsd": "localhost:8125"},
        "prefix": "/shop",
        "tls": {
            "mode": "provided",
            "certificate": "/etc/ssl/shop.pem",
            "key": "/etc/ssl/shop.key",
            "redirect": False,
            "hsts": 63072000,
            "hsts_subdomains": True,
            "http2": False,
            "http3": True,
            "acme": {"directory": "production"},
        },
        "trusted_proxies": ["10.0.0.0/8", "2001:db8::1"],
        "static": [{"url": "/media/", "path": "/srv/media"}],
        "compression": "none",
        "websockets": True,
        "buffering": False,
        "max_body": "1G",
        "rate_limit": {"rate": 0.5, "burst": 0, "connections": 10},
        "access": {
            "allow": ["192.0.2.0/24"],
            "deny": ["192.0.2.1"],
            "users": {"jo": "$5$saltsalt$OIdfjX.u4Y3SJ4I2bX8w5BMf1VAUhHABNUirScDzZi3"},
        },
        "headers": {
            "content_type_options": "",
            "frame_options": "DENY",
            "referrer_policy": "no-referrer",
            "permissions_policy": "camera=()",
            "content_security_policy": "default-src 'self'",
            "extra": {"X-Shop": "a"},
        },
        "maintenance": True,
        "pages": {"error": str(page), "maintenance": str(page)},
        "nginx_server_extra": "gzip on;",
        "nginx_location_extra": "proxy_set_header X-Shop a;",
    }
    assert {*app, *every} == set(schema)
    for key, option in schema.items():
        if "options" in option:
            assert set(every[key]) == set(option["options"])
    assert set(every["logs"]["rotate"]) == set(schema["logs"]["options"]["rotate"]["options"])
    assert check(**every) == []


def test_no_applications_have_no_problems(schema: t.Any) -> None:
    assert problems([], schema, Path) == []


def test_an_application_that_goes_needs_no_more_than_its_name(schema: t.Any) -> None:
    assert problems([{"name": "shop", "state": "absent"}], schema, Path) == []
    assert problems([{"state": "absent"}], schema, Path) == ["flask_apps entry 1: name: is required"]


def test_what_is_wrong_with_the_code_of_an_application_that_goes_does_not_count(check: Check) -> None:
    assert check(state="absent", source="/no/such", wsgi="no:such", domains=[]) == []


def test_validation_changes_nothing_it_was_given(check: Check, app: App, schema: t.Any) -> None:
    before = repr((app, schema))
    check(timeout="60", logs={"to": "files"})
    assert repr((app, schema)) == before


# --- the shape ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("apps", "kind"),
    [
        (None, "nothing"),
        ({"name": "shop"}, "a dictionary"),
        ("shop", "a string"),
        (5, "a number"),
        (True, "a boolean"),
        (["shop"], "a list"),
    ],
)
def test_what_is_no_list_of_applications(schema: t.Any, apps: t.Any, kind: str) -> None:
    accepted = "accepted is a list of dictionaries, one for each application"
    assert problems(apps, schema, Path) == [f"flask_apps: {kind} was given; {accepted}"]


def test_an_unknown_key_is_told_with_the_nearest(check: Check) -> None:
    assert check(domain=["x"]) == ["shop: domain: unknown key; did you mean domains?"]
    assert check(graceful_timout=5) == ["shop: graceful_timout: unknown key; did you mean graceful_timeout?"]


def test_an_unknown_nested_key_is_told_with_the_nearest(check: Check) -> None:
    assert check(logs={"too": "files"}) == ["shop: logs.too: unknown key; did you mean logs.to?"]


def test_an_unknown_key_without_a_near_one_is_told_with_all(check: Check, schema: t.Any) -> None:
    assert check(zzz=1) == [f"shop: zzz: unknown key; accepted here: {', '.join(sorted(schema))}"]
    assert check(logs={"zzz": 1}) == ["shop: logs.zzz: unknown key; accepted here: access, rotate, to"]
    rotation = "frequency, keep, method, size"
    assert check(logs={"rotate": {"zzz": 1}}) == [f"shop: logs.rotate.zzz: unknown key; accepted here: {rotation}"]
    assert check(**{"5": 1})[0].startswith("shop: 5: unknown key; accepted here: ")


@pytest.mark.parametrize("key", ["source", "wsgi", "domains"])
@pytest.mark.parametrize("value", [..., None], ids=["left out", "empty"])
def test_what_is_required(check: Check, key: str, value: t.Any) -> None:
    assert check(**{key: value}) == [f"shop: {key}: is required"]


def test_without_a_name_the_position_tells_which(app: App, schema: t.Any) -> None:
    del app["name"]
    assert problems([{"name": "other", "state": "absent"}, app], schema, Path) == [
        "flask_apps entry 2: name: is required"
    ]


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"state": "gone"}, ["state", "present, absent", "gone"]),
        ({"logs": {"to": "file"}}, ["logs.to: ", "journal, files", "'file'"]),
        ({"remove_data": "maybe"}, ["remove_data: ", "'maybe'", "boolean"]),
        ({"overlap": "y"}, ["overlap: ", "'y'", "boolean"]),
        ({"server": "uwsgi"}, ["server: ", "gunicorn, gevent", "'uwsgi'"]),
        (
            {"worker_class": "eventlet"},
            ["worker_class: ", "sync, gthread, gevent", "'eventlet'", "; gunicorn 26 dropped it; use gevent"],
        ),
        ({"preload": "maybe"}, ["preload: ", "'maybe'", "boolean"]),
        ({"restart": {"policy": "no"}}, ["restart.policy: ", "on-failure, always, never", "'no'", "; write never"]),
        ({"limits": {"oom_policy": "panic"}}, ["limits.oom_policy: ", "continue, stop, kill", "'panic'"]),
        ({"network": "private"}, ["network: ", "full, local, none", "'private'"]),
        ({"sandbox": {"home": "open"}}, ["sandbox.home: ", "hidden, read-only", "'open'"]),
        ({"sandbox": {"devices": "maybe"}}, ["sandbox.devices: ", "'maybe'", "boolean"]),
        ({"sandbox": {"write_execute": 2}}, ["sandbox.write_execute: ", "2", "boolean"]),
        ({"sandbox": {"namespaces": "user"}}, ["sandbox.namespaces: ", "'user'", "boolean"]),
        ({"logs": {"access": "apache"}}, ["logs.access: ", "nginx, gunicorn, both, none", "'apache'"]),
        ({"logs": {"rotate": {"frequency": "hourly"}}}, ["logs.rotate.frequency: ", "daily, weekly, monthly"]),
        ({"logs": {"rotate": {"method": "move it"}}}, ["logs.rotate.method: ", "create, copytruncate", "'move it'"]),
    ],
)
def test_a_value_of_another_type_or_choice(check: Check, change: App, fragments: list[str]) -> None:
    [problem] = check(**change)
    assert problem.startswith("shop: ")
    assert [fragment for fragment in fragments if fragment not in problem] == []


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("name", 5, "name: a number was given; accepted is a string"),
        ("name", ["shop"], "name: a list was given; accepted is a string"),
        ("source", 5, "source: a number was given; accepted is a string"),
        ("python", True, "python: a boolean was given; accepted is a string"),
        ("domains", "shop.example.com", "domains: a string was given; accepted is a list"),
        ("domains", "Not_A_Domain", "domains: a string was given; accepted is a list"),
        ("domains", {"shop": 1}, "domains: a dictionary was given; accepted is a list"),
        ("domains", [{"a": 1}], "domains: a dictionary stands in the list; accepted in it is a string"),
        ("domains", ["a.example", ["b"]], "domains: a list stands in the list; accepted in it is a string"),
        ("exclude", "*.md", "exclude: a string was given; accepted is a list"),
        ("exclude", ["*.md", 5], "exclude: a number stands in the list; accepted in it is a string"),
        ("exclude", None, "exclude: is empty; leave the key out for its default"),
        ("requirements", None, "requirements: is empty; leave the key out for its default"),
        ("env", "DEBUG=1", "env: a string was given; accepted is a dictionary"),
        ("env", ["DEBUG"], "env: a list was given; accepted is a dictionary"),
        ("logs", "to=files", "logs: a string was given; accepted is a dictionary"),
        ("logs", 5, "logs: a number was given; accepted is a dictionary"),
        ("logs", {"to": None}, "logs.to: is empty; leave the key out for its default"),
        ("logs", {"to": 5}, "logs.to: a number was given; accepted is a string"),
        ("gunicorn_settings", ["preload_app"], "gunicorn_settings: a list was given; accepted is a dictionary"),
        ("health", "/ready", "health: a string was given; accepted is a dictionary"),
        ("health", {"ready": 5}, "health.ready: a number was given; accepted is a string"),
        ("health", {"body": ["ok"]}, "health.body: a list was given; accepted is a string"),
        ("health", {"latency": None}, "health.latency: is empty; leave the key out for its default"),
        ("hooks", "true", "hooks: a string was given; accepted is a dictionary"),
        ("hooks", {"once": "true"}, "hooks.once: a string was given; accepted is a list"),
        ("hooks", {"once": [5]}, "hooks.once: a number stands in the list; accepted in it is a string"),
        ("limits", "512M", "limits: a string was given; accepted is a dictionary"),
        ("limits", {"memory": None}, "limits.memory: is empty; leave the key out for its default"),
        ("sandbox", ["devices"], "sandbox: a list was given; accepted is a dictionary"),
        ("sandbox", {"groups": "video"}, "sandbox.groups: a string was given; accepted is a list"),
        (
            "sandbox",
            {"writable_paths": [5]},
            "sandbox.writable_paths: a number stands in the list; accepted in it is a string",
        ),
        ("secrets", "s3cret", "secrets: a string was given; accepted is a dictionary"),
        ("metrics", {"statsd": 8125}, "metrics.statsd: a number was given; accepted is a string"),
        ("release_label", 1.2, "release_label: a number was given; accepted is a string"),
        ("overlap", [True], "overlap: [True] is not accepted: a boolean, true or false"),
    ],
)
def test_a_value_that_ansible_would_convert(check: Check, key: str, value: t.Any, told: str) -> None:
    [problem] = check(**{key: value})
    assert problem.endswith(f": {told}")


@pytest.mark.parametrize(
    ("text", "key", "word"),
    [
        ("restart: {policy: no}", "restart.policy", "never"),
        ("restart: {policy: off}", "restart.policy", "never"),
        ("network: no", "network", "none"),
        ("logs: {access: off}", "logs.access", "none"),
        ("tls: {mode: off}", "tls.mode", "none"),
    ],
)
def test_what_yaml_makes_a_boolean_of_is_told_with_the_word_to_write(
    check: Check, text: str, key: str, word: str
) -> None:
    hint = f"YAML makes false of no and off; write {word}"
    assert check(**yaml.safe_load(text)) == [f"shop: {key}: a boolean was given; accepted is a string; {hint}"]


def test_every_nested_value_of_a_wrong_type_is_told(check: Check) -> None:
    found = check(health={"ready": 5, "body": 6, "timeout": "soon", "status": 7}, hooks={"onec": []})
    assert [problem.removeprefix("shop: ").split(": ")[0] for problem in found] == [
        "hooks.onec",
        "health.ready",
        "health.body",
        "health.status",
        "health.timeout",
    ]


@pytest.mark.parametrize("value", [True, False, "true", "False", "yes", "off", "1", 0])
def test_what_the_filter_bool_takes_is_a_boolean(check: Check, value: t.Any) -> None:
    assert check(overlap=value) == []


def test_two_entries_without_a_name_are_told_apart(app: App, schema: t.Any) -> None:
    del app["name"]
    other = {**app, "domains": ["other.example.com"]}
    assert problems([app, other], schema, Path) == [
        f"flask_apps entry {position}: name: is required" for position in (1, 2)
    ]


# --- names and domains --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "shop", "shop-2", "x" * 31, "a-"])
def test_a_good_name(check: Check, name: str) -> None:
    assert check(name=name) == []


@pytest.mark.parametrize(
    "name", ["", "Shop", "2shop", "-shop", "shop_2", "shop.2", "x" * 32, "shöp", "a/b", "shop\n", " a"]
)
def test_a_bad_name(check: Check, name: str) -> None:
    [problem] = check(name=name)
    rule = "1 to 31 characters, a lower-case letter first, then lower-case letters, digits and hyphens"
    assert problem == f"{name or 'flask_apps entry 1'}: name: {name!r} is not accepted: {rule}"


@pytest.mark.parametrize("name", ["root", "www-data", "nginx", "systemd", "postgres", "journal", "lock"])
def test_a_name_that_the_system_needs(check: Check, name: str) -> None:
    assert name in RESERVED_NAMES
    assert check(name=name) == [f"{name}: name: {name!r} is taken by the system; choose another, such as {name}-app"]
    assert check(name=f"{name}-app") == []


def test_bad_names_are_refused_of_applications_that_go_too(schema: t.Any) -> None:
    [problem] = problems([{"name": "../etc", "state": "absent"}], schema, Path)
    assert "name: '../etc' is not accepted" in problem


@pytest.mark.parametrize(
    "domain",
    [
        "shop.example.com", "localhost", "a.b", "192.0.2.1", "xn--bcher-kva.example", "1.example", "a-b.example",
        "x" * 63 + ".example", "xx." * 84 + "x", "*.shop.example.com",
    ],
)  # fmt: skip
def test_a_good_domain(check: Check, domain: str) -> None:
    assert check(domains=["first.example", domain]) == []


@pytest.mark.parametrize(
    "domain",
    [
        "", ".", "shop.", ".shop", "a..b", "-a.example", "a-.example", "a_b.example", "shop.example.com:80",
        "http://shop.example", "shop.example/x", "*", "*shop.example", "a.*.example", "**.example", "bücher.example",
        "shop example", "shop.example;", "shop.example\n", "x" * 64 + ".example", "xx." * 84 + "xx",
        "2001:db8::1",
    ],
)  # fmt: skip
def test_a_bad_domain(check: Check, domain: str) -> None:
    [problem] = check(domains=["first.example", domain])
    rule = "is not a lower-case host name such as shop.example.com or *.example.com"
    assert problem.startswith(f"shop: domains: {domain!r} {rule}")


def test_a_domain_in_capitals_is_told_in_small_letters(check: Check) -> None:
    [problem] = check(domains=["Shop.Example.com"])
    assert problem.endswith("; did you mean 'shop.example.com'?")


def test_a_domain_that_is_too_long_is_not_told_as_its_own_cure(check: Check) -> None:
    [problem] = check(domains=["xx." * 84 + "xx"])
    assert "did you mean" not in problem


def test_no_domains_a_wildcard_first_and_one_twice(check: Check) -> None:
    assert check(domains=[]) == [
        "shop: domains: at least one host name is needed: nginx serves an application to no others"
    ]
    assert check(domains=["*.example.com", "example.com"]) == [
        "shop: domains: '*.example.com' can't be the first: probes need a host name without a wildcard"
    ]
    assert check(domains=["a.example", "b.example", "a.example"]) == ["shop: domains: a host name stands there twice"]


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["auto", 1, 512, "4"])
def test_good_workers(check: Check, workers: t.Any) -> None:
    assert check(workers=workers) == []


@pytest.mark.parametrize("workers", [0, 513, -1, 1.5, True, "", "many", "Auto", "4 ", "٣", [1]])
def test_bad_workers(check: Check, workers: t.Any) -> None:
    assert check(workers=workers) == [
        f"shop: workers: {workers!r} is not accepted: auto, or a whole number from 1 to 512"
    ]


SECONDS = "whole seconds from 1 to 3600"
NUMBERS = [
    ("timeout", 1, 3600, SECONDS),
    ("graceful_timeout", 1, 3600, SECONDS),
    ("threads", 1, 512, "a whole number from 1 to 512"),
    ("worker_connections", 1, 65535, "a whole number from 1 to 65535"),
    ("health.status", 100, 599, "an HTTP status, a whole number from 100 to 599"),
    ("health.timeout", 1, 3600, SECONDS),
    ("hooks.timeout", 1, 3600, SECONDS),
    ("confirm", 0, 3600, "whole seconds from 0 to 3600; 0 is off"),
    ("keep_releases", 2, 100, "a whole number from 2 to 100"),
    ("max_requests", 0, 1000000, "a whole number from 0 to 1000000; 0 is never"),
    ("restart.burst", 1, 100, "a whole number from 1 to 100"),
    ("restart.interval", 1, 86400, "whole seconds from 1 to 86400"),
    ("restart.cooldown", 0, 86400, "whole seconds from 0 to 86400; 0 is off"),
    ("limits.tasks", 16, 1000000, "a whole number from 16 to 1000000"),
    ("limits.open_files", 64, 1000000, "a whole number from 64 to 1000000"),
    ("logs.rotate.keep", 1, 1000, "a whole number from 1 to 1000"),
    ("tls.hsts", 0, 63072000, "whole seconds from 0 to 63072000; 0 is off"),
    ("rate_limit.burst", 0, 10000, "a whole number from 0 to 10000"),
    ("rate_limit.connections", 1, 10000, "a whole number from 1 to 10000"),
]
PARTS = [
    ("health.settle", 0, 60, "seconds from 0 to 60"),
    ("restart.delay", 0.1, 3600, "seconds from 0.1 to 3600"),
    ("limits.cpu", 0.05, 512, "a number of CPUs from 0.05 to 512"),
    ("rate_limit.rate", 0.1, 10000, "requests a second, from 0.1 to 10000"),
]


def with_number(key: str, value: t.Any) -> App:
    """The change that sets a key, its path with a dot between, of an application that may have it."""
    outer, *inner = key.split(".")
    for part in reversed(inner):
        value = {part: value}
    # How numbers go together with other keys has tests of its own.
    if outer == "restart":
        value["policy"] = "never"
    if outer == "tls":
        value["mode"] = "self_signed"
    if outer == "rate_limit":
        value.setdefault("rate", 1)
    classes = {"threads": "gthread", "worker_connections": "gevent"}
    return {outer: value, **({"worker_class": classes[outer]} if outer in classes else {})}


def test_the_tests_know_all_numbers() -> None:
    assert {key for key, *_range in NUMBERS + PARTS} | {"workers", "health.latency"} == set(_values.NUMBERS)


@pytest.mark.parametrize(("key", "low", "high", "rule"), NUMBERS + PARTS)
def test_good_numbers(check: Check, key: str, low: int, high: int, rule: str) -> None:
    for value in (low, high, str(low), str(high)):
        assert check(**with_number(key, value)) == []


@pytest.mark.parametrize(("key", "low", "high", "rule"), NUMBERS + PARTS)
def test_bad_numbers(check: Check, key: str, low: int, high: int, rule: str) -> None:
    bad = [
        low - 1,
        high + 1,
        -1,
        True,
        " 5",
        "5 ",
        "5\n",
        "soon",
        "",
        "٣",
        [5],
        {},
        float("nan"),
        float("inf"),
        "1e2",
        10**30,
    ]
    for value in bad:
        assert check(**with_number(key, value)) == [f"shop: {key}: {value!r} is not accepted: {rule}"]


@pytest.mark.parametrize(("key", "low", "high", "rule"), NUMBERS)
def test_a_part_of_a_whole_number(check: Check, key: str, low: int, high: int, rule: str) -> None:
    for value in (high - 0.5, float(high), f"{low}.5"):
        assert check(**with_number(key, value)) == [f"shop: {key}: {value!r} is not accepted: {rule}"]


@pytest.mark.parametrize(("key", "low", "high", "rule"), PARTS)
def test_numbers_with_parts(check: Check, key: str, low: float, high: float, rule: str) -> None:
    for good in (low + 0.25, high - 0.25, str(high - 0.25), float(low)):
        assert check(**with_number(key, good)) == []
    for bad in (low - 0.01, high + 0.01):
        assert check(**with_number(key, bad)) == [f"shop: {key}: {bad!r} is not accepted: {rule}"]


SIZES = [("limits.memory", "32M"), ("limits.memory_high", "32M"), ("logs.rotate.size", "1K"), ("max_body", "1K")]


def test_the_tests_know_all_sizes() -> None:
    assert dict(SIZES) == _values.SIZES


@pytest.mark.parametrize(("key", "least"), SIZES)
def test_good_sizes(check: Check, key: str, least: str) -> None:
    for value in (least, "32768K", "1G", "1024T", 33554432, "33554432", 1 << 50):
        assert check(**with_number(key, value)) == []


@pytest.mark.parametrize(("key", "least"), SIZES)
def test_bad_sizes(check: Check, key: str, least: str) -> None:
    below = (_values.size(least) or 0) - 1
    out_of_range = [below, str(below), "1025T", (1 << 50) + 1, "9" * 30, 0, "0", -1]
    no_size = [True, 1.5e9, "1.5G", "64P", "G", "", "64\nM", "٣M", "64M\n", [64], {}, "infinity", "10%", float("nan")]
    rule = f"a size from {least} to 1024T, a whole number of bytes or one with K, M, G or T behind it"
    for value in [*out_of_range, *no_size]:
        assert check(**with_number(key, value)) == [f"shop: {key}: {value!r} is not accepted: {rule}"]


@pytest.mark.parametrize("size", ["512m", "512MB", "512MiB", "512 M", "512 mb"])
def test_a_size_as_others_write_it_is_told_as_it_is_here(check: Check, size: str) -> None:
    [problem] = check(limits={"memory": size})
    assert problem.endswith("; did you mean '512M'?")


@pytest.mark.parametrize("latency", [0.001, 1, "1.5", 30])
def test_good_latency(check: Check, latency: t.Any) -> None:
    assert check(health={"latency": latency}) == []


@pytest.mark.parametrize("latency", [0, "0", 0.0, -1, 30.1, True, "fast", float("nan")])
def test_bad_latency(check: Check, latency: t.Any) -> None:
    rule = "seconds, more than 0 and not more than health.timeout"
    assert check(health={"latency": latency}) == [f"shop: health.latency: {latency!r} is not accepted: {rule}"]


def test_the_ceiling_of_latency_is_the_time_there_is(check: Check) -> None:
    assert check(health={"latency": 60, "timeout": "60"}) == []
    assert len(check(health={"latency": 5, "timeout": 4})) == 1


def test_numbers_of_an_application_that_goes_do_not_count(check: Check) -> None:
    assert check(state="absent", timeout="soon", health={"status": 0}, limits={"memory": "1M"}) == []


# --- the service --------------------------------------------------------------------------------------------------


def test_the_service_is_looked_at(check: Check) -> None:
    assert check(threads=5, network="none", metrics={"statsd": "/run/statsd.sock"}) == [
        "shop: threads: 5 is not accepted: used with worker_class gthread alone, and worker_class is sync"
    ]


# Of the extra, pip-compile --strip-extras leaves what it brings.
@pytest.mark.parametrize(
    "text",
    ["gunicorn[gevent]\n", "gunicorn[setproctitle,gevent]\n", "gunicorn\ngevent==26.9.0\nPackaging==26.3\n"],
)
def test_gevent_is_in_the_requirements(check: Check, app: App, text: str) -> None:
    Path(app["source"], "requirements.txt").write_text(text)
    assert check(worker_class="gevent") == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("gunicorn\n", "gevent and packaging"),
        ("gunicorn[gthread]\n", "gevent and packaging"),
        ("gunicorn\n# gevent\n", "gevent and packaging"),
        ("gunicorn\nx[gevent]\n", "gevent and packaging"),
        ("gunicorn\npackaging\n", "gevent"),
        ("gunicorn\ngevent==26.9.0\n", "packaging"),
    ],
)
def test_gevent_is_not_in_the_requirements(check: Check, app: App, text: str, missing: str) -> None:
    Path(app["source"], "requirements.txt").write_text(text)
    assert check(worker_class="gthread") == []
    assert check(worker_class="gevent") == [
        f"shop: requirements: requirements.txt does not list {missing}, which worker_class gevent needs; "
        "write gunicorn[gevent] and lock again"
    ]


@pytest.mark.parametrize("text", ["gevent\n", "gunicorn[gevent]\n", "gevent==26.9.0\ngunicorn\n"])
def test_gevent_serves_without_gunicorn(check: Check, app: App, text: str) -> None:
    Path(app["source"], "requirements.txt").write_text(text)
    assert check(server="gevent") == []


@pytest.mark.parametrize("text", ["flask\n", "gunicorn\n"])
def test_gevent_serves_not_without_gevent(check: Check, app: App, text: str) -> None:
    Path(app["source"], "requirements.txt").write_text(text)
    assert check(server="gevent") == [
        "shop: requirements: requirements.txt does not list gevent, which server gevent needs; add it and lock again"
    ]


def test_gunicorn_settings_are_looked_at(check: Check) -> None:
    assert check(gunicorn_settings={"bind": "0.0.0.0:80", "keepalive": {}}) == [
        "shop: gunicorn_settings: 'bind' is not accepted: systemd makes the socket and hands it to gunicorn",
        "shop: gunicorn_settings.keepalive: {} is not accepted: a string, a number, a boolean, or a list of these",
    ]


# --- health -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/ready", "/a/b-c_d.e~f", "/ready?deep=1&x=%20", "/!\"#$'();"])
def test_a_good_path(check: Check, path: str) -> None:
    assert check(health={"ready": path}) == []


@pytest.mark.parametrize("path", ["", "ready", "http://a/ready", "/a b", "/ä", "/a\n", "/\t", "/\0", "/\x7f", " /"])
def test_a_bad_path(check: Check, path: str) -> None:
    rule = "a path that starts with a slash, of printable ASCII characters without spaces"
    assert check(health={"ready": path}) == [f"shop: health.ready: {path!r} is not accepted: {rule}"]


@pytest.mark.parametrize("host", ["shop.example.com", "other.example", "localhost", "192.0.2.1"])
def test_a_good_host_of_probes(check: Check, host: str) -> None:
    assert check(health={"host": host}) == []


@pytest.mark.parametrize("host", ["", "*.example.com", "a b", "a:80", "a_b", "a\n", "x" * 64, "xx." * 84 + "xx"])
def test_a_bad_host_of_probes(check: Check, host: str) -> None:
    rule = "a lower-case host name without a wildcard, such as shop.example.com"
    assert check(health={"host": host}) == [f"shop: health.host: {host!r} is not accepted: {rule}"]


def test_a_host_of_probes_in_capitals_is_told_in_small_letters(check: Check) -> None:
    [problem] = check(health={"host": "Shop.Example.com"})
    assert problem.endswith("; did you mean 'shop.example.com'?")


@pytest.mark.parametrize("body", ["", "ok", '"status": "ok"', "(?i)^OK$", "a|b", "ä"])
def test_a_good_expression(check: Check, body: str) -> None:
    assert check(health={"body": body}) == []


@pytest.mark.parametrize("body", ["(", "*", "[a", "(?P<a", "a{99999999999999999999}", "(" * 5000 + ")" * 5000])
def test_a_bad_expression(check: Check, body: str) -> None:
    [problem] = check(health={"body": body})
    assert problem.startswith(f"shop: health.body: {body!r} is not accepted: a regular expression of Python (")


# --- hooks and labels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["once", "before_switch", "after_switch"])
def test_hooks(check: Check, hook: str) -> None:
    assert check(hooks={hook: []}) == []
    assert check(hooks={hook: ["a && b | c > d", "echo 'ä'\t\"$HOME\""]}) == []
    rule = "a shell command on one line; each command is an item of its own"
    for command in ("", " ", "a\nb", "a\n", "a\rb", "a\0"):
        assert check(hooks={hook: ["true", command]}) == [f"shop: hooks.{hook}: {command!r} is not accepted: {rule}"]


@pytest.mark.parametrize("label", ["1", "v1.2.3", "release/2026-11+build_5", "x" * 64])
def test_a_good_label(check: Check, label: str) -> None:
    assert check(release_label=label) == []


@pytest.mark.parametrize("label", ["", "-x", ".x", "/x", "a b", "a\n", "a;b", "ä", "x" * 65, "a@b", "a=b", '"'])
def test_a_bad_label(check: Check, label: str) -> None:
    rule = "1 to 64 letters, digits, dots, underscores, plus signs, slashes and hyphens, a letter or a digit first"
    assert check(release_label=label) == [f"shop: release_label: {label!r} is not accepted: {rule}"]


# --- environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["env", "secrets"])
@pytest.mark.parametrize("name", ["2FA", "A-B", "", "A B", "A=B", "Ä", "A\n", 1])
def test_what_is_no_name_of_a_variable(check: Check, key: str, name: t.Any) -> None:
    rule = "letters, digits and underscores, no digit first"
    assert check(**{key: {name: "s3cret"}}) == [f"shop: {key}: {str(name)!r} is not a variable's name: {rule}"]


@pytest.mark.parametrize("key", ["env", "secrets"])
@pytest.mark.parametrize(
    "name",
    [
        "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "MAINPID", "GUNICORN_CMD_ARGS", "WATCHDOG_PID",
        "WATCHDOG_USEC",
    ],
)  # fmt: skip
def test_what_the_service_manager_sets(check: Check, key: str, name: str) -> None:
    assert check(**{key: {name: "s3cret"}}) == [f"shop: {key}: {name} is set by the service manager and can't be given"]


@pytest.mark.parametrize("key", ["env", "secrets"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "a boolean"),
        (None, "empty"),
        (["s3cret"], "a list"),
        ({"s3cret": 1}, "a dictionary"),
        ("s3cret\0", "NUL"),
    ],
)
def test_a_value_is_told_by_its_kind_and_never_shown(check: Check, key: str, value: t.Any, kind: str) -> None:
    [problem] = check(**{key: {"GOOD": "s3cret", "TOKEN": value}})
    assert problem.startswith(f"shop: {key}: TOKEN ")
    assert kind in problem
    assert "s3cret" not in problem


def test_a_secret_has_a_value_and_a_variable_need_not(check: Check) -> None:
    assert check(env={"TOKEN": ""}) == []
    assert check(secrets={"TOKEN": "", "PIN": 0, "SPACE": " "}) == [
        "shop: secrets: TOKEN is empty; give it a value, or leave it out"
    ]


def test_a_variable_is_a_secret_or_is_none(check: Check) -> None:
    assert check(env={"TOKEN": "s3cret", "MODE": "s3cret"}, secrets={"TOKEN": "s3cret", "KEY": "s3cret"}) == [
        "shop: secrets: TOKEN stands in env too; leave it out of one"
    ]


# --- source -------------------------------------------------------------------------------------------------------


def test_a_source_that_is_not_there(check: Check, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    accepted = "accepted is a directory with the application's code"
    assert check(source="/no/such/shop") == [f"shop: source: /no/such/shop does not exist; {accepted}"]
    assert check(source=str(tmp_path / "file")) == [f"shop: source: {tmp_path}/file is not a directory; {accepted}"]


def test_a_source_is_resolved(app: App, schema: t.Any) -> None:
    there = Path(app["source"])
    assert problems([{**app, "source": "elsewhere"}], schema, lambda source: there / "up" / ".." / source) == [
        f"shop: source: {there}/up/../elsewhere does not exist; accepted is a directory with the application's code"
    ]
    assert problems([{**app, "source": "shop"}], schema, lambda source: there) == []


def test_a_source_that_can_not_be_deployed(check: Check, app: App) -> None:
    Path(app["source"], "link").symlink_to("/etc/passwd")
    [problem] = check()
    assert problem.startswith("shop: source: the link 'link' -> '/etc/passwd' leads out of the source")


def test_code_and_requirements_are_looked_at_together(check: Check) -> None:
    code, requirements = check(wsgi="shop:app", requirements="lock.txt")
    assert code.startswith("shop: wsgi 'shop:app': 'shop.py' defines no 'app'")
    assert requirements.startswith("shop: requirements: the requirements file 'lock.txt' is not there")


def test_excluded_code_and_requirements_are_not_there(check: Check) -> None:
    code, requirements = check(exclude=["*.py", "*.txt"])
    assert "'shop.py' is there but not deployed (pattern '*.py' of exclude:1" in code
    assert "requirements: the requirements file 'requirements.txt' is there but not deployed" in requirements


def test_requirements_need_gunicorn(check: Check, app: App) -> None:
    Path(app["source"], "requirements.txt").write_text("flask\n")
    assert check() == [
        "shop: requirements: requirements.txt does not list gunicorn, which serves the application; "
        "add it and lock again"
    ]


# --- more than one ------------------------------------------------------------------------------------------------


def test_all_problems_of_all_applications_are_told_at_once(app: App, schema: t.Any) -> None:
    desk = {**app, "name": "Desk", "domians": [], "timeout": "soon", "domains": ["desk_1.example", "Desk.example"]}
    gone = {"name": "gone", "source": "x"}
    found = problems([desk, gone, {**app, "env": {"A": None, "B-": ""}}], schema, Path)
    assert [": ".join(problem.split(": ")[:2]) for problem in found] == [
        "Desk: domians",
        "Desk: timeout",
        "Desk: name",
        "Desk: domains",
        "Desk: domains",
        "gone: domains",
        "gone: wsgi",
        "shop: env",
        "shop: env",
    ]


def test_no_two_applications_have_one_name(app: App, schema: t.Any) -> None:
    other = {**app, "domains": ["other.example"]}
    assert problems([app, other], schema, Path) == ["shop: name: two entries of flask_apps have it; names are unique"]
    assert problems([app, {"name": "shop", "state": "absent"}], schema, Path) == [
        "shop: name: two entries of flask_apps have it; names are unique"
    ]


def test_no_two_applications_have_one_domain(app: App, schema: t.Any) -> None:
    desk = {**app, "name": "desk", "domains": ["desk.example", "shop.example.com"]}
    assert problems([app, desk], schema, Path) == ["desk: domains: 'shop.example.com' belongs to shop already"]


def test_the_domain_of_an_application_that_goes_is_free(app: App, schema: t.Any) -> None:
    gone = {**app, "name": "desk", "state": "absent"}
    assert problems([gone, app], schema, Path) == []
