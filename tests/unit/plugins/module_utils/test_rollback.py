# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import shutil

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _history
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import Release, load
from ansible_collections.wsgiops.flask.plugins.module_utils._road import rollback_target
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Host


@pytest.fixture
def releases(host: Host) -> list[Release]:
    """Three that served one after the other; the last one does."""
    found = [host.release(code=f"code-{number}", label=f"v{number}") for number in (1, 2, 3)]
    for release in found:
        host.deploy(release)
    return found


def test_the_release_before_is_the_one_to_go_back_to(host: Host, releases: list[Release]) -> None:
    assert rollback_target(host.layout, "") == releases[1].id


def test_a_release_can_be_named_by_its_id_or_its_label(host: Host, releases: list[Release]) -> None:
    assert rollback_target(host.layout, releases[0].id) == releases[0].id
    assert rollback_target(host.layout, "v1") == releases[0].id


def test_of_two_with_one_label_the_one_that_served_last_is_meant(host: Host) -> None:
    one, two, three = (host.release(code=code, label=code[:4]) for code in ("same-1", "same-2", "other"))
    for order in ((one, two, three), (two, one, three)):
        for release in order:
            host.deploy(release)
        assert rollback_target(host.layout, "same") == order[1].id


def test_what_was_taken_back_is_passed_over(host: Host, releases: list[Release]) -> None:
    _history.record(host.layout.history, _history.TAKEN_BACK, releases[1].id, releases[0].id)
    assert rollback_target(host.layout, "") == releases[0].id
    assert rollback_target(host.layout, releases[1].id) == releases[1].id, "who names it, means it"


def test_what_is_gone_is_passed_over(host: Host, releases: list[Release]) -> None:
    shutil.rmtree(releases[1].home)
    assert rollback_target(host.layout, "") == releases[0].id


def test_without_an_earlier_release_there_is_nothing_to_go_back_to(host: Host) -> None:
    said = "there is no earlier release on this host to go back to"
    with pytest.raises(ValueError, match=said):
        rollback_target(host.layout, "")
    host.deploy(host.release())
    with pytest.raises(ValueError, match=said):
        rollback_target(host.layout, "")


def test_an_unknown_name_is_answered_with_those_that_are_there(host: Host, releases: list[Release]) -> None:
    with pytest.raises(ValueError, match=r"^release: 'v9' is not on this host; there are ") as refused:
        rollback_target(host.layout, "v9")
    for release in releases:
        assert f"{release.id} ({release.options.label})" in str(refused.value)


def test_on_a_virgin_host_there_are_none(host: Host) -> None:
    with pytest.raises(ValueError, match=r"^release: 'v9' is not on this host; there are none$"):
        rollback_target(host.layout, "v9")


def test_a_rollback_brings_back_all_of_a_release(host: Host) -> None:
    old = host.release(
        text="workers = 3\n",
        units="[Service]\nA=1\n",
        retry=True,
        environment={"A": "1"},
        secrets={"B": "1"},
        label="v1",
    )
    new = host.release(code="code-2", units="[Service]\nA=2\n", environment={"A": "2"}, secrets={"B": "2"})
    host.deploy(old)
    host.deploy(new)
    host.travel(load(host.layout, rollback_target(host.layout, "")))
    assert host.service.running() == [old.id]
    assert host.service.unit(old.id).templates == old.parts.units
    assert set(old.parts.units.values()) == {"[Service]\nA=1\n"}
    assert old.stale_content() == old.stale_notes() == old.stale_units() == []
