"""Processes one event again and again on disks of different sizes, and says how each try ended.

Run as ``unshare --mount --map-root-user python -m tests.helpers.crammed ARGUMENTS``: what it mounts
is seen by nobody else, and gone with it. Arguments: the raw folder, the folder to mount on, the
configuration as JSON, and sizes in KiB, of which negative ones say by how much less than the first
try came to take. One JSON line a size on standard output.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.worker import processor
from sfu_wrapper.config.processing import Recording
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.segment import Failed
from sfu_wrapper.service.worker.processor import Processor
from sfu_wrapper.wire.recording_info import parse_event


@contextmanager
def disk(folder: Path, kib: int) -> Iterator[None]:
    """A file system of that size in place of the folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def kept_event(failed: Failed) -> bytes:
    """Beside the temporary files, else in the message."""
    kept = [Path(path) for path in failed.kept if path.endswith("/recordingInfo.json")]
    return kept[0].read_bytes() if kept else failed.event or b""


async def attempt(worker: Processor, event: bytes, out: Path) -> dict[str, Any]:
    """How it went, and what stands in the destination and in the work folder."""
    told: dict[str, Any] = {}
    info = parse_event(event)
    try:
        done = await worker.process(info)
    except JobFailed as failure:
        failed = await worker.failure(info, failure, 1)
        told = {"stage": failure.stage, "code": failure.code, "detail": failure.detail,
                "permanent": failure.permanent, "kept": len(failed.kept),
                "event": kept_event(failed).decode()}  # fmt: skip
    else:
        told = {"code": "done", "files": [file.filename for file in done.result.files]}
    files = [path for path in out.rglob("*") if path.is_file()]  # noqa: ASYNC240 nobody waits
    told["final"] = [path.name for path in files if ".sfu-wrapper" not in path.parts]
    return told


async def main(raw: Path, out: Path, settings: str, sizes: list[int]) -> None:
    """Every size in turn, on an empty disk."""
    given = {"recordings_path": raw, "audio_path": raw, "destination_path": out}
    recording = Recording.model_validate(given | json.loads(settings), strict=False)
    event = (raw / "event.json").read_bytes()
    taken = 0
    for size in sizes:
        kib = size if size > 0 else taken + size
        with disk(out, kib):
            with processor(recording, SystemClock()) as worker:
                told = await attempt(worker, event, out)
            taken = taken or shutil.disk_usage(out).used // 1024
        print(json.dumps({"kib": kib, **told}), flush=True)


if __name__ == "__main__":
    os.umask(0o077)
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], [*map(int, sys.argv[4:])]))
