# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ansible_collections.wsgiops.flask.plugins.plugin_utils._service import (
    HOME_PATHS,
    RESERVED_GROUPS,
    SYSTEM_PATHS,
    service_problems,
    service_warnings,
)

Check = Callable[..., list[str]]


@pytest.fixture(scope="module")
def schema(repository: Path) -> t.Any:
    """The schema that the playbooks use."""
    return yaml.safe_load((repository / "playbooks" / "vars" / "app_schema.yml").read_text())["app_schema"]


@pytest.fixture
def check(schema: t.Any) -> Check:
    """Problems of an application with some keys set; those that are `...` are left out."""

    def run(**keys: t.Any) -> list[str]:
        return service_problems({key: value for key, value in keys.items() if value is not ...}, schema)

    return run


# --- warnings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"timeout": 120},
        {"timeout": 30, "graceful_timeout": 30},
        {"timeout": "5", "graceful_timeout": "5"},
        {"graceful_timeout": 300},
        {"server": "gevent", "timeout": 3600},
    ],
    ids=str,
)
def test_a_stop_that_cuts_no_request_short(schema: t.Any, keys: dict[str, t.Any]) -> None:
    assert service_warnings(keys, schema) == []


@pytest.mark.parametrize(
    ("keys", "graceful", "timeout"),
    [
        ({"graceful_timeout": 29}, 29, 30),
        ({"timeout": 120, "graceful_timeout": 30}, 30, 120),
        ({"timeout": "61", "graceful_timeout": "1", "worker_class": "gthread"}, 1, 61),
        ({"server": "gevent", "timeout": 31, "graceful_timeout": 30}, 30, 31),
    ],
    ids=str,
)
def test_a_stop_that_cuts_requests_short_is_told(
    schema: t.Any, keys: dict[str, t.Any], graceful: int, timeout: int
) -> None:
    """With when it does, and when a deploy does."""
    assert service_warnings(keys, schema) == [
        f"graceful_timeout: {graceful} s is less than the {timeout} s that a request may take (timeout): "
        f"a stop cuts one off after {graceful} s, a new release after {2 * graceful} s"
    ]


# --- without systemd ----------------------------------------------------------------------------------------------


NEEDS_SYSTEMD = [
    ("network", "none"),
    ("network", "local"),
    ("limits.memory", "512M"),
    ("limits.memory_high", "512M"),
    ("limits.cpu", 1.5),
    ("limits.oom_policy", "kill"),
    ("sandbox.writable_paths", ["/srv/shop"]),
    ("sandbox.home", "hidden"),
    ("sandbox.devices", False),
    ("sandbox.write_execute", True),
    ("sandbox.system_calls", ["mbind"]),
    ("sandbox.address_families", ["AF_NETLINK"]),
    ("sandbox.namespaces", True),
]


@pytest.mark.parametrize(("key", "value"), NEEDS_SYSTEMD)
def test_what_systemd_alone_sees_to_is_refused_with_cron(check: Check, key: str, value: t.Any) -> None:
    group, _dot, name = key.partition(".")
    keys = {group: {name: value} if name else value}
    rule = "with service cron nothing could see to it; it needs systemd"
    assert check(service="cron", **keys) == [f"{key}: {value!r} is not accepted: {rule}"]
    assert check(service="auto", **keys) == check(**keys) == []


def test_cron_writes_to_no_journal(check: Check) -> None:
    rule = "with service cron there is no journal that could be written to; leave it out, or set it to files"
    assert check(service="cron", logs={"to": "journal"}) == [f"logs.to: 'journal' is not accepted: {rule}"]
    assert check(service="cron", logs={"to": "files"}) == check(service="auto", logs={"to": "journal"}) == []


def test_what_cron_sees_to(check: Check) -> None:
    keys = {"network": "full", "limits": {"tasks": 512, "open_files": 4096}, "sandbox": {"groups": ["video"]}}
    assert check(service="cron", **keys) == []


# --- server and workers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "classes", "words"),
    [
        ("threads", {"gthread"}, "worker_class gthread"),
        ("worker_connections", {"gevent", "gthread"}, "worker_class gevent or gthread or server gevent"),
    ],
)
@pytest.mark.parametrize("chosen", [..., "sync", "gthread", "gevent"])
def test_keys_that_go_with_a_worker_class(check: Check, key: str, classes: set[str], words: str, chosen: t.Any) -> None:
    found = check(worker_class=chosen, **{key: 5})
    if chosen in classes:
        assert found == []
    else:
        is_now = "sync" if chosen is ... else chosen
        assert found == [f"{key}: 5 is not accepted: used with {words} alone, and worker_class is {is_now}"]


@pytest.mark.parametrize(("threads", "connections"), [(..., 4), (8, 8), ("8", "3"), (512, 1)])
def test_threads_without_connections_would_idle(check: Check, threads: t.Any, connections: t.Any) -> None:
    """gunicorn says so of as many, at each start, and nothing of fewer."""
    number = 4 if threads is ... else threads
    rule = f"more than threads ({number}): each takes one, and one that is kept open between requests counts too"
    assert check(worker_class="gthread", threads=threads, worker_connections=connections) == [
        f"worker_connections: {connections!r} is not accepted: {rule}"
    ]
    assert check(worker_class="gthread", threads=threads, worker_connections=int(number) + 1) == []
    assert check(worker_class="gevent", worker_connections=connections) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("workers", 1),
        ("workers", "auto"),
        ("worker_class", "gevent"),
        ("threads", 4),
        ("max_requests", 0),
        ("preload", False),
        ("gunicorn_settings", {}),
    ],
)
def test_keys_of_gunicorn_do_not_go_with_gevents_server(check: Check, key: str, value: t.Any) -> None:
    rule = "used with server gunicorn alone; with server gevent one process without workers serves"
    assert check(server="gevent", **{key: value}) == [f"{key}: {value!r} is not accepted: {rule}"]


def test_keys_that_go_with_gevents_server(check: Check) -> None:
    assert check(server="gevent", worker_connections=5, timeout=5, graceful_timeout=5, limits={"tasks": 16}) == []


@pytest.mark.parametrize("preload", [True, "yes", "True", 1])
def test_preloading_comes_before_the_patches_of_gevent(check: Check, preload: t.Any) -> None:
    assert check(preload=preload, worker_class="gthread") == []
    rule = "the application would import ssl and others before worker_class gevent can patch them; leave it out"
    assert check(preload=preload, worker_class="gevent") == [f"preload: {preload!r} is not accepted: {rule}"]


@pytest.mark.parametrize("preload", [False, "no", "False", 0])
def test_gevent_without_preloading(check: Check, preload: t.Any) -> None:
    assert check(preload=preload, worker_class="gevent") == []


def test_gunicorn_settings_are_looked_at(check: Check) -> None:
    assert check(gunicorn_settings={"max_requests": 5}) == [
        "gunicorn_settings: 'max_requests' is not accepted: use the application's key max_requests"
    ]


@pytest.mark.parametrize("access", [..., "nginx", "none", "gunicorn", "both"])
def test_a_logger_of_the_application_does_not_go_with_access_lines(check: Check, access: t.Any) -> None:
    logs = {} if access is ... else {"access": access}
    told = [f"gunicorn_settings: 'logger_class' is not accepted: logs.access {access} has one that writes access lines"]
    found = check(gunicorn_settings={"logger_class": "shop.logs:Logger"}, logs=logs)
    assert found == (told if access in ("gunicorn", "both") else [])


def test_a_logger_of_the_application_does_not_go_with_metrics(check: Check) -> None:
    assert check(gunicorn_settings={"logger_class": "x"}, metrics={"statsd": "localhost:8125"}) == [
        "gunicorn_settings: 'logger_class' is not accepted: metrics.statsd has one that sends metrics"
    ]


# --- restarts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "restart",
    [
        {},
        {"delay": 11.9},
        {"delay": "11.9", "burst": "5"},
        {"delay": 10, "burst": 6, "interval": 61},
        {"burst": 59},
        {"interval": 6},
        {"policy": "never", "delay": 3600},
    ],
)
def test_a_limit_of_starts_that_can_be_reached(check: Check, restart: t.Any) -> None:
    assert check(restart=restart) == []


@pytest.mark.parametrize(
    ("restart", "interval", "product"),
    [
        ({"delay": 12}, 60, "(12) times restart.burst (5)"),
        ({"delay": "0.5", "burst": "10", "interval": "5"}, "5", "(0.5) times restart.burst (10)"),
        ({"burst": 60}, 60, "(1) times restart.burst (60)"),
        ({"interval": 5, "policy": "always"}, 5, "(1) times restart.burst (5)"),
    ],
)
def test_a_limit_of_starts_that_is_never_reached(check: Check, restart: t.Any, interval: t.Any, product: str) -> None:
    rule = f"more than restart.delay {product}, or the limit is never reached"
    assert check(restart=restart) == [f"restart.interval: {interval!r} is not accepted: {rule}"]


# --- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits",
    [
        {"memory": "512M"},
        {"memory_high": "512M"},
        {"memory": "1G", "memory_high": "1024M"},
        {"memory": 1 << 30, "memory_high": "900M"},
    ],
)
def test_memory_that_slows_down_first(check: Check, limits: t.Any) -> None:
    assert check(limits=limits) == []


@pytest.mark.parametrize(("memory", "high"), [("512M", "513M"), ("1G", "1025M"), (33554432, 33554433), ("1G", "1T")])
def test_memory_that_would_never_slow_down(check: Check, memory: t.Any, high: t.Any) -> None:
    rule = f"not above limits.memory ({memory}), where a process is killed before anything slows down"
    assert check(limits={"memory": memory, "memory_high": high}) == [
        f"limits.memory_high: {high!r} is not accepted: {rule}"
    ]


@pytest.mark.parametrize(
    ("keys", "needed", "what"),
    [
        ({"workers": 20}, 21, "20 workers"),
        ({"workers": "20", "worker_class": "gevent"}, 21, "20 workers"),
        ({"workers": 4, "worker_class": "gthread"}, 21, "4 workers with 4 threads each"),
        ({"workers": "4", "worker_class": "gthread", "threads": "8"}, 37, "4 workers with 8 threads each"),
    ],
)
def test_tasks_for_all_workers_and_threads(check: Check, keys: t.Any, needed: int, what: str) -> None:
    assert check(**keys, limits={"tasks": needed}) == []
    rule = f"at least {needed} for {what} and the process above them"
    assert check(**keys, limits={"tasks": needed - 1}) == [f"limits.tasks: {needed - 1} is not accepted: {rule}"]


def test_more_workers_and_threads_than_tasks_by_default(check: Check) -> None:
    assert check(workers=512) == []
    [problem] = check(workers=512, worker_class="gthread", threads=8)
    assert problem.startswith("limits.tasks: 4096 is not accepted: at least 4609 for ")


def test_automatic_workers_are_not_counted(check: Check) -> None:
    assert check(worker_class="gthread", threads=512, limits={"tasks": 16}) == []


@pytest.mark.parametrize("keys", [{"worker_class": "gevent"}, {"worker_class": "gthread"}, {"server": "gevent"}])
def test_open_files_for_all_connections(check: Check, keys: t.Any) -> None:
    assert check(**keys, limits={"open_files": 1001}) == []
    assert check(**keys, worker_connections=99, limits={"open_files": "100"}) == []
    for connections, files in ((..., 1000), (100, 100), ("100", "64")):
        count = 1000 if connections is ... else connections
        rule = f"more than worker_connections ({count}), as each connection is an open file"
        assert check(**keys, worker_connections=connections, limits={"open_files": files}) == [
            f"limits.open_files: {files!r} is not accepted: {rule}"
        ]


def test_a_worker_with_one_connection_needs_few_files(check: Check) -> None:
    assert check(limits={"open_files": 64}) == []


# --- sandbox ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/srv", "/srv/shop/up-loads_1.d", "/var/lib/shared", "/run/shared", "/run/a/b", "/mnt/@x+y,z=1~", "/etcetera"],
)
def test_a_good_path(check: Check, path: str) -> None:
    assert check(sandbox={"writable_paths": ["/data", path]}) == []


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "srv", "./srv", "~/srv", "/srv/", "//srv", "/srv//a", "/srv/../etc", "/..", "/srv/.", "/srv/./a",
        "/srv/a b", "/srv/a\tb", "/srv/a\n", "/srv/%i", "/srv/a:b", "/srv/\"a\"", "/srv/'a", "/srv/a\\b", "/srv/$A",
        "/srv/ä", "/srv/a\0", "-/srv", "+/srv",
    ],
)  # fmt: skip
def test_a_bad_path(check: Check, path: str) -> None:
    rule = "an absolute path without . and .. in it and no slash at its end, of letters, digits and ._+,=@~-"
    assert check(sandbox={"writable_paths": ["/data", path]}) == [
        f"sandbox.writable_paths: {path!r} is not accepted: {rule}"
    ]


@pytest.mark.parametrize(
    "path", [*SYSTEM_PATHS, "/run", "/etc/shop", "/opt/shop/current", "/usr/local/share", "/proc/sys", "/dev/shm"]
)
def test_a_path_of_the_system(check: Check, path: str) -> None:
    assert {"/etc", "/usr", "/boot", "/proc", "/sys", "/dev", "/opt", "/bin", "/sbin", "/lib"} <= set(SYSTEM_PATHS)
    [problem] = check(sandbox={"writable_paths": [path], "home": "read-only"})
    assert problem.startswith(
        f"sandbox.writable_paths: {path!r} is not accepted: it belongs to the system, as do /bin,"
    )
    assert problem.endswith("; give a directory of its own, below /srv, say")


@pytest.mark.parametrize("path", [*HOME_PATHS, "/home/shop/data", "/run/user/1000"])
def test_a_path_that_is_hidden(check: Check, path: str) -> None:
    assert HOME_PATHS == ("/home", "/root", "/run/user")
    assert check(sandbox={"writable_paths": [path], "home": "read-only"}) == []
    rule = "sandbox.home is hidden, and with it /home, /root, /run/user; set sandbox.home to read-only as well"
    assert check(sandbox={"writable_paths": [path]}) == [f"sandbox.writable_paths: {path!r} is not accepted: {rule}"]


def test_system_calls(check: Check) -> None:
    assert check(sandbox={"system_calls": ["mbind", "clone3", "_sysctl", "@resources", "@raw-io"]}) == []
    rule = "a system call, lower-case letters, digits and underscores, or a group of them with @ in front"
    for call in ("", "@", "~mbind", "~@privileged", "Mbind", "a b", "mbind:EPERM", "mbind\n", "%i", "raw-io", "@a_b"):
        assert check(sandbox={"system_calls": ["mbind", call]}) == [
            f"sandbox.system_calls: {call!r} is not accepted: {rule}"
        ]


def test_address_families(check: Check) -> None:
    assert check(sandbox={"address_families": ["AF_NETLINK", "AF_X25", "AF_INET6"]}) == []
    for family in ("", "AF_", "NETLINK", "af_netlink", "AF_NETLINK AF_PACKET", "~AF_UNIX", "AF_NETLINK\n", "none"):
        assert check(sandbox={"address_families": ["AF_NETLINK", family]}) == [
            f"sandbox.address_families: {family!r} is not accepted: an address family, such as AF_NETLINK"
        ]


def test_groups(check: Check) -> None:
    assert check(sandbox={"groups": ["video", "_render-2", "x" * 32]}) == []
    rule = "a group's name, a lower-case letter or an underscore first, then digits and hyphens too"
    for group in ("", "44", 'a"b', "Video", "a b", "-a", "a\n", "%i", "ä", "x" * 33):
        assert check(sandbox={"groups": ["video", group]}) == [f"sandbox.groups: {group!r} is not accepted: {rule}"]


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        ("root", "its members can become root"),
        ("sudo", "its members can become root"),
        ("docker", "its members can become root"),
        ("shadow", "its members can read password hashes"),
        ("disk", "its members can read and write whole disks"),
        ("adm", "its members can read the logs of the whole host"),
        ("www-data", "it is nginx's, whose members can connect to every application"),
    ],
)
def test_groups_that_undo_the_sandbox(check: Check, group: str, reason: str) -> None:
    assert group in RESERVED_GROUPS
    assert check(sandbox={"groups": [group]}) == [f"sandbox.groups: {group!r} is not accepted: {reason}"]


# --- metrics ------------------------------------------------------------------------------------------------------

LOOPBACK = ["localhost:8125", "127.0.0.1:8125", "127.255.0.9:1", "[::1]:65535"]
ELSEWHERE = ["statsd.example.com:8125", "192.0.2.1:8125", "[2001:db8::1]:8125", "localhost.example:8125"]
SOCKETS = ["/run/statsd.sock", "/run/a/b@c", "/" + "x" * 106]


@pytest.mark.parametrize("statsd", [*LOOPBACK, *ELSEWHERE, *SOCKETS])
def test_a_good_place_of_metrics(check: Check, statsd: str) -> None:
    assert check(metrics={"statsd": statsd}) == []


@pytest.mark.parametrize(
    "statsd",
    [
        "", "localhost", "localhost:", ":8125", "localhost:0", "localhost:65536", "localhost:080125", "localhost:http",
        "localhost:٣", "localhost:8125\n", "a b:8125", "Statsd:8125", "a_b:1", "::1:8125", "[::1]", "[x]:1",
        "[1.2.3.4]:1",
        "udp://localhost:8125", "unix:///run/statsd.sock", "run/statsd.sock", "/", "/run/../x", "/run/a b", "/run/%i",
        "/" + "x" * 107, "x." * 127 + ":1",
    ],
)  # fmt: skip
def test_a_bad_place_of_metrics(check: Check, statsd: str) -> None:
    rule = (
        "host:port, the host in lower-case letters or an IPv6 address in brackets, "
        "or the absolute path of a unix datagram socket, at most 107 characters"
    )
    assert check(metrics={"statsd": statsd}) == [f"metrics.statsd: {statsd!r} is not accepted: {rule}"]


@pytest.mark.parametrize("network", ["local", "none"])
@pytest.mark.parametrize("statsd", [*LOOPBACK, *ELSEWHERE, *SOCKETS])
def test_metrics_go_where_the_network_leads(check: Check, network: str, statsd: str) -> None:
    rule = {
        "local": "with network local the application reaches the host itself alone, such as 127.0.0.1:8125",
        "none": "with network none the application reaches unix sockets alone; give the path of one",
    }[network]
    reached = statsd in SOCKETS or (network == "local" and statsd in LOOPBACK)
    told = [] if reached else [f"metrics.statsd: {statsd!r} is not accepted: {rule}"]
    assert check(network=network, metrics={"statsd": statsd}) == told


# --- more than one ------------------------------------------------------------------------------------------------


def test_every_problem_is_told(check: Check) -> None:
    found = check(
        threads=5,
        worker_class="gevent",
        preload=True,
        gunicorn_settings={"bind": 1},
        restart={"delay": 60},
        limits={"memory": "64M", "memory_high": "65M", "tasks": 16, "open_files": 64},
        workers=20,
        sandbox={
            "writable_paths": ["/", "/etc"],
            "system_calls": ["A"],
            "address_families": ["A"],
            "groups": ["A", "adm"],
        },
        network="none",
        metrics={"statsd": "localhost:8125"},
    )
    assert [problem.split(": ")[0] for problem in found] == [
        "threads",
        "preload",
        "gunicorn_settings",
        "restart.interval",
        "limits.memory_high",
        "limits.tasks",
        "limits.open_files",
        "sandbox.writable_paths",
        "sandbox.writable_paths",
        "sandbox.system_calls",
        "sandbox.address_families",
        "sandbox.groups",
        "sandbox.groups",
        "metrics.statsd",
    ]
