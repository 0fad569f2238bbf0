"""How the story looks and waits: chapters, steps that must hold, and the mail that arrives."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from rich.console import Console
from rich.markup import escape

PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.03
_FIRST = ("Ada", "Ben", "Carla", "David", "Elena", "Farid", "Grace", "Hugo", "Irene", "Jonas", "Kira", "Liam")
_LAST = ("Abbott", "Baker", "Castillo", "Dorsey", "Eriksen", "Foster", "Garcia", "Holt", "Ibarra", "Jensen")

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


class Teller:
    """Tells steps on a console and keeps them. A step that does not hold ends the story."""

    def __init__(self, origin: str, console: Console) -> None:
        self.http = httpx.Client(base_url=origin, timeout=20)
        self.steps: list[Step] = []
        self.people: list[Person] = []
        self._console = console
        self._seen_mail: set[str] = set()

    def chapter(self, title: str) -> None:
        """Begin a new chapter."""
        self._console.print(f"\n[bold]{escape(title)}[/bold]")

    def step(self, name: str, work: Callable[[], T]) -> T:
        """Do one thing that must hold, and tell how long it took."""
        began = time.monotonic()
        result = work()
        seconds = time.monotonic() - began
        self.steps.append(Step(name, ok=True, seconds=seconds))
        self._console.print(f"  [green]✓[/green] {escape(name)} [dim]{seconds * 1000:.0f} ms[/dim]")
        return result

    def aside(self, text: str) -> None:
        """Say something that is no step."""
        self._console.print(f"      [dim]{escape(text)}[/dim]")

    def stop(self, trouble: Exception) -> None:
        """End the story where something did not hold."""
        self.steps.append(Step(f"stopped: {trouble}", ok=False, seconds=0.0))
        self._console.print(f"[red]✗ {escape(str(trouble))}[/red]")

    def until(self, look: Callable[[], T | None], otherwise: str) -> T:
        """Look until something is there; after a while, that is the end."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends_at:
            found = look()
            if found:
                return found
            time.sleep(_POLL_SECONDS)
        raise StoryError(otherwise)

    def ok(self, answer: httpx.Response) -> Any:
        """Return what an answer says that must be a success."""
        if answer.is_error:
            raise StoryError(
                f"{answer.request.method} {answer.url.path} answered {answer.status_code}: {answer.text[:300]}"
            )
        return answer.json() if answer.content else None

    def refused(self, answer: httpx.Response, code: str) -> None:
        """Expect a refusal of this code."""
        found = answer.json().get("code") if answer.is_error else None
        self.expect(found == code, f"expected {code}, got {answer.status_code} {found}")

    def expect(self, holds: bool, otherwise: str) -> None:
        """Go on only if this holds."""
        if not holds:
            raise StoryError(otherwise)

    def mailed(self, to: Person | str, about: str, sentence: str) -> Any:
        """Wait for a mail that was not read yet and whose subject speaks of `about`."""
        address = to if isinstance(to, str) else to.email

        def arrived() -> Any:
            for mail in self._mails(address):
                if mail["id"] not in self._seen_mail and about in mail["subject"].lower():
                    self._seen_mail.add(mail["id"])
                    return mail
            return None

        def wait() -> Any:
            return self.until(arrived, f"no mail about “{about}” reaches {address}")

        mail = self.step(sentence, wait)
        self.aside(f"✉ {mail['subject']}")
        return mail

    def _mails(self, address: str) -> list[Any]:
        """Return the mails to an address, as the inbox behind the gateway shows them: ours, or maildev's."""
        answer = self.http.get("/mail/messages", params={"to": address})
        if answer.is_error and answer.status_code != 404:
            self.ok(answer)
        if answer.is_success and answer.headers["content-type"].startswith("application/json"):
            return list(answer.json())
        every = self.ok(self.http.get("/mail/email"))
        return [mail for mail in every if any(to["address"] == address for to in mail["to"])]

    def person(self) -> Person:
        """Return somebody whom nobody knows yet."""
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


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"authorization": f"Bearer {token}"}
