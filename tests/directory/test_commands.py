"""The operators' commands, as they are typed."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from typer.testing import CliRunner, Result

import shared
from services import cli
from services.commands import reach
from services.directory import assembly, tables
from services.directory.settings import DirectorySettings
from services.directory.usecases import everything
from shared import deployment, settings
from shared.contracts import approval
from shared.delivery import Delivery, Handlers
from shared.ids import new_id
from shared.tables import audit, outbox, parked
from shared.testing.records import Record, record_of
from tests.directory.builders import COMMUNITY, HELP_DESK, a_dossier, about
from tests.directory.conftest import told
from tests.directory.desk import Desk

COMMUNITIES = Path(shared.__path__[0]) / "communities"


@pytest.fixture
def iacs(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that gives a command on this directory."""
    for name, value in {**told(desk.db), "SUDO_USER": "ann", "USER": "root"}.items():
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
    known = len(await desk.rows(tables.person))
    unreachable = await iacs("operator", "appoint", *person[:-1], "owen@")
    assert (unreachable.exit_code, "E-mail" in unreachable.stderr, "Given name" in unreachable.stderr) == (
        2,
        True,
        False,
    )
    assert len(await desk.rows(tables.person)) == known


async def test_who_was_appointed_and_dismissed_is_said_and_recorded_with_who_gave_the_command(
    iacs: Any, desk: Desk
) -> None:
    person = ["--given-name", "Olga", "--family-name", "Ames", "--email", "olga@iacs.example"]
    auditor = ["--role", "AUDITOR"]
    said = (await iacs("operator", "appoint", *auditor, *person)).output
    olga = await desk.person_named("Olga")
    user_id = (await desk.account(olga)).user_id
    assert said == f"Olga Ames has the user ID {user_id}; the password's link is in the mail.\n"
    assert (await iacs("operator", "dismiss", user_id, *auditor)).output == f"{user_id} is not AUDITOR any more.\n"
    again = await iacs("operator", "appoint", *auditor, "--user-id", user_id)
    assert again.output == f"{user_id} is AUDITOR now.\n"
    file = COMMUNITIES / "fi-carrier-mac.toml"
    assert (await iacs("community", "apply", str(file))).exit_code == 0
    acts = [row.act for row in await desk.rows(audit) if row.actor == "operator ann"]
    assert sorted(acts) == ["apply_community", "appoint", "appoint", "end_role"]


async def test_a_file_that_is_no_community_is_refused_with_each_fault_on_a_line(iacs: Any, tmp_path: Path) -> None:
    file = tmp_path / "file.toml"
    file.write_text("id = ")
    refused = await iacs("community", "validate", str(file))
    assert (refused.exit_code, refused.stderr.count("\n  - ")) == (1, 1)
    shipped = (COMMUNITIES / "fi-carrier-mac.toml").read_text()
    file.write_text(shipped.replace("seats = 2", "seats = 0").replace("version = 1", 'version = "first"'))
    refused = await iacs("community", "apply", str(file))
    assert refused.exit_code == 1
    assert [line.split(":")[0] for line in refused.stderr.splitlines()[1:]] == ["  - version", "  - roles.0.seats"]


async def test_what_others_have_written_is_shown_as_it_is_and_never_taken_for_markup(
    iacs: Any, desk: Desk, tmp_path: Path
) -> None:
    shipped = (COMMUNITIES / "fi-carrier-mac.toml").read_text()
    file = tmp_path / "file.toml"
    file.write_text(shipped.replace('id = "fi-carrier-mac"', 'id = "Not this"'))
    refused = await iacs("community", "validate", str(file))
    assert refused.stderr.endswith("  - id: String should match pattern '^[a-z][a-z0-9-]{1,39}$'\n")
    file.write_text(shipped.replace("FI/Carrier/MAC", "[/FI] [bold]").replace('"Analyst"', '"[/red] Analyst"'))
    assert (await iacs("community", "apply", str(file))).exit_code == 0
    assert "[/FI] [bold] Community" in (await iacs("community", "list")).output
    shown = (await iacs("community", "show", "--community-id", "fi-carrier-mac")).output
    assert "[/FI] [bold] Community, version 1" in shown
    assert "Use a CMS application (as [/red] Analyst)" in shown
    for words, code in ((["--role", "[/x]"], "role"), (["--community-id", "[/x]"], "community")):
        assert (await iacs("community", "show", *words)).stderr.startswith(f"There is no {code} [/x]")
    await _deliver(desk, _denied(desk).having("[/x]", None))
    assert "header '[/x]' is null" in (await iacs("parked", "list", "directory")).output


async def test_a_community_is_shown_with_what_each_request_gives_and_who_decides_it_then_and_later(iacs: Any) -> None:
    assert (await iacs("community", "apply", str(COMMUNITIES / "fi-carrier-mac.toml"))).exit_code == 0
    shown = {
        community_id: {
            cells[0]: cells[1:]
            for line in (await iacs("community", "show", "--community-id", community_id)).output.splitlines()
            if len(cells := [cell.strip() for cell in line.split("│")[1:-1]]) == 4
        }
        for community_id in (COMMUNITY.id, "fi-carrier-mac")
    }
    ours, theirs = shown.values()
    assert ours["Register an organization and become its Security Official"] == ["Security Official", "Help Desk", ""]
    assert ours["Join a user group as End User"] == [
        "End User",
        "User Group Administrator",
        "Security Official or Backup Security Official; Help Desk",
    ]
    assert ours["Use a CMS application (as End User)"][:2] == [
        "an application",
        "User Group Administrator → Security Official or Backup Security Official",
    ]
    assert theirs["Join a department as Analyst"][1] == "Contract Officer → Department Lead"
    listed = (await iacs("community", "list")).output.splitlines()
    takes = {row[0].strip(): row[3].strip() for line in listed if len(row := line.split("│")[1:-1]) > 3}
    assert takes == {"fi-carrier-mac": "no", COMMUNITY.id: "yes"}
    whole = json.loads((await iacs("community", "show", "--json")).output)
    assert whole == COMMUNITY.model_dump(mode="json")
    chart = json.loads((await iacs("community", "show", "--chart", "--json")).output)
    assert [line["code"] for line in chart] == [role.code for role in COMMUNITY.roles]
    unknown = await iacs("community", "show", "--community-id", "nowhere")
    assert (unknown.exit_code, unknown.stderr) == (1, "There is no community nowhere.\n")


# --- What is set aside and what is said again ----------------------------------------------------


def _denied(desk: Desk) -> Record:
    it = a_dossier()
    capacity = approval.Capacity(role=HELP_DESK, place_kind="community", place_id=COMMUNITY.place_id)
    event = approval.RequestDenied(
        **about(it), decided_by=desk.help_desk, capacity=capacity, reason="wrong_path", decided_at=desk.now
    )
    return record_of(event, subject=it.request_id, scope=it.scope_id)


async def _deliver(desk: Desk, *records: Record) -> None:
    async def never(_: float) -> None:
        raise AssertionError("nothing here becomes better by waiting")

    handlers = assembly.handlers(settings.load(DirectorySettings, told(desk.db)))
    await Delivery(desk.db, handlers).take(records, wait=never)


async def test_a_record_that_is_set_aside_is_listed_shown_applied_again_and_given_up(iacs: Any, desk: Desk) -> None:
    assert (await iacs("parked", "list", "directory")).output == "Nothing is parked.\n"
    good = _denied(desk)
    await _deliver(
        desk, replace(good, value=b'{"person": "Ann"}'), good.again().having("ce_id", str(new_id()).encode())
    )
    first, second = (row.id for row in sorted(await desk.rows(parked), key=lambda row: int(row.offset)))
    listed = json.loads((await iacs("parked", "list", "directory", "--json")).output)
    assert [(it["id"], it["state"], it["type"]) for it in listed] == [
        (str(first), "parked", approval.RequestDenied.wire),
        (str(second), "waiting", approval.RequestDenied.wire),
    ]
    assert "decided_by" in listed[0]["error"]
    assert "Ann" not in json.dumps(listed)
    table = (await iacs("parked", "list", "directory")).output
    assert f"{good.topic}/0/{good.offset}" in table
    shown = json.loads((await iacs("parked", "show", "directory", str(first))).output)
    assert {name: shown[name] for name in listed[0]} == listed[0]
    assert shown["value"] == '{"person": "Ann"}'
    assert "ce_type" in dict(shown["headers"])

    again = await iacs("parked", "replay", "directory", str(first))
    assert (again.exit_code, "failed again" in again.output) == (1, True)
    assert (await iacs("parked", "discard", "directory", str(second))).output == "Discarded.\n"
    for words in (("discard", second), ("show", new_id()), ("replay", second)):
        done = await iacs("parked", words[0], "directory", str(words[1]))
        assert (done.exit_code, done.output.startswith(("It is not parked.", "There is no such"))) == (1, True)
    async with desk.db.begin() as tx:  # As if a newer reader could read it.
        await tx.execute(update(parked).where(parked.c.id == first).values(value=good.value))
    done = await iacs("parked", "replay", "directory", str(first))
    assert (done.exit_code, done.output) == (0, "Done.\n")
    rows = {row.id: (row.state, row.resolved_by) for row in await desk.rows(parked)}
    assert rows == {first: ("replayed", "operator ann"), second: ("discarded", "operator ann")}


async def test_the_full_state_is_said_again_to_its_end(iacs: Any, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("One LLC", "Two LLC", "Three LLC"):
        await desk.organization(name)
    monkeypatch.setattr(everything, "AT_ONCE", 2)
    async with desk.db.begin() as tx:
        before = {(row.topic, row.key) for row in await tx.rows(select(outbox).where(outbox.c.entity_version > 0))}
        await tx.execute(delete(outbox))
    done = await iacs("operator", "say-everything")
    assert done.exit_code == 0, done.output
    assert "organization: said in 2 steps." in done.output
    async with desk.db.begin() as tx:
        after = {(row.topic, row.key) for row in await tx.rows(select(outbox))}
    assert after == before


async def test_a_file_that_holds_no_community_is_told_in_words(iacs: Any, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    for command in ("validate", "apply"):
        for path in (tmp_path / "missing.toml", tmp_path):
            assert (await iacs("community", command, str(path))).exit_code == 2
        for content in (b"\xff\xfe", b"[[/x]]", b'"[/x]" = 1'):
            wrong.write_bytes(content)
            refused = await iacs("community", command, str(wrong))
            assert (refused.exit_code, "community_invalid" in refused.stderr) == (1, True)
    assert "[/x]: Extra inputs are not permitted" in refused.stderr


@pytest.mark.parametrize(
    "words", [("community", "show", "--community-id"), ("community", "show", "--role"), ("operator", "dismiss")]
)
async def test_what_is_not_there_is_told_as_it_was_typed(iacs: Any, words: tuple[str, ...]) -> None:
    refused = await iacs(*words, "[/x]")
    assert (refused.exit_code, "[/x]" in refused.stderr) == (1, True)


async def set_aside(desk: Desk, record: Record) -> None:
    """Let a record arrive that nobody can read."""
    await Delivery(desk.db, Handlers("directory")).take([record], wait=asyncio.sleep)


async def test_ids_that_other_commands_are_told_stay_whole_on_a_narrow_terminal(
    iacs: Any, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_aside(desk, Record("iacs.registration.v1", [("ce_type", b"\xff")], b"{}"))
    monkeypatch.setattr(reach.console, "width", 80)
    (row,) = json.loads((await iacs("parked", "list", "directory", "--json")).output)
    listed = (await iacs("parked", "list", "directory")).output
    assert row["id"] in listed
    assert all(part in listed for part in (f"{row['topic']}/0/{row['offset']}", row["error"]))
    assert COMMUNITY.id in (await iacs("community", "list")).output


async def test_whoever_writes_a_record_does_not_choose_how_its_listing_looks(iacs: Any, desk: Desk) -> None:
    twice = [("[/x]\x1b", b"\x1b[2J"), ("[/x]\x1b", b"1"), ("ce_type", b"a.type")]
    await set_aside(desk, Record("iacs.registration.v1", twice, b"\x1b[2J"))
    listed = await iacs("parked", "list", "directory")
    assert (listed.exit_code, "[/x]" in listed.output, "\x1b" in listed.output) == (0, True, False)
    (row,) = json.loads((await iacs("parked", "list", "directory", "--json")).output)
    shown = (await iacs("parked", "show", "directory", row["id"])).output
    assert json.loads(shown)["headers"][2] == ["ce_type", "a.type"]
    assert "\x1b" not in shown


async def test_a_record_that_fails_again_or_is_not_parked_is_an_error(iacs: Any, desk: Desk) -> None:
    await set_aside(desk, Record("iacs.registration.v1", [], b"{}"))
    (row,) = json.loads((await iacs("parked", "list", "directory", "--json")).output)
    replayed = await iacs("parked", "replay", "directory", row["id"])
    assert (replayed.exit_code, replayed.stdout, "It failed again" in replayed.stderr) == (1, "", True)
    assert (await iacs("parked", "discard", "directory", row["id"])).exit_code == 0
    for command in ("replay", "discard"):
        gone = await iacs("parked", command, "directory", row["id"])
        assert (gone.exit_code, gone.stdout, "It is not parked." in gone.stderr) == (1, "", True)
