# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a release is: its parts, and the id that they give it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing as t

# 12 hexadecimal digits are 48 bits: two of a thousand releases of one application meet by chance with probability 2e-9.
ID_DIGITS = 12

# OWASP Password Storage Cheat Sheet, scrypt: N=2^17, r=8, p=1 costs 128 MiB; N=2^14, p=5 is its equivalent in 16 MiB,
# which a small host can spare.
SCRYPT = {"n": 2**14, "r": 8, "p": 5, "dklen": 32}

RELEASE_ID = re.compile(r"[0-9a-f]{%d}" % ID_DIGITS)


@dataclasses.dataclass(frozen=True)
class Parts:
    """Everything that makes a release what it is.

    :param app: the application's name.
    :param code: digest of the source.
    :param venv: key of the virtual environment.
    :param files: text of each file of the release directory, by relative path.
    :param units: text of the unit templates, by file name.
    :param environment: the application's variables; may hold secrets.
    :param secrets: more of them, which are secrets.
    """

    app: str
    code: str
    venv: str
    files: t.Mapping[str, str]
    units: t.Mapping[str, str]
    environment: t.Mapping[str, str]
    secrets: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    def release_id(self) -> str:
        """The release's public name: the same parts give the same id on every host."""
        public = {
            "format": 1,
            "app": self.app,
            "code": self.code,
            "venv": self.venv,
            "files": _digests(self.files),
            "units": _digests(self.units),
            "environment": secret_digest(self.app, self.environment),
            "secrets": secret_digest(self.app + ":secrets", self.secrets),
        }
        return hashlib.sha256(_canonical(public)).hexdigest()[:ID_DIGITS]


def _digests(texts: t.Mapping[str, str]) -> t.Dict[str, str]:
    return {name: hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() for name, text in texts.items()}


def _canonical(value: t.Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def secret_digest(purpose: str, variables: t.Mapping[str, str]) -> str:
    """Digest of values that must not be testable by guessing: ids are public, so a plain hash would be.

    Salted with the application's name, in ``purpose``, rather than a random value, since the same input has to give the
    same id on each host of a fleet. Where there are no variables there is nothing to guess, and it costs nothing.
    """
    if not variables:
        return ""
    salt = b"wsgiops.flask:" + purpose.encode("ascii")
    return hashlib.scrypt(_canonical(dict(variables)), salt=salt, **SCRYPT).hex()  # type: ignore[arg-type]
