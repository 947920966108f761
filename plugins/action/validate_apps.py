# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validates the applications on the controller; no host is reached."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable
from pathlib import Path

import yaml
from ansible.plugins.action import ActionBase

from ansible_collections.wsgiops.flask.plugins.plugin_utils._paths import source_directory
from ansible_collections.wsgiops.flask.plugins.plugin_utils._schema import problems, warnings

# The options of an application, in the format of argument specs.
SCHEMA = Path(__file__).parents[2] / "playbooks" / "vars" / "app_schema.yml"
ROLES = Path(__file__).parents[2] / "roles"


def roles_with_variables(variables: Iterable[str]) -> list[str]:
    """Those roles of whose variables there are some."""
    prefixes = {name.partition("_")[0] for name in variables}
    return sorted(role.name for role in ROLES.iterdir() if role.name in prefixes)


def options(variables: Iterable[str]) -> list[str]:
    """Those of the variables that playbooks read beside the applications, and those of nginx for all sites."""
    return sorted(name for name in variables if name.startswith(("flask_", "nginx_")) and name != "flask_apps")


class ActionModule(ActionBase):
    """Fails with every problem of every application of this host."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validated, arguments = self.validate_argument_spec(
            argument_spec={
                "apps": {"type": "raw", "required": True},
                "nginx_mode": {"type": "str", "default": "system", "choices": ["system", "file", "user"]},
            }
        )
        # By the library itself: Ansible's loader notes line and column of each word, which takes ten times as long.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        schema = yaml.load(SCHEMA.read_text(encoding="utf-8"), loader)["app_schema"]
        found = problems(
            arguments["apps"],
            schema,
            lambda source: source_directory(source, variables),
            arguments["nginx_mode"],
        )
        result.update(changed=False, problems=found, roles=roles_with_variables(variables), options=options(variables))
        if found:
            listed = "".join(f"\n- {problem}" for problem in found)
            result.update(failed=True, msg=f"Nothing was changed. flask_apps has {len(found)} problem(s):{listed}")
        else:
            for warning in warnings(arguments["apps"], schema):
                self._display.warning(warning)
        return result
