"""What registration does when time has come: drafts expire, identities are erased, silence is noticed, old rows go."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from prometheus_client import Gauge

from services.registration import store, usecases
from services.registration.files import Files
from shared.database import Database, Transaction
from shared.worker import Chore, Errand

ORPHAN_AFTER = timedelta(hours=1)
"""Far longer than an upload takes: a file whose row is still to come is no orphan."""

unopened_requests = Gauge(
    "iacs_registration_unopened", "Requests that approval never opened, although announced again three times"
)


def chores(db: Database, kept: Files) -> list[Chore | Errand]:
    """Return what the worker does again and again."""
    return [
        Chore("expire drafts", 60, usecases.expire_drafts),
        Chore("erase identities", 300, usecases.erase_identities),
        Chore("clean up rows", 600, usecases.clean_up),
        Chore("announce again", 30, usecases.announce_again),
        Chore("count unopened", 15, count_unopened),
        Errand("clean up orphan files", 3600, orphans(db, kept)),
    ]


async def count_unopened(tx: Transaction) -> int:
    """Tell operators how many requests approval never opened."""
    unopened_requests.set(await store.count_unopened(tx))
    return 0


def orphans(db: Database, kept: Files) -> Callable[[], Awaitable[int]]:
    """Return the errand that deletes files which no document names: half an upload, or erased data."""

    async def work() -> int:
        # A file's age is the store's own: the wall clock, never domain time.
        oldest = datetime.now(UTC) - ORPHAN_AFTER
        async for page in kept.all():
            old = [file.key for file in page if file.changed_at < oldest]
            async with db.begin() as tx:
                unknown = await store.list_unknown_keys(tx, old)
            await kept.delete(unknown)
        return 0

    return work
