# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module release_stage."""

from __future__ import annotations

import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import Locked, locked
from ansible_collections.wsgiops.flask.plugins.module_utils._stage import is_staged, publish, stage
from ansible_collections.wsgiops.flask.plugins.module_utils._task import Task, TaskError

# Staging the same code twice gives the same, so a run that still does it is waited for; seconds.
WAIT_FOR_SAME = 60

OPTIONS: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    "source": {"type": "path", "required": True},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "public": {"type": "list", "elements": "str", "default": []},
    "code": {"type": "str", "required": True},
    "archive": {"type": "path"},
    "lock_wait": {"type": "float", "default": 0},
}


def perform(task: Task) -> t.Dict[str, t.Any]:
    """Not in check mode: what would be done is told without a question to the host."""
    params = task.params
    layout = Layout(params["name"], params["root"])
    code, public = params["code"], params["public"]
    try:
        _files.ensure_exists(layout.root)
        _files.ensure_directory(layout.home, 0o755)
        with locked(layout.lock, "staging code " + code, params["lock_wait"], WAIT_FOR_SAME):
            _files.ensure_directory(layout.code_store, 0o755)
            # A run that was waited for may have staged it, and what serves may run from it by now.
            if is_staged(layout, code):
                publish(layout, public)
            else:
                stage(layout, code, params["archive"], public)
    except (Locked, OSError, ValueError) as error:
        raise TaskError("{0}: staging the code failed: {1}".format(layout.name, error)) from error
    return {"changed": True, "code": code, "diff": {"before": "", "after": "code {0}\n".format(code)}}
