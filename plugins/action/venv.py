# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller's side of venv: read the requirement files here, build there."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.wsgiops.flask.plugins.plugin_utils._arguments import ArgumentsError, for_venv


class ActionModule(ActionBase):
    """Hands the module the text of the requirement files."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        try:
            arguments = for_venv(dict(self._task.args), task_vars or {})
        except ArgumentsError as error:
            raise AnsibleActionFail(str(error)) from error
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result
