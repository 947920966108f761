#!/bin/sh
# Has nginx take its configuration over, and fails with nginx's words where it does not. Never a restart, which cuts
# requests off; a stopped nginx is started.
#
# systemctl can't tell: a reload is a signal. An nginx that can't follow it goes on as it was, and says so in its log
# alone. It is so when another program has a port, at which nginx -t does not look (ngx_open_listening_sockets in
# src/core/ngx_connection.c). One that follows starts new workers (ngx_master_process_cycle in
# src/os/unix/ngx_process_cycle.c).
# Usage: sh -c "$(cat take_over.sh)" NAME
set -eu
LOG=/var/log/nginx/error.log

# Tenths of a second: for a big configuration, and for one that was refused; nginx tries a port for 2.5 s.
PATIENCE=300
AFTER_A_REFUSAL=40

words() { sed -n 's/^.*\[emerg\] \([0-9]*#[0-9]*: \)\{0,1\}//p' | awk '!seen[$0]++'; }

if ! systemctl is-active --quiet nginx.service; then
  since=$(date +%s)
  systemctl start nginx.service && exit 0
  journalctl --quiet --no-pager --output=cat --unit=nginx.service "--since=@$since" | words
  exit 1
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

master=$(systemctl show --property=MainPID --value nginx.service)
before=" $(children | tr '\n' ' ') "
size=$(stat --format=%s "$LOG" 2>/dev/null || echo 0)
systemctl reload nginx.service
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
