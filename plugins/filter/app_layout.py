# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import DEFAULT_ROOT, Layout

DOCUMENTATION = r"""
name: app_layout
version_added: 0.1.0
short_description: Names and paths of an application
description:
  - Turns the name of an application into every name and path that it has on a host, so that none is spelled twice.
positional: _input, root, private
options:
  _input:
    description: The application's name.
    type: str
    required: true
  root:
    description: Absolute directory that holds one directory per application.
    type: path
    default: /opt
  private:
    description: Whether all of it is below the root and belongs to an ordinary user, for want of root.
    type: bool
    default: false
author:
  - The wsgiops contributors (@wsgiops)
"""

EXAMPLES = r"""
- name: Show where nginx connects to
  ansible.builtin.debug:
    msg: "{{ ('shop' | wsgiops.flask.app_layout).upstream }}"
"""

RETURN = r"""
_value:
  description:
    - Dictionary of strings. Among its keys are C(home), C(current), C(upstream), C(state), C(cache), C(logs), C(user),
      C(group), C(nginx_site), C(logrotate), C(service_template) and C(socket_template).
  type: dict
"""


def app_layout(name: t.Any, root: str = DEFAULT_ROOT, private: bool = False) -> dict[str, str]:
    """Return the names and paths of the application called ``name``.

    :raises AnsibleFilterError: when ``name`` is no string or ``root`` no absolute path.
    """
    if not isinstance(name, str):
        raise AnsibleFilterError(f"app_layout takes an application's name, a string, not {name!r}")
    if not os.path.isabs(root):
        raise AnsibleFilterError(f"app_layout: root has to be an absolute path, not {root!r}")
    return Layout(str(name), str(root), private).names()


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"app_layout": app_layout}
