# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Virtual environments named by what they are made of: an interpreter and the requirement files."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout

# Written last: an environment without it was interrupted.
MANIFEST = "wsgiops.json"

# 16 hexadecimal digits, as for code: more than enough to keep the environments of one application apart.
KEY_DIGITS = 16

# What makes two interpreters different to installed packages (PEP 3147 cache tag, PEP 425 platform) and to bug reports
# (the exact version); the path, since an environment links to it.
_IDENTITY = """
import json, platform, sys, sysconfig
print(json.dumps({
    "implementation": sys.implementation.cache_tag,
    "version": platform.python_version(),
    "platform": sysconfig.get_platform(),
    "path": sys.executable,
}))
"""

OUTPUT_LINES = 20

# Where pip may be told of another index than its own (pip's user guide, configuration), and by which words. uv does not
# look there.
_PIP_CONFIGURATIONS = ("/etc/pip.conf", "/etc/xdg/pip/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf")
_PIP_INDEX = re.compile(r"^\s*(index-url|extra-index-url|find-links|no-index)\s*[=:]", re.MULTILINE)
_PIP_VARIABLES = ("PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX")


class VenvError(Exception):
    """An environment that could not be made; the text tells why and what to do."""


def interpreter_identity(python: str) -> t.Dict[str, str]:
    """What the interpreter ``python`` (command name or absolute path) says of itself.

    :raises FileNotFoundError: when the host has no such command.
    :raises VenvError: when it does not run, or is older than Python 3.10, which gunicorn 24 and later need.
    """
    path = shutil.which(python)
    if path is None:
        cure = "give a command or an absolute path of an interpreter that is installed"
        raise FileNotFoundError("python: {0!r} is not on this host; {1}".format(python, cure))
    output = _run([path, "-I", "-c", _IDENTITY], "python: {0!r} does not run".format(python))
    try:
        identity = json.loads(output)
    except ValueError:
        said = "python: {0!r} is not a Python 3 interpreter: {1}"
        raise VenvError(said.format(python, output.strip())) from None
    if tuple(int(part) for part in identity["version"].split(".")[:2]) < (3, 10):
        raise VenvError("python: {0!r} is Python {1}; gunicorn needs 3.10 or later".format(python, identity["version"]))
    return identity


def venv_key(identity: t.Mapping[str, str], requirements: t.Mapping[str, str], requirements_name: str) -> str:
    """Name of the environment that this interpreter and these requirement files make."""
    parts = {"format": 1, "interpreter": dict(identity), "requirements": dict(requirements), "first": requirements_name}
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:KEY_DIGITS]


def installer(asked: str) -> str:
    """The path of uv, or an empty string for pip.

    :param asked: ``pip``, ``uv``, or ``auto`` for uv where the host has it and pip is set up for no index of its own.
    :raises VenvError: when uv is asked for and the host has none.
    """
    uv = shutil.which("uv") if asked != "pip" else None
    if asked == "uv" and not uv:
        said = "installer: 'uv' is not accepted: there is no command uv on this host; install it, or take auto or pip"
        raise VenvError(said)
    return uv if uv and (asked == "uv" or not _pip_has_an_index()) else ""


def _pip_has_an_index() -> bool:
    if any(name in os.environ for name in _PIP_VARIABLES):
        return True
    texts = (_files.read_text(os.path.expanduser(path)) for path in _PIP_CONFIGURATIONS)
    return any(_PIP_INDEX.search(text) for text in texts if text)


def is_complete(layout: Layout, key: str) -> bool:
    """Whether the environment was built to its end and its interpreter and its servers are still there."""
    home = os.path.join(layout.venvs, key)
    try:
        servers = json.loads(_files.read_text(os.path.join(home, MANIFEST)) or "")["servers"]
    except (ValueError, KeyError, TypeError):
        return False
    needed = [os.path.join("bin", "python"), *servers]
    return all(os.path.exists(os.path.join(home, name)) for name in needed)


def _servers(home: str) -> t.List[str]:
    """What of an environment can serve an application, by relative path: gunicorn, and gevent's own server."""
    pywsgi = os.path.join("lib", "python*", "site-packages", "gevent", "pywsgi.py")
    found = glob.glob(os.path.join(glob.escape(home), "bin", "gunicorn"))
    found += glob.glob(os.path.join(glob.escape(home), pywsgi))
    return [os.path.relpath(path, home) for path in found]


def build(
    layout: Layout,
    key: str,
    identity: t.Mapping[str, str],
    requirements: t.Mapping[str, str],
    requirements_name: str,
    hashed: bool,
    lock: int,
    uv: str = "",
) -> None:
    """Make the environment in its final place, since scripts inside hold its path, and mark it complete last.

    :param hashed: verify every package against the hashes of the requirement files.
    :param lock: descriptor of the lock; the installer keeps it should it outlive this process, so that no other run
        gets at the directory that it writes to.
    :param uv: what installs, in the place of pip, which is not in the environment then.
    :raises VenvError: with the installer's words; nothing is left behind.
    """
    home = os.path.join(layout.venvs, key)
    python = os.path.join(home, "bin", "python")
    _files.remove(home)
    try:
        failure = "making the virtual environment failed; is the venv module of this interpreter installed?"
        # In two steps: venv alone keeps to itself why it could not install pip.
        _run([identity["path"], "-m", "venv", "--without-pip", home], failure, lock)
        if not uv:
            _run([python, "-m", "ensurepip", "--default-pip"], failure, lock)
        with tempfile.TemporaryDirectory() as directory:
            for name, text in requirements.items():
                path = os.path.join(directory, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as handle:
                    handle.write(text)
            if uv:
                # The application can't write bytecode; and what it runs has no names elsewhere that it could change by.
                command = [uv, "pip", "install", "--python", python, "--compile-bytecode", "--link-mode=copy"]
                command += ["--no-progress"]
            else:
                command = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
            command += ["--require-hashes"] if hashed else []
            command += ["--requirement", os.path.join(directory, requirements_name)]
            _run(command, "installing {0} failed".format(requirements_name), lock)
        servers = _servers(home)
        if not servers:
            raise VenvError("{0} installs neither gunicorn nor gevent: add one".format(requirements_name))
        manifest = {
            "format": 2,
            "interpreter": dict(identity),
            "requirements": requirements_name,
            "hashed": hashed,
            "servers": servers,
        }
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        _files.write(_files.WantedFile(os.path.join(home, MANIFEST), text))
    except BaseException:
        _files.remove(home)
        raise


def _run(command: t.List[str], failure: str, lock: t.Optional[int] = None) -> str:
    """Run a command with a umask that lets the application read what it makes, and return its output.

    :raises VenvError: when it fails; the text holds ``failure``, the command and its last lines.
    """
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
        pass_fds=() if lock is None else (lock,),
        preexec_fn=_readable_to_all,
    )
    if done.returncode != 0:
        raise VenvError("{0} ({1}):\n{2}".format(failure, " ".join(command), _telling(done.stdout)))
    return done.stdout


def _telling(output: str) -> str:
    """The last lines, and those before them in which pip says what went wrong: a traceback may have pushed it up."""
    lines = output.strip().splitlines()
    earlier = [line for line in lines[:-OUTPUT_LINES] if line.startswith("ERROR:")]
    return "\n".join(earlier + lines[-OUTPUT_LINES:])


def _readable_to_all() -> None:
    os.umask(0o022)
