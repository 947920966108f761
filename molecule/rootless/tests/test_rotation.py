"""Rotation by the lines of the user's crontab: no line of a request is lost, of the application's logs nor nginx's."""

from __future__ import annotations

import json
import time
from collections import Counter

from hostlab import controller
from hostlab.by_cron import as_cron_does

ROTATIONS = 4
SECONDS = 8
LOGS = {"to": "files", "access": "both", "rotate": {"keep": 3 * ROTATIONS, "size": "1K"}}
APPLICATIONS, NGINXS = "23 * * * *", "47 * * * *"


def lines(one, log) -> Counter[str]:
    """Request ids of all access lines, compressed ones among them."""
    text = one.run("sh -c %s", f"zcat --force {log}*")
    return Counter(json.loads(line)["request_id"] for line in text.splitlines())


def test_rotation_loses_no_line(shop, shops):
    shop.site(logs=LOGS)
    # Once it runs, and not as long as this: a day has gone since the last time.
    yesterday = "sed -i -E 's/ [0-9]+-[0-9]+-[0-9]+-[0-9]+:/ 2020-1-1-1:/' ~/apps/nginx/run/logrotate"

    def rotated(one):
        own, nginxs = f"{one.places.logs}/access.log", "/home/deploy/apps/nginx/log/shop.access.log"
        as_cron_does(one, NGINXS)
        before = lines(one, own), lines(one, nginxs)
        with one.traffic("/health", rate=50, seconds=60) as stream:
            for _number in range(ROTATIONS):
                time.sleep(SECONDS / ROTATIONS)
                one.run("sh -c %s", yesterday)
                as_cron_does(one, APPLICATIONS)
                as_cron_does(one, NGINXS)
            time.sleep(1)
        assert stream.failures == [], stream.explain()
        asked = {outcome.answer.headers["X-Request-ID"] for outcome in stream.outcomes}
        for log, old in zip((own, nginxs), before, strict=True):
            found = lines(one, log) - old
            assert set(found.values()) == {1}
            assert set(found) == asked, log
            files = one.run("sh -c %s", f"ls {log}*").split()
            assert len(files) == ROTATIONS + 1, files
            assert any(name.endswith(".gz") for name in files)
        assert one.run("sh -c %s", f"stat --format '%a' {one.places.logs}/*.log | sort -u") == "640"

    controller.on_each(shops, rotated)
