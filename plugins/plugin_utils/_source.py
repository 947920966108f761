# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of an application's source directory is deployed, and the archive that carries it to a host."""

from __future__ import annotations

import gzip
import hashlib
import os
import posixpath
import stat
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ansible_collections.wsgiops.flask.plugins.module_utils._tree import (
    FILE,
    LINK,
    Entry,
    decode_path,
    encode_path,
    file_entry,
    join_path,
    link_entry,
    native_path,
    sorted_entries,
)
from ansible_collections.wsgiops.flask.plugins.plugin_utils._gitignore import Ignore, Pattern, parse_lines

# Never deployed, whatever `exclude` says: secrets and databases of a developer, history, and what a machine made for
# itself. Besides these, any directory with a pyvenv.cfg (a virtual environment under any name, see PEP 405) and any
# `instance` directory that is not a Python package. No final slash where a link often stands for the directory.
NEVER = (
    ".git", ".hg", ".svn", ".bzr", ".jj",
    ".env", ".env.*", "!.env.example", "!.env.sample", "!.env.template", ".envrc",
    "/instance",
    "venv/", ".venv",
    "__pycache__/", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/", ".tox/", ".nox/",
)  # fmt: skip

# Not deployed unless a .gitignore or `exclude` brings it back with `!`. Bytecode is here and not above because a module
# may be delivered as *.pyc alone; the bytecode that Python itself keeps is in __pycache__.
DEFAULT = (
    "*.pyc", "*.pyo",
    "node_modules", ".cache/",
    ".coverage", ".coverage.*", "htmlcov/",
    ".idea/", ".vscode/",
    # Editors: Vim's swap files, backups, and Emacs' locks, which are links that dangle while a file is being edited.
    "*.swp", "*.swo", "*~", ".#*",
    ".DS_Store", "Thumbs.db",
)  # fmt: skip

_MAX_LINKS = 40  # links followed for one path before the kernel says ELOOP: path_resolution(7)

_NEVER = Ignore(pattern for text in NEVER for pattern in parse_lines(text))
_DEFAULT = tuple(pattern for text in DEFAULT for pattern in parse_lines(text, origin="default"))


class SourceError(ValueError):
    """The source cannot be deployed as it is; the message says what is wrong, where, and what to do."""


def list_source(root: Path, exclude: Sequence[str] = ()) -> list[Entry]:
    """What is deployed of the directory `root`, sorted by path.

    A path is left out by the last pattern that matches it, in this order: DEFAULT, the .gitignore files of the source
    from the outermost to the innermost, `exclude` (the same language, relative to `root`). A left out directory is not
    entered, so nothing below it can be brought back. NEVER comes on top. Git's other ignore files
    (core.excludesFile, .git/info/exclude, those above `root`) and its index do not count: they are not in the source.

    Links stay links; their target text is normalised ("./a//b" is "a/b"), as extracting with tarfile's data filter
    would do in some Python versions and not in others. Raises SourceError for what cannot be read, for anything but
    files, directories and links, and for a link that would not lead to something deployed.
    """
    entries: list[Entry] = []
    targets: dict[str, str] = {}
    for path, child in _walk(root, exclude):
        try:
            if child.is_symlink():
                raw = decode_path(os.readlink(child.path))
                targets[path] = raw
                entries.append(link_entry(path, encode_path(posixpath.normpath(raw))))
            elif child.is_file(follow_symlinks=False):
                entries.append(file_entry(path, child.path))
            else:
                raise SourceError(f"{path!r} is a fifo, a socket or a device; remove it or name it in `exclude`")
        except OSError as error:
            raise SourceError(_unreadable(path, error)) from error
    _check_links(root, targets, {entry.path for entry in entries if entry.kind == FILE}, exclude)
    return sorted_entries(entries)


def why_excluded(root: Path, path: str, exclude: Sequence[str] = ()) -> str:
    """What keeps the existing `path` out of `list_source(root, exclude)`, for a message; "" when nothing does."""
    gitignored: tuple[Pattern, ...] = ()
    for end in (0, *_slashes(path), len(path)):
        here = path[:end]
        location = native_path(root, here)
        is_dir = os.path.isdir(location) and not (here and os.path.islink(location))
        if here and (reason := _verdict(here, is_dir, _ignore(gitignored, exclude))):
            return reason
        if is_dir:
            names = [decode_path(name) for name in os.listdir(location)]
            if reason := _never_directory(here, names):
                return reason
            gitignored += _read_gitignore(root, here) if ".gitignore" in names else ()
    return ""


def is_deployed(root: Path, path: str, entries: Sequence[Entry]) -> bool:
    """Whether the file `path` is on the host afterwards, as a file of its own or through a link among `entries`."""
    kinds = {entry.path: entry.kind for entry in entries}
    if kinds.get(path) == FILE:
        return True
    prefixes = (path[:end] for end in (*_slashes(path), len(path)))
    return any(kinds.get(prefix) == LINK for prefix in prefixes) and os.path.isfile(native_path(root, path))


def absence(root: Path, path: str, exclude: Sequence[str] = ()) -> str:
    """Why `path` is not deployed, as the end of a sentence that begins with its name."""
    location = native_path(root, path)
    if not os.path.lexists(location):
        return "is not there"
    reason = why_excluded(root, path, exclude)
    if reason.startswith("pattern "):
        reason += "; one with '!' in `exclude` overrules it"
    otherwise = "nothing in it is" if os.path.isdir(location) else "it is excluded"
    return f"is there but not deployed ({reason or otherwise})"


def write_archive(root: Path, entries: Sequence[Entry], target: Path) -> None:
    """Write `entries` of `root` as a gzip-compressed tar archive: the same bytes for the same entries, by one zlib.

    GNU format: names are raw bytes there, which GNU tar and tarfile by its defaults (it then decodes and encodes by the
    same locale) give back as they are; tarfile with encoding="utf-8" fails where the locale is another. No owner; a
    time that the content decides; modes are 0644 and 0755. Directories are not in it, as they are not part of a tree.
    Raises SourceError, and leaves no archive, when a file is no longer what its entry says.
    """
    try:
        with (
            open(target, "wb") as raw,
            gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as compressed,
            tarfile.open(
                fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
            ) as archive,
        ):
            for entry in sorted_entries(entries):
                _add(archive, root, entry)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def content_time(digest: str) -> int:
    """A time, in seconds since the epoch, for a file whose content has the digest: one of the years 2000 to 2019.

    Web servers and Flask tell versions of a file apart by its time and its size (ETag, Last-Modified). With this one a
    file that did not change stays in caches over releases and hosts, and one that did is never taken for the other.
    """
    return 946684800 + int(digest[:12], 16) % (20 * 365 * 86400)


class _Hashing:
    """A file that digests what is read from it, so that what was archived can be compared with what was listed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self.digest.update(chunk)
        return chunk


def _add(archive: tarfile.TarFile, root: Path, entry: Entry) -> None:
    location = native_path(root, entry.path)
    info = tarfile.TarInfo(entry.path)
    info.mode = 0o755 if entry.executable else 0o644
    info.mtime = content_time(entry.digest)
    changed = SourceError(f"{entry.path!r} changed while it was being archived; run again when nothing writes there")
    try:
        if entry.kind == LINK:
            info.type, info.mode = tarfile.SYMTYPE, 0o777
            info.linkname = posixpath.normpath(decode_path(os.readlink(location)))
            if link_entry(entry.path, encode_path(info.linkname)) != entry:
                raise changed
            archive.addfile(info)
            return
        with open(location, "rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            content = _Hashing(file)
            archive.addfile(info, content)
        if content.digest.hexdigest() != entry.digest:
            raise changed
    except OSError as error:
        raise changed from error


def _walk(root: Path, exclude: Sequence[str]) -> Iterator[tuple[str, os.DirEntry[bytes]]]:
    """Everything but directories that no pattern leaves out; left out directories are not entered."""
    pending: list[tuple[str, tuple[Pattern, ...], Ignore]] = [("", (), _ignore((), exclude))]
    while pending:
        directory, gitignored, ignore = pending.pop()
        try:
            with os.scandir(native_path(root, directory)) as listing:
                children = list(listing)
        except OSError as error:
            if not directory:
                raise SourceError(f"the source {str(root)!r} cannot be listed: {error.strerror}") from error
            raise SourceError(_unreadable(directory, error)) from error
        names = {decode_path(child.name) for child in children}
        if reason := _never_directory(directory, names):
            if directory:
                continue
            raise SourceError(f"{str(root)!r} is itself a {reason}; make the environment in a directory of its own")
        if ".gitignore" in names:
            gitignored += _read_gitignore(root, directory)
            ignore = _ignore(gitignored, exclude)
        for child in sorted(children, key=lambda child: child.name):
            path = join_path(directory, child.name)
            is_dir = child.is_dir(follow_symlinks=False)
            if _verdict(path, is_dir, ignore):
                continue
            if is_dir:
                pending.append((path, gitignored, ignore))
            else:
                yield path, child


def _ignore(gitignored: tuple[Pattern, ...], exclude: Sequence[str]) -> Ignore:
    wanted = (pattern for text in exclude for pattern in parse_lines(text, origin="exclude"))
    return Ignore((*_DEFAULT, *gitignored, *wanted))


def _read_gitignore(root: Path, directory: str) -> tuple[Pattern, ...]:
    """The patterns of the .gitignore in `directory`; a link is not one, as in git since 2.32."""
    path = join_path(directory, b".gitignore")
    location = native_path(root, path)
    try:
        if not stat.S_ISREG(os.lstat(location).st_mode):
            return ()
        with open(location, "rb") as file:
            return tuple(parse_lines(decode_path(file.read()), directory, path))
    except OSError as error:
        raise SourceError(_unreadable(path, error)) from error


def _verdict(path: str, is_dir: bool, ignore: Ignore) -> str:
    """Why `path` itself is left out, or "" when it is not."""
    never = _NEVER.last_match(path, is_dir)
    if never and not never.negated:
        return f"{never.text!r} is never deployed"
    pattern = ignore.last_match(path, is_dir)
    return f"pattern {pattern.text!r} of {pattern.origin}" if pattern and not pattern.negated else ""


def _never_directory(directory: str, names: Collection[str]) -> str:
    """Why a directory is left out for what it holds, or ""."""
    if "pyvenv.cfg" in names:
        return "virtual environment"
    # Flask puts the instance folder beside the package or module (Flask.auto_find_instance_path), which need not be at
    # the top; a package of that name further down is code.
    if posixpath.basename(directory) == "instance" and "__init__.py" not in names:
        return "Flask instance folder"
    return ""


class _Astray(Exception):
    """A link that leads nowhere in the deployed tree; the message says so, as the end of a sentence."""


class _Deployed(NamedTuple):
    """The tree as the host will have it."""

    files: set[str]
    directories: set[str]
    targets: Mapping[str, str]  # of links, as they are written in the source


def _check_links(root: Path, targets: Mapping[str, str], files: set[str], exclude: Sequence[str]) -> None:
    """Raise SourceError unless every link leads, on the host, to something that is deployed."""
    tree = _Deployed(files, {path[:end] for path in (*files, *targets) for end in _slashes(path)}, targets)
    for path, target in targets.items():
        try:
            end = _follow(path, target, tree)
        except (_Astray, LookupError) as error:
            why = error if isinstance(error, _Astray) else _dangling(root, str(error.args[0]), exclude)
            raise SourceError(
                f"the link {path!r} -> {target!r} {why}; link to what is deployed by a relative path, "
                "replace the link by what it leads to, or exclude it"
            ) from None
        with suppress(_Astray, LookupError):
            if end == _follow(path, posixpath.normpath(target), tree):
                continue
        raise SourceError(
            f"the link {path!r} -> {target!r} goes back with '..' from behind another link; write the target without"
        )


def _dangling(root: Path, lost: str, exclude: Sequence[str]) -> str:
    return f"would dangle on the host: {lost!r} {absence(root, lost, exclude)}"


def _follow(path: str, target: str, tree: _Deployed) -> str:
    """Where `target`, written in the link `path`, leads in the deployed tree, which no step may leave.

    Raises _Astray, or LookupError with the path that is not deployed.
    """
    here = path.split("/")[:-1]
    rest = target.split("/")
    followed = 0
    outside = _Astray("leads out of the source, and on the host to another place or none")
    if target.startswith("/"):
        raise outside
    while rest:
        part = rest.pop(0)
        if part == "..":
            if not here:
                raise outside
            here.pop()
        if part in ("", ".", ".."):
            continue
        step = "/".join([*here, part])
        if step in tree.targets:
            followed += 1
            if followed > _MAX_LINKS:
                raise _Astray("leads in a circle")
            if tree.targets[step].startswith("/"):
                raise outside
            rest = tree.targets[step].split("/") + rest
        elif step in tree.directories or (step in tree.files and not any(rest)):
            here.append(part)
        else:
            raise LookupError("/".join([step, *rest]) if step in tree.files else step)
    return "/".join(here)


def _slashes(path: str) -> Iterator[int]:
    """The ends of the directories above `path`."""
    return (position for position, character in enumerate(path) if character == "/")


def _unreadable(path: str, error: OSError) -> str:
    return f"{path!r} cannot be read ({error.strerror}); make it readable to you or name it in `exclude`"
