#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release
version_added: 0.1.0
short_description: Put a release of an application in service, or remove the application
description:
  - Names the release by its content, writes it, starts it beside the running one on a socket of its own, waits for its
    first answer, moves traffic with one rename of C(current), lets the old release finish and stops it. One process
    does all of it, under a lock.
  - When the release serves already and runs as it should, nothing happens. What differs is put right, a file changed by
    hand or a service that is down included.
  - A candidate that does not answer is removed again, the error holds its last log lines, and what served still serves.
extends_documentation_fragment:
  - wsgiops.flask.application
options:
  state:
    description: V(absent) stops and removes all of the application, its user and its nginx site excepted.
    type: str
    choices: [present, absent]
    default: present
  remove_data:
    description: With O(state=absent), remove the application's state directory as well.
    type: bool
    default: false
  code:
    description: Digest of the staged source, as M(wsgiops.flask.release_info) returns it. Required with
      O(state=present).
    type: str
  venv:
    description: Key of the virtual environment, as M(wsgiops.flask.venv) returns it. Required with O(state=present).
      Null is accepted in check mode alone, where the environment cannot be known on a virgin host.
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
  host:
    description: Host header of the request that the candidate has to answer, a name that the application trusts.
    type: str
    default: localhost
  start_timeout:
    description: Seconds from the start of the candidate to its first answer.
    type: float
    default: 30
  drain_timeout:
    description: Seconds that requests in flight on the old release get before it is told to stop.
    type: float
    default: 30
  lock_wait:
    description: Seconds to wait for another run that changes the application, before the error that names it.
    type: float
    default: 60
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
    host: shop.example.com
"""

RETURN = r"""
release:
  description: Id of the release, null in check mode when it cannot be known yet.
  returned: when O(state=present)
  type: str
  sample: 0f6a3bd1c2e4
previous:
  description: Id of the release that served before, null when there was none.
  returned: when O(state=present)
  type: str
steps:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
"""

import json
import os
import signal

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _road
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import Locked, locked
from ansible_collections.wsgiops.flask.plugins.module_utils._release import Parts
from ansible_collections.wsgiops.flask.plugins.module_utils._removal import remove_application
from ansible_collections.wsgiops.flask.plugins.module_utils._service_systemd import ServiceError, Systemd


def wanted_release(params, layout):
    """The release that the arguments describe."""
    environment = json.loads(params["environment"] or "{}")
    parts = Parts(layout.name, params["code"], params["venv"], params["files"], params["units"], environment)
    return _road.Release(layout, parts, params["host"], params["start_timeout"], params["drain_timeout"])


def shown_files(layout, release, files):
    """The release's public files as one text, for the diff."""
    if files is None:
        found = (
            {}
            if release is None
            else {
                name: _files.read_text(os.path.join(layout.release(release), name)) or ""
                for name in sorted(os.listdir(layout.release(release)))
                if name.endswith(".py")
            }
        )
    else:
        found = files
    return "".join("# {0}\n{1}".format(name, found[name]) for name in sorted(found))


def diff(layout, previous, release, files, units):
    """What the switch changes, without the environment."""
    changes = [
        {
            "before_header": "{0} release {1}".format(layout.name, previous or "(none)"),
            "after_header": "{0} release {1}".format(
                layout.name, release or "(known once the host has an interpreter)"
            ),
            "before": shown_files(layout, previous, None),
            "after": shown_files(layout, release, files),
        }
    ]
    for name, text in sorted(units.items()):
        path = os.path.join(os.path.dirname(layout.service_template), name)
        before = _files.read_text(path) or ""
        changes.append({"before_header": path, "after_header": path, "before": before, "after": text})
    return [change for change in changes if change["before"] != change["after"]]


def put_in_service(module, layout):
    params = module.params
    previous = _road.current_release(layout)
    if params["venv"] is None:
        if not module.check_mode:
            module.fail_json(msg="{0}: venv is required: the key that wsgiops.flask.venv returns".format(layout.name))
        steps = ["write, start and switch to a new release; its id is known once the host has an interpreter"]
        changes = diff(layout, previous, None, params["files"], params["units"])
        module.exit_json(changed=True, release=None, previous=previous, steps=steps, diff=changes)
    wanted = wanted_release(params, layout)
    changes = diff(layout, previous, wanted.id, params["files"], params["units"])
    road = _road.Road(wanted, Systemd(layout))
    if module.check_mode:
        steps = road.plan()
        module.exit_json(changed=bool(steps), release=wanted.id, previous=previous, steps=steps, diff=changes)
    with locked(layout.lock, "release " + wanted.id, params["lock_wait"]):
        changed = road.travel()
    module.exit_json(changed=changed, release=wanted.id, previous=previous, steps=road.steps, diff=changes)


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/opt"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "remove_data": {"type": "bool", "default": False},
            "code": {"type": "str"},
            "venv": {"type": "str"},
            "files": {"type": "dict", "default": {}},
            "units": {"type": "dict", "default": {}},
            "environment": {"type": "raw", "no_log": True},
            "host": {"type": "str", "default": "localhost"},
            "start_timeout": {"type": "float", "default": 30},
            "drain_timeout": {"type": "float", "default": 30},
            "lock_wait": {"type": "float", "default": 60},
        },
        required_if=[("state", "present", ("code",))],
        supports_check_mode=True,
    )
    # A controller that goes away must not leave the host between two releases.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    layout = Layout(module.params["name"], module.params["root"])
    try:
        if module.params["state"] == "absent":
            steps = remove_application(
                layout, Systemd(layout), module.params["remove_data"], module.params["lock_wait"], module.check_mode
            )
            module.exit_json(changed=bool(steps), steps=steps)
        put_in_service(module, layout)
    except (_road.RoadError, ValueError) as error:
        module.fail_json(msg=str(error))
    except (Locked, ServiceError, OSError) as error:
        module.fail_json(msg="{0}: {1}".format(layout.name, error))


if __name__ == "__main__":
    main()
