"""Time comes in: the directory's keys are renewed before they end."""

from services.directory import usecases
from shared.database import Transaction
from shared.worker import Chore


def chores(keys: usecases.Keys) -> list[Chore]:
    """Return what the directory does again and again."""

    async def renew_signing_key(tx: Transaction) -> int:
        await usecases.ensure_signing_key(tx, keys)
        return 0

    return [Chore("renew the signing key", 3600, renew_signing_key)]
