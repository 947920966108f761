#!/bin/sh
# Managed by the Ansible collection wsgiops.flask; changes made here are undone by its next run.
# What systemd does for nginx elsewhere: keeps it running. With WSGIOPS_NGINX, or beside its nginx.conf, the nginx of an
# ordinary user's that has its configuration, its logs and all else in that directory.
# Usage: keep_nginx.sh start | stop | reload | status | check | main | look | rotate
#   start   starts nginx when it does not run, and says so; fails with nginx's words
#   stop    has it end its work, and waits for that; it stays stopped until the next start, also over a boot
#   reload  has a running nginx read its configuration
#   status  says whether it runs; exit status 0 when it does, 3 when it does not (LSB)
#   check   what cron asks each minute: starts nginx, and has it open new logs where they were rotated
#   main    says the id of nginx's main process; fails where there is none
#   look    says what start would do
#   rotate  has logrotate look at the logs of a user's own nginx
set -eu
PID_FILE=/run/nginx.pid
LOGS=/var/log/nginx
STOPPED=/etc/nginx/wsgiops-flask/_stopped
UNDO=/etc/nginx/wsgiops-flask/_undo.sh
own=${WSGIOPS_NGINX:-}
beside=$(dirname -- "$0")/nginx.conf
if [ -z "$own" ] && [ -e "$beside" ]; then
  own=$(sed -n 's|^pid \(.*\)/run/nginx\.pid;$|\1|p' "$beside")
fi
if [ -n "$own" ]; then
  PID_FILE=$own/run/nginx.pid
  LOGS=$own/log
  STOPPED=$own/stopped
  UNDO=$own/undo.sh
  # cron and an ordinary user's shell do not look there.
  PATH=$PATH:/usr/sbin:/sbin
fi

# Tenths of a second that a new nginx has to write its id down: it does so after the command has come back
# (ngx_daemon and ngx_create_pidfile in src/core/nginx.c).
PATIENCE=100

# Whose id a crash or a boot has left behind may be another program by now.
main_process() {
  pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
  case $pid in
    '' | *[!0-9]*) return 1 ;;
  esac
  grep -qs "^nginx: master process.*$own" "/proc/$pid/cmdline" || return 1
  printf '%s\n' "$pid"
}

# Whom nginx's workers run as: where root starts them, what its configuration names.
workers_user() {
  user=$(sed -n 's/^[[:space:]]*user[[:space:]]\{1,\}\([^[:space:];]*\).*/\1/p' /etc/nginx/nginx.conf 2>/dev/null | head -n 1)
  printf '%s\n' "${user:-www-data}"
}

# A main process that was killed leaves workers, which go on with its ports and take no orders: they end their work. Those
# of containers are not ours, nor those of others' nginx.
dismiss_orphans() {
  for status in /proc/[0-9]*/status; do
    grep -qs '^Name:[[:space:]]*nginx$' "$status" || continue
    process=${status%/status}
    owner=$(stat -c %U "$process" 2>/dev/null) || continue
    [ "$owner" = "$(id -un)" ] || { [ -z "$own" ] && [ "$owner" = "$(workers_user)" ]; } || continue
    [ "$(readlink "$process/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] || continue
    grep -qsE '^nginx: (worker|cache)' "$process/cmdline" || continue
    parent=$(sed -n 's/^PPid:[[:space:]]*//p' "$status" 2>/dev/null)
    grep -qs '^nginx: master process' "/proc/${parent:-0}/cmdline" || kill -QUIT "${process#/proc/}" 2>/dev/null || true
  done
}

run_nginx() {
  # As many files as systemd would let it open, or as many as its user may. No shell of Debian's is without it.
  # shellcheck disable=SC3045
  ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
  if [ -n "$own" ]; then
    nginx -e "$LOGS/error.log" -c "$own/nginx.conf"
  else
    nginx
  fi
}

start() {
  rm -f "$STOPPED"
  ! main_process >/dev/null || return 0
  # One at a time: a second nginx would find its ports taken.
  exec 9<"${own:-/etc/nginx}"
  flock --timeout 60 9 || {
    echo "another start of nginx does not come to its end" >&2
    return 1
  }
  ! main_process >/dev/null || return 0
  [ -z "$own" ] || mkdir -p "$own/run" "$own/log"
  dismiss_orphans
  # What a run that died left half-way may be nothing to start with.
  [ ! -e "$UNDO" ] || sh "$UNDO" >&2 9<&- || true
  run_nginx 9<&-
  tries=$PATIENCE
  until main_process >/dev/null; do
    [ "$tries" -gt 0 ] || {
      echo "nginx was started and wrote no $PID_FILE; $LOGS/error.log may tell why" >&2
      return 1
    }
    sleep 0.1
    tries=$((tries - 1))
  done
  echo "nginx was started"
}

# Debian's rotation tells nginx through invoke-rc.d, which does nothing on a host without an init system. What is written
# to a renamed log until then is in that one.
reopen_logs() {
  pid=$(main_process)
  [ -z "$(find "/proc/$pid/fd" -lname "$LOGS/*.log[.-][0-9]*" -print -quit)" ] || kill -USR1 "$pid"
}

stop() {
  touch "$STOPPED"
  pid=$(main_process) || return 0
  kill -QUIT "$pid"
  tries=$PATIENCE
  while main_process >/dev/null; do
    # Clients that take their time had it.
    [ "$tries" -ne 0 ] || kill -TERM "$pid"
    [ "$tries" -gt "-$PATIENCE" ] || {
      echo "nginx, process $pid, does not end" >&2
      return 1
    }
    sleep 0.1
    tries=$((tries - 1))
  done
  echo "nginx was stopped"
}

status() {
  word="nginx does not run" code=3
  ! pid=$(main_process) || word="nginx runs, process $pid" code=0
  [ ! -e "$STOPPED" ] || word="$word (stopped by hand: $STOPPED)"
  echo "$word"
  return "$code"
}

case ${1:-} in
  check)
    [ ! -e "$STOPPED" ] || exit 0
    start
    reopen_logs
    ;;
  start) start ;;
  # A stopped nginx reads it when it starts.
  reload) ! pid=$(main_process) || kill -HUP "$pid" ;;
  main) main_process ;;
  look) main_process >/dev/null || echo "nginx does not run" ;;
  stop) stop ;;
  status) status ;;
  rotate) logrotate --state "$own/run/logrotate" "$own/logrotate.conf" ;;
  *)
    echo "usage: keep_nginx.sh start | stop | reload | status | check | main | look | rotate" >&2
    exit 2
    ;;
esac
