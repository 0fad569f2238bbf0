"""The composition root of registration: the only file that builds its worker and application."""

from fastapi import FastAPI

from services.registration import api, assembly, timers
from services.registration.files import Files
from services.registration.keys import Keyring
from services.registration.settings import RegistrationSettings
from shared import secrets, serve, settings, telemetry, tokens, web
from shared.contracts import directory
from shared.database import Database
from shared.worker import Worker

SERVICE = "registration"


def keyring(told: RegistrationSettings) -> Keyring:
    """Return the service's keys."""
    return Keyring(
        secrets.Vault(told.data_keys),
        told.fingerprint_key,
        told.directory_seal_key,
        told.notification_seal_key,
        told.secret_key,
    )


def application(told: RegistrationSettings, db: Database, worker: Worker | None, *, with_api: bool) -> FastAPI:
    """Return the HTTP application: the whole API, or health and metrics alone beside a lone worker."""
    routers = []
    if with_api:
        files, cursors = Files(told.documents_url), web.Cursors(told.secret_key)
        verifier = tokens.verifier(told.public_url, db)
        routers = [
            api.routes(db, verifier, keyring(told), files, cursors, filings_an_hour=told.filings_an_hour),
        ]
    return web.build(
        SERVICE,
        "IACS registration",
        db,
        routers,
        needs_replicas=[directory.STATE_TOPIC, directory.PEOPLE_TOPIC] if with_api else [],
        is_alive=lambda: worker is None or worker.is_alive,
        larger_bodies=api.LARGER_BODIES,
    )


def run(*, with_api: bool = True, with_worker: bool = True) -> None:
    """Serve until told to stop."""
    told = settings.load(RegistrationSettings)
    telemetry.configure_logs(SERVICE, as_json=told.log_json)
    db = told.open_database()
    chores = timers.chores(db, Files(told.documents_url))
    worker = Worker(SERVICE, db, told.kafka, assembly.handlers(told), chores) if with_worker else None
    serve.run(application(told, db, worker, with_api=with_api), worker, told)
