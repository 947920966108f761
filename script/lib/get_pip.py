"""Bootstraps pip for ansible-test from the interpreter itself; ansible-test would otherwise download such a script.

ansible-test runs it inside a virtual environment without pip, with the packages to install as arguments.
"""

import subprocess
import sys

OPTIONS_OF_THE_ORIGINAL = ("--no-setuptools", "--no-wheel")

wanted = [argument for argument in sys.argv[1:] if argument not in OPTIONS_OF_THE_ORIGINAL]
subprocess.check_call([sys.executable, "-m", "ensurepip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", *wanted])
