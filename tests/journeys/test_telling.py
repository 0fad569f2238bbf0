"""The story notices what does not hold: told to a product that errs in one place, it stops there and says so."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from services.directory.settings import DirectorySettings
from services.story import Story, StoryError, telling
from services.story.acts import Acts, Filed, code_in
from services.story.telling import Person, Teller
from shared import settings
from shared.testing import nowhere
from shared.testing.product import Product

Answer = tuple[int, Any]
Lies = dict[str, Answer]
"""What is answered to a call that holds the word in its method, path or body."""


@contextmanager
def product_that_errs(lies: Lies, behind: str | None = None) -> Iterator[str]:
    """Yield the origin of a product that tells these lies; all else it answers as the one behind it or not at all."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            call = f"{self.command} {self.path} {body.decode(errors='replace')}"
            said = next((answer for word, answer in lies.items() if word in call), None)
            if said is None and behind is not None:
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                true = httpx.request(self.command, f"{behind}{self.path}", content=body, headers=headers)
                self.say(true.status_code, true.content, dict(true.headers))
            else:
                status, told = said or (200, {})
                kind = "text/html" if isinstance(told, str) else "application/json"
                text = told if isinstance(told, str) else json.dumps(told)
                self.say(status, text.encode(), {"content-type": kind})

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names by which they are looked up.

        def say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name in headers.keys() & {"content-type", "etag", "location", "set-cookie"}:
                self.send_header(name, headers[name])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            serving.join()


@contextmanager
def acts_with(**lies: Answer) -> Iterator[Acts]:
    """Yield what people do at such a product."""
    with product_that_errs(lies) as origin:
        yield Acts(origin, Console(quiet=True))


@contextmanager
def story_with(**lies: Answer) -> Iterator[Story]:
    """Yield the story at such a product, whose Kafka is nowhere."""
    with acts_with(**lies) as acts:
        yield Story(acts, settings.load(DirectorySettings, nowhere.settings(Path("/nowhere"))))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "product" not in request.fixturenames:
        monkeypatch.setattr(telling, "PATIENCE_SECONDS", 0.2)


PROBLEM = {"code": "already_decided"}
FILED = Filed("7", "T-7", "token")


def somebody(acts: Acts) -> Person:
    person = acts.tell.person()
    person.user_id, person.token = "K7MQ42XP", "token"
    return person


# --- How it looks and waits ----------------------------------------------------------------------


def test_what_never_comes_ends_the_story() -> None:
    with acts_with(messages=(200, [])) as acts, pytest.raises(StoryError, match="no mail about"):
        acts.tell.mailed("a@mail.example", "code", "A code arrives")
    assert acts.tell.steps == []


def test_a_mail_counts_once_and_only_if_it_is_about_what_was_waited_for() -> None:
    mails = [{"id": "1", "subject": "Your code", "text": ""}, {"id": "2", "subject": "Your user ID", "text": ""}]
    with acts_with(messages=(200, mails)) as acts:
        assert acts.tell.mailed("a@mail.example", "user id", "It comes")["id"] == "2"
        with pytest.raises(StoryError, match="no mail about “user id”"):
            acts.tell.mailed("a@mail.example", "user id", "It comes again")


def test_an_error_where_there_must_be_a_success_ends_the_story_with_what_was_answered() -> None:
    with (
        acts_with(**{"people/me": (409, PROBLEM)}) as acts,
        pytest.raises(StoryError, match=r"me answered 409: .*already_decided"),
    ):
        acts.access_of(somebody(acts))


@pytest.mark.parametrize("answer", [(201, {}), (409, PROBLEM)])
def test_a_refusal_must_have_the_code_that_is_expected(answer: Answer) -> None:
    with acts_with(requests=answer) as acts:
        told = acts.http.get("/approval/v1/requests")
        with pytest.raises(StoryError, match="expected self_approval"):
            acts.tell.refused(told, "self_approval")
        if told.is_error:
            acts.tell.refused(told, "already_decided")


def test_where_it_stops_is_the_last_step_and_did_not_hold() -> None:
    teller = Teller("http://127.0.0.1:9", Console(quiet=True))
    teller.step("This holds", lambda: None)
    with pytest.raises(StoryError, match="this does not"):
        teller.step("This does not", lambda: teller.expect(False, "this does not"))
    teller.stop(StoryError("this does not"))
    assert [(step.name, step.ok) for step in teller.steps] == [("This holds", True), ("stopped: this does not", False)]


def test_what_a_mail_or_an_answer_says_is_told_as_it_is_and_never_taken_for_markup() -> None:
    out = io.StringIO()
    teller = Teller("http://127.0.0.1:9", Console(file=out, width=200))
    teller.chapter("[/XYZ] registers")
    teller.step("It is [bold]", lambda: None)
    teller.aside("✉ [/dim]")
    teller.stop(StoryError("answered [/red]"))
    told = out.getvalue()
    assert all(words in told for words in ("[/XYZ] registers", "It is [bold]", "✉ [/dim]", "✗ answered [/red]"))


# --- What people do ------------------------------------------------------------------------------


def test_a_state_that_is_never_reached_ends_the_story() -> None:
    with acts_with(statuses=(200, {"state": "granted"})) as acts:
        acts.becomes(FILED, "granted", "It is granted")
        with pytest.raises(StoryError, match="it never became withdrawn"):
            acts.becomes(FILED, "withdrawn", "It is withdrawn")


@pytest.mark.parametrize(
    ("shown", "queue", "why"),
    [
        ({"state": "awaiting_documents"}, {"items": [{"id": "7"}], "next_cursor": None}, "it never reached the queue"),
        ({"state": "pending"}, {"items": [{"id": "8"}], "next_cursor": None}, "is not in the approver's queue"),
    ],
)
def test_a_request_must_be_pending_and_in_the_approvers_queue(shown: Any, queue: Any, why: str) -> None:
    lies = {"requests/7": (200, shown), "requests?": (200, queue)}
    with acts_with(**lies) as acts, pytest.raises(StoryError, match=why):
        acts.seen(somebody(acts), FILED)


def test_a_mail_must_hold_what_it_brings() -> None:
    with pytest.raises(StoryError, match="holds no code"):
        code_in({"text": "Your code is 1234567."})
    mails = [{"id": "1", "subject": "Your user ID", "text": "The group K7MQ42XP takes you."}]
    with acts_with(messages=(200, mails)) as acts, pytest.raises(StoryError, match="holds no user ID"):
        acts.receive_user_id(acts.tell.person())


@pytest.mark.parametrize(
    ("page", "set_to", "why"),
    [
        ((404, "This link does not work"), (303, ""), "the page does not open"),
        ((200, "Hello K7MQ42XP"), (303, ""), "the page tells what only the other mail says"),
        ((200, "Choose your password"), (422, ""), "the password is not taken: 422"),
    ],
)
def test_the_page_for_the_password_must_open_take_it_and_not_tell_the_user_id(
    page: Answer, set_to: Answer, why: str
) -> None:
    mails = [{"id": "1", "subject": "Set your password", "text": "http://x/directory/password/abc"}]
    answers = {"messages": (200, mails), "GET /directory/password": page, "POST /directory/password": set_to}
    with acts_with(**answers) as acts, pytest.raises(StoryError, match=why):
        acts.set_password_and_sign_in(somebody(acts))


def test_a_group_is_looked_for_on_every_page() -> None:
    first = {"items": [{"id": "1", "name": "One"}], "next_cursor": "more"}
    second = {"items": [{"id": "2", "name": "Two"}], "next_cursor": None}
    with acts_with(**{"cursor=more": (200, second), "groups": (200, first)}) as acts:
        assert acts.group_opens("7", "Two") == "2"
        with pytest.raises(StoryError, match="the group is not listed"):
            acts.group_opens("7", "Three")


# --- What happens --------------------------------------------------------------------------------


def test_an_organization_must_be_unknown_until_it_is_approved() -> None:
    listed = {"items": [{"legal_business_name": "XYZ"}]}
    refusal = (409, {"code": "organization_not_listed"})
    with story_with(organizations=(200, {"items": []}), requests=refusal) as story:
        story._is_unknown("XYZ", "7")
    for lies, why in (
        ({"organizations": (200, listed), "requests": refusal}, "an unapproved organization is listed"),
        ({"organizations": (200, {"items": []}), "requests": (201, {})}, "expected organization_not_listed"),
    ):
        with story_with(**lies) as story, pytest.raises(StoryError, match=why):
            story._is_unknown("XYZ", "7")


@pytest.mark.parametrize(
    ("user_id", "role_count", "holds"), [("K7MQ42XP", 3, True), ("K7MQ42XP", 2, False), ("AAAAAAAA", 3, False)]
)
def test_who_works_for_three_must_hold_three_roles_under_one_user_id(
    user_id: str, role_count: int, holds: bool
) -> None:
    mine = {"user_id": user_id, "roles": [{"role": "USER_GROUP_ADMINISTRATOR"}] * role_count}
    with story_with(**{"people/me": (200, mine)}) as story:
        if holds:
            story._holds_three(somebody(story.do))
        else:
            with pytest.raises(StoryError, match="does not hold three roles"):
                story._holds_three(somebody(story.do))


@pytest.mark.parametrize(("code", "is_refused"), [("surrogate_for_practitioner", True), ("field_invalid", False)])
def test_a_surrogate_of_a_practitioner_must_be_refused_as_one(code: str, is_refused: bool) -> None:
    with story_with(requests=(409, {"code": code})) as story:
        assert story._is_refused_as_surrogate(story.do.tell.person(), "7") is is_refused


def test_of_two_decisions_one_must_win_and_the_other_learn_of_it() -> None:
    won, lost, other = (
        httpx.Response(201, json={}),
        httpx.Response(409, json=PROBLEM),
        httpx.Response(409, json={"code": "stale_version"}),
    )
    with story_with() as story:
        story._one_wins([lost, won])
        for answers, why in (
            ([won, won], "2 decisions were taken"),
            ([lost, lost], "0 decisions were taken"),
            ([won, other], "expected already_decided, got 409 stale_version"),
        ):
            with pytest.raises(StoryError, match=why):
                story._one_wins(answers)


def test_another_application_must_know_all_that_people_may_do_and_no_more() -> None:
    mine = {
        "person_id": "p",
        "roles": [{"role": "END_USER", "place_id": "g"}],
        "entitlements": [{"application": "PS_AND_R", "assignment_id": "a"}],
    }
    with story_with(**{"people/me": (200, mine)}) as story:
        somebody(story.do)
        story._agrees({"p END_USER g", "p PS_AND_R a", "q END_USER g"})
        for held in (set(), {"p END_USER g"}, {"p END_USER g", "p PS_AND_R a", "p AUDITOR c"}):
            with pytest.raises(StoryError, match="the application knows"):
                story._agrees(held)


def test_another_application_that_ends_with_an_error_ends_the_story() -> None:
    with story_with() as story, pytest.raises(StoryError, match="the subscriber ended with"):
        story.another_application_starts_late()


# --- Told to the whole product --------------------------------------------------------------------


def test_a_story_that_stops_fails_as_a_command_and_names_the_step(product: Product) -> None:
    nowhere = ("--url", "http://127.0.0.1:9", "--data", str(product.data))
    told = product.give("story", "--json", *nowhere)
    assert told.exit_code == 1
    *before, last = json.loads(told.stdout)["steps"]
    assert before
    assert all(step["ok"] for step in before)
    assert (last["ok"], last["name"].startswith("stopped: ")) == (False, True)


def test_access_that_nobody_was_granted_and_a_request_that_had_to_be_refused_end_the_story(product: Product) -> None:
    lies: Lies = {}
    with product_that_errs(lies, product.origin) as origin:
        story = Story.at(origin, product.told, Console(quiet=True))
        helper = story.the_help_desk_opens()
        xyz = story.an_organization_registers(helper, "XYZ Medical Group")
        administrator, group_id = story.a_group_is_created(xyz)
        role = story.do.role_of(administrator, "USER_GROUP_ADMINISTRATOR")

        lies["people/me"] = (200, {"roles": [{"role": "END_USER"}, {"role": "AUDITOR"}]})
        with pytest.raises(StoryError, match=r"roles are .*AUDITOR"):
            story.an_end_user_joins(xyz, administrator, group_id)

        entitlements = [{"application": "CLAIM_STATUS"}, {"application": "PS_AND_R"}]
        lies["people/me"] = (200, {"roles": [role], "entitlements": entitlements})
        with pytest.raises(StoryError, match=r"may use .*PS_AND_R"):
            story.applications_are_opened(xyz, administrator, administrator)

        del lies["people/me"]
        lies["dmepos_supplier"] = (201, {})
        with pytest.raises(StoryError, match="expected provider_type_refused"):
            story.a_practitioner_registers(helper)
    product.wait_quiet()
