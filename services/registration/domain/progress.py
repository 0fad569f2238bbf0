"""How far a request has come, as approval and the directory tell, in whatever order each is heard."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

State = Literal[
    "awaiting_email_proof",
    "awaiting_sign_in",
    "submitted",
    "awaiting_documents",
    "pending",
    "returned",
    "approved",
    "refused",
    "granted",
    "denied",
    "expired",
    "withdrawn",
    "closed",
]
DRAFT: tuple[State, ...] = ("awaiting_email_proof", "awaiting_sign_in")
FINAL: tuple[State, ...] = ("granted", "denied", "expired", "withdrawn", "closed")


@dataclass(frozen=True)
class Progress:
    """How far one request has come, as far as registration has heard."""

    state: State
    since_at: datetime
    version: int = 0
    """Approval's version of the request; 0 until approval has opened it."""
    stage: int = 0
    round: int = 0
    refused_round: int = 0
    """The last round in which the directory could not grant it; 0 if none."""
    roles: tuple[str, ...] = ()
    """Who may decide now, by role code."""
    reason: str | None = None
    decided_as: str | None = None
    until_at: datetime | None = None
    """When it ends by itself unless somebody acts."""
    correct: tuple[str, ...] = ()
    """The fields and documents to look at, while it is returned."""
    reminded: int = 0
    """How many reminders there were in this stage and round."""
    escalated: str | None = None
    """Why a further queue was added in this stage and round, if one was."""
    correction_sent: bool = False
    """Whether the applicant's correction is on its way to approval."""
    withdrawal: Literal["asked", "refused"] | None = None
    """What became of the applicant's wish to withdraw, if there is one."""

    @property
    def may_be_corrected(self) -> bool:
        """Whether a correction is awaited from the applicant. Source: R7."""
        return self.state == "returned" and not self.correction_sent

    @property
    def has_ended(self) -> bool:
        """Whether it is final."""
        return self.state in FINAL


@dataclass(frozen=True)
class Step:
    """One thing that approval did about a request."""

    state: State | None
    """None where the state stays."""
    version: int
    stage: int
    round: int
    at: datetime
    roles: tuple[str, ...] = ()
    adds_roles: bool = False
    reason: str | None = None
    decided_as: str | None = None
    until_at: datetime | None = None
    correct: tuple[str, ...] = ()
    reminded: int = 0
    escalated: str | None = None


def after_step(now: Progress, step: Step) -> Progress | None:
    """Return how far a request has come after `step`, or None if the step says nothing new.

    Approval's events arrive in order, but never in step with the directory's. An older version is
    ignored. So is an approval of a round that the directory has already refused: its refusal came
    second and was merely heard first. What has ended stays ended. Source: domain 5, R12.
    """
    if now.has_ended or step.version < now.version:
        return None
    state = step.state or now.state
    if state == "approved" and step.round <= now.refused_round:
        state = "refused"
    if state == "submitted":
        state = "pending"  # Whatever approval does about it, it has taken it in.
    goes_on = (state, step.stage, step.round) == (now.state, now.stage, now.round)
    before = now if goes_on else Progress(state, step.at)  # What is remembered of a stage goes with it.
    roles = tuple(dict.fromkeys(now.roles + step.roles)) if step.adds_roles else step.roles
    is_nobodys = state in FINAL or state in ("approved", "returned")
    return Progress(
        state=state,
        since_at=step.at if state != now.state else now.since_at,
        version=step.version,
        stage=step.stage,
        round=step.round,
        refused_round=now.refused_round,
        roles=() if is_nobodys else roles,
        reason=step.reason or before.reason,
        decided_as=step.decided_as or now.decided_as,
        until_at=None if state in FINAL else step.until_at or before.until_at,
        correct=step.correct or before.correct,
        reminded=step.reminded or before.reminded,
        escalated=step.escalated or before.escalated,
        correction_sent=now.correction_sent and step.state is None and state == "returned",
        withdrawal=now.withdrawal,
    )


def after_refused_withdrawal(now: Progress) -> Progress | None:
    """Return how far it has come once approval would not let it be withdrawn, or None if nobody asked.

    The directory may have granted it by then: that the wish came too late is told all the same. Source: R7.
    """
    return replace(now, withdrawal="refused") if now.withdrawal == "asked" else None


def after_grant(now: Progress, at: datetime) -> Progress | None:
    """Return how far it has come once the directory has granted it, or None if that is known.

    Only the directory says what access exists, so this holds whatever was heard of approval.
    """
    if now.state == "granted":
        return None
    return replace(now, state="granted", since_at=at, roles=(), reason=None, until_at=None, correction_sent=False)


def after_refused_grant(now: Progress, round_: int, reason: str, at: datetime) -> Progress | None:
    """Return how far it has come once the directory could not grant it, or None if a later round is known."""
    if now.has_ended or round_ <= now.refused_round:
        return None
    if now.round > round_:
        return replace(now, refused_round=round_)  # It was reopened, or approved again, since.
    since = now.since_at if now.state == "refused" else at
    return replace(now, state="refused", since_at=since, refused_round=round_, reason=reason, correction_sent=False)
