# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an application may set of gunicorn's settings by itself (gunicorn/config.py of gunicorn 27.0.1).

Which settings there are is the installed gunicorn's to say, on the host.
"""

from __future__ import annotations

import keyword
import math
import re
import typing as t

NAME = re.compile(r"[a-z_][a-z0-9_]*")

_OWN_KEYS = {
    "wsgi_app": "wsgi",
    "paste": "wsgi",
    "workers": "workers",
    "worker_class": "worker_class",
    "threads": "threads",
    "worker_connections": "worker_connections",
    "timeout": "timeout",
    "graceful_timeout": "graceful_timeout",
    "max_requests": "max_requests",
    "preload_app": "preload",
    "accesslog": "logs.access",
    "access_log_format": "logs.access",
    "statsd_host": "metrics.statsd",
    "errorlog": "logs",
    "capture_output": "logs",
    "raw_env": "env",
    # gunicorn --check-config, and with it the check of a release, imports the application before it reads this one.
    "pythonpath": "env, variable PYTHONPATH",
}

_REASONS = {
    "systemd makes the socket and hands it to gunicorn": "bind backlog reuse_port",
    "systemd runs gunicorn in the foreground, as the application's user and in the directory of its code": (
        "daemon pid pidfile user group initgroups chdir"
    ),
    "the sandbox closes the directory that gunicorn's control socket would be in": (
        "control_socket control_socket_disable control_socket_mode"
    ),
    "a release does not change while it serves; a change of the code is a new release": (
        "reload reload_engine reload_extra_files"
    ),
    "nginx alone connects to the application, and sets the headers that it believes": (
        "forwarded_allow_ips forwarder_headers secure_scheme_headers"
    ),
    "nginx speaks plain HTTP to the application": "protocol proxy_protocol proxy_allow_ips uwsgi_allow_ips",
    "nginx is what clients connect to, and TLS is its to speak": (
        "ca_certs cert_reqs certfile ciphers do_handshake_on_connect keyfile ssl_context ssl_version "
        "suppress_ragged_eofs"
    ),
    "gunicorn would end and not serve": "check_config print_config",
    "gunicorn would log every line of code that it runs": "spew",
    "the file of settings is the collection's to name": "config",
}

# Settings that are refused, each with what to do or why.
RESERVED: t.Mapping[str, str] = {
    **{name: f"use the application's key {key}" for name, key in _OWN_KEYS.items()},
    **{name: reason for reason, names in _REASONS.items() for name in names.split()},
}


def settings_problems(settings: t.Mapping[t.Any, t.Any]) -> list[str]:
    """What is wrong with an application's gunicorn settings, each with a cure; an empty list when nothing is."""
    found = []
    for name, value in settings.items():
        if not _is_name(name):
            near = name.lower().replace("-", "_") if isinstance(name, str) else ""
            hint = f"; did you mean {near!r}?" if _is_name(near) else ""
            rule = "a setting's name as gunicorn has it, lower-case letters, digits and underscores"
            found.append(f"gunicorn_settings: {name!r} is not accepted: {rule}{hint}")
        elif name in RESERVED:
            found.append(f"gunicorn_settings: {name!r} is not accepted: {RESERVED[name]}")
        elif not (_is_literal(value) or (isinstance(value, list) and all(_is_literal(item) for item in value))):
            rule = "a string, a number, a boolean, or a list of these"
            found.append(f"gunicorn_settings.{name}: {value!r} is not accepted: {rule}")
    return found


def _is_name(name: t.Any) -> bool:
    """Whether it can stand on the left of an assignment in gunicorn's configuration, which is Python."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None and not keyword.iskeyword(name)


def _is_literal(value: t.Any) -> bool:
    """Whether Python has a literal for it; there is none for infinity."""
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))
