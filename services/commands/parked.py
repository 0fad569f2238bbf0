"""`iacs parked`: records that were set aside because they could not be applied."""

from base64 import b64decode
from typing import Any
from uuid import UUID

import typer
from rich.table import Column, Table
from rich.text import Text

from services.commands.reach import (
    DATA,
    AsJson,
    Data,
    ServiceName,
    console,
    errors,
    handlers_of,
    in_service,
    operator,
    print_json,
)

commands = typer.Typer(no_args_is_help=True, help="Records that were set aside because they could not be applied.")


@commands.command("list")
def list_parked(service: ServiceName, data: Data = DATA, as_json: AsJson = False) -> None:
    """List what waits for an operator, oldest first."""
    from shared import delivery  # noqa: PLC0415

    async def load(db: Any) -> Any:
        async with db.begin() as tx:
            return await delivery.list_parked(tx)

    rows = in_service(data, service, load)
    if as_json:
        print_json([_parked(row) for row in rows])
        return
    # The id is what the other commands are told: it stays in one piece, however narrow the terminal.
    table = Table(
        Column("id, since, state", no_wrap=True),
        Column("topic/partition/offset, type, error", overflow="fold"),
        show_lines=True,
    )
    for row in rows:
        place = f"{row.topic}/{row.partition}/{row.offset}"
        # As text: whoever wrote the record chose its type, and is not to choose how this looks.
        table.add_row(
            f"{row.id}\n{row.parked_at:%Y-%m-%d %H:%M:%S}, {row.state}",
            Text("\n".join(_plain(line) for line in (place, row.type or "?", row.error))),
        )
    console.print(table if rows else "Nothing is parked.")


@commands.command("show")
def show_parked(service: ServiceName, parked_id: UUID, data: Data = DATA) -> None:
    """Show one parked record: where it came from, why it is parked, its bytes (which may hold personal data)."""
    from shared import delivery  # noqa: PLC0415

    async def load(db: Any) -> Any:
        async with db.begin() as tx:
            return await delivery.show_parked(tx, parked_id)

    row = in_service(data, service, load)
    if row is None:
        errors.print("There is no such record.")
        raise typer.Exit(1)
    print_json(
        {
            **_parked(row),
            "headers": [[name, raw and b64decode(raw).decode(errors="replace")] for name, raw in row.headers],
            "value": None if row.value is None else row.value.decode(errors="replace"),
        }
    )


@commands.command("replay")
def replay_parked(service: ServiceName, parked_id: UUID, data: Data = DATA) -> None:
    """Apply a parked record again, then those that wait behind it."""
    from shared.delivery import Delivery  # noqa: PLC0415

    async def replay(db: Any) -> str:
        return await Delivery(db, handlers_of(service, data)).replay(parked_id, by=operator())

    outcome = in_service(data, service, replay)
    if outcome != "replayed":
        errors.print(
            "It failed again, or one before it did: see `iacs parked list` and `show`."
            if outcome == "parked"
            else "It is not parked."
        )
        raise typer.Exit(1)
    console.print("Done.")


@commands.command("discard")
def discard_parked(service: ServiceName, parked_id: UUID, data: Data = DATA) -> None:
    """Give a parked record up for good."""
    from shared import delivery  # noqa: PLC0415

    async def give_up(db: Any) -> bool:
        async with db.begin() as tx:
            return await delivery.discard(tx, parked_id, by=operator())

    if not in_service(data, service, give_up):
        errors.print("It is not parked.")
        raise typer.Exit(1)
    console.print("Discarded.")


def _parked(row: Any) -> dict[str, Any]:
    names = ("id", "consumer", "topic", "partition", "offset", "type", "subject", "state", "error", "parked_at")
    return {name: getattr(row, name) for name in names}


def _plain(text: str) -> str:
    """Return a text that cannot steer a terminal."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)
