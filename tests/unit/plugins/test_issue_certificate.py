# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Issued

NAMES = ["shop.example.com"]
SETTINGS = """\
server = https://acme.example/directory
{email}
cert-name = shop
webroot-path = {directory}/acme/webroot
config-dir = {directory}/acme/{authority}
"""

# What certbot does of what matters here: it registers an account once and keeps what it has as long as it is not due.
CERTBOT = """
echo "certbot $* ${{REQUESTS_CA_BUNDLE:-}}" >>{calls}
state=$(sed -n 's/^config-dir = //p' "$3")
[ "$1" = certonly ] || exit {update}
mkdir -p "$state/accounts/acme.example" "$state/live/shop" "$state/renewal" "$state/logs"
[ {register} -ne 0 ] || touch "$state/accounts/acme.example/regr.json"
echo '{{"detail":"of \\"shop\\" there are too many","status":429}}' >"$state/logs/letsencrypt.log"
echo "Requesting a certificate"
[ {code} -eq 0 ] || exit {code}
[ -e "$state/live/shop/fullchain.pem" ] && [ ! -e {due} ] && exit 0
rm -f {due}
cp {certificate} "$state/live/shop/fullchain.pem"
cp {key} "$state/live/shop/privkey.pem"
echo "a = b" >"$state/renewal/shop.conf"
"""

Run = Callable[[], "subprocess.CompletedProcess[str]"]
Behave = Callable[..., None]


@pytest.fixture
def issued() -> Issued:
    return Issued("shop", NAMES, issuer=Issued("Authority", authority=True))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An application with a stand-in."""
    path = tmp_path / "shop"
    path.mkdir()
    stand_in = Issued("shop", NAMES)
    (path / "certificate.pem").write_text(stand_in.certificate)
    (path / "certificate.pem").chmod(0o644)
    (path / "key.pem").write_text(stand_in.key)
    (path / "key.pem").chmod(0o600)
    configure(path)
    return path


def configure(directory: Path, email: str = "", authority: str = "one") -> None:
    option = f"email = {email}" if email else "register-unsafely-without-email = true"
    text = SETTINGS.format(directory=directory, email=option, authority=authority)
    (directory / "certbot.ini").write_text(text)


@pytest.fixture
def behave(
    command: Callable[[str, str], Path], tmp_path: Path, issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> Behave:
    """Makes certbot, nginx and systemctl exit with these codes; ``calls`` keeps what they were called with."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    (tmp_path / "issued.pem").write_text(issued.certificate)
    (tmp_path / "issued.key").write_text(issued.key)

    def have(certonly: int = 0, register: int = 0, update: int = 0, nginx: int = 0, systemctl: int = 0) -> None:
        calls = tmp_path / "calls"
        text = CERTBOT.format(
            calls=calls,
            code=certonly,
            register=register,
            update=update,
            due=tmp_path / "due",
            certificate=tmp_path / "issued.pem",
            key=tmp_path / "issued.key",
        )
        command("certbot", text)
        for name, code in (("nginx", nginx), ("systemctl", systemctl)):
            command(name, f'echo "{name} $*" >> {calls}; exit {code}')

    have()
    return have


@pytest.fixture
def run(nginx_scripts: Path, directory: Path, behave: Behave) -> Run:
    def start() -> subprocess.CompletedProcess[str]:
        script = nginx_scripts / "issue_certificate.sh"
        return subprocess.run(["sh", script, directory], capture_output=True, text=True, check=False)

    return start


def calls(directory: Path) -> list[str]:
    """What ran since the last call."""
    log = directory.parent / "calls"
    text = log.read_text() if log.exists() else ""
    log.unlink(missing_ok=True)
    return [line.strip() for line in text.splitlines()]


def pair(directory: Path) -> tuple[str, str]:
    return (directory / "certificate.pem").read_text(), (directory / "key.pem").read_text()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_is_issued_takes_the_place_of_the_stand_in(directory: Path, issued: Issued, run: Run) -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    [said] = done.stdout.splitlines()
    assert said.startswith(f"{directory}/certificate.pem: issued, it ends on ")
    assert pair(directory) == (issued.certificate, issued.key)
    assert (mode(directory / "certificate.pem"), mode(directory / "key.pem")) == (0o644, 0o600)
    # nginx's workers find what certbot writes for the authority.
    assert (mode(directory / "acme"), mode(directory / "acme" / "webroot")) == (0o755, 0o755)
    assert sorted(os.listdir(directory)) == ["acme", "certbot.ini", "certificate.pem", "key.pem"]
    certbot = f"certbot certonly --config {directory}/certbot.ini"
    assert calls(directory) == [certbot, "nginx -t -q", "systemctl try-reload-or-restart nginx.service"]

    done = run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert calls(directory) == [certbot]


def test_without_systemd_nginx_gets_the_signal(directory: Path, run: Run, systemd: Path, nginx_scripts: Path) -> None:
    systemd.rmdir()
    keep = nginx_scripts / "keep_nginx.sh"
    keep.write_text(f'echo "keep $*" >> {directory.parent}/calls\nexit $(cat {directory.parent}/code)\n')
    (directory.parent / "code").write_text("1")
    before = pair(directory)
    assert "nginx could not be reloaded with the issued one; the previous one is back" in run().stderr
    assert pair(directory) == before
    (directory.parent / "code").write_text("0")
    calls(directory)
    assert run().returncode == 0
    assert calls(directory)[-2:] == ["nginx -t -q", "keep reload"]
    assert pair(directory) != before


def test_what_is_renewed_takes_the_place_of_what_was_issued(directory: Path, run: Run) -> None:
    run()
    renewed = Issued("shop", NAMES, issuer=Issued("Authority", authority=True))
    (directory.parent / "issued.pem").write_text(renewed.certificate)
    (directory.parent / "issued.key").write_text(renewed.key)
    (directory.parent / "due").touch()
    assert ": issued, it ends on " in run().stdout
    assert pair(directory) == (renewed.certificate, renewed.key)


def test_a_private_authority_is_known_by_its_certificates(directory: Path, run: Run) -> None:
    (directory / "acme-ca-bundle").write_text("/etc/ssl/authority.pem\n")
    assert run().returncode == 0
    assert calls(directory)[0].endswith("certbot.ini /etc/ssl/authority.pem")


def test_the_authority_s_words_are_told(directory: Path, run: Run, behave: Behave) -> None:
    behave(certonly=1)
    before = pair(directory)
    done = run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{directory}/certificate.pem: certbot failed; it is as before:\nRequesting a certificate\n"
        'The authority said: of \\"shop\\" there are too many\n'
    )
    assert pair(directory) == before
    assert len(calls(directory)) == 1
    behave()
    assert run().returncode == 0


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ({"nginx": 1}, "nginx refused the issued one; the previous one is back"),
        ({"systemctl": 1}, "nginx could not be reloaded with the issued one; the previous one is back"),
    ],
)
def test_a_refused_one_is_taken_back_and_tried_again(
    directory: Path, issued: Issued, run: Run, behave: Behave, codes: dict[str, int], words: str
) -> None:
    before = pair(directory)
    behave(**codes)
    done = run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{directory}/certificate.pem: {words}\n"
    assert pair(directory) == before
    assert (mode(directory / "certificate.pem"), mode(directory / "key.pem")) == (0o644, 0o600)
    assert sorted(os.listdir(directory)) == ["acme", "certbot.ini", "certificate.pem", "key.pem"]
    behave()
    assert run().returncode == 0
    assert pair(directory) == (issued.certificate, issued.key)


def test_an_account_gets_another_address_once(directory: Path, run: Run, behave: Behave) -> None:
    def updates() -> list[str]:
        return [line for line in calls(directory) if "update_account" in line]

    configure(directory, "a@example.com")
    run()
    assert updates() == []
    for email in ("b@example.com", ""):
        configure(directory, email)
        behave(update=1)
        done = run()
        assert done.returncode == 1
        assert "the authority did not take the new tls.acme.email" in done.stderr
        behave()
        assert "the authority knows the new tls.acme.email" in run().stdout
        assert len(updates()) == 2
        assert run().stdout == ""
        assert updates() == []


def test_an_address_that_was_never_registered_is_not_changed(directory: Path, run: Run, behave: Behave) -> None:
    configure(directory, "wrong@example.com")
    behave(certonly=1, register=1)
    run()
    configure(directory, "a@example.com")
    behave()
    assert run().returncode == 0
    assert not any("update_account" in line for line in calls(directory))


def test_another_authority_issues_its_own_and_that_of_the_first_goes(directory: Path, run: Run) -> None:
    run()
    configure(directory, authority="two")
    assert run().returncode == 0
    assert sorted(os.listdir(directory / "acme")) == ["two", "webroot"]


@pytest.mark.parametrize("lost", ["renewal/shop.conf", "live/shop/fullchain.pem"])
def test_what_certbot_did_not_finish_is_begun_anew(directory: Path, run: Run, lost: str) -> None:
    run()
    state = directory / "acme" / "one"
    (state / lost).write_text("")
    (state / "archive" / "shop").mkdir(parents=True)
    assert run().returncode == 0
    assert (state / lost).read_text() != ""
    assert not (state / "archive").exists()
    assert (state / "accounts").exists()


def test_runs_take_turns(nginx_scripts: Path, directory: Path, behave: Behave) -> None:
    script = nginx_scripts / "issue_certificate.sh"
    held = os.open(directory, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with subprocess.Popen(["sh", script, directory], stdout=subprocess.PIPE) as waiting:
        time.sleep(0.5)
        assert calls(directory) == []
        os.close(held)
        waiting.communicate(timeout=30)
    assert len(calls(directory)) == 3


def test_it_wants_one_directory(repository: Path) -> None:
    script = repository / "roles" / "nginx" / "files" / "issue_certificate.sh"
    done = subprocess.run(["sh", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: issue_certificate.sh DIRECTORY\n")


# --- one that was interrupted -------------------------------------------------------------------------------------


def start_nginx(nginx_scripts: Path) -> str:
    """What is done before nginx starts, and what that says."""
    done = subprocess.run(["sh", nginx_scripts / "undo.sh"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_pair_of_which_nobody_knows_whether_nginx_likes_it_goes_before_nginx_starts(
    directory: Path, issued: Issued, run: Run, behave: Behave, nginx_scripts: Path, command: Callable[[str, str], Path]
) -> None:
    before = pair(directory)
    command("nginx", "kill -9 $PPID")
    assert run().returncode == -9
    assert pair(directory) == (issued.certificate, issued.key)
    said = start_nginx(nginx_scripts)
    assert said == f"{directory}/certificate.pem: as before an issue that did not come to its end\n"
    assert pair(directory) == before
    assert (mode(directory / "certificate.pem"), mode(directory / "key.pem")) == (0o644, 0o600)
    assert sorted(os.listdir(directory)) == ["acme", "certbot.ini", "certificate.pem", "key.pem"]
    assert start_nginx(nginx_scripts) == ""
    behave()
    assert run().returncode == 0
    assert pair(directory) == (issued.certificate, issued.key)


@pytest.mark.parametrize("kept", [("old-key", "old-certificate"), ("old-certificate",), ()])
def test_half_a_pair_is_whole_again_however_far_that_came(
    directory: Path, issued: Issued, nginx_scripts: Path, kept: tuple[str, ...]
) -> None:
    """As after a power cut between two renames, of the new ones or of the old ones."""
    before = pair(directory)
    work = directory / ".issue.abcdef"
    work.mkdir()
    (work / "both").touch()
    (directory / "certificate.pem").rename(work / "old-certificate")
    (directory / "key.pem").rename(work / "old-key")
    for name, target, text in (
        ("old-key", "key.pem", issued.key),
        ("old-certificate", "certificate.pem", issued.certificate),
    ):
        if name in kept:
            (directory / target).write_text(text)
        else:
            (work / name).rename(directory / target)
    start_nginx(nginx_scripts)
    assert pair(directory) == before
    assert not work.exists()


def test_a_living_issue_is_left_alone(directory: Path, nginx_scripts: Path) -> None:
    (directory / ".issue.abcdef").mkdir()
    descriptor = os.open(directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    start_nginx(nginx_scripts)
    assert (directory / ".issue.abcdef").exists()
    os.close(descriptor)
    start_nginx(nginx_scripts)
    assert not (directory / ".issue.abcdef").exists()
