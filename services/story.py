"""The story that shows the product at work: real calls, real events, real mail, through the public API.

Points 1 to 3 of domain 10: an organization and its Security Official, a user group and its
administrators, an end user who asks too early and then in time. Fresh names each time, so that it
can be told again and again on the same data.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from rich.console import Console

from services.directory import main as directory
from services.directory import usecases
from services.directory.settings import DirectorySettings
from shared import settings

COMMUNITY = "provider-supplier"
PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.03
_FIRST = ("Ada", "Ben", "Carla", "David", "Elena", "Farid", "Grace", "Hugo", "Irene", "Jonas", "Kira", "Liam")
_LAST = ("Abbott", "Baker", "Castillo", "Dorsey", "Eriksen", "Foster", "Garcia", "Holt", "Ibarra", "Jensen")
_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

T = TypeVar("T")


class StoryError(Exception):
    """Something did not come out as it must; the message says what."""


@dataclass(frozen=True)
class Step:
    """One thing that happened, whether it held, and how long it took from the call to the effect."""

    name: str
    ok: bool
    seconds: float


@dataclass
class Person:
    """Somebody in the story."""

    given_name: str
    family_name: str
    email: str
    birth_date: str
    ssn: str
    user_id: str = ""
    password: str = field(
        default_factory=lambda: f"story {secrets.token_hex(4)} {secrets.token_hex(4)} told", repr=False
    )
    token: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """How they are called."""
        return f"{self.given_name} {self.family_name}"

    @property
    def form(self) -> dict[str, str]:
        """What they fill in of themselves."""
        return {
            "given_name": self.given_name,
            "family_name": self.family_name,
            "birth_date": self.birth_date,
            "email": self.email,
            "phone": "410-555-0134",
            "ssn": self.ssn,
        }


@dataclass
class Filed:
    """A request that was filed."""

    request_id: str
    tracking_number: str
    action_token: str = field(default="", repr=False)


class Story:
    """Tells the story at one origin. `told` are the directory's settings, to appoint the help desk."""

    def __init__(self, origin: str, told: Mapping[str, str], console: Console) -> None:
        self.http = httpx.Client(base_url=origin, timeout=20)
        self._told = told
        self._console = console
        self._steps: list[Step] = []
        self._seen_mail: set[str] = set()
        self.people: list[Person] = []
        self.tins: list[str] = []
        self._run = secrets.token_hex(3)

    def tell(self) -> list[Step]:
        """Tell it all; stop at the first step that does not hold. Returns every step."""
        try:
            self._tell()
        except (StoryError, httpx.HTTPError) as trouble:
            self._steps.append(Step(f"stopped: {trouble}", ok=False, seconds=0.0))
            self._console.print(f"[red]✗ {trouble}[/red]")
        return self._steps

    def _tell(self) -> None:
        helper = self.appoint_help_desk()
        official, organization_id, name = self.register_organization(helper)
        administrator, group_id = self.create_group(official, organization_id, name)
        self.add_second_administrator(official, organization_id, group_id)
        self.join_group(administrator, organization_id, group_id)

    # --- 1: the organization --------------------------------------------------------------------

    def appoint_help_desk(self) -> Person:
        self._chapter("The help desk opens")
        helper = self.person()

        def appoint() -> None:
            helper.user_id = asyncio.run(self._appoint(helper))

        self._step(f"An operator gives {helper.name} the help desk's role", appoint)
        self.set_password_and_sign_in(helper)
        return helper

    async def _appoint(self, helper: Person) -> str:
        told = settings.load(DirectorySettings, dict(self._told))
        database = directory.database(told)
        try:
            async with database.begin() as tx:
                return await usecases.appoint(
                    tx,
                    directory.keys(told),
                    community_id=COMMUNITY,
                    role_code="HELP_DESK",
                    given_name=helper.given_name,
                    family_name=helper.family_name,
                    email=helper.email,
                    by="story",
                )
        finally:
            await database.close()

    def register_organization(self, helper: Person) -> tuple[Person, str, str]:
        name = f"XYZ Medical Group {self._run.upper()} LLC"
        self._chapter(f"{name} registers with its Security Official")
        official = self.person()
        self.tins.append(f"{secrets.choice((10, 20, 27, 45, 52, 84))}-{secrets.randbelow(10**7):07d}")
        data = {
            "legal_business_name": name,
            "tin": self.tins[-1],
            "street": f"{100 + secrets.randbelow(900)} Main Street",
            "city": "Baltimore",
            "state": "MD",
            "zip_code": "21244",
            "phone": "410-555-0100",
            "provider_type": "physician_practice",
            "npi": "1234567893",
        }
        filed = self._step(
            f"{official.name} files for it", lambda: self.file(official, "register_organization", data=data)
        )
        self.prove(official, filed)
        self._step(
            "It is not listed before it is approved",
            lambda: self._expect(not self._find(name), "an unapproved organization is listed"),
        )
        self._step(
            "The IRS letter is sent in",
            lambda: self.ok(
                self.http.post(
                    f"/registration/v1/requests/{filed.request_id}/documents/irs_letter",
                    content=_PDF,
                    headers={**_bearer(filed.action_token), "content-type": "application/pdf"},
                )
            ),
        )
        self.decide(helper, filed, "approve", "The help desk approves")
        organization = self._step("It is listed", lambda: self.until(lambda: self._find(name), "it is not listed"))
        self.receive_user_id(official)
        self.set_password_and_sign_in(official)
        return official, str(organization["id"]), name

    # --- 2: the group ---------------------------------------------------------------------------

    def create_group(self, official: Person, organization_id: str, name: str) -> tuple[Person, str]:
        self._chapter(f"A User Group Administrator asks {name} for a group")
        administrator, group = self.person(), f"Billing {self._run}"
        filed = self._step(
            f"{administrator.name} asks for the group “{group}”",
            lambda: self.file(
                administrator, "create_provider_group", organization_id=organization_id, data={"group_name": group}
            ),
        )
        self.prove(administrator, filed)
        early = self.person()
        # The group has no id that anybody outside knows before it is approved: it cannot be asked for.
        groups = self.groups(organization_id)
        self._step(
            f"{early.name} wants to join before it is approved: there is nothing to join",
            lambda: self._refused(
                self._post_request(early, "join_group", organization_id=organization_id, group_id=filed.request_id),
                "group_not_active",
                also=not groups,
            ),
        )
        self.mailed(official, "decision", "The Security Official hears of it by mail")
        self.decide(official, filed, "approve", "The Security Official approves")
        group_id = self._step(
            "The group is open",
            lambda: self.until(
                lambda: next((g["id"] for g in self.groups(organization_id) if g["name"] == group), None),
                "the group is not listed",
            ),
        )
        self.receive_user_id(administrator)
        self.set_password_and_sign_in(administrator)
        return administrator, str(group_id)

    def add_second_administrator(self, official: Person, organization_id: str, group_id: str) -> None:
        self._chapter("A second administrator associates with that group")
        second = self.person()
        filed = self._step(
            f"{second.name} asks to administer it",
            lambda: self.file(second, "administer_group", organization_id=organization_id, group_id=group_id),
        )
        self.prove(second, filed)
        self.decide(official, filed, "approve", "The Security Official approves")
        self.receive_user_id(second)

    # --- 3: the end user ------------------------------------------------------------------------

    def join_group(self, administrator: Person, organization_id: str, group_id: str) -> None:
        self._chapter("An end user joins")
        user = self.person()
        filed = self._step(
            f"{user.name} asks to join",
            lambda: self.file(user, "join_group", organization_id=organization_id, group_id=group_id),
        )
        self.prove(user, filed)
        self.mailed(administrator, "decision", "The administrator hears of it by mail")
        self.decide(administrator, filed, "approve", "The administrator approves")
        self.receive_user_id(user)
        self.set_password_and_sign_in(user)
        mine = self.ok(self.http.get("/directory/v1/people/me", headers=_bearer(user.token)))
        self._step(
            "The end user holds exactly the one role",
            lambda: self._expect([r["role"] for r in mine["roles"]] == ["END_USER"], f"roles are {mine['roles']}"),
        )
        status = self.ok(self.http.get(f"/registration/v1/statuses/{filed.tracking_number}"))
        self._step(
            "The tracking number says so too",
            lambda: self.until(
                lambda: (
                    self.ok(self.http.get(f"/registration/v1/statuses/{filed.tracking_number}"))["state"] == "granted"
                ),
                f"the state is {status['state']}",
            ),
        )

    # --- What people do -------------------------------------------------------------------------

    def _post_request(self, person: Person, kind: str, **more: Any) -> httpx.Response:
        body = {"community_id": COMMUNITY, "kind": kind, "applicant": person.form, **more}
        return self.http.post("/registration/v1/requests", json=body)

    def file(self, person: Person, kind: str, **more: Any) -> Filed:
        """File a request, trying again while registration has not heard yet of what was just approved."""

        def attempt() -> Filed | None:
            answer = self._post_request(person, kind, **more)
            if answer.status_code == 409 and answer.json()["code"] in ("organization_not_listed", "group_not_active"):
                return None
            filed = self.ok(answer)
            return Filed(filed["request_id"], filed["tracking_number"])

        return self.until(attempt, f"{kind} is refused")

    def prove(self, person: Person, filed: Filed) -> None:
        mail = self.mailed(person, "code", "The code to prove the e-mail address arrives")
        code = re.search(r"\b\d{8}\b", mail["text"])
        self._expect(code is not None, "the mail holds no code")
        assert code is not None
        proof = self._step(
            "The code is typed in",
            lambda: self.ok(
                self.http.post(f"/registration/v1/requests/{filed.request_id}/email-proof", json={"code": code[0]})
            ),
        )
        filed.action_token = proof["action_token"]

    def decide(self, approver: Person, filed: Filed, verdict: str, sentence: str) -> None:
        def decided() -> Any:
            url = f"/approval/v1/requests/{filed.request_id}"

            def seen() -> httpx.Response | None:
                answer = self.http.get(url, headers=_bearer(approver.token))
                pending = answer.status_code == 200 and answer.json()["state"] == "pending"
                return answer if pending else None

            found = self.until(seen, "it never reached the queue")
            queue = self.ok(self.http.get("/approval/v1/requests?limit=100", headers=_bearer(approver.token)))
            self._expect(
                queue["next_cursor"] is not None or any(r["id"] == filed.request_id for r in queue["items"]),
                "the request is not in the approver's queue",
            )
            return self.ok(
                self.http.post(
                    f"{url}/decisions",
                    json={"verdict": verdict},
                    headers={
                        **_bearer(approver.token),
                        "if-match": found.headers["etag"],
                        "idempotency-key": f"story-{filed.request_id}",
                    },
                )
            )

        self._step(sentence, decided)

    def receive_user_id(self, person: Person) -> None:
        mail = self.mailed(person, "user id", f"{person.name} receives a user ID by mail")
        found = re.search(r"\b[A-HJ-NP-Z2-9]{8}\b", mail["text"])
        self._expect(found is not None, "the mail holds no user ID")
        assert found is not None
        person.user_id = found[0]

    def set_password_and_sign_in(self, person: Person) -> None:
        mail = self.mailed(person, "password", "The link for the password comes in a mail of its own")
        link = re.search(r"/directory/password/[\w-]+", mail["text"])
        self._expect(link is not None, "the mail holds no link")
        assert link is not None
        path = link[0]

        def choose() -> None:
            page = self.http.get(path)
            self._expect(page.status_code == 200 and person.user_id in page.text, "the page does not open")
            answer = self.http.post(path, data={"password": person.password})
            self._expect(answer.status_code == 303, f"the password is not taken: {answer.status_code}")

        self._step("The password is chosen on the page", choose)

        def sign_in() -> None:
            body = {"user_id": person.user_id, "password": person.password}
            person.token = self.ok(self.http.post("/directory/v1/sessions", json=body))["access_token"]
            self.http.cookies.clear()

        self._step(f"{person.name} signs in", sign_in)

    # --- How the story looks and waits ----------------------------------------------------------

    def person(self) -> Person:
        given, family = secrets.choice(_FIRST), secrets.choice(_LAST)
        area = secrets.choice([n for n in range(1, 900) if n != 666])
        person = Person(
            given,
            family,
            f"{given}.{family}.{secrets.token_hex(3)}@mail.example".lower(),
            f"19{60 + secrets.randbelow(40)}-0{1 + secrets.randbelow(9)}-1{secrets.randbelow(10)}",
            f"{area:03d}-{1 + secrets.randbelow(99):02d}-{1 + secrets.randbelow(9999):04d}",
        )
        self.people.append(person)
        return person

    def _find(self, name: str) -> Any:
        found = self.ok(self.http.get("/directory/v1/organizations", params={"name": name}))
        return next((o for o in found["items"] if o["legal_business_name"] == name), None)

    def groups(self, organization_id: str) -> list[Any]:
        return list(self.ok(self.http.get(f"/directory/v1/organizations/{organization_id}/groups"))["items"])

    def mailed(self, person: Person, about: str, sentence: str) -> Any:
        """Wait for a mail to a person that they have not read yet and whose subject speaks of `about`."""

        def arrived() -> Any:
            for mail in self.ok(self.http.get("/mail/messages", params={"to": person.email})):
                if mail["id"] not in self._seen_mail and about in mail["subject"].lower():
                    self._seen_mail.add(mail["id"])
                    return mail
            return None

        def wait() -> Any:
            return self.until(arrived, f"no mail about “{about}” reaches {person.email}")

        mail = self._step(sentence, wait)
        self._console.print(f"      [dim]✉ {mail['subject']}[/dim]")
        return mail

    def _chapter(self, title: str) -> None:
        self._console.print(f"\n[bold]{title}[/bold]")

    def _step(self, name: str, work: Callable[[], T]) -> T:
        began = time.monotonic()
        result = work()
        seconds = time.monotonic() - began
        self._steps.append(Step(name, ok=True, seconds=seconds))
        self._console.print(f"  [green]✓[/green] {name} [dim]{seconds * 1000:.0f} ms[/dim]")
        return result

    def until(self, look: Callable[[], T | None], otherwise: str) -> T:
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends_at:
            found = look()
            if found:
                return found
            time.sleep(_POLL_SECONDS)
        raise StoryError(otherwise)

    def ok(self, answer: httpx.Response) -> Any:
        if answer.is_error:
            raise StoryError(
                f"{answer.request.method} {answer.url.path} answered {answer.status_code}: {answer.text[:300]}"
            )
        return answer.json() if answer.content else None

    def _refused(self, answer: httpx.Response, code: str, *, also: bool = True) -> None:
        found = answer.json().get("code")
        self._expect(
            answer.status_code == 409 and found == code and also, f"expected {code}, got {answer.status_code} {found}"
        )

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise StoryError(otherwise)


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
