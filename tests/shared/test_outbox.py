"""What is said leaves as rows of the same transaction: whole, in order, and resendable as it was."""

import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from shared import outbox, telemetry
from shared.contracts.approval import RequestExpired
from shared.database import Database
from shared.ids import new_id
from shared.tables import outbox as table
from tests.shared.builders import NOW, a_request_expired, an_account

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def rows_of(database: Database, scope: UUID) -> list[Any]:
    async with database.begin() as tx:
        return list(await tx.rows(select(table).where(table.c.scope_id == scope).order_by(table.c.position)))


async def test_an_event_is_a_row_keyed_by_its_scope(one_database: Database) -> None:
    scope, request = new_id(), new_id()
    event = a_request_expired(request, scope)
    async with one_database.begin() as tx:
        event_id = outbox.announce(tx, scope=scope, subject=request, event=event)

    (row,) = await rows_of(one_database, scope)
    assert (row.id, row.topic, row.type) == (event_id, "iacs.approval.v1", RequestExpired.wire)
    assert (row.key, row.subject, row.correlation_id) == (str(scope), str(request), request)
    assert RequestExpired.model_validate_json(row.body) == event
    assert json.loads(row.body)["expired_at"] == NOW.isoformat().replace("+00:00", "Z")
    assert (row.sequence, row.sending_order, row.sent_at, row.entity_version) == (None, None, None, None)


async def test_a_key_of_its_own_is_kept(one_database: Database) -> None:
    scope, key = new_id(), new_id()
    async with one_database.begin() as tx:
        outbox.announce(tx, scope=scope, subject=new_id(), event=a_request_expired(), key=key)

    (row,) = await rows_of(one_database, scope)
    assert row.key == str(key)


async def test_a_state_is_a_row_keyed_by_its_entity(one_database: Database) -> None:
    scope, person = new_id(), new_id()
    async with one_database.begin() as tx:
        outbox.publish_state(tx, scope=scope, entity=person, version=7, state=an_account(person))
        outbox.publish_state(tx, scope=scope, entity="toy@1", version=1, state=an_account(person))

    rows = await rows_of(one_database, scope)
    assert [(row.key, row.subject, row.entity_version) for row in rows] == [
        (str(person), str(person), 7),
        ("toy@1", "toy@1", 1),
    ]
    assert [row.correlation_id for row in rows] == [person, scope]


async def test_events_stand_before_the_states_of_their_commit_in_the_order_they_were_said(
    one_database: Database,
) -> None:
    scope, person = new_id(), new_id()
    async with one_database.begin() as tx:
        for version in (1, 2):
            outbox.publish_state(tx, scope=scope, entity=person, version=version, state=an_account(person))
            outbox.announce(tx, scope=scope, subject=new_id(), event=a_request_expired(version=version))

    said = [(row.entity_version, json.loads(row.body).get("version")) for row in await rows_of(one_database, scope)]
    assert said == [(None, 1), (None, 2), (1, None), (2, None)]


async def test_what_is_said_belongs_to_the_thread_of_what_is_done(one_database: Database) -> None:
    scope, thread, cause = new_id(), new_id(), new_id()
    with telemetry.tracing(telemetry.Trace(thread, cause, TRACE)):
        async with one_database.begin() as tx:
            outbox.announce(tx, scope=scope, subject=new_id(), event=a_request_expired())

    (row,) = await rows_of(one_database, scope)
    assert (row.correlation_id, row.causation_id, row.traceparent) == (thread, cause, TRACE)


async def test_what_nobody_traces_begins_a_trace(one_database: Database) -> None:
    scope = new_id()
    async with one_database.begin() as tx:
        outbox.announce(tx, scope=scope, subject=new_id(), event=a_request_expired())

    (row,) = await rows_of(one_database, scope)
    assert row.traceparent.count("-") == 3
    assert row.causation_id is None


async def test_a_body_too_large_for_its_topic_is_never_written(one_database: Database) -> None:
    scope = new_id()
    large = a_request_expired().model_copy(update={"community_id": "x" * outbox.MAXIMUM_BODY_BYTES})
    with pytest.raises(AssertionError, match="too large"):
        async with one_database.begin() as tx:
            outbox.announce(tx, scope=scope, subject=new_id(), event=large)

    assert await rows_of(one_database, scope) == []


async def test_an_event_is_sent_again_at_most_so_often_and_only_when_it_was_sent(one_database: Database) -> None:
    scope = new_id()
    async with one_database.begin() as tx:
        event_id = outbox.announce(tx, scope=scope, subject=new_id(), event=a_request_expired())

    async def resend() -> outbox.Resent:
        async with one_database.begin() as tx:
            return await outbox.resend(tx, event_id, at_most=3)

    async def was_sent() -> None:
        async with one_database.begin() as tx:
            sent = {"sending_order": 1, "recorded_at": NOW, "sent_at": NOW}
            await tx.execute(update(table).where(table.c.id == event_id).values(sent))

    assert await resend() is outbox.Resent.NOT_YET
    answers = []
    for _ in range(5):
        await was_sent()
        answers.append(await resend())
        assert answers[-1] is outbox.Resent.ENOUGH or await resend() is outbox.Resent.NOT_YET
    assert answers == [outbox.Resent.AGAIN] * 3 + [outbox.Resent.ENOUGH] * 2
