import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import RoomUuid, SegmentNo
from sfu_wrapper.model.segment import JobProgress
from sfu_wrapper.wire.job_messages import encode_progress
from sfu_wrapper.wire.job_results import parse_progress

KNOWN = {"type": "progress", "uuid": "u", "segment": 1, "stage": "compose", "percent": 41.5}


def test_the_message_of_the_page_is_written_and_read() -> None:
    progress = JobProgress(RoomUuid("u"), SegmentNo(1), "compose", 41.49999, 12.04)
    message = encode_progress(progress)

    assert json.loads(message) == KNOWN | {"etaSeconds": 12.0}
    assert parse_progress(message) == JobProgress(RoomUuid("u"), SegmentNo(1), "compose", 41.5, 12)


@given(st.floats(0, 100), st.none() | st.floats(0, 1e9))
def test_what_is_written_can_be_read(percent: float, eta_s: float | None) -> None:
    written = JobProgress(RoomUuid("u"), SegmentNo(3), "compose", percent, eta_s)
    read = parse_progress(encode_progress(written))

    assert read.percent == pytest.approx(percent, abs=0.06)
    assert (read.eta_s is None) == (eta_s is None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "processed"},
        {"uuid": None},
        {"segment": 0},
        {"percent": 101},
        {"percent": -1},
        {"etaSeconds": -1},
        {"stage": "x" * 33},
        {"uuid": "x" * 257},
    ],
)
def test_what_is_no_progress_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Malformed, match=next(iter(wrong))):
        parse_progress(json.dumps(KNOWN | wrong).encode())


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(Malformed):
        parse_progress(b"[]")


@pytest.mark.parametrize("body", [b" " * 4097, b"[" * 17, b"," * 65])
def test_what_is_too_much_for_progress_is_not_parsed(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orjson, "loads", lambda _: pytest.fail("it was parsed"))

    with pytest.raises(Malformed, match="more than"):
        parse_progress(body)
