"""Who speaks: what a token or a trusted gateway vouches for."""

from dataclasses import dataclass
from enum import StrEnum

from sfu_wrapper.model.ids import DomainId, UserId, UserKey


class Role(StrEnum):
    """What an identity may do beyond its own rooms (protocol.md, "Authentication")."""

    USER = "user"
    DOMAIN_ADMIN = "domain-admin"
    SERVICE = "service"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated user, room service or gateway.

    expires_ms: epoch ms at which the token that says so runs out; None: never.
    vouches: domains whose users a gateway may name; None: its own alone.
    """

    domain: DomainId
    user: UserId
    roles: frozenset[Role]
    expires_ms: int | None = None
    vouches: frozenset[DomainId] | None = None

    @property
    def key(self) -> UserKey:
        """The user that this is."""
        return UserKey(self.domain, self.user)

    def vouches_for(self, domain: DomainId) -> bool:
        """Return True where this gateway may name users of that domain."""
        return domain == self.domain if self.vouches is None else domain in self.vouches

    @property
    def is_service(self) -> bool:
        """Whether it is the room service, which may act for anyone."""
        return Role.SERVICE in self.roles
