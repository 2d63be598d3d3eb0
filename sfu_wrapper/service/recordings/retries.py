"""Retry of failed recordings: their recordingInfo goes to the workers again.

The event is the one that the worker has kept, in its message or next to the temporary files. State,
message and audit entry are one commit, so that a recording is queued if and only if its message is
in the outbox. Source: recording-index.md, "Log and retry".
"""

from sfu_wrapper.core import access
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.recordings import retry
from sfu_wrapper.model.errors import Code, Malformed, Refused
from sfu_wrapper.model.recording import Recording, RecordingKey
from sfu_wrapper.model.segment import Failed, SegmentInfo
from sfu_wrapper.ports.recording_files import RecordingFiles
from sfu_wrapper.ports.recordings import PutRecording
from sfu_wrapper.ports.store import Commit, OutboxRow
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.audit import entry
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.queries import RecordingQueries
from sfu_wrapper.wire.recording_info import RECORDING_INFO, encode_event, parse_event


class RecordingRetries:
    """Retries with the rights of a requester.

    Args:
        queries: the index.
        files: the folders of the workers.
        committer: writes the change, and publishes its message.
        clock: wall clock.
    """

    def __init__(
        self, queries: RecordingQueries, files: RecordingFiles, committer: Committer, clock: Clock
    ) -> None:
        self._queries = queries
        self._files = files
        self._committer = committer
        self._clock = clock

    async def retry(self, by: Requester, key: RecordingKey) -> Recording:
        """Hand a failed recording to the workers again; return it as stored.

        Raises:
            Refused: FORBIDDEN: neither an administrator nor the service; NOT_FOUND;
                RECORDING_DELETED; RECORDING_NOT_FAILED; RAW_FILES_GONE.
            Unavailable: the store or the disk does not answer.
        """
        access.require_operator(by)
        wanted = retry(self._queries.recording(by, key))
        info = await self._event(self._queries.recording(by, key))

        def make() -> Commit:
            nonlocal wanted
            wanted = retry(self._queries.recording(by, key))
            now_ms = self._clock.now().wall_ms
            noted = entry(now_ms, by.key, wanted.facts.domain, "recording.retry", str(key))
            message = _message(info, key, now_ms)
            return Commit(outbox=(message,), recordings=(PutRecording(wanted),), audit=(noted,))

        await self._committer.write_changed(key, make)
        return wanted

    async def _event(self, failed: Recording) -> SegmentInfo:
        """Return the event of a failed recording. Raises Refused: RAW_FILES_GONE."""
        outcome = failed.outcome
        body = outcome.event if isinstance(outcome, Failed) else None
        if body is None and isinstance(outcome, Failed):
            body = await self._files.kept_event(outcome.kept)
        if body is None:
            raise _gone(failed.key, "its event is gone, or not in a folder of this controller")
        try:
            info = parse_event(body)
        except Malformed as error:
            raise _gone(failed.key, f"its event cannot be read: {error.detail}") from None
        videos = [file.filename for file in info.video]
        audio = [file.filename for file in info.audio]
        if not await self._files.raw_exists(videos, audio):
            raise _gone(failed.key, "its raw files are gone")
        return info


def _gone(key: RecordingKey, why: str) -> Refused:
    detail = f"recording cannot be processed again: {why}"
    return Refused(Code.RAW_FILES_GONE, detail, recording=str(key))


def _message(info: SegmentInfo, key: RecordingKey, now_ms: int) -> OutboxRow:
    """Return the recordingInfo of a segment, with the id that it had."""
    return OutboxRow(
        room=key.uuid,
        routing_key=RECORDING_INFO,
        message_id=f"{key.uuid}:{key.segment}",
        correlation_id=info.room,
        body=encode_event(info),
        created_ms=now_ms,
        mandatory=True,
    )
