"""What nginx serves by itself: files of the source, and what the application writes."""

from __future__ import annotations

import gzip
import json

import pytest
from hostlab import traffic

DOMAIN = "shop.example.com"
STATIC = [
    {"url": "/assets/", "path": "reference/assets", "cache": 60},
    {"url": "/media/", "path": "/var/lib/shop/media"},
    {"url": "/deep/", "path": "/var/lib/shop/by/the/year"},
    {"url": "/hosts/", "path": "/srv/files"},
]
LOG = "/var/log/nginx/shop.access.log"


def ask(one, path, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return traffic.get(one.address, path, DOMAIN, named)


@pytest.fixture(scope="module")
def assets(shop):
    """A directory of the source with some files."""
    directory = shop.source / "reference" / "assets"
    (directory / "css").mkdir(parents=True)
    (directory / "css" / "style.css").write_text("a { color: red }\n")
    (directory / "kept.js").write_text("kept()\n")
    (directory / "long.txt").write_text("long " * 1000)
    (directory / "ready.txt").write_text("plain")
    (directory / "ready.txt.gz").write_bytes(gzip.compress(b"compressed before", mtime=0))
    (directory / "ready.txt.br").write_bytes(b"compressed better")
    (directory / "settings.txt").symlink_to("../settings.py")
    return directory


@pytest.fixture
def served(assets, serve, shops):
    for one in shops:
        one.run("sh -c %s", "mkdir -p /srv/files && echo of the host >/srv/files/one.txt")
    serve(static=STATIC)


def last_line(one):
    return json.loads(one.run("tail --lines=1 %s", LOG))


def test_files_of_the_source_come_from_nginx(served, shops, has_headers):
    for one in shops:
        answer = ask(one, "/assets/css/style.css")
        assert (answer.status, answer.body) == (200, "a { color: red }\n")
        assert answer.headers["Content-Type"] == "text/css"
        assert answer.headers["Cache-Control"] == "max-age=60"
        assert has_headers(answer)
        assert (last_line(one)["path"], last_line(one)["upstream_duration"]) == ("/assets/css/style.css", None)
        assert ask(one, "/assets/css/style.css", If_None_Match=answer.headers["ETag"]).status == 304
        for path in ("/assets/", "/assets/css", "/assets/none", "/assets/../settings.py", "/assets../settings.py"):
            refused = ask(one, path)
            assert refused.status in (301, 403, 404), path
            assert has_headers(refused), path
        # A link to what is not public, and the same without the link.
        assert ask(one, "/assets/settings.txt").status == 403
        assert ask(one, "/assets/%2e%2e/settings.py").status == 404
        assert ask(one, "/hosts/one.txt").body == "of the host\n"
        code = "/opt/shop/current/code/reference"
        look = f"runuser -u www-data -- find -L {code}/assets {code}/settings.py -readable -type f"
        readable = one.run("sh -c %s", f"cd / && {look} 2>/dev/null; true")
        assert {path.rsplit("/", 1)[-1] for path in readable.split()} >= {"style.css", "kept.js"}
        assert f"{code}/settings.py" not in readable.split()


def test_texts_are_compressed(served, assets, serve, shops):
    for one in shops:
        assert ask(one, "/assets/long.txt", Accept_Encoding="identity").headers.get("Content-Encoding") is None
        for path in ("/assets/long.txt", "/long"):
            assert encoding(one, path) == "gzip"
        assert compressed(one, "/assets/ready.txt") == b"compressed before"
        assert ask(one, "/assets/ready.txt").body == "plain"
    serve(static=STATIC, compression="brotli")
    for one in shops:
        assert {encoding(one, path, "gzip, br") for path in ("/assets/long.txt", "/long")} == {"br"}
        assert encoding(one, "/assets/long.txt") == "gzip"
        ready = f"curl -s -H 'Accept-Encoding: br' -H 'Host: {DOMAIN}' localhost/assets/ready.txt"
        assert (encoding(one, "/assets/ready.txt", "br"), one.run(ready)) == ("br", "compressed better")
    serve(static=STATIC, compression="none")
    for one in shops:
        assert {encoding(one, path) for path in ("/assets/long.txt", "/assets/ready.txt", "/long")} == {""}


def encoding(one, path, accepted="gzip"):
    wanted = f"-s -o /dev/null -w '%{{header_json}}' -H 'Accept-Encoding: {accepted}'"
    return json.loads(one.run(f"curl {wanted} -H 'Host: {DOMAIN}' localhost{path}")).get("content-encoding", [""])[0]


def compressed(one, path):
    return one.run(f"curl -s --compressed -H 'Host: {DOMAIN}' localhost{path}").encode()


def test_a_file_that_changed_is_another_to_those_who_have_it(served, assets, shop, serve, shops):
    before = [(ask(one, "/assets/css/style.css").headers, ask(one, "/assets/kept.js").headers) for one in shops]
    assert len({changed["ETag"] for changed, _kept in before}) == 1
    (assets / "css" / "style.css").write_text("a { color: tan }\n")
    shop.site(static=STATIC)
    for one, (changed, kept) in zip(shops, before, strict=True):
        asked = {"If_None_Match": changed["ETag"], "If_Modified_Since": changed["Last-Modified"]}
        assert ask(one, "/assets/css/style.css", **asked).body == "a { color: tan }\n"
        asked = {"If_None_Match": kept["ETag"], "If_Modified_Since": kept["Last-Modified"]}
        assert ask(one, "/assets/kept.js", **asked).status == 304
    shop.rollback(static=STATIC)
    assert {ask(one, "/assets/css/style.css").body for one in shops} == {"a { color: red }\n"}


def test_a_rollback_to_before_they_were_static_serves_them_too(assets, shop, serve, shops):
    serve()
    (assets / "kept.js").write_text("kept(1)\n")
    shop.site(static=STATIC)
    assert {ask(one, "/assets/kept.js").body for one in shops} == {"kept(1)\n"}
    shop.rollback(static=STATIC)
    for one in shops:
        assert ask(one, "/assets/kept.js").body == "kept()\n"
        assert last_line(one)["upstream_duration"] is None


def test_what_the_application_writes_is_served_and_nothing_beside_it(served, shops):
    for one in shops:
        assert ask(one, "/writes?name=one.txt").status == 200
        assert ask(one, "/writes?name=deep/two.txt").status == 200
        assert ask(one, "/media/one.txt").body == ask(one, "/media/deep/two.txt").body == "written"
        one.run("runuser -u shop -- sh -c %s", "echo deep > /var/lib/shop/by/the/year/deep.txt")
        assert ask(one, "/deep/deep.txt").body == "deep\n"
        one.run("sh -c %s", "echo secret > /var/lib/shop/secret && chmod 644 /var/lib/shop/secret")
        assert ask(one, "/media/../secret").status == 404
        with one.host.sudo():
            assert one.host.run("runuser -u www-data -- ls /var/lib/shop").rc != 0
            assert one.host.run("runuser -u nobody -- ls /var/lib/shop/media").rc != 0
        one.run("systemctl restart %s", one.service)
        assert ask(one, "/media/one.txt").body == "written"


def test_what_holds_for_a_site_holds_for_its_files(served, serve, shop, shops, hashed, has_headers):
    keys = {
        "static": STATIC,
        "prefix": "/shop",
        "tls": {"mode": "self_signed"},
        "access": {"users": {"alice": hashed}},
    }
    serve(**keys)
    tls = traffic.any_certificate()
    alice = {"Authorization": "Basic YWxpY2U6c2VjcmV0"}

    def ask_tls(one, path, headers=None):
        return traffic.get(one.address, path, DOMAIN, headers, tls=tls)

    for one in shops:
        moved = ask(one, "/shop/assets/kept.js")
        assert (moved.status, moved.headers["Location"]) == (308, f"https://{DOMAIN}/shop/assets/kept.js")
        closed = ask_tls(one, "/shop/assets/kept.js")
        assert (closed.status, has_headers(closed)) == (401, True)
        found = ask_tls(one, "/shop/assets/ready.txt", alice)
        assert (found.status, found.body, has_headers(found)) == (200, "plain", True)
        assert ask_tls(one, "/assets/kept.js", alice).status == 404
        for path in ("/shop/assets/../settings.py", "/shop/assets/%2e%2e/settings.py", "/shop/assets../settings.py"):
            assert ask_tls(one, path, alice).status == 404, path
    shop.site("--tags", "nginx", **keys, maintenance=True)
    for one in shops:
        rests = ask_tls(one, "/shop/assets/kept.js", alice)
        assert (rests.status, "Maintenance" in rests.body, has_headers(rests)) == (503, True, True)
    serve.forget()


def test_without_them_the_application_is_asked_and_the_code_is_closed(served, serve, shops):
    serve()
    for one in shops:
        assert ask(one, "/assets/css/style.css").status == 404
        assert last_line(one)["upstream_duration"] is not None
        with one.host.sudo():
            assert one.host.run("runuser -u www-data -- ls /opt/shop/current/code/").rc != 0
            assert one.host.run("runuser -u www-data -- ls /var/lib/shop/media").rc != 0
        assert not one.host.file("/etc/tmpfiles.d/shop.conf").exists
