"""The `iacs` command: start and stop the product, tell its story, and do what operators do."""

import asyncio
import contextlib
import importlib
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # It loads half of the stack, which most commands do without.
    from shared.kafka import Kafka

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
    from shared.platform import supervisor  # noqa: PLC0415 - the command answers --help without loading the stack.
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
            on_ready=on_ready,
            progress=lambda line: console.print(f"[dim]{line}[/dim]"),
            modules=modules(),
        )
    except (NotStartedError, InUseError) as trouble:
        errors.print(f"[red]Not started:[/red] {trouble}")
        raise typer.Exit(1) from None


STORY_TOLD = "story-told"


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
def prepare(data: Data = DATA) -> None:
    """Bring databases, topics and first contents to where the services can start. Safe to run again; `up` does it."""
    _preparation().prepare(_told(data))


@app.command()
def serve(
    service: ServiceName,
    api: Annotated[bool, typer.Option("--api", help="The API alone")] = False,
    worker: Annotated[bool, typer.Option("--worker", help="The worker alone")] = False,
    settings: Annotated[Path | None, typer.Option(help="A file of NAME=value; the environment goes before it")] = None,
) -> None:
    """Run one process of a service, as its environment (IACS_<SERVICE>_…) tells it."""
    from shared import deployment  # noqa: PLC0415
    from shared.settings import SettingsError  # noqa: PLC0415

    if settings is not None:
        os.environ.update({**deployment.read(settings), **os.environ})
    try:
        _part_of(service, "main").run(with_api=api or not worker, with_worker=worker or not api)
    except SettingsError as error:
        errors.print(f"[red]{service} cannot start as it was told:[/red]\n{error}")
        raise typer.Exit(2) from None


@app.command()
def install(folder: Path) -> None:
    """Make containers ready (IACS_INSTALLATION_…): secrets into FOLDER/<service>, databases, topics, first contents."""
    from services import installation  # noqa: PLC0415
    from shared.settings import SettingsError, load  # noqa: PLC0415

    try:
        told = load(installation.InstallationSettings)
    except SettingsError as error:
        errors.print(f"[red]Nothing can be installed as was told:[/red]\n{error}")
        raise typer.Exit(2) from None
    installation.install(folder, told)
    console.print("Installed: each service has its settings, its database at the newest schema, and its topics.")


@app.command()
def story(
    data: Data = DATA,
    url: Annotated[str | None, typer.Option(help="The product's address, if it was not started here")] = None,
    svg: Annotated[Path | None, typer.Option(help="Record the telling as a picture")] = None,
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
    from shared.settings import SettingsError  # noqa: PLC0415

    teller = Console(quiet=True) if as_json else console
    if svg is not None:
        teller = Console(record=True, width=96, force_terminal=True, highlight=False)
    try:
        told = Story.at(origin, _told(data), teller).tell()
    except SettingsError as error:
        errors.print(
            f"[red]The story appoints the help desk, so it must be told what the directory is told:[/red]\n{error}"
        )
        raise typer.Exit(2) from None
    if svg is not None:
        drawn = teller.export_svg(title="iacs story")
        # Without the fonts that rich would fetch from elsewhere: whoever looks at it has a monospaced one.
        svg.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL), encoding="utf-8")
    if as_json:
        _print_json({"steps": [{"name": s.name, "ok": s.ok, "seconds": round(s.seconds, 3)} for s in told]})
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

    try:
        made = asyncio.run(topics.apply(_kafka(data), partition_count=partitions, replication=replication))
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


@community_commands.command("list")
def list_communities(data: Data = DATA, as_json: AsJson = False) -> None:
    """List the communities, each with its current version."""
    from shared import replicas  # noqa: PLC0415

    async def load(tx: Any, _: Any) -> Any:
        return await replicas.list_communities(tx)

    found = _in_directory(data, load)
    if as_json:
        _print_json([it.model_dump(mode="json", include={"id", "version", "name", "open"}) for it in found])
        return
    table = Table("id", "version", "name", "takes requests", "roles", "kinds of request", "applications")
    for it in found:
        takes = "no" if not it.open else "by invitation" if it.invitation_needed else "yes"
        counts = (str(len(it.roles)), str(len(it.kinds)), str(len(it.applications)))
        table.add_row(it.id, str(it.version), it.name, takes, *counts)
    console.print(table)


@community_commands.command("show")
def show_community(
    community_id: str = "provider-supplier",
    chart: Annotated[bool, typer.Option("--chart", help="The role chart")] = False,
    role: Annotated[str | None, typer.Option(help="The reference guide of this role")] = None,
    approvers: Annotated[bool, typer.Option("--approvers", help="The reference guide of approvers")] = False,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Show the current version of a community: its kinds and who decides each, its role chart, or a reference guide."""
    from shared import replicas  # noqa: PLC0415

    async def load(tx: Any, _: Any) -> Any:
        return await replicas.load_community(tx, community_id)

    community = _in_directory(data, load)
    if community is None:
        errors.print(f"There is no community {community_id}.")
        raise typer.Exit(1)
    if chart or role or approvers:
        _show_guide(community, role, chart=chart, as_json=as_json)
        return
    if as_json:
        _print_json(community.model_dump(mode="json"))
        return
    table = Table("request", "gives", "decided by", "then", title=f"{community.name}, version {community.version}")
    names = {role.code: role.name for role in community.roles}

    def told(stages: Any, steps_of: Callable[[Any], Any], between: str) -> str:
        """Return the roles of each step of these stages."""
        steps = [step for stage in stages for step in steps_of(stage)]
        return between.join(" or ".join(names[decider.role] for decider in step) for step in steps)

    for kind in community.kinds:
        for rests_on in [path.rests_on for path in kind.paths] or [None]:
            stages = kind.stages_on(rests_on)
            table.add_row(
                f"{kind.name} (as {names[rests_on]})" if rests_on else kind.name,
                names[kind.role] if kind.role else "an application",
                told(stages, lambda stage: [stage.deciders], " → "),
                told(stages, lambda stage: stage.fallbacks, "; "),
            )
    console.print(table)


def _show_guide(community: Any, role: str | None, *, chart: bool, as_json: bool) -> None:
    """Print what people read of a community: a guide, or the chart."""
    from services.registration.domain import guide_texts, guides  # noqa: PLC0415

    shown: Any
    if chart:
        lines = guides.chart(community)
        shown, text = [asdict(line) for line in lines], guide_texts.chart_text(community.name, lines)
    elif role is None:
        guide = guides.approvers_guide(community)
        shown, text = asdict(guide), guide_texts.approvers_text(guide)
    else:
        of_role = guides.guide(community, role)
        if of_role is None:
            errors.print(f"There is no role {role}: {', '.join(each.code for each in community.roles)}.")
            raise typer.Exit(1)
        shown, text = asdict(of_role), guide_texts.guide_text(of_role)
    if as_json:
        _print_json(shown)
    else:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


Community = Annotated[str, typer.Option(help="The community's id: see `iacs community list`")]
Appointed = Annotated[str, typer.Option(help="The code of a role that operators appoint: see `iacs community show`")]
InApplication = Annotated[str | None, typer.Option(help="The application's code, for a role that is held in one")]


@operator_commands.command("appoint")
def appoint(
    role: Appointed = "HELP_DESK",
    community: Community = "provider-supplier",
    application: InApplication = None,
    user_id: Annotated[str | None, typer.Option(help="Of a person who has an account already")] = None,
    given_name: Annotated[str, typer.Option(help="Of a new person")] = "",
    family_name: Annotated[str, typer.Option(help="Of a new person")] = "",
    email: Annotated[str, typer.Option(help="Of a new person")] = "",
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Give a person the help desk's role, an application owner's or an auditor's.

    A new person gets the user ID and a link for the password by mail.
    """
    from services.directory import usecases  # noqa: PLC0415

    if user_id is None and not (given_name and family_name and "@" in email):
        errors.print("Name the person: --user-id K7MQ42XP, or --given-name, --family-name and --email of a new one.")
        raise typer.Exit(2)

    async def do(tx: Any, keys: Any) -> str:
        return await usecases.appoint(
            tx,
            keys,
            community_id=community,
            role_code=role,
            application=application,
            user_id=user_id,
            given_name=given_name,
            family_name=family_name,
            email=email,
            by=_operator(),
        )

    appointed = _refused_or(lambda: _in_directory(data, do))
    if as_json:
        _print_json({"user_id": appointed})
    elif user_id:
        console.print(f"{appointed} is {role} now.")
    else:
        console.print(f"{given_name} {family_name} has the user ID {appointed}; the password's link is in the mail.")


@operator_commands.command("say-everything")
def say_everything(data: Data = DATA) -> None:
    """Publish the directory's full state once more: after Kafka has lost it. Readers who know it change nothing."""
    from services.directory import usecases  # noqa: PLC0415

    for kind in usecases.KINDS:
        count, after = 0, None

        async def next_rows(tx: Any, _: Any, kind: str = kind, after: Any = None) -> Any:
            return await usecases.say_everything(tx, kind, after, by=_operator())

        while (after := _in_directory(data, partial(next_rows, after=after))) is not None:
            count += 1
        console.print(f"{kind}: said in {count} steps.")


@operator_commands.command("dismiss")
def dismiss(
    user_id: Annotated[str, typer.Argument(help="Who holds the role, like K7MQ42XP")],
    role: Appointed = "HELP_DESK",
    community: Community = "provider-supplier",
    application: InApplication = None,
    data: Data = DATA,
) -> None:
    """Take a role that operators appoint from its holder. The account stays."""
    from services.directory import usecases  # noqa: PLC0415

    async def do(tx: Any, _: Any) -> None:
        await usecases.dismiss(
            tx,
            community_id=community,
            role_code=role,
            application=application,
            user_id=user_id,
            by=_operator(),
        )

    _refused_or(lambda: _in_directory(data, do))
    console.print(f"{user_id} is not {role} any more.")


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
    from shared.kafka import Kafka  # noqa: PLC0415

    if not servers and "IACS_DIRECTORY_KAFKA_SERVERS" not in _told(data):
        errors.print("Nothing was started here: start it with `iacs up`, or name it with --servers.")
        raise typer.Exit(2)
    kafka = Kafka(servers) if servers else _kafka(data)
    try:
        names = tail.names(topic or [], with_internal=internal)
    except ValueError as wrong:
        errors.print(str(wrong), soft_wrap=True)
        raise typer.Exit(2) from None

    async def show() -> None:
        following = tail.follow(
            kafka,
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
        errors.print(f"[red]Kafka does not answer at {kafka.servers}:[/red] {type(trouble).__name__}")
        raise typer.Exit(1) from None


# --- How the commands reach what they need ------------------------------------------------------


def _told(data: Path) -> Mapping[str, str]:
    """Return the settings: those of the data folder, unless the environment says otherwise."""
    from shared import deployment  # noqa: PLC0415

    path = data / deployment.SETTINGS_FILE
    return {**(deployment.read(path) if path.exists() else {}), **os.environ}


def _kafka(data: Path) -> "Kafka":
    """Return how Kafka is reached, as the directory is told."""
    from services.directory.settings import DirectorySettings  # noqa: PLC0415
    from shared import settings  # noqa: PLC0415

    return settings.load(DirectorySettings, dict(_told(data))).kafka


def _preparation() -> Any:
    return importlib.import_module("services.preparation")


def _part_of(service: str, part: str) -> Any:
    """Return one module of a service: `main` to serve; `assembly` for commands, which need none of its web."""
    from shared import deployment  # noqa: PLC0415

    if service not in deployment.SERVICES:
        errors.print(f"There is no service {service}: {', '.join(deployment.SERVICES)}.")
        raise typer.Exit(2)
    return importlib.import_module(f"services.{service}.{part}")


def _settings_of(service: str, data: Path) -> Any:
    from shared import settings  # noqa: PLC0415

    return settings.load(_part_of(service, "assembly").SETTINGS, dict(_told(data)))


def _handlers_of(service: str, data: Path) -> Any:
    return _part_of(service, "assembly").handlers(_settings_of(service, data))


def _in_service(data: Path, service: str, work: Callable[[Any], Awaitable[T]]) -> T:
    async def run() -> T:
        database = _settings_of(service, data).open_database()
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def _in_directory(data: Path, work: Callable[[Any, Any], Awaitable[T]]) -> T:
    async def run(database: Any) -> T:
        keys = _part_of("directory", "assembly").keys(_settings_of("directory", data))
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
