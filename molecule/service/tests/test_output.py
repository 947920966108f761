"""logs.to files: all that a release says, from its first moment on, is in one file, and errors name it."""

from __future__ import annotations

import pytest
from hostlab.fixtures import assert_none_failed

ERROR_LOG = "/var/log/shop/error.log"
TO_FILES = {"to": "files"}
# Python itself complains of this at its start, before a line of gunicorn or the application has run.
COMPLAINT = {"PYTHONWARNINGS": "nonsense"}
STARTS = {"gunicorn": "Listening at: unix:/run/shop/", "gevent": "ready"}


@pytest.fixture(params=STARTS)
def server(request, alone):
    """The server's name, and the keys of an application that it serves."""
    return request.param, alone if request.param == "gevent" else {"worker_class": "sync", "workers": 2}


def log_of(one):
    return one.run("cat %s", ERROR_LOG)


def test_all_that_is_said_is_in_the_file(shop, shops, streams, server):
    name, keys = server
    for one in shops:
        one.run("rm -f %s", ERROR_LOG)
    shop.deploy(**keys, logs=TO_FILES, env=COMPLAINT)
    for one in shops:
        one.get("/raise")
        log = log_of(one)
        first = log.index("Invalid -W option ignored")
        assert first < log.index(STARTS[name])
        assert "the application is imported" in log
        assert "RuntimeError: raised in a request" in log
        assert one.run("journalctl --quiet --output=cat _PID=%s", str(one.master)) == ""
        owned = one.host.file(ERROR_LOG)
        assert (owned.user, owned.mode & 0o007) == ("shop", 0)
    # One that fails as a service, and not in the check before: its traceback is where the error says.
    before = [(one.release, len(log_of(one))) for one in shops]
    with streams() as quick:
        run = shop.deploy(**keys, logs=TO_FILES, env={"FAILS": "as a service"}, check=False)
    assert_none_failed(quick)
    for one, (release, size) in zip(shops, before, strict=True):
        error = run.error(one.inventory_name)
        assert "failed in phase start" in error
        assert f"release {release} still serves" in error
        assert error.endswith(f"\nThe service's log: cat {ERROR_LOG}")
        for text in (error, log_of(one)[size:]):
            assert "Traceback (most recent call last)" in text
            assert "RuntimeError: told to fail" in text
