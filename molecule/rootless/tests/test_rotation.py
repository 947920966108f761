"""Rotation by the user's own logrotate: no line of a request is lost."""

from __future__ import annotations

import json
import time
from collections import Counter

ROTATIONS = 6
SECONDS = 8
LOGS = {"to": "files", "access": "gunicorn", "rotate": {"keep": 3 * ROTATIONS, "size": "1K"}}


def lines(one) -> Counter[str]:
    """Request ids of all access lines, compressed ones among them."""
    text = one.run("sh -c %s", f"zcat --force {one.places.logs}/access.log*")
    return Counter(json.loads(line)["request_id"] for line in text.splitlines())


def test_rotation_loses_no_line(served, shops):
    served.site("--tags", "deploy,logrotate", logs=LOGS)
    for one in shops:
        before = lines(one)
        by_force = f"logrotate --force --state {one.places.logs}/.rotation {one.places.home}/logrotate.conf"
        with one.traffic("/health", rate=100, seconds=60) as stream:
            for number in range(ROTATIONS):
                time.sleep(SECONDS / ROTATIONS)
                # As cron does it, by the size; and more often than it may.
                one.run(f"{one.manager.control} rotate" if number % 2 else f"PATH=$PATH:/usr/sbin {by_force}")
            time.sleep(1)
        assert stream.failures == [], stream.explain()
        asked = {outcome.answer.headers["X-Request-ID"] for outcome in stream.outcomes}
        found = lines(one) - before
        assert set(found.values()) == {1}
        assert set(found) == asked
        files = one.run("sh -c %s", f"ls {one.places.logs}/access.log*").split()
        assert len(files) == ROTATIONS + 1
        assert any(name.endswith(".gz") for name in files)
        assert one.run("sh -c %s", f"stat --format '%a' {one.places.logs}/*.log | sort -u") == "640"
