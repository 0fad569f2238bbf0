"""Which notices follow from which fact, and which ones it makes pointless. Source: domain 9."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.notification.domain import departures
from services.notification.domain.facts import (
    AccountIssued,
    AccountLocked,
    CodeAsked,
    Corrected,
    DecisionAwaited,
    EntitlementEnded,
    Escalated,
    Fact,
    Granted,
    GrantRefused,
    GroupLeftWithoutAdministrator,
    Invited,
    LinkAsked,
    LockEnded,
    Opened,
    OrganizationSuspended,
    Reminded,
    Reopened,
    RequestFacts,
    Returned,
    RoleEnded,
    Settled,
    Submitted,
    Turn,
    WithdrawalRefused,
)
from services.notification.domain.notices import Consequences, Notice, Settlement
from shared.ids import PersonId, ScopeId

_REMINDERS = frozenset({"decision_reminder", "decision_reminder_help_desk"})
_DOCUMENTS = frozenset({"documents_awaited", "documents_reminder"})
_LOCK = frozenset({"account_locked"})
_OPEN_WORK = (
    _REMINDERS
    | _DOCUMENTS
    | {
        "decision_needed",
        "decision_needed_help_desk",
        "escalated",
        "escalated_help_desk",
        "returned",
    }
)
"""What need not be told once nobody has to decide any more. A refused grant is told all the same: it
is the directory's word, which may be heard before the approval that it answers."""


def consequences(  # noqa: PLR0911, PLR0912 - one answer for each kind of fact.
    fact: Fact, told: Collection[tuple[str, str]] = ()
) -> Consequences:
    """Return what follows from `fact`. `told` are name and version of the notices so far about the same."""
    match fact:
        case CodeAsked():
            return _code_asked(fact)
        case Submitted():
            return _submitted(fact)
        case Opened():
            return _opened(fact)
        case DecisionAwaited():
            return _decision_awaited(fact, told)
        case Reminded():
            return _reminded(fact)
        case Escalated():
            return _escalated(fact)
        case Returned():
            return _returned(fact)
        case WithdrawalRefused(turn, why):
            notice = _to_applicant("withdrawal_refused", turn, turn.occasion, {"reason": why})
            return Consequences((notice,), step=_step(turn.at, "withdrawal_refused"))
        case Settled():
            return _settled(fact)
        case Reopened(turn, why):
            what = "resubmitted" if why == "resubmitted" else "reopened"
            return Consequences(pointless=frozenset({"returned"}), step=_step(turn.at, what, reason=why))
        case Corrected():  # The decision that is asked for again tells it.
            return Consequences()
        case Granted():
            return _granted(fact, told)
        case GrantRefused():
            step = _step(fact.at, "grant_refused", reason=fact.reason)
            if fact.reason == "approver_lost_authority":  # Goes back to its stage: approval opens it again.
                return Consequences(step=step)
            return Consequences((_refusal(fact.request, f"{fact.round}.{fact.reason}", fact.reason),), step=step)
        case AccountIssued():
            return _account_issued(fact)
        case LinkAsked():
            notice = _link(fact.person_id, fact.community_id, fact.link_id, fact.link_sealed, fact.link_expires_at)
            return Consequences(notices=(notice,))
        case AccountLocked():
            return _account_locked(fact)
        case LockEnded(person_id):
            return Consequences(pointless=_LOCK, about_id=person_id)
        case Invited():
            return Consequences(notices=(_invitation(fact),))
        case RoleEnded():
            return departures.role_ended(fact)
        case EntitlementEnded():
            return departures.entitlement_ended(fact, told)
        case OrganizationSuspended():
            return departures.organization_suspended(fact)
        case GroupLeftWithoutAdministrator():
            return departures.group_left(fact)


def _code_asked(fact: CodeAsked) -> Consequences:
    about = fact.request
    # Each code has its own end: a code asked again is another occasion, and the one before is void.
    version = str(int(fact.expires_at.timestamp() * 1000))
    if fact.sign_in_needed:
        # Told to the account's own address: whoever typed another one learns nothing.
        notice = Notice(
            "profile_sign_in_needed",
            about.id,
            "person" if fact.person_id else "applicant",
            fact.person_id,
            about.scope_id,
            version,
            about.id,
            about.community_id,
            None if fact.person_id else fact.email,
            {"due_at": fact.expires_at.isoformat()},
            expires_at=fact.expires_at,
        )
    else:
        notice = Notice(
            "email_code",
            about.id,
            "applicant",
            None,
            about.scope_id,
            version,
            about.id,
            about.community_id,
            fact.email,
            secret=fact.code_sealed,
            expires_at=fact.expires_at,
        )
    return Consequences((notice,), frozenset({notice.name}), kept=version)


def _submitted(fact: Submitted) -> Consequences:
    received = Notice(
        "request_received",
        fact.request.id,
        "applicant",
        fact.applicant_id,
        fact.request.scope_id,
        request_id=fact.request.id,
        community_id=fact.request.community_id,
        detail={"documents": list(fact.documents_needed)},
    )
    return Consequences((received,), step=_step(fact.at, "submitted"))


def _opened(fact: Opened) -> Consequences:
    step = _step(fact.turn.at, "documents_awaited" if fact.documents_awaited else "opened")
    if not fact.documents_awaited:
        return Consequences(step=step)
    detail = {"documents": list(fact.documents_awaited), "due_at": fact.expires_at.isoformat()}
    return Consequences(
        (_to_applicant("documents_awaited", fact.turn, str(fact.turn.round), detail),),
        step=step,
    )


def _decision_awaited(fact: DecisionAwaited, told: Collection[tuple[str, str]]) -> Consequences:
    turn = fact.turn
    detail = {"due_at": fact.expires_at.isoformat()}
    notices = _to_approvers("decision_needed", turn, turn.occasion, fact.approver_ids, detail)
    if fact.to_help_desk and not _help_desk_knows(turn, told):
        notices.append(_to_help_desk("decision_needed_help_desk", turn.request, turn.occasion, detail))
    return Consequences(
        tuple(notices),
        _OPEN_WORK,
        kept=turn.occasion,
        step=_step(turn.at, "decision_awaited", roles=list(fact.roles)),
    )


def _help_desk_knows(turn: Turn, told: Collection[tuple[str, str]]) -> bool:
    """Tell whether the help desk was told why the request came to it: then it need not hear that it is there."""
    return any(
        (name == "grant_refused_help_desk" and version.startswith(f"{turn.round}."))
        or (name == "escalated_help_desk" and version.startswith(f"{turn.occasion}."))
        for name, version in told
    )


def _reminded(fact: Reminded) -> Consequences:
    turn = fact.turn
    version = f"{turn.occasion}.{fact.number}"
    detail: dict[str, Any] = {
        "at": turn.at.isoformat(),
        "since_at": fact.since_at.isoformat(),
        "due_at": fact.expires_at.isoformat(),
    }
    if fact.awaited == "documents":
        detail["documents"] = list(fact.documents_awaited)
        reminder = _to_applicant("documents_reminder", turn, version, detail)
        step = _step(turn.at, "reminded_of_documents")
        return Consequences((reminder,), _DOCUMENTS, kept=version, step=step)
    notices = _to_approvers("decision_reminder", turn, version, fact.approver_ids, detail)
    if fact.to_help_desk:
        notices.append(_to_help_desk("decision_reminder_help_desk", turn.request, version, detail))
    step = _step(turn.at, "reminded", roles=list(fact.roles))
    return Consequences(tuple(notices), _REMINDERS, kept=version, step=step)


def _escalated(fact: Escalated) -> Consequences:
    turn = fact.turn
    step = _step(turn.at, "escalated", why=fact.why, roles=[fact.role])
    notices = []
    if fact.why == "overdue":
        # One step may add several queues at one moment: the applicant hears of the step.
        version = f"{turn.occasion}.{int(turn.at.timestamp())}"
        detail = {"at": turn.at.isoformat(), "due_at": fact.expires_at.isoformat()}
        notices.append(_to_applicant("escalated", turn, version, detail))
    if not fact.to_help_desk:  # The holders of the added queue are named by the next DecisionAwaited.
        return Consequences(tuple(notices), step=step)
    if fact.why == "cannot_be_granted":
        notices.append(_refused(turn, fact.refusal or ""))
    else:
        version = f"{turn.occasion}.{fact.why}"
        detail = {"why": fact.why, "due_at": fact.expires_at.isoformat()}
        notices.append(_to_help_desk("escalated_help_desk", turn.request, version, detail))
    return Consequences(tuple(notices), frozenset({"decision_needed_help_desk"}), step=step)


def _returned(fact: Returned) -> Consequences:
    turn = fact.turn
    detail = {"reason": fact.reason, "correct": list(fact.correct), "due_at": fact.expires_at.isoformat()}
    return Consequences(
        (_to_applicant("returned", turn, turn.occasion, detail),),
        _OPEN_WORK - {"returned"},
        step=_step(turn.at, "returned", roles=[fact.role]),
    )


def _settled(fact: Settled) -> Consequences:
    turn = fact.turn
    step = _step(turn.at, fact.how, reason=fact.reason, roles=[fact.role] if fact.role else [])
    assert turn.request.community_id is not None, "approval names the community in everything it says"
    settlement = Settlement(
        turn.request.id, turn.occasion, turn.request.community_id, fact.how, fact.role, fact.decided_by, turn.at
    )
    if fact.how == "approved":  # Told to nobody else: access is told once it is granted (R14).
        return Consequences((), _OPEN_WORK, step=step, settlement=settlement)
    notice = _to_applicant(fact.how, turn, str(turn.round), {"reason": fact.reason, "missed": _missed(fact)})
    return Consequences((notice,), _OPEN_WORK, step=step, ends_at=turn.at, settlement=settlement)


def _missed(fact: Settled) -> str:
    """Return what had not come when time ran out."""
    if fact.previous_state == "returned":
        return "correction"
    before = fact.previous_state or ("awaiting_documents" if fact.turn.stage == 0 else "pending")
    return "documents" if before == "awaiting_documents" else "decision"


def _granted(fact: Granted, told: Collection[tuple[str, str]]) -> Consequences:
    step = _step(fact.at, "granted")
    if any(name.startswith("granted_") for name, _ in told):  # The answer to an approval that was announced again.
        return Consequences(step=step, ends_at=fact.at)
    name = "granted_new_person" if fact.account_issued else "granted_known_person"
    notice = Notice(
        "granted_application" if fact.is_entitlement else name,
        fact.request.id,
        "applicant",
        fact.person_id,
        fact.request.scope_id,
        request_id=fact.request.id,
        community_id=fact.request.community_id,
    )
    return Consequences((notice,), step=step, ends_at=fact.at)


def _invitation(fact: Invited) -> Notice:
    detail = {
        "application": fact.application,
        "criteria": fact.criteria,
        "not_for": fact.not_for,
        "has_code": bool(fact.code_sealed),
        "due_at": fact.expires_at.isoformat(),
    }
    return Notice(
        "invitation",
        fact.invitation_id,
        "person",
        None,
        fact.scope_id,
        community_id=fact.community_id,
        address=fact.email,
        detail=detail,
        secret=fact.code_sealed or None,
        expires_at=fact.expires_at,
    )


def _account_issued(fact: AccountIssued) -> Consequences:
    notices = [_link(fact.person_id, fact.community_id, fact.person_id, fact.link_sealed, fact.link_expires_at)]
    if fact.request_id is None:
        notices.append(
            Notice(
                "account_created",
                fact.person_id,
                "person",
                fact.person_id,
                ScopeId(fact.person_id),
                community_id=fact.community_id,
            )
        )
    else:
        # The request's contact is an address that was proved: no need to wait for the person's own record.
        notices = [replace(notice, request_id=fact.request_id) for notice in notices]
    return Consequences(notices=tuple(notices))


def _account_locked(fact: AccountLocked) -> Consequences:
    version = fact.at.isoformat()  # Each lock is an occasion of its own, and the one before is over.
    notice = Notice(
        "account_locked",
        fact.person_id,
        "person",
        fact.person_id,
        ScopeId(fact.person_id),
        version,
        community_id=fact.community_id,
        detail={"since_at": version, "due_at": _next_minute(fact.until).isoformat()},
    )
    return Consequences((notice,), _LOCK, kept=version, about_id=fact.person_id)


def _next_minute(at: datetime) -> datetime:
    """Return a moment that is shown to the minute, so that what is said to end then has ended."""
    whole = at.replace(second=0, microsecond=0)
    return whole if whole == at else whole + timedelta(minutes=1)


def _link(person_id: PersonId, community_id: str, about_id: UUID, sealed: str, expires_at: datetime) -> Notice:
    return Notice(
        "set_password",
        about_id,
        "person",
        person_id,
        ScopeId(person_id),
        community_id=community_id,
        secret=sealed,
        expires_at=expires_at,
    )


def _to_approvers(
    name: str, turn: Turn, version: str, approver_ids: Collection[PersonId], detail: Mapping[str, Any]
) -> list[Notice]:
    one_for_all = _to_applicant(name, turn, version, detail)
    return [replace(one_for_all, recipient="approver", recipient_id=one) for one in dict.fromkeys(approver_ids)]


def _to_applicant(name: str, turn: Turn, version: str, detail: Mapping[str, Any]) -> Notice:
    request = turn.request
    return Notice(
        name,
        request.id,
        "applicant",
        turn.applicant_id,
        request.scope_id,
        version,
        request.id,
        request.community_id,
        detail=detail,
    )


def _to_help_desk(name: str, request: RequestFacts, version: str, detail: Mapping[str, Any]) -> Notice:
    return Notice(
        name,
        request.id,
        "help_desk",
        None,
        request.scope_id,
        version,
        request.id,
        request.community_id,
        detail=detail,
    )


def _refused(turn: Turn, reason: str) -> Notice:
    # That nobody answers is told each time; a refusal once, whether the directory or approval is heard first.
    occasion = f".{int(turn.at.timestamp())}" if reason == "unanswered" else ""
    return _refusal(turn.request, f"{turn.round}.{reason}{occasion}", reason)


def _refusal(request: RequestFacts, version: str, reason: str) -> Notice:
    return _to_help_desk("grant_refused_help_desk", request, version, {"reason": reason})


def _step(at: datetime, what: str, **more: object) -> Mapping[str, Any]:
    return {"at": at.isoformat(), "what": what, **more}
