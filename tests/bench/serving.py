"""What a host serves: requests a second and latencies through nginx, beside the servers alone."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench import at_once
from bench.at_once import Share, Side
from bench.lab import DOMAIN, OURS, Lab, Samples, Scale, say
from bench.subjects import FIRST, Collection

TRIVIAL, WAITING = "trivial", "waits 0.1 s"
ROUTES = {TRIVIAL: "/health", WAITING: "/test"}
STATIC = "/static/style.css"

# Keys of the application by the name under which its rows stand.
SERVERS: Mapping[str, dict[str, Any]] = {
    "sync": {"worker_class": "sync"},
    "gthread": {"worker_class": "gthread", "threads": 25},
    "gevent": {"worker_class": "gevent"},
    "pywsgi": {"server": "gevent"},
}
# One worker leaves the other CPU to nginx and to the load, so that what is compared is what a worker answers. Where
# workers take all CPUs, what nginx needs is theirs: that is measured by the second number.
WORKERS = 1
ALL_CPUS = 4
BARE_PORT = 8000
DEVELOPMENT_PORT = 5000
FRONT = "nginx.service"
BARE_UNIT = "bench-bare.service"
MANY = 1000
# Of a load of one server, and of a load of two at once.
SECONDS, SECONDS_OF_MANY_OR_SLOW = 0.5, 1.0
# As long as a thousand connections that are made are a small part of it.
AT_ONCE, AT_ONCE_OF_MANY = 1.0, 4.0
# What clients that went away had asked for, a worker still answers: as many requests as there were connections.
PAUSE = 0.6
THROUGH_NGINX, BARE = "through nginx", "bare, on TCP"

# Server, route and connections of what has to be nearly as fast through nginx as bare.
OF_BOUNDS = [
    *itertools.product(("sync", "gthread", "gevent"), (TRIVIAL,), (10, 100, 1000)),
    ("gevent", WAITING, 1000),
]

# What clients that went away had asked of a slow route would take some servers minutes. It waits in the socket, which
# does not start while its service runs. Of a unit that is stopped, systemd forgets failures, and systemd-run's unit.
RESTART = """
socket={service}
socket=${{socket%.service}}.socket
systemctl reset-failed {service} {bare}
systemctl stop "$socket" {service}
systemctl start "$socket" {service}
systemctl restart {bare}
sleep 1
"""

# The summary of wrk as JSON; latencies in microseconds.
LUA = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"rate":%f,"p50":%d,"p99":%d,"failed":%d}\\n',
    summary.requests * 1e6 / summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""

# A worker's share of memory: what it has alone, and its part of what it shares (smaps_rollup in proc(5)).
MEMORY = """
main=$(systemctl show --property=MainPID --value "shop@$(basename "$(readlink /opt/shop/current)").service")
for worker in $(cat /proc/$main/task/$main/children); do sed -n 's/^Pss: *//p' /proc/$worker/smaps_rollup; done
"""


@dataclass(frozen=True)
class Load:
    """Requests of some time; latencies in microseconds."""

    rate: float
    p50: float
    p99: float
    failed: int


class Serving:
    """Rows of requests a second by server, route, connections and way to it."""

    def __init__(self, lab: Lab, scale: Scale) -> None:
        self._lab = lab
        self._scale = scale
        self.rows: list[dict[str, Any]] = []
        self.at_once: list[dict[str, Any]] = []
        self.memory: list[dict[str, Any]] = []
        self.host = lab.host(OURS)

    def prepare(self) -> None:
        self.deploy("sync")
        install = "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq -y install wrk"
        self._lab.run(self.host, f"{install}; printf '%s' \"$1\" >/root/report.lua", LUA)

    def of_servers(self) -> None:
        for name in self._scale.servers:
            say(f"serving by {name}")
            self._compare(name, name, ROUTES, self._scale.connections)
            if self._scale.others and name != "pywsgi":
                some = [number for number in self._scale.connections if number <= 100][-1:]
                self._compare(f"{name}, {ALL_CPUS} workers", name, {TRIVIAL: ROUTES[TRIVIAL]}, some, ALL_CPUS)

    def _compare(
        self, title: str, name: str, routes: Mapping[str, str], connections: Sequence[int], workers: int = WORKERS
    ) -> None:
        """A server through nginx, and where gunicorn can do that, bare."""
        self.deploy(name, workers)
        ways = {THROUGH_NGINX: Side("http://127.0.0.1{path}", self.service(), FRONT)}
        if name != "pywsgi":
            self._start_bare(SERVERS[name], workers)
            ways[BARE] = Side(f"http://127.0.0.1:{BARE_PORT}{{path}}", BARE_UNIT)
        for route, path in routes.items():
            sides = {way: replace(side, url=side.url.format(path=path)) for way, side in ways.items()}
            is_slow = route == WAITING and name in ("sync", "gthread")
            restart = self.service() if is_slow else ""
            self._measure(title, route, {way: side.url for way, side in sides.items()}, connections, restart)
            if BARE in sides:
                self._measure_at_once(title, route, sides, connections)
        self._stop_bare()

    def of_limits(self) -> None:
        """What there is above and below: files by nginx alone, and Flask's own server."""
        self.deploy("sync", static=[{"url": "/static/", "path": "reference/static"}])
        self._measure("nginx", "static file", {"nginx alone": f"http://127.0.0.1{STATIC}"})
        self._start(f"flask --app wsgi:app run --port {DEVELOPMENT_PORT}", "bench-development", DEVELOPMENT_PORT)
        url = f"http://127.0.0.1:{DEVELOPMENT_PORT}{ROUTES[TRIVIAL]}"
        few = [number for number in self._scale.connections if number <= 100]
        self._measure("Flask's development server", TRIVIAL, {BARE: url}, few)
        self._lab.run(self.host, "systemctl stop bench-development")

    def of_memory(self) -> None:
        for name in [name for name in ("sync", "gthread") if name in self._scale.servers]:
            for preload in (False, True):
                self.deploy(name, ALL_CPUS, preload=preload)
                self.load([f"http://127.0.0.1{ROUTES[TRIVIAL]}"], 10)
                kilobytes = [int(line.split()[0]) for line in self._lab.run(self.host, MEMORY).splitlines()]
                median = Samples([float(value) for value in kilobytes]).median
                self.memory.append({"server": name, "preload": preload, "worker_kib": median})
                say(f"    memory of a worker, {name}, preload {preload}: {median / 1024:.1f} MiB")

    def deploy(self, server: str, workers: int = WORKERS, **keys: Any) -> None:
        """Have the application served by one of SERVERS."""
        several = {} if server == "pywsgi" else {"workers": workers}
        Collection(self._lab, [self.host], **several, **SERVERS[server], **keys).act(FIRST)

    def service(self) -> str:
        """The unit of the current release."""
        return self._lab.run(self.host, 'echo "shop@$(basename "$(readlink /opt/shop/current)").service"').strip()

    def _start_bare(self, keys: Mapping[str, Any], workers: int) -> None:
        """gunicorn as its documentation starts it, with the same workers, without a sandbox, on TCP."""
        options = f"--workers {workers} --worker-class {keys['worker_class']} --bind 127.0.0.1:{BARE_PORT}"
        if "threads" in keys:
            options += f" --threads {keys['threads']}"
        self._start(f"gunicorn {options} --backlog 2048 wsgi:app", "bench-bare", BARE_PORT)

    def _start(self, command: str, unit: str, port: int) -> None:
        """Run a program of the application's environment as its user, and wait until it answers."""
        variables = f"FLASK_RELEASE=bare FLASK_DATABASE=/tmp/{unit}.sqlite3 FLASK_PROXY_HOPS=1 FLASK_WORKER_CLASS=sync"
        options = f"--collect --unit={unit} --uid=shop --property=LimitNOFILE=65536"
        where = "--property=WorkingDirectory=/opt/shop/current/code"
        ask = f"wrk -t1 -c1 -d1s -H 'Host: {DOMAIN}' -s /root/report.lua http://127.0.0.1:{port}{ROUTES[TRIVIAL]}"
        self._lab.run(
            self.host,
            f"systemd-run --quiet {options} {where} env {variables} /opt/shop/current/venv/bin/{command}\n"
            f"for _try in $(seq 30); do {ask} 2>/dev/null | grep -q '\"failed\":0}}' && exit; sleep 1; done; exit 1",
        )

    def _stop_bare(self) -> None:
        self._lab.run(self.host, "systemctl stop bench-bare 2>/dev/null || true")

    def _measure(
        self,
        server: str,
        route: str,
        ways: Mapping[str, str],
        connections: Sequence[int] | None = None,
        restart: str = "",
    ) -> None:
        """Each way in turn, for each number of connections.

        :param ways: URLs.
        :param restart: the service to be started anew behind each load, with the bare server.
        """
        if not self._scale.others:
            return
        for number in self._scale.connections if connections is None else connections:
            urls = [url for _round in range(self._scale.others) for url in ways.values()]
            seconds = SECONDS_OF_MANY_OR_SLOW if number >= MANY or route == WAITING else SECONDS
            found = self.load(urls, number, seconds, restart)
            for place, way in enumerate(ways):
                self._add(server, route, way, number, found[place :: len(ways)])

    def _measure_at_once(self, server: str, route: str, sides: Mapping[str, Side], connections: Sequence[int]) -> None:
        """Both ways under load at the same time, for those numbers of connections of which there is a bound.

        Anew in each round, as two processes of one program are not equally fast.
        """
        rounds: dict[int, list[tuple[Share, Share]]] = {
            number: [] for number in connections if (server, route, number) in OF_BOUNDS
        }
        through, bare = sides[THROUGH_NGINX], sides[BARE]
        units = f"{through.server} {bare.server}"
        for _round in range(self._scale.rounds if rounds else 0):
            self._lab.run(self.host, f"systemctl reset-failed {units}\nsystemctl restart {units}\nsleep 1")
            for place, (number, found) in enumerate(rounds.items()):
                # Behind a restart nobody has asked yet.
                time.sleep(PAUSE if place else 0)
                seconds = AT_ONCE_OF_MANY if number >= MANY else AT_ONCE
                one, other = at_once.load(self._lab, self.host, [through, bare], number, seconds)
                found.append((one, other))
        for number, found in rounds.items():
            ratios = [one.rate / other.rate for one, other in found]
            row = {
                "server": server,
                "route": route,
                "connections": number,
                "rounds": len(found),
                "through_nginx": Samples([one.rate for one, _other in found]).median,
                "bare": Samples([other.rate for _one, other in found]).median,
                "ratios": ratios,
                "ratio": Samples(ratios).median,
                "failed": sum(one.failed for one, _other in found),
            }
            self.at_once.append(row)
            say(f"    {server}, {route}, {number} connections, through nginx / bare at once: {row['ratio']:.3f}")

    def load(self, urls: Sequence[str], connections: int, seconds: float = 1.0, restart: str = "") -> list[Load]:
        """Requests for each, one after another, from the host itself on one of its CPUs."""
        # wrk itself takes whole seconds alone; interrupted, it tells what there was until then.
        wrk = f"timeout --signal=INT {seconds} wrk -t1 -c{connections} -d60s --timeout 10s"
        wrk += f" -H 'Host: {DOMAIN}' -s /root/report.lua"
        pause = f"sleep {PAUSE * connections / MANY + 0.15}"
        if restart:
            pause = RESTART.format(service=restart, bare=BARE_UNIT)
        script = f'for url; do\n{wrk} "$url" | tail -n 1\n{pause}\ndone'
        return [Load(**json.loads(line)) for line in self._lab.run(self.host, script, *urls).splitlines()]

    def _add(self, server: str, route: str, way: str, connections: int, loads: Sequence[Load]) -> None:
        row = {
            "server": server,
            "route": route,
            "way": way,
            "connections": connections,
            "rounds": len(loads),
            "rates": [load.rate for load in loads],
            "rate": Samples([load.rate for load in loads]).median,
            "p50_ms": Samples([load.p50 / 1000 for load in loads]).median,
            "p99_ms": Samples([load.p99 / 1000 for load in loads]).median,
            "failed": sum(load.failed for load in loads),
        }
        self.rows.append(row)
        say(
            f"    {server}, {route}, {way}, {connections} connections: {row['rate']:.0f}/s,"
            f" p50 {row['p50_ms']:.1f} ms, p99 {row['p99_ms']:.1f} ms, {row['failed']} failed"
        )
