"""nginx_mode file, what a user gets who asks for nothing else: a site for the administrator of the host's nginx."""

from __future__ import annotations

import pytest
from hostlab import controller, traffic
from hostlab.fixtures import DOMAIN

# What the administrator does with it.
TAKE = """
for file in apps/nginx/conf.d/00-wsgiops-flask-http.conf apps/shop/nginx.conf; do
  name=${file##*/}
  [ "$name" != nginx.conf ] || name=shop.conf
  cp "/home/deploy/$file" "/etc/nginx/conf.d/$name"
done
rm -f /etc/nginx/sites-enabled/default
chmod o+x /home/deploy
nginx -t -q && { pkill -HUP -u root -x nginx || nginx; }
"""
GIVE_BACK = "rm /etc/nginx/conf.d/*.conf /var/log/nginx/shop.*; chmod o-x /home/deploy; pkill -QUIT -u root -x nginx"
PORT = 80


@pytest.fixture
def given_back(shops):
    yield
    for one in shops:
        one.as_root(GIVE_BACK)


def door(one):
    return one.host.ansible.get_variables()["ansible_host"]


def answers(one):
    try:
        return traffic.get(door(one), "/whoami", DOMAIN, port=PORT).status == 200
    except OSError:
        return False


def test_the_administrator_gets_a_site_and_the_user_none_of_nginx(shop, shops, given_back):
    file = ("-e", "nginx_mode=file")
    run = shop.site(*file)
    said = " ".join(run.output.split())
    for one in shops:
        assert f"{one.places.home}/nginx.conf as /etc/nginx/conf.d/shop.conf" in said
        assert "which it may not yet: /home/deploy (chmod o+x)." in said
        # That of the user is gone, and nothing would bring it back.
        with pytest.raises(OSError, match="refused"):
            one.get("/health")
        assert "nginx" not in one.run("crontab -l")
        assert one.said("pgrep --euid deploy -x nginx") == ""
        one.as_root(TAKE)
        controller.wait_until(lambda one=one: answers(one), 10, "the host's nginx serves it")
    # Nothing is left to be said.
    assert set(shop.site(*file).changed.values()) == {0}
    before = [one.release for one in shops]
    shop.change()
    streams = [traffic.traffic(door(one), "/whoami", DOMAIN, rate=50, port=PORT) for one in shops]
    with streams[0] as first, streams[1] as second:
        assert set(shop.deploy(*file).failed.values()) == {0}
    for one, stream, old in zip(shops, (first, second), before, strict=True):
        assert {outcome.answer.json()["release"] for outcome in stream.outcomes if outcome.ok} == {old, one.release}
        assert stream.failures == [], stream.explain()
    shop.site()
    for one in shops:
        assert not one.host.file(f"{one.places.home}/nginx.conf").exists
        one.assert_alone()
