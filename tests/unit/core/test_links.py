"""The signature of a link covers all that it says."""

from dataclasses import replace

import pytest

from sfu_wrapper.core.links import is_genuine, link_key, signed_link
from sfu_wrapper.model.identity import RoomUuid, SegmentNo
from sfu_wrapper.model.recording import RecordingKey

OLD, NEW = link_key("o" * 32), link_key("n" * 32)
KEY = RecordingKey(RoomUuid("uuid"), SegmentNo(1))
LINK = signed_link((NEW, OLD), KEY, "a.webm", 100)


def test_the_first_key_signs_and_every_key_verifies() -> None:
    assert LINK.key == NEW.id
    assert is_genuine((OLD, NEW), LINK)
    assert is_genuine((NEW, OLD), signed_link((OLD,), KEY, "a.webm", 100))


@pytest.mark.parametrize(
    "changed",
    [
        replace(LINK, expires_s=101),
        replace(LINK, name="b.webm"),
        replace(LINK, recording=replace(KEY, segment=SegmentNo(2))),
        replace(LINK, recording=replace(KEY, uuid=RoomUuid("other"))),
        replace(LINK, key=OLD.id),
        replace(LINK, key="00000000"),
        replace(LINK, signature="A" * 43),
    ],
)
def test_a_changed_link_is_not_genuine(changed: object) -> None:
    assert not is_genuine((NEW, OLD), changed)  # type: ignore[arg-type]  # a Link


def test_a_removed_key_verifies_nothing() -> None:
    assert not is_genuine((OLD,), LINK)
    assert not is_genuine((), LINK)


def test_fields_cannot_run_into_each_other() -> None:
    one = signed_link((NEW,), KEY, "1\na.webm", 100)
    other = signed_link((NEW,), replace(KEY, uuid=RoomUuid("uuid\n1")), "a.webm", 100)

    assert one.signature != other.signature


def test_a_key_id_discloses_nothing_of_its_secret() -> None:
    assert NEW.id != OLD.id
    assert len(NEW.id) == 8
    assert "n" * 8 not in NEW.id
