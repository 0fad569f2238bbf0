"""Valid wholes for approval's tests: communities, what registration submits, and requests as the rules see them."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import shared
from services.approval import domain
from services.approval.domain import State, Verdict
from shared.contracts import registration
from shared.contracts.community import Community, Decider, HelpDesk, Kind, Role, Stage, Surroundings
from shared.ids import PersonId, PlaceId, RequestId, ScopeId, new_id

COMMUNITY = Community.model_validate(
    tomllib.loads((Path(shared.__path__[0]) / "communities" / "provider-supplier.toml").read_text())
)
"""The community that the product ships."""
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

SECURITY_OFFICIAL = "SECURITY_OFFICIAL"
BACKUP = "BACKUP_SECURITY_OFFICIAL"
ADMINISTRATOR = "USER_GROUP_ADMINISTRATOR"
HELP_DESK = "HELP_DESK"

PEERS, CHIEF, WARDEN = (
    Decider(role="PEER", held_in="organization"),
    Decider(role="CHIEF", held_in="organization"),
    Decider(role="WARDEN", held_in="community"),
)


def a_community(*stages: Stage, version: int = 1) -> Community:
    """Return a community unlike the shipped one: the kind `enter` has these stages."""
    return Community(
        id="guild",
        version=version,
        name="A guild",
        open=True,
        help_desk=HelpDesk(email="warden@guild.example", phone="1", tty="2", hours="always"),
        roles=(
            Role(code="MEMBER", name="Member", place="organization"),
            Role(code="PEER", name="Peer", place="organization"),
            Role(code="CHIEF", name="Chief", place="organization"),
            Role(code="WARDEN", name="Warden", place="community", appointed_by_operator=True, powers=("help_desk",)),
        ),
        kinds=(
            Kind(
                code="enter",
                name="Enter the guild",
                effect="assign_role",
                role="MEMBER",
                applicant_fields=("given_name",),
                stages=stages or (Stage(deciders=(CHIEF,), fallbacks=((WARDEN,),)),),
            ),
        ),
    )


def new_person() -> PersonId:
    """Return the id of a person whom nobody knows."""
    return PersonId(new_id())


def a_submission(kind: str = "join_group", **changes: Any) -> registration.RequestSubmitted:
    """Return what registration says when a request is filed."""
    place_kind = {
        "register_organization": "organization",
        "become_backup_security_official": "organization",
        "register_practitioner": "practitioner",
        "access_application": "application",
    }.get(kind, "group")
    scope_id = changes.pop("scope_id", None) or ScopeId(new_id())
    whole: dict[str, Any] = {
        "request_id": RequestId(new_id()),
        "tracking_number": "T-1",
        "community_id": COMMUNITY.id,
        "community_version": COMMUNITY.version,
        "kind": kind,
        "scope_id": scope_id,
        "place_kind": place_kind,
        "place_id": PlaceId(scope_id) if place_kind in ("organization", "practitioner") else PlaceId(new_id()),
        "applicant": registration.Applicant(
            person_id=changes.pop("applicant_id", None) or new_person(),
            given_name="Rosa",
            family_name="Delgado",
            email="rosa@applicants.example",
        ),
        "documents_needed": ("irs_letter",) if kind == "register_organization" else (),
        "submitted_at": NOON,
    }
    return registration.RequestSubmitted(**(whole | changes))


def an_organization(**changes: Any) -> registration.RequestSubmitted:
    """Return what registration says when an organization registers: always the same one."""
    data = registration.OrganizationData(
        legal_business_name="XYZ Medical LLC",
        normalised_name="xyz medical",
        tin_sealed="sealed",
        tin_fingerprint="print",
        duplicate_key="the same",
        street="1 Main Street",
        city="Baltimore",
        state="MD",
        zip_code="21244",
        phone="410-555-0100",
        provider_type="clinic",
    )
    return a_submission("register_organization", organization=data, **changes)


def a_request(kind: str = "administer_group", **changes: Any) -> domain.Request:
    """Return a pending request in its first stage, as the rules see it."""
    scope_id = ScopeId(new_id())
    whole: dict[str, Any] = {
        "id": RequestId(new_id()),
        "community_id": COMMUNITY.id,
        "community_version": COMMUNITY.version,
        "kind": kind,
        "scope_id": scope_id,
        "place_kind": "group",
        "place_id": PlaceId(new_id()),
        "applicant_id": new_person(),
        "state": State.PENDING,
        "stage": 1,
        "round": 1,
        "version": 3,
        "steps_added": 0,
        "voter_ids": (),
        "absent_since": None,
        "since_at": NOON,
        "expires_at": NOON + timedelta(days=44),
        "decided": None,
    }
    return domain.Request(**(whole | changes))


def a_queue(role: str = SECURITY_OFFICIAL, *, may_approve: bool = True) -> domain.Queue:
    """Return a queue that an approver holds a role in."""
    return domain.Queue(role, "organization", PlaceId(new_id()), may_approve)


def an_approver(*capacities: domain.Queue, **changes: Any) -> domain.Approver:
    """Return a Security Official, or whoever holds these capacities."""
    whole: dict[str, Any] = {"id": new_person(), "capacities": capacities or (a_queue(),)}
    return domain.Approver(**(whole | changes))


def an_order(verdict: Verdict = Verdict.APPROVE, **changes: Any) -> domain.Order:
    """Return what an approver says who has read version 3."""
    reason = "unknown_person" if verdict is Verdict.DENY else None
    whole: dict[str, Any] = {"verdict": verdict, "reason": reason, "expected_version": 3}
    return domain.Order(**(whole | changes))


def surroundings(**changes: Any) -> Surroundings:
    """Return an active organization with a Security Official, and an active group of it."""
    whole: dict[str, Any] = {
        "organization_status": "active",
        "group_status": "active",
        "seats_taken": {SECURITY_OFFICIAL: 1},
    }
    return Surroundings(**(whole | changes))


def around(**changes: Any) -> domain.Around:
    """Return surroundings in which nothing stands against an approval."""
    whole: dict[str, Any] = {"surroundings": surroundings(), "applicant_holdings": (), "seats_by_role": {}}
    return domain.Around(**(whole | changes))
