"""Times on the wire: ISO 8601 in UTC with milliseconds and Z, epoch milliseconds inside."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999; what is later cannot be written."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=4096)  # whoever lists people or segments writes the same times again and again
def iso(ms: int) -> str:
    """Write epoch milliseconds as ``2020-05-25T07:42:28.633Z``."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_iso(text: str) -> int:
    """Read an ISO 8601 time with a zone as epoch milliseconds; finer digits are cut off.

    Raises:
        ValueError: it is no such time, names no zone, or lies before 1970 or after 9999.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text!r} names no zone; end it in Z")
    ms = (moment - _EPOCH) // _MILLISECOND
    if not 0 <= ms <= LAST_MS:
        raise ValueError(f"the time {text!r} lies before 1970 or after 9999")
    return ms
