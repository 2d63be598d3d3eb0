"""Files of recordings and links to them: ``…/files/{name}``, ``…/links``, ``/links/…``.

``GET`` and ``HEAD`` with ranges and conditions. Everything is sent as an attachment and for private
caches that ask again each time: nothing of it runs in the origin of this server, and nothing is
shown from a cache once it is deleted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from sfu_wrapper.core.access import requester
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.finished import media_type
from sfu_wrapper.core.links import Link
from sfu_wrapper.gateway.rest.conditions import Span, Unsatisfiable, names_tag, wanted_span
from sfu_wrapper.gateway.rest.dependencies import (
    AuthenticatedRequest,
    JsonBodies,
    require_plain_query,
)
from sfu_wrapper.gateway.rest.problems import HttpRefused, documented
from sfu_wrapper.gateway.rest.recordings import SegmentInPath, UuidInPath, json_response, key_of
from sfu_wrapper.gateway.rest.transfers import FileResponse, Transfers, is_head
from sfu_wrapper.gateway.settings import HttpSettings
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Identity
from sfu_wrapper.ports.recording_files import OpenedFile
from sfu_wrapper.service.recordings.files import Offer, RecordingDownloads
from sfu_wrapper.wire.recording_models import MAX_NAME_BYTES, LinkModel, LinkRequest
from sfu_wrapper.wire.recording_rest import link_json, parse_link_request

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_KEY_PATTERN = r"^[0-9a-f]{8}$"
_SIGNATURE_PATTERN = r"^[A-Za-z0-9_-]{43}$"
_LAST_S = 253_402_300_799  # of the year 9999

_CONTENT: dict[int | str, dict[str, object]] = {
    200: {
        "description": "The file; an encrypted one as application/pgp-encrypted",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {"description": "The part that `Range` names"},
    302: {"description": "The file is in an object store, for a minute at `Location`"},
    304: {"description": "Unchanged, as `If-None-Match` says"},
}
_FILE = documented(400, 401, 404, 409, 412, 416, 429, 500, 503) | _CONTENT
_LINKED = documented(400, 403, 404, 409, 412, 416, 429, 500, 503) | _CONTENT
_LOG = documented(400, 401, 404, 429, 500, 503)
_LINK = documented(400, 401, 404, 406, 408, 413, 415, 429, 500, 503)
_LINK_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": LinkRequest.model_json_schema()}},
    }
}

_NameInPath = Annotated[
    str, Path(description="`name` of a file", min_length=1, max_length=MAX_NAME_BYTES)
]


def file_routes(
    downloads: RecordingDownloads,
    caller: AuthenticatedRequest,
    settings: HttpSettings,
    public_url: str | None = None,
) -> APIRouter:
    """Return the routes of files and links.

    Args:
        downloads: the files.
        caller: identifies the requester.
        settings: limits.
        public_url: address of this server for links; None: as the requester wrote it.
    """
    router = APIRouter(tags=["recordings"])
    server = FileServer(downloads, Transfers(settings))
    _file_route(router, server, caller.of_any_type())
    _link_route(router, downloads, caller, JsonBodies(settings), public_url)
    _linked_file_route(router, server)
    _log_route(router, server, caller.of_any_type())
    return router


def _file_route(router: APIRouter, server: "FileServer", reader: AuthenticatedRequest) -> None:
    path = "/recordings/{uuid}/{segment}/files/{name}"

    @router.get(path, responses=_FILE, response_class=Response)
    async def get_recording_file(
        request: Request,
        by: Annotated[Identity, Depends(reader)],
        uuid: UuidInPath,
        segment: SegmentInPath,
        name: _NameInPath,
    ) -> Response:
        """Return a finished file of a recording, whole or a range of it."""
        who = requester(by)
        offer = server.downloads.offer(who, key_of(uuid, segment), name)
        return await server.answer(request, offer, who)


def _link_route(
    router: APIRouter,
    downloads: RecordingDownloads,
    caller: AuthenticatedRequest,
    bodies: JsonBodies,
    public_url: str | None,
) -> None:
    path = "/recordings/{uuid}/{segment}/links"

    @router.post(path, response_model=LinkModel, responses=_LINK, openapi_extra=_LINK_BODY)
    async def create_link(
        request: Request,
        by: Annotated[Identity, Depends(caller)],
        uuid: UuidInPath,
        segment: SegmentInPath,
    ) -> Response:
        """Return an address of a file that works without a token for some seconds."""
        who, key = requester(by), key_of(uuid, segment)
        downloads.require(who, key)  # before the body is even read
        wanted = parse_link_request(await bodies.read(request, by.key))
        origin = public_url or origin_of(request)
        link = await downloads.sign(who, downloads.offer(who, key, wanted.name), wanted.seconds)
        return json_response(link_json(f"{origin}{link_path(link)}", link.expires_s * 1000))


def _linked_file_route(router: APIRouter, server: "FileServer") -> None:
    @router.get("/links/{uuid}/{segment}/{name}", responses=_LINKED, response_class=Response)
    async def get_linked_file(
        request: Request,
        uuid: UuidInPath,
        segment: SegmentInPath,
        name: _NameInPath,
        expires: Annotated[int, Query(ge=0, le=_LAST_S, description="epoch s")],
        key: Annotated[str, Query(pattern=_KEY_PATTERN, description="id of the key")],
        signature: Annotated[str, Query(pattern=_SIGNATURE_PATTERN)],
    ) -> Response:
        """Return the file of a signed link; the link is the token."""
        require_plain_query(request)
        link = Link(key_of(uuid, segment), name, expires, key, signature)
        return await server.answer(request, server.downloads.linked(link), None)


def _log_route(router: APIRouter, server: "FileServer", reader: AuthenticatedRequest) -> None:
    path = "/recordings/{uuid}/{segment}/log"

    @router.get(path, responses=_LOG, response_class=PlainTextResponse)
    async def get_recording_log(
        by: Annotated[Identity, Depends(reader)], uuid: UuidInPath, segment: SegmentInPath
    ) -> Response:
        """Return the log of the processing of a recording, as text."""
        who, key = requester(by), key_of(uuid, segment)
        opened = await server.downloads.open_log(who, key)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        holder = f"{by.domain}/{by.user}"
        whole = Span(0, opened.size_bytes)
        try:
            return FileResponse(opened, whole, HTTPStatus.OK, headers, server.transfers, holder)
        except BaseException:
            opened.close()
            raise


def link_path(link: Link) -> str:
    """Return the path and query of a link."""
    name = quote(link.name, safe="", errors="surrogateescape")
    query = f"expires={link.expires_s}&key={link.key}&signature={link.signature}"
    return f"/links/{link.recording.uuid}/{link.recording.segment}/{name}?{query}"


def origin_of(request: Request) -> str:
    """Return the address under which the requester sees this server."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise Refused(Code.BAD_REQUEST, "header.host is no address", path="header.host")
    return f"http://{host}"


@dataclass(frozen=True, slots=True)
class FileServer:
    """Answers requests for files that the requester may read."""

    downloads: RecordingDownloads
    transfers: Transfers

    async def answer(self, request: Request, offer: Offer, by: Requester | None) -> Response:
        """Return the file, the range or the refusal that the request leads to.

        Args:
            request: its headers have conditions and range.
            offer: the file.
            by: the requester; None: the holder of a link.

        Raises:
            HttpRefused: 412, 416.
            Refused, Unavailable: as ``RecordingDownloads.open``.
        """
        tag, size = f'"{offer.file.sha256}"', offer.file.size_bytes
        headers = _headers(offer, tag)
        if names_tag(_values(request, "if-match"), tag, weakly=False) is False:
            detail = "the file is not the one that If-Match names"
            raise HttpRefused(HTTPStatus.PRECONDITION_FAILED, detail)
        if names_tag(_values(request, "if-none-match"), tag, weakly=True):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        span = _span(request, tag, size)
        address = await self.downloads.address(offer, by, head=is_head(request))
        if address is not None:
            first = 0 if span is None else span.start
            await self._note(request, offer, by, first)
            return _found(address, tag)
        opened = await self.downloads.open(offer, by)
        try:
            response = self._response(opened, span, headers, _holder(offer, by))
        except BaseException:
            opened.close()
            raise
        try:
            await self._note(request, offer, by, response.span.start)
        except BaseException:
            response.close()
            raise
        return response

    def _response(
        self, opened: OpenedFile, span: Span | None, headers: dict[str, str], holder: str
    ) -> FileResponse:
        size = opened.size_bytes
        if span is None:
            whole = Span(0, size)
            return FileResponse(opened, whole, HTTPStatus.OK, headers, self.transfers, holder)
        headers["Content-Range"] = f"bytes {span.start}-{span.start + span.length - 1}/{size}"
        status = HTTPStatus.PARTIAL_CONTENT
        return FileResponse(opened, span, status, headers, self.transfers, holder)

    async def _note(self, request: Request, offer: Offer, by: Requester | None, first: int) -> None:
        """Store the audit entry of a read from that byte on, before it happens."""
        if not is_head(request):
            link = request.query_params.get("signature", "")
            await self.downloads.note_read(offer, by, link, first)


def _found(address: str, tag: str) -> Response:
    """Return the response that leads to an object, whose address expires."""
    headers = {"Location": address, "ETag": tag, "Cache-Control": "private, no-store"}
    return Response(status_code=HTTPStatus.FOUND, headers=headers)


def _holder(offer: Offer, by: Requester | None) -> str:
    return f"{by.key.domain}/{by.key.user}" if by is not None else f"link to {offer.recording.key}"


def _values(request: Request, name: str) -> Sequence[str]:
    return request.headers.getlist(name)


def _span(request: Request, tag: str, size: int) -> Span | None:
    """Return the range to send, None for the whole. Raises HttpRefused: 416."""
    if is_head(request):
        return None  # ranges are defined for GET alone
    try:
        return wanted_span(_values(request, "range"), _values(request, "if-range"), tag, size)
    except Unsatisfiable:
        detail = f"the range begins beyond the end of the file, which has {size} bytes"
        raise HttpRefused(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, detail, Content_Range=f"bytes */{size}"
        ) from None


def _headers(offer: Offer, tag: str) -> dict[str, str]:
    name = quote(offer.name, safe="", errors="surrogateescape")
    return {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Type": media_type(offer.name),
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        # A file that somebody opens in its own tab can do nothing there.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
