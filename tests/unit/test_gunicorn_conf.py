# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration that the gunicorn role writes, as Python reads it."""

from __future__ import annotations

import os
import types
import typing as t
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[2] / "roles" / "gunicorn"
APP = {"name": "shop", "source": "../shop", "wsgi": "shop:app", "domains": ["shop.example.com"]}

# Texts in which a character means something to YAML, Jinja, JSON or Python.
TEXTS = [
    "",
    "plain",
    "'",
    '"',
    "'\"\"\"'''",
    "\\",
    "\\n \\u0041 \\N{DIGIT ONE}",
    "a\nb\r\n\tc\x0b\x0c\x1c\x7f\x85",
    "\0",
    "ä \u2028 \u2029 \ufeff",
    "\U0001f600",
    "%(h)s {0} # no comment",
    "true",
    "null",
    "1e3",
]


def configuration(**keys: t.Any) -> dict[str, t.Any]:
    """What gunicorn's configuration holds for an application with further keys."""
    role = DataLoader().load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True)
    layout = {"error_log": "/var/log/shop/error.log"}
    variables = {**role, "flask_app": {**APP, **keys}, "__gunicorn_layout": layout}
    template = trust_as_template((ROLE / "templates" / "gunicorn.conf.py.j2").read_text())
    found: dict[str, t.Any] = {}
    exec(Templar(loader=DataLoader(), variables=variables).template(template), found)
    del found["__builtins__"]
    return {name: value for name, value in found.items() if not isinstance(value, types.ModuleType)}


def test_an_application_without_further_keys() -> None:
    assert configuration() == {
        "wsgi_app": "shop:app",
        "workers": 2 * len(os.sched_getaffinity(0)),
        "worker_class": "sync",
        "timeout": 30,
        "graceful_timeout": 30,
        "worker_tmp_dir": "/dev/shm",
        "secure_scheme_headers": {"X-FORWARDED-PROTO": "https"},
        "forwarder_headers": "",
        "control_socket_disable": True,
        "accesslog": None,
        "errorlog": "-",
    }


@pytest.mark.parametrize(
    ("keys", "settings"),
    [
        ({"workers": "3"}, {"workers": 3}),
        ({"timeout": "61", "graceful_timeout": 62}, {"timeout": 61, "graceful_timeout": 62}),
        ({"worker_class": "gthread"}, {"worker_class": "gthread", "threads": 4, "worker_connections": 1000}),
        ({"worker_class": "gevent"}, {"worker_class": "gevent", "worker_connections": 1000}),
        (
            {"worker_class": "gthread", "threads": "8", "worker_connections": "50"},
            {"worker_class": "gthread", "threads": 8, "worker_connections": 50},
        ),
        ({"worker_class": "gevent", "worker_connections": 50}, {"worker_class": "gevent", "worker_connections": 50}),
        ({"logs": {"to": "files"}}, {"errorlog": "/var/log/shop/error.log", "capture_output": True}),
    ],
    ids=str,
)
def test_what_a_key_sets(keys: dict[str, t.Any], settings: dict[str, t.Any]) -> None:
    assert configuration(**keys) == {**configuration(), **settings}


@pytest.mark.parametrize(
    "value",
    [*TEXTS, TEXTS, True, False, None, 0, 1, -1, 10**30, 0.1, -1.5e300, 1e-9, [], [True, 1, 1.5, "a", False]],
    ids=ascii,
)
def test_a_setting_arrives_as_it_was_written(value: t.Any) -> None:
    found = configuration(gunicorn_settings={"x": value})["x"]
    assert (found, type(found)) == (value, type(value))
    if isinstance(value, list):
        assert [type(item) for item in found] == [type(item) for item in value]


def test_settings_come_last_and_in_one_order() -> None:
    assert configuration(gunicorn_settings={"worker_tmp_dir": "/run/shm"})["worker_tmp_dir"] == "/run/shm"
    assert list(configuration(gunicorn_settings={"b": 1, "a": 2}))[-2:] == ["a", "b"]


def test_gunicorn_takes_what_is_written() -> None:
    config = pytest.importorskip("gunicorn.config")
    further = {"max_requests": 1000, "preload_app": True, "pre_fork": "os.path.samefile", "dirty_apps": ["a:A", "b:B"]}
    known = config.Config()
    for name, value in configuration(worker_class="gthread", gunicorn_settings=further).items():
        known.set(name, value)
    assert known.threads == 4
    assert known.preload_app is True
    assert known.dirty_apps == ["a:A", "b:B"]
