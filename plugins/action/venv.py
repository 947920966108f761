# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller's side of venv: read the requirement files here, build there."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.wsgiops.flask.plugins.plugin_utils._paths import source_directory
from ansible_collections.wsgiops.flask.plugins.plugin_utils._requirements import read_requirements
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import SourceError, list_source


class ActionModule(ActionBase):
    """Hands the module the text of the requirement files."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        try:
            root = source_directory(arguments.get("source", ""), task_vars or {})
            exclude = arguments.get("exclude", ())
            entries = list_source(root, exclude)
            found = read_requirements(root, arguments.get("requirements", "requirements.txt"), entries, exclude)
        except SourceError as error:
            raise AnsibleActionFail(f"{arguments.get('name')}: {error}") from error
        arguments.update(texts=found.files, hashed=found.hashed)
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result
