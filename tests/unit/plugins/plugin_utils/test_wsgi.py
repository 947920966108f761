# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.plugin_utils import _wsgi
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import SourceError, list_source
from ansible_collections.wsgiops.flask.plugins.plugin_utils._wsgi import WsgiTarget, find_application, parse_wsgi


def write(root: Path, path: str, text: str = "") -> Path:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    return root


def find(root: Path, wsgi: str, *exclude: str) -> None:
    find_application(root, wsgi, list_source(root, exclude), exclude)


# --- the syntax ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shop:app", WsgiTarget("shop", "app", False)),
        ("shop.web.main:app", WsgiTarget("shop.web.main", "app", False)),
        ("shop", WsgiTarget("shop", "application", False)),
        ("shop:create_app()", WsgiTarget("shop", "create_app", True)),
        ("shop:create_app( )", WsgiTarget("shop", "create_app", True)),
        ('shop:create_app("production", debug=False, n=-1)', WsgiTarget("shop", "create_app", True)),
        ("shop:create_app({'a': [1, None]}, (2,), b'x')", WsgiTarget("shop", "create_app", True)),
        ('shop:create_app("a:b")', WsgiTarget("shop", "create_app", True)),
        ("größe:ä", WsgiTarget("größe", "ä", False)),
    ],
)
def test_accepted(text: str, expected: WsgiTarget) -> None:
    assert parse_wsgi(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", ":app", "shop:", "shop/web:app", ".shop:app", "shop.:app", "shop..web:app", "my-shop:app", "1shop:app",
        "shop.class:app", " shop:app", "shop:app:other", "shop:app.wsgi", "shop:web.create()", "shop:create_app()()",
        "shop:create_app(name)", "shop:create_app(*[1])", "shop:create_app(**{'a': 1})", "shop:create_app(open('x'))",
        "shop:create_app(", "shop:app[0]", "shop:app or other", "shop:lambda: 0", "shop:app\0", "shop:(yield)",
        "shop:create_app(1 + 'a')", "shop:create_app({{}: 1})", "shop:" + "(" * 500, "shop:1", "shop:class",
    ],
)  # fmt: skip
def test_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match=r"^wsgi .*accepted is module, module:attribute, module:factory\(\) or"):
        parse_wsgi(text)


def test_a_file_name_is_corrected() -> None:
    with pytest.raises(ValueError, match="names a file; write 'shop:app'; accepted"):
        parse_wsgi("shop.py:app")
    with pytest.raises(ValueError, match="names a file; write 'shop'; accepted"):
        parse_wsgi("shop.py")


# --- the module ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "wsgi"),
    [
        ("shop.py", "shop:app"),
        ("shop/__init__.py", "shop:app"),
        ("shop/web.py", "shop.web:app"),  # also in a namespace package
        ("shop/web/__init__.py", "shop.web:app"),
    ],
)
def test_where_a_module_may_be(tmp_path: Path, path: str, wsgi: str) -> None:
    find(write(tmp_path, path, "app = 1"), wsgi)


@pytest.mark.parametrize("path", ["shop.so", "shop.cpython-311-x86_64.so", "shop/__init__.abi3.so", "shop.pyc"])
def test_a_compiled_module_is_not_looked_into(tmp_path: Path, path: str) -> None:
    find(write(tmp_path, path), "shop:app", "!*.pyc")
    with pytest.raises(SourceError, match=r"neither 'web\.py'"):
        find(tmp_path, "web:app", "!*.pyc")


def test_a_package_comes_before_a_module(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", "app = 1")
    write(tmp_path, "shop/__init__.py", "application = 1")
    find(tmp_path, "shop")
    with pytest.raises(SourceError, match=r"'shop/__init__\.py' defines no 'app'"):
        find(tmp_path, "shop:app")


def test_a_module_behind_links(tmp_path: Path) -> None:
    write(tmp_path, "src/shop/__init__.py", "app = 1")
    (tmp_path / "shop").symlink_to("src/shop")
    (tmp_path / "wsgi.py").symlink_to("shop/__init__.py")
    find(tmp_path, "shop:app")
    find(tmp_path, "wsgi:app")
    with pytest.raises(SourceError, match=r"defines no 'ap'; the nearest are app$"):
        find(tmp_path, "wsgi:ap")


def test_no_such_module(tmp_path: Path) -> None:
    write(tmp_path, "shpo.py")
    with pytest.raises(SourceError) as caught:
        find(tmp_path, "shop:app")
    assert str(caught.value) == (
        f"wsgi 'shop:app': neither 'shop.py' nor 'shop/__init__.py' is in the source {str(tmp_path)!r}; "
        "the nearest are shpo.py; the module is looked up from the top of the source"
    )


def test_a_module_that_is_further_down(tmp_path: Path) -> None:
    write(tmp_path, "src/shop/__init__.py")
    with pytest.raises(SourceError, match=r"the nearest are src/shop/__init__\.py; the module is looked up"):
        find(tmp_path, "shop:app")


def test_a_directory_is_no_module(tmp_path: Path) -> None:
    write(tmp_path, "shop/web.py")
    with pytest.raises(SourceError, match=r"neither 'shop\.py'"):
        find(tmp_path, "shop:app")


def test_an_excluded_module(tmp_path: Path) -> None:
    write(write(tmp_path, "shop/web.py"), ".gitignore", "x\n/shop/*\n")
    with pytest.raises(SourceError) as caught:
        find(tmp_path, "shop.web:app")
    assert str(caught.value) == (
        "wsgi 'shop.web:app': 'shop/web.py' is there but not deployed (pattern '/shop/*' of .gitignore:2; "
        "one with '!' in `exclude` overrules it)"
    )


# --- the attribute ------------------------------------------------------------------------------------------------

BINDINGS = [
    "app = 1",
    "app: object = 1",
    "a, (app, *b) = c",
    "[*app] = c",
    "x = app = 1",
    "app += 1",
    "def app(): pass",
    "async def app(): pass",
    "class app: pass",
    "import app",
    "import app.web",
    "import web as app",
    "from web import app",
    "from . import web as app",
    "for app in x: pass",
    "with x as app: pass",
    "with x as (a, app): pass",
    "while (app := 1): pass",
    "print(app := 1)",
    "[app := y for y in x]",
    "[y for y in x if (app := y)]",
    "def f(): pass\napp = 1",
    "class C: pass\nf = lambda: 1\napp = 1",
    "try:\n    a\nexcept E:\n    app = 1",
    "match x:\n    case [app] as y: pass",
    "match x:\n    case {'a': app}: pass",
    "@(app := decorator)\ndef f(): pass",
    "def f(x=(app := 1)): pass",
    "lambda x=(app := 1): x",
    "class C(base := 1, metaclass=(app := 1)): pass",
    "if x:\n    app = 1",
    "if x:\n    pass\nelif y:\n    app = 1",
    "if x:\n    pass\nelse:\n    app = 1",
    "try:\n    import a\nexcept ImportError:\n    app = 1",
    "try:\n    a\nfinally:\n    app = 1",
    "try:\n    a\nexcept E:\n    b\nelse:\n    app = 1",
    "try:\n    a\nexcept E as app:\n    b",
    "match x:\n    case [app, *_]: pass",
    "match x:\n    case [*app]: pass",
    "match x:\n    case {**app}: pass",
    "match x:\n    case C(a=app): pass",
    "match x:\n    case 1:\n        app = 1",
    "def f():\n    global app\n    app = 1",
    "class C:\n    def f(self):\n        global app\n        import app",
    "if __name__ != '__main__':\n    app = 1",
    "if __name__ == '__main__':\n    pass\nelse:\n    app = 1",
]


@pytest.mark.parametrize("text", BINDINGS)
def test_what_binds_a_name(tmp_path: Path, text: str) -> None:
    find(write(tmp_path, "shop.py", text), "shop:app")
    with pytest.raises(SourceError, match="defines no 'other'"):
        find(tmp_path, "shop:other")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "app: object",
        "del app",
        "x.app = 1",
        "x['app'] = 1",
        "def f(): app = 1",
        "def f(app): pass",
        "class C: app = 1",
        "[app for app in x]",
        "{app: app for app in x}",
        "lambda: (app := 1)",
        "lambda app: 1",
        "import web.app",
        "import app as web",
        "from app import web",
        "def f():\n    nonlocal_ = app",
        "def f():\n    for app in x: pass",
        "def f():\n    import app",
        "def f():\n    def app(): pass",
        "class C:\n    def app(self): pass",
        "def f():\n    def __getattr__(name): pass",
        "'app = 1'",
        "# app = 1",
        "if __name__ == '__main__':\n    app = 1",
        "if '__main__' == __name__:\n    def app(): pass",
    ],
)
def test_what_binds_no_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match=r"wsgi 'shop:app': 'shop\.py' defines no 'app'"):
        find(write(tmp_path, "shop.py", text), "shop:app")


@pytest.mark.parametrize(
    "text",
    [
        "from web import *",
        "try:\n    from web import *\nexcept ImportError:\n    pass",
        "def __getattr__(name): pass",
        "globals()['app'] = 1",
        "def f():\n    globals().update(x)",
        "vars()['app'] = 1",
        "locals()['app'] = 1",
        "f = lambda: globals()",
        "eval(code)",
        "exec(code)",
        "import sys\nsys.modules[__name__] = x",
        "from sys import modules\nmodules[__name__].app = 1",
        "this.__dict__['app'] = 1",
        "print 'Python 2'",
        "app = = 1",
        "x = 1\0",
        "x = " + "(" * 500,
        "x = " + "-" * 50_000 + "1",
    ],
)
def test_what_cannot_be_decided_is_accepted(tmp_path: Path, text: str) -> None:
    find(write(tmp_path, "shop.py", text), "shop:app")


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_bytes(b"# coding: latin-1\n\xe9tat = 1\n")
    find(tmp_path, "shop:état")
    with pytest.raises(SourceError, match="defines no 'app'"):
        find(tmp_path, "shop:app")


def test_nothing_is_executed(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    write(tmp_path, "shop.py", f"app = open({str(marker)!r}, 'w')")
    find(tmp_path, "shop:app")
    assert not marker.exists()


def test_a_dubious_escape_warns_nobody(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    find(write(tmp_path, "shop.py", "app = '\\d'"), "shop:app")
    assert not recwarn.list


def test_the_message_names_what_is_there(tmp_path: Path) -> None:
    text = (
        "from flask import Flask\nimport flask\nserver: Flask\nweb = Flask(__name__)\nmain = other = flask.Flask('x')\n"
        "made = create_app()\ndef create_app(): pass\ndef helper(): pass\nx = helper()\ndef f():\n    inner = Flask()\n"
    )
    write(tmp_path, "shop.py", text)
    with pytest.raises(SourceError) as caught:
        find(tmp_path, "shop")
    assert str(caught.value) == (
        "wsgi 'shop': 'shop.py' defines no 'application' (gunicorn's default when none is named); "
        "what looks like an application is web, main, other, made, create_app()"
    )
    with pytest.raises(SourceError) as caught:
        find(tmp_path, "shop:create_ap()")
    assert str(caught.value) == (
        "wsgi 'shop:create_ap()': 'shop.py' defines no 'create_ap'; the nearest are create_app(); "
        "what looks like an application is web, main, other, made"
    )


def test_the_message_says_when_it_is_only_for_scripts(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", 'if __name__ == "__main__":\n    app = Flask()\n')
    with pytest.raises(SourceError) as caught:
        find(tmp_path, "shop:app")
    assert str(caught.value) == (
        "wsgi 'shop:app': 'shop.py' defines no 'app' but under `if __name__ == \"__main__\"`, "
        "which does not run when gunicorn imports it"
    )


def test_at_most_three_names_are_suggested(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", "app1 = app2 = app3 = app4 = 1\ndef make_app(): pass\n")
    with pytest.raises(SourceError) as caught:
        find(tmp_path, "shop:app")
    near = str(caught.value).partition("; the nearest are ")[2].partition(";")[0].split(", ")
    assert len(near) == 3
    assert set(near) < {"app1", "app2", "app3", "app4"}
    assert str(caught.value).endswith("; what looks like an application is make_app()")
    for directory in "abcd":
        write(tmp_path, f"{directory}/web.py")
    with pytest.raises(SourceError, match=r"the nearest are a/web\.py, b/web\.py, c/web\.py; the module"):
        find(tmp_path, "web:app")


def test_an_unreadable_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    write(tmp_path, "shop.py", "app = 1")
    entries = list_source(tmp_path)
    monkeypatch.setattr(_wsgi, "open", refuse, raising=False)
    with pytest.raises(SourceError, match=r"'shop\.py' cannot be read \(Permission denied\)"):
        find_application(tmp_path, "shop:app", entries)
