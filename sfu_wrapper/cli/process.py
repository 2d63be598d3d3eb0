"""``sfu-wrapper process``: post-process one recordingInfo without a broker.

Temporary files go after success; raw files always stay: they are somebody's, and no queue says that
they have been dealt with.
"""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from sfu_wrapper.adapters.clock import SystemClock
from sfu_wrapper.cli import common
from sfu_wrapper.cli.bar import Bar
from sfu_wrapper.cli.processing import output_rules, processor, require_preprocessor
from sfu_wrapper.config.processing import Recording
from sfu_wrapper.core.estimate import Standing
from sfu_wrapper.model.errors import JobFailed, Malformed
from sfu_wrapper.model.recording import SegmentInfo
from sfu_wrapper.service.processor import Done, Processor, announce
from sfu_wrapper.wire.processed import encode_failed, size_text
from sfu_wrapper.wire.recordinginfo import parse_event


def add_arguments(parser: ArgumentParser) -> None:
    """The event, and the folders where they are not the configured ones."""
    parser.add_argument("event", metavar="EVENT.json", type=Path, help="a recordingInfo message")
    parser.add_argument("--recordings", metavar="DIR", type=Path, help="folder of the .mjr files")
    parser.add_argument("--audio", metavar="DIR", type=Path, help="folder of the .wav files")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder for the finished files")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        help="a configuration key for this run, such as quality=high",
    )


def run(args: Namespace) -> int:
    """Print the processed message, or the failed one. Raises Malformed, Misconfigured."""
    bar = Bar(sys.stderr) if sys.stderr.isatty() else None
    recording = _recording(common.start(args, bar).recording, args)
    require_preprocessor(recording)
    info = _event(args.event)
    announce(output_rules(recording))
    clean = recording.clean_temporary_files
    with processor(recording, SystemClock()) as worker:
        try:
            done = asyncio.run(run_process(worker, info, bar, clean=clean))
        except JobFailed as exc:
            failure = asyncio.run(worker.failure(info, exc, attempts=1))
            print(f"sfu-wrapper: {exc.stage}: {exc.code}: {exc.detail}", file=sys.stderr)
            if common.wants_json(args):
                print(encode_failed(failure).decode(), flush=True)
            return common.FAILED if exc.permanent else common.TRY_AGAIN
    print(done.message.decode() if common.wants_json(args) else _story(done), flush=True)
    return common.DONE


async def run_process(
    worker: Processor, info: SegmentInfo, bar: Bar | None, *, clean: bool
) -> Done:
    """Process one segment, with a progress bar where there is one. Raises JobFailed."""
    try:
        done = await worker.process(info, progress=_quiet if bar is None else bar.show)
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


def _event(file: Path) -> SegmentInfo:
    try:
        body = file.read_bytes()
    except OSError as exc:
        raise Malformed(f"{file}: cannot be read: {exc.strerror}") from exc
    return parse_event(body)


def _story(done: Done) -> str:
    result = done.result
    again = ", as before" if done.repeated else ""
    lines = [f"{result.uuid} segment {result.segment}: {result.output}{again}"]
    lines += [f"  {file.filename}  {size_text(file.size_bytes)}" for file in result.files]
    lines += [f"  note: {warning}" for warning in result.warnings]
    return "\n".join(lines)


def _quiet(standing: Standing) -> None:
    del standing
