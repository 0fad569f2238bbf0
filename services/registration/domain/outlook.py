"""What people are told of a request: what happens next, and whose turn it is. No personal data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.registration.domain import fields
from services.registration.domain.progress import Progress, State
from shared.contracts.community import Community, Kind

APPLICANT = "Applicant"
US = "IACS"

REASONS: Mapping[str, str] = {
    "document_missing": "A document is missing.",
    "document_mismatch": "A document does not agree with what you typed.",
    "data_incomplete": "Something that is needed to decide was left out.",
    "data_unclear": "Something that you typed is not clear.",
    "duplicate_organization": "An organization with these details is registered already.",
    "wrong_path": "What you want is asked for in another way.",
    "ineligible": "This is not open to you at this time.",
    "unknown_person": "Those who decide do not know you: tell them who you are.",
    "wrong_group": "You belong in another user group.",
    "not_needed": "Those who decide see no need for it.",
    "role_conflict": "It cannot be combined with another role that you hold.",
    "not_confirmed": "We could not confirm these details.",
}
"""Reason code -> the sentence that the applicant sees. Source: domain 8."""

_ESCALATED: Mapping[str, str] = {
    "no_approver": "Nobody else was there to decide it, so a further queue was asked.",
    "overdue": "It has waited long, so a further queue was asked.",
    "concern": "The help desk looks into it first.",
}


@dataclass(frozen=True)
class Outlook:
    """What happens next, in a sentence, and whose turn it is, by role."""

    next_step: str
    whose_turn: str | None
    """None once nothing is left to do."""


def shown_state(state: State) -> State:
    """Return the state that may be shown: that a person is known already is nobody's to learn."""
    return "awaiting_email_proof" if state == "awaiting_sign_in" else state


def outlook(
    community: Community,
    kind: Kind,
    progress: Progress,
    missing_documents: Sequence[str],
    *,
    application: str | None = None,
    resting_role: str | None = None,
) -> Outlook:
    """Return what happens next with a request of this kind; a wish of the applicant that is open comes first."""
    if not progress.has_ended and progress.withdrawal == "asked":
        return Outlook("You asked to withdraw this request. It ends unless somebody has decided it already.", US)
    if progress.correction_sent:
        return Outlook("Your correction is on its way to those who decide.", US)
    it = _by_state(community, kind, progress, missing_documents, application, resting_role)
    if progress.withdrawal == "refused":
        return Outlook(f"You asked to withdraw, but it was decided already. {it.next_step}", it.whose_turn)
    return it


def thing_name(kind: Kind, code: str) -> str:
    """Return the name of a field or document that is to be corrected."""
    document = next((need.name for need in kind.documents if need.code == code), None)
    return document or fields.rule_of(code).label


def _by_state(
    community: Community,
    kind: Kind,
    progress: Progress,
    missing_documents: Sequence[str],
    application: str | None,
    resting_role: str | None,
) -> Outlook:
    gives = community.gives(kind, application)
    has = "may now use" if kind.effect == "grant_entitlement" else "now hold the role"
    queues = _queues(community, kind, progress, resting_role)
    waits = "; then by: ".join(queues)
    documents = Outlook("Your documents are here. The request goes on to those who decide it.", US)
    if missing_documents:
        documents = Outlook(f"Send us: {', '.join(missing_documents)}.{_by(progress.until_at)}", APPLICANT)
    code = Outlook("Type the eight digits of the message that we sent to your e-mail address.", APPLICANT)
    outlooks: Mapping[State, Outlook] = {
        "awaiting_email_proof": code,
        "awaiting_sign_in": code,  # The same words: that a person is known already is nobody's to learn.
        "submitted": Outlook("Your request is on its way to those who decide it.", US),
        "awaiting_documents": documents,
        "pending": Outlook(f"Your request waits for a decision by: {waits}.{_history(progress)}", queues[0]),
        "returned": Outlook(_returned(kind, progress), APPLICANT),
        "approved": Outlook("Your request was approved. Your access is being set up.", US),
        "refused": Outlook(
            "Your request was approved but could not be carried out. It is being looked into.", queues[0]
        ),
        "granted": Outlook(f"Done: you {has} {gives}. Sign in to use it.", None),
        "denied": Outlook("Your request was denied. The message that we sent you says why.", None),
        "expired": Outlook("Time ran out before it was decided. File a new request if you still need it.", None),
        "withdrawn": Outlook("You withdrew your request.", None),
        "closed": Outlook("Your request was closed without a decision. The help desk can tell you more.", None),
    }
    return outlooks[progress.state]


def _queues(community: Community, kind: Kind, progress: Progress, resting_role: str | None) -> list[str]:
    """Return who decides now and in each stage after, by the names of their roles."""
    stages = kind.stages_on(resting_role)
    now = min(max(progress.stage, 1), len(stages))
    codes = [[decider.role for decider in stage.deciders] for stage in stages[now - 1 :]]
    if progress.roles or not codes:
        codes[:1] = [list(progress.roles)]
    return [_either(_role_name(community, code) for code in each) or US for each in codes]


def _history(progress: Progress) -> str:
    said = [_ESCALATED.get(progress.escalated or "", "")]
    if progress.reminded:
        times = "once" if progress.reminded == 1 else f"{progress.reminded} times"
        said.append(f"They were reminded {times}.")
    return "".join(f" {sentence}" for sentence in said if sentence)


def _returned(kind: Kind, progress: Progress) -> str:
    said = [f"It was returned to you. {REASONS.get(progress.reason or '', 'Something is to be corrected.')}"]
    if progress.correct:
        said.append(f"Look at: {', '.join(thing_name(kind, code) for code in progress.correct)}.")
    said.append("Correct it and send it again: those who returned it then decide.")
    return " ".join(said) + _by(progress.until_at)


def _by(until_at: datetime | None) -> str:
    return f" It ends by itself on {until_at:%B} {until_at.day}, {until_at.year}." if until_at else ""


def _role_name(community: Community, code: str) -> str:
    role = community.role(code)
    return role.name if role else code


def _either(names: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(names))
