"""People, their accounts, links and sessions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from services.directory import domain
from services.directory.tables import account, failed_sign_in, password_link, person, session
from shared import slices
from shared.database import Transaction
from shared.ids import PersonId, new_id

_ADD_PERSON = insert(person).on_conflict_do_nothing()
_LOCK_ACCOUNT = select(account).where(account.c.person_id == bindparam("person_id")).with_for_update()


async def add_person(tx: Transaction, **columns: object) -> None:
    """Write a person; nothing changes when they are known already."""
    await tx.execute(_ADD_PERSON, {"version": 1, **columns})


async def load_person(tx: Transaction, person_id: PersonId) -> Any | None:
    """Return a person's row, or None."""
    return await tx.one(select(person).where(person.c.id == person_id))


async def next_person_version(tx: Transaction, person_id: PersonId) -> Any:
    """Count one more change of what is published of a person; return the row."""
    return (
        await tx.execute(
            update(person).where(person.c.id == person_id).values(version=person.c.version + 1).returning(person)
        )
    ).one()


async def add_account(tx: Transaction, person_id: PersonId, user_id: str, community_id: str) -> Any | None:
    """Write an invited account and return its row; None when the person has one, or the user ID is taken."""
    return await tx.one(
        insert(account)
        .values(person_id=person_id, user_id=user_id, state="invited", community_id=community_id, version=1)
        .on_conflict_do_nothing()
        .returning(account)
    )


def _account(row: Any) -> domain.Account:
    return domain.Account(
        PersonId(row.person_id), row.user_id, row.state, row.password_hash, row.failure_count, row.locked_until
    )


async def load_account(tx: Transaction, person_id: PersonId) -> domain.Account | None:
    """Return a person's account, or None."""
    row = await tx.one(select(account).where(account.c.person_id == person_id))
    return _account(row) if row else None


async def find_account(tx: Transaction, user_id: str) -> domain.Account | None:
    """Return the account of a user ID, or None."""
    row = await tx.one(select(account).where(account.c.user_id == user_id))
    return _account(row) if row else None


async def lock_account(tx: Transaction, person_id: PersonId) -> domain.Account | None:
    """Return a person's account and hold it until the commit, or None."""
    row = await tx.one(_LOCK_ACCOUNT, {"person_id": person_id})
    return _account(row) if row else None


async def save_account(tx: Transaction, person_id: PersonId, **columns: object) -> Any:
    """Write columns of an account and return the row."""
    return (
        await tx.execute(
            update(account)
            .where(account.c.person_id == person_id)
            .values(version=account.c.version + 1, **columns)
            .returning(account)
        )
    ).one()


async def save_try(tx: Transaction, after: domain.Account) -> Any | None:
    """Write what a try to sign in has made of an account and return the row; None, and nothing written, for nobody."""
    return (
        await tx.execute(
            update(account)
            .where(account.c.person_id == after.person_id)
            .values(
                version=account.c.version + 1,
                state=after.state,
                failure_count=after.failure_count,
                locked_until=after.locked_until,
            )
            .returning(account)
        )
    ).one_or_none()


async def add_password_link(tx: Transaction, **columns: object) -> None:
    """Write a set-password link; only the hash of its token is kept."""
    await tx.execute(insert(password_link).values(**columns))


async def add_asked_password_link(tx: Transaction, person_id: PersonId, **columns: object) -> Any | None:
    """Write the link that somebody asks for and return the account's row; None, and nothing written, without one.

    One and the same statement either way: who asks cannot tell by the time it takes.
    """
    link = {"person_id": person_id, "asked_for": True, **columns}
    owner = (
        update(account)
        .where(account.c.person_id == person_id, account.c.state.in_(("invited", "active", "locked")))
        .values(version=account.c.version + 1)
        .returning(account)
        .cte("owner")
    )
    values = [literal(value, password_link.c[name].type).label(name) for name, value in link.items()]
    added = insert(password_link).from_select(list(link), select(*values).select_from(owner)).cte("added")
    return await tx.one(select(owner).add_cte(added))


async def write_nothing(tx: Transaction) -> None:
    """Let the commit wait for the disk, as one does that has written something. Nothing is kept."""
    await tx.execute(select(func.pg_logical_emit_message(True, "iacs", "")))


async def find_password_link(tx: Transaction, token_hash: bytes, *, lock: bool = False) -> Any | None:
    """Return an unused, unexpired link, or None."""
    query = select(password_link).where(
        password_link.c.token_hash == token_hash,
        password_link.c.used_at.is_(None),
        password_link.c.expires_at > tx.now,
    )
    return await tx.one(query.with_for_update() if lock else query)


async def use_password_links(tx: Transaction, person_id: PersonId) -> None:
    """Mark every link of a person as used: setting the password ends the others too."""
    await tx.execute(
        update(password_link)
        .where(password_link.c.person_id == person_id, password_link.c.used_at.is_(None))
        .values(used_at=tx.now)
    )


async def count_password_links(tx: Transaction, person_id: PersonId, since: datetime) -> int:
    """Return how many links a person has asked for since a moment."""
    return int(
        await tx.value(
            select(func.count())
            .select_from(password_link)
            .where(password_link.c.person_id == person_id, password_link.c.asked_for, password_link.c.asked_at > since)
        )
    )


async def add_session(tx: Transaction, **columns: object) -> None:
    """Write a new session; only the hash of its cookie is kept."""
    await tx.execute(insert(session).values(**columns))


async def lock_session(tx: Transaction, cookie_hash: bytes) -> domain.Session | None:
    """Return the session of a cookie and hold it until the commit, or None."""
    row = await tx.one(select(session).where(session.c.cookie_hash == cookie_hash).with_for_update())
    if row is None:
        return None
    return domain.Session(row.id, PersonId(row.person_id), row.signed_in_at, row.last_used_at, row.ended_at)


async def save_session(tx: Transaction, session_id: UUID, **columns: object) -> None:
    """Write columns of a session."""
    await tx.execute(update(session).where(session.c.id == session_id).values(**columns))


async def end_sessions(tx: Transaction, person_id: PersonId) -> None:
    """End every session of a person: whoever has one knew the old password at best."""
    await tx.execute(
        update(session).where(session.c.person_id == person_id, session.c.ended_at.is_(None)).values(ended_at=tx.now)
    )


async def add_failed_sign_in(tx: Transaction, client_hash: str) -> None:
    """Note that a password was wrong, and from where it was tried."""
    await tx.execute(insert(failed_sign_in).values(id=new_id(), client_hash=client_hash, at=tx.now))


async def lock_client(tx: Transaction, client_hash: str) -> None:
    """Let one transaction at a time count the failures of a client, until its commit."""
    await tx.raw.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"failed_sign_in/{client_hash}")


async def limit_reached_at(tx: Transaction, client_hash: str) -> datetime | None:
    """Return when a client failed for the last time but so many as it may; None if it has not so often."""
    found: datetime | None = await tx.value(
        select(failed_sign_in.c.at)
        .where(failed_sign_in.c.client_hash == client_hash, failed_sign_in.c.at > tx.now - domain.FAILURES_COUNT_FOR)
        .order_by(failed_sign_in.c.at.desc())
        .offset(domain.FAILURES_OF_ONE_CLIENT - 1)
        .limit(1)
    )
    return found


async def forget_old_sign_ins(tx: Transaction) -> int:
    """Delete the sessions, links and failures that have been of no use for a while.

    Returns how many; 0 when no more of them wait.
    """
    useless = tx.now - domain.DEAD_SIGN_INS_KEPT
    return slices.left_over(
        await slices.delete_oldest(tx, session.c.ended_at, useless),
        await slices.delete_oldest(tx, session.c.signed_in_at, useless - domain.SESSION_LIVES),
        await slices.delete_oldest(tx, password_link.c.used_at, useless),
        await slices.delete_oldest(tx, password_link.c.expires_at, useless),
        await slices.delete_oldest(tx, failed_sign_in.c.at, tx.now - domain.FAILURES_COUNT_FOR),
    )
