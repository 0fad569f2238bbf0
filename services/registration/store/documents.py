"""Documents: what is known of each. Their bytes are kept elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from services.registration.tables import document
from shared.database import Transaction
from shared.ids import DocumentId, RequestId


@dataclass(frozen=True)
class Document:
    """A document that was received."""

    id: DocumentId
    code: str
    media_type: str
    sha256: str
    size_bytes: int
    storage_key: str
    added_at: datetime


async def add_document(tx: Transaction, request_id: RequestId, it: Document) -> None:
    """Store a document."""
    await tx.execute(
        insert(document).values(
            id=it.id,
            request_id=request_id,
            code=it.code,
            media_type=it.media_type,
            sha256=it.sha256,
            size_bytes=it.size_bytes,
            storage_key=it.storage_key,
            added_at=it.added_at,
        )
    )


async def list_documents(tx: Transaction, request_id: RequestId) -> list[Document]:
    """Return the documents of a request, oldest first."""
    rows = await tx.rows(select(document).where(document.c.request_id == request_id).order_by(document.c.id))
    return [
        Document(row.id, row.code, row.media_type, row.sha256, row.size_bytes, row.storage_key, row.added_at)
        for row in rows
    ]


async def list_unknown_keys(tx: Transaction, keys: Sequence[str]) -> list[str]:
    """Return those of some storage keys that no document names."""
    known = {
        row.storage_key for row in await tx.rows(select(document.c.storage_key).where(document.c.storage_key.in_(keys)))
    }
    return [key for key in keys if key not in known]
