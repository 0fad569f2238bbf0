"""Valid wholes for the directory's tests: keys, the community, what was asked for, and what was approved."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

import shared
from services.directory import usecases
from shared import secrets
from shared.contracts import approval, registration
from shared.contracts.community import Community
from shared.ids import (
    AssignmentId,
    PersonId,
    PlaceId,
    RequestId,
    ScopeId,
    application_place,
    assignment_id,
    new_id,
)
from shared.names import normalise_business_name, normalise_name

COMMUNITY = Community.model_validate(
    tomllib.loads((Path(shared.__path__[0]) / "communities" / "provider-supplier.toml").read_text())
)
"""The community that the product ships."""
SEAL_KEY: dict[str, Any] = dict(ECKey.generate_key("P-256").as_dict(private=True))
NOTIFICATION_KEY: dict[str, Any] = dict(ECKey.generate_key("P-256").as_dict(private=True))
KEYS = usecases.Keys(
    secrets.Vault({"k1": bytes(32)}), SEAL_KEY, ECKey.import_key(NOTIFICATION_KEY).as_dict(private=False), bytes(32)
)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TIN = "987654321"

HELP_DESK = "HELP_DESK"
SECURITY_OFFICIAL = "SECURITY_OFFICIAL"
BACKUP = "BACKUP_SECURITY_OFFICIAL"
ADMINISTRATOR = "USER_GROUP_ADMINISTRATOR"
END_USER = "END_USER"


def new_person() -> PersonId:
    """Return the id of a person whom nobody knows."""
    return PersonId(new_id())


def an_organization(name: str = "XYZ Medical Group LLC", **changes: Any) -> registration.OrganizationData:
    """Return what an organization says of itself, its TIN sealed."""
    whole: dict[str, Any] = {
        "legal_business_name": name,
        "normalised_name": normalise_business_name(name),
        "tin_sealed": secrets.seal(ECKey.import_key(SEAL_KEY).as_dict(private=False), TIN),
        "tin_fingerprint": secrets.fingerprint(bytes(32), "tin", TIN),
        "duplicate_key": secrets.fingerprint(bytes(32), "duplicate", TIN, str(new_id())),
        "street": "1 Main Street",
        "city": "Baltimore",
        "state": "MD",
        "zip_code": "21201",
        "phone": "410-555-0100",
        "provider_type": "clinic",
    }
    return registration.OrganizationData(**(whole | changes))


def a_practitioner(**changes: Any) -> registration.PractitionerData:
    """Return what an individual practitioner says of the practice."""
    whole: dict[str, Any] = {
        "npi": "1234567893",
        "duplicate_key": secrets.fingerprint(bytes(32), "npi", str(new_id())),
        "street": "5 Elm Street",
        "city": "Richmond",
        "state": "VA",
        "zip_code": "23220",
        "ptans": ("AB1234",),
    }
    return registration.PractitionerData(**(whole | changes))


def a_dossier(kind: str = "register_organization", **changes: Any) -> registration.RequestSubmitted:
    """Return what registration says when a request is filed; by default of a new person."""
    scope_id = changes.pop("scope_id", None) or ScopeId(new_id())
    wished = COMMUNITY.kind(kind)
    given = COMMUNITY.role(wished.role) if wished else None
    place_kind = given.place if given else "application"
    about_group = place_kind == "group"
    group_name = changes.pop("group_name", "Billing")
    company_name = "ABC Billing Inc." if kind == "create_surrogate_group" else ""
    applicant: dict[str, Any] = {
        "person_id": changes.pop("person_id", None) or new_person(),
        "given_name": "Rosa",
        "family_name": "Delgado",
        "email": "rosa@applicants.example",
        "phone": "410-555-0142",
    }
    whole: dict[str, Any] = {
        "request_id": RequestId(new_id()),
        "tracking_number": "T-1",
        "community_id": COMMUNITY.id,
        "community_version": COMMUNITY.version,
        "kind": kind,
        "scope_id": scope_id,
        "place_kind": place_kind,
        "place_id": PlaceId(new_id()) if about_group else PlaceId(scope_id),
        "applicant": registration.Applicant(**applicant),
        "organization": an_organization() if kind == "register_organization" else None,
        "group": (
            registration.GroupData(
                name=group_name, normalised_name=normalise_name(group_name), company_name=company_name
            )
            if kind in ("create_provider_group", "create_surrogate_group")
            else None
        ),
        "practitioner": a_practitioner() if kind == "register_practitioner" else None,
        "submitted_at": NOON,
    }
    return registration.RequestSubmitted(**(whole | changes))


def role_of(it: registration.RequestSubmitted) -> AssignmentId:
    """Return the id of the role assignment that a request leads to."""
    kind = COMMUNITY.kind(it.kind)
    assert kind is not None
    assert kind.role is not None
    return assignment_id(it.request_id, kind.role)


def an_access(
    holder: registration.RequestSubmitted, application: str = "CLAIM_STATUS", **changes: Any
) -> registration.RequestSubmitted:
    """Return the wish to use an application, resting on the role that another request has given."""
    kind = COMMUNITY.kind(holder.kind)
    assert kind is not None
    rests_on = registration.RestsOn(
        assignment_id=role_of(holder), role=str(kind.role), place_kind=holder.place_kind, place_id=holder.place_id
    )
    whole: dict[str, Any] = {
        "person_id": holder.applicant.person_id,
        "scope_id": holder.scope_id,
        "place_id": application_place(COMMUNITY.id, application),
        "application": application,
        "rests_on": rests_on,
    }
    return a_dossier("access_application", **(whole | changes))


def about(it: registration.RequestSubmitted, **more: Any) -> dict[str, Any]:
    """Return what every event of approval says of a request."""
    whole: dict[str, Any] = {
        "request_id": it.request_id,
        "scope_id": it.scope_id,
        "community_id": it.community_id,
        "community_version": it.community_version,
        "kind": it.kind,
        "place_kind": it.place_kind,
        "place_id": it.place_id,
        "applicant_id": it.applicant.person_id,
        "stage": 1,
        "round": 1,
        "version": 2,
    }
    return whole | more


def an_approval(
    it: registration.RequestSubmitted,
    by: PersonId,
    role: str,
    place_id: PlaceId,
    *,
    decided_at: datetime,
    round_: int = 1,
    **more: Any,
) -> approval.RequestApproved:
    """Return what approval says when somebody approved a request in a role."""
    return approval.RequestApproved(
        **about(it, round=round_, **more),
        decided_by=by,
        capacity=approval.Capacity(role=role, place_kind="organization", place_id=place_id),
        decided_at=decided_at,
    )
