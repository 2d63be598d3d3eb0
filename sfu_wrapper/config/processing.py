"""Keys of the recording service: ``recording.toml``, in the product's own spelling.

Names, defaults and allowed values; rules between keys are in ``rules``.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from sfu_wrapper.config.section import Count, FolderPath, Port, Section, Text
from sfu_wrapper.core.naming import format_fault
from sfu_wrapper.core.plan import Quality
from sfu_wrapper.model.codecs import MergedCodec

DEFAULT_FILEFORMAT = (
    "rec-{{year}}{{month}}{{day}}-{{hours}}{{minutes}}{{seconds}}-{{uuid}}-{{confbridgeid}}"
)
FILEFORMAT_FIELDS = (
    "year",
    "month",
    "day",
    "hours",
    "minutes",
    "seconds",
    "uuid",
    "confbridgeid",
    "segment",
)
_FIELD = re.compile(r"\{\{(.*?)\}\}")


def _fileformat(value: str) -> str:
    unknown = [name for name in _FIELD.findall(value) if name not in FILEFORMAT_FIELDS]
    if unknown:
        raise ValueError(f"has no field {unknown[0]!r}; known are {', '.join(FILEFORMAT_FIELDS)}")
    if re.search(r"[/\x00-\x1f\x7f]|\{\{|\}\}", _FIELD.sub("", value)) or value.startswith(
        (".", "-")
    ):
        raise ValueError(
            "must make a file name: no slash, no stray braces, no leading dot or hyphen"
        )
    if fault := format_fault(value):
        raise ValueError(fault)
    return value


# The AMQP library (pamqp) sends no other characters, although RabbitMQ takes any text.
_QUEUE = re.compile(r"[a-zA-Z0-9\-_.:@#,/+ ]+")


def is_sendable(queue: str) -> bool:
    """Return True if a queue of RabbitMQ with this name can be used."""
    return _QUEUE.fullmatch(queue) is not None


def _queue(value: str) -> str:
    if not is_sendable(value):
        raise ValueError(
            "must be a queue name of ASCII letters, digits, spaces and - _ . : @ # , / +"
        )
    if value.startswith("amq.") or len(value.encode()) > 255:
        raise ValueError("must be a queue name of at most 255 bytes that does not begin with amq.")
    return value


QueueName = Annotated[Text, AfterValidator(_queue)]


class Recording(Section):
    """Top-level keys of ``recording.toml``; snake_case as in the product."""

    model_config = ConfigDict(alias_generator=None)

    recordings_path: FolderPath = Field(
        Path("/sippo-recording/raw_files/"), description="folder of the raw video (.mjr)"
    )
    audio_path: FolderPath = Field(
        Path("/sippo-recording/raw_audio/"), description="folder of the raw mixed audio (.wav)"
    )
    destination_path: FolderPath = Field(
        Path("/sippo-recording/postprocessed/"), description="folder of the finished recordings"
    )
    logs_path: FolderPath = Field(
        Path("/sippo-recording/logs/"), description="folder of one log a recording"
    )
    processing_queue: QueueName = Field(
        "processing_queue", description="queue of segments to be processed"
    )
    processed_queue: QueueName = Field(
        "processed_queue", description="queue of segments that were processed"
    )
    failure_queue: QueueName = Field(
        "failure_queue", description="queue of segments that failed for good"
    )
    deletion_queue: QueueName = Field(
        "deletion_queue", description="queue of recordings to be deleted"
    )
    index_queue: QueueName = Field(
        "sfu_wrapper.index", description="queue of results for the list of recordings"
    )
    webm_codec: MergedCodec = Field("vp8", description="video codec of merged files")
    quality: Quality = Field(
        "low", description="quality of merged files: about 2, 3 or 4 MB a minute"
    )
    clean_temporary_files: bool = Field(
        True, description="whether raw and temporary files are deleted after success"
    )
    fileformat: Annotated[Text, AfterValidator(_fileformat)] = Field(
        DEFAULT_FILEFORMAT, description="name of the files; times are the segment's start in UTC"
    )
    should_encrypt: bool = Field(False, description="whether finished files are encrypted with GPG")
    encryption_key: FolderPath = Field(
        Path("/sippo-recording/encryption/key.asc"), description="file of the public GPG key"
    )
    encryption_mail: Text | None = Field(
        None, description="mail address of that key; required with should_encrypt"
    )
    split_recording_output: bool = Field(
        False, description="one file a stream instead of one merged file"
    )
    mix_limit: Count = Field(
        9, description="most streams in a merged file; above 9 the output is always split"
    )
    preprocessor: Literal["builtin", "janus-pp-rec"] = Field(
        "builtin", description="program that converts raw files into media files"
    )


_SEGMENT = r"(?!\.{1,2}(/|$))[A-Za-z0-9._~=-]+"
_OBJECT_STORE = re.compile(rf"(s3|gs|az)://[a-z0-9][a-z0-9._-]{{1,61}}[a-z0-9](/{_SEGMENT})*/?")


def _storage_url(value: str) -> str:
    if value != "file:" and not _OBJECT_STORE.fullmatch(value):
        raise ValueError("must be file: or s3://, gs:// or az://<bucket>, perhaps with /<folder>")
    return value


def _endpoint_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s?#]+", value):
        raise ValueError("must be an http or https address")
    return value


class Storage(Section):
    """``[storage]``: where finished files are kept."""

    url: Annotated[str, AfterValidator(_storage_url)] = Field(
        "file:",
        description="file: (destination_path) or a bucket, s3://…, gs://… or az://…, to which "
        "finished files are moved",
    )
    endpoint_url: Annotated[str, AfterValidator(_endpoint_url)] | None = Field(
        None, description="address of a server of that kind; unset: the provider's own"
    )


class Worker(Section):
    """``[worker]``: scheduling and limits of the jobs."""

    concurrency: Count = Field(
        default_factory=lambda: os.cpu_count() or 1,
        description="segments processed in parallel; default: the number of cores",
    )
    attempts: Count = Field(3, description="attempts at a segment before it fails for good")
    drain_seconds: Annotated[float, Field(ge=0)] = Field(
        60, description="s to finish running segments after a stop signal"
    )
    look_ahead: Annotated[int, Field(ge=0, le=10_000)] = Field(
        1_000,
        description="segments of a backlog to choose from beyond the normal prefetch; 0 keeps "
        "the order of the queue",
    )
    http_host: Text = Field(
        "127.0.0.1", description="address on which the worker serves health and metrics"
    )
    http_port: Port = Field(0, description="port of its health and metrics; 0: none")
    confinement: Literal["require", "prefer", "off"] = Field(
        "prefer",
        description="confine processes that read media: only their own files, no network, "
        "no privileges",
    )
    consumer_timeout_seconds: Count = Field(
        86_400, description="s a segment may take before the broker delivers it again"
    )
