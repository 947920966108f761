"""Run on a host, as root: every place in which one of some texts stands.

Arguments are the texts in hexadecimal digits, those in reverse order: commands are logged, and it would find itself.
Writes a JSON object: place to the text's surroundings, where the place is a path or a command, and for a path its mode
and owner behind it.
"""

import json
import os
import stat
import subprocess
import sys

DIRECTORIES = "/boot /dev/shm /etc /home /opt /root /run /srv /tmp /usr/local /var".split()

# Kernel's views, images of memory and the journal's files, which are compressed and asked through journalctl.
LEFT_OUT = ("/run/user", "/run/log/journal", "/var/log/journal", "/run/systemd/inaccessible")

COMMANDS = (
    ("journalctl", "--no-pager", "--all", "--output=export"),
    ("systemctl", "show", "--all", "*"),
    ("sh", "-c", "systemctl cat 'intruder*' 'shop*'"),
    ("sh", "-c", "cat /proc/[0-9]*/cmdline"),
    # As those see it who have no business with it.
    ("runuser", "-u", "nobody", "--", "ps", "auxwwe"),
    ("runuser", "-u", "shop", "--", "ps", "auxwwe"),
    ("runuser", "-u", "nobody", "--", "sh", "-c", "cat /proc/[0-9]*/environ"),
)

# Bytes, fewer of which would be an error's.
MANY = 1000

texts = [bytes.fromhex(argument[::-1]) for argument in sys.argv[1:]]


def surroundings(content):
    for text in texts:
        at = content.find(text)
        if at >= 0:
            return repr(content[max(at - 100, 0) : at + 100])
    return None


def files():
    for top in DIRECTORIES:
        for directory, names, file_names in os.walk(top):
            names[:] = [name for name in names if not os.path.join(directory, name).startswith(LEFT_OUT)]
            for name in file_names:
                path = os.path.join(directory, name)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    yield path


found = {}
for path in files():
    try:
        with open(path, "rb") as opened:
            where = surroundings(opened.read())
            facts = os.fstat(opened.fileno())
    except FileNotFoundError:
        continue  # gone meanwhile
    if where:
        found[f"{path} {stat.S_IMODE(facts.st_mode):o} {facts.st_uid}"] = where
for command in COMMANDS:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    where = surroundings(done.stdout)
    if where or len(done.stdout) < MANY:
        found[" ".join(command)] = where or repr(done.stdout)
json.dump(found, sys.stdout)
