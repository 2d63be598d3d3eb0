"""Tasks of a media process, and their execution in the calling thread.

Every result that is written is read back before it counts. Errors of libraries and of the system
become JobFailed here.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, assert_never

import av

from sfu_wrapper.adapters.media import janus_pp_rec
from sfu_wrapper.adapters.media.audio import audio_us, write_audio
from sfu_wrapper.adapters.media.compose import compose
from sfu_wrapper.adapters.media.frames import write_poster
from sfu_wrapper.adapters.media.mux import copy_video
from sfu_wrapper.adapters.media.preprocess import preprocess
from sfu_wrapper.adapters.media.verify import Expected, shows_anything, verify
from sfu_wrapper.adapters.os.files import is_full, no_space, over_limit, refused
from sfu_wrapper.core.plan import FRAME_US, AudioSource, Composition, Rotation
from sfu_wrapper.core.sync import pace
from sfu_wrapper.model.codecs import VIDEO_INPUT
from sfu_wrapper.model.errors import JobCode, JobFailed, Malformed, Stage
from sfu_wrapper.ports.media_tools import PreparedVideo, Progress

_SLACK_US = 100_000  # covers an encoder's delay and the last frame, but not a lost second


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Convert a raw file into a media file; with ``program`` instead of our own code if given."""

    source: Path
    target_dir: Path
    program: str | None = None


@dataclass(frozen=True, slots=True)
class MeasureAudio:
    """Measure how much audio a WAV file holds."""

    source: Path


@dataclass(frozen=True, slots=True)
class Compose:
    """Write a merged file and its poster."""

    plan: Composition
    target: Path
    poster: Path | None = None


@dataclass(frozen=True, slots=True)
class CopyVideo:
    """Write a split video file."""

    source: PreparedVideo
    target: Path


@dataclass(frozen=True, slots=True)
class WriteAudio:
    """Write the mix as a WAV file."""

    sources: tuple[AudioSource, ...]
    duration_us: int
    target: Path


Task = Preprocess | MeasureAudio | Compose | CopyVideo | WriteAudio
Result = PreparedVideo | int | tuple[int, ...] | None


def stage_of(task: Task) -> Stage:
    """Return the stage that a failure of this task is reported with."""
    match task:
        case Preprocess() | MeasureAudio():
            return Stage.PREPROCESS
        case Compose():
            return Stage.COMPOSE
        case CopyVideo() | WriteAudio():
            return Stage.SPLIT
    assert_never(task)


def raw_files(task: Task) -> tuple[Path, ...]:
    """Return the raw files (written by the SFU or the mixer) that a task reads, each once."""
    match task:
        case Preprocess(source=source) | MeasureAudio(source=source):
            return (source,)
        case Compose(plan=plan):
            return _files_of(plan.audio_sources)
        case WriteAudio(sources=sources):
            return _files_of(sources)
        case CopyVideo():
            return ()
    assert_never(task)


def _files_of(sources: Iterable[AudioSource]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(Path(source.path) for source in sources))


def carry_out(task: Task, progress: Progress) -> Result:
    """Do one task. Raises JobFailed."""
    stage = stage_of(task)
    try:
        return _carry_out(task, progress)
    except Malformed as exc:
        raise JobFailed(stage, JobCode.UNREADABLE_INPUT, exc.detail, permanent=True) from exc
    except OSError as exc:  # libav's too, where it passes on an error of the system
        raise refused(stage, exc) from exc
    except MemoryError as exc:
        raise over_limit(stage, "exceeds the limit of memory") from exc
    except av.FFmpegError as exc:
        raise JobFailed(stage, JobCode.MEDIA_ERROR, str(exc), permanent=False) from exc
    except JobFailed as exc:
        if exc.code == JobCode.BAD_RESULT and is_full(_target_of(task)):
            raise no_space(stage, exc.file or "the result") from exc
        raise


def _carry_out(task: Task, progress: Progress) -> Result:
    match task:
        case Preprocess(source=source, target_dir=target_dir, program=program):
            if program is not None:
                prepared = janus_pp_rec.preprocess(source, target_dir, program)
            else:
                prepared = preprocess(source, target_dir)
            return _shown(prepared)
        case MeasureAudio(source=source):
            return audio_us(source)
        case Compose(plan=plan, target=target, poster=poster):
            repeated = compose(plan, target, progress)
            verify(Stage.COMPOSE, target, _merged(plan))
            if poster is not None:
                write_poster(target, plan.poster_us, poster)
            return repeated
        case CopyVideo(source=source, target=target):
            codec = VIDEO_INPUT[source.codec]
            copy_video(source.path, target, codec, pace(source.drift_ppm), source.rotation)
            verify(Stage.SPLIT, target, _copied(source))
        case WriteAudio(sources=sources, duration_us=duration_us, target=target):
            write_audio(sources, duration_us, target)
            verify(Stage.SPLIT, target, Expected(duration_us, FRAME_US, None, "pcm_u8"))
        case _:
            assert_never(task)
    return None


def _shown(prepared: PreparedVideo | None) -> PreparedVideo | None:
    """Return the converted video without the parts of which nothing can be decoded."""
    if prepared is None:
        return None
    parts = [replace(prepared, following=()), *prepared.following]
    shown = [one for one in parts if shows_anything(one.path)]
    if not shown:
        return None
    notes = shown[0].notes if shown[0] is parts[0] else (*prepared.notes, *shown[0].notes)
    return replace(shown[0], notes=notes, following=tuple(shown[1:]))


def _target_of(task: Task) -> Path:
    """Return the folder that a task writes to; that of its input where it writes nothing."""
    match task:
        case Preprocess(target_dir=target_dir):
            return target_dir
        case MeasureAudio(source=source):
            return source.parent
        case Compose(target=target) | CopyVideo(target=target) | WriteAudio(target=target):
            return target.parent
    assert_never(task)


def _merged(plan: Composition) -> Expected:
    audio = "opus" if plan.audio_sources else None
    return Expected(plan.frames * FRAME_US, _SLACK_US, plan.codec, audio)


def _copied(source: PreparedVideo) -> Expected:
    length_us = round((source.end_us - source.first_us) * pace(source.drift_ppm))
    return Expected(length_us, _SLACK_US, VIDEO_INPUT[source.codec].libav, None, copied=True)


def result_to_json(result: Result) -> object:
    """Return a result as plain JSON values."""
    if isinstance(result, PreparedVideo):
        return asdict(result) | {"path": str(result.path)}
    return result


def result_from_json(task: Task, value: object) -> Result:
    """Return the result of a task from its JSON values.

    Raises LookupError, TypeError or ValueError where they are no result of that task.
    """
    match task, value:
        case Preprocess(), dict():
            return _prepared(value)
        case MeasureAudio(), int():
            return value
        case Compose(), list():
            return tuple(int(number) for number in value)
        case ((Preprocess() | CopyVideo() | WriteAudio()), None):
            return None
    raise ValueError(f"no result of {type(task).__name__}: {value!r:.80}")


def _prepared(value: dict[str, Any]) -> PreparedVideo:
    inner = {
        "path": Path(value["path"]),
        "notes": tuple(value["notes"]),
        "turns": tuple(Rotation(**turn) for turn in value["turns"]),
        "following": tuple(_prepared(one) for one in value["following"]),
    }
    return PreparedVideo(**value | inner)
