"""What stands behind and beside the gateway in its tests: rooms, a clock, tokens."""

import json

import jwt

from sfu_wrapper.gateway.auth import FixedKey, TokenAuthenticator, secret_key
from sfu_wrapper.gateway.limits import Limits
from sfu_wrapper.gateway.session import GatewayContext
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.sessions import Client, RoomsApi
from sfu_wrapper.wire.signaling import EndRoom, Request, StopRoomRecording, ok_response
from tests.helpers.clocks import NOW_S

SECRET = "a secret of more than thirty-two bytes"

# The product text's own example, byte for byte.
PRODUCT_FRAME = (
    r'{"type":"message","socketId":"0c3ce7ea-3743-4648-8884-3de1af2668d4","data":"{\"type\":'
    r"\"request\",\"payload\":{\"endpoint\":\"startRoomRecording\",\"payload\":{},\"id\":"
    r'\"yyl8SNpGnS8uUzHh-rKr5\"}}"}'
)
PRODUCT_SOCKET = "0c3ce7ea-3743-4648-8884-3de1af2668d4"
PRODUCT_REQUEST = "yyl8SNpGnS8uUzHh-rKr5"


GATEWAY = Identity(DomainId("example"), UserId("gw"), frozenset({Role.GATEWAY}))
"""A gateway whose token does not expire."""


class FakeRooms:
    """Rooms that answer every request at once, but stopRoomRecording, which ``settle`` answers.

    endRoom finds a bug. Each answer is followed by an event to all who are connected.
    """

    def __init__(self) -> None:
        self.present: list[Client] = []
        self.story: list[tuple[str, str, str]] = []
        self.waiting: list[tuple[Client, Request]] = []
        self.size = 0  # bytes of filling in each answer
        self.notices = 0  # that each request causes

    def connected(self, client: Client) -> None:
        self.present.append(client)
        self.story.append(("connected", client.key, client.identity.user))

    def disconnected(self, client: Client) -> None:
        self.present.remove(client)
        self.story.append(("disconnected", client.key, client.identity.user))

    def handle(self, client: Client, request: Request) -> None:
        self.story.append((request.endpoint, client.key, client.identity.user))
        client.charge(self.notices)
        if isinstance(request.payload, EndRoom):
            raise ZeroDivisionError("a bug")
        if isinstance(request.payload, StopRoomRecording):
            self.waiting.append((client, request))
        else:
            self._answer(client, request)

    def settle(self) -> None:
        """Answer what waits."""
        waiting, self.waiting = self.waiting, []
        for client, request in waiting:
            self._answer(client, request)

    def broadcast(self, message: bytes) -> None:
        """An event to everybody."""
        for client in self.present:
            client.deliver(message)

    def users(self) -> list[str]:
        """Who is connected."""
        return [client.identity.user for client in self.present]

    def _answer(self, client: Client, request: Request) -> None:
        body: dict[str, object] = {"room": "60315b4f", "user": client.identity.user}
        if self.size:
            body["filling"] = "x" * self.size
        client.deliver(ok_response(request.endpoint, request.id, body))
        self.broadcast(b'{"type":"event","payload":{"event":"told","payload":{}}}')


def token(**claims: object) -> str:
    """A token of alice's, good for an hour of the standing clock, unless told otherwise."""
    base: dict[str, object] = {
        "sub": "alice",
        "domain": "example",
        "roles": ["user"],
        "exp": NOW_S + 3600,
    }
    given = {key: value for key, value in (base | claims).items() if value is not None}
    return jwt.encode(given, SECRET, "HS256")


def authenticator(clock: Clock) -> TokenAuthenticator:
    """Believes what ``token`` makes."""
    return TokenAuthenticator(FixedKey(secret_key(SECRET, ("HS256",))), clock)


def gate(rooms: RoomsApi, clock: Clock, settings: GatewaySettings | None = None) -> GatewayContext:
    """A gate with all that it needs."""
    settings = settings or GatewaySettings()
    return GatewayContext(settings, rooms, authenticator(clock), clock, Limits(settings))


def request(endpoint: str, request_id: str = "r1", **payload: object) -> str:
    """A request as a client would write it."""
    inner = {"endpoint": endpoint, "payload": payload, "id": request_id}
    return json.dumps({"type": "request", "payload": inner})


def frame(kind: str, socket_id: str, **fields: object) -> str:
    """A gateway frame as a gateway would write it."""
    return json.dumps({"type": kind, "socketId": socket_id, **fields})


def vouched(user: str, **fields: object) -> dict[str, object]:
    """The ``user`` of a connect frame."""
    return {"id": user, "domain": "example", **fields}
