# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.plugin_utils import _requirements
from ansible_collections.wsgiops.flask.plugins.plugin_utils._requirements import Requirements, read_requirements
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import SourceError, list_source

HASH = "--hash=sha256:" + "0" * 64


def read(root: Path, text: str | bytes, *exclude: str, **others: str) -> Requirements:
    """Read requirements.txt with `text`, beside files `name="text"` with `__` for `/` and .txt at the end."""
    content = text if isinstance(text, bytes) else text.encode()
    (root / "requirements.txt").write_bytes(content)
    for name, other in others.items():
        location = root / f"{name.replace('__', '/')}.txt"
        location.parent.mkdir(parents=True, exist_ok=True)
        location.write_text(other)
    return read_requirements(root, "requirements.txt", list_source(root, exclude), exclude)


# --- what is read -------------------------------------------------------------------------------------------------


def test_a_plain_file(tmp_path: Path) -> None:
    text = "Flask==3.1.3\n\n# a comment\ngunicorn  # another\n"
    assert read(tmp_path, text) == Requirements({"requirements.txt": text}, False, {"flask", "gunicorn"})


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("Flask", {"flask"}),
        ("flask>=3,<4", {"flask"}),
        ("flask (>=3)", {"flask"}),
        ("Flask_SQLAlchemy", {"flask-sqlalchemy"}),
        ("zope.interface", {"zope-interface"}),
        ("a-_.b==1", {"a-b"}),
        ("gunicorn[gevent, setproctitle]==27.0.1", {"gunicorn"}),
        ("tomli; python_version < '3.11'", {"tomli"}),
        ("tomli;python_version<'3.11' # why", {"tomli"}),
        ("a; sys_platform == 'x/y'", {"a"}),
        ("shop @ https://example.com/shop-1.0.tar.gz", {"shop"}),
        ("shop[x]@https://example.com/shop.zip ; python_version > '3'", {"shop"}),
        ("shop @ git+https://example.com/shop@v1.0", {"shop"}),
        ("shop @ git+ssh://git@example.com/shop.git@v1.0", {"shop"}),
        ("git+https://example.com/x.git@v1#egg=Sh_op[extra]", {"sh-op"}),
        ("git+https://example.com/x.git@v1#subdirectory=a&egg=shop", {"shop"}),
        ("https://example.com/a/Sh_op-1.0-py3-none-any.whl", {"sh-op"}),
        ("https://example.com/shop-1.0.tar.gz", set()),
        ("a --config-settings=k=v", {"a"}),
        ("a -C k=v", {"a"}),
        ("--pre", set()),
        ("-i https://example.com/simple", set()),
        ("--index-url=https://example.com:8443/simple", set()),
        ("--extra-index-url https://example.com/simple?a=b@c", set()),
        ("--index-url https://${USER}:${TOKEN}@example.com/simple", set()),
        ("--index-url https://__token__:${TOKEN}@example.com/simple", set()),
        ("--index-url https://${TOKEN}@example.com/simple", set()),
        ("--index-url https://[::1]:8080/a@b", set()),
        ("--find-links /srv/wheels", set()),  # of the host
        ("-f file:///srv/wheels", set()),
        ("-f file:/srv/wheels", set()),
        ("-f https://example.com/wheels", set()),
        ("--no-binary :all:", set()),
        ("--an-option-of-tomorrow value", set()),
    ],
)
def test_one_line(tmp_path: Path, line: str, names: set[str]) -> None:
    found = read(tmp_path, f"{line}\n")
    assert (found.files, found.hashed, found.names) == ({"requirements.txt": f"{line}\n"}, False, names)


@pytest.mark.parametrize(
    ("text", "extras"),
    [
        ("gunicorn\n", set()),
        ("gunicorn[gevent, setproctitle]==27.0.1\n", {"gunicorn[gevent]", "gunicorn[setproctitle]"}),
        ("Gunicorn[GEvent]\na[x_y]\n", {"gunicorn[gevent]", "a[x-y]"}),
        ("gunicorn\n-c other.txt\n", set()),
    ],
)
def test_extras(tmp_path: Path, text: str, extras: set[str]) -> None:
    assert read(tmp_path, text, other="gunicorn[gevent]\n").extras == extras


@pytest.mark.parametrize(
    "text",
    [
        f"a==1 \\\n    {HASH} \\\n    {HASH}\nb==1 \\\n  {HASH}\n",
        f"a==1 \\\r\n    {HASH}\r\nb==1 {HASH}\r\n",
        f"a==1 {HASH}  # via b\n    # via\n    #   c\nb==1 \\\n{HASH}",
        f"a==1 {HASH}\nb==1 {HASH}\\",
        f"a==1 --hash sha256:{'0' * 64}\nb==1 --has=sha256:{'0' * 64}",
    ],
)
def test_hashes_over_several_lines(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert (found.hashed, found.names) == (True, {"a", "b"})


def test_continued_lines_count_from_their_first(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^requirements\.txt, line 3, 'b ==\.': pip would not accept it"):
        read(tmp_path, "a \\\n==1\nb \\\n==.\n")


def test_a_comment_ends_a_continued_line(tmp_path: Path) -> None:
    assert read(tmp_path, "a \\\n# comment \\\nb\n").names == {"a", "b"}


def test_a_number_sign_inside_a_word_is_no_comment(tmp_path: Path) -> None:
    assert read(tmp_path, "shop @ git+https://example.com/x#subdirectory=y\n").names == {"shop"}


@pytest.mark.parametrize("text", [
    "--hash=sha256:0a --hash=sha256:1b", " \t--pre\r\n -i  https://x/#y ", "--a\xa0b\x0bc\u2028d",
    "--config-settings='a b' -C \"c d\"", "--index-url https://x/a\\ b", "",
])  # fmt: skip
def test_options_are_the_words_of_a_shell(text: str) -> None:
    assert _requirements._words(text) == shlex.split(text)


def test_a_byte_order_mark(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfa\n") == Requirements({"requirements.txt": "a\n"}, False, {"a"})


def test_includes_are_followed_from_where_they_stand(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "-r reqs/base.txt\n--constraint=reqs/limits.txt\nflask\n",
        reqs__base="--requirement more/db.txt\n-c ../limits.txt\na\n",
        reqs__more__db="-r../base.txt\npsycopg",
        reqs__limits="limited-one<2",
        limits="limited-two<2",
    )
    assert list(found.files) == [
        "requirements.txt", "reqs/base.txt", "reqs/more/db.txt", "limits.txt", "reqs/limits.txt",
    ]  # fmt: skip
    assert found.files["reqs/more/db.txt"] == "-r../base.txt\npsycopg"
    assert found.names == {"flask", "a", "psycopg"}


def test_a_file_in_a_cycle_is_read_once(tmp_path: Path) -> None:
    found = read(tmp_path, "-r other.txt\na\n", other="-r requirements.txt\n-r other.txt\nb\n")
    assert (list(found.files), found.names) == (["requirements.txt", "other.txt"], {"a", "b"})


@pytest.mark.parametrize("text", ["-c other.txt\n-r other.txt", "-r other.txt\n-c other.txt"])
def test_a_file_may_be_both_requirement_and_constraint(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text, other="b").names == {"b"}


def test_a_file_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "reqs").mkdir()
    (tmp_path / "reqs" / "prod.txt").write_text("a")
    (tmp_path / "requirements.txt").symlink_to("reqs/prod.txt")
    found = read_requirements(tmp_path, "requirements.txt", list_source(tmp_path))
    assert found == Requirements({"requirements.txt": "a"}, False, {"a"})


# --- files that cannot be had -------------------------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "requirments.txt").touch()
    with pytest.raises(SourceError) as caught:
        read_requirements(tmp_path, "requirements.txt", list_source(tmp_path))
    assert str(caught.value) == (
        "the requirements file 'requirements.txt' is not there; the nearest are requirments.txt"
    )


def test_a_missing_include(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path, "a\n-r base.txt")
    assert str(caught.value) == (
        "requirements.txt, line 2, '-r base.txt': the requirements file 'base.txt' is not there"
    )


def test_an_excluded_include(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"base\.txt': .* is there but not deployed \(pattern 'base\.\*' of exclude:1; one with"
    ):
        read(tmp_path, "a\n-c base.txt", "base.*", base="")


@pytest.mark.parametrize(
    "name",
    [
        "../base.txt",
        "a/../../base.txt",
        "..",
        "/etc/base.txt",
        "https://example.com/base.txt",
        "file:base.txt",
        "file:///base.txt",
    ],
)
@pytest.mark.parametrize("option", ["-r", "--requirement", "-c", "--constr"])
def test_an_include_from_outside(tmp_path: Path, name: str, option: str) -> None:
    with pytest.raises(SourceError, match=r"^requirements\.txt, line 1, .* is outside of the source; copy it into"):
        read(tmp_path, f"{option} {name}")


def test_a_file_asked_for_from_outside(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^the requirements file '\.\./r\.txt' is outside of the source"):
        read_requirements(tmp_path, "../r.txt", [])


def test_utf_16(tmp_path: Path) -> None:
    """What PowerShell's `pip freeze > requirements.txt` writes."""
    with pytest.raises(SourceError, match=r"'requirements\.txt' is not UTF-8; save it as UTF-8"):
        read(tmp_path, "a\n".encode("utf-16"))


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_requirements, "open", refuse, raising=False)
    with pytest.raises(SourceError, match=r"'requirements\.txt' cannot be read \(Permission denied\)"):
        read(tmp_path, "a")


# --- lines that are refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["-e .", "-e.", "--editable ./shop", "--editable=shop", "--edit .", "-e git+https://e.com/x"]
)
def test_editable(tmp_path: Path, line: str) -> None:
    with pytest.raises(
        SourceError, match=r"line 2, .*: an editable requirement is refused: .*put the code in the source"
    ):
        read(tmp_path, f"a\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        ".", "./shop", "../shop", "..", "shop/", "libs/shop", "/opt/shop", ".[extra]", "./shop[x]; os_name == 'posix'",
        "shop-1.0-py3-none-any.whl", "libs/shop.whl", "shop-1.0.tar.gz", "shop.ZIP", "shop.tgz ; os_name == 'posix'",
        "file:shop", "file:///opt/shop", "FILE:///opt/shop", "git+file:///opt/shop", "shop @ file:///opt/shop",
        "shop @ file:shop", "shop @ ./shop", "shop@git+file:///opt/shop",
    ],
)  # fmt: skip
def test_local(tmp_path: Path, line: str) -> None:
    with pytest.raises(SourceError, match=r"line 2, .*: a requirement by local path is refused: .*put the code in the"):
        read(tmp_path, f"a\n{line}\n")


ARCHIVES = "whl zip tar tgz tbz txz tlz tar.gz tar.bz2 tar.xz tar.lz tar.lzma".split()


@pytest.mark.parametrize("ending", ARCHIVES)
def test_local_archives(tmp_path: Path, ending: str) -> None:
    with pytest.raises(SourceError, match="a requirement by local path"):
        read(tmp_path, f"shop-1.0.{ending}")


VALUED = (
    "-i --index-url --pypi-url --extra-index-url --trusted-host --hash -C --config-settings --no-binary --only-binary "
    "--all-releases --only-final --use-feature"
)


@pytest.mark.parametrize("option", VALUED.split())
def test_an_option_s_value_is_no_option(tmp_path: Path, option: str) -> None:
    read(tmp_path, f"{option} -e")
    with pytest.raises(SourceError, match="an editable requirement"):
        read(tmp_path, f"{option} value -e .")


@pytest.mark.parametrize(
    "option", ["--pre", "--no-index", "--prefer-binary", "--require-hashes", "--no-require-hashes"]
)
def test_options_without_value(tmp_path: Path, option: str) -> None:
    with pytest.raises(SourceError, match="an editable requirement"):
        read(tmp_path, f"{option} -e .")


@pytest.mark.parametrize("line", ["--find-links wheels", "-f./wheels", "--find=../wheels"])
def test_packages_in_the_source(tmp_path: Path, line: str) -> None:
    with pytest.raises(
        SourceError, match=r"requirements\.txt, line 2, .*: a directory of packages in the source is refused"
    ):
        read(tmp_path, f"a\n{line}\n")


@pytest.mark.parametrize(
    "line",
    ["a=3", "a==", "a ==3 extra", "'a'", "a; nonsense == '1'", "a --hash 'b", "-r", "--editable", "${NAME}==1"],
)
def test_what_pip_could_not_parse(tmp_path: Path, line: str) -> None:
    with pytest.raises(SourceError, match=r"requirements\.txt, line 2, .*: pip would not accept it \(.+\)"):
        read(tmp_path, f"a\n{line}\n")


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "line",
    [
        f"--index-url https://user:{SECRET}@example.com/simple",
        f"-i https://user:{SECRET}@example.com/simple",
        f"--extra-index-url=https://{SECRET}@example.com/simple",
        f"--extra-index-url https://{SECRET}:@example.com/simple",
        f"--extra-index-url https://${{USER}}:{SECRET}@example.com/simple",
        f"--extra-index-url https://user:${{A}}{SECRET}@example.com/simple",
        f"--index https://user:{SECRET}@example.com/simple",
        f"'--index-url' 'https://user:{SECRET}@example.com/simple'",
        f"--find-links https://user:{SECRET}@example.com/",
        f"--trusted-host a --index-url \\\n https://user:{SECRET}@example.com/",
        f"-r https://user:{SECRET}@example.com/requirements.txt",
        f"-e git+https://{SECRET}@example.com/x",
        f"-e git+ssh://git:{SECRET}@example.com/x",
        f"shop @ https://user:{SECRET}@example.com/shop.whl",
        f"git+https://user:{SECRET}@example.com/x.git@v1#egg=x",
        f"-i https://user:p@{SECRET}@example.com/simple",
        f"-i https://user:p/{SECRET}@example.com/simple",
        f"-i https://user:p#{SECRET}@example.com/simple",
        f"nonsense --- https://user:{SECRET}@example.com 'open",
    ],
)
def test_credentials(tmp_path: Path, line: str) -> None:
    with pytest.raises(SourceError, match=r"^requirements\.txt, line 2: a URL with credentials.* pip\.conf") as caught:
        read(tmp_path, f"a\n{line}\n")
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__cause__)


def test_no_message_repeats_what_may_be_a_secret(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="an editable") as caught:
        read(tmp_path, f"-e https://${{X}}:${{Y}}@example.com/a:{SECRET}@b")
    assert SECRET not in str(caught.value)


# --- hashes -------------------------------------------------------------------------------------------------------


def test_the_first_requirement_without_hash_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^base\.txt, line 2, 'b==1': has no --hash while.*--generate-hashes"):
        read(tmp_path, f"a==1 {HASH}\n-r base.txt\nc==1\n", base=f"# b\nb==1\nd==1 {HASH}\n")


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (f"a==1 {HASH}\nb==1; sys_platform == 'win32'\n", ""),  # may not apply
        (f"a==1 {HASH}\n-c other.txt\n", "b==1"),  # a constraint needs none
        ("-c other.txt\na==1\n", f"a==1 {HASH}"),  # and may give it
        (f"a==1 {HASH}\na==1\n", ""),
        (f"a==1 {HASH}\nshop @ https://example.com/shop.whl#sha256={'0' * 64}\n", ""),
        (f"a==1 {HASH}\nhttps://example.com/shop.whl#egg=shop&sha256={'0' * 64}\n", ""),
        (f"--require-hashes\na==1 {HASH}\n", ""),
        (f"a==1 {HASH}\nhttps://example.com/b.whl ; sys_platform == 'win32'\n", ""),
    ],
)
def test_hashed(tmp_path: Path, text: str, other: str) -> None:
    assert read(tmp_path, text, other=other).hashed


@pytest.mark.parametrize(
    "text",
    [
        f"a==1\na==1 {HASH}\n",  # pip takes the first line for a project
        "--require-hashes\na==1\n",
        f"a==1 {HASH}\nb==1 # {HASH}\n",
        f"a==1 {HASH}\ngit+https://example.com/x\n",
        f"a==1 {HASH}\nb @ https://example.com/b.whl\n",
        f"-c other.txt\na==1 {HASH}\nb==1\n",
    ],
)
def test_some_hash_is_missing(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="has no --hash"):
        read(tmp_path, text, other=f"c==1 {HASH}")


@pytest.mark.parametrize(
    "text",
    ["a==1", f"--no-require-hashes\na==1 {HASH}\nb==1\n", f"# {HASH}\na==1", "a @ https://e.com/a.whl#sha256=00"],
)
def test_not_hashed(tmp_path: Path, text: str) -> None:
    assert not read(tmp_path, text).hashed
