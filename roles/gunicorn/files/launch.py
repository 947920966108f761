# Managed by the Ansible collection wsgiops.flask; changes made here are undone by its next run.
# Role gunicorn: what the [Service] section of a unit does for a process, where there is no systemd.
#
#   python -I -S launch.py serve HOME PIDFILE
#   python -I -S launch.py adopt HOME PIDFILE
#   python -I -S launch.py task HOME [--setenv NAME=VALUE]... -- COMMAND [ARGUMENT]...
#
# HOME is a release's directory, with launch.json in it. `serve` becomes the server, in the background: it returns 0
# when the server has taken over, or says in one line why not. `adopt` writes down again which process is the server, or
# fails when there is none. `task` becomes a command, in the foreground. Server and command run as the application's
# user, with no more rights than it has. -I and -S keep the environment's packages out of what root runs.
from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import grp
import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import stat
import sys
from typing import Any, NoReturn

# The descriptor that a socket is handed down at (SD_LISTEN_FDS_START, sd_listen_fds(3)).
LISTEN_FD = 3
PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h

# Of a socket in /proc/net/unix that takes connections (__SO_ACCEPTCON, linux/net.h).
LISTENS = 0x10000

# By this variable a server's processes are found wherever they have gone, as a unit's are by their cgroup. A check or a
# hook does not have it.
MARK = "FLASK_PID_FILE"

# What is behind the id of a release in the name of the directory for a task's temporary files: a task runs beside the
# server, which may be started meanwhile.
TASK = "-task"

# The format of `env` and `secrets` (systemd.exec(5), EnvironmentFile=), in which each value stands in double quotes.
VARIABLE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"\n', re.DOTALL)
ESCAPED = re.compile(r'\\(["\\`$])')


class LaunchError(Exception):
    """Why nothing was started, in words that can be acted on."""


class Release:
    """A release and its settings. Its methods stand in the order in which a start uses them."""

    def __init__(self, home: str, use: str = "") -> None:
        self.home = os.path.abspath(home)
        self.id = os.path.basename(self.home)
        with open(os.path.join(self.home, "launch.json"), encoding="utf-8") as file:
            self.settings: dict[str, Any] = json.load(file)
        self.socket = self._filled(self.settings["socket"])
        self.command = [self._filled(word) for word in self.settings["command"]]
        self.temporary = os.path.join(self.settings["temporary"], self.id + use)
        self.as_root = os.geteuid() == 0
        self.uid, self.gid, self.groups = os.getuid(), os.getgid(), os.getgroups()
        if self.as_root:
            user, group, further = self.settings["user"], self.settings["group"], self.settings["groups"]
            try:
                self.uid = pwd.getpwnam(user).pw_uid
                self.gid = grp.getgrnam(group).gr_gid
                more = [grp.getgrnam(name).gr_gid for name in further]
                self.groups = sorted({*os.getgrouplist(user, self.gid), *more})
            except KeyError as error:
                raise LaunchError(f"there is no such user or group: {error.args[0]}") from None

    def _filled(self, text: str) -> str:
        """A setting for this release: what is the same for all stands in launch.json."""
        for name, value in {"{release}": self.id, "{home}": self.home}.items():
            text = text.replace(name, value)
        return text.replace("{socket}", self.socket) if "{socket}" in text else text

    def refuse_unless_current(self) -> None:
        """An application that may exist only once is the release that `current` names."""
        current = os.path.join(self.settings["root_of_app"], "current")
        if self.settings["only_current"] and os.path.realpath(current) != os.path.realpath(self.home):
            raise LaunchError(f"{current} names another release, and of this application one may run (overlap: false)")

    def environment(self) -> dict[str, str]:
        """All variables: nothing is inherited. Those of the application take precedence."""
        user = pwd.getpwuid(self.uid).pw_name
        variables = {**self.settings["environment"], "USER": user, "LOGNAME": user, "FLASK_RELEASE": self.id}
        variables["TMPDIR"] = self.temporary
        for name in ("label", "env", "secrets"):
            path = os.path.join(self.home, name)
            with open(path, encoding="utf-8", newline="") as file:
                text = file.read()
            position = 0
            while position < len(text):
                match = VARIABLE.match(text, position)
                if not match:
                    raise LaunchError(f"{path} was changed: line {text.count(chr(10), 0, position) + 1} is no variable")
                variables[match[1]] = ESCAPED.sub(r"\1", match[2])
                position = match.end()
        return variables

    def make_directories(self) -> None:
        """What the application may write is there, and is its own."""
        for path, mode in self.settings["directories"].items():
            os.makedirs(path, exist_ok=True)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._make_own(descriptor, int(mode, 8))
            finally:
                os.close(descriptor)

    def _make_own(self, directory: int, mode: int) -> None:
        """As StateDirectory= does (systemd.exec(5)): a whole tree is given over when its top is not the user's.

        The top comes last, so that what was cut short is done again, and no link in the tree is followed.
        """
        status = os.fstat(directory)
        if self.as_root and (status.st_uid, status.st_gid) != (self.uid, self.gid):
            for _path, directories, files, inside in os.fwalk(".", dir_fd=directory):
                for name in directories + files:
                    os.chown(name, self.uid, self.gid, dir_fd=inside, follow_symlinks=False)
            os.fchown(directory, self.uid, self.gid)
        if stat.S_IMODE(status.st_mode) != mode:
            os.fchmod(directory, mode)

    def listen(self) -> socket.socket:
        """The release's socket. The right to connect comes last: until then nginx takes it for not there.

        It is bound under its own name and not renamed: a drain finds connections by the name in /proc/net/unix.
        """
        os.makedirs(os.path.dirname(self.socket), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o777)
        try:
            listener.bind(self.socket)
        except OSError as error:
            raise LaunchError(f"{self.socket}: {error.strerror or error}") from None
        finally:
            os.umask(before)
        listener.listen(self.settings["backlog"])
        if self.as_root:
            try:
                os.chown(self.socket, 0, grp.getgrnam(self.settings["socket_group"]).gr_gid)
            except KeyError:
                raise LaunchError(f"there is no group {self.settings['socket_group']}, of nginx") from None
        os.chmod(self.socket, int(self.settings["socket_mode"], 8))
        return listener

    def become_user(self) -> None:
        """Give up root for good, and all that it could be had back by."""
        set_limit(resource.RLIMIT_NOFILE, self.settings["limits"]["open_files"])
        if self.as_root:
            # Counted for all processes of a user: only one that is the application's own can have such a limit.
            set_limit(resource.RLIMIT_NPROC, self.settings["limits"]["tasks"])
            os.setgroups(self.groups)
            os.setgid(self.gid)
            os.setuid(self.uid)
        if ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise LaunchError("prctl(PR_SET_NO_NEW_PRIVS) failed")
        os.umask(int(self.settings["umask"], 8))
        self._empty_temporary()
        os.chdir(self._filled(self.settings["working_directory"]))

    def _empty_temporary(self) -> None:
        """Have a directory for temporary files, empty, as PrivateTmp= does; those of releases that are gone go."""
        os.makedirs(self.settings["temporary"], 0o700, exist_ok=True)
        releases = os.listdir(os.path.dirname(self.home))
        for name in os.listdir(self.settings["temporary"]):
            path = os.path.join(self.settings["temporary"], name)
            if path == self.temporary or name.removesuffix(TASK) not in releases:
                shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    os.unlink(path)
        os.makedirs(self.temporary, 0o700, exist_ok=True)

    def open_log(self) -> None:
        """Output goes to the log from here on; opened by the user, whose directory it is in."""
        # One that somebody put a pipe in the place of would have to be waited for.
        log = os.open(self.settings["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o640)
        os.set_blocking(log, True)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.close(log)

    def tell_of_limits(self) -> None:
        """An ordinary user gets no more than whoever made its limits allows (limits.conf(5))."""
        asked, given = self.settings["limits"]["open_files"], resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        with contextlib.suppress(OSError):  # where the disk is full
            if given < asked:
                say(f"limits.open_files: {asked} asked for, this user may have {given}; its administrator can raise it")

    def take_turn(self, lock: int, report: int) -> None:
        """Wait until the last process of the release before has ended; the server and its workers inherit the lock."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waits for the last process of the release before (overlap: false)")
            # Whoever started it need not wait too; what is to be told now goes to the log.
            os.dup2(2, report, inheritable=False)
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refuse_unless_current()
        os.set_inheritable(lock, True)


def say(text: str) -> None:
    sys.stderr.write(f"launch.py: {text}\n")
    sys.stderr.flush()


def words(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, OSError) and error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def set_limit(which: int, wanted: int) -> None:
    """As much as was asked for, or as the limit of whoever runs this leaves."""
    try:
        resource.setrlimit(which, (wanted, wanted))
    except (OSError, ValueError):
        hard = resource.getrlimit(which)[1]
        resource.setrlimit(which, (min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted, hard))


def close_inherited() -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the one that the list was read by
                os.close(int(name))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def reset_signals() -> None:
    """Those who started it may ignore or block some, SIGHUP say."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):  # the C library's own
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def stat_of(pid: int) -> list[str]:
    """A process's fields behind its name, which may be anything (proc_pid_stat(5))."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def write_pid_file(path: str, pid: int) -> None:
    """What tells a process from any other: its id, its start time and the boot's id; and its children: the session."""
    stat = stat_of(pid)
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(f"{pid} {stat[19]} {boot} {stat[3]}\n")
    os.replace(path + ".new", path)


def become_server(release: Release, pid_file: str, listener: socket.socket, report: int) -> NoReturn:
    reset_signals()
    # The server handles the signals of a rotation and of a reload when it has read its files; until then they are not
    # for it.
    for number in (signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    write_pid_file(pid_file, os.getpid())
    environment = release.environment()
    lock_path = release.settings["run_lock"]
    lock = os.open(lock_path, os.O_RDONLY | os.O_CREAT, 0o640) if lock_path else None
    release.become_user()
    release.open_log()
    release.tell_of_limits()
    if lock is not None:
        release.take_turn(lock, report)
    if listener.fileno() != LISTEN_FD:
        raise LaunchError(f"the socket is descriptor {listener.fileno()}, not {LISTEN_FD}")
    os.set_inheritable(LISTEN_FD, True)
    environment.update({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), MARK: pid_file})
    os.execve(release.command[0], release.command, environment)


def serve(release: Release, pid_file: str) -> None:
    release.make_directories()
    listener = release.listen()
    # The exec of the server closes the other end.
    reading, report = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.setsid()
            if os.fork():
                os._exit(0)
            # No leader of a session, which could get a terminal; leader of a group, which can be killed as one.
            os.setpgid(0, 0)
            become_server(release, pid_file, listener, report)
        except BaseException as error:
            os.write(report, f"launch.py: {words(error)}\n".encode(errors="replace"))
        finally:
            os._exit(1)
    os.close(report)
    os.waitpid(child, 0)
    with open(reading, encoding="utf-8", errors="replace") as pipe:
        failure = pipe.read()
    if failure:
        for path in (pid_file, pid_file + ".new", release.socket):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        raise LaunchError(failure.removeprefix("launch.py: ").strip())


def adopt(release: Release, pid_file: str) -> None:
    """Write down which process is the server: the one of its group's that leads it and has the release's socket.

    The kernel knows the socket by its path though the file is gone.
    """
    found = [pid for pid in holders(release) if int(stat_of(pid)[2]) == pid]
    if not found:
        raise LaunchError(f"no server listens on {release.socket}")
    write_pid_file(pid_file, found[0])


def holders(release: Release) -> list[int]:
    """The processes of the release's user that have its socket open."""
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as table:
        sockets = [line.rstrip("\n").split(None, 7) for line in table][1:]
    # Flags are field 4, the inode field 7 (proc_net(5)).
    named = [fields for fields in sockets if fields[7:] == [release.socket] and int(fields[3], 16) & LISTENS]
    wanted = {f"socket:[{fields[6]}]" for fields in named}
    if not wanted:
        return []
    # Root, too, may be kept from looking into processes of others, in a container say; their own user is not.
    os.setegid(release.gid)
    os.seteuid(release.uid)
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and wanted & open_files(name)]
    finally:
        if release.as_root:
            os.seteuid(0)
            os.setegid(0)


def open_files(pid: str) -> set[str]:
    """What the descriptors of a process name; nothing where that is not to be seen."""
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def run_task(release: Release, variables: list[str], command: list[str]) -> NoReturn:
    environment = release.environment()
    environment.update(variable.split("=", 1) for variable in variables)
    release.make_directories()
    release.become_user()
    reset_signals()
    os.execvpe(command[0], command, environment)


def main() -> None:
    arguments, command = sys.argv[1:], []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, command = arguments[:cut], arguments[cut + 1 :]
    parser = argparse.ArgumentParser(description="run a release as its user")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, what in (("serve", "become the server"), ("adopt", "write down again which process is the server")):
        serving = actions.add_parser(name, help=what)
        serving.add_argument("home")
        serving.add_argument("pid_file", metavar="PIDFILE")
    task = actions.add_parser("task", help="become the command behind --")
    task.add_argument("home")
    task.add_argument("--setenv", metavar="NAME=VALUE", action="append", default=[])
    parsed = parser.parse_args(arguments)
    if bool(command) != (parsed.action == "task") or any("=" not in text for text in getattr(parsed, "setenv", [])):
        parser.error("a task is: task HOME [--setenv NAME=VALUE]... -- COMMAND [ARGUMENT]...")
    close_inherited()
    os.umask(0o022)
    try:
        release = Release(parsed.home, TASK if parsed.action == "task" else "")
        if parsed.action == "task":
            run_task(release, parsed.setenv, command)
        {"serve": serve, "adopt": adopt}[parsed.action](release, os.path.abspath(parsed.pid_file))
    except (LaunchError, OSError, ValueError, KeyError) as error:
        say(words(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
