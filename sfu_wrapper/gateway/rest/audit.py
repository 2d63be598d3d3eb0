"""``/audit``: the chain of a domain by pages, and its head.

Read-only. The visibility of chains is decided by ``service.recordings.audit``.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from sfu_wrapper.gateway.rest.dependencies import AuthenticatedRequest
from sfu_wrapper.gateway.rest.problems import documented
from sfu_wrapper.model.identity import DomainId, Identity
from sfu_wrapper.service.recordings.audit import Audit
from sfu_wrapper.wire.audit import AuditHeadModel, AuditPage, row_json
from sfu_wrapper.wire.rest import ID_LENGTH, ID_PATTERN
from sfu_wrapper.wire.strict_json import dump
from sfu_wrapper.wire.validation import MAX_WHOLE

_ALL = documented(400, 401, 403, 404, 406, 429, 500, 503)
_Chain = Annotated[
    str | None,
    Query(
        description="domain of the chain, your own if left out; `*`: what belongs to no domain",
        pattern=rf"^\*$|{ID_PATTERN}",
        max_length=ID_LENGTH,
    ),
]
_Limit = Annotated[int, Query(ge=1, le=1000, description="entries on one page")]
_After = Annotated[int, Query(ge=0, le=MAX_WHOLE, description="`next` of the page before")]


def audit_routes(audit: Audit, caller: AuthenticatedRequest) -> APIRouter:
    """Return the routes of the audit chains."""
    router = APIRouter(tags=["audit"])

    @router.get("/audit", response_model=AuditPage, responses=_ALL)
    async def list_audit_entries(
        by: Annotated[Identity, Depends(caller)],
        domain: _Chain = None,
        limit: _Limit = 100,
        after: _After = 0,
    ) -> Response:
        """Entries of a chain, the oldest first: a domain-admin's domain's; the service's: any."""
        rows = audit.page(by, _domain(domain), after, limit)
        more = len(rows) == limit
        shown = {
            "entries": [row_json(row) for row in rows],
            "next": rows[-1].number if more else None,
        }
        return Response(dump(shown), media_type="application/json")

    @router.get("/audit/head", response_model=AuditHeadModel, responses=_ALL)
    async def get_audit_head(
        by: Annotated[Identity, Depends(caller)], domain: _Chain = None
    ) -> Response:
        """Return the last entry of a chain: keep it where the controller cannot write."""
        return Response(dump(audit.head(by, _domain(domain))), media_type="application/json")

    return router


def _domain(given: str | None) -> DomainId | None:
    return None if given is None else DomainId(given)
