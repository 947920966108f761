#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
version_added: 0.1.0
short_description: Have an application's certificate where nginx reads it
description:
  - Puts a certificate chain into C(<directory>/certificate.pem) and its key into C(<directory>/key.pem), has the whole
    configuration checked, and has the service take it over. When the check or the take-over fails, the previous pair is
    back and the service is told so again.
  - What nginx would refuse or clients would not take is refused before anything is changed.
requirements:
  - The command C(openssl) of OpenSSL 3.0 or later.
options:
  name:
    description: The application's name, for messages.
    type: str
    required: true
  directory:
    description: Absolute path. It and what is above it are made where they are missing.
    type: path
    required: true
  mode:
    description:
      - V(self_signed) keeps the certificate that is there if it is self-signed, for exactly O(domains), and lasts for
        more than 30 days; otherwise it makes a new one for 397 days, with a new key.
      - V(provided) takes O(certificate) and O(key).
    type: str
    choices: [self_signed, provided]
    required: true
  domains:
    description: Host names, wildcards and addresses that the certificate has to be for, at least one. The first is the
      common name of a self-signed one.
    type: list
    elements: str
    required: true
  certificate:
    description: With O(mode=provided), the application's certificate and after each one that of its issuer, as far as
      clients do not know it - PEM text, or an absolute path on the host. It has to belong to O(key), not to have ended,
      and to be for all O(domains).
    type: str
  key:
    description: With O(mode=provided), the private key without a passphrase - PEM text, or an absolute path on the
      host. An RSA key has 2048 bits or more.
    type: str
  check:
    description: Command, as a list, that succeeds when the configuration is right.
    type: list
    elements: str
    default: []
  apply:
    description: Command, as a list, that makes the service take the configuration over.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Compares, makes no certificate, and runs none of the commands. A host that has no openssl yet would
      change.
    support: full
  diff_mode:
    description: Shows what the certificates say, and nothing of the keys.
    support: full
author:
  - The wsgiops contributors (@wsgiops)
"""

EXAMPLES = r"""
- name: Make a certificate
  wsgiops.flask.certificate:
    name: shop
    directory: /etc/nginx/wsgiops-flask/shop
    mode: self_signed
    domains: [shop.example.com]
    check: [nginx, -t, -q]
    apply: [systemctl, reload-or-restart, nginx.service]

- name: Take the authority's certificate
  wsgiops.flask.certificate:
    name: shop
    directory: /etc/nginx/wsgiops-flask/shop
    mode: provided
    domains: [shop.example.com]
    certificate: "{{ lookup('ansible.builtin.file', 'shop.pem') }}"
    key: "{{ vault_shop_key }}"
    check: [nginx, -t, -q]
    apply: [systemctl, reload-or-restart, nginx.service]
"""

RETURN = r"""
not_after:
  description: When the certificate ends, ISO 8601 in UTC; null in check mode when that is not known yet.
  returned: success
  type: str
  sample: '2027-12-23T18:48:52Z'
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils import _certificate, _file_set, _files


def wanted_pair(module, before):
    """The pair to have, None for one that is yet to be made in check mode."""
    params = module.params
    now = time.time()
    if params["mode"] == "provided":
        pair = _certificate.provided(params["certificate"], params["key"], params["domains"], now)
        if pair.own.ends < now + _certificate.WARN_WITHIN * _certificate.DAY:
            said = "{0}: tls.certificate: it ends on {1}; clients refuse it from then on"
            module.warn(said.format(params["name"], pair.own.not_after[:10]))
        return pair
    if before is not None and _certificate.is_good_self_signed(before, params["domains"], now):
        return before
    return None if module.check_mode else _certificate.self_signed(params["domains"])


def have_certificate(module):
    params = module.params
    certificate, key = (os.path.join(params["directory"], name) for name in ("certificate.pem", "key.pem"))

    def diff(before, after):
        shown = _certificate.described(before.chain) if before is not None else ""
        return [{"before_header": certificate, "after_header": certificate, "before": shown, "after": after}]

    names = "a certificate for {0}\n".format(", ".join(params["domains"]))
    if not _certificate.has_openssl():
        if module.check_mode:
            module.exit_json(changed=True, not_after=None, diff=diff(None, names))
        raise _certificate.CertificateError("the command openssl is not on this host; install the package openssl")
    before = _certificate.standing(certificate, key)
    pair = wanted_pair(module, before)
    if pair is None:
        module.exit_json(changed=True, not_after=None, diff=diff(before, names))
    files = [
        _files.WantedFile(certificate, "".join(each.pem for each in pair.chain)),
        _files.WantedFile(key, pair.key.pem, 0o600),
    ]
    transaction = _file_set.FileSet(files, [], params["check"], params["apply"])
    changed = transaction.pending
    if changed and not module.check_mode:
        transaction.commit()
    shown = diff(before, _certificate.described(pair.chain)) if transaction.paths else []
    module.exit_json(changed=changed, not_after=pair.own.not_after, diff=shown)


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "mode": {"type": "str", "choices": ["self_signed", "provided"], "required": True},
            "domains": {"type": "list", "elements": "str", "required": True},
            "certificate": {"type": "str"},
            "key": {"type": "str", "no_log": True},
            "check": {"type": "list", "elements": "str", "default": []},
            "apply": {"type": "list", "elements": "str", "default": []},
        },
        required_if=[("mode", "provided", ("certificate", "key"))],
        supports_check_mode=True,
    )
    name, key = module.params["name"], module.params["key"] or ""
    if not module.params["domains"]:
        module.fail_json(msg="{0}: domains: at least one is needed".format(name))
    if key.startswith("/"):
        # A path is no secret, and messages name it.
        module.no_log_values.discard(key)
    try:
        have_certificate(module)
    except (_certificate.CertificateError, _file_set.FileSetError, KeyError, OSError) as error:
        module.fail_json(msg="{0}: {1}".format(name, error))


if __name__ == "__main__":
    main()
