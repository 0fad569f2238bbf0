"""The sentences behind the codes: why, and what to do next, in plain words. Source: domain 8."""

from shared.errors import CATALOGUE

_FILE_AGAIN = "File a new request when you have mended this. The help desk answers questions."

DENIALS: dict[str, tuple[str, str]] = {
    "document_missing": (
        "A document that this request needs was not among those you sent.",
        "File a new request and send every document that it names.",
    ),
    "document_mismatch": (
        "A document that you sent does not fit what you entered.",
        "Compare the document with your entries, then file a new request.",
    ),
    "duplicate_organization": (
        "This organization is registered already, or is about to be.",
        "Ask its Security Official to add you. If you do not know who that is, contact the help desk.",
    ),
    "wrong_path": (
        "This is not the kind of request that leads to what you need.",
        "Contact the help desk: it tells you which request to file.",
    ),
    "ineligible": (
        "Providers like yours should not register at this time.",
        "Wait until CMS or its contractor tells you to register.",
    ),
    "unknown_person": (
        "The people who decide on this request do not know you.",
        "Speak with them first, then file a new request.",
    ),
    "wrong_group": (
        "Another user group is the right one for you.",
        "Ask the organization which group to join, then file a new request for that one.",
    ),
    "not_needed": (
        "The people who decide on this request see no need for this role.",
        "If your work needs it, speak with them, then file a new request.",
    ),
    "role_conflict": (
        "This role cannot be combined with one that you hold.",
        "Leave the other role first, or let another person take this one.",
    ),
    "not_confirmed": (
        "We could not confirm what you entered.",
        "If all of it is right, contact the help desk.",
    ),
}
"""Denial reason -> why, and what to do."""

# What the applicant must not learn is shown as something else, wherever it comes from.
_SHOWN_AS = {"suspected_fraud": "not_confirmed"}

_CLOSINGS: dict[str, str] = {
    "cannot_be_granted": "It was approved, but the role could not be given.",
    "scope_closed": "The organization or the group that it was about has closed.",
    "duplicate_organization": DENIALS["duplicate_organization"][0],
}
_REFUSALS: dict[str, str] = {
    "approver_lost_authority": "The person who approved it could no longer decide when the role was to be given.",
    "duplicate_organization": "An organization with the same number, name and place is registered already.",
    "scope_closed": "The organization or the group that it was about has closed.",
}
_ESCALATIONS: dict[str, str] = {
    "no_approver": "Nobody at the organization can decide on it at this time.",
    "overdue": "Nobody decided on it in time.",
    "cannot_be_granted": "It was approved, but the role could not be given.",
}
_UNDELIVERED: dict[str, str] = {
    "refused": "The mail server refused it for good (SMTP status {status}).",
    "given_up": "For five days no mail server took it.",
    "bad_address": "The e-mail address cannot be written to.",
    "unreadable_secret": "Its confidential part cannot be read with this system's key.",
    "overdue": "For a day, what it needs has not become known, like the address or a name.",
}

_STEPS: dict[str, str] = {
    "submitted": "The request was filed.",
    "documents_awaited": "It waits for documents.",
    "opened": "It was taken in.",
    "decision_awaited": "It waits for a decision.",
    "approved": "It was approved.",
    "reopened": "It was opened again: the approver could no longer decide.",
    "granted": "The role was given.",
    "denied": "It was denied.",
    "expired": "It expired.",
    "closed": "It was closed.",
}


def denial(code: str) -> tuple[str, str]:
    """Return why a request was denied, and what the applicant can do."""
    return DENIALS.get(_SHOWN_AS.get(code, code), ("The people who decide on it said no.", _FILE_AGAIN))


def expiry(*, for_documents: bool) -> tuple[str, str]:
    """Return why a request expired, and what the applicant can do."""
    if for_documents:
        return "The documents that it needs did not all arrive in time.", "File a new request and send them with it."
    return "Nobody decided on it in time.", "File a new request. If it is urgent, contact the help desk first."


def closing(code: str) -> tuple[str, str]:
    """Return why a request was closed, and what the applicant can do."""
    return _CLOSINGS.get(code, "It could not go on."), _FILE_AGAIN


def refusal(code: str) -> str:
    """Return why an approval could not be granted, for the help desk."""
    known = _REFUSALS.get(code) or (f"{CATALOGUE[code].title}." if code in CATALOGUE else "")
    return f"{known} ({code})" if known else f"The directory refused it: {code}."


def escalation(code: str) -> str:
    """Return why a request came to a further queue."""
    return _ESCALATIONS.get(code, "It needs attention.")


def undelivered(name: str, why: str, status: int | None) -> str:
    """Return why an e-mail reached nobody."""
    subject = name.removesuffix("_help_desk").replace("_", " ")
    return f"{_UNDELIVERED[why].format(status=status)} It was the e-mail “{subject}”."


def step(what: str, roles: str, reason: str) -> str:
    """Return one line of a request's history. `roles` are names, or empty; `reason` is a code, or empty."""
    match what:
        case "decision_awaited" if roles:
            return f"It waits for a decision by: {roles}."
        case "approved" if roles:
            return f"It was approved by a person in the role {roles}."
        case "escalated":
            return f"{escalation(reason)} It came to: {roles}."
        case "grant_refused":
            return f"The role could not be given. {refusal(reason)}"
        case _:
            return _STEPS[what]
