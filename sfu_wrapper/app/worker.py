"""Composition of the recording service, from the configuration."""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sfu_wrapper.adapters.media.tools import MediaProcesses
from sfu_wrapper.adapters.os.confinement import Policy, demand, probe
from sfu_wrapper.adapters.storage.disks import nearest
from sfu_wrapper.adapters.storage.gpg import GpgEncryptor
from sfu_wrapper.adapters.storage.local import HIDDEN, Folders, LocalStorage
from sfu_wrapper.adapters.storage.removal import LocalRemoval
from sfu_wrapper.config.processing import Recording
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.plan import OutputRules
from sfu_wrapper.model.errors import Misconfigured, Unavailable
from sfu_wrapper.ports.objects import ObjectStore
from sfu_wrapper.ports.storage import Encryptor
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.worker.deleting import Deleter, DeletionSettings, MakeDeleter, Publish
from sfu_wrapper.service.worker.obstacles import WorkerMonitor
from sfu_wrapper.service.worker.processor import Processor
from sfu_wrapper.service.worker.scheduling import Holder
from sfu_wrapper.service.worker.uploading import UploadedFiles, Uploads

log = logging.getLogger(__name__)


def output_rules(recording: Recording) -> OutputRules:
    """Return the rules for finished files."""
    return OutputRules(
        codec=recording.webm_codec,
        quality=recording.quality,
        fileformat=recording.fileformat,
        split=recording.split_recording_output,
        mix_limit=recording.mix_limit,
        encrypt=recording.should_encrypt,
    )


def announce(rules: OutputRules) -> None:
    """Log the two lines that existing log filters expect at start-up."""
    log.debug("File encryption is %s", "enabled" if rules.encrypt else "disabled")
    filename_format = json.dumps({"filenameFormat": rules.fileformat}, separators=(",", ":"))
    log.info("FilenameGenerator configured with: %s", filename_format)


def folders(recording: Recording) -> Folders:
    """Return the folders of the worker.

    With encryption, work in progress stays in the folder of the raw files, which are plain too.
    """
    plain: Path | None = None
    if recording.should_encrypt:
        plain = recording.recordings_path.absolute() / HIDDEN / "work"
    return Folders(
        recordings=recording.recordings_path,
        audio=recording.audio_path,
        destination=recording.destination_path,
        plain=plain,
    )


@contextmanager
def processor(
    recording: Recording,
    clock: Clock,
    *,
    last_attempt: int = 0,
    keeps_events: bool = True,
    confinement: Policy = "prefer",
    store_url: str | None = None,
) -> Iterator[Processor]:
    """Create the processor of segments; its processes end with the context."""
    storage = LocalStorage(folders(recording))
    rules = output_rules(recording)
    program = _preprocessor(recording)
    with MediaProcesses(program, storage.open_raw, confinement) as media:
        yield Processor(
            media,
            storage,
            rules,
            clock,
            encryptor(recording, confinement),
            files_at_once=len(os.sched_getaffinity(0)),
            last_attempt=last_attempt,
            keeps_events=keeps_events,
            store_url=store_url,
        )


def uploads(recording: Recording, objects: ObjectStore | None) -> Uploads | None:
    """Return the uploads into an object store; None where there is none."""
    return None if objects is None else Uploads(objects, LocalStorage(folders(recording)))


def deleter(settings: Settings, clock: Clock, objects: ObjectStore | None) -> MakeDeleter:
    """Return the creator of the deleter of recordings, for a worker."""
    recording, retention = settings.recording, settings.retention
    removal = LocalRemoval(folders(recording), recording.logs_path)
    of_deletions = DeletionSettings(
        queue=recording.deletion_queue,
        log_days=retention.log_days,
        mark_days=settings.recordings.tombstone_days,
    )

    uploaded = None if objects is None else UploadedFiles(objects, removal.name_below)

    def make(holder: Holder, publish: Publish, monitor: WorkerMonitor) -> Deleter:
        return Deleter(removal, removal, uploaded, holder, publish, clock, of_deletions, monitor)

    return make


def _preprocessor(recording: Recording) -> str | None:
    return None if recording.preprocessor == "builtin" else recording.preprocessor


def require_preprocessor(recording: Recording) -> None:
    """Raise Misconfigured if the configured preprocessor is not installed."""
    program = _preprocessor(recording)
    if program is not None and shutil.which(program) is None:
        raise Misconfigured(f"preprocessor: {program} is not installed: install it, or set builtin")


def require_folders(recording: Recording) -> None:
    """Check, without writing, that finished files can be delivered.

    Raises:
        Unavailable: a folder of finished files is not writable; fix it and start again.
    """
    written = {"destination_path": recording.destination_path}
    if recording.should_encrypt:
        written["recordings_path"] = recording.recordings_path  # what is not encrypted yet
    for key, folder in written.items():
        there = nearest(folder)
        if not there.is_dir():
            raise Unavailable(f"{key} {folder}: {there} is no folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise Unavailable(f"{key} {folder}: {there} cannot be written to by this user")


def require_confinement(policy: Policy) -> None:
    """Test and log the confinement of media processes; blocks.

    Raises:
        Unavailable: this system allows less than the policy requires.
    """
    if policy == "off":
        log.warning("worker.unconfined", extra={"reason": "worker.confinement = off"})
        return
    try:
        found = probe()
        log.info("worker.confinement", extra={name: list(of) for name, of in asdict(found).items()})
        demand(policy, found)
    except OSError as exc:
        raise Unavailable(f"worker.confinement = {policy}: {exc.strerror or exc}") from exc


def encryptor(recording: Recording, confinement: Policy = "prefer") -> Encryptor | None:
    """Return the encryptor of finished files; None without encryption."""
    if not recording.should_encrypt or recording.encryption_mail is None:
        return None
    return GpgEncryptor(
        recording.encryption_key, recording.encryption_mail, confinement=confinement
    )
