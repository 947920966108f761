# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module release_info."""

from __future__ import annotations

import os
import pwd
import typing as t

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
from ansible_collections.wsgiops.flask.plugins.module_utils._task import Task, TaskError

OPTIONS: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "root": {"type": "path", "default": "/opt"},
    "source": {"type": "path", "required": True},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "public": {"type": "list", "elements": "str", "default": []},
    "private": {"type": "bool", "default": False},
    "service": {"type": "str", "choices": ["auto", "systemd", "cron"], "default": "auto"},
    "code": {"type": "str"},
}


def perform(task: Task) -> t.Dict[str, t.Any]:
    params = task.params
    layout = Layout(params["name"], params["root"])
    code = params["code"]
    try:
        _refuse_another_user(params["private"], layout)
        result = {
            "service": host_service(params["service"]),
            "user_exists": _user_exists(layout),
            "staged": is_staged(layout, code, params["public"]),
        }
    except (OSError, ValueError) as error:
        raise TaskError("{0}: {1}".format(layout.name, error)) from error
    return dict(result, changed=False, code=code, release=current_release(layout))


def _refuse_another_user(private: bool, layout: Layout) -> None:
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


def _user_exists(layout: Layout) -> bool:
    """Whether the application's own user exists; without root it needs none.

    :raises ValueError: when the name is taken by a user, or a path by something, that is not the application's.
    """
    if is_somebody_elses(layout):
        raise _refusal(layout, "{0} exists and is not a wsgiops.flask application's".format(layout.home))
    if layout.private:
        return True
    try:
        found = pwd.getpwnam(layout.name)
    except KeyError:
        taken = next((path for path in [layout.home, *claimed_paths(layout)] if _is_foreign(path)), None)
        if taken:
            raise _refusal(layout, "{0} exists and is not a wsgiops.flask application's".format(taken)) from None
        return False
    if found.pw_gecos.split(",")[0] != USER_COMMENT:
        raise _refusal(layout, "the user {0} exists and was made by somebody else".format(layout.name))
    return True


def _is_foreign(path: str) -> bool:
    """Whether something stands at a path of an application that has no user here; its kept data and nothing may."""
    if os.path.isdir(path):
        return bool(os.listdir(path)) and not os.path.lexists(os.path.join(path, KEPT_DATA_MARK))
    return os.path.lexists(path)


def _refusal(layout: Layout, reason: str) -> ValueError:
    said = "name: {0!r} can't be used on this host: {1}; choose another name for the application"
    return ValueError(said.format(layout.name, reason))
