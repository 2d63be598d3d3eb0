"""Names of all files of a recording, gathered from its manifest, its event and a deletion request.

Each source may be missing: a segment that failed has no manifest, a processed one no event any
more, and the request names only the finished files that the index knows. Raw files are named as in
the event; those of a finished segment are in its ``processed`` message, used or not.
"""

from contextlib import suppress
from dataclasses import dataclass

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.media import Stream
from sfu_wrapper.model.recording import DeletionRequest
from sfu_wrapper.model.segment import MissingMedia, Processed, SegmentInfo, TrackSync
from sfu_wrapper.ports.storage import DeletionStorage, RecordingStorage
from sfu_wrapper.service.worker.processor import EVENT_FILE
from sfu_wrapper.wire.job_messages import parse_manifest
from sfu_wrapper.wire.job_results import parse_outcome
from sfu_wrapper.wire.recording_info import parse_event


@dataclass(frozen=True, slots=True)
class FileNames:
    """Names of a recording's files: finished ones, raw video, raw audio; addresses of objects."""

    results: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    audio: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def __add__(self, other: "FileNames") -> "FileNames":
        """Return the names of both, each once."""
        return FileNames(
            tuple(dict.fromkeys(self.results + other.results)),
            tuple(dict.fromkeys(self.videos + other.videos)),
            tuple(dict.fromkeys(self.audio + other.audio)),
            tuple(dict.fromkeys(self.urls + other.urls)),
        )


def raw_names(info: SegmentInfo) -> FileNames:
    """Return the raw files of an event."""
    videos = tuple(file.filename for file in info.video)
    return FileNames((), videos, tuple(file.filename for file in info.audio))


async def find_names(
    job: str,
    request: DeletionRequest,
    info: SegmentInfo | None,
    storage: RecordingStorage,
    removal: DeletionStorage,
) -> FileNames:
    """Return all that manifest, event and request know about the files of a job.

    Of a segment that has a result, a request for raw files alone names nothing.

    Args:
        job: the job.
        request: the request.
        info: event, where it is at hand.
        storage: manifests.
        removal: events that are kept.

    Raises:
        JobFailed: the folder of the results cannot be read.
    """
    names = FileNames(request.files)
    if info is not None:
        names += raw_names(info)
    kept = await removal.kept_file(job, EVENT_FILE)
    if kept is not None:
        with suppress(Malformed):
            names += raw_names(parse_event(kept))
    stored = await storage.manifest(job) or await storage.unfinished(job)
    if stored is not None and request.raw_only:
        return FileNames()  # it was processed after all
    if stored is not None:
        with suppress(Malformed):  # damaged: then the request names the files
            names += _result_names(parse_manifest(stored).message)
    return names


def _result_names(message: bytes) -> FileNames:
    """Return finished and raw files as a ``processed`` message names them."""
    result = parse_outcome(message)
    if not isinstance(result, Processed):
        return FileNames()
    raw: list[TrackSync | MissingMedia] = [*result.sync, *result.missing]
    return FileNames(
        tuple(file.filename for file in result.files),
        tuple(one.filename for one in raw if one.stream is not Stream.AUDIO),
        tuple(one.filename for one in raw if one.stream is Stream.AUDIO),
        tuple(file.url for file in result.files if file.url is not None),
    )
