"""Servers under load at the same time: a machine that changes its speed within seconds does so for all alike."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from bench.lab import DOMAIN, Lab

# The scheduler gives the servers, who share a CPU, the same time on it. So their requests a second are to each other as
# if each had a CPU of its own, whatever else the machine does. Arguments: the CPU of the servers, that of all else,
# connections, seconds, and for each side its URL and units.
SCRIPT = r"""
servers=$1 others=$2 connections=$3 seconds=$4
shift 4
processes() {
  main=$(systemctl show --property=MainPID --value "$1")
  echo "$main" $(cat "/proc/$main/task/$main/children")
}
cpu_time() {
  total=0
  for unit in $1; do
    for process in $(processes "$unit"); do
      for task in "/proc/$process/task/"*; do
        read -r nanoseconds _ <"$task/schedstat"
        total=$((total + nanoseconds))
      done
    done
  done
  echo "$total"
}
place() {
  for process in $(processes "$1"); do taskset --all-tasks --cpu-list --pid "$2" "$process" >/dev/null; done
}
sides=$(mktemp --directory)
number=0
while [ $# -gt 0 ]; do
  place "$2" "$servers"
  [ -z "$3" ] || place "$3" "$others"
  printf '%s' "$1" >"$sides/$number.url"
  printf '%s %s' "$2" "$3" >"$sides/$number.units"
  number=$((number + 1))
  shift 3
done
before=
for side in "$sides"/*.url; do
  before="$before $(cpu_time "$(cat "${side%.url}.units")")"
done
for side in "$sides"/*.url; do
  timeout --signal=INT "$seconds" taskset --cpu-list "$others" wrk -t1 -c"$connections" -d60s --timeout 10s \
    -H "Host: $HOST" -s /root/report.lua "$(cat "$side")" >"${side%.url}.out" &
done
wait
set -- $before
for side in "$sides"/*.url; do
  echo "$(($(cpu_time "$(cat "${side%.url}.units")") - $1)) $(tail -n 1 "${side%.url}.out")"
  shift
done
rm -r "$sides"
all=$(cat /sys/devices/system/cpu/online)
for unit in $UNITS; do place "$unit" "$all"; done
"""


@dataclass(frozen=True)
class Side:
    """One of those under load.

    :param server: the unit whose processes answer.
    :param front: the unit of nginx before it; empty where clients reach the server itself.
    """

    url: str
    server: str
    front: str = ""


@dataclass(frozen=True)
class Share:
    """What one side answered.

    :param cpu: microseconds of its server and front for one request.
    """

    rate: float
    cpu: float
    failed: int


def load(lab: Lab, host: str, sides: Sequence[Side], connections: int, seconds: float) -> list[Share]:
    """Requests for all sides at once, from the host itself, with as many connections to each.

    What clients that went away had asked for, the servers still answer then.

    :raises RuntimeError: when one of them answers nothing.
    """
    first, *_others = cpus = sorted(os.sched_getaffinity(0))
    units = " ".join(unit for side in sides for unit in (side.server, side.front) if unit)
    script = f"HOST={DOMAIN} UNITS='{units}'\n{SCRIPT}"
    words = [word for side in sides for word in (side.url, side.server, side.front)]
    output = lab.run(host, script, str(first), str(cpus[-1]), str(connections), str(seconds), *words)
    shares = []
    for side, line in zip(sides, output.splitlines(), strict=True):
        nanoseconds, summary = line.split(maxsplit=1)
        found = json.loads(summary)
        if found["rate"] <= 0:
            raise RuntimeError(f"{side.url} answers nothing on {host}")
        shares.append(Share(found["rate"], int(nanoseconds) / 1000 / (found["rate"] * seconds), found["failed"]))
    return shares
