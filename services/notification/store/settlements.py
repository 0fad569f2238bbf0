"""What others have settled, until the next digest tells of it."""

from collections import defaultdict
from uuid import UUID

from sqlalchemy import DateTime, Text, Uuid, bindparam, delete, exists, select
from sqlalchemy.dialects.postgresql import insert

from services.notification import domain
from services.notification.tables import notice, settlement
from shared.database import Transaction
from shared.ids import PersonId, RequestId

_HAVE_BEEN_TOLD = ("sending", "unknown", "sent")
"""States in which the mail that asked for the decision has left, or is leaving."""


_ADD = (
    insert(settlement)
    .from_select(
        ["person_id", "request_id", "occasion", "community_id", "how", "role", "settled_at", "heard_at"],
        select(
            notice.c.recipient_id,
            bindparam("of", type_=Uuid),
            bindparam("at_occasion", type_=Text),
            bindparam("in_community", type_=Text),
            bindparam("settled", type_=Text),
            bindparam("as_role", type_=Text),
            bindparam("at", type_=DateTime(timezone=True)),
            bindparam("now", type_=DateTime(timezone=True)),
        ).where(
            notice.c.request_id == bindparam("of", type_=Uuid),
            notice.c.name == "decision_needed",
            notice.c.version == bindparam("at_occasion", type_=Text),
            notice.c.state.in_(_HAVE_BEEN_TOLD),
            notice.c.recipient_id.is_distinct_from(bindparam("decided_by", type_=Uuid)),
        ),
    )
    .on_conflict_do_nothing()
)


async def add_settlements(tx: Transaction, one: domain.Settlement) -> None:
    """Keep, for each approver who was told of this work and did not decide it, that it is done."""
    await tx.execute(
        _ADD,
        {
            "of": one.request_id,
            "at_occasion": one.occasion,
            "in_community": one.community_id,
            "settled": one.how,
            "as_role": one.role,
            "at": one.at,
            "now": tx.now,
            "decided_by": one.decided_by,
        },
    )


async def take_settlements(
    tx: Transaction, community_id: str, place_id: UUID, digest: domain.DigestOccasion, limit: int
) -> dict[PersonId, list[domain.SettledWork]]:
    """Return what belongs into this digest, for so many people, and keep it no longer.

    Whoever has had this day's digest already gets what was heard late with the next one.
    """
    has_had_it = exists().where(
        notice.c.name == "settled_by_others",
        notice.c.about_id == place_id,
        notice.c.recipient_id == settlement.c.person_id,
        notice.c.version == digest.day.isoformat(),
    )
    belongs = (settlement.c.community_id == community_id) & (settlement.c.heard_at < digest.until)
    people = select(settlement.c.person_id).distinct().where(belongs, ~has_had_it).limit(limit)
    ids = [row.person_id for row in await tx.rows(people)]
    found: dict[PersonId, list[domain.SettledWork]] = defaultdict(list)
    if ids:
        taken = delete(settlement).where(belongs, settlement.c.person_id.in_(ids)).returning(settlement)
        for row in await tx.rows(taken):
            work = domain.SettledWork(RequestId(row.request_id), row.how, row.role, row.settled_at)
            found[PersonId(row.person_id)].append(work)
    return found
