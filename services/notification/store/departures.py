"""What has ended, until those who are left there have been told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.notification import domain
from services.notification.tables import departure, place
from shared import slices, telemetry
from shared.database import Transaction
from shared.ids import PlaceId, ScopeId

_LOOK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True)
class Due:
    """A departure whose moment to be told has come, and the community in which it took place, if that is known."""

    departure: domain.Departure
    community_id: str | None
    trace: telemetry.Trace


async def add_departure(tx: Transaction, one: domain.Departure) -> None:
    """Keep a departure, once, to be told of a moment later."""
    trace = telemetry.trace()
    await tx.execute(
        insert(departure)
        .values(
            id=one.id,
            what=one.what,
            about_id=one.about_id,
            version=one.version,
            scope_id=one.scope_id,
            place_kind=one.place_kind,
            place_id=one.place_id,
            community_id=one.community_id,
            detail=dict(one.detail),
            tell_at=func.now() + domain.TOLD_AFTER,
            causation_id=trace.causation_id,
            traceparent=trace.traceparent or telemetry.new_traceparent(),
        )
        .on_conflict_do_nothing()
    )


async def lock_departures(tx: Transaction, limit: int) -> list[Due]:
    """Return departures of which to tell, locked against all other workers. They are looked at again later."""
    rows = await tx.rows(
        select(departure, func.coalesce(departure.c.community_id, place.c.community_id).label("whose"))
        .outerjoin(place, place.c.id == departure.c.place_id)
        .where(departure.c.told_at.is_(None), departure.c.tell_at <= func.now())
        .order_by(departure.c.tell_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=departure)
    )
    if rows:
        ids = [row.id for row in rows]
        await tx.execute(update(departure).where(departure.c.id.in_(ids)).values(tell_at=func.now() + _LOOK_AGAIN))
    return [
        Due(
            domain.Departure(
                row.what,
                row.about_id,
                row.version,
                ScopeId(row.scope_id),
                row.place_kind,
                PlaceId(row.place_id),
                row.community_id,
                row.detail,
            ),
            row.whose,
            telemetry.Trace(row.about_id, row.causation_id, row.traceparent),
        )
        for row in rows
    ]


async def save_told(tx: Transaction, departure_ids: Sequence[UUID]) -> None:
    """Note that those who are left were told."""
    if departure_ids:
        await tx.execute(update(departure).where(departure.c.id.in_(departure_ids)).values(told_at=tx.now))


async def delete_departures(tx: Transaction, told_before: datetime) -> int:
    """Forget departures that were told very long ago. Returns how many."""
    return await slices.delete_oldest(tx, departure.c.told_at, told_before)
