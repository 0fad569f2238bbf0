"""What every notice says, whole, as it was last read and agreed to: each in tests/notification/snapshots/.

After a change that is meant, write them anew with IACS_WRITE_SNAPSHOTS=1 and read the difference.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.notification import domain, render
from shared.ids import AssignmentId, EntitlementId, PersonId, PlaceId, RequestId, ScopeId
from tests.notification.builders import COMMUNITY, PUBLIC_URL

SNAPSHOTS = Path(__file__).parent / "snapshots"
FILED = datetime(2026, 11, 3, 14, 30, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 15, 4, tzinfo=UTC)
LATER = datetime(2026, 12, 8, 22, 5, tzinfo=UTC)


def _id(number: int) -> UUID:
    return UUID(int=number)


ROSA, OFFICIAL, LEFT = PersonId(_id(1)), PersonId(_id(2)), PersonId(_id(3))
SCOPE, GROUP, ASSIGNMENT = ScopeId(_id(4)), PlaceId(_id(5)), AssignmentId(_id(6))
REQUEST = domain.RequestFacts(
    RequestId(_id(7)),
    SCOPE,
    COMMUNITY.id,
    COMMUNITY.version,
    "create_provider_group",
    "group",
    GROUP,
    ROSA,
    "7QK2-M4XP-93TD",
    "Rosa",
    "Delgado",
    "rosa@applicants.example",
    "XYZ Clinic",
    "Billing",
)
FIRST = replace(REQUEST, kind="register_organization", place_kind="organization", place_id=PlaceId(SCOPE))
APPLICATION = replace(
    REQUEST,
    kind="access_application",
    place_kind="application",
    place_id=None,
    application="CLAIM_STATUS",
    resting_kind="group",
    resting_id=GROUP,
    resting_role="END_USER",
)


def _turn(about: domain.RequestFacts = REQUEST, stage: int = 1) -> domain.Turn:
    return domain.Turn(about, ROSA, stage, 1, NOW)


def _settled(how: Any, reason: str = "") -> domain.Settled:
    return domain.Settled(_turn(), how, reason, "SECURITY_OFFICIAL" if how == "denied" else "")


def _reminded(documents: tuple[str, ...] = ()) -> domain.Reminded:
    turn = _turn(FIRST, 0) if documents else _turn()
    awaited: Any = "documents" if documents else "decision"
    return domain.Reminded(turn, awaited, 1, ("SECURITY_OFFICIAL",), (OFFICIAL,), True, documents, FILED, LATER)


def _granted(about: domain.RequestFacts, *, new: bool = False, entitlement: bool = False) -> domain.Granted:
    return domain.Granted(about, ROSA, new, entitlement, NOW)


def _escalated(why: str) -> domain.Escalated:
    return domain.Escalated(_turn(), "HELP_DESK", True, why, None, LATER)


def _role_ended(role: str, place_kind: str, place_id: PlaceId) -> domain.RoleEnded:
    return domain.RoleEnded(ASSIGNMENT, LEFT, role, place_kind, place_id, SCOPE, COMMUNITY.id, "revoked", None, NOW)


USER_ENDED = _role_ended("END_USER", "group", GROUP)
ADMINISTRATOR_ENDED = _role_ended("USER_GROUP_ADMINISTRATOR", "group", GROUP)
SUSPENDED = domain.OrganizationSuspended(SCOPE, COMMUNITY.id, NOW, LATER)
GROUP_LEFT = domain.GroupLeftWithoutAdministrator(GROUP, SCOPE, NOW, LATER)
INVITED = domain.Invited(
    _id(8),
    ScopeId(_id(9)),
    COMMUNITY.id,
    "PS_AND_R",
    "guest@people.example",
    "Providers that file cost reports, & those who file for them.",
    "Practices that file no cost report.",
    "sealed",
    LATER,
)
CODE = domain.CodeAsked(REQUEST, "rosa@applicants.example", False, None, "sealed", LATER)

FACTS: Mapping[str, domain.Fact] = {
    "account_created": domain.AccountIssued(OFFICIAL, COMMUNITY.id, None, "sealed", LATER),
    "account_locked": domain.AccountLocked(OFFICIAL, COMMUNITY.id, NOW, NOW + timedelta(minutes=15, seconds=9)),
    "closed": _settled("closed", "cannot_be_granted"),
    "decision_needed": domain.DecisionAwaited(_turn(), ("SECURITY_OFFICIAL",), (OFFICIAL,), True, LATER),
    "decision_needed_help_desk": domain.DecisionAwaited(_turn(FIRST), ("HELP_DESK",), (), True, LATER),
    "decision_reminder": _reminded(),
    "decision_reminder_help_desk": _reminded(),
    "denied": _settled("denied", "unknown_person"),
    "documents_awaited": domain.Opened(_turn(FIRST, 0), ("irs_letter",), LATER),
    "documents_reminder": _reminded(("irs_letter",)),
    "email_code": CODE,
    "entitlement_ended": domain.EntitlementEnded(
        EntitlementId(_id(10)), ASSIGNMENT, LEFT, "CLAIM_STATUS", "END_USER", SCOPE, COMMUNITY.id, "left", NOW
    ),
    "escalated": _escalated("overdue"),
    "escalated_help_desk": _escalated("no_approver"),
    "expired": _settled("expired"),
    "grant_refused_help_desk": domain.GrantRefused(REQUEST, 1, "cardinality_reached", NOW),
    "granted_application": _granted(APPLICATION, entitlement=True),
    "granted_known_person": _granted(REQUEST),
    "granted_new_person": _granted(FIRST, new=True),
    "invitation": INVITED,
    "profile_sign_in_needed": replace(CODE, sign_in_needed=True, person_id=OFFICIAL, code_sealed=""),
    "request_received": domain.Submitted(FIRST, ROSA, ("irs_letter",), FILED),
    "returned": domain.Returned(_turn(FIRST), "document_mismatch", ("zip_code", "irs_letter"), "HELP_DESK", LATER),
    "role_ended": USER_ENDED,
    "set_password": domain.LinkAsked(OFFICIAL, COMMUNITY.id, _id(11), "sealed", LATER),
    "withdrawal_refused": domain.WithdrawalRefused(_turn(), "already_decided"),
    "withdrawn": _settled("withdrawn"),
}
"""Notice -> a fact from which it follows."""


def _told_of(fact: domain.Fact, *, left: bool = True) -> Iterator[domain.Notice]:
    departure = domain.consequences(fact).departure
    assert departure is not None
    group_keeper = domain.Holder(OFFICIAL, "USER_GROUP_ADMINISTRATOR", GROUP)
    keeper = domain.Holder(OFFICIAL, "SECURITY_OFFICIAL", SCOPE)
    yield from domain.told_of(departure, COMMUNITY, [group_keeper, keeper] if left else [])


def notices() -> dict[str, domain.Notice]:
    """One notice of each name."""
    found = {
        name: notice
        for name, fact in FACTS.items()
        for notice in domain.consequences(fact).notices
        if notice.name == name
    }
    for fact in (USER_ENDED, ADMINISTRATOR_ENDED, SUSPENDED, GROUP_LEFT):
        for left in (True, False):
            found |= {notice.name: notice for notice in _told_of(fact, left=left)}
    [failed] = domain.undelivered(found["decision_needed"], why="refused", status=550)
    found[failed.name] = failed
    settled = [
        domain.SettledWork(REQUEST.id, "approved", "BACKUP_SECURITY_OFFICIAL", NOW),
        domain.SettledWork(REQUEST.id, "withdrawn", "", NOW + timedelta(minutes=5)),
    ]
    digest = domain.digest(COMMUNITY, OFFICIAL, date(2026, 11, 24), settled)
    found[digest.name] = digest
    return found


ALL = notices()


def known(notice: domain.Notice) -> domain.Known:
    """Everything that the notice may need."""
    about: domain.RequestFacts | None = None
    if notice.request_id:
        fact = FACTS.get(notice.name)
        turn = getattr(fact, "turn", None)
        about = turn.request if turn else getattr(fact, "request", REQUEST)
    history: list[Mapping[str, Any]] = [
        {"at": FILED.isoformat(), "what": "submitted"},
        {"at": (FILED + timedelta(minutes=1)).isoformat(), "what": "decision_awaited", "roles": ["SECURITY_OFFICIAL"]},
        {"at": NOW.isoformat(), "what": "escalated", "why": "no_approver", "roles": ["HELP_DESK"]},
    ]
    whole = domain.Known(
        notice,
        PUBLIC_URL,
        about,
        history,
        domain.Person("Ada", "Approver", "ada@people.example", "K7MQ42XP"),
        domain.Person("Emil", "End", "emil@people.example"),
        COMMUNITY,
        COMMUNITY,
        "XYZ Clinic",
        "Billing",
        ("CLAIM_STATUS",) if "assignment_id" in notice.detail else (),
    )
    part = replace(whole, request=REQUEST)
    return replace(whole, parts=tuple(part for _ in notice.detail.get("settled", ())))


@pytest.mark.parametrize("name", sorted(domain.NEEDS))
def test_a_notice_says_what_it_said(name: str) -> None:
    letter = domain.compose(known(ALL[name]))
    assert isinstance(letter, domain.Letter), letter
    said = render.render(name, letter)
    forms = {"txt": f"To: {letter.address}\nSubject: {said.subject}\n\n{said.text}", "html": said.html}
    for form, content in forms.items():
        stored = SNAPSHOTS / f"{name}.{form}"
        if os.environ.get("IACS_WRITE_SNAPSHOTS"):
            SNAPSHOTS.mkdir(exist_ok=True)
            stored.write_bytes(content.encode())
        assert stored.read_bytes() == content.encode(), f"{stored.name} differs: {__doc__}"


def test_every_template_has_a_snapshot_and_nothing_else_has() -> None:
    templates = {path.name for path in (Path(render.__file__).parent / "templates" / "mail").iterdir()}
    assert {path.name for path in SNAPSHOTS.iterdir()} == templates - {"base.txt", "base.html"}
    assert {Path(name).stem for name in templates} - {"base"} == set(domain.NEEDS)
