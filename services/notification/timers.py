"""Time comes in: mails whose moment has come are sent, what waits too long is told, what served is forgotten.

Mails are claimed in one transaction, sent outside of it one after another, and their fates recorded in others:
while a mail is on its way, those before it are recorded together.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from services.notification import domain, render, smtp, store, usecases
from shared import database, secrets, telemetry
from shared.database import Database
from shared.worker import Chore, Errand

log = telemetry.logger(__name__)

SENDERS = 3
"""One that meets a slow server does not hold up the others."""
CLAIMED_AT_ONCE = 32
LEASE_SECONDS = 60.0
POLL_SECONDS = 0.5
_RECORD_AGAIN_SECONDS = 0.5
_GATHER_SECONDS = 0.03
"""For so long a mail that was sent may wait for others, to be recorded with them: a mail's share of a transaction is
most of what recording it costs. A worker killed meanwhile makes these few be sent again, under the same id."""


class Bell:
    """Rung inside this process when there may be a mail to send. Each ring wakes one sender."""

    def __init__(self) -> None:
        self._rings: asyncio.Queue[None] = asyncio.Queue(maxsize=1)
        self._looked_at = time.monotonic()

    def ring(self) -> None:
        """Wake a sender, now or when the next one rests."""
        with suppress(asyncio.QueueFull):
            self._rings.put_nowait(None)

    async def heard(self, look_seconds: float) -> bool:
        """Rest until it rings, or it is one's turn to look without a ring; tell which.

        Of all who rest, one looks every so often: any more would only look at the same. Who comes to rest has just
        looked.
        """
        self._looked_at = time.monotonic()
        rung = False
        while not rung and (left_seconds := self._looked_at + look_seconds - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left_seconds):
                    await self._rings.get()
                    rung = True
        self._looked_at = time.monotonic()
        return rung


class Sender:
    """Sends mails one after another on one connection. Any number may work side by side."""

    def __init__(
        self,
        db: Database,
        post: smtp.Post,
        bell: Bell,
        *,
        seal_key: Mapping[str, Any],
        mail_from: str,
        public_url: str,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._db = db
        self._post = post
        self._bell = bell
        self._seal_key = seal_key
        self._mail_from = mail_from
        self._public_url = public_url
        self._lease_seconds = lease_seconds

    async def work(self) -> int:
        """Send what is due, or rest until something may be. Never asks its caller for a rest."""
        if await self.send_due() == 0:
            await self._rest()
        return 1

    async def send_due(self) -> int:
        """Claim one batch and send it; return how many notices were looked at."""
        lease_ends_at = time.monotonic() + self._lease_seconds
        async with self._db.begin() as tx:
            batch = await usecases.claim(
                tx,
                sender=self._mail_from,
                public_url=self._public_url,
                limit=CLAIMED_AT_ONCE,
                lease_seconds=self._lease_seconds,
            )
        if batch.looked_at_count == CLAIMED_AT_ONCE:
            self._bell.ring()  # There is more than one sender's work.
        await self._send_all(batch.claimed, lease_ends_at)
        return batch.looked_at_count

    async def _rest(self) -> None:
        """Rest until something may be due; without news for a while, give the connection back."""
        if not await self._bell.heard(POLL_SECONDS):
            await self._post.quit()

    async def _send_all(self, claimed: Sequence[store.Claimed], lease_ends_at: float) -> None:
        record = _Record(self._db, lease_ends_at)
        untried = claimed
        pause = timedelta()
        try:
            for number, one in enumerate(claimed, start=1):
                if lease_ends_at - time.monotonic() < min(self._post.send_seconds, self._lease_seconds / 2):
                    break
                untried = claimed[number:]
                outcome = await self._send_whatever_comes(one, record)
                if isinstance(outcome, domain.Unreachable):
                    # The rest of the batch would fare alike: it is not counted against it.
                    pause = domain.back_off(one.attempt_count, random.random())  # noqa: S311 - jitter.
                    break
        finally:
            try:
                await record.finish()
            finally:
                await self._release(untried, pause)

    async def _send_whatever_comes(self, one: store.Claimed, record: "_Record") -> domain.Outcome:
        """Send one mail; told to stop, finish what is on its way, so that nothing is sent again needlessly."""
        sending = asyncio.create_task(self._send(one), name="send mail")
        try:
            outcome = await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.wait({sending}, timeout=self._post.send_seconds)
            if sending.done():
                record.add(one, sending.result())
            raise
        record.add(one, outcome)
        return outcome

    async def _send(self, one: store.Claimed) -> domain.Outcome:
        assert one.mail is not None
        try:
            mail = render.bytes_of(one.mail, self._opened(one))
        except secrets.UnreadableError:
            return domain.CannotBeMade("unreadable_secret")
        except ValueError:
            return domain.CannotBeMade("bad_address")
        return await self._post.send(render.envelope_sender(one.mail.sender), one.mail.address, mail)

    def _opened(self, one: store.Claimed) -> str | None:
        """Open a notice's secret, for the mail and nothing else."""
        if one.notice.secret is None:
            return None
        plain = secrets.unseal(self._seal_key, one.notice.secret)
        return domain.shown_secret(one.notice.name, plain, self._public_url)

    async def _release(self, untried: Sequence[store.Claimed], pause: timedelta) -> None:
        if untried:
            async with self._db.begin() as tx:
                await store.save_release(tx, untried, pause)


class _Record:
    """Records what became of one batch's mails while the next of them are on their way: those of a moment together."""

    def __init__(self, db: Database, lease_ends_at: float) -> None:
        self._db = db
        self._lease_ends_at = lease_ends_at
        self._waiting: list[store.Tried] = []
        self._writing: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._is_last = asyncio.Event()

    def add(self, claimed: store.Claimed, outcome: domain.Outcome) -> None:
        """Record the outcome of one mail a moment later, with those that come until then."""
        self._waiting.append(store.Tried(claimed, outcome))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="record mails")

    async def finish(self) -> None:
        """Return when all is recorded, also when told to stop meanwhile: what is not recorded will be sent again.

        Raises what went wrong first.
        """
        self._is_last.set()
        if self._writing is not None:
            try:
                await asyncio.shield(self._writing)
            finally:
                await asyncio.wait({self._writing})
        if self._failure is not None:
            raise self._failure

    async def _write(self) -> None:
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_SECONDS):
                    await self._is_last.wait()
            together, self._waiting = self._waiting, []
            try:
                await self._keep_or_each(together)
            except Exception as error:  # Kept for `finish`: the mails after these are to be recorded all the same.
                self._failure = self._failure or error

    async def _keep_or_each(self, together: Sequence[store.Tried]) -> None:
        try:
            await self._keep(together)
        except Exception as error:
            if database.is_worlds_fault(error):
                raise
            failure = error
        else:
            return
        for one in together:  # One that cannot be recorded must not make the others be sent again.
            try:
                await self._keep([one])
            except Exception as error:  # Raised below: what is wrong with one is said once the others are safe.
                failure = error
        raise failure

    async def _keep(self, together: Sequence[store.Tried]) -> None:
        """Record as long as the mails are ours: otherwise they would be sent again."""
        while True:
            try:
                async with self._db.begin() as tx:
                    fates = await usecases.record_outcomes(tx, together, jitter=random.random())  # noqa: S311
            except Exception as error:  # Whatever is not the world's fault is raised again.
                if not database.is_worlds_fault(error) or time.monotonic() > self._lease_ends_at:
                    raise
                await asyncio.sleep(_RECORD_AGAIN_SECONDS)
                continue
            for one in together:
                _tell(one, fates.get(one.claimed.id))
            return


def _tell(one: store.Tried, fate: domain.Fate | None) -> None:
    with telemetry.tracing(one.claimed.trace):
        log.info(
            "a mail was tried",
            notice=one.claimed.notice.name,
            notice_id=str(one.claimed.id),
            outcome=type(one.outcome).__name__,
            status=getattr(one.outcome, "status", None),
            fate=type(fate).__name__,
            attempt=one.claimed.attempt_count,
        )


def chores(senders: Sequence[Sender]) -> list[Chore | Errand]:
    """Return all that notification does by itself."""
    return [
        *(Errand(f"send mails {number}", POLL_SECONDS, one.work) for number, one in enumerate(senders, start=1)),
        Chore("tell what is overdue", 15, usecases.tell_overdue),
        Chore("tell who is left", 1, usecases.tell_departures),
        Chore("tell what others settled", 60, usecases.tell_digests),
        Chore("forget", 3600, usecases.forget),
    ]
