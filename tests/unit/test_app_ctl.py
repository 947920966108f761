# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""app_ctl.sh and launch.py with processes that live and are killed: those of gunicorn, and of a stub in its place."""

from __future__ import annotations

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
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._environment import environment_file
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.tests.unit.rendering import Render, rendering
from ansible_collections.wsgiops.flask.tests.unit.service import DEADLINE, eventually, get

ID, OTHER = "0123456789ab", "ba9876543210"
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name
AS_ROOT = os.getuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")

# What the tests want to know of a server, written by the stub and by the application alike.
TELL = """
import json, os, resource, socket, sys

def told():
    return {
        "argv": sys.argv[1:], "environment": dict(os.environ), "cwd": os.getcwd(), "umask": os.umask(0o27),
        "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(), "pid": os.getpid(),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE), "tasks": resource.getrlimit(resource.RLIMIT_NPROC),
        "no_new_privs": "NoNewPrivs:\\t1" in open("/proc/self/status").read(),
        "signals": [line for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn"))],
        "group": os.getpgrp(), "session": os.getsid(0), "files": sorted(map(int, os.listdir("/proc/self/fd"))),
    }
"""

# Serves, in that it lives: what it is to do besides stands in the file `behaviour` of its code.
STUB_CODE = """
import contextlib, signal, subprocess, time

if sys.argv[1:2] == ["--check-config"]:
    sys.exit(os.path.exists("broken"))
with open("starts", "a") as starts:
    starts.write(f"{os.getpid()}\\n")
on_term = lambda *_: sys.exit(0)
exec(open("behaviour").read())
signal.signal(signal.SIGTERM, on_term)
for number in (signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, lambda number, _: open("signals", "a").write(f"{number}\\n"))
text = json.dumps(told())
with open("told.new", "w") as file:
    file.write(text)
os.rename("told.new", "told")
with contextlib.suppress(OSError):  # where the disk is full
    print("the stub serves", flush=True)
while True:
    time.sleep(3600)
"""
STUB = TELL + STUB_CODE

APPLICATION_CODE = """
def app(environ, start_response):
    body = json.dumps(told()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
APPLICATION = TELL + APPLICATION_CODE


# A child that does not end by TERM, and a main process that does not either.
CHILD = """
subprocess.Popen(["sh", "-c", "trap '' TERM; echo $$ >child.new; mv child.new child; while :; do sleep 1; done"])
"""
DEAF = CHILD + "on_term = signal.SIG_IGN\n"

# One that left the group and the session, as daemons do.
DAEMON = CHILD.replace("subprocess.Popen(", "subprocess.Popen(start_new_session=True, args=")

# A name that reads as the fields behind it, as setproctitle could give it; and one of two lines.
ODD_NAMES = [b"x) Z 1 2 3 (y", b"x\ny"]
RENAME = "import ctypes\nctypes.CDLL(None).prctl(15, {!r}, 0, 0, 0)\n"


class Done(t.NamedTuple):
    """How a command ended."""

    status: int
    output: str
    errors: str


class App:
    """An application on a host that is a directory."""

    def __init__(self, render: Render, keys: dict[str, t.Any], user: str, group: str, watch: bool) -> None:
        # Short, as sockets in it have 107 bytes for their path, and open to the users that tests become.
        self.top = Path(tempfile.mkdtemp(prefix="a", dir="/tmp"))
        self.top.chmod(0o755)
        layout = Layout("shop", str(self.top / "o")).names()
        for name in ("run", "state", "cache", "logs", "error_log", "access_log"):
            layout[name] = f"{self.top}{layout[name]}"
        layout.update(user=user, group=group)
        self.user = user
        self.home, self.run, self.log = (Path(layout[name]) for name in ("home", "run", "error_log"))
        self.state = Path(layout["state"])
        for path in (self.home / "releases", self.log.parent.parent, self.run.parent, self.state.parent):
            path.mkdir(parents=True, exist_ok=True)
        Path(layout["cache"]).parent.mkdir()
        # A second to stop: app_ctl.sh gives 5 more than graceful_timeout.
        keys = {"graceful_timeout": -4, "restart": {"delay": 0}, "logs": {"to": "files"}, **keys}
        self.variables = {"__gunicorn_layout": layout, "gunicorn_socket_group": MY_GROUP}
        self.render = lambda template: render(
            f"lookup('ansible.builtin.template', '{template}')", keys, **self.variables
        )
        self.script = self.home / "app_ctl.sh"
        text = self.render("app_ctl.sh.j2")
        assert "\nWATCH=1\nWATCH_CRON=2\n" in text
        self.script.write_text(text if watch else re.sub(r"(?m)^(WATCH\w*)=\d$", r"\1=0", text))
        self.script.chmod(0o755)
        self.launcher = (Path(__file__).resolve().parents[2] / "roles/gunicorn/files/launch.py").read_text()

    def release(self, release: str = ID, behaviour: str = "", server: str = STUB) -> Path:
        """A release, whose server is the stub; returns where its code is."""
        home = self.home / "releases" / release
        (home / "code").mkdir(parents=True)
        (home / "venv/bin").mkdir(parents=True)
        (home / "venv/bin/python").symlink_to(sys.executable)
        self.server(release).write_text(f"#!{os.path.realpath(sys.executable)}\n{server}")
        self.server(release).chmod(0o755)
        (home / "code/behaviour").write_text(behaviour)
        (home / "code").chmod(0o777)
        (home / "launch.py").write_text(self.launcher)
        (home / "launch.json").write_text(self.render("launch.json.j2"))
        (home / "label").write_text(environment_file({"FLASK_RELEASE_LABEL": "v1"}))
        (home / "env").write_text(environment_file({"TEXT": 'a "b" $c `d` \\e\nf', "LANG": "de_DE.UTF-8"}))
        (home / "secrets").write_text(environment_file({"SECRET_KEY": "s3cret"}))
        for name in ("env", "secrets"):
            (home / name).chmod(0o600)
        if release == ID:
            self.switch(ID)
        return home / "code"

    def gunicorn(self, application: str = APPLICATION) -> Path:
        """The release with the real server."""
        code = self.release()
        gunicorn = Path(sys.executable).with_name("gunicorn")
        self.server(ID).unlink()
        self.server(ID).symlink_to(gunicorn)
        (code / "shop.py").write_text(application)
        configuration = self.render("gunicorn.conf.py.j2").replace("graceful_timeout = -4", "graceful_timeout = 1")
        (code.parent / "gunicorn.conf.py").write_text(configuration)
        return code

    def server(self, release: str) -> Path:
        return self.home / "releases" / release / "venv/bin/gunicorn"

    def switch(self, release: str) -> None:
        (self.home / "new").symlink_to(f"releases/{release}")
        (self.home / "new").rename(self.home / "current")

    def begin(self, *arguments: str, **keys: t.Any) -> subprocess.Popen[str]:
        command = ["/bin/sh", str(self.script), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keys)

    def ctl(self, *arguments: str, **keys: t.Any) -> Done:
        process = self.begin(*arguments, **keys)
        output, errors = process.communicate(timeout=2 * DEADLINE)
        return Done(process.returncode, output, errors)

    def pid_file(self, release: str = ID) -> Path:
        return self.run / f"{release}.pid"

    def socket(self, release: str = ID) -> Path:
        return self.run / f"{release}.sock"

    def pid(self, release: str = ID) -> int:
        return int(self.pid_file(release).read_text().split()[0])

    def told(self, release: str = ID) -> dict[str, t.Any]:
        path = self.home / "releases" / release / "code/told"
        assert eventually(path.exists), self.log.read_text()
        return t.cast("dict[str, t.Any]", json.loads(path.read_text()))

    def starts(self, release: str = ID) -> list[int]:
        path = self.home / "releases" / release / "code/starts"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def lines(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def processes(self) -> list[int]:
        """Those that live: the code is where each process of a release works."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(process / "cwd").startswith(f"{self.top}/"):
                    found.append(int(process.name))
        return [pid for pid in found if lives(pid)]

    def open_to_nobody(self) -> None:
        """Have all of it be the user nobody's, as it is of an ordinary user's application."""
        subprocess.run(["chown", "--recursive", "--no-dereference", "nobody:nogroup", str(self.top)], check=True)

    def close(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.top, ignore_errors=True)


Make = Callable[..., App]


@pytest.fixture(scope="module")
def render(repository: Path) -> Iterator[Render]:
    with rendering(repository, "gunicorn") as render:
        yield render


@pytest.fixture
def make(render: Render) -> Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def made(user: str = ME, group: str = MY_GROUP, watch: bool = False, **keys: t.Any) -> App:
            """`watch`: starts are looked at for as long as in earnest, to see those that come to nothing."""
            app = App(render, keys, user, group, watch)
            stack.callback(app.close)
            return app

        yield made


@pytest.fixture
def app(make: Make) -> App:
    """With a release that serves."""
    app = make()
    app.release()
    return app


def stat_of(pid: int) -> list[str]:
    """A process's fields from its state on (proc_pid_stat(5)); empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def lives(pid: int) -> bool:
    return stat_of(pid)[:1] not in ([], ["Z"], ["X"])


def started(pid: int) -> str:
    return stat_of(pid)[19]


def ignored(pid: int, number: int) -> bool:
    """Whether a process ignores a signal (proc_pid_status(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def children() -> set[int]:
    """This process's children, also those that have ended; not Ansible, which renders."""
    found = {int(path.name): stat_of(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    return {pid for pid, stat in found.items() if stat and int(stat[1]) == os.getpid()} - CHILDREN_BEFORE


CHILDREN_BEFORE: set[int] = set()


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Daemons become this process's children, which nobody waits for."""
    prctl = ctypes.CDLL(None).prctl
    CHILDREN_BEFORE.update(children())
    assert prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
    yield
    prctl(36, 0, 0, 0, 0)
    CHILDREN_BEFORE.clear()


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that has nothing to do with it, leads a group, and calls itself what it likes."""
    code = RENAME.format(ODD_NAMES[1]) + "import time\nprint(flush=True)\ntime.sleep(3600)"
    command = [sys.executable, "-S", "-c", code]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        process.kill()


# --- start and stop -----------------------------------------------------------------------------------------------


def test_start_and_stop(app: App) -> None:
    done = app.ctl("start")
    assert (done.status, done.errors) == (0, "")
    pid = app.pid()
    assert done.output == f"shop: started release {ID}, process {pid}\n"
    assert app.told()["pid"] == pid
    assert app.pid_file().read_text() == f"{pid} {started(pid)} {BOOT} {os.getsid(pid)}\n"
    status = app.ctl("status")
    assert (status.status, status.output) == (0, f"shop: release {ID} runs, process {pid}\n")

    again = app.ctl("start")
    assert (again.status, app.pid()) == (0, pid)
    assert "runs already" in again.output

    assert app.ctl("stop").status == 0
    assert not lives(pid)
    assert not app.pid_file().exists()
    assert not app.socket().exists()
    status = app.ctl("status")
    assert status.status == 3
    assert "does not run (stopped by hand" in status.output
    assert app.ctl("stop").status == 0


def test_stopped_stays_stopped_until_the_next_start(app: App) -> None:
    app.ctl("start")
    app.told()
    app.ctl("stop")
    assert app.ctl("cron-check").status == 0
    shutil.rmtree(app.run)
    assert app.ctl("cron-check", "--boot").status == 0
    assert app.ctl("start", ID).status == 0
    assert eventually(lambda: len(app.starts()) == 2)
    assert (app.home / "disabled").exists()
    assert app.ctl("stop", ID).status == 0
    assert app.ctl("start").status == 0
    assert not (app.home / "disabled").exists()


def test_a_restart_ends_a_stop_too(app: App) -> None:
    app.ctl("stop")
    assert app.ctl("restart").status == 0
    assert not (app.home / "disabled").exists()
    os.kill(app.pid(), signal.SIGKILL)
    assert app.ctl("cron-check").status == 0
    assert lives(app.pid())


@pytest.mark.parametrize("command", ["start", "restart"])
def test_a_stop_that_can_not_be_ended_is_not_passed_over(app: App, command: str) -> None:
    """Nobody would watch what was started."""
    (app.home / "disabled/something").mkdir(parents=True)
    done = app.ctl(command)
    assert done.status == 1
    assert f"{app.home}/disabled" in done.errors
    assert app.processes() == []


def test_under_gunicorn(make: Make) -> None:
    """A request, reload, restart, and a stop that leaves nothing."""
    app = make()
    app.gunicorn()
    assert app.ctl("start").status == 0, app.lines()
    first = json.loads(get(app.socket()).body)
    master = app.pid()
    assert first["group"] == master
    assert app.ctl("reload").status == 0
    assert eventually(lambda: json.loads(get(app.socket()).body)["pid"] != first["pid"])
    assert app.pid() == master
    app.log.rename(app.log.with_suffix(".1"))
    assert app.ctl("reopen").status == 0
    assert eventually(app.log.exists)
    assert app.ctl("restart").status == 0
    assert app.pid() != master
    worker = json.loads(get(app.socket()).body)["pid"]
    assert app.ctl("stop").status == 0
    assert not lives(worker)


def test_the_main_process_ends_with_all_its_group(make: Make) -> None:
    """A server and a child of it that are deaf to TERM; and app_ctl.sh is deaf to the loss of who runs it."""
    app = make()
    code = app.release(behaviour=DEAF)
    app.ctl("start", ID)
    assert eventually((code / "child").exists)
    assert app.told()
    master, child = app.pid(), int((code / "child").read_text())
    stopping = app.begin("stop")
    assert eventually(lambda: ignored(stopping.pid, signal.SIGHUP))
    stopping.send_signal(signal.SIGHUP)
    output, _errors = stopping.communicate(timeout=DEADLINE)
    assert stopping.returncode == 0
    assert "does not end within 1 s: it is killed" in output
    assert not lives(master)
    assert not lives(child)
    assert app.processes() == []


@pytest.mark.parametrize("child", [CHILD, DAEMON], ids=["group", "daemon"])
def test_what_the_main_process_leaves_behind_ends_too(make: Make, child: str) -> None:
    app = make()
    code = app.release(behaviour=child)
    app.ctl("start", ID)
    assert eventually((code / "child").exists)
    child = int((code / "child").read_text())
    assert app.told()
    assert app.ctl("stop").status == 0
    assert not lives(child)


@pytest.mark.parametrize("name", [None, *ODD_NAMES])
def test_a_start_ends_what_a_killed_main_process_left(make: Make, name: bytes | None) -> None:
    """Children in its group without a variable of its, with whatever name."""
    app = make()
    begin = (RENAME.format(name) if name else "") + "import os, time\n"
    say = "open('child.new', 'w').write(str(os.getpid()))\nos.rename('child.new', 'child')\ntime.sleep(3600)"
    code = app.release(behaviour=f"subprocess.Popen([sys.executable, '-S', '-c', {begin + say!r}], env={{}})")
    app.ctl("start", ID)
    assert eventually((code / "child").exists)
    child = int((code / "child").read_text())
    os.kill(app.pid(), signal.SIGKILL)
    assert lives(child)
    assert app.ctl("cron-check").status == 0
    assert not lives(child)
    assert lives(app.pid())


def test_abort_waits_for_nobody(make: Make) -> None:
    app = make(graceful_timeout=3600)
    code = app.release(behaviour=DEAF)
    app.ctl("start", ID)
    assert eventually((code / "child").exists)
    assert app.ctl("abort", ID).status == 0
    assert app.processes() == []
    assert app.ctl("abort").status == 2
    assert not (app.home / "disabled").exists()


def test_a_lost_socket_comes_back(app: App) -> None:
    app.ctl("start", ID)
    first = app.pid()
    app.socket().unlink()
    done = app.ctl("start", ID)
    assert done.status == 0
    assert "its socket is gone" in done.output
    assert not lives(first)
    assert lives(app.pid())
    app.socket().unlink()
    assert app.ctl("cron-check").status == 0
    assert app.socket().is_socket()
    assert app.processes() == [app.pid()]


@pytest.mark.parametrize("command", ["cron-check", "restart", "stop"])
def test_a_server_is_found_though_its_directory_was_deleted(app: App, command: str) -> None:
    """The kernel knows which process has the socket of that name; what clients can't reach is started anew."""
    app.ctl("start")
    first = app.told()["pid"]
    shutil.rmtree(app.run)
    assert app.ctl("status").status == 3
    assert app.ctl(command).status == 0
    assert not lives(first)
    assert app.processes() == ([] if command == "stop" else [app.pid()])


def test_a_server_that_can_not_be_reached_does_not_run_as_it_should(app: App) -> None:
    app.ctl("start")
    app.socket().unlink()
    status = app.ctl("status")
    assert (status.status, status.output) == (
        1,
        f"shop: release {ID} runs, process {app.pid()}, but its socket is gone\n",
    )


def test_a_start_that_comes_to_nothing_says_so(make: Make) -> None:
    app = make(watch=True)
    app.release(behaviour="sys.exit('not today')")
    done = app.ctl("start")
    assert done.status == 1
    assert f"release {ID} ended right after its start" in done.errors
    assert "not today" in app.ctl("logs").output
    assert app.ctl("status").status == 1


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("env", "TEXT=plain\n", "/env was changed: line 1 is no variable"),
        ("launch.json", "{", "Expecting property name"),
        ("venv/bin/gunicorn", None, "/venv/bin/gunicorn: No such file or directory"),
        ("code/behaviour/..", None, "/code: No such file or directory"),
        ("secrets", None, "/secrets: No such file or directory"),
    ],
)
def test_what_can_not_be_launched_says_why_in_one_line(app: App, path: str, text: str | None, words: str) -> None:
    broken = Path(os.path.normpath(app.home / "releases" / ID / path))
    if text is None:
        broken.rename(app.top / "away")
    else:
        broken.write_text(text)
    done = app.ctl("start")
    assert done.status == 1
    assert done.errors.startswith(f"shop: release {ID} does not start: launch.py: ")
    assert words in done.errors
    assert done.errors.count("\n") == 1
    assert sorted(path.name for path in app.run.iterdir()) == ["ctl.lock"]
    assert app.processes() == []
    assert words in app.lines()


# --- what launch.py makes of a process ----------------------------------------------------------------------------


def test_what_a_server_gets(make: Make) -> None:
    """All of its variables, and nothing of who started it."""
    app = make(limits={"open_files": 512})
    app.release()
    extra = os.open(os.devnull, os.O_RDONLY)
    environment = {**os.environ, "OF_THE_CALLER": "1", "PYTHONPATH": "/nowhere"}
    signal.signal(signal.SIGWINCH, signal.SIG_IGN)
    try:
        app.ctl("start", ID, env=environment, pass_fds=[extra], preexec_fn=lambda: limit_files(256))
    finally:
        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        os.close(extra)
    told = app.told()
    home, run = app.home / "releases" / ID, app.top / "run/shop"
    logs, cache = app.log.parent, f"{app.top}/var/cache/shop"
    assert told["argv"] == ["--config", f"{home}/gunicorn.conf.py", "--bind", f"unix:{run}/{ID}.sock"]
    told["environment"].pop("LC_CTYPE", None)  # Python's own
    assert told["environment"] == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(app.state),
        "USER": ME,
        "LOGNAME": ME,
        "LANG": "de_DE.UTF-8",
        "TMPDIR": f"{cache}/tmp/{ID}",
        "STATE_DIRECTORY": str(app.state),
        "CACHE_DIRECTORY": cache,
        "LOGS_DIRECTORY": str(logs),
        "FLASK_RELEASE": ID,
        "FLASK_RELEASE_LABEL": "v1",
        "FLASK_WORKER_CLASS": "sync",
        "FLASK_PROXY_HOPS": "1",
        "TEXT": 'a "b" $c `d` \\e\nf',
        "SECRET_KEY": "s3cret",
        "FLASK_PID_FILE": f"{run}/{ID}.pid",
        "LISTEN_FDS": "1",
        "LISTEN_PID": str(app.pid()),
    }
    assert told["cwd"] == str(home / "code")
    assert told["umask"] == 0o027
    assert told["no_new_privs"]
    assert told["open_files"] == [512, 512]
    assert told["group"] == told["pid"] != told["session"] != os.getsid(0)
    # Who could open it could hold it.
    assert (app.run / "ctl.lock").stat().st_mode & 0o777 == 0o600
    # The fourth is the socket, the fifth what the list is read by.
    assert told["files"] == [0, 1, 2, 3, 4]
    blocked, ignored_ones = (int(line.split()[1], 16) for line in told["signals"])
    assert blocked == 0
    assert not ignored_ones >> (signal.SIGWINCH - 1) & 1
    assert not ignored_ones >> (signal.SIGHUP - 1) & 1


def test_temporary_files_go_with_their_release(app: App) -> None:
    """And with each start of it; not those of another release that may run, nor of a task."""
    app.release(OTHER)
    top = app.top / "var/cache/shop/tmp"
    for name in (ID, f"{ID}-task", OTHER, "pruned", "pruned-task"):
        (top / name).mkdir(parents=True)
        (top / name / "file").write_text("")
    (top / "stray").symlink_to(app.top)
    assert app.ctl("start", ID).status == 0
    assert sorted(path.name for path in top.iterdir()) == sorted([ID, f"{ID}-task", OTHER])
    assert {path.name: len(list(path.iterdir())) for path in top.iterdir()} == {ID: 0, f"{ID}-task": 1, OTHER: 1}
    assert app.home.exists()


def limit_files(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_what_a_server_finds(app: App) -> None:
    """Its directories and its socket, which has the name that a drain looks for."""
    app.ctl("start", ID)
    app.told()
    modes = {path: path.stat().st_mode & 0o777 for path in (app.state, app.log.parent, app.top / "var/cache/shop")}
    assert set(modes.values()) == {0o750}
    assert (app.top / "var/cache/shop/tmp").stat().st_mode & 0o777 == 0o700
    assert app.socket().stat().st_mode & 0o777 == 0o760
    assert app.socket().stat().st_gid == os.getgid()
    assert f" {app.socket()}\n" in Path("/proc/net/unix").read_text()
    assert eventually(lambda: "the stub serves" in app.lines())
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(app.socket()))


@needs_root
def test_a_server_is_no_root(make: Make) -> None:
    """Its directories are given to its user as a whole, and what links in them point to is not."""
    app = make(user="nobody", group="nogroup", sandbox={"groups": ["video"]}, limits={"tasks": 321})
    app.release()
    elsewhere = app.top / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    (app.state / "sub").mkdir(parents=True)
    (app.state / "sub/file").touch()
    (app.state / "link").symlink_to(elsewhere)
    (app.state / "sub/link").symlink_to(elsewhere / "file")
    done = app.ctl("start", ID)
    assert done.status == 0, done
    told = app.told()
    nobody, nogroup = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
    assert told["uids"] == [nobody] * 3
    assert told["gids"] == [nogroup] * 3
    assert told["groups"] == sorted([nogroup, grp.getgrnam("video").gr_gid])
    assert told["tasks"] == [321, 321]
    for path in (app.state, app.state / "sub", app.state / "sub/file", app.state / "link", app.log, app.log.parent):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (nobody, nogroup), path
    for path in (elsewhere, elsewhere / "file", app.socket(), app.pid_file(), app.run):
        assert path.stat().st_uid == 0, path
    assert app.ctl("stop").status == 0
    assert app.processes() == []


@needs_root
def test_nothing_is_written_as_root_where_the_user_may_put_a_link(make: Make) -> None:
    app = make(user="nobody", group="nogroup")
    app.release()
    app.ctl("start", ID)
    app.told()
    target = app.top / "target"
    target.write_text("")
    app.log.unlink()
    app.log.symlink_to(target)
    done = app.ctl("stop")
    assert done.status == 0
    assert f"app_ctl: stopped release {ID}\n" in done.errors
    assert target.read_text() == ""


@needs_root
def test_a_group_of_others_is_left_alone(make: Make, stranger: int) -> None:
    """Its leader is gone, and its numbers those in the pid file: but its processes are another user's."""
    app = make(user="nobody", group="nogroup")
    app.release()
    leader = subprocess.Popen(["sh", "-c", "sleep 3600 & echo $!"], start_new_session=True, stdout=subprocess.PIPE)
    assert leader.stdout
    member = int(leader.stdout.readline())
    leader.wait()
    app.run.mkdir()
    app.pid_file().write_text(f"{leader.pid} 1 {BOOT} {leader.pid}\n")
    assert app.ctl("stop").status == 0
    assert lives(member)
    os.kill(member, signal.SIGKILL)
    leader.stdout.close()


def test_a_group_of_the_same_user_is_left_alone(app: App) -> None:
    """As above, of the user whose application it is: a pid file may be older than all that runs."""
    leader = subprocess.Popen(["sh", "-c", "sleep 3600 & echo $!"], start_new_session=True, stdout=subprocess.PIPE)
    assert leader.stdout
    member = int(leader.stdout.readline())
    leader.wait()
    app.run.mkdir()
    app.pid_file().write_text(f"{leader.pid} 1 {BOOT} {leader.pid - 1}\n")
    assert app.ctl("stop", ID).status == 0
    assert lives(member)
    # With both of its numbers it is what a server left behind.
    app.pid_file().write_text(f"{leader.pid} 1 {BOOT} {leader.pid}\n")
    assert app.ctl("stop", ID).status == 0
    assert not lives(member)
    leader.stdout.close()


def test_an_application_may_have_itself_restarted(app: App) -> None:
    """By a process that has left its group, and has the variables that it was started with."""
    app.ctl("start")
    first = app.told()["pid"]
    done = app.ctl("restart", env={**os.environ, "FLASK_PID_FILE": str(app.pid_file())}, start_new_session=True)
    assert done.status == 0
    assert not lives(first)
    assert lives(app.pid())


def test_a_check_or_a_hook_is_not_ended_with_its_release(app: App) -> None:
    """A migration must not be cut: nor is it by systemd, whose unit it has for itself."""
    home = app.home / "releases" / ID
    app.ctl("start")
    app.told()
    command = [
        str(home / "venv/bin/python"),
        "-I",
        "-S",
        str(home / "launch.py"),
        "task",
        str(home),
        "--",
        "sleep",
        "3600",
    ]
    with subprocess.Popen(command, start_new_session=True) as task:
        assert eventually(lambda: Path(f"/proc/{task.pid}/comm").read_text() == "sleep\n")
        assert app.ctl("stop").status == 0
        assert app.processes() == [task.pid]
        task.kill()


def test_only_one_may_run(make: Make) -> None:
    """With overlap false, a release waits for the last process of the one before, and its socket takes requests."""
    app = make(overlap=False)
    app.release(behaviour=CHILD.replace("subprocess.Popen(", "subprocess.Popen(close_fds=False, args="))
    later = app.release(OTHER)
    app.ctl("start", ID)
    app.told()
    child = app.home / "releases" / ID / "code/child"
    assert eventually(child.exists)

    assert app.ctl("start", OTHER).status == 0
    app.switch(OTHER)
    assert app.ctl("status").status == 0
    assert eventually(lambda: "waits for the last process of the release before" in app.lines())
    # Requests wait in its socket meanwhile, and a rotation does not harm it.
    assert app.ctl("reopen").status == 0
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(app.socket(OTHER)))
    os.kill(app.pid(), signal.SIGKILL)
    assert lives(int(child.read_text()))
    assert not (later / "told").exists()
    assert app.ctl("stop", ID).status == 0
    assert app.told(OTHER)["pid"] == app.pid(OTHER)


def test_one_that_waited_looks_again(make: Make) -> None:
    app = make(overlap=False)
    app.release()
    app.release(OTHER)
    app.ctl("start", ID)
    app.told()
    app.switch(OTHER)
    app.ctl("start", OTHER)
    app.switch(ID)
    waiting = app.pid(OTHER)
    os.kill(app.pid(), signal.SIGKILL)
    assert eventually(lambda: not lives(waiting))
    assert "launch.py: " in app.lines()
    assert "current names another release" in app.lines()
    assert app.starts(OTHER) == []


def test_a_task(app: App) -> None:
    home = app.home / "releases" / ID
    words = [
        "task",
        str(home),
        "--setenv",
        "MORE=a=b",
        "--",
        "sh",
        "-c",
        "pwd; cat; echo $MORE $FLASK_RELEASE; ls -d $TMPDIR; exit 7",
    ]
    command = [str(home / "venv/bin/python"), "-I", "-S", str(home / "launch.py"), *words]
    done = subprocess.run(command, input="of the caller", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.split() == [str(home / "code"), "a=b", ID, f"{app.top}/var/cache/shop/tmp/{ID}-task"]
    assert not app.run.exists()
    missing = subprocess.run([*command[:6], "--", "nowhere"], capture_output=True, text=True, check=False)
    assert (missing.returncode, missing.stderr) == (1, "launch.py: /bin/nowhere: No such file or directory\n")


@pytest.mark.parametrize(
    "words", ["serve home", "task home", "task home --", "task home --setenv x -- true", "serve a b -- c"]
)
def test_wrong_usage_of_the_launcher(app: App, words: str) -> None:
    command = [sys.executable, "-I", "-S", str(app.home / "releases" / ID / "launch.py"), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2


# --- whose process it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "state"),
    [
        ("", 4),
        ("garbage\n", 4),
        ("\0\xff\n\n", 4),
        ("{pid}\n", 4),
        ("{pid} {start}", 4),
        ("{pid} {start} {boot}\n", 4),
        ("{pid} {start} {boot} {session} more\n", 4),
        ("-{pid} {start} {boot} {session}\n", 4),
        ("0 0 {boot} {session}\n", 4),
        ("1 {start} {boot} {session}\n", 4),
        ("99999999999999999999 {start} {boot} {session}\n", 4),
        ("{pid} 1{start} {boot} {session}\n", 1),  # an id that was given out again
        ("{pid} {start} 00000000-0000-0000-0000-000000000000 {session}\n", 1),  # of an earlier boot
        ("4194304 {start} {boot} {session}\n", 1),  # nobody's
    ],
)
def test_no_process_of_others_is_touched(app: App, stranger: int, content: str, state: int) -> None:
    app.run.mkdir()
    text = content.format(pid=stranger, start=started(stranger), boot=BOOT, session=os.getsid(stranger))
    for command in ("reopen", "status", "stop", "abort", "restart", "start", "cron-check"):
        app.pid_file().write_text(text, encoding="latin-1")
        (app.home / "disabled").unlink(missing_ok=True)
        done = app.ctl(*command.split(), *([ID] if command in ("stop", "abort", "start") else []))
        assert (done.status, done.errors) == (state if command == "status" else 0, ""), (command, done)
        assert lives(stranger)
        if command == "stop":
            assert not app.pid_file().exists()
            assert ("held no process" if state == 4 else "did not run") in done.output
        if command in ("restart", "start", "cron-check"):
            assert app.pid() != stranger
            assert lives(app.pid())
            os.kill(app.pid(), signal.SIGKILL)
            assert eventually(lambda: app.processes() == [])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_process_may_call_itself_what_it_likes(make: Make, name: bytes) -> None:
    app = make()
    app.release(behaviour=RENAME.format(name))
    app.ctl("start", ID)
    pid = app.told()["pid"]
    assert Path(f"/proc/{pid}/comm").read_bytes() == name + b"\n"
    assert app.ctl("status").status == 0
    assert app.ctl("cron-check").status == 0
    assert app.pid() == pid
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not lives(pid))
    assert app.ctl("status").status == 1
    assert app.ctl("start", ID).status == 0
    assert app.told()
    assert app.ctl("stop").status == 0
    assert app.processes() == []


def test_a_process_that_nobody_waits_for_is_dead(app: App, subreaper: None) -> None:
    """And a start leaves none behind: its only child is the server."""
    app.ctl("start", ID)
    first = app.pid()
    assert children() == {first}
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: stat_of(first)[0] == "Z")
    assert app.ctl("status").status == 1
    assert app.ctl("cron-check").status == 0
    second = app.pid()
    assert second != first
    os.waitpid(first, 0)
    assert app.ctl("stop").status == 0
    os.waitpid(second, 0)
    assert children() == set()


# --- cron-check ---------------------------------------------------------------------------------------------------


def test_ten_checks_at_once_start_one(app: App) -> None:
    app.ctl("start", ID)
    app.told()
    os.kill(app.pid(), signal.SIGKILL)
    checks = [app.begin("cron-check") for _number in range(10)]
    ended = [(check.communicate(timeout=DEADLINE), check.returncode) for check in checks]
    assert ended == [(("", ""), 0)] * 10
    assert eventually(lambda: len(app.starts()) == 2)
    assert app.processes() == [app.pid()]
    assert f"app_ctl: started release {ID}, process {app.pid()}\n" in app.lines()


def test_a_start_and_a_stop_at_once_do_not_mix(app: App) -> None:
    """Whichever has its turn last: a start removes the mark that a stop sets before its turn."""
    app.run.mkdir()
    with (app.run / "ctl.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        start = app.begin("start")
        assert eventually(lambda: ignored(start.pid, signal.SIGHUP))
        stop = app.begin("stop")
        assert eventually((app.home / "disabled").exists)
    for process in (start, stop):
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    assert (app.home / "disabled").exists() == (app.processes() == [])


def test_a_check_starts_nothing_while_it_is_stopped(app: App) -> None:
    app.ctl("start", ID)
    app.told()
    stop = app.begin("stop")
    checks = [app.begin("cron-check") for _number in range(5)]
    for process in (stop, *checks):
        process.communicate(timeout=DEADLINE)
    assert app.processes() == []
    app.ctl("cron-check")
    assert app.processes() == []


@pytest.mark.parametrize(("command", "status"), [("cron-check", 0), ("start", 3), ("stop", 3), ("restart", 3)])
def test_a_release_of_systemd_is_left_alone(app: App, command: str, status: int) -> None:
    """As while an application goes from systemd to cron, or back."""
    home = app.home / "releases" / ID
    (home / "systemd").mkdir()
    (home / "launch.py").unlink()
    app.run.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(app.socket()))
        done = app.ctl(command)
        assert (done.status, app.socket().exists()) == (status, True), done


def test_too_many_starts_are_given_up_for_a_while(make: Make) -> None:
    app = make(watch=True, restart={"delay": 0, "burst": 3, "interval": 60, "cooldown": 300})
    code = app.release(behaviour="sys.exit(1)")
    assert app.ctl("status").status == 3
    before = int(time.time())
    done = app.ctl("cron-check")
    assert done.status == 1
    told = f"release {ID} was started 3 times within 60 s (restart.burst): the next try is in 300 s"
    assert done.errors == f"shop: {told}\n"
    assert f"app_ctl: {told}\n" in app.lines()
    assert len(app.starts()) == 3
    assert not app.socket(ID).exists()
    limited = app.run / f"{ID}.limited"
    assert before + 300 <= int(limited.read_text().split()[0]) <= time.time() + 300
    status = app.ctl("status")
    assert status.status == 1
    assert "was given up after 3 starts within 60 s; next try at 20" in status.output

    # Until then there is nothing to do and nothing to say.
    assert app.ctl("cron-check") == (0, "", "")
    assert len(app.starts()) == 3
    # Then it has all its tries again; as it has when a clock was wrong.
    for tries, epoch in ((6, before - 1), (9, before + 100_000)):
        limited.write_text(f"{epoch}\n")
        assert app.ctl("cron-check").status == 1
        assert len(app.starts()) == tries

    # A start by hand forgets, also when it comes to nothing.
    (code / "behaviour").write_text("")
    assert app.ctl("start").status == 0
    assert sorted(path.name for path in app.run.iterdir()) == [f"{ID}.pid", f"{ID}.sock", "ctl.lock"]
    assert app.ctl("status").status == 0


def test_given_up_for_good(make: Make) -> None:
    app = make(watch=True, restart={"delay": 0, "burst": 1, "interval": 60, "cooldown": 0})
    app.release(behaviour="sys.exit(1)")
    assert app.ctl("cron-check").status == 1
    assert (app.run / f"{ID}.limited").read_text() == "0 1 starts within 60 s\n"
    assert app.ctl("cron-check").status == 0
    assert len(app.starts()) == 1
    assert "only a start by hand or a deploy" in app.ctl("status").output
    # The limits are those of a release.
    app.release(OTHER)
    app.switch(OTHER)
    assert app.ctl("cron-check").status == 0
    assert app.ctl("status").status == 0


def test_starts_of_long_ago_and_nonsense_do_not_count(make: Make) -> None:
    app = make(restart={"delay": 0, "burst": 2, "interval": 60})
    app.release()
    app.run.mkdir()
    now = int(time.time())
    (app.run / f"{ID}.starts").write_text(f"garbage\n\n{now - 61}\n{now + 10_000}\n{now - 30}\n")
    (app.run / f"{ID}.limited").write_text("garbage\n")
    (app.run / f"{ID}.limited").unlink()
    assert app.ctl("cron-check").status == 0
    assert lives(app.pid())
    kept, new = map(int, (app.run / f"{ID}.starts").read_text().split())
    assert kept == now - 30
    assert new >= now


@pytest.mark.parametrize("content", [None, "garbage\n", "4194304 1 {boot} 1\n"])
@pytest.mark.parametrize("command", ["cron-check", "start", "restart", "stop", "reload"])
def test_a_server_is_found_though_its_pid_file_was_damaged(app: App, content: str | None, command: str) -> None:
    assert app.ctl("start").status == 0
    server = app.told()["pid"]
    if content is None:
        app.pid_file().unlink()
    else:
        app.pid_file().write_text(content.format(boot=BOOT))
    done = app.ctl(command)
    assert (done.status, done.errors) == (0, "")
    assert f"process {server} listens on its socket" in app.lines()
    if command in ("cron-check", "start", "reload"):
        assert (app.pid(), lives(server)) == (server, True)
        assert len(app.starts()) == 1
    else:
        assert eventually(lambda: not lives(server))
        assert app.pid_file().exists() == (command == "restart")


@needs_root
def test_who_listens_as_another_user_is_not_taken_for_the_server(make: Make) -> None:
    app = make(user="nobody", group="nogroup")
    app.release()
    app.run.mkdir()
    listen = "import socket, sys, time; s = socket.socket(1); s.bind(sys.argv[1]); s.listen(); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", listen, str(app.socket())]) as stranger:
        try:
            assert eventually(app.socket().exists)
            assert app.ctl("start").status == 0
            assert app.pid() != stranger.pid
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_what_a_dead_server_left_its_socket_to_is_not_taken_for_it(make: Make) -> None:
    """A child that has it is no server: who would listen to what it is told?"""
    app = make()
    code = app.release(behaviour=CHILD.replace("subprocess.Popen(", "subprocess.Popen(pass_fds=[3], args="))
    app.ctl("start")
    assert eventually((code / "child").exists)
    first, child = app.told()["pid"], int((code / "child").read_text())
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: not lives(first))
    app.pid_file().unlink()
    assert app.ctl("cron-check").status == 0
    assert app.pid() not in (first, child)
    assert lives(app.pid())
    assert not lives(child)


def test_a_start_waits_for_its_delay(make: Make) -> None:
    app = make(watch=True, restart={"delay": 3600, "burst": 2, "interval": 80_000})
    app.release(behaviour="sys.exit(1)")
    assert app.ctl("cron-check").status == 1
    assert app.ctl("cron-check").status == 0
    assert len(app.starts()) == 1
    (app.run / f"{ID}.starts").write_text(f"{int(time.time()) - 3600}\n")
    assert app.ctl("cron-check").status == 1
    assert len(app.starts()) == 2


def test_starts_that_can_not_be_counted_are_not_made(app: App) -> None:
    """A check that tries again and again would be joined by another one each minute."""
    (app.run / f"{ID}.starts").mkdir(parents=True)
    done = app.ctl("cron-check")
    assert done.status == 1
    said = f"shop: release {ID} is not started: {app.run}/{ID}.starts can't be written: Is a directory\n"
    assert done.errors.endswith(said)
    assert app.starts() == []


def test_never_is_at_boot_alone(make: Make) -> None:
    app = make(restart={"delay": 0, "policy": "never"})
    app.release()
    assert app.ctl("cron-check").status == 0
    assert app.starts() == []
    assert app.ctl("cron-check", "--boot").status == 0
    first = app.pid()
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: not lives(first))
    assert app.ctl("cron-check") == (0, "", "")
    assert app.processes() == []


def test_never_is_once_at_a_boot(make: Make) -> None:
    app = make(watch=True, restart={"delay": 0, "policy": "never"})
    app.release(behaviour="sys.exit(1)")
    app.ctl("cron-check", "--boot")
    assert len(app.starts()) == 1


def test_a_boot_counts_anew(make: Make) -> None:
    """The run directory of an ordinary user is on a disk, which a boot does not empty."""
    app = make(restart={"delay": 0, "burst": 1, "cooldown": 0})
    app.release()
    app.run.mkdir()
    (app.run / f"{ID}.limited").write_text("0 1 starts within 60 s\n")
    (app.run / f"{ID}.starts").write_text(f"{int(time.time())}\n")
    assert app.ctl("cron-check") == (0, "", "")
    assert app.starts() == []
    assert app.ctl("cron-check", "--boot").status == 0
    assert lives(app.pid())


def test_nothing_is_deployed(make: Make) -> None:
    app = make()
    assert app.ctl("cron-check") == (0, "", "")
    assert app.ctl("status").status == 3
    assert app.ctl("start").status == 1
    assert app.ctl("reopen") == (0, "", "")
    assert app.ctl("stop").status == 0
    assert (app.home / "disabled").exists()


def test_a_release_that_nobody_confirmed(app: App) -> None:
    take_back = app.home / "take-back"
    take_back.mkdir()
    (take_back / "command").write_text(f"cut -d ' ' -f 6 /proc/$$/stat >{app.top}/session; echo back; echo again >&2\n")
    app.ctl("start", ID)
    (take_back / "due").write_text(f"{int(time.time()) + 1000}\n")
    assert app.ctl("cron-check").status == 0
    assert (take_back / "due").exists()
    (take_back / "due").write_text(f"{int(time.time())}\n")
    assert app.ctl("cron-check").status == 0
    assert not (take_back / "due").exists()
    assert (take_back / "started").exists()
    assert eventually(lambda: "app_ctl: take back: again\n" in app.lines())
    assert "app_ctl: take back: back\n" in app.lines()
    # Its own session: it outlives cron's job.
    assert int((app.top / "session").read_text()) != os.getsid(0)
    # A boot confirms.
    (take_back / "due").write_text(f"{int(time.time()) + 1000}\n")
    assert app.ctl("cron-check", "--boot").status == 0
    assert not (take_back / "due").exists()
    assert app.lines().count("take back: back") == 1


# --- logs ---------------------------------------------------------------------------------------------------------


def test_a_missing_log_directory_is_made_again(app: App) -> None:
    assert not app.log.parent.exists()
    app.ctl("cron-check")
    assert eventually(lambda: "the stub serves" in app.lines())
    shutil.rmtree(app.log.parent)
    assert app.ctl("stop") == (0, f"shop: stopped release {ID}\n", "")
    assert f"app_ctl: stopped release {ID}\n" in app.lines()
    assert app.log.stat().st_mode & 0o777 == 0o640


def test_a_full_disk_does_not_stop_a_start(app: App) -> None:
    app.log.parent.mkdir()
    app.log.symlink_to("/dev/full")
    done = app.ctl("start", ID)
    assert done.status == 0
    assert f"app_ctl: started release {ID}, process {app.pid()}\n" in done.errors
    assert lives(app.pid())


def test_a_log_that_can_not_be_opened(app: App) -> None:
    app.log.mkdir(parents=True)
    done = app.ctl("start")
    assert done.status == 1
    assert f"shop: release {ID} does not start: launch.py: {app.log}: Is a directory\n" in done.errors
    assert not app.pid_file().exists()


def test_a_log_that_is_a_pipe_is_not_waited_for(app: App) -> None:
    """The application may put one there, and nobody reads it."""
    app.log.parent.mkdir()
    os.mkfifo(app.log)
    done = app.ctl("start")
    assert done.status == 1
    assert f"{app.log}: No such device or address" in done.errors
    assert app.processes() == []


def test_reopen_is_for_those_that_can_take_it(app: App) -> None:
    early = app.release(OTHER, behaviour="open('early', 'w').close()\ntime.sleep(3600)")
    app.ctl("start", ID)
    app.ctl("start", OTHER)
    told = app.told()
    assert eventually((early / "early").exists)
    assert app.ctl("reopen") == (0, "", "")
    assert eventually((app.home / "releases" / ID / "code/signals").exists)
    assert (app.home / "releases" / ID / "code/signals").read_text() == f"{signal.SIGUSR1}\n"
    assert lives(told["pid"])
    assert lives(app.pid(OTHER))
    assert app.ctl("reload", OTHER).status == 0
    assert ignored(app.pid(OTHER), signal.SIGHUP)
    assert lives(app.pid(OTHER))


# --- reload -------------------------------------------------------------------------------------------------------


def test_reload(app: App) -> None:
    code = app.home / "releases" / ID / "code"
    assert app.ctl("reload").status == 7
    app.ctl("start", ID)
    app.told()
    (code / "broken").touch()
    done = app.ctl("reload")
    assert done.status == 1
    assert "the check of its configuration failed" in done.errors
    (code / "broken").unlink()
    assert app.ctl("reload").status == 0
    assert eventually((code / "signals").exists)
    assert (code / "signals").read_text() == f"{signal.SIGHUP}\n"


@pytest.mark.parametrize("keys", [{"server": "gevent"}, {"overlap": False}])
def test_reload_is_not_for_all(make: Make, keys: dict[str, t.Any]) -> None:
    app = make(**keys)
    app.release()
    assert app.ctl("reload").status == 3


# --- who may ------------------------------------------------------------------------------------------------------


def as_nobody() -> None:
    os.setgroups([])
    os.setgid(grp.getgrnam("nogroup").gr_gid)
    os.setuid(pwd.getpwnam("nobody").pw_uid)


CHANGES = ["start", "stop", "restart", "reload", f"abort {ID}", "cron-check", "cron-check --boot"]


@needs_root
@pytest.mark.parametrize("command", CHANGES)
def test_whoever_may_not_is_told_who_may(app: App, command: str) -> None:
    done = app.ctl(*command.split(), preexec_fn=as_nobody)
    assert (done.status, done.output) == (1, "")
    assert done.errors.startswith(f"shop: this is for {ME} to do, and not for nobody: su {ME} ")
    assert done.errors.count("\n") == 1
    assert not app.run.exists()
    assert app.ctl("status", preexec_fn=as_nobody).status == 3


@needs_root
def test_root_leaves_the_application_of_a_user_to_that_user(make: Make) -> None:
    app = make()
    app.release()
    app.open_to_nobody()
    assert app.ctl("start", preexec_fn=lambda: (limit_files(256), as_nobody())).status == 0
    server = app.told()["pid"]
    assert "launch.py: limits.open_files: 65536 asked for, this user may have" in app.lines()
    for command in [*CHANGES, "rotate"]:
        done = app.ctl(*command.split())
        assert done.status == 1
        assert "this is for nobody to do, and not for root: su nobody " in done.errors
    assert app.processes() == [server]
    assert app.ctl("status").status == 0
    assert app.ctl("logs").status == 0
    assert app.ctl("stop", preexec_fn=as_nobody).status == 0
    assert app.processes() == []
    # Others may not read the logs of a user, before its first start either.
    shutil.rmtree(app.log.parent)
    assert app.ctl("stop", preexec_fn=as_nobody).status == 0
    assert app.log.parent.stat().st_mode & 0o777 == 0o700


def test_what_can_not_be_written_is_said_with_the_reason(app: App) -> None:
    app.run.mkdir()
    (app.run / "ctl.lock").mkdir()
    for command in ("start", "restart", "cron-check"):
        done = app.ctl(command)
        assert done.status == 1
        assert done.errors == f"shop: {app.run}/ctl.lock can't be written: Is a directory\n"
    assert app.processes() == []


def test_rotation_is_for_users_to_ask_for(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    done = app.ctl("rotate")
    if AS_ROOT:
        assert (done.status, done.errors) == (3, "shop: logrotate does so by itself here\n")


# --- usage --------------------------------------------------------------------------------------------------------


def test_help_has_a_sentence_for_each_command(app: App) -> None:
    done = app.ctl("help")
    assert done.status == 0
    for command in "start stop restart reload reopen status cron-check logs abort help".split():
        assert f"\n  {command} " in done.output


@pytest.mark.parametrize("words", ["", "begin", "start ../x", "start a/b", "start .", "start a b", "cron-check now"])
def test_wrong_usage(app: App, words: str) -> None:
    assert app.ctl(*words.split()).status == 2
    assert app.processes() == []


def test_an_unknown_release(app: App) -> None:
    done = app.ctl("start", OTHER)
    assert done.status == 1
    assert f"there is no release {OTHER} in {app.home}/releases" in done.errors
    assert app.ctl("status", OTHER).status == 3


@pytest.mark.parametrize("keys", [{}, {"server": "gevent", "overlap": False, "restart": {"delay": 0.5}}])
def test_the_shell_has_nothing_to_say(make: Make, keys: dict[str, t.Any]) -> None:
    app = make(**keys)
    done = subprocess.run(["shellcheck", str(app.script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert app.script.read_text().startswith("#!/bin/sh\n# Managed by ")


@pytest.mark.parametrize("private", [False, True])
def test_the_cron_file(make: Make, private: bool) -> None:
    """cron refuses a last line without an end, and reads a % as one (crontab(5)). A user's has no column for users."""
    app = make()
    app.variables["gunicorn_private"] = private
    text = app.render("app.cron.j2")
    assert text.endswith("\n")
    assert "%" not in text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    who = "" if private else "root "
    checks = [f"* * * * * {who}{app.script} cron-check", f"@reboot {who}{app.script} cron-check --boot"]
    assert lines == checks + ([f"23 * * * * {app.script} rotate"] if private else [])
