"""Kafka comes in: what the directory does about what registration and approval say."""

from services.directory import usecases
from shared.contracts import approval, registration
from shared.database import Transaction
from shared.delivery import Handlers


def handlers(keys: usecases.Keys) -> Handlers:
    """Return the directory's handlers."""
    handle = Handlers("directory")

    @handle(registration.RequestSubmitted)
    async def submitted(tx: Transaction, it: registration.RequestSubmitted) -> None:
        await usecases.keep_dossier(tx, keys, it)

    @handle(registration.RequestResubmitted)
    async def resubmitted(tx: Transaction, it: registration.RequestResubmitted) -> None:
        await usecases.correct_dossier(tx, keys, it)

    @handle(approval.RequestApproved)
    async def approved(tx: Transaction, it: approval.RequestApproved) -> None:
        await usecases.keep_approval(tx, keys, it)

    @handle(approval.RequestDenied)
    async def denied(tx: Transaction, it: approval.RequestDenied) -> None:
        await usecases.drop_dossier(tx, it.request_id)

    @handle(approval.RequestWithdrawn)
    async def withdrawn(tx: Transaction, it: approval.RequestWithdrawn) -> None:
        await usecases.drop_dossier(tx, it.request_id)

    @handle(approval.RequestExpired)
    async def expired(tx: Transaction, it: approval.RequestExpired) -> None:
        await usecases.drop_dossier(tx, it.request_id)

    @handle(approval.RequestClosed)
    async def closed(tx: Transaction, it: approval.RequestClosed) -> None:
        await usecases.drop_dossier(tx, it.request_id)

    return handle
