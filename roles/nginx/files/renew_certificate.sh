#!/bin/sh
# Managed by the Ansible collection wsgiops.flask; changes made here are undone by its next run.
# Renews the self-signed certificate of an application that ends within 30 days: same key, subject and names. Where
# certbot.ini is, an authority's is on its way or there, and issue_certificate.sh, beside this script, looks after it.
# Usage: renew_certificate.sh DIRECTORY, which holds certificate.pem and key.pem. It says what it did, or nothing.
set -eu
umask 077

WITHIN=$((30 * 24 * 60 * 60))
DAYS=397

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

field() { openssl x509 -in "$certificate" -noout "$1" -nameopt RFC2253 | sed 's/^[^=]*=//'; }

[ $# -eq 1 ] || fail "usage: renew_certificate.sh DIRECTORY"
[ ! -e "$1/certbot.ini" ] || exec sh "${0%renew_certificate.sh}issue_certificate.sh" "$1"
certificate=$1/certificate.pem
key=$1/key.pem
openssl x509 -in "$certificate" -noout || fail "$certificate: openssl can not read it; it is not renewed"

# What an authority has issued is for that authority to renew.
[ "$(field -subject)" = "$(field -issuer)" ] || exit 0
! openssl x509 -in "$certificate" -noout -checkend "$WITHIN" >/dev/null || exit 0

# Beside them, so that a rename takes each into its place at once.
work=$(mktemp -d "$1/.renew.XXXXXX")
replaced=false

clean_up() {
  if "$replaced"; then
    mv -f "$work/old" "$certificate"
  fi
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# A serial number of its own: browsers refuse two certificates of one issuer that share one.
openssl x509 -in "$certificate" -signkey "$key" -sha256 -days "$DAYS" -set_serial "0x$(openssl rand -hex 16)" \
  -out "$work/new" || fail "$certificate: openssl could not renew it; it is as before"
chmod 0644 "$work/new"
sync "$work/new"
cp -p "$certificate" "$work/old"

replaced=true
mv -f "$work/new" "$certificate"
nginx -t -q || fail "$certificate: nginx refused the renewed one; the previous one is back"
sh "${0%renew_certificate.sh}reload_nginx.sh" ||
  fail "$certificate: nginx could not be reloaded with the renewed one; the previous one is back"
replaced=false
printf '%s\n' "$certificate: renewed, it ends on $(field -enddate)"
