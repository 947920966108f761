# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each option of the roles gunicorn and logrotate does something: with it, what a task hands to a module is another."""

from __future__ import annotations

import contextlib
import json
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.wsgiops.flask.tests.unit.rendering import Render, rendering

REPOSITORY = Path(__file__).resolve().parents[2]
Options = dict[str, t.Any]

# What other roles publish, and the entry points each other.
PUBLISHED = {"release_code": "5891b5b522d5df08", "venv_key": "2c26b46b68ffc68f", "gunicorn_release": "0123456789ab"}

# A value other than the default for each option that is neither a boolean nor one of some choices.
OTHER: Options = {
    "gunicorn_name": "desk",
    "gunicorn_root": "/srv/apps",
    "gunicorn_wsgi": "shop:create_app()",
    "gunicorn_workers": 7,
    "gunicorn_threads": 8,
    "gunicorn_worker_connections": 9,
    "gunicorn_max_requests": 1000,
    "gunicorn_timeout": 61,
    "gunicorn_graceful_timeout": 62,
    "gunicorn_settings": {"keepalive": 5},
    "gunicorn_environment": {"DEBUG": "1"},
    "gunicorn_secrets": {"SECRET_KEY": "s3cret"},
    "gunicorn_metrics_statsd": "127.0.0.1:8125",
    "gunicorn_restart_delay": 2.5,
    "gunicorn_restart_burst": 6,
    "gunicorn_restart_interval": 66,
    "gunicorn_restart_cooldown": 67,
    "gunicorn_limits_memory": "512M",
    "gunicorn_limits_memory_high": "384M",
    "gunicorn_limits_cpu": 1.5,
    "gunicorn_limits_tasks": 68,
    "gunicorn_limits_open_files": 69,
    "gunicorn_sandbox_writable_paths": ["/srv/shop"],
    "gunicorn_sandbox_system_calls": ["@resources"],
    "gunicorn_sandbox_address_families": ["AF_NETLINK"],
    "gunicorn_sandbox_groups": ["video"],
    "gunicorn_health_ready": "/healthz",
    "gunicorn_health_status": 204,
    "gunicorn_health_host": "localhost",
    "gunicorn_health_timeout": 63,
    "gunicorn_health_settle": 2.5,
    "gunicorn_health_body": "ok",
    "gunicorn_health_latency": 0.5,
    "gunicorn_front_url": "http://127.0.0.1:8080",
    "gunicorn_front_host": "desk.example.com",
    "gunicorn_hooks_once": ["flask db upgrade"],
    "gunicorn_hooks_before_switch": ["flask warm"],
    "gunicorn_hooks_after_switch": ["flask tell"],
    "gunicorn_hooks_timeout": 64,
    "gunicorn_confirm": 65,
    "gunicorn_keep_releases": 6,
    "gunicorn_release_label": "v1.2",
    "gunicorn_lock_wait": 70,
    "gunicorn_socket_group": "nginx",
    "gunicorn_code": "0000000000000001",
    "gunicorn_venv": "0000000000000002",
    "gunicorn_rollback_to": "v1.1",
    "logrotate_name": "desk",
    "logrotate_root": "/srv/apps",
    "logrotate_size": "100M",
    "logrotate_keep": 8,
}

# What else has to be set for an option to matter, as its description says.
TO_FILES = {"logrotate_logs_to": "files"}
WITH: dict[str, Options] = {
    "gunicorn_threads": {"gunicorn_worker_class": "gthread"},
    "gunicorn_worker_connections": {"gunicorn_worker_class": "gthread"},
    # The rotation of an application under /opt is where the system looks for it.
    "logrotate_root": {**TO_FILES, "logrotate_private": True},
    "logrotate_service_manager": TO_FILES,
    "logrotate_logs_access": TO_FILES,
    "logrotate_frequency": TO_FILES,
    "logrotate_size": TO_FILES,
    "logrotate_keep": TO_FILES,
    "logrotate_method": TO_FILES,
}

# Choices that are one to a role, and two to another.
SAME = {
    "gunicorn_logs_access": {"both": ["gunicorn"]},
    "logrotate_logs_access": {"both": ["gunicorn"], "none": ["nginx"]},
}

# What no option moves, by role and entry point; with systemd there is nothing that can't be seen to.
FIXED = {
    ("gunicorn", "main"): {"unenforced"},
    ("gunicorn", "confirm"): {"state", "release"},
    ("gunicorn", "rollback"): {"state"},
    ("gunicorn", "status"): set(),
    ("gunicorn", "remove"): {"state"},
    ("logrotate", "main"): {"apply"},
    ("logrotate", "remove"): {"apply"},
}

# What does nothing under cron: there is no journal, and no sandbox that could be opened.
OF_SYSTEMD = [
    "gunicorn_logs_to",
    "gunicorn_sandbox_writable_paths",
    "gunicorn_sandbox_home",
    "gunicorn_sandbox_devices",
    "gunicorn_sandbox_write_execute",
    "gunicorn_sandbox_system_calls",
    "gunicorn_sandbox_address_families",
    "gunicorn_sandbox_namespaces",
]


def entry_points(role: str) -> dict[str, t.Any]:
    text = (REPOSITORY / "roles" / role / "meta" / "argument_specs.yml").read_text()
    return t.cast("dict[str, t.Any]", yaml.safe_load(text)["argument_specs"])


def others(name: str, option: Options, default: t.Any) -> list[t.Any]:
    """Values of an option beside its default, by which every choice that it has is told from the others."""
    if option["type"] == "bool":
        return [not default]
    return [choice for choice in option["choices"] if choice != default] if "choices" in option else [OTHER[name]]


CASES = [
    (role, point, name, option)
    for role in ("gunicorn", "logrotate")
    for point, spec in entry_points(role).items()
    for name, option in spec["options"].items()
]
IDS = [f"{point}-{name}" for _role, point, name, _option in CASES]


class Role:
    """What the last task of an entry point hands to its module."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._known: dict[str, t.Any] = {}

    def value(self, expression: str, options: Options) -> t.Any:
        key = json.dumps([expression, options], sort_keys=True)
        if key not in self._known:
            self._known[key] = self._render(expression, {}, options, **PUBLISHED)
        return self._known[key]

    def handed(self, point: str, options: Options) -> t.Any:
        return self.value(f"tasks['{point}'][-1]", options)


@pytest.fixture(scope="module")
def roles() -> Iterator[dict[str, Role]]:
    with contextlib.ExitStack() as stack:
        yield {role: Role(stack.enter_context(rendering(REPOSITORY, role))) for role in ("gunicorn", "logrotate")}


@pytest.mark.parametrize(("role", "point", "name", "option"), CASES, ids=IDS)
def test_an_option_does_something(roles: dict[str, Role], role: str, point: str, name: str, option: Options) -> None:
    """And each choice something else."""
    given = WITH.get(name, {})
    default = roles[role].value(name, given)
    seen = {str(default): roles[role].handed(point, given)}
    for value in others(name, option, default):
        handed = roles[role].handed(point, {**given, name: value})
        like = [other for other, known in seen.items() if known == handed]
        assert like == SAME.get(name, {}).get(str(value), []), f"{name}: {value!r}"
        seen[str(value)] = handed
    assert len(seen) > 1


def leaves(handed: Options, prefix: str = "") -> Options:
    """What a task hands over by name, that of health and hooks each by itself."""
    found: Options = {}
    for name, value in handed.items():
        nested = isinstance(value, dict) and name in ("health", "hooks")
        found.update(leaves(value, f"{name}.") if nested else {prefix + name: value})
    return found


@pytest.mark.parametrize(("role", "point"), FIXED)
def test_all_that_is_handed_over_is_some_options(roles: dict[str, Role], role: str, point: str) -> None:
    """An option that several places read is read in all of them."""
    moved: set[str] = set()
    every: set[str] = set()
    for of_role, of_point, name, option in CASES:
        if (of_role, of_point) == (role, point):
            given = WITH.get(name, {})
            before = leaves(roles[role].handed(point, given))
            every |= set(before)
            for value in others(name, option, roles[role].value(name, given)):
                after = leaves(roles[role].handed(point, {**given, name: value}))
                moved |= {part for part in before if before[part] != after[part]}
    assert every - moved == FIXED[role, point]


def test_under_cron_options_do_something_unless_they_are_systemds(roles: dict[str, Role]) -> None:
    role = roles["gunicorn"]
    without = []
    for name, option in entry_points("gunicorn")["main"]["options"].items():
        given = {**WITH.get(name, {}), "gunicorn_service": "cron"}
        changed = [{**given, name: value} for value in others(name, option, role.value(name, given))]
        if all(role.handed("main", options) == role.handed("main", given) for options in changed):
            without.append(name)
    assert without == OF_SYSTEMD
