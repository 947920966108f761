"""Request ids, and log lines that nobody can forge."""

from __future__ import annotations

import re

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from reference import create_app

MADE_HERE = re.compile(r"[0-9a-f]{32}")


@pytest.mark.parametrize("offered", ["abcdefgh", "A.b_c-123", "x" * 128])
def test_a_harmless_request_id_is_kept(client: FlaskClient, offered: str) -> None:
    response = client.get("/whoami", headers={"X-Request-ID": offered})
    assert response.headers["X-Request-ID"] == response.get_json()["request_id"] == offered


@pytest.mark.parametrize(
    "offered",
    [
        "",
        "seven77",
        "x" * 129,
        "has a space",
        "semi;colon",
        "quote\"'quote",
        "newline\nnewline",
        "abcdefgh\n",
        "accent\xe9e",
    ],
)
def test_any_other_is_replaced(client: FlaskClient, offered: str) -> None:
    response = client.get("/whoami", environ_overrides={"HTTP_X_REQUEST_ID": offered})
    assert MADE_HERE.fullmatch(response.headers["X-Request-ID"])
    assert response.get_json()["request_id"] == response.headers["X-Request-ID"]


def test_requests_do_not_share_an_id(client: FlaskClient) -> None:
    assert client.get("/health").headers["X-Request-ID"] != client.get("/health").headers["X-Request-ID"]


def test_a_log_line_carries_the_id(capsys: pytest.CaptureFixture[str]) -> None:
    client = create_app().test_client()
    client.get("/slow?seconds=0", headers={"X-Request-ID": "request-0003"})
    assert capsys.readouterr().err == "INFO [request-0003] waited 0 s\n"


def test_a_log_line_outside_of_a_request_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    create_app().logger.info("starting")
    assert capsys.readouterr().err == "INFO [-] starting\n"


def test_debug_lines_appear_in_debug_mode_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create_app().logger.debug("hidden")
    monkeypatch.setenv("FLASK_DEBUG", "1")
    create_app().logger.debug("shown")
    assert capsys.readouterr().err == "DEBUG [-] shown\n"


def app_that_logs_what_it_is_sent() -> Flask:
    """Return an application with one route that logs a header and fails with the path in the exception's text."""
    app = create_app()

    @app.get("/boom/<path:rest>")
    def boom(rest: str) -> str:
        app.logger.info("agent %s", request.user_agent)
        raise RuntimeError(f"cannot serve {rest}")

    return app


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_line_can_be_forged(capsys: pytest.CaptureFixture[str], line_break: str) -> None:
    """In the message, in the exception's text, in the id: whatever any reader may take for a line break."""
    forged = f"x{line_break}INFO [request-0000] admin logged in\x1b[2K"
    header = forged.encode().decode("latin-1")
    response = (
        app_that_logs_what_it_is_sent()
        .test_client()
        .get(f"/boom/{forged}", environ_overrides={"HTTP_USER_AGENT": header, "HTTP_X_REQUEST_ID": header})
    )
    assert response.status_code == 500
    lines = capsys.readouterr().err.splitlines()
    own_id = response.headers["X-Request-ID"]
    records = [line for line in lines if not line.startswith("    | ")]
    assert [line.split("]")[0] for line in records] == [f"INFO [{own_id}", f"ERROR [{own_id}"]
    assert all("admin logged in" in line for line in records), "the attempt itself is on record, in one line"
    assert "admin logged in" in lines[-1], "and in the text of the exception"
    assert all(line.isprintable() for line in lines)


def test_two_applications_log_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    create_app()
    create_app().logger.warning("once")
    assert capsys.readouterr().err == "WARNING [-] once\n"
