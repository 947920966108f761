# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The unit templates that the gunicorn role writes, as systemd reads them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import typing as t
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._service_systemd import Systemd
from ansible_collections.wsgiops.flask.tests.unit.rendering import Render, rendering

ID = "0123456789ab"
Keys = dict[str, t.Any]
Lines = dict[str, dict[str, list[str]]]
Read = Callable[..., Lines]

SERVICE, SOCKET, TIMER, RETRY = "shop@.service", "shop@.socket", "shop_retry@.timer", "shop_retry@.service"


@pytest.fixture(scope="module")
def render(repository: Path) -> Iterator[Render]:
    with rendering(repository, "gunicorn") as render:
        yield render


@pytest.fixture
def read(render: Render) -> Read:
    """Directives of an application's units by file and section, for further keys of the application."""

    def run(keys: Keys, **variables: t.Any) -> Lines:
        return {name: sections(text) for name, text in render("__gunicorn_units", keys, **variables).items()}

    return run


def sections(unit: str) -> dict[str, list[str]]:
    """A unit file's directives by section, in their order (systemd.syntax(7))."""
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line.startswith("["):
            # A section that comes twice would be no error for systemd.
            assert line not in found
            found[line] = []
        elif line and not line.startswith("#"):
            name, equals, _value = line.partition("=")
            assert name.isalnum(), line
            assert equals, line
            assert not line.endswith("\\"), line
            found[list(found)[-1]].append(line)
    return found


def all_lines(units: Lines) -> Counter[str]:
    return Counter(
        f"{name} {section} {line}"
        for name, parts in units.items()
        for section, lines in parts.items()
        for line in lines
    )


# --- an application without further keys --------------------------------------------------------------------------


def test_an_application_without_further_keys(read: Read) -> None:
    """Every line of what applications get unless they say something else: no change of it by accident."""
    home = "/opt/shop/releases/%i"
    command = f"{home}/venv/bin/gunicorn --config {home}/gunicorn.conf.py --bind unix:/run/shop/%i.sock"
    assert read({}) == {
        SERVICE: {
            "[Unit]": [
                "Description=shop, release %i",
                "Requires=shop@%i.socket",
                "After=shop@%i.socket network-online.target",
                "Wants=network-online.target",
                "StartLimitIntervalSec=60",
                "StartLimitBurst=5",
            ],
            "[Service]": [
                "Type=notify",
                "NotifyAccess=main",
                "User=shop",
                "Group=shop",
                f"WorkingDirectory={home}/code",
                "Environment=FLASK_RELEASE=%i FLASK_WORKER_CLASS=sync FLASK_PROXY_HOPS=1",
                f"EnvironmentFile={home}/label",
                f"EnvironmentFile={home}/env",
                f"EnvironmentFile={home}/secrets",
                f"ExecStart={command}",
                "KillMode=mixed",
                "TimeoutStartSec=60",
                "TimeoutStopSec=35",
                "Restart=on-failure",
                "RestartSec=1.0",
                "LogRateLimitIntervalSec=0",
                "TasksMax=4096",
                "LimitNOFILE=65536",
                "OOMPolicy=continue",
                "StateDirectory=shop",
                "StateDirectoryMode=0750",
                "CacheDirectory=shop",
                "CacheDirectoryMode=0750",
                "LogsDirectory=shop",
                "LogsDirectoryMode=0750",
                "UMask=0027",
                "NoNewPrivileges=yes",
                "CapabilityBoundingSet=",
                "ProtectSystem=strict",
                "ReadOnlyPaths=/run",
                "ProtectHome=yes",
                "PrivateTmp=yes",
                "PrivateUsers=yes",
                "PrivateDevices=yes",
                "ProtectClock=yes",
                "ProtectControlGroups=yes",
                "ProtectHostname=yes",
                "ProtectKernelLogs=yes",
                "ProtectKernelModules=yes",
                "ProtectKernelTunables=yes",
                "ProtectProc=invisible",
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
                "RestrictNamespaces=yes",
                "RestrictRealtime=yes",
                "RestrictSUIDSGID=yes",
                "LockPersonality=yes",
                "MemoryDenyWriteExecute=yes",
                "RemoveIPC=yes",
                "SystemCallArchitectures=native",
                "SystemCallFilter=@system-service",
                "SystemCallFilter=~@privileged @resources",
                "SystemCallErrorNumber=EPERM",
            ],
            "[Install]": ["WantedBy=multi-user.target"],
        },
        SOCKET: {
            "[Unit]": [
                "Description=Socket of shop, release %i",
                "OnFailure=shop_retry@%i.timer",
                "PropagatesStopTo=shop_retry@%i.timer",
            ],
            "[Socket]": [
                "ListenStream=/run/shop/%i.sock",
                "SocketUser=root",
                "SocketGroup=www-data",
                "SocketMode=0760",
                "DirectoryMode=0755",
                "RemoveOnStop=yes",
                "Backlog=2048",
            ],
            "[Install]": ["WantedBy=sockets.target"],
        },
        TIMER: {
            "[Unit]": [
                "Description=Pause of shop, release %i, after too many failed starts",
                "StartLimitIntervalSec=0",
            ],
            "[Timer]": ["OnActiveSec=300", "AccuracySec=1s", "RemainAfterElapse=no"],
        },
        RETRY: {
            "[Unit]": ["Description=Next try of shop, release %i", "StartLimitIntervalSec=0"],
            "[Service]": [
                "Type=oneshot",
                "ExecStart=/usr/bin/systemctl reset-failed shop@%i.service shop@%i.socket",
                "ExecStart=/usr/bin/systemctl start --no-block shop@%i.socket shop@%i.service",
            ],
        },
    }


# --- what a key changes -------------------------------------------------------------------------------------------

COMMAND = (
    "/opt/shop/releases/%i/venv/bin/gunicorn --config /opt/shop/releases/%i/gunicorn.conf.py "
    "--bind unix:/run/shop/%i.sock"
)
REDIRECT = '/bin/sh -c \'trap "" USR1; exec "$$@" >>/var/log/shop/error.log 2>&1\' sh'
FLOCK = "/usr/bin/flock --exclusive --no-fork /opt/shop/.running"
CONDITION = "+ExecCondition=/usr/bin/test /opt/shop/current -ef /opt/shop/releases/%i"
ENVIRONMENT = "Environment=FLASK_RELEASE=%i FLASK_WORKER_CLASS={} FLASK_PROXY_HOPS=1"
GEVENT = [
    "-" + ENVIRONMENT.format("sync"),
    "+" + ENVIRONMENT.format("gevent"),
    f"-ExecStart={COMMAND}",
    "+ExecStart=/opt/shop/releases/%i/venv/bin/python /opt/shop/releases/%i/server.py",
    "-TimeoutStartSec=60",
]

# Lines of [Service] that go and come with further keys of an application.
CHANGES: list[tuple[Keys, list[str]]] = [
    ({"restart": {"policy": "always"}}, ["-Restart=on-failure", "+Restart=always"]),
    ({"restart": {"policy": "never"}}, ["-Restart=on-failure", "+Restart=no"]),
    ({"restart": {"delay": 2.5}}, ["-RestartSec=1.0", "+RestartSec=2.5"]),
    ({"restart": {"delay": "0.1"}}, ["-RestartSec=1.0", "+RestartSec=0.1"]),
    ({"restart": {"delay": 3600}}, ["-RestartSec=1.0", "+RestartSec=3600.0"]),
    ({"limits": {"memory": "512M"}}, ["+MemoryMax=512M", "+MemorySwapMax=0"]),
    (
        {"static": [{"url": "/m/", "path": "/var/lib/shop/media"}]},
        ["-StateDirectoryMode=0750", "+StateDirectoryMode=0751"],
    ),
    ({"static": [{"url": "/m/", "path": "/var/lib/shop-media"}, {"url": "/s/", "path": "var/lib/shop/s"}]}, []),
    ({"limits": {"memory": 536870912}}, ["+MemoryMax=536870912", "+MemorySwapMax=0"]),
    ({"limits": {"memory_high": "384M"}}, ["+MemoryHigh=384M"]),
    ({"limits": {"cpu": 1.5}}, ["+CPUQuota=150%"]),
    ({"limits": {"cpu": "0.05"}}, ["+CPUQuota=5%"]),
    ({"limits": {"cpu": 0.29}}, ["+CPUQuota=29%"]),
    ({"limits": {"cpu": 512}}, ["+CPUQuota=51200%"]),
    ({"limits": {"tasks": "68"}}, ["-TasksMax=4096", "+TasksMax=68"]),
    ({"limits": {"open_files": 64}}, ["-LimitNOFILE=65536", "+LimitNOFILE=64"]),
    ({"limits": {"oom_policy": "stop"}}, ["-OOMPolicy=continue", "+OOMPolicy=stop"]),
    ({"limits": {"oom_policy": "kill"}}, ["-OOMPolicy=continue", "+OOMPolicy=kill"]),
    ({"network": "full"}, []),
    ({"network": "local"}, ["+IPAddressDeny=any", "+IPAddressAllow=localhost"]),
    (
        {"network": "none"},
        [
            "+PrivateNetwork=yes",
            "+IPAddressDeny=any",
            "-RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
            "+RestrictAddressFamilies=AF_UNIX",
        ],
    ),
    (
        {"sandbox": {"writable_paths": ["/srv/shop", "/run/spool"]}},
        ["+ReadWritePaths=/srv/shop", "+ReadWritePaths=/run/spool"],
    ),
    ({"sandbox": {"home": "read-only"}}, ["-ProtectHome=yes", "+ProtectHome=read-only"]),
    (
        {"sandbox": {"devices": True}},
        ["-PrivateDevices=yes", "+DeviceAllow=char-* rw", "+DeviceAllow=block-* rw"],
    ),
    ({"sandbox": {"write_execute": True}}, ["-MemoryDenyWriteExecute=yes"]),
    ({"sandbox": {"system_calls": ["mbind", "@resources"]}}, ["+SystemCallFilter=mbind @resources"]),
    (
        {"sandbox": {"address_families": ["AF_NETLINK", "AF_PACKET"]}},
        [
            "-RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
            "+RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET",
        ],
    ),
    ({"sandbox": {"namespaces": True}}, ["-RestrictNamespaces=yes", "+SystemCallFilter=@mount"]),
    (
        {"sandbox": {"namespaces": True, "system_calls": ["mbind"]}},
        ["-RestrictNamespaces=yes", "+SystemCallFilter=@mount mbind"],
    ),
    ({"sandbox": {"groups": ["video", "render"]}}, ["+SupplementaryGroups=video render"]),
    ({"sandbox": {"devices": "no", "write_execute": "false", "namespaces": "no"}}, []),
    ({"graceful_timeout": 3600}, ["-TimeoutStopSec=35", "+TimeoutStopSec=3605"]),
    ({"health": {"timeout": 120}}, []),
    ({"worker_class": "gthread"}, ["-" + ENVIRONMENT.format("sync"), "+" + ENVIRONMENT.format("gthread")]),
    ({"server": "gevent"}, [*GEVENT, "+TimeoutStartSec=30", "+WatchdogSec=30"]),
    (
        {"server": "gevent", "timeout": 61, "health": {"timeout": 120}},
        [*GEVENT, "+TimeoutStartSec=120", "-TimeoutStopSec=35", "+TimeoutStopSec=66", "+WatchdogSec=61"],
    ),
    # A stop gives requests as long as they may take.
    ({"timeout": 61}, ["-TimeoutStopSec=35", "+TimeoutStopSec=66"]),
    ({"timeout": 29, "workers": 3, "secrets": {"KEY": "1"}}, []),
    ({"logs": {"to": "files"}}, [f"-ExecStart={COMMAND}", f"+ExecStart={REDIRECT} {COMMAND}"]),
    ({"logs": {"access": "gunicorn"}}, []),
    (
        {"overlap": False},
        [
            f"-ExecStart={COMMAND}",
            CONDITION,
            f"+ExecStart={FLOCK} {COMMAND}",
            "-TimeoutStartSec=60",
            "+TimeoutStartSec=125",
        ],
    ),
    (
        {"overlap": "no", "logs": {"to": "files"}, "graceful_timeout": 10},
        [
            f"-ExecStart={COMMAND}",
            CONDITION,
            f"+ExecStart={REDIRECT} {FLOCK} {COMMAND}",
            "-TimeoutStartSec=60",
            "+TimeoutStartSec=85",
            "-TimeoutStopSec=35",
            "+TimeoutStopSec=15",
        ],
    ),
]


@pytest.mark.parametrize(("keys", "changes"), CHANGES, ids=[str(keys) for keys, _changes in CHANGES])
def test_what_a_key_changes(read: Read, keys: Keys, changes: list[str]) -> None:
    """All of what it changes, and nothing else in any of the units."""
    before, after = all_lines(read({})), all_lines(read(keys))
    section = f"{SERVICE} [Service] "
    gone = [f"{section}{line[1:]}" for line in changes if line.startswith("-")]
    come = [f"{section}{line[1:]}" for line in changes if line.startswith("+")]
    assert (sorted((before - after).elements()), sorted((after - before).elements())) == (sorted(gone), sorted(come))


@pytest.mark.parametrize("number", [7, "7"])
def test_the_start_limit_is_the_applications(read: Read, number: int | str) -> None:
    """Elsewhere than in [Unit] it would be ignored."""
    units = read({"restart": {"burst": number, "interval": f"{number}7"}})
    assert [line for line in units[SERVICE]["[Unit]"] if line.startswith("StartLimit")] == [
        "StartLimitIntervalSec=77",
        "StartLimitBurst=7",
    ]
    elsewhere = [line for line in all_lines(units) if "StartLimit" in line and "[Unit]" not in line]
    assert elsewhere == []
    assert units | {SERVICE: {}} == read({}) | {SERVICE: {}}


def test_the_cool_down_is_the_timers(read: Read) -> None:
    units = read({"restart": {"cooldown": "67"}})
    assert units[TIMER]["[Timer]"] == ["OnActiveSec=67", "AccuracySec=1s", "RemainAfterElapse=no"]
    assert units | {TIMER: {}} == read({}) | {TIMER: {}}


@pytest.mark.parametrize("cooldown", [0, "0"])
def test_without_a_cool_down_nothing_is_tried_again(read: Read, cooldown: int | str) -> None:
    """And nothing names units that are not there."""
    units = read({"restart": {"cooldown": cooldown}})
    expected = read({})
    del expected[TIMER], expected[RETRY]
    expected[SOCKET]["[Unit]"] = ["Description=Socket of shop, release %i"]
    assert units == expected


@pytest.mark.parametrize("graceful", [1, 30, 3600])
@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
def test_the_server_has_the_time_to_finish_requests_before_it_is_killed(read: Read, server: str, graceful: int) -> None:
    [stop] = [line for line in read({"server": server, "graceful_timeout": graceful})[SERVICE]["[Service]"]
              if line.startswith("TimeoutStopSec=")]  # fmt: skip
    assert int(stop.partition("=")[2]) > graceful


def test_system_calls_are_allowed_after_groups_with_them_were_taken_away(read: Read) -> None:
    """The order counts (systemd.exec(5), SystemCallFilter=)."""
    lines = read({"sandbox": {"system_calls": ["@resources"]}})[SERVICE]["[Service]"]
    assert [line.partition("=")[2] for line in lines if line.startswith("SystemCallFilter=")] == [
        "@system-service",
        "~@privileged @resources",
        "@resources",
    ]


@pytest.mark.parametrize(("open_to_all", "mode"), [(True, "0777"), ("yes", "0777"), (False, "0760"), ("no", "0760")])
def test_a_socket_is_nginxs_alone_unless_it_is_everyones(read: Read, open_to_all: bool | str, mode: str) -> None:
    units = read({}, gunicorn_socket_open=open_to_all)
    assert [line for line in units[SOCKET]["[Socket]"] if line.startswith("SocketMode=")] == [f"SocketMode={mode}"]


def test_names_and_paths_are_those_of_the_application(read: Read) -> None:
    units = read({"name": "desk"}, gunicorn_root="/srv/apps", gunicorn_socket_group="nginx")
    lines = all_lines(units)
    assert set(units) == {"desk@.service", "desk@.socket", "desk_retry@.timer", "desk_retry@.service"}
    assert not [line for line in lines if "shop" in line or "/opt/" in line]
    assert lines["desk@.socket [Socket] SocketGroup=nginx"] == 1
    assert lines["desk@.service [Service] WorkingDirectory=/srv/apps/desk/releases/%i/code"] == 1


# --- output in files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [True, False])
def test_all_output_goes_to_the_file_and_the_server_is_still_the_main_process(
    read: Read, tmp_path: Path, overlap: bool
) -> None:
    """What systemd starts, with another program for the server: its process is the one that says READY."""
    (tmp_path / "shop").mkdir()
    layout = {**Layout("shop", str(tmp_path)).names(), "error_log": str(tmp_path / "error.log")}
    units = read({"logs": {"to": "files"}, "overlap": overlap}, gunicorn_root=str(tmp_path), __gunicorn_layout=layout)
    [start] = [line for line in units[SERVICE]["[Service]"] if line.startswith("ExecStart=")]
    # A dollar sign is written twice (systemd.service(5)).
    command = [part.replace("$$", "$") for part in shlex.split(start.partition("=")[2])]
    server = command.index(f"{tmp_path}/shop/releases/%i/venv/bin/gunicorn")
    say = "import os, sys; print(os.getpid(), *sys.argv[1:], flush=True); sys.exit('ended')"
    (tmp_path / "error.log").write_text("before\n")
    with subprocess.Popen(
        [*command[:server], sys.executable, "-c", say, "$HOME", "a b"], stdout=subprocess.PIPE
    ) as done:
        assert done.stdout
        assert done.stdout.read() == b""
    assert (tmp_path / "error.log").read_text() == f"before\n{done.pid} $HOME a b\nended\n"
    assert done.returncode == 1


# --- what systemd has to say --------------------------------------------------------------------------------------

TOGETHER: list[t.Any] = [
    {"restart": {"cooldown": 0}},
    {"restart": {"policy": "always", "delay": 0.1, "burst": 100, "interval": 86400, "cooldown": 86400}},
    {
        "server": "gevent",
        "overlap": False,
        "logs": {"to": "files", "access": "both"},
        "network": "none",
        "limits": {"memory": "1T", "memory_high": "32M", "cpu": 512, "tasks": 16, "open_files": 1000000},
        "sandbox": {
            "writable_paths": ["/srv/a-b_c.d+e,f=g@h~i"],
            "home": "read-only",
            "devices": True,
            "write_execute": True,
            "system_calls": ["@resources", "mbind"],
            "address_families": ["AF_NETLINK"],
            "namespaces": True,
            "groups": ["video"],
        },
    },
    {"name": "x" * 31},
    {"name": "x" * 31},
]


@pytest.mark.parametrize("keys", [{}, *(keys for keys, _changes in CHANGES), *TOGETHER], ids=str)
def test_systemd_has_nothing_to_say(render: Render, tmp_path: Path, keys: Keys) -> None:
    """It tells of a line that it does not understand, and passes it over."""
    layout = Layout(keys.get("name", "shop"), str(tmp_path))
    programs = Path(layout.release(ID), "venv", "bin")
    programs.mkdir(parents=True)
    for name in ("gunicorn", "python"):
        os.symlink("/bin/true", programs / name)
    units = render("__gunicorn_units", keys, gunicorn_root=str(tmp_path))
    assert Systemd(layout).verify(ID, units) == ""


# --- without systemd ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, []),
        ({"network": "none"}, ["network: none"]),
        ({"limits": {"memory": "512M"}}, ["limits.memory: 512M"]),
        ({"limits": {"memory_high": 1048576}}, ["limits.memory_high: 1048576"]),
        ({"limits": {"cpu": 1.5}}, ["limits.cpu: 1.5"]),
        ({"limits": {"oom_policy": "kill"}}, ["limits.oom_policy: kill"]),
        ({"limits": {"tasks": 512, "open_files": 4096}, "sandbox": {"home": "read-only"}}, []),
    ],
)
def test_what_cron_can_not_see_to_is_told(render: Render, keys: dict[str, t.Any], told: list[str]) -> None:
    assert render("__gunicorn_unenforced", keys) == told


def test_what_takes_root_is_told_to_who_has_none(render: Render) -> None:
    keys = {"limits": {"tasks": 512}, "sandbox": {"groups": ["video", "audio"]}, "network": "none"}
    told = ["network: none", "limits.tasks: 512", "sandbox.groups: video, audio"]
    assert render("__gunicorn_unenforced", keys, gunicorn_private=True) == told
    assert render("__gunicorn_unenforced", {}, gunicorn_private=True) == []
    # What nobody asked for is told to nobody.
    assert render("__gunicorn_default_tasks", {}) == int(render("gunicorn_limits_tasks", {}))
