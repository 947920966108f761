"""Where access lines are written, and what ties them together."""

from __future__ import annotations

import json
import uuid

from hostlab import raw
from hostlab.fixtures import DOMAIN

NGINX_LOG = "/var/log/nginx/shop.access.log"

# A status that is no number of JSON as it stands.
ODD = """
@app.get("/odd")
def odd():
    return "odd", "099 Odd"
"""


def nginx_lines(one, path: str) -> list[dict]:
    """What nginx wrote of requests for a path."""
    # A line ends with a line feed alone: a client may send what Python's splitlines() takes for an end, too.
    found = [json.loads(line) for line in one.run("cat %s", NGINX_LOG).split("\n")]
    return [line for line in found if line["path"] == path]


def journal(one) -> list[str]:
    return one.run("journalctl --no-pager --output=cat --unit=%s", "shop@*").splitlines()


def server_lines(one, path: str) -> list[dict]:
    """What gunicorn wrote of them to the journal."""
    found = [json.loads(line) for line in journal(one) if line.startswith("{")]
    return [line for line in found if line["path"] == path]


def test_one_id_leads_through_all_logs(shop, shops):
    shop.add(ODD, "wsgi.py")
    shop.deploy(logs={"access": "both"})
    for one in shops:
        path = f"/slow?seconds=0.25&{uuid.uuid4()}"
        answer = one.get(path)
        request_id = answer.headers["X-Request-ID"]
        [nginx], [served] = nginx_lines(one, path), server_lines(one, path)
        assert nginx["request_id"] == served["request_id"] == request_id
        assert [line for line in journal(one) if f"[{request_id}] waited 0.25 s" in line]
        assert 0.25 <= nginx.pop("upstream_duration") <= nginx["duration"] + 0.001
        assert list(nginx) == list(served)
        said = {
            "status": 200,
            "bytes": len(answer.body),
            "method": "GET",
            "host": DOMAIN,
            "referer": "",
            "tracking_id": "",
        }
        for line in (nginx, served):
            assert {name: line[name] for name in said} == said
            assert line["client"] == nginx["client"] != ""
            assert 0.25 <= line["duration"] < 5
        path = f"/odd?{uuid.uuid4()}"
        odd = raw.exchange(one.address, f"GET {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
        assert odd.body == b"odd"
        assert [line["status"] for line in nginx_lines(one, path) + server_lines(one, path)] == [99, 99]


def test_access_lines_are_written_where_they_are_asked_for(shop, shops):
    """The last of these leaves nginx's log on, for the tests after it."""
    for access in ("gunicorn", "nginx"):
        shop.site(logs={"access": access})
        for one in shops:
            path = f"/health?{uuid.uuid4()}"
            assert one.get(path).status == 200
            assert len(nginx_lines(one, path)) == (access == "nginx")
            assert len(server_lines(one, path)) == (access == "gunicorn")
