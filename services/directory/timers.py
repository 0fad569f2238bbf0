"""Time comes in: what nobody keeps ends, keys are renewed before they end, and what is useless is forgotten."""

from services.directory import store, usecases
from shared.database import Transaction
from shared.worker import Chore


def chores(keys: usecases.Keys) -> list[Chore]:
    """Return what the directory does again and again."""

    async def renew_signing_key(tx: Transaction) -> int:
        await usecases.ensure_signing_key(tx, keys)
        return 0

    return [
        Chore("renew the signing key", 3600, renew_signing_key),
        Chore("fire timers", 1, usecases.fire_timer),
        Chore("forget old sign-ins", 3600, store.forget_old_sign_ins),
    ]
