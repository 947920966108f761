#!/bin/sh
# Makes the directories that a file of tmpfiles.d(5) lists, and runs a command then. Where there is no systemd-tmpfiles it
# does the same: each directory is its owner's and has the group and the bits of its line.
# The owner can put links in the way at any moment. So the directory is made by the owner, and root changes what it stands
# in, which is where it should be whatever the path leads to a moment later.
# Usage: sh -c "$(cat make_directories.sh)" NAME FILE COMMAND...
set -eu
file=$1
shift

make_directory() {
  path=$1 mode=$2 owner=$3 group=$4
  setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups mkdir -p "$path"
  (
    cd -P "$path"
    if [ "$(env pwd -P)" != "$path" ]; then
      echo "$path: a link of $owner leads elsewhere; it has to be a directory" >&2
      exit 1
    fi
    chown "$owner:$group" .
    chmod "$mode" .
  )
}

if command -v systemd-tmpfiles >/dev/null; then
  systemd-tmpfiles --create "$file"
else
  while read -r kind path mode owner group; do
    [ "$kind" != d ] || make_directory "$path" "$mode" "$owner" "$group"
  done <"$file"
fi
exec "$@"
