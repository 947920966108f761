"""The application of this scenario, and the authority on its hosts."""

from __future__ import annotations

import ssl

import pytest
from hostlab.deployment import Deployment
from hostlab.fixtures import deployment, shops, streams

__all__ = ["answering", "shop", "shops", "streams", "trusting"]


@pytest.fixture(scope="session")
def shop(shops, tmp_path_factory) -> Deployment:
    """The application, whose source stays the same for all tests: what they change is its keys."""
    return deployment(shops, tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def trusting(shops) -> dict[str, ssl.SSLContext]:
    """By host, a client that trusts the host's authority and no other."""
    return {
        one.inventory_name: ssl.create_default_context(cadata=one.run("cat /srv/authority/ca.pem") + "\n")
        for one in shops
    }


@pytest.fixture
def answering(shops):
    """A function that has the authority of all hosts answer, or not; in the end, it does."""

    def have(answers: bool) -> None:
        for one in shops:
            one.run(f"systemctl {'start' if answers else 'stop'} authority.service")

    yield have
    have(True)
