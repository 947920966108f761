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

import os
import pwd

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import (
    KEPT_DATA_MARK,
    SOCKET_PATH,
    USER_COMMENT,
    Layout,
    claimed_paths,
    is_somebody_elses,
)
from ansible_collections.wsgiops.flask.plugins.module_utils._release import ID_DIGITS
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import current_release
from ansible_collections.wsgiops.flask.plugins.module_utils._services import host_service
from ansible_collections.wsgiops.flask.plugins.module_utils._stage import is_staged


def refuse_another_user(private, layout):
    """Where it all is follows from who runs this, and the controller and the host have to agree on that.

    :raises ValueError: when they do not, or sockets could have no names.
    """
    if private and os.geteuid() == 0:
        raise ValueError("flask_become: false is not accepted: root runs this; log in as an ordinary user")
    if not private and os.geteuid() != 0:
        raise ValueError("flask_become: true is not accepted: it does not make this user root")
    path = layout.socket("0" * ID_DIGITS)
    if len(os.fsencode(path)) > SOCKET_PATH:
        said = "flask_root: {0!r} is not accepted: the path of a socket, {1}, may have {2} bytes; give a shorter one"
        raise ValueError(said.format(layout.root, path, SOCKET_PATH))


def user_exists(layout):
    """Whether the application's own user exists; without root it needs none.

    :raises ValueError: when the name is taken by a user, or a path by something, that is not the application's.
    """
    if is_somebody_elses(layout):
        raise refusal(layout, "{0} exists and is not a wsgiops.flask application's".format(layout.home))
    if layout.private:
        return True
    try:
        found = pwd.getpwnam(layout.name)
    except KeyError:
        taken = next((path for path in [layout.home, *claimed_paths(layout)] if is_foreign(path)), None)
        if taken:
            raise refusal(layout, "{0} exists and is not a wsgiops.flask application's".format(taken)) from None
        return False
    if found.pw_gecos.split(",")[0] != USER_COMMENT:
        raise refusal(layout, "the user {0} exists and was made by somebody else".format(layout.name))
    return True


def is_foreign(path):
    """Whether something stands at a path of an application that has no user here; its kept data and nothing may."""
    if os.path.isdir(path):
        return bool(os.listdir(path)) and not os.path.lexists(os.path.join(path, KEPT_DATA_MARK))
    return os.path.lexists(path)


def refusal(layout, reason):
    said = "name: {0!r} can't be used on this host: {1}; choose another name for the application"
    return ValueError(said.format(layout.name, reason))


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/opt"},
            "source": {"type": "path", "required": True},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "public": {"type": "list", "elements": "str", "default": []},
            "private": {"type": "bool", "default": False},
            "service": {"type": "str", "choices": ["auto", "systemd", "cron"], "default": "auto"},
            "code": {"type": "str"},
        },
        supports_check_mode=True,
    )
    layout = Layout(module.params["name"], module.params["root"])
    code = module.params["code"]
    try:
        refuse_another_user(module.params["private"], layout)
        service = host_service(module.params["service"])
        exists = user_exists(layout)
        staged = is_staged(layout, code, module.params["public"])
    except (OSError, ValueError) as error:
        module.fail_json(msg="{0}: {1}".format(layout.name, error))
    release = current_release(layout)
    module.exit_json(changed=False, code=code, user_exists=exists, staged=staged, release=release, service=service)


if __name__ == "__main__":
    main()
