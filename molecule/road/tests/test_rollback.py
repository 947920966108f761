"""Going back: to all of an earlier release, by the same road."""

from __future__ import annotations

import json
import time

import pytest
from hostlab import controller, soak
from hostlab.fixtures import assert_none_failed

LOCK = "requirements.txt"


def state(one):
    """What a rollback has to bring back."""
    facts = one.get("/whoami").json()
    environment = one.run("cat /proc/%s/environ", str(one.master)).split("\0")
    return {
        "release": facts["release"],
        "class": facts["worker_class"],
        "colour": next((line for line in environment if line.startswith("COLOUR=")), None),
        "venv": one.run("readlink %s", f"{one.places.home}/current/venv"),
        "code": one.run("readlink %s", f"{one.places.home}/current/code"),
        "workers": len(one.workers),
        "service": one.manager.definition(one.release),
    }


def test_a_rollback_brings_back_code_dependencies_configuration_and_environment(shop, shops, streams):
    shop.deploy(env={"COLOUR": "green"}, workers=3)
    before = [state(one) for one in shops]
    shop.change()
    shop.add("# another lock", LOCK)
    shop.deploy(env={"COLOUR": "blue"}, worker_class="gthread", workers=2, graceful_timeout=20)
    changed = [state(one) for one in shops]
    for old, new in zip(before, changed, strict=True):
        assert all(old[key] != new[key] for key in old)
    with streams(rate=100) as quick, streams("/slow?seconds=5", rate=0.3) as slow:
        time.sleep(0.5)
        run = shop.rollback()
        time.sleep(0.5)
    assert_none_failed(quick + slow)
    assert set(run.changed.values()) == {1}
    assert [state(one) for one in shops] == before
    for stream, old, new in zip(quick, before, changed, strict=True):
        assert stream.mixed([new["release"], old["release"]]) == []
    # And the deploy of what is in the inventory brings the newer one again.
    shop.deploy(env={"COLOUR": "blue"}, worker_class="gthread", workers=2, graceful_timeout=20)
    assert [state(one) for one in shops] == changed


def test_a_rollback_goes_to_a_release_by_id_or_label(shop, shops):
    for label in ("one", "two", "three"):
        shop.change()
        shop.deploy(release_label=label)
    shop.rollback("-e", "release=one")
    for one in shops:
        assert one.get("/whoami").json()["release_label"] == "one"
    # Hosts of two Debians have two interpreters, and so two releases, of the same name.
    for one in shops:
        two = next(entry["release"] for entry in one.history() if entry.get("label") == "two")
        shop.rollback("--limit", one.inventory_name, "-e", f"release={two}")
        assert one.release == two
    # The source need not be there, nor be right: all of a release is on the host.
    run = shop.rollback(source="/no/such/source")
    assert set(run.failed.values()) == {0}
    for one in shops:
        assert one.get("/whoami").json()["release_label"] == "one"


def test_a_check_of_a_rollback_is_a_plan(shop, shops):
    shop.change()
    shop.deploy()
    before = [(one.release, one.master, one.history()) for one in shops]
    run = shop.rollback("--check")
    for one in shops:
        steps = run.result("Put the earlier release in service", one.inventory_name)["steps"]
        assert [step for step in steps if step.startswith("start ") and step.endswith(f"switch from {one.release}")]
    assert [(one.release, one.master, one.history()) for one in shops] == before


@pytest.mark.parametrize("tags", [["--tags", "rollback"], ["--skip-tags", "always"]], ids=" ".join)
def test_a_rollback_by_its_tag_or_without_its_first_play_is_confirmed_too(shop, shops, tags):
    shop.deploy()
    before = [one.release for one in shops]
    shop.change()
    shop.deploy()
    shop.rollback(*tags, confirm=30)
    assert [one.release for one in shops] == before
    for one in shops:
        assert one.history()[-1]["event"] == "confirmed"


def test_a_rollback_validates_a_variable_of_the_role_that_somebody_has_set(shop, shops):
    shop.change()
    shop.deploy()
    before = [(one.release, one.master, one.history()) for one in shops]
    run = shop.rollback("-e", "gunicorn_keep_releases=many", check=False)
    for one in shops:
        assert "gunicorn_keep_releases" in run.output
        assert run.failed[one.inventory_name] == 1
    assert [(one.release, one.master, one.history()) for one in shops] == before


def test_a_rollback_to_what_is_not_there_says_what_there_is(shop, shops):
    run = shop.rollback("-e", "release=v0", check=False)
    for one in shops:
        error = run.error(one.inventory_name)
        assert error.startswith("shop: release: 'v0' is not on this host; there are ")
        assert error.endswith(f"release {one.release} still serves")
        assert all(release in error for release in one.run("ls /opt/shop/releases").split())


DAMAGES = [
    ("echo '# by hand' >> {home}/gunicorn.conf.py", "was changed on the host"),
    ("chmod o+w {home}/code/wsgi.py", "is gone or was changed"),
    ("rm {home}/venv/bin/gunicorn", "virtual environment"),
]


def test_a_rollback_to_a_release_that_was_changed_is_refused(shop, shops, streams):
    shop.change()
    shop.deploy(release_label="broken")
    broken = [one.release for one in shops]
    shop.change()
    shop.add("# another lock", LOCK)
    shop.deploy()
    good = [one.release for one in shops]
    for damage, words in DAMAGES:
        for one, release in zip(shops, broken, strict=True):
            harm = damage.format(home=f"/opt/shop/releases/{release}")
            one.run("sh -c %s", f"cp -a /opt/shop /root/kept && {harm}")
        with streams() as quick:
            run = shop.rollback("-e", "release=broken", check=False)
        assert_none_failed(quick)
        for one, release in zip(shops, good, strict=True):
            error = run.error(one.inventory_name)
            assert words in error
            assert f"release {release} still serves" in error
            one.run("sh -c %s", "cp -a /root/kept/. /opt/shop/ && rm -rf /root/kept")
    assert [one.release for one in shops] == good


@soak.only
def test_a_rollback_to_a_release_that_is_not_ready_any_more_is_refused(shop, shops, streams):
    for one in shops:
        one.run("install --directory --owner shop /var/lib/shop/away")
    shop.deploy(env={"FLASK_DATABASE": "/var/lib/shop/away/x.sqlite3"}, health={"timeout": 8})
    shop.deploy()
    good = [one.release for one in shops]
    for one in shops:
        one.run("rm -r /var/lib/shop/away")
    with streams() as quick:
        run = shop.rollback(check=False)
    assert_none_failed(quick)
    for one, release in zip(shops, good, strict=True):
        error = run.error(one.inventory_name)
        assert "failed in phase ready" in error
        assert "GET /ready was answered with status 503 where 200 means ready" in error
        assert "cannot be opened" in error
        assert f"release {release} still serves" in error
    assert [one.release for one in shops] == good


def test_one_of_several_applications_has_to_be_named(shop):
    other = {**shop.app, "name": "desk", "domains": ["desk.example.com"]}
    arguments = shop.arguments({})
    both = shop.directory / "both.json"
    both.write_text(json.dumps({"flask_apps": [shop.app, other]}))
    run = controller.playbook(*arguments, "-e", f"@{both}", name="playbooks/rollback.yml", check=False)
    assert "flask_only has to name the application to roll back, as in -e flask_only=shop" in run.output
    assert set(run.changed.values()) == {0}
