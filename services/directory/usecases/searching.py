"""Organizations are found by their numbers, by those who may know them; the record says who has searched."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.directory import domain, store
from services.directory.usecases.keys import Keys
from shared import audit, policy
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId
from shared.policy import Standing
from shared.replicas import list_communities


async def search_organizations(
    tx: Transaction, keys: Keys, me: PersonId, *, tin: str, npi: str, after: tuple[str, UUID] | None, limit: int
) -> Sequence[Any]:
    """Return the organizations with this TIN (nine digits), or this NPI if there is one, that a caller may know.

    Help desk and auditor find every organization of their community, who decides something in it the active ones.
    Raises not_found for who may search in no community.
    """
    action = "search_organizations_by_npi" if npi else "search_organizations_by_tin"
    whole: list[str] = []
    listed: list[str] = []
    held = await store.list_held_by_caller(tx, me)
    for community in await list_communities(tx):
        standings = domain.standings_anywhere(community, held)
        if policy.allows(domain.POLICY, action, standings):
            sees_all = not standings.isdisjoint({Standing.HELP_DESK, Standing.AUDITOR})
            (whole if sees_all else listed).append(community.id)
    if not whole and not listed:
        raise Refusal("not_found")
    # Never for which number: the record is read by more people than may know it.
    audit.record(tx, actor=me, act=action, subject=me)
    return await store.find_organizations(
        tx, whole, listed, npi=npi, tin_fingerprint=keys.tin_fingerprint(tin), after=after, limit=limit
    )
