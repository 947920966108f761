"""README, from `ansible-galaxy collection build` to the removal, on one host after the other."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
import yaml
from hostlab import controller, readme, traffic
from hostlab.host import AppOnHost

DOMAIN = "shop.example.com"
ON_THE_HOST = ("systemctl", "journalctl", "readlink", "cat")
SNAPSHOT = "find /etc /opt /run /srv /usr/local /home /root /tmp /var -xdev -not -type s | sort"

# What packages and the system itself write, now and then.
OF_OTHERS = ("/var/log/", "/var/lib/apt/", "/var/cache/apt/", "/var/lib/systemd/", "/var/lib/dpkg/", "/run/systemd/",
             "/run/user/", "/run/log/", "/run/sudo/", "/run/lock", "/tmp/systemd-private-", "/var/tmp/systemd-private-",
             "/home/admin/.ansible", "/root/.cache", "/run/credentials", "/var/cache/ldconfig", "/var/lib/nginx/",
             "/run/mount", "/run/udev", "/run/nginx.pid")  # fmt: skip


@pytest.fixture
def shop(host):
    return AppOnHost(host, "shop")


@pytest.fixture
def user(shop, tmp_path):
    """A user's machine: a checkout, an application beside the inventory's directory, and a home of their own.

    The host's name resolves in no DNS, so host_vars say where it is.
    """
    checkout = tmp_path / "checkout"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=controller.CHECKOUT, capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, tracked.split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(controller.CHECKOUT / name, checkout / name, follow_symlinks=False)
    application = tmp_path / "shop"
    shutil.copytree(controller.CHECKOUT / "app" / "reference", application / "shop")
    shutil.copy(controller.CHECKOUT / "app" / "requirements.txt", application)
    for module in (application / "shop").glob("*.py"):
        text = module.read_text().replace("from reference", "from shop")
        module.write_text(text.replace("import reference", "import shop"))
    work = tmp_path / "work"
    (work / "host_vars").mkdir(parents=True)
    (inventory,) = readme.blocks("yaml")
    (work / "inventory.yml").write_text(inventory)
    connection = {k: v for k, v in shop.host.ansible.get_variables().items() if k.startswith("ansible_")}
    kept = ("ansible_host", "ansible_user", "ansible_private_key_file", "ansible_ssh_common_args")
    (work / "host_vars" / f"{DOMAIN}.yml").write_text(yaml.safe_dump({k: str(connection[k]) for k in kept}))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))}
    # Which Python a host has is between Ansible and the user.
    own = {"HOME": str(tmp_path), "ANSIBLE_NOCOLOR": "true", "ANSIBLE_PYTHON_INTERPRETER": "auto_silent"}
    return checkout, work, environment | own


def test_readme_from_build_to_removal(shop, user):
    checkout, work, environment = user

    def on_the_controller(command, directory=work):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}{done.stderr[-3000:]}"
        # Whoever installed the collection has an ansible.cfg of their own, or none.
        assert "[WARNING]" not in done.stderr, f"{command}\n{done.stderr[-3000:]}"
        return done.stdout

    def recap(output):
        return output[output.index("PLAY RECAP") :]

    # Someone else's packages and site are there before and after.
    shop.run("apt-get install --yes --no-install-recommends nginx logrotate python3-venv")
    shop.run("systemctl stop nginx")
    shop.run("rm /etc/nginx/sites-enabled/default")
    before, configuration = shop.run(SNAPSHOT), shop.run("cat /etc/nginx/nginx.conf")
    ran = []
    for command in readme.blocks("bash"):
        ran.append(command)
        if command.startswith("script/"):
            continue  # of the checkout: script/test runs the one, this test is run by the other
        if "collection build" in command:
            on_the_controller(command, checkout)
            (built,) = checkout.glob("*.tar.gz")
            shutil.move(built, work)
        elif command.startswith(ON_THE_HOST):
            assert shop.run(command) != ""
        elif "--check" in command:
            assert "failed=0" in recap(on_the_controller(command))
            assert not shop.host.file("/opt/shop").exists
        elif ".site" in command:
            assert "failed=0" in recap(on_the_controller(command))
            assert traffic.get(shop.address, "/whoami", DOMAIN).json()["release"] == shop.release
            assert "changed=0" in recap(on_the_controller(command))
            assert "changed=0" in recap(on_the_controller(command + " --check --diff"))
        elif ".deploy" in command:
            old = shop.release
            with (work.parent / "shop" / "shop" / "__init__.py").open("a") as module:
                module.write("CHANGED = True\n")
            assert "changed=2" in recap(on_the_controller(command))
            assert traffic.get(shop.address, "/whoami", DOMAIN).json()["release"] == shop.release != old
        elif ".rollback" in command:
            assert "changed=1" in recap(on_the_controller(command))
            assert traffic.get(shop.address, "/whoami", DOMAIN).json()["release"] == shop.release == old
        else:
            on_the_controller(command)
    assert any("collection install" in command for command in ran)
    assert "wsgiops.flask.remove" in ran[-1]
    assert shop.host.file("/var/lib/shop").mode == 0o700
    on_the_controller(ran[-1] + " -e flask_remove_data=true")
    after = shop.run(SNAPSHOT)
    # One line of it was the collection's meanwhile (nginx_worker_connections).
    assert shop.run("cat /etc/nginx/nginx.conf") == configuration
    new = sorted(set(after.splitlines()) - set(before.splitlines()))
    assert [path for path in new if not path.startswith(OF_OTHERS)] == []
    assert "shop" not in shop.run("cat /etc/passwd /etc/group /etc/shadow /etc/gshadow")
    assert "changed=0" in recap(on_the_controller(ran[-1] + " -e flask_remove_data=true"))
