"""What parts of the set-up cost: CPU time of a request to the service, and to a twin beside it without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench import at_once
from bench.at_once import Side
from bench.lab import Lab, Samples, Scale, say
from bench.serving import FRONT, ROUTES, TRIVIAL, Serving

# Where a request costs least besides.
SERVER = "gevent"
CONNECTIONS = 100
SECONDS = 2.0

TWIN_UNIT, TWIN_FRONT, TWIN_PORT = "bench-twin.service", "bench-front.service", 8081

# Unit and socket of the current release once more, and an nginx of its own with the same site. Where there is a
# configuration of the twin's beside the release's, it has that.
TWIN = r"""
id=$(basename "$(readlink /opt/shop/current)")
units=/run/systemd/system
for kind in service socket; do
  sed -e "s#shop@%i\.socket#bench-twin.socket#g; s#/run/shop/%i\.sock#/run/shop/twin.sock#g" \
    -e "/shop_retry/d; s#%i#$id#g" "/etc/systemd/system/shop@.$kind" >$units/bench-twin.$kind
done
if [ -e "/opt/shop/releases/$id/twin.conf.py" ]; then
  sed -i 's#/gunicorn\.conf\.py#/twin.conf.py#' $units/bench-twin.service
fi
mkdir -p /etc/nginx/bench
sed -e 's#/run/nginx\.pid#/run/bench-front.pid#; s#/etc/nginx/conf\.d/\*#/etc/nginx/bench/*#; /sites-enabled/d' \
  /etc/nginx/nginx.conf >/etc/nginx/bench.conf
cp /etc/nginx/conf.d/00-wsgiops-flask-http.conf /etc/nginx/bench/
sed -e "s#^\( *listen .*\)80;#\1$1;#; s#/opt/shop/current/socket#/run/shop/twin.sock#g" \
  /etc/nginx/conf.d/shop.conf >/etc/nginx/bench/shop.conf
systemctl cat nginx.service |
  sed -e 's#/run/nginx\.pid#/run/bench-front.pid#g; s#/usr/sbin/nginx#& -c /etc/nginx/bench.conf#' \
    >$units/bench-front.service
"""
# Processes that nobody has asked anything yet.
RESTART = """
systemctl daemon-reload
systemctl stop bench-front.service bench-twin.socket bench-twin.service
rm -f /run/shop/twin.sock
systemctl restart "shop@$(basename "$(readlink /opt/shop/current)").service"
if grep -q own.sock /run/systemd/system/bench-twin.service; then
  ln -s /var/lib/shop/own.sock /run/shop/twin.sock
else
  systemctl start bench-twin.socket
fi
systemctl start bench-twin.service bench-front.service
sleep 1
"""
STOP = """
systemctl stop bench-front.service bench-twin.socket bench-twin.service
rm -rf /run/shop/twin.sock /run/systemd/system/bench-* /etc/nginx/bench /etc/nginx/bench.conf
systemctl daemon-reload
"""

NO_LINES = "sed -i 's#^\\( *access_log\\) .*#\\1 off;#' /etc/nginx/bench/shop.conf\n"

# All that closes the service and nginx in, by what systemd takes for nothing.
NO_SANDBOX = """
for unit in bench-twin bench-front; do
cat >>/run/systemd/system/$unit.service <<'UNIT'
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
ProcSubset=all
RestrictAddressFamilies=
RestrictNamespaces=no
RestrictRealtime=no
RestrictSUIDSGID=no
LockPersonality=no
MemoryDenyWriteExecute=no
SystemCallArchitectures=
SystemCallFilter=
UNIT
done
"""

# The server listens by itself where it may write and nginx may look.
NO_ACTIVATION = """
unit=/run/systemd/system/bench-twin.service
sed -i -e '/^Requires=/d; s#^\\(ExecStart=.* --bind unix:\\).*#\\1/var/lib/shop/own.sock#' \
  -e 's#^StateDirectoryMode=.*#StateDirectoryMode=0755#; s#^UMask=.*#UMask=0#' $unit
"""
# The sandbox forbids the chown of a socket.
NO_ACTIVATION_IN_THE_SANDBOX = NO_ACTIVATION + "printf '[Service]\\nSystemCallFilter=@chown\\n' >>$unit\n"

# What has a server write its access lines, put aside and made the twin's.
KEEP_LINES = "cp /opt/shop/current/gunicorn.conf.py /opt/shop/current/access_log.py /root/"
GIVE_LINES = """
install -m 0644 /root/gunicorn.conf.py /opt/shop/current/twin.conf.py
install -m 0644 /root/access_log.py /opt/shop/current/
"""
TAKE_LINES = "rm /opt/shop/current/twin.conf.py /opt/shop/current/access_log.py"


@dataclass(frozen=True)
class Variant:
    """What a twin has otherwise.

    :param change: what the host does to the twin's units and site before they start.
    """

    what: str
    change: str = ""


TOGETHER = "without access lines, sandbox and socket activation"
ALL = Variant(TOGETHER, NO_LINES + NO_ACTIVATION + NO_SANDBOX)
PARTS = (
    # What it says of itself is the error of the others.
    Variant("the same once more"),
    Variant("without access lines", NO_LINES),
    Variant("without the sandbox", NO_SANDBOX),
    Variant("without socket activation", NO_ACTIVATION_IN_THE_SANDBOX),
)
BY_THE_SERVER = Variant("access lines by the server, none by nginx", NO_LINES)


class Costs:
    """Rows of the CPU time of a request, by default and to a twin, and the median of their ratios."""

    def __init__(self, lab: Lab, scale: Scale) -> None:
        self._lab = lab
        self._scale = scale
        self.rows: list[dict[str, Any]] = []
        self._serving = Serving(lab, scale)

    def measure(self) -> None:
        self._serving.prepare()
        if self._scale.others:
            self._serving.deploy(SERVER, logs={"access": "gunicorn"})
            self._run(KEEP_LINES)
        self._serving.deploy(SERVER)
        self._compare(ALL, self._scale.rounds)
        if self._scale.others:
            for variant in PARTS:
                self._compare(variant, self._scale.others)
            self._run(GIVE_LINES)
            self._compare(BY_THE_SERVER, self._scale.others)
            self._run(TAKE_LINES)

    def _run(self, script: str, *arguments: str) -> None:
        self._lab.run(self._serving.host, script, *arguments)

    def _compare(self, variant: Variant, rounds: int) -> None:
        """Anew in each round, as two processes of one program are not equally fast."""
        self._run(TWIN + variant.change, str(TWIN_PORT))
        path = ROUTES[TRIVIAL]
        sides = [
            Side(f"http://127.0.0.1{path}", self._serving.service(), FRONT),
            Side(f"http://127.0.0.1:{TWIN_PORT}{path}", TWIN_UNIT, TWIN_FRONT),
        ]
        default, twin = Samples(), Samples()
        for _round in range(rounds):
            self._run(RESTART)
            found = at_once.load(self._lab, self._serving.host, sides, CONNECTIONS, SECONDS)
            if failed := sum(share.failed for share in found):
                raise RuntimeError(f"{variant.what}: {failed} requests failed")
            default.values.append(found[0].cpu)
            twin.values.append(found[1].cpu)
        self._run(STOP)
        cost = Samples([1 - one / other for one, other in zip(twin.values, default.values, strict=True)]).median
        self.rows.append(
            {
                "what": variant.what,
                "rounds": len(twin.values),
                "default": default.median,
                "without": twin.median,
                "cost": cost,
            }
        )
        say(f"    {variant.what}: {twin.median:.0f} µs a request, default {default.median:.0f} µs, cost {cost:.3f}")
