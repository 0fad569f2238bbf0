"""Where documents' bytes are kept: a folder, or a store that speaks S3.

Stands on the storage floor. A file is written under a fresh key before the row that names it, so a
crash in between leaves an orphan file and never a row without its file.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import obstore
import puremagic
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from shared.errors import Refusal

LARGEST_BYTES = 10 * 1024 * 1024
_ENOUGH_TO_TELL = 4096
_TYPES = {"application/pdf": "pdf", "image/jpeg": "jpg", "image/gif": "gif", "image/png": "png"}


@dataclass(frozen=True)
class Stored:
    """What was written."""

    key: str
    media_type: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Found:
    """One file that is there."""

    key: str
    changed_at: datetime


class Known(Protocol):
    """What is needed of a document to name its file."""

    @property
    def code(self) -> str: ...
    @property
    def media_type(self) -> str: ...


class Files:
    """The files of one store."""

    def __init__(self, url: str) -> None:
        self._store: ObjectStore = _open(url)

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> Stored:
        """Write what comes. Raises document_refused (its content is of no accepted type) or too_large.

        The type is told from the first bytes, before anything is written; no more than one chunk is
        ever held in memory.
        """
        head, rest = await _head(chunks)
        media_type = media_type_of(head)
        if media_type is None:
            raise Refusal("document_refused")
        digest, size = hashlib.sha256(), 0

        async def measured() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in _joined(head, rest):
                size += len(chunk)
                if size > LARGEST_BYTES:
                    raise Refusal("too_large")
                digest.update(chunk)
                yield chunk

        try:
            await obstore.put_async(self._store, key, measured())
        except BaseError as error:
            raise Refusal("unavailable") from error
        return Stored(key, media_type, digest.hexdigest(), size)

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """Return the bytes of one file, piece by piece. Raises unavailable; its row says that it is there."""
        try:
            result = await obstore.get_async(self._store, key)
        except (BaseError, FileNotFoundError) as error:
            raise Refusal("unavailable") from error

        async def pieces() -> AsyncIterator[bytes]:
            async for chunk in result.stream():
                yield bytes(chunk)

        return pieces()

    async def delete(self, keys: list[str]) -> None:
        """Delete files. No error for one that is not there."""
        for key in keys:
            try:
                await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                continue

    async def drop(self, key: str) -> None:
        """Delete a file that no row names, if it can be done now: otherwise a chore finds it."""
        with suppress(BaseError):
            await self.delete([key])

    async def all(self) -> AsyncIterator[list[Found]]:
        """Return every file that is there, page by page."""
        async for page in obstore.list(self._store, chunk_size=500):
            yield [Found(entry["path"], entry["last_modified"]) for entry in page]


def media_type_of(head: bytes) -> str | None:
    """Return the accepted type that these first bytes are of, or None. A file's name says nothing."""
    try:
        found = str(puremagic.from_string(head, mime=True))
    except (puremagic.PureError, ValueError):
        return None
    return found if found in _TYPES else None


def name_of(document: Known) -> str:
    """Return the name under which a document is saved."""
    return f"{document.code}.{_TYPES[document.media_type]}"


async def _head(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= _ENOUGH_TO_TELL:
            break
    return head, chunks


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in rest:
        yield chunk


def kind_of(url: str) -> str:
    """Return what kind of store an address is of. Raises ValueError for one that there is not."""
    parts = urlsplit(url)
    is_whole = {"file": parts.path.startswith("/") and parts.netloc in ("", "localhost"), "s3": bool(parts.netloc)}
    if not is_whole.get(parts.scheme):
        raise ValueError("must be file:///path or s3://bucket/prefix")
    return parts.scheme


def _open(url: str) -> ObjectStore:
    parts = urlsplit(url)
    if kind_of(url) == "file":
        folder = Path(unquote(parts.path))
        return LocalStore(folder, mkdir=True)
    return from_url(url)
