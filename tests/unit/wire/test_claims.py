"""What our tokens say, and what is made of those of others."""

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId
from sfu_wrapper.wire.claims import REQUIRED, Claims, encode, peek_claims, read_claims

SECRET = "0123456789abcdef0123456789abcdef"
ALICE = {"sub": "alice@example", "domain": "example", "exp": 1_800_000_000}


def test_a_token_comes_back_as_it_was_made() -> None:
    claims = Claims.model_validate({**ALICE, "roles": ["service"], "aud": "sfu-wrapper"})

    token = encode(claims, SECRET, "HS256")
    payload = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_aud": False})
    assert read_claims(payload) == claims
    assert "iss" not in payload
    assert set(REQUIRED) <= payload.keys()


def test_claims_of_our_own_token_are_read_without_its_key() -> None:
    claims = Claims.model_validate(ALICE)

    assert peek_claims(encode(claims, SECRET, "HS256")) == claims
    with pytest.raises(Malformed, match="not a token"):
        peek_claims("a.b.c")


def test_a_token_makes_an_identity() -> None:
    claims = read_claims({**ALICE, "roles": ["user", "domain-admin"]})

    assert claims.identity() == Identity(
        DomainId("example"),
        UserId("alice@example"),
        frozenset({Role.USER, Role.DOMAIN_ADMIN}),
        1_800_000_000_000,
    )


def test_without_roles_it_is_a_users() -> None:
    assert read_claims(ALICE).identity().roles == {Role.USER}


def test_roles_of_other_services_give_no_right_here() -> None:
    assert read_claims({**ALICE, "roles": ["root", "gateway"]}).identity().roles == {Role.GATEWAY}


def test_an_expiry_may_have_a_fraction() -> None:
    assert read_claims({**ALICE, "exp": 1.5}).identity().expires_ms == 1500


def test_claims_of_other_services_are_ignored() -> None:
    assert read_claims({**ALICE, "scope": "openid"}) == read_claims(ALICE)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_claim_is_named(name: str) -> None:
    with pytest.raises(Malformed, match=name) as caught:
        read_claims({key: value for key, value in ALICE.items() if key != name})

    assert caught.value.context == {"path": name}


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        ("sub", {"sub": ""}),
        ("sub", {"sub": "a" * 129}),
        ("sub", {"sub": "alice\n"}),
        ("sub", {"sub": "../alice"}),
        ("sub", {"sub": 7}),
        ("domain", {"domain": "ex ample"}),
        ("exp", {"exp": "1800000000"}),
        ("exp", {"exp": float("inf")}),
        ("exp", {"exp": 1e300}),
        ("exp", {"exp": -1}),
        ("roles", {"roles": "user"}),
        ("roles.0", {"roles": [1]}),
        ("iss", {"iss": 1}),
    ],
)
def test_a_claim_of_the_wrong_kind_is_named(path: str, payload: dict[str, object]) -> None:
    with pytest.raises(Malformed) as caught:
        read_claims({**ALICE, **payload})

    assert str(caught.value.context["path"]).startswith(path)


JUNK = st.none() | st.booleans() | st.text() | st.integers() | st.floats() | st.lists(st.text())


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*ALICE, "roles", "aud", "iss"), JUNK)))
def test_any_payload_is_read_or_refused(changed: dict[str, object]) -> None:
    payload = {**ALICE, **changed}
    try:
        identity = read_claims(payload).identity()
    except Malformed:
        return

    assert (identity.user, identity.domain) == (payload["sub"], payload["domain"])


@pytest.mark.parametrize("claim", ["roles", "aud"])
def test_a_token_names_a_bounded_number_of_roles_and_audiences(claim: str) -> None:
    assert read_claims({**ALICE, claim: ["user"] * 256}).identity().user == "alice@example"
    with pytest.raises(Malformed, match=f"claim {claim}"):
        read_claims({**ALICE, claim: ["user"] * 257})


@pytest.mark.parametrize("claim", ["roles", "aud"])
def test_of_many_wrong_roles_only_the_first_is_looked_at(claim: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Claims.model_validate({**ALICE, claim: [1] * 256})

    assert refused.value.error_count() <= 2  # an audience is a text or a list
