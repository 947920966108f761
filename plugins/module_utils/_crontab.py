# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An application's lines in the crontab of whoever runs this (crontab(1)); all other lines stay as they are."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import subprocess
import typing as t

_BEGIN = "# BEGIN wsgiops.flask {0}"
_END = "# END wsgiops.flask {0}"


class CrontabError(Exception):
    """The user can have no crontab; the text says why, and what to do."""


def lines_of(name: str) -> t.Optional[str]:
    """The lines of the application called ``name``, None where it has none.

    :raises CrontabError: when they can't be read.
    """
    _before, found, _after = _parts(_read(), name)
    return found


def set_lines(name: str, text: t.Optional[str]) -> None:
    """Have the crontab hold ``text`` for the application, lines with an end; None for none of its lines.

    :raises CrontabError: when it can't be written; it is as before then.
    """
    with _alone():
        _set_lines(name, text)


@contextlib.contextmanager
def _alone() -> t.Iterator[None]:
    """Be the only run of this user that changes the crontab: another application's may come between read and write.

    The lock is on the user's home, so that no file is left; where that can't be locked (NFS), there is none.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            descriptor = os.open(os.path.expanduser("~"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _set_lines(name: str, text: t.Optional[str]) -> None:
    whole = _read()
    before, found, after = _parts(whole, name)
    block = "" if text is None else "{0}\n{1}{2}\n".format(_BEGIN.format(name), text, _END.format(name))
    if found is None and before and not before.endswith("\n"):
        before += "\n"
    wanted = before + block + after
    if wanted == whole:
        return
    if wanted:
        _crontab(["-"], wanted)
    else:
        _crontab(["-r"])


def _parts(whole: str, name: str) -> t.Tuple[str, t.Optional[str], str]:
    """What is before the application's lines, they themselves, and what is after them."""
    lines = whole.splitlines(keepends=True)
    bare = [line.rstrip("\n") for line in lines]
    begin, end = _BEGIN.format(name), _END.format(name)
    if begin not in bare or end not in bare[bare.index(begin) :]:
        return whole, None, ""
    first = bare.index(begin)
    last = bare.index(end, first)
    return "".join(lines[:first]), "".join(lines[first + 1 : last]), "".join(lines[last + 1 :])


def _read() -> str:
    done = _run(["-l"])
    if done.returncode == 0:
        return done.stdout
    # The words of cron, cronie and busybox for a user that has none.
    if "no crontab for" in done.stderr or "can't open" in done.stderr:
        return ""
    raise _refused(done)


def _crontab(arguments: t.Sequence[str], text: str = "") -> None:
    done = _run(arguments, text)
    if done.returncode != 0:
        raise _refused(done)


def _refused(done: subprocess.CompletedProcess[str]) -> CrontabError:
    said = " ".join((done.stderr or done.stdout).split())
    cure = "is {0} in /etc/cron.allow, where there is one, and not in /etc/cron.deny? Its administrator can say"
    return CrontabError("crontab: {0}; {1}".format(said, cure.format(getpass.getuser())))


def _run(arguments: t.Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["crontab", *arguments],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            env=dict(os.environ, LC_ALL="C"),
            check=False,
        )
    except FileNotFoundError:
        raise CrontabError("there is no command crontab on this host: have cron installed") from None
