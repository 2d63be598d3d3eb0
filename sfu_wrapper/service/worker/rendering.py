"""Step 3 of processing: render the plan into named files, encrypted where configured.

The renderer reads the ``Material`` of step 2 and writes into the attempt's workspace only. It
reserves the final names and returns an ``OutputFile`` for each file; the processor then delivers
those files to the destination.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sfu_wrapper.core import naming
from sfu_wrapper.core.estimate import copying_s, encrypting_s, merged_bytes, merging_s, mix_bytes
from sfu_wrapper.core.intervals import Interval
from sfu_wrapper.core.naming import VideoName
from sfu_wrapper.core.plan import OutputRules, chapters, compose
from sfu_wrapper.core.sync import pace
from sfu_wrapper.model.errors import Stage
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.segment import FileKind, FinishedFile, SegmentInfo, TrackSync
from sfu_wrapper.ports.media_tools import MediaTools, PreparedVideo
from sfu_wrapper.ports.objects import object_url
from sfu_wrapper.ports.storage import Encryptor, Measured, RecordingStorage, Workspace
from sfu_wrapper.service.worker.ingest import Material, Video
from sfu_wrapper.service.worker.progress import ProgressTracker, Work
from sfu_wrapper.wire.split_file import SplitPart, encode_split

log = logging.getLogger(__name__)

_ENCRYPTED = ".gpg"
_TIMEOUT_S, _TIMEOUT_PER_S = 120.0, 4.0  # nine streams take a fifth of their length at worst


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file ready to be delivered under a reserved name.

    Attributes:
        staged: path of the file in the workspace.
        name: reserved name, relative to the destination.
        kind: kind of the file, as reported.
        measured: length and digest.
    """

    staged: Path
    name: str
    kind: FileKind
    measured: Measured

    def finished(self, storage: RecordingStorage, store_url: str | None) -> FinishedFile:
        """Return the file as reported in the ``processed`` message.

        Args:
            storage: the destination.
            store_url: address of the object store that it goes to; None: it stays.
        """
        filename = str(storage.final(self.name))
        url = None if store_url is None else object_url(store_url, self.name)
        of = self.measured
        return FinishedFile(filename, self.kind, of.size_bytes, of.sha256, url)


@dataclass(frozen=True, slots=True)
class _Plain:
    """A file in the workspace before encryption.

    Attributes:
        file: its path.
        name: reserved name, relative to the destination.
        kind: kind of the file, as reported.
        expected_bytes: estimated length.
    """

    file: Path
    name: str
    kind: FileKind
    expected_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RenderResult:
    """The output files of one segment, and its sync report with the repeated frames counted."""

    products: tuple[OutputFile, ...] = ()
    sync: tuple[TrackSync, ...] = ()

    @property
    def staged(self) -> tuple[tuple[Path, str], ...]:
        """Files in the workspace with their reserved names."""
        return tuple((product.staged, product.name) for product in self.products)


class Renderer:
    """Renders the output files of one segment in one workspace.

    Args:
        tools: media operations.
        storage: reserves names, measures files.
        encryptor: encrypts each file; None: files stay plain.
        rules: codec, quality and name pattern of the output.
        place: workspace of this attempt.
        progress: stages of this attempt.
        job: id of the job, owner of the reserved names.
        info: the segment.
    """

    def __init__(
        self,
        tools: MediaTools,
        storage: RecordingStorage,
        encryptor: Encryptor | None,
        rules: OutputRules,
        place: Workspace,
        progress: ProgressTracker,
        *,
        job: str,
        info: SegmentInfo,
    ) -> None:
        self._tools = tools
        self._storage = storage
        self._encryptor = encryptor
        self._rules = rules
        self._place = place
        self._progress = progress
        self._job = job
        self._info = info
        self._duration_us = (info.completed_ms - info.started_ms) * 1000
        self._timeout_s = _TIMEOUT_S + _TIMEOUT_PER_S * self._duration_us / 1_000_000

    async def merged(self, material: Material, cut: Sequence[Interval]) -> RenderResult:
        """Render the grid of all videos with the mix, and its poster.

        Where no video can be shown, render the mix alone as a WAV file.
        """
        stems = (self._stem(distinct) for distinct in naming.further_stems(self._info))
        length_ms = self._duration_us // 1000
        shown_ms = sum(len(one.tracks) * (one.stop_us - one.start_us) for one in cut) // 1000
        self._progress.expect(Stage.COMPOSE, merging_s(length_ms, shown_ms))
        self._progress.reached(Stage.COMPOSE, 0)
        if not material.shown:
            plain = self._place.plain / "merged.wav"
            (name,) = await self._reserve((f"{stem}.wav",) for stem in stems)
            await self._write_audio(material, plain)
            made = [_Plain(plain, name, FileKind.AUDIO, mix_bytes(length_ms))]
            return RenderResult(await self._outputs(made), material.sync)
        plain, poster = self._place.plain / "merged.webm", self._place.plain / "merged.jpg"
        names = await self._reserve((f"{stem}.webm", f"{stem}.jpg") for stem in stems)
        repeated = await self._compose(material, cut, plain, poster)
        outputs = await self._outputs(
            [
                _Plain(plain, names[0], FileKind.MERGED, merged_bytes(self._rules, length_ms)),
                _Plain(poster, names[1], FileKind.POSTER),
            ]
        )
        return RenderResult(outputs, _with_repeats(material.sync, repeated))

    async def split(self, material: Material) -> RenderResult:
        """Render one file per video, the mix, and the JSON file that describes them."""
        names = await self._reserve(
            self._split_names(material, distinct) for distinct in naming.further_stems(self._info)
        )
        *media_names, json_name = names
        self._progress.expect(Stage.COMPOSE, 0)
        made = await self._split_media(material, media_names)
        outputs = await self._outputs(made)
        plain = self._place.plain / "split.json"
        await self._storage.write(Stage.SPLIT, plain, self._json(material, outputs))
        description = await self._output(_Plain(plain, json_name, FileKind.METADATA))
        return RenderResult((*outputs, description), material.sync)

    async def _split_media(self, material: Material, names: Sequence[str]) -> list[_Plain]:
        """Render in the order of ``names``: the videos, and the mix if there is one."""
        pieces: list[tuple[Work[_Plain], float]] = [
            (partial(self._copy, number, video, names[number]), copying_s(video.raw_bytes))
            for number, video in enumerate(material.videos)
        ]
        if material.audio:
            size = mix_bytes(self._duration_us // 1000)
            pieces.append((partial(self._mix, material, names[-1], size), copying_s(size)))
        return await self._progress.side_by_side(Stage.SPLIT, pieces)

    async def _copy(self, number: int, video: Video, name: str) -> _Plain:
        plain = self._place.plain / f"{number}{video.prepared.path.suffix}"
        await self._tools.copy_video(video.prepared, plain, timeout_s=self._timeout_s)
        return _Plain(plain, name, FileKind.VIDEO, video.raw_bytes)

    async def _mix(self, material: Material, name: str, size: int) -> _Plain:
        plain = self._place.plain / "mix.wav"
        await self._write_audio(material, plain)
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
            material.audio,
            chapters(self._info, [video.held.file for video in material.videos], cut),
        )
        return await self._tools.compose(
            plan,
            target,
            lambda percent: self._progress.reached(Stage.COMPOSE, percent),
            poster=poster,
            timeout_s=self._timeout_s,
        )

    async def _write_audio(self, material: Material, target: Path) -> None:
        await self._tools.write_audio(
            material.audio, self._duration_us, target, timeout_s=self._timeout_s
        )

    async def _outputs(self, made: Sequence[_Plain]) -> tuple[OutputFile, ...]:
        if self._encryptor is None:
            return tuple([await self._output(one) for one in made])
        pieces = ((one, encrypting_s(one.expected_bytes)) for one in made)
        return tuple(
            [await self._output(one) for one in self._progress.through(Stage.ENCRYPT, pieces)]
        )

    async def _output(self, made: _Plain) -> OutputFile:
        staged = made.file
        if self._encryptor is not None:
            staged = self._place.staging / f"{made.file.name}{_ENCRYPTED}"
            final = self._storage.final(made.name.removesuffix(_ENCRYPTED))
            log.debug("Trying to encrypt file: %s", final)
            await self._encryptor.encrypt(made.file, staged, timeout_s=self._timeout_s)
        return OutputFile(staged, made.name, made.kind, await self._storage.measure(staged))

    async def _reserve(self, choices: Iterable[Sequence[str]]) -> tuple[str, ...]:
        ending = "" if self._encryptor is None else _ENCRYPTED
        return await self._storage.reserve_names(
            self._job, ([name + ending for name in names] for names in choices)
        )

    def _stem(self, distinct: str) -> str:
        return naming.stem(self._rules.fileformat, self._info, distinct)

    def _split_names(self, material: Material, distinct: str) -> list[str]:
        """Return names in the order of delivery: the videos, the mix if there is one, the JSON."""
        folder, stem = naming.folder(self._info), self._stem(distinct)
        owners = [_owner(video) for video in material.videos]
        stems = naming.video_stems(self._rules.fileformat, self._info, owners, distinct)
        videos = zip(stems, material.videos, strict=True)
        names = [f"{name}{video.prepared.path.suffix}" for name, video in videos]
        names += [f"{stem}.wav"] if material.audio else []
        return [f"{folder}/{name}" for name in (*names, f"{stem}.json")]

    def _json(self, material: Material, outputs: Sequence[OutputFile]) -> bytes:
        """Encode the JSON file; ``outputs`` are the other files, in ``_split_names``' order."""
        videos = [
            self._part(output, *material.shown_ms(track), video)
            for track, (output, video) in enumerate(zip(outputs, material.videos, strict=False))
        ]
        audio = None
        if material.audio:
            audio = self._part(outputs[-1], self._info.started_ms, self._info.completed_ms)
        return encode_split(self._info, videos, audio, material.sync)

    def _part(
        self, output: OutputFile, started_ms: int, stopped_ms: int, video: Video | None = None
    ) -> SplitPart:
        return SplitPart(
            filename=str(self._storage.final(output.name)),
            size_bytes=output.measured.size_bytes,
            started_ms=started_ms,
            stopped_ms=stopped_ms,
            user=video.held.file.user if video else None,
            rotation=video.prepared.rotation if video else 0,
            turns=_turns(video.prepared, started_ms) if video else (),
        )


def _turns(prepared: PreparedVideo, started_ms: int) -> tuple[tuple[int, int], ...]:
    """Return (epoch ms, degrees) from the first frame on; empty where the video never turns."""
    first = [turn.degrees for turn in prepared.turns if turn.at_us <= prepared.first_us]
    stretch = pace(prepared.drift_ppm)
    later = [
        (started_ms + round((turn.at_us - prepared.first_us) * stretch) // 1000, turn.degrees)
        for turn in prepared.turns
        if prepared.first_us < turn.at_us < prepared.end_us
    ]
    return ((started_ms, first[-1] if first else 0), *later) if later else ()


def _owner(video: Video) -> VideoName:
    file = video.held.file
    return VideoName(file.user or UserId(""), file.stream)


def _with_repeats(sync: Sequence[TrackSync], repeated: Sequence[int]) -> tuple[TrackSync, ...]:
    """Return the report with the repeated frames of its first entries, which are the videos."""
    counted = [replace(one, frames_repeated=n) for one, n in zip(sync, repeated, strict=False)]
    return (*counted, *sync[len(counted) :])
