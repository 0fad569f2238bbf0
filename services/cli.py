"""The `iacs` command: start and stop the product, tell its story, and do what operators do."""

import asyncio
import os
import re
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.commands import communities, events, operators, parked
from services.commands.reach import (
    DATA,
    AsJson,
    Commands,
    Data,
    ServiceName,
    asking,
    console,
    errors,
    kafka_of,
    known,
    part_of,
    preparation,
    print_json,
    told_in,
)

app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False
)
database_commands = typer.Typer(no_args_is_help=True, help="Database schemas.")
topic_commands = typer.Typer(no_args_is_help=True, help="Kafka topics.")
app.add_typer(database_commands, name="db")
app.add_typer(topic_commands, name="topics")
app.add_typer(communities.commands, name="community")
app.add_typer(parked.commands, name="parked")
app.add_typer(events.commands, name="events")
app.add_typer(operators.commands, name="operator")


@app.command()
def up(
    data: Data = DATA,
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything is ready")] = False,
    story_on_empty: Annotated[
        bool, typer.Option("--story/--no-story", help="Tell the story on an empty folder")
    ] = True,
) -> None:
    """Start the stack, the four services and the gateway; stay until Ctrl-C."""
    from shared.platform import supervisor  # noqa: PLC0415 - the command answers --help without loading the stack.
    from shared.platform.part import NotStartedError  # noqa: PLC0415
    from shared.platform.state import InUseError  # noqa: PLC0415

    is_first = is_empty(data)
    began = time.monotonic()

    def on_ready(origin: str) -> None:
        console.print(f"[dim]Everything is ready after {time.monotonic() - began:.1f} s[/dim]")
        if story_on_empty and is_first:
            _tell_story(data, origin, as_json=False)
        _show_addresses(origin)
        if not detach:
            console.print("\nCtrl-C stops everything. Nothing is lost: the next start finds it.")

    try:
        supervisor.up(
            data,
            detach=detach,
            on_ready=on_ready,
            progress=lambda line: console.print(f"[dim]{escape(line)}[/dim]"),
            modules=modules(),
        )
    except (NotStartedError, InUseError) as trouble:
        errors.print(f"[red]Not started:[/red] {escape(str(trouble))}", soft_wrap=True)
        raise typer.Exit(1) from None


def is_empty(data: Path) -> bool:
    """Tell whether nothing was ever started here: the story moves the clock, and is not for what people keep."""
    from shared import deployment  # noqa: PLC0415

    return not (data / deployment.SETTINGS_FILE).exists()


def modules() -> tuple[str, ...]:
    """Return what the services and their preparation are made of: imported once for all of them."""
    from shared import deployment  # noqa: PLC0415

    return "services.preparation", *(f"services.{service}.main" for service in deployment.SERVICES)


@app.command()
def down(data: Data = DATA) -> None:
    """Stop what `up` has started."""
    from shared.platform import supervisor  # noqa: PLC0415

    console.print("Stopped." if supervisor.down(data) else "Nothing was running.")


@app.command()
def status(data: Data = DATA, as_json: AsJson = False) -> None:
    """Show what runs."""
    from shared.platform import supervisor  # noqa: PLC0415

    found = supervisor.weighed(supervisor.status(data))
    if as_json:
        print_json(found)
    elif not found["running"]:
        console.print("Nothing is running.")
    else:
        table = Table("process", "state", "pid", "restarts", "memory", "address", title=f"IACS at {found['address']}")
        for part in found["parts"]:
            memory = f"{part['memory_bytes'] / 1e6:.0f} MB"
            table.add_row(
                part["name"],
                part["state"],
                str(part["pid"] or "-"),
                str(part["restarts"]),
                memory,
                str(part["address"]),
            )
        console.print(table)
    raise typer.Exit(0 if found["ready"] else 1)


@app.command()
def prepare(data: Data = DATA) -> None:
    """Bring databases, topics and first contents to where the services can start. Safe to run again; `up` does it."""
    with asking("PostgreSQL or Kafka"):
        preparation().prepare(told_in(data))


@app.command()
def serve(
    service: ServiceName,
    api: Annotated[bool, typer.Option("--api", help="The API alone")] = False,
    worker: Annotated[bool, typer.Option("--worker", help="The worker alone")] = False,
    settings: Annotated[
        Path | None,
        typer.Option(help="A file of NAME=value; the environment goes before it", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Run one process of a service, as its environment (IACS_<SERVICE>_…) tells it."""
    from shared import deployment  # noqa: PLC0415

    if settings is not None:
        os.environ.update({**deployment.read(settings), **os.environ})
    part_of(service, "main").run(with_api=api or not worker, with_worker=worker or not api)


@app.command()
def install(folder: Annotated[Path, typer.Argument(file_okay=False)]) -> None:
    """Make containers ready (IACS_INSTALLATION_…): secrets into FOLDER/<service>, databases, topics, first contents."""
    from services import installation  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    with asking("PostgreSQL or Kafka"):
        installation.install(folder, load(installation.InstallationSettings))
    console.print("Installed: each service has its settings, its database at the newest schema, and its topics.")


def _address(url: str | None) -> str | None:
    """Return the address, if one was named. Refuses what is none, before anybody is appointed."""
    import httpx  # noqa: PLC0415 - no other command needs it.

    try:
        found = httpx.URL(url or "http://localhost")
    except httpx.InvalidURL:
        found = httpx.URL()
    if found.scheme not in ("http", "https") or not found.host:
        raise typer.BadParameter(f"{url} is no address like https://iacs.example.")
    return url


def _in_a_folder(file: Path | None) -> Path | None:
    """Return the file, if one was named. Refuses one that could not be written: better before a long telling."""
    if file is not None and not file.parent.is_dir():
        raise typer.BadParameter(f"There is no folder {file.parent}.")
    return file


@app.command()
def story(
    data: Data = DATA,
    url: Annotated[
        str | None, typer.Option(callback=_address, help="The product's address, if it was not started here")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(callback=_in_a_folder, dir_okay=False, help="Record the telling as a picture")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell the story: organizations, their people and their groups come into being, and each step must hold.

    Weeks pass in it: it moves the clock of everything that was started here, and never back.
    """
    origin = url or _origin(data)
    if origin is None:
        errors.print("Nothing is running here: start it with `iacs up`, or name it with --url.")
        raise typer.Exit(2)
    if not _tell_story(data, origin, as_json=as_json, svg=svg):
        raise typer.Exit(1)


def _origin(data: Path) -> str | None:
    """Return the address of what was started here, if it runs."""
    from shared.platform import supervisor  # noqa: PLC0415

    found: str | None = supervisor.status(data)["address"]
    return found


def _tell_story(data: Path, origin: str, *, as_json: bool, svg: Path | None = None) -> bool:
    from services.story import Story  # noqa: PLC0415

    teller = Console(quiet=True) if as_json else console
    if svg is not None:
        teller = Console(record=True, width=96, force_terminal=True, highlight=False)
    told = Story.at(origin, told_in(data), teller).tell()
    if svg is not None:
        drawn = teller.export_svg(title="iacs story")
        # Without the fonts that rich would fetch from elsewhere: whoever looks at it has a monospaced one.
        svg.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL), encoding="utf-8")
    if as_json:
        print_json({"steps": [{"name": s.name, "ok": s.ok, "seconds": round(s.seconds, 3)} for s in told]})
    return all(step.ok for step in told)


def _show_addresses(origin: str) -> None:
    from shared import deployment  # noqa: PLC0415

    table = Table("what", "where", title="IACS is ready")
    table.add_row("mail inbox", f"{origin}/mail")
    for service in deployment.SERVICES:
        table.add_row(f"{service} API", f"{origin}/{service}/docs")
    console.print(table)
    console.print("Try it:")
    for line in (
        f"curl -s {origin}/directory/v1/organizations",
        f"curl -s {origin}/registration/v1/communities/provider-supplier",
        f"curl -s '{origin}/mail/messages?to=help-desk@iacs.example'",
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False)


# --- Operators ----------------------------------------------------------------------------------


@database_commands.command("upgrade")
def upgrade(
    service: Annotated[str | None, typer.Argument(callback=known, help="One service; all of them if left out")] = None,
    data: Data = DATA,
) -> None:
    """Bring databases to the newest schema. Safe to run again."""
    names = [service] if service else list(preparation().SERVICES)
    with asking("PostgreSQL"):
        preparation().upgrade_databases(told_in(data), names)
    console.print(f"At the newest schema: {', '.join(names)}.")


@topic_commands.command("apply")
def apply_topics(
    data: Data = DATA,
    partitions: Annotated[int, typer.Option(min=1, help="Never changed once topics exist")] = 12,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each partition")] = 1,
) -> None:
    """Make the topics that are missing; fail if one that exists is not as decided."""
    from shared import topics  # noqa: PLC0415

    try:
        with asking("Kafka"):
            made = asyncio.run(topics.apply(kafka_of(data), partition_count=partitions, replication=replication))
    except topics.TopicDriftError as error:
        errors.print(f"[red]Topics are not as decided:[/red] {escape(str(error))}")
        raise typer.Exit(1) from None
    console.print(f"Made {len(made)} topics." if made else "All topics are there.")


if __name__ == "__main__":
    app()
