#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release
version_added: 0.1.0
short_description: Put a release of an application in service, go back to an earlier one, or remove the application
description:
  - Names the release by its content, writes it, checks it, starts it beside the running one on a socket of its own,
    waits until it is ready, moves traffic with one rename of C(current), looks at it through nginx as a client does,
    lets the old release finish and stops it. One process does all of it, under a lock, deaf to the loss of its
    controller.
  - When the release serves already and runs as it should, nothing happens. What differs is put right, a file changed by
    hand or a service that is down included.
  - A candidate that fails is removed again and what served still serves; a switch after which the probe through nginx
    or a hook fails is taken back. The error names the phase and the reason, holds the last log lines and says what
    serves now.
extends_documentation_fragment:
  - wsgiops.flask.application
  - wsgiops.flask.application.lock
options:
  state:
    description:
      - V(present) puts the release in service.
      - V(prepared) writes it and runs its C(once) hooks, when it is not the one that serves; nothing is started.
      - V(confirmed) keeps the release that serves where O(confirm) would have the host go back.
      - V(rolled_back) puts an earlier release in service again, by the same road. Its code, environment, configuration
        and variables are those that it had.
      - V(absent) stops and removes all of the application, its user and its nginx site excepted.
    type: str
    choices: [present, prepared, confirmed, rolled_back, absent]
    default: present
  remove_data:
    description: With O(state=absent), remove the application's state directory as well.
    type: bool
    default: false
  code:
    description: Digest of the staged source, as M(wsgiops.flask.release_info) returns it. Required with
      O(state=present) and O(state=prepared).
    type: str
  venv:
    description: Key of the virtual environment, as M(wsgiops.flask.venv) returns it. Required like O(code). Null is
      accepted in check mode alone, where the environment cannot be known on a virgin host.
    type: str
  files:
    description: Text of each file of the release directory, by file name.
    type: dict
    default: {}
  units:
    description: Text of each systemd unit template, by file name.
    type: dict
    default: {}
  environment:
    description:
      - Environment variables of the application, a dictionary of strings or numbers.
      - Written to a file that root alone reads, and never shown. They enter the release id through scrypt.
      - The controller hands them over as one text, so that masking them cannot mangle other output that happens to
        contain a short value.
    type: raw
  secrets:
    description: More variables like those of O(environment), in a file of their own. Handed over in the same way.
    type: raw
  service:
    description: What runs the release. O(units) are its files, unit templates or C(app_ctl.sh) and the file of cron.
    type: str
    choices: [systemd, cron]
    default: systemd
  unenforced:
    description: Settings of the application that O(service) can't see to, each of which is a warning.
    type: list
    elements: str
    default: []
  server:
    description: What serves the application, gunicorn or gevent's own server, which is one process.
    type: str
    choices: [gunicorn, gevent]
    default: gunicorn
  workers:
    description: Number of gunicorn's worker processes, or V(auto), told in the plan with the reason. What starts them
      is in O(files).
    type: str
    default: auto
  memory:
    description: What all processes may take together, as C(512M), which V(auto) workers go by. Empty for no limit.
    type: str
    default: ""
  cpus:
    description: CPUs that they may use, which V(auto) workers go by. 0 for all.
    type: float
    default: 0
  logs_to:
    description: Where the output goes, so that an error names the command that shows it.
    type: str
    choices: [journal, files]
    default: journal
  wsgi:
    description: The application, which hooks find as C(FLASK_APP).
    type: str
    default: ""
  settings:
    description: Names of gunicorn settings that the gunicorn of the environment has to know.
    type: list
    elements: str
    default: []
  health:
    description: What the release has to answer before, and through nginx right after, traffic moves to it.
    type: dict
    default: {}
    suboptions:
      ready:
        description: Path of the readiness route.
        type: str
        default: /ready
      status:
        description: HTTP status that means ready.
        type: int
        default: 200
      host:
        description: Host header of the request, a name that the application trusts.
        type: str
        default: localhost
      timeout:
        description: Seconds from the start of the candidate to the answer that counts.
        type: float
        default: 30
      settle:
        description: Seconds for which it has to stay alive, with all its workers, after that answer. 0 for not at all.
        type: float
        default: 1
      body:
        description: Regular expression that has to be found in the answer's body. Empty for any body.
        type: str
        default: ""
      latency:
        description: Seconds that the answer may take at most. 0 for no ceiling.
        type: float
        default: 0
  hooks:
    description: Shell commands that run as the application's user in the environment and sandbox of the release. One
      that fails stops the road.
    type: dict
    default: {}
    suboptions:
      once:
        description: Run with O(state=prepared) alone.
        type: list
        elements: str
        default: []
      before_switch:
        description: Run when the candidate is ready, before traffic moves.
        type: list
        elements: str
        default: []
      after_switch:
        description: Run after the probe through nginx. When one fails, the switch is taken back.
        type: list
        elements: str
        default: []
      timeout:
        description: Seconds that each may take.
        type: float
        default: 300
  overlap:
    description: Start the release beside the running one. Otherwise the old one stops first, requests wait meanwhile,
      and a lock makes sure that there is never more than one.
    type: bool
    default: true
  confirm:
    description: Seconds in which O(state=confirmed) has to come after a switch, or the host goes back by itself. 0 for
      no need to.
    type: float
    default: 0
  keep_releases:
    description: Releases that stay on the host, at least 2, the current one and the one to go back to.
    type: int
    default: 5
  label:
    description: A name for the release, a git tag, say. No part of its id.
    type: str
    default: ""
  to:
    description: With O(state=rolled_back), the id or label of the release to go back to. Empty for the newest good one
      before the current one.
    type: str
    default: ""
  release:
    description: With O(state=confirmed), the id of the release that has to be the one that serves.
    type: str
  front_url:
    description: Where the release is looked at through nginx after the switch, while nginx has a site of the
      application. C(auto) is where that site says, empty nowhere.
    type: str
    default: ""
  front_host:
    description: Host header there.
    type: str
    default: localhost
  scheme:
    description: With which clients come. Probes on the release's own socket say so, too.
    type: str
    choices: [http, https]
    default: http
  drain_timeout:
    description: Seconds that requests in flight on the old release get before it is told to stop.
    type: float
    default: 30
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Shows the files of the release against those of the current one, the environment excepted.
    support: full
"""

EXAMPLES = r"""
- name: Put the release in service
  wsgiops.flask.release:
    name: shop
    code: "{{ release_code_digest }}"
    venv: "{{ venv_key }}"
    files:
      gunicorn.conf.py: "{{ lookup('ansible.builtin.template', 'gunicorn.conf.py.j2') }}"
    units:
      shop@.service: "{{ lookup('ansible.builtin.template', 'service.j2') }}"
      shop@.socket: "{{ lookup('ansible.builtin.template', 'socket.j2') }}"
    health:
      host: shop.example.com

- name: Go back to the release before
  wsgiops.flask.release:
    name: shop
    state: rolled_back
"""

RETURN = r"""
release:
  description: Id of the release, null in check mode when it cannot be known yet.
  returned: when O(state) is not V(absent)
  type: str
  sample: 0f6a3bd1c2e4
previous:
  description: Id of the release that served before, null when there was none.
  returned: when O(state=present) or O(state=rolled_back)
  type: str
label:
  description: Label of the release, empty when it has none.
  returned: when O(state=present) or O(state=rolled_back)
  type: str
hooks:
  description: The hooks that ran, each with C(hook), C(command), C(status) and C(output).
  returned: when O(state) is V(present), V(prepared) or V(rolled_back)
  type: list
  elements: dict
steps:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
"""

import dataclasses
import json
import os
import re
import signal

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _history, _release_store, _road, _take_back
from ansible_collections.wsgiops.flask.plugins.module_utils._environment import read_environment
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import Locked, locked
from ansible_collections.wsgiops.flask.plugins.module_utils._options import Options, options_from
from ansible_collections.wsgiops.flask.plugins.module_utils._release import Parts
from ansible_collections.wsgiops.flask.plugins.module_utils._removal import remove_application
from ansible_collections.wsgiops.flask.plugins.module_utils._service import ServiceError
from ansible_collections.wsgiops.flask.plugins.module_utils._services import Services, host_service

# Seconds for which a run that does the very same is waited for: the longest drain and its stop (3600 s each), twice.
WAIT_FOR_SAME = 14400

COMMANDS = {"type": "list", "elements": "str", "default": []}


def wanted_release(params, layout):
    """The release that the arguments describe."""
    try:
        re.compile(params["health"]["body"])
    except re.error as error:
        said = "{0}: health.body: {1!r} is no regular expression: {2}"
        raise ValueError(said.format(layout.name, params["health"]["body"], error)) from error
    return _release_store.Release(layout, wanted_parts(params, layout), wanted_options(params))


def wanted_options(params):
    """How it takes the road."""
    return options_from({field.name: params[field.name] for field in dataclasses.fields(Options)})


def wanted_parts(params, layout):
    """What the release that the arguments describe is made of."""
    environment, secrets = (json.loads(params[name] or "{}") for name in ("environment", "secrets"))
    return Parts(layout.name, params["code"], params["venv"], params["files"], params["units"], environment, secrets)


def files_of(layout, release):
    """The public files of a release on this host."""
    if release is None:
        return {}
    home = layout.release(release)
    names = [name for name in sorted(os.listdir(home)) if name.endswith(".py") or name == "server.json"]
    return {name: _files.read_text(os.path.join(home, name)) or "" for name in names}


def as_one_text(files):
    return "".join("# {0}\n{1}".format(name, files[name]) for name in sorted(files))


def shown_variables(variables, others, changed):
    """Names of variables, and of each whether it has the value that it has in the others; values are nobody's business.

    :param changed: what is said of one that has not.
    """
    states = {name: "same value" if others.get(name) == variables[name] else changed for name in variables}
    return "".join("{0} ({1})\n".format(name, states[name]) for name in sorted(variables))


def variables_of(layout, release, name):
    """The variables in a file of a release on this host; none where it can't be read."""
    try:
        return read_environment(_files.read_text(os.path.join(layout.release(release), name)) or "") if release else {}
    except ValueError:
        return {}


def diff(layout, previous, release, parts):
    """What the switch changes; of variables, the names.

    :param release: id of the new release, None when it is not known yet.
    """
    title = "{0} release {1}"
    before_header = title.format(layout.name, previous or "(none)")
    after_header = title.format(layout.name, release or "(known once the host has an interpreter)")
    texts = [("", as_one_text(files_of(layout, previous)), as_one_text(parts.files))]
    for name, wanted in ((_release_store.ENVIRONMENT, parts.environment), (_release_store.SECRETS, parts.secrets)):
        found = variables_of(layout, previous, name)
        before, after = shown_variables(found, wanted, "old value"), shown_variables(wanted, found, "new value")
        texts.append((", " + name, before, after))
    changes = [
        {"before_header": before_header + part, "after_header": after_header + part, "before": before, "after": after}
        for part, before, after in texts
    ]
    for path in layout.control_files:
        before, after = _files.read_text(path) or "", parts.units.get(os.path.basename(path), "")
        changes.append({"before_header": path, "after_header": path, "before": before, "after": after})
    return [change for change in changes if change["before"] != change["after"]]


def put_in_service(module, layout):
    """Deploy the release that the arguments describe, or prepare it."""
    params = module.params
    try:
        host_service(params["service"])
    except ValueError as error:
        raise ValueError("{0}: {1}".format(layout.name, error)) from error
    for setting in params["unenforced"]:
        said = "{0}: {1} is not enforced on this host: cron runs the application, and only systemd could"
        module.warn(said.format(layout.name, setting))
    prepare = params["state"] == "prepared"
    previous = _release_store.current_release(layout)
    if params["venv"] is None:
        if not module.check_mode:
            module.fail_json(msg="{0}: venv is required: the key that wsgiops.flask.venv returns".format(layout.name))
        new = "a new release ({0})".format(wanted_options(params).processes())
        steps = ["write, start and switch to {0}; its id is known once the host has an interpreter".format(new)]
        if prepare:
            steps = ["run hooks.once: " + command for command in params["hooks"]["once"]]
        changes = diff(layout, previous, None, wanted_parts(params, layout))
        module.exit_json(changed=True, release=None, previous=previous, steps=steps, hooks=[], diff=changes)
    take_road(module, layout, wanted_release(params, layout), prepare)


def roll_back(module, layout):
    """Put an earlier release in service again."""
    previous = _release_store.current_release(layout)
    if previous is None:
        raise ValueError("{0}: no release serves on this host; there is nothing to go back from".format(layout.name))
    try:
        target = _road.rollback_target(layout, module.params["to"])
        take_road(module, layout, _release_store.load(layout, target), prepare=False)
    except ValueError as error:
        serving = _release_store.title_of(layout, previous)
        raise ValueError("{0}: {1}; release {2} still serves".format(layout.name, error, serving)) from error


def take_road(module, layout, wanted, prepare):
    params = module.params
    previous = _release_store.current_release(layout)
    rollback = params["state"] == "rolled_back"
    road = _road.Road(wanted, Services(layout, wanted), params["keep_releases"], params["confirm"], rollback)
    result = {"release": wanted.id, "previous": previous, "label": wanted.options.label}
    if not prepare:
        result["diff"] = diff(layout, previous, wanted.id, wanted.parts)
    if module.check_mode:
        steps = road.planned_preparation() if prepare else road.plan()
        module.exit_json(changed=bool(steps), steps=steps, hooks=[], **result)
    reason = ("hooks.once of release " if prepare else "release ") + wanted.title
    try:
        with locked(layout.lock, reason, params["lock_wait"], WAIT_FOR_SAME):
            changed = road.prepare() if prepare else road.travel()
    finally:
        for warning in road.warnings:
            module.warn("{0}: {1}".format(layout.name, warning))
    module.exit_json(changed=changed, steps=road.steps, hooks=road.hooks, **result)


def confirm(module, layout):
    """Keep the release that serves."""
    release = _release_store.current_release(layout)
    wanted = module.params["release"]
    if module.check_mode:
        module.exit_json(changed=False, release=release, steps=[])
    with locked(layout.lock, "confirmation", module.params["lock_wait"], WAIT_FOR_SAME):
        release = _release_store.current_release(layout)
        if wanted and release != wanted:
            said = "{0}: release {1} can't be confirmed: {2} serves; the host took it back, see {3}"
            raise ValueError(said.format(layout.name, wanted, release or "nothing", layout.history))
        kept = _take_back.confirm(layout, Services(layout))
        if kept:
            label = _release_store.label_of(layout, release)
            _history.record(layout.history, _history.CONFIRMED, release, None, label)
    steps = ["confirmed release " + _release_store.title_of(layout, release)] if kept else []
    module.exit_json(changed=kept, release=release, steps=steps)


def remove(module, layout):
    steps = remove_application(
        layout, Services(layout), module.params["remove_data"], module.params["lock_wait"], module.check_mode
    )
    module.exit_json(changed=bool(steps), steps=steps)


STATES = {
    "present": put_in_service,
    "prepared": put_in_service,
    "confirmed": confirm,
    "rolled_back": roll_back,
    "absent": remove,
}


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/opt"},
            "state": {"type": "str", "choices": list(STATES), "default": "present"},
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
                    "once": COMMANDS,
                    "before_switch": COMMANDS,
                    "after_switch": COMMANDS,
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
        },
        required_if=[("state", "present", ("code",)), ("state", "prepared", ("code",))],
        supports_check_mode=True,
    )
    if module.params["keep_releases"] < 2:
        said = "{0}: keep_releases: {1} is not accepted: 2 or more, the current release and the one to go back to"
        module.fail_json(msg=said.format(module.params["name"], module.params["keep_releases"]))
    # A controller that goes away must not leave the host between two releases.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    layout = Layout(module.params["name"], module.params["root"])
    try:
        STATES[module.params["state"]](module, layout)
    except (_road.RoadError, ValueError) as error:
        module.fail_json(msg=str(error))
    except (Locked, ServiceError, OSError) as error:
        module.fail_json(msg="{0}: {1}".format(layout.name, error))


if __name__ == "__main__":
    main()
