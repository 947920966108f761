# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import typing as t

import pytest

from ansible_collections.wsgiops.flask.plugins.plugin_utils._gunicorn_settings import RESERVED, settings_problems


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_requests_jitter": 50, "keepalive": 75},
        {"sendfile": False},
        {"loglevel": "debug", "logger_class": "shop.logs:Logger", "post_fork": "shop.hooks.post_fork"},
        {"worker_tmp_dir": "/run/shm", "proc_name": "", "x": "\0 ä 'x' \"y\" \\ \n"},
        {"dirty_apps": ["a:A", "b:B"], "x": [], "y": [1, 1.5, True, "a"]},
        {"a_setting_of_tomorrow": 1, "_x1": -1},
    ],
    ids=str,
)
def test_what_is_accepted(settings: dict[str, t.Any]) -> None:
    assert settings_problems(settings) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Keepalive", "; did you mean 'keepalive'?"),
        ("worker-tmp-dir", "; did you mean 'worker_tmp_dir'?"),
        ("worker tmp dir", ""),
        ("2x", ""),
        ("", ""),
        ("a.b", ""),
        ("ä", ""),
        ("a\n", ""),
        ("x = 1; y", ""),
        ("import", ""),
        ("class", ""),
        (5, ""),
        (True, ""),
    ],
)
def test_what_is_no_name(name: t.Any, hint: str) -> None:
    rule = "a setting's name as gunicorn has it, lower-case letters, digits and underscores"
    assert settings_problems({name: 1}) == [f"gunicorn_settings: {name!r} is not accepted: {rule}{hint}"]


@pytest.mark.parametrize(
    "value", [None, {}, {"a": 1}, [None], [[1]], [{"a": 1}], float("nan"), float("inf"), [float("-inf")], b"x"]
)
def test_what_is_no_value(value: t.Any) -> None:
    rule = "a string, a number, a boolean, or a list of these"
    assert settings_problems({"x": value}) == [f"gunicorn_settings.x: {value!r} is not accepted: {rule}"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wsgi_app", "use the application's key wsgi"),
        ("workers", "use the application's key workers"),
        ("worker_class", "use the application's key worker_class"),
        ("threads", "use the application's key threads"),
        ("worker_connections", "use the application's key worker_connections"),
        ("timeout", "use the application's key timeout"),
        ("graceful_timeout", "use the application's key graceful_timeout"),
        ("max_requests", "use the application's key max_requests"),
        ("preload_app", "use the application's key preload"),
        ("accesslog", "use the application's key logs.access"),
        ("access_log_format", "use the application's key logs.access"),
        ("statsd_host", "use the application's key metrics.statsd"),
        ("errorlog", "use the application's key logs"),
        ("raw_env", "use the application's key env"),
        ("bind", "systemd makes the socket and hands it to gunicorn"),
        (
            "daemon",
            "systemd runs gunicorn in the foreground, as the application's user and in the directory of its code",
        ),
        ("reload", "a release does not change while it serves; a change of the code is a new release"),
        ("control_socket", "the sandbox closes the directory that gunicorn's control socket would be in"),
    ],
)
def test_what_is_set_elsewhere_or_must_not_be(name: str, told: str) -> None:
    assert settings_problems({name: "x"}) == [f"gunicorn_settings: {name!r} is not accepted: {told}"]


def test_what_is_refused_are_settings_of_gunicorn() -> None:
    config = pytest.importorskip("gunicorn.config")
    # The one that is none is the name of the command line's option for pidfile.
    assert set(RESERVED) - {setting.name for setting in config.KNOWN_SETTINGS} == {"pid"}


def test_every_problem_is_told() -> None:
    assert len(settings_problems({"bind": 1, "X": 1, "keepalive": None, "max_requests_jitter": 1})) == 3
