# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validation of what may stand on the command line: variables of playbooks, and those of nginx for all sites."""

from __future__ import annotations

import re
import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.wsgiops.flask.plugins.plugin_utils._values import BOOLEANS

# Ports below are root's; nginx would take 0 seconds for none at all.
NUMBERS: t.Mapping[str, tuple[int, int]] = {
    "nginx_port": (1024, 65535),
    "nginx_client_timeout": (1, 3600),
    "nginx_read_timeout": (1, 86400),
    "nginx_retry_after": (1, 86400),
    "nginx_worker_connections": (0, 32768),
}
SWITCHES = ("nginx_catch_all", "nginx_hardening", "nginx_ipv6", "nginx_probe")

_VERSION = re.compile(r"[0-9]+(\.[0-9]+){1,2}")
# Numbers alone: nginx would ask for a name when it starts, which may be before there is anybody to ask.
_ADDRESS = re.compile(r"(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]+\]):[1-9][0-9]{0,4})?")
# It stands in units, in crontabs and in nginx's files, each of which gives a meaning to other characters.
_ROOT = re.compile(r"(/[A-Za-z0-9_+@-][A-Za-z0-9._+@-]*)+")

# Form and rule of options that are texts.
_TEXTS: t.Mapping[str, tuple[re.Pattern[str], str]] = {
    "nginx_version": (_VERSION, "a version of nginx, such as 1.26."),
    "nginx_status_address": (
        _ADDRESS,
        "an address and a port, such as 127.0.0.1:8081 or [::1]:8081, or nothing.",
    ),
    "flask_root": (
        _ROOT,
        "an absolute path without a slash at its end, of letters, digits and . _ + @ -, such as /srv/apps.",
    ),
}


class Options:
    """What somebody has set of them.

    :param variables: of the host.
    :param template: gives the value of one of them.
    """

    def __init__(self, variables: t.Mapping[str, t.Any], template: t.Callable[[t.Any], t.Any]) -> None:
        self._variables = variables
        self._template = template

    def value(self, name: str, default: t.Any = "") -> t.Any:
        return self._template(self._variables[name]) if name in self._variables else default

    @property
    def only(self) -> list[str]:
        """Names of the applications that the run is for; none for all of them."""
        return [name for word in str(self.value("flask_only")).split(",") if (name := word.strip())]

    @property
    def nginx_mode(self) -> str:
        """Which nginx it is: system, or file and user without root."""
        return str(self.value("nginx_mode", self._modes[0]))

    @property
    def _modes(self) -> tuple[str, ...]:
        return ("system",) if boolean(self.value("flask_become", True), strict=False) else ("file", "user")

    def problems(self, names: t.Sequence[str]) -> list[str]:
        """Everything that is wrong with them, a sentence each; an empty list when nothing is.

        :param names: of the applications that are to be there.
        """
        found = []
        unknown = [name for name in self.only if name not in names]
        if unknown:
            there = ", ".join(names)
            found.append(f"flask_only: {', '.join(unknown)} is no application of flask_apps; there are {there}.")
        wait = str(self.value("flask_lock_wait", 0))
        if not _is_number(wait):
            found.append(f"flask_lock_wait: {wait} is not accepted: whole seconds.")
        if self.nginx_mode not in self._modes:
            found.append(f"nginx_mode: {self.nginx_mode!r} is not accepted: {self._rule_of_mode()}.")
        for name, (lowest, highest) in NUMBERS.items():
            value = str(self.value(name, lowest))
            if not (_is_number(value) and lowest <= int(value) <= highest):
                found.append(f"{name}: '{value}' is not accepted: a number from {lowest} to {highest}.")
        for name in SWITCHES:
            value = str(self.value(name, True))
            if value.lower() not in BOOLEANS:
                found.append(f"{name}: '{value}' is not accepted: true or false.")
        for name, (form, rule) in _TEXTS.items():
            if name in self._variables and not form.fullmatch(value := str(self.value(name))):
                found.append(f"{name}: '{value}' is not accepted: {rule}")
        return found

    def _rule_of_mode(self) -> str:
        if self._modes == ("system",):
            return "with root it is system, the nginx of the host; file and user are for flask_become: false"
        return (
            "without root (flask_become: false) it is file, for the administrator of nginx on the host, or user, for "
            "one of your own"
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
