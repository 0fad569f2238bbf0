"""Rows and domain values, and back."""

from typing import Any

from services.registration import domain
from shared.ids import AssignmentId, PlaceId, RequestId, ScopeId


def submission(it: domain.Request) -> dict[str, Any]:
    """What stands in a request's row of its submission."""
    return {
        "concern": it.concern,
        "known_as": it.known_as,
        "person_id": it.person_id,
        "submitted_at": it.submitted_at,
        "submitted_event_id": it.submitted_event_id,
        "draft_expires_at": it.filed_at + domain.DRAFT_KEPT if it.is_draft else None,
        "announce_again_at": it.submitted_at + domain.MUST_BE_OPENED_WITHIN if it.submitted_at else None,
    }


def progress(now: domain.Progress) -> dict[str, Any]:
    """What stands in a request's row of how far it has come."""
    return {
        "state": now.state,
        "since_at": now.since_at,
        "version": now.version,
        "stage": now.stage,
        "round": now.round,
        "refused_round": now.refused_round,
        "roles": list(now.roles),
        "reason": now.reason,
        "decided_as": now.decided_as,
        "until_at": now.until_at,
        "correct": list(now.correct),
        "reminded": now.reminded,
        "escalated": now.escalated,
        "correction_sent": now.correction_sent,
        "withdrawal": now.withdrawal,
    }


def identity(who: domain.Identity) -> dict[str, Any]:
    """What stands in the row of who filed."""
    return {
        **data(who),
        "given_name": who.applicant.given_name,
        "family_name": who.applicant.family_name,
        "email": who.applicant.email,
        "email_fingerprint": who.email_fingerprint,
        "phone": who.applicant.phone,
        "ssn_fingerprint": who.key.ssn,
        "identity_fingerprint": who.key.identity,
    }


def data(who: domain.Identity) -> dict[str, Any]:
    """What stands in the row of who filed of the data, secret and other."""
    return {
        "data": {name: list(value) if isinstance(value, tuple) else value for name, value in who.data.items()},
        "secrets": dict(who.secrets),
    }


def request_of(row: Any) -> domain.Request:
    """Return the request of a row."""
    return domain.Request(
        id=RequestId(row.id),
        tracking_number=row.tracking_number,
        community_id=row.community_id,
        community_version=row.community_version,
        kind=row.kind,
        place=domain.Place(ScopeId(row.scope_id), row.place_kind, PlaceId(row.place_id)),
        place_key=row.place_key,
        filed_at=row.filed_at,
        progress=domain.Progress(
            state=row.state,
            since_at=row.since_at,
            version=row.version,
            stage=row.stage,
            round=row.round,
            refused_round=row.refused_round,
            roles=tuple(row.roles),
            reason=row.reason,
            decided_as=row.decided_as,
            until_at=row.until_at,
            correct=tuple(row.correct),
            reminded=row.reminded,
            escalated=row.escalated,
            correction_sent=row.correction_sent,
            withdrawal=row.withdrawal,
        ),
        known_as=row.known_as,
        person_id=row.person_id,
        submitted_at=row.submitted_at,
        submitted_event_id=row.submitted_event_id,
        application=row.application,
        rests_on=rests_on_of(row),
        revision=row.revision,
        concern=row.concern,
        invitation_id=row.invitation_id,
    )


def rests_on_of(row: Any) -> domain.RestsOn | None:
    """Return the role assignment that a request rests on, if it rests on one."""
    if row.rests_on_id is None:
        return None
    return domain.RestsOn(
        AssignmentId(row.rests_on_id),
        row.rests_on_role,
        row.rests_on_place_kind,
        PlaceId(row.rests_on_place_id),
        ScopeId(row.scope_id),
    )
