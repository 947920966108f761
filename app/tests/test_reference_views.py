"""What each route answers."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib.metadata import version

import pytest
from flask import Flask
from flask.testing import FlaskClient

from reference import create_app, readiness


def test_whoami_tells_what_the_unit_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_RELEASE", "20260101-ab12")
    monkeypatch.setenv("FLASK_RELEASE_LABEL", "v1.2")
    monkeypatch.setenv("FLASK_WORKER_CLASS", "gthread")
    answer = create_app().test_client().get("/whoami", headers={"X-Request-ID": "request-0001"}).get_json()
    assert answer["release"] == "20260101-ab12"
    assert answer["release_label"] == "v1.2"
    assert answer["worker_class"] == "gthread"
    assert answer["pid"] == os.getpid()
    assert answer["request_id"] == "request-0001"
    assert answer["host"] == "localhost"
    assert answer["scheme"] == "http"
    assert answer["versions"]["python"] == platform.python_version()
    assert answer["versions"]["flask"] == version("flask")


def test_whoami_says_development_where_no_unit_set_anything(client: FlaskClient) -> None:
    answer = client.get("/whoami").get_json()
    assert (answer["release"], answer["worker_class"]) == ("development", "development")
    assert answer["release_label"] is None


def test_whoami_shows_forwarding_headers_as_they_arrived(client: FlaskClient) -> None:
    sent = {"X-Forwarded-For": "192.0.2.1, 192.0.2.2", "Forwarded": "for=192.0.2.3", "Script-Name": "/forged"}
    answer = client.get("/whoami", headers={**sent, "Accept-Language": "en"}).get_json()
    assert answer["forwarded"] == sent
    assert answer["script_name"] == ""


def test_the_page_shows_the_same_facts(client: FlaskClient) -> None:
    facts = client.get("/whoami").get_json()
    response = client.get("/", headers={"X-Request-ID": "request-0002"})
    assert response.mimetype == "text/html"
    shown = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", response.text))
    assert shown["Process id"] == str(facts["pid"])
    assert shown["Client address"] == "127.0.0.1"
    assert shown["Request id"] == "request-0002"
    assert shown["Flask"] == facts["versions"]["flask"]
    assert shown["gunicorn"] == (facts["versions"]["gunicorn"] or "not installed")


def test_the_page_shows_the_label_next_to_the_release(client: FlaskClient) -> None:
    assert "<h1>Release <code>development</code></h1>" in client.get("/").text
    client.application.config["RELEASE_LABEL"] = "v1.2"
    assert "<h1>Release <code>development</code> (v1.2)</h1>" in client.get("/").text


def test_an_empty_peer_address_is_unknown_not_empty(client: FlaskClient) -> None:
    """gunicorn leaves REMOTE_ADDR empty over a unix socket."""
    peer = {"REMOTE_ADDR": ""}
    assert client.get("/whoami", environ_overrides=peer).get_json()["client"] is None
    page = client.get("/", environ_overrides=peer).text
    assert "<dd>unknown (no trusted proxy configured)</dd>" in page


def test_the_page_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/").text
    assert "<script" not in page
    loaded = re.findall(r'<(?:link|img|source)[^>]*(?:href|src)="([^"]*)"', page)
    assert loaded == ["/static/style.css", "data:,"]
    with client.get("/static/style.css") as sheet:
        assert sheet.status_code == 200
        assert "url(" not in sheet.text
        assert "@import" not in sheet.text


def test_the_page_escapes_what_it_shows(client: FlaskClient) -> None:
    for key in ("RELEASE", "RELEASE_LABEL"):
        client.application.config[key] = "<script>alert(1)</script>"
    assert "<script>" not in client.get("/").text


def test_links_and_style_sheet_follow_a_prefix(client: FlaskClient) -> None:
    page = client.get("/", environ_overrides={"SCRIPT_NAME": "/shop"}).text
    assert 'href="/shop/static/style.css"' in page
    assert 'href="/shop/whoami"' in page


def test_health_touches_nothing(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("liveness asked a dependency")

    monkeypatch.setattr(readiness, "check", fail)
    client.application.config["DATABASE"] = "/nonexistent/database"
    response = client.get("/health")
    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})


def test_no_answer_is_stored_by_caches(client: FlaskClient) -> None:
    for path in ("/", "/whoami", "/health", "/ready", "/slow?seconds=0"):
        assert client.get(path).headers["Cache-Control"] == "no-store", path


def test_the_load_test_route_waits_a_tenth_of_a_second(client: FlaskClient) -> None:
    start = time.monotonic()
    response = client.get("/test")
    assert 0.1 <= time.monotonic() - start < 1
    assert (response.status_code, response.text, response.mimetype) == (200, "ok", "text/plain")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_slow_waits_as_long_as_asked(client: FlaskClient, method: str) -> None:
    start = time.monotonic()
    answer = client.open("/slow?seconds=0.2", method=method).get_json()
    assert 0.2 <= time.monotonic() - start < 1
    assert answer == {"slept": 0.2, "release": "development", "pid": os.getpid()}


@pytest.mark.parametrize("given", ["", "soon", "-0.1", "30.1", "nan", "inf"])
def test_slow_refuses_what_it_would_not_wait(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"slept {seconds}"))
    response = client.get("/slow", query_string={"seconds": given})
    assert response.status_code == 400
    assert response.get_json()["detail"] == f"seconds is {given!r}: accepted is a number from 0 to 30."


def test_slow_accepts_its_limits(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    assert client.get("/slow?seconds=0").status_code == 200
    assert client.get("/slow?seconds=30").status_code == 200
    assert waited == [0, 30]


def test_two_applications_do_not_share_settings(app: Flask) -> None:
    other = create_app({"RELEASE": "other"})
    assert other.test_client().get("/whoami").get_json()["release"] == "other"
    assert app.test_client().get("/whoami").get_json()["release"] == "development"
