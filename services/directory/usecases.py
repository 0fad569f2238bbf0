"""What the directory can be asked to do: one function each, inside a transaction that the edge owns.

Lock, decide, save, record, announce.
"""

import hashlib
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from joserfc.jwk import ECKey

from services.directory import domain, store
from shared import audit, outbox, secrets, tokens
from shared.contracts import approval, registration
from shared.contracts.community import Community, Kind
from shared.contracts.directory import (
    AccountChanged,
    AccountIssued,
    AccountState,
    CommunityState,
    GrantApplied,
    GrantRefused,
    GroupActivated,
    GroupState,
    OrganizationActivated,
    OrganizationState,
    PasswordLinkAsked,
    PersonState,
    RoleAssignmentState,
    RoleGranted,
    TokenKeyState,
)
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import (
    AssignmentId,
    PersonId,
    PlaceId,
    RequestId,
    ScopeId,
    assignment_id,
    community_place,
    directory_scope,
    new_id,
)
from shared.replicas import load_community

SIGNING_KEY_LIVES = timedelta(days=90)
_COOKIE_BYTES = 32


@dataclass(frozen=True)
class Keys:
    """What the directory encrypts, opens and seals with."""

    vault: secrets.Vault
    private_jwk: Mapping[str, Any]
    """Opens what registration has sealed to the directory: TINs."""
    notification_jwk: Mapping[str, Any]
    """Seals what only a mail may carry: set-password tokens."""


# --- Grants -----------------------------------------------------------------------------------


async def keep_dossier(tx: Transaction, keys: Keys, it: registration.RequestSubmitted) -> None:
    """Keep what a request asks for, and grant it if its approval is there already."""
    case = await store.lock_case(tx, it.request_id)
    if case.dossier is not None or case.outcome in ("applied", "ended"):
        return
    await store.save_case(tx, it.request_id, dossier=it.model_dump(mode="json"))
    await _grant_if_whole(tx, keys, it.request_id)


async def keep_approval(tx: Transaction, keys: Keys, it: approval.RequestApproved) -> None:
    """Keep an approval, and grant it if the dossier is there already.

    A later round of what was granted is answered again, for whoever has not heard the first answer.
    """
    case = await store.lock_case(tx, it.request_id)
    if case.outcome == "ended" or it.round <= case.answered_round:
        return
    if case.outcome == "applied":
        await _answer_again(tx, it)
        return
    await store.save_case(tx, it.request_id, approval=it.model_dump(mode="json"))
    await _grant_if_whole(tx, keys, it.request_id)


async def _answer_again(tx: Transaction, it: approval.RequestApproved) -> None:
    granted = await store.load_assignment_of(tx, it.request_id)
    await store.save_case(tx, it.request_id, answered_round=it.round)
    outbox.announce(
        tx,
        scope=it.scope_id,
        subject=it.request_id,
        event=GrantApplied(
            request_id=it.request_id,
            round=it.round,
            scope_id=it.scope_id,
            place_id=it.place_id,
            person_id=granted.person_id,
            assignment_id=granted.id,
            account_issued=False,
            applied_at=granted.effective_from,
        ),
    )


async def drop_dossier(tx: Transaction, request_id: RequestId) -> None:
    """Forget the personal data of a request that ended without a grant."""
    case = await store.lock_case(tx, request_id)
    if case.outcome != "applied":
        await store.save_case(tx, request_id, dossier=None, approval=None, outcome="ended", answered_at=tx.now)


async def _grant_if_whole(tx: Transaction, keys: Keys, request_id: RequestId) -> None:
    """Apply an approval once dossier and approval are both there. Answers once per round.

    Which of the two comes second does not matter. The case's lock makes two deliveries wait for
    each other; the scope's lock makes two grants in one organization judge one after the other.
    """
    case = await store.lock_case(tx, request_id)
    if case.dossier is None or case.approval is None:
        return
    dossier = registration.RequestSubmitted.model_validate(case.dossier)
    approved = approval.RequestApproved.model_validate(case.approval)
    community = await load_community(tx, dossier.community_id, dossier.community_version)
    assert community is not None, "a published version stays while a request uses it"
    kind = community.kind(dossier.kind)
    assert kind is not None, "registration files only kinds of the version it names"

    duplicate_key = dossier.organization.duplicate_key if dossier.organization else ""
    await store.lock_scope(tx, dossier.scope_id, also=duplicate_key)
    reason = domain.refusal_of_grant(
        community, kind, dossier.place_id, dossier.scope_id, await _evidence(tx, kind, dossier, approved)
    )
    if reason is None:
        await _grant(tx, keys, community, kind, dossier, approved)
        await store.save_case(
            tx,
            request_id,
            dossier=None,
            approval=None,
            answered_round=approved.round,
            outcome="applied",
            answered_at=tx.now,
        )
        return
    await store.save_case(
        tx, request_id, approval=None, answered_round=approved.round, outcome="refused", answered_at=tx.now
    )
    audit.record(tx, actor="directory", act="refuse_grant", subject=request_id, scope=dossier.scope_id, reason=reason)
    outbox.announce(
        tx,
        scope=dossier.scope_id,
        subject=request_id,
        event=GrantRefused(
            request_id=request_id,
            round=approved.round,
            scope_id=dossier.scope_id,
            reason=reason,
            refused_at=tx.now,
        ),
    )


async def _evidence(
    tx: Transaction, kind: Kind, dossier: registration.RequestSubmitted, approved: approval.RequestApproved
) -> domain.Evidence:
    is_new_place = kind.effect == "create_group"
    return domain.Evidence(
        surroundings=await store.load_surroundings(tx, dossier.scope_id, dossier.place_id),
        holdings=await store.load_holdings(tx, dossier.applicant.person_id, dossier.scope_id),
        seats_taken=await store.count_seats(tx, kind.role, dossier.place_id),
        decider_had_authority=await store.had_role(
            tx, approved.decided_by, approved.capacity.role, approved.capacity.place_id, approved.decided_at
        ),
        is_duplicate_organization=(
            dossier.organization is not None and await store.is_listed_twice(tx, dossier.organization.duplicate_key)
        ),
        is_group_name_taken=(
            is_new_place
            and dossier.group is not None
            and await store.is_name_taken(tx, dossier.scope_id, dossier.group.normalised_name)
        ),
    )


async def _grant(
    tx: Transaction,
    keys: Keys,
    community: Community,
    kind: Kind,
    dossier: registration.RequestSubmitted,
    approved: approval.RequestApproved,
) -> None:
    """Make it so: the place, the person, the account, the role; and say each."""
    if kind.effect == "activate_organization":
        await _activate_organization(tx, keys, dossier)
    elif kind.effect == "create_group":
        await _activate_group(tx, kind, dossier)
    person_id = dossier.applicant.person_id
    account_issued = await _issue_account(tx, keys, dossier)
    role = community.role(kind.role)
    assert role is not None, "a published community names only its own roles"
    new_assignment = assignment_id(dossier.request_id, kind.role)
    await store.add_assignment(
        tx,
        id=new_assignment,
        person_id=person_id,
        role=kind.role,
        place_kind=role.place,
        place_id=dossier.place_id,
        scope_id=dossier.scope_id,
        community_id=community.id,
        effective_from=tx.now,
        request_id=dossier.request_id,
        decided_by=approved.decided_by,
    )
    audit.record(
        tx,
        actor=approved.decided_by,
        act="grant_role",
        subject=new_assignment,
        scope=dossier.scope_id,
        person=person_id,
        role=kind.role,
        request=dossier.request_id,
    )
    _announce_role(
        tx,
        RoleGranted(
            assignment_id=new_assignment,
            person_id=person_id,
            role=kind.role,
            place_kind=role.place,
            place_id=dossier.place_id,
            scope_id=dossier.scope_id,
            community_id=community.id,
            request_id=dossier.request_id,
            decided_by=approved.decided_by,
            decided_as=approved.capacity.role,
            effective_from=tx.now,
        ),
    )
    if kind.effect == "assign_role" and role.place == "group":
        await _give_back_administrator(tx, dossier.place_id)
    outbox.announce(
        tx,
        scope=dossier.scope_id,
        subject=dossier.request_id,
        event=GrantApplied(
            request_id=dossier.request_id,
            round=approved.round,
            scope_id=dossier.scope_id,
            place_id=dossier.place_id,
            person_id=person_id,
            assignment_id=new_assignment,
            account_issued=account_issued,
            applied_at=tx.now,
        ),
    )


async def _activate_organization(tx: Transaction, keys: Keys, dossier: registration.RequestSubmitted) -> None:
    data = dossier.organization
    assert data is not None, "a request for an organization carries its data"
    tin = secrets.unseal(keys.private_jwk, data.tin_sealed)
    await store.add_organization(
        tx,
        id=dossier.scope_id,
        community_id=dossier.community_id,
        status="active",
        legal_business_name=data.legal_business_name,
        normalised_name=data.normalised_name,
        tin_locked=keys.vault.lock(tin, bound_to=f"organization.tin {dossier.scope_id}"),
        tin_fingerprint=data.tin_fingerprint,
        duplicate_key=data.duplicate_key,
        street=data.street,
        city=data.city,
        state=data.state,
        zip_code=data.zip_code,
        phone=data.phone,
        provider_type=data.provider_type,
        npi=data.npi,
        ptans=list(data.ptans),
        request_id=dossier.request_id,
        effective_from=tx.now,
    )
    audit.record(tx, actor="directory", act="activate_organization", subject=dossier.scope_id, scope=dossier.scope_id)
    outbox.announce(
        tx,
        scope=dossier.scope_id,
        subject=dossier.scope_id,
        event=OrganizationActivated(
            organization_id=dossier.scope_id,
            community_id=dossier.community_id,
            request_id=dossier.request_id,
            effective_from=tx.now,
        ),
    )
    outbox.publish_state(
        tx,
        scope=dossier.scope_id,
        entity=dossier.scope_id,
        version=1,
        state=OrganizationState(
            organization_id=dossier.scope_id,
            community_id=dossier.community_id,
            status="active",
            legal_business_name=data.legal_business_name,
            city=data.city,
            state=data.state,
            duplicate_key=data.duplicate_key,
            effective_from=tx.now,
        ),
    )


async def _activate_group(tx: Transaction, kind: Kind, dossier: registration.RequestSubmitted) -> None:
    assert dossier.group is not None, "a request for a group carries its name"
    assert kind.group_kind is not None, "a validated kind that creates a group says which"
    await store.add_group(
        tx,
        id=dossier.place_id,
        organization_id=dossier.scope_id,
        community_id=dossier.community_id,
        kind=kind.group_kind,
        status="active",
        name=dossier.group.name,
        normalised_name=dossier.group.normalised_name,
        request_id=dossier.request_id,
        effective_from=tx.now,
    )
    audit.record(tx, actor="directory", act="activate_group", subject=dossier.place_id, scope=dossier.scope_id)
    outbox.announce(
        tx,
        scope=dossier.scope_id,
        subject=dossier.place_id,
        event=GroupActivated(
            group_id=dossier.place_id,
            organization_id=dossier.scope_id,
            group_kind=kind.group_kind,
            request_id=dossier.request_id,
            effective_from=tx.now,
        ),
    )
    _publish_group(
        tx,
        version=1,
        group_id=dossier.place_id,
        organization_id=dossier.scope_id,
        community_id=dossier.community_id,
        status="active",
        group_kind=kind.group_kind,
        name=dossier.group.name,
        normalised_name=dossier.group.normalised_name,
        effective_from=tx.now,
    )


def _publish_group(tx: Transaction, *, version: int, **state: Any) -> None:
    """Publish what is now true of a user group, in its organization's scope."""
    now = GroupState(**state)
    outbox.publish_state(tx, scope=now.organization_id, entity=now.group_id, version=version, state=now)


async def _give_back_administrator(tx: Transaction, group_id: PlaceId) -> None:
    """A group that was without administrator and has one now is active again."""
    row = await store.save_group_status(tx, group_id, "active")
    if row is None:
        return
    _publish_group(
        tx,
        version=row.version,
        group_id=group_id,
        organization_id=row.organization_id,
        community_id=row.community_id,
        status="active",
        group_kind=row.kind,
        name=row.name,
        normalised_name=row.normalised_name,
        effective_from=row.effective_from,
    )


def _announce_role(tx: Transaction, granted: RoleGranted) -> None:
    """Say that a role is held from now on, as a fact and as the assignment's first state."""
    outbox.announce(tx, scope=granted.scope_id, subject=granted.assignment_id, event=granted)
    outbox.publish_state(
        tx,
        scope=granted.scope_id,
        entity=granted.assignment_id,
        version=1,
        state=RoleAssignmentState(
            assignment_id=granted.assignment_id,
            person_id=granted.person_id,
            role=granted.role,
            place_kind=granted.place_kind,
            place_id=granted.place_id,
            scope_id=granted.scope_id,
            community_id=granted.community_id,
            status="active",
            effective_from=granted.effective_from,
        ),
    )


# --- People and accounts ----------------------------------------------------------------------


async def _issue_account(tx: Transaction, keys: Keys, dossier: registration.RequestSubmitted) -> bool:
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
    await _make_account(tx, keys, applicant.person_id, dossier.community_id, dossier.request_id)
    return True


async def _make_account(
    tx: Transaction, keys: Keys, person_id: PersonId, community_id: str, request_id: RequestId | None
) -> str:
    """Write an invited account and send its set-password link; return the user ID."""
    user_id = domain.new_user_id()
    while not await store.add_account(tx, person_id, user_id, community_id):
        user_id = domain.new_user_id()
    link = await _make_password_link(tx, keys, person_id)
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
    _publish_account(tx, person_id, "invited", version=1)
    known = await store.next_person_version(tx, person_id)
    outbox.publish_state(
        tx,
        scope=person_id,
        entity=person_id,
        version=known.version,
        state=PersonState(
            person_id=person_id,
            given_name=known.given_name,
            family_name=known.family_name,
            email=known.email,
            user_id=user_id,
        ),
    )
    return user_id


@dataclass(frozen=True)
class _Link:
    id: UUID
    sealed: str
    expires_at: Any


async def _make_password_link(tx: Transaction, keys: Keys, person_id: PersonId) -> _Link:
    token = randomness.token_urlsafe(_COOKIE_BYTES)
    link = _Link(new_id(), secrets.seal(keys.notification_jwk, token), tx.now + domain.PASSWORD_LINK_LIVES)
    await store.add_password_link(
        tx, id=link.id, token_hash=digest(token), person_id=person_id, asked_at=tx.now, expires_at=link.expires_at
    )
    return link


def _publish_account(tx: Transaction, person_id: PersonId, state: Any, *, version: int) -> None:
    outbox.publish_state(
        tx, scope=person_id, entity=person_id, version=version, state=AccountState(person_id=person_id, status=state)
    )


async def ask_password_link(tx: Transaction, keys: Keys, user_id: str) -> None:
    """Send a new set-password link. Says nothing of whether there is such an account.

    At most three an hour; further ones are quietly not sent. Source: domain 6.
    """
    found = await store.find_account(tx, domain.normalise_user_id(user_id))
    if found is None or found.state not in ("invited", "active"):
        return
    account = await store.lock_account(tx, found.person_id)
    assert account is not None
    if (
        await store.count_password_links(tx, account.person_id, tx.now - timedelta(hours=1))
        >= domain.PASSWORD_LINKS_AN_HOUR
    ):
        return
    link = await _make_password_link(tx, keys, account.person_id)
    saved = await store.save_account(tx, account.person_id)
    audit.record(tx, actor=account.person_id, act="ask_password_link", subject=account.person_id)
    outbox.announce(
        tx,
        scope=account.person_id,
        subject=account.person_id,
        event=PasswordLinkAsked(
            person_id=account.person_id,
            user_id=account.user_id,
            community_id=saved.community_id,
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
    """Store the password of a link's owner and end all their links and sessions; False if it is good no more.

    `password_hash` is made outside the transaction: argon2 takes its time by design.
    """
    link = await store.find_password_link(tx, digest(token))
    if link is None:
        return False
    person_id = PersonId(link.person_id)
    # The account first, then its links: two links used at once then wait for each other in one order.
    account = await store.lock_account(tx, person_id)
    still_good = await store.find_password_link(tx, digest(token), lock=True)
    if account is None or account.state not in ("invited", "active") or still_good is None:
        return False
    await store.use_password_links(tx, person_id)
    await store.end_sessions(tx, person_id)
    saved = await store.save_account(
        tx, person_id, password_hash=password_hash, state="active", failure_count=0, locked_until=None
    )
    audit.record(tx, actor=person_id, act="set_password", subject=person_id)
    if account.state != "active":
        outbox.announce(
            tx,
            scope=person_id,
            subject=person_id,
            event=AccountChanged(person_id=person_id, previous_state=account.state, state="active", changed_at=tx.now),
        )
        _publish_account(tx, person_id, "active", version=saved.version)
    return True


async def note_failed_sign_in(tx: Transaction, person_id: PersonId) -> None:
    """Count a wrong password; ten in a row lock the account for fifteen minutes. Source: domain 6."""
    account = await store.lock_account(tx, person_id)
    assert account is not None
    count, locked_until = account.after_failure(tx.now)
    await store.save_account(tx, person_id, failure_count=count, locked_until=locked_until)
    audit.record(tx, actor=person_id, act="fail_sign_in", subject=person_id)


@dataclass(frozen=True)
class SignedIn:
    """A fresh session: what the cookie holds, and who it is."""

    cookie: str
    caller: tokens.Caller


async def sign_in(tx: Transaction, person_id: PersonId, *, rehashed: str | None = None) -> SignedIn | None:
    """Begin a session for a person whose password was right; None if the account may not by now."""
    account = await store.lock_account(tx, person_id)
    if account is None or not account.may_try(tx.now):
        return None
    changes: dict[str, object] = {"failure_count": 0, "locked_until": None}
    if rehashed:
        changes["password_hash"] = rehashed
    await store.save_account(tx, person_id, **changes)
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


# --- Operators --------------------------------------------------------------------------------


async def ensure_signing_key(tx: Transaction, keys: Keys) -> None:
    """Make the first key that signs access tokens, or the next when the present one nears its end."""
    await store.lock_scope(tx, directory_scope())
    newest = await store.newest_signing_key(tx)
    if newest is not None and newest.not_after - tx.now > SIGNING_KEY_LIVES / 3:
        return
    kid = str(new_id())
    key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": tokens.ALGORITHM})
    private = key.as_dict(private=True)
    public = {name: value for name, value in private.items() if name != "d"}
    state = TokenKeyState(kid=kid, jwk=public, not_before=tx.now, not_after=tx.now + SIGNING_KEY_LIVES)
    await store.add_signing_key(
        tx,
        private_locked=keys.vault.lock(str(private["d"]), bound_to=f"signing_key {kid}"),
        kid=kid,
        jwk=public,
        not_before=state.not_before,
        not_after=state.not_after,
    )
    audit.record(tx, actor="directory", act="make_signing_key", subject=UUID(kid))
    outbox.publish_state(tx, scope=directory_scope(), entity=kid, version=1, state=state)


async def apply_community(tx: Transaction, it: Community, *, by: str) -> bool:
    """Publish a version of a community; False when this very version is published already.

    Raises community_invalid, which names every fault. Earlier versions stay for the requests that
    were filed under them.
    """
    await store.lock_communities(tx)
    versions = await store.list_versions(tx, it.id)
    same = next((row for row in versions if row.version == it.version), None)
    if same is not None and same.definition == it.model_dump(mode="json"):
        return False
    domain.check_community(it, [row.version for row in versions])
    for row in await store.retire_versions(tx, it.id):
        _publish_community(tx, row.definition, row.version, current=False, record_version=row.record_version)
    await store.add_community(tx, it)
    audit.record(tx, actor=by, act="apply_community", subject=it.place_id, version=it.version)
    _publish_community(tx, it.model_dump(mode="json"), it.version, current=True, record_version=1)
    return True


def _publish_community(
    tx: Transaction, definition: dict[str, Any], version: int, *, current: bool, record_version: int
) -> None:
    community_id = str(definition["id"])
    outbox.publish_state(
        tx,
        scope=community_place(community_id),
        entity=f"{community_id}@{version}",
        version=record_version,
        state=CommunityState(community_id=community_id, version=version, current=current, definition=definition),
    )


async def appoint(
    tx: Transaction,
    keys: Keys,
    *,
    community_id: str,
    role_code: str,
    given_name: str,
    family_name: str,
    email: str,
    by: str,
) -> str:
    """Give a new person a role that operators appoint (the help desk); return their user ID.

    Raises not_found for an unknown community, or a role that people ask for.
    """
    community = await load_community(tx, community_id)
    role = community.role(role_code) if community else None
    if community is None or role is None or not role.appointed_by_operator:
        raise Refusal("not_found", f"No community {community_id} with a role {role_code} that operators appoint.")
    person_id, new_assignment = PersonId(new_id()), AssignmentId(new_id())
    scope_id = ScopeId(community.place_id)
    await store.lock_scope(tx, scope_id)
    await store.add_person(tx, id=person_id, given_name=given_name, family_name=family_name, email=email, phone="")
    user_id = await _make_account(tx, keys, person_id, community_id, None)
    granted = RoleGranted(
        assignment_id=new_assignment,
        person_id=person_id,
        role=role_code,
        place_kind="community",
        place_id=community.place_id,
        scope_id=scope_id,
        community_id=community_id,
        effective_from=tx.now,
    )
    await store.add_assignment(
        tx,
        id=new_assignment,
        person_id=person_id,
        role=role_code,
        place_kind="community",
        place_id=community.place_id,
        scope_id=scope_id,
        community_id=community_id,
        effective_from=tx.now,
    )
    audit.record(tx, actor=by, act="appoint", subject=new_assignment, scope=scope_id, person=person_id, role=role_code)
    _announce_role(tx, granted)
    return user_id
