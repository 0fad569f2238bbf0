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

RETURNS: dict[str, str] = {
    "document_missing": "A document that it needs is missing, incomplete, or cannot be read.",
    "document_mismatch": "A document that you sent does not fit what you entered.",
    "data_incomplete": "Something that is needed to decide was left out.",
    "data_unclear": "Something that you entered is unclear, or may be a slip.",
    "wrong_group": "It is about the wrong user group.",
}
_CLOSINGS: dict[str, str] = {
    "cannot_be_granted": "It was approved, but could not be carried out.",
    "scope_closed": "The organization or the group that it was about has closed.",
    "duplicate_organization": DENIALS["duplicate_organization"][0],
}
_REFUSALS: dict[str, str] = {
    "approver_lost_authority": "The person who approved it could no longer decide when the role was to be given.",
    "duplicate_organization": "An organization with the same number, name and place is registered already.",
    "duplicate_practitioner": "This practitioner is registered already.",
    "group_name_taken": "The organization has a user group of this name already.",
    "scope_closed": "The organization or the group that it was about has closed.",
    "unanswered": "The directory has not answered, although it was asked again and again. It may be access already.",
}
NOW_OPEN: dict[str, str] = {
    "activate_organization": "{place} is now listed: people can name it in their requests.",
    "create_group": "{place} is now open: people can ask to join it.",
    "create_practitioner": "{place} is now active.",
}
"""Effect of a grant -> what it has opened besides giving a role."""

_ENDED: dict[str, tuple[str, str, str]] = {
    "left": (
        "You left it.",
        "You need not do anything. If you did not mean to, ask for the role again.",
        "The person left it.",
    ),
    "revoked": (
        "Somebody who decides on this role has removed it.",
        "If your work still needs it, speak with the people who decide at your organization.",
        "It was removed by somebody who may decide on it.",
    ),
    "lapsed": (
        "Nobody certified in time that your work still needs it.",
        "If your work still needs it, speak with the people who decide at your organization.",
        "Nobody certified in time that it is still needed.",
    ),
    "scope_closed": (
        "The place where you held it has closed.",
        "You need not do anything. Your account and your other roles stay.",
        "The place where it was held has closed.",
    ),
}
"""Cause -> why, and what to do, for the person; why, for others."""
_APPLICATION_ENDED: dict[str, tuple[str, str]] = {
    "left": (
        "You gave it up.",
        "You need not do anything. If you did not mean to, ask for the application again.",
    ),
    "revoked": (
        "Somebody who decides on this application has removed it.",
        "If your work still needs it, speak with the people who decide at your organization.",
    ),
    "lapsed": (
        "Nobody has kept your organization for so long that its applications have ended.",
        "If your work still needs it, contact the help desk.",
    ),
}
"""Cause -> why, and what to do, for the person whose role stays."""

_UNEXPLAINED = ("It has ended.", "Ask the help desk if you do not know why.")
_WITHDRAWALS: dict[str, str] = {
    "already_decided": "Somebody had decided on it before your wish came.",
    "request_closed": "It had ended before your wish came.",
}
_SETTLED: dict[str, str] = {
    "withdrawn": "Withdrawn by the applicant",
    "expired": "Expired",
    "closed": "Closed without a decision",
}
_FIELDS: dict[str, str] = {
    "email": "E-mail address",
    "npi": "National Provider Identifier (NPI)",
    "ptans": "Provider transaction access numbers (PTANs)",
    "ssn": "Social Security number",
    "tin": "Taxpayer Identification Number (TIN)",
    "zip_code": "ZIP code",
}
_ESCALATIONS: dict[str, str] = {
    "no_approver": "Nobody at the organization can decide on it at this time.",
    "overdue": "Nobody decided on it in time.",
    "cannot_be_granted": "It was approved, but could not be carried out.",
    "concern": (
        "What the applicant entered fits, in part, what somebody else has entered: look into it before anybody decides."
    ),
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
    "resubmitted": "The applicant corrected it.",
    "returned": "It was returned to the applicant.",
    "reminded": "Those who may decide were reminded.",
    "reminded_of_documents": "The applicant was reminded of the documents.",
    "withdrawal_refused": "The applicant wished to withdraw it, too late.",
    "granted": "What it asked for was given.",
    "denied": "It was denied.",
    "withdrawn": "The applicant withdrew it.",
    "expired": "It expired.",
    "closed": "It was closed.",
}


def denial(code: str) -> tuple[str, str]:
    """Return why a request was denied, and what the applicant can do."""
    return DENIALS.get(_SHOWN_AS.get(code, code), ("The people who decide on it said no.", _FILE_AGAIN))


def returned(code: str) -> str:
    """Return what an approver asks the applicant to look at."""
    return RETURNS.get(code, "The people who decide on it ask you to look at it again.")


def expiry(missed: str) -> tuple[str, str]:
    """Return why a request expired, and what the applicant can do. `missed` is what had not come in time."""
    match missed:
        case "documents":
            return (
                "The documents that it needs did not all arrive in time.",
                "File a new request and send them with it.",
            )
        case "correction":
            return (
                "It had been returned to you, and the correction did not arrive in time.",
                "File a new request with what was to be corrected.",
            )
        case _:
            return (
                "Nobody decided on it in time.",
                "File a new request. If it is urgent, contact the help desk first.",
            )


def ended(cause: str) -> tuple[str, str]:
    """Return why a role ended, and what the person can do."""
    why, what_to_do, _ = _ENDED.get(cause, (*_UNEXPLAINED, ""))
    return why, what_to_do


def application_ended(cause: str) -> tuple[str, str]:
    """Return why an entitlement ended while its role stays, and what the person can do."""
    return _APPLICATION_ENDED.get(cause, _UNEXPLAINED)


def ended_for_others(cause: str) -> str:
    """Return why somebody's role ended."""
    return _ENDED[cause][2] if cause in _ENDED else "It has ended."


def withdrawal_refused(code: str) -> str:
    """Return why a request could not be withdrawn."""
    return _WITHDRAWALS.get(code) or (f"{CATALOGUE[code].title}." if code in CATALOGUE else "Your wish came too late.")


def settled(how: str, role: str) -> str:
    """Return how others settled a request. `role` is the name of the decider's, or empty."""
    if how in ("approved", "denied"):
        return f"{how.capitalize()} by a person in the role {role}"
    return _SETTLED.get(how, "Settled")


def field(code: str) -> str:
    """Return what a field of a request is called."""
    return _FIELDS.get(code) or code.replace("_", " ").capitalize()


def closing(code: str) -> tuple[str, str]:
    """Return why a request was closed, and what the applicant can do."""
    return _CLOSINGS.get(code, "It could not go on."), _FILE_AGAIN


def refusal(code: str) -> str:
    """Return why an approval could not be granted, for the help desk."""
    known = _REFUSALS.get(code) or (f"{CATALOGUE[code].title}." if code in CATALOGUE else "")
    return f"{known} ({code})" if known else f"The directory refused it: {code}."


def after_refusal(code: str) -> str:
    """Return what the help desk can do about an approval that was not granted."""
    if code == "unanswered":
        return (
            "See that the directory runs and that nothing of it is parked, then choose “Retry”. "
            "It cannot be closed before the directory has answered."
        )
    return (
        "Mend the cause and choose “Retry”, or choose “Close” to end the request. "
        "Closing is final, and the applicant is told."
    )


def escalation(code: str) -> str:
    """Return why a request came to a further queue."""
    return _ESCALATIONS.get(code, "It needs attention.")


def undelivered(name: str, why: str, status: int | None) -> str:
    """Return why an e-mail reached nobody."""
    subject = name.removesuffix("_help_desk").removesuffix("_superior").replace("_", " ")
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
            return f"It could not be carried out. {refusal(reason)}"
        case _:
            return _STEPS[what]
