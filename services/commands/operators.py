"""`iacs operator`: what only operators do."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import typer

from services.commands.reach import DATA, AsJson, Data, console, errors, in_directory, operator, print_json, refused_or

commands = typer.Typer(no_args_is_help=True, help="What only operators do.")

Community = Annotated[str, typer.Option(help="The community's id: see `iacs community list`")]
Appointed = Annotated[str, typer.Option(help="The code of a role that operators appoint: see `iacs community show`")]
InApplication = Annotated[str | None, typer.Option(help="The application's code, for a role that is held in one")]


@commands.command("appoint")
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

    if user_id is None:
        given_name, family_name, email = _new_person(given_name=given_name, family_name=family_name, email=email)

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
            by=operator(),
        )

    appointed = refused_or(lambda: in_directory(data, do))
    if as_json:
        print_json({"user_id": appointed})
    elif user_id:
        console.print(f"{appointed} is {role} now.", markup=False)
    else:
        said = f"{given_name} {family_name} has the user ID {appointed}; the password's link is in the mail."
        console.print(said, markup=False)


@commands.command("say-everything")
def say_everything(data: Data = DATA) -> None:
    """Publish the directory's full state once more: after Kafka has lost it. Readers who know it change nothing."""
    from services.directory import usecases  # noqa: PLC0415

    for kind in usecases.KINDS:
        count, after = 0, None

        async def next_rows(tx: Any, _: Any, kind: str = kind, after: Any = None) -> Any:
            return await usecases.say_everything(tx, kind, after, by=operator())

        while (after := in_directory(data, partial(next_rows, after=after))) is not None:
            count += 1
        console.print(f"{kind}: said in {count} steps.")


@commands.command("dismiss")
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
            by=operator(),
        )

    refused_or(lambda: in_directory(data, do))
    console.print(f"{user_id} is not {role} any more.", markup=False)


def _new_person(**typed: str) -> list[str]:
    """Return what is told of a new person, under the rules of who registers. Ends the command where it breaks one."""
    from services.registration.domain import fields  # noqa: PLC0415

    if not all(typed.values()):
        errors.print("Name the person: --user-id K7MQ42XP, or --given-name, --family-name and --email of a new one.")
        raise typer.Exit(2)
    rules = [fields.RULES[name] for name in typed]
    clean = [rule.clean(typed[rule.name], datetime.now(UTC).date()) for rule in rules]
    for rule, value in zip(rules, clean, strict=True):
        if value is None:
            errors.print(f"{rule.label}: must be {rule.rule}.", highlight=False, markup=False, soft_wrap=True)
    if None in clean:
        raise typer.Exit(2)
    return [str(value) for value in clean]
