"""What is told while a request goes its way: returned, reminded of, escalated, withdrawn, granted."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from services.notification.tables import notice, request
from shared.contracts import registration
from shared.database import Database
from shared.ids import AssignmentId, PlaceId, new_id
from tests.notification import builders
from tests.notification.builders import HELP_DESK, NOW, ARequest, feed, new_person
from tests.notification.conftest import MailServer, Received, post_all


async def told(db: Database, mails: MailServer, request: ARequest, *said: builders.Record) -> list[Received]:
    """Return what the applicant was told of these events, beyond the receipt."""
    await feed(db, request.organization(), request.submitted())
    await feed(db, *said)
    await post_all(db, mails)
    return [one for one in mails.to(request.email) if not one.subject.startswith("We received")]


async def test_who_has_to_correct_something_is_told_why_what_and_until_when(db: Database, mails: MailServer) -> None:
    request = ARequest(kind="register_organization", place_kind="organization")
    [mail] = await told(db, mails, request, request.returned("zip_code", "irs_letter"))
    assert mail.subject == "Please correct your request 7QK2-M4XP-93TD"
    for part in (mail.text, mail.html):
        assert "does not fit what you entered" in part
        assert "ZIP code" in part
        assert "IRS letter (CP-575 or accepted substitute)" in part
        assert f"/registration/v1/statuses/{request.tracking_number}" in part


async def test_what_was_corrected_is_put_to_the_approvers_again(db: Database, mails: MailServer) -> None:
    request, official = ARequest(), new_person()
    await feed(db, builders.person(official), request.organization(), request.submitted(), request.awaiting(official))
    await post_all(db, mails)
    await feed(db, request.returned("group_name"), request.reopened(), request.awaiting(official, round_=2))
    await post_all(db, mails)
    asked = mails.to("ada.approver@people.example")
    assert [one.subject for one in asked] == ["Your decision is needed: request 7QK2-M4XP-93TD"] * 2
    # Corrected before the mail that asked for it had left: it is not sent any more.
    assert "Please correct" not in " ".join(one.subject for one in mails.to(request.email))


async def test_what_was_corrected_is_called_so_in_every_later_mail(db: Database, mails: MailServer) -> None:
    request, official = ARequest(kind="create_provider_group"), new_person()
    await feed(db, builders.person(official), request.organization(), request.submitted(), request.returned())
    await feed(db, request.resubmitted("Billing Office"), request.reopened(), request.awaiting(official, round_=2))
    await post_all(db, mails)
    [asked] = mails.to("ada.approver@people.example")
    assert "Billing Office, XYZ Clinic" in asked.text


async def test_a_return_takes_the_work_from_those_who_were_not_told_of_it_yet(db: Database, mails: MailServer) -> None:
    request, official = ARequest(), new_person()
    await told(db, mails, request, builders.person(official), request.awaiting(official), request.returned())
    assert mails.to("ada.approver@people.example") == []


async def test_a_return_that_is_said_again_is_told_once(db: Database, mails: MailServer) -> None:
    request = ARequest()
    assert len(await told(db, mails, request, request.returned(), request.returned())) == 1
    await feed(db, request.returned())
    await post_all(db, mails)
    assert len([one for one in mails.to(request.email) if one.subject.startswith("Please correct")]) == 1


async def test_a_withdrawal_is_confirmed_and_a_late_one_is_explained(db: Database, mails: MailServer) -> None:
    request, late = ARequest(), ARequest(email="late@applicants.example")
    [confirmed] = await told(db, mails, request, request.withdrawn())
    assert confirmed.subject == "Your request 7QK2-M4XP-93TD was withdrawn"
    [refused] = await told(db, mails, late, late.withdrawal_refused())
    assert refused.subject == "Your request 7QK2-M4XP-93TD could not be withdrawn"
    assert "Somebody had decided on it before" in refused.text


async def test_what_is_heard_of_a_request_after_its_end_leaves_the_end_as_it_was(
    db: Database, mails: MailServer
) -> None:
    asked = ARequest()
    assert len(await told(db, mails, asked, asked.denied(), asked.withdrawal_refused())) == 2
    async with db.begin() as tx:
        assert await tx.value(select(request.c.ended_at)) == NOW  # Names are wiped so long after it.


async def test_each_reminder_reaches_each_approver_once(db: Database, mails: MailServer) -> None:
    request, official, other = ARequest(), new_person(), new_person()
    await feed(db, builders.person(official), builders.person(other, "Other One"))
    for number in (1, 1, 2):
        await told(db, mails, request, request.reminded(official, other, number=number, help_desk=True))
    for address in ("ada.approver@people.example", "other.one@people.example", HELP_DESK):
        reminders = mails.to(address)
        assert len(reminders) == 2, address
        assert "still waits" in reminders[0].html
    assert "The request is 3 days old" in mails.to("other.one@people.example")[0].text


async def test_a_reminder_that_has_not_left_gives_way_to_the_next_one(db: Database, mails: MailServer) -> None:
    request, official = ARequest(), new_person()
    await told(db, mails, request, request.reminded(official), request.reminded(official, number=2))
    await feed(db, builders.person(official))
    await post_all(db, mails)
    [mail] = mails.to("ada.approver@people.example")
    assert "The request is 6 days old" in mail.text


async def test_what_is_settled_is_not_reminded_of(db: Database, mails: MailServer) -> None:
    request, official = ARequest(), new_person()
    await told(db, mails, request, builders.person(official), request.reminded(official), request.approved())
    assert mails.to("ada.approver@people.example") == []


async def test_a_reminder_of_documents_says_how_many_days_are_left(db: Database, mails: MailServer) -> None:
    request = ARequest(kind="register_organization", place_kind="organization")
    awaited = ("irs_letter",)
    [mail] = await told(
        db, mails, request, request.opened(documents=awaited), request.reminded(number=2, documents=awaited)
    )
    assert mail.subject == "Reminder: documents needed for your request 7QK2-M4XP-93TD"
    assert "IRS letter (CP-575 or accepted substitute)" in mail.text
    assert "Time left: 24 days" in mail.text


async def test_the_applicant_hears_once_of_a_step_that_adds_several_queues(db: Database, mails: MailServer) -> None:
    request = ARequest(kind="join_group")
    late = NOW + timedelta(days=14)
    steps = [
        request.escalated(to_help_desk=False, role=role, why="overdue", at=late)
        for role in ("SECURITY_OFFICIAL", "BACKUP_SECURITY_OFFICIAL")
    ]
    await feed(db, request.group())
    [mail] = await told(db, mails, request, *steps)
    assert "Your request is 14 days old" in mail.text
    assert mails.to(HELP_DESK) == []
    later = request.escalated(why="overdue", at=late + timedelta(days=14))
    assert len(await told(db, mails, request, later)) == 2
    [desk] = mails.to(HELP_DESK)
    assert "Nobody decided on it in time." in desk.text
    assert "It came to: Security Official." in desk.text  # Its history.


async def test_an_escalation_for_want_of_an_approver_does_not_bother_the_applicant(
    db: Database, mails: MailServer
) -> None:
    request = ARequest()
    assert await told(db, mails, request, request.escalated(why="no_approver")) == []


async def test_the_help_desk_hears_of_a_concern_and_later_that_nobody_decided(db: Database, mails: MailServer) -> None:
    request = ARequest()
    concern = request.escalated(why="concern")
    await told(db, mails, request, concern, request.awaiting(help_desk=True), request.escalated(why="overdue"))
    concerned, overdue = mails.to(HELP_DESK)
    assert "what somebody else has entered" in concerned.text
    assert "Nobody decided on it in time." in overdue.text


async def test_a_help_desk_that_was_not_told_yet_hears_of_the_work_and_why_it_came_to_it_in_one_mail(
    db: Database, mails: MailServer
) -> None:
    request = ARequest()
    await told(db, mails, request, request.awaiting(help_desk=True), request.escalated(why="overdue"))
    [mail] = mails.to(HELP_DESK)
    assert "Nobody decided on it in time." in mail.text


@pytest.mark.parametrize(
    ("stage", "previous_state", "words"),
    [
        (0, "awaiting_documents", "The documents that it needs did not all arrive"),
        (0, "pending", "Nobody decided on it in time"),  # The help desk, on a concern.
        (1, "returned", "the correction did not arrive"),
        (1, "pending", "Nobody decided on it in time"),
    ],
)
async def test_an_expiry_says_what_had_not_come(
    db: Database, mails: MailServer, stage: int, previous_state: str, words: str
) -> None:
    request = ARequest()
    [mail] = await told(db, mails, request, request.expired(stage=stage, previous_state=previous_state))
    assert words in mail.text


async def test_a_grant_says_in_the_same_mail_what_it_has_opened(db: Database, mails: MailServer) -> None:
    first = ARequest(kind="register_organization", place_kind="organization")
    first_place = PlaceId(first.scope_id)
    first = ARequest(first.kind, first.place_kind, first.id, first.scope_id, first_place, first.applicant_id)
    [listed] = await told(db, mails, first, first.granted(account_issued=False))
    assert "XYZ Clinic is now listed" in listed.text
    group = ARequest(email="group@applicants.example")
    [opened] = await told(db, mails, group, group.granted(account_issued=False))
    assert "Billing, XYZ Clinic is now open" in opened.html
    joined = ARequest(kind="join_group", email="joined@applicants.example")
    await feed(db, joined.group())
    [quiet] = await told(db, mails, joined, joined.granted(account_issued=False))
    assert "is now" not in quiet.text


async def test_a_practitioner_is_told_of_the_record_by_name(db: Database, mails: MailServer) -> None:
    request = ARequest(kind="register_practitioner", place_kind="practitioner")
    await feed(db, request.submitted(), request.granted(account_issued=False))
    await post_all(db, mails)
    granted = mails.to(request.email)[-1]
    assert "the role Individual Practitioner at the practitioner record of Rosa Delgado" in granted.text
    assert "The practitioner record of Rosa Delgado is now active." in granted.text


async def test_who_asks_for_an_application_reads_its_name_and_the_place_of_the_role(
    db: Database, mails: MailServer
) -> None:
    group_id, official = PlaceId(new_id()), new_person()
    request = ARequest(
        kind="access_application",
        place_kind="application",
        application="CLAIM_STATUS",
        rests_on=registration.RestsOn(
            assignment_id=AssignmentId(new_id()), role="END_USER", place_kind="group", place_id=group_id
        ),
    )
    group = ARequest(scope_id=request.scope_id, place_id=group_id).group("Claims")
    await feed(db, group, builders.person(official))
    [granted] = await told(
        db, mails, request, request.awaiting(official), request.granted(account_issued=False, entitlement=True)
    )
    assert "It is the turn of: User Group Administrator" in mails.to(request.email)[0].text
    assert granted.subject == "Your request 7QK2-M4XP-93TD was approved"
    assert "you may now use the application Claim Status Inquiry at Claims, XYZ Clinic" in granted.text
    [asked] = mails.to("ada.approver@people.example")
    assert "asks for the application Claim Status Inquiry at Claims, XYZ Clinic" in asked.text


async def test_an_application_request_waits_for_the_place_of_the_role(db: Database, mails: MailServer) -> None:
    group_id = PlaceId(new_id())
    request = ARequest(
        kind="access_application",
        place_kind="application",
        application="CLAIM_STATUS",
        rests_on=registration.RestsOn(
            assignment_id=AssignmentId(new_id()), role="END_USER", place_kind="group", place_id=group_id
        ),
    )
    await told(db, mails, request)
    assert mails.received == []
    await feed(db, ARequest(scope_id=request.scope_id, place_id=group_id).group("Claims"))
    async with db.begin() as tx:
        assert await tx.value(select(notice.c.next_at <= tx.now)) is True
    await post_all(db, mails)
    assert len(mails.received) == 1


# --- Invitations ------------------------------------------------------------------------------


async def test_an_invitation_says_for_whom_it_is_for_whom_not_and_with_which_code(
    db: Database, mails: MailServer
) -> None:
    await feed(db, builders.invited("guest@people.example"))
    await post_all(db, mails)
    [mail] = mails.to("guest@people.example")
    assert mail.subject == "A CMS application is available to you"
    for part in (mail.text, mail.html):
        assert "Provider Statistical and Reimbursement System" in part
        assert "Everybody who files cost reports." in part
        assert "7QK2M4XP93TD" in part
    assert "Not for <b>small</b> practices." in mail.text
    assert "Not for &lt;b&gt;small&lt;/b&gt; practices." in mail.html
    async with db.begin() as tx:
        [row] = await tx.rows(select(notice))
    assert row.secret is None
    assert "7QK2M4XP93TD" not in f"{row.text}{row.html}{row.detail}"


async def test_an_invitation_without_a_code_speaks_of_none(db: Database, mails: MailServer) -> None:
    await feed(db, builders.invited("guest@people.example", code=None, not_for=""))
    await post_all(db, mails)
    [mail] = mails.received
    assert "INVITATION CODE" not in mail.text
    assert "WHO SHOULD NOT" not in mail.text
    assert "⟦" not in mail.text
