# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many workers `auto` is: what the CPUs that the service may use can do, as long as its memory holds them."""

from __future__ import annotations

import math
import re
import typing as t

# gunicorn's documentation recommends 2 x CPUs + 1 for a start; two leave none idle while one waits.
WORKERS_PER_CPU = 2

# What limits.memory has to hold. The small reference application, gunicorn 27.0.1 and Python 3.11, four workers after
# 1000 requests, /proc/PID/smaps_rollup: the main process took 23 MiB (sync) to 29 MiB (gevent) of RSS and 12 to 18 MiB
# of PSS, each worker 31 to 36 MiB of RSS and 19 to 24 MiB of PSS. A real application's workers are some times larger,
# and with preload the main process holds all that it imports.
MAIN_BYTES = 64 << 20
WORKER_BYTES = 128 << 20

_ACCEPTED = "accepted is a whole number, or one with K, M, G or T behind it"
_SIZE = re.compile("([0-9]{1,18})([KMGT]?)")


def size_bytes(size: str) -> int:
    """Bytes of a size as systemd reads it: a whole number, or one with K, M, G or T (powers of 1024) behind it.

    :raises ValueError: when it is none.
    """
    match = _SIZE.fullmatch(size)
    if not match:
        raise ValueError("{0!r} is no size: {1}".format(size, _ACCEPTED))
    return int(match.group(1)) << 10 * " KMGT".index(match.group(2) or " ")


def ceiling(memory_bytes: int, cpus: float) -> t.Optional[int]:
    """Most workers that the limits of a service allow for; ``None`` without limits.

    :param memory_bytes: limits.memory, 0 for none.
    :param cpus: limits.cpu, 0 for none.
    """
    allowed = []
    if memory_bytes:
        allowed.append(_held(memory_bytes))
    if cpus:
        allowed.append(WORKERS_PER_CPU * math.ceil(cpus))
    return min(allowed) if allowed else None


def auto_workers(host_cpus: int, memory: str, cpus: float) -> t.Tuple[int, str]:
    """Number of workers on a host, and why it is this one.

    :param host_cpus: CPUs that a process of the host may use.
    :param memory: limits.memory, empty for none.
    :param cpus: limits.cpu, 0 for none.
    :raises ValueError: when ``memory`` is no size.
    """
    usable = host_cpus
    limit = ""
    if cpus and math.ceil(cpus) < host_cpus:
        usable = math.ceil(cpus)
        limit = " (limits.cpu {0:g})".format(cpus)
    wanted = WORKERS_PER_CPU * usable
    reason = "{0} x {1} CPU{2}{3}".format(WORKERS_PER_CPU, usable, "" if usable == 1 else "s", limit)
    held = _held(size_bytes(memory)) if memory else wanted
    if held < wanted:
        each = "{0} MiB".format(WORKER_BYTES >> 20)
        return held, "limits.memory {0} holds {1} of {2}; {3} would be {4}".format(memory, held, each, reason, wanted)
    return wanted, reason


def _held(memory_bytes: int) -> int:
    return max((memory_bytes - MAIN_BYTES) // WORKER_BYTES, 1)
