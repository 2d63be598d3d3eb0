"""Errors as problem details."""

import json

import pytest

from sfu_wrapper.gateway.rest.problems import MEANINGS, STATUS, respond
from sfu_wrapper.model.errors import Broken, Code, Misconfigured, Refused, Unavailable


def test_every_code_has_a_status() -> None:
    assert set(STATUS) == set(Code)
    assert all(400 <= status < 600 for status in STATUS.values())


def test_a_refusal_says_what_when_and_where() -> None:
    answer = respond(Refused(Code.ROOM_NOT_FOUND, "room not found", room="x"))

    assert answer.status_code == 404
    assert answer.media_type == "application/problem+json"
    assert json.loads(bytes(answer.body)) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "room not found",
        "code": "ROOM_NOT_FOUND",
        "details": {"room": "x"},
    }


def test_who_should_come_back_is_told_when() -> None:
    limited = respond(Refused(Code.RATE_LIMITED, "too many requests", retryAfter=3))
    lost = respond(Unavailable("the store is away"))

    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert (lost.status_code, lost.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("error", [Broken("no room 7"), Misconfigured("key = secret")])
def test_our_own_bugs_name_an_incident_and_nothing_else(
    error: Broken | Misconfigured, caplog: pytest.LogCaptureFixture
) -> None:
    answer = respond(error)
    body = json.loads(bytes(answer.body))

    assert answer.status_code == 500
    assert error.detail not in body["detail"]
    assert [record.incident for record in caplog.records if hasattr(record, "incident")] == [
        body["details"]["incident"]
    ]


def test_every_documented_status_has_a_meaning() -> None:
    assert {status.value for status in STATUS.values()} - set(MEANINGS) == {410, 502}
