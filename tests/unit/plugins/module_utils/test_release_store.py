# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _files
from ansible_collections.wsgiops.flask.plugins.module_utils._options import Options
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import (
    Release,
    kept_units,
    label_of,
    load,
    logs_to_of,
    stale_units,
    unused_parts,
)
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Accounts, Host

AWKWARD = {"PASSWORD": 'a"b\\c`d$e', "LINES": "one\\\ntwo\r\n", "EMPTY": ""}


@pytest.fixture
def release(host: Host) -> Release:
    """A release on the disk, with all that can be said of one."""
    found = host.release(
        environment=AWKWARD,
        secrets={"SECRET_KEY": AWKWARD["PASSWORD"]},
        retry=True,
        text="# größer\r\nworkers = 1",
        label="v1.2",
        wsgi="shop:app",
        settings=["backlog"],
        overlap=False,
        server="gevent",
        logs_to="files",
        hooks={"once": ["flask db upgrade"]},
        health={"settle": 2, "body": "ok"},
    )
    host.bring(found)
    found.write()
    return found


# --- reading one back ---------------------------------------------------------------------------------------------


def test_a_release_can_be_read_back(host: Host, release: Release) -> None:
    found = load(host.layout, release.id)
    assert found.parts == release.parts
    assert json.dumps(found.options.as_dict()) == json.dumps(release.options.as_dict())
    assert found.stale_content() == found.stale_notes() == []


def test_secrets_are_kept_apart_in_a_file_that_root_alone_reads(
    host: Host, release: Release, accounts: Accounts
) -> None:
    path = Path(release.home, "secrets")
    assert path.read_text() == 'SECRET_KEY="a\\"b\\\\c\\`d\\$e"\n'
    assert (stat.S_IMODE(path.stat().st_mode), accounts.owner(path)) == (0o600, (0, 0))
    assert "SECRET_KEY" not in Path(release.home, "env").read_text()
    assert "SECRET_KEY" not in Path(release.home, "release.json").read_text()


def test_a_release_without_secrets_can_be_read_back_too(host: Host) -> None:
    found = host.release()
    host.bring(found)
    found.write()
    assert Path(found.home, "secrets").read_text() == ""
    assert load(host.layout, found.id).parts == found.parts


def test_what_a_run_that_died_left_beside_the_files_is_no_part_of_it(host: Host, release: Release) -> None:
    for directory in ("", "systemd"):
        Path(release.home, directory, ".x1y2z3.wsgiops-new").write_text("cut")
    assert load(host.layout, release.id).parts == release.parts


def change(name: str) -> Callable[[Host, Release], None]:
    def harm(_host: Host, release: Release) -> None:
        path = Path(release.home, name)
        path.write_text(path.read_text() + "# changed by hand\n")

    return harm


def change_variable(_host: Host, release: Release) -> None:
    path = Path(release.home, "env")
    path.write_text(path.read_text().replace('EMPTY=""', 'EMPTY="no"'))


def change_secret(_host: Host, release: Release) -> None:
    path = Path(release.home, "secrets")
    path.write_text(path.read_text().replace("SECRET_KEY", "SECRET_KEX"))


def lose(name: str) -> Callable[[Host, Release], None]:
    return lambda _host, release: Path(release.home, name).unlink()


def say(**facts: object) -> Callable[[Host, Release], None]:
    def harm(_host: Host, release: Release) -> None:
        path = Path(release.home, "release.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    return harm


def change_code(_host: Host, release: Release) -> None:
    Path(release.code, "name").write_text("changed by hand")


def open_code(_host: Host, release: Release) -> None:
    Path(release.code, "name").chmod(0o666)


def write_manifest(text: str) -> Callable[[Host, Release], None]:
    def harm(_host: Host, release: Release) -> None:
        Path(release.home, "release.json").write_text(text)

    return harm


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (change("gunicorn.conf.py"), "was changed on the host: its content is that of [0-9a-f]{12}"),
        (change("systemd/shop@.socket"), "was changed on the host: its content is that of [0-9a-f]{12}"),
        (change_variable, "was changed on the host: its content is that of [0-9a-f]{12}"),
        (change("env"), "can't be read: the environment file was changed"),
        (lose("env"), "can't be read: env is not there"),
        (change("secrets"), "can't be read: the environment file was changed"),
        (change_secret, "was changed on the host: its content is that of [0-9a-f]{12}"),
        (lose("secrets"), "can't be read: secrets is not there"),
        (lose("gunicorn.conf.py"), "can't be read: gunicorn.conf.py is not there"),
        (lose("systemd/shop@.service"), "was changed on the host: its content is that of [0-9a-f]{12}"),
        (lose("systemd/shop_retry@.timer"), "was changed on the host: its content is that of [0-9a-f]{12}"),
        (
            lambda host, release: shutil.rmtree(Path(release.home, "systemd")),
            "was changed on the host: its content is that of [0-9a-f]{12}",
        ),
        (lose("release.json"), "can't be read: release.json is not there"),
        (lambda host, release: shutil.rmtree(release.home), "can't be read: release.json is not there"),
        (change_code, ": its code {code} is gone or was changed"),
        (open_code, ": its code {code} is gone or was changed"),
        (lambda host, release: shutil.rmtree(release.code), ": its code {code} is gone or was changed"),
        (lambda host, release: shutil.rmtree(release.venv), ": its virtual environment {venv} is gone or damaged"),
        (
            lambda host, release: Path(release.venv, "bin", "python").unlink(),
            ": its virtual environment {venv} is gone or damaged",
        ),
        (write_manifest("{"), "can't be read: .+"),
        (write_manifest("[]"), "can't be read: .+"),
        (write_manifest("{}"), "can't be read: 'code'"),
        (write_manifest('"release"'), "can't be read: .+"),
        (say(files="gunicorn.conf.py"), "can't be read: g is not there"),
        (say(files=[1]), "can't be read: .+"),
        (say(options=[]), "can't be read: .+"),
        (say(options={"speed": 1}), "can't be read: .+'speed'"),
        (say(code="0" * 16), "was changed on the host: its content is that of [0-9a-f]{12}"),
        (say(code=None), "was changed on the host: its content is that of [0-9a-f]{12}"),
    ],
)
def test_what_is_not_whole_and_unaltered_is_refused(
    host: Host, release: Release, harm: Callable[[Host, Release], None], said: str
) -> None:
    harm(host, release)
    with pytest.raises(ValueError, match="release") as refused:
        load(host.layout, release.id)
    expected = said.format(code=release.code, venv=release.venv) if "{code}" in said or "{venv}" in said else said
    # What can't be read has no label to be told.
    title = release.id if "can't be read" in str(refused.value) else rf"{release.id} \(v1\.2\)"
    assert re.fullmatch(rf"release {title} ?{expected}", str(refused.value))


def test_a_release_of_an_older_version_can_be_read_back(host: Host, release: Release) -> None:
    facts = {"format": 1, "app": "shop", "release": release.id, "code": release.parts.code, "venv": release.parts.venv}
    write_manifest(json.dumps(facts))(host, release)
    Path(release.home, "label").unlink()
    found = load(host.layout, release.id)
    assert found.parts == release.parts
    assert found.options == Options()


# --- labels -------------------------------------------------------------------------------------------------------


def test_a_release_has_its_label(host: Host, release: Release) -> None:
    assert label_of(host.layout, release.id) == "v1.2"
    assert release.title == f"{release.id} (v1.2)"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"options": []}', '{"options": {}}'])
def test_what_has_no_label_has_none(host: Host, release: Release, text: str) -> None:
    Path(release.home, "release.json").write_text(text)
    assert label_of(host.layout, release.id) == ""


def test_what_is_not_there_has_no_label(host: Host) -> None:
    assert label_of(host.layout, "0123456789ab") == ""


# --- logs ---------------------------------------------------------------------------------------------------------


def test_a_release_says_where_its_output_goes(host: Host, release: Release) -> None:
    assert logs_to_of(host.layout, release.id) == "files"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"options": []}', '{"options": {}}'])
def test_where_nothing_is_said_output_goes_to_the_journal(host: Host, release: Release, text: str) -> None:
    Path(release.home, "release.json").write_text(text)
    assert logs_to_of(host.layout, release.id) == "journal"


def test_the_output_of_what_is_not_there_went_to_the_journal(host: Host) -> None:
    assert logs_to_of(host.layout, "0123456789ab") == "journal"


# --- unit templates -----------------------------------------------------------------------------------------------


def install(units: Iterable[_files.WantedFile]) -> None:
    for unit in units:
        _files.write(unit)


def test_the_units_of_a_release_are_kept_with_it(host: Host, release: Release) -> None:
    Path(release.home, "systemd", ".x1y2z3.wsgiops-new").write_text("cut")
    kept = kept_units(host.layout, release.id)
    assert {unit.path for unit in kept} == set(host.layout.unit_templates)
    assert {unit.path: unit for unit in kept} == {unit.path: unit for unit in release.units()}


def test_a_release_that_is_gone_has_kept_none(host: Host, release: Release) -> None:
    shutil.rmtree(Path(release.home, "systemd"))
    assert kept_units(host.layout, release.id) == kept_units(host.layout, "0123456789ab") == []


def test_units_that_stand_as_they_should_are_not_stale(host: Host, release: Release) -> None:
    assert release.stale_units() == [unit.path for unit in release.units()]
    install(release.units())
    assert release.stale_units() == []


def test_a_unit_that_differs_is_stale(host: Host, release: Release) -> None:
    install(release.units())
    Path(host.layout.retry_timer_template).write_text("changed by hand\n")
    os.unlink(host.layout.socket_template)
    assert sorted(release.stale_units()) == [host.layout.socket_template, host.layout.retry_timer_template]


def test_a_unit_that_is_not_wanted_is_stale(host: Host, release: Release) -> None:
    install(release.units())
    pair = host.release().units()
    retry = [host.layout.retry_service_template, host.layout.retry_timer_template]
    assert stale_units(host.layout, pair) == retry
    assert sorted(stale_units(host.layout, [])) == sorted(host.layout.unit_templates)
    for path in retry:
        os.unlink(path)
    os.symlink("nowhere", host.layout.retry_timer_template)
    assert stale_units(host.layout, pair) == [host.layout.retry_timer_template]


def test_units_of_others_are_nobodys_business(host: Host) -> None:
    Path(host.layout.service_template).with_name("shop-2@.service").write_text("")
    assert stale_units(host.layout, []) == []


# --- shared parts -------------------------------------------------------------------------------------------------


def test_parts_without_a_release_are_unused(host: Host, release: Release) -> None:
    os.makedirs(os.path.join(host.layout.venvs, "venv-2"))
    assert unused_parts(host.layout) == [("venv", os.path.join(host.layout.venvs, "venv-2"))]
    assert unused_parts(host.layout, venv="venv-2") == []
    assert unused_parts(host.layout, [release.id]) == [
        ("code", release.code),
        ("venv", release.venv),
        ("venv", os.path.join(host.layout.venvs, "venv-2")),
    ]
