# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``history.jsonl``: what was put in service, taken back or refused; one JSON object per line, oldest first."""

from __future__ import annotations

import datetime
import json
import os
import pwd
import typing as t

# The release serves from now on.
ACTIVATED = "activated"
# It had served, or was about to, and was taken back: nothing to go back to.
TAKEN_BACK = "taken back"
# It was left for an earlier one: not what a further rollback goes to.
ROLLED_BACK = "rolled back"
# It never served: its candidate failed.
REFUSED = "refused"
# The controller confirmed that it stays.
CONFIRMED = "confirmed"


def record(
    path: str, event: str, release: str, previous: t.Optional[str], label: str = "", reason: t.Optional[str] = None
) -> None:
    """Append one event and bring it to the disk. Root alone reads it: a reason may quote a hook or an answer.

    :param event: what happened to ``release``, one of the constants above.
    :param previous: id of the release that served before, ``None`` when there was none.
    :param reason: why, for what went wrong.
    :raises OSError: as the system says.
    """
    entry = {
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "event": event,
        "release": release,
        "previous": previous,
        "by": os.environ.get("SUDO_USER") or pwd.getpwuid(os.geteuid()).pw_name,
    }
    entry.update({key: value for key, value in (("label", label), ("reason", reason)) if value})
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as handle:
        size = os.fstat(descriptor).st_size
        # A line that a crash cut has no end: this one would become part of it.
        cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        handle.write(("\n" if cut else "") + json.dumps(entry) + "\n")
        handle.flush()
        os.fsync(handle.fileno())


def last(path: str) -> t.Dict[str, t.Any]:
    """The newest event as :func:`record` wrote it; empty when there is none."""
    return next(iter(_entries(path)), {})


def _entries(path: str) -> t.Iterator[t.Dict[str, t.Any]]:
    """The events, newest first; a line cut by a crash is passed over."""
    try:
        with open(path, encoding="utf-8") as handle:
            lines = handle.read().splitlines()
    except FileNotFoundError:
        return
    for line in reversed(lines):
        try:
            entry = json.loads(line)
            yield dict(entry, event=str(entry["event"]), release=str(entry["release"]))
        except (ValueError, KeyError, TypeError):
            continue


def _newest_first(path: str) -> t.List[t.Tuple[str, str]]:
    return [(entry["event"], entry["release"]) for entry in _entries(path)]


def activated(path: str) -> t.List[str]:
    """Ids in the order of their last activation, newest first."""
    return list(dict.fromkeys(release for event, release in _newest_first(path) if event == ACTIVATED))


def good(path: str, without: t.Container[str] = (TAKEN_BACK,)) -> t.List[str]:
    """Ids in the order of their last activation, newest first, without those to which something happened since.

    :param without: the events that count.
    """
    found: t.List[str] = []
    seen = set()
    for event, release in _newest_first(path):
        if (event == ACTIVATED or event in without) and release not in seen:
            seen.add(release)
            if event == ACTIVATED:
                found.append(release)
    return found


def is_older(path: str, release: str, other: str) -> bool:
    """Whether ``release`` first served before ``other`` did."""
    events = reversed(_newest_first(path))
    order = list(dict.fromkeys(name for event, name in events if event == ACTIVATED and name in (release, other)))
    return order == [release, other]
