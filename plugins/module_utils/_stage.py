# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Code on a host: one directory per digest, complete and unaltered or not there at all."""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile
import typing as t
import zlib

from ansible_collections.wsgiops.flask.plugins.module_utils import _files
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._tree import scan, tree_digest

STAGING_PREFIX = ".staging-"


def is_staged(layout: Layout, digest: str, public: t.Optional[t.Sequence[str]] = None) -> bool:
    """Whether the host has the code of ``digest``: same content, and nobody but root may write any of it.

    :param public: relative paths of the directories that everyone may read, and no other; None for any.
    """
    path = os.path.join(layout.code_store, digest)
    if not os.path.isdir(path) or os.path.islink(path):
        return False
    try:
        return tree_digest(scan(path)) == digest and _is_read_only(path, layout.name, public)
    except ValueError:
        return False


def publish(layout: Layout, public: t.Sequence[str]) -> None:
    """Let everyone read some directories of all staged code, and nothing else of it.

    Of older code as well: after a rollback nginx serves files of that.
    """
    for digest in os.listdir(layout.code_store):
        _make_read_only(os.path.join(layout.code_store, digest), layout.name, public)


def stage(layout: Layout, digest: str, archive: str, public: t.Sequence[str] = ()) -> None:
    """Unpack ``archive`` and give it its place in the code store with one rename.

    :param archive: path of the tar file on this host.
    :param public: relative paths of the directories that everyone may read, of other code on this host too.
    :raises ValueError: when the archive does not hold the code of ``digest``; nothing is left behind.
    :raises OSError: as the system says (a full disk, say); nothing is left behind.
    """
    _clear_leftovers(layout.code_store)
    staging = tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=layout.code_store)
    try:
        try:
            with tarfile.open(archive) as tar:
                _extract(tar, staging)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise ValueError("the archive can't be unpacked: {0}".format(error)) from error
        found = tree_digest(scan(staging))
        if found != digest:
            said = "the archive holds code {0} where {1} was announced; did the source change during the run?"
            raise ValueError(said.format(found, digest))
        _make_read_only(staging, layout.name, public)
        final = os.path.join(layout.code_store, digest)
        if os.path.lexists(final):
            os.rename(final, os.path.join(layout.code_store, STAGING_PREFIX + "replaced-" + digest))
        os.rename(staging, final)
    except BaseException:
        _files.remove(staging)
        raise
    _files.sync_directory(layout.code_store)
    _clear_leftovers(layout.code_store)
    publish(layout, public)


def _clear_leftovers(store: str) -> None:
    for entry in os.listdir(store):
        if entry.startswith(STAGING_PREFIX):
            _files.remove(os.path.join(store, entry))


def _extract(tar: tarfile.TarFile, target: str) -> None:
    """Unpack with the "data" filter (PEP 706) where this Python has it: nothing may land outside of ``target``."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(target, filter="data")
        return
    seen: t.Dict[str, bool] = {}
    for member in tar.getmembers():
        parts = member.name.split("/")
        above = ("/".join(parts[:length]) for length in range(1, len(parts)))
        if (
            {"", ".", ".."} & set(parts)
            or not (member.isreg() or member.isdir() or member.issym())
            # What is written over or below a link lands where the link leads.
            or member.name in seen
            or any(seen.get(path) for path in above)
        ):
            raise ValueError("the archive holds {0!r}, which may not be unpacked".format(member.name))
        seen[member.name] = member.issym()
    tar.extractall(target)


def _make_read_only(root: str, group: str, public: t.Sequence[str]) -> None:
    """Owned by root, readable to the application's group, closed to everyone else but for what is public."""
    ids = _files.reader_ids(group)
    for path, is_link in _walk(root):
        os.lchown(path, *ids)
        if not is_link:
            os.chmod(path, _wanted_mode(os.path.relpath(path, root), os.lstat(path).st_mode, public))


def _is_read_only(root: str, group: str, public: t.Optional[t.Sequence[str]]) -> bool:
    try:
        ids = _files.reader_ids(group)
    except KeyError:
        return False
    for path, is_link in _walk(root):
        found = os.lstat(path)
        if (found.st_uid, found.st_gid) != ids:
            return False
        if is_link:
            continue
        mode = stat.S_IMODE(found.st_mode)
        if public is None:
            # As for everyone, whatever that is.
            mode, wanted = mode & 0o7772, _wanted_mode("", found.st_mode, ())
        else:
            wanted = _wanted_mode(os.path.relpath(path, root), found.st_mode, public)
        if mode != wanted:
            return False
    return True


def _wanted_mode(path: str, mode: int, public: t.Sequence[str]) -> int:
    """The bits of a file or directory with the relative ``path``; who reads what is public passes what is above it."""
    wanted = 0o750 if stat.S_ISDIR(mode) or mode & stat.S_IXUSR else 0o640
    if any((path + "/").startswith(directory + "/") for directory in public):
        return wanted | wanted >> 3 & 0o005
    if stat.S_ISDIR(mode) and any(path == "." or directory.startswith(path + "/") for directory in public):
        return wanted | stat.S_IXOTH
    return wanted


def _walk(root: str):
    """All paths of the tree, the root first, each with whether it is a link."""
    yield root, False
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(directory, name)
            yield path, os.path.islink(path)
