# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import dataclasses
import inspect
import os
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _services
from ansible_collections.wsgiops.flask.plugins.module_utils._options import Options
from ansible_collections.wsgiops.flask.plugins.module_utils._service import ServiceError
from ansible_collections.wsgiops.flask.plugins.module_utils._service_cron import Cron
from ansible_collections.wsgiops.flask.plugins.module_utils._service_systemd import Systemd
from ansible_collections.wsgiops.flask.plugins.module_utils._services import Services
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import FakeService, Host

UNKNOWN = "0123456789ab"


def methods(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_both_back_ends_and_the_one_for_tests_do_the_same() -> None:
    """The road calls what stands in Services; a method that only one back end had would fail on half of the hosts."""
    alone = {"of", "checker", "can_run", "start_time", "warnings"}
    assert methods(Services) - alone == methods(Cron) - {"checker"} == methods(Systemd) - {"checker"}
    assert methods(Services) - {"of", "warnings"} <= methods(FakeService)
    for name in methods(Cron) - {"checker"}:
        signatures = [inspect.signature(getattr(kind, name)) for kind in (Services, Cron, Systemd, FakeService)]
        assert len({tuple(signature.parameters) for signature in signatures}) == 1, name


def test_a_release_is_run_by_its_own(host: Host) -> None:
    old = host.release()
    host.deploy(old)
    new = host.release(code="code-2")
    new = dataclasses.replace(new, options=dataclasses.replace(new.options, service="cron"))
    assert isinstance(Services(host.layout).of(old.id), Systemd)
    assert isinstance(Services(host.layout, new).of(new.id), Cron)
    assert isinstance(Services(host.layout, new).of(old.id), Systemd)
    host.bring(new)
    new.write()
    assert isinstance(Services(host.layout).of(new.id), Cron)


def test_a_release_whose_files_are_gone_belongs_to_what_knows_of_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Systemd, "releases", lambda self: [])
    assert isinstance(Services(host.layout).of(UNKNOWN), Systemd)
    os.makedirs(host.layout.run, exist_ok=True)
    Path(host.layout.pid_file(UNKNOWN)).write_text("")
    assert isinstance(Services(host.layout).of(UNKNOWN), Cron)
    assert Services(host.layout).releases() == [UNKNOWN]


def test_without_systemd_there_is_cron_alone(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_services, "SYSTEMD_RUNS", str(tmp_path / "nowhere"))
    assert isinstance(Services(host.layout).of(UNKNOWN), Cron)
    assert Services(host.layout).releases() == []
    assert not Services(host.layout).withdraw()


def test_a_release_of_systemd_can_not_be_had_without_it(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = host.release(label="v1")
    host.deploy(old)
    assert Services(host.layout).can_run(old.id)
    monkeypatch.setattr(_services, "SYSTEMD_RUNS", str(tmp_path / "nowhere"))
    with pytest.raises(ServiceError, match=rf"^release {old.id} \(v1\) is for systemd, which does not run this host$"):
        Services(host.layout, old)
    assert not Services(host.layout).can_run(old.id)
    # Of one whose files are gone nobody knows.
    assert Services(host.layout).can_run(UNKNOWN)


def test_a_release_of_before_there_was_a_choice_is_systemds() -> None:
    assert Options().service == "systemd"
