"""Who may open a WebSocket, and as what (protocol.md, "Connecting").

Decides by path, origin and token alone, before anything is read from the connection.
"""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from websockets.datastructures import Headers

from sfu_wrapper.gateway.auth import Authenticator, bearer
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.model.errors import Refused
from sfu_wrapper.model.identity import Identity, Role


class Path(StrEnum):
    """Where one may connect."""

    CLIENT = "/client"
    GATEWAY = "/gateway"
    MEDIA = "/media"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Come in. identity: None where the client is still to authenticate."""

    path: Path
    identity: Identity | None

    @property
    def is_vital(self) -> bool:
        """Return True for a gateway or the room service, without which no call works."""
        if self.identity is None:
            return False
        return self.path is Path.GATEWAY or self.identity.is_service


@dataclass(frozen=True, slots=True)
class Rejected:
    """Stay out; ``reason`` is for the person who set up the client."""

    status: HTTPStatus
    reason: str


def judge(
    target: str, headers: Headers, settings: GatewaySettings, authenticator: Authenticator
) -> Admitted | Rejected:
    """Decide about one handshake. target: the request target, with its query if it has one."""
    try:
        path = Path(target.partition("?")[0])
    except ValueError:
        return Rejected(HTTPStatus.NOT_FOUND, "connect to /client or /gateway")
    if not _origin_allowed(headers, settings):
        return Rejected(HTTPStatus.FORBIDDEN, "this origin may not connect")
    try:
        identity = bearer(headers.get_all("Authorization"), authenticator)
    except Refused as exc:
        return Rejected(HTTPStatus.UNAUTHORIZED, exc.detail)
    if path is not Path.GATEWAY:
        return Admitted(path, identity)
    if identity is None:
        return Rejected(HTTPStatus.UNAUTHORIZED, "a gateway must bring its token in the handshake")
    if Role.GATEWAY not in identity.roles:
        return Rejected(HTTPStatus.FORBIDDEN, "the token has not the role gateway")
    return Admitted(path, identity)


def _origin_allowed(headers: Headers, settings: GatewaySettings) -> bool:
    """Programs send no origin and no browser leaves it out, so that only a wrong one counts."""
    origins = headers.get_all("Origin")
    return not settings.allowed_origins or settings.allowed_origins.issuperset(origins)
