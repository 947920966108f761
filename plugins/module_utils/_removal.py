# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking an application off a host, whole."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import KEPT_DATA_MARK, Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
from ansible_collections.wsgiops.flask.plugins.module_utils._service_systemd import Systemd


def remove_application(
    layout: Layout, service: Systemd, remove_data: bool, lock_wait: float, dry_run: bool
) -> t.List[str]:
    """Stop and remove everything of the application but its user and what other roles put on the host.

    :param remove_data: remove the state directory too; otherwise it is closed to everyone but root, since the uid
        that owns its content may be given to somebody else.
    :param lock_wait: seconds to wait for another run that changes the application.
    :param dry_run: only tell.
    :returns: what was, or would be, done; empty when nothing of the application was there.
    :raises Locked: when another run still changes the application then.
    """
    if dry_run or not os.path.isdir(layout.home):
        return _remove(layout, service, remove_data, dry_run)
    with locked(layout.lock, "removal", lock_wait):
        return _remove(layout, service, remove_data, dry_run)


def _remove(layout: Layout, service: Systemd, remove_data: bool, dry_run: bool) -> t.List[str]:
    steps = []
    if not dry_run:
        service.end_tasks()
    for release in service.releases():
        steps.append("stop release " + release)
        if not dry_run:
            service.disable(release)
            service.stop(release)
    units = [path for path in layout.unit_templates if os.path.lexists(path)]
    steps += _remove_paths(units, dry_run)
    if units and not dry_run:
        service.daemon_reload()
    paths = [layout.run, layout.cache, layout.logs, layout.home]
    if remove_data:
        paths.append(layout.state)
    elif os.path.isdir(layout.state):
        steps += _close_data(layout.state, dry_run)
    return steps + _remove_paths(paths, dry_run)


def _remove_paths(paths: t.Iterable[str], dry_run: bool) -> t.List[str]:
    steps = []
    for path in paths:
        if os.path.lexists(path):
            steps.append("remove " + path)
            if not dry_run:
                _files.remove(path)
    return steps


def _close_data(path: str, dry_run: bool) -> t.List[str]:
    mark = _files.WantedFile(os.path.join(path, KEPT_DATA_MARK), "", 0o600)
    if _files.matches(mark):
        return []
    if not dry_run:
        # systemd gives the tree to the application's user again when the directory's owner differs from it
        # (StateDirectory= in systemd.exec(5)), so a later deploy finds its data.
        _files.ensure_directory(path, 0o700)
        _files.write(mark)
    return ["keep {0}, closed to everyone but root".format(path)]
