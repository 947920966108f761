#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: status
version_added: 0.1.0
short_description: Tell how an application is on a host
description:
  - Says which release serves, since when, with how many workers and how much memory, how often it was started
    again, and where it does not serve, why.
extends_documentation_fragment:
  - wsgiops.flask.application
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Look at the shop
  wsgiops.flask.status:
    name: shop
  register: shop_status
"""

RETURN = r"""
status:
  description: The application's state on this host. What is not known is null.
  returned: always
  type: dict
  contains:
    application:
      description: Name of the application.
      type: str
    state:
      description:
        - V(serving), it runs; V(starting), it is being started, and under systemd requests wait; V(idle), it does not
          run, the next request starts it; V(limited), it failed so often that its start limit tripped, requests
          get status 503; V(stopped), requests get status 503; V(absent), no release was ever put in service.
      type: str
    reason:
      description: Why it does not serve; empty when it does.
      type: str
    release:
      description: Id of the release that C(current) names.
      type: str
    label:
      description: Label of the release, empty when it has none.
      type: str
    started:
      description: When its main process started, ISO 8601 in UTC.
      type: str
    restarts:
      description: How often it was started again since it was last put in service; under cron, of late
        (C(restart.interval)).
      type: int
    workers:
      description: Number of worker processes; 0 with the server gevent, whose main process does the work.
      type: int
    memory:
      description: Bytes that its processes use, from the control group, or the sum of their proportional set sizes.
      type: int
    retry:
      description: When it is tried again after its start limit tripped, ISO 8601 in UTC.
      type: str
    last_event:
      description: The newest line of the history, with C(time), C(event), C(release) and C(reason).
      type: dict
    logs:
      description: The command that shows what the application and its server wrote.
      type: str
well:
  description: Whether requests are answered, or will be in a moment.
  returned: always
  type: bool
"""

import dataclasses

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._service import ServiceError
from ansible_collections.wsgiops.flask.plugins.module_utils._services import Services
from ansible_collections.wsgiops.flask.plugins.module_utils._status import WELL, status


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/opt"},
        },
        supports_check_mode=True,
    )
    layout = Layout(module.params["name"], module.params["root"])
    try:
        found = status(layout, Services(layout))
    except (ServiceError, OSError) as error:
        module.fail_json(msg="{0}: {1}".format(layout.name, error))
    module.exit_json(changed=False, status=dataclasses.asdict(found), well=found.state in WELL)


if __name__ == "__main__":
    main()
