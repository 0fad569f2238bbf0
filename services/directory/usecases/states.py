"""What is published of each row as it now is: the same by whoever changes it, and when everything is said once more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared import outbox
from shared.contracts.base import State
from shared.contracts.directory import (
    AccountState,
    CommunityState,
    EntitlementState,
    GroupState,
    OrganizationState,
    PersonState,
    PractitionerState,
    RoleAssignmentState,
    TokenKeyState,
)
from shared.database import Transaction
from shared.ids import community_place, directory_scope

Row = Mapping[str, Any]
"""The columns of one row of a table; a person's with the account's `user_id`, where there is one."""


@dataclass(frozen=True)
class _Said:
    """What is said of one row: in which scope, of which entity, in which version."""

    scope: UUID
    entity: UUID | str
    version: int
    state: State


def _of(state: type[State], scope: str, **renamed: str) -> Callable[[Row], _Said]:
    """Return what tells a row whose columns are called as the fields of its state, but for those `renamed`."""

    def said(row: Row) -> _Said:
        values = {**row, **{field: row[column] for field, column in renamed.items()}}
        return _Said(row[scope], row.get("id", row[scope]), row["version"], state.model_validate(values))

    return said


def _community(row: Row) -> _Said:
    state = CommunityState.model_validate({**row, "community_id": row["id"]})
    return _Said(community_place(row["id"]), f"{row['id']}@{row['version']}", row["record_version"], state)


def _key(row: Row) -> _Said:
    return _Said(directory_scope(), row["kid"], row["version"], TokenKeyState.model_validate(dict(row)))


_KINDS: Mapping[str, Callable[[Row], _Said]] = {
    "token_key": _key,
    "community": _community,
    "person": _of(PersonState, "id", person_id="id"),
    "account": _of(AccountState, "person_id", status="state"),
    "organization": _of(OrganizationState, "id", organization_id="id"),
    "practitioner": _of(PractitionerState, "id", practitioner_id="id"),
    "user_group": _of(GroupState, "organization_id", group_id="id", group_kind="kind"),
    "role_assignment": _of(RoleAssignmentState, "scope_id", assignment_id="id"),
    "entitlement": _of(EntitlementState, "scope_id", entitlement_id="id"),
}

KINDS = tuple(_KINDS)
"""The tables whose rows are published. What others are judged by comes first."""


def publish(tx: Transaction, kind: str, row: Row) -> None:
    """Publish what is now true of a row of the table `kind`, in the version that the row says."""
    it = _KINDS[kind](row)
    outbox.publish_state(tx, scope=it.scope, entity=it.entity, version=it.version, state=it.state)
