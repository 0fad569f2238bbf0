"""`iacs events`: what the services tell each other and other applications."""

import asyncio
import contextlib
import sys
from typing import Annotated
from uuid import UUID

import typer

from services.commands.reach import DATA, Data, asking, console, errors, kafka_of

commands = typer.Typer(no_args_is_help=True, help="What the services tell each other and other applications.")


@commands.command("tail")
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
    from services import tail  # noqa: PLC0415
    from shared.kafka import Kafka  # noqa: PLC0415

    kafka = Kafka(servers) if servers else kafka_of(data)
    try:
        names = tail.names(topic or [], with_internal=internal)
    except ValueError as wrong:
        errors.print(str(wrong), markup=False, soft_wrap=True)
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

    with contextlib.suppress(KeyboardInterrupt), asking("Kafka"):
        asyncio.run(show())
