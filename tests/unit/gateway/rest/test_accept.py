"""Whether an Accept header lets JSON through."""

import pytest

from sfu_wrapper.gateway.rest.dependencies import accepts_json


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "  ",
        "*/*",
        "application/json",
        "Application/JSON; charset=utf-8",
        "text/html, application/xhtml+xml, */*;q=0.8",
        "application/*;q=0.1",
        "application/json;q=0.001, text/html",
        "text/*;q=0, application/json",
    ],
)
def test_json_is_accepted(accept: str) -> None:
    assert accepts_json(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/xml, text/*",
        "application/json;q=0",
        "application/json;q=0, */*",
        "*/*;q=0.0",
        "application/json;q=nonsense",
        "application/jsonish",
        ",",
    ],
)
def test_json_is_not_accepted(accept: str) -> None:
    assert not accepts_json(accept)
