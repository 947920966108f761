#!/bin/sh
# Managed by the Ansible collection wsgiops.flask; changes made here are undone by its next run.
# Puts configuration files back that a run changed and then died, or lost its host to a power cut, before anyone knew
# whether they are right. It runs before nginx starts; the next run of the playbook does the same. A run that is alive is
# left alone. What it finds is described in plugins/module_utils/_undo.py. With certificates it does the same.
# Usage: undo.sh. It says what it put back, or nothing.
set -eu

state=/var/lib/wsgiops.flask
sites=/etc/nginx/wsgiops-flask
[ "$(id -u)" -eq 0 ] || state=$HOME/.local/state/wsgiops.flask

# issue_certificate.sh replaces a pair by two renames, and has the old one here meanwhile.
for work in "$sites"/*/.issue.*; do
  [ -d "$work" ] || continue
  site=${work%/*}
  (
    exec 8<"$site"
    flock --nonblock 8 || exit 0
    if [ -e "$work/both" ]; then
      [ ! -e "$work/old-key" ] || mv -f "$work/old-key" "$site/key.pem"
      [ ! -e "$work/old-certificate" ] || mv -f "$work/old-certificate" "$site/certificate.pem"
      sync "$site"
      printf '%s\n' "$site/certificate.pem: as before an issue that did not come to its end"
    fi
    rm -rf "$work"
  )
done

[ -d "$state/undo" ] || exit 0
exec 9<"$state"
flock --nonblock 9 || exit 0
[ -d "$state/undo" ] || exit 0

is_there() { [ -e "$1" ] || [ -L "$1" ]; }

units=false
while IFS=' ' read -r name path; do
  if [ "$name" = - ]; then
    rm -rf "$path"
  elif is_there "$state/undo/$name"; then
    mkdir -p "${path%/*}"
    # A rename takes it into its place at once, and no room on the disk. From another file system it is a copy first.
    from=$state/undo/$name
    if [ "$(stat --format=%d "$state/undo")" != "$(stat --format=%d "${path%/*}")" ]; then
      from=${path%/*}/.wsgiops-undo
      rm -rf "$from"
      cp -a "$state/undo/$name" "$from"
    fi
    mv -fT "$from" "$path"
  fi
  [ ! -d "${path%/*}" ] || sync "${path%/*}"
  printf '%s\n' "$path: as before a run that did not come to its end"
  case $path in
    /etc/systemd/*) units=true ;;
  esac
done <"$state/undo/list"

rm -rf "$state/ended"
mv -T "$state/undo" "$state/ended"
sync "$state"
rm -rf "$state/ended" "$state/new"
rmdir "$state"
! "$units" || systemctl daemon-reload
