# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases on the disk: as they should stand, written, read back, and what of them nothing needs any more."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files
from ansible_collections.wsgiops.flask.plugins.module_utils._environment import environment_file, read_environment
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._options import Options, options_from
from ansible_collections.wsgiops.flask.plugins.module_utils._release import RELEASE_ID, Parts
from ansible_collections.wsgiops.flask.plugins.module_utils._stage import is_staged
from ansible_collections.wsgiops.flask.plugins.module_utils._venv import is_complete

MANIFEST = "release.json"
ENVIRONMENT = "env"
SECRETS = "secrets"
LABEL = "label"


@dataclasses.dataclass(frozen=True)
class Release:
    """A release as it should stand and run: what it is made of, and how it takes the road."""

    layout: Layout
    parts: Parts
    options: Options

    @functools.cached_property
    def id(self) -> str:
        return self.parts.release_id()

    @property
    def title(self) -> str:
        """The id, and the label where there is one."""
        return titled(self.id, self.options.label)

    @property
    def home(self) -> str:
        return self.layout.release(self.id)

    @property
    def code(self) -> str:
        return os.path.join(self.layout.code_store, self.parts.code)

    @property
    def venv(self) -> str:
        return os.path.join(self.layout.venvs, self.parts.venv)

    def content(self) -> t.List[_files.WantedFile]:
        """The regular files of the release directory that the release is made of."""
        group = self.layout.name
        wanted = [
            _files.WantedFile(os.path.join(self.home, name), text, 0o640, "root", group)
            for name, text in self.parts.files.items()
        ]
        # systemd reads them as root before it drops privileges (systemd.exec(5)), so nobody else has to.
        for name, variables in ((ENVIRONMENT, self.parts.environment), (SECRETS, self.parts.secrets)):
            wanted.append(_files.WantedFile(os.path.join(self.home, name), environment_file(variables), 0o600))
        wanted += [
            _files.WantedFile(os.path.join(self.home, self.options.service, name), text)
            for name, text in self.parts.units.items()
        ]
        return wanted

    def notes(self) -> t.List[_files.WantedFile]:
        """The files beside them that say what it is called and how it takes the road: no reason for a restart."""
        label = {"FLASK_RELEASE_LABEL": self.options.label} if self.options.label else {}
        notes = [
            # Root alone: hooks may hold what is nobody's business.
            _files.WantedFile(os.path.join(self.home, MANIFEST), self._manifest(), 0o600),
            _files.WantedFile(os.path.join(self.home, LABEL), environment_file(label), 0o644),
        ]
        if not self.options.overlap:
            # Held by what runs, so that two releases never do, and never replaced while it is; the application's group
            # opens it, nobody else may.
            notes.append(_files.WantedFile(self.layout.run_lock, "", 0o640, "root", self.layout.name))
        return notes

    def links(self) -> t.Dict[str, str]:
        """Link path to target."""
        return {
            os.path.join(self.home, "code"): os.path.join("../../code", self.parts.code),
            os.path.join(self.home, "venv"): os.path.join("../../venvs", self.parts.venv),
            os.path.join(self.home, "socket"): self.layout.socket(self.id),
        }

    def units(self) -> t.List[_files.WantedFile]:
        """The files of what runs it, where they are read: unit templates, or app_ctl and cron's."""
        return _units(self.layout, self.parts.units)

    def service_text(self) -> str:
        """The text of the service's unit template; empty where systemd does not run it."""
        return self.parts.units.get(os.path.basename(self.layout.service_template), "")

    def _manifest(self) -> str:
        facts = {
            "format": 2,
            "app": self.layout.name,
            "release": self.id,
            "code": self.parts.code,
            "venv": self.parts.venv,
            "files": sorted(self.parts.files),
            "options": self.options.as_dict(),
        }
        return json.dumps(facts, indent=2, sort_keys=True) + "\n"

    # -- on the disk ---------------------------------------------------------------------------------------------------

    def missing(self) -> t.List[str]:
        """The shared parts that are not on this host, with their paths."""
        parts = {"code": self.code, "virtual environment": self.venv}
        return ["{0} {1}".format(kind, path) for kind, path in parts.items() if not os.path.isdir(path)]

    def stale_content(self) -> t.List[str]:
        """Paths of files and links that do not stand as they should, and that what runs may have been started with."""
        stale = [wanted.path for wanted in self.content() if not _files.matches(wanted)]
        return stale + [link for link, target in self.links().items() if link_target(link) != target]

    def stale_notes(self) -> t.List[str]:
        return [wanted.path for wanted in self.notes() if not _files.matches(wanted)]

    def stale_units(self) -> t.List[str]:
        return stale_units(self.layout, self.units())

    def write(self) -> None:
        """Put the release directory right.

        :raises OSError: as the system says (a full disk, say).
        """
        stale = {*self.stale_content(), *self.stale_notes()}
        for directory in (self.layout.releases, self.home, os.path.join(self.home, self.options.service)):
            _files.ensure_directory(directory, 0o755)
        for wanted in self.content() + self.notes():
            if wanted.path in stale:
                _files.write(wanted)
        for link, target in self.links().items():
            if link in stale:
                _files.replace_link(target, link)

    def changed_at(self) -> t.List[float]:
        """When what a running service was started with last changed on the disk, in seconds since the epoch."""
        paths = [wanted.path for wanted in self.content() + self.units()] + [self.code, self.venv]
        return [os.lstat(path).st_ctime for path in paths if os.path.lexists(path)]


def titled(release: str, label: str) -> str:
    return "{0} ({1})".format(release, label) if label else release


def load(layout: Layout, release: str) -> Release:
    """A release as it stands on the disk, whole and unaltered.

    :raises ValueError: when it is not; the text says what is wrong with it.
    """
    home = layout.release(release)
    try:
        # Format 1 had neither files nor options.
        manifest = json.loads(_text(home, MANIFEST))
        files = {name: _text(home, name) for name in manifest.get("files", ["gunicorn.conf.py"])}
        options = options_from(manifest.get("options", {}))
        # A name with a dot first is what a run that died left of a file.
        names = [name for name in _entries(os.path.join(home, options.service)) if not name.startswith(".")]
        units = {name: _text(home, os.path.join(options.service, name)) for name in names}
        environment, secrets = (read_environment(_text(home, name)) for name in (ENVIRONMENT, SECRETS))
        parts = Parts(layout.name, manifest["code"], manifest["venv"], files, units, environment, secrets)
        found = Release(layout, parts, options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("release {0} can't be read: {1}".format(release, error)) from error
    title = titled(release, found.options.label)
    if found.id != release:
        raise ValueError("release {0} was changed on the host: its content is that of {1}".format(title, found.id))
    if not is_staged(layout, parts.code):
        raise ValueError("release {0}: its code {1} is gone or was changed".format(title, found.code))
    if not is_complete(layout, parts.venv):
        raise ValueError("release {0}: its virtual environment {1} is gone or damaged".format(title, found.venv))
    return found


def kept_units(layout: Layout, release: str) -> t.List[_files.WantedFile]:
    """The files of what runs it that a release on this host was started with, where they are read, as far as they are
    there."""
    directory = os.path.join(layout.release(release), service_of(layout, release))
    names = [os.path.basename(path) for path in layout.control_files]
    texts = {name: _files.read_text(os.path.join(directory, name)) for name in names}
    return _units(layout, {name: text for name, text in texts.items() if text is not None})


def stale_units(layout: Layout, wanted: t.Sequence[_files.WantedFile]) -> t.List[str]:
    """Paths of files of what runs it that differ from those wanted, or that stand there and are not wanted."""
    stray = set(layout.control_files) - {unit.path for unit in wanted}
    stale = [unit.path for unit in wanted if not _files.matches(unit)]
    return stale + sorted(path for path in stray if os.path.lexists(path))


def _units(layout: Layout, texts: t.Mapping[str, str]) -> t.List[_files.WantedFile]:
    places = {os.path.basename(path): path for path in layout.control_files}
    programs = {os.path.basename(layout.app_ctl)}
    return [_files.WantedFile(places[name], text, 0o755 if name in programs else 0o644) for name, text in texts.items()]


def label_of(layout: Layout, release: str) -> str:
    """The label of a release on this host, empty where it has none."""
    return str(_stored_options(layout, release).get("label", ""))


def service_of(layout: Layout, release: str) -> str:
    """What runs a release on this host, systemd or cron."""
    return str(_stored_options(layout, release).get("service", Options.service))


def logs_to_of(layout: Layout, release: str) -> str:
    """Where the output of a release on this host goes."""
    return str(_stored_options(layout, release).get("logs_to", Options.logs_to))


def _stored_options(layout: Layout, release: str) -> t.Mapping[str, t.Any]:
    """How a release takes the road, as far as that can be read."""
    try:
        return dict(json.loads(_text(layout.release(release), MANIFEST))["options"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def title_of(layout: Layout, release: str) -> str:
    """The id of a release on this host, and its label where it has one."""
    return titled(release, label_of(layout, release))


def _text(home: str, name: str) -> str:
    text = _files.read_text(os.path.join(home, name))
    if text is None:
        raise ValueError("{0} is not there".format(name))
    return text


def current_release(layout: Layout) -> t.Optional[str]:
    """Id of the release that ``current`` names, ``None`` when there is none."""
    name = os.path.basename(link_target(layout.current) or "")
    return name if RELEASE_ID.fullmatch(name) and os.path.isdir(layout.release(name)) else None


def releases(layout: Layout) -> t.List[str]:
    """Everything in the directory of releases, sorted."""
    return _entries(layout.releases)


def unused_parts(
    layout: Layout, without: t.Container[str] = (), code: str = "", venv: str = ""
) -> t.List[t.Tuple[str, str]]:
    """Link name and path of the shared parts to which no release refers.

    :param without: releases that do not count, since they are about to go.
    :param code: digest of code that is used besides.
    :param venv: key of an environment that is used besides.
    """
    kept = [release for release in releases(layout) if release not in without]
    unused = []
    for link, store, part in (("code", layout.code_store, code), ("venv", layout.venvs, venv)):
        targets = [link_target(os.path.join(layout.release(release), link)) or "" for release in kept]
        used = {part, *(os.path.basename(target) for target in targets)}
        unused += [(link, os.path.join(store, entry)) for entry in _entries(store) if entry not in used]
    return unused


def remove_unused(layout: Layout, code: str = "", venv: str = "") -> t.List[str]:
    """Remove the shared parts to which no release refers, but these two; returns the kind and name of each."""
    unused = unused_parts(layout, (), code, venv)
    for _link, path in unused:
        _files.remove(path)
    return ["{0} {1}".format(link, os.path.basename(path)) for link, path in unused]


def link_target(path: str) -> t.Optional[str]:
    """Where a link points to, ``None`` for what is no link."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def _entries(directory: str) -> t.List[str]:
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []
