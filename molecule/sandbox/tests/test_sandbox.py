"""What an application in the sandbox can not do, what it can, and the doors that each switch opens."""

from __future__ import annotations

import json
import re

import pytest

# What permissions leave to everyone, all over the host: the sandbox alone stands before it.
DOORS = [
    f"{parent}/sandbox-door"
    for parent in "/boot /etc /home /opt /run /srv /tmp /usr /var/lib /var/log /var/tmp".split()
]
DEVICE = "/dev/sandbox-fuse"
GROUP = "sandbox-members"
OF_THE_GROUP = "/srv/sandbox-members"
# An SSH server, which listens on all addresses.
LOOPBACK = "connect=127.0.0.1:22"
UNITS = ("@{}.service", "@{}.socket", "_retry@{}.service", "_retry@{}.timer")
# What the directives that an application with a database elsewhere can bear leave (systemd-analyze(1), security).
MOST_EXPOSED = 1.1
STATE = "/var/lib/intruder"
SETUID_PROGRAM = "/usr/local/bin/sandbox-id"

# 10, 229 is fuse (Documentation/admin-guide/devices.txt of the kernel), of which an open alone does nothing.
PREPARATION = f"""
mkdir -p {" ".join(DOORS)}
chmod 1777 {" ".join(DOORS)}
install -m 4755 /usr/bin/id {SETUID_PROGRAM}
[ -e {DEVICE} ] || mknod {DEVICE} c 10 229
chmod 666 {DEVICE}
getent group {GROUP} >/dev/null || groupadd --system {GROUP}
install -m 640 -g {GROUP} /dev/null {OF_THE_GROUP}
"""

# Attempts that any process of the application's user could make, if there were no sandbox.
OF_ANY_USER = [
    *(f"write={door}" for door in DOORS),
    "write=/run/lock",
    "read=/tmp/sandbox-door",
    "read=/home/sandbox-door",
    "read=/proc/1/cmdline",
    "see_processes=",
    f"open_device={DEVICE}",
    f"run_setuid={SETUID_PROGRAM}",
    "make_setuid_file=/var/lib/intruder",
    "have_capabilities=Bnd",
    "unshare=user",
    "mount_in_namespace=/srv",
    "be_traced=",
    "write_and_execute=",
    "make_executable=",
    "change_personality=",
    "set_affinity=",
    "make_socket=AF_NETLINK",
    f"read={OF_THE_GROUP}",
]

# Attempts that only root could make, to the sandbox a second wall behind permissions.
OF_ROOT = [
    "read=/etc/shadow",
    "read=/root",
    "read=/opt/shop/current/code/",
    "read=/opt/shop/current/env",
    "read=/opt/shop/current/secrets",
    "read=/opt/shop/current/release.json",
    "read=/opt/intruder/current/env",
    "read=/opt/intruder/current/secrets",
    "read=/var/lib/shop",
    "read=/var/cache/shop",
    "read=/var/log/shop",
    "write=/opt",
    "write=/opt/intruder",
    "write=/opt/intruder/current/",
    "write=/opt/intruder/current/code/",
    "write=/opt/intruder/current/code/intruder.py",
    "write=/opt/intruder/current/venv/",
    "write=/opt/intruder/current/env",
    "write=/boot",
    "write=/etc",
    "write=/home",
    "write=/root",
    "write=/run",
    "write=/run/intruder",
    "write=/usr",
    "write=/var/lib",
    "write=/var/lib/shop",
    "write=/var/log/shop",
    "write=/proc/sys/kernel/hostname",
    "write=/sys/kernel/mm/transparent_hugepage/enabled",
    "write=/sys/fs/cgroup/cgroup.procs",
    "open_device=/dev/kmsg",
    "become=0",
    "have_capabilities=Eff",
    "have_capabilities=Prm",
    "make_socket=AF_INET:SOCK_RAW",
    "make_socket=AF_PACKET",
    "connect=/opt/shop/current/socket",
    "connect=/opt/intruder/current/socket",
    "mount=/srv",
    "unshare=mount",
    "change_root=/",
    "load_module=",
    "reboot=",
    "set_clock=",
    "set_host_name=",
    "read_kernel_log=",
    "swap_off=/etc/hostname",
    "run_bpf=",
    "run_in_realtime=",
    "set_priority=-5",
]

ALLOWED = [
    "write=/var/lib/intruder",
    "write=/var/cache/intruder",
    "write=/var/log/intruder",
    "write=/tmp",
    "write=/var/tmp",
    "write=/dev/shm",
    "make_socket=AF_INET6",
    "connect=/run/dbus/system_bus_socket",
    LOOPBACK,
]

# Two deploys with some of the switches each: what one opens stays closed in the other. The group's file, that is, the
# device and so on are named by the switch that opens them.
FIRST = {
    "sandbox": {
        "writable_paths": ["/srv/sandbox-door", "/run/sandbox-door", "/home/sandbox-door"],
        "home": "read-only",
        "system_calls": ["sched_setaffinity", "@debug"],
        "groups": [GROUP],
    },
    "network": "local",
}
OPENED_FIRST = {
    "writable_paths": ["write=/srv/sandbox-door", "write=/run/sandbox-door", "write=/home/sandbox-door"],
    "home": ["read=/home/sandbox-door"],
    "system_calls": ["set_affinity=", "be_traced="],
    "groups": [f"read={OF_THE_GROUP}"],
}
SECOND = {
    "sandbox": {
        "devices": True,
        "write_execute": True,
        # With the latter a connection gets as far as the network, of which there is none.
        "address_families": ["AF_NETLINK", "AF_INET"],
        "namespaces": True,
    },
    "network": "none",
}
OPENED_SECOND = {
    "devices": [f"open_device={DEVICE}"],
    "write_execute": ["write_and_execute=", "make_executable="],
    "address_families": ["make_socket=AF_NETLINK"],
    "namespaces": ["unshare=user", "mount_in_namespace=/srv"],
}


@pytest.fixture(scope="module", autouse=True)
def doors(shops):
    """The hosts with doors left open."""
    for shop in shops:
        shop.run("sh -ec %s", PREPARATION)


@pytest.fixture(scope="module")
def of_root(shops):
    """Attempts that only root could make, for each host."""
    found = []
    for shop in shops:
        pid = shop.master
        found.append([*OF_ROOT, f"read=/proc/{pid}/environ", f"send_signal={pid}", f"trace={pid}"])
    return found


@pytest.fixture(scope="module")
def closed(intruder, intruders, doors):
    """The intruder as everyone gets it, with a hook that makes attempts too."""
    attempts = " ".join(f"'{attempt}'" for attempt in [*OF_ANY_USER, *OF_ROOT, *ALLOWED])
    hook = f"python attempts.py {attempts} > {STATE}/of-a-hook.json"
    # The variable makes it another release than the one that serves, which runs no hooks.
    intruder.deploy(hooks={"before_switch": [hook]}, env={"INTRUDER_ROUND": "closed"})
    return intruders


@pytest.fixture(scope="module")
def first(intruder, intruders, doors):
    intruder.deploy(**FIRST)
    return intruders


@pytest.fixture(scope="module")
def second(intruder, intruders, doors):
    intruder.deploy(**SECOND)
    return intruders


def test_attempts_succeed_outside_of_the_sandbox(closed, outside, of_root):
    """Otherwise it would say nothing that they fail inside."""
    for one, attempts in zip(closed, of_root, strict=True):
        assert outside(one, "root", *attempts).failed == {}
        # The group's members are others, which is what its switch is for.
        assert outside(one, "intruder", *OF_ANY_USER).failed.keys() == {f"read={OF_THE_GROUP}"}


def test_nothing_of_the_host_is_open(closed, inside, of_root):
    for one, attempts in zip(closed, of_root, strict=True):
        assert inside(one, *OF_ANY_USER, *attempts).succeeded == []


def test_its_own_is_open(closed, inside, shops):
    """So are the host next door and the host's own address, with the network that there is by default."""
    for one in closed:
        assert inside(one, *ALLOWED, *addresses(shops)).failed == {}
        assert one.get("/ready").json()["libpq"] > 0


def test_hooks_are_in_the_sandbox_too(closed):
    for one in closed:
        outcomes = json.loads(one.run("cat %s", f"{STATE}/of-a-hook.json"))
        assert [attempt for attempt, why in outcomes.items() if not why] == ALLOWED


def test_systemd_finds_little_exposed(closed):
    for one in closed:
        assert exposure(one) <= MOST_EXPOSED


def test_systemd_understands_every_line(closed):
    for one in closed:
        release = one.release
        units = [f"intruder{kind.format(release)}" for kind in UNITS]
        assert one.run(f"systemd-analyze verify --man=no {' '.join(units)} 2>&1") == ""


def test_units_that_systemd_does_not_understand_are_refused(intruder, closed):
    """Lines that it does not understand it passes over, with no more than a warning."""
    look = "sha256sum /etc/systemd/system/intruder*; ls /opt/intruder/releases; readlink /opt/intruder/current"
    before = [one.run(look) for one in closed]
    wrong = {"system_calls": ["no_such_call"], "address_families": ["AF_NOSUCH"]}
    run = intruder.deploy(sandbox=wrong, check=False)
    for one, found in zip(closed, before, strict=True):
        error = run.error(one.inventory_name)
        assert "systemd-analyze verify has something to say of the units" in error
        assert "no_such_call" in error
        assert "AF_NOSUCH" in error
        assert one.run(look) == found
        assert one.get("/ready").status == 200


def test_first_switches_open_their_doors_alone(first, inside, of_root):
    opens_its_doors_alone(first, inside, of_root, OPENED_FIRST)


def test_local_network_is_loopback(first, inside, shops):
    for one in first:
        assert inside(one, LOOPBACK, "connect=/run/dbus/system_bus_socket").failed == {}
        shown = one.run("systemctl show --property=IPAddressDeny,IPAddressAllow %s", one.service).splitlines()
        # Each version of systemd has an order of its own.
        properties = {name: sorted(value.split()) for name, _equals, value in (line.partition("=") for line in shown)}
        assert properties == {"IPAddressAllow": ["127.0.0.0/8", "::1/128"], "IPAddressDeny": ["0.0.0.0/0", "::/0"]}
    for one in first:
        if one.run("journalctl --boot --quiet --identifier=systemd --grep 'does not support BPF' || true"):
            pytest.skip("this host's kernel does not let systemd filter addresses (BPF)")
        assert inside(one, *addresses(shops)).succeeded == []


def test_second_switches_open_their_doors_alone(second, inside, of_root):
    opens_its_doors_alone(second, inside, of_root, OPENED_SECOND)


def test_no_network_is_unix_sockets_alone(second, inside, shops):
    """The sockets that a switch allows find nobody, and what it does not allow is not even a socket."""
    for one in second:
        assert inside(one, "connect=/run/dbus/system_bus_socket", "make_socket=AF_INET").failed == {}
        assert inside(one, LOOPBACK, *addresses(shops), "make_socket=AF_INET6").succeeded == []


def opens_its_doors_alone(intruders, inside, of_root, opened):
    """All that each switch opens is open, and nothing else is, the doors of other switches among it."""
    for one, attempts in zip(intruders, of_root, strict=True):
        outcomes = inside(one, *OF_ANY_USER, *attempts)
        for switch, doors in opened.items():
            assert {door: outcomes[door] for door in doors if outcomes[door]} == {}, switch
        assert set(outcomes.succeeded) == {door for doors in opened.values() for door in doors}


def addresses(shops):
    """Attempts at the SSH servers of all hosts by their addresses, the host's own among them."""
    return [f"connect={shop.address}:22" for shop in shops]


def exposure(one):
    """Of 10, by systemd's own reckoning."""
    told = one.run("systemd-analyze security --no-pager %s", one.service)
    return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)[1])
