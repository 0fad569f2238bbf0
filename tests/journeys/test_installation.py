"""`iacs install` makes containers ready, finds again what it has made, and gives each service its own and no more."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from shared import deployment
from shared.platform.postgres import Postgres
from shared.testing.product import Product

Told = dict[str, dict[str, str]]


@pytest.fixture
def install(product: Product, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tell the installation of a PostgreSQL that has nothing of ours; return where the settings are to lie."""
    for name, value in {
        "POSTGRES_URL": postgres.dsn("postgres"),
        "KAFKA_SERVERS": product.kafka_servers,
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "SMTP_URL": "smtp://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(f"IACS_INSTALLATION_{name}", value)
    return tmp_path / "settings"


def told_by(product: Product, folder: Path) -> Told:
    """Install, and return what each service is told."""
    assert product.command("install", str(folder)).startswith("Installed: ")
    return {service: deployment.read(folder / service / deployment.SETTINGS_FILE) for service in deployment.SERVICES}


def fetch(address: str, query: str) -> list[str]:
    async def ask() -> list[str]:
        connection = await asyncpg.connect(address)
        try:
            return [row[0] for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def address(told: Told, service: str) -> str:
    return told[service][f"IACS_{service.upper()}_DATABASE_URL"]


def test_what_is_installed_is_whole_and_each_services_own_and_found_again(product: Product, install: Path) -> None:
    told = told_by(product, install)
    for service, its in told.items():
        assert all(name.startswith(f"IACS_{service.upper()}_") for name in its)
        assert its[f"IACS_{service.upper()}_API_HOST"] == "0.0.0.0"  # noqa: S104 - inside a container.
        assert (install / service / deployment.SETTINGS_FILE).stat().st_mode & 0o777 == 0o600
        assert fetch(address(told, service), "SELECT version_num FROM alembic_version") == [f"{service}_0001"]
        another = next(name for name in deployment.SERVICES if name != service)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            fetch(address(told, service).removesuffix(service) + another, "SELECT 1")
    communities = "SELECT id FROM community ORDER BY id"
    assert fetch(address(told, "directory"), communities) == ["fi-carrier-mac", "provider-supplier"]
    assert fetch(address(told, "directory"), "SELECT DISTINCT actor FROM audit WHERE act = 'apply_community'") == [
        "installation"
    ]
    assert len(fetch(address(told, "directory"), "SELECT kid FROM token_key")) == 1

    assert told_by(product, install) == told  # Also each secret, or what is encrypted is lost.
    assert len(fetch(address(told, "directory"), "SELECT kid FROM token_key")) == 1

    lost = told_by(product, install.parent / "elsewhere")
    for service in deployment.SERVICES:
        assert address(lost, service) != address(told, service)
        assert fetch(address(lost, service), "SELECT current_user::text") == [f"iacs_{service}"]
        with pytest.raises(asyncpg.InvalidPasswordError):
            fetch(address(told, service), "SELECT 1")
