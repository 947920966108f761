# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The `wsgi` of an application: where gunicorn will find it, read from the source without running any of it."""

from __future__ import annotations

import ast
import difflib
import keyword
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ansible_collections.wsgiops.flask.plugins.module_utils._tree import Entry, native_path
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import SourceError, absence, is_deployed

ACCEPTED = 'module, module:attribute, module:factory() or module:factory("literal", key=1)'

_DEFAULT_ATTRIBUTE = "application"  # of gunicorn.util.import_app
_FACTORIES = ("create_app", "make_app")  # the names flask.cli.find_best_app and Flask's documents use
# What may bind a name of the module without its being written as a binding.
_DYNAMIC_NAMES = {"globals", "vars", "locals", "exec", "eval"}
_DYNAMIC_ATTRIBUTES = {"modules", "__dict__"}
_IS_SCRIPT = ("__name__ == '__main__'", "'__main__' == __name__")  # as ast.unparse writes them


class WsgiTarget(NamedTuple):
    """What gunicorn imports."""

    module: str  # dotted
    attribute: str
    call: bool  # the attribute is a factory, called to get the application


def parse_wsgi(text: str) -> WsgiTarget:
    """Read gunicorn's APP_MODULE as gunicorn.util.import_app does. Raises ValueError that says what is accepted."""
    module, colon, expression = text.partition(":")
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in module.split(".")):
        raise ValueError(f"wsgi {text!r}: {module!r} is not the dotted name of a module; accepted is {ACCEPTED}")
    if module.endswith(".py"):
        raise ValueError(
            f"wsgi {text!r} names a file; write {module[:-3] + colon + expression!r}; accepted is {ACCEPTED}"
        )
    attribute, call = _parse_attribute(expression) if colon else (_DEFAULT_ATTRIBUTE, False)
    if not attribute:
        raise ValueError(
            f"wsgi {text!r}: {expression!r} is neither a name nor the call of one with literal arguments; "
            f"accepted is {ACCEPTED}"
        )
    return WsgiTarget(module, attribute, call)


def find_application(root: Path, wsgi: str, entries: Sequence[Entry], exclude: Sequence[str] = ()) -> None:
    """Raise SourceError when `wsgi` certainly is not in the source `root` of which `entries` are deployed.

    `exclude` is what `entries` were listed with; it only makes the message better. What cannot be decided without
    running the code (a star import, `globals()`, syntax this Python does not know) is accepted. Raises ValueError when
    `wsgi` is not of gunicorn's syntax.
    """
    target = parse_wsgi(wsgi)
    path = target.module.replace(".", "/")
    candidates = (f"{path}/__init__.py", f"{path}.py")  # a package comes before a module of its name
    found = next((candidate for candidate in candidates if is_deployed(root, candidate, entries)), None)
    if found is None:
        if not _is_compiled(path, entries):
            raise SourceError(_no_module(root, wsgi, candidates, entries, exclude))
        return
    try:
        names = _module_names(native_path(root, found))
    except OSError as error:
        raise SourceError(f"{found!r} cannot be read ({error.strerror})") from error
    if names and not names.dynamic and target.attribute not in names.bound:
        raise SourceError(_no_attribute(wsgi, target, found, names))


def _parse_attribute(expression: str) -> tuple[str, bool]:
    """The name in an attribute or a call with literal arguments and whether it is called; ("", False) for others."""
    try:
        node = ast.parse(expression, mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            for value in (*node.args, *(argument.value for argument in node.keywords)):
                ast.literal_eval(value)
            # gunicorn would make {None: ...} of a ** argument, which no function takes.
            if all(argument.arg for argument in node.keywords):
                return node.func.id, True
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        # What ast.literal_eval may raise for a malformed text, says its documentation.
        pass
    return "", False


def _is_compiled(path: str, entries: Sequence[Entry]) -> bool:
    """Whether the module is there as an extension or bytecode, which cannot be looked into."""
    compiled = re.compile(re.escape(path) + r"(/__init__)?(\.[\w-]+)?\.(so|pyc)")
    return any(compiled.fullmatch(entry.path) for entry in entries)


def _no_module(
    root: Path, wsgi: str, candidates: Sequence[str], entries: Sequence[Entry], exclude: Sequence[str]
) -> str:
    package, module = candidates
    for candidate in candidates:
        reason = absence(root, candidate, exclude)
        if reason != "is not there":
            return f"wsgi {wsgi!r}: {candidate!r} {reason}"
    elsewhere = [entry.path for entry in entries if entry.path.endswith((f"/{package}", f"/{module}"))]
    scripts = [entry.path for entry in entries if entry.path.endswith(".py")]
    nearest = elsewhere[:3] or difflib.get_close_matches(module, scripts, 3)
    hint = f"; the nearest are {', '.join(nearest)}" if nearest else ""
    return (
        f"wsgi {wsgi!r}: neither {module!r} nor {package!r} is in the source {str(root)!r}{hint}; "
        "the module is looked up from the top of the source"
    )


def _no_attribute(wsgi: str, target: WsgiTarget, path: str, names: _Names) -> str:
    default = " (gunicorn's default when none is named)" if ":" not in wsgi else ""
    message = f"wsgi {wsgi!r}: {path!r} defines no {target.attribute!r}{default}"
    if target.attribute in names.script_only:
        message += ' but under `if __name__ == "__main__"`, which does not run when gunicorn imports it'
    near = difflib.get_close_matches(target.attribute, names.bound, 3)
    likely = [name for name in names.applications if name not in near]
    if near:
        message += f"; the nearest are {', '.join(map(names.written, near))}"
    if likely:
        message += f"; what looks like an application is {', '.join(map(names.written, likely))}"
    return message


class _Names(ast.NodeVisitor):
    """The names a module binds at its top level, wherever the statement stands that does."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.script_only: set[str] = set()  # bound when the file runs as a script, not when it is imported
        self.applications: list[str] = []  # what looks like an application, or a factory of one
        self.factories: set[str] = set()
        self.dynamic = False  # names may come and go in ways that cannot be read
        self._inner = 0  # depth of scopes inside the module's
        self._script = False

    def written(self, name: str) -> str:
        """A name as it is written in `wsgi`."""
        return f"{name}()" if name in self.factories else name

    def _bind(self, name: str | None) -> None:
        if name and not self._inner:
            (self.script_only if self._script else self.bound).add(name)

    def _visit_inside(self, nodes: Sequence[ast.AST]) -> None:
        """Visit what is a scope of its own: there only a `global` statement binds a name of the module."""
        self._inner += 1
        for node in nodes:
            self.visit(node)
        self._inner -= 1

    def _visit_all(self, nodes: Sequence[ast.AST | None]) -> None:
        for node in nodes:
            if node:
                self.visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._bind(node.name)
        if not self._inner and not self._script:
            self.dynamic |= node.name == "__getattr__"  # PEP 562
            if node.name in _FACTORIES:
                self.applications.append(node.name)
                self.factories.add(node.name)
        self._visit_all([*node.decorator_list, node.args, node.returns])
        self._visit_inside(node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self._visit_inside([node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name)
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])
        self._visit_inside(node.body)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        # Its target stays inside; a `:=` in it binds outside (PEP 572).
        self._visit_all([node.iter, *node.ifs])

    def visit_Global(self, node: ast.Global) -> None:
        self.bound.update(node.names)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._bind(node.id)
        self.dynamic |= node.id in _DYNAMIC_NAMES

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.dynamic |= node.attr in _DYNAMIC_ATTRIBUTES
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        function = node.value.func if isinstance(node.value, ast.Call) else None
        called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        if not self._inner and not self._script and (called.endswith("Flask") or called in _FACTORIES):
            self.applications += [name.id for name in node.targets if isinstance(name, ast.Name)]
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:  # without a value it is a declaration
            self._visit_all([node.target, node.value])

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.dynamic |= alias.name == "*" or alias.name in _DYNAMIC_ATTRIBUTES
            self._bind(alias.asname or alias.name)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._bind(node.rest)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        before = self._script
        self._script = before or ast.unparse(node.test) in _IS_SCRIPT
        self._visit_all(node.body)
        self._script = before
        self._visit_all([node.test, *node.orelse])


def _module_names(location: bytes) -> _Names | None:
    """The names a module binds; None for a file that this Python cannot parse. Raises OSError."""
    with open(location, "rb") as file:
        text = file.read()
    names = _Names()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a dubious escape in the application is no concern of a deploy
            names.visit(ast.parse(text))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    return names
