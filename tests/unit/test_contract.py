# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the repository says in two places is the same in both: defaults, specs, schema, documents, headers."""

from __future__ import annotations

import functools
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

REPOSITORY = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (REPOSITORY / "roles").iterdir())
TEMPLATES = sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("roles/*/templates/*"))
HEADER = "# Managed by the Ansible collection wsgiops.flask; changes made here are undone by its next run."

# Two applications that have nothing in common but what both leave out.
SHOP = {
    "flask_app": {"name": "shop", "source": "../shop", "wsgi": "shop:app", "domains": ["shop.example.com"]},
    "release_code": "5891b5b522d5df08",
    "release_service_manager": "systemd",
    "venv_key": "2c26b46b68ffc68f",
}
DESK = {
    "flask_app": {"name": "desk", "source": "../desk", "wsgi": "desk:create_app()", "domains": ["desk.example"]},
    "release_code": "0000000000000001",
    "release_service_manager": "cron",
    "venv_key": "0000000000000002",
}

# A value for each key of the schema that may be left out, other than its default.
OTHER = {
    "remove_data": True,
    "service": "systemd",
    "exclude": ["/docs/"],
    "python": "python3.13",
    "installer": "uv",
    "requirements": "requirements/production.txt",
    "server": "gevent",
    "workers": 7,
    "worker_class": "gevent",
    "threads": 8,
    "worker_connections": 9,
    "max_requests": 1000,
    "preload": True,
    "timeout": 61,
    "graceful_timeout": 62,
    "gunicorn_settings": {"keepalive": 5},
    "restart.policy": "always",
    "restart.delay": 2.5,
    "restart.burst": 6,
    "restart.interval": 66,
    "restart.cooldown": 67,
    "limits.memory": "512M",
    "limits.memory_high": "384M",
    "limits.cpu": 1.5,
    "limits.tasks": 68,
    "limits.open_files": 69,
    "limits.oom_policy": "kill",
    "network": "local",
    "sandbox.writable_paths": ["/srv/shop"],
    "sandbox.home": "read-only",
    "sandbox.devices": True,
    "sandbox.write_execute": True,
    "sandbox.system_calls": ["@resources"],
    "sandbox.address_families": ["AF_NETLINK"],
    "sandbox.namespaces": True,
    "sandbox.groups": ["video"],
    "health.ready": "/healthz",
    "health.status": 204,
    "health.host": "localhost",
    "health.timeout": 63,
    "health.settle": 2.5,
    "health.body": "ok",
    "health.latency": 0.5,
    "hooks.once": ["flask db upgrade"],
    "hooks.before_switch": ["flask warm"],
    "hooks.after_switch": ["flask tell"],
    "hooks.timeout": 64,
    "overlap": False,
    "confirm": 65,
    "keep_releases": 6,
    "release_label": "v1.2",
    "env": {"DEBUG": "1"},
    "secrets": {"SECRET_KEY": "s3cret"},
    "logs.to": "files",
    "logs.access": "both",
    "logs.rotate.frequency": "weekly",
    "logs.rotate.size": "100M",
    "logs.rotate.keep": 8,
    "logs.rotate.method": "copytruncate",
    "metrics.statsd": "127.0.0.1:8125",
    "prefix": "/shop",
    "tls.mode": "self_signed",
    "tls.certificate": "/etc/ssl/shop.pem",
    "tls.key": "/etc/ssl/shop.key",
    "tls.acme.email": "admin@example.com",
    "tls.acme.directory": "staging",
    "tls.acme.ca_bundle": "/etc/ssl/authority.pem",
    "tls.redirect": False,
    "tls.hsts": 63072000,
    "tls.hsts_subdomains": True,
    "tls.http2": False,
    "tls.http3": True,
    "trusted_proxies": ["10.0.0.0/8"],
    "static": [{"url": "/static/", "path": "shop/static"}],
    "compression": "none",
    "websockets": True,
    "buffering": False,
    "max_body": "1G",
    "rate_limit.rate": 2.5,
    "rate_limit.burst": 21,
    "rate_limit.connections": 22,
    "access.allow": ["192.0.2.0/24"],
    "access.deny": ["192.0.2.1"],
    "access.users": {"alice": "$6$salt$hash"},
    "headers.content_type_options": "",
    "headers.frame_options": "DENY",
    "headers.referrer_policy": "no-referrer",
    "headers.permissions_policy": "camera=()",
    "headers.content_security_policy": "default-src 'self'",
    "headers.extra": {"X-Robots-Tag": "noindex"},
    "maintenance": True,
    "pages.error": "error.html",
    "pages.maintenance": "maintenance.html",
    "nginx_server_extra": "gzip on;",
    "nginx_location_extra": "gzip off;",
}

# Keys that may be left out and have no default: what they would say is another key's to say, or is not said at all.
WITHOUT_DEFAULT = {
    "health.host",
    "health.latency",
    "limits.cpu",
    "limits.memory",
    "limits.memory_high",
    "logs.rotate.size",
    "metrics.statsd",
    "pages.error",
    "pages.maintenance",
    "rate_limit.connections",
    "rate_limit.rate",
    "release_label",
    "tls.acme.ca_bundle",
    "tls.acme.email",
    "tls.certificate",
    "tls.key",
}

# Options that are computed from a key of the application and do not repeat it.
COMPUTED = {
    "gunicorn_scheme",
    "gunicorn_state_passable",
    "logrotate_service_manager",
    "nginx_read_timeout",
    "nginx_retry_after",
    "release_public",
}

Options = dict[str, dict[str, t.Any]]


@functools.cache
def load(path: str) -> t.Any:
    return yaml.safe_load((REPOSITORY / path).read_text())


@functools.cache
def defaults(role: str) -> dict[str, t.Any]:
    path = str(REPOSITORY / "roles" / role / "defaults" / "main.yml")
    return DataLoader().load_from_file(path, trusted_as_template=True)


def render(role: str, variables: dict[str, t.Any]) -> dict[str, t.Any]:
    """The defaults of a role as Ansible gives them to its tasks."""
    templar = Templar(loader=DataLoader(), variables={**defaults(role), **variables})
    return {name: templar.template(value) for name, value in defaults(role).items()}


@functools.cache
def of_the_shop(role: str) -> dict[str, t.Any]:
    return render(role, SHOP)


def entry_points(role: str) -> dict[str, t.Any]:
    return load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]


def options(role: str) -> list[tuple[str, dict[str, t.Any]]]:
    """Name and spec of every option of every entry point."""
    return [item for point in entry_points(role).values() for item in point["options"].items()]


def sentences(option: dict[str, t.Any]) -> str:
    said = option["description"]
    return said if isinstance(said, str) else " ".join(said)


def schema(found: Options | None = None, prefix: str = "") -> Options:
    """The options of the application dictionary; nested ones have their path for a name."""
    flat: Options = {}
    for key, option in (load("playbooks/vars/app_schema.yml")["app_schema"] if found is None else found).items():
        if "options" in option:
            flat.update(schema(option["options"], f"{prefix}{key}."))
        else:
            flat[prefix + key] = option
    return flat


def with_keys(keys: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The variables of the shop with these keys of the application set."""
    app = dict(t.cast("dict[str, t.Any]", SHOP["flask_app"]))
    for path, value in keys.items():
        *above, name = path.split(".")
        place = app
        for part in above:
            place = place.setdefault(part, {})
        place[name] = value
    return {**SHOP, "flask_app": app}


# --- specs and defaults of roles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_what_differs_from_host_to_host_is_in_one_variable(role: str) -> None:
    """All others are found out once a run for all hosts that have the same: one more would have each do it anew."""
    directory = REPOSITORY / "roles" / role
    texts = [str(path.read_text()) for path in directory.glob("templates/**/*.j2")]
    values = {**defaults(role), **(load(f"roles/{role}/vars/main.yml") or {})}
    values.pop("__nginx_renewal_seed", None)
    for name in ("inventory_hostname", "ansible_host", "hostvars", "group_names"):
        assert name not in str(values)
        assert not any(name in text for text in texts)


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_documented_and_every_option_has_one(role: str) -> None:
    assert sorted(dict(options(role))) == sorted(defaults(role))


@pytest.mark.parametrize("role", ROLES)
def test_public_names_begin_with_the_role(role: str) -> None:
    assert [name for name in defaults(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_is_described_and_has_its_tasks(role: str) -> None:
    for name, point in entry_points(role).items():
        assert point["short_description"]
        assert point["description"]
        assert (REPOSITORY / "roles" / role / "tasks" / f"{name}.yml").is_file()


@pytest.mark.parametrize(("role", "name", "option"), [(role, *item) for role in ROLES for item in options(role)])
def test_a_documented_default_is_the_default(role: str, name: str, option: dict[str, t.Any]) -> None:
    """What differs between two applications comes from them, and the spec says from where; the rest is the default."""
    shop, desk = render(role, SHOP)[name], render(role, DESK)[name]
    if shop == desk:
        assert option["default"] == shop
        assert type(option["default"]) is type(shop) or isinstance(shop, type(option["default"]))
        assert shop in option.get("choices", [shop])
    else:
        assert "default" not in option
        published = r"release_code\)|release_service_manager\)|venv_key\)"
        assert re.search(rf"Default is (the first of )?C\((flask_app\.|{published})", sentences(option))


@pytest.mark.parametrize(("role", "name", "option"), [(role, *item) for role in ROLES for item in options(role)])
def test_a_documented_source_is_the_source(role: str, name: str, option: dict[str, t.Any]) -> None:
    """`Default is C(flask_app.x)` is said of exactly those options whose default reads x."""
    text = str(defaults(role)[name])
    read = re.findall(r"\(?(flask_app(?:\.\w+| \| default\(\{\}\)\)\.\w+)+)", text)
    keys = [key.replace(" | default({}))", "") for key in read]
    said = re.findall(r"(?:Default is|or else) (?:the first of )?C\((flask_app[\w.]+)\)", sentences(option))
    assert said == ([] if name in COMPUTED else keys)


@pytest.mark.parametrize("name", defaults("nginx"))
def test_an_option_of_the_front_door_is_of_consequence_to_a_test(name: str) -> None:
    """By its name, or by the key or variable that its default reads; the tests themselves show what it does."""
    default = str(defaults("nginx")[name])
    words = [
        name,
        *re.findall(r"(?:flask_app|\)\))\.(\w+)", default)[-1:],
        *re.findall(r"\b(flask_(?!app)\w+)", default),
    ]
    paths = [*REPOSITORY.glob("molecule/*/tests/*.py"), REPOSITORY / "tests" / "unit" / "test_nginx_templates.py"]
    assert any(re.search(rf"\b({'|'.join(words)})\b", path.read_text()) for path in paths)


@pytest.mark.parametrize("role", ROLES)
def test_an_option_is_the_same_at_every_entry_point(role: str) -> None:
    """Type, default and choices; the words may differ."""
    seen: dict[str, dict[str, t.Any]] = {}
    for name, option in options(role):
        kept = {key: value for key, value in option.items() if key != "description"}
        assert seen.setdefault(name, kept) == kept, name


@pytest.mark.parametrize("role", ROLES)
def test_one_variable_moves_the_root_of_all_roles(role: str) -> None:
    moved = {name: value for name, value in render(role, {**SHOP, "flask_root": "/srv"}).items() if value == "/srv"}
    assert list(moved) == [f"{role}_root"]


@pytest.mark.parametrize("role", ["gunicorn", "release", "venv"])
def test_one_variable_makes_all_roles_wait_for_the_lock(role: str) -> None:
    waits = {name: value for name, value in render(role, {**SHOP, "flask_lock_wait": 7}).items() if value == 7}
    assert list(waits) == [f"{role}_lock_wait"]


@pytest.mark.parametrize(("cooldown", "seconds"), [(7, 7), ("7", 7), (0, 120), ("0", 120)])
def test_clients_come_again_when_the_service_is_tried_again(cooldown: t.Any, seconds: int) -> None:
    assert render("nginx", with_keys({"restart.cooldown": cooldown}))["nginx_retry_after"] == seconds


@pytest.mark.parametrize(
    ("keys", "graceful"),
    [
        ({}, 30),
        ({"timeout": 10}, 30),
        ({"timeout": "120"}, 120),
        ({"timeout": 120, "graceful_timeout": "150"}, "150"),
        ({"timeout": 120, "graceful_timeout": 20}, 20),
    ],
)
def test_a_request_may_take_as_long_in_gunicorn_in_nginx_and_at_a_stop(keys: dict[str, t.Any], graceful: t.Any) -> None:
    """The last of these is warned of."""
    variables = {**SHOP, "flask_app": {**t.cast("dict[str, t.Any]", SHOP["flask_app"]), **keys}}
    gunicorn = render("gunicorn", variables)
    assert gunicorn["gunicorn_graceful_timeout"] == graceful
    assert render("nginx", variables)["nginx_read_timeout"] == int(gunicorn["gunicorn_timeout"]) + 5


# --- the schema of the application --------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_setting_keys_to_their_documented_defaults_changes_nothing(role: str) -> None:
    keys = {key: option["default"] for key, option in schema().items() if "default" in option}
    # What has keys of its own is set by them.
    leaves = {key: default for key, default in keys.items() if not any(other.startswith(f"{key}.") for other in keys)}
    assert render(role, with_keys(leaves)) == of_the_shop(role)


@pytest.mark.parametrize("key", OTHER)
def test_setting_a_key_to_something_else_changes_something(key: str) -> None:
    variables = with_keys({key: OTHER[key]})
    assert OTHER[key] != schema()[key].get("default")
    assert any(render(role, variables) != of_the_shop(role) for role in ROLES)


def test_every_key_has_a_default_or_is_required() -> None:
    without = {key for key, option in schema().items() if "default" not in option} - WITHOUT_DEFAULT
    assert without == {key for key, option in schema().items() if option.get("required")}
    assert without == set(t.cast("dict[str, t.Any]", SHOP["flask_app"]))
    assert {*without, *OTHER, "state"} == set(schema())


@pytest.mark.parametrize(("key", "option"), schema().items())
def test_every_key_is_described_and_its_default_is_accepted(key: str, option: dict[str, t.Any]) -> None:
    assert option["description"].strip()
    kinds: dict[str, t.Any] = {"str": str, "path": str, "int": int, "bool": bool, "list": list, "dict": dict}
    if "default" in option:
        assert isinstance(option["default"], kinds.get(option["type"], object))
        assert option["default"] in option.get("choices", [option["default"]])


@pytest.mark.parametrize("key", schema())
def test_every_key_stands_in_the_tables_of_the_readme(key: str) -> None:
    cells = re.findall(r"^\| *`([^`]+)`", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert key in cells


# --- files of roles -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_complete(role: str) -> None:
    directory = REPOSITORY / "roles" / role
    galaxy = load(f"roles/{role}/meta/main.yml")["galaxy_info"]
    assert galaxy["description"]
    assert galaxy["license"] == "GPL-3.0-or-later"
    assert (directory / "README.md").read_text().startswith("# ")
    assert (directory / "tasks" / "main.yml").is_file()


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_stands_in_its_readme(role: str) -> None:
    cells = re.findall(r"^\| *`([^`]+)`", (REPOSITORY / "roles" / role / "README.md").read_text(), re.MULTILINE)
    assert sorted(defaults(role)) == sorted(set(cells) & set(defaults(role)))


@pytest.mark.parametrize("role", ROLES)
def test_a_role_includes_no_other(role: str) -> None:
    for path in (REPOSITORY / "roles" / role / "tasks").iterdir():
        assert not re.search(r"(include|import)_role", path.read_text()), path


@pytest.mark.parametrize("role", ROLES)
def test_no_result_of_a_task_hides_a_variable(role: str) -> None:
    """Ansible takes what a task registered, one that was skipped too, before variables of the role."""
    directory = REPOSITORY / "roles" / role
    files = [*directory.glob("tasks/*.yml"), *directory.glob("handlers/*.yml")]
    registered = {name for path in files for name in re.findall(r"^\s*register: (\S+)", path.read_text(), re.MULTILINE)}
    variables = directory / "vars" / "main.yml"
    given = set(defaults(role)) | set(load(str(variables)) if variables.exists() else ())
    assert registered & given == set()


@pytest.mark.parametrize("template", [path for path in TEMPLATES if not path.match("*.json.j2")], ids=str)
def test_a_generated_file_says_who_made_it(template: Path) -> None:
    """JSON has no comments."""
    lines = (REPOSITORY / template).read_text().splitlines()
    first, second = [line for line in lines[:3] if not line.startswith("#!")][:2]
    assert first == HEADER
    assert re.match(rf"# Role {template.parts[1]}\b", second)


@pytest.mark.parametrize("template", TEMPLATES, ids=str)
def test_a_generated_file_has_no_comment_behind_a_value(template: Path) -> None:
    """systemd drops the value or the unit, and logrotate the whole block. Jinja's own comments are in no file."""
    text = (REPOSITORY / template).read_text()
    lines = re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL).splitlines()
    assert [line for line in lines if re.match(r"\s*[^#\s].*\s#", line)] == []


def tasks_of_roles() -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """Each task of a role, those of blocks too, behind the name of the role."""

    def within(tasks: list[dict[str, t.Any]]) -> t.Iterator[dict[str, t.Any]]:
        for task in tasks:
            yield task
            for part in ("block", "rescue", "always"):
                yield from within(task.get(part, []))

    for path in sorted(REPOSITORY.glob("roles/*/tasks/*.yml")):
        for task in within(yaml.safe_load(path.read_text()) or []):
            yield path.relative_to(REPOSITORY / "roles").parts[0], task


def test_tasks_hand_over_all_arguments_one_by_one() -> None:
    """By the same variables a host is compared. A template for all of them at once is one that Ansible warns of."""
    asked = []
    for role, task in tasks_of_roles():
        assert not isinstance(task.get("args"), str), task["name"]
        arguments = next((value for name, value in task.items() if name.startswith("wsgiops.flask.")), {})
        found = {
            name: match.groups()
            for name, value in arguments.items()
            if (match := re.fullmatch(r"{{ (__\w+_arguments)\.(\w+) }}", str(value)))
        }
        for variable in {variable for variable, _key in found.values()}:
            wanted = yaml.safe_load((REPOSITORY / "roles" / role / "vars" / "main.yml").read_text())[variable]
            assert found == {name: (variable, name) for name in wanted}, task["name"]
            asked.append(variable)
    assert len(asked) == 11
