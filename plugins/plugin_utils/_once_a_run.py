# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one of the processes of a run works out for the others of them: Ansible has one for each task and host."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
import typing as t
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Where each host has its own, keeping what no other one asks for would take time and space in vain.
MOST = 16

# Of the lock of those who write; that of a value is behind it.
_WRITERS = 0


class OnceARun:
    """Values by what they follow from, for this process and all those that it starts.

    They are in a file without a name, which these processes alone have open, and which is gone with the last of them.
    What is in it may be secret. A module's own is made where Ansible loads an action, before it starts a process.
    """

    def __init__(self) -> None:
        # Open as long as there is a process: to close it would give back the locks of one.
        self._file, path = tempfile.mkstemp(prefix="wsgiops-flask-")
        os.unlink(path)

    def value(self, follows_from: t.Any, work: Callable[[], t.Any]) -> t.Any:
        """What ``work`` returns, or has returned to another process that asked for the same, which is waited for.

        :param follows_from: all that decides it, as JSON can hold it with its keys in an order.
        :param work: its result is one of JSON.
        """
        told = json.dumps(follows_from, sort_keys=True)
        key = hashlib.sha256(told.encode()).hexdigest()
        with self._locked(1 + int(key[:12], 16)):
            kept = self._kept()
            if key in kept:
                return json.loads(kept[key])
            found = work()
            if len(kept) < MOST:
                self._keep(key, json.dumps(found))
            return found

    def _kept(self) -> dict[str, str]:
        return dict(line.split(" ", maxsplit=1) for line in self._lines().decode().splitlines())

    def _lines(self) -> bytes:
        """Without one that somebody is writing, or was killed at."""
        text = os.pread(self._file, os.fstat(self._file).st_size, 0)
        return text[: text.rfind(b"\n") + 1]

    def _keep(self, key: str, text: str) -> None:
        line = f"{key} {text}\n".encode()
        with self._locked(_WRITERS):
            end = len(self._lines())
            os.ftruncate(self._file, end)
            while line:
                written = os.pwrite(self._file, line, end)
                line, end = line[written:], end + written

    @contextmanager
    def _locked(self, place: int) -> Iterator[None]:
        # Those of lockf(3) are of processes, which share the open file.
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, place)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)
