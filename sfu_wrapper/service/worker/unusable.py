"""Raw files that a segment goes without, and raw files that stay after it.

A file that cannot be used costs no other file anything: ``ingest`` reports it as ``Unusable``, and
the result names it in ``warnings`` and ``missing``. Where the next attempt may be able to use it
(a file that does not exist yet, a media process that died), the attempt fails; only the last one
goes without it, if it has another video. A segment fails where nothing can be used.

Raw files are removed once the result is published, but not those that hold more than the result.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sfu_wrapper.core.sync import NOTHING_USED, why_kept
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import MissingMedia, Processed, SegmentInfo
from sfu_wrapper.ports.media_tools import MediaTools
from sfu_wrapper.ports.storage import RecordingStorage
from sfu_wrapper.wire.strict_json import iso

# Faults of one video file: for good, and those that the next attempt may not meet.
_FOR_GOOD = (
    JobCode.UNREADABLE_MJR,
    JobCode.UNSUPPORTED_CODEC,
    JobCode.ENCRYPTED_MJR,
    JobCode.PICTURE_TOO_LARGE,
    JobCode.LIMIT_EXCEEDED,
)
_FOR_NOW = (
    JobCode.MISSING_FILE,
    JobCode.MEDIA_CRASH,
    JobCode.TIMEOUT,
    JobCode.MUX_FAILED,
    JobCode.PREPROCESSOR_FAILED,
)
# After these the mix may be intact, so that the attempt fails rather than drop the audio.
_MIX_FOR_NOW = (JobCode.MEDIA_CRASH, JobCode.TIMEOUT)

_NO_FRAME_BYTES = 1024  # a raw video with nothing but its header is shorter
_MEASURE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Unusable:
    """A file of which nothing can be used.

    Attributes:
        file: the raw file.
        error: the reason.
        warning: sentence for the operator.
        is_empty: True where the file can be read, but holds no frame.
    """

    file: RawFile
    error: JobFailed
    warning: str
    is_empty: bool = False

    @property
    def may_recover(self) -> bool:
        """True if the next attempt may be able to use the file."""
        is_mix = self.file.stream is Stream.AUDIO
        return self.error.code in (_MIX_FOR_NOW if is_mix else _FOR_NOW)

    def missing(self, info: SegmentInfo) -> MissingMedia:
        """Return the file as the result reports it."""
        file, error = self.file, self.error
        return MissingMedia(
            file.filename,
            file.stream,
            file.user,
            file.started_ms,
            _stopped_ms(info, file),
            error.code,
            error.detail,
        )


def unusable_video(info: SegmentInfo, file: RawFile, error: JobFailed) -> Unusable:
    """Return the report on a video file. Raises ``error`` itself where it concerns all files."""
    if error.code not in (*_FOR_GOOD, *_FOR_NOW):
        raise error
    return Unusable(file, error, _warning(info, file, error))


def without_frames(info: SegmentInfo, file: RawFile, raw_bytes: int) -> Unusable | str:
    """Return the report on a video file without a frame; one without a packet lacks nothing."""
    if raw_bytes <= _NO_FRAME_BYTES:
        return f"{file.filename} holds no frame"
    detail = "it holds no frame that can be decoded"
    error = JobFailed(Stage.PREPROCESS, JobCode.UNREADABLE_MJR, detail, permanent=True)
    return Unusable(file, error, _warning(info, file, error), is_empty=True)


def unusable_mix(file: RawFile, error: JobFailed) -> Unusable:
    """Return the report on a file of the mix. Raises ``error`` itself for an unsafe name."""
    if error.code == JobCode.UNSAFE_NAME:
        raise error
    return Unusable(file, error, f"no audio from {file.filename}: {error.detail}")


def require_use(unusable: Iterable[Unusable], *, video: bool, audio: bool, is_last: bool) -> None:
    """Raise JobFailed where another attempt may do better, or nothing can be used.

    Args:
        unusable: files that cannot be used.
        video: True if a video can be used.
        audio: True if a file of the mix can be used.
        is_last: True if no other attempt follows.
    """
    for one in unusable:
        is_mix = one.file.stream is Stream.AUDIO
        if one.may_recover and not (is_last and video):
            raise one.error
        if not is_mix and not one.is_empty and not video and not audio:
            raise one.error


async def why_raw_stays(
    file: RawFile,
    path: Path,
    result: Processed | None,
    tools: MediaTools,
    storage: RecordingStorage,
) -> str | None:
    """Return why a raw file has to stay; None: it can be removed. Raises JobFailed.

    Args:
        file: the file, as the event names it.
        path: its path.
        result: result of the segment; None: it has none.
        tools: media operations.
        storage: place of the raw files.
    """
    for track in result.sync if result else ():
        if result and track.filename == file.filename:
            length_ms = result.completed_ms - result.started_ms
            return why_kept(track, length_ms) if result.files else NOTHING_USED
    if result and any(one.filename == file.filename for one in result.missing):
        return NOTHING_USED
    if file.stream is not Stream.AUDIO:
        held = await storage.raw_bytes([file.filename], []) > _NO_FRAME_BYTES
    else:
        held = await tools.audio_us(path, timeout_s=_MEASURE_TIMEOUT_S) > 0
    return NOTHING_USED if held else None


def _warning(info: SegmentInfo, file: RawFile, error: JobFailed) -> str:
    times = f"{iso(file.started_ms)} to {iso(_stopped_ms(info, file))}"
    owner = file.user or "an unknown user"
    return (
        f"{file.filename}: {file.stream.value} of {owner}, {times}, is missing: {error.detail}; "
        "the raw file stays"
    )


def _stopped_ms(info: SegmentInfo, file: RawFile) -> int:
    return info.completed_ms if file.stopped_ms is None else file.stopped_ms
