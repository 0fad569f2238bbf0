"""The composition root of notification: the only file that builds its worker and application."""

from fastapi import FastAPI

from services.notification import api, assembly, smtp, timers
from services.notification.settings import NotificationSettings
from shared import serve, settings, telemetry, tokens, web
from shared.contracts import directory
from shared.database import Database
from shared.worker import Worker

SERVICE = "notification"


def worker(told: NotificationSettings, db: Database) -> Worker:
    """Return what listens and sends."""
    bell = timers.Bell()
    server = smtp.server_of(told.smtp_url.get_secret_value())
    senders = [
        timers.Sender(
            db,
            smtp.Post(server),
            bell,
            seal_key=told.seal_key,
            mail_from=told.mail_from,
            public_url=told.public_url,
        )
        for _ in range(timers.SENDERS)
    ]
    return Worker(SERVICE, db, told.kafka, assembly.handlers(told, bell.ring), timers.chores(senders))


def application(told: NotificationSettings, db: Database, works: Worker | None, *, with_api: bool) -> FastAPI:
    """Return the HTTP application: the whole API, or health and metrics alone beside a lone worker."""
    verifier = tokens.verifier(told.public_url, db)
    return web.build(
        SERVICE,
        "IACS notification",
        db,
        [api.routes(db, verifier, web.Cursors(told.secret_key))] if with_api else [],
        needs_replicas=[directory.STATE_TOPIC] if with_api else [],
        is_alive=lambda: works is None or works.is_alive,
    )


def run(*, with_api: bool = True, with_worker: bool = True) -> None:
    """Serve until told to stop."""
    told = settings.load(NotificationSettings)
    telemetry.configure_logs(SERVICE, as_json=told.log_json)
    db = told.open_database()
    works = worker(told, db) if with_worker else None
    serve.run(application(told, db, works, with_api=with_api), works, told)
