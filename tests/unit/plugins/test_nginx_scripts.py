# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scripts by which the nginx role checks sites and has nginx take them over."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SITE = "/etc/nginx/conf.d/shop.conf"
CONFLICT = 'nginx: [warn] conflicting server name "shop.example.com" on 0.0.0.0:80, ignored'
CONFIGURATION = f"""# configuration file {SITE}:
server {{
    server_name shop.example.com;
}}
# configuration file /etc/nginx/conf.d/near.conf:
server {{ server_name wwwshop.example.com; # server_name shop.example.com;
}}
# configuration file /etc/nginx/sites-enabled/old:
server {{ listen 80; server_name other.example.com
    Shop.example.com; return 200; }}
"""

Script = Callable[..., "subprocess.CompletedProcess[str]"]
Command = Callable[[str, str], Path]


@pytest.fixture
def script(nginx_scripts: Path) -> Script:
    """A script of the role as its tasks run it."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        text = (nginx_scripts / name).read_text()
        return subprocess.run(["sh", "-c", text, "nginx", *arguments], capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def nginx(command: Command, tmp_path: Path) -> Callable[[str, int], None]:
    """Makes nginx say something of its configuration."""

    def says(words: str, status: int) -> None:
        (tmp_path / "words").write_text(f"{words}\n" if words else "")
        (tmp_path / "dump").write_text(CONFIGURATION)
        command("nginx", f"[ $1 != -T ] || exec cat {tmp_path}/dump; cat {tmp_path}/words >&2; exit {status}")

    return says


@pytest.mark.parametrize("domains", [(), ("shop.example.com",)])
def test_what_nginx_accepts_is_accepted(script: Script, nginx: Callable[[str, int], None], domains: list[str]) -> None:
    nginx("", 0)
    assert script("check_sites.sh", *([SITE, *domains] if domains else [])).returncode == 0


def test_what_nginx_refuses_is_told_in_its_words(script: Script, nginx: Callable[[str, int], None]) -> None:
    nginx('nginx: [emerg] unknown directive "nonsense"', 1)
    done = script("check_sites.sh", SITE, "shop.example.com")
    assert (done.returncode, done.stdout) == (1, 'nginx: [emerg] unknown directive "nonsense"\n')


def test_a_second_default_server_is_told_with_a_cure(script: Script, nginx: Callable[[str, int], None]) -> None:
    nginx("nginx: [emerg] a duplicate default server for 0.0.0.0:80 in /etc/nginx/conf.d/other.conf:3", 1)
    done = script("check_sites.sh")
    assert done.returncode == 1
    assert "other.conf:3\n" in done.stdout
    assert "nginx_catch_all: false" in done.stdout


def test_a_domain_of_another_site_is_told_with_its_file(script: Script, nginx: Callable[[str, int], None]) -> None:
    nginx(CONFLICT, 0)
    done = script("check_sites.sh", SITE, "www.shop.example.com", "shop.example.com")
    assert done.returncode == 1
    assert "shop.example.com already, in /etc/nginx/sites-enabled/old. One" in done.stdout


def test_others_may_share_their_domains(script: Script, nginx: Callable[[str, int], None]) -> None:
    nginx(CONFLICT, 0)
    for arguments in ((), (SITE, "example.com", "*.example.com")):
        assert script("check_sites.sh", *arguments).returncode == 0


def systemctl(command: Command, reload: str, active: int = 0, start: int = 0) -> None:
    """systemd with an nginx whose main process sleeps; ``reload`` is what becomes of a reload, $MAIN being its id."""
    command(
        "systemctl",
        f"""case "$1" in
  is-active) exit {active} ;;
  start) exit {start} ;;
  show) echo $MAIN ;;
  reload) {reload} ;;
esac""",
    )


def children(process: subprocess.Popen[bytes]) -> list[str]:
    found = subprocess.run(["pgrep", "-a", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


@pytest.fixture(params=["ends", "drains"])
def main(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child. With the file "follow" it gets another one, and the first one ends its work after it."""
    # Not in the text of the program, which is part of what its processes are called.
    monkeypatch.setenv("DRAINING", "nginx: worker process is shutting down")
    afterwards = {"ends": "", "drains": 'exec -a "$DRAINING" sleep 97'}[request.param]
    old = f"until [ -e {tmp_path}/old-ends ]; do sleep 0.05; done; touch {tmp_path}/old-ended; {afterwards}"
    wait = f"until [ -e {tmp_path}/follow ]; do read -t 0.05 < {tmp_path}/pipe; done"
    program = f"({old}) & {wait}; sleep 98 & sleep 0.5; touch {tmp_path}/old-ends; wait"
    subprocess.run(["mkfifo", tmp_path / "pipe"], check=True)
    process = subprocess.Popen(["bash", "-c", f"exec 9<>{tmp_path}/pipe; {program}"], start_new_session=True)
    monkeypatch.setenv("MAIN", str(process.pid))
    while not children(process):
        time.sleep(0.01)
    yield process
    subprocess.run(["kill", "--", f"-{process.pid}"], check=False)
    process.wait()


def test_a_reload_ends_well_once_only_new_workers_serve(
    script: Script, command: Command, tmp_path: Path, main: subprocess.Popen[bytes]
) -> None:
    systemctl(command, f"touch {tmp_path}/follow")
    done = script("take_over.sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "old-ended").exists()
    assert any("sleep 98" in child for child in children(main))


def test_a_stopped_nginx_is_started(script: Script, command: Command) -> None:
    systemctl(command, "exit 9", active=3)
    assert script("take_over.sh").returncode == 0
    systemctl(command, "exit 9", active=3, start=1)
    bind = "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)"
    command("journalctl", f"echo noise; echo '{bind}'; echo '{bind}'")
    done = script("take_over.sh")
    assert (done.returncode, done.stdout) == (1, "bind() to 0.0.0.0:80 failed (98: Address already in use)\n")


# --- without systemd ----------------------------------------------------------------------------------------------

MASTER = "nginx: master process nginx"


class Nginx:
    """Processes that look like nginx's to the scripts, and the command that starts one."""

    def __init__(self, directory: Path, command: Command) -> None:
        self.directory = directory
        self.pid_file = directory / "nginx.pid"
        self.program = directory / "wsgiops-nginx"
        shutil.copy("/bin/sleep", self.program)
        # Like nginx it goes to the background first, and writes its id down then.
        master = f"sleep 0.2; echo $BASHPID > {self.pid_file}; exec -a '{MASTER}' {self.program} 96"
        refuse = f"[ ! -e {directory}/refusal ] || {{ cat {directory}/refusal >&2; exit 1; }}"
        start = f'setsid bash -c "{master}" </dev/null >/dev/null 2>&1 &'.replace("$BASHPID", "\\$BASHPID")
        command("nginx", f"{refuse}\necho started >> {directory}/starts\nls /proc/self/fd >> {directory}/open\n{start}")

    @property
    def starts(self) -> int:
        log = self.directory / "starts"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def main(self) -> int:
        return int(self.pid_file.read_text())

    def run(self, title: str, trap: str = "") -> subprocess.Popen[bytes]:
        """A process of the name nginx with this title."""
        text = f'{trap} exec -a "$TITLE" {self.program} 97'
        process = subprocess.Popen(["bash", "-c", text], env={**os.environ, "TITLE": title}, start_new_session=True)
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(title.encode()):
            time.sleep(0.01)
        return process


@pytest.fixture
def plain(systemd: Path, tmp_path: Path, command: Command) -> Iterator[Nginx]:
    """A host without systemd."""
    systemd.rmdir()
    yield Nginx(tmp_path, command)
    found = subprocess.run(["pgrep", "-f", f"{tmp_path}/|^{MASTER}"], capture_output=True, text=True, check=False)
    for process in found.stdout.split():
        if os.path.realpath(f"/proc/{process}/exe") == str(tmp_path / "wsgiops-nginx"):
            os.kill(int(process), signal.SIGKILL)


def test_what_runs_is_not_started_again(plain: Nginx, script: Script) -> None:
    assert script("keep_nginx.sh", "look").stdout == "nginx does not run\n"
    assert script("keep_nginx.sh", "main").returncode == 1
    for said in ("nginx was started\n", ""):
        done = script("keep_nginx.sh", "start")
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert plain.starts == 1
    assert script("keep_nginx.sh", "main").stdout == f"{plain.main()}\n"
    assert script("keep_nginx.sh", "look").stdout == ""


def test_what_a_run_left_half_way_is_undone_first(
    plain: Nginx, script: Script, notes: Path, tmp_path: Path, command: Command
) -> None:
    command("id", "echo 0")
    for number, (name, text) in enumerate({"site": "before", "other": "before too"}.items()):
        (notes.parent / "state" / "undo").mkdir(parents=True, exist_ok=True)
        (notes.parent / "state" / "undo" / str(number)).write_text(text)
        with open(notes.parent / "state" / "undo" / "list", "a", encoding="utf-8") as listed:
            listed.write(f"{number} {tmp_path}/{name}\n")
        (tmp_path / name).write_text("half-way")
    seen = plain.program.parent / "seen"
    nginx = tmp_path / "commands" / "nginx"
    nginx.write_text(nginx.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\ncat {tmp_path}/site > {seen}\n"))
    done = script("keep_nginx.sh", "start")
    assert (done.returncode, done.stdout) == (0, "nginx was started\n")
    assert done.stderr.count("as before a run that did not come to its end") == 2
    assert seen.read_text() == "before"
    assert (tmp_path / "other").read_text() == "before too"
    assert not (notes.parent / "state").exists()


def test_of_ten_who_start_it_one_does(plain: Nginx, nginx_scripts: Path) -> None:
    command = ["sh", str(nginx_scripts / "keep_nginx.sh"), "start"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _number in range(10)]
    said = [run.communicate()[0] for run in runs]
    assert {run.returncode for run in runs} == {0}
    assert sorted(said) == [""] * 9 + ["nginx was started\n"]
    assert plain.starts == 1
    assert "9" not in (plain.directory / "open").read_text().split(), "nginx would keep the lock"


@pytest.mark.parametrize("left", ["", "garbage", "-1", "0", "999999999", "foreign"])
def test_what_a_pid_file_was_left_with_is_nobody(plain: Nginx, script: Script, left: str) -> None:
    foreign = subprocess.Popen(["sleep", "95"])
    plain.pid_file.write_text(str(foreign.pid) if left == "foreign" else left)
    assert script("keep_nginx.sh", "reload").returncode == 0
    assert script("keep_nginx.sh", "start").stdout == "nginx was started\n"
    assert foreign.poll() is None
    foreign.kill()
    foreign.wait()


def test_workers_without_a_main_process_end_their_work(plain: Nginx, script: Script) -> None:
    orphan = plain.run("nginx: worker process")
    other = plain.run("nginx: master process nginx -c /home/alice/nginx.conf")
    assert script("keep_nginx.sh", "start").returncode == 0
    assert orphan.wait(5) == -signal.SIGQUIT
    assert other.poll() is None
    other.kill()
    other.wait()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_workers_of_other_users_are_theirs(plain: Nginx, script: Script) -> None:
    """Whose main process may be started anew in a moment."""
    text = f'exec -a "nginx: worker process" {plain.program} 97'
    plain.program.chmod(0o755)
    for directory in (plain.directory, *plain.directory.parents[:2]):
        directory.chmod(0o755)
    orphan = subprocess.Popen(["setpriv", "--reuid", "54321", "--clear-groups", "bash", "-c", text])
    while not Path(f"/proc/{orphan.pid}/cmdline").read_bytes().startswith(b"nginx: worker"):
        time.sleep(0.01)
    assert script("keep_nginx.sh", "start").returncode == 0
    assert orphan.poll() is None
    orphan.kill()
    orphan.wait()


def test_what_is_stopped_by_hand_stays_so_until_the_next_start(plain: Nginx, script: Script) -> None:
    assert script("keep_nginx.sh", "check").returncode == 0
    main = plain.main()
    status = script("keep_nginx.sh", "status")
    assert (status.returncode, status.stdout) == (0, f"nginx runs, process {main}\n")
    # What stands for it knows neither signal.
    for said in ("nginx was stopped\n", ""):
        done = script("keep_nginx.sh", "stop")
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    for _minute in (1, 2):
        assert script("keep_nginx.sh", "check").returncode == 0
    assert plain.starts == 1
    status = script("keep_nginx.sh", "status")
    assert (status.returncode, status.stdout) == (
        3,
        f"nginx does not run (stopped by hand: {plain.directory}/stopped)\n",
    )
    assert script("keep_nginx.sh", "start").stdout == "nginx was started\n"
    os.kill(plain.main(), signal.SIGKILL)
    assert script("keep_nginx.sh", "check").returncode == 0
    assert plain.starts == 3


def test_a_stop_does_not_wait_for_ever(plain: Nginx, nginx_scripts: Path, script: Script) -> None:
    text = (nginx_scripts / "keep_nginx.sh").read_text()
    (nginx_scripts / "keep_nginx.sh").write_text(text.replace("PATIENCE=100", "PATIENCE=5"))
    main = plain.run(MASTER, "trap '' QUIT TERM;")
    plain.pid_file.write_text(f"{main.pid}\n")
    done = script("keep_nginx.sh", "stop")
    assert (done.returncode, done.stderr) == (1, f"nginx, process {main.pid}, does not end\n")
    main.kill()
    main.wait()


def test_beside_its_configuration_it_is_a_users_own(plain: Nginx, tmp_path: Path, nginx_scripts: Path) -> None:
    """Whatever it is called by: what cron starts has to be found again by who stops it."""
    own = tmp_path / "apps/nginx"
    (own / "run").mkdir(parents=True)
    (own / "nginx.conf").write_text(f"worker_processes auto;\npid {own}/run/nginx.pid;\n")
    shutil.copy(nginx_scripts / "keep_nginx.sh", own)
    main = plain.run(f"nginx: master process nginx -c {own}/nginx.conf")
    (own / "run/nginx.pid").write_text(f"{main.pid}\n")
    for command, directory in ((["sh", "keep_nginx.sh"], own), (["sh", f"{own}/keep_nginx.sh"], Path("/"))):
        done = subprocess.run([*command, "status"], capture_output=True, text=True, check=False, cwd=directory)
        assert (done.returncode, done.stdout) == (0, f"nginx runs, process {main.pid}\n")
    # That of the host is another one.
    assert subprocess.run(["sh", nginx_scripts / "keep_nginx.sh", "status"], check=False).returncode == 3
    main.kill()
    main.wait()


@pytest.mark.parametrize(
    ("log", "status"), [("shop.access.log", None), ("shop.access.log.1", -signal.SIGUSR1), ("other", None)]
)
def test_rotated_logs_are_opened_anew(plain: Nginx, script: Script, log: str, status: int | None) -> None:
    main = plain.run(MASTER, f"exec 5>>{plain.directory}/{log};")
    plain.pid_file.write_text(f"{main.pid}\n")
    assert script("keep_nginx.sh", "check").returncode == 0
    if status is None:
        assert main.poll() is None
        main.kill()
    assert main.wait(5) in {status, -signal.SIGKILL}
    assert plain.starts == 0


def test_a_refusal_is_told_in_nginxs_words(plain: Nginx, script: Script) -> None:
    (plain.directory / "refusal").write_text("nginx: [emerg] no\nnginx: [emerg] no\n")
    done = script("keep_nginx.sh", "start")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "nginx: [emerg] no\nnginx: [emerg] no\n")
    done = script("take_over.sh")
    assert (done.returncode, done.stdout) == (1, "no\n")
    assert script("keep_nginx.sh", "restart").returncode == 2


def test_a_stopped_nginx_is_started_without_systemd(plain: Nginx, script: Script) -> None:
    assert script("take_over.sh").returncode == 0
    assert plain.starts == 1


def test_a_reload_without_systemd_is_a_signal(plain: Nginx, script: Script, tmp_path: Path) -> None:
    """To the main process alone; it is followed when that has another child."""
    old = f"(exec -a 'nginx: worker process' {plain.program} 93)"
    follow = f"trap '{plain.program} 92 & kill $old' HUP"
    program = f"{old} & old=$!; {follow}; touch {tmp_path}/up; while :; do wait -n; sleep 0.1; done"
    main = subprocess.Popen(
        ["bash", "-c", f"exec -a '{MASTER}' bash -c \"$PROGRAM\""],
        env={**os.environ, "PROGRAM": program},
        start_new_session=True,
    )
    plain.pid_file.write_text(f"{main.pid}\n")
    while not (tmp_path / "up").exists():
        time.sleep(0.01)
    time.sleep(0.2)
    [before] = children(main)
    done = script("take_over.sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert before not in children(main)
    os.killpg(main.pid, signal.SIGKILL)
    main.wait()


# --- directories --------------------------------------------------------------------------------------------------


@pytest.fixture
def var() -> Iterator[Path]:
    """A directory that every user gets into."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture
def listing(var: Path) -> Path:
    found = var / "shop.conf"
    found.write_text(f"# Managed\nd {var}/state/media/a 2750 nobody www-data\n")
    return found


def test_directories_are_systemds_business_where_it_has_a_command(
    script: Script, command: Command, listing: Path, tmp_path: Path
) -> None:
    command("systemd-tmpfiles", f'echo "$*" > {tmp_path}/asked')
    done = script("make_directories.sh", str(listing), "echo", "two words")
    assert (done.returncode, done.stdout) == (0, "two words\n")
    assert (tmp_path / "asked").read_text() == f"--create {listing}\n"
    command("systemd-tmpfiles", "exit 1")
    done = script("make_directories.sh", str(listing), "echo", "done")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives directories away")
def test_directories_are_made_without_systemd_and_nowhere_else(
    script: Script, nginx_scripts: Path, listing: Path, var: Path
) -> None:
    text = (nginx_scripts / "make_directories.sh").read_text()
    (nginx_scripts / "make_directories.sh").write_text(text.replace("systemd-tmpfiles", "no-such-command"))
    state = var / "state"
    state.mkdir()
    shutil.chown(state, "nobody", "nogroup")
    for _again in range(2):
        assert script("make_directories.sh", str(listing), "echo").stderr == ""
        found = (state / "media" / "a").stat()
        assert found.st_mode & 0o7777 == 0o2750
        assert ((state / "media" / "a").owner(), (state / "media" / "a").group()) == ("nobody", "www-data")
        assert (state / "media").group() == "nogroup"

    shutil.rmtree(state / "media")
    (var / "etc" / "a").mkdir(parents=True)
    (state / "media").symlink_to(var / "etc")
    done = script("make_directories.sh", str(listing), "echo", "done")
    assert (done.returncode, done.stdout) == (1, "")
    assert "a link of nobody leads elsewhere" in done.stderr
    assert (var / "etc" / "a").owner() == "root"
