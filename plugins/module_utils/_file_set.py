# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A set of configuration files that changes as one: write, check, take over, or put everything back."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _undo

# Notes of transactions that have begun. In /run, since a boot makes every service read its files anew.
PENDING_DIRECTORY = "/run/wsgiops.flask"
# Without root there is no such place that is sure to be there.
PRIVATE_PENDING_DIRECTORY = "~/.cache/wsgiops.flask"


class FileSetError(Exception):
    """A refused configuration; the text holds the words of what refused it."""


class _Unserved(FileSetError):
    """A configuration that the service took over, and with which it does not serve."""


class Probe(t.Protocol):
    """A question to a service that has taken its configuration over."""

    def problem(self) -> str:
        """What is wrong with how it serves, empty for nothing."""


class FileSet:
    """One transaction over configuration files.

    :param files: files to have.
    :param absent: paths not to have.
    :param check: command that succeeds when the configuration, with the files in place, is right; empty for none.
    :param apply: command that makes the service take it over; empty for none.
    :param secret: paths of those files whose text no diff shows.
    :param probe: asked after the take-over; ``None`` for nothing to ask.
    """

    def __init__(
        self,
        files: t.Sequence[_files.WantedFile],
        absent: t.Sequence[str],
        check: t.Sequence[str],
        apply: t.Sequence[str],
        secret: t.Collection[str] = (),
        probe: t.Optional[Probe] = None,
    ) -> None:
        self._wanted = list(files)
        self._absent = list(absent)
        self._check = list(check)
        self._apply = list(apply)
        self._secret = frozenset(secret)
        self._probe = probe
        self._compare()

    def _compare(self) -> None:
        self._write = [wanted for wanted in self._wanted if not _files.matches(wanted)]
        self._remove = [path for path in self._absent if os.path.lexists(path)]

    @property
    def paths(self) -> t.List[str]:
        return [wanted.path for wanted in self._write] + self._remove

    @property
    def pending(self) -> bool:
        """Whether there is something to do: a file differs, or an earlier run did not come to its end."""
        return bool(self.paths) or _undo.is_left() or (bool(self._apply) and os.path.exists(_note(self._apply)))

    def diff(self) -> t.List[t.Dict[str, str]]:
        """Ansible's diff of every path, by text; of a secret, or what not everyone may read, that it changes."""
        wanted = {item.path: item.content for item in self._write}

        return [
            {
                "before_header": path,
                "after_header": path,
                "before": _shown(path),
                "after": "another secret\n" if path in self._secret else wanted.get(path, ""),
            }
            for path in self.paths
        ]

    def commit(self) -> None:
        """Carry the transaction out.

        :raises FileSetError: when the check, the take-over or the probe failed; the previous files are back.
        """
        with _alone():
            _undo_what_is_left()
            self._compare()
            before = self.paths
            _undo.begin(before, self._apply)
            if self._apply:
                _begin(self._apply)
            try:
                for path in self._remove:
                    _files.remove(path)
                for wanted in self._write:
                    _files.ensure_exists(os.path.dirname(wanted.path))
                    _files.write(wanted)
                _command(self._check)
                _command(self._apply)
                problem = self._probe.problem() if self._probe is not None else ""
                if problem:
                    raise _Unserved("{0}. Files that this run changed are as before".format(problem))
            except BaseException as error:
                _undo.undo()
                if not (isinstance(error, FileSetError) and before):
                    raise
                is_back = _command(self._apply, quiet=True)
                if isinstance(error, _Unserved):
                    outcome = "and in use again" if is_back else "but could not be taken over again"
                    raise FileSetError("{0}, {1}.".format(error, outcome)) from None
                raise
            _undo.end()
        _end(self._apply)


def recover() -> bool:
    """Undo what a run changed that died before its verdict, whatever it was about; whether there was something.

    :raises FileSetError: when another run is at work and does not come to its end.
    """
    if not _undo.is_left():
        return False
    with _alone():
        return _undo_what_is_left()


def _undo_what_is_left() -> bool:
    if not _undo.is_left():
        return False
    apply = _undo.undo()
    # Where that fails, the next transaction about the service says why.
    if _command(apply, quiet=True):
        _end(apply)
    return True


@contextlib.contextmanager
def _alone() -> t.Iterator[None]:
    try:
        with _undo.alone():
            yield
    except _undo.BusyError as error:
        raise FileSetError(str(error)) from None


def _note(apply: t.Sequence[str]) -> str:
    """Where it is noted that a service has yet to be told."""
    pending = PENDING_DIRECTORY if os.geteuid() == 0 else os.path.expanduser(PRIVATE_PENDING_DIRECTORY)
    return os.path.join(pending, hashlib.sha256("\0".join(apply).encode()).hexdigest()[:16])


def _begin(apply: t.Sequence[str]) -> None:
    path = _note(apply)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(path, "w", encoding="utf-8") as note:
        note.write("\n".join(apply) + "\n")


def _end(apply: t.Sequence[str]) -> None:
    path = _note(apply)
    if os.path.exists(path):
        os.unlink(path)
    # Other transactions may have notes there; the directory goes with the last one.
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))


def is_stock(path: str) -> bool:
    """Whether ``path`` is, or links to, a configuration file just as its Debian package shipped it."""
    real = os.path.realpath(path)
    if not os.path.lexists(path) or not os.path.isfile(real):
        return False
    query = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Conffiles}\n"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        universal_newlines=True,
        check=False,
    )
    with open(real, "rb") as handle:
        # dpkg records MD5; it tells an unchanged file here, nothing is protected by it.
        digest = hashlib.md5(handle.read()).hexdigest()
    return any(line.split()[:2] == [real, digest] for line in query.stdout.splitlines())


def _shown(path: str) -> str:
    if os.path.islink(path):
        return "link to {0}\n".format(os.readlink(path))
    if os.path.isfile(path) and not os.stat(path).st_mode & stat.S_IROTH:
        return "a secret\n"
    return _files.read_text(path) or ""


def _command(command: t.Sequence[str], quiet: bool = False) -> bool:
    """Run a command of the transaction; whether it succeeded.

    :raises FileSetError: when it fails or does not exist, unless ``quiet``.
    """
    if not command:
        return True
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            env=dict(os.environ, LC_ALL="C"),
            check=False,
        )
        failed, output = done.returncode != 0, done.stdout.strip()
    except OSError as error:
        failed, output = True, str(error)
    if failed and not quiet:
        said = "{0} refused the configuration; files that this run changed are as before:\n{1}"
        # A script that is one word of the command is no name for it.
        name = " ".join("..." if "\n" in word else word for word in command)
        raise FileSetError(said.format(name, output))
    return not failed
