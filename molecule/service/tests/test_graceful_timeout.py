"""graceful_timeout: until when a stop, and the road, wait for requests in flight, and that nothing cuts them sooner."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from hostlab import controller

GRACEFUL = 4
# Seconds that a machine with much to do may take longer. systemd would kill after 5.
LATER = 4
KEYS = {"worker_class": "gthread", "workers": 2, "threads": 20, "graceful_timeout": GRACEFUL}
# For POST: what is cut of a GET, nginx may ask the new release for.
ENDLESS = "/slow?seconds=15"


def test_a_restart_cuts_what_takes_longer(shop, shops):
    run = shop.deploy(**KEYS)
    assert "graceful_timeout: 4 s is less than the 30 s that a request may take" in " ".join(run.output.split())

    def restart(one):
        with ThreadPoolExecutor(max_workers=2) as pool:
            short, endless = pool.submit(one.get, "/slow?seconds=3"), pool.submit(one.get, ENDLESS, "POST")
            time.sleep(1)
            start = time.monotonic()
            stopping = pool.submit(one.run, "systemctl restart %s", one.service)
            status = endless.result().status
            seconds = time.monotonic() - start
            stopping.result()
            return short.result().status, status, seconds

    for finished, cut, seconds in controller.on_each(shops, restart):
        assert finished == 200
        assert cut == 502
        assert GRACEFUL - 1 <= seconds <= GRACEFUL + LATER


def test_a_release_waits_as_long_before_it_stops_the_old_one(shop, shops, streams):
    shop.have(**KEYS)
    old = [one.release for one in shops]
    with streams(rate=10) as quick, streams(ENDLESS, rate=1, method="POST") as endless:
        shop.deploy(**KEYS, env={"COLOUR": "green"})
        # What the new release has got is not waited for here.
        controller.on_each(shops, lambda one: one.run("systemctl kill --signal=KILL %s", one.service))
    for was, answers, slow in zip(old, quick, endless, strict=True):
        new = [outcome for outcome in answers.outcomes if outcome.ok and outcome.answer.json()["release"] != was]
        switch = min(outcome.started for outcome in new)
        cut = [outcome for outcome in slow.failures if outcome.started < switch - 0.5]
        assert cut
        for outcome in cut:
            assert 2 * GRACEFUL - 1 <= outcome.ended - switch <= 2 * GRACEFUL + LATER, str(outcome)
