# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import NamedTuple

FILE = "file"
LINK = "link"

# 16 hex digits are 64 bits. The digest is part of a release id, and the id of the path of a unix socket, which has room
# for 107 bytes (unix(7)); among a million releases of one application two still meet by chance with a probability of
# 3e-8. Whoever could make two trees meet on purpose writes the application itself and needs no such trick.
DIGEST_LENGTH = 16

_CHUNK = 1 << 20  # bytes per read: bounds the memory a large file takes


class Entry(NamedTuple):
    """One file or symbolic link of a tree; directories count only through what they hold, as in git."""

    path: str  # relative, "/" between the parts, UTF-8 with surrogateescape whatever the locale
    kind: str  # FILE or LINK
    executable: bool  # the owner's x bit, the only mode bit git keeps as well; False for a link
    digest: str  # sha256 in hex: of the content of a file, of the target text of a link


def encode_path(path: str) -> bytes:
    """The bytes of a name on disk; independent of the locale, so that two machines never disagree on a digest."""
    return path.encode("utf-8", "surrogateescape")


def decode_path(path: bytes) -> str:
    """The text of a name on disk, also when it is not UTF-8; `encode_path` gives the same bytes back."""
    return path.decode("utf-8", "surrogateescape")


def native_path(root: str | bytes | os.PathLike[str], path: str) -> bytes:
    """Where the relative `path` of an entry is on disk."""
    return os.path.join(os.fsencode(root), encode_path(path)) if path else os.fsencode(root)


def join_path(directory: str, name: bytes) -> str:
    """The relative path of `name` in the relative `directory` ("" for the root)."""
    return f"{directory}/{decode_path(name)}" if directory else decode_path(name)


def file_entry(path: str, location: bytes) -> Entry:
    """Read the file at `location` once and describe it as `path`. Raises OSError."""
    content = hashlib.sha256()
    with open(location, "rb") as file:
        executable = bool(os.fstat(file.fileno()).st_mode & 0o100)
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            content.update(chunk)
    return Entry(path, FILE, executable, content.hexdigest())


def link_entry(path: str, target: bytes) -> Entry:
    """Describe a symbolic link by its target text; what it leads to is not looked at."""
    return Entry(path, LINK, False, hashlib.sha256(target).hexdigest())


def sorted_entries(entries: Iterable[Entry]) -> list[Entry]:
    """Entries in the order of the bytes of their paths: no locale takes part in it."""
    return sorted(entries, key=lambda entry: encode_path(entry.path))


def tree_digest(entries: Iterable[Entry]) -> str:
    """The name of a tree: 16 hex digits, the same for the same content on any machine, umask or mtime.

    Every field goes in with its length before it (a netstring), so no path, however odd, can pass for the end of one
    entry and the beginning of the next. Raises ValueError when two entries have the same path, which no tree has.
    """
    total = hashlib.sha256()
    previous = None
    for entry in sorted_entries(entries):
        if entry.path == previous:
            raise ValueError(f"two entries have the path {entry.path!r}")
        previous = entry.path
        mode = b"x" if entry.executable else b"-"
        for field in (encode_path(entry.path), entry.kind.encode(), mode, entry.digest.encode()):
            total.update(b"%d:%b," % (len(field), field))
    return total.hexdigest()[:DIGEST_LENGTH]


def scan(root: str | bytes | os.PathLike[str]) -> list[Entry]:
    """Every file and link under the directory `root`, sorted; nothing is left out and no link is followed.

    Raises ValueError for a fifo, socket or device (a release has none), OSError for what cannot be read.
    """
    entries = []
    pending = [""]
    while pending:
        directory = pending.pop()
        with os.scandir(native_path(root, directory)) as children:
            for child in children:
                path = join_path(directory, child.name)
                if child.is_symlink():
                    entries.append(link_entry(path, os.readlink(child.path)))
                elif child.is_dir(follow_symlinks=False):
                    pending.append(path)
                elif child.is_file(follow_symlinks=False):
                    entries.append(file_entry(path, child.path))
                else:
                    raise ValueError(f"{path!r} is neither a file, a directory nor a symbolic link")
    return sorted_entries(entries)
