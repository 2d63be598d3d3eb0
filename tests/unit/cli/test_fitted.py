"""The numbers of connections fit into the descriptors that the system allows."""

import pytest

from sfu_wrapper.app.parts import fitted
from sfu_wrapper.gateway.settings import GatewaySettings, HttpSettings

WANTED = GatewaySettings(), HttpSettings()


def test_numbers_that_fit_stay_as_they_are() -> None:
    assert fitted(*WANTED, 65_536) == WANTED


@pytest.mark.parametrize("descriptors", [20_000, 4096, 1024, 300])
def test_numbers_that_do_not_fit_shrink_alike(descriptors: int) -> None:
    gateway, http = fitted(*WANTED, descriptors)
    held = (
        gateway.max_connections
        + gateway.reserved_connections
        + gateway.max_unauthenticated
        + http.max_connections
    )

    assert held <= descriptors - 200
    assert 0 < http.max_requests < http.max_connections
    assert gateway.max_unauthenticated >= 4
    assert gateway.max_connections >= 10 * gateway.max_unauthenticated or descriptors == 300
