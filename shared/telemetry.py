"""Where we say what is happening: structured logs, metrics, and the thread that ties them together.

A `Trace` follows one request from the call that filed it, through every event, to the mail: it is
carried in a context variable, in the headers of each event and in each log line.
Personal data never enters a log line: callers pass ids and codes.
"""

import logging
import re
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge, Histogram


@dataclass(frozen=True)
class Trace:
    """Which act all this belongs to, what caused the present step, and the W3C trace context."""

    correlation_id: UUID | None = None
    causation_id: UUID | None = None
    traceparent: str = ""

    @property
    def trace_id(self) -> str | None:
        """What ties an answer, the lines about it and what followed together; None where nothing has been begun."""
        found = _TRACE_ID.match(self.traceparent)
        return found[1] if found else None


_CHATTY = ("aiokafka", "faststream", "sqlalchemy", "uvicorn.access", "httpx")
"""Libraries of whose log only warnings count, and of these not each repetition."""
SAME_WORDS_SECONDS = 10.0
_WORDS_KEPT = 1000
_LEFT_OUT = "left_out"

_TRACE_ID = re.compile(r"00-([0-9a-f]{32})-")
_NONE = Trace()
_trace: ContextVar[Trace] = ContextVar("trace", default=_NONE)


def trace() -> Trace:
    """Return the trace of what is being done now."""
    return _trace.get()


@contextmanager
def tracing(new: Trace) -> Iterator[None]:
    """Do what follows as a part of `new`."""
    token = _trace.set(new)
    try:
        yield
    finally:
        _trace.reset(token)


def correlate(correlation_id: UUID) -> None:
    """Say, as soon as it is known, which request all this is about."""
    _trace.set(replace(_trace.get(), correlation_id=correlation_id))


def new_traceparent() -> str:
    """Return a fresh W3C trace context (version 00, sampled)."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def logger(name: str) -> Any:
    """Return the logger of one module."""
    return structlog.get_logger(name)


def configure_logs(service: str, *, as_json: bool, level: str = "INFO") -> None:
    """Send every log line of this process, also of libraries, to stderr in one shape."""

    def add_trace(_: Any, __: str, line: Any) -> Any:
        current = _trace.get()
        line["service"] = service
        if current.trace_id:
            line["trace_id"] = current.trace_id
        if current.correlation_id:
            line["correlation_id"] = str(current.correlation_id)
        if current.causation_id:
            line["causation_id"] = str(current.causation_id)
        return line

    ours: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_trace,
        _tell_exception,
    ]
    render: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder([_LEFT_OUT]), *ours],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel("WARNING")
    structlog.configure(
        processors=[*ours, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class Sparing(logging.Filter):
    """Lets a library say the same thing once in ten seconds; the next time, `left_out` counts those between.

    A client that cannot reach its broker says so forty times a second: a night of that fills a disk.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str, type[BaseException] | None], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_CHATTY):
            return True
        error = record.exc_info[0] if record.exc_info else None
        words, now = (record.name, record.getMessage(), error), self._clock()
        said_at, left_out = self._said.get(words, (-SAME_WORDS_SECONDS, 0))
        if now - said_at < SAME_WORDS_SECONDS:
            self._said[words] = said_at, left_out + 1
            return False
        if len(self._said) > _WORDS_KEPT:  # Words with a value in them; there is no end of these.
            self._said.clear()
        self._said[words] = now, 0
        if left_out:
            setattr(record, _LEFT_OUT, left_out)
        return True


def _tell_exception(_: Any, __: str, line: Any) -> Any:
    """Say what was raised and where. Its message stays out: it may quote a row, and rows are people's."""
    told = line.pop("exc_info", None)
    error = sys.exc_info()[1] if told is True else told[1] if isinstance(told, tuple) else told
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        line["exception"] = type(error).__name__
        line["cause"] = type(error.__cause__).__name__ if error.__cause__ else None
        line["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return line


# What operators watch. Names follow Prometheus' conventions; each says itself what it counts.
events_sent = Counter("iacs_outbox_sent_total", "Records acknowledged by Kafka", ["topic"])
outbox_unsent = Gauge("iacs_outbox_unsent", "Records that wait to be sent")
outbox_age_seconds = Gauge("iacs_outbox_age_seconds", "Since the oldest record that waits to be sent was said")
events_handled = Counter("iacs_events_total", "Records read, by outcome", ["type", "outcome"])
event_lag = Histogram(
    "iacs_event_lag_seconds",
    "From the fact to its effect here",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
parked_records = Gauge("iacs_parked", "Records that wait for an operator")
broker_reachable = Gauge("iacs_broker_reachable", "1 while this process leads the relay and reaches Kafka")
request_seconds = Histogram("iacs_http_seconds", "Time to answer", ["operation", "status"])
