"""Who may read and write stored permissions."""

import pytest

from sfu_wrapper.core.access import (
    Subject,
    require_may_read,
    require_may_read_effective,
    require_may_write,
    require_may_write_own,
)
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId, UserKey

EXAMPLE = DomainId("example")
OTHER = DomainId("other")
ALICE = UserId("alice")


def with_roles(*roles: Role) -> Identity:
    return Identity(EXAMPLE, ALICE, frozenset(roles))


ADMIN = with_roles(Role.DOMAIN_ADMIN)
SERVICE = with_roles(Role.SERVICE)
USER = with_roles(Role.USER)


@pytest.mark.parametrize("user", [None, ALICE, UserId("bob")])
def test_an_admin_reads_and_writes_its_domain_and_everybody_in_it(user: UserId | None) -> None:
    require_may_read(ADMIN, Subject(EXAMPLE, user))
    require_may_write(ADMIN, Subject(EXAMPLE, user))


def test_another_domain_is_not_there_for_an_admin() -> None:
    for require in (require_may_read, require_may_write):
        with pytest.raises(Refused) as refused:
            require(ADMIN, Subject(OTHER))

        assert refused.value.code == Code.NOT_FOUND


def test_the_service_reads_everything_and_writes_nothing() -> None:
    require_may_read(SERVICE, Subject(OTHER, ALICE))
    with pytest.raises(Refused) as refused:
        require_may_write(SERVICE, Subject(EXAMPLE, ALICE))

    assert refused.value.code == Code.FORBIDDEN


def test_a_user_is_refused_by_its_role_whatever_it_asks_about() -> None:
    for subject in (Subject(EXAMPLE), Subject(OTHER), Subject(EXAMPLE, ALICE)):
        with pytest.raises(Refused) as refused:
            require_may_read(USER, subject)

        assert refused.value.code == Code.FORBIDDEN


@pytest.mark.parametrize("roles", [{Role.USER}, {Role.DOMAIN_ADMIN}, {Role.USER, Role.SERVICE}])
def test_users_write_their_own_where_they_may(roles: set[Role]) -> None:
    require_may_write_own(with_roles(*roles), user_may_write=True)
    with pytest.raises(Refused, match="administrator"):
        require_may_write_own(with_roles(*roles), user_may_write=False)


@pytest.mark.parametrize("roles", [set(), {Role.SERVICE}, {Role.GATEWAY}])
def test_who_is_no_user_has_nothing_of_its_own_to_write(roles: set[Role]) -> None:
    with pytest.raises(Refused, match="only users"):
        require_may_write_own(with_roles(*roles), user_may_write=True)


def test_everybody_may_ask_what_counts_for_itself() -> None:
    require_may_read_effective(with_roles(), UserKey(EXAMPLE, ALICE))
    with pytest.raises(Refused):
        require_may_read_effective(USER, UserKey(OTHER, ALICE))
