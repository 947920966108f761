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
  installer:
    description:
      - What installs the requirements. V(auto) is uv where the host has a command of that name, unless pip is set up
        for an index of its own there, of which uv would not know; otherwise pip.
      - By uv it takes a third of the time, and pip is not in the environment.
    type: str
    choices: [auto, pip, uv]
    default: auto
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
