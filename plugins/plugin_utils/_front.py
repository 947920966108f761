# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validation of what nginx does in front of an application: path, TLS, proxies, limits, access, headers and pages."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from pathlib import Path

from ansible_collections.wsgiops.flask.plugins.plugin_utils._static import static_problems
from ansible_collections.wsgiops.flask.plugins.plugin_utils._values import (
    App,
    Schema,
    at,
    filled,
    has_dots,
    is_host,
    is_in,
    is_path,
    is_true,
    number,
)

Resolve = t.Callable[[str], Path]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Unreserved characters of a URI (RFC 3986, section 2.3): nothing encodes them, so nginx and clients see one text.
PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")

_PATH_RULE = "an absolute path on the host without . and .. in it, of letters, digits and ._+,=@~-"

# RFC 7468, sections 2, 5, 10 and 11. What is between these lines is looked at on the host.
CERTIFICATE = "-----BEGIN CERTIFICATE-----"
PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")

# RFC 7468, section 11, and the older form of RFC 1421, section 4.6.1.1, that OpenSSL writes too.
ENCRYPTED_KEY = re.compile(r"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: *4, *ENCRYPTED")

# What mail systems take without quotes, less the characters that certbot's settings would give a meaning to.
EMAIL = re.compile(r"[A-Za-z0-9._+-]{1,64}@(?P<host>[A-Za-z0-9.-]+)")

# A URL (RFC 3986) with a scheme that ACME asks for (RFC 8555, section 6.1), of characters that certbot's settings have.
DIRECTORY = re.compile(r"https://(?P<host>[A-Za-z0-9.-]+)(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%+=&?/-]*)?")
DIRECTORIES = frozenset({"production", "staging"})

# Of what ipaddress takes, nginx knows no mask but the length of the prefix (ngx_ptocidr in src/core/ngx_inet.c).
NETWORK = re.compile(r"[0-9a-fA-F:.]+(?:/[0-9]{1,3})?")

# No colon, which ends a name (RFC 7617, section 2), and nothing that a line of the password file could end with.
USER = re.compile(r"[A-Za-z0-9._@+-]{1,64}")

# The forms of crypt(5) that are still worth using, and $apr1$, which nginx computes itself (ngx_crypt.c).
_SALT = "[./A-Za-z0-9]"
PASSWORD_HASH = re.compile(
    rf"\$y\${_SALT}+\${_SALT}{{0,86}}\${_SALT}{{43}}"
    rf"|\$6\$(?:rounds=[1-9][0-9]{{0,8}}\$)?{_SALT}{{1,16}}\${_SALT}{{86}}"
    rf"|\$5\$(?:rounds=[1-9][0-9]{{0,8}}\$)?{_SALT}{{1,16}}\${_SALT}{{43}}"
    rf"|\$2[by]\$[0-9]{{2}}\${_SALT}{{53}}"
    rf"|\$apr1\${_SALT}{{1,8}}\${_SALT}{{22}}"
)

_HASH_RULE = "the hash of a password in the form $y$, $6$, $5$, $2y$, $2b$ or $apr1$; openssl passwd -6 makes one"

# What RFC 9110, section 16.3.2.1, advises of the tokens that it allows, less the dot: the template asks nginx's
# $upstream_http_NAME whether the application sends the header, and a variable's name ends in front of anything else.
HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")

_NAME_RULE = "a header's name, a letter first, then letters, digits and hyphens"

# RFC 9110, section 5.5, without what it calls obsolete: visible ASCII, spaces inside. nginx has no way to write a $.
HEADER_VALUE = re.compile(r"(?:[!-#%-~](?:[ -#%-~]*[!-#%-~])?)?")

_VALUE_RULE = "printable ASCII characters without spaces around them and without $, which nginx takes for a variable"

_OWN_HEADERS = {
    "X-Content-Type-Options": "headers.content_type_options",
    "X-Frame-Options": "headers.frame_options",
    "Referrer-Policy": "headers.referrer_policy",
    "Permissions-Policy": "headers.permissions_policy",
    "Content-Security-Policy": "headers.content_security_policy",
    "Strict-Transport-Security": "tls.hsts",
}

_HEADER_REASONS = {
    # RFC 9110, section 8; RFC 9112, sections 6 and 9; RFC 9113, section 8.2.2.
    "it describes one answer or its connection, which nginx and the application know": (
        "Connection Content-Encoding Content-Length Content-Range Content-Type Date Keep-Alive Location "
        "Proxy-Connection Server TE Trailer Transfer-Encoding Upgrade"
    ),
    "a cookie is the application's to set, answer by answer": "Set-Cookie",
    "browsers dropped it, and those that still know it leak through it; use headers.content_security_policy": (
        "X-XSS-Protection"
    ),
}

# Headers that headers.extra can't have, in lower case, each with what to do or why.
RESERVED_HEADERS: t.Mapping[str, str] = {
    **{name.lower(): f"use {key}" for name, key in _OWN_HEADERS.items()},
    **{name.lower(): reason for reason, names in _HEADER_REASONS.items() for name in names.split()},
}

# What the template of the role nginx sets on the way to the application, in lower case: which client and which address
# of the site it believes.
SET_HEADERS = frozenset(
    """
    connection host upgrade x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-prefix x-forwarded-proto
    x-real-ip x-request-id
    """.split()
)

# What it takes away, as applications may believe it: __nginx_dropped_headers of the role.
DROPPED_HEADERS = frozenset(
    """
    cf-connecting-ip fastly-client-ip forwarded front-end-https proxy true-client-ip x-client-ip x-cluster-client-ip
    x-forwarded-by x-forwarded-path x-forwarded-protocol x-forwarded-scheme x-forwarded-server x-forwarded-ssl
    x-forwarded-uri x-forwarded-user x-original-forwarded-for x-original-host x-original-url x-remote-user
    x-rewrite-url x-script-name x-url-scheme
    """.split()
)

# Directives that the outermost level of each text can't have, each with what to do or why.
RESERVED_DIRECTIVES: t.Mapping[str, t.Mapping[str, str]] = {
    "nginx_server_extra": {
        "listen": "the addresses are the role's; use tls for those of TLS",
        "server_name": "use domains",
    },
    "nginx_location_extra": {"proxy_pass": "the role leads to the application; use a location in nginx_server_extra"},
}

# A page that says that there is none is a few KiB; what is more was meant to be something else.
LARGEST_PAGE = 1 << 20

# A token of nginx's configuration as ngx_conf_read_token (src/core/ngx_conf_file.c) reads it: quotes mean something
# in front of a word alone, and so does #; a backslash guards any character, and the braces of ${name} are no block.
TOKEN = re.compile(
    r"""
      (?P<skipped> [ \t\n]+ | \#[^\n]* )
    | (?P<mark> [;{}] )
    | "(?P<double> (?: [^"\\] | \\. )* )" (?= [ \t\n;{)] | \Z )
    | '(?P<single> (?: [^'\\] | \\. )* )' (?= [ \t\n;{)] | \Z )
    | (?P<bare> (?!["']) (?: [^ \t\n;{\\$] | \\. | \$\{* )+ )
    """,
    re.DOTALL | re.VERBOSE,
)

_QUOTE = "a quote is closed, and a space, a semicolon or an opening brace comes next"
_UNREADABLE = {'"': _QUOTE, "'": _QUOTE, "\\": "a backslash has a character behind it"}


class Directive(t.NamedTuple):
    """A directive: its name and what follows, without the quotes, the line it starts in, and the blocks around it."""

    words: tuple[str, ...]
    line: int
    depth: int


def front_problems(app: App, schema: Schema, resolve: Resolve) -> list[str]:
    """What is wrong with what nginx does for an application of the right shape, each with a cure.

    :param schema: the options of an application in argument-spec format, for the defaults.
    :param resolve: turns the text of a path into the file on the controller that it means.
    """
    full = filled(app, schema)
    return (
        _prefix_problems(full["prefix"])
        + _tls_problems(full["tls"])
        + _nameless_problems(full)
        + _acme_problems(full["tls"], full["domains"] or [], schema)
        + _proxy_problems(full["trusted_proxies"])
        + static_problems(app, resolve)
        + _websocket_problems(full)
        + _rate_problems(app, full["rate_limit"])
        + _access_problems(full)
        + _header_problems(full["headers"])
        + _page_problems(full["pages"], resolve)
        + _extra_problems("nginx_server_extra", full["nginx_server_extra"])
        + _extra_problems("nginx_location_extra", full["nginx_location_extra"])
    )


def rootless_problems(app: App, schema: Schema, mode: str) -> list[str]:
    """What of an application of the right shape no nginx does without root, whatever it is.

    :param mode: ``file`` for a site that is handed to an administrator, ``user`` for an nginx of the user's own.
    """
    full = filled(app, schema)
    found = []
    if full["tls"]["mode"] != "none":
        rule = (
            "without root (flask_become: false) nginx has no certificates, as nothing here may answer on port 443 or "
            "renew them; leave it out, and set trusted_proxies to what ends TLS in front of nginx"
        )
        found.append(_refusal("tls.mode", full["tls"]["mode"], rule))
    if full["compression"] == "brotli":
        rule = "without root (flask_become: false) nobody has nginx load its modules; use gzip"
        found.append(_refusal("compression", "brotli", rule))
    if full["access"]["users"] and mode == "file":
        rule = "with nginx_mode file everyone on the host would read the hashes, as only root gives nginx alone a file"
        found.append(f"access.users: is not accepted: {rule}; use nginx_mode user, or let the application ask")
    for item in full["static"]:
        if is_in(str(item.get("path")), ("/var/lib",)):
            rule = "without root (flask_become: false) that is root's; use a directory of the source"
            found.append(_refusal("static", item["path"], rule))
    return found


def _refusal(key: str, value: t.Any, rule: str) -> str:
    return f"{key}: {value!r} is not accepted: {rule}"


def _silent_refusal(key: str, rule: str) -> str:
    """The refusal of a value that is, or may by mistake be, a secret."""
    return f"{key}: the text given is not accepted: {rule}"


def _prefix_problems(prefix: str) -> list[str]:
    if _is_prefix(prefix):
        return []
    near = "".join(f"/{segment}" for segment in prefix.strip().split("/") if segment)
    hint = f"; did you mean {near!r}?" if _is_prefix(near) else ""
    rule = (
        "empty, or segments of letters, digits and ._~-, each after a slash, other than . and .., "
        "without a slash at the end"
    )
    return [_refusal("prefix", prefix, f"{rule}{hint}")]


def _is_prefix(text: str) -> bool:
    return PREFIX.fullmatch(text) is not None and not has_dots(text)


def _tls_problems(tls: App) -> list[str]:
    return _certificate_problems(tls) + _https_problems(tls)


def _certificate_problems(tls: App) -> list[str]:
    """What is wrong with the files of TLS; neither is ever shown, as a key is easily pasted in the wrong place."""
    found = []
    for name, rule_of in (("certificate", _certificate_rule), ("key", _key_rule)):
        text = tls[name]
        if tls["mode"] != "provided":
            rule = f"used with tls.mode provided alone, and tls.mode is {tls['mode']}"
            found += [_silent_refusal(f"tls.{name}", rule)] if text is not None else []
        elif text is None:
            found.append(f"tls.{name}: is required with tls.mode provided")
        elif broken := rule_of(text):
            found.append(_silent_refusal(f"tls.{name}", broken))
    return found


def _certificate_rule(text: str) -> str | None:
    """The rule that a certificate breaks, if it does; what holds a key would make that readable."""
    if PRIVATE_KEY.search(text):
        return "it holds a private key; move that into tls.key"
    if CERTIFICATE in text or is_path(text):
        return None
    return f"PEM text with the line {CERTIFICATE}, or {_PATH_RULE}"


def _key_rule(text: str) -> str | None:
    """The rule that a private key breaks, if it does."""
    if ENCRYPTED_KEY.search(text):
        return "nginx can't ask for its passphrase; take that off with openssl pkey, and keep the key in Ansible Vault"
    if PRIVATE_KEY.search(text) or is_path(text):
        return None
    return f"PEM text with the line -----BEGIN PRIVATE KEY-----, or {_PATH_RULE}"


def _acme_problems(tls: App, domains: t.Sequence[t.Any], schema: Schema) -> list[str]:
    """What is wrong with an ACME authority and what it is asked for."""
    acme = tls["acme"]
    if tls["mode"] != "acme":
        defaults = filled({}, schema["tls"]["options"]["acme"]["options"])
        rule = f"used with tls.mode acme alone, and tls.mode is {tls['mode']}"
        return [_refusal(f"tls.acme.{key}", value, rule) for key, value in acme.items() if value != defaults[key]]
    email, directory, bundle = acme["email"], acme["directory"], acme["ca_bundle"]
    found = []
    if email is not None and not _names_host(EMAIL, email):
        rule = "an address such as admin@example.com, of letters, digits and ._+- in front of the @"
        found.append(_refusal("tls.acme.email", email, rule))
    if directory not in DIRECTORIES and not _names_host(DIRECTORY, directory):
        rule = "production, staging, or the https URL of an authority's directory"
        found.append(_refusal("tls.acme.directory", directory, rule))
    if bundle is not None and not is_path(bundle):
        found.append(_refusal("tls.acme.ca_bundle", bundle, _PATH_RULE))
    rule = "an authority that asks over HTTP issues no certificate for it; leave it out, or use another tls.mode"
    texts = [str(domain) for domain in domains]
    return found + [_refusal("domains", text, rule) for text in texts if text.startswith("*.") or _network(text)]


def _names_host(form: re.Pattern[str], text: str) -> bool:
    """Whether it is of the form, with a host name where that has one; case makes no difference in it."""
    match = form.fullmatch(text)
    return match is not None and is_host(match["host"].lower())


def _https_problems(tls: App) -> list[str]:
    """What would be promised to clients, and not be kept."""
    hsts = number(tls["hsts"]) or 0
    if tls["mode"] == "none":
        wanted = {"hsts": hsts > 0, "hsts_subdomains": is_true(tls["hsts_subdomains"]), "http3": is_true(tls["http3"])}
        rule = "used with TLS alone, and tls.mode is none"
        return [_refusal(f"tls.{name}", tls[name], rule) for name, is_wanted in wanted.items() if is_wanted]
    if is_true(tls["hsts_subdomains"]) and not hsts:
        rule = "used with tls.hsts above 0 alone, which tells for how long"
        return [_refusal("tls.hsts_subdomains", tls["hsts_subdomains"], rule)]
    return []


def _nameless_problems(full: App) -> list[str]:
    """Addresses among the domains: clients name none in a TLS handshake (RFC 6066, section 3), so nginx can't tell
    which site they mean, and shows those that ask for no name no certificate."""
    # An authority has a reason of its own to refuse them.
    if full["tls"]["mode"] in ("none", "acme"):
        return []
    rule = "an address has no TLS of its own, as clients do not send it; use host names, or tls.mode none"
    addresses = [text for text in full["domains"] or () if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", text)]
    return [_refusal("domains", text, rule) for text in addresses]


def _proxy_problems(proxies: t.Sequence[str]) -> list[str]:
    found = _network_problems("trusted_proxies", proxies)
    rule = "it believes every client what it says of itself; give the addresses of the proxies"
    for text in proxies:
        network = _network(text)
        if network is not None and network.prefixlen == 0:
            found.append(_refusal("trusted_proxies", text, rule))
    return found


def _network_problems(key: str, texts: t.Sequence[str]) -> list[str]:
    """Items that are no addresses or networks, or that stand there a second time, however they are written."""
    found = []
    known: dict[Network, str] = {}
    for text in texts:
        network = _network(text)
        if network is None:
            rule = "an IPv4 or IPv6 address, or a network such as 192.0.2.0/24"
            found.append(_refusal(key, text, f"{rule}{_network_hint(text)}"))
        elif network in known:
            found.append(_refusal(key, text, f"it stands there already, as {known[network]!r}; leave one out"))
        else:
            known[network] = text
    return found


def _network(text: str) -> Network | None:
    """The network that a text means; an address is one by itself.

    An IPv4 address within IPv6 is none: nginx compares the IPv4 address alone, so it would match nobody
    (ngx_cidr_match in src/core/ngx_inet.c).
    """
    if not NETWORK.fullmatch(text):
        return None
    try:
        network = ipaddress.ip_network(text, strict=True)
    except ValueError:
        return None
    return None if _mapped(network) else network


def _mapped(network: Network) -> str | None:
    """The IPv4 network that one of IPv4 addresses within IPv6 means (RFC 4291, section 2.5.5.2)."""
    address = network.network_address
    if not isinstance(address, ipaddress.IPv6Address) or address.ipv4_mapped is None or network.prefixlen < 96:
        return None
    length = network.prefixlen - 96
    return str(address.ipv4_mapped) if length == 32 else f"{address.ipv4_mapped}/{length}"


def _network_hint(text: str) -> str:
    """The network whose bits behind the prefix are zero, or the one of IPv4."""
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return ""
    single = network.prefixlen == network.max_prefixlen
    near = _mapped(network) or str(network.network_address if single else network)
    return f"; did you mean {near!r}?" if network.prefixlen and _network(near) else ""


def _websocket_problems(full: App) -> list[str]:
    """A WebSocket on a worker that answers nobody else as long as it is open."""
    if not is_true(full["websockets"]) or full["server"] != "gunicorn" or full["worker_class"] != "sync":
        return []
    rule = "a sync worker answers one request at a time; use worker_class gevent or gthread, or server gevent"
    return [_refusal("websockets", full["websockets"], rule)]


def _rate_problems(app: App, limit: App) -> list[str]:
    burst = at(app, "rate_limit.burst")
    if burst is None or limit["rate"] is not None:
        return []
    return [_refusal("rate_limit.burst", burst, "used with rate_limit.rate alone, which is not given")]


def _access_problems(full: App) -> list[str]:
    access = full["access"]
    allowed = {_network(text) for text in access["allow"]} - {None}
    rule = "it stands in access.allow too; leave it out of one"
    return (
        _network_problems("access.allow", access["allow"])
        + _network_problems("access.deny", access["deny"])
        + [_refusal("access.deny", text, rule) for text in access["deny"] if _network(text) in allowed]
        + _user_problems(access["users"], full)
    )


def _user_problems(users: t.Mapping[t.Any, t.Any], full: App) -> list[str]:
    """Names, hashes of passwords, which are never shown, and the way by which passwords come."""
    found = []
    for name, value in users.items():
        if not isinstance(name, str) or not USER.fullmatch(name):
            found.append(_refusal("access.users", name, "a string of 1 to 64 letters, digits and ._@+-"))
        elif not isinstance(value, str) or not PASSWORD_HASH.fullmatch(value):
            found.append(_silent_refusal(f"access.users.{name}", _HASH_RULE))
    if users and full["tls"]["mode"] == "none" and not full["trusted_proxies"]:
        rule = (
            "passwords would travel in the clear; set tls.mode, or trusted_proxies to what ends TLS in front of nginx"
        )
        found.append(f"access.users: is not accepted with tls.mode none: {rule}")
    return found


def _header_problems(headers: App) -> list[str]:
    found = [
        _refusal(f"headers.{key}", value, _VALUE_RULE)
        for key, value in headers.items()
        if key != "extra" and not HEADER_VALUE.fullmatch(value)
    ]
    known: dict[str, str] = {}
    for name, value in headers["extra"].items():
        if not isinstance(name, str) or not HEADER_NAME.fullmatch(name):
            found.append(_refusal("headers.extra", name, _NAME_RULE))
            continue
        other = known.setdefault(name.lower(), name)
        if name.lower() in RESERVED_HEADERS:
            found.append(_refusal("headers.extra", name, RESERVED_HEADERS[name.lower()]))
        elif other != name:
            rule = f"it is {other!r}, which stands there too, as case makes no difference; leave one out"
            found.append(_refusal("headers.extra", name, rule))
        elif not isinstance(value, str) or not value or not HEADER_VALUE.fullmatch(value):
            found.append(_refusal(f"headers.extra.{name}", value, f"a string that is not empty, {_VALUE_RULE}"))
    return found


def _page_problems(pages: App, resolve: Resolve) -> list[str]:
    found = []
    for name, text in pages.items():
        trouble = _page_trouble(resolve(text)) if text is not None else None
        if trouble:
            found.append(f"pages.{name}: {trouble}; accepted is an HTML file on the controller, UTF-8, at most 1 MiB")
    return found


def _page_trouble(page: Path) -> str | None:
    """What keeps a file from being a page, if something does."""
    try:
        if not page.exists():
            return f"{page} does not exist"
        if not page.is_file():
            return f"{page} is not a regular file"
        if page.stat().st_size > LARGEST_PAGE:
            return f"{page} is too large"
        page.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return f"{page} is not UTF-8"
    except OSError as error:
        return f"{page} can't be read ({error.strerror})"
    return None


def _extra_problems(key: str, text: str) -> list[str]:
    """What is wrong with directives that stand in a block of the role's.

    The text may hold secrets, so that a message names a directive and its line alone.
    """
    found = []
    try:
        for directive in directives(text):
            rule = _directive_rule(key, directive, text)
            if rule:
                found.append(f"{key}: {_in_line(directive.words[0], directive.line, rule)}")
    except ValueError as error:
        found.append(f"{key}: {error}")
    return found


def _in_line(what: str, line: int, rule: str) -> str:
    return f"{what!r} in line {line} is not accepted: {rule}"


def _directive_rule(key: str, directive: Directive, text: str) -> str | None:
    """The rule that a directive of a text breaks, if it does; but for headers, blocks inside are their author's."""
    name, *arguments = directive.words
    if name == "add_header":
        return "one alone would take all other headers away from where it stands; use headers.extra"
    if name.endswith("_by_lua_block"):
        return f"what it holds is Lua, which is not read here; use {name.removesuffix('block')}file"
    if name == "proxy_set_header":
        return _header_rule(key, directive.depth, arguments, text)
    return None if directive.depth else RESERVED_DIRECTIVES[key].get(name)


def _header_rule(key: str, depth: int, arguments: t.Sequence[str], text: str) -> str | None:
    """The rule that a header for the application breaks, if it does."""
    if depth:
        return (
            "one alone would take all headers away from its block that say who the client is, and those that a client "
            "sends itself would be believed; give it a variable outside of all blocks, which blocks may set"
        )
    header = arguments[0] if arguments else ""
    if header.lower() in SET_HEADERS:
        return f"{header} tells the application what nginx knows, and the role sets it"
    if header.lower() in DROPPED_HEADERS:
        return f"the role takes {header} away, as clients send it and applications believe it; use a name of your own"
    if key == "nginx_server_extra" and not _hands_on(text):
        return "the application's location has some, so nginx would ignore it; use nginx_location_extra"
    return None


def _hands_on(text: str) -> bool:
    """Whether a block in a text leads somewhere; what can't be read is told anyway."""
    try:
        return any(directive.words[0] == "proxy_pass" and directive.depth for directive in directives(text))
    except ValueError:
        return False


def directives(text: str) -> t.Iterator[Directive]:
    """The directives of a text, those in blocks too; ValueError says where it is none that could stand in a block."""
    words: list[str] = []
    first = 0
    blocks: list[Directive] = []
    for kind, token, line in _tokens(text):
        if kind != "mark":
            first = first if words else line
            words.append(token)
        elif token == "}":
            _raise_if_unfinished(words, first)
            if not blocks:
                rule = "it would close the block around the text; each closing brace has an opening one before it"
                raise ValueError(_in_line(token, line, rule))
            blocks.pop()
        elif not words:
            raise ValueError(_in_line(token, line, "a directive stands in front of it"))
        else:
            directive = Directive(tuple(words), first, len(blocks))
            yield directive
            blocks += [directive] if token == "{" else []
            words = []
    _raise_if_unfinished(words, first)
    if blocks:
        raise ValueError(_in_line(blocks[-1].words[0], blocks[-1].line, "its block ends with a closing brace"))


def _raise_if_unfinished(words: t.Sequence[str], line: int) -> None:
    if words:
        raise ValueError(_in_line(words[0], line, "a directive ends with a semicolon, or with a block in braces"))


def _tokens(text: str) -> t.Iterator[tuple[str, str, int]]:
    """Words and marks, each with its kind and its line; ValueError for what is neither."""
    control = re.search(r"[\0-\x08\x0b-\x1f\x7f]", text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        raise ValueError(_in_line(control[0], line, "of control characters newlines and tabs alone"))
    position, line = 0, 1
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise ValueError(_in_line(text[position], line, _UNREADABLE[text[position]]))
        kind = str(match.lastgroup)
        if kind != "skipped":
            yield kind, match[kind], line
        line += match[0].count("\n")
        position = match.end()
