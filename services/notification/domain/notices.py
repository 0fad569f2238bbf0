"""Which notices follow from which fact, which ones it makes pointless, and who may see them. Source: domain 9."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid5

from services.notification.domain.facts import (
    AccountIssued,
    CodeAsked,
    DecisionAwaited,
    Escalated,
    Fact,
    Granted,
    GrantRefused,
    LinkAsked,
    Opened,
    Reopened,
    RequestFacts,
    Settled,
    Submitted,
    Turn,
)
from shared.contracts.community import Community
from shared.ids import PersonId, RequestId, ScopeId

OVERDUE_AFTER = timedelta(hours=24)
"""How long a notice waits for what it lacks before the help desk hears of it."""

MAY_ACT = ("invited", "active")
"""The states in which an account may act. Source: domain 1, approver."""

RecipientKind = Literal["applicant", "approver", "person", "help_desk"]

_NAMES = UUID("5b1f3a64-92c7-5d0e-8f7e-0c8d3b2a9e41")
_OPEN_WORK = frozenset(
    {"decision_needed", "decision_needed_help_desk", "documents_awaited", "escalated_help_desk"},
)
"""What need not be told once nobody has to decide any more. A refused grant is told all the same: it
is the directory's word, which may be heard before the approval that it answers."""


@dataclass(frozen=True)
class Notice:
    """One thing that one person is told. `version` counts the occasion; `about_id` is what it is about.

    `detail` holds codes and moments for its text; `secret` is sealed to us and opened nowhere but
    where the mail is made.
    """

    name: str
    about_id: UUID
    recipient: RecipientKind
    recipient_id: PersonId | None
    scope_id: ScopeId
    version: str = "1"
    request_id: RequestId | None = None
    community_id: str | None = None
    address: str | None = field(default=None, repr=False)
    detail: Mapping[str, Any] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None

    @property
    def id(self) -> UUID:
        """The same for the same notice, recipient and version, whoever works it out and how often."""
        key = (self.name, self.about_id, self.recipient, self.recipient_id, self.version)
        return uuid5(_NAMES, "\0".join(map(str, key)))


@dataclass(frozen=True)
class Consequences:
    """What a fact leads to: notices to keep, those to withdraw, a line of the request's history.

    Of the names in `pointless`, notices that have not left are withdrawn, but for the version `kept`.
    """

    request: RequestFacts | None = None
    notices: tuple[Notice, ...] = ()
    pointless: frozenset[str] = frozenset()
    kept: str = ""
    step: Mapping[str, Any] | None = None
    ends_at: datetime | None = None


def consequences(  # noqa: PLR0911 - one answer for each kind of fact.
    fact: Fact, told: Collection[tuple[str, str]] = ()
) -> Consequences:
    """Return what follows from `fact`. `told` are name and version of the request's notices so far."""
    match fact:
        case CodeAsked():
            return _code_asked(fact)
        case Submitted():
            received = Notice(
                "request_received",
                fact.request.id,
                "applicant",
                fact.applicant_id,
                fact.request.scope_id,
                request_id=fact.request.id,
                detail={"documents": list(fact.documents_needed)},
            )
            return Consequences(fact.request, (received,), step=_step(fact.at, "submitted"))
        case Opened():
            return _opened(fact)
        case DecisionAwaited():
            return _decision_awaited(fact, told)
        case Escalated():
            return _escalated(fact)
        case Settled():
            return _settled(fact)
        case Reopened():
            return Consequences(fact.turn.request, step=_step(fact.turn.at, "reopened", reason=fact.why))
        case Granted():
            name = "granted_new_person" if fact.account_issued else "granted_known_person"
            notice = Notice(
                name,
                fact.request.id,
                "applicant",
                fact.person_id,
                fact.request.scope_id,
                request_id=fact.request.id,
            )
            return Consequences(fact.request, (notice,), step=_step(fact.at, "granted"), ends_at=fact.at)
        case GrantRefused():
            step = _step(fact.at, "grant_refused", reason=fact.reason)
            if fact.reason == "approver_lost_authority":  # Goes back to its stage: approval opens it again.
                return Consequences(fact.request, step=step)
            return Consequences(fact.request, (_refused(fact.request, fact.round, fact.reason),), step=step)
        case AccountIssued():
            return _account_issued(fact)
        case LinkAsked():
            notice = _link(fact.person_id, fact.community_id, fact.link_id, fact.link_sealed, fact.link_expires_at)
            return Consequences(notices=(notice,))


def undelivered(notice: Notice, *, why: str, status: int | None = None) -> tuple[Notice, ...]:
    """Return the notice by which the help desk hears that `notice` reached nobody.

    None about what was for the help desk itself: its address would refuse this one too.
    """
    if notice.recipient == "help_desk":
        return ()
    person = str(notice.recipient_id) if notice.recipient_id else None
    detail = {"why": why, "status": status, "name": notice.name, "to": notice.recipient, "person_id": person}
    return (
        Notice(
            "delivery_failed_help_desk",
            notice.id,
            "help_desk",
            None,
            notice.scope_id,
            request_id=notice.request_id,
            community_id=notice.community_id,
            detail=detail,
        ),
    )


def may_read(community: Community, account_status: str | None, held_roles: Collection[str]) -> bool:
    """Tell whether a person may see what people were told about requests of `community`.

    `held_roles` are what the person holds in the community itself. Only those whom an operator
    appointed may, and only while their account may act.
    """
    appointed = any(role.appointed_by_operator for code in held_roles if (role := community.role(code)))
    return appointed and account_status in MAY_ACT


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
    return Consequences(about, (notice,), frozenset({notice.name}), kept=version)


def _opened(fact: Opened) -> Consequences:
    step = _step(fact.turn.at, "documents_awaited" if fact.documents_awaited else "opened")
    if not fact.documents_awaited:
        return Consequences(fact.turn.request, step=step)
    detail = {"documents": list(fact.documents_awaited), "due_at": fact.expires_at.isoformat()}
    return Consequences(
        fact.turn.request,
        (_to_applicant("documents_awaited", fact.turn, str(fact.turn.round), detail),),
        step=step,
    )


def _decision_awaited(fact: DecisionAwaited, told: Collection[tuple[str, str]]) -> Consequences:
    turn = fact.turn
    detail = {"due_at": fact.expires_at.isoformat()}
    notices = [
        replace(_to_applicant("decision_needed", turn, turn.occasion, detail), recipient="approver", recipient_id=one)
        for one in fact.approver_ids
    ]
    # The help desk that was told why the request came to it need not be told that it is there.
    heard = ("escalated_help_desk", turn.occasion) in told or ("grant_refused_help_desk", str(turn.round)) in told
    if fact.to_help_desk and not heard:
        notices.append(_to_help_desk("decision_needed_help_desk", turn.request, turn.occasion, detail))
    return Consequences(
        turn.request,
        tuple(notices),
        _OPEN_WORK,
        kept=turn.occasion,
        step=_step(turn.at, "decision_awaited", roles=list(fact.roles)),
    )


def _escalated(fact: Escalated) -> Consequences:
    turn = fact.turn
    step = _step(turn.at, "escalated", why=fact.why, roles=[fact.role])
    if not fact.to_help_desk:  # The holders of the added queue are named by the next DecisionAwaited.
        return Consequences(turn.request, step=step)
    if fact.why == "cannot_be_granted":
        notice = _refused(turn.request, turn.round, fact.refusal or "")
    else:
        detail = {"why": fact.why, "due_at": fact.expires_at.isoformat()}
        notice = _to_help_desk("escalated_help_desk", turn.request, turn.occasion, detail)
    return Consequences(turn.request, (notice,), frozenset({"decision_needed_help_desk"}), step=step)


def _settled(fact: Settled) -> Consequences:
    turn = fact.turn
    step = _step(turn.at, fact.how, reason=fact.reason, roles=[fact.role] if fact.role else [])
    if fact.how == "approved":  # Told to nobody: access is told once it is granted (R14).
        return Consequences(turn.request, (), _OPEN_WORK, step=step)
    detail = {"reason": fact.reason, "for_documents": turn.stage == 0}
    notice = _to_applicant(fact.how, turn, str(turn.round), detail)
    return Consequences(turn.request, (notice,), _OPEN_WORK, step=step, ends_at=turn.at)


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


def _refused(request: RequestFacts, round_: int, reason: str) -> Notice:
    # Told once, whether the directory's refusal or approval's escalation is heard first.
    return _to_help_desk("grant_refused_help_desk", request, str(round_), {"reason": reason})


def _step(at: datetime, what: str, **more: object) -> Mapping[str, Any]:
    return {"at": at.isoformat(), "what": what, **more}
