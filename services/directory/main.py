"""The composition root of the directory: the only file that builds its engine, worker and application."""

from fastapi import FastAPI

from services.directory import api, consumers, pages, timers, usecases
from services.directory.settings import DirectorySettings
from shared import secrets, serve, settings, telemetry, web
from shared.database import Database
from shared.delivery import Handlers
from shared.ui import environment
from shared.ui.page import Shell
from shared.worker import Worker

SERVICE = "directory"
SETTINGS = DirectorySettings


def database(told: DirectorySettings) -> Database:
    """Return the service's database."""
    return serve.open_database(told)


def keys(told: DirectorySettings) -> usecases.Keys:
    """Return what the directory encrypts, opens and seals with."""
    return usecases.Keys(secrets.Vault(told.data_keys), told.seal_key, told.notification_seal_key, told.fingerprint_key)


def handlers(told: DirectorySettings) -> Handlers:
    """Return what the service does about what it hears."""
    return consumers.handlers(keys(told))


def application(told: DirectorySettings, db: Database, worker: Worker | None, *, with_api: bool) -> FastAPI:
    """Return the HTTP application: API and pages, or health and metrics alone beside a lone worker."""
    ours = keys(told)
    routers = []
    if with_api:
        shell = Shell(static_url=f"/{SERVICE}/static")
        routers = [
            api.routes(
                db,
                ours,
                serve.verifier(told, db),
                api.Signer(serve.tokens_of(told), ours),
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
    db = database(told)
    ours = keys(told)
    worker = Worker(SERVICE, db, told.kafka, handlers(told), timers.chores(ours)) if with_worker else None
    serve.run(application(told, db, worker, with_api=with_api), worker, told)
