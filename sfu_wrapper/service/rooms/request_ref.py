"""The name of a request under which it is answered, repeated and kept."""

from dataclasses import dataclass

from sfu_wrapper.model.identity import Identity
from sfu_wrapper.wire.signaling import Request


@dataclass(frozen=True, slots=True)
class RequestRef:
    """Who asked what under which id, with which payload (protocol.md, "Repeats").

    key: the same for every repeat, whatever its payload. Stored with rooms that let it wait.
    """

    key: str
    endpoint: str
    id: str
    digest: bytes

    def __str__(self) -> str:
        """The stored form; no part can hold a line break."""
        return "\n".join((self.key, self.digest.hex()))


def ref_of(identity: Identity, request: Request) -> RequestRef:
    """The name of this request of this user."""
    key = "\n".join((identity.domain, identity.user, request.endpoint, request.id))
    return RequestRef(key, request.endpoint, request.id, request.digest)


def parse_ref(text: str) -> RequestRef:
    """Read the stored form.

    Raises:
        ValueError: it is none, which is a bug of ours.
    """
    domain, user, endpoint, request_id, digest = text.split("\n")
    key = "\n".join((domain, user, endpoint, request_id))
    return RequestRef(key, endpoint, request_id, bytes.fromhex(digest))
