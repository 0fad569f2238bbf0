"""Into which queues a request goes, and when somebody has to look further. Source: R8, domain 3."""

from collections.abc import Collection
from datetime import timedelta

from services.approval.domain.requests import Request
from shared.contracts import community as rules
from shared.contracts.community import Community, Kind, QueueOf, Stage

ABSENCE_IS_SURE_AFTER = timedelta(seconds=25)


def stage_of(kind: Kind, request: Request) -> Stage | None:
    """Return the stage that a request is in; None before the first."""
    return kind.stage(request.stage, request.rests_on) if request.stage else None


def queues_of_stage(community: Community, kind: Kind, request: Request) -> list[QueueOf]:
    """Return the queues that the request's stage begins with."""
    return [
        rules.queue_of(community, decider, request.places)
        for decider in kind.stage(request.stage, request.rests_on).deciders
    ]


def queues_of_step(community: Community, stage: Stage, request: Request) -> list[QueueOf]:
    """Return the queues that the next fallback step adds; none when there is no further step."""
    return [rules.queue_of(community, decider, request.places) for decider in stage.fallback(request.steps_added)]


def queues_added(community: Community, stage: Stage, request: Request) -> list[QueueOf]:
    """Return the queues that the fallback steps have added which were taken already."""
    taken = stage.fallbacks[: request.steps_added]
    return [rules.queue_of(community, decider, request.places) for step in taken for decider in step]


def help_desk_queue(community: Community, *, may_approve: bool = False) -> QueueOf:
    """Return the queue for what nobody else can go on with: the help desk's."""
    role = community.help_desk_role
    return QueueOf(role.code, role.place, community.place_id, may_approve=may_approve)


def documents_missing(needed: Collection[str], received: Collection[str]) -> list[str]:
    """Return the documents still awaited, in the order in which they are asked for."""
    return [code for code in needed if code not in received]
