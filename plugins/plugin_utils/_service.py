# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validation of how an application is served: server, workers, restarts, limits, network, sandbox and metrics."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import SOCKET_PATH
from ansible_collections.wsgiops.flask.plugins.plugin_utils._gunicorn_settings import settings_problems
from ansible_collections.wsgiops.flask.plugins.plugin_utils._values import (
    App,
    Schema,
    filled,
    is_host,
    is_in,
    is_path,
    is_true,
    number,
    size,
)

# Keys that only some worker classes use.
CLASSES = {"threads": ("gthread",), "worker_connections": ("gevent", "gthread")}

# Keys that are gunicorn's alone.
OF_GUNICORN = ("workers", "worker_class", "threads", "max_requests", "preload", "gunicorn_settings")

# Keys within others that are systemd's alone.
OF_SYSTEMD = {
    "limits": ("memory", "memory_high", "cpu", "oom_policy"),
    "sandbox": ("writable_paths", "home", "devices", "write_execute", "system_calls", "address_families", "namespaces"),
}

# Where the system, the code of applications and the kernel's file systems are; with what is below, but for /run.
SYSTEM_PATHS = tuple(f"/{name}" for name in "bin boot dev etc lib lib32 lib64 libx32 opt proc sbin sys usr".split())

# What the key sandbox.home hides (systemd.exec(5), ProtectHome=).
HOME_PATHS = ("/home", "/root", "/run/user")

# systemd.exec(5), SystemCallFilter=: a system call or a group of them.
SYSTEM_CALL = re.compile(r"[a-z0-9_]+|@[a-z0-9-]+")

# address_families(7).
ADDRESS_FAMILY = re.compile(r"AF_[A-Z0-9_]+")

# groupadd(8).
GROUP = re.compile(r"[a-z_][a-z0-9_-]{0,31}")

_GROUP_REASONS = {
    "its members can become root": "root sudo wheel docker lxd incus libvirt",
    "its members can read password hashes": "shadow",
    "its members can read and write whole disks": "disk",
    "its members can read the memory of all processes": "kmem",
    "its members can read the logs of the whole host": "adm systemd-journal",
    "it is nginx's, whose members can connect to every application": "www-data",
}

# Groups that would undo the sandbox, each with how.
RESERVED_GROUPS = {name: reason for reason, names in _GROUP_REASONS.items() for name in names.split()}


def service_problems(app: App, schema: Schema) -> list[str]:
    """What is wrong with how an application of the right shape is served, each with a cure.

    :param schema: the options of an application in argument-spec format, for the defaults.
    """
    full = filled(app, schema)
    return (
        _cron_problems(app)
        + _server_problems(app, full)
        + _restart_problems(full["restart"])
        + _limit_problems(full)
        + _sandbox_problems(full["sandbox"])
        + _metrics_problems(full["metrics"]["statsd"], full["network"])
    )


def service_warnings(app: App, schema: Schema) -> list[str]:
    """What is accepted of an application without problems, and hardly meant."""
    timeout, graceful = number(filled(app, schema)["timeout"]) or 0, number(app.get("graceful_timeout"))
    # Where it is not given, the role gives as long as a request may take.
    if graceful is None or graceful >= timeout:
        return []
    return [
        f"graceful_timeout: {graceful:g} s is less than the {timeout:g} s that a request may take (timeout): "
        f"a stop cuts one off after {graceful:g} s, a new release after {2 * graceful:g} s"
    ]


def _cron_problems(app: App) -> list[str]:
    """Keys that ask for what systemd alone gives, of an application that cron is to run."""
    if app.get("service") != "cron":
        return []
    rule = "with service cron nothing could see to it; it needs systemd"
    found = [f"network: {app['network']!r} is not accepted: {rule}"] if app.get("network", "full") != "full" else []
    for group, keys in OF_SYSTEMD.items():
        given = app.get(group) or {}
        found += [f"{group}.{key}: {given[key]!r} is not accepted: {rule}" for key in keys if key in given]
    if (app.get("logs") or {}).get("to") == "journal":
        rule = "with service cron there is no journal that could be written to; leave it out, or set it to files"
        found.append(f"logs.to: 'journal' is not accepted: {rule}")
    return found


def _server_problems(app: App, full: App) -> list[str]:
    """Keys that the server, or the worker class, of the application does not use."""
    if full["server"] == "gevent":
        rule = "used with server gunicorn alone; with server gevent one process without workers serves"
        return [f"{key}: {app[key]!r} is not accepted: {rule}" for key in OF_GUNICORN if key in app]
    chosen = full["worker_class"]
    found = []
    for key, classes in CLASSES.items():
        if key in app and chosen not in classes:
            also = " or server gevent" if key == "worker_connections" else ""
            rule = f"used with worker_class {' or '.join(classes)}{also} alone, and worker_class is {chosen}"
            found.append(f"{key}: {app[key]!r} is not accepted: {rule}")
    threads, connections = number(full["threads"]) or 0, number(full["worker_connections"]) or 0
    if chosen == "gthread" and connections <= threads:
        rule = f"more than threads ({threads:g}): each takes one, and one that is kept open between requests counts too"
        found.append(f"worker_connections: {full['worker_connections']!r} is not accepted: {rule}")
    if chosen == "gevent" and is_true(full["preload"]):
        rule = "the application would import ssl and others before worker_class gevent can patch them; leave it out"
        found.append(f"preload: {full['preload']!r} is not accepted: {rule}")
    return found + settings_problems(full["gunicorn_settings"]) + _logger_problems(full)


def _logger_problems(full: App) -> list[str]:
    """A logger of the application's own in place of the one that does what other keys ask for."""
    if "logger_class" not in full["gunicorn_settings"]:
        return []
    access, statsd = full["logs"]["access"], full["metrics"]["statsd"]
    reasons = [f"logs.access {access} has one that writes access lines"] if access in ("gunicorn", "both") else []
    reasons += ["metrics.statsd has one that sends metrics"] if statsd is not None else []
    return [f"gunicorn_settings: 'logger_class' is not accepted: {reason}" for reason in reasons]


def _restart_problems(restart: App) -> list[str]:
    """A limit of starts that could never be reached, so that a broken service would start for ever."""
    delay = number(restart["delay"], whole=False) or 0
    burst, interval = number(restart["burst"]) or 0, number(restart["interval"]) or 0
    if restart["policy"] == "never" or delay * burst < interval:
        return []
    rule = f"more than restart.delay ({delay:g}) times restart.burst ({burst:g}), or the limit is never reached"
    return [f"restart.interval: {restart['interval']!r} is not accepted: {rule}"]


def _limit_problems(full: App) -> list[str]:
    """Limits that the service would reach by what else is set."""
    found = []
    limits = full["limits"]
    memory, high = size(limits["memory"]), size(limits["memory_high"])
    if memory is not None and high is not None and high > memory:
        rule = f"not above limits.memory ({limits['memory']}), where a process is killed before anything slows down"
        found.append(f"limits.memory_high: {limits['memory_high']!r} is not accepted: {rule}")
    needed, what = _needed_tasks(full)
    if (number(limits["tasks"]) or 0) < needed:
        found.append(f"limits.tasks: {limits['tasks']!r} is not accepted: at least {needed:g} for {what}")
    connections = number(full["worker_connections"]) or 0
    holds = full["server"] == "gevent" or full["worker_class"] in CLASSES["worker_connections"]
    if holds and (number(limits["open_files"]) or 0) <= connections:
        rule = f"more than worker_connections ({connections:g}), as each connection is an open file"
        found.append(f"limits.open_files: {limits['open_files']!r} is not accepted: {rule}")
    return found


def _needed_tasks(full: App) -> tuple[float, str]:
    """Processes and threads of gunicorn, as far as they are known here, and what they are in words.

    A worker of the class gthread has a thread that accepts besides those that answer (gunicorn/workers/gthread.py).
    """
    workers = number(full["workers"])
    if workers is None:
        return 0, ""
    if full["worker_class"] != "gthread":
        return 1 + workers, f"{workers:g} workers and the process above them"
    threads = number(full["threads"]) or 0
    return 1 + workers * (1 + threads), f"{workers:g} workers with {threads:g} threads each and the process above them"


def _sandbox_problems(sandbox: App) -> list[str]:
    found = []
    for path in sandbox["writable_paths"]:
        found += [f"sandbox.writable_paths: {path!r} is not accepted: {rule}" for rule in _path_rules(path, sandbox)]
    calls, families = sandbox["system_calls"], sandbox["address_families"]
    rule = "a system call, lower-case letters, digits and underscores, or a group of them with @ in front"
    found += [
        f"sandbox.system_calls: {call!r} is not accepted: {rule}" for call in calls if not SYSTEM_CALL.fullmatch(call)
    ]
    rule = "an address family, such as AF_NETLINK"
    found += [
        f"sandbox.address_families: {family!r} is not accepted: {rule}"
        for family in families
        if not ADDRESS_FAMILY.fullmatch(family)
    ]
    for group in sandbox["groups"]:
        if not GROUP.fullmatch(group):
            rule = "a group's name, a lower-case letter or an underscore first, then digits and hyphens too"
            found.append(f"sandbox.groups: {group!r} is not accepted: {rule}")
        elif group in RESERVED_GROUPS:
            found.append(f"sandbox.groups: {group!r} is not accepted: {RESERVED_GROUPS[group]}")
    return found


def _path_rules(path: str, sandbox: App) -> t.Iterator[str]:
    """The rule that a writable path breaks, if it does."""
    if not is_path(path):
        yield "an absolute path without . and .. in it and no slash at its end, of letters, digits and ._+,=@~-"
    elif path == "/run" or is_in(path, SYSTEM_PATHS):
        yield (
            f"it belongs to the system, as do {', '.join(SYSTEM_PATHS)} and /run itself; "
            "give a directory of its own, below /srv, say"
        )
    elif sandbox["home"] == "hidden" and is_in(path, HOME_PATHS):
        yield f"sandbox.home is hidden, and with it {', '.join(HOME_PATHS)}; set sandbox.home to read-only as well"


def _metrics_problems(statsd: str | None, network: str) -> list[str]:
    """What is wrong with where metrics go: its form, or that the network does not lead there."""
    if statsd is None or (is_path(statsd) and len(statsd) <= SOCKET_PATH):
        return []
    host = _statsd_host(statsd)
    if host is None:
        rule = (
            "host:port, the host in lower-case letters or an IPv6 address in brackets, "
            f"or the absolute path of a unix datagram socket, at most {SOCKET_PATH} characters"
        )
    elif network == "none":
        rule = "with network none the application reaches unix sockets alone; give the path of one"
    elif network == "local" and not _is_loopback(host):
        rule = "with network local the application reaches the host itself alone, such as 127.0.0.1:8125"
    else:
        return []
    return [f"metrics.statsd: {statsd!r} is not accepted: {rule}"]


def _statsd_host(statsd: str) -> str | None:
    """The host of ``host:port``, without the brackets of an IPv6 address; None where it is of another form."""
    match = re.fullmatch(r"(?:\[(?P<address>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:]+)):(?P<port>[0-9]{1,5})", statsd)
    if match is None or not 0 < int(match["port"]) < 65536:
        return None
    if match["name"] is not None:
        return match["name"] if is_host(match["name"]) else None
    try:
        return str(ipaddress.IPv6Address(match["address"]))
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
