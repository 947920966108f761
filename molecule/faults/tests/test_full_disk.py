"""A disk that is full, wherever on the road: what serves still does, the error says so, and nothing is left."""

from __future__ import annotations

import dataclasses

import pytest
from hostlab import controller

ROOT = "/srv/small"
SIZE = 256 * 1024  # KiB; a virtual environment of the reference application takes about 60 MiB

# Room that is left, in KiB, and what the deploy brings.
PLACES = {
    "staging": 1024,
    "virtual environment": 8 * 1024,
    "release": 0,
}


@pytest.fixture(scope="module")
def ledgers(shops):
    """Another application whose root is a small file system."""
    for one in shops:
        one.run(f"sh -c 'mkdir {ROOT} && mount -t tmpfs -o size={SIZE}k,mode=755 small {ROOT}'")
    yield [dataclasses.replace(one, name="ledger") for one in shops]
    gone = ("-e", "flask_remove=ledger", "-e", "flask_remove_data=true", "-e", f"flask_root={ROOT}")
    controller.playbook(*gone, name="playbooks/remove.yml")
    for one in shops:
        one.run(f"sh -c 'umount {ROOT} && rmdir {ROOT}'")


@pytest.fixture
def ledger(shop, ledgers):
    shop.app.update(name="ledger", domains=["ledger.example.com"], workers=1)
    yield shop
    for one in ledgers:
        one.run(f"rm -f {ROOT}/filler")


def fill(one, left):
    one.run(f"fallocate --length $(( $(df --output=avail {ROOT} | tail -n 1) - {left} ))K {ROOT}/filler")


def listing(one):
    return one.run(f"find {ROOT} -not -name history.jsonl -not -name filler")


@pytest.mark.parametrize("place", PLACES)
def test_a_full_disk_costs_nothing(ledger, ledgers, streams, place):
    run = ledger.site("-e", f"flask_root={ROOT}")
    assert set(run.failed.values()) == {0}
    before = [(one.get("/whoami").json()["release"], listing(one)) for one in ledgers]
    if place == "staging":
        (ledger.source / "large.bin").write_bytes(bytes(range(256)) * 4096 * 8)
    elif place == "virtual environment":
        ledger.add("# another lock", "requirements.txt")
    for one in ledgers:
        fill(one, PLACES[place])
    keys = {"env": {"LARGE": "x" * 100_000}} if place == "release" else {}
    run = ledger.deploy("-e", f"flask_root={ROOT}", check=False, **keys)
    for one, (release, files) in zip(ledgers, before, strict=True):
        assert "No space left on device" in run.error(one.inventory_name)
        assert one.get("/whoami").json()["release"] == release
        one.run(f"rm {ROOT}/filler")
        assert listing(one) == files
    assert set(ledger.deploy("-e", f"flask_root={ROOT}", **keys).failed.values()) == {0}
