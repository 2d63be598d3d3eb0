"""``/recordings/{uuid}/{segment}/vcon``: evidence of a recording, for its owner and those above."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from sfu_wrapper.core.access import requester
from sfu_wrapper.gateway.rest.dependencies import AuthenticatedRequest
from sfu_wrapper.gateway.rest.files import origin_of
from sfu_wrapper.gateway.rest.problems import documented
from sfu_wrapper.gateway.rest.recordings import SegmentInPath, UuidInPath, json_response, key_of
from sfu_wrapper.model.identity import Identity
from sfu_wrapper.service.recordings.evidence import RecordingEvidence
from sfu_wrapper.wire.evidence import EvidenceModel

_VCON = documented(400, 401, 404, 406, 429, 500, 503)


def evidence_routes(
    evidence: RecordingEvidence, caller: AuthenticatedRequest, public_url: str | None = None
) -> APIRouter:
    """Return the route of evidence.

    Args:
        evidence: makes the documents.
        caller: identifies the requester.
        public_url: address of this server; None: as the requester wrote it.
    """
    router = APIRouter(tags=["recordings"])

    path = "/recordings/{uuid}/{segment}/vcon"

    @router.get(path, response_model=EvidenceModel, responses=_VCON)
    async def get_recording_evidence(
        request: Request,
        by: Annotated[Identity, Depends(caller)],
        uuid: UuidInPath,
        segment: SegmentInPath,
    ) -> Response:
        """Return one document about a recording: people, files with hashes, decision, audit."""
        files = f"{public_url or origin_of(request)}/recordings/{uuid}/{segment}/files"
        key = key_of(uuid, segment)

        def address(name: str) -> str:
            return f"{files}/{quote(name, safe='', errors='surrogateescape')}"

        return json_response(await evidence.of(requester(by), key, address))

    return router
