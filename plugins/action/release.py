# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller's side of release: hands variables over as texts that are masked as a whole."""

from __future__ import annotations

import json
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.wsgiops.flask.plugins.module_utils._environment import text_of


class ActionModule(ActionBase):
    """Runs the road on the host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        for option in ("environment", "secrets"):
            variables = arguments.pop(option, None)
            if variables:
                arguments[option] = json.dumps(self._texts(arguments.get("name"), option, variables))
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result

    @staticmethod
    def _texts(app: str | None, option: str, variables: t.Any) -> dict[str, str]:
        if not isinstance(variables, dict):
            raise AnsibleActionFail(f"{app}: {option}: accepted is a dictionary of strings and numbers")
        texts = {}
        for name, value in variables.items():
            try:
                texts[str(name)] = text_of(value)
            except ValueError as error:
                raise AnsibleActionFail(f"{app}: {option}: {name} {error}") from error
        return texts
