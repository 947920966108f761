# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module release: an application's way down the road."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _history, _release_store, _road, _take_back
from ansible_collections.wsgiops.flask.plugins.module_utils._environment import read_environment
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import Locked, locked
from ansible_collections.wsgiops.flask.plugins.module_utils._options import Options, options_from
from ansible_collections.wsgiops.flask.plugins.module_utils._release import Parts
from ansible_collections.wsgiops.flask.plugins.module_utils._removal import remove_application
from ansible_collections.wsgiops.flask.plugins.module_utils._service import ServiceError
from ansible_collections.wsgiops.flask.plugins.module_utils._services import Services, host_service
from ansible_collections.wsgiops.flask.plugins.module_utils._task import Task, TaskError

# Seconds for which a run that does the very same is waited for: the longest drain and its stop (3600 s each), twice.
WAIT_FOR_SAME = 14400

# Keys that root could see to without systemd.
OF_ROOT = ("limits.tasks", "sandbox.groups")

_COMMANDS: t.Dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}

OPTIONS: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    "state": {
        "type": "str",
        "choices": ["present", "prepared", "confirmed", "rolled_back", "absent"],
        "default": "present",
    },
    "remove_data": {"type": "bool", "default": False},
    "code": {"type": "str"},
    "venv": {"type": "str"},
    "files": {"type": "dict", "default": {}},
    "units": {"type": "dict", "default": {}},
    "environment": {"type": "raw", "no_log": True},
    "secrets": {"type": "raw", "no_log": True},
    "service": {"type": "str", "choices": ["systemd", "cron"], "default": "systemd"},
    "unenforced": {"type": "list", "elements": "str", "default": []},
    "server": {"type": "str", "choices": ["gunicorn", "gevent"], "default": "gunicorn"},
    "workers": {"type": "str", "default": "auto"},
    "memory": {"type": "str", "default": ""},
    "cpus": {"type": "float", "default": 0},
    "logs_to": {"type": "str", "choices": ["journal", "files"], "default": "journal"},
    "wsgi": {"type": "str", "default": ""},
    "settings": {"type": "list", "elements": "str", "default": []},
    "health": {
        "type": "dict",
        "default": {},
        "apply_defaults": True,
        "options": {
            "ready": {"type": "str", "default": "/ready"},
            "status": {"type": "int", "default": 200},
            "host": {"type": "str", "default": "localhost"},
            "timeout": {"type": "float", "default": 30},
            "settle": {"type": "float", "default": 1},
            "body": {"type": "str", "default": ""},
            "latency": {"type": "float", "default": 0},
        },
    },
    "hooks": {
        "type": "dict",
        "default": {},
        "apply_defaults": True,
        "options": {
            "once": _COMMANDS,
            "before_switch": _COMMANDS,
            "after_switch": _COMMANDS,
            "timeout": {"type": "float", "default": 300},
        },
    },
    "overlap": {"type": "bool", "default": True},
    "confirm": {"type": "float", "default": 0},
    "keep_releases": {"type": "int", "default": 5},
    "label": {"type": "str", "default": ""},
    "to": {"type": "str", "default": ""},
    "release": {"type": "str"},
    "front_url": {"type": "str", "default": ""},
    "front_host": {"type": "str", "default": "localhost"},
    "scheme": {"type": "str", "choices": ["http", "https"], "default": "http"},
    "drain_timeout": {"type": "float", "default": 30},
    "lock_wait": {"type": "float", "default": 0},
}

REQUIRED_IF = [("state", "present", ("code",)), ("state", "prepared", ("code",))]

Params = t.Mapping[str, t.Any]
Result = t.Dict[str, t.Any]
Diff = t.List[t.Dict[str, str]]


def perform(task: Task) -> Result:
    params = task.params
    if params["keep_releases"] < 2:
        said = "{0}: keep_releases: {1} is not accepted: 2 or more, the current release and the one to go back to"
        raise TaskError(said.format(params["name"], params["keep_releases"]))
    layout = Layout(params["name"], params["root"])
    try:
        return _STATES[params["state"]](task, layout)
    except (_road.RoadError, ValueError) as error:
        raise TaskError(str(error)) from error
    except (Locked, ServiceError, OSError) as error:
        raise TaskError("{0}: {1}".format(layout.name, error)) from error


def _wanted_release(params: Params, layout: Layout) -> _release_store.Release:
    """The release that the arguments describe."""
    try:
        re.compile(params["health"]["body"])
    except re.error as error:
        said = "{0}: health.body: {1!r} is no regular expression: {2}"
        raise ValueError(said.format(layout.name, params["health"]["body"], error)) from error
    return _release_store.Release(layout, _wanted_parts(params, layout), _wanted_options(params))


def _wanted_options(params: Params) -> Options:
    """How it takes the road."""
    return options_from({field.name: params[field.name] for field in dataclasses.fields(Options)})


def _wanted_parts(params: Params, layout: Layout) -> Parts:
    """What the release that the arguments describe is made of."""
    environment, secrets = (json.loads(params[name] or "{}") for name in ("environment", "secrets"))
    return Parts(layout.name, params["code"], params["venv"], params["files"], params["units"], environment, secrets)


def _files_of(layout: Layout, release: t.Optional[str]) -> t.Dict[str, str]:
    """The public files of a release on this host."""
    if release is None:
        return {}
    home = layout.release(release)
    names = [name for name in sorted(os.listdir(home)) if name.endswith(".py") or name == "server.json"]
    return {name: _files.read_text(os.path.join(home, name)) or "" for name in names}


def _as_one_text(files: t.Mapping[str, str]) -> str:
    return "".join("# {0}\n{1}".format(name, files[name]) for name in sorted(files))


def _shown_variables(variables: t.Mapping[str, str], others: t.Mapping[str, str], changed: str) -> str:
    """Names of variables, and of each whether it has the value that it has in the others; values are nobody's business.

    :param changed: what is said of one that has not.
    """
    states = {name: "same value" if others.get(name) == variables[name] else changed for name in variables}
    return "".join("{0} ({1})\n".format(name, states[name]) for name in sorted(variables))


def _variables_of(layout: Layout, release: t.Optional[str], name: str) -> t.Dict[str, str]:
    """The variables in a file of a release on this host; none where it can't be read."""
    try:
        return read_environment(_files.read_text(os.path.join(layout.release(release), name)) or "") if release else {}
    except ValueError:
        return {}


def _diff(layout: Layout, previous: t.Optional[str], release: t.Optional[str], parts: Parts) -> Diff:
    """What the switch changes; of variables, the names.

    :param release: id of the new release, None when it is not known yet.
    """
    title = "{0} release {1}"
    before_header = title.format(layout.name, previous or "(none)")
    after_header = title.format(layout.name, release or "(known once the host has an interpreter)")
    texts = [("", _as_one_text(_files_of(layout, previous)), _as_one_text(parts.files))]
    for name, wanted in ((_release_store.ENVIRONMENT, parts.environment), (_release_store.SECRETS, parts.secrets)):
        found = _variables_of(layout, previous, name)
        before, after = _shown_variables(found, wanted, "old value"), _shown_variables(wanted, found, "new value")
        texts.append((", " + name, before, after))
    changes = [
        {"before_header": before_header + part, "after_header": after_header + part, "before": before, "after": after}
        for part, before, after in texts
    ]
    for path in layout.control_files:
        before, after = _files.read_text(path) or "", parts.units.get(os.path.basename(path), "")
        changes.append({"before_header": path, "after_header": path, "before": before, "after": after})
    return [change for change in changes if change["before"] != change["after"]]


def _put_in_service(task: Task, layout: Layout) -> Result:
    """Deploy the release that the arguments describe, or prepare it."""
    params = task.params
    try:
        host_service(params["service"])
    except ValueError as error:
        raise ValueError("{0}: {1}".format(layout.name, error)) from error
    for setting in params["unenforced"]:
        said = "{0}: {1} is not enforced on this host: cron runs the application, and only {2} could"
        task.warn(said.format(layout.name, setting, "root" if setting.startswith(OF_ROOT) else "systemd"))
    prepare = params["state"] == "prepared"
    previous = _release_store.current_release(layout)
    if params["venv"] is None:
        if not task.check_mode:
            raise ValueError("{0}: venv is required: the key that wsgiops.flask.venv returns".format(layout.name))
        new = "a new release ({0})".format(_wanted_options(params).processes())
        steps = ["write, start and switch to {0}; its id is known once the host has an interpreter".format(new)]
        if prepare:
            steps = ["run hooks.once: " + command for command in params["hooks"]["once"]]
        changes = _diff(layout, previous, None, _wanted_parts(params, layout))
        return {"changed": True, "release": None, "previous": previous, "steps": steps, "hooks": [], "diff": changes}
    return _take_road(task, layout, _wanted_release(params, layout), prepare)


def _roll_back(task: Task, layout: Layout) -> Result:
    """Put an earlier release in service again."""
    previous = _release_store.current_release(layout)
    if previous is None:
        raise ValueError("{0}: no release serves on this host; there is nothing to go back from".format(layout.name))
    try:
        target = _release_store.load(layout, _road.rollback_target(layout, task.params["to"]))
        return _take_road(task, layout, target, prepare=False)
    except (ServiceError, ValueError) as error:
        serving = _release_store.title_of(layout, previous)
        raise ValueError("{0}: {1}; release {2} still serves".format(layout.name, error, serving)) from error


def _take_road(task: Task, layout: Layout, wanted: _release_store.Release, prepare: bool) -> Result:
    params = task.params
    previous = _release_store.current_release(layout)
    rollback = params["state"] == "rolled_back"
    services = Services(layout, wanted)
    road = _road.Road(wanted, services, params["keep_releases"], params["confirm"], rollback)
    result: Result = {"release": wanted.id, "previous": previous, "label": wanted.options.label}
    if not prepare:
        result["diff"] = _diff(layout, previous, wanted.id, wanted.parts)
    if task.check_mode:
        steps = road.planned_preparation() if prepare else road.plan()
        return dict(result, changed=bool(steps), steps=steps, hooks=[])
    reason = ("hooks.once of release " if prepare else "release ") + wanted.title
    try:
        with locked(layout.lock, reason, params["lock_wait"], WAIT_FOR_SAME):
            changed = road.prepare() if prepare else road.travel()
    finally:
        for warning in road.warnings + services.warnings:
            task.warn("{0}: {1}".format(layout.name, warning))
    return dict(result, changed=changed, steps=road.steps, hooks=road.hooks)


def _confirm(task: Task, layout: Layout) -> Result:
    """Keep the release that serves."""
    release = _release_store.current_release(layout)
    wanted = task.params["release"]
    if task.check_mode:
        return {"changed": False, "release": release, "steps": []}
    with locked(layout.lock, "confirmation", task.params["lock_wait"], WAIT_FOR_SAME):
        release = _release_store.current_release(layout)
        if wanted and release != wanted:
            said = "{0}: release {1} can't be confirmed: {2} serves; the host took it back, see {3}"
            raise ValueError(said.format(layout.name, wanted, release or "nothing", layout.history))
        kept = _take_back.confirm(layout, Services(layout))
        steps = []
        if kept and release is not None:
            steps = ["confirmed release " + _release_store.title_of(layout, release)]
            label = _release_store.label_of(layout, release)
            _history.record(layout.history, _history.CONFIRMED, release, None, label)
    return {"changed": bool(steps), "release": release, "steps": steps}


def _remove(task: Task, layout: Layout) -> Result:
    steps = remove_application(
        layout, Services(layout), task.params["remove_data"], task.params["lock_wait"], task.check_mode
    )
    return {"changed": bool(steps), "steps": steps}


_STATES: t.Dict[str, t.Callable[[Task, Layout], Result]] = {
    "present": _put_in_service,
    "prepared": _put_in_service,
    "confirmed": _confirm,
    "rolled_back": _roll_back,
    "absent": _remove,
}
