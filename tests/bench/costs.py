"""What parts of the set-up cost: the same load with one of them left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.lab import Lab, Samples, Scale, say
from bench.serving import ROUTES, Serving

# Where a request costs least besides.
SERVER = "gevent"
CONNECTIONS = 100

# All that closes the service in, by what systemd takes for nothing.
NO_SANDBOX = """
[Service]
NoNewPrivileges=no
ProtectSystem=no
ReadOnlyPaths=
ProtectHome=no
PrivateTmp=no
PrivateUsers=no
PrivateDevices=no
ProtectClock=no
ProtectControlGroups=no
ProtectHostname=no
ProtectKernelLogs=no
ProtectKernelModules=no
ProtectKernelTunables=no
ProtectProc=default
RestrictAddressFamilies=
RestrictNamespaces=no
RestrictRealtime=no
RestrictSUIDSGID=no
LockPersonality=no
MemoryDenyWriteExecute=no
SystemCallArchitectures=
SystemCallFilter=
"""

# The server listens by itself at the path of the socket.
NO_ACTIVATION = """
id=$(basename "$(readlink /opt/shop/current)")
systemctl stop "shop@$id.socket" "shop@$id.service"
systemd-run --quiet --collect --unit=bench-own --uid=shop --gid=www-data --property=LimitNOFILE=65536 \\
  --property=UMask=007 --property=WorkingDirectory=/opt/shop/current/code \\
  env FLASK_DATABASE=/tmp/own.sqlite3 FLASK_PROXY_HOPS=1 /opt/shop/current/venv/bin/gunicorn \\
  --config /opt/shop/current/gunicorn.conf.py --backlog 2048 --bind unix:/tmp/own.sock
until [ -S /tmp/own.sock ]; do sleep 0.1; done
ln -sfn /tmp/own.sock /run/shop/$id.sock
sleep 2
"""
BACK = """
systemctl stop bench-own 2>/dev/null || true
rm -rf /run/systemd/system/shop@.service.d /tmp/own.sock
systemctl daemon-reload
id=$(basename "$(readlink /opt/shop/current)")
[ ! -L "/run/shop/$id.sock" ] || rm "/run/shop/$id.sock"
systemctl restart "shop@$id.socket" "shop@$id.service"
sleep 2
"""


class Costs:
    """Rows of requests a second with one part left out, and their share of the default's."""

    def __init__(self, lab: Lab, scale: Scale) -> None:
        self._lab = lab
        self._scale = scale
        self.rows: list[dict[str, Any]] = []
        self._serving = Serving(lab, scale)

    def measure(self) -> None:
        self._serving.prepare()
        keys: Mapping[str, dict[str, Any]] = {
            "without access lines": {"logs": {"access": "none"}},
            "access lines by the server": {"logs": {"access": "gunicorn"}},
        }
        for what, changed in keys.items():
            self._compare(
                what,
                lambda changed=changed: self._serving.deploy(SERVER, **changed),
                lambda: self._serving.deploy(SERVER),
            )
        self._compare("without the sandbox", self._open, lambda: self._run(BACK))
        self._compare("without socket activation", lambda: self._run(NO_ACTIVATION), lambda: self._run(BACK))

    def _run(self, script: str) -> None:
        self._lab.run(self._serving.host, script)

    def _open(self) -> None:
        drop_in = "/run/systemd/system/shop@.service.d"
        self._run(
            f"mkdir -p {drop_in}; cat >{drop_in}/bench.conf <<'UNIT'\n{NO_SANDBOX}\nUNIT\nsystemctl daemon-reload"
        )
        self._run('systemctl restart "shop@$(basename "$(readlink /opt/shop/current)").service"; sleep 2')

    def _compare(self, what: str, change: Any, change_back: Any) -> None:
        """By turns, as what else the machine does changes with time."""
        change_back()
        with_it, without = Samples(), Samples()
        for _round in range(self._scale.rounds):
            with_it.values.append(self._rate())
            change()
            without.values.append(self._rate())
            change_back()
        share = without.median / with_it.median
        self.rows.append({"what": what, "rate": without.median, "default": with_it.median, "share": share})
        say(f"    {what}: {without.median:.0f}/s, by default {with_it.median:.0f}/s")

    def _rate(self) -> float:
        url = f"http://127.0.0.1{ROUTES['trivial']}"
        self._serving.load(url, CONNECTIONS)
        return self._serving.load(url, CONNECTIONS).rate
