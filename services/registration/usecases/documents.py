"""Documents are received and read."""

from services.registration import domain, files, store
from services.registration.usecases.standings import APPLICANT, load_kind, require
from shared import audit, outbox
from shared.contracts import registration as events
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import DocumentId, PersonId, RequestId, new_id


async def expect_document(tx: Transaction, request_id: RequestId, code: str, by: PersonId | None) -> domain.Request:
    """Return an open request that a document may be added to, and keep it so until the commit.

    Raises not_found (also for whoever may not, and for a document that this kind does not ask for), or
    request_closed. Whether one more is taken, its content tells: the same one may be sent again.
    """
    request = await require(tx, "add_document", await store.lock_request(tx, request_id), by)
    if request.is_draft:
        raise Refusal("not_found")
    _, kind = await load_kind(tx, request)
    if code not in {need.code for need in kind.documents}:
        raise Refusal("not_found")
    domain.require_open(request)
    return request


async def add_document(
    tx: Transaction, request_id: RequestId, code: str, stored: files.Stored, by: PersonId | None
) -> tuple[store.Document, bool]:
    """Add a document whose bytes are stored already. Returns it, and whether it is new.

    The same content sent again is the document that is there. Refuses as `expect_document` does, and as
    document_refused when enough others were sent.
    """
    request = await expect_document(tx, request_id, code, by)
    received = [known for known in await store.list_documents(tx, request_id) if known.code == code]
    for known in received:
        if known.sha256 == stored.sha256:
            return known, False
    if len(received) >= domain.DOCUMENTS_OF_ONE_CODE:
        raise Refusal("document_refused", f"At most {domain.DOCUMENTS_OF_ONE_CODE} files are taken for one document.")
    document = store.Document(
        id=DocumentId(new_id()),
        code=code,
        media_type=stored.media_type,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        storage_key=stored.key,
        added_at=tx.now,
    )
    await store.add_document(tx, request_id, document)
    await store.add_moment(tx, request_id, tx.now, "document_received")
    audit.record(
        tx,
        actor=by or APPLICANT,
        act="add_document",
        subject=request_id,
        scope=request.place.scope_id,
        document_id=document.id,
    )
    outbox.announce(
        tx,
        scope=request.place.scope_id,
        subject=request_id,
        event=events.DocumentAdded(
            request_id=request_id,
            scope_id=request.place.scope_id,
            document_id=document.id,
            document=code,
            media_type=document.media_type,
            sha256=document.sha256,
            size_bytes=document.size_bytes,
            added_at=tx.now,
        ),
    )
    return document, True


async def list_documents(
    tx: Transaction, action: str, request_id: RequestId, by: PersonId | None
) -> list[store.Document]:
    """Return the documents of a request to its applicant, and to the help desk of its community. Source: domain 7."""
    request = await require(tx, action, await store.load_request(tx, request_id), by)
    if request.is_draft:
        raise Refusal("not_found")
    return await store.list_documents(tx, request_id)
