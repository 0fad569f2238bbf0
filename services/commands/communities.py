"""`iacs community`: who may ask for what, and who decides."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from services.commands.reach import (
    DATA,
    AsJson,
    Data,
    console,
    errors,
    in_directory,
    operator,
    preparation,
    print_json,
    refused_or,
)

commands = typer.Typer(no_args_is_help=True, help="Communities: who may ask for what, who decides.")

CommunityFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A community in TOML")]


@commands.command("validate")
def validate_community(file: CommunityFile) -> None:
    """Check a community file and name every fault at once."""
    found = refused_or(lambda: preparation().read_community(file))
    console.print(f"{found.id} version {found.version} is valid: {len(found.kinds)} kinds of request.", markup=False)


@commands.command("apply")
def apply_community(file: CommunityFile, data: Data = DATA) -> None:
    """Publish a community file; requests under way keep the version under which they were filed."""
    from services.directory import usecases  # noqa: PLC0415

    community = refused_or(lambda: preparation().read_community(file))

    async def apply(tx: Any, _: Any) -> bool:
        return await usecases.apply_community(tx, community, by=operator())

    applied = refused_or(lambda: in_directory(data, apply))
    console.print(
        f"{community.id} version {community.version} {'applied' if applied else 'was applied already'}.", markup=False
    )


@commands.command("list")
def list_communities(data: Data = DATA, as_json: AsJson = False) -> None:
    """List the communities, each with its current version."""
    from shared import replicas  # noqa: PLC0415

    async def load(tx: Any, _: Any) -> Any:
        return await replicas.list_communities(tx)

    found = in_directory(data, load)
    if as_json:
        print_json([it.model_dump(mode="json", include={"id", "version", "name", "open"}) for it in found])
        return
    # The id is what other commands are told: never cut off.
    id_, name = Column("id", no_wrap=True), Column("name", overflow="fold")
    table = Table(id_, "version", name, "takes requests", "roles", "kinds", "apps")
    for it in found:
        takes = "no" if not it.open else "by invitation" if it.invitation_needed else "yes"
        counts = (str(len(it.roles)), str(len(it.kinds)), str(len(it.applications)))
        table.add_row(it.id, str(it.version), escape(it.name), takes, *counts)
    console.print(table)


@commands.command("show")
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

    community = in_directory(data, load)
    if community is None:
        errors.print(f"There is no community {community_id}.", markup=False)
        raise typer.Exit(1)
    if chart or role or approvers:
        _show_guide(community, role, chart=chart, as_json=as_json)
        return
    if as_json:
        print_json(community.model_dump(mode="json"))
        return
    table = Table(
        "request", "gives", "decided by", "then", title=f"{escape(community.name)}, version {community.version}"
    )
    names = {role.code: escape(role.name) for role in community.roles}

    def told(stages: Any, steps_of: Callable[[Any], Any], between: str) -> str:
        """Return the roles of each step of these stages."""
        steps = [step for stage in stages for step in steps_of(stage)]
        return between.join(" or ".join(names[decider.role] for decider in step) for step in steps)

    for kind in community.kinds:
        for rests_on in [path.rests_on for path in kind.paths] or [None]:
            stages = kind.stages_on(rests_on)
            table.add_row(
                f"{escape(kind.name)} (as {names[rests_on]})" if rests_on else escape(kind.name),
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
            codes = ", ".join(each.code for each in community.roles)
            errors.print(f"There is no role {role}: {codes}.", markup=False)
            raise typer.Exit(1)
        shown, text = asdict(of_role), guide_texts.guide_text(of_role)
    if as_json:
        print_json(shown)
    else:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
