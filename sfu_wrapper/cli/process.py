"""``sfu-wrapper process``: process one recordingInfo without a broker, or queue it again.

Temporary files are removed after success. Raw files always stay: no queue confirms that the
segment has been handled.
"""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.leases import SqliteLeases
from sfu_wrapper.app.objects import object_store
from sfu_wrapper.app.parts import open_broker, queues, store_file
from sfu_wrapper.app.worker import (
    announce,
    output_rules,
    processor,
    require_confinement,
    require_folders,
    require_preprocessor,
    uploads,
)
from sfu_wrapper.cli import common
from sfu_wrapper.cli.common import ProgressBar
from sfu_wrapper.config.processing import Recording
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.estimate import ProgressSnapshot
from sfu_wrapper.model.errors import JobFailed, Malformed, RecordingError, Unavailable
from sfu_wrapper.model.segment import FinishedFile, SegmentInfo
from sfu_wrapper.observe.logs import one_line
from sfu_wrapper.ports.broker import Message
from sfu_wrapper.service.worker.processor import ProcessedSegment, Processor, job_of
from sfu_wrapper.service.worker.scheduling import LEASE_S, Holder
from sfu_wrapper.service.worker.uploading import Uploads
from sfu_wrapper.wire.job_messages import encode_failed, size_text
from sfu_wrapper.wire.recording_info import parse_event


def add_arguments(parser: ArgumentParser) -> None:
    """Add the event, and the folders that differ from the configured ones."""
    parser.add_argument("event", metavar="EVENT.json", type=Path, help="a recordingInfo message")
    parser.add_argument("--recordings", metavar="DIR", type=Path, help="folder of the .mjr files")
    parser.add_argument("--audio", metavar="DIR", type=Path, help="folder of the .wav files")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder for the finished files")
    parser.add_argument("--queue", action="store_true", help="publish it for the workers instead")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        help="a configuration key for this run, such as quality=high",
    )


def run(args: Namespace) -> int:
    """Print the processed message, or the failed one.

    Raises:
        Malformed: the file is not a recordingInfo event.
        Misconfigured: the configuration does not allow it.
        Unavailable: a worker has the segment, or a folder, the store or the queue cannot be used.
    """
    bar = ProgressBar(sys.stderr) if sys.stderr.isatty() else None
    settings = common.start(args, bar)
    if args.queue:
        return asyncio.run(_hand_over(args, settings))
    recording = _recording(settings.recording, args)
    require_preprocessor(recording)
    require_folders(recording)
    info = parse_event(_read(args.event))
    announce(output_rules(recording))
    clean = recording.clean_temporary_files
    confinement = settings.worker.confinement
    if confinement == "require":
        require_confinement(confinement)
    objects = object_store(settings, os.environ)
    with processor(
        recording,
        SystemClock(),
        keeps_events=False,
        confinement=confinement,
        store_url=None if objects is None else objects.url,
    ) as worker:
        sending = uploads(recording, objects)
        try:
            done = asyncio.run(_process_alone(settings, worker, sending, info, bar, clean=clean))
        except JobFailed as exc:
            return _failed(args, worker, info, exc)
    print(done.message.decode() if common.wants_json(args) else _story(done), flush=True)
    return common.DONE


def _failed(args: Namespace, worker: Processor, info: SegmentInfo, error: JobFailed) -> int:
    named = f"{error.file}: " if error.file and error.file not in error.detail else ""
    line = one_line(f"{error.stage}: {error.code}: {named}{error.detail}")
    print(f"sfu-wrapper: {line}", file=sys.stderr)
    if common.wants_json(args):
        failure = asyncio.run(worker.failure(info, error, attempts=1))
        print(encode_failed(failure).decode(), flush=True)
    return common.FAILED if error.permanent else common.TRY_AGAIN


async def _hand_over(args: Namespace, settings: Settings) -> int:
    """Publish the event again, as the controller did. Raises Malformed, Unavailable."""
    if args.recordings or args.audio or args.out:
        raise Malformed("--queue: the worker uses its own folders; omit --recordings, …")
    info = parse_event(body := _read(args.event))
    message = Message(
        "recordingInfo", job_of(info), body, info.room, SystemClock().now().wall_ms, mandatory=True
    )
    async with open_broker(settings) as broker:
        await broker.open(queues(settings))
        await broker.publish(message)
    segment, queue = info.segment or 1, settings.recording.processing_queue
    text = f"{info.uuid} segment {segment}: put into {queue}"
    common.emit(args, text, uuid=info.uuid, segment=segment, queue=queue)
    return common.DONE


async def _process_alone(
    settings: Settings,
    worker: Processor,
    sending: Uploads | None,
    info: SegmentInfo,
    bar: ProgressBar | None,
    *,
    clean: bool,
) -> ProcessedSegment:
    async with _alone(settings, job_of(info)):
        return await run_process(worker, info, bar, sending, clean=clean)


@asynccontextmanager
async def _alone(settings: Settings, job: str) -> AsyncIterator[None]:
    """Hold the lease of the segment, so that no worker processes it meanwhile.

    Without a store file no worker shares the store, and none is created for this.

    Raises:
        Unavailable: a worker holds the lease, or the store does not answer.
    """
    file = store_file(settings)
    if not file.exists():
        yield
        return
    failure: RecordingError | None = None

    def note_outage(error: RecordingError | None) -> None:
        nonlocal failure
        failure = error

    async def give_up(_: float) -> None:
        why = f"a worker has {job}, or died with it a moment ago: try again in {LEASE_S:.0f} s"
        raise failure or Unavailable(why)

    leases = SqliteLeases(file)
    try:
        async with Holder(leases, note_outage, LEASE_S).hold(job, give_up):
            yield
    finally:
        leases.close()


async def run_process(
    worker: Processor,
    info: SegmentInfo,
    bar: ProgressBar | None,
    sending: Uploads | None = None,
    *,
    clean: bool,
) -> ProcessedSegment:
    """Process one segment, with a progress bar where there is one.

    Raises:
        JobFailed: it cannot be processed.
        Unavailable: the object store is away; the next run only uploads.
    """
    try:
        done = await worker.process(info, progress=_quiet if bar is None else bar.show)
        if done.uploads and sending is not None:
            await sending.upload(job_of(info), done.result)
        if clean:
            await worker.clean(info, raw=False)
        return done
    finally:
        if bar is not None:
            bar.clear()


def _recording(recording: Recording, args: Namespace) -> Recording:
    given = {
        "recordings_path": args.recordings,
        "audio_path": args.audio,
        "destination_path": args.out,
    }
    return recording.model_copy(
        update={key: folder.absolute() for key, folder in given.items() if folder is not None}
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise Malformed(f"{file}: cannot be read: {exc.strerror}") from exc


def _story(done: ProcessedSegment) -> str:
    result = done.result
    again = ", as before" if done.repeated else ""
    lines = [f"{result.uuid} segment {result.segment}: {result.output}{again}"]
    lines += [f"  {file.filename}  {_as_it_stands(file)}" for file in result.files]
    lines += [f"  note: {warning}" for warning in result.warnings]
    if done.repeated:
        lines.append(f"  note: nothing was processed; to process it again remove {done.repeated}")
    return "\n".join(map(one_line, lines))


def _as_it_stands(file: FinishedFile) -> str:
    if file.url is not None:
        return f"{size_text(file.size_bytes)}  {file.url}"
    return size_text(file.size_bytes) if Path(file.filename).exists() else "is not there any more"


def _quiet(standing: ProgressSnapshot) -> None:
    del standing
