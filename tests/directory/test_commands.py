"""The operators' commands, as they are typed."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import shared
from services import cli
from services.commands import reach
from services.directory import tables
from shared import deployment
from tests.directory.builders import COMMUNITY
from tests.directory.conftest import told
from tests.directory.desk import Desk

COMMUNITIES = Path(shared.__path__[0]) / "communities"


@pytest.fixture
def iacs(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that gives a command on this directory."""
    for name, value in told(desk.db).items():
        monkeypatch.setenv(name, value)
    for screen in (reach.console, reach.errors):
        monkeypatch.setattr(screen, "width", 300)  # Wide enough that no table breaks a word.

    async def give(*words: str) -> Result:
        data = ["--data", str(tmp_path)] if words[1] != "validate" else []
        return await asyncio.to_thread(CliRunner().invoke, cli.app, [*words, *data])

    return give


def test_a_command_loads_none_of_the_web_that_services_have() -> None:
    names = ["services.preparation", *(f"services.{service}.assembly" for service in deployment.SERVICES)]
    program = (
        f"import sys, {', '.join(names)}; print({{'fastapi', 'faststream', 'starlette', 'uvicorn'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


async def test_a_community_file_is_validated_applied_listed_and_shown(iacs: Any, tmp_path: Path) -> None:
    shipped = (COMMUNITIES / "fi-carrier-mac.toml").read_text()
    file, wrong = tmp_path / "file.toml", tmp_path / "wrong.toml"
    file.write_text(shipped)
    wrong.write_text(shipped.replace('country = "US"', 'country = "XX"').replace('"America/Chicago"', '"Moon"'))
    assert (
        "fi-carrier-mac version 1 is valid: 5 kinds of request."
        in (await iacs("community", "validate", str(file))).output
    )
    refused = await iacs("community", "validate", str(wrong))
    assert refused.exit_code == 1
    assert "the country XX" in refused.output
    assert "Moon is no time zone" in refused.output
    assert "version 1 applied." in (await iacs("community", "apply", str(file))).output
    assert "was applied already." in (await iacs("community", "apply", str(file))).output
    file.write_text(shipped.replace("version = 1", "version = 3"))
    assert (await iacs("community", "apply", str(file))).exit_code == 0
    file.write_text(shipped.replace("version = 1", "version = 2"))
    older = await iacs("community", "apply", str(file))
    assert (older.exit_code, "2 is older than 3" in older.output) == (1, True)
    listed = json.loads((await iacs("community", "list", "--json")).output)
    assert [(it["id"], it["version"], it["open"]) for it in listed] == [
        ("fi-carrier-mac", 3, False),
        (COMMUNITY.id, 1, True),
    ]
    assert "FI/Carrier/MAC Community" in (await iacs("community", "list")).output
    for community_id, way in (
        (COMMUNITY.id, "Use a CMS application (as End User)"),
        ("fi-carrier-mac", "Use a CMS application (as Analyst)"),
    ):
        shown = (await iacs("community", "show", "--community-id", community_id)).output
        assert way in shown
    assert "# Roles of the" in (await iacs("community", "show", "--chart")).output
    guide = (await iacs("community", "show", "--role", "END_USER")).output
    assert guide.startswith("# End User: reference guide")
    assert json.loads((await iacs("community", "show", "--role", "END_USER", "--json")).output)["role"] == "END_USER"
    assert "## Reasons to deny" in (await iacs("community", "show", "--approvers")).output
    unknown = await iacs("community", "show", "--role", "GHOST")
    assert (unknown.exit_code, "There is no role GHOST: SECURITY_OFFICIAL" in unknown.output) == (1, True)


async def test_an_operator_appoints_and_dismisses(iacs: Any, desk: Desk) -> None:
    person = ["--given-name", "Owen", "--family-name", "Ames", "--email", "owen@iacs.example"]
    owner = ["--role", "APPLICATION_OWNER", "--application", "PS_AND_R"]
    user_id = json.loads((await iacs("operator", "appoint", *owner, *person, "--json")).output)["user_id"]
    again = await iacs(
        "operator", "appoint", "--role", "APPLICATION_OWNER", "--application", "CLAIM_STATUS", "--user-id", user_id
    )
    assert again.exit_code == 0, again.output
    owen = await desk.person_named("Owen")
    held = [row for row in await desk.rows(tables.role_assignment) if row.person_id == owen]
    assert {(row.role, row.status) for row in held} == {("APPLICATION_OWNER", "active")}
    assert len({row.place_id for row in held}) == 2
    assert (await iacs("operator", "dismiss", user_id, *owner)).exit_code == 0
    held = [row for row in await desk.rows(tables.role_assignment) if row.person_id == owen]
    assert sorted(row.status for row in held) == ["active", "revoked"]
    refused = await iacs("operator", "dismiss", user_id, *owner)
    assert (refused.exit_code, "is not APPLICATION_OWNER there" in refused.output) == (1, True)
    nobody = await iacs("operator", "appoint", "--given-name", "Owen")
    assert (nobody.exit_code, "Name the person" in nobody.output) == (2, True)
