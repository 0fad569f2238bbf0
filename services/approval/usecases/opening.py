"""A request comes in, finds its community, and waits for the documents it needs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.approval import domain, store
from services.approval.domain import State
from services.approval.usecases import stages
from services.approval.usecases.saying import about, rules_of, say, say_awaiting, say_reminder
from shared import audit
from shared.contracts import approval as said
from shared.contracts import registration
from shared.contracts.community import Community, Kind
from shared.database import Transaction
from shared.ids import DocumentId, RequestId
from shared.replicas import load_community


async def open_request(tx: Transaction, it: registration.RequestSubmitted) -> None:
    """Open one request per submitted registration, however often it is delivered.

    A request whose community version has not been heard of yet is opened all the same, and routed
    when that arrives.
    """
    resting = it.rests_on
    request = await store.add_request(
        tx,
        id=it.request_id,
        community_id=it.community_id,
        community_version=it.community_version,
        kind=it.kind,
        scope_id=it.scope_id,
        place_kind=it.place_kind,
        place_id=it.place_id,
        applicant_id=it.applicant.person_id,
        applicant_name=f"{it.applicant.given_name} {it.applicant.family_name}",
        application=it.application,
        resting_id=resting.assignment_id if resting else None,
        resting_role=resting.role if resting else None,
        resting_place_kind=resting.place_kind if resting else None,
        resting_place_id=resting.place_id if resting else None,
        revision=it.revision,
        concern=it.concern,
        documents_needed=list(it.documents_needed),
        state=State.UNROUTED.value,
        stage=0,
        opened_at=tx.now,
        since_at=tx.now,
        expires_at=tx.now + domain.UNROUTED_EXPIRES_AFTER,
        **supplied(it),
    )
    if request is None:
        return
    audit.record(tx, actor=it.applicant.person_id, act="open_request", subject=it.request_id, scope=it.scope_id)
    await store.add_history(tx, it.request_id, "opened")
    if not await _route(tx, request):
        await store.set_timer(tx, it.request_id, "expire", tx.now + domain.UNROUTED_EXPIRES_AFTER)


def supplied(it: registration.RequestSubmitted | registration.RequestResubmitted) -> dict[str, Any]:
    """Return what is kept of the data that an applicant has supplied."""
    if it.organization is not None:
        return {
            "place_name": it.organization.legal_business_name,
            "duplicate_key": it.organization.duplicate_key,
            "us_state": it.organization.state,
        }
    if it.practitioner is not None:
        return {
            "place_name": "",
            "duplicate_key": it.practitioner.duplicate_key,
            "us_state": it.practitioner.state,
        }
    return {"place_name": it.group.name if it.group else ""}


async def route_unrouted(tx: Transaction) -> int:
    """Route the requests whose community has been heard of since; return how many."""
    routed = 0
    for request_id in await store.list_unrouted(tx):
        request = await store.lock_request(tx, request_id)
        assert request is not None
        routed += await _route(tx, request)
    return routed


async def _route(tx: Transaction, request: domain.Request) -> bool:
    """Bring an opened request, which is held, to its first state; False while its community is unknown."""
    community = await load_community(tx, request.community_id, request.community_version)
    kind = community.kind(request.kind) if community else None
    if request.state is not State.UNROUTED or community is None or kind is None:
        return False
    if request.us_state is None and (us_state := await store.us_state_of(tx, request.scope_id)) is not None:
        request = await store.save_request(tx, request.id, us_state=us_state)
    if await store.is_closed(tx, request.id):
        await stages.close(tx, request, "scope_closed")
        return True
    missing = await store.documents_missing(tx, request.id)
    first_stage, state = 1, State.PENDING
    expires_at = domain.stage_expires_at(kind.stage(1, request.rests_on), 0, tx.now)
    if request.concern or missing:
        first_stage, state = 0, State.PENDING if request.concern else State.AWAITING_DOCUMENTS
        request = await _wait(tx, request, kind, state)
        expires_at = request.expires_at
    say(
        tx,
        request,
        said.RequestOpened(
            **about(request, stage=first_stage),
            state=state.value,
            documents_awaited=tuple(missing),
            opened_at=tx.now,
            expires_at=expires_at,
        ),
    )
    if request.concern:
        await _look_into(tx, request, community)
    elif missing:
        await _remind_of_documents(tx, request, community, kind, 1)
    else:
        await stages.enter_stage(tx, request, community, kind, 1)
    return True


async def _wait(tx: Transaction, request: domain.Request, kind: Kind, state: State) -> domain.Request:
    """Let a request wait before its first stage, for as long as its documents may take."""
    expires_at = tx.now + timedelta(days=kind.documents_expire_after_days)
    await store.set_timer(tx, request.id, "expire", expires_at)
    return await store.save_request(tx, request.id, state=state.value, stage=0, since_at=tx.now, expires_at=expires_at)


async def _look_into(tx: Transaction, request: domain.Request, community: Community) -> None:
    """Have the help desk look into a concern first. Its approval means: there is none, go on. Source: domain 7."""
    await stages.add_step(tx, request, [domain.help_desk_queue(community, may_approve=True)], why="concern")
    await say_awaiting(tx, request, always=True)


async def await_documents(
    tx: Transaction, request: domain.Request, community: Community, kind: Kind, missing: Sequence[str]
) -> None:
    """Let a request whose concern was cleared wait for the documents that it needs.

    The first reminder is said at once: until now everybody has heard that it is the help desk's turn.
    """
    request = await _wait(tx, request, kind, State.AWAITING_DOCUMENTS)
    await store.add_history(tx, request.id, "reminded")
    await say_reminder(tx, request, 1, missing)
    await _remind_of_documents(tx, request, community, kind, 2)


async def _remind_of_documents(
    tx: Transaction, request: domain.Request, community: Community, kind: Kind, number: int
) -> None:
    remind_at = domain.reminder_due(kind, request, number, community.calendar)
    if remind_at is not None:
        await store.set_timer(tx, request.id, "remind", remind_at, number=number)


async def add_document(
    tx: Transaction, request_id: RequestId, document_id: DocumentId, code: str, *, actor: str
) -> None:
    """Note a document, and let the request be decided once the last that it needs is there."""
    await store.add_document(tx, id=document_id, request_id=request_id, code=code, added_at=tx.now)
    request = await store.lock_request(tx, request_id)
    if request is None or request.state.is_final or request.state is State.UNROUTED:
        return
    audit.record(tx, actor=actor, act="add_document", subject=request_id, scope=request.scope_id, document=code)
    await store.add_history(tx, request_id, "document_added", reason=code)
    if request.state is not State.AWAITING_DOCUMENTS or await store.documents_missing(tx, request_id):
        return
    community, kind = await rules_of(tx, request)
    await store.stop_timers(tx, request_id)
    await stages.enter_stage(tx, request, community, kind, 1, version=request.version + 1)
