"""What the record of acts holds of a request: one row for each act, with whoever did it."""

from datetime import timedelta

from services.approval import usecases
from services.approval.domain import Verdict
from shared.tables import audit
from tests.approval.builders import COMMUNITY, HELP_DESK, SECURITY_OFFICIAL, a_submission, new_person
from tests.approval.desk import Desk
from tests.approval.test_wishes import correct, hand_back, withdraw

WEEK = timedelta(days=7)


async def acts(desk: Desk) -> list[tuple[str, str]]:
    """Return each act of the record and who did it, in order."""
    rows = sorted(await desk.rows(audit), key=lambda row: row.position)
    return [(row.act, row.actor) for row in rows]


async def test_each_act_from_the_opening_to_the_grant_is_recorded_with_whoever_did_it(desk: Desk) -> None:
    place, applicant = await desk.place(), new_person()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id, applicant_id=applicant)
    async with desk.db.begin() as tx:
        await usecases.claim_request(tx, request_id, official)
    await hand_back(desk, request_id, official)
    await correct(desk, request_id)
    await desk.decide(request_id, official)
    await desk.refuse(request_id, round_=2)
    await desk.decide(request_id, help_desk, Verdict.RETRY)
    await desk.sql("UPDATE outbox SET sending_order = position, recorded_at = now(), sent_at = now()")
    desk.wait(timedelta(minutes=11))
    await desk.ring()
    await desk.grant(request_id, round_=3)
    assert await acts(desk) == [
        ("open_request", str(applicant)),
        ("claim", str(official)),
        ("decide_return", str(official)),
        ("correct", str(applicant)),
        ("decide_approve", str(official)),
        ("refuse_grant", "directory"),
        ("escalate", "approval"),
        ("decide_retry", str(help_desk)),
        ("announce_again", "approval"),
        ("grant", "directory"),
    ]


async def test_what_time_the_applicant_and_a_closing_do_is_recorded_as_theirs(desk: Desk) -> None:
    place, applicant = await desk.place(), new_person()
    late = await desk.submit(a_submission("register_organization", applicant_id=applicant, scope_id=place.id))
    desk.wait(WEEK)
    await desk.ring()
    await desk.document(late)
    desk.wait(10 * WEEK)
    await desk.ring()
    given_up, closed = [
        await desk.submit(kind="create_provider_group", scope_id=place.id, applicant_id=applicant) for _ in range(2)
    ]
    await withdraw(desk, given_up)
    await desk.close_organization(place)
    assert (await desk.request(closed)).state == "closed"
    assert await acts(desk) == [
        ("open_request", str(applicant)),
        ("remind", "approval"),
        ("add_document", "registration"),
        ("remind", "approval"),
        ("expire", "approval"),
        ("open_request", str(applicant)),
        ("open_request", str(applicant)),
        ("withdraw", str(applicant)),
        ("close", "directory"),
    ]
