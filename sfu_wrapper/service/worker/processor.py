"""The recording service's work on one segment: preprocess, intervals, postprocess.

No broker here. The order is part of the contract: final files and a manifest are durable when
``process`` returns; whoever called it tells, acknowledges, and only then cleans. A segment whose
manifest stands is not processed again, its message is the same.
"""

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sfu_wrapper.core.estimate import ProgressSnapshot, ThroughputModel, initial_estimate
from sfu_wrapper.core.intervals import Interval, intervals, most_on_screen
from sfu_wrapper.core.job import needed_bytes
from sfu_wrapper.core.naming import require_names
from sfu_wrapper.core.plan import Output, OutputRules, choose, why_split
from sfu_wrapper.model.errors import JobFailed, Malformed
from sfu_wrapper.model.identity import SegmentNo
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Failed, Processed, SegmentInfo, TrackSync
from sfu_wrapper.ports.media_tools import MediaTools
from sfu_wrapper.ports.storage import Encryptor, RecordingStorage, Workspace
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.worker.ingest import Material, ingest, without_empty_hours
from sfu_wrapper.service.worker.progress import Progress, ProgressTracker
from sfu_wrapper.service.worker.rendering import Renderer, RenderResult
from sfu_wrapper.wire.job_messages import (
    Manifest,
    encode_manifest,
    encode_processed,
    parse_manifest,
    parse_outcome,
)
from sfu_wrapper.wire.recording_info import encode_event, parse_event

EVENT_FILE: Final = "recordingInfo.json"
_LOOK_S: Final = 60.0  # into a file that is left over
_NO_PICTURE_BYTES: Final = 1024  # a raw video with nothing but its header is shorter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessedSegment:
    """One processed segment. message: what to emit. repeated: the manifest of an earlier run."""

    result: Processed
    message: bytes
    repeated: Path | None = None


def job_of(info: SegmentInfo) -> str:
    """What makes a segment the same one: its number, or for older senders when it completed."""
    return f"{info.uuid}:{info.segment if info.segment is not None else f't{info.completed_ms}'}"


def log_name(info: SegmentInfo) -> str:
    """What the log of a segment is called, before it is made safe."""
    return job_of(info).replace(":", "-")


def log_done(done: ProcessedSegment) -> None:
    """Log what came of a segment, for operators."""
    result = done.result
    took_ms = result.processing_completed_ms - result.processing_started_ms
    what = {"uuid": result.uuid, "segment": result.segment, "output": result.output}
    how = {"files": len(result.files), "warnings": len(result.warnings), "took": took_ms / 1000}
    if done.repeated:
        log.info("job.repeated", extra=what)
    else:
        log.info("job.processed", extra=what | how)


def log_failed(failed: Failed) -> None:
    """Log why a segment failed for good, for operators."""
    what = {"uuid": failed.uuid, "segment": failed.segment, "attempts": failed.attempts}
    why = {"stage": failed.stage, "code": failed.code, "why": failed.detail}
    log.error("job.failed", extra=what | why)


def announce(rules: OutputRules) -> None:
    """The two lines that existing log filters look for at start-up."""
    log.debug("File encryption is %s", "enabled" if rules.encrypt else "disabled")
    filename_format = json.dumps({"filenameFormat": rules.fileformat}, separators=(",", ":"))
    log.info("FilenameGenerator configured with: %s", filename_format)


def _holds_event(kept: Iterable[Path]) -> bool:
    return any(path.name == EVENT_FILE for path in kept)


def _has_of(result: Processed, track: TrackSync) -> bool:
    """Whether a result has anything of a file; split output has its videos from end to end."""
    if result.output == Output.SPLIT.value and track.stream is not Stream.AUDIO:
        return True
    length_ms = result.completed_ms - result.started_ms
    return bool(result.files) and track.lies_within(length_ms)


def _silent(standing: ProgressSnapshot) -> None:
    del standing


class Processor:
    """Processes segments, any number side by side, none twice at once (the caller's lease).

    vault: None where finished files are not encrypted; with ``rules.encrypt`` it must be there.
    files_at_once: how many of one segment are read, or copied, at the same time.
    keeps_events: beside the work, until it is cleaned after; for whoever gets them from a queue.
    """

    def __init__(
        self,
        tools: MediaTools,
        shelf: RecordingStorage,
        rules: OutputRules,
        clock: Clock,
        vault: Encryptor | None = None,
        files_at_once: int = 1,
        *,
        keeps_events: bool = True,
    ) -> None:
        self._tools = tools
        self._shelf = shelf
        self._rules = rules
        self._clock = clock
        self._vault = vault
        self._files_at_once = files_at_once
        self._keeps_events = keeps_events
        self._pace = ThroughputModel()

    async def process(
        self, info: SegmentInfo, *, attempts: int = 1, progress: Progress = _silent
    ) -> ProcessedSegment:
        """Make and deliver everything of one segment. Raises JobFailed; then nothing is told."""
        event = json.loads(encode_event(info))["recordingInfo"]
        log.debug("Recording started")
        log.debug(
            "Received a process recording event with id: %s and recording info %s.",
            info.confbridge_id,
            json.dumps(event, ensure_ascii=False, separators=(",", ":")),
        )
        done = await self._finished_before(info)
        if done is None:
            done = await self._process(info, attempts, progress)
        log.debug("Recording with ID %s processed correctly", info.uuid)
        return done

    async def known(
        self, info: SegmentInfo, error: JobFailed
    ) -> tuple[ProcessedSegment | None, Failed | None]:
        """What can be told without a try: that it stands, or that each one begun came to ``error``.

        Neither where none was begun: it was only held by workers that something else ended.
        """
        try:
            done = await self._finished_before(info)
        except JobFailed as exc:
            if not exc.permanent:  # what stands may be readable yet
                raise
            return None, await self.failure(info, exc, 0)
        begun = done is None and await self._shelf.leftovers(job_of(info))
        return done, await self.failure(info, error, 0) if begun else None

    async def _finished_before(self, info: SegmentInfo) -> ProcessedSegment | None:
        stored = await self._shelf.manifest(job_of(info))
        if stored is None:
            return None
        try:
            message = parse_manifest(stored).message
            result = parse_outcome(message)
        except Malformed as exc:
            raise JobFailed("deliver", "BAD_MANIFEST", exc.detail, permanent=True) from exc
        if not isinstance(result, Processed):
            return None
        return ProcessedSegment(result, message, repeated=self._shelf.manifest_file(job_of(info)))

    async def clean(self, info: SegmentInfo, *, raw: bool) -> None:
        """Remove temporary files, and raw ones where asked; only after all has been told.

        What the result has nothing of stays: sound that came late or could not be read, packets
        that made no picture, and all that files hold of a segment without length. The event goes
        last: where this is cut short, ``left_over`` finds it.
        """
        await self._shelf.clear(job_of(info), lasting=False)
        if raw:
            await self._clean_raw(info)
        await self._shelf.clear(job_of(info))

    async def left_over(self) -> tuple[SegmentInfo, ...]:
        """Segments whose result stands and whose cleaning was cut short. Raises JobFailed."""
        found = []
        for content in await self._shelf.pending_cleanups(EVENT_FILE):
            with suppress(Malformed):  # damaged; no reason to leave the others
                found.append(parse_event(content))
        return tuple(found)

    async def _clean_raw(self, info: SegmentInfo) -> None:
        done = await self._finished_before(info)
        for file in (*info.video, *info.audio):
            try:
                path = await self._find(file)
                if not await self._is_unused(file, path, done):
                    await self._shelf.remove([path])
                    continue
                why = "the result has nothing of it"
            except JobFailed as exc:
                if exc.code == "MISSING_FILE":  # removed before
                    continue
                why = exc.detail
            log.warning("raw.kept", extra={"file": file.filename, "reason": why})
        await self._shelf.remove_empty_folders(
            [file.filename for file in info.video], [file.filename for file in info.audio]
        )

    async def _find(self, file: RawFile) -> Path:
        if file.stream is Stream.AUDIO:
            return await self._shelf.raw_audio(file.filename)
        return await self._shelf.raw_video(file.filename)

    async def _is_unused(self, file: RawFile, path: Path, done: ProcessedSegment | None) -> bool:
        """Whether it holds media that the result has nothing of. Raises JobFailed."""
        if done is not None:
            for track in done.result.sync:
                if track.filename == file.filename:
                    return not _has_of(done.result, track)
        if file.stream is not Stream.AUDIO:
            return await self._shelf.raw_bytes([file.filename], []) > _NO_PICTURE_BYTES
        return await self._tools.audio_us(path, timeout_s=_LOOK_S) > 0

    async def failure(self, info: SegmentInfo, error: JobFailed, attempts: int) -> Failed:
        """What to tell of a segment that failed for good; temporary files and its event stay.

        The event also where it failed before any work, as nobody else keeps it. Where the disk
        does not take it, the message has it.
        """
        kept = await self._shelf.leftovers(job_of(info))
        if self._keeps_events and not _holds_event(kept):
            kept = await self._keep(info)
        return Failed(
            room=info.room,
            uuid=info.uuid,
            segment=info.segment or SegmentNo(1),
            stage=error.stage,
            code=error.code,
            detail=error.detail,
            file=error.file,
            attempts=attempts,
            kept=tuple(str(path) for path in kept),
            event=encode_event(info) if self._keeps_events and not _holds_event(kept) else None,
        )

    async def _keep(self, info: SegmentInfo) -> tuple[Path, ...]:
        try:
            await self._workplace(info)
        except JobFailed as exc:
            log.warning("job.eventNotKept", extra={"uuid": info.uuid, "why": exc.detail})
        return await self._shelf.leftovers(job_of(info))

    async def _workplace(self, info: SegmentInfo) -> Workspace:
        """A new one, with the event in it: nobody else keeps it, should the work fail for good."""
        place = await self._shelf.workspace(job_of(info))
        if self._keeps_events:
            await self._shelf.write("preprocess", place.lasting / EVENT_FILE, encode_event(info))
        return place

    async def has_space(self, info: SegmentInfo) -> bool:
        """Whether the disks have space for the work on it. Raises JobFailed."""
        raw_bytes = await self._shelf.raw_bytes(
            [file.filename for file in info.video], [file.filename for file in info.audio]
        )
        needed = needed_bytes(raw_bytes, info.completed_ms - info.started_ms)
        return await self._shelf.free_bytes() >= needed

    async def _process(
        self, info: SegmentInfo, attempts: int, progress: Progress
    ) -> ProcessedSegment:
        started_ms = self._clock.now().wall_ms
        rules = self._rules
        split = rules.split or why_split(rules, 0) is not None
        require_names(rules.fileformat, info, split=split)
        if rules.encrypt:
            await self._usable_vault().check()
        job = job_of(info)
        await self._shelf.clear(job, lasting=False)  # it may be the one place that has the event
        place = await self._workplace(info)
        sizes = [await self._shelf.raw_bytes([file.filename], []) for file in info.video]
        expected_s = initial_estimate(info, self._rules, sizes, self._files_at_once)
        course = ProgressTracker(self._clock, self._pace, expected_s, progress, self._files_at_once)
        material = await ingest(info, self._tools, self._shelf, place.plain, sizes, course)
        info, material = without_empty_hours(info, material)
        output, cut, why = self._decide(info, material)
        made = await self._make(job, info, place, material, output, cut, course)
        result = Processed(
            room=info.room,
            uuid=info.uuid,
            segment=info.segment or SegmentNo(1),
            output=output.value,
            started_ms=info.started_ms,
            completed_ms=info.completed_ms,
            encrypted=self._rules.encrypt,
            files=tuple(product.finished(self._shelf) for product in made.products),
            processing_started_ms=started_ms,
            processing_completed_ms=self._clock.now().wall_ms,
            attempts=attempts,
            warnings=(*why, *material.warnings),
            sync=made.sync,
        )
        message = encode_processed(result)
        staged = [(product.staged, product.name) for product in made.products]
        await self._shelf.deliver(job, staged, encode_manifest(Manifest(message)))
        course.over()
        return ProcessedSegment(result, message)

    def _decide(
        self, info: SegmentInfo, material: Material
    ) -> tuple[Output, tuple[Interval, ...], tuple[str, ...]]:
        """Step 2. The output, the intervals, and why the output is not what was configured."""
        duration_us = (info.completed_ms - info.started_ms) * 1000
        most = most_on_screen(material.shown)
        output = choose(
            self._rules,
            video=bool(material.shown),
            audio=bool(material.sounds) and duration_us > 0,
            most_on_screen=most,
        )
        cut = intervals(material.shown, duration_us) if output is Output.MERGED else ()
        match output:
            case Output.NONE:
                why: str | None = "no media in the segment"
                if material.videos or material.sounds:
                    why = "no media within the segment's times; the files that hold some stay"
            case Output.SPLIT:
                why = why_split(self._rules, most)
            case _:
                why = None
        return output, cut, (why,) if why else ()

    async def _make(
        self,
        job: str,
        info: SegmentInfo,
        place: Workspace,
        material: Material,
        output: Output,
        cut: tuple[Interval, ...],
        course: ProgressTracker,
    ) -> RenderResult:
        vault = self._usable_vault() if self._rules.encrypt else None
        shop = Renderer(
            self._tools, self._shelf, vault, self._rules, place, course, job=job, info=info
        )
        match output:
            case Output.NONE:
                return RenderResult(sync=material.sync)
            case Output.MERGED:
                return await shop.merged(material, cut)
            case Output.SPLIT:
                return await shop.split(material)

    def _usable_vault(self) -> Encryptor:
        """Fails closed: where encryption is asked for, nothing is delivered without it."""
        if self._vault is None:
            detail = "encryption is asked for and there is nothing to encrypt with"
            raise JobFailed("encrypt", "NO_ENCRYPTION", detail, permanent=True)
        return self._vault
