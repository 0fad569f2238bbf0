"""What PostgreSQL itself refuses, whoever writes: a migration, an operator, a future mistake."""

import pytest
from sqlalchemy.exc import IntegrityError

from tests.approval.builders import SECURITY_OFFICIAL
from tests.approval.desk import Desk

# A decision like the one that is there, but for its id and what the object says.
ANOTHER_DECISION = """
INSERT INTO decision SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid()) || {})).*
FROM decision d
"""


@pytest.fixture
async def decided(desk: Desk) -> Desk:
    """One approved request."""
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    await desk.decide(await desk.submit(kind="create_provider_group", scope_id=place.id), official, key="k")
    return desk


async def test_no_row_says_what_must_never_be_true(decided: Desk) -> None:
    for constraint, statement in {
        "ck_request_not_ones_own": "UPDATE request SET decided_by = applicant_id",
        "ck_request_decision_whole": "UPDATE request SET decided_at = NULL",
        "ck_request_decided_by_somebody": (
            "UPDATE request SET decided_by = NULL, decided_role = NULL, decided_at = NULL"
        ),
        "ck_request_state_known": "UPDATE request SET state = 'lost'",
        "ck_request_ended_whole": "UPDATE request SET ended_at = now()",
        "pk_request": "INSERT INTO request SELECT * FROM request",
        "uq_decision_vote": ANOTHER_DECISION.format("jsonb_build_object('idempotency_key', NULL)"),
        "uq_decision_key": ANOTHER_DECISION.format("jsonb_build_object('round', 2)"),
        "ck_decision_verdict_known": "UPDATE decision SET verdict = 'perhaps', statement = NULL",
        "ck_decision_a_no_has_a_reason": "UPDATE decision SET reason = 'unknown_person'",
        "ck_decision_approval_attests": "UPDATE decision SET statement = NULL",
        "pk_queue": "INSERT INTO queue SELECT * FROM queue",
        "ck_queue_why_known": "UPDATE queue SET why = 'because'",
        "pk_named": "INSERT INTO named SELECT * FROM named",
        "pk_timer": "INSERT INTO timer SELECT * FROM timer",
        "ck_timer_runs_or_stands": "UPDATE timer SET remains = '1 day'",
        "ck_request_claim_whole": "UPDATE request SET claimed_until = now()",
        "ck_request_resting_whole": "UPDATE request SET resting_role = 'END_USER'",
        "ck_timer_kind_known": "UPDATE timer SET kind = 'nap'",
    }.items():
        with pytest.raises(IntegrityError, match=f'"{constraint}"'):
            await decided.sql(statement)


async def test_no_request_has_ended_without_a_moment(decided: Desk) -> None:
    for state in ("granted", "denied", "expired", "withdrawn", "closed"):
        with pytest.raises(IntegrityError, match="ck_request_ended_whole"):
            await decided.sql(f"UPDATE request SET state = '{state}'")  # noqa: S608 - one of the five above.
