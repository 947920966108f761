#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: on_host
version_added: 0.1.0
short_description: Do on a host what other modules of this collection have prepared on the controller
description:
  - What M(wsgiops.flask.drift), M(wsgiops.flask.release), M(wsgiops.flask.release_info), M(wsgiops.flask.release_stage)
    and M(wsgiops.flask.venv) do on a host. Once a run, Ansible packs each module with all that it imports, which takes
    it a fifth of a second; so these share one.
  - Not for playbooks.
options:
  task:
    description: The module whose work it is.
    type: str
    choices: [drift, release, release_info, release_stage, venv]
    required: true
  params:
    description: The arguments of that module, as JSON. Never shown; what of them is no secret is in C(invocation).
    type: raw
    required: true
attributes:
  check_mode:
    description: As that module does.
    support: full
  diff_mode:
    description: As that module does.
    support: full
author:
  - The wsgiops contributors (@wsgiops)
"""

EXAMPLES = r"""
- name: Compare the source with the host
  wsgiops.flask.release_info:
    name: shop
    source: ../shop
"""

RETURN = r"""
"*":
  description: What that module returns.
  returned: always
  type: raw
"""

import json
import signal

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils import _task


def _work(task):
    """The module that does it. Each imports what it needs alone: that is a part of the time of each task."""
    if task == "drift":
        from ansible_collections.wsgiops.flask.plugins.module_utils import _drift as work
    elif task == "release":
        from ansible_collections.wsgiops.flask.plugins.module_utils import _task_release as work
    elif task == "release_info":
        from ansible_collections.wsgiops.flask.plugins.module_utils import _task_release_info as work
    elif task == "release_stage":
        from ansible_collections.wsgiops.flask.plugins.module_utils import _task_release_stage as work
    else:
        from ansible_collections.wsgiops.flask.plugins.module_utils import _task_venv as work
    return work


def main():
    module = AnsibleModule(
        argument_spec={
            "task": {
                "type": "str",
                "choices": ["drift", "release", "release_info", "release_stage", "venv"],
                "required": True,
            },
            # With secrets of applications in it.
            "params": {"type": "raw", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    task, given = module.params["task"], json.loads(module.params["params"])
    work = _work(task)
    try:
        params = _task.validated(given, work.OPTIONS, getattr(work, "REQUIRED_IF", None))
    except _task.TaskError as error:
        module.fail_json(msg="{0}: {1}: {2}".format(given.get("name") or "unnamed", task, error))
    if task == "release":
        # A controller that goes away must not leave the host between two releases.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _task.run(module, work.perform, params, invocation={"module_args": _task.shown(params, work.OPTIONS)})


if __name__ == "__main__":
    main()
