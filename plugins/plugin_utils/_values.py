# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of an application's keys: where they stand, and the numbers, sizes, booleans and host names among them."""

from __future__ import annotations

import math
import re
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils._workers import size_bytes

App = t.Mapping[str, t.Any]
Schema = t.Mapping[str, t.Mapping[str, t.Any]]

# Ansible's filter bool, with which the roles read them, knows no others.
TRUE = frozenset({"true", "yes", "on", "1"})
BOOLEANS = TRUE | {"false", "no", "off", "0"}

# A label of RFC 1123, section 2.1, in lower case: nginx lower-cases $host, and frameworks compare case-sensitively.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

# Characters to which neither systemd nor nginx gives a meaning in a path (systemd.unit(5), systemd.exec(5)); quotes,
# spaces and $ are some to which one of them does.
_PATH = re.compile(r"/?[A-Za-z0-9._+,=@~-]+(?:/[A-Za-z0-9._+,=@~-]+)*")


class Number(t.NamedTuple):
    """What is accepted for a number: from ``low`` to ``high``, as ``rule`` says it."""

    low: float
    high: float
    rule: str
    whole: bool = True


NUMBERS = {
    "workers": Number(1, 512, "auto, or a whole number from 1 to 512"),
    "threads": Number(1, 512, "a whole number from 1 to 512"),
    "worker_connections": Number(1, 65535, "a whole number from 1 to 65535"),
    "max_requests": Number(0, 1_000_000, "a whole number from 0 to 1000000; 0 is never"),
    "timeout": Number(1, 3600, "whole seconds from 1 to 3600"),
    "graceful_timeout": Number(1, 3600, "whole seconds from 1 to 3600"),
    "restart.delay": Number(0.1, 3600, "seconds from 0.1 to 3600", whole=False),
    "restart.burst": Number(1, 100, "a whole number from 1 to 100"),
    "restart.interval": Number(1, 86400, "whole seconds from 1 to 86400"),
    "restart.cooldown": Number(0, 86400, "whole seconds from 0 to 86400; 0 is off"),
    "limits.cpu": Number(0.05, 512, "a number of CPUs from 0.05 to 512", whole=False),
    "limits.tasks": Number(16, 1_000_000, "a whole number from 16 to 1000000"),
    "limits.open_files": Number(64, 1_000_000, "a whole number from 64 to 1000000"),
    "health.status": Number(100, 599, "an HTTP status, a whole number from 100 to 599"),
    "health.timeout": Number(1, 3600, "whole seconds from 1 to 3600"),
    "health.settle": Number(0, 60, "seconds from 0 to 60", whole=False),
    "health.latency": Number(0, 3600, "seconds, more than 0 and not more than health.timeout", whole=False),
    "hooks.timeout": Number(1, 3600, "whole seconds from 1 to 3600"),
    "confirm": Number(0, 3600, "whole seconds from 0 to 3600; 0 is off"),
    "keep_releases": Number(2, 100, "a whole number from 2 to 100"),
    "logs.rotate.keep": Number(1, 1000, "a whole number from 1 to 1000"),
    "tls.hsts": Number(0, 63_072_000, "whole seconds from 0 to 63072000; 0 is off"),
    "rate_limit.rate": Number(0.1, 10_000, "requests a second, from 0.1 to 10000", whole=False),
    "rate_limit.burst": Number(0, 10_000, "a whole number from 0 to 10000"),
    "rate_limit.connections": Number(1, 10_000, "a whole number from 1 to 10000"),
}

# Least sizes. An interpreter with Flask and gunicorn takes some 30 MiB; less than 1 KiB would rotate at every look, and
# refuse forms; of a body, 0 would mean no limit to nginx.
SIZES = {"limits.memory": "32M", "limits.memory_high": "32M", "logs.rotate.size": "1K", "max_body": "1K"}

# More than a host has; the same far below the 64 bits that systemd, logrotate and nginx count with.
_LARGEST = "1024T"


def at(app: App, path: str) -> t.Any:
    """The value of a key, its path with dots between; None where it is not given."""
    value: t.Any = app
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def filled(app: App, schema: Schema) -> dict[str, t.Any]:
    """The application with the documented default of each key that it leaves out, at any depth."""
    return {
        key: filled(app.get(key, {}), option["options"]) if "options" in option else app.get(key, option.get("default"))
        for key, option in schema.items()
    }


def number(value: t.Any, whole: bool = True) -> float | None:
    """The number that a value is, also as the text that ``-e`` makes of it; None for what is no such number."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}" if whole else r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value) and not whole:
        return value
    return None


def size(value: t.Any) -> int | None:
    """The bytes of a size; None for what is no size."""
    try:
        return size_bytes(str(value))
    except ValueError:
        return None


def is_true(value: t.Any) -> bool:
    """Whether Ansible's filter bool takes it for true."""
    return str(value).lower() in TRUE


def is_host(text: str, form: re.Pattern[str] = HOST) -> bool:
    """Whether it is a host name of the form; 253 characters are the 255 bytes of RFC 1035, section 2.3.4."""
    return len(text) <= 253 and form.fullmatch(text) is not None


def has_dots(path: str) -> bool:
    """Whether segments of a path would be taken out on its way (RFC 3986, section 5.2.4)."""
    return bool({".", ".."} & set(path.split("/")))


def is_path(text: str, absolute: bool = True) -> bool:
    """Whether it is a plain path on a host, absolute or relative, that says where it leads."""
    return _PATH.fullmatch(text) is not None and text.startswith("/") == absolute and not has_dots(text)


def is_in(path: str, directories: t.Iterable[str]) -> bool:
    """Whether an absolute path is one of the directories, or below one."""
    return any(path == directory or path.startswith(f"{directory}/") for directory in directories)


def number_problems(app: App) -> list[str]:
    """Numbers and sizes that are none, or out of their range, at any depth."""
    found = []
    for path, accepted in NUMBERS.items():
        value = at(app, path)
        if value is None or (path == "workers" and value == "auto"):
            continue
        given = number(value, accepted.whole)
        if given is None or not accepted.low <= given <= accepted.high:
            found.append(f"{path}: {value!r} is not accepted: {accepted.rule}")
    for path, least in SIZES.items():
        value = at(app, path)
        if value is not None and not _is_size(value, least):
            rule = f"a size from {least} to {_LARGEST}, a whole number of bytes or one with K, M, G or T behind it"
            found.append(f"{path}: {value!r} is not accepted: {rule}{_size_hint(value, least)}")
    return found


def _is_size(value: t.Any, least: str) -> bool:
    given = size(value)
    return given is not None and (size(least) or 0) <= given <= (size(_LARGEST) or 0)


def _size_hint(value: t.Any, least: str) -> str:
    """A size with the unit as others write it: 512m, 512MB or 512 MiB."""
    near = str(value).upper().replace(" ", "").removesuffix("B").removesuffix("I")
    return f"; did you mean {near!r}?" if isinstance(value, str) and near != value and _is_size(near, least) else ""
