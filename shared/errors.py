"""Every "no" of the product: its stable code, its family, and what the person can do about it.

A rule refuses by raising `Refusal`. The code is a promise to callers and never changes; the
sentences are for people. `shared/web.py` alone knows which status a family has on the wire.
Source: domain 8.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class SettingsError(Exception):
    """It cannot be done as an operator has told it; the message names each variable and what is wrong.

    Nothing that a caller is told: here, since commands that load no settings know it as well.
    """


class Family(Enum):
    """What kind of "no" it is."""

    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not found"
    NOT_ALLOWED = "not allowed"
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
    """One code of the catalogue: `title` is fixed per code, `remedy` says what to do next, `why` how it comes about."""

    family: Family
    title: str
    remedy: str
    why: str


CATALOGUE: Mapping[str, Entry] = {
    "already_decided": Entry(
        Family.CONFLICT,
        "Somebody else decided this request first",
        "Nothing is left to do. The answer names the role that decided, and when.",
        "The first valid decision on a request wins. Somebody who may decide it as well was faster, or you "
        "decided it yourself before.",
    ),
    "application_not_open": Entry(
        Family.CONFLICT,
        "This application is not open to this role",
        "The application's page says which roles may ask for it. Choose another role, or another application.",
        "A CMS application is open to holders of certain roles, and only while its owner keeps it open.",
    ),
    "already_held": Entry(
        Family.CONFLICT,
        "The person has this already",
        "Nothing is left to do: sign in and look at your access.",
        "The person holds this very role in this very place, or may use this application already on the "
        "strength of the same role.",
    ),
    "cardinality_reached": Entry(
        Family.CONFLICT,
        "This role has no free seat in this place",
        "A seat becomes free when a present holder leaves the role.",
        "The community sets how many people may hold a role in one organization or group: one Security "
        "Official, for example.",
    ),
    "code_wrong": Entry(
        Family.INVALID,
        "The confirmation code is not right or no longer valid",
        "Type the eight digits of the newest message. After five tries, or 24 hours, file the request again.",
        "The eight digits prove that an e-mail address is yours. They are good for 24 hours and five tries, "
        "they work once, and only the newest message counts.",
    ),
    "community_closed": Entry(
        Family.CONFLICT,
        "This community does not take requests at this time",
        "Choose another community, or wait until this one is announced.",
        "Each community decides when it takes requests. One that is announced but not open yet takes none.",
    ),
    "community_invalid": Entry(
        Family.INVALID,
        "The community file cannot be applied",
        "Mend every fault that the answer names, then validate it again.",
        "A community file is applied whole or not at all, so that no request ever meets half a rule.",
    ),
    "could_not_be_confirmed": Entry(
        Family.CONFLICT,
        "We could not confirm these details",
        "Check what you typed. If all of it is right, contact the help desk.",
        "What was typed does not fit what is known elsewhere. Which part it is, nobody is told: the answer "
        "would help whoever guesses.",
    ),
    "document_refused": Entry(
        Family.INVALID,
        "This file cannot be accepted",
        "Send a PDF, JPEG, GIF or PNG file of at most 10 MB. The content decides, not the file's name.",
        "Documents are looked at by people, so only files come in that every reader opens: PDF, JPEG, GIF and"
        " PNG, at most ten for one document.",
    ),
    "expired": Entry(
        Family.CONFLICT,
        "This request ran out of time",
        "File a new request.",
        "Every request has a last day. Nobody decided this one by then, or what it waited for did not come.",
    ),
    "field_invalid": Entry(
        Family.INVALID,
        "Some fields are not right",
        "Each field is named with its rule and an example.",
        "Something that was sent does not follow the rule of its field. All faults are named at once, each "
        "with an example that would do.",
    ),
    "group_not_active": Entry(
        Family.CONFLICT,
        "This group does not take members at this time",
        "Wait until the group is approved, or contact the organization.",
        "A user group takes members while it is approved and has an administrator. Unknown and closed groups "
        "get the same answer.",
    ),
    "idempotency_key_reused": Entry(
        Family.INVALID,
        "This Idempotency-Key was used for a different call",
        "Use a new key for each new call, and the same key only to repeat one.",
        "An Idempotency-Key names one call, so that repeating it is safe. The same key came with something else.",
    ),
    "if_match_required": Entry(
        Family.CONDITION_MISSING,
        "If-Match is missing",
        'Read the request first and send its ETag, like If-Match: "3".',
        "A decision is made on what was read, so it names the version that was read.",
    ),
    "internal": Entry(
        Family.BROKEN,
        "Something went wrong on our side",
        "Nothing was changed. Tell the help desk the trace_id of this answer.",
        "This is a fault of ours. It has been noted with the trace_id of the answer.",
    ),
    "last_security_official": Entry(
        Family.CONFLICT,
        "Nobody else keeps this organization",
        "Find a successor first, who is approved for the role, or close the organization.",
        "An organization without a Security Official and without a Backup would have nobody to decide for it.",
    ),
    "malformed": Entry(
        Family.MALFORMED,
        "What was sent cannot be read",
        "Send JSON in UTF-8: each name once, numbers that JSON knows, no U+0000 anywhere.",
        "What cannot be read in one way only is not read at all: a body that is no JSON, that gives a name twice or "
        "holds NaN, or text with a character that cannot be kept.",
    ),
    "may_not_approve": Entry(
        Family.FORBIDDEN,
        "This queue may deny, but not approve",
        "You see the request because nobody else was there to decide it. An approver of its stage can approve.",
        "The request came into your queue because nobody else was there or nobody acted. Such a queue may "
        "deny it or return it; to approve attests that the approver knows the person.",
    ),
    "method_not_allowed": Entry(
        Family.NOT_ALLOWED,
        "This address does not take this method",
        "Use one of the methods that the Allow header of the answer names.",
        "There is something at this address, but nothing that this method could do to it.",
    ),
    "not_an_approver": Entry(
        Family.NOT_FOUND,
        "Not found",
        "It does not exist, or it is not yours to decide.",
        "A request is decided by those who hold a deciding role in its place at that moment. Everybody else "
        "is told that there is no such thing.",
    ),
    "not_found": Entry(
        Family.NOT_FOUND,
        "Not found",
        "It does not exist, or it is not yours to see.",
        "There is no such thing, or it is not yours to see: the answer is the same.",
    ),
    "not_an_outsider": Entry(
        Family.CONFLICT,
        "A surrogate user group is for people outside the organization",
        "You hold a role inside it: ask for a provider user group instead.",
        "Surrogates are people outside the organization who do Medicare work for it. The person who asks "
        "holds a role inside.",
    ),
    "not_invited": Entry(
        Family.CONFLICT,
        "This community takes requests by invitation only",
        "Type the code of your invitation. It is for one e-mail address, works once, and is good for 60 days.",
        "The owner of an application invites those who should register. The code of the invitation is "
        "missing, not right, used already, for another address, or too old.",
    ),
    "not_returned": Entry(
        Family.CONFLICT,
        "No correction of this request is awaited",
        "A request is corrected after it was returned, once each time. Its status says whose turn it is.",
        "A correction answers a return. This request is not returned, or its correction is on its way already.",
    ),
    "organization_not_listed": Entry(
        Family.CONFLICT,
        "The organization is not registered or not approved yet",
        "Contact the organization.",
        "Only an approved organization can be named. One that is unknown and one that waits for its approval "
        "get the same answer.",
    ),
    "provider_type_refused": Entry(
        Family.CONFLICT,
        "Providers of this type should not register at this time",
        "Wait until CMS or its contractor tells you to register.",
        "CMS opens IACS to one kind of provider after the other.",
    ),
    "rate_limited": Entry(
        Family.TOO_MANY,
        "Too many tries",
        "Wait as long as Retry-After says, then try again.",
        "There were many tries from one place within a short time, as when somebody guesses.",
    ),
    "request_closed": Entry(
        Family.CONFLICT,
        "This request has ended",
        "File a new request if it is still needed.",
        "The request was withdrawn, or closed because what it was about has ended. What has ended stays ended.",
    ),
    "role_not_held": Entry(
        Family.CONFLICT,
        "The role that this rests on is not held any more",
        "Choose one of the roles that you hold now, or ask for the role first.",
        "An entitlement rests on a role and ends with it. The role that was named is not held, or not by the "
        "person who asks.",
    ),
    "security_official_vacant": Entry(
        Family.CONFLICT,
        "The organization has no Security Official at this time",
        "Contact the organization or the help desk.",
        "A Backup Security Official is approved by the Security Official alone, and there is none.",
    ),
    "scope_closed": Entry(
        Family.CONFLICT,
        "The organization or group has ended",
        "Nothing can be asked for or changed there any more.",
        "When an organization or a group ends, its roles, entitlements and open requests end with it.",
    ),
    "self_approval": Entry(
        Family.FORBIDDEN,
        "Nobody decides their own request",
        "Another approver of the same role, or of the next queue, decides it.",
        "Nobody decides on their own request, whatever roles they hold.",
    ),
    "separation_of_duty": Entry(
        Family.CONFLICT,
        "This role cannot be combined with one the person holds",
        "The person can leave the other role first, or another person can take this one.",
        "Nobody holds both sides of a decision: within one organization the Security Official, the Backups "
        "and the members of user groups are different people.",
    ),
    "stale_version": Entry(
        Family.STALE,
        "The request has changed since you read it",
        "Read it again and decide on what it says now.",
        "Somebody moved the request on, or its applicant corrected it, after you had read it.",
    ),
    "surrogate_for_practitioner": Entry(
        Family.CONFLICT,
        "An individual practitioner has no surrogates",
        "A professional who delegates work to others registers an organization instead.",
        "An individual practitioner uses IACS personally and alone.",
    ),
    "too_large": Entry(
        Family.TOO_LARGE,
        "This is too large",
        "Send less: a call may carry 64 KiB, a document 10 MB.",
        "What was sent is larger than anything that is asked for.",
    ),
    "unauthenticated": Entry(
        Family.UNAUTHENTICATED,
        "You are not signed in",
        "Sign in and send the access token as a bearer token.",
        "The access token is missing, too old, or not meant for this product; or the user ID and password do "
        "not fit, or the account cannot sign in now.",
    ),
    "unavailable": Entry(
        Family.UNAVAILABLE,
        "The service cannot answer at this moment",
        "Try again shortly: nothing was changed.",
        "Something that the service stands on, such as its database, does not answer at this moment.",
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
