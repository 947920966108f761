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
extends_documentation_fragment:
  - wsgiops.flask.transaction
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
      - V(acme) keeps what is there as long as it serves - a certificate of an authority that has not ended and is for
        one of O(domains) at least, or a self-signed one for all of them -, and otherwise makes a self-signed stand-in.
        O(issue) has the authority's take its place.
      - What certbot has for the application, C(<directory>/certbot.ini) and C(<directory>/acme), goes with any mode but
        V(acme).
    type: str
    choices: [self_signed, provided, acme]
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
  lineage:
    description: With O(mode=acme), absolute path of the directory in which certbot has C(fullchain.pem) and
      C(privkey.pem). It need not be there.
    type: path
  authority:
    description: With O(mode=acme), URL of the authority's directory, for messages.
    type: str
    default: ''
  issue:
    description:
      - With O(mode=acme), command, as a list, that has the authority issue a certificate, puts it in place and tells
        the service. Run whenever it is given.
      - When it fails, the module warns if what is in place is the pair in O(lineage), good for all O(domains), as
        clients notice nothing yet, and fails otherwise.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Compares, makes no certificate, asks no authority, and runs none of the commands. A host that has no
      openssl yet would change.
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

- name: Have an authority issue one
  wsgiops.flask.certificate:
    name: shop
    directory: /etc/nginx/wsgiops-flask/shop
    mode: acme
    domains: [shop.example.com]
    lineage: /etc/nginx/wsgiops-flask/shop/acme/0123456789abcdef/live/shop
    authority: https://acme-v02.api.letsencrypt.org/directory
    issue: [sh, /etc/nginx/wsgiops-flask/_issue_certificate.sh, /etc/nginx/wsgiops-flask/shop]
    check: [nginx, -t, -q]
    apply: [systemctl, reload-or-restart, nginx.service]
"""

RETURN = r"""
issued:
  description: Whether the certificate in place is the one in O(lineage), for exactly O(domains), and good. In check
    mode, whether it is so before.
  returned: with O(mode=acme)
  type: bool
not_after:
  description: When the certificate ends, ISO 8601 in UTC; null in check mode when that is not known yet.
  returned: success
  type: str
  sample: '2027-12-23T18:48:52Z'
"""

import os
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils import _certificate, _file_set, _files

# Of the words of a command that failed, the last ones tell why.
LAST_WORDS = 3000


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
    is_kept = _certificate.bridges if params["mode"] == "acme" else _certificate.is_good_self_signed
    if before is not None and is_kept(before, params["domains"], now):
        return before
    return None if module.check_mode else _certificate.self_signed(params["domains"])


class Place:
    """Where the pair is, and what certbot has beside it."""

    def __init__(self, params):
        self.params = params
        directory = params["directory"]
        self.certificate, self.key = (os.path.join(directory, name) for name in ("certificate.pem", "key.pem"))
        self.settings, self.state = (os.path.join(directory, name) for name in ("certbot.ini", "acme"))

    def pair(self):
        return _certificate.standing(self.certificate, self.key)

    def files(self, pair, before):
        """The files to have; the text of what stays is as it is, with certbot's empty lines in it."""
        texts = ["".join(each.pem for each in pair.chain), pair.key.pem]
        if pair is before and self.params["mode"] == "acme":
            texts = [_files.read_text(path) or "" for path in (self.certificate, self.key)]
        return [
            _files.WantedFile(self.certificate, texts[0]),
            _files.WantedFile(self.key, texts[1], 0o600),
        ]

    def serves(self, pair):
        """Whether the pair is the one that certbot has, and good for all domains."""
        names = [os.path.join(self.params["lineage"] or "", name) for name in ("fullchain.pem", "privkey.pem")]
        # certbot's are links.
        lineage = _certificate.standing(*map(os.path.realpath, names))
        is_good = _certificate.flaw(pair, self.params["domains"], time.time()) is None
        return is_good and _certificate.is_same(pair, lineage)

    def is_issued(self, pair):
        """Whether there is nothing to ask the authority for, as long as the pair lasts."""
        return self.serves(pair) and _certificate.is_for_exactly(pair, self.params["domains"])

    def diff(self, before, after):
        shown = _certificate.described(before.chain) if before is not None else ""
        path = self.certificate
        return [{"before_header": path, "after_header": path, "before": shown, "after": after}]


def have_issued(module, place, pair):
    """The pair that is in place after the command that has one issued ran, well or not."""
    params = module.params
    done = subprocess.run(
        params["issue"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    after = place.pair() or pair
    if done.returncode == 0:
        return after
    serves = place.serves(after)
    if serves:
        note = "The one in place lasts until {0}".format(after.own.not_after)
    else:
        what = "a self-signed one" if _certificate.is_self_signed(after) else "the previous one"
        note = "The site is served with {0}".format(what)
    said = (
        "tls.mode: acme: no new certificate for {0} from {1}. {2}, and the timer tries again twice a day.\n{3}".format(
            ", ".join(params["domains"]), params["authority"], note, done.stdout.strip()[-LAST_WORDS:]
        )
    )
    if not serves:
        raise _certificate.CertificateError(said)
    module.warn("{0}: {1}".format(params["name"], said))
    return after


def have_certificate(module):
    params = module.params
    place = Place(params)
    is_acme = params["mode"] == "acme"
    names = "a certificate for {0}\n".format(", ".join(params["domains"]))
    unknown = {"changed": True, "not_after": None, **({"issued": False} if is_acme else {})}
    if not _certificate.has_openssl():
        if module.check_mode:
            module.exit_json(diff=place.diff(None, names), **unknown)
        raise _certificate.CertificateError("the command openssl is not on this host; install the package openssl")
    before = place.pair()
    pair = wanted_pair(module, before)
    if pair is None:
        module.exit_json(diff=place.diff(before, names), **unknown)
    absent = [] if is_acme else [place.settings]
    transaction = _file_set.FileSet(place.files(pair, before), absent, params["check"], params["apply"])
    changed = transaction.pending
    shown = bool(transaction.paths)
    if changed and not module.check_mode:
        transaction.commit()
    if not is_acme and os.path.lexists(place.state):
        changed = True
        if not module.check_mode:
            # Not before: what it holds is of use as long as certbot.ini is there.
            _files.remove(place.state)
    if is_acme and params["issue"] and module.check_mode and not place.is_issued(pair):
        module.exit_json(diff=place.diff(before, names), **unknown)
    if is_acme and params["issue"] and not module.check_mode:
        after = have_issued(module, place, pair)
        shown = shown or after != pair
        changed = changed or after != pair
        pair = after
    result = {"issued": place.is_issued(pair)} if is_acme else {}
    diff = place.diff(before, _certificate.described(pair.chain)) if shown else []
    module.exit_json(changed=changed, not_after=pair.own.not_after, diff=diff, **result)


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "mode": {"type": "str", "choices": ["self_signed", "provided", "acme"], "required": True},
            "domains": {"type": "list", "elements": "str", "required": True},
            "certificate": {"type": "str"},
            "key": {"type": "str", "no_log": True},
            "lineage": {"type": "path"},
            "authority": {"type": "str", "default": ""},
            "issue": {"type": "list", "elements": "str", "default": []},
            "check": {"type": "list", "elements": "str", "default": []},
            "apply": {"type": "list", "elements": "str", "default": []},
        },
        required_if=[("mode", "provided", ("certificate", "key")), ("mode", "acme", ("lineage",))],
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
