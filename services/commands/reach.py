"""How the commands reach what they need, and how they say what came of it."""

import asyncio
import contextlib
import importlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from shared.errors import Refusal, SettingsError

if TYPE_CHECKING:  # It loads half of the stack, which most commands do without.
    from shared.kafka import Kafka

console = Console()
errors = Console(stderr=True)

Data = Annotated[Path, typer.Option("--data", help="Where everything is kept", envvar="IACS_DATA", file_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read")]
DATA = Path(".iacs")


def known(service: str | None) -> str | None:
    """Return the service, if one was named. Refuses what is none."""
    from shared import deployment  # noqa: PLC0415

    if service is not None and service not in deployment.SERVICES:
        raise typer.BadParameter(f"There is no service {service}: {', '.join(deployment.SERVICES)}.")
    return service


ServiceName = Annotated[str, typer.Argument(callback=known, help="registration, approval, directory or notification")]

T = TypeVar("T")


class Commands(TyperGroup):
    """All commands: settings that are wrong are told in words, each variable on a line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as wrong:
            errors.print(f"[red]This cannot be done with these settings:[/red]\n{escape(str(wrong))}", soft_wrap=True)
            raise typer.Exit(2) from None


@contextlib.contextmanager
def asking(server: str) -> Iterator[None]:
    """Tell in words that a server does not answer, or takes nobody in; what else goes wrong is a fault of ours."""
    from aiokafka.errors import KafkaError  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from shared.database import is_worlds_fault  # noqa: PLC0415

    try:
        yield
    except BrokenPipeError:
        raise  # Who reads what we print has seen enough, as `head` has: the command line ends quietly then.
    except Exception as trouble:
        if isinstance(trouble, OSError) and trouble.filename:
            errors.print(f"{trouble.filename}: {trouble.strerror}", markup=False, soft_wrap=True)
            raise typer.Exit(1) from None
        if not (isinstance(trouble, KafkaError) or is_worlds_fault(trouble)):
            raise
        # Around it SQLAlchemy tells the statement and its values.
        cause = trouble.orig if isinstance(trouble, DBAPIError) and trouble.orig else trouble
        said = escape(str(cause) or type(cause).__name__)
        errors.print(f"[red]{server} does not answer as it must:[/red] {said}", soft_wrap=True)
        raise typer.Exit(1) from None


def told_in(data: Path) -> Mapping[str, str]:
    """Return the settings: those of the data folder, unless the environment says otherwise.

    Ends the command where there are none at all: nothing was started, or it runs elsewhere.
    """
    from shared import deployment  # noqa: PLC0415

    path = data / deployment.SETTINGS_FILE
    told = {**(deployment.read(path) if path.exists() else {}), **os.environ}
    if not any(deployment.of_service(told, service) for service in deployment.SERVICES):
        errors.print(
            f"Nothing was started in {data}: start it with `iacs up`, name its folder with --data, "
            "or set what the services are told (IACS_DIRECTORY_DATABASE_URL and so on).",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(2)
    return told


def kafka_of(data: Path) -> "Kafka":
    """Return how Kafka is reached, as the directory is told."""
    from services.directory.settings import DirectorySettings  # noqa: PLC0415
    from shared import settings  # noqa: PLC0415

    return settings.load(DirectorySettings, dict(told_in(data))).kafka


def preparation() -> Any:
    return importlib.import_module("services.preparation")


def part_of(service: str, part: str) -> Any:
    """Return one module of a service: `main` to serve; `assembly` for commands, which need none of its web."""
    return importlib.import_module(f"services.{service}.{part}")


def settings_of(service: str, data: Path) -> Any:
    from shared import settings  # noqa: PLC0415

    return settings.load(part_of(service, "assembly").SETTINGS, dict(told_in(data)))


def handlers_of(service: str, data: Path) -> Any:
    return part_of(service, "assembly").handlers(settings_of(service, data))


def in_service(data: Path, service: str, work: Callable[[Any], Awaitable[T]]) -> T:
    async def run() -> T:
        database = settings_of(service, data).open_database()
        try:
            return await work(database)
        finally:
            await database.close()

    with asking("PostgreSQL"):
        return asyncio.run(run())


def in_directory(data: Path, work: Callable[[Any, Any], Awaitable[T]]) -> T:
    async def run(database: Any) -> T:
        keys = part_of("directory", "assembly").keys(settings_of("directory", data))
        async with database.begin() as tx:
            return await work(tx, keys)

    return in_service(data, "directory", run)


def refused_or(work: Callable[[], T]) -> T:
    """Do it; say a refusal as people read it, each fault on a line."""
    try:
        return work()
    except Refusal as refusal:
        errors.print(f"[red]{refusal.entry.title}[/red] ({refusal.code})")
        told = refusal.facts.get("community_faults") or [refusal.detail]
        assert isinstance(told, list)
        for fault in told:
            errors.print(f"  - {fault}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


def operator() -> str:
    """Return who gives the command, for the record."""
    return f"operator {os.environ.get('SUDO_USER') or os.environ.get('USER') or os.getuid()}"


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")
