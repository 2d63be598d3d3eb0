"""The media plane made from the configuration: the SFU and the mixer are chosen apart."""

import secrets

from sfu_wrapper.adapters.janus.browsers import JanusBrowsers
from sfu_wrapper.adapters.janus.session import JanusAddress
from sfu_wrapper.adapters.noplane import NoPlane
from sfu_wrapper.adapters.pairedplane import PairedPlane
from sfu_wrapper.adapters.simulated.faults import Faults
from sfu_wrapper.adapters.simulated.plane import SimulatedPlane
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.ports.browsermedia import BrowserMedia
from sfu_wrapper.ports.clock import Clock
from sfu_wrapper.ports.plane import MediaPlane


def media_plane(settings: Settings, clock: Clock) -> MediaPlane:
    """The SFU and the mixer. Raises Misconfigured for what this version cannot drive."""
    sfu, mixer = settings.media.sfu, settings.media.mixer
    if sfu == mixer:
        return _plane(sfu, settings, clock)
    return PairedPlane(
        video=_plane(sfu, settings, clock),
        audio=_plane(mixer, settings, clock),
    )


def browser_media(settings: Settings) -> BrowserMedia | None:
    """How browsers reach the SFU and the mixer; None where there is nothing real to reach."""
    if settings.media.sfu != "janus":
        return None
    secret = settings.janus.api_secret
    address = JanusAddress(
        settings.janus.url, None if secret is None else secret.get_secret_value()
    )
    return JanusBrowsers(address, mixes=settings.media.mixer == "audiobridge")


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
        case _:
            raise Misconfigured(f"media: this version does not drive {name}")
