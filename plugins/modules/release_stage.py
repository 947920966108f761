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

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils import _files
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import Locked, locked
from ansible_collections.wsgiops.flask.plugins.module_utils._stage import is_staged, publish, stage

# Staging the same code twice gives the same, so a run that still does it is waited for; seconds.
WAIT_FOR_SAME = 60


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/opt"},
            "source": {"type": "path", "required": True},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "public": {"type": "list", "elements": "str", "default": []},
            "code": {"type": "str", "required": True},
            "archive": {"type": "path"},
            "lock_wait": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    layout = Layout(module.params["name"], module.params["root"])
    code, public = module.params["code"], module.params["public"]
    try:
        _files.ensure_exists(layout.root)
        _files.ensure_directory(layout.home, 0o755)
        with locked(layout.lock, "staging code " + code, module.params["lock_wait"], WAIT_FOR_SAME):
            _files.ensure_directory(layout.code_store, 0o755)
            # A run that was waited for may have staged it, and what serves may run from it by now.
            if is_staged(layout, code):
                publish(layout, public)
            else:
                stage(layout, code, module.params["archive"], public)
    except (Locked, OSError, ValueError) as error:
        module.fail_json(msg="{0}: staging the code failed: {1}".format(layout.name, error))
    module.exit_json(changed=True, code=code, diff={"before": "", "after": "code {0}\n".format(code)})


if __name__ == "__main__":
    main()
