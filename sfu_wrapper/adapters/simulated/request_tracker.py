"""The front of the simulated plane: requests become orders, reports become facts.

Keeps what outlives the child process: who sits where in a room, which captures are under way and
which faults are left to strike. Pure bookkeeping: no process, no clock, no waiting.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from sfu_wrapper.adapters.simulated.faults import Faults, InjectedFault
from sfu_wrapper.adapters.simulated.messages import (
    Add,
    CloseRoom,
    Heartbeat,
    Order,
    PositionedTrack,
    Remove,
    Report,
    Resume,
    StartWriting,
    StopWriting,
)
from sfu_wrapper.core.facts import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
    PlaneFact,
)
from sfu_wrapper.core.requests import (
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneRequest,
    PublishTrack,
    ResumeCapture,
    StartCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.ids import RoomUuid, UserId
from sfu_wrapper.model.media import Medium, RawFile, Track


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A capture that was asked for and has not ended; ``confirmed`` once it was reported so."""

    confirmed: bool = False
    files: tuple[RawFile, ...] = ()


class RequestTracker:
    """faults: what is left of them; set at any time."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._seats: dict[RoomUuid, dict[UserId, int]] = {}
        self._under_way: dict[CaptureRef, _UnderWay] = {}
        self._awaited: set[CaptureRef] = set()

    def order(self, request: PlaneRequest) -> Order | None:
        """What the child is to do; None where there is nothing to do."""
        match request:
            case StartCapture():
                return self._begin(request)
            case StopCapture(capture=capture):
                return StopWriting(capture, self._take(capture.medium, "stop") or InjectedFault())
            case ResumeCapture(capture=capture, files=files):
                return Resume(capture, files, "the simulated plane ended with its controller")
            case PublishTrack(room=room, track=track):
                return Add(room, self._seat(room, track))
            case UnpublishTrack(room=room, track=track):
                return Remove(room, track)
            case CloseMediaRoom(room=room):
                self._seats.pop(room, None)
                return CloseRoom(room)
            case OpenMediaRoom():
                return None
            case _:
                assert_never(request)

    def sent(self, order: Order) -> None:
        """The order has left for the child: from now on it can be lost."""
        match order:
            case StartWriting(capture=capture):
                self._under_way.setdefault(capture, _UnderWay())
            case Resume(capture=capture, files=files):
                self._under_way.setdefault(capture, _UnderWay(confirmed=True, files=files))
            case _:
                pass

    def heard(self, report: Report) -> tuple[PlaneFact, ...]:
        """The facts that a report of the child comes to."""
        match report:
            case Heartbeat() | PlaneBack():
                return () if isinstance(report, Heartbeat) else (report,)
            case CaptureStarted(capture=capture, files=files):
                self._under_way[capture] = _UnderWay(confirmed=True, files=files)
                return (report,)
            case CaptureChanged(capture=capture, files=files):
                if capture in self._under_way:
                    known = self._under_way[capture]
                    self._under_way[capture] = replace(known, files=files)
                return (report,)
            case CaptureFailed(capture=capture) | CaptureStopped(capture=capture):
                self._under_way.pop(capture, None)
                return (report, *self._answered(capture))
            case CaptureLost(capture=capture):
                known = self._under_way.pop(capture, _UnderWay(confirmed=True))
                never_ran = not known.confirmed and not report.files
                fact = CaptureFailed(capture, report.message) if never_ran else report
                return (fact, *self._answered(capture))
            case _:
                assert_never(report)

    def take_up(self) -> tuple[tuple[Order, ...], tuple[PlaneFact, ...]]:
        """After the child died: what its successor is to do first, and what can be said at once.

        The plane is back once the fate of every capture that was under way is told.
        """
        self._awaited = set(self._under_way)
        orders = tuple(
            Resume(capture, known.files, "the simulated plane died")
            for capture, known in self._under_way.items()
        )
        return orders, () if orders else _BACK

    def _begin(self, request: StartCapture) -> StartWriting:
        medium = request.capture.medium
        lose, die = self._take(medium, "lose"), self._take(medium, "die")
        return StartWriting(
            request.capture,
            request.confbridge_id,
            tuple(self._seat(request.capture.room, track) for track in request.tracks),
            spoil=self._take(medium, "start") or InjectedFault(),
            lose_s=lose.after_s if lose else None,
            die_s=die.after_s if die else None,
        )

    def _take(self, medium: Medium, point: str) -> InjectedFault | None:
        spoil, self.faults = self.faults.take(medium, point)
        return spoil

    def _seat(self, room: RoomUuid, track: Track) -> PositionedTrack:
        """Seats are given in the order in which a room's users are first heard of."""
        seats = self._seats.setdefault(room, {})
        return PositionedTrack(track, seats.setdefault(track.user, len(seats)))

    def _answered(self, capture: CaptureRef) -> tuple[PlaneFact, ...]:
        if capture not in self._awaited:
            return ()
        self._awaited.discard(capture)
        return () if self._awaited else _BACK


_BACK: tuple[PlaneFact, ...] = tuple(PlaneBack(medium) for medium in Medium)
