"""The proof of the address: a code is mailed, taken, and submits the draft or lets its applicant act again."""

from dataclasses import replace

from services.registration import domain, keys, store
from services.registration.keys import Keyring
from services.registration.usecases import limits, submission
from services.registration.usecases.standings import APPLICANT, acting_person, load_kind, require
from shared import audit, outbox, replicas, telemetry
from shared.contracts import registration as events
from shared.contracts.community import Kind
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId, RequestId

log = telemetry.logger(__name__)


async def prove_email(tx: Transaction, ring: Keyring, request_id: RequestId, typed: str) -> domain.Request | Refusal:
    """Take a code; submit the draft that it proves, and return the request that the caller may now act on.

    Raises not_found, rate_limited after too many wrong codes, or what stands against submitting it (then
    the code stays good). *Returns* code_wrong and could_not_be_confirmed, so that the try, or the use of
    the code, remains. If the same person has an open request for the same kind and place, that one is
    returned and the draft goes (R5).
    """
    request = await store.lock_request(tx, request_id)
    if request is None:
        raise Refusal("not_found")
    telemetry.correlate(request_id)
    await limits.refuse_above(tx, domain.WRONG_CODES, str(request_id))
    code = await store.load_newest_code(tx, request_id)
    proved = domain.prove(code, ring.code_fingerprint(request_id, typed), tx.now)
    # A draft that waits for a sign-in has a code that was never mailed: no guess may prove it.
    if code is None or not proved or request.progress.state == "awaiting_sign_in":
        if code is not None and code.is_good(tx.now):
            await store.save_failed_try(tx, code.id)
        await store.add_act(tx, domain.WRONG_CODES, str(request_id))
        audit.record(tx, actor=APPLICANT, act="fail_email_proof", subject=request_id, scope=request.place.scope_id)
        return Refusal("code_wrong")
    await store.save_code_used(tx, code.id)
    audit.record(tx, actor=APPLICANT, act="prove_email", subject=request_id, scope=request.place.scope_id)
    return await _submit_proved(tx, ring, request) if request.is_draft else request


async def _submit_proved(tx: Transaction, ring: Keyring, draft: domain.Request) -> domain.Request | Refusal:
    """Submit a draft in the name of the one person that its fingerprints recognise.

    A person with an open request at another address is submitted with a concern, for the help desk to look
    into; not where the two are about the same. Source: domain 7.
    """
    who = await store.load_identity(tx, draft.id)
    assert who is not None, "a draft has an identity as long as it is there"
    await _refuse_closed(tx, draft)
    human = await store.lock_same_person(tx, who.key)
    if human is None:
        return Refusal("could_not_be_confirmed")
    holder = await store.find_account_holder(tx, who.key)
    # What an account holder has is nobody's to learn by a code.
    kind = await _still_wanted(tx, draft, None if holder else human.id)
    if holder is not None:  # The account came into being between filing and proof.
        waiting = replace(
            draft, known_as=holder.person_id, progress=domain.Progress("awaiting_sign_in", draft.progress.since_at)
        )
        await store.save_submission(tx, waiting, who)
        await send_code(tx, ring, waiting, who.applicant.email, holder)
        return Refusal("could_not_be_confirmed")
    elsewhere = await store.list_open_elsewhere(tx, human.id, who.email_fingerprint)
    if any(domain.is_like(draft, it) for it in elsewhere):
        return Refusal("could_not_be_confirmed")
    if elsewhere:
        draft = replace(draft, concern="identity_mismatch")
    return await submission.submit_once(tx, ring, draft, kind, who, human.id)


async def submit_signed_in(tx: Transaction, ring: Keyring, request_id: RequestId, caller: PersonId) -> domain.Request:
    """Submit a draft that waits for the sign-in of the person whom its applicant was found to be.

    What the draft says of the applicant gives way to what the account says: nobody proved it.
    Raises not_found for everybody else. Repeating it returns the request.
    """
    draft = await require(tx, "submit", await store.lock_request(tx, request_id), caller)
    if not draft.is_draft:
        return draft
    me = await acting_person(tx, caller)
    who = await store.load_identity(tx, request_id)
    assert who is not None, "a draft has an identity as long as it is there"
    await _refuse_closed(tx, draft)
    kind = await _still_wanted(tx, draft, caller)
    await store.lock_person(tx, caller)
    proved = domain.Identity(
        me.applicant,
        ring.email_fingerprint(me.applicant.email),
        domain.PersonKey(None, None),
        who.data,
        {name: locked for name, locked in who.secrets.items() if name in {f.removesuffix("?") for f in kind.fields}},
    )
    audit.record(tx, actor=caller, act="submit_request", subject=request_id, scope=draft.place.scope_id)
    return await submission.submit_once(tx, ring, draft, kind, proved, caller)


async def ask_code_again(tx: Transaction, ring: Keyring, request_id: RequestId) -> None:
    """Mail a new code, or do nothing: the caller is not told which.

    Raises not_found, or rate_limited after three in an hour for a request; both whether or not one is mailed.
    Nobody gets one who signs in instead, or whose data was erased.
    """
    request = await store.lock_request(tx, request_id)
    if request is None:
        raise Refusal("not_found")
    telemetry.correlate(request_id)
    await limits.count_within(tx, domain.CODES, str(request_id))
    who = await store.load_identity(tx, request_id)
    if who is None or (request.person_id is not None and await store.has_account(tx, request.person_id)):
        return
    holder = await store.find_account_holder(tx, who.key) if request.progress.state == "awaiting_sign_in" else None
    await send_code(tx, ring, request, who.applicant.email, holder)
    audit.record(tx, actor=APPLICANT, act="ask_email_code", subject=request_id, scope=request.place.scope_id)


async def send_code(
    tx: Transaction, ring: Keyring, request: domain.Request, typed_email: str, holder: store.AccountHolder | None
) -> None:
    """Have a code mailed to who filed; or, if that is an account holder, tell the account's own address.

    Both ways make, seal and store a code, so that neither is told from the other by its time.
    """
    code = keys.new_code()
    sealed = ring.seal_for_notification(code)
    expires_at = tx.now + domain.CODE_LIVES
    await store.add_code(tx, request.id, ring.code_fingerprint(request.id, code), expires_at=expires_at)
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


async def _refuse_closed(tx: Transaction, draft: domain.Request) -> None:
    """Refuse a draft whose community was closed since it was filed."""
    current = await replicas.load_community(tx, draft.community_id)
    if current is not None and not current.open:
        raise Refusal("community_closed")


async def _still_wanted(tx: Transaction, draft: domain.Request, person_id: PersonId | None) -> Kind:
    """Return the kind of a draft. Refuses what has become impossible since it was filed (R6)."""
    community, kind = await load_kind(tx, draft)
    await submission.refuse_unmet(tx, community, kind, draft, person_id)
    return kind
