#!/bin/sh
# Has nginx take its configuration over, and fails with nginx's words where it does not. Never a restart, which cuts
# requests off; a stopped nginx is started.
#
# Nobody else can tell: a reload is a signal. An nginx that can't follow it goes on as it was, and says so in its log
# alone. It is so when another program has a port, at which nginx -t does not look (ngx_open_listening_sockets in
# src/core/ngx_connection.c). One that follows starts new workers (ngx_master_process_cycle in
# src/os/unix/ngx_process_cycle.c).
# With WSGIOPS_NGINX it is an ordinary user's own nginx, as in keep_nginx.sh, where there is one.
# Usage: sh -c "$(cat take_over.sh)" NAME
set -eu
LOG=/var/log/nginx/error.log
KEEP=/etc/nginx/wsgiops-flask/_keep_nginx.sh
own=${WSGIOPS_NGINX:-}
if [ -n "$own" ]; then
  [ -e "$own/nginx.conf" ] || exit 0
  LOG=$own/log/error.log
  KEEP=$own/keep_nginx.sh
fi

# Tenths of a second: for a big configuration, and for one that was refused; nginx tries a port for 2.5 s.
PATIENCE=300
AFTER_A_REFUSAL=40

words() { sed -n 's/^.*\[emerg\] \([0-9]*#[0-9]*: \)\{0,1\}//p' | once; }

once() {
  awk -v own="$own" '
    !seen[$0]++
    /^bind\(\)/ { taken = 1 }
    END { if (own && taken) print "nginx_port names the port that your nginx has; something else has this one." }'
}

if [ -z "$own" ] && [ -d /run/systemd/system ]; then
  if ! systemctl is-active --quiet nginx.service; then
    since=$(date +%s)
    systemctl start nginx.service && exit 0
    journalctl --quiet --no-pager --output=cat --unit=nginx.service "--since=@$since" | words
    exit 1
  fi
  master=$(systemctl show --property=MainPID --value nginx.service)
  reload() { systemctl reload nginx.service; }
else
  if ! master=$(sh "$KEEP" main); then
    said=$(sh "$KEEP" start 2>&1) && exit 0
    printf '%s\n' "$said" | sed 's/^.*\[emerg\] \([0-9]*#[0-9]*: \)\{0,1\}//' | once
    exit 1
  fi
  reload() { sh "$KEEP" reload; }
fi

# Their files status in proc(5).
children() { grep -ls "^PPid:[[:space:]]*$master\$" /proc/[0-9]*/status || true; }

is_followed() {
  for child in $(children); do
    case $before in
      *" $child "*) ;;
      *) return 0 ;;
    esac
  done
  return 1
}

# Whether no process of before takes connections any more. A worker that no longer does says so in its title
# (ngx_worker_process_cycle in src/os/unix/ngx_process_cycle.c); the other processes end.
are_gone() {
  for child in $before; do
    ! [ -e "$child" ] || grep -qs 'is shutting down' "${child%status}cmdline" || return 1
  done
}

refusal() { tail -c "+$((size + 1))" "$LOG" 2>/dev/null | grep -F "[emerg] $master#" | words; }

before=" $(children | tr '\n' ' ') "
size=$(stat --format=%s "$LOG" 2>/dev/null || echo 0)
reload
tries=$PATIENCE
until is_followed; do
  if [ "$tries" -eq 0 ]; then
    echo "nginx goes on with the configuration that it had, as it can't take this one over:"
    refusal
    exit 1
  fi
  if [ "$tries" -gt "$AFTER_A_REFUSAL" ] && [ -n "$(refusal)" ]; then
    tries=$AFTER_A_REFUSAL
  fi
  sleep 0.1
  tries=$((tries - 1))
done

# What is asked from here on, the new configuration answers.
tries=$PATIENCE
until are_gone || [ "$tries" -eq 0 ]; do
  sleep 0.1
  tries=$((tries - 1))
done
