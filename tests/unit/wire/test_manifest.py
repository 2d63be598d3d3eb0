"""The proof that a segment is finished."""

import pytest

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.wire.job_messages import Manifest, encode_manifest, parse_manifest


def test_the_message_comes_back_byte_for_byte() -> None:
    manifest = Manifest('{"b": 1,  "a": "é"}'.encode())

    assert parse_manifest(encode_manifest(manifest)) == manifest


def test_what_the_event_said_about_the_segment_comes_back() -> None:
    manifest = Manifest(b"{}", '{"é": 1}'.encode())

    assert parse_manifest(encode_manifest(manifest)) == manifest


@pytest.mark.parametrize("body", [b"", b"{}", b'{"version": 2, "message": "{}"}'])
def test_what_is_no_manifest_of_ours_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_manifest(body)
