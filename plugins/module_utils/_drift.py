# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module drift: whether a host is as tasks would leave it.

Found out by what those tasks do in check mode, in one process.
"""

from __future__ import annotations

import subprocess
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import (
    _task_certificate,
    _task_file_set,
    _task_release,
    _task_release_info,
    _task_venv,
)
from ansible_collections.wsgiops.flask.plugins.module_utils._task import Params, Perform, Task, TaskError, validated

Step = t.Mapping[str, t.Any]

_INSTALLED = "installed"

OPTIONS: Params = {
    "applications": {"type": "list", "elements": "dict", "default": []},
    "host": {"type": "bool", "default": True},
    # With secrets of applications in it.
    "parts": {"type": "dict", "no_log": True},
}


def perform(task: Task) -> Params:
    found = {part: difference(steps) for part, steps in task.params["parts"].items()}
    return {"changed": False, "differences": {part: text for part, text in found.items() if text}}


def difference(steps: t.Sequence[Step]) -> str:
    """In what the host differs from how the steps would leave it; empty for nothing.

    The first difference is enough. A step that would fail differs too: the task itself says why.

    :param steps: dictionaries of ``task``, a name of a task here, and ``params``, its arguments. A ``release`` without
        ``venv`` gets the environment of the ``venv`` before it.
    """
    key = ""
    for step in steps:
        params = dict(step["params"])
        if step["task"] == "release" and "venv" not in params:
            params["venv"] = key
        try:
            found, result = _TASKS[step["task"]](params)
        except TaskError as error:
            return "{0} fails: {1}".format(step["task"], error)
        if found:
            return "{0}: {1}".format(step["task"], found)
        key = result.get("key", key)
    return ""


def _checked(perform: Perform, options: Params) -> t.Callable[[Params], t.Tuple[str, Params]]:
    """A module's work in check mode: what it would change, and its result."""

    def check(params: Params) -> t.Tuple[str, Params]:
        warnings: t.List[str] = []
        result = perform(Task(validated(params, options), True, warnings.append))
        if result["changed"]:
            return "; ".join(result.get("paths") or result.get("steps") or ["would change"]), result
        # Its task has something to say.
        return "; ".join(warnings), result

    return check


def _info(params: Params) -> t.Tuple[str, Params]:
    """Of ``release_info``: with ``expected``, what runs the application."""
    expected = params.pop("expected")
    _nothing, result = _checked(_task_release_info.perform, _task_release_info.OPTIONS)(params)
    if not result["user_exists"]:
        return "there is no user", result
    if not result["staged"]:
        return "other code", result
    if result["service"] != expected:
        return "{0} runs it, not {1}".format(result["service"], expected), result
    return "", result


def _certificate(params: Params) -> t.Tuple[str, Params]:
    """Of ``certificate``: also whether the authority that is asked for has issued it."""
    found, result = _checked(_task_certificate.perform, _task_certificate.OPTIONS)(params)
    return found or ("" if result.get("issued", True) else "not issued yet"), result


def _packages(params: Params) -> t.Tuple[str, Params]:
    """Of ``names``, which are not installed; not so much as whether there is a newer version."""
    names = params["names"]
    done = _output(["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names])
    rows = [line.split() for line in done.stdout.splitlines()]
    missing = sorted(set(names) - {row[0] for row in rows if row[1:] == [_INSTALLED]})
    return ", ".join(missing), {}


def _command(params: Params) -> t.Tuple[str, Params]:
    """Whether a command, ``argv``, succeeds and has nothing to say."""
    done = _output(params["argv"])
    said = done.stdout.strip()
    return said or ("exit status {0}".format(done.returncode) if done.returncode else ""), {}


def _unit(params: Params) -> t.Tuple[str, Params]:
    """Whether systemd runs a unit, ``name``, now and at boot."""
    done = _output(["systemctl", "show", "--property=ActiveState,UnitFileState", params["name"]])
    wrong = set(done.stdout.splitlines()) ^ {"ActiveState=active", "UnitFileState=enabled"}
    return ", ".join(sorted(wrong)), {}


def _output(command: t.Sequence[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
            check=False,
        )
    except OSError as error:
        raise TaskError("{0}: {1}".format(command[0], error.strerror)) from error


_TASKS: t.Dict[str, t.Callable[[Params], t.Tuple[str, Params]]] = {
    "certificate": _certificate,
    "command": _command,
    "file_set": _checked(_task_file_set.perform, _task_file_set.OPTIONS),
    "packages": _packages,
    "release": _checked(_task_release.perform, _task_release.OPTIONS),
    "release_info": _info,
    "unit": _unit,
    "venv": _checked(_task_venv.perform, _task_venv.OPTIONS),
}
