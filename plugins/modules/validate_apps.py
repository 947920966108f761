#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: validate_apps
version_added: 0.1.0
short_description: Validate the list of applications, and the options of a run, before any host is touched
description:
  - Checks each application against the collection's schema, its source, its requirements and the other applications,
    and fails with all problems at once. An unknown key is told with the nearest known one. What is accepted and hardly
    meant is a warning.
  - Where applications have no problem, checks what may stand on the command line, and tells all that is wrong with
    that - C(flask_only), C(flask_lock_wait), C(flask_root), C(nginx_mode), and the variables of nginx for all sites.
  - Runs on the controller alone.
options:
  apps:
    description: The list of applications, C(flask_apps).
    type: raw
    required: true
  names_alone:
    description: Whether of the applications nothing but the names counts, and of those that C(flask_only) names, where
      it is set - their sources need not be on this controller.
    type: bool
    default: false
  options:
    description: Whether to check what may stand on the command line, too.
    type: bool
    default: true
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
  description: What is wrong, one sentence each, with the name of the application or option in front.
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
"""
