# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """Options of the modules that change configuration files as one transaction."""

    DOCUMENTATION = r"""
options:
  check:
    description: Command, as a list, that succeeds when the configuration is right.
    type: list
    elements: str
    default: []
  apply:
    description: Command, as a list, that makes the service take the configuration over.
    type: list
    elements: str
    default: []
"""
