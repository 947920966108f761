"""Secrets reach the application and its hooks as they are, and nothing else, whatever a run comes to."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hostlab import controller

from ansible_collections.wsgiops.flask.plugins.module_utils._release import Parts

STATE = "/var/lib/intruder"
SEARCHER = Path(__file__).with_name("search_host.py")
VERBOSE = ("-vvv", "--diff")

# In each value but the shortest. Letters and digits: as they are quoted for a shell, for JSON or for a URL, they stay
# as they are; base64 and hexadecimal digits are looked for besides.
MARK = "canary" + secrets.token_hex(8)
SHAPES = {
    "PLAIN": MARK,
    "QUOTES": f"it's \"{MARK}\" `id` $HOME ${{HOME}} \\ \\n %i %% 'x",
    "LINES": f'-----BEGIN-----\n{MARK}\r\n\tindented = "yes" # no comment\n-----END-----\n',
    "UNICODE": f"Schlüssel-密鑰-🔑-{MARK}",
    "JSON": f'{{"password": "{MARK}", "list": [1, null]}}',
    "URL": f"postgresql://user:{MARK}@db.example.com/shop?sslmode=require&x=%20",
    "SPACES": f"  {MARK}  ",
    "BACKSLASH": f"{MARK}\\",
    "LONG": f"{MARK}{'x' * 20000}",
}
# A single letter is in every output: it is looked for with its name, and must not be masked where it stands otherwise.
LETTER = "e"
ENVIRONMENT = {
    **{f"ENV_{shape}": value.replace(MARK, f"{MARK}env") for shape, value in SHAPES.items()},
    "ENV_LETTER": LETTER,
    "ENV_NUMBER": 20261101,
}
SECRETS = {
    **{f"SECRET_{shape}": value.replace(MARK, f"{MARK}secret") for shape, value in SHAPES.items()},
    "SECRET_LETTER": LETTER,
    "SECRET_NUMBER": 20261102,
    "SECRET_NUMBER_TEXT": "0012e4567",
    "FLASK_SECRET_KEY": f"true{MARK}",
    "FLASK_OTHER_KEY": '{"a": 1}',
}
CHANGED = {**SECRETS, "SECRET_PLAIN": f"{MARK}changed"}

# What a hook sees of them, without showing it.
SEEN = ("SECRET_QUOTES", "SECRET_LINES", "ENV_UNICODE", "FLASK_SECRET_KEY")


def base64_forms(text):
    """How a text looks in base64 of something that it stands in, which begins at any of three places in a group."""
    for skipped in range(3):
        whole = base64.b64encode(bytes(skipped) + text.encode()).decode()
        # The groups at both ends depend on what stands next to it.
        yield whole[4 if skipped else 0 : -4]


def plain_hashes(value):
    return [hashlib.new(name, str(value).encode()).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")]


FORMS = [MARK, MARK.encode().hex(), *base64_forms(MARK)]
FORMS += [
    f"{name}{between}{LETTER}{end}"
    for name in ("ENV_LETTER", "SECRET_LETTER")
    for between, end in (
        ("=", "\n"),
        ("=", " "),
        ("=", "\0"),
        ('="', '"'),
        ("='", "'"),
        ('": "', '"'),
        ("': '", "'"),
        (": ", "\n"),
        ('\\": \\"', '\\"'),
    )
]
HASHES = [digest for value in {**ENVIRONMENT, **SECRETS}.values() for digest in plain_hashes(value)]

# Writes the command lines that processes of the host have while it runs, at each of their first moments: a process
# begins with that of its parent.
WATCHER = """
import collections, os, time
looks = collections.Counter()
with open("/root/watched", "wb", buffering=0) as log:
    while True:
        for name in os.listdir("/proc"):
            if name.isdigit() and looks[name] < 5:
                looks[name] += 1
                try:
                    log.write(open("/proc/" + name + "/cmdline", "rb").read() + b"\\n")
                except OSError:
                    pass
        time.sleep(0.03)
"""


# The texts of a directory's files by their relative paths.
READER = """
import json, os, sys
paths = [os.path.join(directory, name) for directory, _, names in os.walk(sys.argv[1]) for name in names]
texts = {os.path.relpath(path, sys.argv[1]): open(path).read() for path in paths if os.path.isfile(path)}
json.dump(texts, sys.stdout)
"""

# Where a release is told of: its facts, the history, names, and the journal.
PUBLIC = """
cat /opt/intruder/history.jsonl /opt/intruder/releases/*/release.json
ls -R /opt/intruder/releases /run/intruder
journalctl --no-pager --output=cat
"""


@pytest.fixture(scope="module")
def runs(intruder, intruders):
    """Runs of every kind by name, each with all that Ansible can be asked to tell, and the releases after the first."""
    for one in intruders:
        one.run("systemd-run --quiet --collect --unit=sandbox-watcher python3 -c %s", WATCHER)
    released = []

    def note(run):
        released.append([one.release for one in intruders])
        return run

    def hook(place):
        return f"printenv {' '.join(SEEN)} | sha256sum > {STATE}/seen-{place}"

    hooks = {place: [hook(place)] for place in ("once", "before_switch", "after_switch")}
    keys = {"env": ENVIRONMENT, "secrets": SECRETS}
    changed = {"env": ENVIRONMENT, "secrets": CHANGED}
    try:
        done = {
            "site": note(intruder.site(*VERBOSE, **keys, hooks=hooks)),
            "again": note(intruder.deploy(*VERBOSE, **keys, hooks=hooks)),
            "plan": note(intruder.site("--check", *VERBOSE, **changed)),
            "changed": note(intruder.deploy(*VERBOSE, **changed)),
            "rollback": note(intruder.rollback(*VERBOSE, **changed)),
            "broken": intruder.deploy(
                *VERBOSE, env={**ENVIRONMENT, "INTRUDER_BREAKS": "yes"}, secrets=SECRETS, check=False
            ),
            "hook": intruder.deploy(*VERBOSE, **changed, hooks={"after_switch": ["exit 3"]}, check=False),
        }
    finally:
        for one in intruders:
            one.run("systemctl stop sandbox-watcher")
    return done, released


def test_runs_came_to_what_they_should(runs, intruders):
    done, _released = runs
    assert {name for name, run in done.items() if run.status} == {"broken", "hook"}
    assert done["broken"].output.count("failed in phase check") >= len(intruders)
    assert done["broken"].output.count("this release is broken") >= len(intruders)
    assert done["hook"].output.count("exit status 3") >= len(intruders)
    assert set(done["again"].changed.values()) == {0}


def test_the_application_sees_what_was_given(runs, intruders):
    for one in intruders:
        given = {**ENVIRONMENT, **SECRETS}
        seen = one.get("/environment?" + urlencode([("name", name) for name in given])).json()
        assert [name for name in given if seen[name] != str(given[name])] == []


def test_hooks_see_it_too(runs, intruders):
    given = {**ENVIRONMENT, **SECRETS}
    text = "".join(f"{given[name]}\n" for name in SEEN)
    wanted = hashlib.sha256(text.encode()).hexdigest()
    # The first host is the one that runs what runs once.
    assert intruders[0].run("cat %s", f"{STATE}/seen-once").split()[0] == wanted
    for one in intruders:
        for place in ("before_switch", "after_switch"):
            assert one.run("cat %s", f"{STATE}/seen-{place}").split()[0] == wanted, place


def test_a_secret_makes_the_release(runs, intruders):
    """Another one is another release, and the same one the same, whichever host it is on."""
    _done, (site, again, plan, changed, rollback) = runs
    assert site == again == plan == rollback
    assert not set(changed) & set(site)
    for one, release in zip(intruders, site, strict=True):
        assert one.release == release
        assert content(one).release_id() == release


def content(one):
    """What the release on a host is made of, of which nothing is the host's."""
    texts = json.loads(one.run("python3 -c %s /opt/intruder/current/", READER))
    manifest = json.loads(texts["release.json"])
    return Parts(
        app="intruder",
        code=manifest["code"],
        venv=manifest["venv"],
        files={name: texts[name] for name in manifest["files"]},
        units={name.removeprefix("systemd/"): text for name, text in texts.items() if name.startswith("systemd/")},
        environment={name: str(value) for name, value in ENVIRONMENT.items()},
        secrets={name: str(value) for name, value in SECRETS.items()},
    )


def test_no_output_shows_them(runs):
    done, _released = runs
    for name, run in done.items():
        assert shown(run.output) == [], name
        # Ansible masks a secret wherever it stands: a single letter would leave nothing readable.
        assert re.findall(r"\w\*{8}|\*{8}\w", run.output) == [], name


def shown(output):
    """The surroundings of each form of a secret in a text."""
    places = [(form, output.find(form)) for form in FORMS + HASHES]
    return [f"{form}: {output[max(at - 100, 0) : at + 100]}" for form, at in places if at >= 0]


def test_no_validation_shows_them(intruder):
    """Every rule that entries of env and secrets can break, in entries that hold a secret."""
    wrong = [
        {key: value}
        for key in ("env", "secrets")
        for value in (
            MARK,
            [MARK],
            {"NAME": [MARK]},
            {"NAME": {"nested": MARK}},
            {"not a name": MARK},
            {"LISTEN_FDS": MARK},
            {"NAME": f"{MARK}\0"},
        )
    ]
    wrong += [
        {"env": {"NAME": MARK}, "secrets": {"NAME": f"{MARK}other"}},
        {"env": {"OTHER": MARK}, "secrets": {"NAME": ""}},
        {"secret": {"NAME": MARK}},
        {"secrets": {"NAME": MARK}, "timeout": "soon"},
    ]
    entries = [
        {**intruder.app, "name": f"wrong-{number}", "domains": [f"{number}.example.com"], **keys}
        for number, keys in enumerate(wrong)
    ]
    for playbook in ("site.yml", "playbooks/deploy.yml"):
        chosen = intruder.directory / "wrong.json"
        chosen.write_text(json.dumps({"flask_apps": entries}))
        run = controller.playbook(*VERBOSE, "-e", f"@{chosen}", name=playbook, check=False)
        assert [number for number in range(len(wrong)) if f'"wrong-{number}: ' not in run.output] == []
        assert shown(run.output) == []


def test_the_host_has_them_in_two_files_of_each_release(runs, intruders):
    for one in intruders:
        found = search(one, FORMS)
        kept = one.run("ls /opt/intruder/releases").split()
        # Releases of other tests have none.
        ours = {f"/opt/intruder/releases/{release}/{name} 600 0" for release in kept for name in ("env", "secrets")}
        assert {place: where for place, where in found.items() if place not in ours} == {}
        current = {f"/opt/intruder/releases/{one.release}/{name} 600 0" for name in ("env", "secrets")}
        assert current <= found.keys()
        # The watcher saw how hooks are run.
        assert int(one.run("grep --text --count systemd-run /root/watched")) > 0


def test_no_plain_hash_of_them_is_anywhere(runs, intruders):
    """Guesses could be tested against one; ids are public, and hold the first digits of a digest."""
    for one in intruders:
        public = one.run("sh -ec %s", PUBLIC)
        assert one.release in public
        assert [digest for digest in HASHES if digest[:12] in public] == []


def search(one, texts):
    patterns = [text.encode().hex()[::-1] for text in texts]
    return json.loads(one.run("python3 -c %s " + " ".join(patterns), SEARCHER.read_text()))
