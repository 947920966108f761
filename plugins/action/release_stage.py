# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller's side of release_stage: pack the source here, send it, have it unpacked and verified there."""

from __future__ import annotations

import tempfile
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.wsgiops.flask.plugins.plugin_utils._paths import source_directory
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import SourceError, list_source, write_archive


class ActionModule(ActionBase):
    """Sends one archive, in check mode nothing."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if self._task.check_mode:
            announced = f"code {arguments.get('code')}\n"
            result.update(changed=True, code=arguments.get("code"), diff={"before": "", "after": announced})
            return result
        try:
            root = source_directory(arguments.get("source", ""), task_vars or {})
            entries = list_source(root, arguments.get("exclude", ()))
            with tempfile.TemporaryDirectory() as local:
                archive = Path(local, "code.tar.gz")
                write_archive(root, entries, archive)
                directory = self._make_tmp_path()
                arguments["archive"] = self._connection._shell.join_path(directory, archive.name)
                self._transfer_file(str(archive), arguments["archive"])
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        except SourceError as error:
            raise AnsibleActionFail(f"{arguments.get('name')}: source: {error}") from error
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result
