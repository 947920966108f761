# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller's side of release_stage: pack the source here, send it, have it unpacked and verified there."""

from __future__ import annotations

import tempfile
import typing as t
from pathlib import Path

from ansible_collections.wsgiops.flask.plugins.plugin_utils._arguments import Arguments, ArgumentsError, listed_source
from ansible_collections.wsgiops.flask.plugins.plugin_utils._on_host import OnHost
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import SourceError, write_archive


class ActionModule(OnHost):
    """Sends one archive, in check mode nothing."""

    task = "release_stage"

    def act(self, arguments: Arguments, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        if self._task.check_mode:
            code = arguments.get("code")
            return {"changed": True, "code": code, "diff": {"before": "", "after": f"code {code}\n"}}
        root, entries = listed_source(arguments, variables)
        shell = self._connection._shell
        try:
            with tempfile.TemporaryDirectory() as local:
                archive = Path(local, "code.tar.gz")
                write_archive(root, entries, archive)
                there = shell.join_path(self._make_tmp_path(), archive.name)
                self._transfer_file(str(archive), there)
            return self.perform({**arguments, "archive": there}, variables)
        except SourceError as error:
            raise ArgumentsError(f"{arguments.get('name')}: source: {error}") from error
        finally:
            self._remove_tmp_path(shell.tmpdir)
