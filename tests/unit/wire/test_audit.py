"""Audit entries as JSON: one form for one meaning, the one of RFC 8785."""

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.model.audit import AuditEntry
from sfu_wrapper.model.identity import DomainId, UserId
from sfu_wrapper.wire.audit import MAX_TEXT, decode_entry, encode_entry
from sfu_wrapper.wire.validation import MAX_WHOLE

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
DETAILS = st.dictionaries(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
    TEXTS | st.none() | st.booleans() | st.integers(-MAX_WHOLE, MAX_WHOLE),
    max_size=5,
)
ENTRIES = st.builds(
    AuditEntry,
    domain=TEXTS.map(DomainId),
    at_ms=st.integers(0, 4_000_000_000_000),
    actor=TEXTS.map(UserId) | st.none(),
    action=TEXTS,
    object=TEXTS,
    outcome=TEXTS,
    details=DETAILS.map(lambda details: tuple(sorted(details.items()))),
)


def entry(**given: object) -> AuditEntry:
    """An entry; ``given`` replaces its attributes."""
    usual: dict[str, object] = {
        "domain": "example",
        "at_ms": 1_600_000_000_123,
        "actor": "alice",
        "action": "recording.start",
        "object": "uuid-1/1",
        "outcome": "done",
    }
    return AuditEntry(**(usual | given))  # type: ignore[arg-type]  # names of the dataclass


@given(ENTRIES, st.integers(1, 2**40))
def test_entries_have_the_form_of_rfc_8785(entry: AuditEntry, number: int) -> None:
    text = encode_entry(entry, number)

    assert text == rfc8785.dumps(json.loads(text))


@given(ENTRIES)
def test_entries_survive_being_written_and_read(entry: AuditEntry) -> None:
    found = decode_entry(encode_entry(entry, 1))

    actor_domain = None if entry.actor is None else entry.domain
    assert (found.actor_domain, found.details) == (actor_domain, entry.details)
    assert (found.domain, found.at_ms, found.actor) == (entry.domain, entry.at_ms, entry.actor)
    assert (found.action, found.object) == (entry.action, entry.object)
    assert found.outcome == entry.outcome


def test_an_entry_holds_its_number_and_whose_user_asked() -> None:
    text = json.loads(encode_entry(entry(actor_domain=DomainId("other")), 7))

    assert text["number"] == 7
    assert text["at"] == "2020-09-13T12:26:40.123Z"
    assert (text["actor"], text["actorDomain"]) == ("alice", "other")


def test_what_json_readers_disagree_on_is_written_as_text() -> None:
    big = 2**63
    text = encode_entry(entry(object="lone \ud800", details=(("bytes", big), ("flag", True))), 1)

    found = json.loads(text)
    assert found["details"] == {"bytes": str(big), "flag": True}
    assert found["object"] == "lone ?"
    assert text == rfc8785.dumps(found)


def test_texts_that_clients_choose_are_bounded() -> None:
    long = "x" * 5_000
    found = json.loads(encode_entry(entry(object=long, details=(("reason", long),)), 1))

    assert len(found["object"]) == len(found["details"]["reason"]) == MAX_TEXT


@pytest.mark.parametrize("text", [b"[]", b'{"domain":"example"}'])
def test_other_json_is_no_entry(text: bytes) -> None:
    with pytest.raises(ValueError, match="not an audit entry"):
        decode_entry(text)
