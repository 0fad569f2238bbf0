"""The composition root of the directory: the only file that builds its worker and application."""

from fastapi import FastAPI

from services.directory import api, assembly, pages, timers
from services.directory.settings import DirectorySettings
from shared import serve, settings, telemetry, tokens, web
from shared.database import Database
from shared.ui import environment
from shared.ui.page import Shell
from shared.worker import Worker

SERVICE = "directory"


def application(told: DirectorySettings, db: Database, worker: Worker | None, *, with_api: bool) -> FastAPI:
    """Return the HTTP application: API and pages, or health and metrics alone beside a lone worker."""
    ours = assembly.keys(told)
    routers = []
    if with_api:
        shell = Shell(static_url=f"/{SERVICE}/static")
        routers = [
            api.routes(
                db,
                ours,
                tokens.verifier(told.public_url, db),
                api.Signer(tokens.Issued.at(told.public_url), ours),
                web.Cursors(told.secret_key),
                is_https=told.public_url.startswith("https:"),
            ),
            pages.routes(db, ours, environment.page_renderer("services.directory", shell)),
        ]
    return web.build(SERVICE, "IACS directory", db, routers, is_alive=lambda: worker is None or worker.is_alive)


def run(*, with_api: bool = True, with_worker: bool = True) -> None:
    """Serve until told to stop."""
    told = settings.load(DirectorySettings)
    telemetry.configure_logs(SERVICE, as_json=told.log_json)
    db = told.open_database()
    ours = assembly.keys(told)
    worker = Worker(SERVICE, db, told.kafka, assembly.handlers(told), timers.chores(ours)) if with_worker else None
    serve.run(application(told, db, worker, with_api=with_api), worker, told)
