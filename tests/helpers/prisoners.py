"""Media processes that try what none of them may; they come in by the door of all tasks.

A server of them forks processes that are confined as for their task, and then run code of a test
in the place of the codecs.
"""

import sys
from ast import literal_eval

from sfu_wrapper.model.errors import JobFailed

_SERVER = """
from sfu_wrapper.adapters.media import media_process
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage

def said(act):
    try:
        return act()
    except OSError as error:
        return type(error).__name__

def carry_out(task, progress):
    found = {}
    exec(WORK, {"said": said, "task": task, "found": found})
    raise JobFailed(Stage.EVENT, JobCode.NO_RESULT, repr(found), permanent=True)

%s
WORK = %r
media_process.carry_out = carry_out
media_process.main()
"""


def prisoners(work: str, system: str = "") -> tuple[str, ...]:
    """The command of that server.

    Args:
        work: sees ``task``, and puts into ``found`` what it wants to tell; ``said`` calls
            something and returns what it does, or the name of its OSError.
        system: runs before all that, in the server.
    """
    return sys.executable, "-c", _SERVER % (system, work)


def found_by(failure: JobFailed) -> dict[str, object]:
    """What such a process has told."""
    assert failure.code == "NO_RESULT", failure
    told: dict[str, object] = literal_eval(failure.detail)
    return told
