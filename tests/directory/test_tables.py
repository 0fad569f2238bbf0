"""What PostgreSQL itself refuses, whoever writes: a migration, an operator, a future mistake."""

import pytest
from sqlalchemy.exc import IntegrityError

from tests.directory.desk import Desk

# A row like the one that is there, but for what the object says.
ANOTHER = "INSERT INTO {0} SELECT (jsonb_populate_record(t, jsonb_build_object({1}))).* FROM {0} t LIMIT 1"
NEW_ID = "'id', gen_random_uuid()"


async def test_no_row_says_what_must_never_be_true(desk: Desk) -> None:
    organization = await desk.organization()
    await desk.group(organization)
    request = "'request_id', gen_random_uuid()"
    for constraint, statement in {
        "account_pkey|pk_account": ANOTHER.format("account", "'user_id', 'AAAAAAAA'"),
        "uq_account_user_id": "UPDATE account SET user_id = 'AAAAAAAA'",
        "ck_account_user_id_shape": "UPDATE account SET user_id = 'K7MQ42XO'",
        "ck_account_state_known": "UPDATE account SET state = 'lost'",
        "ck_account_active_has_password": "UPDATE account SET state = 'active'",
        "uq_organization_duplicate": ANOTHER.format("organization", f"{NEW_ID}, {request}"),
        "uq_organization_request_id": ANOTHER.format("organization", f"{NEW_ID}, 'duplicate_key', 'other'"),
        "ck_organization_status_known": "UPDATE organization SET status = 'lost'",
        "uq_user_group_name": ANOTHER.format("user_group", f"{NEW_ID}, {request}"),
        "uq_user_group_request_id": ANOTHER.format("user_group", f"{NEW_ID}, 'normalised_name', 'other'"),
        "ck_user_group_status_known": "UPDATE user_group SET status = 'lost'",
        "ck_user_group_kind_known": "UPDATE user_group SET kind = 'club'",
        "uq_role_assignment_active": ANOTHER.format("role_assignment", f"{NEW_ID}, {request}"),
        "ck_role_assignment_not_ones_own": "UPDATE role_assignment SET decided_by = person_id",
        "ck_role_assignment_ended_whole": "UPDATE role_assignment SET effective_until = now()",
        "ck_role_assignment_status_known": "UPDATE role_assignment SET status = 'lost', effective_until = now()",
        "ck_grant_case_dossier_dropped": "UPDATE grant_case SET dossier = '{}'",
        "ck_grant_case_outcome_known": "UPDATE grant_case SET outcome = 'lost'",
        "uq_password_link_token_hash": "UPDATE password_link SET token_hash = ''",
    }.items():
        with pytest.raises(IntegrityError, match=f'"({constraint})"'):
            await desk.sql(statement)
