# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Actions whose work on the host is done by one module that they share."""

from __future__ import annotations

import json
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.wsgiops.flask.plugins.plugin_utils._arguments import Arguments, ArgumentsError


class OnHost(ActionBase):
    """An action that completes the arguments of its task and has the rest done on the host."""

    # The name of its module.
    task = ""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            result.update(self.act(dict(self._task.args), variables))
        except ArgumentsError as error:
            raise AnsibleActionFail(str(error)) from error
        return result

    def act(self, arguments: Arguments, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """The result of the task.

        :raises ArgumentsError: when the arguments can't be completed.
        """
        raise NotImplementedError

    def perform(self, arguments: Arguments, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """What the host makes of the arguments. They go there as one text, which is never shown."""
        shared = {"task": self.task, "params": json.dumps(arguments)}
        done: dict[str, t.Any] = self._execute_module("wsgiops.flask.on_host", shared, task_vars=variables)
        return done
