#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: validate_apps
version_added: 0.1.0
short_description: Validate the list of applications before any host is touched
description:
  - Checks each application against the collection's schema, its source, its requirements and the other applications,
    and fails with all problems at once. An unknown key is told with the nearest known one. What is accepted and hardly
    meant is a warning.
  - Runs on the controller alone.
options:
  apps:
    description: The list of applications, C(flask_apps).
    type: raw
    required: true
  nginx_mode:
    description: Which nginx it is - V(system), the host's; V(file) and V(user) without root, of which some keys ask too
      much.
    type: str
    choices: [system, file, user]
    default: system
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
author:
  - The wsgiops contributors (@wsgiops)
"""

EXAMPLES = r"""
- name: Validate the applications
  wsgiops.flask.validate_apps:
    apps: "{{ flask_apps }}"
"""

RETURN = r"""
problems:
  description: What is wrong, one sentence each, with the application's name in front.
  returned: always
  type: list
  elements: str
roles:
  description:
    - Roles of whose variables the host has some, beside the applications. What they are set to is for the role to
      validate; without them all variables of a role follow from the applications.
  returned: always
  type: list
  elements: str
options:
  description:
    - Variables of playbooks, C(flask_only) and the like, and of nginx for all sites, that the host has. What they are
      set to is for the playbook to validate; without them there is nothing to validate.
  returned: always
  type: list
  elements: str
"""
