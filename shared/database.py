"""One transaction that carries everything a use case does, on PostgreSQL.

`Transaction` gathers what is announced and recorded and writes it in one statement right before
the commit: the rows, the events that tell of them and the record of who did it are there together
or not at all. Nothing is published from inside. Source: architecture 5.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, cast
from uuid import UUID

import asyncpg
from sqlalchemy import CursorResult, Executable, MetaData, Table, bindparam, event, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from shared import telemetry
from shared.clock import Clock, wall_clock

log = telemetry.logger(__name__)

WAKE_CHANNEL = "iacs_outbox"
WAKE_AT_MOST_EVERY_SECONDS = 0.005

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

STATEMENT_SECONDS = 30
IDLE_SECONDS = 60
_SESSION = {
    # A plan is kept as long as its connection. One made while a table was empty would read the whole of it for ever
    # after, and every query on the way of a request has an index.
    "enable_seqscan": "off",
    # A process that stands still, or a machine that vanished, must not keep its locks: others wait for them.
    "idle_in_transaction_session_timeout": "15s",
    # Each is a process of PostgreSQL, which grows to 8 MB. The pool gives out those used last, so that what only a
    # rush of calls had needed rests, and goes.
    "idle_session_timeout": f"{IDLE_SECONDS}s",
    "lock_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# Connection trouble, deadlocks and serialization, resources, locks not available, shutdown, I/O; and what a
# failover or a migration under way looks like: a read-only or idle-ended session, no database, no entry.
_WORLD = ("08", "25006", "25P03", "28", "3D", "40", "53", "55", "57", "58")
_STALE_PLANS = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)


def new_metadata() -> MetaData:
    """Return empty metadata whose constraints get predictable names."""
    return MetaData(naming_convention=NAMING)


@dataclass
class Transaction:
    """Everything one use case does. Made by `Database.begin`, which commits it."""

    connection: AsyncConnection
    raw: Any
    """The asyncpg connection underneath: for the few statements of the hot path."""
    now: datetime
    """Domain time (aware, UTC), the same for all that this transaction does."""
    real_now: datetime
    """The real time (aware, UTC), for tokens and their keys: no demonstration moves it."""
    memory: dict[Any, Any]
    """What never changes once it is read (a published community version): kept as long as the database is open."""
    outbox: list[Any] = field(default_factory=list)
    says: bool = False
    """Whether something was announced, so that the relay is to be woken."""
    audit: list[Any] = field(default_factory=list)
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    """Called once the commit has held, to wake whoever waits for what it brings. Never a place for effects."""

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Run one SQLAlchemy statement in this transaction.

        One that is built once, with `bindparam` for what changes, costs half of one that is built at each call.
        """
        return cast("CursorResult[Any]", await self.connection.execute(statement, parameters))

    async def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Return all rows of a query."""
        return (await self.execute(statement, parameters)).all()

    async def one(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any | None:
        """Return the only row of a query, or None."""
        return (await self.execute(statement, parameters)).one_or_none()

    async def value(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return the first column of the only row of a query, or None."""
        return (await self.execute(statement, parameters)).scalar_one_or_none()

    async def change(self, table: Table, key: UUID, columns: Mapping[str, Any]) -> Any | None:
        """Write these columns of the row with this key, and return the row as it then stands; None if it is not there.

        Values, not expressions: the statement is built once for a table and a set of columns.
        """
        changed = _change(table, tuple(sorted(columns)))
        return await self.one(changed, {"key": key, **{f"new_{name}": value for name, value in columns.items()}})


@cache
def _change(table: Table, names: Sequence[str]) -> Executable:
    (key,) = table.primary_key.columns
    values = {name: bindparam(f"new_{name}", type_=table.columns[name].type) for name in names}
    return update(table).where(key == bindparam("key", type_=key.type)).values(values).returning(table)


class Database:
    """The database of one service. `start` before use, `close` after."""

    def __init__(
        self,
        url: str,
        *,
        flush: Callable[[Transaction], Any],
        clock: Clock = wall_clock,
        pool_size: int = 10,
    ) -> None:
        self.url = engine_url(url)
        self.clock = clock
        self.real_clock: Clock = wall_clock
        self._flush = flush
        self._pool_size = pool_size
        self.engine = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            pool_use_lifo=True,  # The connection with the warmest caches goes first.
            # Transactions are begun on the asyncpg connection, where plain Core and the statements
            # of the hot path meet; SQLAlchemy must not begin one of its own beside it.
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,  # Errors are logged, and parameters are people's data.
            connect_args={
                "timeout": 5,
                "command_timeout": STATEMENT_SECONDS,
                "server_settings": {"application_name": "iacs", **_SESSION},
            },
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_dead_connection)
        self._memory: dict[Any, Any] = {}
        self._wake = asyncio.Event()
        self._waker: asyncio.Task[None] | None = None

    @property
    def dsn(self) -> str:
        """The address in libpq's form, for direct connections."""
        return _dsn(self.url)

    async def start(self) -> None:
        """Begin to wake the relay after commits."""
        self._waker = asyncio.create_task(self._wake_relay(), name="wake relay")

    async def close(self) -> None:
        """Give all connections back."""
        if self._waker:
            self._waker.cancel()
            with suppress(asyncio.CancelledError):
                await self._waker
        await self.engine.dispose()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        try:
            async with self._transaction() as (connection, raw):
                tx = Transaction(connection, raw, now=self.clock(), real_now=self.real_clock(), memory=self._memory)
                yield tx
                if tx.outbox or tx.audit:
                    await self._flush(tx)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            # A statement that is cancelled costs SQLAlchemy its connection.
            raise_if_cancelled(error)
            raise
        if tx.says:
            self._wake.set()
        for wake in tx.after_commit:
            wake()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[tuple[AsyncConnection, Any]]:
        """A transaction on a connection of the pool, which is closed unless the transaction was seen to end.

        A BEGIN that is cancelled, or answered too late, may have begun. asyncpg would then take every later transaction
        on this connection for a part of that one: it would say "committed" of each, and PostgreSQL would commit none.

        A connection that died in the pool is found out at BEGIN, when nothing is done yet: another takes its place.
        """
        for others_left in range(self._pool_size, -1, -1):
            async with self.engine.connect() as connection:
                raw: Any = (await connection.get_raw_connection()).driver_connection
                has_ended = False
                try:
                    transaction = raw.transaction()
                    try:
                        await transaction.start()
                    except Exception as error:
                        # Who waited in vain for an answer would wait as long for another connection's.
                        if not others_left or isinstance(error, TimeoutError) or not is_worlds_fault(error):
                            raise
                        continue
                    try:
                        yield connection, raw
                    except BaseException:
                        await transaction.rollback()
                        has_ended = True
                        raise
                    await transaction.commit()
                    has_ended = True
                    return
                finally:
                    if not has_ended:
                        raw.terminate()
                    if raw.is_closed():
                        await connection.invalidate()

    async def connect(self, **server_settings: str) -> Any:
        """Return a direct asyncpg connection outside the pool, for locks and LISTEN."""
        return await asyncpg.connect(
            self.dsn,
            timeout=5,
            command_timeout=STATEMENT_SECONDS,
            server_settings={"application_name": "iacs", **server_settings},
        )

    async def _wake_relay(self) -> None:
        """Tell the relay, at most every few milliseconds, that a commit has left it work.

        On a connection of its own: NOTIFY inside the transaction would take a lock of the whole
        database at each commit. A lost wake-up costs only the relay's polling interval.
        """
        connection = None
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if connection is None or connection.is_closed():
                    connection = await self.connect()
                await connection.execute(f"NOTIFY {WAKE_CHANNEL}")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                log.info("wake-up not sent; the relay polls")
                await asyncio.sleep(1)
            await asyncio.sleep(WAKE_AT_MOST_EVERY_SECONDS)


def is_worlds_fault(error: BaseException) -> bool:
    """Tell whether `error` is trouble around us, so that trying again later can help.

    Source: architecture 5 (SQLSTATE classes 08, 40, 53, 55, 57, 58 and connection errors).
    """
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_worlds_fault(error.orig))
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error)  # Its others are mistakes of ours, like an argument too many.
    if isinstance(error, asyncpg.InternalClientError):
        # A server that dies says so unasked; asyncpg then waits for what never comes, on a connection without use.
        return "cannot switch to" in str(error)
    if isinstance(error, (OSError, TimeoutError, PoolTimeoutError, DisconnectionError, *_STALE_PLANS)):
        return True
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return isinstance(state, str) and state.startswith(_WORLD)


def raise_if_cancelled(error: BaseException | None = None) -> None:
    """Raise CancelledError, in place of `error`, if this task has been told to end.

    When a transaction is cancelled and its connection dies, asyncpg's rollback fails, and that failure takes
    the place of the cancellation; and what waits within a library may take it for its own, and answer. Seen as
    trouble around us, or as an answer, it would be lost, and who cancelled would wait for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error


def _refuse_dead_connection(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
    """Make the pool replace a connection that died in it, without a round trip for each checkout."""
    if dbapi_connection.driver_connection.is_closed():
        raise DisconnectionError


def engine_url(url: str) -> URL:
    """Return an address as SQLAlchemy's engine takes it: libpq's `sslmode` is `ssl` among asyncpg's arguments."""
    return _renamed(make_url(url).set(drivername="postgresql+asyncpg"), "sslmode", "ssl")


def _dsn(url: URL) -> str:
    return _renamed(url.set(drivername="postgresql"), "ssl", "sslmode").render_as_string(hide_password=False)


def _renamed(url: URL, old: str, new: str) -> URL:
    value = url.query.get(old)
    return url if value is None else url.difference_update_query([old]).update_query_dict({new: value})
