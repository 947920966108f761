# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """Options that the modules of the road share."""

    DOCUMENTATION = r"""
options:
  name:
    description: The application's name.
    type: str
    required: true
  root:
    description: Directory that holds one directory per application.
    type: path
    default: /opt
author:
  - The wsgiops contributors (@wsgiops)
"""

    SOURCE = r"""
options:
  source:
    description: Directory of the code on the controller. A relative path starts at the directory of the inventory, or
      at the current directory where the inventory is a plain host list.
    type: path
    required: true
  exclude:
    description: Patterns in .gitignore syntax, after those of the source's own .gitignore files.
    type: list
    elements: str
    default: []
"""

    PUBLIC = r"""
options:
  public:
    description: Directories of the source that everyone on the host may read, as nginx has to where it serves them;
      relative paths without C(.) and C(..).
    type: list
    elements: str
    default: []
"""

    LOCK = r"""
options:
  lock_wait:
    description: Seconds to wait for another run that changes the application, before the error that names it. A run
      that does the very same is waited for anyway.
    type: float
    default: 0
"""
