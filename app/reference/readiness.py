"""Readiness: can this process do its work? Each dependency is really used, within a time limit."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

from flask import Flask, current_app

BUSY_TIMEOUT = 1.0  # seconds to wait for a lock; a probe has to have its answer well before it gives up itself

# Primary result codes, https://www.sqlite.org/rescode.html. Answers are made of these words alone: SQLite's own
# messages, and the path of the file, are for the log.
REASONS = {
    sqlite3.SQLITE_BUSY: f"locked for more than {BUSY_TIMEOUT:g} s",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_FULL: "disk full",
    sqlite3.SQLITE_IOERR: "input/output error",
    sqlite3.SQLITE_NOTADB: "not a database",
    sqlite3.SQLITE_READONLY: "read-only",
}


def init_app(app: Flask) -> None:
    """Decide where the database is: FLASK_DATABASE, else systemd's state directory, else Flask's instance folder."""
    if not app.config["DATABASE"]:
        # STATE_DIRECTORY holds several paths with colons between if the unit has several, systemd.exec(5).
        state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
        if not state:
            with suppress(OSError):  # a code tree that cannot be written is not ready, but it can say so
                os.makedirs(app.instance_path, exist_ok=True)
        app.config["DATABASE"] = str(Path(state or app.instance_path, "reference.sqlite3"))


def check() -> dict[str, str | None]:
    """Return, for each dependency, None if it works, otherwise a reason that is fit for strangers."""
    return {"database": check_database(current_app.config["DATABASE"])}


def check_database(path: str) -> str | None:
    """Write to the database at `path` and read it back; return None, or why that failed."""
    mark = uuid4().hex
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE IF NOT EXISTS readiness (id INTEGER PRIMARY KEY, mark TEXT NOT NULL)")
            database.execute("INSERT OR REPLACE INTO readiness VALUES (1, ?)", (mark,))
            (found,) = database.execute("SELECT mark FROM readiness WHERE id = 1").fetchone()
            database.execute("COMMIT")
    except sqlite3.Error as error:
        current_app.logger.warning("database %s: %s", path, error)
        # The low byte of an extended code is its primary code (same page).
        return REASONS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "failed")
    return None if found == mark else "does not keep what is written"
