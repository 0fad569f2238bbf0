"""Every "no" of the product: its stable code, its family, and what the person can do about it.

A rule refuses by raising `Refusal`. The code is a promise to callers and never changes; the
sentences are for people. `shared/web.py` alone knows which status a family has on the wire.
Source: domain 8.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Family(Enum):
    """What kind of "no" it is."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    STALE = "stale"
    TOO_LARGE = "too large"
    INVALID = "invalid"
    CONDITION_MISSING = "condition missing"
    TOO_MANY = "too many"
    BROKEN = "broken"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Entry:
    """One code of the catalogue: `title` is fixed per code, `remedy` says what to do next."""

    family: Family
    title: str
    remedy: str


CATALOGUE: Mapping[str, Entry] = {
    "already_decided": Entry(
        Family.CONFLICT,
        "Somebody else decided this request first",
        "Nothing is left to do. The answer names the role that decided, and when.",
    ),
    "cardinality_reached": Entry(
        Family.CONFLICT,
        "This role has no free seat in this place",
        "A seat becomes free when a present holder leaves the role.",
    ),
    "code_wrong": Entry(
        Family.INVALID,
        "The confirmation code is not right or no longer valid",
        "Type the eight digits of the newest message. After five tries, or 24 hours, file the request again.",
    ),
    "community_closed": Entry(
        Family.CONFLICT,
        "This community does not take requests at this time",
        "Choose another community, or wait until this one is announced.",
    ),
    "community_invalid": Entry(
        Family.INVALID,
        "The community file cannot be applied",
        "Mend every fault that the answer names, then validate it again.",
    ),
    "could_not_be_confirmed": Entry(
        Family.CONFLICT,
        "We could not confirm these details",
        "Check what you typed. If all of it is right, contact the help desk.",
    ),
    "document_refused": Entry(
        Family.INVALID,
        "This file cannot be accepted",
        "Send a PDF, JPEG, GIF or PNG file of at most 10 MB. The content decides, not the file's name.",
    ),
    "expired": Entry(
        Family.CONFLICT,
        "This request ran out of time",
        "File a new request.",
    ),
    "field_invalid": Entry(
        Family.INVALID,
        "Some fields are not right",
        "Each field is named with its rule and an example.",
    ),
    "group_not_active": Entry(
        Family.CONFLICT,
        "This group does not take members at this time",
        "Wait until the group is approved, or contact the organization.",
    ),
    "idempotency_key_reused": Entry(
        Family.INVALID,
        "This Idempotency-Key was used for a different call",
        "Use a new key for each new call, and the same key only to repeat one.",
    ),
    "if_match_required": Entry(
        Family.CONDITION_MISSING,
        "If-Match is missing",
        'Read the request first and send its ETag, like If-Match: "3".',
    ),
    "internal": Entry(
        Family.BROKEN,
        "Something went wrong on our side",
        "Nothing was changed. Tell the help desk the trace_id of this answer.",
    ),
    "may_not_approve": Entry(
        Family.FORBIDDEN,
        "This queue may deny, but not approve",
        "You see the request because nobody else was there to decide it. An approver of its stage can approve.",
    ),
    "not_an_approver": Entry(
        Family.NOT_FOUND,
        "Not found",
        "It does not exist, or it is not yours to decide.",
    ),
    "not_found": Entry(
        Family.NOT_FOUND,
        "Not found",
        "It does not exist, or it is not yours to see.",
    ),
    "organization_not_listed": Entry(
        Family.CONFLICT,
        "The organization is not registered or not approved yet",
        "Contact the organization.",
    ),
    "provider_type_refused": Entry(
        Family.CONFLICT,
        "Providers of this type should not register at this time",
        "Wait until CMS or its contractor tells you to register.",
    ),
    "rate_limited": Entry(
        Family.TOO_MANY,
        "Too many tries",
        "Wait as long as Retry-After says, then try again.",
    ),
    "request_closed": Entry(
        Family.CONFLICT,
        "This request has ended",
        "File a new request if it is still needed.",
    ),
    "security_official_vacant": Entry(
        Family.CONFLICT,
        "The organization has no Security Official at this time",
        "Contact the organization or the help desk.",
    ),
    "self_approval": Entry(
        Family.FORBIDDEN,
        "Nobody decides their own request",
        "Another approver of the same role, or of the next queue, decides it.",
    ),
    "separation_of_duty": Entry(
        Family.CONFLICT,
        "This role cannot be combined with one the person holds",
        "The person can leave the other role first, or another person can take this one.",
    ),
    "stale_version": Entry(
        Family.STALE,
        "The request has changed since you read it",
        "Read it again and decide on what it says now.",
    ),
    "too_large": Entry(
        Family.TOO_LARGE,
        "This is too large",
        "Send less: a call may carry 64 KiB, a document 10 MB.",
    ),
    "unauthenticated": Entry(
        Family.UNAUTHENTICATED,
        "You are not signed in",
        "Sign in and send the access token as a bearer token.",
    ),
    "unavailable": Entry(
        Family.UNAVAILABLE,
        "The service cannot answer at this moment",
        "Try again shortly: nothing was changed.",
    ),
}
"""Only what the product can answer today: a code enters together with the rule that raises it."""


@dataclass(frozen=True)
class FieldFault:
    """What is wrong with one field: where it is, the rule it breaks, and a value that would do."""

    pointer: str
    """JSON pointer into the body, like `/applicant/email`."""
    rule: str
    example: str


class Refusal(Exception):  # noqa: N818 - a rule's no is an answer, not a malfunction.
    """A rule's "no". `code` is of the catalogue; `facts` are what the caller may know besides.

    Facts go to the caller as they are, so they hold no personal data of anybody else.
    """

    def __init__(self, code: str, detail: str = "", *, faults: tuple[FieldFault, ...] = (), **facts: object) -> None:
        self.code = code
        self.entry = CATALOGUE[code]
        self.detail = detail or self.entry.remedy
        self.faults = faults
        self.facts = facts
        super().__init__(f"{code}: {self.detail}")


def invalid(pointer: str, rule: str, example: str) -> Refusal:
    """Return the refusal of one field."""
    return Refusal("field_invalid", faults=(FieldFault(pointer, rule, example),))
