"""Registry of the media planes. SFU and mixer are independent choices of the configuration.

``PLANES`` has what the rest of the program knows of a plane: a new one is added there.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.adapters.asterisk import inspect as inspect_asterisk
from sfu_wrapper.adapters.asterisk.ami import AmiSettings
from sfu_wrapper.adapters.asterisk.folder import Folder as AsteriskFolder
from sfu_wrapper.adapters.asterisk.plane import AsteriskPlane, AsteriskSettings
from sfu_wrapper.adapters.janus import inspect as inspect_janus
from sfu_wrapper.adapters.janus.audiobridge import AudioBridge
from sfu_wrapper.adapters.janus.inspect import Plugin
from sfu_wrapper.adapters.janus.plane import audio_plane, video_plane
from sfu_wrapper.adapters.janus.session import JanusAddress
from sfu_wrapper.adapters.janus.settings import Folder, JanusSettings
from sfu_wrapper.adapters.janus.videoroom import VideoRoom
from sfu_wrapper.adapters.janus.webrtc import JanusBrowsers
from sfu_wrapper.adapters.planes.composite_plane import NoPlane, PairedPlane
from sfu_wrapper.adapters.simulated.faults import Faults
from sfu_wrapper.adapters.simulated.plane import SimulatedPlane
from sfu_wrapper.config.controller import Mixer, Sfu
from sfu_wrapper.config.section import reveal
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.model.media import Medium
from sfu_wrapper.observe.findings import Finding
from sfu_wrapper.ports.media_plane import BrowserMedia, MediaPlane, Trunk
from sfu_wrapper.ports.system import Clock

Check = Callable[[Settings], AsyncIterator[Finding]]


def media_plane(settings: Settings, clock: Clock) -> MediaPlane:
    """Return the plane of SFU and mixer. Raises Misconfigured if it cannot be built."""
    sfu, mixer = settings.media.sfu, settings.media.mixer
    if sfu == mixer:
        return PLANES[sfu].build(settings, clock)
    return PairedPlane(
        video=PLANES[sfu].build(settings, clock),
        audio=PLANES[mixer].build(settings, clock),
    )


def browser_media(settings: Settings) -> BrowserMedia | None:
    """Return the WebRTC access of browsers; None if the SFU offers none."""
    browsers = PLANES[settings.media.sfu].browsers
    return None if browsers is None else browsers(settings)


def authoritative_media(settings: Settings) -> frozenset[Medium]:
    """Return the media for which the plane itself reports the publishers."""
    chosen = {Medium.VIDEO: settings.media.sfu, Medium.AUDIO: settings.media.mixer}
    return frozenset(medium for medium, name in chosen.items() if PLANES[name].authoritative)


def server_checks() -> dict[str, Check]:
    """Return the checks of ``doctor`` by the name of the server, in the order of the report."""
    return {one.name: one.check for plane in PLANES.values() if (one := plane.server) is not None}


def trunk_of(plane: MediaPlane, settings: Settings) -> Trunk | None:
    """Return the source of incoming calls; None where no domain is configured for them."""
    mixer = plane.audio if isinstance(plane, PairedPlane) else plane
    wanted = settings.asterisk.trunk_domain is not None
    return mixer if wanted and isinstance(mixer, AsteriskPlane) else None


def asterisk_settings(settings: Settings) -> AsteriskSettings:
    """Return the address of Asterisk and the folder of its files."""
    ours, audio = settings.asterisk, settings.recording.audio_path.absolute()
    secret = ours.secret.get_secret_value() if ours.secret is not None else ""
    return AsteriskSettings(
        AmiSettings(
            ours.host,
            ours.port,
            ours.user,
            secret,
            timeout_s=settings.media.timeout_seconds / 2,  # a start takes an answer and a look
        ),
        AsteriskFolder(audio if ours.folder_shared else None, ours.audio_path or str(audio)),
        delay_ms=ours.delay_ms,
        trunk_context=ours.trunk_context if ours.trunk_domain is not None else None,
    )


def janus_address(settings: Settings) -> JanusAddress:
    """Return the address and the API secret of Janus."""
    return JanusAddress(settings.janus.url, reveal(settings.janus.api_secret))


def _janus_plugins(settings: Settings) -> Iterator[Plugin]:
    if settings.media.sfu == "janus":
        video = _janus(settings, _video_folder(settings))
        yield Plugin("VideoRoom", lambda name: VideoRoom(name, video), video.folder)
    if settings.media.mixer == "audiobridge":
        audio = _janus(settings, _audio_folder(settings))
        yield Plugin("AudioBridge", lambda name: AudioBridge(name, audio), audio.folder)


def _janus(settings: Settings, folder: Folder) -> JanusSettings:
    janus = settings.janus
    room_secret = reveal(janus.room_secret)
    if room_secret is None:  # config.rules says so before
        raise Misconfigured("janus.roomSecret: required with Janus")
    return JanusSettings(
        janus_address(settings),
        folder,
        room_secret,
        admin_key=reveal(janus.admin_key),
        video_codecs=janus.video_codecs,
        publishers=janus.publishers,
        bitrate=janus.bitrate,
        sampling_rate=janus.sampling_rate,
        delay_ms=janus.delay_ms,
    )


def _video_folder(settings: Settings) -> Folder:
    ours = settings.recording.recordings_path.absolute()
    return Folder(ours, settings.janus.recordings_path or ours)


def _audio_folder(settings: Settings) -> Folder:
    ours = settings.recording.audio_path.absolute()
    return Folder(ours, settings.janus.audio_path or ours)


def _simulated(settings: Settings, _: Clock) -> SimulatedPlane:
    recording = settings.recording
    return SimulatedPlane(
        recording.recordings_path,
        recording.audio_path,
        token=secrets.token_hex(4),
        faults=Faults.parse(settings.media.simulated_faults or ""),
    )


def _janus_browsers(settings: Settings) -> JanusBrowsers:
    return JanusBrowsers(janus_address(settings), mixes=settings.media.mixer == "audiobridge")


async def _check_janus(settings: Settings) -> AsyncIterator[Finding]:
    if plugins := tuple(_janus_plugins(settings)):
        async for finding in inspect_janus.check(janus_address(settings), plugins):
            yield finding


async def _check_asterisk(settings: Settings) -> AsyncIterator[Finding]:
    if settings.media.mixer == "asterisk":
        asterisk = asterisk_settings(settings)
        async for finding in inspect_asterisk.check(asterisk.ami, asterisk.folder):
            yield finding


@dataclass(frozen=True, slots=True)
class Server:
    """Server that planes are on.

    Attributes:
        name: one word, as in the report of ``doctor``.
        check: yields what ``doctor`` reports; nothing where no plane on it is configured.
    """

    name: str
    check: Check


@dataclass(frozen=True, slots=True)
class Plane:
    """Meaning of one value of ``media.sfu`` or ``media.mixer``.

    Attributes:
        build: builds the plane.
        server: server that ``doctor`` checks; None only with a caution.
        caution: warning and advice of ``doctor`` where no server of ours records real calls.
        browsers: builds the WebRTC access of browsers; None if there is none.
        authoritative: True where the plane reports the publishers, and clients need not.
    """

    build: Callable[[Settings, Clock], MediaPlane]
    server: Server | None = None
    caution: tuple[str, str] | None = None
    browsers: Callable[[Settings], BrowserMedia] | None = None
    authoritative: bool = False


_JANUS: Final = Server("janus", _check_janus)
_ASTERISK: Final = Server("asterisk", _check_asterisk)

PLANES: Final[dict[Sfu | Mixer, Plane]] = {
    "none": Plane(
        lambda _, clock: NoPlane(clock),
        caution=("is managed by another system, which must record", "verify that it records"),
    ),
    "simulated": Plane(
        _simulated,
        caution=("is simulated: its media are synthetic", "configure a real one for real calls"),
    ),
    "janus": Plane(
        lambda settings, _: video_plane(_janus(settings, _video_folder(settings))),
        _JANUS,
        browsers=_janus_browsers,
        authoritative=True,
    ),
    "audiobridge": Plane(
        lambda settings, _: audio_plane(_janus(settings, _audio_folder(settings))),
        _JANUS,
        authoritative=True,
    ),
    "asterisk": Plane(
        lambda settings, clock: AsteriskPlane(asterisk_settings(settings), clock), _ASTERISK
    ),
}
"""All planes; ``config.controller`` has the same names."""
