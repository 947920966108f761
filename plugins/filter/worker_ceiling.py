# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import math
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.wsgiops.flask.plugins.module_utils._workers import ceiling, size_bytes

DOCUMENTATION = r"""
name: worker_ceiling
version_added: 0.1.0
short_description: Most workers that the limits of a service allow for
description:
  - Tells how many workers an application gets at most where it leaves their number to the host. How many CPUs there are
    is only known there.
positional: _input, cpu
options:
  _input:
    description: Memory that the service may use, such as C(512M); empty for no limit.
    type: str
    required: true
  cpu:
    description: CPUs that the service may use; 0 for no limit.
    type: float
    default: 0
author:
  - The wsgiops contributors (@wsgiops)
"""

EXAMPLES = r"""
- name: Show what 512 MiB hold
  ansible.builtin.debug:
    msg: "{{ '512M' | wsgiops.flask.worker_ceiling(1.5) }}"
"""

RETURN = r"""
_value:
  description: Number of workers, at least 1; none without limits.
  type: int
"""


def worker_ceiling(memory: t.Any, cpu: t.Any = 0) -> int | None:
    """Return the most workers that the limits allow for, None without limits.

    :raises AnsibleFilterError: when ``memory`` is no size or ``cpu`` no number of CPUs.
    """
    try:
        cpus = float(cpu)
        if not (math.isfinite(cpus) and cpus >= 0):
            raise ValueError(f"{cpu!r} is no number of CPUs")
        return ceiling(size_bytes(str(memory)) if memory else 0, cpus)
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"worker_ceiling: {error}") from error


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"worker_ceiling": worker_ceiling}
