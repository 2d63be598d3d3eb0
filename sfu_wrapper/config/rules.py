"""Rules between keys: forbidden combinations, and combinations that deserve a warning.

Pure: checks a whole configuration; each single value is already valid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.plan import MAX_TILES
from sfu_wrapper.core.policy import PstnConflict
from sfu_wrapper.model.codecs import VIDEO_INPUT

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SHORT_SECRET_BYTES = 32  # RFC 7518, section 3.2: no shorter than the hash


@dataclass(frozen=True, slots=True)
class Conflict:
    """Forbidden combination of values.

    Attributes:
        keys: names of the keys involved; the first one is the one to change.
        text: the rule.
    """

    keys: tuple[str, ...]
    text: str


def conflicts(settings: Settings) -> Iterator[Conflict]:
    """Yield every combination that prevents a start."""
    yield from _auth_conflicts(settings)
    yield from _queue_conflicts(settings)
    yield from _janus_conflicts(settings)
    yield from _asterisk_conflicts(settings)
    recording, websocket, trunk = settings.recording, settings.websocket, settings.trunk
    if recording.should_encrypt and recording.encryption_mail is None:
        yield Conflict(("encryption_mail", "should_encrypt"), "required with should_encrypt")
    if settings.storage.endpoint_url is not None and settings.storage.url == "file:":
        keys = ("storage.url", "storage.endpointUrl")
        yield Conflict(keys, "storage.endpointUrl requires a bucket, such as s3://recordings")
    if websocket.max_gateway_frame_bytes < websocket.max_message_bytes:
        keys = ("websocket.maxGatewayFrameBytes", "websocket.maxMessageBytes")
        yield Conflict(keys, "a gateway frame must have room for a message")
    if settings.http.max_requests >= settings.http.max_connections:
        keys = ("http.maxRequests", "http.maxConnections")
        yield Conflict(keys, "maxRequests must be lower, to leave places for new connections")
    if _pstn_is_never_recorded(settings) and trunk.conflict is PstnConflict.REFUSE:
        keys = ("trunk.recordIncomingPSTN", "recordRecordingAtStart")
        text = (
            "recordIncomingPSTN = true with recordRecordingAtStart = false: "
            "incoming calls could never be recorded, and trunk.conflict = refuse"
        )
        yield Conflict(keys, text)


def warnings(settings: Settings) -> Iterator[str]:
    """Yield every combination that deserves a warning but does not prevent a start."""
    recording, auth = settings.recording, settings.auth
    if _pstn_is_never_recorded(settings) and settings.trunk.conflict is PstnConflict.WARN:
        yield (
            "trunk.recordIncomingPSTN = true with recordRecordingAtStart = false: "
            "incoming calls are never recorded (see trunk.conflict)"
        )
    if recording.mix_limit > MAX_TILES:
        yield f"mix_limit = {recording.mix_limit}: above {MAX_TILES} the output is always split"
    if not any(field in recording.fileformat for field in ("{{uuid}}", "{{confbridgeid}}")):
        yield "fileformat: with neither {{uuid}} nor {{confbridgeid}} names are not unique"
    if auth.secret and len(auth.secret.get_secret_value().encode()) < SHORT_SECRET_BYTES:
        yield f"auth.secret: shorter than {SHORT_SECRET_BYTES} bytes: it can be guessed"
    if auth.jwks_url and auth.jwks_url.startswith("http://"):
        yield "auth.jwksUrl: without https an attacker on the network can supply other keys"
    if _crosses_network_unencrypted(settings.storage.endpoint_url):
        yield "storage.endpointUrl: without https recordings cross the network unencrypted"
    if settings.asterisk.trunk_domain is not None and settings.media.mixer != "asterisk":
        yield "asterisk.trunkDomain: ignored unless media.mixer = asterisk"
    if recording.preprocessor == "janus-pp-rec":
        for codec in settings.janus.video_codecs:
            if not VIDEO_INPUT[codec].janus_pp_rec:
                yield f"janus.videoCodecs: {codec} with preprocessor = janus-pp-rec may fail"
    if (auth.public_key_file or auth.jwks_url) and auth.audience is None:
        yield "auth.audience: not set: tokens issued for other services are accepted too"


def _crosses_network_unencrypted(url: str | None) -> bool:
    return url is not None and url.startswith("http://") and urlsplit(url).hostname not in LOOPBACK


def _pstn_is_never_recorded(settings: Settings) -> bool:
    return settings.trunk.record_incoming_pstn and not settings.record_recording_at_start


def _auth_conflicts(settings: Settings) -> Iterator[Conflict]:
    auth = settings.auth
    given = {
        "auth.secret": auth.secret,
        "auth.publicKeyFile": auth.public_key_file,
        "auth.jwksUrl": auth.jwks_url,
    }
    names = tuple(name for name, value in given.items() if value is not None)
    if len(names) > 1:
        yield Conflict(names, "only one of secret, publicKeyFile and jwksUrl may be given")
    elif names and any((name == "HS256") != bool(auth.secret) for name in auth.algorithms):
        text = "HS256 requires secret, and secret allows no other algorithm"
        yield Conflict(("auth.algorithms", *names), text)


def _asterisk_conflicts(settings: Settings) -> Iterator[Conflict]:
    if settings.media.mixer == "asterisk" and settings.asterisk.secret is None:
        text = "required with media.mixer = asterisk"
        yield Conflict(("asterisk.secret", "media.mixer"), text)


def _janus_conflicts(settings: Settings) -> Iterator[Conflict]:
    media = settings.media
    for key, value, real in (
        ("media.sfu", media.sfu, "janus"),
        ("media.mixer", media.mixer, "audiobridge"),
    ):
        if value == real and settings.janus.room_secret is None:
            yield Conflict(("janus.roomSecret", key), f"required with {key} = {real}")
            return


def _queue_conflicts(settings: Settings) -> Iterator[Conflict]:
    recording = settings.recording
    queues = {
        "processing_queue": recording.processing_queue,
        "processed_queue": recording.processed_queue,
        "failure_queue": recording.failure_queue,
        "deletion_queue": recording.deletion_queue,
        "index_queue": recording.index_queue,
    }
    if len(set(queues.values())) < len(queues):
        yield Conflict(tuple(queues), "the five queues need five names")
