"""The composition root of approval: the only file that builds its worker and application."""

from fastapi import FastAPI

from services.approval import api, assembly, timers
from services.approval.settings import ApprovalSettings
from shared import serve, settings, telemetry, tokens, web
from shared.contracts import directory
from shared.database import Database
from shared.worker import Worker

SERVICE = "approval"


def application(told: ApprovalSettings, db: Database, worker: Worker | None, *, with_api: bool) -> FastAPI:
    """Return the HTTP application: the whole API, or health and metrics alone beside a lone worker."""
    verifier = tokens.verifier(told.public_url, db)
    router = api.routes(db, verifier, web.Cursors(told.secret_key))
    return web.build(
        SERVICE,
        "IACS approval",
        db,
        [router] if with_api else [],
        shortcuts=[api.shortcut(router, verifier)] if with_api else [],
        needs_replicas=[directory.STATE_TOPIC] if with_api else [],
        is_alive=lambda: worker is None or worker.is_alive,
    )


def run(*, with_api: bool = True, with_worker: bool = True) -> None:
    """Serve until told to stop."""
    told = settings.load(ApprovalSettings)
    telemetry.configure_logs(SERVICE, as_json=told.log_json)
    db = told.open_database()
    worker = Worker(SERVICE, db, told.kafka, assembly.handlers(told), timers.chores()) if with_worker else None
    serve.run(application(told, db, worker, with_api=with_api), worker, told)
