"""The replicas: people, places, who holds what, which applications rest on it, whose account may act."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from services.notification import domain
from services.notification.tables import account, assignment, person, place
from shared import replicas
from shared.database import Transaction
from shared.ids import PersonId, PlaceId, ScopeId

_HELD = assignment.c.status == "active"


@dataclass(frozen=True)
class Reader:
    """As whom a person may read: their account, and what they hold, place by place."""

    account_status: str | None
    held_roles: Mapping[PlaceId, frozenset[str]]


async def load_reader(tx: Transaction, person_id: PersonId) -> Reader:
    """Return as whom a person may read what is kept about communities."""
    status = await tx.value(select(account.c.status).where(account.c.person_id == person_id))
    rows = await tx.rows(
        select(assignment.c.place_id, func.array_agg(assignment.c.role).label("roles"))
        .where(assignment.c.person_id == person_id, assignment.c.place_kind == "community", _HELD)
        .group_by(assignment.c.place_id)
    )
    return Reader(status, {PlaceId(row.place_id): frozenset(row.roles) for row in rows})


async def list_holders(tx: Transaction, scope_id: ScopeId) -> list[domain.Holder]:
    """Return who holds a role in a scope, in the order of their ids."""
    rows = await tx.rows(
        select(assignment.c.person_id, assignment.c.role, assignment.c.place_id)
        .where(assignment.c.scope_id == scope_id, _HELD)
        .order_by(assignment.c.id)
    )
    return [domain.Holder(PersonId(row.person_id), row.role, row.place_id) for row in rows]


async def save_people(tx: Transaction, people: Sequence[Mapping[str, Any]]) -> None:
    """Keep newer states of people; a user ID that is known stays known."""
    known = insert(person)
    changes = {name: known.excluded[name] for name in ("version", "given_name", "family_name", "email")}
    await tx.execute(
        known.on_conflict_do_update(
            index_elements=["id"],
            set_={**changes, "user_id": func.coalesce(known.excluded.user_id, person.c.user_id)},
            where=person.c.version < known.excluded.version,
        ),
        people,
    )


async def save_user_id(tx: Transaction, person_id: PersonId, user_id: str) -> None:
    """Keep a person's user ID, which never changes."""
    known = insert(person).values(id=person_id, version=0, user_id=user_id)
    await tx.execute(known.on_conflict_do_update(index_elements=["id"], set_={"user_id": known.excluded.user_id}))


async def save_places(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep newer names of organizations and groups."""
    if rows:
        await tx.execute(replicas.newer(insert(place), place, "version"), rows)
