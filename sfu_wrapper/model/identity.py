"""Identity of a requester, as asserted by a token or by a trusted gateway."""

from dataclasses import dataclass
from enum import StrEnum

from sfu_wrapper.model.ids import DomainId, UserId, UserKey


class Role(StrEnum):
    """Rights of an identity beyond its own rooms (protocol.md, "Connecting")."""

    USER = "user"
    DOMAIN_ADMIN = "domain-admin"
    SERVICE = "service"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Identity:
    """Authenticated user, room service or gateway.

    Attributes:
        domain: home domain of the user.
        user: user id within that domain.
        roles: rights beyond the user's own rooms.
        expires_ms: epoch ms at which the token expires; None: never.
        vouches: domains of the users that a gateway may name; None: its own domain alone.
    """

    domain: DomainId
    user: UserId
    roles: frozenset[Role]
    expires_ms: int | None = None
    vouches: frozenset[DomainId] | None = None

    @property
    def key(self) -> UserKey:
        """User id together with its domain."""
        return UserKey(self.domain, self.user)

    def vouches_for(self, domain: DomainId) -> bool:
        """Return True where this gateway may name users of that domain."""
        return domain == self.domain if self.vouches is None else domain in self.vouches

    @property
    def is_service(self) -> bool:
        """True for the room service, which may act for any user."""
        return Role.SERVICE in self.roles
