"""How mails leave: once, under one id, whatever the mail server does and whoever is killed."""

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any, Literal

import pytest
from asyncpg import CheckViolationError, UniqueViolationError
from sqlalchemy import select

from services.notification import domain, smtp, store, timers, usecases
from services.notification.tables import notice
from shared.database import Database, Transaction
from shared.ids import new_id
from shared.tables import audit, outbox
from shared.testing.waiting import someone_waits_for_a_lock
from tests.notification import builders
from tests.notification.builders import HELP_DESK, MAIL_FROM, PUBLIC_URL, ARequest, feed, sender
from tests.notification.conftest import MailServer


async def make_due(db: Database) -> None:
    """Let every pause and lease be over."""
    async with db.begin() as tx:
        await tx.raw.execute("UPDATE notice SET next_at = now() - interval '1 ms' WHERE ended_at IS NULL")


async def row_of(db: Database, name: str = "email_code") -> Any:
    async with db.begin() as tx:
        return await tx.one(select(notice).where(notice.c.name == name))


async def announced(db: Database) -> list[tuple[str, dict[str, Any]]]:
    async with db.begin() as tx:
        return [
            (row.type.split(".")[-2], json.loads(row.body))
            for row in await tx.rows(select(outbox.c.type, outbox.c.body).order_by(outbox.c.position))
        ]


# --- The mail itself --------------------------------------------------------------------------


async def test_a_mail_has_both_parts_and_headers_that_machines_understand(db: Database, mails: MailServer) -> None:
    asked = ARequest()
    await feed(db, asked.organization(), asked.submitted())
    await sender(db, mails.address).send_due()
    mail = mails.received[0].mail
    row = await row_of(db, "request_received")
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail["Message-ID"] == f"<{row.id}@iacs.example>"
    assert mail["References"] == f"<{asked.id}.root@iacs.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["From"] == MAIL_FROM
    assert mail["To"] == asked.email
    assert mail["Date"].datetime == row.rendered_at
    assert mails.received[0].content.isascii()
    assert '<html lang="en">' in mails.received[0].html


async def test_a_sent_mail_is_announced_and_recorded(db: Database, mails: MailServer) -> None:
    asked = ARequest()
    await feed(db, asked.code_asked())
    await sender(db, mails.address).send_due()
    row = await row_of(db)
    assert (row.state, row.attempt_count, row.secret) == ("sent", 1, None)
    [(kind, said)] = await announced(db)
    assert kind == "sent"
    assert said["notice_id"] == str(row.id)
    assert said["request_id"] == str(asked.id)
    assert asked.email not in json.dumps(said)
    async with db.begin() as tx:
        assert [act.act for act in await tx.rows(select(audit))] == ["notice_sent"]


async def test_all_mails_of_a_request_are_one_conversation_under_different_ids(db: Database, mails: MailServer) -> None:
    asked = ARequest()
    await feed(db, asked.organization(), asked.submitted(), asked.denied())
    await sender(db, mails.address).send_due()
    assert len({str(one.mail["Message-ID"]) for one in mails.received}) == 2
    assert len({str(one.mail["References"]) for one in mails.received}) == 1


# --- What mail servers do ---------------------------------------------------------------------


async def send(post: smtp.Post) -> domain.Outcome:
    return await post.send("us@iacs.example", "rosa@applicants.example", b"Subject: Hello\r\n\r\nHello.\r\n")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("252", domain.Deferred(252)),  # Said before there was anything to take.
        ("450", domain.Deferred(450)),
        ("550", domain.Refused(550)),
        *((str(about_us), domain.Unreachable(about_us)) for about_us in (421, 530, 534, 535, 538)),
        ("data 251", domain.Accepted()),
        ("data 451", domain.Deferred(451)),
        ("data 554", domain.Refused(554)),
        ("drop", domain.Lost()),
    ],
)
async def test_what_a_server_answers_is_about_one_mail_and_the_next_one_leaves(
    mails: MailServer, answer: str, outcome: domain.Outcome
) -> None:
    mails.behave(answer)
    post = smtp.Post(mails.address)
    assert [await send(post), await send(post)] == [outcome, domain.Accepted()]
    await post.quit()


@pytest.mark.parametrize("limit", [{"answer_seconds": 0.5}, {"send_seconds": 1.0}], ids=str)
async def test_a_silent_server_is_waited_for_so_long_and_the_next_mail_leaves(
    mails: MailServer, limit: dict[str, float]
) -> None:
    mails.behave("hang")
    post = smtp.Post(mails.address, **({"connect_seconds": 90.0, "answer_seconds": 90.0, "send_seconds": 90.0} | limit))
    async with asyncio.timeout(30):
        assert [await send(post), await send(post)] == [domain.Lost(), domain.Accepted()]
    await post.quit()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_what_is_to_go_encrypted_goes_to_no_server_that_cannot(
    mails: MailServer, tls: Literal["starttls", "implicit"]
) -> None:
    assert await send(smtp.Post(replace(mails.address, tls=tls))) == domain.Unreachable()
    assert mails.received == []


@pytest.mark.parametrize("answer", ["450", "data 451"])
async def test_a_temporary_no_is_tried_again_with_the_same_bytes(db: Database, mails: MailServer, answer: str) -> None:
    await feed(db, ARequest().code_asked())
    mails.behave(answer)
    await sender(db, mails.address).send_due()
    row = await row_of(db)
    assert (row.state, row.attempt_count, row.smtp_status) == ("due", 1, int(answer.rsplit(maxsplit=1)[-1]))
    async with db.begin() as tx:
        assert await tx.raw.fetchval("SELECT next_at > now() FROM notice")
    assert await sender(db, mails.address).send_due() == 0  # Not before its pause is over.
    await make_due(db)
    await sender(db, mails.address).send_due()
    row = await row_of(db)
    assert (row.state, row.attempt_count) == ("sent", 2)


async def test_a_permanent_no_fails_and_the_help_desk_hears_once(db: Database, mails: MailServer) -> None:
    asked = ARequest()
    await feed(db, asked.organization(), asked.submitted())
    mails.behave("550")
    post = sender(db, mails.address)
    while await post.send_due():
        pass
    row = await row_of(db, "request_received")
    assert (row.state, row.smtp_status, row.why) == ("failed", 550, "refused")
    [told] = mails.to(HELP_DESK)
    assert told.subject == "Help desk: an e-mail about request 7QK2-M4XP-93TD was not delivered"
    assert "Rosa Delgado" in told.text
    assert "550" in told.text
    assert [(kind, said["notice"]) for kind, said in await announced(db)] == [
        ("failed", "request_received"),
        ("sent", "delivery_failed_help_desk"),
    ]
    async with db.begin() as tx:
        assert {act.act for act in await tx.rows(select(audit))} == {"notice_failed", "notice_sent"}


async def test_a_failed_code_is_wiped_and_told_without_a_name(db: Database, mails: MailServer) -> None:
    await feed(db, ARequest().code_asked())
    mails.behave("550")
    post = sender(db, mails.address)
    while await post.send_due():
        pass
    assert (await row_of(db)).secret is None
    [told] = mails.to(HELP_DESK)
    assert told.subject == "Help desk: an e-mail was not delivered"
    assert "the applicant" in told.text


async def test_a_help_desk_that_refuses_its_mail_is_not_told_so_by_mail(db: Database, mails: MailServer) -> None:
    await feed(db, ARequest().code_asked())
    mails.behave("550", "550")
    post = sender(db, mails.address)
    while await post.send_due():
        pass
    async with db.begin() as tx:
        names = Counter(row.name for row in await tx.rows(select(notice.c.name)))
    assert names == {"email_code": 1, "delivery_failed_help_desk": 1}
    assert mails.received == []


@pytest.mark.parametrize("trouble", ["drop", "hang"])
async def test_a_mail_lost_after_its_content_is_repeated_to_the_byte(
    db: Database, mails: MailServer, trouble: str
) -> None:
    await feed(db, ARequest().code_asked())
    mails.behave(trouble)
    await sender(db, mails.address, answer_seconds=3).send_due()
    row = await row_of(db)
    assert row.state == "unknown"
    assert row.secret is not None
    await make_due(db)
    await sender(db, mails.address).send_due()
    first, second = mails.received
    assert first.content == second.content
    assert first.mail["Message-ID"] == f"<{row.id}@iacs.example>"
    assert (await row_of(db)).state == "sent"


async def test_an_unreachable_server_is_asked_once_for_a_batch_and_counted_once(db: Database) -> None:
    for _ in range(5):
        await feed(db, ARequest().code_asked())
    nowhere = smtp.Server("127.0.0.1", 1)
    await sender(db, nowhere).send_due()
    async with db.begin() as tx:
        rows = await tx.rows(select(notice.c.state, notice.c.attempt_count))
    assert [row.state for row in rows] == ["due"] * 5
    assert sorted(row.attempt_count for row in rows) == [0, 0, 0, 0, 1]


async def test_a_server_that_lets_nobody_in_says_nothing_about_the_mail(db: Database) -> None:
    async def turn_away(_: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        client.write(b"554 No mail service here\r\n")
        await client.drain()
        client.close()

    await feed(db, ARequest().code_asked())
    async with await asyncio.start_server(turn_away, "127.0.0.1", 0) as server:
        await sender(db, smtp.Server(*server.sockets[0].getsockname())).send_due()
    row = await row_of(db)
    assert (row.state, row.smtp_status) == ("due", 421)


async def test_a_server_that_closes_is_not_asked_for_the_rest_of_the_batch(db: Database, mails: MailServer) -> None:
    await feed(db, *(ARequest().code_asked() for _ in range(3)))
    mails.behave("421")
    await sender(db, mails.address).send_due()
    assert mails.received == []
    async with db.begin() as tx:
        rows = await tx.rows(select(notice.c.state, notice.c.attempt_count))
    assert sorted((row.state, row.attempt_count) for row in rows) == [("due", 0), ("due", 0), ("due", 1)]


async def test_a_mail_that_may_have_left_stays_one_whether_tried_again_or_given_back(
    db: Database, mails: MailServer
) -> None:
    await feed(db, ARequest().code_asked(), ARequest().code_asked())
    mails.behave("drop", "drop")
    await sender(db, mails.address).send_due()
    await make_due(db)
    await sender(db, smtp.Server("127.0.0.1", 1)).send_due()  # It asks for one, and gives the other back.
    async with db.begin() as tx:
        rows = await tx.rows(select(notice.c.state, notice.c.attempt_count))
    assert sorted((row.state, row.attempt_count) for row in rows) == [("unknown", 1), ("unknown", 2)]


async def test_the_days_for_which_a_mail_is_tried_do_not_begin_before_it_is_written(db: Database) -> None:
    await feed(db, ARequest().code_asked())
    async with db.begin() as tx:
        await tx.raw.execute("UPDATE notice SET due_since_at = now() - interval '6 days'")
    for _ in range(2):
        await make_due(db)
        await sender(db, smtp.Server("127.0.0.1", 1)).send_due()
    row = await row_of(db)
    assert (row.state, row.attempt_count) == ("due", 2)


async def test_one_connection_serves_a_burst_and_a_cut_one_is_replaced(db: Database, mails: MailServer) -> None:
    for _ in range(10):
        await feed(db, ARequest().code_asked())
    post = sender(db, mails.address)
    await post.send_due()
    assert len(mails.received) == 10
    assert mails.connection_count == 1
    await feed(db, ARequest().code_asked())
    mails.behave("cut")
    await post.send_due()
    assert len(mails.received) == 11
    async with db.begin() as tx:
        assert {row.attempt_count for row in await tx.rows(select(notice.c.attempt_count))} == {1}
    assert mails.connection_count == 2


async def test_a_mail_lost_after_its_content_on_a_connection_that_served_before_is_not_repeated_at_once(
    db: Database, mails: MailServer
) -> None:
    first, second = ARequest(), ARequest(email="second@applicants.example")
    post = sender(db, mails.address)
    await feed(db, first.code_asked())
    await post.send_due()
    await feed(db, second.code_asked())
    mails.behave("drop")
    await post.send_due()
    assert len(mails.to(second.email)) == 1
    assert mails.connection_count == 1
    async with db.begin() as tx:
        states = {row.request_id: row.state for row in await tx.rows(select(notice.c.request_id, notice.c.state))}
    assert states == {first.id: "sent", second.id: "unknown"}


async def test_mails_of_a_moment_are_recorded_together(db: Database, mails: MailServer) -> None:
    await feed(db, *(ARequest().code_asked() for _ in range(24)))
    await sender(db, mails.address).send_due()
    async with db.begin() as tx:
        assert await tx.raw.fetchval("SELECT count(*) FROM notice WHERE state = 'sent'") == 24
        assert await tx.raw.fetchval("SELECT count(DISTINCT xmin::text) FROM attempt") < 24
        assert await tx.raw.fetchval("SELECT array_agg(DISTINCT outcome) FROM attempt") == ["accepted"]


async def test_one_that_cannot_be_recorded_does_not_make_the_others_be_sent_again(
    db: Database, mails: MailServer
) -> None:
    bad, others = ARequest(email="bad@applicants.example"), [ARequest() for _ in range(5)]
    await feed(db, *(one.code_asked() for one in (*others[:2], bad, *others[2:])))
    async with db.begin() as tx:
        await tx.raw.execute(
            """
            INSERT INTO attempt (notice_id, number, at, outcome)
            SELECT id, 1, now(), 'accepted' FROM notice WHERE request_id = $1
            """,
            bad.id,
        )
    with pytest.raises(UniqueViolationError):
        await sender(db, mails.address).send_due()
    async with db.begin() as tx:
        states = {row.request_id: row.state for row in await tx.rows(select(notice.c.request_id, notice.c.state))}
    assert states == {bad.id: "sending"} | {one.id: "sent" for one in others}
    assert len(mails.received) == 6


async def test_a_secret_that_is_not_sealed_to_us_fails_instead_of_stopping_the_others(
    db: Database, mails: MailServer
) -> None:
    good, bad = ARequest(), ARequest(email="bad@applicants.example")
    await feed(db, bad.code_asked(), good.code_asked())
    async with db.begin() as tx:
        await tx.raw.execute("UPDATE notice SET secret = 'e.e.e.e.e' WHERE request_id = $1", bad.id)
    await sender(db, mails.address).send_due()
    assert len(mails.to(good.email)) == 1
    async with db.begin() as tx:
        row = await tx.one(select(notice).where(notice.c.request_id == bad.id, notice.c.name == "email_code"))
    assert row is not None
    assert (row.state, row.why) == ("failed", "unreadable_secret")


@pytest.mark.parametrize(
    "address", ["nobody", "two@a.example\nBcc: x@b.example", "jörg@a.example", "@a.example", "two@a..example", "one@"]
)
async def test_an_address_that_no_mail_can_carry_fails_instead_of_stopping_the_others(
    db: Database, mails: MailServer, address: str
) -> None:
    await feed(db, ARequest(email=address).code_asked(), ARequest().code_asked())
    await sender(db, mails.address).send_due()
    assert len(mails.received) == 1
    async with db.begin() as tx:
        assert {row.why for row in await tx.rows(select(notice.c.why))} == {None, "bad_address"}


# --- Many workers, and killed ones ------------------------------------------------------------


async def test_two_workers_send_each_mail_once(db: Database, mails: MailServer) -> None:
    requests = [ARequest(email=f"{n}@applicants.example") for n in range(60)]
    await feed(db, *(one.code_asked() for one in requests))
    workers = [sender(db, mails.address) for _ in range(3)]

    async def work(one: timers.Sender) -> None:
        while await one.send_due():
            pass

    await asyncio.gather(*map(work, workers))
    assert Counter(one.recipient for one in mails.received) == {one.email: 1 for one in requests}


async def test_what_one_worker_holds_no_other_takes(db: Database, mails: MailServer) -> None:
    await feed(db, ARequest().code_asked())
    async with db.begin() as tx:
        batch = await claim(tx)
    assert len(batch.claimed) == 1
    assert await sender(db, mails.address).send_due() == 0


async def test_a_claim_that_is_not_committed_yet_is_stepped_over(db: Database, mails: MailServer) -> None:
    await feed(db, ARequest().code_asked())
    async with db.begin() as tx:
        assert len((await claim(tx)).claimed) == 1
        assert await sender(db, mails.address).send_due() == 0


async def test_a_worker_killed_between_acceptance_and_record_leads_to_the_same_mail_again(
    db: Database, mails: MailServer
) -> None:
    await feed(db, ARequest().code_asked())
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.notification.killed", stdin=asyncio.subprocess.PIPE
    )
    told = {"dsn": db.dsn, "port": mails.address.port, "seal_key": builders.SEAL_KEY, "lease_seconds": 60}
    await worker.communicate(json.dumps(told).encode())
    assert worker.returncode == -signal.SIGKILL
    assert (await row_of(db)).state == "sending"
    assert await sender(db, mails.address).send_due() == 0, "it is the killed worker's until its lease has ended"
    await make_due(db)
    await sender(db, mails.address).send_due()
    assert (await row_of(db)).state == "sent"
    sent, repeated = mails.received
    assert sent.content == repeated.content
    assert (await row_of(db)).attempt_count == 2


async def test_whose_lease_has_ended_records_nothing(db: Database, mails: MailServer) -> None:
    await feed(db, ARequest().code_asked())
    async with db.begin() as tx:
        [late] = (await claim(tx)).claimed
    await make_due(db)
    await sender(db, mails.address).send_due()
    async with db.begin() as tx:
        assert await usecases.record_outcomes(tx, [store.Tried(late, domain.Refused(550))], jitter=1) == {}
    assert (await row_of(db)).state == "sent"
    assert len(await announced(db)) == 1


async def test_whose_lease_has_ended_gives_nothing_back(db: Database) -> None:
    await feed(db, ARequest().code_asked())
    async with db.begin() as tx:
        late = (await claim(tx)).claimed
    await make_due(db)
    async with db.begin() as tx:
        [another] = (await claim(tx)).claimed
    async with db.begin() as tx:
        await store.save_release(tx, late, timedelta())
    row = await row_of(db)
    assert (row.state, row.lease, row.attempt_count) == ("sending", another.lease, 2)


async def test_what_its_lease_leaves_no_time_for_is_given_back_unsent(db: Database, mails: MailServer) -> None:
    await feed(db, ARequest().code_asked(), ARequest().code_asked())
    await sender(db, mails.address, lease_seconds=0).send_due()
    assert mails.received == []
    async with db.begin() as tx:
        rows = await tx.rows(select(notice.c.state, notice.c.attempt_count))
    assert [(row.state, row.attempt_count) for row in rows] == [("due", 0)] * 2


async def test_a_worker_that_is_told_to_stop_finishes_the_mail_on_its_way_and_gives_the_others_back(
    db: Database, mails: MailServer
) -> None:
    await feed(db, *(ARequest().code_asked() for _ in range(3)))
    mails.behave("hang")
    working = asyncio.create_task(sender(db, mails.address, answer_seconds=3).send_due())
    await mails.arrival()
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    async with db.begin() as tx:
        states = Counter(row.state for row in await tx.rows(select(notice.c.state)))
    assert states == {"unknown": 1, "due": 2}


@asynccontextmanager
async def kept_from_recording(db: Database, mails: MailServer) -> AsyncIterator[tuple[Transaction, asyncio.Task[int]]]:
    """A sender whose mail has left, and which cannot record that before the block ends; with who keeps it from it."""
    await feed(db, ARequest().code_asked())
    async with db.begin() as tx:
        await tx.raw.execute("LOCK TABLE outbox")
        sending = asyncio.create_task(sender(db, mails.address).send_due())
        await someone_waits_for_a_lock(db)
        yield tx, sending


async def test_a_worker_that_is_told_to_stop_while_it_records_what_was_sent_records_it(
    db: Database, mails: MailServer
) -> None:
    async with kept_from_recording(db, mails) as (_, sending):
        sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert (await row_of(db)).state == "sent"


async def test_what_was_sent_is_recorded_though_the_database_hangs_up_meanwhile(
    db: Database, mails: MailServer
) -> None:
    async with kept_from_recording(db, mails) as (tx, sending):
        await tx.raw.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    await sending
    assert (await row_of(db)).state == "sent"
    assert len(mails.received) == 1


async def test_what_is_settled_while_its_mail_is_on_its_way_is_not_asked_for_again(
    db: Database, mails: MailServer
) -> None:
    request, official = ARequest(), builders.new_person()
    await feed(db, builders.person(official), request.organization(), request.submitted())
    await sender(db, mails.address).send_due()
    await feed(db, request.awaiting(official))
    async with db.begin() as tx:
        [asked] = (await claim(tx)).claimed
    await feed(db, request.denied())
    async with db.begin() as tx:
        await usecases.record_outcomes(tx, [store.Tried(asked, domain.Deferred(451))], jitter=1)
    await make_due(db)
    await sender(db, mails.address).send_due()
    assert mails.to("ada.approver@people.example") == []
    assert (await row_of(db, "decision_needed")).state == "withdrawn"


async def test_a_mail_leaves_within_a_moment_of_its_event(
    db: Database, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "POLL_SECONDS", 3600)  # What arrives at all was rung for.
    bell = timers.Bell()
    post = sender(db, mails.address, bell=bell)

    took = []
    async with working(post):
        for number in range(7):
            await asyncio.sleep(0.13)  # The sender rests again.
            began = time.perf_counter()
            await feed(db, ARequest().code_asked(), bell=bell)
            await mails.arrival(number + 1)
            took.append(time.perf_counter() - began)
    assert min(took) < 0.5, took  # The others may have waited for whatever else the machine does.


async def test_of_three_senders_that_rest_one_looks_at_a_time_also_after_rings() -> None:
    bell, looks = timers.Bell(), list[float]()

    async def rest() -> None:
        while len(looks) < 9:
            if not await bell.heard(0.05):
                looks.append(time.perf_counter())

    resting = [asyncio.create_task(rest()) for _ in range(3)]
    for _ in range(3):
        bell.ring()
        await asyncio.sleep(0.005)
    await asyncio.gather(*resting)
    gaps = [later - earlier for earlier, later in pairwise(looks)]
    assert min(gaps) > 0.045, gaps
    assert sorted(gaps)[len(gaps) // 2] < 0.5, gaps  # A busy machine may hold up some of them.


async def test_a_sender_that_was_busy_for_long_rests_before_it_looks_again() -> None:
    bell = timers.Bell()
    await asyncio.sleep(0.06)  # It sends.
    began = time.perf_counter()
    assert not await bell.heard(0.05)
    assert time.perf_counter() - began > 0.045


async def test_a_mail_leaves_also_when_nobody_rings(db: Database, mails: MailServer) -> None:
    async with working(sender(db, mails.address)):
        await asyncio.sleep(0.1)
        await feed(db, ARequest().code_asked())
        await mails.arrival()


@asynccontextmanager
async def working(post: timers.Sender) -> AsyncIterator[None]:
    """Let it send, again and again, as a worker does; when this ends, it has finished."""

    async def run() -> None:
        while True:
            await post.work()

    running = asyncio.create_task(run())
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def claim(tx: Any) -> usecases.Batch:
    return await usecases.claim(tx, sender=MAIL_FROM, public_url=PUBLIC_URL, limit=16, lease_seconds=60)


# --- What PostgreSQL itself refuses -----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'sent', ended_at = now()", "secret_gone_at_the_end"),
        ("state = 'sending'", "lease_whole"),
        ("state = 'due'", "rendered_before_sent"),
        ("state = 'lost'", "state_known"),
        ("state = 'failed', secret = NULL", "ended_whole"),
    ],
)
async def test_a_row_that_must_never_be_cannot_be(db: Database, change: str, constraint: str) -> None:
    await feed(db, ARequest().code_asked())
    with pytest.raises(CheckViolationError, match=constraint):
        async with db.begin() as tx:
            await tx.raw.execute(f"UPDATE notice SET {change}")  # noqa: S608


async def test_the_same_notice_cannot_be_two_rows(db: Database) -> None:
    await feed(db, ARequest().code_asked())
    with pytest.raises(UniqueViolationError, match="uq_notice_once"):
        async with db.begin() as tx:
            await tx.raw.execute(
                """
                INSERT INTO notice (id, name, about_id, recipient_kind, version, scope_id, detail, created_at,
                                    traceparent)
                SELECT $1, name, about_id, recipient_kind, version, scope_id, detail, created_at, '' FROM notice
                """,
                new_id(),
            )
