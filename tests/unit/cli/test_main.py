"""Starting a command."""

import subprocess
import sys

STARTED = """
import gc
from sfu_wrapper.cli.main import COMMANDS

looked = []
gc.callbacks.append(lambda phase, _: looked.append(phase))
COMMANDS[0].module()
rounds = looked.count("start")
gc.callbacks.clear()
print(rounds, gc.isenabled())
"""


def test_loading_a_command_is_not_disturbed_by_garbage_collections() -> None:
    argv = [sys.executable, "-c", STARTED]
    rounds, enabled = subprocess.check_output(argv, text=True).split()

    assert int(rounds) <= 1  # the one that is due when it is loaded
    assert enabled == "True"
