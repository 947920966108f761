# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may stand on the command line, and what is told of the rest."""

from __future__ import annotations

import typing as t

import pytest
from ansible.template import Templar, trust_as_template

from ansible_collections.wsgiops.flask.plugins.plugin_utils._playbook_options import Options


def options(**variables: t.Any) -> Options:
    return Options(variables, Templar(variables=variables).template)


def refused(*names: str, **variables: t.Any) -> list[str]:
    return options(**variables).problems(names or ("shop",))


NUMBERS = {
    "nginx_port": (1024, 65535),
    "nginx_client_timeout": (1, 3600),
    "nginx_read_timeout": (1, 86400),
    "nginx_retry_after": (1, 86400),
    "nginx_worker_connections": (0, 32768),
}
BOOLEANS = ["nginx_catch_all", "nginx_hardening", "nginx_ipv6", "nginx_probe"]
VERSION = "a version of nginx, such as 1.26"
ADDRESS = "an address and a port, such as 127.0.0.1:8081 or [::1]:8081, or nothing"

# Values that are not accepted, and what is; in the order in which they are told.
WRONG: dict[str, tuple[list[t.Any], str]] = {
    **{
        name: ([low - 1, high + 1, "x", 1.5], f"a number from {low} to {high}") for name, (low, high) in NUMBERS.items()
    },
    **{name: (["perhaps", 2, "", "y"], "true or false") for name in BOOLEANS},
    "nginx_version": (["new", "1", "1.2.3.4", "1.26; x", 1], VERSION),
    "nginx_status_address": (
        ["nonsense", "8081", "127.0.0.1", "localhost:8081", "127.0.0.1:0", "::1:8081", "127.0.0.1:8081; x"],
        ADDRESS,
    ),
}
RIGHT: dict[str, list[t.Any]] = {
    **{name: [low, high, str(low)] for name, (low, high) in NUMBERS.items()},
    **{name: [True, False, "yes", "Off", 0] for name in BOOLEANS},
    "nginx_version": ["1.22", "1.26.3", 1.26],
    "nginx_status_address": ["", "127.0.0.1:8081", "[::1]:81"],
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_option_is_told_with_what_is_accepted(name: str) -> None:
    values, rule = WRONG[name]
    for value in values:
        assert refused(**{name: value}) == [f"{name}: '{value}' is not accepted: {rule}."]


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_accepted_is_accepted(name: str) -> None:
    for value in RIGHT[name]:
        assert refused(**{name: value}) == []


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = {name: values[0] for name, (values, _rule) in WRONG.items()}
    assert [told.partition(":")[0] for told in refused(**wrong)] == list(wrong)


def test_what_nobody_has_set_is_accepted() -> None:
    assert refused() == []


def test_a_template_counts_by_its_value() -> None:
    port = trust_as_template("{{ 8000 + offset }}")
    assert refused(nginx_port=port, offset=80) == []
    assert refused(nginx_port=port, offset=-8000) == ["nginx_port: '0' is not accepted: a number from 1024 to 65535."]


def test_applications_that_there_are_may_be_chosen() -> None:
    assert options(flask_only=" shop,desk, ").only == ["shop", "desk"]
    assert options().only == options(flask_only="").only == []
    assert refused("shop", "desk", flask_only=" shop,desk, ") == []
    told = "flask_only: shpo, dsk is no application of flask_apps; there are shop, desk."
    assert refused("shop", "desk", flask_only="shpo,desk,dsk") == [told]


@pytest.mark.parametrize(("become", "mode"), [
    (True, "system"), ("yes", "system"), (False, "file"), (False, "user"), ("no", "user"),
])  # fmt: skip
def test_each_nginx_has_its_place(become: t.Any, mode: str) -> None:
    assert refused(flask_become=become, nginx_mode=mode) == []
    assert options(flask_become=become, nginx_mode=mode).nginx_mode == mode


def test_with_root_nginx_is_the_hosts_and_without_it_a_file() -> None:
    assert options().nginx_mode == "system"
    assert options(flask_become=False).nginx_mode == "file"
    [with_root] = refused(nginx_mode="user")
    assert with_root.startswith("nginx_mode: 'user' is not accepted: with root it is system")
    [without] = refused(nginx_mode="system", flask_become=False)
    assert without.startswith("nginx_mode: 'system' is not accepted: without root (flask_become: false) it is file")


@pytest.mark.parametrize("root", ["apps", "/srv/apps/", "/", "/srv/100%", "/a b", "/srv/$HOME", "", "/srv/apps\n"])
def test_a_root_that_units_would_misread_is_refused(root: str) -> None:
    [told] = refused(flask_root=root)
    assert told.startswith(f"flask_root: '{root}' is not accepted: an absolute path")


@pytest.mark.parametrize("wait", ["soon", "-1", 1.5, "", "1 "])
def test_the_lock_is_waited_for_whole_seconds(wait: t.Any) -> None:
    assert refused(flask_lock_wait=wait) == [f"flask_lock_wait: {wait} is not accepted: whole seconds."]
    assert refused(flask_lock_wait=60) == refused(flask_lock_wait="60") == []
