from http import HTTPStatus

import pytest
from websockets.datastructures import Headers

from sfu_wrapper.gateway.auth import Admitted, Path, Rejected, check_handshake
from sfu_wrapper.gateway.settings import GatewaySettings
from tests.helpers.clocks import NOW_S, StandingClock
from tests.helpers.gatewayfakes import authenticator, token

APP = "https://app.example.com"
GATEWAY = token(sub="gw", roles=["gateway"])


def verdict(target: str, *headers: tuple[str, str]) -> Admitted | Rejected:
    settings = GatewaySettings(allowed_origins=frozenset({APP, "http://localhost:3000"}))
    return check_handshake(target, Headers(headers), settings, authenticator(StandingClock()))


def status(target: str, *headers: tuple[str, str]) -> HTTPStatus:
    answer = verdict(target, *headers)
    assert isinstance(answer, Rejected)
    return answer.status


def bearer(text: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {text}"


def test_a_client_may_come_without_a_token() -> None:
    assert verdict("/client") == Admitted(Path.CLIENT, None)
    assert verdict("/client?v=1") == Admitted(Path.CLIENT, None)


def test_a_client_with_a_token_is_who_it_says() -> None:
    answer = verdict("/client", ("Authorization", f"bearer  {token()} "))

    assert isinstance(answer, Admitted)
    assert answer.identity is not None
    assert answer.identity.user == "alice"


def test_a_gateway_needs_its_role() -> None:
    assert isinstance(verdict("/gateway", bearer(GATEWAY)), Admitted)
    assert status("/gateway") == 401
    assert status("/gateway", bearer(token(roles=["service"]))) == 403
    assert status("/gateway", bearer(token(roles=["gateway"], exp=NOW_S))) == 401


@pytest.mark.parametrize("target", ["/", "", "/Client", "/client/", "/gateway/x", "//client"])
def test_there_is_nothing_elsewhere(target: str) -> None:
    assert status(target, bearer(token())) == 404


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.tld",
        "https://app.example.com.evil.tld",
        "https://evil.tld/https://app.example.com",
        "http://app.example.com",
        "https://app.example.com:443",
        "https://APP.example.com",
        "https://app.example.com/",
    ],
)
def test_a_foreign_origin_is_refused_even_with_a_good_token(origin: str) -> None:
    assert status("/client", ("Origin", origin), bearer(token())) == 403
    assert status("/gateway", ("Origin", origin), bearer(GATEWAY)) == 403
    assert status("/client", ("Origin", APP), ("Origin", origin)) == 403


def test_an_allowed_origin_passes() -> None:
    assert isinstance(verdict("/client", ("Origin", APP)), Admitted)


def test_without_a_list_every_origin_passes() -> None:
    checks = authenticator(StandingClock())
    headers = Headers({"Origin": "https://evil.tld"})

    assert check_handshake("/client", headers, GatewaySettings(), checks) == Admitted(
        Path.CLIENT, None
    )


@pytest.mark.parametrize(
    "headers",
    [
        [bearer("nonsense")],
        [bearer("")],
        [("Authorization", "Basic YTpi")],
        [("Authorization", token())],
        [bearer(token()), bearer(token())],
    ],
)
def test_a_wrong_authorization_header_is_not_taken_for_none(
    headers: list[tuple[str, str]],
) -> None:
    assert status("/client", *headers) == 401


@pytest.mark.parametrize(
    ("target", "headers", "vital"),
    [
        ("/client", (), False),
        ("/client", (bearer(token()),), False),
        ("/client", (bearer(token(sub="rooms", roles=["service"])),), True),
        ("/client", (bearer(GATEWAY),), False),
        ("/gateway", (bearer(GATEWAY),), True),
    ],
    ids=["unknown", "user", "room service", "gateway's token on /client", "gateway"],
)
def test_the_reserve_of_places_is_for_gateways_and_the_room_service(
    target: str, headers: tuple[tuple[str, str], ...], vital: bool
) -> None:
    answer = verdict(target, *headers)

    assert isinstance(answer, Admitted)
    assert answer.is_vital is vital
