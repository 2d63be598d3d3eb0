"""``If-Match`` and ``If-None-Match`` (RFC 9110, 13): whether a request is about what is there.

A permission has two fields of four and three values, so that its tag is these two.
"""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Request

from sfu_wrapper.gateway.rest.problems import HttpRefused
from sfu_wrapper.model.identity import RecordingPermissions


def tag(permission: RecordingPermissions) -> str:
    """The ``ETag`` of a stored permission."""
    return f'"{permission.recording_type}.{permission.recording_profile}"'


def unchanged(request: Request, permission: RecordingPermissions) -> bool:
    """Whether the reader has it already (304)."""
    return _names(request.headers.getlist("if-none-match"), permission, weakly=True) is True


def require_match(request: Request, stored: RecordingPermissions | None) -> None:
    """A writer's condition holds.

    Raises:
        HttpRefused: 412.
    """
    wanted = _names(request.headers.getlist("if-match"), stored, weakly=False)
    unwanted = _names(request.headers.getlist("if-none-match"), stored, weakly=True)
    if wanted is False or unwanted is True:
        detail = "what is stored is not what the condition says; read it again"
        raise HttpRefused(HTTPStatus.PRECONDITION_FAILED, detail)


def _names(
    headers: Sequence[str], stored: RecordingPermissions | None, *, weakly: bool
) -> bool | None:
    """Whether the tags of a condition name what is stored; None: there is no condition."""
    if not headers:
        return None
    if stored is None:
        return False
    tags = {part.strip() for part in ",".join(headers).split(",")}
    if weakly:
        tags = {each.removeprefix("W/") for each in tags}
    return "*" in tags or tag(stored) in tags
