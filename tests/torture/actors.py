"""People who go on whatever breaks: they wait long, ask again, and look what became of a call without answer."""

import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import httpx
from rich.console import Console

from services.story.acts import Acts, Filed, code_in
from services.story.telling import Person, StoryError, Teller, bearer
from shared.testing.torture.calls import Stubborn

_PATIENCE_SECONDS = 300.0
_POLL_SECONDS = 0.15
_SIGNED_IN_SECONDS = 240.0
"""A token lives ten minutes; a call may be repeated for some."""
_LATE = ("already_decided", "request_closed", "not_returned", "expired")

T = TypeVar("T")


class Patient(Teller):
    """A teller that waits through an outage."""

    def until(self, look: Callable[[], T | None], otherwise: str) -> T:
        """Look until something is there."""
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < ends_at:
            found = look()
            if found:
                return found
            time.sleep(_POLL_SECONDS)
        raise StoryError(otherwise)


class Actor(Acts):
    """What one thread of people does."""

    def __init__(self, origin: str, transport: Stubborn) -> None:
        super().__init__(origin, Console(quiet=True))
        self.tell = Patient(origin, Console(quiet=True))
        self.http = self.tell.http = httpx.Client(base_url=origin, timeout=20, transport=transport)
        self.tell.steps = []

    def prove(self, person: Person, filed: Filed) -> None:
        """Type the code in; if the answer was lost, and with it the token, ask for another code."""

        def prove() -> bool:
            mail = self.tell.mailed(person, "code", "The code arrives")
            url = f"/registration/v1/requests/{filed.request_id}/email-proof"
            answer = self.http.post(url, json={"code": code_in(mail)})
            if answer.is_success:
                filed.action_token = answer.json()["action_token"]
                return True
            if answer.json().get("code") != "code_wrong":
                raise StoryError(f"the proof was answered {answer.status_code} {answer.text[:200]}")
            self.http.post(f"/registration/v1/requests/{filed.request_id}/email-code")
            return False

        self.tell.until(lambda: prove() or None, "the address is never proved")

    def judged(self, approver: Person, filed: Filed, verdict: str, **more: object) -> httpx.Response:
        """Decide as soon as it can be decided; return the answer, which tells a late one who was first."""

        def attempt() -> httpx.Response | None:
            url = f"/approval/v1/requests/{filed.request_id}"
            found = self.http.get(url, headers=bearer(approver.token))
            if found.status_code != 200:
                return None  # Not known there yet, or not yet to this approver.
            if found.json()["state"] not in ("pending", "refused"):
                return found if found.json()["state"] not in ("unrouted", "awaiting_documents", "returned") else None
            answer = self.post_decision(approver, found, verdict=verdict, **more)
            if answer.is_success or answer.json()["code"] in _LATE:
                return answer
            if answer.json()["code"] in ("stale_version", "not_an_approver"):
                return None
            raise StoryError(f"{verdict} was answered {answer.status_code} {answer.text[:200]}")

        return self.tell.until(attempt, f"{filed.request_id} never reached the queue of {approver.email}")

    def must_judge(self, approver: Person, filed: Filed, verdict: str = "approve", **more: object) -> None:
        """Decide on what nobody else decides."""
        answer = self.judged(approver, filed, verdict, **more)
        if answer.status_code != 201:
            raise StoryError(f"{filed.request_id} could not be decided: {answer.status_code} {answer.text[:200]}")

    def set_password_and_sign_in(self, person: Person) -> None:
        """Choose a password and sign in. A link whose answer was lost is used up: then the password is set."""
        mail = self.tell.mailed(person, "password", "The link arrives")
        link = re.search(r"/directory/password/[\w-]+", mail["text"])
        assert link is not None
        answer = self.http.post(link[0], data={"password": person.password})
        if answer.status_code not in (303, 404):
            raise StoryError(f"the password is not taken: {answer.status_code}")
        self.sign_in(person)

    def sign_in(self, person: Person) -> None:
        """Get a fresh token."""
        body = {"user_id": person.user_id, "password": person.password}
        person.token = self.tell.ok(self.http.post("/directory/v1/sessions", json=body))["access_token"]
        self.http.cookies.clear()

    def corrected(self, filed: Filed, data: dict[str, str]) -> None:
        """Correct what was returned, once registration has heard of it."""
        self.becomes(filed, "returned", "It is returned")

        def attempt() -> bool:
            answer = self.correct(filed, dict(data))
            # Refused as not returned: then it was taken, and only its answer was lost.
            return answer.is_success or answer.json().get("code") == "not_returned"

        self.tell.until(lambda: attempt() or None, f"the correction of {filed.request_id} is not taken")


class Tokens:
    """Keeps the tokens of those on whom all depend fresh."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._guard = threading.Lock()

    def refresh(self, actor: Actor, *people: Person) -> None:
        """Sign those in again who have been for long."""
        with self._guard:
            for person in people:
                if time.monotonic() - self._since.get(person.email, float("-inf")) > _SIGNED_IN_SECONDS:
                    actor.sign_in(person)
                    self._since[person.email] = time.monotonic()
