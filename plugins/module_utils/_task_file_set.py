# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module file_set."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
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
    "edits": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "regexp": {"type": "str", "required": True},
            "replace": {"type": "str", "required": True},
        },
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
        # What a run that died left of them is no text of theirs.
        has_recovered = not task.check_mode and _file_set.recover()
        wanted += [found for found in map(_edited, params["edits"]) if found is not None]
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


def _edited(item: t.Mapping[str, t.Any]) -> t.Optional[_files.WantedFile]:
    """A file of somebody else's with other lines, its rights and owner as they are; ``None`` where nothing matches."""
    text = _files.read_text(item["path"])
    if text is None:
        return None
    edited = re.sub(item["regexp"], item["replace"], text, flags=re.MULTILINE)
    if edited == text:
        return None
    found = os.stat(item["path"])
    owner, group = pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid).gr_name
    return _files.WantedFile(item["path"], edited, stat.S_IMODE(found.st_mode), owner, group)
