"""Errors as RFC 9457 problem details: which status goes with which code, and how they are written.

An error of ours never carries more than its detail and its small facts; one that is a bug carries
an incident id that is in the log.
"""

import logging
import uuid
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Response

from sfu_wrapper.model.errors import Broken, Code, RecordingError
from sfu_wrapper.wire.rest import problem_json
from sfu_wrapper.wire.strict_json import dump

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1

log = logging.getLogger(__name__)

STATUS = {
    Code.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    Code.UNKNOWN_ENDPOINT: HTTPStatus.NOT_FOUND,
    Code.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Code.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.ROOM_REQUIRED: HTTPStatus.BAD_REQUEST,
    Code.ROOM_NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.ROOM_EXISTS: HTTPStatus.CONFLICT,
    Code.ROOM_ENDED: HTTPStatus.GONE,
    Code.NOT_IN_ROOM: HTTPStatus.CONFLICT,
    Code.PUBLIC_ROOM: HTTPStatus.CONFLICT,
    Code.PSTN_ROOM: HTTPStatus.CONFLICT,
    Code.NOT_ROOM_OWNER: HTTPStatus.FORBIDDEN,
    Code.NOT_PERMITTED: HTTPStatus.FORBIDDEN,
    Code.NOT_ESTABLISHED: HTTPStatus.CONFLICT,
    Code.ALREADY_RECORDING: HTTPStatus.CONFLICT,
    Code.NOT_RECORDING: HTTPStatus.CONFLICT,
    Code.RECORDING_LIMIT: HTTPStatus.CONFLICT,
    Code.RECORDING_HELD: HTTPStatus.CONFLICT,
    Code.RECORDING_RUNNING: HTTPStatus.CONFLICT,
    Code.RECORDING_DELETED: HTTPStatus.CONFLICT,
    Code.RECORDING_NOT_FAILED: HTTPStatus.CONFLICT,
    Code.RAW_FILES_GONE: HTTPStatus.CONFLICT,
    Code.COUNT_CHANGED: HTTPStatus.CONFLICT,
    Code.FILE_LOST: HTTPStatus.CONFLICT,
    Code.NOT_MOUNTED: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.LINK_INVALID: HTTPStatus.FORBIDDEN,
    Code.MEDIA_FAILED: HTTPStatus.BAD_GATEWAY,
    Code.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.QUOTA_EXCEEDED: HTTPStatus.FORBIDDEN,
    Code.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
}

# Meaning of a status, for the description of the interface.
MEANINGS = {
    400: "A field or parameter is missing, wrong or not known",
    401: "No token, or an invalid one",
    403: "The role does not allow it",
    404: "Not found, or not visible to the requester",
    406: "The response is application/json, which `Accept` excludes",
    408: "The body took too long",
    409: "Not possible in its present state; `code` says why",
    412: "What is stored is not what `If-Match` or `If-None-Match` says",
    413: "The body is too long",
    415: "The body must be application/json in UTF-8, not encoded",
    416: "The range begins beyond the end of the file",
    429: "Too many requests of this user",
    500: "A bug; `details.incident` is in the log",
    503: "Nothing can be stored or read right now",
}


class HttpRefused(RecordingError):
    """Refusal by a rule of HTTP, with a status of its own."""

    def __init__(
        self, status: HTTPStatus, detail: str, code: Code = Code.BAD_REQUEST, **headers: str
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def respond(error: RecordingError) -> Response:
    """Return the response to a request that was refused or failed."""
    if isinstance(error, HttpRefused):
        return problem(error.status, Code(error.code), error.detail, {}, error.headers)
    if isinstance(error, Broken) or error.code not in STATUS:
        return internal(error)
    code = Code(error.code)
    details = {name: value for name, value in error.context.items() if value != ""}
    return problem(STATUS[code], code, error.detail, details, _headers(error, code))


def internal(error: BaseException) -> Response:
    """Return the response after a bug, with nothing but the incident id in the log."""
    incident = uuid.uuid4().hex
    log.error("http.internalError", extra={"incident": incident}, exc_info=error)
    message = "something went wrong on our side"
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, Code.INTERNAL, message, {"incident": incident})


def problem(
    status: HTTPStatus,
    code: Code,
    detail: str,
    details: Mapping[str, object],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return problem details as a response."""
    body = problem_json(status.value, status.phrase, code, detail, details)
    return Response(dump(body), status.value, headers, MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return the error responses of a route, for the description of the interface."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def _headers(error: RecordingError, code: Code) -> dict[str, str]:
    match code:
        case Code.UNAUTHENTICATED:
            return {"WWW-Authenticate": "Bearer"}
        case Code.RATE_LIMITED:
            return {"Retry-After": str(error.context.get("retryAfter", RETRY_AFTER_S))}
        case Code.OVERLOADED:
            return {"Retry-After": str(RETRY_AFTER_S)}
        case _:
            return {}
