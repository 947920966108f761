# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables of roles, each of which is templated once, however many others refer to it.

Ansible templates a variable anew wherever another one refers to it: of 800 templates of one application 350 are
different ones, and each takes about a millisecond of the controller, most of it to be compiled.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible.errors import AnsibleError
from ansible.template import is_trusted_as_template, trust_as_template

Variables = dict[str, t.Any]

_NAME = re.compile(r"[A-Za-z_]\w*")

# A template that is one expression and nothing else, and has no template in it.
_EXPRESSION = re.compile(r"\{\{(?![-+])((?:(?!\{\{|\}\}|\{%|\{#).)*)(?<![-+])\}\}", re.DOTALL)

# What reads variables by names that are templates themselves.
_BY_NAME = {"vars", "varnames"}

# What reads files and renders templates takes its time, and looks for them where its role is.
_LOOKUPS = ("lookup", "query", "q")

# What may say more than its text and the variables that it names.
_LOOKING = {*_LOOKUPS, "include", "import", "extends"}


def in_order(variables: t.Mapping[str, t.Any], roles: t.Collection[str]) -> list[str]:
    """Names of the roles' variables that hold templates, each behind those that it refers to.

    Those that need lookups are left out, and so are those that refer to them.

    :param roles: the first word of their names, behind ``__`` where they are internal.
    """
    texts = {
        name: text for name, value in variables.items() if _role_of(name) in roles and (text := _template_text(value))
    }
    ordered: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        seen.add(name)
        for other in _NAME.findall(texts[name]):
            if other in texts and other not in seen:
                visit(other)
        ordered.append(name)

    for name in texts:
        if name not in seen:
            visit(name)
    looking = set(referring(variables, ordered, _LOOKUPS))
    return [name for name in ordered if name not in looking]


def referring(variables: t.Mapping[str, t.Any], ordered: t.Iterable[str], given: t.Collection[str]) -> list[str]:
    """Which of some variables refer to one of ``given``, through others too.

    :param ordered: in the order of :func:`in_order`, which is kept.
    """
    reached = set(given)
    found = []
    for name in ordered:
        if not reached.isdisjoint(_NAME.findall(_template_text(variables[name]))):
            reached.add(name)
            found.append(name)
    return found


def resolved(
    variables: t.Mapping[str, t.Any], ordered: t.Sequence[str], template: t.Callable[[t.Any, Variables], t.Any]
) -> Variables:
    """The variables, with the values of some in the place of their templates.

    What can't be templated is left as it is: whoever needs it learns why.

    :param ordered: names, each behind those that it refers to.
    :param template: gives the value of a template, with variables.
    """
    found = dict(variables)
    for level in _levels(variables, ordered):
        together = _resolved_together(found, level, template)
        found.update(together)
        for name in level:
            if name not in together:
                try:
                    found[name] = template(found[name], found)
                except AnsibleError:
                    continue
    return found


def _levels(variables: t.Mapping[str, t.Any], ordered: t.Iterable[str]) -> t.Iterable[list[str]]:
    """Names of variables that do not refer to each other, but to those of the levels before theirs."""
    height: dict[str, int] = {}
    levels: dict[int, list[str]] = {}
    for name in ordered:
        height[name] = 1 + max(
            (height.get(other, 0) for other in _NAME.findall(_template_text(variables[name]))), default=0
        )
        levels.setdefault(height[name], []).append(name)
    return [levels[number] for number in sorted(levels)]


def _resolved_together(
    variables: Variables, names: t.Iterable[str], template: t.Callable[[t.Any, Variables], t.Any]
) -> Variables:
    """Values of those that are one expression, from one template of them all, as each template has to be compiled.

    None of them where one has none. What Ansible doesn't trust as a template is not made one.
    """
    expressions = {
        name: match[1]
        for name in names
        if is_trusted_as_template(variables[name]) and (match := _EXPRESSION.fullmatch(variables[name]))
    }
    if len(expressions) < 2:
        return {}
    try:
        values = template(trust_as_template("{{ [(" + "), (".join(expressions.values()) + ")] }}"), variables)
        # An item that is to be left out (omit) leaves the list, too.
        return dict(zip(expressions, values, strict=True))
    except (AnsibleError, ValueError):
        return {}


def in_reach(variables: Variables, value: t.Any, texts: t.Iterable[str]) -> Variables:
    """Those that a value and some texts can mean, through others too: each lookup of a template copies all it is given.

    All of them where one of these may ask for any (the lookups vars and varnames).

    :param texts: templates of files.
    """
    reached: Variables = {}
    unread = [_template_text(value), *texts]
    while unread:
        names = set(_NAME.findall(unread.pop()))
        if names & _BY_NAME:
            return variables
        for name in names & variables.keys() - reached.keys():
            reached[name] = variables[name]
            unread.append(_template_text(variables[name]))
    return reached


def decisive(
    variables: Variables,
    roles: t.Collection[str],
    texts: t.Sequence[str],
    template: t.Callable[[t.Any, Variables], t.Any],
) -> Variables | None:
    """All that decides what the roles' variables and some texts say; None where that can't be told.

    Templates say the same wherever they and all that they refer to are the same. A lookup, or what it includes, may see
    more than that: where it stands in what a user has written, the value counts. Facts count that are named.

    :param texts: of the roles' templates.
    :param template: gives the value of a template, with variables.
    :returns: what JSON can hold.
    """
    of_roles = {name: variables[name] for name in variables if _role_of(name) in roles}
    within = in_reach(variables, of_roles, texts)
    if within is variables or "hostvars" in within:
        return None
    reached = {**of_roles, **within}
    facts = reached.pop("ansible_facts", {})
    words = {word for text in [*texts, *map(_template_text, reached.values())] for word in _NAME.findall(text)}
    found = {**reached, "ansible_facts": {name: value for name, value in facts.items() if name in words}}
    try:
        for name, value in reached.items():
            is_own = name.startswith("__") and name in of_roles
            looks = not _LOOKING.isdisjoint(_NAME.findall(_template_text(value)))
            if (looks and not is_own) or not is_plain(value):
                found[name] = template(value, variables)
    except AnsibleError:
        return None
    return found if is_plain(found) else None


def is_plain(value: t.Any) -> bool:
    """Whether JSON can hold it, with its keys in an order."""
    try:
        json.dumps(value, sort_keys=True)
    except (TypeError, ValueError):
        return False
    return True


def _role_of(name: str) -> str:
    return name.removeprefix("__").partition("_")[0]


def _template_text(value: t.Any) -> str:
    """All that a variable says in templates; empty when it holds none."""
    if isinstance(value, str):
        return value if "{{" in value or "{%" in value else ""
    if isinstance(value, dict):
        return " ".join(filter(None, map(_template_text, [*value, *value.values()])))
    if isinstance(value, list | tuple):
        return " ".join(filter(None, map(_template_text, value)))
    return ""
