# shellcheck shell=bash
# What every command in script/ starts from: messages, root rights, Debian packages, and the Python environment made
# from requirements-dev.txt. To be sourced by bash with `set -euo pipefail`; sourcing it changes nothing on the machine.
#
#   step TEXT...            a heading of the progress report (all messages go to stderr: stdout is for results)
#   log TEXT...             a detail below it
#   die TEXT...             an error message, then exit 3
#   seconds_since START     seconds since START, an earlier value of $EPOCHREALTIME, with one decimal
#   run_logged LOG WHAT CMD...  runs CMD with its output in .cache/log/LOG.log; when it fails, says that WHAT failed and
#                           shows the last lines of the log, and returns 3 (CMD runs in a subshell)
#   as_root CMD...          runs CMD as root: directly, or through sudo
#   ensure_packages PKG...  installs what is missing of these Debian packages
#   ensure_environment      makes .venv current, and puts it first in PATH

# The two places a checkout keeps things in, both ignored by git: .venv, and .cache for keys, logs and locks.
REPO_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
VENV_DIR=$REPO_ROOT/.venv
CACHE_DIR=$REPO_ROOT/.cache
LOG_LINES=25
# The exit status that says: failed, and the reason has been told.
REPORTED=3

set -Eeuo pipefail
shopt -s inherit_errexit
report_failure() {
  local status=$1 file=$2 line=$3 function=$4 command=$5
  # What run_logged was given to run failed: it tells by itself.
  [ "$function" != run_logged ] || exit "$status"
  if [ "$status" -ne "$REPORTED" ]; then
    [ "$command" != "return \$?" ] || command=${function:-a command}
    printf 'ERROR: %s, line %s: exit status %s of: %s\n' "$file" "$line" "$status" "$command" >&2
  fi
  exit "$REPORTED"
}
stop_at_failure() {
  set -e
  trap 'report_failure "$?" "${BASH_SOURCE[0]}" "$LINENO" "${FUNCNAME[0]:-}" "$BASH_COMMAND"' ERR
}
stop_at_failure

step() { printf '==> %s\n' "$*" >&2; }
log() { printf '    %s\n' "$*" >&2; }
die() {
  printf 'ERROR: %s\n' "$*" >&2
  exit "$REPORTED"
}

seconds_since() { awk -v from="${1/,/.}" -v to="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.1f", to - from }'; }

show_log() {
  [ -s "$1" ] || return 0
  log "last lines of $1:"
  tail -n "$LOG_LINES" -- "$1" | sed 's/^/    | /' >&2
}

run_logged() {
  local file=$CACHE_DIR/log/$1.log what=$2 status
  shift 2
  mkdir -p "$CACHE_DIR/log"
  # Not with `||`, which would let CMD run on after a failure.
  set +e
  trap - ERR
  (stop_at_failure; "$@") >"$file" 2>&1 </dev/null
  status=$?
  stop_at_failure
  [ "$status" -eq 0 ] && return 0
  printf 'ERROR: %s failed\n' "$what" >&2
  show_log "$file"
  return "$REPORTED"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@" || return $?
  elif command -v sudo >/dev/null; then
    # sudo drops the proxy settings unless told otherwise; asking for it takes a right of its own, so only where there
    # are any.
    if [ -n "${http_proxy:-}${https_proxy:-}${no_proxy:-}" ]; then
      sudo --preserve-env=http_proxy,https_proxy,no_proxy -- "$@" || return $?
    else
      sudo -- "$@" || return $?
    fi
  else
    die "this step needs root: run the command as root, or install sudo"
  fi
}

missing_packages() {
  command -v dpkg-query >/dev/null ||
    die "this machine has no dpkg: use Debian 12 or newer, or see to it that these are not asked for: $*"
  # dpkg-query exits 1 when it does not know one of the names: that is an answer here, not a failure.
  { dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' -- "$@" 2>/dev/null || true; } |
    awk -v wanted="$*" '$2 == "installed" { have[$1] }
      END { n = split(wanted, names, " "); for (i = 1; i <= n; i++) if (!(names[i] in have)) print names[i] }'
}

# One unreachable third-party source must not be the end: whether the lists suffice shows when packages are fetched.
update_package_lists() {
  run_logged apt-update "apt-get update" as_root apt-get --quiet update ||
    log "going on with the package lists that are there"
}

ensure_packages() {
  local listed missing
  listed=$(missing_packages "$@")
  [ -n "$listed" ] || return 0
  mapfile -t missing <<<"$listed"
  command -v apt-get >/dev/null || die "this machine has no apt-get: install these yourself: ${missing[*]}"
  step "Installing Debian packages: ${missing[*]}"
  update_package_lists
  run_logged apt-install "installing ${missing[*]}" as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get --option DPkg::Lock::Timeout=300 --quiet --yes --no-install-recommends install "${missing[@]}"
}

# What the environment depends on: the lock, the interpreter, and the place (scripts in a venv hold its path).
environment_stamp() {
  local lock_sum rest
  read -r lock_sum rest < <(sha256sum -- "$REPO_ROOT/requirements-dev.txt")
  printf '%s %s %s\n' "$lock_sum" "$(readlink -f /usr/bin/python3)" "$VENV_DIR"
}

environment_is_current() { [ "$(cat -- "$VENV_DIR/.stamp" 2>/dev/null)" = "$(environment_stamp)" ]; }

# Wheels only: building from source would fetch build tools that no hash vouches for.
install_requirements() {
  local lock=$REPO_ROOT/requirements-dev.txt pip=("$VENV_DIR/bin/pip" --disable-pip-version-check --no-input install)
  local verified=(--require-hashes --only-binary :all: --requirement) uv=$CACHE_DIR/uv.txt
  # uv is one of the requirements and installs the others ten times as fast. It does not know pip's settings, a company's
  # index among them: where it comes to nothing pip does all. Like pip it is to compile: where nothing writes bytecode
  # later, each start of Ansible would compile all of it.
  mkdir -p "$CACHE_DIR"
  awk '/^[^ #]/ { of_uv = /^uv==/ } of_uv && !/^ *#/' "$lock" | sed '$ s/ \\$//' >"$uv"
  run_logged pip-uv "installing uv" "${pip[@]}" "${verified[@]}" "$uv"
  "$VENV_DIR/bin/uv" pip install --quiet --compile-bytecode --python "$VENV_DIR/bin/python" "${verified[@]}" "$lock" >"$CACHE_DIR/log/uv.log" 2>&1 ||
    run_logged pip "installing requirements-dev.txt" "${pip[@]}" "${verified[@]}" "$lock"
}

build_environment() {
  local start=$EPOCHREALTIME
  # ansible-core 2.19 runs on Python 3.11 and newer (its package metadata: Requires-Python).
  /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$(/usr/bin/python3 --version) is too old: /usr/bin/python3 has to be Python 3.11 or newer (Debian 12 has it)"
  step "Making the Python environment .venv from requirements-dev.txt"
  rm -rf -- "$VENV_DIR"
  run_logged venv "making the virtual environment" /usr/bin/python3 -m venv "$VENV_DIR"
  install_requirements
  environment_stamp >"$VENV_DIR/.stamp"
  log "done in $(seconds_since "$start") s"
}

ensure_environment() {
  if ! environment_is_current; then
    ensure_packages python3 python3-venv ca-certificates
    mkdir -p "$CACHE_DIR"
    # A second command started meanwhile waits here, and then finds the work done.
    (
      flock 9
      if ! environment_is_current; then build_environment; fi
    ) 9>"$CACHE_DIR/environment.lock"
  fi
  case ":$PATH:" in
    *":$VENV_DIR/bin:"*) ;;
    *) export PATH="$VENV_DIR/bin:$PATH" ;;
  esac
  export VIRTUAL_ENV=$VENV_DIR
}
