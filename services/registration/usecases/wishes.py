"""What an applicant wishes of a request on its way: to withdraw it, or to correct what was returned.

Approval alone ends a request or decides it again: both are said, and shown as wishes until it answers. Source: R7.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.registration import domain, store
from services.registration.keys import Keyring
from services.registration.usecases import filing, submission
from services.registration.usecases.standings import APPLICANT, load_kind, require
from shared import audit, outbox
from shared.contracts import registration as events
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId, RequestId


async def withdraw_request(tx: Transaction, request_id: RequestId, by: PersonId | None) -> domain.Request | None:
    """Ask approval to end a request, or delete a draft: None once it is gone. `by` None acts by a token.

    Raises not_found for whoever may not, then request_closed. Asking again while the answer is awaited
    says nothing anew.
    """
    request = await require(tx, "withdraw_request", await store.lock_request(tx, request_id), by)
    scope_id = request.place.scope_id
    if request.is_draft:
        await store.delete_request(tx, request_id)
        audit.record(tx, actor=by or APPLICANT, act="delete_draft", subject=request_id, scope=scope_id)
        return None
    domain.require_open(request)
    if request.progress.withdrawal == "asked":
        return request
    request = replace(request, progress=replace(request.progress, withdrawal="asked"))
    await store.save_wish(tx, request)
    await store.add_moment(tx, request_id, tx.now, "withdrawal_asked")
    audit.record(tx, actor=by or APPLICANT, act="ask_withdrawal", subject=request_id, scope=scope_id)
    asked = events.WithdrawalAsked(request_id=request_id, scope_id=scope_id, asked_at=tx.now)
    outbox.announce(tx, scope=scope_id, subject=request_id, event=asked)
    return request


async def correct_request(
    tx: Transaction,
    ring: Keyring,
    request_id: RequestId,
    typed: Mapping[str, str | Sequence[str]],
    by: PersonId | None,
) -> domain.Request:
    """Send a returned request again, with all its data anew; secret fields that are left out stay as filed.

    Raises not_found for whoever may not, request_closed, not_returned, what `domain.check_correction` finds,
    what cannot be any more, and could_not_be_confirmed if it would become a request that the person has open.
    """
    request = await require(tx, "correct_request", await store.lock_request(tx, request_id), by)
    domain.require_correctable(request)
    assert request.person_id is not None, "only a draft is nobody's"
    before = await store.load_identity(tx, request_id)
    assert before is not None, "who filed is known as long as a request is open"
    community, kind = await load_kind(tx, request)
    asked = {name.removesuffix("?") for name in kind.fields}
    filed = {name: ring.open(request_id, name, locked) for name, locked in before.secrets.items() if name in asked}
    values = domain.check_correction(community, kind, {**filed, **typed}, today=tx.now.date())
    await submission.refuse_unmet(tx, community, kind, request, request.person_id, is_filed=True)
    words = domain.place_words(kind, request.place, values, request.application, request.rests_on)
    corrected = replace(
        request,
        place_key=ring.fingerprint("place", *words),
        revision=request.revision + 1,
        progress=replace(request.progress, correction_sent=True),
    )
    await store.lock_person(tx, request.person_id)
    if await store.load_open_request(tx, request.person_id, corrected) is not None:
        raise Refusal("could_not_be_confirmed")
    locked, data = filing.lock_secrets(ring, request_id, values)
    who = replace(before, data=data, secrets={**before.secrets, **locked})
    await store.save_correction(tx, corrected, who)
    await store.add_moment(tx, request_id, tx.now, "resubmitted")
    scope_id = request.place.scope_id
    audit.record(
        tx,
        actor=by or APPLICANT,
        act="correct_request",
        subject=request_id,
        scope=scope_id,
        revision=corrected.revision,
    )
    outbox.announce(
        tx,
        scope=scope_id,
        subject=request_id,
        event=events.RequestResubmitted(
            request_id=request_id,
            scope_id=scope_id,
            round=request.progress.round,
            revision=corrected.revision,
            **submission.said_of(ring, corrected, kind, who),
            resubmitted_at=tx.now,
        ),
    )
    return corrected


async def show_request(
    tx: Transaction, request_id: RequestId, by: PersonId | None
) -> tuple[domain.Request, domain.Identity | None]:
    """Return a request and what its applicant said, without secrets; None for that once it was erased."""
    request = await require(tx, "show_request", await store.load_request(tx, request_id), by)
    if request.is_draft:
        raise Refusal("not_found")
    return request, await store.load_identity(tx, request_id)
