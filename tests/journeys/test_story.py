"""The story is told through four real services, and what it leaves behind is right and keeps its secrets."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services import cli
from services.story import Story
from shared import deployment
from shared.testing.product import Product, by_source


@dataclass(frozen=True)
class Telling:
    """What the command printed, and the story that it told."""

    printed: str
    story: Story


@pytest.fixture(scope="module")
def telling(product: Product) -> Telling:
    """The story, told once by its command; each test looks at what it has left."""
    stories: list[Story] = []

    def at(*told: Any) -> Story:
        stories.append(as_ever(*told))
        return stories[-1]

    as_ever = Story.at
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Story, "at", at)
        printed = product.command("story", "--json", "--data", str(product.data))
    product.wait_quiet()
    return Telling(printed, *stories)


@pytest.fixture(scope="module")
def told(telling: Telling) -> Story:
    """The story that was told."""
    return telling.story


def test_the_command_tells_the_story_as_one_object(telling: Telling) -> None:
    told = json.loads(telling.printed)
    assert list(told) == ["steps"]
    assert len(told["steps"]) > 30
    assert all(set(step) == {"name", "ok", "seconds"} and step["ok"] for step in told["steps"])


def test_the_status_shows_each_part_with_its_memory(product: Product) -> None:
    shown = json.loads(product.command("status", "--json", "--data", str(product.data)))
    assert {*deployment.SERVICES, "kafka", "postgres", "gateway"} <= {part["name"] for part in shown["parts"]}
    assert all(part["memory_bytes"] > 1_000_000 for part in shown["parts"])
    assert "memory" in product.command("status", "--data", str(product.data))


def test_a_folder_in_which_something_was_ready_is_never_told_the_story_unasked(
    product: Product, tmp_path: Path
) -> None:
    assert cli.is_empty(tmp_path)
    assert not cli.is_empty(product.data)  # Started without the story.


def test_a_story_for_a_product_elsewhere_asks_for_the_settings_of_its_directory(tmp_path: Path) -> None:
    told = CliRunner().invoke(cli.app, ["story", "--url", "http://127.0.0.1:9", "--data", str(tmp_path)])
    assert (told.exit_code, told.exception.__class__) == (2, SystemExit)
    assert "IACS_DIRECTORY_DATABASE_URL" in told.stderr


def test_a_fresh_reader_of_the_state_ends_with_the_directorys_grants(told: Story, product: Product) -> None:
    latest: dict[bytes, tuple[int, dict[str, str] | None]] = {}
    for record in product.records("iacs.directory.state.v1"):
        if record.about.type == "iacs.directory.role_assignment.state.v1":
            assert record.key is not None
            assert record.about.entity_version is not None
            body = json.loads(record.value) if record.value else None
            if latest.get(record.key, (0, None))[0] <= record.about.entity_version:
                latest[record.key] = (record.about.entity_version, body)
    read = {
        (body["person_id"], body["role"], body["place_id"])
        for _, body in latest.values()
        if body is not None and body["status"] == "active"
    }
    assert read == _grants(product)


def test_a_fresh_reader_of_the_events_ends_with_the_directorys_grants(told: Story, product: Product) -> None:
    held: set[tuple[str, str, str]] = set()
    seen = set[str]()
    for record in product.records("iacs.directory.v1"):
        if record.about.id in seen:
            continue
        seen.add(record.about.id)
        body = json.loads(record.value or b"{}")
        if record.about.type == "iacs.directory.role.granted.v1":
            held.add((body["person_id"], body["role"], body["place_id"]))
        elif record.about.type == "iacs.directory.role.ended.v1":
            held.discard((body["person_id"], body["role"], body["place_id"]))
    assert held == _grants(product)


def test_the_sequence_of_every_source_is_contiguous_in_the_log(told: Story, product: Product) -> None:
    sources = by_source(product.records())
    assert sources
    assert {source: found for source, found in sources.items() if found != list(range(1, len(found) + 1))} == {}


def test_every_request_of_the_story_is_granted_and_nothing_is_parked(told: Story, product: Product) -> None:
    ours = [filed.request_id for filed in told.do.filed]
    rows = product.rows("approval", "SELECT state FROM request WHERE id = ANY ($1)", ours)
    assert len(rows) == len(ours) > 10
    assert {row["state"] for row in rows} == {"granted", "withdrawn"}
    for service in deployment.SERVICES:
        assert product.parked(service) == []


def test_the_thread_of_a_request_leads_from_the_call_to_the_mail(told: Story, product: Product) -> None:
    (request,) = product.rows("approval", "SELECT id FROM request WHERE kind = 'join_group' ORDER BY id DESC LIMIT 1")
    wanted = str(request["id"])
    about = [r.about for r in product.records() if str(r.about.correlation_id) == wanted]
    types = {each.type for each in about}
    assert {
        "iacs.registration.request.submitted.v1",
        "iacs.approval.request.approved.v1",
        "iacs.directory.grant.applied.v1",
        "iacs.notification.notice.sent.v1",
    } <= types
    assert wanted in product.logs()["notification.log"]


def test_no_secret_of_the_story_is_in_an_event_a_log_line_or_a_mail(told: Story, product: Product) -> None:
    secrets = _secrets(told)
    for record in product.records():
        text = (record.value or b"").decode() + "".join(f"{n}{v.decode()}" for n, v in record.headers)
        assert not [what for what, secret in secrets.items() if _is_in(secret, text)], record.about.type
    for name, text in product.logs().items():
        assert not [what for what, secret in secrets.items() if _is_in(secret, text)], name
    for mail in told.do.tell.ok(told.do.http.get("/mail/messages")):
        text = mail["subject"] + (mail["text"] or "") + (mail["html"] or "")
        assert not [what for what, secret in secrets.items() if _is_in(secret, text)], mail["subject"]


def test_codes_and_tokens_are_in_the_one_mail_that_carries_them_and_nowhere_else(told: Story, product: Product) -> None:
    mails = told.do.tell.ok(told.do.http.get("/mail/messages"))
    carried = {code for mail in mails for code in re.findall(r"\b\d{8}\b", mail["text"])}
    carried |= {token for mail in mails for token in re.findall(r"/directory/password/([\w-]{20,})", mail["text"])}
    assert len(carried) > 8
    for record in product.records():
        text = (record.value or b"").decode()
        assert not [secret for secret in carried if _is_in(secret, text)], record.about.type
    for name, text in product.logs().items():
        assert not [secret for secret in carried if _is_in(secret, text)], name
    for service in ("registration", "directory", "notification"):
        for text in _everything_stored(product, service):
            assert not [secret for secret in carried if _is_in(secret, text)], service


def test_ssn_birth_date_and_tin_are_stored_encrypted_alone(told: Story, product: Product) -> None:
    secrets = _secrets(told)
    for service in deployment.SERVICES:
        for text in _everything_stored(product, service):
            assert not [what for what, secret in secrets.items() if _is_in(secret, text)], service


def _grants(product: Product) -> set[tuple[str, str, str]]:
    query = "SELECT person_id, role, place_id FROM role_assignment WHERE status = 'active'"
    return {(str(r["person_id"]), r["role"], str(r["place_id"])) for r in product.rows("directory", query)}


def _is_in(secret: str, text: str) -> bool:
    """Whether a text says the secret. Digits alone in the middle of somebody's random ID say nothing."""
    if secret in text and secret.isdigit():
        return bool(re.search(rf"(?<![0-9A-Za-z]){secret}(?![0-9A-Za-z])", text))
    return secret in text


def _secrets(told: Story) -> dict[str, str]:
    """Everything that must stay unseen, by what it is, in each form in which it might be written."""
    found: dict[str, str] = {}
    for number, person in enumerate(told.people):
        found[f"SSN {number}"] = person.ssn
        found[f"SSN {number} bare"] = person.ssn.replace("-", "")
        found[f"birth date {number}"] = person.birth_date
        found[f"password {number}"] = person.password
        if person.token:
            found[f"access token {number}"] = person.token
    for number, tin in enumerate(told.tins):
        found[f"TIN {number}"] = tin
        found[f"TIN {number} bare"] = tin.replace("-", "")
    return found


def _everything_stored(product: Product, service: str) -> list[str]:
    tables = product.rows(service, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return [
        row["whole"]
        for table in tables
        for row in product.rows(service, f'SELECT t::text AS whole FROM "{table["tablename"]}" AS t')  # noqa: S608
    ]
