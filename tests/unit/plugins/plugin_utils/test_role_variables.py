# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import re
import typing as t

from ansible.errors import AnsibleError

from ansible_collections.wsgiops.flask.plugins.plugin_utils._role_variables import in_order, referring, resolved

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


def template(value: str, variables: dict[str, t.Any]) -> str:
    """A little of Jinja: names in braces, templates in them too."""

    def inner(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise AnsibleError(f"{found[1]} is undefined")
        return template(str(variables[found[1]]), variables)

    return re.sub(r"{{ (\w+) }}", inner, value)


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

    def once(value: str, variables: dict[str, t.Any]) -> str:
        # Whatever a template refers to has its value already.
        assert "{{" not in "".join(str(variables[name]) for name in re.findall(r"{{ (\w+) }}", value))
        asked.append(value)
        return template(value, variables)

    given = {**VARIABLES, "flask_app": "shop"}
    found = resolved(given, in_order(VARIABLES, ["gunicorn"]), once)
    assert found["gunicorn_bind"] == "/opt/shop/shop.sock"
    assert len(asked) == len(set(asked)) == 4
    assert given["gunicorn_bind"] == VARIABLES["gunicorn_bind"]


def test_what_cannot_be_templated_stays_as_it_is() -> None:
    found = resolved(VARIABLES, in_order(VARIABLES, ["gunicorn"]), template)
    assert found["gunicorn_root"] == "/opt"
    assert found["gunicorn_bind"] == VARIABLES["gunicorn_bind"]
