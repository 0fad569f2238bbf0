"""All that is known of what a notice may have to say, gathered for many notices in a few queries."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select

from services.notification import domain
from services.notification.tables import entitlement, person, place, request
from shared import replicas
from shared.contracts.community import Community
from shared.database import Transaction
from shared.ids import RequestId


async def load_known(tx: Transaction, notices: Sequence[domain.Notice], public_url: str) -> list[domain.Known]:
    """Return all that is known for each of these notices, in their order."""
    about = {found for one in notices for found in _requests_of(one)}
    requests = await _load_requests(tx, about)
    people = await _load_people(tx, {found for one in notices for found in (one.recipient_id, _mentioned(one))})
    places = await _load_places(tx, _places_of(notices, [facts for facts, _ in requests.values() if facts]))
    communities = _Communities(tx)

    async def known_of(one: domain.Notice, request_id: RequestId | None) -> domain.Known:
        facts, history = requests.get(request_id, (None, ()))
        community_id = (facts.community_id if facts else None) or one.community_id
        now = await communities.load(community_id, None)
        version = facts.community_version if facts else None
        _, place_id = domain.place_of(one, facts)
        return domain.Known(
            one,
            public_url,
            facts,
            history,
            people.get(one.recipient_id, domain.Person()),
            people.get(_mentioned(one), domain.Person()),
            now if version is None else await communities.load(community_id, version),
            now,
            places.get(facts.scope_id if facts else one.scope_id),
            places.get(UUID(place_id)) if place_id else None,
        )

    known = []
    for one in notices:
        whole = await known_of(one, one.request_id)
        if "assignment_id" in one.detail:
            whole = replace(whole, applications=await _load_ended(tx, one.detail))
        if "settled" in one.detail:
            parts = [await known_of(one, RequestId(UUID(item["request_id"]))) for item in one.detail["settled"]]
            whole = replace(whole, parts=tuple(parts))
        known.append(whole)
    return known


class _Communities:
    """Each version of a community, asked for once."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._loaded: dict[tuple[str, int | None], Community | None] = {}

    async def load(self, community_id: str | None, version: int | None) -> Community | None:
        if community_id is None:
            return None
        key = (community_id, version)
        if key not in self._loaded:
            self._loaded[key] = await replicas.load_community(self._tx, community_id, version)
        return self._loaded[key]


def _requests_of(one: domain.Notice) -> list[RequestId]:
    settled = [RequestId(UUID(item["request_id"])) for item in one.detail.get("settled", ())]
    return [*settled, one.request_id] if one.request_id else settled


def _mentioned(one: domain.Notice) -> UUID | None:
    mentioned = one.detail.get("person_id")
    return UUID(mentioned) if mentioned else None


def _places_of(notices: Sequence[domain.Notice], requests: Sequence[domain.RequestFacts]) -> set[UUID]:
    found: set[UUID | None] = {one.scope_id for one in notices}
    for facts in requests:
        found |= {facts.scope_id, facts.place_id, facts.resting_id}
    found |= {UUID(one.detail["place_id"]) for one in notices if "place_id" in one.detail}
    return {one for one in found if one}


async def _load_requests(
    tx: Transaction, ids: Collection[RequestId]
) -> dict[RequestId | None, tuple[domain.RequestFacts | None, Sequence[Mapping[str, Any]]]]:
    if not ids:
        return {}
    names = list(domain.RequestFacts.__dataclass_fields__)
    rows = await tx.rows(select(request).where(request.c.id.in_(ids)))
    return {
        RequestId(row.id): (domain.RequestFacts(**{name: row._mapping[name] for name in names}), row.history)
        for row in rows
    }


async def _load_people(tx: Transaction, ids: Collection[UUID | None]) -> dict[UUID | None, domain.Person]:
    wanted = [one for one in ids if one]
    if not wanted:
        return {}
    rows = await tx.rows(select(person).where(person.c.id.in_(wanted)))
    return {row.id: domain.Person(row.given_name, row.family_name, row.email, row.user_id) for row in rows}


async def _load_places(tx: Transaction, ids: Collection[UUID]) -> dict[UUID, str]:
    if not ids:
        return {}
    return {row.id: row.name for row in await tx.rows(select(place).where(place.c.id.in_(ids)))}


async def _load_ended(tx: Transaction, detail: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which applications ended with a role: those that had not ended before it. Source: R13."""
    ended_at = datetime.fromisoformat(detail["at"])
    rows = await tx.rows(
        select(entitlement.c.application)
        .where(
            entitlement.c.assignment_id == UUID(detail["assignment_id"]),
            or_(entitlement.c.status == "active", entitlement.c.effective_until >= ended_at),
        )
        .distinct()
        .order_by(entitlement.c.application)
    )
    return tuple(row.application for row in rows)
