"""Media planes that do not keep a promise are found out by the suite of test_plane."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    PlaneFact,
    PlaneRequest,
    PublishTrack,
    ResumeCapture,
    StartCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import Track
from tests.contract import test_plane as suite
from tests.helpers.planes import AUDIO, BRIDGE, ROOM, Bench, running

Promise = Callable[[Bench], Awaitable[None]]


class NeverAnswers(MemoryPlane):
    """Carries out everything and says nothing."""

    def emit(self, fact: PlaneFact) -> None:
        pass


class ConfirmsOnce(MemoryPlane):
    """Takes a repeat for noise."""

    def send(self, request: PlaneRequest) -> None:
        if not (isinstance(request, StartCapture) and request.capture in self.running):
            super().send(request)


class ForgetsWhatItStopped(MemoryPlane):
    """Answers a repeated stop as if nothing had been written."""

    def _stop(self, capture: CaptureRef, *, mute: bool = False) -> None:
        if capture not in self.running:
            self._files.pop(capture, None)
            self._stopped.pop(capture, None)
        super()._stop(capture, mute=mute)


class KnowsOnlyWhatRuns(MemoryPlane):
    """Leaves a stop of what never ran unanswered."""

    def send(self, request: PlaneRequest) -> None:
        if not (isinstance(request, StopCapture) and request.capture not in self.running):
            super().send(request)


class RecordsOn(MemoryPlane):
    """Goes on when the room is closed."""

    def send(self, request: PlaneRequest) -> None:
        if not isinstance(request, CloseMediaRoom):
            super().send(request)


class ClosesEveryRoom(MemoryPlane):
    """Takes the end of one room for the end of all."""

    def send(self, request: PlaneRequest) -> None:
        if isinstance(request, CloseMediaRoom):
            for capture in reversed(self.running):
                self._stop(capture)
        super().send(request)


class StartsAgain(MemoryPlane):
    """Begins anew instead of going on."""

    def _resume(self, request: ResumeCapture) -> None:
        self._running.pop(request.capture, None)
        self._start(StartCapture(request.capture, BRIDGE, ()))


class NeverEnds(MemoryPlane):
    """Keeps its readers waiting when it is closed."""

    async def facts(self) -> AsyncIterator[PlaneFact]:
        async for fact in super().facts():
            yield fact
        await asyncio.Event().wait()


class ConfirmsBeforeItWrites(MemoryPlane):
    """Says that it runs while no file is open yet."""

    def emit(self, fact: PlaneFact) -> None:
        super().emit(replace(fact, files=()) if isinstance(fact, CaptureStarted) else fact)


class LeavesFilesOpen(MemoryPlane):
    """Says that it has stopped while files are still written."""

    def emit(self, fact: PlaneFact) -> None:
        if isinstance(fact, CaptureStopped):
            fact = replace(fact, files=tuple(replace(f, stopped_ms=None) for f in fact.files))
        super().emit(fact)


class IgnoresWhoComesLate(MemoryPlane):
    """Writes those alone who were there at the start."""

    def send(self, request: PlaneRequest) -> None:
        if not isinstance(request, PublishTrack):
            super().send(request)


class OpensAFileEachTime(MemoryPlane):
    """A track that is published twice has two files."""

    def _open(self, capture: CaptureRef, track: Track) -> bool:
        known = dict(self._files[capture])
        self._files[capture].clear()
        super()._open(capture, track)
        self._files[capture] = known | self._files[capture]
        return True


class WritesOnAfterwards(MemoryPlane):
    """Does not close the file of a track that is gone."""

    def send(self, request: PlaneRequest) -> None:
        if not isinstance(request, UnpublishTrack):
            super().send(request)


class Appends(MemoryPlane):
    """Goes on with the old file of somebody who publishes again."""

    def _open(self, capture: CaptureRef, track: Track) -> bool:
        for name, file in self._files[capture].items():
            if (file.user, file.stream) == (track.user, track.stream):
                self._files[capture][name] = replace(file, stopped_ms=None)
                self.emit(CaptureChanged(capture, self._files_of(capture)))
                return False
        return super()._open(capture, track)


class MixesRoomsUp(MemoryPlane):
    """Writes the tracks of every room."""

    def _publish(self, room: RoomUuid, track: Track) -> None:
        super()._publish(ROOM, track)


class OneNameForAll(MemoryPlane):
    """Writes the next segment over the last one."""

    def emit(self, fact: PlaneFact) -> None:
        if isinstance(fact, CaptureStopped):
            fact = replace(fact, files=tuple(replace(f, filename="/mix.wav") for f in fact.files))
        super().emit(fact)


class NamesFilesByNumber(MemoryPlane):
    """Writes one room over another of the same conference."""

    def emit(self, fact: PlaneFact) -> None:
        if isinstance(fact, CaptureStopped):
            name = f"recording-{fact.capture.segment}.wav"
            fact = replace(fact, files=tuple(replace(f, filename=name) for f in fact.files))
        super().emit(fact)


class OpensWhatItCloses(MemoryPlane):
    """Makes a room in order to close it, and records it."""

    def send(self, request: PlaneRequest) -> None:
        if isinstance(request, CloseMediaRoom) and not self.running:
            self._start(StartCapture(AUDIO, BRIDGE, ()), mute=True)
            return
        super().send(request)


class ClaimsToWrite(MemoryPlane):
    """Says that whatever it is asked about is still written."""

    def _resume(self, request: ResumeCapture) -> None:
        self.emit(CaptureStarted(request.capture, self._tick(), request.files))


class FilmsVoices(MemoryPlane):
    """Opens a video file for a microphone."""

    def _start(self, request: StartCapture, *, mute: bool = False) -> None:
        super()._start(request, mute=True)
        for track in request.tracks:
            self._open(request.capture, track)
        super()._start(request, mute=mute)


BROKEN: dict[type[MemoryPlane], Promise] = {
    NeverAnswers: suite.test_a_start_and_a_stop_are_confirmed,
    ConfirmsOnce: suite.test_a_repeated_start_is_confirmed_again,
    ForgetsWhatItStopped: suite.test_a_repeated_stop_is_answered_again_with_the_same_files,
    KnowsOnlyWhatRuns: suite.test_a_stop_of_what_never_ran_names_no_files,
    RecordsOn: suite.test_a_closed_room_has_its_captures_stopped,
    ClosesEveryRoom: suite.test_a_closed_room_leaves_the_others_alone,
    StartsAgain: suite.test_a_running_capture_is_resumed,
    NeverEnds: suite.test_the_facts_end_once_the_plane_is_closed,
    ConfirmsBeforeItWrites: suite.test_a_confirmed_audio_capture_has_one_mix,
    FilmsVoices: suite.test_a_confirmed_video_capture_has_a_file_for_each_camera_and_screen,
    LeavesFilesOpen: suite.test_a_stop_closes_every_file,
    IgnoresWhoComesLate: suite.test_a_track_published_during_the_capture_gets_a_file,
    OpensAFileEachTime: suite.test_a_track_published_twice_gets_one_file,
    WritesOnAfterwards: suite.test_an_unpublished_track_has_its_file_closed,
    Appends: suite.test_who_publishes_again_gets_a_second_file,
    MixesRoomsUp: suite.test_a_track_of_another_room_changes_nothing,
    OneNameForAll: suite.test_two_segments_share_no_file,
    NamesFilesByNumber: suite.test_a_confbridge_id_that_is_used_again_has_files_of_its_own,
    OpensWhatItCloses: suite.test_the_end_of_a_room_that_was_never_opened_leaves_nothing,
    ClaimsToWrite: suite.test_a_capture_that_is_not_written_is_not_resumed,
}


@pytest.mark.parametrize(("broken", "promise"), BROKEN.items(), ids=lambda x: x.__name__)
async def test_a_broken_plane_is_found_out(broken: type[MemoryPlane], promise: Promise) -> None:
    async with running(MemoryPlane(), deadline_s=20) as audio:
        await promise(audio)
    async with running(broken(), deadline_s=0.05) as bench:
        with pytest.raises((AssertionError, TimeoutError, ValueError)):
            await promise(bench)
