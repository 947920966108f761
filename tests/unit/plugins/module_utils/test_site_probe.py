# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _site_probe
from ansible_collections.wsgiops.flask.plugins.module_utils._site_probe import SiteProbe, StandingSites, site_probe
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Behaviour, UnixServer

HOST = "shop.example.com"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_site_probe, "PAUSE", 0.01)
    monkeypatch.setattr(_site_probe, "TIMEOUT", 0.5)


@pytest.fixture
def upstream(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("s") / "current" / "socket")


@contextlib.contextmanager
def application(upstream: str, *statuses: int, **behaviour: t.Any) -> Iterator[UnixServer]:
    os.makedirs(os.path.dirname(upstream))
    server = UnixServer(upstream, Behaviour(statuses=statuses, **behaviour))
    server.serve()
    try:
        yield server
    finally:
        server.close()


class Nginx:
    """What listens at the front: it answers with these statuses, in turn, the last one for ever.

    0 closes the connection, -1 lets it wait.
    """

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self._waiting: list[socket.socket] = []
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self.asked.append(connection.recv(4096).decode())
                status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
                if status > 0:
                    connection.sendall(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())
                if status == -1:
                    self._waiting.append(connection)
                else:
                    connection.close()

    def probe(self, upstream: str, **options: t.Any) -> SiteProbe:
        common = {"name": "shop", "url": self.url, "host": HOST, "path": "/ready", "status": 200, "upstream": upstream}
        return SiteProbe(**{**common, **options})


def test_a_site_that_hands_the_answer_on_is_asked_once(upstream: str) -> None:
    nginx = Nginx(200)
    with application(upstream, 200) as server:
        assert nginx.probe(upstream, url=nginx.url + "/shop").problem() == ""
        assert server.requests == []
    assert len(nginx.asked) == 1
    assert nginx.asked[0].startswith("GET /shop/ready HTTP/1.1\r\n")
    assert f"\r\nHost: {HOST}\r\n" in nginx.asked[0]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "was answered with status 403; the application itself answered with 200"),
        (404, "was answered with status 404"),
        (500, "was answered with status 500"),
        (308, "was answered with status 308"),
        (0, "got no answer ("),
        (-1, "got no answer (none within 0.5 s)"),
    ],
)
def test_a_ready_application_has_to_be_ready_through_nginx(upstream: str, status: int, said: str) -> None:
    nginx = Nginx(status)
    with application(upstream, 200):
        problem = nginx.probe(upstream).problem()
    assert problem.startswith("shop: nginx does not serve the application with this site: GET /ready through nginx (")
    assert f"{nginx.url}, Host {HOST}) {said}" in problem
    assert len(nginx.asked) == _site_probe.ATTEMPTS


def test_what_means_ready_is_the_users_word(upstream: str) -> None:
    with application(upstream, 204):
        assert Nginx(204).probe(upstream, status=204).problem() == ""
        assert "itself answered with 204" in Nginx(200).probe(upstream, status=204).problem()


@pytest.mark.parametrize("status", [502, 503, 404, 200, -1])
@pytest.mark.parametrize("statuses", [(503,), (404,), ()], ids=str)
def test_an_application_that_is_not_ready_blocks_no_site(upstream: str, statuses: tuple[int, ...], status: int) -> None:
    """It gives no answer at all where there are no statuses."""
    with application(upstream, *(statuses or (200,)), mute=not statuses):
        assert Nginx(status).probe(upstream).problem() == ""


def test_nginx_has_to_answer_whatever_the_application_does(upstream: str) -> None:
    os.makedirs(os.path.dirname(upstream))
    problem = Nginx(0).probe(upstream).problem()
    assert "got no answer (" in problem
    assert "the application itself gives no answer (" in problem
    assert "Connection refused" in Nginx(0).probe(upstream, url="http://127.0.0.1:1").problem()


def test_an_application_that_changed_its_mind_is_asked_again(upstream: str) -> None:
    nginx = Nginx(503, 503, 200)
    with application(upstream, 200):
        assert nginx.probe(upstream).problem() == ""
    assert len(nginx.asked) == 3


def test_a_limit_is_an_answer(upstream: str) -> None:
    with application(upstream, 200):
        assert Nginx(429).probe(upstream).problem() == ""


def test_without_a_release_nothing_is_asked(tmp_path: Path) -> None:
    nginx = Nginx(500)
    assert nginx.probe(str(tmp_path / "current" / "socket")).problem() == ""
    assert nginx.asked == []


def test_without_an_address_there_is_no_probe() -> None:
    options = {"name": "shop", "host": HOST, "path": "/ready", "status": 200, "upstream": "/opt/shop/current/socket"}
    assert site_probe({**options, "url": ""}) is None
    assert site_probe({**options, "url": "http://127.0.0.1"}) == SiteProbe(**options, url="http://127.0.0.1")


@pytest.mark.parametrize("guard", [401, 503])
@pytest.mark.parametrize(("status", "is_well"), [("guard", True), (200, True), (429, True), (500, False), (403, False)])
def test_what_nginx_answers_in_front_of_the_application_is_as_good(
    upstream: str, guard: int, status: int | str, is_well: bool
) -> None:
    """Nothing else is: a site that asks for a password, or rests, can be wrong like any other."""
    with application(upstream, 200):
        problem = Nginx(guard if status == "guard" else int(status)).probe(upstream, guard=guard).problem()
    assert (problem == "") == is_well
    assert is_well or f"was answered with status {status} in the place of {guard}; the" in problem


# --- all sites of a host ------------------------------------------------------------------------------------------


def tell(directory: Path, name: str, url: str, upstream: str) -> None:
    told = {"name": name, "url": url, "host": HOST, "path": "/ready", "status": 200, "upstream": upstream}
    (directory / name).mkdir()
    (directory / name / "probe.json").write_text(json.dumps(told))


def test_sites_that_served_go_on_with_it(tmp_path: Path, upstream: str) -> None:
    with application(upstream, 200):
        tell(tmp_path, "broken", Nginx(500).url, upstream)
        tell(tmp_path, "nowhere", "", upstream)
        tell(tmp_path, "shop", Nginx(200, 200, 500).url, upstream)
        for name, text in (("text", "x"), ("other", "{}"), ("list", "[]"), ("newer", '{"url": "http://x", "more": 1}')):
            (tmp_path / name).mkdir()
            (tmp_path / name / "probe.json").write_text(text)
        sites = StandingSites(f"{tmp_path}/*/probe.json")
        sites.look()
        assert sites.problem() == ""
        assert sites.problem().startswith("shop: nginx does not serve the application with this site: ")


def test_a_host_without_sites_has_nothing_to_ask(tmp_path: Path) -> None:
    sites = StandingSites(f"{tmp_path}/*/probe.json")
    sites.look()
    assert sites.problem() == ""
