# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString, VaultLib, VaultSecret, VaultSecretsContext
from ansible.template import Templar, trust_as_template

from ansible_collections.wsgiops.flask.plugins.plugin_utils._role_variables import (
    decisive,
    in_order,
    in_reach,
    referring,
    resolved,
)

VARIABLES = {
    "gunicorn_bind": "{{ __gunicorn_home }}/{{ gunicorn_name }}.sock",
    "gunicorn_name": "{{ flask_app }}",
    "__gunicorn_home": "{{ gunicorn_root }}/{{ gunicorn_name }}",
    "gunicorn_root": "{{ flask_root }}",
    "gunicorn_timeout": 30,
    "gunicorn_user": "www",
    "gunicorn_files": {"unit": "{{ lookup('template', 'unit.j2') }}"},
    "gunicorn_units": ["{{ gunicorn_files }}"],
    "gunicornish": "{{ flask_app }}",
    "nginx_root": "{{ gunicorn_root }}",
    "flask_root": "/opt",
}


def template(value: t.Any, variables: dict[str, t.Any]) -> t.Any:
    """What an action's templar does."""
    return Templar(loader=DataLoader(), variables=variables).template(value)


def trusted(value: t.Any) -> t.Any:
    """As Ansible takes what a role's files say."""
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def test_each_variable_comes_behind_those_that_it_refers_to() -> None:
    assert in_order(VARIABLES, ["gunicorn"]) == ["gunicorn_root", "gunicorn_name", "__gunicorn_home", "gunicorn_bind"]


def test_a_circle_has_some_order() -> None:
    circle = {"nginx_a": "{{ nginx_b }}", "nginx_b": "{{ nginx_a }}"}
    assert sorted(in_order(circle, ["nginx"])) == ["nginx_a", "nginx_b"]


def test_what_an_application_decides_is_told_from_the_rest() -> None:
    ordered = in_order(VARIABLES, ["gunicorn", "nginx"])
    assert referring(VARIABLES, ordered, ["flask_app"]) == ["gunicorn_name", "__gunicorn_home", "gunicorn_bind"]


def test_each_variable_is_templated_once() -> None:
    asked: list[str] = []

    def once(value: t.Any, variables: dict[str, t.Any]) -> t.Any:
        # Whatever a template refers to has its value already.
        assert "{{" not in "".join(str(variables.get(name, "")) for name in re.findall(r"\w+", str(value)))
        asked.append(value)
        return template(value, variables)

    given = trusted({**VARIABLES, "flask_app": "shop"})
    found = resolved(given, in_order(VARIABLES, ["gunicorn"]), once)
    assert found["gunicorn_bind"] == "/opt/shop/shop.sock"
    # Two that refer to nothing else together, and two of text.
    assert sorted(asked) == [
        "{{ [( flask_root ), ( flask_app )] }}",
        "{{ __gunicorn_home }}/{{ gunicorn_name }}.sock",
        "{{ gunicorn_root }}/{{ gunicorn_name }}",
    ]
    assert given["gunicorn_bind"] == VARIABLES["gunicorn_bind"]


def test_what_cannot_be_templated_stays_as_it_is() -> None:
    found = resolved(trusted(VARIABLES), in_order(VARIABLES, ["gunicorn"]), template)
    assert found["gunicorn_root"] == "/opt"
    assert found["gunicorn_bind"] == VARIABLES["gunicorn_bind"]


VALUES = {
    "nginx_number": ("{{ given.number }}", 7),
    "nginx_text": ("{{ given.number }} workers", "7 workers"),
    "nginx_line": ("{{ given.number }}\n\n", "7\n\n"),
    "nginx_less": ("{{- given.number -}}", 7),
    "nginx_list": ("{{ [given.number] + given.more }}", [7, 8]),
    "nginx_inner": ("{{ {'a': {'b': given.number}} }}", {"a": {"b": 7}}),
    "nginx_choice": ("{% if given.number > 5 %}many{% else %}few{% endif %}", "many"),
    "nginx_comment": ("{{ given.number }}{# of workers #}", 7),
    "nginx_nothing": ("{{ given.nothing | default('') }}", ""),
    "nginx_dict": ({"key": "{{ given.number }}"}, {"key": 7}),
    "nginx_of_text": ("{{ nginx_text | upper }}", "7 WORKERS"),
    "nginx_comma": ("{{ given.number, 9 }}", [7, 9]),
}
GIVEN = {"number": 7, "more": [8]}


def test_together_and_alone_a_value_is_the_same() -> None:
    variables = trusted({"given": GIVEN} | {name: text for name, (text, _value) in VALUES.items()})
    found = resolved(variables, in_order(variables, ["nginx"]), template)
    for name, (text, value) in VALUES.items():
        assert (name, found[name]) == (name, template(trusted(text), variables)) == (name, value)


@pytest.mark.parametrize("spoiler", ["{{ given.nobody }}", "{{ omit }}", "{{ given.number / 0 }}", "{{ no syntax }}"])
def test_one_without_a_value_does_not_spoil_the_others(spoiler: str) -> None:
    variables = trusted({"given": GIVEN, "nginx_spoiler": spoiler, "nginx_number": "{{ given.number }}"})
    found = resolved(variables, ["nginx_spoiler", "nginx_number"], template)
    assert found["nginx_number"] == 7
    assert found["nginx_spoiler"] == spoiler


def test_what_is_not_trusted_does_not_become_a_template() -> None:
    """An inventory may have it from others."""
    variables = {
        "nginx_strange": "{{ lookup('ansible.builtin.pipe', 'id') }}",
        "nginx_stranger": "{{ 6 * 7 }}",
        **trusted({"nginx_a": "{{ 6 * 7 }}", "nginx_b": "{{ 6 * 8 }}", "nginx_c": "{{ nginx_stranger }}"}),
    }
    found = resolved(variables, [*variables], template)
    assert found == {**variables, "nginx_a": 42, "nginx_b": 48, "nginx_c": "{{ 6 * 7 }}"}


def test_what_a_text_can_mean_is_in_reach() -> None:
    variables = {
        "nginx_a": "{{ nginx_b }}",
        "nginx_b": {"key": ["{{ nginx_c | upper }}"]},
        "nginx_c": "plain nginx_d",
        "nginx_d": 1,
        "nginx_e": "{{ nginx_a }}",
        "nginx_any": "{{ lookup('ansible.builtin.vars', 'nginx_' ~ letter) }}",
    }
    assert set(in_reach(variables, "", ["{% if nginx_a %}"])) == {"nginx_a", "nginx_b", "nginx_c"}
    assert set(in_reach(variables, ["{{ nginx_b }}"], [])) == {"nginx_b", "nginx_c"}
    assert in_reach(variables, "nginx_a", ["nginx_unknown"]) == {}
    assert in_reach(variables, "{{ nginx_d }}", ["nginx_any"]) is variables


DECISIVE = {
    "gunicorn_name": "{{ flask_app.name }}",
    "__gunicorn_unit": "{{ lookup('template', 'unit.j2') }}",
    "gunicorn_user": "{{ of_the_user }}",
    "of_the_user": "{{ site }}-www",
    "site": "north",
    "of_nobody": "{{ inventory_hostname }}",
    "inventory_hostname": "web1",
    "ansible_facts": {"service_mgr": "systemd", "hostname": "web1"},
}
UNIT = ("User={{ gunicorn_user }} {{ ansible_facts.service_mgr }}",)


def of_host(texts: t.Sequence[str] = UNIT, **variables: t.Any) -> dict[str, t.Any] | None:
    return decisive(trusted({**DECISIVE, **variables}), ["gunicorn"], texts, template)


def test_what_decides_is_the_same_where_all_that_is_named_is_the_same() -> None:
    assert of_host() == {
        **{name: DECISIVE[name] for name in ("gunicorn_name", "__gunicorn_unit", "gunicorn_user")},
        **{name: DECISIVE[name] for name in ("of_the_user", "site")},
        "ansible_facts": {"service_mgr": "systemd"},
    }
    facts = {"service_mgr": "systemd", "hostname": "web2"}
    assert of_host(inventory_hostname="web2", ansible_facts=facts, of_nobody="else") == of_host()
    assert of_host(site="south") != of_host()
    assert of_host(gunicorn_name="desk") != of_host()
    assert of_host(ansible_facts={"service_mgr": "service"}) != of_host()


@pytest.mark.parametrize("text", ["{{ lookup('template', 'own.j2') }}", "{% include 'own.j2' %}"])
def test_of_what_a_user_looks_up_the_value_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A file of a template's may name what no variable does."""
    (tmp_path / "own.j2").write_text("user of {{ inventory_hostname }}")
    monkeypatch.chdir(tmp_path)
    found = of_host(site=text)
    assert found
    assert found["site"] == "user of web1"
    assert of_host(site=text, inventory_hostname="web2") != found


@pytest.mark.parametrize("variables", [
    {"site": "{{ lookup('vars', 'of_' ~ inventory_hostname) }}"},
    {"site": "{{ hostvars['web2'].site }}", "hostvars": {"web2": {"site": "south"}}},
    {"site": "{{ lookup('file', 'no-such') }}"},
    {"site": "{{ unknown }}", "unknown": object()},
    {"site": {1: "a", "b": "c"}},
])  # fmt: skip
def test_where_it_cannot_be_told_nothing_is_said(variables: dict[str, t.Any]) -> None:
    assert of_host(**variables) is None


def test_what_is_in_a_vault_decides_by_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [("default", VaultSecret(b"correct horse"))]
    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext(secrets))
    vault = VaultLib(secrets)
    north, again, south = (EncryptedString(ciphertext=vault.encrypt(text).decode()) for text in ("a", "a", "b"))
    assert of_host(site=north) == of_host(site=again) != of_host(site=south)
