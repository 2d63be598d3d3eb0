"""Probes of a path: its file system, the space left there, and a trial write. No verdicts."""

import errno
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mountinfo")
_UNITS: Final = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"))
FULL: Final = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a write for which there is no space, or no more space for this user."""
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system.

    Attributes:
        mount: the mount point.
        kind: file system type, ``ext4``, ``nfs4`` …; empty where the system does not name it.
        device: source of the mount as the system names it; empty where it does not.
        free_bytes: bytes that an unprivileged user can still write.
        total_bytes: size of the file system in bytes.
    """

    mount: Path
    kind: str
    device: str
    free_bytes: int
    total_bytes: int

    def __str__(self) -> str:
        """Return the space and the place of the disk, for operators."""
        free, total = format_size(self.free_bytes), format_size(self.total_bytes)
        kind = f" ({self.kind})" if self.kind else ""
        return f"{free} of {total} free on {self.mount}{kind}"

    @property
    def remote(self) -> bool:
        """True for a network file system, on which locks and syncs may not hold."""
        return self.kind.startswith(("nfs", "cifs", "smb", "ceph", "gluster", "fuse.", "9p"))


def format_size(number: int) -> str:
    """Format a number of bytes."""
    for unit, name in _UNITS:
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} bytes"


def disk(path: Path) -> Disk:
    """Return the file system of ``path``, or of its nearest existing parent folder.

    Raises:
        OSError: the file system cannot be queried.
    """
    there = nearest(path)
    usage = shutil.disk_usage(there)
    above = [mount for mount in _mounts() if there.is_relative_to(mount[0])]
    # Of several mounts at one mount point the last one is visible; the listing is in that order.
    mount, kind, device = max(
        reversed(above), key=lambda one: len(one[0].parts), default=(there, "", "")
    )
    return Disk(mount, kind, device, usage.free, usage.total)


def nearest(path: Path) -> Path:
    """Return ``path``, or its nearest existing parent folder, with symbolic links resolved."""
    real = Path(os.path.realpath(path))
    return next(one for one in (real, *real.parents) if one.exists())


def try_writing(folder: Path) -> None:
    """Write, sync and remove a small file in ``folder``. Raises OSError where one step fails."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".sfu-wrapper-doctor-") as file:
        file.write(b"doctor\n")
        file.flush()
        os.fsync(file.fileno())


def _mounts() -> list[tuple[Path, str, str]]:
    """Return mount point, type and device of every mount; empty where the list is unreadable."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        before, _, after = line.partition(" - ")
        place, (kind, device, *_) = before.split()[4], after.split()
        found.append((Path(_plain(place)), kind, _plain(device)))
    return found


def _plain(text: str) -> str:
    """Decode the octal escapes of the mount list, such as ``\\040`` for a blank."""
    return _OCTAL.sub(lambda code: chr(int(code[1], 8)), text)
