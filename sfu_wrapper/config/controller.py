"""Keys of the controller: ``config.json``, ``sfu-wrapper.toml`` and ``default.toml``.

Names, defaults and allowed values; rules between keys are in ``rules``. The description of a key,
with its unit, appears in ``config schema`` and in configuration.md.
"""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from sfu_wrapper.config.section import Count, FolderPath, Limit, Seconds, Section, Text, Whole
from sfu_wrapper.core.policy import PstnConflict, StopBy
from sfu_wrapper.model.codecs import VideoInput
from sfu_wrapper.model.identity import RecordingType

_SQLITE = "sqlite:"

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
Sfu = Literal["simulated", "janus", "none"]
Mixer = Literal["simulated", "audiobridge", "asterisk", "none"]
Secret = Annotated[SecretStr, Field(min_length=1)]


def _store_url(value: str) -> str:
    if not re.fullmatch(r"sqlite:.+|postgres(ql)?://.+", value):
        raise ValueError("must be sqlite:<file> or postgresql://<user>@<host>/<database>")
    return value


def _broker_address(value: str) -> str:
    if not re.fullmatch(r"embedded:|amqps?://.+", value):
        raise ValueError("must be embedded: or amqp://<host> or amqps://<host>")
    return value


def _websocket_url(value: str) -> str:
    try:
        fits = re.fullmatch(r"wss?://\S+", value) is not None and urlsplit(value).port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ValueError("must be ws://<host>:<port> or wss://<host>:<port>")
    return value


def _http_url(value: str) -> str:
    if not re.fullmatch(r"https?://\S+", value):
        raise ValueError("must be an http or https address")
    return value


def _one_line(value: str) -> str:
    if not re.fullmatch(r"[^\r\n\0]+", value):
        raise ValueError("must be one line")
    return value


def _none_or_a_second(value: float) -> float:
    """Refuse lengths at which segments would follow each other faster than they can be stored."""
    if 0 < value < 1:
        raise ValueError("must be 0 or at least 1")
    return value


def _asterisk_folder(value: str) -> str:
    """Refuse commas: Asterisk takes ``file,options,command`` for a file and runs the command."""
    if not re.fullmatch(r"/[^,\r\n\0]*", value) or ".." in value.split("/"):
        raise ValueError("must be an absolute path without commas and without ..")
    return value


Line = Annotated[str, AfterValidator(_one_line)]
SecondsOrNone = Annotated[float, Field(ge=0), AfterValidator(_none_or_a_second)]
Name = Annotated[str, Field(pattern=r"\A[A-Za-z0-9._@+:-]{1,128}\z")]


class Rooms(Section):
    """``[rooms]``: lifetime of rooms, and the recording of users without any permission."""

    record: RecordingType = Field(
        RecordingType.NONE,
        description="streams to record where neither user nor domain has a permission",
    )
    reconnect_grace_seconds: Annotated[float, Field(ge=0)] = Field(
        10, description="s a participant stays in its room after its last connection was lost"
    )
    answer_timeout_seconds: Seconds = Field(
        120, description="s after which an unanswered direct call ends"
    )
    unused_timeout_seconds: Seconds = Field(
        604_800, description="s after which a meeting without any participant ends"
    )
    max_invited: Limit = Field(
        1000, description="users that may be invited to one room; 0: no limit"
    )
    max_participants: Limit = Field(
        1000, description="users that may be in one room at the same time; 0: no limit"
    )


class QuotaKeys(Section):
    """``[quotas]``: how many rooms and segments one user, domain or room may have."""

    rooms_per_user: Limit = Field(
        100, description="rooms of one owner that have not ended, pstn rooms apart; 0: no limit"
    )
    rooms_per_domain: Limit = Field(
        10_000, description="rooms of one domain that have not ended; 0: no limit"
    )
    rooms_per_minute: Limit = Field(
        60, description="rooms created a minute for one owner, pstn rooms apart; 0: no limit"
    )
    segments_per_minute: Limit = Field(
        30, description="segments that one room begins a minute by hand; 0: no limit"
    )


class Trunk(Section):
    """``[trunk]``: calls from PSTN or a SIP trunk."""

    record_incoming_pstn: bool = Field(
        False, alias="recordIncomingPSTN", description="whether incoming SIP calls are recorded"
    )
    conflict: PstnConflict = Field(
        PstnConflict.WARN,
        description="how to handle recordIncomingPSTN=true with recordRecordingAtStart=false: "
        "warn at start-up, refuse to start, or record such calls",
    )


class Auth(Section):
    """``[auth]``: verification of tokens, with one of secret, publicKeyFile and jwksUrl."""

    secret: Secret | None = Field(
        None, description="shared secret of HS256 tokens, 32 bytes or more"
    )
    public_key_file: FolderPath | None = Field(
        None, description="PEM file with the public key of RS256, ES256 or EdDSA tokens"
    )
    jwks_url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None, description="address of the key set of an identity provider"
    )
    algorithms: tuple[Algorithm, ...] = Field(
        (), description="signatures that are accepted; empty: all that fit the key"
    )
    audience: Text | None = Field(
        None, description="aud that a token must name; unset: not checked"
    )
    issuer: Text | None = Field(None, description="iss that a token must name; unset: any")
    login_url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None, description="page of the identity provider where users of the console sign in"
    )

    @property
    def configured(self) -> bool:
        """True once a key for the verification of tokens is configured."""
        return bool(self.secret or self.public_key_file or self.jwks_url)

    @property
    def accepted_algorithms(self) -> tuple[Algorithm, ...]:
        """Accepted signature algorithms: never both of a secret and of a public key."""
        return self.algorithms or (("HS256",) if self.secret else ("RS256", "ES256", "EdDSA"))


class Store(Section):
    """``[store]``: the database of rooms, permissions and job leases."""

    url: Annotated[str, AfterValidator(_store_url)] = Field(
        "sqlite:data/sfu-wrapper.db", description="sqlite:<file> or postgresql://…"
    )

    @property
    def sqlite_file(self) -> Path | None:
        """Database file; None where the store is PostgreSQL."""
        is_file = self.url.startswith(_SQLITE)
        return Path(self.url.removeprefix(_SQLITE)) if is_file else None


class Retention(Section):
    """``[retention]``: time for which recordings, logs and ended rooms are kept."""

    days: Whole = Field(
        0, description="days after which a finished recording is deleted; 0: it is kept for ever"
    )
    max_days: Whole = Field(
        0, description="longest time in days that a domain may set for itself; 0: retention.days"
    )
    raw_days: Whole = Field(
        7, description="days after which raw files of a failed segment are deleted; 0: never"
    )
    log_days: Whole = Field(
        90, description="days after which the log of a recording is deleted; 0: never"
    )
    interval_seconds: Seconds = Field(
        300, description="s between two checks of what is due for deletion"
    )
    room_days: Whole = Field(
        30, description="days after which a room that has ended leaves the store; 0: never"
    )


class AuditKeys(Section):
    """``[audit]``: signatures of the heads of audit chains, and of evidence."""

    key_file: FolderPath | None = Field(
        None, description="PEM file with an Ed25519 private key; unset: nothing is signed"
    )


class MediaPlane(Section):
    """``[media]``: servers that carry and record the media. ``none``: another system records."""

    sfu: Sfu = Field("simulated", description="server that carries and records the video")
    mixer: Mixer = Field("simulated", description="server that mixes and records the audio")
    timeout_seconds: Annotated[float, Field(gt=0, le=30)] = Field(
        5, description="s within which the media plane must answer"
    )
    simulated_faults: Text | None = Field(
        None, description="faults injected into the simulated plane, for QA; unset: none"
    )


class Janus(Section):
    """``[janus]``: the server of ``media.sfu = "janus"`` and ``media.mixer = "audiobridge"``."""

    url: Annotated[str, AfterValidator(_websocket_url)] = Field(
        "ws://127.0.0.1:8188", description="address of its WebSocket API, ws:// or wss://"
    )
    api_secret: Secret | None = Field(None, description="its api_secret; unset: it requires none")
    admin_key: Secret | None = Field(
        None, description="admin_key of its plugins, required to create rooms; unset: none"
    )
    room_secret: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        None, description="secret from which each room's is derived, 16 characters or more"
    )
    recordings_path: FolderPath | None = Field(
        None, description="recordings_path as Janus sees it; unset: the same path"
    )
    audio_path: FolderPath | None = Field(
        None, description="audio_path as Janus sees it; unset: the same path"
    )
    video_codecs: tuple[VideoInput, ...] = Field(
        ("vp8", "h264"), min_length=1, description="codecs of the rooms, in order of preference"
    )
    publishers: Count = Field(
        64, description="cameras and screens that may be published in one room"
    )
    bitrate: Annotated[int, Field(ge=0)] = Field(
        0, description="maximum bit/s of a publisher; 0: no limit"
    )
    sampling_rate: Literal[8000, 16000, 24000, 48000] = Field(
        16000, description="Hz of the mix, and of its recording"
    )
    delay_ms: Annotated[int, Field(ge=0, le=2000)] = Field(
        120, description="ms by which the mix lags behind the video"
    )


class Asterisk(Section):
    """``[asterisk]``: the server of ``media.mixer = "asterisk"``, over its manager interface."""

    host: Text = Field("127.0.0.1", description="address of its manager interface (AMI)")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(5038, description="port of AMI")
    user: Line = Field("sfu-wrapper", description="user of manager.conf")
    secret: Secret | None = Field(None, description="its secret")
    audio_path: Annotated[str, AfterValidator(_asterisk_folder)] | None = Field(
        None, description="audio_path as Asterisk sees it; unset: the same path"
    )
    folder_shared: bool = Field(
        True, description="whether the controller sees the files in audio_path, to check them"
    )
    delay_ms: Annotated[int, Field(ge=0, le=2000)] = Field(
        0, description="ms by which the mix lags behind the video"
    )
    trunk_domain: Name | None = Field(
        None, description="domain of incoming calls; unset: they get no rooms"
    )
    trunk_service: Name = Field(
        "trunk", description="user id of the room service that gets events of their rooms"
    )
    trunk_context: Line = Field(
        "from-trunk", description="dialplan context that answers incoming calls"
    )


class Policy(Section):
    """``[policy]``: interpretation of stored permissions, and who may stop a recording."""

    optional_allows_manual: bool = Field(
        False, description="whether recordingProfile optional lets the owner start by hand"
    )
    stop_by: StopBy = Field(
        StopBy.OWNER,
        description="who in the room may stop a recording: its owner, or every participant",
    )
    unattended_stop_seconds: SecondsOrNone = Field(
        0, description="s after which a recording without its owner in the room ends; 0: never"
    )


class Permissions(Section):
    """``[permissions]``: right to change permissions."""

    user_may_write: bool = Field(
        True, description="whether users may set their own permissions, and override their domain"
    )


class Recordings(Section):
    """``[recordings]``: length of recordings, and the right to delete them."""

    owner_may_delete: bool = Field(
        False, description="whether the owner of a recording may delete it"
    )
    tombstone_days: Whole = Field(
        400, description="days after which the entry of a deleted recording goes; 0: never"
    )
    max_segment_seconds: SecondsOrNone = Field(
        14_400, description="s after which a segment ends and the next one starts; 0: no limit"
    )
    max_room_seconds: SecondsOrNone = Field(
        0, description="recorded s of one room after which its recording is over; 0: no limit"
    )


class Log(Section):
    """``[log]``: level and format of the log on standard error."""

    level: Literal["debug", "info", "warn", "warning", "error"] = Field(
        "debug", description="lowest severity that is logged"
    )
    relative_paths: bool = Field(
        True, description="whether paths in log lines are relative to their configured folders"
    )
    format: Literal["text", "json"] = Field(
        "text", description="readable lines, or one JSON object a line"
    )


class Rabbitmq(Section):
    """``[rabbitmq]``: the message broker."""

    address: Annotated[str, AfterValidator(_broker_address)] = Field(
        "embedded:", description="embedded: (a file next to the store's) or amqp://…, amqps://…"
    )
    management_url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None,
        description="address of RabbitMQ's management API, from which doctor reads bindings; "
        "without it the broker's host with port 15672, with amqps 15671",
    )

    @property
    def embedded(self) -> bool:
        """True where the queue is a database file of our own."""
        return self.address == "embedded:"
