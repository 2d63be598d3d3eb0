"""Step 3 of processing: the plan becomes files in the workplace, named, encrypted where asked.

Nothing here stands in the destination yet; ``Product`` says what is to stand there.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sfu_wrapper.core import naming
from sfu_wrapper.core.chapters import chapters
from sfu_wrapper.core.estimate import copying_s, encrypting_s, merged_bytes, merging_s, mix_bytes
from sfu_wrapper.core.intervals import Interval
from sfu_wrapper.core.naming import VideoName
from sfu_wrapper.core.plan import OutputRules, compose
from sfu_wrapper.model.ids import UserId
from sfu_wrapper.model.outcome import FileKind, FinishedFile, TrackSync
from sfu_wrapper.model.recording import SegmentInfo
from sfu_wrapper.ports.encryption import Encryptor
from sfu_wrapper.ports.media import MediaTools
from sfu_wrapper.ports.storage import Measured, RecordingStorage, Workspace
from sfu_wrapper.service.course import Course, Work
from sfu_wrapper.service.ingest import Material, Video
from sfu_wrapper.wire.splitfile import SplitPart, encode_split

log = logging.getLogger(__name__)

_ENCRYPTED = ".gpg"
_TIMEOUT_S, _TIMEOUT_PER_S = 120.0, 4.0  # nine streams take a fifth of their length at worst


@dataclass(frozen=True, slots=True)
class Product:
    """One file ready to be delivered under a claimed name."""

    staged: Path
    name: str
    kind: FileKind
    measured: Measured

    def finished(self, shelf: RecordingStorage) -> FinishedFile:
        """As it is told once it stands."""
        filename = str(shelf.final(self.name))
        return FinishedFile(filename, self.kind, self.measured.size_bytes, self.measured.sha256)


@dataclass(frozen=True, slots=True)
class _Plain:
    """One file in the workplace, as it is before encryption. foreseen_bytes: about how large."""

    file: Path
    name: str
    kind: FileKind
    foreseen_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Made:
    """All products of one segment, and the sync report with what making them has shown."""

    products: tuple[Product, ...] = ()
    sync: tuple[TrackSync, ...] = ()


class Workshop:
    """Makes the products of one segment, in one workplace."""

    def __init__(
        self,
        tools: MediaTools,
        shelf: RecordingStorage,
        vault: Encryptor | None,
        rules: OutputRules,
        place: Workspace,
        course: Course,
        *,
        job: str,
        info: SegmentInfo,
    ) -> None:
        self._tools = tools
        self._shelf = shelf
        self._vault = vault
        self._rules = rules
        self._place = place
        self._course = course
        self._job = job
        self._info = info
        self._duration_us = (info.completed_ms - info.started_ms) * 1000
        self._timeout_s = _TIMEOUT_S + _TIMEOUT_PER_S * self._duration_us / 1_000_000

    async def merged(self, material: Material, cut: Sequence[Interval]) -> Made:
        """The matrix with the mix and its poster; the mix alone where there is no picture."""
        stems = (self._stem(distinct) for distinct in naming.further_stems(self._info))
        length_ms = self._duration_us // 1000
        shown_ms = sum(len(one.tracks) * (one.stop_us - one.start_us) for one in cut) // 1000
        self._course.expect("compose", merging_s(length_ms, shown_ms))
        self._course.reached("compose", 0)
        if not material.shown:
            plain = self._place.plain / "merged.wav"
            (name,) = await self._claim((f"{stem}.wav",) for stem in stems)
            await self._write_sound(material, plain)
            made = [_Plain(plain, name, FileKind.AUDIO, mix_bytes(length_ms))]
            return Made(await self._products(made), material.sync)
        plain, poster = self._place.plain / "merged.webm", self._place.plain / "merged.jpg"
        names = await self._claim((f"{stem}.webm", f"{stem}.jpg") for stem in stems)
        repeated = await self._compose(material, cut, plain, poster)
        products = await self._products(
            [
                _Plain(plain, names[0], FileKind.MERGED, merged_bytes(self._rules, length_ms)),
                _Plain(poster, names[1], FileKind.POSTER),
            ]
        )
        return Made(products, _counted(material.sync, repeated))

    async def split(self, material: Material) -> Made:
        """A file a stream, the mix, and the JSON that relates them."""
        names = await self._claim(
            self._split_names(material, distinct) for distinct in naming.further_stems(self._info)
        )
        *media_names, json_name = names
        self._course.expect("compose", 0)
        made = await self._split_media(material, media_names)
        products = await self._products(made)
        plain = self._place.plain / "split.json"
        await self._shelf.write("split", plain, self._json(material, products))
        related = await self._product(_Plain(plain, json_name, FileKind.METADATA))
        return Made((*products, related), material.sync)

    async def _split_media(self, material: Material, names: Sequence[str]) -> list[_Plain]:
        """In the order of ``names``: the videos, and the mix if there is one."""
        pieces: list[tuple[Work[_Plain], float]] = [
            (partial(self._copied, number, video, names[number]), copying_s(video.raw_bytes))
            for number, video in enumerate(material.videos)
        ]
        if material.sounds:
            size = mix_bytes(self._duration_us // 1000)
            pieces.append((partial(self._mix, material, names[-1], size), copying_s(size)))
        return await self._course.side_by_side("split", pieces)

    async def _copied(self, number: int, video: Video, name: str) -> _Plain:
        plain = self._place.plain / f"{number}{video.prepared.path.suffix}"
        await self._tools.copy_video(video.prepared, plain, timeout_s=self._timeout_s)
        return _Plain(plain, name, FileKind.VIDEO, video.raw_bytes)

    async def _mix(self, material: Material, name: str, size: int) -> _Plain:
        plain = self._place.plain / "mix.wav"
        await self._write_sound(material, plain)
        return _Plain(plain, name, FileKind.AUDIO, size)

    async def _compose(
        self,
        material: Material,
        cut: Sequence[Interval],
        target: Path,
        poster: Path,
    ) -> tuple[int, ...]:
        plan = compose(
            self._rules,
            self._duration_us,
            material.sources(self._info),
            cut,
            material.sounds,
            chapters(self._info, [video.held.file for video in material.videos], cut),
        )
        return await self._tools.compose(
            plan,
            target,
            lambda percent: self._course.reached("compose", percent),
            poster=poster,
            timeout_s=self._timeout_s,
        )

    async def _write_sound(self, material: Material, target: Path) -> None:
        await self._tools.write_sound(
            material.sounds, self._duration_us, target, timeout_s=self._timeout_s
        )

    async def _products(self, made: Sequence[_Plain]) -> tuple[Product, ...]:
        if self._vault is None:
            return tuple([await self._product(one) for one in made])
        pieces = ((one, encrypting_s(one.foreseen_bytes)) for one in made)
        return tuple([await self._product(one) for one in self._course.through("encrypt", pieces)])

    async def _product(self, made: _Plain) -> Product:
        staged = made.file
        if self._vault is not None:
            staged = self._place.staging / f"{made.file.name}{_ENCRYPTED}"
            final = self._shelf.final(made.name.removesuffix(_ENCRYPTED))
            log.debug("Trying to encrypt file: %s", final)
            await self._vault.encrypt(made.file, staged, timeout_s=self._timeout_s)
        return Product(staged, made.name, made.kind, await self._shelf.measure(staged))

    async def _claim(self, choices: Iterable[Sequence[str]]) -> tuple[str, ...]:
        ending = "" if self._vault is None else _ENCRYPTED
        return await self._shelf.claim(
            self._job, ([name + ending for name in names] for names in choices)
        )

    def _stem(self, distinct: str) -> str:
        return naming.stem(self._rules.fileformat, self._info, distinct)

    def _split_names(self, material: Material, distinct: str) -> list[str]:
        """Of all files in the order of delivery: the videos, the mix if there is one, the JSON."""
        folder, stem = naming.folder(self._info), self._stem(distinct)
        owners = [_owner(video) for video in material.videos]
        stems = naming.video_stems(self._rules.fileformat, self._info, owners, distinct)
        videos = zip(stems, material.videos, strict=True)
        names = [f"{name}{video.prepared.path.suffix}" for name, video in videos]
        names += [f"{stem}.wav"] if material.sounds else []
        return [f"{folder}/{name}" for name in (*names, f"{stem}.json")]

    def _json(self, material: Material, products: Sequence[Product]) -> bytes:
        """``products``: what is delivered beside it, in the order of ``_split_names``."""
        videos = [
            self._part(product, *material.shown_ms(track), video)
            for track, (product, video) in enumerate(zip(products, material.videos, strict=False))
        ]
        audio = None
        if material.sounds:
            audio = self._part(products[-1], self._info.started_ms, self._info.completed_ms)
        return encode_split(self._info, videos, audio, material.sync)

    def _part(
        self, product: Product, started_ms: int, stopped_ms: int, video: Video | None = None
    ) -> SplitPart:
        return SplitPart(
            filename=str(self._shelf.final(product.name)),
            size_bytes=product.measured.size_bytes,
            started_ms=started_ms,
            stopped_ms=stopped_ms,
            user=video.held.file.user if video else None,
        )


def _owner(video: Video) -> VideoName:
    file = video.held.file
    return VideoName(file.user or UserId(""), file.stream)


def _counted(sync: Sequence[TrackSync], repeated: Sequence[int]) -> tuple[TrackSync, ...]:
    """With what the composition counted, for the first of them: the videos."""
    counted = [replace(one, frames_repeated=n) for one, n in zip(sync, repeated, strict=False)]
    return (*counted, *sync[len(counted) :])
