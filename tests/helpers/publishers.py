"""People with a camera and a microphone at a real Janus, played by aiortc.

Everybody has a colour and a tone of their own, so that one can see and hear in a recording who it
was. Works inside of ``helpers.janus.private_network`` alone.
"""

import asyncio
import fractions
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aioice.ice
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from av import AudioFrame, VideoFrame

from sfu_wrapper.adapters.janus.session import (
    AUDIO_BRIDGE,
    VIDEO_ROOM,
    Handle,
    JanusAddress,
    JanusSession,
    open_session,
)
from tests.helpers.janus import HOST

FPS = 15
RATE_HZ = 48_000
_UNWANTED = ("a=fingerprint:sha-384", "a=fingerprint:sha-512")  # Janus takes the first for all

# aioice leaves loopback addresses out, and here is no other.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [HOST]


class Camera(MediaStreamTrack):
    """Snow of one colour (Y, U, V): what does not change would take hardly any bytes."""

    kind = "video"

    def __init__(self, colour: tuple[int, int, int], size: tuple[int, int] = (160, 120)) -> None:
        super().__init__()
        self._begun_s: float | None = None
        self._count = 0
        width, height = size
        flat = [(height, colour[0]), (height // 4, colour[1]), (height // 4, colour[2])]
        planes = [np.full((rows, width), value, np.uint8) for rows, value in flat]
        dice = np.random.default_rng(1)
        self._frames = [
            np.concatenate(
                [planes[0] + dice.integers(0, 20, (height, width), np.uint8), *planes[1:]]
            )
            for _ in range(8)
        ]

    async def recv(self) -> VideoFrame:
        """The next frame when it is due."""
        self._begun_s = self._begun_s or time.monotonic()
        await asyncio.sleep(max(0, self._begun_s + self._count / FPS - time.monotonic()))
        image = self._frames[self._count % len(self._frames)]
        frame = VideoFrame.from_ndarray(image, format="yuv420p")
        frame.pts, frame.time_base = self._count * 90_000 // FPS, fractions.Fraction(1, 90_000)
        self._count += 1
        return frame


class Tone(MediaStreamTrack):
    """A sine of one frequency."""

    kind = "audio"

    def __init__(self, hertz: float) -> None:
        super().__init__()
        self._begun_s: float | None = None
        self._samples = 0
        self._hertz = hertz

    async def recv(self) -> AudioFrame:
        """The next 20 ms when they are due."""
        self._begun_s = self._begun_s or time.monotonic()
        await asyncio.sleep(max(0, self._begun_s + self._samples / RATE_HZ - time.monotonic()))
        at = (self._samples + np.arange(RATE_HZ // 50)) / RATE_HZ
        audio = (np.sin(2 * np.pi * self._hertz * at) * 8000).astype(np.int16)
        frame = AudioFrame.from_ndarray(audio.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        frame.pts, frame.time_base = self._samples, fractions.Fraction(1, RATE_HZ)
        self._samples += RATE_HZ // 50
        return frame


class Person:
    """One connection to Janus and what it publishes over it."""

    def __init__(self, session: JanusSession) -> None:
        self._session = session
        self._peers: dict[str, tuple[Handle, RTCPeerConnection]] = {}

    async def send_video(
        self,
        room: str,
        publisher: str,
        camera: MediaStreamTrack,
        codec: str = "VP8",
        name: str = "",
        audio: MediaStreamTrack | None = None,
    ) -> None:
        """Publish a camera or screen in a VideoRoom; returns once media may flow.

        name: for ``stop`` and ``leave``; the publisher's id, where nothing else is said.
        sound: sent along, which nobody should do.
        """
        handle = await self._session.attach(VIDEO_ROOM)
        await handle.request(
            {"request": "join", "ptype": "publisher", "room": room, "id": publisher}
        )
        request = {"request": "publish"}
        await self._publish(name or publisher, handle, camera, request, codec, audio)

    async def request(self, publisher: str, body: dict[str, Any]) -> dict[str, object]:
        """Ask Janus something as this publisher."""
        handle, _ = self._peers[publisher]
        return await handle.request(body)

    async def speak(
        self, room: str, publisher: str, tone: MediaStreamTrack, name: str = ""
    ) -> None:
        """Be heard in an AudioBridge room."""
        handle = await self._session.attach(AUDIO_BRIDGE)
        await handle.request({"request": "join", "room": room, "id": publisher})
        await self._publish(name or f"{publisher} voice", handle, tone, {"request": "configure"})

    async def stop(self, publisher: str) -> None:
        """Publish it no longer, and stay in the room."""
        _, peer = self._peers.pop(publisher)
        await peer.close()

    async def leave(self, publisher: str) -> None:
        """Go."""
        handle, peer = self._peers.pop(publisher)
        await peer.close()  # first, or it would close itself at the same time
        await handle.detach()

    async def close(self) -> None:
        """Publish nothing more."""
        for _, peer in self._peers.values():
            await peer.close()

    async def _publish(
        self,
        name: str,
        handle: Handle,
        track: MediaStreamTrack,
        body: dict[str, Any],
        codec: str | None = None,
        audio: MediaStreamTrack | None = None,
    ) -> None:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        transceiver = peer.addTransceiver(track, direction="sendonly" if codec else "sendrecv")
        if codec is not None:
            known = RTCRtpSender.getCapabilities("video").codecs
            wanted = [each for each in known if each.mimeType == f"video/{codec}"]
            transceiver.setCodecPreferences(wanted)
        if audio is not None:
            peer.addTransceiver(audio, direction="sendonly")
        self._peers[name] = handle, peer
        connected = asyncio.Event()

        @peer.on("connectionstatechange")
        def changed() -> None:
            if peer.connectionState == "connected":
                connected.set()

        await peer.setLocalDescription(await peer.createOffer())
        sdp = "\r\n".join(
            line
            for line in peer.localDescription.sdp.splitlines()
            if not line.startswith(_UNWANTED)
        )
        _, answer = await handle.negotiate(body, {"type": "offer", "sdp": sdp + "\r\n"})
        assert answer is not None
        await peer.setRemoteDescription(
            RTCSessionDescription(str(answer["sdp"]), str(answer["type"]))
        )
        async with asyncio.timeout(30):
            await connected.wait()


@asynccontextmanager
async def person(address: JanusAddress) -> AsyncIterator[Person]:
    """Somebody with a connection of their own, while the context lasts."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session(address))
        somebody = Person(session)
        stack.push_async_callback(somebody.close)
        yield somebody
