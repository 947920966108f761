"""What parts of the set-up cost: the same load with one of them left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.lab import Lab, Samples, Scale, say
from bench.serving import ROUTES, TRIVIAL, Serving

# Where a request costs least besides.
SERVER = "gevent"
CONNECTIONS = 100

NO_LINES_ROW = "without access lines"
NO_SANDBOX_ROW = "without the sandbox"
NO_ACTIVATION_ROW = "without socket activation"
OF_A_BOUND = (NO_LINES_ROW, NO_SANDBOX_ROW, NO_ACTIVATION_ROW)

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

# The server listens by itself where nginx asks for it (the sandbox forbids the chown of that), and does not know of the
# socket that systemd holds.
NO_ACTIVATION = """
id=$(basename "$(readlink /opt/shop/current)")
mkdir -p /run/systemd/system/shop@.service.d
sed -n 's#^ExecStart=\\(.*\\) --bind .*#\\1#p' /etc/systemd/system/shop@.service >/run/bench-command
cat >/run/systemd/system/shop@.service.d/bench.conf <<UNIT
[Service]
StateDirectoryMode=0755
UMask=0
SystemCallFilter=@chown
ExecStart=
ExecStart=/usr/bin/env -u LISTEN_FDS -u LISTEN_PID $(cat /run/bench-command) --bind unix:/var/lib/shop/own.sock
UNIT
systemctl daemon-reload
systemctl restart "shop@$id.service"
mv /run/shop/$id.sock /run/shop/held
ln -s /var/lib/shop/own.sock /run/shop/$id.sock
sleep 2
"""
BACK = """
rm -rf /run/systemd/system/shop@.service.d
systemctl daemon-reload
id=$(basename "$(readlink /opt/shop/current)")
[ ! -e /run/shop/held ] || mv -T /run/shop/held "/run/shop/$id.sock"
systemctl restart "shop@$id.service"
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
            NO_LINES_ROW: {"logs": {"access": "none"}},
            "access lines by the server": {"logs": {"access": "gunicorn"}},
        }
        for what, changed in keys.items():
            self._compare(
                what,
                lambda changed=changed: self._serving.deploy(SERVER, **changed),
                lambda: self._serving.deploy(SERVER),
            )
        self._compare(NO_SANDBOX_ROW, self._open, lambda: self._run(BACK))
        self._compare(NO_ACTIVATION_ROW, lambda: self._run(NO_ACTIVATION), lambda: self._run(BACK))

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
        for _round in range(self._scale.rounds if what in OF_A_BOUND else self._scale.others):
            with_it.values.append(self._rate())
            change()
            without.values.append(self._rate())
            change_back()
        share = Samples([one / other for one, other in zip(without.values, with_it.values, strict=True)]).median
        self.rows.append({"what": what, "rate": without.median, "default": with_it.median, "share": share})
        say(f"    {what}: {without.median:.0f}/s, by default {with_it.median:.0f}/s")

    def _rate(self) -> float:
        url = f"http://127.0.0.1{ROUTES[TRIVIAL]}"
        _warm, *found = self._serving.load([url] * 4, CONNECTIONS)
        return Samples([load.rate for load in found]).median
