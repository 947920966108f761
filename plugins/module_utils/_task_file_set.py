# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module file_set."""

from __future__ import annotations

import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _file_set, _files, _site_probe
from ansible_collections.wsgiops.flask.plugins.module_utils._task import Task, TaskError

OPTIONS: t.Dict[str, t.Any] = {
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "content": {"type": "str"},
            "secret": {"type": "str", "no_log": True},
            "mode": {"type": "str", "default": "0644"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
        },
        "mutually_exclusive": [["content", "secret"]],
        "required_one_of": [["content", "secret"]],
    },
    "absent": {"type": "list", "elements": "path", "default": []},
    "absent_if_stock": {"type": "list", "elements": "path", "default": []},
    "check": {"type": "list", "elements": "str", "default": []},
    "apply": {"type": "list", "elements": "str", "default": []},
    "probe": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "path": {"type": "str", "required": True},
            "status": {"type": "int", "default": 200},
            "upstream": {"type": "path", "required": True},
            "guard": {"type": "int", "default": 0},
        },
    },
    "probes": {"type": "path"},
}

MUTUALLY_EXCLUSIVE = [["probe", "probes"]]


def perform(task: Task) -> t.Dict[str, t.Any]:
    params = task.params
    absent = params["absent"] + [item["path"] for item in params["files"] if item["content"] == ""]
    absent += [path for path in params["absent_if_stock"] if _file_set.is_stock(path)]
    secret = [item["path"] for item in params["files"] if item["secret"] is not None]
    probe = _site_probe.site_probe(params["probe"]) if params["probe"] is not None else None
    sites = _site_probe.StandingSites(params["probes"]) if params["probes"] is not None else None
    wanted = [_wanted(item) for item in params["files"] if item["content"] != ""]
    try:
        has_recovered = not task.check_mode and _file_set.recover()
        transaction = _file_set.FileSet(wanted, absent, params["check"], params["apply"], secret, probe or sites)
        changed = has_recovered or transaction.pending
        result = {"changed": changed, "paths": transaction.paths, "diff": transaction.diff()}
        if transaction.pending and not task.check_mode:
            if sites is not None:
                sites.look()
            transaction.commit()
    except (_file_set.FileSetError, KeyError, OSError, ValueError) as error:
        raise TaskError(str(error)) from error
    return result


def _wanted(item: t.Mapping[str, t.Any]) -> _files.WantedFile:
    try:
        mode = int(item["mode"], 8)
    except ValueError:
        said = "{0}: mode: {1!r} is not octal, such as '0644'"
        raise TaskError(said.format(item["path"], item["mode"])) from None
    content = item["content"] if item["secret"] is None else item["secret"]
    return _files.WantedFile(item["path"], content, mode, item["owner"], item["group"])
