# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One change of an application at a time: ``flock(2)`` on a file that says who holds it, since when and why."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import time
import typing as t


class Locked(Exception):
    """Somebody else changes the application; the text says who, since when and why."""


def _note(handle: t.IO[str]) -> t.Dict[str, t.Any]:
    """What the lock file says of its holder; it may be caught between truncation and writing, and says nothing then."""
    handle.seek(0)
    try:
        note = json.loads(handle.read())
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _holder(note: t.Dict[str, t.Any]) -> str:
    try:
        since = datetime.datetime.fromisoformat(note["since"])
        age = int((datetime.datetime.now(datetime.timezone.utc) - since).total_seconds())
        return "process {pid} ({reason}) holds it since {since}, {age} s".format(age=age, **note)
    except (ValueError, KeyError, TypeError):
        return "a process that has just started holds it"


# How often a lock that is waited for is tried again, in seconds.
PAUSE = 0.2

# A process that has the lock writes at once what for; one that has not after this long died before it could.
NOTE_WAIT = 1.0


def _acquire(handle: t.IO[str], reason: str, wait: float, wait_for_same: float) -> None:
    start = time.monotonic()
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            note = _note(handle)
            patience = max(wait, wait_for_same if note.get("reason") == reason else NOTE_WAIT if not note else 0)
            if time.monotonic() - start >= patience:
                cure = "; run again when it has ended, or wait for it with flask_lock_wait (seconds)"
                raise Locked("locked by another run: " + _holder(note) + cure) from None
        time.sleep(PAUSE)


@contextlib.contextmanager
def locked(path: str, reason: str, wait: float, wait_for_same: float = 0.0) -> t.Iterator[int]:
    """Hold the lock ``path`` while the block runs; its directory must exist.

    The lock belongs to the open file, so the kernel gives it back when the process dies, however it dies. The block
    gets the file's descriptor: a child that inherits it keeps the lock while it outlives its parent.

    :param reason: what the lock is held for.
    :param wait: seconds to wait for a run that holds it; 0 for not at all.
    :param wait_for_same: seconds to wait for one that holds it for the same reason: one that lost its controller, say.
        What it does has not to be done again.
    :raises Locked: when somebody else still holds it then.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as handle:
        _acquire(handle, reason, wait, wait_for_same)
        since = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        handle.seek(0)
        handle.truncate(0)
        handle.write(json.dumps({"pid": os.getpid(), "reason": reason, "since": since}))
        handle.flush()
        yield descriptor
        handle.seek(0)
        handle.truncate(0)
