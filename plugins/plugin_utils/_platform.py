# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The facts of a host by which roles decide, from two files: gathering them takes as long as all the rest of a run."""

from __future__ import annotations

import shlex

FACTS = ("distribution", "distribution_version", "distribution_major_version", "os_family", "service_mgr")

# os-release(5), and whether systemd runs the host (sd_booted(3)).
COMMAND = "cat /etc/os-release; [ ! -d /run/systemd/system ] || echo WSGIOPS_SYSTEMD=yes"

# Names that Ansible has for what os-release calls ID.
_DISTRIBUTIONS = {"debian": "Debian", "ubuntu": "Ubuntu"}


def facts(output: str) -> dict[str, str]:
    """Facts by name, from the output of ``COMMAND``.

    :raises ValueError: when that is no output of it.
    """
    told = dict(word.partition("=")[::2] for word in shlex.split(output, comments=True))
    try:
        name, version = told["ID"], told.get("VERSION_ID", "")
    except KeyError:
        raise ValueError("/etc/os-release does not say what the host is") from None
    is_debian = "debian" in {name, *told.get("ID_LIKE", "").split()}
    return {
        "distribution": _DISTRIBUTIONS.get(name, name),
        "distribution_version": version,
        "distribution_major_version": version.split(".", maxsplit=1)[0],
        "os_family": "Debian" if is_debian else name,
        # Where there is none, what else starts processes does not matter.
        "service_mgr": "systemd" if told.get("WSGIOPS_SYSTEMD") == "yes" else "service",
    }
