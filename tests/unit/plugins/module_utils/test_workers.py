# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.wsgiops.flask.plugins.filter.worker_ceiling import FilterModule, worker_ceiling
from ansible_collections.wsgiops.flask.plugins.module_utils._workers import auto_workers, ceiling, size_bytes

MIB = 1 << 20

# A process of its own: Ansible's loader of collections and the import of the collection by tests exclude each other.
RENDER = """
import json, sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([sys.argv[1]])
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
templar = Templar(loader=DataLoader(), variables={"memory": "512M"})
for expression in json.load(sys.stdin):
    try:
        print(json.dumps({"value": templar.template(trust_as_template(expression))}))
    except Exception as error:
        print(json.dumps({"error": f"{error} {error.__cause__}"}))
"""


@pytest.mark.parametrize(
    ("size", "number"),
    [("0", 0), ("33554432", 32 * MIB), ("64K", 65536), ("512M", 512 * MIB), ("2G", 2048 * MIB), ("1T", 1 << 40)],
)
def test_a_size_in_bytes(size: str, number: int) -> None:
    assert size_bytes(size) == number


@pytest.mark.parametrize("size", ["", "M", "1.5G", "-1", "512m", "512MB", "1 G", "512M\n", "\u0665M", "1P", "infinity"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match="is no size: accepted is a whole number, or one with K, M, G or T behind it"):
        size_bytes(size)


@pytest.mark.parametrize(
    ("memory", "cpus", "number"),
    [
        (0, 0, None),
        (0, 0.05, 2),
        (0, 1, 2),
        (0, 1.5, 4),
        (32 * MIB, 0, 1),
        (191 * MIB, 0, 1),
        (192 * MIB, 0, 1),
        (320 * MIB - 1, 0, 1),
        (320 * MIB, 0, 2),
        (512 * MIB, 0, 3),
        (512 * MIB, 1, 2),
        (512 * MIB, 8, 3),
    ],
)
def test_what_limits_allow_for(memory: int, cpus: float, number: int | None) -> None:
    assert ceiling(memory, cpus) == number


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((2, "", 0), (4, "2 x 2 CPUs")),
        ((1, "", 0), (2, "2 x 1 CPU")),
        ((8, "", 1.5), (4, "2 x 2 CPUs (limits.cpu 1.5)")),
        ((8, "", 0.05), (2, "2 x 1 CPU (limits.cpu 0.05)")),
        ((2, "", 1.5), (4, "2 x 2 CPUs")),
        ((2, "", 2), (4, "2 x 2 CPUs")),
        ((2, "", 16), (4, "2 x 2 CPUs")),
        ((2, "4G", 0), (4, "2 x 2 CPUs")),
        ((2, "512M", 0), (3, "limits.memory 512M holds 3 of 128 MiB; 2 x 2 CPUs would be 4")),
        ((4, "320M", 1.5), (2, "limits.memory 320M holds 2 of 128 MiB; 2 x 2 CPUs (limits.cpu 1.5) would be 4")),
        ((2, "32M", 0), (1, "limits.memory 32M holds 1 of 128 MiB; 2 x 2 CPUs would be 4")),
    ],
)
def test_how_many_workers_and_why(arguments: tuple[int, str, float], expected: tuple[int, str]) -> None:
    assert auto_workers(*arguments) == expected


@given(
    st.integers(1, 512), st.one_of(st.just(0), st.integers(32, 1 << 20)), st.one_of(st.just(0.0), st.floats(0.05, 512))
)
def test_the_plan_is_what_the_configuration_computes(host_cpus: int, mebibytes: int, cpus: float) -> None:
    most = ceiling(mebibytes * MIB, cpus)
    number = auto_workers(host_cpus, f"{mebibytes}M" if mebibytes else "", cpus)[0]
    assert number == (2 * host_cpus if most is None else min(2 * host_cpus, most))
    assert number >= 1


# --- the filter ---------------------------------------------------------------------------------------------------


def test_the_filter_takes_what_variables_hold() -> None:
    assert FilterModule().filters() == {"worker_ceiling": worker_ceiling}
    assert worker_ceiling("") is None
    assert worker_ceiling("", "0") is None
    assert worker_ceiling("512M", "1.5") == 3
    assert worker_ceiling(536870912) == 3
    assert worker_ceiling("", 1) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("much",), "worker_ceiling: 'much' is no size: accepted is a whole number"),
        (("512M", -1), "worker_ceiling: -1 is no number of CPUs"),
        (("512M", "inf"), "worker_ceiling: 'inf' is no number of CPUs"),
        (("512M", "two"), "worker_ceiling: could not convert string to float: 'two'"),
        (("512M", None), "worker_ceiling: "),
    ],
)
def test_the_filter_says_what_is_wrong(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        worker_ceiling(*arguments)
    assert str(refused.value).startswith(message)


def test_templates_use_the_filter(repository: Path) -> None:
    expressions = ["{{ memory | wsgiops.flask.worker_ceiling(1) }}", "{{ 'much' | wsgiops.flask.worker_ceiling }}"]
    done = subprocess.run(
        [sys.executable, "-c", RENDER, str(repository / ".collections")],
        input=json.dumps(expressions),
        capture_output=True,
        text=True,
        check=True,
    )
    value, error = (json.loads(line) for line in done.stdout.splitlines())
    assert value == {"value": 2}
    assert "worker_ceiling: 'much' is no size" in error["error"]
