"""What time brings: drafts go, identities are erased, silence is noticed, orphans are cleaned up."""

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, update

from services.registration import domain, store, tables, timers, usecases
from services.registration.files import Files
from shared import slices
from shared.contracts import approval
from shared.erasure import UNGRANTED_KEPT
from shared.ids import new_id
from shared.tables import audit, outbox
from shared.testing.waiting import someone_waits_for_a_lock
from shared.worker import Errand
from tests.registration.desk import PDF, SSN, Desk, a_wish, an_applicant, an_organization, bearer
from tests.registration.test_documents import files_below

HOUR = timedelta(hours=1)


async def run(desk: Desk, name: str) -> int:
    """Do one chore, once."""
    kept = Files(desk.folder.as_uri())
    chore = next(chore for chore in timers.chores(desk.db, kept) if chore.name == name)
    if isinstance(chore, Errand):
        return await chore.work()
    async with desk.db.begin() as tx:
        return await chore.work(tx)


async def all_is_sent(desk: Desk) -> None:
    """Let the relay have sent everything."""
    async with desk.db.begin() as tx:
        await tx.execute(
            update(outbox)
            .where(outbox.c.sent_at.is_(None))
            .values(sending_order=outbox.c.position, recorded_at=func.now(), sent_at=func.now())
        )


async def test_a_draft_goes_with_all_that_was_typed_after_14_days(desk: Desk) -> None:
    await desk.filed()
    desk.wait(domain.DRAFT_KEPT - timedelta(minutes=1))
    assert await run(desk, "expire drafts") == 0
    desk.wait(timedelta(minutes=1))
    assert await run(desk, "expire drafts") == 1
    for table in (tables.request, tables.identity, tables.email_code, tables.timeline):
        assert await desk.rows(table) == []
    assert [act.act for act in await desk.rows(audit)] == ["file_request", "expire_draft"]


async def test_a_submitted_request_is_no_draft_and_stays(desk: Desk) -> None:
    await desk.submitted()
    desk.wait(domain.DRAFT_KEPT * 2)
    assert await run(desk, "expire drafts") == 0
    assert len(await desk.rows(tables.request)) == 1


async def test_two_workers_share_what_is_due_and_neither_waits(desk: Desk) -> None:
    for number in range(3):
        await desk.filed(data=an_organization(tin=f"12-345678{number}"))
    desk.wait(domain.DRAFT_KEPT)
    async with desk.db.begin() as first, desk.db.begin() as second:
        assert await usecases.expire_drafts(first) == 3
        assert await usecases.expire_drafts(second) == 0


async def test_what_ended_without_a_grant_loses_identity_and_documents_after_90_days(desk: Desk) -> None:
    filed = await desk.submitted()
    url = f"/registration/v1/requests/{filed['request_id']}/documents"
    headers = bearer(filed["action_token"])
    assert (await desk.http.post(f"{url}/irs_letter", content=PDF, headers=headers)).status_code == 201
    await desk.approval(approval.RequestDenied, filed["request_id"], version=2, reason="document_mismatch")
    desk.wait(UNGRANTED_KEPT - HOUR)
    assert await run(desk, "erase identities") == 0
    desk.wait(2 * HOUR)
    assert await run(desk, "erase identities") == 1
    for table in (tables.identity, tables.document, tables.email_code, tables.person):
        assert await desk.rows(table) == []
    assert (await desk.status(filed["tracking_number"]))["state"] == "denied"
    assert await run(desk, "erase identities") == 0


async def test_what_was_granted_is_kept(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.grant(filed["request_id"])
    desk.wait(UNGRANTED_KEPT * 2)
    assert await run(desk, "erase identities") == 0
    assert len(await desk.rows(tables.identity)) == 1


async def test_a_person_with_another_request_is_still_known_after_an_erasure(desk: Desk) -> None:
    denied = await desk.submitted()
    await desk.approval(approval.RequestDenied, denied["request_id"], version=2, reason="wrong_path")
    desk.wait(UNGRANTED_KEPT)
    await desk.submitted(data=an_organization(tin="12-3456780"))
    desk.wait(HOUR)
    assert await run(desk, "erase identities") == 1
    assert len(await desk.rows(tables.person)) == 1


async def test_who_submits_again_while_being_erased_stays_the_same_person(desk: Desk) -> None:
    denied = await desk.submitted()
    (person,) = await desk.rows(tables.person)
    await desk.approval(approval.RequestDenied, denied["request_id"], version=2, reason="wrong_path")
    desk.wait(UNGRANTED_KEPT + HOUR)
    other = await desk.submitted(applicant=an_applicant(ssn="219-09-0002", email="b@clinic.example"))
    async with desk.db.begin() as tx:
        await store.lock_same_person(tx, domain.PersonKey(person.ssn_fingerprint, person.identity_fingerprint))
        erasing = asyncio.create_task(run(desk, "erase identities"))
        await someone_waits_for_a_lock(desk.db)
        mine = update(tables.request).where(tables.request.c.id == UUID(other["request_id"]))
        await tx.execute(mine.values(person_id=person.id))
    assert await erasing == 1
    assert person.id in [row.id for row in await desk.rows(tables.person)]


async def test_a_request_that_approval_does_not_open_is_announced_again_as_it_was(desk: Desk) -> None:
    await desk.submitted()
    await all_is_sent(desk)
    before = await desk.rows(outbox)
    desk.wait(HOUR - timedelta(minutes=1))
    assert await run(desk, "announce again") == 0
    desk.wait(timedelta(minutes=2))
    assert await run(desk, "announce again") == 1
    after = await desk.rows(outbox)
    assert [row.id for row in after] == [row.id for row in before]
    assert [row.type for row in after if row.sent_at is None] == ["iacs.registration.request.submitted.v1"]


async def test_after_three_times_it_is_marked_and_counted_and_left_alone(desk: Desk) -> None:
    await desk.submitted()
    for _ in range(4):
        await all_is_sent(desk)
        desk.wait(HOUR + timedelta(seconds=1))
        assert await run(desk, "announce again") == 1
    (request,) = await desk.rows(tables.request)
    assert request.unopened_since is not None
    assert max(row.resent_count for row in await desk.rows(outbox)) == 3
    await run(desk, "count unopened")
    assert REGISTRY.get_sample_value("iacs_registration_unopened") == 1
    desk.wait(HOUR * 48)
    assert await run(desk, "announce again") == 0


async def test_while_nothing_can_be_sent_no_try_is_counted(desk: Desk) -> None:
    await desk.submitted()
    for _ in range(6):
        desk.wait(HOUR + timedelta(seconds=1))
        assert await run(desk, "announce again") == 1
    (request,) = await desk.rows(tables.request)
    assert (request.announced_again_count, request.unopened_since) == (0, None)


async def test_an_opened_request_is_never_announced_again_and_its_mark_goes(desk: Desk) -> None:
    filed = await desk.submitted()
    async with desk.db.begin() as tx:
        await tx.execute(tables.request.update().values(unopened_since=func.now()))
    await desk.approval(approval.RequestOpened, filed["request_id"])
    desk.wait(HOUR * 2)
    assert await run(desk, "announce again") == 0
    await run(desk, "count unopened")
    assert REGISTRY.get_sample_value("iacs_registration_unopened") == 0


async def test_a_file_that_no_document_names_is_cleaned_up_once_it_is_old(desk: Desk) -> None:
    filed = await desk.submitted()
    url = f"/registration/v1/requests/{filed['request_id']}/documents/irs_letter"
    await desk.http.post(url, content=PDF, headers=bearer(filed["action_token"]))
    folder: Path = desk.folder
    (kept,) = files_below(folder)
    old, fresh = folder / "half" / "old", folder / "half" / "fresh"
    old.parent.mkdir()
    old.write_bytes(b"x")
    fresh.write_bytes(b"x")
    long_ago = time.time() - 7200
    for path in (old, kept):
        os.utime(path, (long_ago, long_ago))
    await run(desk, "clean up orphan files")
    assert (kept.exists(), old.exists(), fresh.exists()) == (True, False, True)


async def test_what_was_erased_can_be_filed_anew_by_a_new_person(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.approval(approval.RequestDenied, filed["request_id"], version=2, reason="wrong_path")
    desk.wait(UNGRANTED_KEPT + HOUR)
    await run(desk, "erase identities")
    again = await desk.file(a_wish(applicant=an_applicant(ssn=SSN)))
    assert again.status_code == 201
    assert (await desk.prove(again.json()["request_id"])).status_code == 200


async def test_rows_that_prove_limit_and_repeat_nothing_any_more_go(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"idempotency-key": '"one"'}
    answer = await desk.http.post("/registration/v1/requests", json=a_wish(), headers=headers)
    await desk.prove(answer.json()["request_id"], "wrong")
    async with desk.db.begin() as tx:
        await tx.execute(
            tables.invitation.insert().values(
                id=new_id(),
                community_id="c",
                application="A",
                email_fingerprint="f",
                email_locked="l",
                issued_by=new_id(),
                issued_at=tx.now,
                expires_at=tx.now + domain.INVITATION_LIVES,
            )
        )
    kept = (tables.email_code, tables.filing_key, tables.counted_act, tables.invitation)
    desk.wait(domain.CODE_LIVES - timedelta(minutes=1))
    assert await run(desk, "clean up rows") == 0
    assert [len(await desk.rows(table)) for table in kept] == [1, 1, 3, 1]
    desk.wait(timedelta(minutes=2))
    monkeypatch.setattr(slices, "AT_ONCE", 2)
    assert await run(desk, "clean up rows") == 1 + 1 + 2, "so it is called again"
    assert await run(desk, "clean up rows") == 0
    assert [len(await desk.rows(table)) for table in kept] == [0, 0, 0, 1]
    desk.wait(domain.INVITATION_LIVES + UNGRANTED_KEPT)
    await run(desk, "clean up rows")
    assert await desk.rows(tables.invitation) == []


async def test_a_used_code_that_has_not_expired_stays_so_that_no_older_one_counts_again(desk: Desk) -> None:
    filed = await desk.filed()
    old = await desk.code(filed["request_id"])
    desk.wait(timedelta(hours=1))
    await desk.http.post(f"/registration/v1/requests/{filed['request_id']}/email-code")
    assert (await desk.prove(filed["request_id"])).status_code == 200
    await run(desk, "clean up rows")
    assert (await desk.prove(filed["request_id"], old)).json()["code"] == "code_wrong"


async def test_a_withdrawn_request_is_forgotten_like_any_that_ended_without_a_grant(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.approval(approval.RequestWithdrawn, filed["request_id"], version=2)
    desk.wait(UNGRANTED_KEPT + HOUR)
    assert await run(desk, "erase identities") == 1


async def test_every_act_from_filing_to_erasure_is_on_record_with_who_did_it(desk: Desk) -> None:
    first = await desk.filed()
    await desk.prove(first["request_id"], "wrong")
    await desk.http.post(f"/registration/v1/requests/{first['request_id']}/email-code")
    await desk.prove(first["request_id"])
    await desk.grant(first["request_id"])
    (row,) = await desk.rows(tables.request)
    me = await desk.account(row.person_id)
    second = await desk.filed(data=an_organization(tin="12-3456780"))
    mine = bearer(desk.token(me))
    await desk.http.post(f"/registration/v1/requests/{second['request_id']}/submission", headers=mine)
    for _ in range(4):
        await all_is_sent(desk)
        desk.wait(HOUR + timedelta(seconds=1))
        await run(desk, "announce again")
    await desk.approval(approval.RequestDenied, second["request_id"], version=2, reason="wrong_path")
    desk.wait(UNGRANTED_KEPT + HOUR)
    await run(desk, "erase identities")
    assert [(act.act, act.actor) for act in await desk.rows(audit)] == [
        ("file_request", "applicant"),
        ("fail_email_proof", "applicant"),
        ("ask_email_code", "applicant"),
        ("prove_email", "applicant"),
        ("file_request", "applicant"),
        ("submit_request", str(me)),
        ("mark_unopened", "timer"),
        ("erase_identity", "timer"),
    ]
