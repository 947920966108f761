# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import subprocess

import pytest

from ansible_collections.wsgiops.flask.plugins.plugin_utils import _platform

BOOKWORM = """PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
# ID=other
ID=debian
"""


def test_a_host_says_what_it_is() -> None:
    assert _platform.facts(BOOKWORM + "WSGIOPS_SYSTEMD=yes\n") == {
        "distribution": "Debian",
        "distribution_version": "12",
        "distribution_major_version": "12",
        "os_family": "Debian",
        "service_mgr": "systemd",
    }


@pytest.mark.parametrize(("told", "name", "family", "version"), [
    ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID='24.04'\n", "Ubuntu", "Debian", "24"),
    ("ID=mine\nID_LIKE='ubuntu debian'\n", "mine", "Debian", ""),
    ("ID=alpine\nVERSION_ID=3.20.1\n", "alpine", "alpine", "3"),
])  # fmt: skip
def test_relatives_of_debian_are_known(told: str, name: str, family: str, version: str) -> None:
    found = _platform.facts(told)
    assert (found["distribution"], found["os_family"], found["distribution_major_version"]) == (name, family, version)
    assert found["service_mgr"] == "service"


@pytest.mark.parametrize("told", ["", "cat: /etc/os-release: No such file or directory\n", "ID='debian\n"])
def test_what_is_no_answer_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match=r"/etc/os-release does not say|No closing quotation"):
        _platform.facts(told)


def test_all_facts_are_read_by_one_command() -> None:
    told = subprocess.run(["sh", "-c", _platform.COMMAND], capture_output=True, text=True, check=True).stdout
    assert set(_platform.facts(told)) == set(_platform.FACTS)
