"""What the people of the story do: file, prove, send papers, decide, receive a user ID, sign in."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console

from services.story.telling import Person, StoryError, Teller, bearer

COMMUNITY = "provider-supplier"
_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
_NOT_HEARD_YET = (
    "organization_not_listed",
    "group_not_active",
    "security_official_vacant",
    "field_invalid",
    "unavailable",
)


def code_in(mail: Mapping[str, Any]) -> str:
    """Return the code that a mail brings. Raises StoryError."""
    found = re.search(r"\b\d{8}\b", mail["text"])
    if found is None:
        raise StoryError("the mail holds no code")
    return found[0]


@dataclass
class Filed:
    """A request that was filed."""

    request_id: str
    tracking_number: str
    action_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Organization:
    """An organization that is approved, and its Security Official."""

    id: str
    name: str
    official: Person


class Acts:
    """What people do, told step by step. `run` makes the names of one telling its own."""

    def __init__(self, origin: str, console: Console, community: str = COMMUNITY) -> None:
        self.community = community
        self.tell = Teller(origin, console)
        self.http = self.tell.http
        self.run = secrets.token_hex(3)
        self.tins: list[str] = []
        self.filed: list[Filed] = []

    # --- Filing ---------------------------------------------------------------------------------

    def post_request(self, person: Person, kind: str, **more: Any) -> httpx.Response:
        """File a request: signed in if the person can, else with everything about them."""
        body = {"community_id": self.community, "kind": kind, **more}
        if not person.token:
            body["applicant"] = person.form
        return self.http.post(
            "/registration/v1/requests", json=body, headers=bearer(person.token) if person.token else {}
        )

    def file(self, person: Person, kind: str, **more: Any) -> Filed:
        """File a request, trying again while registration has not heard yet of what has just been granted."""

        def attempt() -> Filed | None:
            answer = self.post_request(person, kind, **more)
            if answer.is_error and answer.json().get("code") in _NOT_HEARD_YET:
                return None
            filed = self.tell.ok(answer)
            self.filed.append(Filed(filed["request_id"], filed["tracking_number"]))
            return self.filed[-1]

        return self.tell.until(attempt, f"{kind} is refused")

    def ask(self, person: Person, sentence: str, kind: str, **more: Any) -> Filed:
        """File a request as one step of the story; a new person proves the address."""
        filed = self.tell.step(sentence, lambda: self.file(person, kind, **more))
        if not person.token:
            self.prove(person, filed)
        return filed

    def prove(self, person: Person, filed: Filed) -> None:
        """Type in the code that comes by mail."""
        mail = self.tell.mailed(person, "code", "The code to prove the e-mail address arrives")
        code = code_in(mail)
        url = f"/registration/v1/requests/{filed.request_id}/email-proof"
        proof = self.tell.step("The code is typed in", lambda: self.tell.ok(self.http.post(url, json={"code": code})))
        filed.action_token = proof["action_token"]

    def send_letter(self, filed: Filed) -> None:
        """Send in the IRS letter."""
        url = f"/registration/v1/requests/{filed.request_id}/documents/irs_letter"
        headers = {**bearer(filed.action_token), "content-type": "application/pdf"}
        self.tell.step(
            "The IRS letter is sent in", lambda: self.tell.ok(self.http.post(url, content=_PDF, headers=headers))
        )

    def withdraw(self, person: Person, filed: Filed) -> httpx.Response:
        """Say that one wants it no more."""
        token = person.token or filed.action_token
        return self.http.post(f"/registration/v1/requests/{filed.request_id}/withdrawal", headers=bearer(token))

    def correct(self, filed: Filed, data: dict[str, Any]) -> httpx.Response:
        """Correct what was returned."""
        url = f"/registration/v1/requests/{filed.request_id}/corrections"
        return self.http.post(url, json={"data": data}, headers=bearer(filed.action_token))

    def state_of(self, filed: Filed) -> str:
        """Return what the tracking number shows."""
        return str(self.tell.ok(self.http.get(f"/registration/v1/statuses/{filed.tracking_number}"))["state"])

    def becomes(self, filed: Filed, state: str, sentence: str) -> None:
        """Wait until the tracking number shows this state."""
        self.tell.step(
            sentence, lambda: self.tell.until(lambda: self.state_of(filed) == state, f"it never became {state}")
        )

    # --- Deciding -------------------------------------------------------------------------------

    def seen(self, approver: Person, filed: Filed) -> httpx.Response:
        """Wait until the request is in the approver's queue, and read it."""
        url = f"/approval/v1/requests/{filed.request_id}"

        def read() -> httpx.Response | None:
            answer = self.http.get(url, headers=bearer(approver.token))
            return answer if answer.status_code == 200 and answer.json()["state"] == "pending" else None

        found = self.tell.until(read, "it never reached the queue")
        queue = self.tell.ok(self.http.get("/approval/v1/requests?limit=100", headers=bearer(approver.token)))
        self.tell.expect(
            queue["next_cursor"] is not None or any(r["id"] == filed.request_id for r in queue["items"]),
            "the request is not in the approver's queue",
        )
        return found

    def post_decision(self, approver: Person, read: httpx.Response, **body: Any) -> httpx.Response:
        """Decide on what was read."""
        headers = {
            **bearer(approver.token),
            "if-match": read.headers["etag"],
            "idempotency-key": f"story-{secrets.token_hex(8)}",
        }
        return self.http.post(f"/approval/v1/requests/{read.json()['id']}/decisions", json=body, headers=headers)

    def decide(self, approver: Person, filed: Filed, sentence: str, verdict: str = "approve", **more: Any) -> None:
        """Read a request and decide on it, as one step."""
        self.tell.step(
            sentence,
            lambda: self.tell.ok(self.post_decision(approver, self.seen(approver, filed), verdict=verdict, **more)),
        )

    # --- Accounts -------------------------------------------------------------------------------

    def receive_user_id(self, person: Person) -> None:
        """Read the mail with the user ID."""
        mail = self.tell.mailed(person, "user id", f"{person.name} receives a user ID by mail")
        # By its label: a group's name may look like a user ID, too.
        found = re.search(r"Your user ID: (\S+)", mail["text"])
        if found is None:
            raise StoryError("the mail holds no user ID")
        person.user_id = found[1]

    def set_password_and_sign_in(self, person: Person) -> None:
        """Follow the link of the other mail, choose a password, sign in."""
        mail = self.tell.mailed(person, "password", "The link for the password comes in a mail of its own")
        link = re.search(r"/directory/password/[\w-]+", mail["text"])
        if link is None:
            raise StoryError("the mail holds no link")
        path = link[0]

        def choose() -> None:
            page = self.http.get(path)
            self.tell.expect(page.status_code == 200, "the page does not open")
            self.tell.expect(person.user_id not in page.text, "the page tells what only the other mail says")
            answer = self.http.post(path, data={"password": person.password})
            self.tell.expect(answer.status_code == 303, f"the password is not taken: {answer.status_code}")

        self.tell.step("The password is chosen on the page", choose)

        self.tell.step(f"{person.name} signs in", lambda: self.sign_in(person))

    def sign_in(self, person: Person) -> None:
        """Begin a session, whose token is the person's from now on."""
        body = {"user_id": person.user_id, "password": person.password}
        person.token = self.tell.ok(self.http.post("/directory/v1/sessions", json=body))["access_token"]
        self.http.cookies.clear()

    def come_in(self, person: Person) -> None:
        """Receive the user ID and sign in with it for the first time."""
        self.receive_user_id(person)
        self.set_password_and_sign_in(person)

    # --- Looking --------------------------------------------------------------------------------

    def organization(self, name: str) -> Any:
        """Return the listed organization of this name, or None."""
        found = self.tell.ok(self.http.get("/directory/v1/organizations", params={"name": name}))
        return next((o for o in found["items"] if o["legal_business_name"] == name), None)

    def groups(self, organization_id: str) -> list[Any]:
        """Return the user groups of an organization, page after page."""
        found: list[Any] = []
        cursor = None
        while True:
            page = {"limit": 100, **({"cursor": cursor} if cursor else {})}
            told = self.tell.ok(self.http.get(f"/directory/v1/organizations/{organization_id}/groups", params=page))
            found += told["items"]
            cursor = told.get("next_cursor")
            if cursor is None:
                return found

    def group_opens(self, organization_id: str, name: str) -> str:
        """Wait until a group is listed; return its id."""

        def listed() -> str | None:
            return next((str(g["id"]) for g in self.groups(organization_id) if g["name"] == name), None)

        return self.tell.step("The group is open", lambda: self.tell.until(listed, "the group is not listed"))

    def access_of(self, person: Person) -> Any:
        """Return what a person may do."""
        return self.tell.ok(self.http.get("/directory/v1/people/me", headers=bearer(person.token)))

    def role_of(self, person: Person, code: str) -> Any:
        """Return the one role of this code that a person holds, once the directory has granted it."""

        def held() -> Any:
            return next((role for role in self.access_of(person)["roles"] if role["role"] == code), None)

        return self.tell.until(held, f"{person.name} does not hold {code}")
