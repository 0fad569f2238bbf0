"""Valid facts for the tests of the shared floor: real types of the published language."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from shared.contracts.approval import RequestExpired
from shared.contracts.directory import AccountState
from shared.ids import PersonId, PlaceId, RequestId, ScopeId, new_id

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def a_request_expired(
    request_id: UUID | None = None, scope_id: UUID | None = None, *, version: int = 1
) -> RequestExpired:
    """An event. `version` tells several of one request apart."""
    scope = ScopeId(scope_id or new_id())
    return RequestExpired(
        request_id=RequestId(request_id or new_id()),
        scope_id=scope,
        community_id="provider-supplier",
        community_version=1,
        kind="join_group",
        place_kind="group",
        place_id=PlaceId(scope),
        applicant_id=PersonId(new_id()),
        stage=1,
        round=1,
        version=version,
        expired_at=NOW,
    )


def an_account(person_id: UUID, status: Literal["invited", "active", "locked"] = "active") -> AccountState:
    """A state."""
    return AccountState(person_id=PersonId(person_id), status=status)
