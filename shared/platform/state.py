"""What an embedded stack keeps in its data folder: files written whole or not at all, locks, secrets."""

import fcntl
import os
import secrets
import time
from pathlib import Path


class InUseError(Exception):
    """Somebody who is alive holds the lock."""


def write_whole(path: Path, content: str | bytes, *, mode: int = 0o600) -> None:
    """Replace the file so that a crash leaves the old content or the new, never a part."""
    new = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def secret(path: Path) -> str:
    """Return the secret kept in the file, making one of 32 random bytes if there is none."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, secrets.token_urlsafe(32))
    return path.read_text(encoding="utf-8")


class Lock:
    """A lock that the kernel frees when its holder dies, however it dies: no stale lock exists."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def take(self, *, patience_seconds: float = 0) -> None:
        """Take the lock, waiting so long for its holder; nothing if we hold it. Raises InUseError."""
        if self._file is not None:
            return
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(file)
                    raise InUseError(f"{self.path} is held by another process") from None
                time.sleep(0.02)
            else:
                self._file = file
                return

    @property
    def file(self) -> int:
        """The open file that carries the lock: a process that inherits it holds the lock, too."""
        assert self._file is not None, "not held"
        return self._file

    def write(self, text: str) -> None:
        """Leave a word for those who find the lock taken. Only its holder may."""
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, text.encode(), 0)

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def is_taken(self) -> bool:
        """Whether anybody holds it, this object included."""
        if self._file is not None:
            return True
        if not self.path.exists():
            return False
        probe = Lock(self.path)
        try:
            probe.take()
        except InUseError:
            return True
        probe.release()
        return False
