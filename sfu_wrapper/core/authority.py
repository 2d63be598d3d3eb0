"""Who may read and write stored permissions (http.md, "Permissions"); changes nothing.

Whoever has not the role is told so, whatever is asked about. Whoever has it for another domain gets
the same answer as where nothing is stored.
"""

from dataclasses import dataclass

from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Identity, Role
from sfu_wrapper.model.ids import DomainId, UserId, UserKey


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose permission: a user's, or (user None) a domain's."""

    domain: DomainId
    user: UserId | None = None


def nothing_there() -> Refused:
    """The one answer to all that is not stored, or not for the requester."""
    return Refused(Code.NOT_FOUND, "there is no such permission for you")


def require_may_read(by: Identity, subject: Subject) -> None:
    """The domain's administrator, and the room service."""
    if not by.is_service:
        _require_admin(by, subject.domain)


def require_may_write(by: Identity, subject: Subject) -> None:
    """The domain's administrator alone."""
    _require_admin(by, subject.domain)


def require_may_write_own(by: Identity, user_may_write: bool) -> None:
    """A user, where the operator lets users write (``permissions.userMayWrite``)."""
    if not by.roles & {Role.USER, Role.DOMAIN_ADMIN}:
        raise Refused(Code.FORBIDDEN, "only users have permissions of their own")
    if not user_may_write:
        raise Refused(Code.FORBIDDEN, "users may not change permissions here; ask an administrator")


def require_may_ask(by: Identity, user: UserKey) -> None:
    """Whoever asks about itself; about others as ``require_may_read``."""
    if user != by.key:
        require_may_read(by, Subject(user.domain, user.user))


def _require_admin(by: Identity, domain: DomainId) -> None:
    if Role.DOMAIN_ADMIN not in by.roles:
        raise Refused(Code.FORBIDDEN, "the token has not the role domain-admin")
    if by.domain != domain:
        raise nothing_there()
