# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import datetime
import os
import subprocess
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Issued
from cryptography import x509

from ansible_collections.wsgiops.flask.plugins.module_utils import _certificate

NAMES = ["shop.example.com", "*.example.com", "192.0.2.1"]

Renew = Callable[[], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "shop"
    path.mkdir()
    return path


@pytest.fixture
def nginx(command: Callable[[str, str], Path], tmp_path: Path) -> Callable[[int, int], None]:
    """Makes nginx and systemctl exit with these codes; the directory keeps what they were called with."""

    def behave(check: int, reload: int) -> None:
        for name, code in (("nginx", check), ("systemctl", reload)):
            command(name, f'echo "{name} $*" >> {tmp_path}/calls; exit {code}')

    behave(0, 0)
    return behave


@pytest.fixture
def renew(nginx_scripts: Path, directory: Path, nginx: object) -> Renew:
    def run() -> subprocess.CompletedProcess[str]:
        script = nginx_scripts / "renew_certificate.sh"
        return subprocess.run(["sh", script, directory], capture_output=True, text=True, check=False)

    return run


def stand(directory: Path, issued: Issued) -> None:
    (directory / "certificate.pem").write_text(issued.certificate)
    (directory / "certificate.pem").chmod(0o644)
    (directory / "key.pem").write_text(issued.key)
    (directory / "key.pem").chmod(0o600)


def certificate(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "certificate.pem").read_bytes())


def calls(directory: Path) -> list[str]:
    log = directory.parent / "calls"
    return log.read_text().splitlines() if log.exists() else []


def test_one_that_ends_in_ten_days_is_renewed_with_its_key_and_names(directory: Path, renew: Renew) -> None:
    stand(directory, Issued("shop.example.com", NAMES, ends=10))
    key = (directory / "key.pem").read_text()
    before = certificate(directory)
    done = renew()
    assert (done.returncode, done.stderr) == (0, "")
    after = certificate(directory)
    [said] = done.stdout.splitlines()
    assert said.startswith(f"{directory}/certificate.pem: renewed, it ends on ")
    lasts = after.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=396) < lasts <= datetime.timedelta(days=397)
    # A browser that has seen the one refuses the other one otherwise.
    assert after.serial_number != before.serial_number
    assert after.subject == after.issuer == before.subject
    for kind in (x509.SubjectAlternativeName, x509.BasicConstraints):
        kept, had = (each.extensions.get_extension_for_class(kind) for each in (after, before))
        assert kept == had
    assert (directory / "key.pem").read_text() == key
    assert (directory / "certificate.pem").stat().st_mode & 0o777 == 0o644
    assert sorted(os.listdir(directory)) == ["certificate.pem", "key.pem"]
    assert calls(directory) == ["nginx -t -q", "systemctl try-reload-or-restart nginx.service"]

    # It is what the module would have made, which keeps it.
    pair = _certificate.standing(f"{directory}/certificate.pem", f"{directory}/key.pem")
    assert pair is not None
    assert pair.own.pem == (directory / "certificate.pem").read_text()
    assert _certificate.is_good_self_signed(pair, NAMES, time.time())
    assert renew().stdout == ""
    assert len(calls(directory)) == 2


def test_without_systemd_nginx_gets_the_signal(
    directory: Path, renew: Renew, systemd: Path, nginx_scripts: Path
) -> None:
    stand(directory, Issued(NAMES[0], NAMES, ends=29))
    systemd.rmdir()
    (nginx_scripts / "keep_nginx.sh").write_text(f'echo "keep $*" >> {directory.parent}/calls\n')
    assert renew().returncode == 0
    assert calls(directory) == ["nginx -t -q", "keep reload"]


@pytest.mark.parametrize(
    "issued",
    [
        pytest.param(lambda: Issued("shop", NAMES, ends=100), id="hundred-days"),
        pytest.param(lambda: Issued("shop", NAMES, ends=10, issuer=Issued("Authority")), id="authority"),
    ],
)
def test_others_stay(directory: Path, renew: Renew, issued: Callable[[], Issued]) -> None:
    stand(directory, issued())
    before = os.stat(directory / "certificate.pem").st_ino
    done = renew()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.stat(directory / "certificate.pem").st_ino == before
    assert calls(directory) == []


def test_one_that_has_ended_is_renewed(directory: Path, renew: Renew) -> None:
    stand(directory, Issued("shop", NAMES, begins=-9, ends=-1))
    assert renew().returncode == 0
    assert certificate(directory).not_valid_after_utc > datetime.datetime.now(datetime.UTC)


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ((1, 0), "nginx refused the renewed one; the previous one is back"),
        ((0, 1), "nginx could not be reloaded with the renewed one; the previous one is back"),
    ],
)
def test_a_refused_one_is_taken_back(
    directory: Path, renew: Renew, nginx: t.Callable[[int, int], None], codes: tuple[int, int], words: str
) -> None:
    issued = Issued("shop", NAMES, ends=10)
    stand(directory, issued)
    nginx(*codes)
    done = renew()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{directory}/certificate.pem: {words}\n"
    assert (directory / "certificate.pem").read_text() == issued.certificate
    assert (directory / "certificate.pem").stat().st_mode & 0o777 == 0o644
    assert sorted(os.listdir(directory)) == ["certificate.pem", "key.pem"]


def test_a_broken_certificate_or_key_is_a_failure(directory: Path, renew: Renew) -> None:
    issued = Issued("shop", NAMES, ends=10)
    stand(directory, issued)
    (directory / "key.pem").write_text("broken")
    done = renew()
    assert done.returncode == 1
    assert done.stderr.endswith(f"{directory}/certificate.pem: openssl could not renew it; it is as before\n")
    assert (directory / "certificate.pem").read_text() == issued.certificate
    (directory / "certificate.pem").write_text("broken")
    done = renew()
    assert done.returncode == 1
    assert done.stderr.endswith(f"{directory}/certificate.pem: openssl can not read it; it is not renewed\n")
    assert sorted(os.listdir(directory)) == ["certificate.pem", "key.pem"]
    assert calls(directory) == []


def test_what_an_authority_issues_is_left_to_the_other_script(
    repository: Path, tmp_path: Path, directory: Path
) -> None:
    """A stand-in that is about to end, too."""
    issued = Issued("shop", NAMES, ends=1)
    stand(directory, issued)
    (directory / "certbot.ini").touch()
    script = repository / "roles" / "nginx" / "files" / "renew_certificate.sh"
    (tmp_path / "_renew_certificate.sh").write_text(script.read_text())
    (tmp_path / "_issue_certificate.sh").write_text('echo "$@"; exit 7')
    command = ["sh", tmp_path / "_renew_certificate.sh", directory]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, f"{directory}\n", "")
    assert (directory / "certificate.pem").read_text() == issued.certificate


def test_it_wants_one_directory(repository: Path) -> None:
    script = repository / "roles" / "nginx" / "files" / "renew_certificate.sh"
    done = subprocess.run(["sh", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: renew_certificate.sh DIRECTORY\n")
