"""One function for each thing that registration can be asked to do. Lock, decide, save, record, announce.

Where a known person must not be given away, both ways do the same work and give the same answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from services.registration import files, keys, store
from services.registration.domain import fields
from services.registration.domain import requests as domain
from services.registration.keys import Keyring
from shared import audit, names, outbox, replicas, telemetry
from shared.contracts import registration as events
from shared.contracts.community import Community, Kind, unmet_precondition
from shared.database import Transaction
from shared.errors import Refusal, invalid
from shared.ids import DocumentId, PersonId, RequestId, new_id

log = telemetry.logger(__name__)

APPLICANT = "applicant"
"""Who acts where nobody is signed in."""


@dataclass(frozen=True)
class Filed:
    """A request as it stands after filing."""

    request: domain.Request
    community: Community
    kind: Kind
    is_new: bool
    oddities: tuple[domain.Oddity, ...] = ()


# --- Filing ---------------------------------------------------------------------------------------


async def file_request(
    tx: Transaction, ring: Keyring, community_id: str, order: domain.Order, caller: PersonId | None
) -> Filed:
    """File one wish. A signed-in person's is submitted at once; anybody else proves their address first.

    Refuses as `domain.check` does, then with the first unmet precondition. At most one request of a
    person is open for a kind and a place (R5): filing it again returns that one. Somebody who is not
    signed in learns so only after the proof.
    """
    me = None if caller is None else await _acting_person(tx, caller)
    community = await replicas.load_community(tx, community_id)
    if community is None:
        raise invalid("/community_id", "must be a community that this service lists", "provider-supplier")
    wish = domain.check(community, order, signed_in=me is not None, today=tx.now.date())
    if wish.group_id is not None and wish.organization_id is None:
        wish = replace(wish, organization_id=await store.load_scope_of_group(tx, wish.group_id))
        if wish.organization_id is None:
            raise Refusal("organization_not_listed")  # An unknown group's organization is as unknown.
    place = domain.place_of(wish, new_id())
    await _refuse_unmet(tx, community, wish.kind, place)
    request_id = RequestId(new_id())
    telemetry.correlate(request_id)
    draft = domain.Request(
        id=request_id,
        tracking_number=keys.new_tracking_number(),
        community_id=community.id,
        community_version=community.version,
        kind=wish.kind.code,
        place=place,
        place_key=ring.fingerprint("place", *domain.place_words(wish, place)),
        filed_at=tx.now,
        progress=domain.Progress("awaiting_email_proof", tx.now),
    )
    if me is not None and caller is not None:
        return await _file_signed_in(tx, ring, draft, wish, caller, me.applicant)
    who = _identity(ring, draft.id, wish)
    holder = await store.find_account_holder(tx, who.key)
    if holder is not None:
        draft = replace(draft, known_as=holder.person_id, progress=domain.Progress("awaiting_sign_in", tx.now))
    await store.add_request(tx, draft, who)
    audit.record(tx, actor=APPLICANT, act="file_request", subject=draft.id, scope=place.scope_id)
    await _send_code(tx, ring, draft, who.applicant.email, holder, asked_again=False)
    return Filed(draft, community, wish.kind, is_new=True, oddities=wish.oddities)


async def _file_signed_in(
    tx: Transaction,
    ring: Keyring,
    draft: domain.Request,
    wish: domain.Wish,
    caller: PersonId,
    applicant: domain.Applicant,
) -> Filed:
    await store.lock_person(tx, caller)
    open_one = await store.load_open_request(tx, caller, draft)
    if open_one is not None:
        return Filed(open_one, wish.community, wish.kind, is_new=False)
    who = replace(_identity(ring, draft.id, wish), applicant=applicant)
    who = replace(who, email_fingerprint=_email_fingerprint(ring, applicant.email))
    request = _submitted(tx, ring, draft, wish.kind, who, caller)
    await store.add_request(tx, request, who)
    audit.record(tx, actor=caller, act="file_request", subject=request.id, scope=request.place.scope_id)
    return Filed(request, wish.community, wish.kind, is_new=True, oddities=wish.oddities)


async def _acting_person(tx: Transaction, caller: PersonId) -> store.KnownPerson:
    """Return the person of a token. Refuses one whose account cannot act, or of whom we have not heard yet."""
    me = await store.load_known_person(tx, caller)
    if me is None:
        raise Refusal("unavailable")
    if not me.can_act:
        raise Refusal("unauthenticated")
    return me


async def _refuse_unmet(tx: Transaction, community: Community, kind: Kind, place: domain.Place) -> None:
    group_id = place.id if place.kind == "group" else None
    code = unmet_precondition(
        kind, await store.load_surroundings(tx, community.id, place.scope_id, group_id, kind.needs_holder_of)
    )
    if code is not None:
        raise Refusal(code)


def _identity(ring: Keyring, request_id: RequestId, wish: domain.Wish) -> domain.Identity:
    """Return what is stored of an applicant and their data: secret fields locked, the others as typed."""
    applicant = wish.applicant or {}
    values = {**{name: value for name, value in applicant.items() if _is_secret(name)}, **wish.data}
    locked = {
        name: ring.lock(request_id, name, value)
        for name, value in values.items()
        if _is_secret(name) and isinstance(value, str)
    }
    ssn = applicant.get("ssn")
    return domain.Identity(
        applicant=domain.Applicant(
            *(applicant.get(name, "") for name in ("given_name", "family_name", "email", "phone"))
        ),
        email_fingerprint=_email_fingerprint(ring, applicant.get("email", "")),
        key=domain.PersonKey(
            ssn=ring.fingerprint("ssn", ssn) if ssn else None,
            identity=ring.fingerprint("identity", *domain.identity_words(applicant)) if applicant else None,
        ),
        data={name: value for name, value in wish.data.items() if not _is_secret(name)},
        secrets=locked,
    )


def _is_secret(name: str) -> bool:
    return fields.rule_of(name).is_secret


def _email_fingerprint(ring: Keyring, email: str) -> str:
    return ring.fingerprint("email", email.casefold())


# --- The proof of the address ---------------------------------------------------------------------


async def prove_email(tx: Transaction, ring: Keyring, request_id: RequestId, typed: str) -> domain.Request | Refusal:
    """Take a code; submit the draft that it proves, and return the request that the caller may now act on.

    Raises not_found, or an unmet precondition (then the code stays good). *Returns* code_wrong and
    could_not_be_confirmed, so that the try, or the use of the code, remains. If the same person has
    an open request for the same kind and place, that one is returned and the draft goes (R5).
    """
    request = await store.lock_request(tx, request_id)
    if request is None:
        raise Refusal("not_found")
    telemetry.correlate(request_id)
    code = await store.load_newest_code(tx, request_id)
    proved = domain.prove(code, ring.code_fingerprint(request_id, typed), tx.now)
    # A draft that waits for a sign-in has a code that was never mailed: no guess may prove it.
    if code is None or not proved or request.progress.state == "awaiting_sign_in":
        if code is not None and code.is_good(tx.now):
            await store.save_failed_try(tx, code.id)
        audit.record(tx, actor=APPLICANT, act="fail_email_proof", subject=request_id, scope=request.place.scope_id)
        return Refusal("code_wrong")
    await store.save_code_used(tx, code.id)
    audit.record(tx, actor=APPLICANT, act="prove_email", subject=request_id, scope=request.place.scope_id)
    return await _submit_proved(tx, ring, request) if request.is_draft else request


async def _submit_proved(tx: Transaction, ring: Keyring, draft: domain.Request) -> domain.Request | Refusal:
    """Submit a draft in the name of the one person that its fingerprints recognise."""
    who = await store.load_identity(tx, draft.id)
    assert who is not None, "a draft has an identity as long as it is there"
    _, kind = await _still_wanted(tx, draft)
    human = await store.lock_same_person(tx, who.key)
    if human is None:
        return Refusal("could_not_be_confirmed")
    holder = await store.find_account_holder(tx, who.key)
    if holder is not None:  # The account came into being between filing and proof.
        waiting = replace(
            draft, known_as=holder.person_id, progress=domain.Progress("awaiting_sign_in", draft.progress.since_at)
        )
        await store.save_submission(tx, waiting, who)
        await _send_code(tx, ring, waiting, who.applicant.email, holder, asked_again=False)
        return Refusal("could_not_be_confirmed")
    if await store.has_open_elsewhere(tx, human.id, who.email_fingerprint):
        return Refusal("could_not_be_confirmed")
    return await _submit_once(tx, ring, draft, kind, who, human.id)


async def _submit_once(
    tx: Transaction, ring: Keyring, draft: domain.Request, kind: Kind, who: domain.Identity, person_id: PersonId
) -> domain.Request:
    """Submit a draft of a person whose row is locked, unless they have an open one for the same place."""
    open_one = await store.load_open_request(tx, person_id, draft)
    if open_one is not None:
        await store.delete_request(tx, draft.id)
        return open_one
    request = _submitted(tx, ring, draft, kind, who, person_id)
    await store.save_submission(tx, request, who)
    return request


async def submit_signed_in(tx: Transaction, ring: Keyring, request_id: RequestId, caller: PersonId) -> domain.Request:
    """Submit a draft that waits for the sign-in of the person whom its applicant was found to be.

    What the draft says of the applicant gives way to what the account says: nobody proved it.
    Raises not_found for everybody else. Repeating it returns the request.
    """
    draft = await store.lock_request(tx, request_id)
    if draft is None or caller not in (draft.known_as, draft.person_id):
        raise Refusal("not_found")
    telemetry.correlate(request_id)
    me = await _acting_person(tx, caller)
    if not draft.is_draft:
        return draft
    who = await store.load_identity(tx, request_id)
    assert who is not None, "a draft has an identity as long as it is there"
    _, kind = await _still_wanted(tx, draft)
    await store.lock_person(tx, caller)
    proved = domain.Identity(
        me.applicant,
        _email_fingerprint(ring, me.applicant.email),
        domain.PersonKey(None, None),
        who.data,
        {name: locked for name, locked in who.secrets.items() if name in {f.removesuffix("?") for f in kind.fields}},
    )
    audit.record(tx, actor=caller, act="submit_request", subject=request_id, scope=draft.place.scope_id)
    return await _submit_once(tx, ring, draft, kind, proved, caller)


async def ask_code_again(tx: Transaction, ring: Keyring, request_id: RequestId) -> None:
    """Mail a new code, or do nothing: the caller is not told which.

    At most three an hour for a request. Nobody gets one who signs in instead, or whose data was erased.
    """
    request = await store.lock_request(tx, request_id)
    if request is None or await store.count_codes_asked(tx, request_id) >= domain.CODES_AN_HOUR:
        return
    telemetry.correlate(request_id)
    who = await store.load_identity(tx, request_id)
    if who is None or (request.person_id is not None and await store.has_account(tx, request.person_id)):
        return
    holder = await store.find_account_holder(tx, who.key) if request.progress.state == "awaiting_sign_in" else None
    await _send_code(tx, ring, request, who.applicant.email, holder, asked_again=True)
    audit.record(tx, actor=APPLICANT, act="ask_email_code", subject=request_id, scope=request.place.scope_id)


async def _still_wanted(tx: Transaction, draft: domain.Request) -> tuple[Community, Kind]:
    """Return the community and kind of a draft. Refuses what has become impossible since it was filed (R6)."""
    current = await replicas.load_community(tx, draft.community_id)
    if current is not None and not current.open:
        raise Refusal("community_closed")
    community, kind = await load_kind(tx, draft)
    await _refuse_unmet(tx, community, kind, draft.place)
    return community, kind


async def _send_code(
    tx: Transaction,
    ring: Keyring,
    request: domain.Request,
    typed_email: str,
    holder: store.AccountHolder | None,
    *,
    asked_again: bool,
) -> None:
    """Have a code mailed to who filed; or, if that is an account holder, tell the account's own address.

    Both ways make, seal and store a code, so that neither is told from the other by its time.
    """
    code = keys.new_code()
    sealed = ring.seal_for_notification(code)
    expires_at = tx.now + domain.CODE_LIVES
    await store.add_code(
        tx, request.id, ring.code_fingerprint(request.id, code), asked_again=asked_again, expires_at=expires_at
    )
    if request.progress.state == "awaiting_sign_in" and (holder is None or holder.email is None):
        log.warning("an account holder has no address yet", request_id=str(request.id))
        return
    outbox.announce(
        tx,
        scope=request.place.scope_id,
        subject=request.id,
        event=events.EmailCodeAsked(
            request_id=request.id,
            scope_id=request.place.scope_id,
            community_id=request.community_id,
            kind=request.kind,
            email=typed_email if holder is None else holder.email or "",
            purpose="prove_email" if holder is None else "sign_in_needed",
            person_id=None if holder is None else holder.person_id,
            code_sealed=sealed if holder is None else "",
            expires_at=expires_at,
        ),
    )


# --- Submission -----------------------------------------------------------------------------------


def _submitted(
    tx: Transaction, ring: Keyring, draft: domain.Request, kind: Kind, who: domain.Identity, person_id: PersonId
) -> domain.Request:
    """Announce a request as its person's, and return it as it then stands."""
    event = events.RequestSubmitted(
        request_id=draft.id,
        tracking_number=draft.tracking_number,
        community_id=draft.community_id,
        community_version=draft.community_version,
        kind=kind.code,
        scope_id=draft.place.scope_id,
        place_kind=draft.place.kind,
        place_id=draft.place.id,
        applicant=events.Applicant(
            person_id=person_id,
            given_name=who.applicant.given_name,
            family_name=who.applicant.family_name,
            email=who.applicant.email,
            phone=who.applicant.phone,
        ),
        organization=_organization(ring, draft, who) if kind.effect == "activate_organization" else None,
        group=_group(who.data) if kind.effect == "create_group" else None,
        documents_needed=tuple(need.code for need in kind.documents),
        submitted_at=tx.now,
    )
    event_id = outbox.announce(tx, scope=draft.place.scope_id, subject=draft.id, event=event)
    return replace(
        draft,
        person_id=person_id,
        submitted_at=tx.now,
        submitted_event_id=event_id,
        progress=domain.Progress("submitted", tx.now),
    )


def _organization(ring: Keyring, draft: domain.Request, who: domain.Identity) -> events.OrganizationData:
    tin = ring.open(draft.id, "tin", who.secrets["tin"])
    data: Mapping[str, str | tuple[str, ...]] = {**who.data, "tin": tin}
    ptans = data.get("ptans", ())
    return events.OrganizationData(
        legal_business_name=domain.text(data, "legal_business_name"),
        normalised_name=names.normalise_business_name(domain.text(data, "legal_business_name")),
        tin_sealed=ring.seal_for_directory(tin),
        tin_fingerprint=ring.fingerprint("tin", tin),
        duplicate_key=ring.fingerprint("duplicate", *domain.duplicate_words(data)),
        street=domain.text(data, "street"),
        city=domain.text(data, "city"),
        state=domain.text(data, "state"),
        zip_code=domain.text(data, "zip_code"),
        phone=domain.text(data, "phone"),
        provider_type=domain.text(data, "provider_type"),
        npi=domain.text(data, "npi"),
        ptans=(ptans,) if isinstance(ptans, str) else ptans,
    )


def _group(data: domain.Values) -> events.GroupData:
    name = domain.text(data, "group_name")
    return events.GroupData(name=name, normalised_name=names.normalise_name(name))


async def load_kind(tx: Transaction, request: domain.Request) -> tuple[Community, Kind]:
    """Return the community in the version under which a request was filed, and the request's kind."""
    community = await replicas.load_community(tx, request.community_id, request.community_version)
    assert community is not None, "a version stays while a request uses it"
    kind = community.kind(request.kind)
    assert kind is not None, "a version never changes"
    return community, kind


# --- Documents ------------------------------------------------------------------------------------


async def expect_document(tx: Transaction, request_id: RequestId, code: str) -> domain.Request:
    """Return an open request that a document may be added to, and keep it so until the commit.

    Raises not_found (also for a document that this kind does not ask for), request_closed, or
    document_refused when enough were sent.
    """
    request = await store.lock_request(tx, request_id)
    if request is None or request.is_draft:
        raise Refusal("not_found")
    telemetry.correlate(request_id)
    _, kind = await load_kind(tx, request)
    if code not in {need.code for need in kind.documents}:
        raise Refusal("not_found")
    if request.progress.has_ended:
        raise Refusal("request_closed")
    received = [document for document in await store.list_documents(tx, request_id) if document.code == code]
    if len(received) >= domain.DOCUMENTS_OF_ONE_CODE:
        raise Refusal("document_refused", f"At most {domain.DOCUMENTS_OF_ONE_CODE} files are taken for one document.")
    return request


async def add_document(
    tx: Transaction, request_id: RequestId, code: str, stored: files.Stored, by: PersonId | None
) -> tuple[store.Document, bool]:
    """Add a document whose bytes are stored already. Returns it, and whether it is new.

    The same content sent again is the document that is there. Refuses as `expect_document` does.
    """
    request = await expect_document(tx, request_id, code)
    document = store.Document(
        id=DocumentId(new_id()),
        code=code,
        media_type=stored.media_type,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        storage_key=stored.key,
        added_at=tx.now,
    )
    if not await store.add_document(tx, request_id, document):
        known = await store.list_documents(tx, request_id)
        return next(d for d in known if (d.code, d.sha256) == (code, stored.sha256)), False
    await store.add_moment(tx, request_id, tx.now, "document_received")
    audit.record(
        tx,
        actor=by or APPLICANT,
        act="add_document",
        subject=request_id,
        scope=request.place.scope_id,
        document_id=document.id,
    )
    outbox.announce(
        tx,
        scope=request.place.scope_id,
        subject=request_id,
        event=events.DocumentAdded(
            request_id=request_id,
            scope_id=request.place.scope_id,
            document_id=document.id,
            document=code,
            media_type=document.media_type,
            sha256=document.sha256,
            size_bytes=document.size_bytes,
            added_at=tx.now,
        ),
    )
    return document, True


# --- What approval and the directory say ----------------------------------------------------------


async def note_step(tx: Transaction, request_id: RequestId, step: domain.Step, what: str) -> None:
    """Show what approval did about a request. `what` is its line in the timeline."""
    request = await store.lock_request(tx, request_id)
    if request is not None:
        await _note(tx, request, domain.after_step(request.progress, step), step.at, what)


async def note_grant(tx: Transaction, request_id: RequestId, at: datetime) -> None:
    """Show that a request is granted."""
    request = await store.lock_request(tx, request_id)
    if request is not None:
        await _note(tx, request, domain.after_grant(request.progress, at), at, "granted")


async def note_refused_grant(tx: Transaction, request_id: RequestId, round_: int, reason: str, at: datetime) -> None:
    """Show that an approval could not be carried out."""
    request = await store.lock_request(tx, request_id)
    if request is not None:
        now = domain.after_refused_grant(request.progress, round_, reason, at)
        await _note(tx, request, now, at, "refused")


async def _note(tx: Transaction, request: domain.Request, now: domain.Progress | None, at: datetime, what: str) -> None:
    if now is None or request.is_draft:
        return
    await store.save_progress(tx, request, now)
    before = request.progress
    if (before.state, before.stage, before.round, before.roles) != (now.state, now.stage, now.round, now.roles):
        by = (now.decided_as,) if now.decided_as and what in ("approved", "denied") else now.roles
        await store.add_moment(tx, request.id, at, what, by)


# --- What time brings -----------------------------------------------------------------------------


async def expire_drafts(tx: Transaction) -> int:
    """Delete drafts that nobody proved in time, with all that was typed. Returns how many."""
    due = await store.lock_due(tx, "draft_expires_at")
    for draft in due:
        await store.delete_request(tx, draft.id)
        audit.record(tx, actor="timer", act="expire_draft", subject=draft.id, scope=draft.place.scope_id)
    return len(due)


async def erase_identities(tx: Transaction) -> int:
    """Erase who filed what ended without a grant long ago. Returns how many."""
    due = await store.lock_due(tx, "erase_at")
    if due:
        await store.delete_identities(tx, due)
    for request in due:
        audit.record(tx, actor="timer", act="erase_identity", subject=request.id, scope=request.place.scope_id)
    return len(due)


async def announce_again(tx: Transaction) -> int:
    """Say once more what approval has not opened within an hour; after three times, mark it. Returns how many."""
    due = await store.lock_due(tx, "announce_again_at")
    for request in due:
        assert request.submitted_event_id is not None
        outcome = await outbox.resend(tx, request.submitted_event_id, at_most=domain.ANNOUNCED_AGAIN_AT_MOST)
        if await store.save_announced_again(tx, request, was_sent=outcome is outbox.Resent.AGAIN):
            log.error("unopened", request_id=str(request.id))
            audit.record(tx, actor="timer", act="mark_unopened", subject=request.id, scope=request.place.scope_id)
    return len(due)
