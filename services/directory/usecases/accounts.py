"""People get accounts, set passwords, and sign in."""

import hashlib
import secrets as randomness
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.directory import domain, store
from services.directory.usecases import states
from services.directory.usecases.keys import Keys
from shared import audit, outbox, secrets, tokens
from shared.contracts import registration
from shared.contracts.directory import AccountChanged, AccountIssued, PasswordLinkAsked
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId, RequestId, ScopeId, new_id

_COOKIE_BYTES = 32
_MAY_SET_PASSWORD = ("invited", "active", "locked")


async def issue_account(tx: Transaction, keys: Keys, dossier: registration.RequestSubmitted) -> bool:
    """Give the applicant an account with their first grant; False if they have one. Source: R1."""
    applicant = dossier.applicant
    await store.add_person(
        tx,
        id=applicant.person_id,
        given_name=applicant.given_name,
        family_name=applicant.family_name,
        email=applicant.email,
        phone=applicant.phone,
    )
    if await store.lock_account(tx, applicant.person_id) is not None:
        return False
    await make_account(tx, keys, applicant.person_id, dossier.community_id, dossier.request_id)
    return True


async def make_account(
    tx: Transaction, keys: Keys, person_id: PersonId, community_id: str, request_id: RequestId | None
) -> str:
    """Write an invited account and send its set-password link; return the user ID."""
    user_id = domain.new_user_id()
    while (made := await store.add_account(tx, person_id, user_id, community_id)) is None:
        user_id = domain.new_user_id()
    link = _new_link(tx, keys)
    await store.add_password_link(
        tx,
        id=link.id,
        token_hash=link.token_hash,
        person_id=person_id,
        asked_at=tx.now,
        expires_at=link.expires_at,
        asked_for=False,
    )
    audit.record(tx, actor="directory", act="issue_account", subject=person_id)
    outbox.announce(
        tx,
        scope=person_id,
        subject=person_id,
        event=AccountIssued(
            person_id=person_id,
            user_id=user_id,
            community_id=community_id,
            request_id=request_id,
            link_sealed=link.sealed,
            link_expires_at=link.expires_at,
            issued_at=tx.now,
        ),
    )
    states.publish(tx, "account", made._mapping)
    known = await store.next_person_version(tx, person_id)
    states.publish(tx, "person", {**known._mapping, "user_id": user_id})
    return user_id


@dataclass(frozen=True)
class _Link:
    id: UUID
    token_hash: bytes
    sealed: str
    expires_at: datetime


def _new_link(tx: Transaction, keys: Keys) -> _Link:
    token = randomness.token_urlsafe(_COOKIE_BYTES)
    return _Link(
        new_id(), digest(token), secrets.seal(keys.notification_jwk, token), tx.now + domain.PASSWORD_LINK_LIVES
    )


def _say_changed(tx: Transaction, before: domain.Account, row: Any) -> None:
    event = AccountChanged(
        person_id=row.person_id,
        previous_state=before.state,
        state=row.state,
        changed_at=tx.now,
        community_id=row.community_id,
        until=row.locked_until,
    )
    outbox.announce(tx, scope=row.person_id, subject=row.person_id, event=event)
    states.publish(tx, "account", row._mapping)


async def ask_password_link(tx: Transaction, keys: Keys, user_id: str) -> None:
    """Send a new set-password link. Says nothing of whether there is such an account, nor does the time it takes.

    At most three an hour; further ones are quietly not sent. Source: domain 6.
    """
    found = await store.find_account(tx, domain.normalise_user_id(user_id))
    # Nobody's link is made and sealed as well, by the same statements, and then reaches no row.
    person_id = (found or domain.NOBODY).person_id
    await store.lock_account(tx, person_id)
    asked = await store.count_password_links(tx, person_id, tx.now - timedelta(hours=1))
    link = _new_link(tx, keys)
    owner = await store.add_asked_password_link(
        tx,
        person_id if asked < domain.PASSWORD_LINKS_AN_HOUR else domain.NOBODY.person_id,
        id=link.id,
        token_hash=link.token_hash,
        asked_at=tx.now,
        expires_at=link.expires_at,
    )
    if owner is None:
        await store.write_nothing(tx)
        return
    audit.record(tx, actor=person_id, act="ask_password_link", subject=person_id)
    outbox.announce(
        tx,
        scope=person_id,
        subject=person_id,
        event=PasswordLinkAsked(
            person_id=person_id,
            user_id=owner.user_id,
            community_id=owner.community_id,
            link_id=link.id,
            link_sealed=link.sealed,
            link_expires_at=link.expires_at,
            asked_at=tx.now,
        ),
    )


async def owner_of_link(tx: Transaction, token: str) -> domain.Account | None:
    """Return whose password a link sets, or None if it is unknown, used or expired."""
    link = await store.find_password_link(tx, digest(token))
    return await store.load_account(tx, link.person_id) if link else None


async def set_password(tx: Transaction, token: str, password_hash: str) -> bool:
    """Store the password of a link's owner and end all their links, sessions and any lock; False if it is good no more.

    `password_hash` is made outside the transaction: argon2 takes its time by design.
    """
    link = await store.find_password_link(tx, digest(token))
    if link is None:
        return False
    person_id = PersonId(link.person_id)
    # The account first, then its links: two links used at once then wait for each other in one order.
    account = await store.lock_account(tx, person_id)
    still_good = await store.find_password_link(tx, digest(token), lock=True)
    if account is None or account.state not in _MAY_SET_PASSWORD or still_good is None:
        return False
    await store.use_password_links(tx, person_id)
    await store.end_sessions(tx, person_id)
    saved = await store.save_account(
        tx, person_id, password_hash=password_hash, state="active", failure_count=0, locked_until=None
    )
    audit.record(tx, actor=person_id, act="set_password", subject=person_id)
    if account.state != "active":
        _say_changed(tx, account, saved)
    return True


async def end_lock(tx: Transaction, person_id: PersonId) -> None:
    """Let a locked account sign in again if the time of its lock has passed: not if it was locked anew meanwhile."""
    account = await store.lock_account(tx, person_id)
    if account is not None and account.is_lock_over(tx.now):
        await _save_try(tx, account, account.unlocked())


async def _save_try(tx: Transaction, before: domain.Account, after: domain.Account) -> None:
    """Write what a try, or time, has made of an account, and say so if it is locked or unlocked by it."""
    row = await store.save_try(tx, after)
    if row is None or before.state == after.state:
        return
    act = "unlock_account" if after.locked_until is None else "lock_account"
    audit.record(tx, actor="directory", act=act, subject=after.person_id)
    _say_changed(tx, before, row)
    if after.locked_until is not None:
        await store.add_timer(tx, "unlock_account", ScopeId(after.person_id), after.person_id, after.locked_until)


async def check_client(tx: Transaction, client_hash: str, *, alone: bool = False) -> None:
    """Refuse as rate_limited who has tried too many wrong passwords from one address, whoever's they were.

    `alone`, no other call from there is judged until the commit.
    """
    if alone:
        await store.lock_client(tx, client_hash)
    domain.check_client(await store.limit_reached_at(tx, client_hash), tx.now)


async def note_failed_client(tx: Transaction, client_hash: str) -> None:
    """Count a sign-in that failed, known user ID or not, against the address that it came from."""
    await store.add_failed_sign_in(tx, client_hash)


@dataclass(frozen=True)
class SignedIn:
    """A fresh session: what the cookie holds, and who it is."""

    cookie: str
    caller: tokens.Caller


async def sign_in(
    tx: Transaction, person_id: PersonId, fitting_hash: str | None, *, rehashed: str | None = None
) -> SignedIn | None:
    """Begin a session for a person, NOBODY among them, whose password fits `fitting_hash`; None if it may not be.

    The password was compared outside this transaction, since that takes long; None says that it fits nothing. That
    counts: ten in a row lock the account for fifteen minutes (domain 6). Whoever has set another password meanwhile
    has ended what the old one can do. Each refusal is written by the same statements, whyever it is one; only that
    of the try that locks has one more.
    """
    account = await store.lock_account(tx, person_id) or domain.NOBODY
    may_try = account.may_try(tx.now)
    if not may_try or account.password_hash != fitting_hash:
        counts = may_try and fitting_hash is None
        await _save_try(tx, account, account.after_failure(tx.now) if counts else account)
        audit.record(tx, actor=account.person_id, act="fail_sign_in", subject=account.person_id)
        return None
    if rehashed:
        await store.save_account(tx, person_id, password_hash=rehashed)
    await _save_try(tx, account, account.unlocked())
    cookie, session_id = randomness.token_urlsafe(_COOKIE_BYTES), new_id()
    await store.add_session(
        tx,
        id=session_id,
        cookie_hash=digest(cookie),
        person_id=person_id,
        signed_in_at=tx.now,
        last_used_at=tx.now,
    )
    audit.record(tx, actor=person_id, act="sign_in", subject=session_id)
    return SignedIn(cookie, tokens.Caller(person_id, session_id, int(tx.now.timestamp())))


async def renew(tx: Transaction, cookie: str) -> tokens.Caller:
    """Return whom a session's cookie speaks for, and let it live on. Raises unauthenticated."""
    session = await store.lock_session(tx, digest(cookie))
    account = await store.load_account(tx, session.person_id) if session else None
    if session is None or not session.is_alive(tx.now) or account is None or account.state != "active":
        raise Refusal("unauthenticated", "The session has ended: sign in again.")
    await store.save_session(tx, session.id, last_used_at=tx.now)
    return tokens.Caller(session.person_id, session.id, int(session.signed_in_at.timestamp()))


async def sign_out(tx: Transaction, cookie: str) -> None:
    """End a session. Nothing happens to one that has ended, or never was."""
    session = await store.lock_session(tx, digest(cookie))
    if session is not None and session.ended_at is None:
        await store.save_session(tx, session.id, ended_at=tx.now)
        audit.record(tx, actor=session.person_id, act="sign_out", subject=session.id)


def digest(token: str) -> bytes:
    """Return what is kept of a token: long random ones need no salt."""
    return hashlib.sha256(token.encode()).digest()
