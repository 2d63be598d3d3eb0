"""Servers of other versions, in root folders: ``scripts/compat`` makes them.

Each variable of the environment names a root folder, whose server is then started in place of the
one that is installed. All of them are in docs/how-to/testing.md, "Other servers".
"""

import os
from pathlib import Path
from typing import Final

import pytest

RABBITMQ: Final = "SFU_TEST_RABBITMQ_ROOT"
JANUS: Final = "SFU_TEST_JANUS_ROOT"
ASTERISK: Final = "SFU_TEST_ASTERISK_ROOT"

# The files of the test are below /tmp, and a mount ends with the last process of its namespace.
_ENTER: Final = """
root=$1
shift
for each in proc sys dev tmp; do mount --rbind "/$each" "$root/$each"; done
exec chroot "$root" "$@"
"""


def root_of(variable: str) -> Path | None:
    """Return the root folder that the variable names; None: the server of this machine is used."""
    named = os.environ.get(variable)
    if not named:
        return None
    root = Path(named).resolve()
    if not (root / "usr").is_dir():
        pytest.fail(f"{variable}: {root} is no root folder")
    return root


def inside(root: Path | None, *argv: str) -> list[str]:
    """Return the command that runs ``argv`` in that root folder, as the same process.

    It needs root. Without a folder it is ``argv`` itself.
    """
    if root is None:
        return list(argv)
    enter = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _ENTER, "sh"]
    return [*enter, str(root), *argv]
