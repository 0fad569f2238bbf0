"""An organization with its people, and many requests at once: what the breaking tests work on."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
from rich.console import Console

from services.story import Story
from services.story.acts import COMMUNITY, code_in
from services.story.telling import Person
from shared.testing.product import Product
from shared.testing.torture.calls import Book, Stubborn
from shared.testing.torture.timeline import Timeline

_PATIENCE_SECONDS = 150.0  # A mail whose sender was killed waits for the end of its lease, a minute.


@dataclass
class Wish:
    """A request of the crowd, and who filed it."""

    person: Person
    request_id: str
    tracking_number: str


@dataclass
class Crowd:
    """A group with its administrator, and people who want to join it.

    Its callers are stubborn, as real ones are: a call that got no answer is made again.
    """

    story: Story
    book: Book
    administrator: Person
    organization_id: str
    group_id: str

    @property
    def http(self) -> httpx.Client:
        """How they call."""
        return self.story.do.http

    def file(self) -> Wish:
        """File a new person's request to join, and prove the e-mail address."""
        person = self.story.do.tell.person()
        body = {
            "community_id": COMMUNITY,
            "kind": "join_group",
            "applicant": person.form,
            "organization_id": self.organization_id,
            "group_id": self.group_id,
        }
        answer = self.http.post("/registration/v1/requests", json=body)
        assert answer.status_code == 201, answer.text
        return Wish(person, answer.json()["request_id"], answer.json()["tracking_number"])

    def prove(self, wish: Wish) -> None:
        """Type the code of the mail in."""
        url = f"/registration/v1/requests/{wish.request_id}/email-proof"
        answer = self.http.post(url, json={"code": self._code(wish.person)})
        # A proof whose answer was lost finds the code used: then it must have been taken.
        assert answer.status_code == 200 or self.state(wish) != "awaiting_email_proof", answer.text

    def _code(self, person: Person) -> str:
        """Return the code that a mail brings: the inbox may be down as everything else."""
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            for mail in self.http.get("/mail/messages", params={"to": person.email}).json():
                if "code" in mail["subject"].lower():
                    return code_in(mail)
            assert time.monotonic() < ends_at, f"no code reaches {person.email}"
            time.sleep(0.05)

    def approve(self, wish: Wish) -> None:
        """Approve as the group's administrator, under a key: repeating it is harmless."""
        headers = {"authorization": f"Bearer {self.administrator.token}"}
        url = f"/approval/v1/requests/{wish.request_id}"
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            assert time.monotonic() < ends_at, f"{wish.request_id} never reached the queue"
            found = self.http.get(url, headers=headers)
            if found.status_code == 200:
                break
            time.sleep(0.05)
        answer = self.http.post(
            f"{url}/decisions",
            json={"verdict": "approve"},
            headers={**headers, "if-match": found.headers["etag"], "idempotency-key": wish.request_id},
        )
        assert answer.status_code == 201, answer.text

    def state(self, wish: Wish) -> str:
        """Return what the tracking number tells."""
        answer = self.http.get(f"/registration/v1/statuses/{wish.tracking_number}")
        return str(answer.json()["state"])

    def all_at_once(self, wishes: list[Wish], *, callers: int = 8) -> None:
        """Prove and approve many requests, several callers beside each other."""

        def one(each: Wish) -> None:
            self.prove(each)
            self.approve(each)

        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(one, wishes))


@pytest.fixture(scope="session")
def crowd(product: Product) -> Iterator[Crowd]:
    """One organization with one group, come into being through the public API."""
    book = Book(Timeline())
    story = Story.at(product.origin, product.told, Console(quiet=True))
    story.do.http = story.do.tell.http = httpx.Client(base_url=product.origin, timeout=20, transport=Stubborn(book))
    xyz = story.an_organization_registers(story.the_help_desk_opens(), "XYZ Medical Group")
    administrator, group_id = story.a_group_is_created(xyz)
    yield Crowd(story, book, administrator, xyz.id, group_id)


@pytest.fixture(autouse=True)
def is_well_again(product: Product, crowd: Crowd) -> Iterator[None]:
    """Each test begins with everything running and quiet, and a token that lives long enough."""
    product.wait_ready()
    person = crowd.administrator
    body = {"user_id": person.user_id, "password": person.password}
    answer = crowd.http.post("/directory/v1/sessions", json=body)
    person.token = answer.json()["access_token"]
    crowd.story.do.http.cookies.clear()
    yield
