#!/bin/sh
# Managed by the Ansible collection wsgiops.flask; changes made here are undone by its next run.
# Has certbot issue the certificate of an application, or renew it when it is due, and nginx use what it issued.
# Usage: issue_certificate.sh DIRECTORY, which holds certbot.ini, certificate.pem and key.pem, and acme-ca-bundle where
# the authority's own certificate is no public one's. It says what it did, or nothing.
set -eu
umask 077

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

[ $# -eq 1 ] || fail "usage: issue_certificate.sh DIRECTORY"
ini=$1/certbot.ini
certificate=$1/certificate.pem
key=$1/key.pem

setting() { sed -n "s/^$1 = //p" "$ini"; }

config=$(setting config-dir)
webroot=$(setting webroot-path)
lineage=$config/live/$(setting cert-name)
email=$(setting email)

# The timer and a run of the playbook take turns.
exec 9<"$1"
flock --timeout 900 9 || fail "$certificate: another issue of it does not come to its end"

if [ -e "$1/acme-ca-bundle" ]; then
  REQUESTS_CA_BUNDLE=$(cat "$1/acme-ca-bundle")
  export REQUESTS_CA_BUNDLE
fi
# nginx's workers have to get there.
(umask 022 && mkdir -p "$webroot" "$config")

# Cut off while it wrote a certificate down, certbot would write the next one down under another name.
if [ ! -s "$lineage/fullchain.pem" ] || [ ! -s "$config/renewal/$(setting cert-name).conf" ]; then
  rm -rf "$config/live" "$config/archive" "$config/renewal"
fi

# An account keeps the address that it was made with until the authority is told another.
told=$config/told-email
[ -n "$(find "$config/accounts" -name regr.json 2>/dev/null)" ] || printf '%s\n' "$email" >"$told"

run_certbot() { LC_ALL=C.UTF-8 certbot "$1" --config "$ini" 2>&1; }

# What the authority answered, which certbot 2.1 on Python 3.11 loses in an error of its own.
refusal() {
  sed -nE 's/.*"detail": *"(([^"\\]|\\.)*)".*/The authority said: \1/p' "$config/logs/letsencrypt.log" 2>/dev/null | tail -n 1
}

said=$(run_certbot certonly) || fail "$certificate: certbot failed; it is as before:
$said
$(refusal)"

work=''
replaced=false

clean_up() {
  if "$replaced"; then
    mv -f "$work/old-key" "$key"
    mv -f "$work/old-certificate" "$certificate"
  fi
  [ -z "$work" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

if ! cmp -s "$lineage/fullchain.pem" "$certificate" || ! cmp -s "$lineage/privkey.pem" "$key"; then
  # Beside them, so that a rename takes each into its place at once.
  work=$(mktemp -d "$1/.issue.XXXXXX")
  cat "$lineage/fullchain.pem" >"$work/new-certificate"
  cat "$lineage/privkey.pem" >"$work/new-key"
  chmod 0644 "$work/new-certificate"
  sync "$work/new-certificate" "$work/new-key"
  cp -p "$certificate" "$work/old-certificate"
  cp -p "$key" "$work/old-key"
  sync "$work/old-certificate" "$work/old-key"
  # From here on undo.sh has something to put back.
  : >"$work/both"
  sync "$work"

  replaced=true
  mv -f "$work/new-key" "$key"
  mv -f "$work/new-certificate" "$certificate"
  nginx -t -q || fail "$certificate: nginx refused the issued one; the previous one is back"
  sh "${0%issue_certificate.sh}reload_nginx.sh" ||
    fail "$certificate: nginx could not be reloaded with the issued one; the previous one is back"
  replaced=false
  ends=$(openssl x509 -in "$certificate" -noout -enddate)
  printf '%s\n' "$certificate: issued, it ends on ${ends#notAfter=}"
fi

if [ "$(cat "$told")" != "$email" ]; then
  said=$(run_certbot update_account) || fail "$certificate: the authority did not take the new tls.acme.email:
$said
$(refusal)"
  printf '%s\n' "$email" >"$told"
  printf '%s\n' "$certificate: the authority knows the new tls.acme.email"
fi

# What an authority issued that is no longer asked.
for other in "$1"/acme/*; do
  [ "$other" = "$config" ] || [ "$other" = "$webroot" ] || rm -rf "$other"
done
