"""Brings a service's database to the schema that its code expects.

Each service has its own migrations; those of the tables that all have in common come first.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config

from shared import schema_version
from shared.database import engine_url

_HERE = Path(__file__).parent


def config_of(service: str, url: str) -> Config:
    """Return Alembic's configuration for one service's database."""
    config = Config()
    config.set_main_option("script_location", str(_HERE / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    places = "\n".join(str(place) for place in schema_version.places(service))
    config.set_main_option("version_locations", places.replace("%", "%%"))
    config.attributes["url"] = engine_url(url)
    config.attributes["service"] = service
    return config


def upgrade(service: str, url: str) -> None:
    """Apply every migration that is missing. Safe to run again, and by two at once: one waits."""
    command.upgrade(config_of(service, url), "heads")
