# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scripts by which the nginx role checks sites and has nginx take them over."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
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
def script(repository: Path) -> Script:
    """A script of the role as its tasks run it."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        text = (repository / "roles" / "nginx" / "files" / name).read_text()
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
def main(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
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
