"""What all tests share: an environment without surprises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from reference import create_app

APP_FOLDER = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take the developer's own FLASK_ variables away and keep the database out of the tree."""
    for name in [name for name in os.environ if name.startswith("FLASK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))


@pytest.fixture
def app_folder() -> Path:
    """Return the folder that holds wsgi.py."""
    return APP_FOLDER


@pytest.fixture
def app() -> Flask:
    """Return the application as it is without any configuration."""
    return create_app({"TESTING": True})


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a client of `app`."""
    return app.test_client()
