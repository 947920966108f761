#!/usr/bin/env bash
# The floor under any tool: what a deploy does at least, as one script that one SSH connection runs on the host, as root.
# It proves nothing, protects nothing and forgets what it changed; bench measures by it what the rest costs.
#
#   ssh HOST bash -s -- deploy < floor.sh-and-archive      (bench sends this script, and behind it an archive of the code)
set -euo pipefail

HOME_OF_APP=/srv/floor
DOMAIN=shop.example.com

deploy() {
  local new old
  new=$HOME_OF_APP/releases/$(date +%s%N)
  mkdir -p "$new"
  tar -xzf - -C "$new"
  old=$(readlink -f "$HOME_OF_APP/current" || true)
  packages
  environment "$new"
  if [ -n "$old" ] && diff -rq "$old" "$new" >/dev/null; then
    rm -r "$new"
    return
  fi
  point_to "$new"
}

packages() {
  local package
  for package in nginx python3-venv; do
    [ -e "/var/lib/dpkg/info/$package.list" ] || {
      apt-get -qq update
      DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install nginx python3-venv
      break
    }
  done >/dev/null 2>&1
  id floor >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin floor
}

environment() {
  local sum
  sum=$(sha256sum "$1/requirements.txt")
  [ "$(cat "$HOME_OF_APP/lock" 2>/dev/null)" != "${sum%% *}" ] || return 0
  [ -d "$HOME_OF_APP/venv" ] || python3 -m venv "$HOME_OF_APP/venv"
  "$HOME_OF_APP/venv/bin/pip" --quiet --disable-pip-version-check install -r "$1/requirements.txt"
  printf '%s\n' "${sum%% *}" >"$HOME_OF_APP/lock"
}

point_to() {
  ln -sfn "$1" "$HOME_OF_APP/next"
  mv -T "$HOME_OF_APP/next" "$HOME_OF_APP/current"
  unit >/etc/systemd/system/floor.service
  site >/etc/nginx/conf.d/floor.conf
  systemctl daemon-reload
  systemctl enable --quiet floor nginx
  systemctl restart floor
  systemctl reload-or-restart nginx
}

unit() {
  cat <<UNIT
[Service]
User=floor
Group=www-data
WorkingDirectory=$HOME_OF_APP/current
Environment=FLASK_PROXY_HOPS=1 FLASK_DATABASE=/tmp/floor.sqlite3
ExecStart=$HOME_OF_APP/venv/bin/gunicorn --workers 4 --bind unix:/run/floor/floor.sock --umask 007 wsgi:app
RuntimeDirectory=floor
[Install]
WantedBy=multi-user.target
UNIT
}

site() {
  cat <<SITE
server { listen 80; server_name $DOMAIN; location / { include proxy_params; proxy_pass http://unix:/run/floor/floor.sock; } }
SITE
}

rollback() {
  local releases
  releases=$(find "$HOME_OF_APP/releases" -mindepth 1 -maxdepth 1 | sort | tail -n 2)
  point_to "$(head -n 1 <<<"$releases")"
}

"$@"
