"""Media planes built from the configuration: SFU and mixer are independent choices."""

import secrets
from pathlib import Path

from sfu_wrapper.adapters.asterisk.ami import AmiSettings
from sfu_wrapper.adapters.asterisk.folder import Folder as AsteriskFolder
from sfu_wrapper.adapters.asterisk.plane import AsteriskPlane, AsteriskSettings
from sfu_wrapper.adapters.janus.audiobridge import AudioBridge
from sfu_wrapper.adapters.janus.plane import audio_plane, video_plane
from sfu_wrapper.adapters.janus.room import MakeRoom
from sfu_wrapper.adapters.janus.session import JanusAddress
from sfu_wrapper.adapters.janus.settings import Folder, JanusSettings
from sfu_wrapper.adapters.janus.videoroom import VideoRoom
from sfu_wrapper.adapters.janus.webrtc import JanusBrowsers
from sfu_wrapper.adapters.planes.composite_plane import PairedPlane
from sfu_wrapper.adapters.planes.null_plane import NoPlane
from sfu_wrapper.adapters.simulated.faults import Faults
from sfu_wrapper.adapters.simulated.plane import SimulatedPlane
from sfu_wrapper.config.section import reveal
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.ports.media_plane import BrowserMedia, MediaPlane, Trunk
from sfu_wrapper.ports.system import Clock


def media_plane(settings: Settings, clock: Clock) -> MediaPlane:
    """Return the plane of SFU and mixer. Raises Misconfigured for an unsupported one."""
    sfu, mixer = settings.media.sfu, settings.media.mixer
    if sfu == mixer:
        return _plane(sfu, settings, clock)
    return PairedPlane(
        video=_plane(sfu, settings, clock),
        audio=_plane(mixer, settings, clock),
    )


def browser_media(settings: Settings) -> BrowserMedia | None:
    """Return the WebRTC access of browsers; None without a real SFU."""
    if settings.media.sfu != "janus":
        return None
    return JanusBrowsers(janus_address(settings), mixes=settings.media.mixer == "audiobridge")


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


def _plane(name: str, settings: Settings, clock: Clock) -> MediaPlane:
    match name:
        case "none":
            return NoPlane(clock)
        case "simulated":
            recording = settings.recording
            return SimulatedPlane(
                recording.recordings_path,
                recording.audio_path,
                token=secrets.token_hex(4),
                faults=Faults.parse(settings.media.simulated_faults or ""),
            )
        case "asterisk":
            return AsteriskPlane(asterisk_settings(settings), clock)
        case "janus":
            return video_plane(_janus(settings, _video_folder(settings)))
        case "audiobridge":
            return audio_plane(_janus(settings, _audio_folder(settings)))
        case _:
            raise Misconfigured(f"media: this version does not drive {name}")


def janus_address(settings: Settings) -> JanusAddress:
    """Return the address and the API secret of Janus."""
    return JanusAddress(settings.janus.url, reveal(settings.janus.api_secret))


def janus_room_makers(settings: Settings) -> dict[str, tuple[MakeRoom, Path, Path]]:
    """Return by plugin in use: a room factory, and its folder as seen by us and by Janus."""
    found: dict[str, tuple[MakeRoom, Path, Path]] = {}
    if settings.media.sfu == "janus":
        video = _janus(settings, _video_folder(settings))
        folder = video.folder
        found["VideoRoom"] = lambda name: VideoRoom(name, video), folder.ours, folder.janus
    if settings.media.mixer == "audiobridge":
        audio = _janus(settings, _audio_folder(settings))
        folder = audio.folder
        found["AudioBridge"] = lambda name: AudioBridge(name, audio), folder.ours, folder.janus
    return found


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
