# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller's side of drift: render what is to be on a host here, have all of it compared there."""

from __future__ import annotations

import functools
import gc
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleError

from ansible_collections.wsgiops.flask.plugins.plugin_utils import _arguments, _platform, _role_variables
from ansible_collections.wsgiops.flask.plugins.plugin_utils._on_host import OnHost
from ansible_collections.wsgiops.flask.plugins.plugin_utils._once_a_run import OnceARun

ROLES = Path(__file__).parents[2] / "roles"
_ROLES = ("release", "venv", "gunicorn", "nginx", "logrotate")

# What differs from host to host, where it does.
_OF_HOST = "__nginx_renewal_seed"

# What roles publish for those after them.
_PUBLISHED = ("release_code", "release_service_manager", "venv_key")

# Of hosts on which the same is to be, one process finds out what that is.
_ONCE_A_RUN = OnceARun()

Variables = dict[str, t.Any]
Steps = list[dict[str, t.Any]]


class ActionModule(OnHost):
    """One question to a host that says what it is, and one to a host that says in what it differs."""

    task = "drift"

    def act(self, arguments: _arguments.Arguments, variables: Variables) -> dict[str, t.Any]:
        _validated, arguments = self.validate_argument_spec(
            argument_spec={
                "applications": {"type": "list", "elements": "dict", "required": True},
                "host": {"type": "bool", "default": True},
            }
        )
        # What this process has of the run's is no garbage of its own: to go through it again and again takes a tenth of
        # its time.
        gc.freeze()
        # One for all templates: each has to look for the filters that Jinja brings anew.
        self._own_templar = self._templar.copy_with_new_env()
        facts = self._facts(variables)
        seen = {**variables, "ansible_facts": {**variables.get("ansible_facts", {}), **facts}}
        # All of them once more, which each lookup of a template would copy.
        seen.pop("vars", None)
        parts, untold = self._shared_parts(arguments["applications"], arguments["host"], seen)
        result = self.perform({"parts": parts}, variables) if parts else {"changed": False, "differences": {}}
        result["differences"] = {**result.get("differences", {}), **untold}
        result["ansible_facts"] = {**result.get("ansible_facts", {}), **facts}
        return result

    def _facts(self, variables: Variables) -> dict[str, str]:
        """What of the facts of the host nobody gathered."""
        known = variables.get("ansible_facts", {})
        if all(name in known for name in _platform.FACTS):
            return {}
        told = self._low_level_execute_command(_platform.COMMAND)
        try:
            return _platform.facts(told["stdout"])
        except ValueError as error:
            raise AnsibleActionFail(f"{variables.get('inventory_hostname')}: {error}") from error

    def _shared_parts(
        self, apps: list[Variables], host: bool, variables: Variables
    ) -> tuple[dict[str, Steps], dict[str, str]]:
        """Those of :meth:`_parts`, which another host's process may have found out already."""
        decisive = None
        if len(variables.get("ansible_play_hosts_all", ())) > 1 and not _has_own_site(variables):
            variables = self._resolved(variables, [_OF_HOST])
            texts = [text for role in _ROLES for text in _templates(role).values()]
            decisive = _role_variables.decisive(variables, _ROLES, texts, self._template)
        if decisive is None or not _role_variables.is_plain(apps):
            return self._parts(apps, host, variables)
        places = {name: variables.get(name) for name in ("ansible_search_path", "inventory_dir")}
        told = [apps, host, places, decisive]
        parts, untold = _ONCE_A_RUN.value(told, lambda: self._parts(apps, host, variables))
        return parts, untold

    def _parts(
        self, apps: list[Variables], host: bool, variables: Variables
    ) -> tuple[dict[str, Steps], dict[str, str]]:
        """What is to be compared, by part; and of parts that can't be compared, why."""
        parts: dict[str, Steps] = {}
        untold: dict[str, str] = {}
        wanted: list[tuple[str, t.Callable[[Variables], Steps], Variables]] = []
        ordered = _role_variables.in_order(variables, _ROLES)
        late = _role_variables.referring(variables, ordered, _PUBLISHED)
        ordered = [name for name in ordered if name not in late]
        of_apps = _role_variables.referring(variables, ordered, ["flask_app"])
        variables = self._resolved(variables, [name for name in ordered if name not in of_apps])
        if host:
            wanted.append(("host", self._host, variables))
        for app in apps:
            of_app = self._resolved({**variables, "flask_app": app}, of_apps)
            wanted += [
                (f"{app['name']} {part}", steps, of_app)
                for part, steps in (
                    ("release", functools.partial(self._release, late)),
                    ("site", self._site),
                    ("logs", self._logs),
                )
            ]
        for part, steps, seen in wanted:
            try:
                parts[part] = steps(seen)
            # The role's own task says so too, where it stands.
            except (AnsibleError, _arguments.ArgumentsError, _Untold) as error:
                untold[part] = str(error)
        return parts, untold

    def _host(self, variables: Variables) -> Steps:
        self._require_root(variables)
        packages = [
            name
            for role in ("gunicorn", "venv", "nginx", "logrotate")
            for name in self._value(f"__{role}_packages", role, variables)
        ]
        steps: Steps = [{"task": "packages", "params": {"names": packages}}]
        if _by_systemd(variables):
            steps += self._file_sets("nginx", ("__nginx_drop_in_arguments",), variables)
            steps.append({"task": "unit", "params": {"name": "nginx.service"}})
        else:
            steps += self._file_sets("nginx", ("__nginx_keep_arguments",), variables)
            steps.append({"task": "command", "params": {"argv": self._value("__nginx_look", "nginx", variables)}})
        steps += self._file_sets("nginx", ("__nginx_shared_arguments",), variables)
        if self._value("__gunicorn_any_cron", "gunicorn", variables):
            steps.append(_CRON[_by_systemd(variables)])
        if self._value("__nginx_any_renewed", "nginx", variables):
            steps += self._file_sets("nginx", ("__nginx_renewal_arguments",), variables)
        return steps

    def _release(self, late: list[str], variables: Variables) -> Steps:
        self._require_root(variables)
        if float(self._value("gunicorn_confirm", "gunicorn", variables)) > 0:
            raise _Untold("it may be waiting to be confirmed")
        asked = self._value("release_service", "release", variables)
        manager = asked if asked != "auto" else "systemd" if _by_systemd(variables) else "cron"
        info = _arguments.for_release_info(self._value("__release_info_arguments", "release", variables), variables)
        venv = _arguments.for_venv(self._value("__venv_arguments", "venv", variables), variables)
        # The key of the environment is the host's to say.
        published = {"release_code": info["code"], "release_service_manager": manager, "venv_key": ""}
        variables = self._resolved({**variables, **published}, late)
        release = self._value("__gunicorn_arguments", "gunicorn", variables)
        if not release["venv"]:
            del release["venv"]
        return [
            {"task": "release_info", "params": {**info, "expected": manager}},
            {"task": "venv", "params": venv},
            {"task": "release", "params": _arguments.for_release(release)},
        ]

    def _site(self, variables: Variables) -> Steps:
        self._require_root(variables)
        site = self._file_sets("nginx", ("__nginx_site_arguments",), variables)
        if not self._value("__nginx_tls", "nginx", variables):
            return site
        return [{"task": "certificate", "params": self._value("__nginx_pair_arguments", "nginx", variables)}, *site]

    def _logs(self, variables: Variables) -> Steps:
        self._require_root(variables)
        return self._file_sets("logrotate", ("__logrotate_arguments",), variables)

    def _file_sets(self, role: str, names: t.Sequence[str], variables: Variables) -> Steps:
        return [{"task": "file_set", "params": self._value(name, role, variables)} for name in names]

    def _value(self, name: str, role: str, variables: Variables) -> t.Any:
        """A variable's value as the tasks of a role see it, whose files and templates are looked for first."""
        value = variables[name]
        if role != "nginx" or not _has_own_site(variables):
            variables = _role_variables.in_reach(variables, value, _templates(role).values())
        path = [str(ROLES / role), *variables.get("ansible_search_path", [])]
        return self._template(value, {**variables, "ansible_search_path": path})

    def _resolved(self, variables: Variables, names: list[str]) -> Variables:
        return _role_variables.resolved(variables, names, self._template)

    def _template(self, value: t.Any, variables: Variables) -> t.Any:
        self._own_templar.available_variables = variables
        return self._own_templar.template(value)

    def _require_root(self, variables: Variables) -> None:
        if self._value("nginx_private", "nginx", variables):
            raise _Untold("what a user has is looked at by itself")


@functools.cache
def _templates(role: str) -> dict[str, str]:
    """Texts of a role's templates by name."""
    directory = ROLES / role / "templates"
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*.j2")}


def _has_own_site(variables: Variables) -> bool:
    """Whether a user's own template is the site's, which may include others."""
    return variables["nginx_site_template"] not in _templates("nginx")


# What runs the applications whose service is cron: by systemd, and as Debian's scripts start it.
_CRON = {
    True: {"task": "unit", "params": {"name": "cron.service"}},
    False: {"task": "command", "params": {"argv": ["sh", "-c", "service cron status >&2 && ls /etc/rc2.d/S*cron >&2"]}},
}


def _by_systemd(variables: Variables) -> bool:
    return bool(variables["ansible_facts"]["service_mgr"] == "systemd")


class _Untold(Exception):
    """A part that is not compared; the text says why."""
