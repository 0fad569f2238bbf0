"""What every event about a request says, and the rules under which it was filed."""

from collections.abc import Sequence
from typing import Any

from services.approval import domain, store
from shared import outbox
from shared.contracts import approval as said
from shared.contracts.community import Community, Kind
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId
from shared.replicas import load_community


async def rules_of(tx: Transaction, request: domain.Request) -> tuple[Community, Kind]:
    """Return the community version under which a request was filed, and its kind."""
    community = await load_community(tx, request.community_id, request.community_version)
    if community is None:
        raise Refusal("not_an_approver")  # Not routed yet: there is nobody who may decide.
    kind = community.kind(request.kind)
    assert kind is not None, "registration files only kinds of the version it names"
    return community, kind


def about(request: domain.Request, **changed: Any) -> dict[str, Any]:
    """Return what every event about a request says of it."""
    return {
        "request_id": request.id,
        "scope_id": request.scope_id,
        "community_id": request.community_id,
        "community_version": request.community_version,
        "kind": request.kind,
        "place_kind": request.place_kind,
        "place_id": request.place_id,
        "applicant_id": request.applicant_id,
        "stage": request.stage,
        "round": request.round,
        "version": request.version,
        "revision": request.revision,
        "application": request.application,
        **changed,
    }


def say(tx: Transaction, request: domain.Request, event: said.RequestEvent) -> Any:
    """Announce an event about a request; return its id."""
    return outbox.announce(tx, scope=request.scope_id, subject=request.id, event=event)


async def say_awaiting(tx: Transaction, request: domain.Request, *, always: bool) -> None:
    """Say who may decide; without news about that, only when `always`."""
    approver_ids = await store.name_approvers(tx, request)
    if not approver_ids and not always:
        return
    queues = await store.list_queues(tx, request.id, request.stage)
    say(
        tx,
        request,
        said.RequestAwaitingDecision(
            **about(request),
            queues=_queues(queues),
            approver_ids=tuple(approver_ids),
            # The address is told when the stage begins, not again with each newcomer elsewhere.
            community_address=always and _at_help_desk(queues),
            since_at=tx.now,
            expires_at=request.expires_at,
        ),
    )


async def say_reminder(tx: Transaction, request: domain.Request, number: int, missing: Sequence[str]) -> None:
    """Say once more whose turn it is: who may decide now, or the applicant whose documents are `missing`."""
    awaited: dict[str, Any] = {"awaited": "documents", "documents_awaited": tuple(missing)}
    if not missing:
        queues = await store.list_queues(tx, request.id, request.stage)
        eligible: list[PersonId] = await store.list_eligible(tx, request.id)
        awaited = {
            "awaited": "decision",
            "queues": _queues(queues),
            "approver_ids": tuple(eligible),
            "community_address": _at_help_desk(queues),
        }
    say(
        tx,
        request,
        said.RequestReminded(
            **about(request),
            **awaited,
            number=number,
            since_at=request.since_at,
            reminded_at=tx.now,
            expires_at=request.expires_at,
        ),
    )


def _queues(queues: list[domain.Queue]) -> tuple[said.Queue, ...]:
    return tuple(said.Queue(role=q.role, place_kind=q.place_kind, place_id=q.place_id) for q in queues)


def _at_help_desk(queues: list[domain.Queue]) -> bool:
    return any(queue.place_kind == "community" for queue in queues)
