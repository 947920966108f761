# shellcheck shell=bash
# How the image of a test host is made: Debian's own packages, put together by mmdebstrap, configured by the hooks
# test_host_setup and test_host_setup_{systemd,plain} beside this file. Sourced by test_host.sh. Nothing here runs podman.
#
# There are two kinds: hosts that boot systemd, and "plain" ones that have none: an entry point starts sshd and cron.
#
#   image_suite IMAGE       the Debian suite of an image name (debian12 -> bookworm); status 1 for an unknown name
#   image_kind IMAGE        systemd, or plain
#   image_recipe_sum IMAGE  checksum of everything the image is made from; another sum means another image
#   image_tar IMAGE         writes the root file system as a tar archive to stdout; needs root (by as_root)

# shellcheck disable=SC2034 # for those who source this
IMAGE_NAMES=(debian12 debian13 debian12-plain debian13-plain)

# What a cloud image of Debian has and a role may lean on. What the collection has to install by itself on a virgin host
# (nginx, logrotate, cron, python3-venv) must not be here. python3-apt is on Debian's cloud images (unattended-upgrades
# brings it); without it Ansible's apt module cannot run in check mode.
IMAGE_PACKAGES=(
  login passwd sudo openssh-server python3 python3-apt ca-certificates iproute2 iputils-ping netbase procps
)
# cron is what a host without systemd has instead. Debian 13's openssh-server wants systemd-sysusers, which systemd itself
# would bring otherwise.
IMAGE_PACKAGES_SYSTEMD=(systemd systemd-sysv dbus libpam-systemd)
IMAGE_PACKAGES_PLAIN=(cron systemd-standalone-sysusers)

# Downloaded into the image's package cache, not installed: saves every test host the same downloads.
IMAGE_CACHED_PACKAGES=(nginx logrotate cron python3-venv)

# Documentation is left out as it is in container images: it doubles the time dpkg takes.
IMAGE_DPKG_OPTIONS=(
  force-unsafe-io
  'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/info/*' 'path-exclude=/usr/share/locale/*'
  'path-exclude=/usr/share/doc/*' 'path-include=/usr/share/doc/*/copyright'
)

image_suite() {
  case "$1" in
    debian12 | debian12-plain) echo bookworm ;;
    debian13 | debian13-plain) echo trixie ;;
    *) return 1 ;;
  esac
}

image_kind() { if [[ $1 == *-plain ]]; then echo plain; else echo systemd; fi; }

image_packages() {
  local packages=("${IMAGE_PACKAGES[@]}")
  case "$(image_kind "$1")" in
    systemd) packages+=("${IMAGE_PACKAGES_SYSTEMD[@]}") ;;
    plain) packages+=("${IMAGE_PACKAGES_PLAIN[@]}") ;;
  esac
  (IFS=, && echo "${packages[*]}")
}

# The hooks that configure an image, in their order; a plain one's copies test_host_init into it.
image_hooks() { printf '%s\n' "$REPO_ROOT/script/lib/test_host_setup" "$REPO_ROOT/script/lib/test_host_setup_$(image_kind "$1")"; }

first_mirror() { awk '/^https?:/ { print $1; exit }' "${1%/}" || true; }

# The mirrors this machine's apt uses for Debian, as lines "main URI" and "security URI"; nothing where it has none that
# a container could reach too. A source counts as Debian's by the Origin in its Release file: apt knows none before the
# first apt-get update.
machine_mirrors() {
  local codename kind uri
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME:-}") || return 0
  # shellcheck disable=SC2016 # the dollars are apt's
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
    awk -v codename="$codename" '
      $1 == codename || $1 ~ /^(old)?stable$/ { print "main", $2 }
      $1 ~ /-security$/ { print "security", $2 }' |
    while read -r kind uri; do
      # Debian's cloud images name their mirrors in a file.
      [[ $uri != mirror+file:* ]] || uri=$(first_mirror "${uri#mirror+file:}")
      [[ ! $uri =~ ^https?:// || $uri =~ ^https?://(localhost|127\.) ]] || echo "$kind $uri"
    done | sort -u -k 1,1
}

# The apt sources of a suite, or nothing: then mmdebstrap writes Debian's own.
image_sources() {
  local suite=$1 mirrors main security keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mirrors=$(machine_mirrors)
  main=$(sed -n 's/^main //p' <<<"$mirrors")
  security=$(sed -n 's/^security //p' <<<"$mirrors")
  [ -n "$main" ] && [ -n "$security" ] || return 0
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' \
    "$main" "$suite $suite-updates" "$keyring" "$security" "$suite-security" "$keyring"
}

# A mirror frozen at some day needs these two on the machine, and then on the test hosts as well.
image_apt_options() {
  echo 'Acquire::Languages "none";'
  apt-config dump --no-empty --format '%f "%v";%n' Acquire::Check-Valid-Until Acquire::Check-Date
}

image_recipe_sum() {
  local hooks
  {
    image_kind "$1"
    mapfile -t hooks < <(image_hooks "$1")
    cat -- "$REPO_ROOT/script/lib/test_host_image.sh" "${hooks[@]}"
    [ "$(image_kind "$1")" = systemd ] || cat -- "$REPO_ROOT/script/lib/test_host_init"
    image_sources "$(image_suite "$1")"
    image_apt_options
    dpkg --print-architecture
  } | sha256sum | cut -c 1-12
}

# The proxy apt uses here, whether it is set for apt or for every program.
machine_apt_proxy() {
  local proxy
  proxy=$(apt-config dump --no-empty --format '%v' Acquire::http::Proxy)
  echo "${proxy:-${http_proxy:-}}"
}

image_tar() {
  local suite sources proxy option hook apt
  suite=$(image_suite "$1")
  sources=$(image_sources "$suite")
  proxy=$(machine_apt_proxy)
  local options=(--mode=root --format=tar --variant=minbase)
  options+=(--include="$(image_packages "$1")")
  # The package lists stay, so that check mode on a virgin host knows what could be installed. "Reproducible" would mark
  # the machine id as uninitialized, and systemd would enable every unit at what it takes for the first boot:
  # machine-id(5).
  options+=(--skip=cleanup/apt --skip=cleanup/reproducible)
  while read -r option; do options+=(--aptopt="$option"); done < <(image_apt_options)
  for option in "${IMAGE_DPKG_OPTIONS[@]}"; do options+=(--dpkgopt="$option"); done
  # shellcheck disable=SC2016 # expanded by the shell that mmdebstrap starts for the hook
  apt='APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --yes --no-install-recommends'
  options+=(--customize-hook="$apt clean && $apt --download-only install ${IMAGE_CACHED_PACKAGES[*]}")
  while read -r hook; do options+=(--customize-hook="$hook"); done < <(image_hooks "$1")
  # Sources from a pipe: mmdebstrap takes "-" for its standard input.
  as_root env ${proxy:+"http_proxy=$proxy"} mmdebstrap "${options[@]}" "$suite" - ${sources:+-} <<<"$sources"
}
