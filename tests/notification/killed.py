"""A worker that dies at the worst moment: when the mail server has taken a mail, and no row says so."""

import asyncio
import json
import os
import signal
import sys

from services.notification import domain, smtp, timers
from shared import outbox
from shared.database import Database
from tests.notification.builders import MAIL_FROM, PUBLIC_URL


class DeadlyPost(smtp.Post):
    """Kills its process once a mail was accepted."""

    async def send(self, sender: str, recipient: str, mail: bytes) -> domain.Outcome:
        """Send, and die."""
        outcome = await super().send(sender, recipient, mail)
        assert outcome == domain.Accepted()
        os.kill(os.getpid(), signal.SIGKILL)
        return outcome


async def main() -> None:
    """Send what is due, as told on the standard input."""
    told = json.load(sys.stdin)
    db = Database(told["dsn"], flush=outbox.flush)
    sender = timers.Sender(
        db,
        DeadlyPost(smtp.Server("127.0.0.1", told["port"])),
        timers.Bell(),
        seal_key=told["seal_key"],
        mail_from=MAIL_FROM,
        public_url=PUBLIC_URL,
        lease_seconds=told["lease_seconds"],
    )
    await sender.send_due()


if __name__ == "__main__":
    asyncio.run(main())
