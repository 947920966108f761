"""Attempts to do what a service has no business to do, each in a process of its own, and how each ended.

``python attempts.py ACTION=ARGUMENT...`` writes a JSON object of attempts and outcomes: an empty text for an attempt
that succeeded, otherwise why it failed. None of them leaves anything behind or harms the host when it succeeds.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable

TIMEOUT = 2.0  # seconds; what is not forbidden ends at once
NULL = None

# Linux, <linux/sched.h>, <linux/personality.h>, <sys/ptrace.h>, <sys/mount.h> and <sys/klog.h>.
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
ADDR_NO_RANDOMIZE = 0x40000
PTRACE_TRACEME, PTRACE_ATTACH, PTRACE_DETACH = 0, 16, 17
KLOG_READ_ALL = 3
PROT_EVERYTHING = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
MAP_FAILED = ctypes.c_void_p(-1).value


class Denied(Exception):
    """What was tried came to nothing, without an error of the system."""


def call(function: str, *arguments: object, allowed: tuple[int, ...] = ()) -> int:
    """Call a function of libc.

    :param allowed: errors that come after the kernel's check of permission, and so count as success.
    """
    ctypes.set_errno(0)
    result = getattr(libc, function)(*arguments)
    number = ctypes.get_errno()
    if result in (-1, MAP_FAILED) and number not in allowed:
        raise OSError(number, os.strerror(number))
    return result


# ---- files and sockets ----------------------------------------------------------------------------------------------


def list_directory(path: str) -> None:
    os.listdir(path)


def read(path: str) -> None:
    if os.path.isdir(path):
        os.listdir(path)
        return
    with open(path, "rb") as opened:
        opened.read(1)


def write(path: str) -> None:
    """A file in a directory, which goes again, or an existing file, which stays as it is."""
    if os.path.isdir(path):
        with tempfile.NamedTemporaryFile(dir=path) as opened:
            opened.write(b"x")
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))


def open_device(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


def connect(address: str) -> None:
    """To a unix socket by its path, or to a TCP port of an IPv4 address."""
    host, _colon, port = address.rpartition(":")
    family, target = (socket.AF_UNIX, address) if address.startswith("/") else (socket.AF_INET, (host, int(port)))
    with socket.socket(family) as opened:
        opened.settimeout(TIMEOUT)
        opened.connect(target)


def make_socket(family: str) -> None:
    """``AF_X``, or ``AF_X:SOCK_Y`` for another type than the family's usual one."""
    name, _colon, kind = family.partition(":")
    default = "SOCK_RAW" if name in ("AF_NETLINK", "AF_PACKET") else "SOCK_STREAM"
    protocol = socket.IPPROTO_ICMP if kind == "SOCK_RAW" else 0
    socket.socket(getattr(socket, name), getattr(socket, kind or default), protocol).close()


# ---- privileges -----------------------------------------------------------------------------------------------------


def become(uid: str) -> None:
    """Every way of setresuid(2) to an id that one does not have."""
    os.setresuid(int(uid), int(uid), int(uid))


def have_capabilities(kind: str) -> None:
    """Of the sets of capabilities(7): ``Eff``, ``Bnd`` and so on."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(f"Cap{kind}:"))
    if int(line.split()[1], 16) == 0:
        raise Denied("the set is empty")


def run_setuid(path: str) -> None:
    """A program of root's that has the setuid bit and writes its effective user id."""
    done = subprocess.run([path, "-u"], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    if done.stdout.strip() != "0":
        raise Denied(f"it ran as {done.stdout.strip()}")


def make_setuid_file(directory: str) -> None:
    with tempfile.NamedTemporaryFile(dir=directory) as opened:
        os.chmod(opened.name, 0o4755)


# ---- other processes ------------------------------------------------------------------------------------------------


def see_processes(_of: str) -> None:
    """Processes of others, init among them."""
    others = [pid for pid in os.listdir("/proc") if pid.isdigit() and os.stat(f"/proc/{pid}").st_uid != os.geteuid()]
    if os.geteuid() == 0:  # whose processes nearly all are
        others = [pid for pid in os.listdir("/proc") if pid == "1"]
    if not others:
        raise Denied("there are none")


def send_signal(pid: str) -> None:
    os.kill(int(pid), 0)


def trace(pid: str) -> None:
    call("ptrace", PTRACE_ATTACH, int(pid), NULL, NULL)
    os.waitpid(int(pid), 0x40000000)  # __WALL of <bits/waitflags.h>: until it has stopped, as detaching wants
    call("ptrace", PTRACE_DETACH, int(pid), NULL, NULL)


def be_traced(_by: str) -> None:
    call("ptrace", PTRACE_TRACEME, 0, NULL, NULL)


# ---- the kernel -----------------------------------------------------------------------------------------------------


def mount(path: str) -> None:
    """A tmpfs over a directory, seen by nobody else: systemd shares the mounts of a machine with copies of them."""
    call("unshare", CLONE_NEWNS)
    call("mount", b"none", b"/", NULL, MS_REC | MS_PRIVATE, NULL)
    call("mount", b"tmpfs", path.encode(), b"tmpfs", 0, NULL)


def unshare(kind: str) -> None:
    """A namespace of its own: ``user`` or ``mount``."""
    call("unshare", {"user": CLONE_NEWUSER, "mount": CLONE_NEWNS}[kind])


def mount_in_namespace(path: str) -> None:
    """As a browser's sandbox does it, which is root in its own user namespace."""
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    call("mount", b"tmpfs", path.encode(), b"tmpfs", 0, NULL)


def change_root(path: str) -> None:
    os.chroot(path)


def load_module(_name: str) -> None:
    """An empty one, which is found to be none after the permission is checked; some kernels load no modules at all."""
    call("init_module", NULL, 0, b"", allowed=(errno.ENOEXEC, errno.EFAULT, errno.ENOSYS))


def reboot(_how: str) -> None:
    """With a wrong magic number (reboot(2)), which is looked at after the permission."""
    call("syscall", SYSTEM_CALLS["reboot"], 0, 0, 0, NULL, allowed=(errno.EINVAL,))


class Timex(ctypes.Structure):
    """The beginning of struct timex in <sys/timex.h>, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("rest", ctypes.c_char * 256),
    )


def set_clock(_to: str) -> None:
    """The speed that it has (adjtimex(2))."""
    adjtime_frequency = 0x2
    clock = Timex()
    libc.adjtimex(ctypes.byref(clock))
    clock.modes = adjtime_frequency
    call("adjtimex", ctypes.byref(clock))


def set_host_name(_to: str) -> None:
    """The name that it has."""
    socket.sethostname(socket.gethostname())


def read_kernel_log(_which: str) -> None:
    call("klogctl", KLOG_READ_ALL, ctypes.create_string_buffer(64), 64)


def swap_off(path: str) -> None:
    """Of a file that is no swap space, which is found out after the permission is checked."""
    call("swapoff", path.encode(), allowed=(errno.EINVAL,))


def run_bpf(_program: str) -> None:
    """A map of one number, whose description stands in ``union bpf_attr`` of <linux/bpf.h>."""
    attributes = (ctypes.c_uint32 * 32)(2, 4, 8, 1)  # BPF_MAP_TYPE_ARRAY, sizes of key and value, entries
    os.close(call("syscall", SYSTEM_CALLS["bpf"], 0, attributes, ctypes.sizeof(attributes)))


# ---- itself ---------------------------------------------------------------------------------------------------------


def write_and_execute(_how: str) -> None:
    call("mmap", NULL, mmap.PAGESIZE, PROT_EVERYTHING, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)


def make_executable(_how: str) -> None:
    address = call(
        "mmap", NULL, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
    )
    call("mprotect", address, mmap.PAGESIZE, PROT_EVERYTHING)


def change_personality(_to: str) -> None:
    call("personality", ctypes.c_ulong(ADDR_NO_RANDOMIZE))


def run_in_realtime(_how: str) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def set_priority(value: str) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, int(value))


def set_affinity(_to: str) -> None:
    """To the CPUs that it has."""
    os.sched_setaffinity(0, os.sched_getaffinity(0))


def open_files(count: str) -> None:
    # The process has some open already.
    held = [os.dup(0) for _number in range(int(count) - len(os.listdir("/proc/self/fd")))]
    for descriptor in held:
        os.close(descriptor)


def run_threads(count: str) -> None:
    end = threading.Event()
    try:
        for _number in range(int(count)):
            threading.Thread(target=end.wait, daemon=True).start()
    finally:
        end.set()


# Numbers of system calls that libc has no function for, on the architectures that tests run on (<asm/unistd.h>).
SYSTEM_CALLS = {
    "x86_64": {"bpf": 321, "reboot": 169},
    "aarch64": {"bpf": 280, "reboot": 142},
}[os.uname().machine]

ACTIONS: dict[str, Callable[[str], None]] = {
    function.__name__: function
    for function in (
        list_directory,
        read,
        write,
        open_device,
        connect,
        make_socket,
        become,
        have_capabilities,
        run_setuid,
        make_setuid_file,
        see_processes,
        send_signal,
        trace,
        be_traced,
        mount,
        unshare,
        mount_in_namespace,
        change_root,
        load_module,
        reboot,
        set_clock,
        set_host_name,
        read_kernel_log,
        swap_off,
        run_bpf,
        write_and_execute,
        make_executable,
        change_personality,
        run_in_realtime,
        set_priority,
        set_affinity,
        open_files,
        run_threads,
    )
}


def outcome(attempt: str) -> str:
    """How one attempt ended, made in a child: what succeeds may change the process."""
    action, _equals, argument = attempt.partition("=")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(int(TIMEOUT) + 1)
        try:
            ACTIONS[action](argument)
            text = ""
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as opened:
        text = opened.read()
    _pid, status = os.waitpid(child, 0)
    return f"it ended with status {status}" if status else text


def main() -> None:
    json.dump({attempt: outcome(attempt) for attempt in sys.argv[1:]}, sys.stdout)


if __name__ == "__main__":
    main()
