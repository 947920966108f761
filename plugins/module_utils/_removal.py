# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking an application off a host, whole."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import time
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _crontab, _files
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import (
    KEPT_DATA_MARK,
    USER_COMMENT,
    Layout,
    is_somebody_elses,
)
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
from ansible_collections.wsgiops.flask.plugins.module_utils._services import Services

# Seconds in which the kernel has to have ended what it was told to.
KILL_TIMEOUT = 10.0


def remove_application(
    layout: Layout, service: Services, remove_data: bool, lock_wait: float, dry_run: bool
) -> t.List[str]:
    """Stop and remove everything of the application but its user and what other roles put on the host.

    :param remove_data: remove the state directory too; otherwise it is closed to everyone but root, since the uid
        that owns its content may be given to somebody else.
    :param lock_wait: seconds to wait for another run that changes the application.
    :param dry_run: only tell.
    :returns: what was, or would be, done; empty when nothing of the application was there.
    :raises Locked: when another run still changes the application then.
    :raises ValueError: when its home is an ordinary user's directory for something else.
    """
    if is_somebody_elses(layout):
        said = "{0}: {1} is not a wsgiops.flask application's, and is left alone"
        raise ValueError(said.format(layout.name, layout.home))
    if dry_run or not os.path.isdir(layout.home) or _is_gone_but_for_data(layout, remove_data):
        return _remove(layout, service, remove_data, dry_run)
    with locked(layout.lock, "removal", lock_wait):
        return _remove(layout, service, remove_data, dry_run)


def _remove(layout: Layout, service: Services, remove_data: bool, dry_run: bool) -> t.List[str]:
    steps = []
    if not dry_run:
        service.end_tasks()
    for release in service.releases():
        steps.append("stop release " + release)
        if not dry_run:
            service.disable(release)
            service.stop(release)
    steps += _end_the_rest(layout, dry_run)
    units = [path for path in layout.control_files if os.path.lexists(path)]
    steps += _remove_paths(units, dry_run)
    listed = layout.private and _is_listed(layout.name)
    if listed:
        steps.append("remove its lines of the crontab")
    if (units or listed) and not dry_run:
        service.daemon_reload()
    paths = [layout.home] if layout.private else [layout.run, layout.cache, layout.logs, layout.home]
    if remove_data:
        paths += [] if layout.private else [layout.state]
    elif os.path.isdir(layout.state):
        steps += _close_data(layout, dry_run)
        if layout.private:
            paths = [path for path in _others(layout) if path not in units]
    return steps + _remove_paths(paths, dry_run)


def _end_the_rest(layout: Layout, dry_run: bool) -> t.List[str]:
    """End what else runs as the application's own user, who goes: what it left behind, or a shell of somebody's."""
    try:
        user = pwd.getpwnam(layout.name)
    except KeyError:
        return []
    if layout.private or user.pw_gecos.split(",")[0] != USER_COMMENT or not _processes_of(user.pw_uid):
        return []
    deadline = time.monotonic() + KILL_TIMEOUT
    while not dry_run and time.monotonic() < deadline:
        left = _processes_of(user.pw_uid)
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return ["end what else runs as " + layout.name]


def _processes_of(uid: int) -> t.List[int]:
    """Those that live, without what containers have under the same number (pid_namespaces(7))."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _is_of(name, uid)]


def _is_of(pid: str, uid: int) -> bool:
    process = os.path.join("/proc", pid)
    try:
        if os.stat(process).st_uid != uid:
            return False
        with open(os.path.join(process, "stat"), encoding="utf-8", errors="replace") as stat:
            lives = stat.read().rpartition(")")[2].split()[0] not in "ZX"
        return lives and _namespace(pid) in ("", _namespace("self"))
    except OSError:
        return False


def _namespace(pid: str) -> str:
    """Empty where it is not to be seen, as in many a container."""
    try:
        return os.readlink(os.path.join("/proc", pid, "ns/pid"))
    except PermissionError:
        return ""


def _is_gone_but_for_data(layout: Layout, remove_data: bool) -> bool:
    """Whether nothing is to be removed of an application without root; a lock would be the first thing in its home."""
    return layout.private and not remove_data and not _others(layout)


def _is_listed(name: str) -> bool:
    """Whether the user's crontab has lines of the application."""
    try:
        return _crontab.lines_of(name) is not None
    except _crontab.CrontabError:
        return False


def _others(layout: Layout) -> t.List[str]:
    """What is in the home of an application without root beside its data."""
    found = sorted(set(os.listdir(layout.home)) - {os.path.basename(layout.state)})
    return [os.path.join(layout.home, name) for name in found]


def _remove_paths(paths: t.Iterable[str], dry_run: bool) -> t.List[str]:
    steps = []
    for path in paths:
        if os.path.lexists(path):
            steps.append("remove " + path)
            if not dry_run:
                _files.remove(path)
    return steps


def _close_data(layout: Layout, dry_run: bool) -> t.List[str]:
    mark = _files.WantedFile(os.path.join(layout.state, KEPT_DATA_MARK), "", 0o600)
    if _files.matches(mark):
        return []
    if not dry_run:
        # systemd gives the tree to the application's user again when the directory's owner differs from it
        # (StateDirectory= in systemd.exec(5)), so a later deploy finds its data.
        _files.ensure_directory(layout.state, 0o700)
        _files.write(mark)
    return ["keep {0}{1}".format(layout.state, "" if layout.private else ", closed to everyone but root")]
