# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A switch that its controller has to confirm: otherwise the host goes back by itself, down the same road.

What went wrong may be that the host can't be reached any more, so what takes the release back has to be on it: a copy
of this code, started by a timer of systemd, or by cron.
"""

from __future__ import annotations

import inspect
import os
import sys
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
from ansible_collections.wsgiops.flask.plugins.module_utils._services import Services

_PACKAGE = __name__.rsplit(".", 1)[0]

# The program of a directory that Python runs.
_PROGRAM = "import sys\nfrom {0}._take_back import main\nmain(sys.argv[1:])\n".format(_PACKAGE)

# Seconds: whatever else changes the application ends some day, and the release has to be looked at then.
LOCK_WAIT = 3600.0


def arm(layout: Layout, service: Services, release: str, previous: str, seconds: float, rest: float) -> None:
    """Have the host go back from ``release`` to ``previous``, unless :func:`confirm` comes within ``seconds``.

    :param rest: seconds that what arms it may take to its end, from which ``seconds`` count.
    :raises OSError, ServiceError: when that can't be had; nothing is armed then.
    """
    _files.remove(layout.take_back)
    _files.ensure_directory(layout.take_back, 0o700)
    _write(layout.take_back, "__main__.py", _PROGRAM)
    for name, module in sorted(sys.modules.items()):
        if name.startswith(_PACKAGE + "."):
            _write(layout.take_back, name.replace(".", "/") + ".py", inspect.getsource(module))
    arguments = [layout.name, layout.root, release, previous, "{0:g}".format(seconds)]
    service.arm([sys.executable, "-I", layout.take_back, *arguments], seconds + rest)


def cancel(layout: Layout, service: Services) -> None:
    """Forget what was armed, if anything was: what it was to take back does not serve any more."""
    service.disarm()
    _files.remove(layout.take_back)


def confirm(layout: Layout, service: Services) -> bool:
    """Keep the release that serves; returns whether it was to be taken back."""
    pending = service.withdraw()
    _files.remove(layout.take_back)
    return pending


def main(arguments: t.Sequence[str]) -> None:
    """Take a release back; the arguments are those of ``arm``, what happens goes to the journal."""
    # It needs this module, to arm.
    from ansible_collections.wsgiops.flask.plugins.module_utils import _history, _release_store, _road

    name, root, release, previous, seconds = arguments
    layout = Layout(name, root)
    with locked(layout.lock, "taking back release " + release, LOCK_WAIT):
        # Confirmed while this waited for the lock.
        if not os.path.isdir(layout.take_back) or _release_store.current_release(layout) != release:
            _say("release {0} does not serve any more: nothing to take back".format(release))
            return
        label = _release_store.label_of(layout, release)
        wanted = _release_store.load(layout, previous)
        road = _road.Road(wanted, Services(layout, wanted))
        road.travel()
        reason = "not confirmed within {0} s".format(seconds)
        _history.record(layout.history, _history.TAKEN_BACK, release, previous, label, reason)
        _files.remove(layout.take_back)
    _say("took back release {0}, {1}: {2}".format(release, reason, "; ".join(road.steps)))


def _say(text: str) -> None:
    """To the journal: no module runs here that could return it."""
    sys.stdout.write(text + "\n")


def _write(directory: str, name: str, text: str) -> None:
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    _files.write(_files.WantedFile(path, text))
