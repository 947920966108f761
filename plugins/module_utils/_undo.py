# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stood at paths before they were changed, on the disk until there is a verdict on the change.

Whoever comes first undoes the change of a process that died before that: the next transaction, by this, or the next
start of nginx, by undo.sh of the role nginx, which reads the same files:

- ``undo/list``: a line for each path, with the name of the file that holds what stood there, or ``-`` for nothing;
- ``undo/0`` and so on: that, a file or a link, with its owner and its bits;
- ``undo/apply``: the command that makes the service read its files, in JSON.

The directory itself is locked by whoever is at work, so that nobody takes a living process for a dead one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files

# It outlives a boot, which is what it is for. Without root there is no such place that is sure to be there.
DIRECTORY = "/var/lib/wsgiops.flask"
PRIVATE_DIRECTORY = "~/.local/state/wsgiops.flask"

# Seconds for the transactions of another run: each has a reload or two, and questions to applications that are slow.
PATIENCE = 180.0

_NOTHING = "-"

_BUSY = "another run changes configuration files on this host and does not come to its end{0}; nothing was changed"


class BusyError(Exception):
    """Another run does not come to its end."""


def directory() -> str:
    return DIRECTORY if os.geteuid() == 0 else os.path.expanduser(PRIVATE_DIRECTORY)


def is_left() -> bool:
    """Whether there is something to undo, or soon will be: a living process may be waiting for its verdict."""
    return os.path.isdir(_journal())


@contextlib.contextmanager
def alone() -> t.Iterator[None]:
    """No other process is between a change and the verdict on it while the block runs.

    :raises BusyError: when one does not come to its end.
    """
    descriptor = _locked()
    try:
        yield
    finally:
        # The last one takes the directory along, while nobody else can be in it.
        with contextlib.suppress(OSError):
            os.rmdir(directory())
            if os.geteuid() != 0:
                os.removedirs(os.path.dirname(directory()))
        os.close(descriptor)


def _locked() -> int:
    """A descriptor that holds the lock of the directory, which is made where there is none."""
    deadline = time.monotonic() + PATIENCE
    while True:
        path = directory()
        os.makedirs(path, mode=0o700, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have taken the directory along.
            if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = _holder(os.fstat(descriptor).st_ino)
                os.close(descriptor)
                raise BusyError(_BUSY.format(holder)) from None
            time.sleep(0.1)
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _holder(inode: int) -> str:
    """Who has the lock, in a message: by its line of /proc/locks (proc(5)), which ends in the inode and the range."""
    for line in (_files.read_text("/proc/locks") or "").splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5].endswith(":{0}".format(inode)):
            return " (process {0})".format(words[4])
    return ""


def begin(paths: t.Sequence[str], apply: t.Sequence[str]) -> None:
    """Have on the disk what stands at ``paths`` now, before any of it changes.

    :param apply: the command that makes the service read its files.
    :raises OSError: among others when something stands there that is neither a file nor a link.
    :raises ValueError: when the list has no room for a path.
    """
    made = os.path.join(directory(), "new")
    _files.remove(made)
    os.mkdir(made, 0o700)
    try:
        lines = [_keep(path, made, str(number)) for number, path in enumerate(paths)]
        _write(os.path.join(made, "apply"), json.dumps(list(apply)))
        _write(os.path.join(made, "list"), "".join(lines))
        _files.sync_directory(made)
    except BaseException:
        _files.remove(made)
        raise
    os.rename(made, _journal())
    _files.sync_directory(directory())


def undo() -> t.List[str]:
    """Put everything back, whatever of it has changed; returns the command that makes the service read its files.

    Where that came to an end half-way, the next one goes on with it.
    """
    journal = _journal()
    lines = (_files.read_text(os.path.join(journal, "list")) or "").splitlines()
    for line in lines:
        name, path = line.split(" ", 1)
        if name == _NOTHING:
            _files.remove(path)
        elif os.path.lexists(os.path.join(journal, name)):
            _files.ensure_exists(os.path.dirname(path))
            _move(os.path.join(journal, name), path)
    for above in {os.path.dirname(line.split(" ", 1)[1]) for line in lines}:
        if os.path.isdir(above):
            _files.sync_directory(above)
    apply = json.loads(_files.read_text(os.path.join(journal, "apply")) or "[]")
    end()
    return [str(word) for word in apply]


def end() -> None:
    """The verdict is there: nothing is to be undone any more."""
    ended = os.path.join(directory(), "ended")
    _files.remove(ended)
    os.rename(_journal(), ended)
    _files.sync_directory(directory())
    _files.remove(ended)


def _journal() -> str:
    return os.path.join(directory(), "undo")


def _keep(path: str, made: str, name: str) -> str:
    """Copy what stands at a path; returns its line of the list."""
    if "\n" in path:
        raise ValueError("{0!r}: a path has no newline in it".format(path))
    if not os.path.lexists(path):
        return "{0} {1}\n".format(_NOTHING, path)
    _copy(path, os.path.join(made, name))
    return "{0} {1}\n".format(name, path)


def _move(source: str, path: str) -> None:
    """Rename, which takes no room on the disk, or copy from one file system to another."""
    if os.path.isdir(path) and not os.path.islink(path):
        _files.remove(path)
    try:
        os.rename(source, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # No pattern of a configuration finds a name with a dot in front.
        beside = os.path.join(os.path.dirname(path), ".wsgiops-undo")
        _files.remove(beside)
        _copy(source, beside)
        os.rename(beside, path)


def _copy(source: str, target: str) -> None:
    """A file or a link, with owner, bits and times, on the disk."""
    found = os.lstat(source)
    shutil.copy2(source, target, follow_symlinks=False)
    os.lchown(target, found.st_uid, found.st_gid)
    if not os.path.islink(target):
        # What chown(2) may have taken away.
        os.chmod(target, found.st_mode & 0o7777)
        _sync(target)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as handle:
        handle.write(text)
    _sync(path)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
