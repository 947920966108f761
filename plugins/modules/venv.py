#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: venv
version_added: 0.1.0
short_description: Have the virtual environment of an application's requirements
description:
  - Names the environment by the interpreter and the text of the requirement files, and builds it once, in
    C(<root>/<name>/venvs/<key>). Releases that changed neither share it.
  - An environment whose build was interrupted is built anew; one that fails to build is removed.
extends_documentation_fragment:
  - wsgiops.flask.application
  - wsgiops.flask.application.source
  - wsgiops.flask.application.lock
options:
  requirements:
    description: Requirements file, relative to O(source). Files that it includes are part of it. Where one of them
      holds hashes, every package is verified.
    type: str
    default: requirements.txt
  python:
    description: Interpreter on the host, a command name or an absolute path, Python 3.10 or later.
    type: str
    default: python3
  texts:
    description: Text of each requirement file by name. Read from O(source) on the controller; not for playbooks.
    type: dict
  hashed:
    description: Whether to verify hashes. Read from O(source) on the controller; not for playbooks.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says whether an environment would be built.
    support: full
  diff_mode:
    description: Shows the key.
    support: partial
"""

EXAMPLES = r"""
- name: Have the virtual environment
  wsgiops.flask.venv:
    name: shop
    source: ../shop
    python: python3.11
  register: shop_venv
"""

RETURN = r"""
key:
  description: Name of the environment; null in check mode on a host that has no such interpreter yet.
  returned: always
  type: str
  sample: 2c26b46b68ffc68f
path:
  description: Where the environment is.
  returned: when the key is known
  type: str
interpreter:
  description: What the interpreter says of itself - C(implementation), C(version), C(platform) and C(path).
  returned: when the key is known
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _release_store, _venv
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import Locked, locked

# Seconds: compiling a large dependency takes minutes, and its result is the same whoever builds it.
WAIT_FOR_SAME = 600


def have_venv(module, layout):
    params = module.params
    try:
        identity = _venv.interpreter_identity(params["python"])
    except FileNotFoundError:
        if module.check_mode:
            module.exit_json(changed=True, key=None, diff={"before": "", "after": "a new virtual environment\n"})
        raise
    key = _venv.venv_key(identity, params["texts"], params["requirements"])
    result = {"key": key, "path": os.path.join(layout.venvs, key), "interpreter": identity}
    if _venv.is_complete(layout, key):
        module.exit_json(changed=False, **result)
    if not module.check_mode:
        _files.ensure_exists(layout.root)
        for directory in (layout.home, layout.venvs):
            _files.ensure_directory(directory, 0o755)
        reason = "building virtual environment " + key
        with locked(layout.lock, reason, params["lock_wait"], WAIT_FOR_SAME) as descriptor:
            # A run that was waited for may have built it.
            if not _venv.is_complete(layout, key):
                names = (params["texts"], params["requirements"], params["hashed"])
                try:
                    _venv.build(layout, key, identity, *names, descriptor)
                except (_venv.VenvError, OSError):
                    # The code that was staged for it, too: the disk may be full.
                    _release_store.remove_unused(layout)
                    raise
    module.exit_json(changed=True, diff={"before": "", "after": "virtual environment {0}\n".format(key)}, **result)


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/opt"},
            "source": {"type": "path", "required": True},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "requirements": {"type": "str", "default": "requirements.txt"},
            "python": {"type": "str", "default": "python3"},
            "texts": {"type": "dict"},
            "hashed": {"type": "bool", "default": False},
            "lock_wait": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    layout = Layout(module.params["name"], module.params["root"])
    try:
        have_venv(module, layout)
    except (_venv.VenvError, Locked, OSError) as error:
        module.fail_json(msg="{0}: {1}".format(layout.name, error))


if __name__ == "__main__":
    main()
