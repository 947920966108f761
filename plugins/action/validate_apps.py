# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validates applications and options on the controller; no host is reached."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable
from pathlib import Path

import yaml
from ansible.plugins.action import ActionBase

from ansible_collections.wsgiops.flask.plugins.plugin_utils._paths import source_directory
from ansible_collections.wsgiops.flask.plugins.plugin_utils._playbook_options import Options
from ansible_collections.wsgiops.flask.plugins.plugin_utils._schema import problems, warnings

# The options of an application, in the format of argument specs.
SCHEMA = Path(__file__).parents[2] / "playbooks" / "vars" / "app_schema.yml"
ROLES = Path(__file__).parents[2] / "roles"


def roles_with_variables(variables: Iterable[str]) -> list[str]:
    """Those roles of whose variables there are some."""
    prefixes = {name.partition("_")[0] for name in variables}
    return sorted(role.name for role in ROLES.iterdir() if role.name in prefixes)


class ActionModule(ActionBase):
    """Fails with every problem of every application of this host, and where there is none, of the options."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validated, arguments = self.validate_argument_spec(
            argument_spec={
                "apps": {"type": "raw", "required": True},
                "names_alone": {"type": "bool", "default": False},
                "options": {"type": "bool", "default": True},
            }
        )
        options = Options(variables, self._templar.template)
        given, names_alone = arguments["apps"], arguments["names_alone"]
        apps = _names_alone(given, options.only) if names_alone else given
        # By the library itself: Ansible's loader notes line and column of each word, which takes ten times as long.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        schema = yaml.load(SCHEMA.read_text(encoding="utf-8"), loader)["app_schema"]
        found = problems(apps, schema, lambda source: source_directory(source, variables), options.nginx_mode)
        result.update(changed=False, problems=found, roles=roles_with_variables(variables))
        if found:
            listed = "".join(f"\n- {problem}" for problem in found)
            result.update(failed=True, msg=f"Nothing was changed. flask_apps has {len(found)} problem(s):{listed}")
            return result
        if not names_alone:
            for warning in warnings(apps, schema):
                self._display.warning(warning)
        there = [str(app["name"]) for app in given if "name" in app and app.get("state") != "absent"]
        if arguments["options"] and (found := options.problems(there)):
            result.update(failed=True, problems=found, msg=f"{' '.join(found)} Nothing was changed.")
        return result


def _names_alone(apps: t.Any, only: t.Container[str]) -> t.Any:
    """Of those applications that are asked for, nothing but the names; what is no list of applications as it is."""
    if not isinstance(apps, list) or not all(isinstance(app, dict) for app in apps):
        return apps
    chosen = [app for app in apps if not only or app.get("name") in only]
    return [{"state": "absent", **({"name": app["name"]} if "name" in app else {})} for app in chosen]
