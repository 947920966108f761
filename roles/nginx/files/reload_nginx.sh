#!/bin/sh
# Managed by the Ansible collection wsgiops.flask; changes made here are undone by its next run.
# Has a running nginx read a new certificate; one that is stopped reads it when it starts.
# Usage: reload_nginx.sh, beside which keep_nginx.sh is where there is no systemd.
set -eu
if [ -d /run/systemd/system ]; then
  exec systemctl try-reload-or-restart nginx.service
fi
exec sh "${0%reload_nginx.sh}keep_nginx.sh" reload
