# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``history.jsonl``: what was put in service, when and by whom; one JSON object per line, oldest first."""

from __future__ import annotations

import datetime
import json
import os
import typing as t


def record(path: str, event: str, release: str, previous: t.Optional[str]) -> None:
    """Append one event and bring it to the disk.

    :param event: what happened to ``release``, for example ``activated``.
    :param previous: id of the release that served before, ``None`` at the first one.
    """
    entry = {
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "event": event,
        "release": release,
        "previous": previous,
        "by": os.environ.get("SUDO_USER") or "root",
    }
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "a", encoding="utf-8") as handle:
        size = os.fstat(descriptor).st_size
        # A line that a crash cut has no end: this one would become part of it.
        cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        handle.write(("\n" if cut else "") + json.dumps(entry) + "\n")
        handle.flush()
        os.fsync(handle.fileno())


def activated(path: str) -> t.List[str]:
    """Ids in the order of their last activation, newest first; a line cut by a crash is passed over."""
    try:
        with open(path, encoding="utf-8") as handle:
            lines = handle.read().splitlines()
    except FileNotFoundError:
        return []
    newest_first: t.List[str] = []
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("event") == "activated" and entry.get("release") not in newest_first:
            newest_first.append(entry["release"])
    return newest_first
