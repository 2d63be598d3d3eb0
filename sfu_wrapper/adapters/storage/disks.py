"""What stands behind a path: the disk, its room, whether we may write. Judges nothing."""

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mountinfo")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Disk:
    """One mounted file system.

    kind: ``ext4``, ``nfs4`` …; device: as the system names it; empty where it does not say.
    """

    mount: Path
    kind: str
    device: str
    free_bytes: int
    total_bytes: int

    @property
    def remote(self) -> bool:
        """Whether it is of another machine: locks and syncs may not hold there."""
        return self.kind.startswith(("nfs", "cifs", "smb", "ceph", "gluster", "fuse.", "9p"))


def disk(path: Path) -> Disk:
    """The one that ``path``, or the nearest folder above it that is there, stands on.

    Raises:
        OSError: it cannot be looked at.
    """
    there = nearest(path)
    usage = shutil.disk_usage(there)
    above = [mount for mount in _mounts() if there.is_relative_to(mount[0])]
    # Of several at one place the last one counts, and the listing is in that order.
    mount, kind, device = max(
        reversed(above), key=lambda one: len(one[0].parts), default=(there, "", "")
    )
    return Disk(mount, kind, device, usage.free, usage.total)


def nearest(path: Path) -> Path:
    """``path`` itself, or the nearest folder above it that is there; without links."""
    real = Path(os.path.realpath(path))
    return next(one for one in (real, *real.parents) if one.exists())


def try_writing(folder: Path) -> None:
    """Write, sync and remove a small file. Raises OSError: it cannot be done."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".sfu-wrapper-doctor-") as file:
        file.write(b"doctor\n")
        file.flush()
        os.fsync(file.fileno())


def _mounts() -> list[tuple[Path, str, str]]:
    """Mount point, kind and device of everything that is mounted; empty where it is not told."""
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
    """The system writes blanks and the like as ``\\040``."""
    return _OCTAL.sub(lambda code: chr(int(code[1], 8)), text)
