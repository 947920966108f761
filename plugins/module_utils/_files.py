# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small, durable file operations: everything appears whole or not at all."""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
import shutil
import stat
import tempfile
import typing as t


@dataclasses.dataclass(frozen=True)
class WantedFile:
    """A regular file as it should be: ``mode`` is the permission bits, owner and group are names.

    Without root, all that is written belongs to whoever writes it.
    """

    path: str
    content: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"

    def ids(self) -> tuple[int, int]:
        """Numeric owner and group.

        :raises KeyError: when the host does not know them.
        """
        if os.geteuid() != 0:
            return os.geteuid(), os.getegid()
        return pwd.getpwnam(self.owner).pw_uid, grp.getgrnam(self.group).gr_gid


def read_text(path: str) -> t.Optional[str]:
    """The content of a regular file, ``None`` when there is none or it is something else."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def matches(wanted: WantedFile) -> bool:
    """Whether ``wanted`` stands on the host: content, permission bits, owner and group."""
    try:
        found = os.lstat(wanted.path)
        owner, group = wanted.ids()
    except (FileNotFoundError, NotADirectoryError, KeyError):
        return False
    return (
        stat.S_ISREG(found.st_mode)
        and stat.S_IMODE(found.st_mode) == wanted.mode
        and (found.st_uid, found.st_gid) == (owner, group)
        and read_text(wanted.path) == wanted.content
    )


def write(wanted: WantedFile) -> None:
    """Put ``wanted`` in place with one ``rename(2)``, on the disk before it is visible (``fsync(2)``).

    :raises KeyError: when owner or group is unknown; nothing is changed then.
    :raises OSError: as the system says; what stood there still stands.
    """
    owner, group = wanted.ids()
    directory = os.path.dirname(wanted.path)
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".wsgiops-new", dir=directory)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as handle:
            handle.write(wanted.content)
            handle.flush()
            os.fchown(handle.fileno(), owner, group)
            os.fchmod(handle.fileno(), wanted.mode)
            os.fsync(handle.fileno())
        os.rename(temporary, wanted.path)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    sync_directory(directory)


def replace_link(target: str, link: str) -> None:
    """Make ``link`` point to ``target`` with one ``rename(2)``: there is no moment without the link."""
    temporary = link + ".wsgiops-new"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.rename(temporary, link)
    sync_directory(os.path.dirname(link))


def sync_directory(path: str) -> None:
    """Make renames in ``path`` outlive a power cut (``fsync(2)`` of the directory)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ensure_directory(path: str, mode: int, owner: int = 0, group: int = 0) -> bool:
    """Make ``path`` a directory with these bits and ids; parents must exist. Returns whether something changed.

    Without root the ids are those of whoever makes it.

    :raises OSError: among others when something else stands there.
    """
    changed = False
    if os.geteuid() != 0:
        owner, group = os.geteuid(), os.getegid()
    try:
        os.mkdir(path, mode)
        changed = True
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise
    found = os.lstat(path)
    if (found.st_uid, found.st_gid) != (owner, group):
        os.chown(path, owner, group)
        changed = True
    if stat.S_IMODE(found.st_mode) != mode:
        os.chmod(path, mode)
        changed = True
    return changed


def reader_ids(group: str) -> t.Tuple[int, int]:
    """Owner and group of what a group reads and root alone writes; without root, both are those of who writes it.

    :raises KeyError: when the host does not know the group.
    """
    return (0, grp.getgrnam(group).gr_gid) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def ensure_exists(path: str) -> None:
    """Make ``path``, and what is above it, a directory that everyone may pass; one that is there stays as it is."""
    if not os.path.isdir(path):
        ensure_exists(os.path.dirname(path))
        ensure_directory(path, 0o755)


def remove(path: str) -> bool:
    """Remove a file, link or whole directory; returns whether there was one. Links are never followed."""
    if not os.path.lexists(path):
        return False
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
    return True
