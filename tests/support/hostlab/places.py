"""Where an application has its files on a test host, and who runs it: of its own user, or of an ordinary one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Places:
    """Directories of an application.

    :param user: who runs it.
    :param cron: a command that shows what cron does for it.
    :param keep_nginx: the script that keeps nginx running where there is no systemd.
    :param nginx_pid: where nginx has the id of its main process.
    """

    home: str
    run: str
    state: str
    cache: str
    logs: str
    user: str
    cron: str
    keep_nginx: str
    nginx_pid: str


def of_the_system(name: str) -> Places:
    return Places(
        home=f"/opt/{name}",
        run=f"/run/{name}",
        state=f"/var/lib/{name}",
        cache=f"/var/cache/{name}",
        logs=f"/var/log/{name}",
        user=name,
        cron=f"cat /etc/cron.d/{name}",
        keep_nginx="/etc/nginx/wsgiops-flask/_keep_nginx.sh",
        nginx_pid="/run/nginx.pid",
    )


def of_a_user(name: str, user: str) -> Places:
    """Without root: all of it in the user's home and crontab."""
    apps = f"/home/{user}/apps"
    home = f"{apps}/{name}"
    return Places(
        home=home,
        run=f"{home}/run",
        state=f"{home}/state",
        cache=f"{home}/cache",
        logs=f"{home}/log",
        user=user,
        cron=f"crontab -l | sed -n '/^# BEGIN wsgiops.flask {name}$/,/^# END wsgiops.flask {name}$/p'",
        keep_nginx=f"{apps}/nginx/keep_nginx.sh",
        nginx_pid=f"{apps}/nginx/run/nginx.pid",
    )
