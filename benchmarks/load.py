"""A closed loop of callers in one process: raw keep-alive HTTP, no client library, each call timed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

CLIENTS = (1, 4, 16, 32)
"""How many decide at a time, in turn."""


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def call(self, request: bytes) -> tuple[int, bytes]:
        """Send a request as it is and return status and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        body = await self._reader.readexactly(length) if length else b""
        return int(head[9:12]), body


def request(method: str, path: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    """Return the bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """Open one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


@dataclass(frozen=True)
class Taken:
    """What a run of calls took."""

    count: int
    seconds: float
    each: Sequence[float]
    """Seconds of each call, sorted."""

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.count / self.seconds

    def at(self, share: float) -> float:
        """Return the time in milliseconds under which this share of the calls stayed."""
        return self.each[min(int(len(self.each) * share), len(self.each) - 1)] * 1000

    def beside(self, yardstick: float) -> dict[str, float]:
        """Return the figures of decisions, as a share of what pgbench did in the same run."""
        return {
            "decisions_per_second": round(self.rate),
            "p50_ms": round(self.at(0.5), 1),
            "p99_ms": round(self.at(0.99), 1),
            "pgbench_per_second": round(yardstick),
            "share_of_pgbench": round(self.rate / yardstick, 3),
        }


async def run(port: int, calls: Sequence[bytes], *, clients: int, expected: int) -> Taken:
    """Make all calls, `clients` at a time, each client one after the other. Any other status is an error."""
    left = iter(calls)
    each: list[float] = []

    async def client() -> None:
        async with connected(port) as connection:
            for call in left:
                began = time.perf_counter()
                status, body = await connection.call(call)
                each.append(time.perf_counter() - began)
                if status != expected:
                    raise AssertionError(f"{status} instead of {expected}: {body[:300]!r}")

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Taken(len(each), time.perf_counter() - began, sorted(each))


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float = 120, every: float = 0.02) -> float:
    """Look until something holds; return how long that took."""
    began = time.perf_counter()
    while not await holds():
        if time.perf_counter() - began > seconds:
            raise TimeoutError("it never held")
        await asyncio.sleep(every)
    return time.perf_counter() - began
