"""What PostgreSQL itself refuses, whoever writes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from services.registration import tables
from shared.ids import new_id
from tests.registration.desk import Desk

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def a_row(**changes: Any) -> dict[str, Any]:
    scope_id = new_id()
    whole = {
        "id": new_id(),
        "tracking_number": str(new_id()),
        "community_id": "c",
        "community_version": 1,
        "kind": "k",
        "scope_id": scope_id,
        "place_kind": "organization",
        "place_id": scope_id,
        "place_key": "p",
        "filed_at": NOW,
        "person_id": new_id(),
        "submitted_at": NOW,
        "submitted_event_id": new_id(),
        "state": "submitted",
        "since_at": NOW,
    }
    return whole | changes


async def add(desk: Desk, **changes: Any) -> None:
    async with desk.db.begin() as tx:
        await tx.execute(insert(tables.request).values(**a_row(**changes)))


DRAFT = {"person_id": None, "submitted_at": None, "submitted_event_id": None, "draft_expires_at": NOW}


async def test_a_whole_request_and_a_whole_draft_are_taken(desk: Desk) -> None:
    await add(desk)
    await add(desk, state="awaiting_email_proof", **DRAFT)


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("ck_request_state_known", {"state": "lost"}),
        ("ck_request_submitted_whole", {"submitted_event_id": None}),
        ("ck_request_draft_is_nobodys", DRAFT),
        ("ck_request_draft_expires", {"draft_expires_at": NOW}),
        ("ck_request_sign_in_of_somebody", {"state": "awaiting_sign_in", **DRAFT}),
        ("ck_request_end_has_a_moment", {"state": "granted"}),
        ("ck_request_granted_is_kept", {"state": "granted", "ended_at": NOW, "erase_at": NOW + timedelta(days=90)}),
        ("ck_request_correction_of_what_was_returned", {"correction_sent": True}),
        ("ck_request_withdrawal_known", {"withdrawal": "perhaps"}),
        ("ck_request_rests_on_whole", {"application": "A", "rests_on_id": new_id()}),
        (
            "ck_request_rests_on_for_an_application",
            {
                "rests_on_id": new_id(),
                "rests_on_role": "R",
                "rests_on_place_kind": "group",
                "rests_on_place_id": new_id(),
            },
        ),
        ("ck_request_organization_is_its_scope", {"place_id": new_id()}),
    ],
)
async def test_a_request_that_contradicts_itself_is_refused(
    desk: Desk, constraint: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        await add(desk, **changes)


async def test_one_person_has_one_open_request_for_a_kind_and_a_place(desk: Desk) -> None:
    person_id = new_id()
    await add(desk, person_id=person_id, state="granted", ended_at=NOW)
    await add(desk, person_id=person_id)
    await add(desk, person_id=person_id, place_key="elsewhere")
    await add(desk)
    with pytest.raises(IntegrityError, match="uq_request_open"):
        await add(desk, person_id=person_id)


async def test_a_secret_field_cannot_stand_among_the_readable_ones(desk: Desk) -> None:
    filed = await desk.filed()
    for name in ("ssn", "birth_date", "tin"):
        with pytest.raises(IntegrityError, match="secrets_are_locked"):
            async with desk.db.begin() as tx:
                await tx.execute(
                    tables.identity.update()
                    .where(tables.identity.c.request_id == filed["request_id"])
                    .values(data={name: "1"})
                )


async def test_one_request_uses_one_invitation_up_by_its_code(desk: Desk) -> None:
    def row(**changes: Any) -> dict[str, Any]:
        whole = {
            "id": new_id(),
            "community_id": "c",
            "application": "A",
            "email_fingerprint": "f",
            "email_locked": "l",
            "code_fingerprint": str(new_id()),
            "issued_by": new_id(),
            "issued_at": NOW,
            "expires_at": NOW,
        }
        return whole | changes

    request_id = new_id()
    async with desk.db.begin() as tx:
        await tx.execute(insert(tables.invitation).values(**row(used_by_request=request_id, used_at=NOW)))
    for constraint, changes in (
        ("uq_invitation_used_by_request", {"used_by_request": request_id, "used_at": NOW}),
        ("ck_invitation_used_whole", {"used_at": NOW}),
        ("ck_invitation_used_by_its_code", {"used_by_request": new_id(), "used_at": NOW, "code_fingerprint": None}),
    ):
        with pytest.raises(IntegrityError, match=constraint):
            async with desk.db.begin() as tx:
                await tx.execute(insert(tables.invitation).values(**row(**changes)))
