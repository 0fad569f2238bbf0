"""One transaction carries everything, says when it failed, and outlives what happens to its connections."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared import audit, migrate, outbox
from shared.database import _SESSION, WAKE_CHANNEL, Database, Transaction, is_worlds_fault
from shared.ids import new_id
from shared.tables import audit as audit_table
from shared.tables import inbox, progress
from shared.tables import outbox as outbox_table
from shared.testing.databases import Databases
from shared.testing.waiting import someone_waits_for_a_lock, until
from tests.shared.builders import a_request_expired

LOCK_INBOX = text("LOCK TABLE inbox")


async def say_something(tx: Transaction) -> None:
    """Write a row, announce it, note who did it."""
    request = new_id()
    await tx.raw.execute("INSERT INTO inbox VALUES ('toy', $1, 'topic')", str(request))
    outbox.announce(tx, scope=new_id(), subject=request, event=a_request_expired(request))
    audit.record(tx, actor="toy", act="say", subject=request)


async def counts(database: Database) -> list[int]:
    async with database.begin() as tx:
        return [await tx.value(select(func.count()).select_from(table)) for table in (inbox, outbox_table, audit_table)]


async def terminate_all(database: Database) -> None:
    """End every other connection to this database, from the server's side."""
    connection = await database.connect()
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


# --- All or nothing ---------------------------------------------------------------------------------


async def test_rows_events_and_the_record_are_there_together(database: Database) -> None:
    async with database.begin() as tx:
        await say_something(tx)
        assert await counts(database) == [0, 0, 0]

    assert await counts(database) == [1, 1, 1]


async def test_nothing_remains_of_a_transaction_that_raises(database: Database) -> None:
    with pytest.raises(KeyError):
        async with database.begin() as tx:
            await say_something(tx)
            raise KeyError

    assert await counts(database) == [0, 0, 0]


async def test_a_commit_that_fails_says_so(database: Database) -> None:
    async with database.begin() as tx:
        await tx.raw.execute("ALTER TABLE progress ADD UNIQUE (topic) DEFERRABLE INITIALLY DEFERRED")

    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.begin() as tx:
            await say_something(tx)
            await tx.raw.execute("INSERT INTO progress VALUES ('a', 't', 0, 0), ('b', 't', 0, 0)")

    assert await counts(database) == [0, 0, 0]


async def test_a_commit_on_a_connection_that_died_says_so(database: Database) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)) as found:
        async with database.begin() as tx:
            await say_something(tx)
            await terminate_all(database)

    assert is_worlds_fault(found.value)
    assert await counts(database) == [0, 0, 0]


@pytest.mark.parametrize("name", ["sslmode", "ssl"])
async def test_how_a_connection_is_secured_is_said_once_for_those_of_the_pool_and_those_beside_it(
    database: Database, name: str
) -> None:
    async def tried(mode: str) -> None:
        told = database.url.update_query_dict({name: mode}).render_as_string(hide_password=False)
        other = Database(told, flush=outbox.flush, pool_size=2)
        try:
            async with other.begin() as tx:
                assert await tx.raw.fetchval("SELECT 1") == 1
            beside = await other.connect()
            await beside.close()
        finally:
            await other.close()

    await tried("disable")
    await asyncio.to_thread(migrate.upgrade, "approval", f"{database.dsn}?{name}=disable")
    with pytest.raises(ConnectionError, match="SSL"):  # This server has none.
        await tried("require")


async def test_a_server_that_dies_while_nothing_is_asked_of_it_costs_nobody_a_try(database: Database) -> None:
    async with database.begin() as one, database.begin() as two, database.begin() as three:
        dead = [tx.raw for tx in (one, two, three)]
    # As a dying server says it, unasked; the end of the connection has not arrived yet.
    fields = b"SFATAL\0VFATAL\0C57P02\0Mterminating connection\0\0"
    for raw in dead:
        raw._protocol.data_received(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)

    async with database.begin() as tx:
        assert tx.raw not in dead
        await say_something(tx)

    assert await counts(database) == [1, 1, 1]


async def test_an_announcement_that_cannot_be_written_undoes_the_rest(database: Database) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.begin() as tx:
            await say_something(tx)
            tx.outbox.append(tx.outbox[0])

    assert await counts(database) == [0, 0, 0]


async def test_a_transaction_has_one_moment(databases: Databases) -> None:
    moments = iter([a_request_expired().expired_at])  # Asked a second time, it would raise.
    database = await asyncio.to_thread(databases.open, "approval", now=lambda: next(moments))
    async with database.begin() as tx:
        await say_something(tx)
        await say_something(tx)
    connection = await database.connect()
    times = await connection.fetch("SELECT time FROM outbox UNION ALL SELECT at FROM audit")
    await connection.close()
    await database.close()

    assert {row[0] for row in times} == {a_request_expired().expired_at}
    assert len(times) == 4


# --- Connections --------------------------------------------------------------------------------------


async def test_connections_that_died_in_the_pool_are_replaced(database: Database) -> None:
    async with database.begin(), database.begin(), database.begin():
        pass
    await terminate_all(database)
    await until(lambda: nobody_is_connected(database))

    async with database.begin() as one, database.begin() as two, database.begin() as three:
        assert [await tx.value(text("SELECT 1")) for tx in (one, two, three)] == [1, 1, 1]


async def test_connections_that_only_a_rush_needed_are_given_back(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_SESSION, "idle_session_timeout", "300ms")
    database = await asyncio.to_thread(databases.open, "approval")
    watcher = await database.connect()

    async def connected() -> int:
        found: int = await watcher.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return found

    async with database.begin(), database.begin(), database.begin():
        assert await connected() == 3

    async def only_one_is_left() -> bool:
        await counts(database)
        return await connected() == 1

    await until(only_one_is_left)
    async with database.begin(), database.begin(), database.begin():
        assert await connected() == 3
    await watcher.close()
    await databases.drop(database)


async def test_a_transaction_that_was_cancelled_says_that_it_was_cancelled(database: Database) -> None:
    async def wait_for_the_inbox() -> None:
        async with database.begin() as tx:
            await tx.execute(LOCK_INBOX)

    async with database.begin() as tx:
        await tx.execute(LOCK_INBOX)
        waiting = asyncio.create_task(wait_for_the_inbox())
        await someone_waits_for_a_lock(database)
        waiting.cancel()
        # Told as trouble of the world it would be tried again by `delivery` and `worker`, and never end.
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert await counts(database) == [0, 0, 0]


async def test_wherever_a_transaction_is_cancelled_those_after_it_are_committed(databases: Databases) -> None:
    database = await asyncio.to_thread(databases.open, "approval", pool_size=1)
    watcher = await database.connect()

    async def see(event_id: str) -> None:
        async with database.begin() as tx:
            await tx.raw.execute("INSERT INTO inbox VALUES ('toy', $1, 'topic')", event_id)

    await see("the first makes the connection")
    cut_short = 0
    for switch_count in range(40):
        cancelled = asyncio.create_task(see(f"cancelled after {switch_count} switches"))
        for _ in range(switch_count):
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        cut_short += cancelled.cancelled()
        await see(f"after {switch_count} switches")
        assert await watcher.fetchval(
            "SELECT EXISTS (SELECT FROM inbox WHERE event_id = $1)", f"after {switch_count} switches"
        )

    assert cut_short > 10
    await watcher.close()
    await databases.drop(database)


async def test_closing_gives_every_connection_back(databases: Databases) -> None:
    database = await asyncio.to_thread(databases.open, "approval")
    await database.start()
    listener = await database.connect()
    woken = asyncio.Event()
    await listener.add_listener(WAKE_CHANNEL, lambda *_: woken.set())
    async with database.begin() as tx:
        await say_something(tx)
    await asyncio.wait_for(woken.wait(), 60)
    await listener.close()

    await database.close()

    await until(lambda: nobody_is_connected(database))


async def test_the_relay_is_woken_after_a_commit_that_leaves_it_work(database: Database) -> None:
    listener = await database.connect()
    woken = asyncio.Event()
    await listener.add_listener(WAKE_CHANNEL, lambda *_: woken.set())

    async with database.begin() as tx:
        await say_something(tx)

    await asyncio.wait_for(woken.wait(), 60)
    await listener.close()


async def test_the_wake_up_outlives_its_own_connection(database: Database) -> None:
    listener = await database.connect()
    woken = asyncio.Event()
    await listener.add_listener(WAKE_CHANNEL, lambda *_: woken.set())
    async with database.begin() as tx:
        await say_something(tx)
    await asyncio.wait_for(woken.wait(), 60)
    await listener.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE 'NOTIFY%'"
    )
    woken.clear()

    async def say_until_woken() -> bool:
        async with database.begin() as tx:
            await say_something(tx)
        return woken.is_set()

    await until(say_until_woken)
    await listener.close()


async def nobody_is_connected(database: Database) -> bool:
    connection = await database.connect()
    try:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return bool(await connection.fetchval(query) == 0)
    finally:
        await connection.close()


# --- Whose fault it is -------------------------------------------------------------------------------


def a_driver_error(state: str) -> Exception:
    class DriverError(Exception):
        sqlstate = state

    return DriverError()


def wrapped(error: Exception) -> Exception:
    return DBAPIError("SELECT 1", {}, error)


@pytest.mark.parametrize("wrap", [lambda error: error, wrapped], ids=["bare", "of SQLAlchemy"])
@pytest.mark.parametrize(
    ("state", "answer"),
    [
        *((state, True) for state in ("08003", "08006", "40001", "40P01", "53100", "53300", "55P03", "57014")),
        *((state, True) for state in ("57P01", "57P03", "58030")),
        *(
            (state, False)
            for state in ("22003", "22021", "23505", "23514", "42P01", "42703", "25P02", "54000", "XX000")
        ),
    ],
)
def test_the_class_of_an_error_tells_whose_fault_it_is(
    state: str, answer: bool, wrap: Callable[[Exception], Exception]
) -> None:
    assert is_worlds_fault(wrap(a_driver_error(state))) is answer


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (PoolTimeoutError(), True),
        (DisconnectionError(), True),
        (asyncpg.ConnectionDoesNotExistError(), True),
        (asyncpg.InternalClientError("a state that must not be"), False),
        (DBAPIError("SELECT 1", {}, Exception(), connection_invalidated=True), True),
        (TypeError(), False),
        (ValueError(), False),
        (AssertionError(), False),
    ],
    ids=repr,
)
def test_trouble_with_connections_is_the_worlds_fault_and_a_bug_is_not(error: Exception, answer: bool) -> None:
    assert is_worlds_fault(error) is answer


async def test_values_that_cannot_be_sent_are_not_the_worlds_fault(one_database: Database) -> None:
    for values in ((10**30,), ("ten",), (object(),), (1, 2)):
        with pytest.raises((asyncpg.InterfaceError, asyncpg.DataError)) as found:
            async with one_database.begin() as tx:
                await tx.raw.fetchval("SELECT $1::bigint", *values)
        assert not is_worlds_fault(found.value)


async def test_a_connection_that_is_used_after_it_was_closed_is_the_worlds_fault(one_database: Database) -> None:
    connection = await one_database.connect()
    await connection.close()

    with pytest.raises(asyncpg.InterfaceError) as found:
        await connection.execute("SELECT 1")
    assert is_worlds_fault(found.value)


async def test_a_database_that_cannot_be_reached_is_the_worlds_fault() -> None:
    nowhere = Database("postgresql://iacs@127.0.0.1:1/none", flush=outbox.flush)

    with pytest.raises(OSError) as found:
        async with nowhere.begin():
            raise AssertionError("there is no database")
    assert is_worlds_fault(found.value)


async def test_an_error_does_not_show_the_values_of_its_statement(one_database: Database) -> None:
    row = {"consumer": f"toy-{new_id()}", "topic": "123-45-6789", "partition": 0, "next_offset": None}

    with pytest.raises(IntegrityError) as found:
        async with one_database.begin() as tx:
            await tx.execute(progress.insert(), row)

    assert "[SQL parameters hidden" in str(found.value)
