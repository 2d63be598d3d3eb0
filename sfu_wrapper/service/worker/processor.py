"""Processing of one segment, from its event to delivered files. No broker here.

The worker holds the segment's lease and calls ``process``, which goes through three steps:

1. ``ingest`` converts and measures the raw files (stage ``preprocess``).
2. ``_decide`` chooses the output: merged, split, or none; intervals only for merged output.
3. ``Renderer`` writes the output files (``compose`` or ``split``, then ``encrypt``), and the
   storage moves them to their final names together with a manifest (``deliver``).

The manifest holds the ``processed`` message. Files and manifest are durable when ``process``
returns; only then may the worker publish, acknowledge and ``clean``, in this order. A segment that
has a manifest is not processed again: ``process`` returns the message of the earlier run. A failure
is a JobFailed with its stage. The work folder keeps the event until ``clean`` has removed all else,
so that ``left_over`` finds the segments whose cleaning was interrupted.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sfu_wrapper.core.estimate import ProgressSnapshot, ThroughputModel, initial_estimate
from sfu_wrapper.core.finished import uploaded_names
from sfu_wrapper.core.intervals import Interval, intervals, most_on_screen
from sfu_wrapper.core.job import needed_bytes
from sfu_wrapper.core.naming import require_names
from sfu_wrapper.core.plan import Output, OutputRules, choose, why_split
from sfu_wrapper.model.errors import JobCode, JobFailed, Malformed, Stage
from sfu_wrapper.model.identity import SegmentNo
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Failed, Processed, SegmentInfo
from sfu_wrapper.ports.media_tools import MediaTools
from sfu_wrapper.ports.storage import Encryptor, RecordingStorage, Workspace
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.worker.ingest import Material, ingest, without_empty_hours
from sfu_wrapper.service.worker.progress import Progress, ProgressTracker
from sfu_wrapper.service.worker.rendering import Renderer, RenderResult
from sfu_wrapper.service.worker.unusable import why_raw_stays
from sfu_wrapper.wire.job_messages import (
    Manifest,
    encode_manifest,
    encode_processed,
    parse_manifest,
)
from sfu_wrapper.wire.job_results import parse_outcome
from sfu_wrapper.wire.recording_info import encode_event, parse_event

EVENT_FILE: Final = "recordingInfo.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessedSegment:
    """Result of a processed segment.

    Attributes:
        result: content of the message.
        message: the encoded ``processed`` message.
        repeated: path of the manifest, where an earlier run processed the segment; else None.
        uploads: True: the files are still to be uploaded, before anything is published.
    """

    result: Processed
    message: bytes
    repeated: Path | None = None
    uploads: bool = False


def job_of(info: SegmentInfo) -> str:
    """Return the id of a segment's job: room uuid and number, for older senders the end time."""
    return f"{info.uuid}:{info.segment if info.segment is not None else f't{info.completed_ms}'}"


def log_name(info: SegmentInfo) -> str:
    """Return the name of a segment's log, to be quoted as a file name."""
    return job_of(info).replace(":", "-")


def _holds_event(kept: Iterable[Path]) -> bool:
    return any(path.name == EVENT_FILE for path in kept)


def _silent(snapshot: ProgressSnapshot) -> None:
    del snapshot


class Processor:
    """Processor of segments: any number in parallel, each only once (the caller's lease).

    Args:
        tools: media operations.
        storage: raw files, work folders and finished files.
        rules: codec, quality, name pattern and encryption of the output.
        clock: source of time.
        encryptor: encrypts finished files; required where ``rules.encrypt`` is set.
        files_at_once: number of files of one segment that are read or copied in parallel.
        last_attempt: number of the last attempt, which goes without unusable files; 0: none is.
        keeps_events: keep the event in the work folder until the segment is cleaned; for callers
            that have the event from a queue only.
        store_url: address of the object store to which the caller uploads the files; None: they
            stay local.
    """

    def __init__(
        self,
        tools: MediaTools,
        storage: RecordingStorage,
        rules: OutputRules,
        clock: Clock,
        encryptor: Encryptor | None = None,
        files_at_once: int = 1,
        *,
        last_attempt: int = 0,
        keeps_events: bool = True,
        store_url: str | None = None,
    ) -> None:
        self._tools = tools
        self._storage = storage
        self._rules = rules
        self._clock = clock
        self._encryptor = encryptor
        self._files_at_once = files_at_once
        self._last_attempt = last_attempt
        self._keeps_events = keeps_events
        self._store_url = store_url
        self._pace = ThroughputModel()

    async def process(
        self, info: SegmentInfo, *, attempts: int = 1, progress: Progress = _silent
    ) -> ProcessedSegment:
        """Render and deliver all output files of one segment. Raises JobFailed.

        ``attempts`` is the number of this attempt, from 1, for the message.
        """
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
        """Return the result of an earlier run, or a failure where each attempt ended its worker.

        ``error`` is the reason of that failure. Returns (None, None) where no attempt was started:
        the workers that ended only held the segment.
        """
        try:
            done = await self._finished_before(info)
        except JobFailed as exc:
            if not exc.permanent:  # the manifest may become readable again
                raise
            return None, await self.failure(info, exc, 0)
        begun = done is None and await self._storage.leftovers(job_of(info))
        return done, await self.failure(info, error, 0) if begun else None

    async def _finished_before(self, info: SegmentInfo) -> ProcessedSegment | None:
        job = job_of(info)
        finished = await self._storage.manifest(job)
        stored = await self._storage.unfinished(job) if finished is None else finished
        if stored is None:
            return None
        try:
            message = parse_manifest(stored).message
            result = parse_outcome(message)
        except Malformed as exc:
            raise JobFailed(
                Stage.DELIVER, JobCode.BAD_MANIFEST, exc.detail, permanent=True
            ) from exc
        if not isinstance(result, Processed):
            return None
        if finished is None and not self._goes_there(result):
            await self._storage.give_up(job)  # made for another store
            return None
        path = self._storage.manifest_file(job)
        return ProcessedSegment(result, message, repeated=path, uploads=finished is None)

    def _goes_there(self, result: Processed) -> bool:
        """Return True if files that are to be uploaded belong in the configured store."""
        folder = f"{self._store_url}/"
        return all(file.url is not None and file.url.startswith(folder) for file in result.files)

    async def clean(self, info: SegmentInfo, *, raw: bool) -> None:
        """Remove temporary files once the outcome is published; the event last.

        With ``raw`` also remove raw files, except those with media that the result lacks: files
        that could not be used, or of which it has less than ``USED_ENOUGH``, late or unreadable
        audio, packets that gave no frame, and all media of a segment of no length.
        """
        await self._storage.clear(job_of(info), lasting=False)
        done = await self._finished_before(info)
        if done is not None and not done.uploads:
            await self._storage.remove_copies(uploaded_names(done.result))
        if raw:
            await self._clean_raw(info, done)
        await self._storage.clear(job_of(info))

    async def left_over(self) -> tuple[SegmentInfo, ...]:
        """Return segments with a durable result and an interrupted cleaning. Raises JobFailed."""
        found = []
        for content in await self._storage.pending_cleanups(EVENT_FILE):
            with suppress(Malformed):  # one damaged event must not keep the others from cleaning
                found.append(parse_event(content))
        return tuple(found)

    async def _clean_raw(self, info: SegmentInfo, done: ProcessedSegment | None) -> None:
        result = done.result if done else None
        for file in (*info.video, *info.audio):
            try:
                path = await self._find(file)
                why = await why_raw_stays(file, path, result, self._tools, self._storage)
                if why is None:
                    await self._storage.remove([path])
                    continue
            except JobFailed as exc:
                if exc.code == JobCode.MISSING_FILE:  # removed by an interrupted cleaning
                    continue
                why = exc.detail
            log.warning("raw.kept", extra={"file": file.filename, "reason": why})
        await self._storage.remove_empty_folders(
            [file.filename for file in info.video], [file.filename for file in info.audio]
        )

    async def _find(self, file: RawFile) -> Path:
        if file.stream is Stream.AUDIO:
            return await self._storage.raw_audio(file.filename)
        return await self._storage.raw_video(file.filename)

    async def failure(self, info: SegmentInfo, error: JobFailed, attempts: int) -> Failed:
        """Return the report on a segment that failed for good; temporary files stay.

        The event is kept too, even where no attempt was started; in the message where the disk
        refuses it.
        """
        kept = await self._storage.leftovers(job_of(info))
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
            failed_ms=self._clock.now().wall_ms,
        )

    async def _keep(self, info: SegmentInfo) -> tuple[Path, ...]:
        try:
            await self._make_workspace(info)
        except JobFailed as exc:
            log.warning("job.eventNotKept", extra={"uuid": info.uuid, "why": exc.detail})
        return await self._storage.leftovers(job_of(info))

    async def _make_workspace(self, info: SegmentInfo) -> Workspace:
        """Make a new workspace that holds the event, which a final failure must keep."""
        workspace = await self._storage.workspace(job_of(info))
        if self._keeps_events:
            path = workspace.lasting / EVENT_FILE
            await self._storage.write(Stage.PREPROCESS, path, encode_event(info))
        return workspace

    async def has_space(self, info: SegmentInfo) -> bool:
        """Return True if the disks have space to process the segment. Raises JobFailed."""
        raw_bytes = await self._storage.raw_bytes(
            [file.filename for file in info.video], [file.filename for file in info.audio]
        )
        needed = needed_bytes(raw_bytes, info.completed_ms - info.started_ms)
        return await self._storage.free_bytes() >= needed

    async def check_key(self) -> int | None:
        """Check the encryption key, if files are encrypted; see ``Encryptor``."""
        return await self._require_encryptor().check() if self._rules.encrypt else None

    async def _process(
        self, info: SegmentInfo, attempts: int, progress: Progress
    ) -> ProcessedSegment:
        started_ms = self._clock.now().wall_ms
        split = self._rules.split or why_split(self._rules, 0) is not None
        require_names(self._rules.fileformat, info, split=split)
        await self.check_key()
        job = job_of(info)
        await self._storage.clear(job, lasting=False)  # the job's folder may hold the only event
        place = await self._make_workspace(info)
        sizes = [await self._storage.raw_bytes([file.filename], []) for file in info.video]
        expected_s = initial_estimate(info, self._rules, sizes, self._files_at_once)
        tracker = ProgressTracker(
            self._clock, self._pace, expected_s, progress, self._files_at_once
        )
        about = encode_event(replace(info, video=(), audio=()))
        info, material = await self._read(info, place, sizes, tracker, attempts)
        output, cut, why = self._decide(info, material)
        made = await self._render(job, info, place, material, output, cut, tracker)
        result = Processed(
            room=info.room,
            uuid=info.uuid,
            segment=info.segment or SegmentNo(1),
            output=output.value,
            started_ms=info.started_ms,
            completed_ms=info.completed_ms,
            encrypted=self._rules.encrypt,
            files=tuple(one.finished(self._storage, self._store_url) for one in made.products),
            processing_started_ms=started_ms,
            processing_completed_ms=self._clock.now().wall_ms,
            attempts=attempts,
            warnings=(*why, *material.warnings),
            sync=made.sync,
            missing=material.missing,
        )
        message, uploads = encode_processed(result), self._store_url is not None
        manifest = encode_manifest(Manifest(message, about))
        await self._storage.deliver(job, made.staged, manifest, finished=not uploads)
        tracker.over()
        return ProcessedSegment(result, message, uploads=uploads)

    async def _read(
        self,
        info: SegmentInfo,
        place: Workspace,
        sizes: Sequence[int],
        tracker: ProgressTracker,
        attempt: int,
    ) -> tuple[SegmentInfo, Material]:
        """Step 1: return what the files hold, and the segment without its empty hours."""
        is_last = 0 < self._last_attempt <= attempt
        material = await ingest(
            info, self._tools, self._storage, place.plain, sizes, tracker, is_last=is_last
        )
        return without_empty_hours(info, material)

    def _decide(
        self, info: SegmentInfo, material: Material
    ) -> tuple[Output, tuple[Interval, ...], tuple[str, ...]]:
        """Step 2: return the output, its intervals, and why it is not the configured one."""
        duration_us = (info.completed_ms - info.started_ms) * 1000
        most = most_on_screen(material.shown)
        output = choose(
            self._rules,
            video=bool(material.shown),
            audio=bool(material.audio) and duration_us > 0,
            most_on_screen=most,
        )
        cut = intervals(material.shown, duration_us) if output is Output.MERGED else ()
        match output:
            case Output.NONE:
                why: str | None = "no media in the segment"
                if material.videos or material.audio:
                    why = "no media within the segment's times; the files that hold some stay"
            case Output.SPLIT:
                why = why_split(self._rules, most)
            case _:
                why = None
        return output, cut, (why,) if why else ()

    async def _render(
        self,
        job: str,
        info: SegmentInfo,
        place: Workspace,
        material: Material,
        output: Output,
        cut: tuple[Interval, ...],
        tracker: ProgressTracker,
    ) -> RenderResult:
        encryptor = self._require_encryptor() if self._rules.encrypt else None
        material = material.with_use(info, whole_videos=output is Output.SPLIT)
        renderer = Renderer(
            self._tools, self._storage, encryptor, self._rules, place, tracker, job=job, info=info
        )
        match output:
            case Output.NONE:
                return RenderResult(sync=material.sync)
            case Output.MERGED:
                return await renderer.merged(material, cut)
            case Output.SPLIT:
                return await renderer.split(material)

    def _require_encryptor(self) -> Encryptor:
        """Return the encryptor. Raises JobFailed where there is none: never deliver plain files."""
        if self._encryptor is None:
            detail = "encryption is configured, but no encryptor"
            raise JobFailed(Stage.ENCRYPT, JobCode.NO_ENCRYPTION, detail, permanent=True)
        return self._encryptor
