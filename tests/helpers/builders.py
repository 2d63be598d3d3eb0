"""Values that many tests need one of."""

from typing import Any

from sfu_wrapper.model.identity import ConfbridgeId, RoomId, RoomUuid, SegmentNo
from sfu_wrapper.model.segment import SegmentInfo

START_MS = 1_590_392_548_633  # 2020-05-25T07:42:28.633Z
LENGTH_MS = 15_193


def segment_info(
    uuid: str = "uuid",
    number: int | None = 1,
    *,
    started_ms: int = START_MS,
    length_ms: int = LENGTH_MS,
    bridge: str = "bridge",
    **more: Any,  # noqa: ANN401  # further fields of SegmentInfo
) -> SegmentInfo:
    """Return a segment of the room "room" without files, unless ``more`` names some."""
    return SegmentInfo(
        room=RoomId("room"),
        uuid=RoomUuid(uuid),
        confbridge_id=ConfbridgeId(bridge),
        segment=None if number is None else SegmentNo(number),
        started_ms=started_ms,
        completed_ms=started_ms + length_ms,
        **more,
    )
