"""A processor over real folders, with media tools and encryption that only pretend."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from sfu_wrapper.adapters.os.clock import ManualClock
from sfu_wrapper.adapters.storage.local import HIDDEN, Folders, LocalStorage
from sfu_wrapper.core.plan import AudioSource, Composition, OutputRules, Rotation
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.model.identity import ConfbridgeId, RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import SegmentInfo
from sfu_wrapper.ports.media_tools import PreparedVideo, Progress
from sfu_wrapper.service.worker.processor import Processor

START_MS = 1_590_392_548_000

ALICE, BOB = UserId("alice"), UserId("bob")

MERGED = {"rec-uuid-bridge-1.webm", "rec-uuid-bridge-1.jpg"}

RULES = OutputRules("vp8", "low", "rec-{{uuid}}-{{confbridgeid}}", split=False, mix_limit=9)


def write(target: Path, content: str) -> None:
    target.write_text(content)


class PretendedTools:
    """Every raw file lasts for the whole segment; every result says what made it."""

    def __init__(self) -> None:
        self.plans: list[Composition] = []
        self.broken: Stage | None = None  # the stage that fails
        self.clock_error_us = 0
        self.late: str | None = None  # a file whose media begins after the segment
        self.empty: set[str] = set()
        self.deaf: JobFailed | None = None

    async def preprocess(
        self, source: Path, target_dir: Path, *, timeout_s: float
    ) -> PreparedVideo | None:
        self._maybe_break(Stage.PREPROCESS)
        if source.name in self.empty:
            return None
        zero_us = START_MS * 1000 + self.clock_error_us
        zero_us += 11_000_000 if source.name == self.late else 0
        return PreparedVideo(
            target_dir / f"{source.name}.webm", "vp8", zero_us, 0, 10_000_000,
            notes=("it was damaged",), turns=(Rotation(0, 90),),
        )  # fmt: skip

    async def audio_us(self, source: Path, *, timeout_s: float) -> int:
        if self.deaf is not None:
            raise self.deaf
        return 0 if source.name in self.empty else 10_000_000

    async def compose(
        self,
        plan: Composition,
        target: Path,
        progress: Progress,
        *,
        poster: Path | None = None,
        timeout_s: float,
    ) -> tuple[int, ...]:
        self._maybe_break(Stage.COMPOSE)
        self.plans.append(plan)
        progress(50)
        write(target, "merged")
        if poster is not None:
            write(poster, "poster")
        return tuple(range(1, 1 + len(plan.sources)))

    async def copy_video(self, source: PreparedVideo, target: Path, *, timeout_s: float) -> None:
        self._maybe_break(Stage.SPLIT)
        write(target, source.path.name)

    async def write_audio(
        self, mixes: Sequence[AudioSource], duration_us: int, target: Path, *, timeout_s: float
    ) -> None:
        write(target, f"{len(mixes)} sounds, {duration_us} us")

    def _maybe_break(self, stage: Stage) -> None:
        if self.broken == stage:
            raise JobFailed(stage, JobCode.MEDIA_CRASH, "it broke", permanent=False)


class FakeEncryptor:
    """Encrypts by saying so."""

    usable = True

    async def check(self) -> int | None:
        if not self.usable:
            raise JobFailed(Stage.ENCRYPT, JobCode.KEY_UNUSABLE, "no key", permanent=True)
        return None

    async def encrypt(self, source: Path, target: Path, *, timeout_s: float) -> None:
        write(target, f"encrypted {source.name}")


class Place:
    """Folders with the raw files of ``INFO``, and a processor on them."""

    def __init__(self, root: Path) -> None:
        self.raw, self.out = root / "raw", root / "out"
        self.raw.mkdir()
        for name in ("a.mjr", "b.mjr", "mix.wav"):
            (self.raw / name).write_text(name)
        self.tools = PretendedTools()
        self.encryptor = FakeEncryptor()
        self.storage = LocalStorage(Folders(self.raw, self.raw, self.out, root / "plain"))

    def processor(
        self,
        rules: OutputRules = RULES,
        encryptor: FakeEncryptor | None = None,
        *,
        keeps_events: bool = True,
        store_url: str | None = None,
    ) -> Processor:
        return Processor(
            self.tools,
            self.storage,
            rules,
            ManualClock(),
            encryptor,
            keeps_events=keeps_events,
            store_url=store_url,
        )

    def delivered(self) -> set[str]:
        files = (path.relative_to(self.out) for path in self.out.rglob("*") if path.is_file())
        return {str(path) for path in files if path.parts[0] != HIDDEN}


def camera(name: str, user: UserId, stream: Stream = Stream.CAMERA) -> RawFile:
    return RawFile(name, stream, START_MS, START_MS + 10_000, user=user)


INFO = SegmentInfo(
    room=RoomId("room"),
    uuid=RoomUuid("uuid"),
    confbridge_id=ConfbridgeId("bridge"),
    segment=SegmentNo(1),
    started_ms=START_MS,
    completed_ms=START_MS + 10_000,
    video=(camera("a.mjr", ALICE), camera("b.mjr", BOB, Stream.SCREEN)),
    audio=(RawFile("mix.wav", Stream.AUDIO, START_MS, mixer="audiobridge", delay_ms=122),),
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
