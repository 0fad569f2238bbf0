"""The `iacs` command: start and stop the product, tell its story, and do what operators do."""

import asyncio
import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
database_commands = typer.Typer(no_args_is_help=True, help="Database schemas.")
topic_commands = typer.Typer(no_args_is_help=True, help="Kafka topics.")
community_commands = typer.Typer(no_args_is_help=True, help="Communities: who may ask for what, who decides.")
parked_commands = typer.Typer(
    no_args_is_help=True, help="Records that were set aside because they could not be applied."
)
event_commands = typer.Typer(no_args_is_help=True, help="What the services tell each other and other applications.")
operator_commands = typer.Typer(no_args_is_help=True, help="What only operators do.")
app.add_typer(database_commands, name="db")
app.add_typer(topic_commands, name="topics")
app.add_typer(community_commands, name="community")
app.add_typer(parked_commands, name="parked")
app.add_typer(event_commands, name="events")
app.add_typer(operator_commands, name="operator")

console = Console()
errors = Console(stderr=True)

Data = Annotated[Path, typer.Option("--data", help="Where everything is kept", envvar="IACS_DATA")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read")]
ServiceName = Annotated[str, typer.Argument(help="registration, approval, directory or notification")]
DATA = Path(".iacs")

T = TypeVar("T")


# --- Starting and stopping ----------------------------------------------------------------------


@app.command()
def up(
    data: Data = DATA,
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything is ready")] = False,
    story_on_empty: Annotated[
        bool, typer.Option("--story/--no-story", help="Tell the story on an empty folder")
    ] = True,
) -> None:
    """Start the stack, the four services and the gateway; stay until Ctrl-C."""
    from services import preparation  # noqa: PLC0415 - the command answers --help without loading a service.
    from shared.platform import supervisor  # noqa: PLC0415
    from shared.platform.part import NotStartedError  # noqa: PLC0415
    from shared.platform.state import InUseError  # noqa: PLC0415

    is_first = not (data / STORY_TOLD).exists()
    began = time.monotonic()

    def on_ready(origin: str) -> None:
        console.print(f"[dim]Everything is ready after {time.monotonic() - began:.1f} s[/dim]")
        if story_on_empty and is_first and _tell_story(data, origin, as_json=False):
            (data / STORY_TOLD).touch()
        _show_addresses(origin)
        if not detach:
            console.print("\nCtrl-C stops everything. Nothing is lost: the next start finds it.")

    try:
        supervisor.up(
            data,
            detach=detach,
            prepare=preparation.prepare,
            on_ready=on_ready,
            progress=lambda line: console.print(f"[dim]{line}[/dim]"),
        )
    except (NotStartedError, InUseError) as trouble:
        errors.print(f"[red]Not started:[/red] {trouble}")
        raise typer.Exit(1) from None


STORY_TOLD = "story-told"


@app.command()
def down(data: Data = DATA) -> None:
    """Stop what `up` has started."""
    from shared.platform import supervisor  # noqa: PLC0415

    console.print("Stopped." if supervisor.down(data) else "Nothing was running.")


@app.command()
def status(data: Data = DATA, as_json: AsJson = False) -> None:
    """Show what runs."""
    from shared.platform import supervisor  # noqa: PLC0415

    found = supervisor.status(data)
    if as_json:
        _print_json(found)
    elif not found["running"]:
        console.print("Nothing is running.")
    else:
        table = Table("process", "state", "pid", "restarts", "memory", "address", title=f"IACS at {found['address']}")
        for part in found["parts"]:
            memory = f"{part['memory_bytes'] / 1e6:.0f} MB"
            table.add_row(
                part["name"], part["state"], str(part["pid"]), str(part["restarts"]), memory, str(part["address"])
            )
        console.print(table)
    raise typer.Exit(0 if found["ready"] else 1)


@app.command()
def serve(
    service: ServiceName,
    api: Annotated[bool, typer.Option("--api", help="The API alone")] = False,
    worker: Annotated[bool, typer.Option("--worker", help="The worker alone")] = False,
) -> None:
    """Run one process of a service, as its environment (IACS_<SERVICE>_…) tells it."""
    from shared.settings import SettingsError  # noqa: PLC0415

    try:
        _main_of(service).run(with_api=api or not worker, with_worker=worker or not api)
    except SettingsError as error:
        errors.print(f"[red]{service} cannot start as it was told:[/red]\n{error}")
        raise typer.Exit(2) from None


@app.command()
def story(
    data: Data = DATA,
    url: Annotated[str | None, typer.Option(help="The product's address, if it was not started here")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell the story: an organization, its people and its groups come into being, and each step must hold."""
    from shared.platform import supervisor  # noqa: PLC0415

    origin = url or supervisor.status(data)["address"]
    if origin is None:
        errors.print("Nothing is running here: start it with `iacs up`, or name it with --url.")
        raise typer.Exit(2)
    if not _tell_story(data, origin, as_json=as_json):
        raise typer.Exit(1)


def _tell_story(data: Path, origin: str, *, as_json: bool) -> bool:
    from services.story import Story  # noqa: PLC0415

    quiet = Console(quiet=True) if as_json else console
    told = Story(origin, _told(data), quiet).tell()
    if as_json:
        _print_json({"steps": [{"name": s.name, "ok": s.ok, "seconds": round(s.seconds, 3)} for s in told]})
    return all(step.ok for step in told)


def _show_addresses(origin: str) -> None:
    table = Table("what", "where", title="IACS is ready")
    table.add_row("mail inbox", f"{origin}/mail")
    for service in ("registration", "approval", "directory", "notification"):
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
    service: Annotated[str | None, typer.Argument(help="One service; all of them if left out")] = None,
    data: Data = DATA,
) -> None:
    """Bring databases to the newest schema. Safe to run again."""
    from services import preparation  # noqa: PLC0415

    names = [service] if service else list(preparation.SERVICES)
    preparation.upgrade_databases(_told(data), names)
    console.print(f"At the newest schema: {', '.join(names)}.")


@topic_commands.command("apply")
def apply_topics(
    data: Data = DATA,
    partitions: Annotated[int, typer.Option(help="Never changed once topics exist")] = 12,
    replication: Annotated[int, typer.Option(help="Copies of each partition")] = 1,
) -> None:
    """Make the topics that are missing; fail if one that exists is not as decided."""
    from shared import topics  # noqa: PLC0415

    servers = _told(data)["IACS_DIRECTORY_KAFKA_SERVERS"]
    try:
        made = asyncio.run(topics.apply(servers, partition_count=partitions, replication=replication))
    except topics.TopicDriftError as error:
        errors.print(f"[red]Topics are not as decided:[/red] {error}")
        raise typer.Exit(1) from None
    console.print(f"Made {len(made)} topics." if made else "All topics are there.")


@community_commands.command("validate")
def validate_community(file: Path) -> None:
    """Check a community file and name every fault at once."""
    found = _refused_or(lambda: _preparation().read_community(file))
    console.print(f"{found.id} version {found.version} is valid: {len(found.kinds)} kinds of request.")


@community_commands.command("apply")
def apply_community(file: Path, data: Data = DATA) -> None:
    """Publish a community file; requests under way keep the version under which they were filed."""
    from services.directory import usecases  # noqa: PLC0415

    community = _refused_or(lambda: _preparation().read_community(file))

    async def apply(tx: Any, _: Any) -> bool:
        return await usecases.apply_community(tx, community, by=_operator())

    applied = _refused_or(lambda: _in_directory(data, apply))
    console.print(f"{community.id} version {community.version} {'applied' if applied else 'was applied already'}.")


@community_commands.command("show")
def show_community(community_id: str = "provider-supplier", data: Data = DATA, as_json: AsJson = False) -> None:
    """Show the current version of a community: its kinds, and who decides each."""
    from shared import replicas  # noqa: PLC0415

    async def load(tx: Any, _: Any) -> Any:
        return await replicas.load_community(tx, community_id)

    community = _in_directory(data, load)
    if community is None:
        errors.print(f"There is no community {community_id}.")
        raise typer.Exit(1)
    if as_json:
        _print_json(community.model_dump(mode="json"))
        return
    table = Table("request", "gives", "decided by", "then", title=f"{community.name}, version {community.version}")
    names = {role.code: role.name for role in community.roles}
    for kind in community.kinds:
        stages = " → ".join(" or ".join(names[d.role] for d in stage.deciders) for stage in kind.stages)
        then = "; ".join(" or ".join(names[d.role] for d in step) for stage in kind.stages for step in stage.fallbacks)
        table.add_row(kind.name, names[kind.role], stages, then)
    console.print(table)


@operator_commands.command("add-help-desk")
def add_help_desk(
    given_name: Annotated[str, typer.Option(prompt=True)],
    family_name: Annotated[str, typer.Option(prompt=True)],
    email: Annotated[str, typer.Option(prompt=True)],
    community: str = "provider-supplier",
    role: str = "HELP_DESK",
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Give a person the help desk's role; they get their user ID and a link for the password by mail."""
    from services.directory import usecases  # noqa: PLC0415

    async def appoint(tx: Any, keys: Any) -> str:
        return await usecases.appoint(
            tx,
            keys,
            community_id=community,
            role_code=role,
            given_name=given_name,
            family_name=family_name,
            email=email,
            by=_operator(),
        )

    user_id = _refused_or(lambda: _in_directory(data, appoint))
    if as_json:
        _print_json({"user_id": user_id})
    else:
        console.print(
            f"{given_name} {family_name} has the user ID {user_id}; the link for the password is in the mail."
        )


@parked_commands.command("list")
def list_parked(service: ServiceName, data: Data = DATA, as_json: AsJson = False) -> None:
    """List what waits for an operator, oldest first."""
    from shared import delivery  # noqa: PLC0415

    async def load(db: Any) -> Any:
        async with db.begin() as tx:
            return await delivery.list_parked(tx)

    rows = _in_service(data, service, load)
    if as_json:
        _print_json([_parked(row) for row in rows])
        return
    table = Table("id", "since", "state", "topic/partition/offset", "type", "error")
    for row in rows:
        place = f"{row.topic}/{row.partition}/{row.offset}"
        table.add_row(str(row.id), f"{row.parked_at:%Y-%m-%d %H:%M:%S}", row.state, place, row.type or "?", row.error)
    console.print(table if rows else "Nothing is parked.")


@parked_commands.command("show")
def show_parked(service: ServiceName, parked_id: UUID, data: Data = DATA) -> None:
    """Show one parked record: where it came from, why it is parked, its bytes (which may hold personal data)."""
    from shared import delivery  # noqa: PLC0415

    async def load(db: Any) -> Any:
        async with db.begin() as tx:
            return await delivery.show_parked(tx, parked_id)

    row = _in_service(data, service, load)
    if row is None:
        errors.print("There is no such record.")
        raise typer.Exit(1)
    _print_json(
        {
            **_parked(row),
            "headers": row.headers,
            "value": None if row.value is None else row.value.decode(errors="replace"),
        }
    )


@parked_commands.command("replay")
def replay_parked(service: ServiceName, parked_id: UUID, data: Data = DATA) -> None:
    """Apply a parked record again, then those that wait behind it."""
    from shared.delivery import Delivery  # noqa: PLC0415

    async def replay(db: Any) -> str:
        return await Delivery(db, _handlers_of(service, data)).replay(parked_id, by=_operator())

    outcome = _in_service(data, service, replay)
    console.print(
        {"replayed": "Done.", "parked": "It failed again: see `iacs parked show`.", "gone": "It is not parked."}[
            outcome
        ]
    )
    raise typer.Exit(0 if outcome == "replayed" else 1)


@parked_commands.command("discard")
def discard_parked(service: ServiceName, parked_id: UUID, data: Data = DATA) -> None:
    """Give a parked record up for good."""
    from shared import delivery  # noqa: PLC0415

    async def give_up(db: Any) -> bool:
        async with db.begin() as tx:
            return await delivery.discard(tx, parked_id, by=_operator())

    if not _in_service(data, service, give_up):
        errors.print("It is not parked.")
        raise typer.Exit(1)
    console.print("Discarded.")


@event_commands.command("tail")
def tail_events(
    topic: Annotated[list[str] | None, typer.Option(help="iacs.directory.v1, or directory; may be repeated")] = None,
    type_part: Annotated[str | None, typer.Option("--type", help="A part of the type, as role.granted")] = None,
    scope: Annotated[UUID | None, typer.Option(help="The organization (or other scope) it happened in")] = None,
    request: Annotated[UUID | None, typer.Option(help="The request that led to it")] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Also what is there already")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many")] = None,
    internal: Annotated[
        bool, typer.Option("--internal", help="Internal topics too, which hold names and addresses")
    ] = False,
    servers: Annotated[str | None, typer.Option(help="Kafka's address, if it was not started here")] = None,
    data: Data = DATA,
    as_json: Annotated[bool, typer.Option("--json", help="Print CloudEvents in JSON, one a line")] = False,
) -> None:
    """Print events as they come, until Ctrl-C. Reads without a trace: nobody else misses one."""
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    from services import tail  # noqa: PLC0415

    address = servers or _told(data).get("IACS_DIRECTORY_KAFKA_SERVERS")
    if address is None:
        errors.print("Nothing was started here: start it with `iacs up`, or name it with --servers.")
        raise typer.Exit(2)
    try:
        names = tail.names(topic or [], with_internal=internal)
    except ValueError as wrong:
        errors.print(str(wrong), soft_wrap=True)
        raise typer.Exit(2) from None

    async def show() -> None:
        following = tail.follow(
            address,
            names,
            tail.Wanted(type_part, scope, request),
            from_beginning=from_beginning,
            on_listening=lambda: errors.print(f"[dim]Listening to {', '.join(names)}[/dim]", soft_wrap=True),
        )
        shown_count = 0
        async with contextlib.aclosing(following):
            async for found in following:
                if not as_json:
                    console.print(tail.line(found), soft_wrap=True, highlight=False)
                elif isinstance(found, tail.Seen):
                    sys.stdout.write(tail.structured(found) + "\n")
                    sys.stdout.flush()
                else:
                    errors.print(tail.line(found), soft_wrap=True)
                    continue
                shown_count += 1
                if shown_count == count:
                    return

    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(show())
    except KafkaError as trouble:
        errors.print(f"[red]Kafka does not answer at {address}:[/red] {type(trouble).__name__}")
        raise typer.Exit(1) from None


# --- How the commands reach what they need ------------------------------------------------------


def _told(data: Path) -> Mapping[str, str]:
    """Return the settings: those of the data folder, unless the environment says otherwise."""
    from shared.platform import embedded  # noqa: PLC0415

    path = data / embedded.SETTINGS_FILE
    return {**(embedded.read(path) if path.exists() else {}), **os.environ}


def _preparation() -> Any:
    return importlib.import_module("services.preparation")


def _main_of(service: str) -> Any:
    if service not in ("registration", "approval", "directory", "notification"):
        errors.print(f"There is no service {service}: registration, approval, directory, notification.")
        raise typer.Exit(2)
    return importlib.import_module(f"services.{service}.main")


def _settings_of(service: str, data: Path) -> Any:
    from shared import settings  # noqa: PLC0415

    main = _main_of(service)
    return settings.load(main.SETTINGS, dict(_told(data)))


def _handlers_of(service: str, data: Path) -> Any:
    return _main_of(service).handlers(_settings_of(service, data))


def _in_service(data: Path, service: str, work: Callable[[Any], Awaitable[T]]) -> T:
    async def run() -> T:
        database = _main_of(service).database(_settings_of(service, data))
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def _in_directory(data: Path, work: Callable[[Any, Any], Awaitable[T]]) -> T:
    async def run(database: Any) -> T:
        keys = _main_of("directory").keys(_settings_of("directory", data))
        async with database.begin() as tx:
            return await work(tx, keys)

    return _in_service(data, "directory", run)


def _refused_or(work: Callable[[], T]) -> T:
    """Do it; say a refusal as people read it, each fault on a line."""
    from shared.errors import Refusal  # noqa: PLC0415

    try:
        return work()
    except Refusal as refusal:
        errors.print(f"[red]{refusal.entry.title}[/red] ({refusal.code})")
        told = refusal.facts.get("community_faults") or [refusal.detail]
        assert isinstance(told, list)
        for fault in told:
            errors.print(f"  - {fault}", highlight=False)
        raise typer.Exit(1) from None


def _operator() -> str:
    """Return who gives the command, for the record."""
    return f"operator {os.environ.get('SUDO_USER') or os.environ.get('USER') or os.getuid()}"


def _parked(row: Any) -> dict[str, Any]:
    names = ("id", "consumer", "topic", "partition", "offset", "type", "subject", "state", "error", "parked_at")
    return {name: getattr(row, name) for name in names}


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


if __name__ == "__main__":
    app()
