# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module venv."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _release_store, _venv
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import Locked, locked
from ansible_collections.wsgiops.flask.plugins.module_utils._task import Task, TaskError

# Seconds: compiling a large dependency takes minutes, and its result is the same whoever builds it.
WAIT_FOR_SAME = 600

OPTIONS: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    "source": {"type": "path", "required": True},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "requirements": {"type": "str", "default": "requirements.txt"},
    "python": {"type": "str", "default": "python3"},
    "installer": {"type": "str", "choices": ["auto", "pip", "uv"], "default": "auto"},
    "texts": {"type": "dict"},
    "hashed": {"type": "bool", "default": False},
    "lock_wait": {"type": "float", "default": 0},
}


def perform(task: Task) -> t.Dict[str, t.Any]:
    layout = Layout(task.params["name"], task.params["root"])
    try:
        return _have_venv(task, layout)
    except (_venv.VenvError, Locked, OSError) as error:
        raise TaskError("{0}: {1}".format(layout.name, error)) from error


def _have_venv(task: Task, layout: Layout) -> t.Dict[str, t.Any]:
    params = task.params
    try:
        identity = _venv.interpreter_identity(params["python"])
    except FileNotFoundError:
        if task.check_mode:
            return {"changed": True, "key": None, "diff": {"before": "", "after": "a new virtual environment\n"}}
        raise
    key = _venv.venv_key(identity, params["texts"], params["requirements"])
    result = {"key": key, "path": os.path.join(layout.venvs, key), "interpreter": identity}
    if _venv.is_complete(layout, key):
        return dict(result, changed=False)
    if not task.check_mode:
        _build(params, layout, key, identity)
    return dict(result, changed=True, diff={"before": "", "after": "virtual environment {0}\n".format(key)})


def _build(params: t.Mapping[str, t.Any], layout: Layout, key: str, identity: t.Dict[str, str]) -> None:
    _files.ensure_exists(layout.root)
    for directory in (layout.home, layout.venvs):
        _files.ensure_directory(directory, 0o755)
    reason = "building virtual environment " + key
    with locked(layout.lock, reason, params["lock_wait"], WAIT_FOR_SAME) as descriptor:
        # A run that was waited for may have built it.
        if _venv.is_complete(layout, key):
            return
        uv = _venv.installer(params["installer"])
        requirements = params["texts"], params["requirements"], params["hashed"]
        try:
            _venv.build(layout, key, identity, *requirements, descriptor, uv)
        except (_venv.VenvError, OSError):
            # The code that was staged for it, too: the disk may be full.
            _release_store.remove_unused(layout)
            raise
