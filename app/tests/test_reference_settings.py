"""Settings from the environment: what they do, and that a wrong one stops the start."""

from __future__ import annotations

import pytest
from flask import session

from reference import create_app

FORWARDED = {"X-Forwarded-For": "198.51.100.9, 192.0.2.1", "X-Forwarded-Proto": "https"}


def whoami(headers: dict[str, str], **overrides: object) -> dict[str, object]:
    """Return what /whoami says to a request over a unix socket."""
    client = create_app(overrides).test_client()
    return client.get("/whoami", headers=headers, environ_overrides={"REMOTE_ADDR": ""}).get_json()


def test_no_proxy_is_trusted_by_default() -> None:
    answer = whoami(FORWARDED)
    assert (answer["client"], answer["scheme"]) == (None, "http")


@pytest.mark.parametrize(("hops", "client"), [("1", "192.0.2.1"), ("2", "198.51.100.9"), ("3", None)])
def test_the_client_is_counted_from_the_nearest_proxy(
    monkeypatch: pytest.MonkeyPatch, hops: str, client: str | None
) -> None:
    """Fewer values than proxies means that somebody went around one: then nobody is believed."""
    monkeypatch.setenv("FLASK_PROXY_HOPS", hops)
    answer = whoami(FORWARDED)
    assert (answer["client"], answer["scheme"]) == (client, "https")


def test_host_and_port_are_never_taken_from_headers() -> None:
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "81"}
    answer = whoami({**FORWARDED, **forged}, PROXY_HOPS=1)
    assert answer["host"] == "localhost"
    assert answer["forwarded"] == FORWARDED | forged


@pytest.mark.parametrize(("hops", "script_name"), [(0, ""), (1, "/shop")])
def test_a_proxy_tells_where_the_application_is_mounted(hops: int, script_name: str) -> None:
    assert whoami({**FORWARDED, "X-Forwarded-Prefix": "/shop"}, PROXY_HOPS=hops)["script_name"] == script_name
    assert whoami({**FORWARDED, "X-Forwarded-Prefix": ""}, PROXY_HOPS=hops)["script_name"] == ""


@pytest.mark.parametrize("value", ["-1", "11", "1.0", "one", "true", ""])
def test_wrong_proxy_hops_stop_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FLASK_PROXY_HOPS", value)
    with pytest.raises(ValueError, match=r"FLASK_PROXY_HOPS is .*: accepted is a whole number from 0 .* to 10\."):
        create_app()


@pytest.mark.parametrize(
    "value",
    ['["Shop.Example.com", "localhost"]', "Shop.Example.com,localhost", " shop.example.com , LOCALHOST "],
)
def test_only_trusted_hosts_are_answered(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FLASK_TRUSTED_HOSTS", value)
    client = create_app().test_client()
    assert client.get("/health", headers={"Host": "shop.example.com"}).status_code == 200
    assert client.get("/health", headers={"Host": "localhost:8000"}).status_code == 200
    assert client.get("/health", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/health", headers={"Host": "www.shop.example.com"}).status_code == 400


def test_a_leading_dot_trusts_subdomains() -> None:
    client = create_app({"TRUSTED_HOSTS": ".example.com"}).test_client()
    assert client.get("/health", headers={"Host": "shop.example.com"}).status_code == 200
    assert client.get("/health", headers={"Host": "notexample.com"}).status_code == 400


def test_every_host_is_answered_without_the_setting() -> None:
    assert create_app().test_client().get("/health", headers={"Host": "any.example"}).status_code == 200


@pytest.mark.parametrize("value", ["", "[]", "5", '{"a": 1}', "[1]", "a.example,,", "*.example.com", "http://a", "a b"])
def test_wrong_trusted_hosts_stop_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Above all the empty ones, which Werkzeug takes for "any host"."""
    monkeypatch.setenv("FLASK_TRUSTED_HOSTS", value)
    with pytest.raises(ValueError, match=r"FLASK_TRUSTED_HOSTS .* accepted are host names"):
        create_app()


def session_cookie(**overrides: object) -> str:
    """Return the Set-Cookie header of an application that uses the session."""
    app = create_app({"SECRET_KEY": "for this test", **overrides})

    @app.get("/remember")
    def remember() -> str:
        session["seen"] = True
        return "remembered"

    return app.test_client().get("/remember").headers["Set-Cookie"]


def test_the_session_cookie_is_locked_down() -> None:
    name, _, attributes = session_cookie().partition("=")
    assert name == "__Host-session"
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes.split("; "))
    assert "Domain" not in attributes


@pytest.mark.parametrize("value", ["false", "False", "0"])
def test_an_insecure_cookie_gives_up_its_prefix(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FLASK_SESSION_COOKIE_SECURE", value)
    cookie = session_cookie()
    assert cookie.startswith("session=")
    assert "Secure" not in cookie


@pytest.mark.parametrize(
    "setting",
    [{"SESSION_COOKIE_DOMAIN": "example.com"}, {"SESSION_COOKIE_PATH": "/shop"}, {"APPLICATION_ROOT": "/shop"}],
)
def test_a_cookie_for_more_or_less_than_the_host_gives_up_its_prefix(setting: dict[str, str]) -> None:
    assert create_app(setting).config["SESSION_COOKIE_NAME"] == "session"


def test_a_given_cookie_name_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_SESSION_COOKIE_NAME", "shop")
    assert session_cookie().startswith("shop=")


def test_a_flag_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_SESSION_COOKIE_SECURE", "maybe")
    with pytest.raises(ValueError, match="FLASK_SESSION_COOKIE_SECURE is 'maybe': accepted are true and false"):
        create_app()


@pytest.mark.parametrize("value", ["12345678", "12e45678", "null", "true"])
def test_texts_stay_texts(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Flask reads variables as JSON; an id or a key that happens to be valid JSON must not change."""
    keys = ("RELEASE", "RELEASE_LABEL", "WORKER_CLASS", "DATABASE", "SECRET_KEY")
    for key in keys:
        monkeypatch.setenv(f"FLASK_{key}", value)
    config = create_app().config
    assert [config[key] for key in keys] == [value] * len(keys)


def test_an_empty_release_is_no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_RELEASE", "")
    assert create_app().config["RELEASE"] == "development"


@pytest.mark.parametrize("value", [None, ""])
def test_a_release_need_not_have_a_label(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("FLASK_RELEASE_LABEL", value)
    assert create_app().config["RELEASE_LABEL"] is None
