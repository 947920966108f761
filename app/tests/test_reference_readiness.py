"""Readiness uses the database for real, and tells strangers no more than they may know."""

from __future__ import annotations

import resource
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from reference import create_app


def test_ready_writes_and_reads(client: FlaskClient, tmp_path: Path) -> None:
    for _ in range(2):
        response = client.get("/ready")
        assert (response.status_code, response.get_json()) == (200, {"status": "ok", "checks": {"database": "ok"}})
    with closing(sqlite3.connect(tmp_path / "reference.sqlite3")) as database:
        rows = database.execute("SELECT mark FROM readiness").fetchall()
    assert len(rows) == 1, "the file must not grow with each probe"


def assert_not_ready(path: Path, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Assert that the database at `path` makes the application unready for `reason`, and that only the log has more."""
    response = create_app({"DATABASE": str(path)}).test_client().get("/ready")
    assert response.status_code == 503
    assert response.get_json() == {"status": "unavailable", "checks": {"database": reason}}
    assert path.name not in response.text
    logged = capsys.readouterr().err
    assert logged.startswith(f"WARNING [{response.headers['X-Request-ID']}] database {path}: ")


def test_a_missing_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_not_ready(tmp_path / "absent" / "private", "cannot be opened", capsys)


def test_a_directory_in_the_place_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_not_ready(tmp_path, "cannot be opened", capsys)


def test_a_file_that_is_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "private"
    path.write_text("no database at all, " * 100)
    assert_not_ready(path, "not a database", capsys)


def test_an_unforeseen_error_is_only_called_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "private"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE readiness (id INTEGER PRIMARY KEY)")
    assert_not_ready(path, "failed", capsys)


def test_a_disk_that_takes_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit of the file size stands in for the disk: SQLite answers with an extended code (SQLITE_IOERR_WRITE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        assert_not_ready(tmp_path / "private", "input/output error", capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_lock_is_waited_for_but_not_for_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "private"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        assert_not_ready(path, "locked for more than 1 s", capsys)
    assert 0.9 < time.monotonic() - start < 2


def test_a_database_that_loses_what_is_written(client: FlaskClient, tmp_path: Path) -> None:
    client.get("/ready")
    with closing(sqlite3.connect(tmp_path / "reference.sqlite3")) as database:
        database.execute("CREATE TRIGGER lose AFTER INSERT ON readiness BEGIN UPDATE readiness SET mark = 'stale'; END")
    response = client.get("/ready")
    assert response.status_code == 503
    assert response.get_json()["checks"] == {"database": "does not keep what is written"}


def test_the_first_state_directory_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/one:{tmp_path}/two")
    assert create_app().config["DATABASE"] == f"{tmp_path}/one/reference.sqlite3"


def test_a_named_database_comes_before_the_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLASK_DATABASE", f"{tmp_path}/named")
    assert create_app().test_client().get("/ready").status_code == 200
    assert (tmp_path / "named").is_file()
    assert not (tmp_path / "reference.sqlite3").exists()


def test_the_instance_folder_is_the_last_resort(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr(Flask, "auto_find_instance_path", lambda self: str(tmp_path / "instance"))
    assert create_app().test_client().get("/ready").status_code == 200
    assert (tmp_path / "instance" / "reference.sqlite3").is_file()


def test_a_read_only_code_tree_starts_and_says_that_it_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY")
    (tmp_path / "file").touch()
    monkeypatch.setattr(Flask, "auto_find_instance_path", lambda self: str(tmp_path / "file" / "instance"))
    client = create_app().test_client()
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 503
