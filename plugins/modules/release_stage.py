#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_stage
version_added: 0.1.0
short_description: Bring an application's source to a host
description:
  - Packs the source directory on the controller, without what must never be deployed, sends it as one archive, and
    gives it its place in C(<root>/<name>/code/<digest>) once its digest is verified.
  - The code is owned by root and readable by the application's group alone, but for what is public.
extends_documentation_fragment:
  - wsgiops.flask.application
  - wsgiops.flask.application.source
  - wsgiops.flask.application.public
  - wsgiops.flask.application.lock
options:
  code:
    description: Digest that the source has to have, as M(wsgiops.flask.release_info) returns it.
    type: str
    required: true
  archive:
    description: Path of the archive on the host. Set by the controller's side of this module; not for playbooks.
    type: path
attributes:
  check_mode:
    description: Says that the code would be staged, and sends nothing.
    support: full
  diff_mode:
    description: Shows the digest.
    support: partial
"""

EXAMPLES = r"""
- name: Stage the code
  wsgiops.flask.release_stage:
    name: shop
    source: ../shop
    code: "{{ shop_info.code }}"
  when: not shop_info.staged
"""

RETURN = r"""
code:
  description: Digest of the staged code.
  returned: always
  type: str
  sample: 5891b5b522d5df08
"""
