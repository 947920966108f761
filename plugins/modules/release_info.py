#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
version_added: 0.1.0
short_description: Compare an application's source with what a host has
description:
  - Digests the source directory on the controller, without what must never be deployed, and tells whether the host has
    exactly that code, which release serves, whether the application's user exists, and what runs applications there.
  - Refuses a name whose user or directories belong to something else on the host.
extends_documentation_fragment:
  - wsgiops.flask.application
  - wsgiops.flask.application.source
  - wsgiops.flask.application.public
options:
  private:
    description: Whether all of it is to be below O(root) and to belong to whoever runs this. An error for root, and
      otherwise for everybody else.
    type: bool
    default: false
  service:
    description: What is to run the application - V(systemd), V(cron), or V(auto) for systemd where it runs the host and
      cron elsewhere. Systemd where it does not run the host is an error.
    type: str
    choices: [auto, systemd, cron]
    default: auto
  code:
    description: Digest of the source. Computed on the controller from O(source); not for playbooks.
    type: str
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Compare the source with the host
  wsgiops.flask.release_info:
    name: shop
    source: ../shop
  register: shop_info
"""

RETURN = r"""
service:
  description: What runs the application on this host, V(systemd) or V(cron).
  returned: always
  type: str
code:
  description: Digest of the source.
  returned: always
  type: str
  sample: 5891b5b522d5df08
staged:
  description: Whether the host has that code, unaltered.
  returned: always
  type: bool
user_exists:
  description: Whether the application's user exists.
  returned: always
  type: bool
release:
  description: Id of the release that serves, null when there is none.
  returned: always
  type: str
"""
