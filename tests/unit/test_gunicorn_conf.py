# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration that the gunicorn role writes, as Python reads it."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import types
import typing as t
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn import config
from gunicorn.glogging import Logger
from gunicorn.instrument.statsd import Statsd

from ansible_collections.wsgiops.flask.tests.unit.service import ROLE, render

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
    found: dict[str, t.Any] = {"__file__": str(ROLE / "files" / "gunicorn.conf.py")}
    exec(render("gunicorn.conf.py.j2", keys), found)
    code = (types.ModuleType, types.FunctionType)
    return {name: value for name, value in found.items() if name[0] != "_" and not isinstance(value, code)}


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
        ({"max_requests": "105"}, {"max_requests": 105, "max_requests_jitter": 10}),
        ({"max_requests": 9}, {"max_requests": 9, "max_requests_jitter": 0}),
        ({"preload": "true"}, {"preload_app": True}),
        ({"limits": {"memory": "320M"}}, {"workers": min(2 * len(os.sched_getaffinity(0)), 2)}),
        ({"limits": {"memory": "32M", "cpu": "64"}}, {"workers": 1}),
        ({"limits": {"memory": "32M"}, "workers": 3}, {"workers": 3}),
        ({"limits": {"cpu": 0.05}}, {"workers": min(2 * len(os.sched_getaffinity(0)), 2)}),
        ({"logs": {"to": "files"}}, {"errorlog": "/var/log/shop/error.log", "capture_output": True}),
        ({"logs": {"access": "none"}}, {}),
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


@pytest.mark.parametrize("worker_class", ["gevent", "gthread"])
def test_an_answer_ends_its_connection_once_another_release_is_current(tmp_path: Path, worker_class: str) -> None:
    conf: dict[str, t.Any] = {"__file__": str(tmp_path / "releases" / "a" / "gunicorn.conf.py")}
    exec(render("gunicorn.conf.py.j2", {"worker_class": worker_class}), conf)
    (tmp_path / "releases" / "a").mkdir(parents=True)
    current = tmp_path / "current"
    clock = SimpleNamespace(now=100.0)
    conf["time"] = SimpleNamespace(monotonic=lambda: clock.now)

    config.Config().set("pre_request", conf["pre_request"])

    class Request:
        method, path = "GET", "/"

        def __init__(self, ends: bool) -> None:
            self.ends = ends

        def should_close(self) -> bool:
            return self.ends

    def request(ends: bool = False) -> Request:
        made = Request(ends)
        conf["pre_request"](SimpleNamespace(log=logging.getLogger()), made)
        return made

    # Before the first release serves there is none.
    assert not request().should_close()
    current.symlink_to("releases/a")
    clock.now += 0.011
    assert not request().should_close()
    assert request(ends=True).should_close()
    asked, answered, soon_after = request(), request(), request()
    assert not answered.should_close()
    current.unlink()
    current.symlink_to("releases/b")
    # A look is believed for a moment.
    clock.now += 0.009
    assert not soon_after.should_close()
    clock.now += 0.002
    # Until the answer's header is written.
    assert asked.should_close()
    assert not answered.should_close()
    assert request().should_close()
    # An answered request is gone at once, not with the next round of the garbage collector.
    gone = weakref.ref(answered)
    del answered
    assert gone() is None


@pytest.mark.parametrize("hook", ["when_ready", "post_worker_init"])
def test_what_is_loaded_the_garbage_collector_leaves_alone(hook: str) -> None:
    conf: dict[str, t.Any] = {"__file__": str(ROLE / "files" / "gunicorn.conf.py")}
    exec(render("gunicorn.conf.py.j2", {}), conf)
    config.Config().set(hook, conf[hook])
    before = gc.get_freeze_count()
    try:
        conf[hook](None)
        assert gc.get_freeze_count() > before + 1000
    finally:
        gc.unfreeze()


def test_sync_keeps_no_connection_anyway() -> None:
    assert "pre_request" not in render("gunicorn.conf.py.j2", {})


@pytest.mark.parametrize("access", ["gunicorn", "both"])
@pytest.mark.parametrize(("to", "target"), [("journal", "-"), ("files", "/var/log/shop/access.log")])
def test_access_lines_of_gunicorn(access: str, to: str, target: str) -> None:
    found = configuration(logs={"access": access, "to": to})
    logger = found.pop("logger_class")
    lines = {"accesslog": target, "access_log_format": "%(line)s"}
    assert found == {**configuration(logs={"to": to}), **lines}
    assert issubclass(logger, Logger)
    assert not issubclass(logger, Statsd)


@pytest.mark.parametrize("access", ["nginx", "gunicorn"])
@pytest.mark.parametrize(
    ("statsd", "address"),
    [
        ("127.0.0.1:8125", ("127.0.0.1", 8125)),
        ("[::1]:8125", ("::1", 8125)),
        ("/run/agent/statsd.sock", "/run/agent/statsd.sock"),
    ],
)
def test_metrics(access: str, statsd: str, address: t.Any) -> None:
    found = configuration(logs={"access": access}, metrics={"statsd": statsd})
    assert issubclass(found["logger_class"], Statsd)
    known = config.Config()
    known.set("statsd_host", found["statsd_host"])
    assert known.statsd_host == address


def test_the_metrics_of_an_application_whose_name_is_a_letter() -> None:
    known = config.Config()
    for name in ("shop", "a"):
        found = configuration(name=name, metrics={"statsd": "127.0.0.1:8125"})
        known.set("statsd_prefix", found["statsd_prefix"])
        assert Statsd(known).prefix == name + "."


def test_the_names_of_the_release_are_not_imported() -> None:
    """Neither by what the configuration loads, nor by who comes after it."""
    assert configuration(logs={"access": "both"})["logger_class"].__module__ == "_wsgiops_flask_access_log"
    assert importlib.util.find_spec("access_log") is None


def test_gunicorn_takes_what_is_written() -> None:
    further = {"keepalive": 5, "pre_fork": "os.path.samefile", "dirty_apps": ["a:A", "b:B"]}
    keys: dict[str, t.Any] = {"worker_class": "gthread", "max_requests": 1000, "preload": True}
    keys.update(logs={"access": "both", "to": "files"}, metrics={"statsd": "127.0.0.1:8125"})
    known = config.Config()
    for name, value in configuration(**keys, gunicorn_settings=further).items():
        known.set(name, value)
    assert known.threads == 4
    assert known.preload_app is True
    assert issubclass(known.logger_class, Statsd)
    assert known.dirty_apps == ["a:A", "b:B"]
