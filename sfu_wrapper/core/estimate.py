"""Progress and remaining time of the work on a segment. Pure: callers pass the time.

The expected duration of a stage follows from the sizes of its input, as measured on a reference
machine. The speed of this machine relative to that is learned from earlier segments and from the
stages of the present one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.core.plan import AUDIO_BITS_PER_S, VIDEO_BITS_PER_S, OutputRules, why_split
from sfu_wrapper.model.errors import Stage
from sfu_wrapper.model.segment import SegmentInfo

STAGES: Final = (Stage.PREPROCESS, Stage.COMPOSE, Stage.SPLIT, Stage.ENCRYPT)
"""Stages in the order of processing."""

# Measured on 2 cores of a shared server (performance.md, "Merging").
_START_S: Final = 0.02  # of a media process
_READ_BYTES_PER_S: Final = 200_000_000  # raw files
_COPY_BYTES_PER_S: Final = 400_000_000
_MERGE_S_PER_S: Final = 0.033  # of output, with any number of streams
_MERGE_STREAM_S_PER_S: Final = 0.0085  # and for each stream on screen
_KEYRING_S: Final = 0.15
_ENCRYPT_BYTES_PER_S: Final = 250_000_000

_PRIOR_WEIGHT_S: Final = 2.0  # seconds of work after which measured and prior speed weigh the same
_DECAY: Final = 0.5  # weight of all earlier segments, relative to the latest


def reading_s(raw_bytes: int = 0) -> float:
    """Return the expected seconds to convert or inspect one raw file."""
    return _START_S + raw_bytes / _READ_BYTES_PER_S


def merging_s(length_ms: int, shown_ms: int) -> float:
    """Return the expected seconds to merge.

    Args:
        length_ms: length of the merged file.
        shown_ms: sum of the times on screen of all streams.
    """
    work_ms = length_ms * _MERGE_S_PER_S + shown_ms * _MERGE_STREAM_S_PER_S
    return _START_S + work_ms / 1000


def copying_s(file_bytes: int) -> float:
    """Return the expected seconds to copy one file of a split recording."""
    return _START_S + file_bytes / _COPY_BYTES_PER_S


def encrypting_s(file_bytes: int) -> float:
    """Return the expected seconds to encrypt one file."""
    return _KEYRING_S + file_bytes / _ENCRYPT_BYTES_PER_S


def parallel_s(each_s: Sequence[float], at_once: int) -> float:
    """Return the expected seconds for pieces of which ``at_once`` are processed in parallel."""
    return max(sum(each_s) / at_once, max(each_s, default=0.0))


def merged_bytes(rules: OutputRules, length_ms: int) -> int:
    """Return the expected size of a merged file."""
    return (VIDEO_BITS_PER_S[rules.quality] + AUDIO_BITS_PER_S) * length_ms // 8000


def mix_bytes(length_ms: int) -> int:
    """Return the size of a mix as a file of its own."""
    return 16 * length_ms  # 16 kHz, mono, 8 bits


def initial_estimate(
    info: SegmentInfo, rules: OutputRules, raw_bytes: Sequence[int], at_once: int = 1
) -> dict[Stage, float]:
    """Return the expected seconds of each stage, from the event alone.

    Args:
        info: the event.
        rules: configuration of the output.
        raw_bytes: sizes of the video files.
        at_once: number of files that are read or copied in parallel.
    """
    length_ms = info.completed_ms - info.started_ms
    shown_ms = sum(
        max(0, (file.stopped_ms or info.completed_ms) - file.started_ms) for file in info.video
    )
    stages = dict.fromkeys(STAGES, 0.0)
    read_s = [*map(reading_s, raw_bytes), *(reading_s() for _ in info.audio)]
    stages[Stage.PREPROCESS] = parallel_s(read_s, at_once)
    if rules.split or why_split(rules, 0):
        copied = [*raw_bytes, *([mix_bytes(length_ms)] if info.audio else [])]
        stages[Stage.SPLIT] = parallel_s([*map(copying_s, copied)], at_once)
        encrypted = [*copied, 0]
    else:
        stages[Stage.COMPOSE] = merging_s(length_ms, shown_ms)
        encrypted = [merged_bytes(rules, length_ms), 0]
    if rules.encrypt:
        stages[Stage.ENCRYPT] = sum(map(encrypting_s, encrypted))
    return stages


@dataclass(frozen=True, slots=True)
class ProgressSnapshot:
    """Progress of the work on one segment.

    Attributes:
        stage: current stage.
        percent: completed share of the whole work.
        eta_s: estimated seconds until all of it is done.
    """

    stage: Stage
    percent: float
    eta_s: float


class ThroughputModel:
    """Learned speed of this machine: seconds needed for one expected second, by stage."""

    def __init__(self) -> None:
        self._seen: dict[Stage, tuple[float, float]] = {}

    def of(self, stage: Stage) -> float:
        """Return the ratio for a stage; with few measurements it is close to that of all stages."""
        expected_s, took_s = self._seen.get(stage, (0.0, 0.0))
        return (took_s + _PRIOR_WEIGHT_S * self._of_all()) / (expected_s + _PRIOR_WEIGHT_S)

    def learn(self, stage: Stage, expected_s: float, took_s: float) -> None:
        """Learn from a finished stage of a segment."""
        known_expected_s, known_took_s = self._seen.get(stage, (0.0, 0.0))
        self._seen[stage] = known_expected_s * _DECAY + expected_s, known_took_s * _DECAY + took_s

    def _of_all(self) -> float:
        expected_s = sum(expected for expected, _ in self._seen.values())
        took_s = sum(took for _, took in self._seen.values())
        return (took_s + _PRIOR_WEIGHT_S) / (expected_s + _PRIOR_WEIGHT_S)


class Estimate:
    """Progress of one attempt at one segment.

    Args:
        throughput: speed of this machine; the attempt is added to it.
        began_ms: monotonic start of the attempt.
        expected_s: expected seconds by stage (``initial_estimate``).
    """

    def __init__(
        self, throughput: ThroughputModel, began_ms: int, expected_s: Mapping[Stage, float]
    ) -> None:
        self._throughput = throughput
        self._began_ms = self._since_ms = began_ms
        self._expected_s = dict(expected_s)
        self._stage = STAGES[0]
        self._percent = 0.0

    def expect(self, stage: Stage, seconds: float) -> None:
        """Correct the expected seconds of a stage; 0: the stage is skipped."""
        self._expected_s[stage] = seconds

    def reached(self, stage: Stage, share: float, now_ms: int) -> ProgressSnapshot:
        """Return the progress when ``share`` of a stage is done; ``percent`` never decreases."""
        if stage != self._stage:
            self.stage_done(now_ms)
            self._stage = stage
        took_s, expected_s = (now_ms - self._since_ms) / 1000, self._expected_s[stage]
        done_s = expected_s * share
        ratio = (took_s + _PRIOR_WEIGHT_S * self._throughput.of(stage)) / (done_s + _PRIOR_WEIGHT_S)
        eta_s = (expected_s - done_s) * ratio + self._later_s(stage)
        passed_s = (now_ms - self._began_ms) / 1000
        if passed_s > 0:
            self._percent = max(self._percent, 100 * passed_s / (passed_s + eta_s))
        return ProgressSnapshot(stage, self._percent, eta_s)

    def stage_done(self, now_ms: int) -> None:
        """End the current stage and learn from it."""
        took_s = (now_ms - self._since_ms) / 1000
        self._throughput.learn(self._stage, self._expected_s[self._stage], took_s)
        self._since_ms = now_ms

    def _later_s(self, stage: Stage) -> float:
        later = STAGES[STAGES.index(stage) + 1 :]
        return sum(self._expected_s[one] * self._throughput.of(one) for one in later)
