#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: drift
version_added: 0.1.0
short_description: Tell in what a host differs from what is to be on it
description:
  - Compares a host with what the roles of this collection would make of it, all of it in one process there, so that a
    run has nothing more to do where nothing differs.
  - It finds what the roles would find - each file, unit and package, the code, the environment and what runs - since it
    does what their modules do in check mode. What it can't tell counts as different.
  - The variables of the roles have to be there, as C(import_role) has them.
  - Publishes the facts C(distribution), C(distribution_version), C(distribution_major_version), C(os_family) and
    C(service_mgr) of hosts whose facts were not gathered, as roles decide by them.
options:
  applications:
    description: Entries of C(flask_apps) to be on the host.
    type: list
    elements: dict
    default: []
  host:
    description: Whether what applications share is compared, too. Otherwise it is left out.
    type: bool
    default: true
  parts:
    description: Tasks and their arguments by part. Computed on the controller; not for playbooks.
    type: dict
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
- name: Compare the host with what is to be on it
  wsgiops.flask.drift:
    applications: "{{ flask_apps }}"
  register: drift

- name: Say which applications differ
  ansible.builtin.debug:
    msg: "{{ drift.differences }}"
"""

RETURN = r"""
differences:
  description: In what the host differs, by part - C(host) for what applications share, and C(NAME release),
    C(NAME site) and C(NAME logs) for each application. A part in which nothing differs is not there.
  returned: always
  type: dict
"""
