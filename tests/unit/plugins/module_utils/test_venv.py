# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _venv
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
from ansible_collections.wsgiops.flask.plugins.module_utils._venv import VenvError, interpreter_identity, venv_key

IDENTITY = {
    "implementation": "cpython-311",
    "version": "3.11.2",
    "platform": "linux-x86_64",
    "path": "/usr/bin/python3",
}
TEXTS = {"requirements.txt": "-r base.txt\n", "base.txt": "gunicorn\n"}
KEY = "0123456789abcdef"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout("shop", str(tmp_path / "opt"))
    os.makedirs(layout.venvs)
    return layout


# --- the interpreter ----------------------------------------------------------------------------------------------


def test_the_running_interpreter_says_what_it_is() -> None:
    assert interpreter_identity(sys.executable) == {
        "implementation": sys.implementation.cache_tag,
        "version": platform.python_version(),
        "platform": sysconfig.get_platform(),
        "path": sys.executable,
    }


def test_a_command_is_looked_up(command: Callable[[str, str], Path]) -> None:
    command("python9.9", f'exec {sys.executable} "$@"')
    assert interpreter_identity("python9.9")["version"] == platform.python_version()


@pytest.mark.parametrize("python", ["python9.9-is-not-here", "/no/such/python3"])
def test_an_interpreter_that_is_not_there(python: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"python: '{python}' is not on this host; give a command"):
        interpreter_identity(python)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo no interpreter", "is not a Python 3 interpreter: no interpreter"),
        ("echo broken; exit 3", "does not run"),
        ("""echo '{"version": "3.9.18"}'""", r"is Python 3\.9\.18; gunicorn needs 3\.10 or later"),
        ("""echo '{"version": "2.7.18"}'""", r"is Python 2\.7\.18; gunicorn needs 3\.10 or later"),
    ],
    ids=["no python", "broken", "old", "very old"],
)
def test_what_is_no_interpreter_is_refused(command: Callable[[str, str], Path], script: str, reason: str) -> None:
    command("strange", script)
    with pytest.raises(VenvError, match=f"^python: 'strange' {reason}"):
        interpreter_identity("strange")


def test_the_oldest_python_that_gunicorn_takes(command: Callable[[str, str], Path]) -> None:
    command("python3.10", """echo '{"version": "3.10.0"}'""")
    assert interpreter_identity("python3.10") == {"version": "3.10.0"}


# --- the key ------------------------------------------------------------------------------------------------------


def test_a_key_is_the_same_on_every_host_and_in_every_version() -> None:
    """A change of keys builds every environment there is anew: never by accident."""
    assert venv_key(IDENTITY, TEXTS, "requirements.txt") == "b3c1a4523d2ddb81"
    turned = dict(reversed(TEXTS.items()))
    assert venv_key(dict(reversed(IDENTITY.items())), turned, "requirements.txt") == "b3c1a4523d2ddb81"


@pytest.mark.parametrize("part", IDENTITY)
def test_another_interpreter_is_another_key(part: str) -> None:
    changed = {**IDENTITY, part: IDENTITY[part] + "1"}
    assert venv_key(changed, TEXTS, "requirements.txt") != venv_key(IDENTITY, TEXTS, "requirements.txt")


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        ({**TEXTS, "base.txt": "gunicorn \n"}, "requirements.txt"),
        ({**TEXTS, "more.txt": ""}, "requirements.txt"),
        ({"requirements.txt": TEXTS["requirements.txt"]}, "requirements.txt"),
        ({"requirements.txt": TEXTS["base.txt"], "base.txt": TEXTS["requirements.txt"]}, "requirements.txt"),
        (TEXTS, "base.txt"),
    ],
    ids=["text", "one more", "one less", "swapped", "another first"],
)
def test_other_requirements_are_another_key(texts: dict[str, str], first: str) -> None:
    assert venv_key(IDENTITY, texts, first) != venv_key(IDENTITY, TEXTS, "requirements.txt")


# --- a build by real pip ------------------------------------------------------------------------------------------


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A gunicorn that is small and needs no index."""
    path = tmp_path / "wheels" / "gunicorn-1.0-py3-none-any.whl"
    path.parent.mkdir()
    info = "gunicorn-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gunicorn.py", "def run():\n    print('a small gunicorn')\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: gunicorn\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\ngunicorn = gunicorn:run\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_an_environment_is_built_from_verified_packages(
    layout: Layout, wheel: Path, accounts: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    locked_text = f"--no-index\n--find-links {wheel.parent}\ngunicorn==1.0 --hash=sha256:{digest}\n"
    texts = {"deploy/all.txt": "-r base.txt\n", "deploy/base.txt": locked_text}
    identity = interpreter_identity(sys.executable)
    before = os.umask(0o077)
    try:
        with locked(layout.lock, "test", 0) as descriptor:
            _venv.build(layout, KEY, identity, texts, "deploy/all.txt", True, descriptor)
    finally:
        os.umask(before)

    assert _venv.is_complete(layout, KEY)
    home = Path(layout.venvs, KEY)
    said = subprocess.run([home / "bin" / "gunicorn"], capture_output=True, text=True, check=True)
    assert said.stdout == "a small gunicorn\n"
    manifest = json.loads((home / _venv.MANIFEST).read_text())
    assert manifest == {
        "format": 2,
        "interpreter": identity,
        "requirements": "deploy/all.txt",
        "hashed": True,
        "servers": ["bin/gunicorn"],
    }
    closed = [path for path in home.rglob("*") if not path.is_symlink() and not path.stat().st_mode & stat.S_IROTH]
    assert closed == [], "the application can not read all of its environment"


# --- builds by an interpreter that records what it is asked for ---------------------------------------------------

# Makes an environment with an interpreter in it that does as it is told as pip, and nothing as ensurepip.
MAKE = """
[ "$*" = "-m venv --without-pip $4" ] || exit 1
home=$4
mkdir -p "$home/bin"
cat > "$home/bin/python" <<'END'
#!/bin/sh
[ "$*" != "-m ensurepip --default-pip" ] || exit 0
{pip}
END
chmod +x "$home/bin/python"
"""


def build(
    layout: Layout, interpreter: Path, hashed: bool = False, texts: Mapping[str, str] = MappingProxyType(TEXTS)
) -> None:
    with locked(layout.lock, "test", 0) as descriptor:
        identity = dict(IDENTITY, path=str(interpreter))
        _venv.build(layout, KEY, identity, texts, "requirements.txt", hashed, descriptor)


@pytest.mark.parametrize("hashed", [True, False])
def test_pip_is_asked_to_verify_hashes_where_there_are_some(
    layout: Layout, tmp_path: Path, command: Callable[[str, str], Path], accounts: object, hashed: bool
) -> None:
    keep = f'echo "$@" > {tmp_path}/asked; for last; do :; done; cp -r $(dirname $last) {tmp_path}/texts'
    interpreter = command("recorder", MAKE.format(pip=f"{keep}; touch $(dirname $0)/gunicorn"))
    build(layout, interpreter, hashed)
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:3] == ["-m", "pip", "install"]
    assert ("--require-hashes" in asked) == hashed
    assert asked[-2] == "--requirement"
    assert {path.name: path.read_text() for path in (tmp_path / "texts").iterdir()} == TEXTS
    assert not Path(asked[-1]).exists()


def test_pip_failing_is_told_with_its_last_words_and_leaves_nothing(
    layout: Layout, command: Callable[[str, str], Path]
) -> None:
    talk = "seq 1 100; echo 'ERROR: no matching distribution' >&2; exit 1"
    with pytest.raises(VenvError) as failed:
        build(layout, command("failing", MAKE.format(pip=talk)))
    text = str(failed.value)
    assert text.startswith("installing requirements.txt failed (")
    assert text.splitlines()[1:] == [str(line) for line in range(82, 101)] + ["ERROR: no matching distribution"]
    assert os.listdir(layout.venvs) == []


def test_no_venv_module_is_told_and_leaves_nothing(layout: Layout, command: Callable[[str, str], Path]) -> None:
    with pytest.raises(VenvError, match="is the venv module of this interpreter installed") as failed:
        build(layout, command("poor", 'mkdir -p "$4"; echo No module named venv; exit 1'))
    assert "No module named venv" in str(failed.value)
    assert os.listdir(layout.venvs) == []


def test_why_pip_can_not_be_had_is_told_and_leaves_nothing(layout: Layout, command: Callable[[str, str], Path]) -> None:
    full = MAKE.format(pip="").replace("|| exit 0", "|| { echo No space left on device; exit 1; }")
    with pytest.raises(VenvError, match="is the venv module of this interpreter installed") as failed:
        build(layout, command("full", full))
    assert str(failed.value).endswith("No space left on device")
    assert os.listdir(layout.venvs) == []


def test_requirements_without_a_server_are_told_and_leave_nothing(
    layout: Layout, command: Callable[[str, str], Path]
) -> None:
    with pytest.raises(VenvError, match=r"requirements\.txt installs neither gunicorn nor gevent: add one"):
        build(layout, command("empty", MAKE.format(pip="exit 0")))
    assert os.listdir(layout.venvs) == []


PYWSGI = "lib/python3.11/site-packages/gevent/pywsgi.py"


@pytest.mark.parametrize("directory", ["opt", "o[p]t*"])
def test_gevent_alone_can_serve(
    tmp_path: Path, command: Callable[[str, str], Path], accounts: object, directory: str
) -> None:
    layout = Layout("shop", str(tmp_path / directory))
    os.makedirs(layout.venvs)
    pip = f'home="$(dirname "$(dirname "$0")")"; mkdir -p "$home/{os.path.dirname(PYWSGI)}"; touch "$home/{PYWSGI}"'
    build(layout, command("good", MAKE.format(pip=pip)))
    assert _venv.is_complete(layout, KEY)
    Path(layout.venvs, KEY, PYWSGI).unlink()
    assert not _venv.is_complete(layout, KEY), "gevent's other parts serve nothing"


@pytest.mark.parametrize("lost", ["bin/gunicorn", PYWSGI])
def test_one_of_two_servers_that_is_gone_is_missed(
    layout: Layout, command: Callable[[str, str], Path], accounts: object, lost: str
) -> None:
    """Releases of both share an environment."""
    home = Path(layout.venvs, KEY)
    pip = f"mkdir -p {home}/{os.path.dirname(PYWSGI)}; touch {home}/{PYWSGI} {home}/bin/gunicorn"
    build(layout, command("good", MAKE.format(pip=pip)))
    assert _venv.is_complete(layout, KEY)
    (home / lost).unlink()
    assert not _venv.is_complete(layout, KEY)


def test_what_an_interrupted_build_left_is_built_anew(
    layout: Layout, command: Callable[[str, str], Path], accounts: object
) -> None:
    left = Path(layout.venvs, KEY)
    (left / "bin").mkdir(parents=True)
    (left / "bin" / "half").write_text("")
    build(layout, command("good", MAKE.format(pip="touch $(dirname $0)/gunicorn")))
    assert _venv.is_complete(layout, KEY)
    assert not (left / "bin" / "half").exists()


def test_what_pip_said_before_a_traceback_is_shown(layout: Layout, command: Callable[[str, str], Path]) -> None:
    shell = command("talker", "echo first; echo 'ERROR: No space left on device'; seq 1 100; exit 1")
    with pytest.raises(_venv.VenvError) as refused:
        _venv._run([str(shell)], "making it failed")
    shown = str(refused.value).splitlines()[1:]
    assert shown == ["ERROR: No space left on device", *(str(line) for line in range(81, 101))]


def test_pip_keeps_the_lock_should_it_outlive_the_run(layout: Layout, command: Callable[[str, str], Path]) -> None:
    list_open = "for one in /proc/self/fd/*; do readlink $one; done; exit 1"
    with pytest.raises(VenvError) as failed:
        build(layout, command("lister", MAKE.format(pip=list_open)))
    assert layout.lock in str(failed.value).splitlines()


# --- which installer ----------------------------------------------------------------------------------------------


@pytest.fixture
def pip_without_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host on which nobody told pip of an index; returns where its configuration would be."""
    for name in _venv._PIP_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "pip.conf"
    monkeypatch.setattr(_venv, "_PIP_CONFIGURATIONS", (str(path),))
    return path


def test_uv_is_taken_where_it_is(command: Callable[[str, str], Path], pip_without_an_index: Path) -> None:
    uv = str(command("uv", "exit 0"))
    assert _venv.installer("auto") == uv
    assert _venv.installer("uv") == uv
    assert _venv.installer("pip") == ""


def test_pip_is_taken_where_there_is_no_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pip_without_an_index: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _venv.installer("auto") == ""
    with pytest.raises(VenvError, match="installer: 'uv' is not accepted: there is no command uv on"):
        _venv.installer("uv")


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("[global]\nindex-url = https://pip.example.com/simple\n", True),
        ("[install]\nfind-links: /srv/wheels\n", True),
        ("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n# index-url = x\n", False),
    ],
)
def test_pip_is_taken_where_it_alone_knows_the_index(
    command: Callable[[str, str], Path], pip_without_an_index: Path, text: str, known: bool
) -> None:
    uv = str(command("uv", "exit 0"))
    pip_without_an_index.write_text(text)
    assert _venv.installer("auto") == ("" if known else uv)
    assert _venv.installer("uv") == uv


def test_pip_is_taken_where_a_variable_names_the_index(
    command: Callable[[str, str], Path], pip_without_an_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("uv", "exit 0")
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example.com/simple")
    assert _venv.installer("auto") == ""


@pytest.mark.parametrize("hashed", [True, False])
def test_an_environment_is_built_by_uv(layout: Layout, wheel: Path, accounts: object, hashed: bool) -> None:
    uv = shutil.which("uv")
    assert uv
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pin = f"gunicorn==1.0 --hash=sha256:{digest}" if hashed else "gunicorn"
    texts = {"requirements.txt": f"--no-index\n--find-links {wheel.parent}\n{pin}\n"}
    with locked(layout.lock, "test", 0) as descriptor:
        _venv.build(
            layout, KEY, interpreter_identity(sys.executable), texts, "requirements.txt", hashed, descriptor, uv
        )
    home = Path(layout.venvs, KEY)
    said = subprocess.run([home / "bin" / "gunicorn"], capture_output=True, text=True, check=True)
    assert said.stdout == "a small gunicorn\n"
    assert list(home.glob("lib/python*/site-packages/__pycache__/gunicorn.*.pyc"))
    assert not list(home.glob("lib/python*/site-packages/pip"))
    closed = [path for path in home.rglob("*") if not path.is_symlink() and not path.stat().st_mode & stat.S_IROTH]
    assert closed == [], "the application can not read all of its environment"


def test_uv_verifies_hashes_and_its_words_are_told(layout: Layout, wheel: Path) -> None:
    pin = f"gunicorn==1.0 --hash=sha256:{'0' * 64}"
    texts = {"requirements.txt": f"--no-index\n--find-links {wheel.parent}\n{pin}\n"}
    uv = shutil.which("uv")
    assert uv
    with locked(layout.lock, "test", 0) as descriptor, pytest.raises(VenvError, match="Hash mismatch"):
        _venv.build(layout, KEY, interpreter_identity(sys.executable), texts, "requirements.txt", True, descriptor, uv)
    assert os.listdir(layout.venvs) == []


# What a manifest has to say for an environment to be complete.
BUILT = '{"servers": ["bin/gunicorn"]}'


@pytest.mark.parametrize("lost", [_venv.MANIFEST, "bin/python", "bin/gunicorn"])
def test_an_environment_without_one_of_its_parts_is_not_complete(layout: Layout, lost: str) -> None:
    home = Path(layout.venvs, KEY)
    (home / "bin").mkdir(parents=True)
    (home / _venv.MANIFEST).write_text(BUILT)
    (home / "bin" / "gunicorn").write_text("")
    (home / "bin" / "python").symlink_to(sys.executable)
    assert _venv.is_complete(layout, KEY)
    (home / lost).unlink()
    assert not _venv.is_complete(layout, KEY)


def test_an_environment_whose_interpreter_is_gone_is_not_complete(layout: Layout, tmp_path: Path) -> None:
    interpreter = tmp_path / "python3"
    shutil.copy("/bin/true", interpreter)
    home = Path(layout.venvs, KEY)
    (home / "bin").mkdir(parents=True)
    (home / _venv.MANIFEST).write_text(BUILT)
    (home / "bin" / "gunicorn").write_text("")
    (home / "bin" / "python").symlink_to(interpreter)
    assert _venv.is_complete(layout, KEY)
    interpreter.unlink()
    assert not _venv.is_complete(layout, KEY)
