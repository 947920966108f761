"""Settings: defaults that are right for production, then the environment, then a check of what is there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from flask import Config, Flask

MAX_PROXY_HOPS = 10  # ours: longer chains are typing errors

DEFAULTS = {
    "RELEASE": "development",
    "RELEASE_LABEL": None,
    "WORKER_CLASS": "development",
    "DATABASE": None,
    "PROXY_HOPS": 0,
    "SESSION_COOKIE_NAME": None,
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
}

# from_prefixed_env() reads each value as JSON if it can: the release 12345678 would become a number, 12e45678 infinity.
TEXT = ("RELEASE", "RELEASE_LABEL", "WORKER_CLASS", "DATABASE", "SECRET_KEY")


def load(app: Flask, overrides: Mapping[str, object]) -> None:
    """Fill `app.config`. Raises ValueError if a value is not acceptable."""
    config = app.config
    config.from_mapping(DEFAULTS)
    config.from_prefixed_env()
    config.update({key: os.environ[f"FLASK_{key}"] for key in TEXT if f"FLASK_{key}" in os.environ})
    config.update(overrides)

    for key in ("RELEASE", "WORKER_CLASS"):
        config[key] = config[key] or DEFAULTS[key]
    config["RELEASE_LABEL"] = config["RELEASE_LABEL"] or None
    for key in ("SESSION_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY"):
        config[key] = flag(key, config[key])
    config["PROXY_HOPS"] = proxy_hops(config["PROXY_HOPS"])
    config["TRUSTED_HOSTS"] = trusted_hosts(config["TRUSTED_HOSTS"])
    config["SESSION_COOKIE_NAME"] = config["SESSION_COOKIE_NAME"] or session_cookie_name(config)


def flag(key: str, value: object) -> bool:
    """Return `value` as a boolean. Raises ValueError for what is neither true nor false.

    "False", as Python and Ansible write it, is not JSON: it arrives as a text, and every text counts as true.
    """
    words = {"true": True, "1": True, "false": False, "0": False}
    if (word := str(value).lower()) not in words:
        raise ValueError(f"FLASK_{key} is {value!r}: accepted are true and false.")
    return words[word]


def proxy_hops(value: object) -> int:
    """Return the number of trusted proxies in front of the application. Raises ValueError outside 0..10."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PROXY_HOPS:
        raise ValueError(
            f"FLASK_PROXY_HOPS is {value!r}: accepted is a whole number from 0 (trust no proxy) to {MAX_PROXY_HOPS}."
        )
    return value


def trusted_hosts(value: object) -> list[str] | None:
    """Return the host names the application answers to, lower case, or None for any.

    Takes a list, or a text with commas between the names. Raises ValueError for anything else, and for an empty list:
    Werkzeug (`host_is_trusted`) takes that for "any host". It also compares case-sensitively, and nginx's $host is
    lower case.
    """
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    accepted = (
        'accepted are host names, as a JSON list or with commas between them, such as "shop.example.com"; '
        'a leading dot (".example.com") includes subdomains.'
    )
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"FLASK_TRUSTED_HOSTS is {value!r}: {accepted}")
    names = [name.strip().lower() for name in names]
    for name in names:
        if not re.fullmatch(r"\.?\w[\w.-]*(:\d+)?", name):
            raise ValueError(f"FLASK_TRUSTED_HOSTS names the host {name!r}: {accepted}")
    return names


def session_cookie_name(config: Config) -> str:
    """Return the default name of the session cookie.

    Browsers accept the prefix __Host- only with Secure, without Domain and with Path=/, and then keep other hosts of
    the domain from planting the cookie (draft-ietf-httpbis-rfc6265bis, section 4.1.3.2).
    """
    whole_host = (config["SESSION_COOKIE_PATH"] or config["APPLICATION_ROOT"]) == "/"
    if config["SESSION_COOKIE_SECURE"] and not config["SESSION_COOKIE_DOMAIN"] and whole_host:
        return "__Host-session"
    return "session"
