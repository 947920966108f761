"""nginx on a test host: what a change that is refused leaves as it was."""

from __future__ import annotations

from hostlab.host import AppOnHost


def files(one: AppOnHost) -> str:
    """All of its files, by digest."""
    return one.run("sh -c %s", "find /etc/nginx -type f -exec sha256sum {} + | sort -k 2")


def main_pid(one: AppOnHost) -> str:
    return one.run("systemctl show --property=MainPID --value nginx.service")


def state(one: AppOnHost) -> tuple[str, str, str]:
    """Its files, its main process, as it is never restarted, and the release."""
    return files(one), main_pid(one), one.release
