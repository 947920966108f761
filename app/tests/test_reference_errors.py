"""Error responses, for people and for programs."""

from __future__ import annotations

import pytest
from flask import Flask

from reference import create_app

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def app() -> Flask:
    """Return an application that answers only one host, with a route that fails."""
    app = create_app({"TRUSTED_HOSTS": "localhost"})

    @app.get("/fail")
    def fail() -> str:
        raise RuntimeError("the password is hunter2")

    return app


CASES = [
    pytest.param("GET", "/absent", "localhost", 404, "Not Found", id="404"),
    pytest.param("POST", "/health", "localhost", 405, "Method Not Allowed", id="405"),
    pytest.param("GET", "/", "evil.example", 400, "Bad Request", id="400-untrusted-host"),
    pytest.param("GET", "/fail", "localhost", 500, "Internal Server Error", id="500"),
]


@pytest.mark.parametrize(("method", "path", "host", "status", "name"), CASES)
def test_json_for_those_who_ask(app: Flask, method: str, path: str, host: str, status: int, name: str) -> None:
    headers = {"Host": host, "Accept": "application/json", "X-Request-ID": "request-0004"}
    response = app.test_client().open(path, method=method, headers=headers)
    assert (response.status_code, response.mimetype) == (status, "application/json")
    answer = response.get_json()
    assert answer.pop("detail")
    assert answer == {"status": status, "error": name, "request_id": "request-0004"}
    assert "hunter2" not in response.text


@pytest.mark.parametrize("accept", [BROWSER, "*/*", None])
@pytest.mark.parametrize(("method", "path", "host", "status", "name"), CASES)
def test_a_page_for_all_others(
    app: Flask, accept: str | None, method: str, path: str, host: str, status: int, name: str
) -> None:
    headers = {"Host": host, "X-Request-ID": "request-0005"} | ({"Accept": accept} if accept else {})
    response = app.test_client().open(path, method=method, headers=headers)
    assert (response.status_code, response.mimetype) == (status, "text/html")
    assert f"<h1>{name}</h1>" in response.text
    assert "<code>request-0005</code>" in response.text
    assert response.headers["X-Request-ID"] == "request-0005"
    assert "hunter2" not in response.text


def test_headers_of_the_error_are_kept(app: Flask) -> None:
    for accept in (BROWSER, "application/json"):
        response = app.test_client().post("/health", headers={"Accept": accept})
        assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_the_page_escapes_what_the_client_sent(app: Flask) -> None:
    """The description of an error may quote the request."""
    from werkzeug.exceptions import NotFound

    app.add_url_rule("/quote", view_func=lambda: (_ for _ in ()).throw(NotFound("no <b>such</b> thing")))
    assert "<b>" not in app.test_client().get("/quote").text
