"""What approval can be asked to do: one function each, inside a transaction that the edge owns.

Lock, decide, save, record, announce.
"""

from services.approval.usecases.answers import close_in, note_grant, note_refusal
from services.approval.usecases.deciding import Answer, claim_request, decide_request, release_request
from services.approval.usecases.opening import add_document, open_request, route_unrouted
from services.approval.usecases.waiting import (
    ANNOUNCED_AGAIN_AT_MOST,
    fire_timer,
    forget_names,
    forget_who_was_told,
    look_for_absence,
    name_newcomers,
    name_overlooked,
)
from services.approval.usecases.wishes import take_correction, withdraw_request

__all__ = [
    "ANNOUNCED_AGAIN_AT_MOST",
    "Answer",
    "add_document",
    "claim_request",
    "close_in",
    "decide_request",
    "fire_timer",
    "forget_names",
    "forget_who_was_told",
    "look_for_absence",
    "name_newcomers",
    "name_overlooked",
    "note_grant",
    "note_refusal",
    "open_request",
    "release_request",
    "route_unrouted",
    "take_correction",
    "withdraw_request",
]
