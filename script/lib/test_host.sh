# shellcheck shell=bash
# Test hosts: containers that boot systemd, or that have none (test_host_init), and are reached over SSH, as a VM is. This
# file is what script/test-host does; it is sourced after environment.sh, and sources test_host_image.sh, which knows how
# an image is made.
#
# podman runs them, as root, with a store, a network and a configuration of its own, so that neither the machine's other
# containers nor its podman settings matter:
#
#   /var/lib/wsgiops-test-hosts     images, containers, network: shared by all checkouts on the machine
#   /run/wsgiops-test-hosts         podman's configuration, locks, the view of the control groups (see prepare_podman)
#   .cache/ssh, .cache/log          of the checkout: the key its hosts are reached with, and the logs of failed steps
#
# Each container carries the id of the checkout it was made for: no command touches another checkout's.

# shellcheck source=script/lib/test_host_image.sh
. "$REPO_ROOT/script/lib/test_host_image.sh"

STATE_DIR=/run/wsgiops-test-hosts
STORE_DIR=/var/lib/wsgiops-test-hosts
CGROUP_VIEW=$STATE_DIR/view/mnt
SSH_KEY=$CACHE_DIR/ssh/id_ed25519
NETWORK=test-hosts
BRIDGE=wsgiops0
# How long a host may take to come up, in seconds: many times what it takes, for machines that are busy.
BOOT_SECONDS=${TEST_HOST_BOOT_SECONDS:-90}
CHECKOUT_ID=$(sha256sum <<<"$REPO_ROOT" | cut -c 1-8)

# netavark up to 1.9 (Debian 12) sets rules with iptables, later ones with nft.
TEST_HOST_PACKAGES=(
  podman crun netavark iptables nftables iproute2 mmdebstrap debian-archive-keyring mount openssh-client ca-certificates
)

# ---- podman ---------------------------------------------------------------------------------------------------------

# The locks are files of ours because podman's default, shared memory under one fixed name, would be shared with the
# machine's own podman. A pool of subnets of ours keeps clear of the one podman's other networks get theirs from.
podman_settings() {
  cat <<SETTINGS
[containers]
base_hosts_file = "none"
[engine]
runtime = "crun"
lock_type = "file"
events_logger = "file"
image_default_format = "oci"
tmp_dir = "$STATE_DIR/libpod"
volume_path = "$STORE_DIR/volumes"
[network]
network_backend = "netavark"
network_config_dir = "$STORE_DIR/networks"
default_subnet_pools = [{"base" = "10.157.0.0/16", "size" = 24}]
SETTINGS
}

store_settings() {
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$STORE_DIR/storage" "$STATE_DIR/storage"
}

machine_has_pure_cgroup2() { [ "$(stat --file-system --format %T /sys/fs/cgroup)" = cgroup2fs ]; }

podman_is_prepared() {
  [ "$(cat "$STATE_DIR/containers.conf" 2>/dev/null)" = "$(podman_settings)" ] &&
    [ "$(cat "$STATE_DIR/storage.conf" 2>/dev/null)" = "$(store_settings)" ] &&
    { machine_has_pure_cgroup2 || [ "$(stat --file-system --format %T "$CGROUP_VIEW" 2>/dev/null)" = nsfs ]; }
}

# Runs as root. Where the machine's control groups are not purely version 2, crun cannot boot systemd in a container.
# Then podman gets a mount namespace of its own in which /sys/fs/cgroup is a fresh cgroup2 mount; the namespace lives as
# long as the file it is bound to, and "slave" lets mounts made on the machine later in, but none out.
prepare_podman() {
  local state=$1 store=$2 podman_conf=$3 store_conf=$4 view=$5
  mkdir -p "$state" "$store"
  exec 9>"$state/prepare.lock"
  flock 9
  : >>"$state/hosts.lock"
  printf '%s\n' "$podman_conf" >"$state/containers.conf.new" && mv "$state/containers.conf.new" "$state/containers.conf"
  printf '%s\n' "$store_conf" >"$state/storage.conf.new" && mv "$state/storage.conf.new" "$state/storage.conf"
  [ -n "$view" ] || return 0
  [ "$(stat --file-system --format %T "$view" 2>/dev/null)" != nsfs ] || return 0
  mkdir -p "${view%/*}"
  # A namespace file can only be bound below a mount that does not propagate: unshare(1), --mount=file.
  mountpoint --quiet "${view%/*}" || mount --bind "${view%/*}" "${view%/*}"
  mount --make-private "${view%/*}"
  : >>"$view"
  unshare --mount="$view" --propagation slave mount -t cgroup2 cgroup2 /sys/fs/cgroup || {
    umount "$view" 2>/dev/null || true
    echo "could not make a mount namespace with a cgroup2 mount of its own, which podman needs on this machine" >&2
    return 1
  }
}

# Runs a function of this file as root: root_call FUNCTION ARGS...
root_call() { as_root bash -c "set -euo pipefail; $(declare -f "$1"); \"\$@\"" bash "$@"; }

# Every call of podman goes through here. Arguments that are paths have to be absolute: entering the view changes the
# working directory.
podman_here() {
  local enter=() manager=cgroupfs
  if machine_has_pure_cgroup2; then
    [ ! -d /run/systemd/system ] || manager=systemd
  else
    enter=(nsenter "--mount=$CGROUP_VIEW" --)
  fi
  if ! podman_is_prepared; then
    root_call prepare_podman "$STATE_DIR" "$STORE_DIR" "$(podman_settings)" "$(store_settings)" \
      "${enter:+$CGROUP_VIEW}" </dev/null || die "podman could not be prepared (see above)"
  fi
  as_root "${enter[@]}" \
    env "CONTAINERS_CONF=$STATE_DIR/containers.conf" "CONTAINERS_STORAGE_CONF=$STATE_DIR/storage.conf" \
    podman "--cgroup-manager=$manager" "$@" || return $?
}

podman_is_installed() { command -v podman >/dev/null; }

# What building and running hosts takes: the programs, and apt's knowledge of the mirrors it uses.
ensure_tools() {
  ensure_packages "${TEST_HOST_PACKAGES[@]}"
  compgen -G '/var/lib/apt/lists/*InRelease' >/dev/null || update_package_lists
}

# ---- images ---------------------------------------------------------------------------------------------------------

check_image_name() { image_suite "$1" >/dev/null || die "unknown image '$1': there are ${IMAGE_NAMES[*]}"; }

image_tag() { echo "localhost/wsgiops-test-host:$1-$(image_recipe_sum "$1")"; }

import_image() {
  local image=$1 tag=$2 id changes
  case "$(image_kind "$image")" in
    systemd) changes=(--change 'CMD ["/sbin/init"]' --change STOPSIGNAL=SIGRTMIN+3) ;;
    plain) changes=(--change 'CMD ["/usr/local/sbin/test-host-init"]' --change STOPSIGNAL=SIGTERM) ;;
  esac
  # Tagged only when the whole archive went through: import itself would be content with a part of it.
  id=$(image_tar "$image" |
    podman_here import --quiet "${changes[@]}" --change "LABEL wsgiops.image=$CHECKOUT_ID-$image" -)
  podman_here tag "$id" "$tag"
}

# Images this checkout made of the same release from an earlier recipe; one that a container still needs stays.
remove_outdated_images() {
  local image=$1 tag=$2 id
  for id in $(podman_here images --quiet --filter "label=wsgiops.image=$CHECKOUT_ID-$image" --filter "before=$tag"); do
    podman_here rmi "$id" >/dev/null 2>&1 || true
  done
}

ensure_image() {
  local image=$1 tag start=$EPOCHREALTIME
  tag=$(image_tag "$image")
  podman_here image exists "$tag" && return 0
  mkdir -p "$CACHE_DIR"
  (
    flock 8
    if podman_here image exists "$tag"; then exit 0; fi
    step "Building the image of $image with mmdebstrap"
    run_logged "image-$image" "building the image of $image" import_image "$image" "$tag"
    remove_outdated_images "$image" "$tag"
    log "$image is built: $(seconds_since "$start") s"
  ) 8>"$CACHE_DIR/image-$image.lock"
}

image_command() {
  local image jobs=() job failed=0
  [ $# -gt 0 ] || die "which image? There are ${IMAGE_NAMES[*]}"
  for image in "$@"; do check_image_name "$image"; done
  ensure_tools
  podman_here image ls --quiet >/dev/null
  for image in "$@"; do
    ensure_image "$image" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || failed=1; done
  return "$failed"
}

# ---- what this machine hands to its hosts ---------------------------------------------------------------------------

ensure_ssh_key() {
  mkdir -p "$CACHE_DIR/ssh"
  (
    flock 8
    [ -s "$SSH_KEY" ] || ssh-keygen -q -t ed25519 -N '' -C 'wsgiops test hosts' -f "$SSH_KEY" </dev/null
  ) 8>"$CACHE_DIR/ssh/lock" || die "could not make the SSH key $SSH_KEY"
  [ -r "$SSH_KEY" ] || die "$SSH_KEY is another user's (root's, by sudo?): remove $CACHE_DIR and the hosts"
}

# The certificates this machine trusts beyond those Debian ships, one file each into DIR: a company's own authority, or
# that of a proxy which reads TLS. Looked for in the system's bundle and in those the environment names.
write_local_certificates() {
  local dir=$1 bundle bundles=()
  for bundle in /etc/ssl/certs/ca-certificates.crt "${SSL_CERT_FILE:-}" "${PIP_CERT:-}" "${REQUESTS_CA_BUNDLE:-}"; do
    [ ! -f "$bundle" ] || bundles+=("$bundle")
  done
  [ "${#bundles[@]}" -gt 0 ] || return 0
  find /usr/share/ca-certificates -name '*.crt' -exec cat {} + 2>/dev/null |
    awk -v dir="$dir" '
      /^-----BEGIN CERTIFICATE-----/ { inside = 1; body = ""; text = "" }
      inside { text = text $0 "\n" }
      inside && !/^-----/ { line = $0; gsub(/[ \t\r]/, "", line); body = body line }
      /^-----END CERTIFICATE-----/ {
        inside = 0
        if (!(body in seen) && FILENAME != "-") {
          file = dir "/machine-" ++count ".crt"
          printf "%s", text >file
          close(file)
        }
        seen[body]
      }' - "${bundles[@]}"
}

# The package index this machine's pip is told to use, or nothing. Only one that can be reached over the network.
machine_pip_index() {
  local url=${PIP_INDEX_URL:-} file
  for file in "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf" /etc/pip.conf; do
    if [ -n "$url" ] || [ ! -r "$file" ]; then continue; fi
    url=$(sed -n 's/^[[:space:]]*index-url[[:space:]]*[=:][[:space:]]*//p' "$file" | head -n 1)
  done
  [[ $url != http://* && $url != https://* ]] || echo "$url"
}

write_environment() {
  local name value
  echo 'PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"'
  for name in http_proxy https_proxy no_proxy; do
    value=${!name:-}
    [ -z "$value" ] || printf '%s="%s"\n%s="%s"\n' "$name" "$value" "${name^^}" "$value"
  done
  [ -z "$1" ] || echo 'SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt"'
}

write_pip_conf() {
  local certificates=$1 index
  index=$(machine_pip_index)
  [ -n "$certificates$index" ] || return 0
  echo '[global]'
  [ -z "$certificates" ] || echo 'cert = /etc/ssl/certs/ca-certificates.crt'
  [ -z "$index" ] || echo "index-url = $index"
}

# What makes a host out of an image, as a tree under DIR: names, keys, trust, proxies.
write_identity() {
  local dir=$1 name=$2 certificates='' proxy
  mkdir -p "$dir"/{etc/ssh,etc/apt/apt.conf.d,root/.ssh,home/{admin,deploy}/.ssh,usr/local/share/ca-certificates}
  printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost ip6-loopback\n' "$name" >"$dir/etc/hosts"
  ssh-keygen -q -t ed25519 -N '' -C "root@$name" -f "$dir/etc/ssh/ssh_host_ed25519_key" </dev/null
  tee "$dir"/{root,home/admin,home/deploy}/.ssh/authorized_keys <"$SSH_KEY.pub" >/dev/null
  write_local_certificates "$dir/usr/local/share/ca-certificates"
  [ -z "$(ls "$dir/usr/local/share/ca-certificates")" ] || certificates=yes
  write_environment "$certificates" >"$dir/etc/environment"
  write_pip_conf "$certificates" >"$dir/etc/pip.conf"
  [ -s "$dir/etc/pip.conf" ] || rm "$dir/etc/pip.conf"
  proxy=$(machine_apt_proxy)
  [ -z "$proxy" ] || printf 'Acquire::http::Proxy "%s";\n' "$proxy" >"$dir/etc/apt/apt.conf.d/80proxy"
  chmod -R u=rwX,go=rX "$dir"
  chmod 0600 "$dir/etc/ssh/ssh_host_ed25519_key"
  chmod 0700 "$dir/root" "$dir"/{root,home/admin,home/deploy}/.ssh
}

identity_archive() {
  local name=$1 archive=$2 tree=$2.d
  write_identity "$tree" "$name"
  tar -C "$tree" -cf "$archive" --owner=0 --group=0 etc root usr
  # The users of the image, in the order in which test_host_setup adds them.
  tar -C "$tree" -rf "$archive" --owner=1000 --group=1000 home/admin/.ssh
  tar -C "$tree" -rf "$archive" --owner=1001 --group=1001 home/deploy/.ssh
  rm -r -- "$tree"
}

# ---- hosts ----------------------------------------------------------------------------------------------------------

check_host_name() {
  [[ ${1:-} =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] ||
    die "'${1:-}' is no host name: 1 to 63 lower-case letters, digits and hyphens, not a hyphen first or last"
}

container_of() { echo "wsgiops-$CHECKOUT_ID-$1"; }

# One line for each host of this checkout, or for one of them, in a Go template of podman's.
hosts_as() {
  local template=$1 name=${2:-}
  podman_is_installed || return 0
  podman_here ps --all --sort names --format "$template" --filter "label=wsgiops.checkout=$CHECKOUT_ID" \
    ${name:+--filter "name=^$(container_of "$name")\$"}
}

# host_field NAME FIELD: state (podman's word for it), address, image, or options; nothing when there is no such host.
host_field() {
  case "$2" in
    state) hosts_as '{{.ListContainer.State}}' "$1" ;;
    *) hosts_as "{{index .Labels \"wsgiops.$2\"}}" "$1" ;;
  esac
}

no_such_host() { die "there is no test host '$1' of this checkout: script/test-host list shows which there are"; }

require_host() {
  check_host_name "${1:-}"
  [ -n "$(host_field "$1" state)" ] || no_such_host "$1"
}

host_address() {
  local address
  address=$(host_field "$1" address)
  [ -n "$address" ] || no_such_host "$1"
  echo "$address"
}

# ssh's options, one word a line; Ansible gets the same. The user's own ssh configuration and agent stay out of it. A
# host that was switched off hard gives no answer any more: the last two end the waiting.
ssh_options() {
  printf '%s\n' -i "$SSH_KEY" -F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
    -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10 \
    -o ServerAliveInterval=5 -o ServerAliveCountMax=3
}

ensure_network() {
  podman_here network exists "$NETWORK" && return 0
  podman_here network create --disable-dns "$NETWORK"
  # This version of podman has no option for the name of the bridge; the one it takes could later be another podman's.
  as_root sed -i "s/\(\"network_interface\": *\)\"[^\"]*\"/\1\"$BRIDGE\"/" "$STORE_DIR/networks/$NETWORK.json"
}

# The lowest address of the network that no host of any checkout has; .1 is the machine's own.
free_address() {
  local prefix used number
  prefix=$(podman_here network inspect --format '{{(index .Subnets 0).Subnet}}' "$NETWORK")
  prefix=${prefix%.*}
  used=$(podman_here ps --all --format '{{index .Labels "wsgiops.address"}}')
  for number in {11..250}; do
    grep -qxF "$prefix.$number" <<<"$used" || { echo "$prefix.$number" && return 0; }
  done
  echo "all addresses of the network are taken: remove some hosts" >&2
  return 1
}

# One address, one MAC (from the locally administered range): the machine remembers the pair, and would look for a host
# that came back with another MAC for up to half a minute in vain.
mac_address() {
  local bytes
  IFS=. read -r -a bytes <<<"$1"
  printf '02:57:%02x:%02x:%02x:%02x\n' "${bytes[@]}"
}

# What a host's processes may have at most. Given explicitly because podman's defaults can lie above what a machine with
# low hard limits grants; and podman keeps itself below the number of process ids there are.
limit_options() {
  local files processes ids
  files=$(ulimit -H -n)
  processes=$(ulimit -H -u)
  ids=$(</proc/sys/kernel/pid_max)
  [ "$files" != unlimited ] || files=1048576
  [ "$processes" != unlimited ] && ((processes < ids)) || processes=$ids
  printf '%s\n' --ulimit "nofile=$files:$files" --ulimit "nproc=$processes:$processes"
}

# What the kind of an image asks of podman. /run is mounted here as it is on a real machine; podman's own mode of 1777
# would hide missing permissions. The journal's volume keeps the log over a restart, as a disk does. Without systemd podman
# mounts nothing by itself: /run and /tmp are emptied by a boot because they are mounted anew.
kind_options() {
  echo --tmpfs=/run:rw,nosuid,nodev,mode=755
  case "$1" in
    systemd) printf '%s\n' --systemd=always --volume=/var/log/journal ;;
    plain) printf '%s\n' --systemd=false --tmpfs=/tmp:rw,nosuid,nodev,mode=1777 ;;
  esac
}

create_container() {
  local name=$1 image=$2 tag=$3 options_sum=$4 archive=$5 container address limits mounts
  shift 5
  container=$(container_of "$name")
  ensure_network
  address=$(free_address)
  mapfile -t limits < <(limit_options)
  mapfile -t mounts < <(kind_options "$(image_kind "$image")")
  podman_here create --name "$container" --hostname "$name" --network "$NETWORK" --ip "$address" \
    --mac-address "$(mac_address "$address")" \
    --label "wsgiops.checkout=$CHECKOUT_ID" --label "wsgiops.name=$name" --label "wsgiops.image=$image" \
    --label "wsgiops.address=$address" --label "wsgiops.options=$options_sum" \
    --privileged --cgroupns=private --pids-limit=0 --http-proxy=false --no-hosts --tty "${limits[@]}" "${mounts[@]}" \
    "$@" "$tag"
  podman_here cp --archive=false - "$container:/" <"$archive" || {
    podman_here rm --force --volumes "$container"
    return 1
  }
}

# What can be seen of a host that did not come up; a host that is not running has nothing more to tell than its console.
boot_report() {
  local name=$1 container
  container=$(container_of "$name")
  log "its container is $(host_field "$name" state); the end of its console, failed units, waiting jobs, warnings:"
  {
    podman_here logs --tail "$LOG_LINES" "$container" || true
    podman_here exec "$container" sh -c '[ -d /run/systemd/system ] || exec ps -ef
      systemctl --no-pager --failed; systemctl --no-pager list-jobs
      journalctl --no-pager --boot --priority warning --lines 20' || true
  } 2>&1 | sed 's/^/    | /' >&2
}

# One word for how far a host has come up, as systemd has them: running, degraded, or another; nothing when it does not run.
boot_state() {
  local wait='systemctl is-system-running --wait'
  # What the entry point leaves when it has started everything.
  [ "$(image_kind "$2")" = systemd ] || wait='until [ -e /run/test-host-is-up ]; do sleep 0.05; done; echo running'
  podman_here exec "$1" timeout 30 sh -c "$wait" 2>/dev/null || true
}

# Up means: its init has finished starting, and root can log in.
wait_until_up() {
  local name=$1 container address image state='' deadline=$((SECONDS + BOOT_SECONDS)) options
  container=$(container_of "$name")
  address=$(host_address "$name")
  image=$(host_field "$name" image)
  mapfile -t options < <(ssh_options)
  while ((SECONDS < deadline)); do
    state=$(boot_state "$container" "$image")
    if [[ $state == running || $state == degraded ]]; then
      ssh -o ConnectTimeout=2 "${options[@]}" "root@$address" true </dev/null >/dev/null 2>&1 && break
      state="$state, but root cannot log in over SSH"
    fi
    # Nothing to wait for when its init has ended.
    [ -n "$state" ] || [ "$(host_field "$name" state)" = running ] || break
    sleep 0.1
  done
  case "$state" in
    running) ;;
    degraded) log "$name is up, but these units failed: $(failed_units "$container")" ;;
    *)
      printf 'ERROR: %s did not come up (waited for at most %s s); its init says: %s\n' \
        "$name" "$BOOT_SECONDS" "${state:-nothing}" >&2
      boot_report "$name"
      return "$REPORTED"
      ;;
  esac
}

failed_units() { podman_here exec "$1" systemctl --failed --plain --no-legend | cut -d ' ' -f 1 | xargs; }

# As on any machine with an authority of its own; only where this one has such, and once.
trust_local_certificates() {
  podman_here exec "$(container_of "$1")" sh -c 'cd /usr/local/share/ca-certificates
    [ ! -e machine-1.crt ] || [ -e /etc/ssl/certs/machine-1.pem ] || update-ca-certificates'
}

start_host() {
  run_logged "start-$1" "starting $1" podman_here start "$(container_of "$1")"
  wait_until_up "$1"
  run_logged "trust-$1" "making $1 trust this machine's certificates" trust_local_certificates "$1"
}

absolute_volume() {
  case "$1" in
    ./* | ../*) echo "$(realpath -- "${1%%:*}"):${1#*:}" ;;
    *) echo "$1" ;;
  esac
}

make_host() {
  local name=$1 image=$2 options_sum=$3 tag
  shift 3
  ensure_image "$image"
  step "Creating $name ($image)"
  tag=$(image_tag "$image")
  (
    archive=$(mktemp "$CACHE_DIR/identity.XXXXXX")
    trap 'rm -rf -- "$archive" "$archive.d"' EXIT
    identity_archive "$name" "$archive"
    # One at a time: addresses are given out here, and "clean" must not take the ground away meanwhile.
    flock 8
    if [ -z "$(host_field "$name" state)" ]; then
      run_logged "create-$name" "creating $name" create_container "$name" "$image" "$tag" "$options_sum" "$archive" "$@"
    fi
  ) 8<"$STATE_DIR/hosts.lock"
  start_host "$name"
}

create_command() {
  local name=${1:-} image='' options=() sum state start=$EPOCHREALTIME
  check_host_name "$name"
  shift
  while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "create: $1 needs a value"
    case "$1" in
      --image) image=$2 ;;
      --publish) options+=(--publish "$2") ;;
      --volume) options+=(--volume "$(absolute_volume "$2")") ;;
      *) die "create: unknown option '$1' (there are --image, --publish and --volume)" ;;
    esac
    shift 2
  done
  [ -n "$image" ] || die "create: --image is missing: one of ${IMAGE_NAMES[*]}"
  check_image_name "$image"
  ensure_tools
  ensure_ssh_key
  sum=$(sha256sum <<<"$image ${options[*]}" | cut -c 1-12)
  state=$(host_field "$name" state)
  if [ -z "$state" ]; then
    make_host "$name" "$image" "$sum" "${options[@]}"
  else
    [ "$(host_field "$name" options)" = "$sum" ] ||
      die "there is a test host '$name' with other options: remove it first (script/test-host destroy $name)"
    [ "$state" != running ] || return 0
    step "Starting $name again"
    start_host "$name"
  fi
  log "$name is up at $(host_address "$name"): $(seconds_since "$start") s"
}

restart_command() {
  local start=$EPOCHREALTIME
  require_host "${1:-}"
  step "Restarting $1"
  run_logged "stop-$1" "shutting $1 down" podman_here stop --time 30 "$(container_of "$1")"
  start_host "$1"
  log "$1 is up again: $(seconds_since "$start") s"
}

kill_command() {
  require_host "${1:-}"
  [ "$(host_field "$1" state)" = running ] || return 0
  podman_here kill --signal KILL "$(container_of "$1")" >/dev/null
  podman_here wait "$(container_of "$1")" >/dev/null
}

destroy_command() {
  local name
  [ $# -gt 0 ] || die "destroy: which hosts?"
  for name in "$@"; do
    check_host_name "$name"
    [ -n "$(host_field "$name" state)" ] || continue
    step "Removing $name"
    run_logged "destroy-$name" "removing $name" podman_here rm --force --volumes --time 0 "$(container_of "$name")"
  done
}

address_command() {
  check_host_name "${1:-}"
  host_address "$1"
}

inventory_entry() {
  local name=$1 address=$2
  cat <<HOST
    $name:
      ansible_host: $address
      ansible_user: root
      ansible_ssh_private_key_file: "$SSH_KEY"
      ansible_ssh_common_args: "$(ssh_options | grep -vxF -e -i -e "$SSH_KEY" | xargs)"
      ansible_python_interpreter: /usr/bin/python3
HOST
}

inventory_command() {
  local name address text=$'all:\n  hosts:\n'
  [ $# -gt 0 ] || die "inventory: which hosts?"
  for name in "$@"; do
    address=$(address_command "$name")
    text+=$(inventory_entry "$name" "$address")$'\n'
  done
  printf '%s' "$text"
}

# The user is root unless the name says otherwise: ssh admin@NAME.
ssh_command() {
  local target=${1:-} user=root options address
  [[ $target != *@* ]] || user=${target%%@*}
  check_host_name "${target##*@}"
  address=$(host_address "${target##*@}")
  shift
  mapfile -t options < <(ssh_options)
  exec ssh "${options[@]}" "$user@$address" "$@"
}

exec_command() {
  local name=${1:-} options=(--interactive)
  require_host "$name"
  shift
  [ $# -gt 0 ] || die "exec: which command?"
  [ ! -t 0 ] || [ ! -t 1 ] || options+=(--tty)
  podman_here exec "${options[@]}" "$(container_of "$name")" "$@" || exit $?
}

list_command() {
  local fields name image address state ports
  fields='{{index .Labels "wsgiops.name"}} {{index .Labels "wsgiops.image"}} {{index .Labels "wsgiops.address"}}'
  fields+=' {{.ListContainer.State}} {{.Ports}}'
  {
    echo NAME IMAGE ADDRESS STATE PORTS
    hosts_as "$fields"
  } |
    while read -r name image address state ports; do
      printf '%-20s %-14s %-15s %-8s %s\n' "$name" "$image" "$address" "$state" "$ports"
    done
}

# Runs as root. Ends the control group view, which nothing uses any more.
remove_view() {
  local view=$1
  umount "$view" 2>/dev/null || true
  ! mountpoint --quiet "${view%/*}" || umount "${view%/*}"
}

# Images that a host still needs, whosever it is, stay.
remove_images() {
  local id
  for id in $(podman_here images --quiet --filter label=wsgiops.image | sort -u); do
    podman_here rmi "$id" >/dev/null 2>&1 || true
  done
}

clean_command() {
  local listed names images=''
  case "$*" in
    '') ;;
    --images) images=yes ;;
    *) die "clean: unknown option '$*' (there is --images)" ;;
  esac
  podman_is_installed || return 0
  listed=$(hosts_as '{{index .Labels "wsgiops.name"}}')
  mapfile -t names <<<"$listed"
  [ -z "$listed" ] || destroy_command "${names[@]}"
  [ -z "$images" ] || remove_images
  (
    flock 8
    if [ -z "$(podman_here ps --all --quiet)" ]; then root_call remove_view "$CGROUP_VIEW"; fi
  ) 8<"$STATE_DIR/hosts.lock"
}
