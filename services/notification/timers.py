"""Time comes in: mails whose moment has come are sent, what waits too long is told, what served is forgotten.

A mail is claimed in one transaction, sent outside of it, and its fate recorded in another.
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
CLAIMED_AT_ONCE = 16
LEASE_SECONDS = 60.0
POLL_SECONDS = 0.5
_RECORD_AGAIN_SECONDS = 0.5


class Bell:
    """Rung inside this process when there may be a mail to send. Each ring wakes one sender."""

    def __init__(self) -> None:
        self._rings: asyncio.Queue[None] = asyncio.Queue(maxsize=1)

    def ring(self) -> None:
        """Wake a sender, now or when the next one rests."""
        with suppress(asyncio.QueueFull):
            self._rings.put_nowait(None)

    async def heard(self, within_seconds: float) -> bool:
        """Rest until it rings, or for so long; tell which."""
        try:
            await asyncio.wait_for(self._rings.get(), within_seconds)
        except TimeoutError:
            return False
        return True


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
        for number, one in enumerate(claimed, start=1):
            if lease_ends_at - time.monotonic() < min(self._post.send_seconds, self._lease_seconds / 2):
                await self._release(claimed[number - 1 :], timedelta())
                return
            sending = asyncio.create_task(self._send_and_record(one, lease_ends_at), name="send mail")
            try:
                outcome = await asyncio.shield(sending)
            except asyncio.CancelledError:
                # Told to stop: what is on its way is finished, so that nothing is sent again needlessly.
                await asyncio.wait({sending}, timeout=self._post.send_seconds)
                await self._release(claimed[number:], timedelta())
                raise
            if isinstance(outcome, domain.Unreachable):
                # The rest of the batch would fare alike: it is not counted against it.
                pause = domain.back_off(one.attempt_count, random.random())  # noqa: S311 - jitter.
                await self._release(claimed[number:], pause)
                return

    async def _send_and_record(self, one: store.Claimed, lease_ends_at: float) -> domain.Outcome:
        with telemetry.tracing(one.trace):
            outcome = await self._send(one)
            fate = await self._record(one, outcome, lease_ends_at)
            log.info(
                "a mail was tried",
                notice=one.notice.name,
                notice_id=str(one.id),
                outcome=type(outcome).__name__,
                status=getattr(outcome, "status", None),
                fate=type(fate).__name__,
                attempt=one.attempt_count,
            )
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

    async def _record(self, one: store.Claimed, outcome: domain.Outcome, lease_ends_at: float) -> domain.Fate | None:
        """Record what became of a mail, as long as it is ours: otherwise it would be sent again."""
        while True:
            try:
                async with self._db.begin() as tx:
                    jitter = random.random()  # noqa: S311
                    return await usecases.record_outcome(tx, one, outcome, jitter=jitter)
            except Exception as error:  # Whatever is not the world's fault is raised again.
                if not database.is_worlds_fault(error) or time.monotonic() > lease_ends_at:
                    raise
                await asyncio.sleep(_RECORD_AGAIN_SECONDS)

    async def _release(self, untried: Sequence[store.Claimed], pause: timedelta) -> None:
        if untried:
            async with self._db.begin() as tx:
                await store.save_release(tx, untried, pause)


def chores(senders: Sequence[Sender]) -> list[Chore | Errand]:
    """Return all that notification does by itself."""
    return [
        *(Errand(f"send mails {number}", POLL_SECONDS, one.work) for number, one in enumerate(senders, start=1)),
        Chore("tell what is overdue", 15, usecases.tell_overdue),
        Chore("forget", 3600, usecases.forget),
    ]
