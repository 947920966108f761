# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import shutil
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from certificates import Issued
from cryptography import x509

from ansible_collections.wsgiops.flask.plugins.module_utils import _certificate, _task_certificate, _undo
from ansible_collections.wsgiops.flask.plugins.modules import certificate

Run = Callable[..., dict[str, t.Any]]
Arguments = dict[str, t.Any]


@pytest.fixture
def etc(tmp_path: Path, accounts: object) -> Path:
    directory = tmp_path / "etc"
    directory.mkdir()
    return directory


@pytest.fixture
def directory(etc: Path) -> Path:
    """Where the pair goes, two levels below what is there."""
    return etc / "wsgiops" / "shop"


@pytest.fixture
def arguments(etc: Path, directory: Path) -> Arguments:
    """A self-signed certificate, and commands that write down that they ran."""
    return {
        "name": "shop",
        "directory": str(directory),
        "mode": "self_signed",
        "domains": ["shop.example.com", "192.0.2.1"],
        "check": ["sh", "-c", f"echo check >> {etc}/log"],
        "apply": ["sh", "-c", f"echo apply >> {etc}/log"],
    }


@pytest.fixture
def issued(arguments: Arguments) -> Issued:
    return Issued("shop", arguments["domains"], issuer=Issued("Authority", authority=True))


@pytest.fixture
def given(arguments: Arguments, issued: Issued) -> Arguments:
    """The authority's certificate."""
    return {**arguments, "mode": "provided", "certificate": issued.certificate, "key": issued.key}


@pytest.fixture
def no_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "openssl" else found(name))


def commands(etc: Path) -> list[str]:
    """What ran since the last call."""
    log = etc / "log"
    if not log.exists():
        return []
    said = log.read_text().split()
    log.unlink()
    return said


def pair(directory: Path) -> tuple[str, str]:
    return (directory / "certificate.pem").read_text(), (directory / "key.pem").read_text()


def assert_no_key(result: dict[str, t.Any], key: str) -> None:
    said = json.dumps(result)
    assert not any(line in said for line in key.splitlines()[1:-1])


# --- self_signed --------------------------------------------------------------------------------------------------


def test_a_certificate_is_made_once(etc: Path, directory: Path, arguments: Arguments, run_module: Run) -> None:
    result = run_module(certificate, arguments, diff=True)
    assert result["changed"]
    assert commands(etc) == ["check", "apply"]
    text, key = pair(directory)
    ends = x509.load_pem_x509_certificate(text.encode()).not_valid_after_utc
    assert result["not_after"] == ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    [shown] = result["diff"]
    assert shown["before_header"] == shown["after_header"] == str(directory / "certificate.pem")
    assert shown["before"] == ""
    assert "names: 192.0.2.1, shop.example.com\n" in shown["after"]
    assert_no_key(result, key)
    modes = {path: (path.stat().st_mode & 0o777) for path in (directory.parent, directory, *directory.iterdir())}
    assert modes == {
        directory.parent: 0o755,
        directory: 0o755,
        directory / "certificate.pem": 0o644,
        directory / "key.pem": 0o600,
    }

    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.iterdir()}
    again = run_module(certificate, arguments, diff=True)
    assert again == {"changed": False, "not_after": result["not_after"], "diff": []}
    assert commands(etc) == []
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.iterdir()} == before


def test_other_domains_are_another_certificate(
    etc: Path, directory: Path, arguments: Arguments, run_module: Run
) -> None:
    run_module(certificate, arguments)
    commands(etc)
    before = pair(directory)
    result = run_module(certificate, {**arguments, "domains": ["shop.example.com"]}, diff=True)
    assert result["changed"]
    assert commands(etc) == ["check", "apply"]
    assert "names: 192.0.2.1, shop.example.com\n" in result["diff"][0]["before"]
    assert "names: shop.example.com\n" in result["diff"][0]["after"]
    after = pair(directory)
    assert before[0] != after[0]
    for found in (before, after):
        assert_no_key(result, found[1])


def test_a_key_that_others_may_read_is_put_right(
    etc: Path, directory: Path, arguments: Arguments, run_module: Run
) -> None:
    run_module(certificate, arguments)
    commands(etc)
    before = pair(directory)
    (directory / "key.pem").chmod(0o644)
    assert run_module(certificate, arguments)["changed"]
    assert (directory / "key.pem").stat().st_mode & 0o777 == 0o600
    assert pair(directory) == before


def test_check_mode_makes_nothing(
    etc: Path, directory: Path, arguments: Arguments, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_certificate, "self_signed", lambda domains: pytest.fail("a key was made"))
    result = run_module(certificate, arguments, check_mode=True, diff=True)
    assert (result["changed"], result["not_after"]) == (True, None)
    assert result["diff"][0]["after"] == "a certificate for shop.example.com, 192.0.2.1\n"
    assert os.listdir(etc) == []


def test_check_mode_knows_a_good_one(etc: Path, directory: Path, arguments: Arguments, run_module: Run) -> None:
    not_after = run_module(certificate, arguments)["not_after"]
    result = run_module(certificate, arguments, check_mode=True)
    assert (result["changed"], result["not_after"]) == (False, not_after)


# --- provided -----------------------------------------------------------------------------------------------------


def test_a_given_one_is_put_in_place_once(
    etc: Path, directory: Path, given: Arguments, issued: Issued, run_module: Run
) -> None:
    said = run_module(certificate, given, check_mode=True, diff=True)
    assert os.listdir(etc) == []
    result = run_module(certificate, given, diff=True)
    assert result == said
    assert (result["changed"], result["not_after"]) == (True, issued.not_after)
    assert_no_key(result, issued.key)
    assert pair(directory) == (issued.certificate, issued.key)
    assert commands(etc) == ["check", "apply"]
    again = run_module(certificate, given)
    assert (again["changed"], again["diff"], "warnings" in again) == (False, [], False)
    assert commands(etc) == []


def test_files_on_the_host_are_followed(
    etc: Path, directory: Path, given: Arguments, issued: Issued, run_module: Run
) -> None:
    for name in ("certificate", "key"):
        (etc / name).write_text(given[name])
    paths = {**given, "certificate": str(etc / "certificate"), "key": str(etc / "key")}
    assert run_module(certificate, paths)["changed"]
    assert not run_module(certificate, paths)["changed"]
    renewed = Issued("shop", given["domains"], ends=200)
    (etc / "certificate").write_text(renewed.certificate)
    (etc / "key").write_text(renewed.key)
    result = run_module(certificate, paths)
    assert (result["changed"], result["not_after"]) == (True, renewed.not_after)
    assert f"not after: {issued.not_after}\n" in result["diff"][0]["before"]
    assert pair(directory) == (renewed.certificate, renewed.key)


def test_a_path_of_a_key_is_named(etc: Path, given: Arguments, run_module: Run) -> None:
    result = run_module(certificate, {**given, "key": f"{etc}/shop.key"})
    assert result["failed"]
    assert result["msg"] == (
        f"shop: tls.key: {etc}/shop.key: No such file or directory; accepted is PEM text, or the absolute path of a "
        "readable file on the host that holds it. Nothing was changed."
    )


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_nginx_must_not_get_changes_nothing(
    etc: Path, given: Arguments, issued: Issued, run_module: Run, check_mode: bool
) -> None:
    result = run_module(certificate, {**given, "domains": ["desk.example.com"]}, check_mode=check_mode)
    assert result["failed"]
    assert result["msg"].startswith(
        "shop: tls.certificate: it is for 192.0.2.1, shop.example.com, not for desk.example.com; accepted is "
    )
    assert_no_key(result, issued.key)
    assert os.listdir(etc) == []


def test_a_refused_one_is_taken_back(etc: Path, directory: Path, given: Arguments, run_module: Run) -> None:
    refusing = ["sh", "-c", "echo ca md too weak; exit 1"]
    result = run_module(certificate, {**given, "check": refusing})
    assert result["failed"]
    assert result["msg"].startswith("shop: sh -c ")
    assert result["msg"].endswith("files that this run changed are as before:\nca md too weak")
    assert os.listdir(directory) == []

    run_module(certificate, given)
    before = pair(directory)
    commands(etc)
    other = Issued("shop", given["domains"])
    result = run_module(certificate, {**given, "certificate": other.certificate, "key": other.key, "check": refusing})
    assert result["failed"]
    assert_no_key(result, other.key)
    assert pair(directory) == before
    assert (directory / "key.pem").stat().st_mode & 0o777 == 0o600
    assert commands(etc) == ["apply"]


def test_an_end_that_is_near_is_warned_of(given: Arguments, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda module, text: said.append(text))
    near, far = (Issued("shop", given["domains"], ends=days) for days in (20, 22))
    for issued in (near, far):
        run_module(certificate, {**given, "certificate": issued.certificate, "key": issued.key})
    assert said == [f"shop: tls.certificate: it ends on {near.not_after[:10]}; clients refuse it from then on"]


def test_both_are_needed(given: Arguments, run_module: Run) -> None:
    result = run_module(certificate, {name: value for name, value in given.items() if name != "key"})
    assert result["msg"] == "mode is provided but all of the following are missing: key"


def test_a_domain_is_needed(etc: Path, arguments: Arguments, run_module: Run) -> None:
    assert run_module(certificate, {**arguments, "domains": []})["msg"] == "shop: domains: at least one is needed"
    assert os.listdir(etc) == []


# --- acme ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def acme(arguments: Arguments, directory: Path, etc: Path) -> Arguments:
    """The authority's certificate is in ``live``, as far as there is one."""
    live = etc / "live"
    live.mkdir()
    url = "https://acme.example/directory"
    return {
        **arguments,
        "mode": "acme",
        "domains": ["shop.example.com"],
        "lineage": str(live),
        "authority": url,
    }


@pytest.fixture
def issue(acme: Arguments, directory: Path, etc: Path) -> Callable[..., Arguments]:
    """Arguments with which the authority issues one certificate."""

    def have(**more: t.Any) -> Arguments:
        issued = Issued("shop", acme["domains"], issuer=Issued("Authority", authority=True), **more)
        # certbot's copies have lines in between.
        (etc / "live" / "fullchain.pem").write_text(issued.certificate + "\n")
        (etc / "live" / "privkey.pem").write_text(issued.key)
        command = (
            f"cp {etc}/live/fullchain.pem {directory}/certificate.pem; cp {etc}/live/privkey.pem {directory}/key.pem"
        )
        return {**acme, "issue": ["sh", "-c", f"echo issue >> {etc}/log; {command}"]}

    return have


@pytest.fixture
def refuse(acme: Arguments, etc: Path) -> Arguments:
    return {**acme, "issue": ["sh", "-c", f"echo issue >> {etc}/log; echo too many; echo at once >&2; exit 1"]}


def test_a_stand_in_is_made_once_and_replaced(
    etc: Path, directory: Path, acme: Arguments, issue: Callable[..., Arguments], run_module: Run
) -> None:
    result = run_module(certificate, acme)
    assert (result["changed"], result["issued"]) == (True, False)
    assert commands(etc) == ["check", "apply"]
    stand_in = pair(directory)
    result = run_module(certificate, acme)
    assert (result["changed"], result["issued"]) == (False, False)

    wanted = issue()
    planned = run_module(certificate, wanted, check_mode=True)
    assert (planned["changed"], planned["issued"], pair(directory)) == (True, False, stand_in)
    assert commands(etc) == []
    result = run_module(certificate, wanted, diff=True)
    assert (result["changed"], result["issued"]) == (True, True)
    assert "issuer: CN=Authority" in result["diff"][0]["after"]
    assert_no_key(result, pair(directory)[1])
    assert commands(etc) == ["issue"]

    # What is in place stays as certbot wrote it, empty lines and all.
    before = pair(directory)
    for again in (acme, wanted):
        (directory / "key.pem").chmod(0o600)
        for check_mode in (True, False):
            result = run_module(certificate, again, check_mode=check_mode)
            assert (result["changed"], result["issued"]) == (False, True)
    assert pair(directory) == before


def test_what_an_authority_issued_serves_until_it_has_issued_for_other_domains(
    directory: Path, acme: Arguments, issue: Callable[..., Arguments], run_module: Run
) -> None:
    run_module(certificate, issue())
    (directory / "key.pem").chmod(0o600)
    before = pair(directory)
    more = {**acme, "domains": [*acme["domains"], "www.example.com"]}
    result = run_module(certificate, more)
    assert (result["changed"], result["issued"], pair(directory)) == (False, False, before)
    refused = {**more, "issue": ["false"]}
    assert "The site is served with the previous one, and" in run_module(certificate, refused)["msg"]
    result = run_module(certificate, {**more, "domains": ["desk.example.com"]})
    assert (result["changed"], result["issued"]) == (True, False)


def test_an_authority_that_issues_none_is_an_error_while_a_stand_in_serves(
    etc: Path, refuse: Arguments, run_module: Run
) -> None:
    result = run_module(certificate, refuse)
    assert result["failed"]
    assert result["msg"] == (
        "shop: tls.mode: acme: no new certificate for shop.example.com from https://acme.example/directory. The site "
        "is served with a self-signed one, and the timer tries again twice a day.\ntoo many\nat once"
    )
    assert commands(etc) == ["check", "apply", "issue"]


def test_an_authority_that_issues_none_is_warned_of_while_a_good_one_serves(
    refuse: Arguments, issue: Callable[..., Arguments], run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda module, text: said.append(text))
    not_after = run_module(certificate, issue())["not_after"]
    result = run_module(certificate, refuse)
    assert "failed" not in result
    assert result["not_after"] == not_after
    assert said == [
        "shop: tls.mode: acme: no new certificate for shop.example.com from https://acme.example/directory. The one in "
        f"place lasts until {not_after}, and the timer tries again twice a day.\ntoo many\nat once"
    ]


def test_a_good_one_of_another_authority_is_not_what_was_asked_for(
    acme: Arguments, refuse: Arguments, issue: Callable[..., Arguments], run_module: Run
) -> None:
    """Of Let's Encrypt's authority for tries, say, which no browser knows."""
    run_module(certificate, issue())
    result = run_module(certificate, {**refuse, "lineage": acme["lineage"] + "/another"})
    assert "The site is served with the previous one, and" in result["msg"]


def test_a_good_one_for_more_domains_serves(
    acme: Arguments, refuse: Arguments, issue: Callable[..., Arguments], run_module: Run
) -> None:
    acme["domains"].append("www.example.com")
    run_module(certificate, issue())
    fewer = {**acme, "domains": ["shop.example.com"]}
    assert not run_module(certificate, fewer)["issued"]
    assert "failed" not in run_module(certificate, {**refuse, "domains": fewer["domains"]})


def test_of_a_command_that_says_much_the_end_is_told(acme: Arguments, run_module: Run) -> None:
    result = run_module(certificate, {**acme, "issue": ["sh", "-c", "seq 100000; exit 1"]})
    assert result["msg"].endswith("\n99999\n100000")
    assert len(result["msg"]) < _task_certificate.LAST_WORDS + 300


def test_what_certbot_had_goes_with_the_mode(
    etc: Path, directory: Path, acme: Arguments, arguments: Arguments, given: Arguments, run_module: Run
) -> None:
    for other in (arguments, given):
        run_module(certificate, acme)
        (directory / "certbot.ini").write_text("server = x\n")
        (directory / "acme" / "accounts").mkdir(parents=True)
        assert run_module(certificate, other, check_mode=True)["changed"]
        assert len(os.listdir(directory)) == 4
        assert run_module(certificate, other)["changed"]
        assert sorted(os.listdir(directory)) == ["certificate.pem", "key.pem"]
        # A run that was cut off in between.
        (directory / "acme").mkdir()
        assert run_module(certificate, other)["changed"]
        assert not run_module(certificate, other)["changed"]


# --- from one to the other ----------------------------------------------------------------------------------------


def test_each_mode_follows_the_other(
    directory: Path, arguments: Arguments, given: Arguments, issued: Issued, run_module: Run
) -> None:
    run_module(certificate, arguments)
    made = pair(directory)
    assert run_module(certificate, given)["changed"]
    assert pair(directory) == (issued.certificate, issued.key)
    assert run_module(certificate, arguments)["changed"]
    assert pair(directory)[0] not in (made[0], issued.certificate)
    assert pair(directory)[1] not in (made[1], issued.key)


# --- without openssl ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_openssl")
def test_check_mode_works_on_a_host_without_openssl(
    etc: Path, arguments: Arguments, given: Arguments, run_module: Run
) -> None:
    for wanted in (arguments, given):
        result = run_module(certificate, wanted, check_mode=True, diff=True)
        assert (result["changed"], result["not_after"]) == (True, None)
        assert result["diff"][0]["after"] == "a certificate for shop.example.com, 192.0.2.1\n"
    assert os.listdir(etc) == []


@pytest.mark.usefixtures("no_openssl")
def test_a_host_without_openssl_is_told_what_it_lacks(etc: Path, arguments: Arguments, run_module: Run) -> None:
    result = run_module(certificate, arguments)
    assert result["failed"]
    assert result["msg"] == "shop: the command openssl is not on this host; install the package openssl"
    assert os.listdir(etc) == []


def test_a_pair_that_a_run_left_half_way_is_whole_again(directory: Path, given: Arguments, run_module: Run) -> None:
    """Half of a new pair is none, and would be replaced."""
    run_module(certificate, given)
    before = [(directory / name).read_bytes() for name in ("certificate.pem", "key.pem")]
    own = {**given, "mode": "acme", "lineage": str(directory / "none"), "certificate": None, "key": None}
    with _undo.alone():
        _undo.begin([str(directory / name) for name in ("certificate.pem", "key.pem")], [])
        (directory / "key.pem").write_text(Issued("other").key)
    run_module(certificate, own)
    assert [(directory / name).read_bytes() for name in ("certificate.pem", "key.pem")] == before
