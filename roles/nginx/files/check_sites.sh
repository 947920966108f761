#!/bin/sh
# Checks nginx's configuration, and that no other site has a domain of this one: nginx serves such a name from the file
# that it reads first, and merely warns.
# With WSGIOPS_NGINX it is an ordinary user's own nginx, as in keep_nginx.sh, where there is one.
# Usage: sh -c "$(cat check_sites.sh)" NAME [SITE DOMAIN...], SITE being the application's own file.
set -u
own=${WSGIOPS_NGINX:-}
if [ -n "$own" ]; then
  [ -e "$own/nginx.conf" ] || exit 0
  PATH=$PATH:/usr/sbin:/sbin
  mkdir -p "$own/run" "$own/log"
fi

run_nginx() {
  if [ -n "$own" ]; then
    nginx -e "$own/log/error.log" -c "$own/nginx.conf" "$@"
  else
    nginx "$@"
  fi
}

# The files other than $1 that have the name $2 in a directive server_name.
files_with() {
  run_nginx -T 2>/dev/null | awk -v site="$1" -v domain="$2" '
    /^# configuration file .*:$/ { file = substr($0, 22, length($0) - 22); next }
    {
      line = tolower($0)
      sub(/#.*/, "", line)
      gsub(/"/, "", line)
      gsub(/[;{}]/, " & ", line)
      count = split(line, words, /[ \t]+/)
      for (word = 1; word <= count; word++) {
        if (words[word] == "server_name") inside = 1
        if (words[word] == ";") inside = 0
        if (inside && words[word] == domain && file != site && !seen[file]++) print file
      }
    }'
}

status=0
said=$(run_nginx -t -q 2>&1) || status=$?
printf '%s\n' "$said"
case $said in
  *"a duplicate default server for "*)
    echo "Another site answers requests for unknown names already. Where it is meant to, nginx_catch_all: false leaves them to it."
    ;;
esac
[ "$status" -eq 0 ] || exit "$status"
[ $# -gt 1 ] || exit 0

site=$1
shift
for domain in "$@"; do
  case $said in
    *"conflicting server name \"$domain\" on "*)
      printf 'domains: another site on this host has %s already, in %s. One of the two has to do without it.\n' \
        "$domain" "$(files_with "$site" "$domain" | tr '\n' ' ' | sed 's/ $//')"
      status=1
      ;;
  esac
done
exit "$status"
