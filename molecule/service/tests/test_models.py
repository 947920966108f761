"""The ways in which requests are handled: what runs, how many requests at a time, and what happens when it fails."""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hostlab import controller
from hostlab.fixtures import assert_none_failed

# Seconds after which gunicorn ends a worker that gives no sign of life.
TIMEOUT = 3
# Seconds that it may take longer: the main process looks once a second, and kills a second after it has asked.
LATER = 4
SYNC = {"worker_class": "sync", "workers": 2, "timeout": TIMEOUT}
GTHREAD = {"worker_class": "gthread", "workers": 2, "threads": 3, "worker_connections": 4, "timeout": TIMEOUT}
GEVENT = {"worker_class": "gevent", "workers": 2, "worker_connections": 3, "timeout": TIMEOUT}

# Keys, and requests that are handled at a time.
MODELS = {"sync": (SYNC, 2), "gthread": (GTHREAD, 6), "gevent": (GEVENT, 6)}
# Connections that its workers hold at a time; others wait in the socket.
HELD = {"sync": 2, "gthread": 8, "gevent": 6}

# Command, whether it ends the main process, and how many workers it cuts off from their requests.
DEATHS = {
    "kill -9 of a worker": ("kill -9 {worker}", False, 1),
    "kill -9 of the main process": ("kill -9 {main}", True, 2),
    "kill -9 of all processes": ("systemctl kill --signal=KILL {service}", True, 2),
    "SIGTERM to the main process": ("kill -TERM {main}", True, 0),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request, shop):
    """The application in service with each worker class; its name, keys, and requests at a time."""
    keys, at_a_time = MODELS[request.param]
    shop.have(**keys)
    return request.param, keys, at_a_time


# How many connections wait in a socket, each some hundredths of a second for about two seconds.
WATCH = "for _ in $(seq 60); do ss --no-header --listening --unix src $1; sleep 0.03; done"


def all_at_once(one, found, path, count):
    """Send requests at the same time; the seconds until all are answered, the answers, and how many waited at most."""
    with ThreadPoolExecutor(max_workers=count + 1) as pool:
        watched = pool.submit(one.run, "sh -c %s sh %s", WATCH, f"/run/shop/{found.release}.sock")
        start = time.monotonic()
        answers = list(pool.map(one.get, [path] * count))
        seconds = time.monotonic() - start
        waited = max(int(row.split()[2]) for row in watched.result().splitlines())
    assert {answer.status for answer in answers} == {200}
    return seconds, answers, waited


def test_a_model_handles_as_many_requests_at_a_time_as_it_is_told(model, shops, running):
    name, _keys, at_a_time = model
    pairs = list(zip(shops, running(), strict=True))
    seen = controller.on_each(pairs, lambda pair: all_at_once(*pair, "/together?seconds=1", 2 * at_a_time))
    for (seconds, answers, waited), (_one, found) in zip(seen, pairs, strict=True):
        # Two rounds; more where one worker has taken what another could have.
        assert 2 <= seconds < at_a_time + 2
        assert len(found.workers) == 2
        told = [answer.json() for answer in answers]
        assert {one["pid"] for one in told} == set(found.workers)
        # One of the two has got enough to do for all that it can, and neither does more.
        assert max(one["most"] for one in told) == at_a_time / 2
        assert waited == 2 * at_a_time - HELD[name]


def said_since_its_start(one, found):
    said = one.run("journalctl --quiet --output=cat _SYSTEMD_UNIT=%s", f"shop@{found.release}.service")
    return said[said.rindex(f"[{found.main}] [INFO] Starting gunicorn") :]


def test_a_model_starts_clean_and_listens_on_its_socket_alone(model, shops, running):
    for one, found in zip(shops, running(), strict=True):
        said = said_since_its_start(one, found)
        assert f"Using worker: {model[0]}" in said
        assert not re.search("ERROR|WARNING|Traceback|control", said, re.IGNORECASE), said
        rows = one.run("ss --no-header --listening --processes --tcp --udp --unix").splitlines()
        own = [row for row in rows if any(f"pid={pid}," in row for pid in (found.main, *found.workers))]
        # No port, and no control socket.
        assert [row.split()[4] for row in own] == [f"/run/shop/{found.release}.sock"]
        # Each worker has imported the application by itself.
        process = one.get("/process").json()
        assert process["imported_by"] == process["pid"] in found.workers


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_costs_no_request_that_comes_after_it(model, shops, streams, running, death):
    command, of_main, cut_off = DEATHS[death]
    before = running()

    def die(case):
        one, was = case
        gone = " ".join(map(str, [was.main, *was.workers] if of_main else was.workers[:1]))
        kill = command.format(main=was.main, worker=was.workers[0], service=f"shop@{was.release}.service")
        waits = f"{kill}; for p in {gone}; do while [ -e /proc/$p ]; do sleep 0.01; done; done"
        one.run("timeout 30 sh -c %s", waits)
        return time.monotonic()

    with streams("/process", rate=50) as quick:
        time.sleep(0.5)
        ends = controller.on_each(list(zip(shops, before, strict=True)), die)
        time.sleep(1)
    for stream, end, was, found in zip(quick, ends, before, running(), strict=True):
        after = [outcome for outcome in stream.outcomes if outcome.started > end]
        assert len(after) > 40
        assert all(outcome.ok for outcome in after), stream.explain()
        # What was in a worker that was killed; who is asked to end loses none.
        assert len(stream.failures) <= cut_off * model[2] / 2, stream.explain()
        assert len(found.workers) == len(was.workers)
        assert (found.main == was.main) != of_main
        assert not set(found.workers) & set(was.workers if of_main else was.workers[:1])


def test_a_worker_that_stands_still_is_replaced_while_others_serve(model, shops, streams, running):
    before = running()
    with streams("/process", rate=50) as quick:
        for one, was in zip(shops, before, strict=True):
            one.run("kill -STOP %s", str(was.workers[0]))
        time.sleep(TIMEOUT + LATER)
    for stream, was, found in zip(quick, before, running(), strict=True):
        # One request may have been in it; the others did not wait for it.
        assert len(stream.failures) <= 1, stream.explain()
        assert sum(outcome.ended - outcome.started > TIMEOUT / 2 for outcome in stream.outcomes) <= 1
        assert found.main == was.main
        assert was.workers[0] not in found.workers
        assert len(found.workers) == len(was.workers)


# What a busy loop of eight seconds comes to: gthread's main thread gets its turn, so its heart goes on to beat.
BUSY = {"sync": 500, "gthread": 200, "gevent": 502}


def test_a_request_that_never_yields_hits_nobody_else(model, shops, streams, running):
    name = model[0]
    before = running()
    with streams("/process", rate=25) as quick:
        start = time.monotonic()
        answers = controller.on_each(shops, lambda one: (one.get("/spin?seconds=8"), time.monotonic() - start))
    # A GET over a connection that was used before is asked once more when its worker dies (proxy_next_upstream), and
    # may take a second worker with it.
    attempts = 2 if name == "gevent" else 1
    replaced = range(1) if name == "gthread" else range(1, attempts + 1)

    def settled():
        """The main process has seen the end of those that it killed, and has started others."""
        pairs = list(zip(before, running(), strict=True))
        return all(
            len(found.workers) == len(was.workers) and len(set(was.workers) - set(found.workers)) in replaced
            for was, found in pairs
        )

    controller.wait_until(settled, 5, "workers are others")
    for stream, (answer, seconds) in zip(quick, answers, strict=True):
        assert answer.status == BUSY[name]
        at_most = 8 + LATER if name == "gthread" else attempts * (TIMEOUT + LATER)
        assert (8 if name == "gthread" else TIMEOUT - 1) <= seconds <= at_most
        # What the worker had in hand besides goes with it, where it had something.
        assert len(stream.failures) <= (attempts if name == "gevent" else 0), stream.explain()


def planned(run, one):
    """What the plan, or the road, says of the number of workers."""
    steps = run.result("Put the release in service", one.inventory_name)["steps"]
    return next(found[1] for step in steps if (found := re.search(r"start(?:ed)? \w+ \((workers: .*?)\)(,|$)", step)))


def test_automatic_workers_follow_the_hosts_cpus_and_the_limits(shop, shops, running):
    cpus = int(shops[0].run("nproc"))
    by_cpus = f"2 x {cpus} CPU{'' if cpus == 1 else 's'}"
    plan = shop.deploy("--check", workers="auto")
    shop.deploy(workers="auto")
    for one, found in zip(shops, running(), strict=True):
        assert planned(plan, one) == f"workers: {2 * cpus}, {by_cpus}"
        assert len(found.workers) == 2 * cpus
    plan = shop.deploy("--check", workers="auto", limits={"cpu": 0.5})
    for one in shops:
        assert planned(plan, one).startswith("workers: 2, 2 x 1 CPU")
    limited = shop.deploy(workers="auto", limits={"cpu": 0.5, "memory": "192M"})
    for one, found in zip(shops, running(), strict=True):
        assert planned(limited, one).startswith("workers: 1, limits.memory 192M holds 1 of 128 MiB; 2 x 1 CPU")
        assert len(found.workers) == 1


def test_preloaded_workers_share_the_import_and_are_replaced_after_their_requests(shop, shops, streams, running):
    shop.deploy(**SYNC, preload=True, max_requests=40)
    before = running()
    with streams("/process", rate=50) as quick:
        time.sleep(5)
    assert_none_failed(quick)
    for one, stream, was, found in zip(shops, quick, before, running(), strict=True):
        assert found.main == was.main
        served = [outcome.answer.json() for outcome in stream.outcomes]
        assert {each["imported_by"] for each in served} == {was.main}
        imports = one.run("journalctl --quiet --output=cat _PID=%s", str(was.main))
        assert imports.count("the application is imported") == 1
        counts = Counter(each["pid"] for each in served)
        # A tenth more at most, so that workers do not end together.
        assert max(counts.values()) <= 44
        assert len(counts) > len(served) // 44
