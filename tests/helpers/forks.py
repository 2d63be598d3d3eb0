"""Servers that fork processes which do what a test wants instead of a task."""

import sys

_SERVER = """
import sys
from sfu_wrapper.adapters.os.rlimits import impose
from sfu_wrapper.adapters.media.fork_server import serve

def work(limits):
    impose(limits)
    exec(WORK, {})

WORK = %r
serve(work)
"""


def server_of(work: str) -> tuple[str, ...]:
    """The command of a server whose forks do that, confined."""
    return sys.executable, "-c", _SERVER % work
