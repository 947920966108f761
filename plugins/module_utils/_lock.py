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


def _holder(handle: t.IO[str]) -> str:
    """What the lock file says of its holder; the file may be caught between truncation and writing."""
    try:
        note = json.loads(handle.read())
        since = datetime.datetime.fromisoformat(note["since"])
        age = int((datetime.datetime.now(datetime.timezone.utc) - since).total_seconds())
        return "process {pid} ({reason}) holds it since {since}, {age} s".format(age=age, **note)
    except (ValueError, KeyError, TypeError):
        return "a process that has just started holds it"


# How often a lock that is waited for is tried again, in seconds.
PAUSE = 0.2


def _acquire(handle: t.IO[str], wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                handle.seek(0)
                raise Locked("locked by another run: " + _holder(handle)) from None
        time.sleep(PAUSE)


@contextlib.contextmanager
def locked(path: str, reason: str, wait: float) -> t.Iterator[int]:
    """Hold the lock ``path`` while the block runs; its directory must exist.

    The lock belongs to the open file, so the kernel gives it back when the process dies, however it dies. The block
    gets the file's descriptor: a child that inherits it keeps the lock while it outlives its parent.

    :param wait: seconds to wait for a run that holds it, one that lost its controller, say; 0 for not at all.
    :raises Locked: when somebody else still holds it then.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as handle:
        _acquire(handle, wait)
        since = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        handle.seek(0)
        handle.truncate(0)
        handle.write(json.dumps({"pid": os.getpid(), "reason": reason, "since": since}))
        handle.flush()
        yield descriptor
        handle.seek(0)
        handle.truncate(0)
