"""The people that registration has met: one row each."""

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from services.registration import domain
from services.registration.store.directory import RECOGNISED
from services.registration.tables import person
from shared.database import Transaction
from shared.ids import PersonId, new_id

_LOCK_MET = select(person).where(RECOGNISED).order_by(person.c.id).with_for_update()


async def lock_person(tx: Transaction, person_id: PersonId) -> None:
    """Let nobody else submit for this person until the commit."""
    statement = insert(person).values(id=person_id)
    await tx.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"id": statement.excluded.id}))


async def lock_same_person(tx: Transaction, key: domain.PersonKey) -> domain.Human | None:
    """Return the one person of these fingerprints, made if nobody has met them; None on a contradiction.

    One insert fixes the id: of two first requests at once, the second waits and meets the first's row.
    """
    await tx.execute(
        insert(person)
        .values(id=new_id(), ssn_fingerprint=key.ssn, identity_fingerprint=key.identity)
        .on_conflict_do_nothing()
    )
    rows = await tx.rows(_LOCK_MET, {"ssn": key.ssn, "identity": key.identity})
    met = [
        domain.Human(PersonId(row.id), domain.PersonKey(row.ssn_fingerprint, row.identity_fingerprint)) for row in rows
    ]
    found = domain.same_person(key, met)
    if found is not None and found.key.ssn is None and key.ssn is not None:
        await tx.execute(update(person).where(person.c.id == found.id).values(ssn_fingerprint=key.ssn))
    return found
