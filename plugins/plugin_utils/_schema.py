# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validation of the list of applications: every problem found, each with a cure, before any host is touched."""

from __future__ import annotations

import copy
import difflib
import re
import typing as t
from pathlib import Path

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.wsgiops.flask.plugins.module_utils._environment import NAME as VARIABLE_NAME
from ansible_collections.wsgiops.flask.plugins.module_utils._environment import text_of
from ansible_collections.wsgiops.flask.plugins.plugin_utils._front import front_problems, rootless_problems
from ansible_collections.wsgiops.flask.plugins.plugin_utils._requirements import read_requirements
from ansible_collections.wsgiops.flask.plugins.plugin_utils._service import service_problems, service_warnings
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import SourceError, list_source
from ansible_collections.wsgiops.flask.plugins.plugin_utils._values import (
    BOOLEANS,
    HOST,
    NUMBERS,
    App,
    Schema,
    is_host,
    number,
    number_problems,
)
from ansible_collections.wsgiops.flask.plugins.plugin_utils._wsgi import find_application

# systemd warns of users whose names have more than 31 characters (sysusers.d(5)); a lower-case letter first and no
# underscore, as unit names read best.
APP_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")

# Debian's static users (base-passwd) and names whose directories under /var/lib, /var/log or /run are other programs'.
# A host has the last word (release_info refuses what it finds taken); these are refused before it is asked.
RESERVED_NAMES = frozenset(
    """
    apt backup bin cron daemon dbus default dpkg games git irc journal list lock log lp mail man messagebus mysql news
    nginx nobody postgres postgresql private proxy redis root ssh sshd sudo sync sys syslog systemd user users uucp
    wsgiops-flask-certificates wsgiops-flask-nginx www-data
    """.split()
)

DOMAIN = re.compile(rf"(?:\*\.)?{HOST.pattern}")

# What stands in a request line between two spaces (RFC 9112, section 3.2.1), from its first slash.
PATH = re.compile(r"/[!-~]*")

# Tags of git and versions with a local part look like this; no shell, log or unit file gives any of it a meaning.
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]{0,63}")


# What the service sets itself, or what would break its start (systemd.exec(5), sd_listen_fds(3), sd_notify(3),
# sd_watchdog_enabled(3)).
RESERVED_VARIABLES = frozenset(
    """
    GUNICORN_CMD_ARGS LISTEN_FDNAMES LISTEN_FDS LISTEN_PID MAINPID NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC
    """.split()
)

# What gunicorn's extra gevent brings, and its worker imports (gunicorn/workers/ggevent.py). A lock may name these alone
# (pip-compile --strip-extras); gevent without packaging would fail at the start of a worker, on the host.
OF_GEVENT_WORKER = ("gevent", "packaging")

# Values that are refused and have a successor, or that YAML makes a boolean of.
HINTS: t.Mapping[tuple[str, t.Any], str] = {
    ("worker_class", "eventlet"): "gunicorn 26 dropped it; use gevent",
    ("restart.policy", False): "YAML makes false of no and off; write never",
    ("restart.policy", "no"): "write never",
    ("network", False): "YAML makes false of no and off; write none",
    ("logs.access", False): "YAML makes false of no and off; write none",
    ("tls.mode", False): "YAML makes false of no and off; write none",
}


def problems(apps: t.Any, schema: Schema, resolve: t.Callable[[str], Path], nginx_mode: str = "system") -> list[str]:
    """Everything that is wrong with ``apps``; an empty list when nothing is.

    :param schema: the options of an application in argument-spec format.
    :param resolve: turns the text of ``source``, or of a page, into what it means on the controller.
    :param nginx_mode: which nginx it is: system, or file and user without root.
    """
    if not isinstance(apps, list) or not all(isinstance(app, dict) for app in apps):
        return [f"flask_apps: {_kind(apps)} was given; accepted is a list of dictionaries, one for each application"]
    found: list[str] = []
    for position, app in enumerate(apps, start=1):
        found += [f"{_title(app, position)}: {problem}" for problem in _app_problems(app, schema, resolve, nginx_mode)]
    return found + _conflicts(apps)


def warnings(apps: t.Sequence[App], schema: Schema) -> list[str]:
    """What is accepted in applications without problems, and hardly meant."""
    return [
        f"{_title(app, position)}: {warning}"
        for position, app in enumerate(apps, start=1)
        if app.get("state") != "absent"
        for warning in service_warnings(app, schema)
    ]


def _title(app: App, position: int) -> str:
    name = app.get("name")
    return str(name) if isinstance(name, str) and name else f"flask_apps entry {position}"


def _kind(value: t.Any) -> str:
    names: dict[t.Any, str] = {
        bool: "a boolean",
        (int, float): "a number",
        str: "a string",
        list: "a list",
        dict: "a dictionary",
    }
    return next((name for kind, name in names.items() if isinstance(value, kind)), "nothing")


def _app_problems(app: App, schema: Schema, resolve: t.Callable[[str], Path], nginx_mode: str) -> list[str]:
    """Problems of one application; what only makes sense in an entry of the right shape is checked in such a one."""
    found = unknown_keys(app, schema)
    absent = app.get("state") == "absent"
    found += [f"{key}: is required" for key, option in schema.items() if _is_missing(app, key, option, absent)]
    wrong = type_problems(app, schema)
    found += [problem for problems_of_key in wrong.values() for problem in problems_of_key]
    if not absent:
        found += number_problems(app)
    known = {key: value for key, value in _known(app, schema).items() if key not in wrong}
    found += [_plain(error) for error in ArgumentSpecValidator(_spec(schema)).validate(known).error_messages]
    if isinstance(app.get("name"), str):
        found += _name_problems(app["name"])
    if not absent and "domains" in known:
        found += _domain_problems(app["domains"])
    if found or absent:
        return found
    return (
        service_problems(app, schema)
        + front_problems(app, schema, resolve)
        + (rootless_problems(app, schema, nginx_mode) if nginx_mode != "system" else [])
        + _health_problems(app.get("health", {}))
        + _hook_problems(app.get("hooks", {}))
        + _label_problems(app)
        + _environment_problems("env", app.get("env", {}))
        + _secret_problems(app)
        + _source_problems(app, resolve)
    )


def _is_missing(app: App, key: str, option: t.Mapping[str, t.Any], absent: bool) -> bool:
    """Whether a required key is not given; an application that goes needs no more than its name."""
    return bool(option.get("required")) and app.get(key) is None and (key == "name" or not absent)


def unknown_keys(app: App, schema: Schema, path: str = "") -> list[str]:
    """Keys that the schema does not have, at any depth, each with the nearest one that it has."""
    found = []
    for key, value in app.items():
        if key not in schema:
            near = difflib.get_close_matches(str(key), [str(known) for known in schema], n=1, cutoff=0.5)
            hint = f"did you mean {path}{near[0]}?" if near else f"accepted here: {', '.join(sorted(schema))}"
            found.append(f"{path}{key}: unknown key; {hint}")
        elif isinstance(value, dict) and "options" in schema[key]:
            found += unknown_keys(value, schema[key]["options"], f"{path}{key}.")
    return found


_KINDS: dict[str, tuple[t.Any, str]] = {
    "dict": (dict, "a dictionary"),
    "list": (list, "a list"),
    "str": (str, "a string"),
    "path": (str, "a string"),
}


def type_problems(app: App, schema: Schema, path: str = "") -> dict[str, list[str]]:
    """Values of the wrong type by key, the outermost one; numbers are looked at by themselves.

    Ansible's validator would convert some of them ("a,b" to a list, 5 to a string); the roles read what was written.
    """
    found = {}
    for key, value in app.items():
        option = schema.get(key, {})
        name = f"{path}{key}"
        kind, accepted = _KINDS.get(str(option.get("type")), (object, ""))
        of_kind, each = _KINDS.get(str(option.get("elements")), (object, ""))
        if key not in schema or (value is None and option.get("required")):
            continue
        if value is None:
            found[key] = [f"{name}: is empty; leave the key out for its default"]
        elif not isinstance(value, kind):
            found[key] = [f"{name}: {_kind(value)} was given; accepted is {accepted}{_hint(name, value)}"]
        elif option.get("type") == "bool" and str(value).lower() not in BOOLEANS:
            found[key] = [f"{name}: {value!r} is not accepted: a boolean, true or false"]
        elif kind is list and not all(isinstance(item, of_kind) for item in value):
            odd = next(item for item in value if not isinstance(item, of_kind))
            found[key] = [f"{name}: {_kind(odd)} stands in the list; accepted in it is {each}"]
        elif kind is dict and "options" in option:
            nested = type_problems(value, option["options"], f"{name}.")
            if nested:
                found[key] = [problem for problems_of_key in nested.values() for problem in problems_of_key]
    return found


def _known(app: App, schema: Schema) -> dict[str, t.Any]:
    """A copy without unknown keys, for a validator that changes what it gets and would name them again."""
    known = {}
    for key, value in app.items():
        if key in schema and value is not None:
            options = schema[key].get("options")
            known[key] = _known(value, options) if options and isinstance(value, dict) else copy.deepcopy(value)
    return known


def _spec(schema: Schema) -> dict[str, t.Any]:
    """The schema as ArgumentSpecValidator takes it: types and choices, except for numbers, which are ours to check."""
    kept = ("type", "elements", "choices")
    spec = {key: {name: option[name] for name in kept if name in option} for key, option in schema.items()}
    for key, option in schema.items():
        if option.get("type") in ("int", "float"):
            spec[key]["type"] = "raw"
        if "options" in option:
            spec[key]["options"] = _spec(option["options"])
    return spec


def _plain(error: str) -> str:
    """Ansible's message with the key in front, where it starts with ``argument 'key' is`` or the like."""
    match = re.match(r"(?:argument|Elements value for option) '(?P<key>[^']+)' (?P<rest>.*)", error)
    if match:
        return f"{match['key']}: {match['rest']}"
    match = re.match(
        r"value of (?P<key>\S+) must be one of: (?P<rest>.*), got: (?P<value>.*?)"
        r"(?: found in (?P<at>\S+(?: -> \S+)*))?$",
        error,
    )
    if match:
        key = ".".join([*match["at"].split(" -> "), match["key"]] if match["at"] else [match["key"]])
        return f"{key}: {match['value']!r} is not accepted: one of {match['rest']}{_hint(key, match['value'])}"
    return error


def _hint(key: str, value: t.Any) -> str:
    hint = HINTS.get((key, value)) if isinstance(value, (str, bool)) else None
    return f"; {hint}" if hint else ""


def _name_problems(name: str) -> list[str]:
    if not APP_NAME.fullmatch(name):
        rule = "1 to 31 characters, a lower-case letter first, then lower-case letters, digits and hyphens"
        return [f"name: {name!r} is not accepted: {rule}"]
    if name in RESERVED_NAMES:
        return [f"name: {name!r} is taken by the system; choose another, such as {name}-app"]
    return []


def _domain_problems(domains: t.Sequence[str]) -> list[str]:
    if not domains:
        return ["domains: at least one host name is needed: nginx serves an application to no others"]
    found = []
    for domain in domains:
        text = str(domain)
        if not is_host(text, DOMAIN):
            rule = "a lower-case host name such as shop.example.com or *.example.com"
            found.append(f"domains: {text!r} is not {rule}{_lower_case_hint(text, DOMAIN)}")
    if len(set(domains)) < len(domains):
        found.append("domains: a host name stands there twice")
    if str(domains[0]).startswith("*."):
        found.append(f"domains: {domains[0]!r} can't be the first: probes need a host name without a wildcard")
    return found


def _lower_case_hint(text: str, form: re.Pattern[str]) -> str:
    near = text.lower()
    return f"; did you mean {near!r}?" if near != text and is_host(near, form) else ""


def _health_problems(health: t.Mapping[str, t.Any]) -> list[str]:
    found = []
    ready = health.get("ready", "/ready")
    if not PATH.fullmatch(ready):
        rule = "a path that starts with a slash, of printable ASCII characters without spaces"
        found.append(f"health.ready: {ready!r} is not accepted: {rule}")
    host = health.get("host", "localhost")
    if not is_host(host):
        rule = "a lower-case host name without a wildcard, such as shop.example.com"
        found.append(f"health.host: {host!r} is not accepted: {rule}{_lower_case_hint(host, HOST)}")
    latency = number(health.get("latency", 1), whole=False) or 0
    if not 0 < latency <= (number(health.get("timeout", 30), whole=True) or 0):
        found.append(f"health.latency: {health['latency']!r} is not accepted: {NUMBERS['health.latency'].rule}")
    try:
        re.compile(health.get("body", ""))
    except (re.error, OverflowError, RecursionError) as error:
        rule = f"a regular expression of Python ({error})"
        found.append(f"health.body: {health['body']!r} is not accepted: {rule}")
    return found


def _hook_problems(hooks: t.Mapping[str, t.Any]) -> list[str]:
    rule = "a shell command on one line; each command is an item of its own"
    return [
        f"hooks.{name}: {command!r} is not accepted: {rule}"
        for name, commands in hooks.items()
        if isinstance(commands, list)
        for command in commands
        if not command.strip() or re.search(r"[\0\r\n]", command)
    ]


def _label_problems(app: App) -> list[str]:
    label = app.get("release_label")
    if label is None or LABEL.fullmatch(label):
        return []
    rule = "1 to 64 letters, digits, dots, underscores, plus signs, slashes and hyphens, a letter or a digit first"
    return [f"release_label: {label!r} is not accepted: {rule}"]


def _environment_problems(key: str, variables: t.Mapping[t.Any, t.Any]) -> list[str]:
    """Names and values by the rules of systemd's EnvironmentFile=; a value, which may be a secret, is never shown."""
    found = []
    for name, value in variables.items():
        if not VARIABLE_NAME.fullmatch(str(name)):
            rule = "letters, digits and underscores, no digit first"
            found.append(f"{key}: {str(name)!r} is not a variable's name: {rule}")
        elif name in RESERVED_VARIABLES:
            found.append(f"{key}: {name} is set by the service manager and can't be given")
        else:
            try:
                text_of(value)
            except ValueError as error:
                found.append(f"{key}: {name} {error}")
    return found


def _secret_problems(app: App) -> list[str]:
    """Rules of variables, and two that are those of secrets: not empty, and not given as a plain variable too."""
    secrets = app.get("secrets", {})
    found = _environment_problems("secrets", secrets)
    plain = app.get("env", {})
    found += [f"secrets: {name} is empty; give it a value, or leave it out" for name in secrets if secrets[name] == ""]
    found += [f"secrets: {name} stands in env too; leave it out of one" for name in secrets if name in plain]
    return found


def _source_problems(app: App, resolve: t.Callable[[str], Path]) -> list[str]:
    """What is wrong with the code on the controller: directory, application, requirements."""
    root = resolve(str(app["source"]))
    if not root.is_dir():
        kind = "is not a directory" if root.exists() else "does not exist"
        return [f"source: {root} {kind}; accepted is a directory with the application's code"]
    found = []
    exclude = app.get("exclude") or ()
    try:
        entries = list_source(root, exclude)
    except SourceError as error:
        return [f"source: {error}"]
    try:
        find_application(root, str(app["wsgi"]), entries, exclude)
    except ValueError as error:
        found.append(str(error))
    name = str(app.get("requirements", "requirements.txt"))
    try:
        required = read_requirements(root, name, entries, exclude)
        with_extra = "gunicorn[gevent]" in required.extras
        missing = f"requirements: {name} does not list"
        if app.get("server") == "gevent":
            if not with_extra and "gevent" not in required.names:
                found.append(f"{missing} gevent, which server gevent needs; add it and lock again")
        elif "gunicorn" not in required.names:
            found.append(f"{missing} gunicorn, which serves the application; add it and lock again")
        elif app.get("worker_class") == "gevent" and not with_extra:
            absent = [project for project in OF_GEVENT_WORKER if project not in required.names]
            if absent:
                needed = f"{' and '.join(absent)}, which worker_class gevent needs"
                found.append(f"{missing} {needed}; write gunicorn[gevent] and lock again")
    except SourceError as error:
        found.append(f"requirements: {error}")
    return found


def _conflicts(apps: t.Sequence[App]) -> list[str]:
    """What no two applications may share: a name, and among those that stay a domain."""
    found = []
    names: set[str] = set()
    owners: dict[str, str] = {}
    for position, app in enumerate(apps, start=1):
        title = _title(app, position)
        name = app.get("name")
        if isinstance(name, str):
            if name in names:
                found.append(f"{title}: name: two entries of flask_apps have it; names are unique")
            names.add(name)
        domains = app.get("domains")
        if app.get("state") == "absent" or not isinstance(domains, list):
            continue
        for domain in dict.fromkeys(str(domain) for domain in domains):
            if owners.setdefault(domain, title) != title:
                found.append(f"{title}: domains: {domain!r} belongs to {owners[domain]} already")
    return found
