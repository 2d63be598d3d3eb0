"""Request tracker of the simulated plane: requests become orders, reports become facts.

It keeps the state that outlives the child process: the positions of users in a room, the captures
under way and the faults left. ``plane`` calls ``order`` for each request, ``sent`` when the order
leaves, ``handle`` for each report and ``restart`` for a new child. Pure bookkeeping: no process, no
clock, no waiting.
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
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneBack,
    PlaneFact,
    PlaneRequest,
    PublishTrack,
    ResumeCapture,
    StartCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.identity import RoomUuid, UserId
from sfu_wrapper.model.media import Medium, RawFile, Track


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A capture that was requested and has not ended; ``confirmed`` once its start is reported."""

    confirmed: bool = False
    files: tuple[RawFile, ...] = ()


class RequestTracker:
    """Translation between the plane and its child process.

    Attributes:
        faults: injected faults that are left; may be replaced at any time.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._positions: dict[RoomUuid, dict[UserId, int]] = {}
        self._under_way: dict[CaptureRef, _UnderWay] = {}
        self._awaited: set[CaptureRef] = set()

    def order(self, request: PlaneRequest) -> Order | None:
        """Return the order for a request; None where the child has nothing to do."""
        match request:
            case StartCapture():
                return self._begin(request)
            case StopCapture(capture=capture):
                return StopWriting(capture, self._take(capture.medium, "stop") or InjectedFault())
            case ResumeCapture(capture=capture, files=files):
                return Resume(capture, files, "the simulated plane ended with its controller")
            case PublishTrack(room=room, track=track):
                return Add(room, self._positioned(room, track))
            case UnpublishTrack(room=room, track=track):
                return Remove(room, track)
            case CloseMediaRoom(room=room):
                self._positions.pop(room, None)
                return CloseRoom(room)
            case OpenMediaRoom():
                return None
            case _:
                assert_never(request)

    def sent(self, order: Order) -> None:
        """Record that an order was sent to the child: from now on its capture can be lost."""
        match order:
            case StartWriting(capture=capture):
                self._under_way.setdefault(capture, _UnderWay())
            case Resume(capture=capture, files=files):
                self._under_way.setdefault(capture, _UnderWay(confirmed=True, files=files))
            case _:
                pass

    def handle(self, report: Report) -> tuple[PlaneFact, ...]:
        """Return the facts that follow from a report of the child."""
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

    def restart(self) -> tuple[tuple[Order, ...], tuple[PlaneFact, ...]]:
        """Return the first orders for a new child after a crash, and the facts known at once.

        The plane counts as available once every capture that was under way has been reported.
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
            tuple(self._positioned(request.capture.room, track) for track in request.tracks),
            fault=self._take(medium, "start") or InjectedFault(),
            lose_s=lose.after_s if lose else None,
            die_s=die.after_s if die else None,
        )

    def _take(self, medium: Medium, point: str) -> InjectedFault | None:
        fault, self.faults = self.faults.take(medium, point)
        return fault

    def _positioned(self, room: RoomUuid, track: Track) -> PositionedTrack:
        """Return the track with its user's position; users get positions in order of appearance."""
        positions = self._positions.setdefault(room, {})
        return PositionedTrack(track, positions.setdefault(track.user, len(positions)))

    def _answered(self, capture: CaptureRef) -> tuple[PlaneFact, ...]:
        if capture not in self._awaited:
            return ()
        self._awaited.discard(capture)
        return () if self._awaited else _BACK


_BACK: tuple[PlaneFact, ...] = tuple(PlaneBack(medium) for medium in Medium)
