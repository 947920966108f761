"""The application of an ordinary user, on all hosts of the scenario, as it is before each test: up."""

from __future__ import annotations

import pytest
from hostlab import controller
from hostlab.fixtures import deployment, streams
from hostlab.host import AppOfAUser, connect

__all__ = ["streams"]


# Of the user's own nginx.
PORT = 8080


@pytest.fixture(scope="session")
def shops():
    """The application shop of the user deploy on each host, behind that user's nginx."""
    hosts = [connect(name) for name in controller.instances()]
    return [AppOfAUser(host, "shop", (host.ansible.get_variables()["ansible_host"], PORT)) for host in hosts]


@pytest.fixture(scope="module")
def shop(shops, tmp_path_factory):
    """One source for the tests of a module: a deploy that asks for what is there is none."""
    return deployment(shops, tmp_path_factory.mktemp("shop"))


@pytest.fixture
def served(shop, shops):
    """The application as it is, up; a start by hand forgets what came before, failed ones and a stop."""
    shop.have()
    controller.on_each(shops, lambda one: one.run(f"{one.manager.control} start"))
    return shop
