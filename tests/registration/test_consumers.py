"""What registration hears, through the real delivery: progress shown, replicas kept, order never assumed."""

from datetime import UTC, datetime

from services.registration import tables
from shared.contracts import approval, directory
from shared.ids import PersonId, ScopeId, new_id
from tests.registration.desk import Desk, a_wish


async def shown(desk: Desk, filed: dict[str, str]) -> tuple[str, str | None]:
    status = await desk.status(filed["tracking_number"])
    return status["state"], status["whose_turn"]


async def test_a_request_is_shown_from_opening_to_grant(desk: Desk) -> None:
    filed, seen = await desk.submitted(), []
    its = filed["request_id"]
    seen.append(await shown(desk, filed))
    await desk.approval(
        approval.RequestOpened, its, state="awaiting_documents", documents_awaited=["irs_letter"], stage=0
    )
    seen.append(await shown(desk, filed))
    await desk.approval(approval.RequestAwaitingDecision, its, version=2)
    seen.append(await shown(desk, filed))
    await desk.approval(approval.RequestApproved, its, version=3)
    seen.append(await shown(desk, filed))
    await desk.grant(its)
    seen.append(await shown(desk, filed))
    assert seen == [
        ("submitted", "IACS"),
        ("awaiting_documents", "Applicant"),
        ("pending", "Help Desk"),
        ("approved", "IACS"),
        ("granted", None),
    ]
    timeline = (await desk.status(filed["tracking_number"]))["timeline"]
    assert [(moment["what"], moment["by"]) for moment in timeline] == [
        ("filed", []),
        ("submitted", []),
        ("opened", []),
        ("awaiting_decision", ["Help Desk"]),
        ("approved", ["Help Desk"]),
        ("granted", []),
    ]


async def test_a_denial_is_shown_with_the_reason_that_the_applicant_sees(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.approval(approval.RequestDenied, filed["request_id"], version=2, reason="document_mismatch")
    status = await desk.status(filed["tracking_number"])
    assert (status["state"], status["reason"], status["whose_turn"]) == ("denied", "document_mismatch", None)


async def test_expired_and_closed_are_shown(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.approval(approval.RequestExpired, filed["request_id"], version=2)
    assert await shown(desk, filed) == ("expired", None)
    other = await desk.submitted()  # What has ended is no longer open, so the same wish may be filed again.
    assert other["request_id"] != filed["request_id"]
    await desk.approval(approval.RequestClosed, other["request_id"], version=2, why="scope_closed")
    assert await shown(desk, other) == ("closed", None)


async def test_an_escalation_adds_to_those_whose_turn_it_is(desk: Desk) -> None:
    filed = await desk.submitted()
    official = {"role": "SECURITY_OFFICIAL", "place_kind": "organization", "place_id": str(new_id())}
    await desk.approval(approval.RequestAwaitingDecision, filed["request_id"], queues=[official])
    await desk.approval(approval.RequestEscalated, filed["request_id"], why="no_approver")
    assert await shown(desk, filed) == ("pending", "Security Official or Help Desk")


async def test_a_reminder_is_a_line_of_the_timeline_each_time(desk: Desk) -> None:
    filed = await desk.submitted()
    its = filed["request_id"]
    await desk.approval(approval.RequestAwaitingDecision, its)
    for number in (1, 2):
        await desk.approval(approval.RequestReminded, its, awaited="decision", number=number)
    status = await desk.status(filed["tracking_number"])
    lines = [(moment["what"], moment["by"]) for moment in status["timeline"]]
    assert lines[-2:] == [("reminded", ["Help Desk"])] * 2
    assert status["next_step"].endswith("They were reminded 2 times.")
    assert status["state"] == "pending"


async def test_a_reminder_of_documents_leaves_the_turn_with_the_applicant(desk: Desk) -> None:
    filed = await desk.submitted()
    its = filed["request_id"]
    await desk.approval(approval.RequestOpened, its, documents_awaited=["irs_letter"], stage=0)
    awaited = {"awaited": "documents", "number": 1, "queues": [], "stage": 0, "documents_awaited": ["irs_letter"]}
    await desk.approval(approval.RequestReminded, its, **awaited)
    assert await shown(desk, filed) == ("awaiting_documents", "Applicant")


async def test_documents_awaited_after_a_concern_was_cleared_make_it_the_applicants_turn(desk: Desk) -> None:
    filed = await desk.submitted()
    its = filed["request_id"]
    await desk.approval(approval.RequestAwaitingDecision, its, stage=0)
    assert (await shown(desk, filed))[0] == "pending"
    awaited = {"awaited": "documents", "number": 1, "queues": [], "stage": 0, "documents_awaited": ["irs_letter"]}
    await desk.approval(approval.RequestReminded, its, version=2, **awaited)
    assert await shown(desk, filed) == ("awaiting_documents", "Applicant")


async def test_an_older_version_changes_nothing(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.approval(approval.RequestApproved, filed["request_id"], version=3)
    await desk.approval(approval.RequestAwaitingDecision, filed["request_id"], version=2)
    assert (await shown(desk, filed))[0] == "approved"


async def test_a_refused_grant_goes_back_and_a_reopened_request_is_pending_again(desk: Desk) -> None:
    filed = await desk.submitted()
    its = filed["request_id"]
    await desk.approval(approval.RequestApproved, its, version=2)
    await desk.refuse_grant(its, reason="approver_lost_authority")
    assert (await shown(desk, filed))[0] == "refused"
    await desk.approval(approval.RequestReopened, its, version=3, round=2, why="approver_lost_authority")
    assert (await shown(desk, filed))[0] == "pending"


async def test_what_cannot_be_granted_waits_for_the_help_desk_whichever_is_heard_first(desk: Desk) -> None:
    filed = await desk.submitted()
    its = filed["request_id"]
    await desk.refuse_grant(its)
    await desk.approval(approval.RequestApproved, its, version=2)
    assert (await shown(desk, filed))[0] == "refused"
    await desk.approval(
        approval.RequestEscalated, its, version=2, why="cannot_be_granted", refusal="cardinality_reached"
    )
    assert await shown(desk, filed) == ("refused", "Help Desk")
    assert (await desk.status(filed["tracking_number"]))["reason"] is None  # That is for the help desk.


async def test_a_grant_heard_before_anything_of_approval_is_a_grant(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.grant(filed["request_id"])
    await desk.approval(approval.RequestOpened, filed["request_id"])
    await desk.approval(approval.RequestApproved, filed["request_id"], version=2)
    assert await shown(desk, filed) == ("granted", None)


async def test_news_of_a_request_that_is_not_here_is_no_reason_to_stop(desk: Desk) -> None:
    filed = await desk.submitted()
    async with desk.db.begin() as tx:
        await tx.execute(tables.identity.delete())
    unknown = directory.GrantRefused(
        request_id=new_id(),
        round=1,
        scope_id=ScopeId(new_id()),
        reason="x",
        refused_at=datetime.now(UTC),
    )
    await desk.hear(unknown, unknown.request_id, unknown.scope_id)
    assert (await shown(desk, filed))[0] == "submitted"


async def test_an_older_state_never_replaces_a_newer_one(desk: Desk) -> None:
    person_id = new_id()
    await desk.account(person_id, status="locked", version=5)
    await desk.account(person_id, status="active", version=4)
    (row,) = await desk.rows(tables.account)
    assert (row.status, row.version) == ("locked", 5)


async def test_a_deleted_entity_is_gone_and_no_older_record_brings_it_back(desk: Desk) -> None:
    person_id = await desk.account()
    token = desk.token(person_id)
    for state in (directory.AccountState, directory.PersonState):
        await desk.hear_raw(state, None, person_id, person_id, version=7)
    await desk.account(person_id, version=6)
    assert (await desk.file(a_wish(applicant=None), token)).status_code == 401
    (row,) = await desk.rows(tables.known_person)
    assert (row.given_name, row.email, row.version) == ("", "", 7)


async def test_an_older_deletion_takes_nothing_newer_away(desk: Desk) -> None:
    person_id = await desk.account(version=7)
    await desk.hear_raw(directory.AccountState, None, person_id, person_id, version=6)
    (row,) = await desk.rows(tables.account)
    assert (row.status, row.version) == ("active", 7)


async def test_states_arrive_in_any_order(desk: Desk) -> None:
    """A group before its organization, a role before its person: each is kept, and used once all are there."""
    organization_id, person_id = new_id(), new_id()
    group_id = await desk.group(organization_id)
    await desk.assignment(person_id, "SECURITY_OFFICIAL", organization_id, organization_id)
    wish = a_wish("join_group", group_id=str(group_id))
    assert (await desk.file(wish)).json()["code"] == "organization_not_listed"
    state = directory.OrganizationState(
        organization_id=ScopeId(organization_id),
        community_id="provider-supplier",
        status="active",
        legal_business_name="XYZ",
        city="Baltimore",
        state="MD",
        duplicate_key="k",
        effective_from=datetime.now(UTC),
    )
    await desk.hear(state, organization_id, organization_id, version=1)
    assert (await desk.file(wish)).status_code == 201


async def test_an_organization_of_another_community_is_as_unknown_as_none(desk: Desk) -> None:
    organization_id = await desk.organization()
    async with desk.db.begin() as tx:
        await tx.execute(tables.organization.update().values(community_id="fi-carrier-mac"))
    answer = await desk.file(a_wish("become_backup_security_official", organization_id=str(organization_id)))
    assert answer.json()["code"] == "organization_not_listed"


async def test_a_person_who_was_granted_something_has_an_account_before_its_state_is_heard(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.grant(filed["request_id"])
    again = await desk.file(a_wish())
    (row,) = [row for row in await desk.rows(tables.request) if str(row.id) == again.json()["request_id"]]
    assert row.state == "awaiting_sign_in"
    assert PersonId(row.known_as) is not None
