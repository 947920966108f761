# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import dataclasses
import hashlib
import typing as t

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _release
from ansible_collections.wsgiops.flask.plugins.module_utils._release import RELEASE_ID, Parts, secret_digest

PARTS = Parts(
    app="shop",
    code="5891b5b522d5df08",
    venv="2c26b46b68ffc68f",
    files={"gunicorn.conf.py": "workers = 1\n"},
    units={"shop@.service": "[Service]\n", "shop@.socket": "[Socket]\n"},
    environment={},
)
SECRET = dataclasses.replace(PARTS, environment={"PASSWORD": "s3cret-of-the-shop"})
KEPT = dataclasses.replace(PARTS, secrets=SECRET.environment)


class Spy:
    """Stands for hashlib, and keeps what it was given to hash fast, and what slowly."""

    def __init__(self) -> None:
        self.fast: list[bytes] = []
        self.slow: list[tuple[bytes, dict[str, t.Any]]] = []

    def sha256(self, data: bytes) -> t.Any:
        self.fast.append(data)
        return hashlib.sha256(data)

    def scrypt(self, data: bytes, **cost: t.Any) -> bytes:
        self.slow.append((data, cost))
        return hashlib.scrypt(data, **cost)


def test_an_id_is_the_same_on_every_host_and_in_every_version() -> None:
    """A change of these ids is a new release of every application there is: never by accident."""
    assert PARTS.release_id() == "3672d26ef404"
    assert SECRET.release_id() == "5a1cf03a9791"
    assert KEPT.release_id() == "96a4132651c0"
    assert RELEASE_ID.fullmatch(PARTS.release_id())


def test_the_order_of_the_parts_does_not_count() -> None:
    turned = dataclasses.replace(PARTS, units=dict(reversed(list(PARTS.units.items()))))
    assert list(turned.units) != list(PARTS.units)
    assert turned.release_id() == PARTS.release_id()


@pytest.mark.parametrize(
    "change",
    [
        {"app": "desk"},
        {"code": "5891b5b522d5df09"},
        {"venv": "2c26b46b68ffc680"},
        {"code": PARTS.venv, "venv": PARTS.code},
        {"files": {"gunicorn.conf.py": "workers = 2\n"}},
        {"files": {"other.conf.py": "workers = 1\n"}},
        {"files": {**PARTS.files, "empty": ""}},
        {"files": {}},
        {"units": {**PARTS.units, "shop@.socket": "[Socket]\n\n"}},
        {"units": {"shop@.service": "[Socket]\n", "shop@.socket": "[Service]\n"}},
        {"files": PARTS.units, "units": PARTS.files},
    ],
    ids=str,
)
def test_any_single_change_is_another_release(change: dict[str, t.Any]) -> None:
    assert dataclasses.replace(PARTS, **change).release_id() != PARTS.release_id()


@pytest.mark.parametrize("kind", ["environment", "secrets"])
def test_any_single_change_of_a_variable_is_another_release(kind: str) -> None:
    variables: list[dict[str, str]] = [
        {},
        {"PASSWORD": "s3cret-of-the-shop"},
        {"PASSWORD": "s3cret-of-the-shoq"},
        {"PASSWORT": "s3cret-of-the-shop"},
        {"PASSWORD": "s3cret-of-the-shop", "EMPTY": ""},
        {"PASSWORD": "s3cret-of-the-shöp"},
    ]
    parts: list[t.Any] = [dataclasses.replace(PARTS, **{kind: some}) for some in variables]  # type: ignore[arg-type]
    assert len({one.release_id() for one in parts}) == len(variables)


def test_a_variable_that_becomes_a_secret_is_another_release() -> None:
    """And no digest tells that the value is the same."""
    both = dataclasses.replace(SECRET, secrets=SECRET.environment)
    assert len({parts.release_id() for parts in (PARTS, SECRET, KEPT, both)}) == 4
    variables = SECRET.environment
    assert secret_digest("shop", variables) != secret_digest("shop:secrets", variables)


@pytest.mark.parametrize(("parts", "salt"), [(SECRET, b"wsgiops.flask:shop"), (KEPT, b"wsgiops.flask:shop:secrets")])
def test_variables_enter_through_scrypt_alone(monkeypatch: pytest.MonkeyPatch, parts: Parts, salt: bytes) -> None:
    spy = Spy()
    monkeypatch.setattr(_release, "hashlib", spy)
    parts.release_id()

    [(data, cost)] = spy.slow
    assert b"s3cret-of-the-shop" in data
    assert cost["salt"] == salt
    # The OWASP Password Storage Cheat Sheet's minimum: N=2^17, r=8, p=1 or what costs the same in less memory.
    assert cost["n"] * cost["r"] * cost["p"] >= 2**14 * 8 * 5
    plain = hashlib.sha256(b"s3cret-of-the-shop").hexdigest().encode()
    assert spy.fast
    assert not any(b"s3cret" in fast or b"PASSWORD" in fast or plain in fast for fast in spy.fast)


def test_two_applications_with_one_secret_do_not_show_it() -> None:
    assert secret_digest("shop", {"A": "1"}) != secret_digest("desk", {"A": "1"})


def test_where_there_are_no_variables_it_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy()
    monkeypatch.setattr(_release, "hashlib", spy)
    assert secret_digest("shop", {}) == ""
    PARTS.release_id()
    assert not spy.slow


@pytest.mark.parametrize("name", ["current", "0123456789a", "0123456789abc", "0123456789AB", "0123456789ab\n"])
def test_other_names_are_no_ids(name: str) -> None:
    assert not RELEASE_ID.fullmatch(name)
