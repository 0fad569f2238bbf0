"""What a notice says: the values of its template, from what is known of request, person and community.

A value that is not known yet is None, and then the whole notice waits: nothing is sent by halves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from services.notification.domain import texts
from services.notification.domain.facts import RequestFacts
from services.notification.domain.notices import Notice
from shared.contracts.community import Community, Kind

SECRET_HERE = "⟦secret⟧"
"""Stands in a stored rendering for what only the mail itself holds."""

_REQUEST = ("request_tracking_number", "kind_name", "role_name", "place_name")

NEEDS: Mapping[str, tuple[str, ...]] = {
    "account_created": ("user_id", "place_name"),
    "closed": (*_REQUEST, "reason_text", "next_step_text", "status_url"),
    "decision_needed": (*_REQUEST, "applicant_name", "due_at", "queue_url"),
    "decision_needed_help_desk": (*_REQUEST, "applicant_name", "due_at", "queue_url"),
    "delivery_failed_help_desk": ("applicant_name", "kind_name", "request_tracking_number", "reason_text", "queue_url"),
    "denied": (*_REQUEST, "reason_text", "next_step_text", "status_url"),
    "documents_awaited": (*_REQUEST, "documents", "due_at", "status_url"),
    "email_code": ("secret",),
    "escalated_help_desk": (*_REQUEST, "applicant_name", "reason_text", "due_at", "history", "queue_url"),
    "expired": (*_REQUEST, "reason_text", "next_step_text", "status_url"),
    "grant_refused_help_desk": (*_REQUEST, "applicant_name", "reason_text", "history", "queue_url"),
    "granted_known_person": _REQUEST,
    "granted_new_person": (*_REQUEST, "user_id"),
    "profile_sign_in_needed": ("kind_name", "due_at"),
    "request_received": (*_REQUEST, "next_step_text", "status_url"),
    "set_password": ("secret",),
}
"""Notice -> the values that its template names, besides what every mail has."""


@dataclass(frozen=True)
class Person:
    """What is known of a person."""

    given_name: str | None = None
    family_name: str | None = None
    email: str | None = None
    user_id: str | None = None

    @property
    def name(self) -> str | None:
        """How to speak to and of them."""
        return f"{self.given_name} {self.family_name}" if self.given_name and self.family_name else None


@dataclass(frozen=True)
class Known:
    """All that is known about what one notice is to say."""

    notice: Notice
    public_url: str
    request: RequestFacts | None = None
    history: Sequence[Mapping[str, Any]] = ()
    person: Person = field(default_factory=Person)
    """The recipient; in a notice about a mail that failed, the recipient of that one."""
    community: Community | None = None
    """As it was when the request was filed."""
    community_now: Community | None = None
    organization_name: str | None = None
    group_name: str | None = None

    @property
    def kind(self) -> Kind | None:
        """What is asked for."""
        if self.community is None or self.request is None or self.request.kind is None:
            return None
        return self.community.kind(self.request.kind)

    @property
    def applicant(self) -> Person:
        """Who filed the request, as it was filed."""
        if self.request is None:
            return Person()
        return Person(self.request.given_name, self.request.family_name, self.request.email)


@dataclass(frozen=True)
class Letter:
    """Everything that a mail needs but its secret."""

    address: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Missing:
    """What is not known yet."""

    names: tuple[str, ...]


def compose(known: Known) -> Letter | Missing:
    """Return what a notice says and to which address, or what it still waits for."""
    values = {name: _VALUES[name](known) for name in NEEDS[known.notice.name]}
    community = known.community_now or known.community
    values["recipient_name"] = _recipient_name(known)
    values["help_desk"] = community.help_desk if community else None
    address = _address(known)
    missing = tuple(sorted(name for name, value in {**values, "address": address}.items() if value is None))
    if missing or address is None:
        return Missing(missing)
    return Letter(address, values)


def shown_secret(notice_name: str, plain: str, public_url: str) -> str:
    """Return a secret as its mail shows it: a code as it is, a link's token as the link."""
    if notice_name == "set_password":
        return f"{public_url}/directory/password/{quote(plain, safe='')}"
    return plain


def _address(known: Known) -> str | None:
    notice = known.notice
    if notice.address:
        return notice.address
    if notice.recipient == "help_desk":
        community = known.community_now or known.community
        return community.help_desk.email if community else None
    if notice.recipient == "applicant" or (notice.recipient == "person" and _is_applicant(known)):
        return known.applicant.email or known.person.email
    return known.person.email


def _recipient_name(known: Known) -> str | None:
    notice = known.notice
    if notice.recipient == "help_desk" or notice.address:  # An address alone: nobody has a name yet.
        return ""
    if notice.recipient == "applicant" or (notice.recipient == "person" and _is_applicant(known)):
        return known.applicant.name or known.person.name
    return known.person.name


def _is_applicant(known: Known) -> bool:
    return (
        known.notice.name == "set_password"
        and known.request is not None
        and known.request.applicant_id == known.notice.recipient_id
    )


def _tracking_number(known: Known) -> str | None:
    number = known.request.tracking_number if known.request else None
    # A mail can fail before its request is submitted, or be about no request at all.
    return number or ("" if known.notice.name == "delivery_failed_help_desk" else None)


def _kind_name(known: Known) -> str | None:
    if known.kind is not None:
        return known.kind.name
    return "" if known.notice.name == "delivery_failed_help_desk" else None


def _role_name(known: Known) -> str | None:
    return _role_names(known, [known.kind.role]) if known.kind else None


def _place_name(known: Known) -> str | None:
    request = known.request
    if request is None or request.place_kind == "community":
        community = known.community_now or known.community
        return community.name if community else None
    organization = request.organization_name or known.organization_name
    if request.place_kind != "group":
        return organization if request.place_kind else None
    group = request.group_name or known.group_name
    return f"{group}, {organization}" if group and organization else None


def _applicant_name(known: Known) -> str | None:
    if known.notice.name != "delivery_failed_help_desk":
        return known.applicant.name
    if known.notice.detail.get("to") == "applicant":
        return known.applicant.name or known.person.name or "the applicant"
    return known.person.name or "a person whose name is not known yet"


def _due_at(known: Known) -> str | None:
    return _moment(str(known.notice.detail["due_at"]))


def _status_url(known: Known) -> str | None:
    number = known.request.tracking_number if known.request else None
    return f"{known.public_url}/registration/v1/statuses/{quote(number, safe='')}" if number else None


def _queue_url(known: Known) -> str | None:
    return f"{known.public_url}/approval/v1/requests"


def _reason_text(known: Known) -> str | None:
    detail = known.notice.detail
    match known.notice.name:
        case "grant_refused_help_desk":
            return texts.refusal(str(detail["reason"]))
        case "escalated_help_desk":
            return texts.escalation(str(detail["why"]))
        case "delivery_failed_help_desk":
            return texts.undelivered(str(detail["name"]), str(detail["why"]), detail["status"])
        case _:
            return _reason_and_next(known)[0]


def _next_step_text(known: Known) -> str | None:
    if known.notice.name != "request_received":
        return _reason_and_next(known)[1]
    if known.kind is None:
        return None
    if documents := _document_names(known):
        return (
            f"It is your turn: we need from you: {'; '.join(documents)}. Send it through the status page of your "
            "request, not by e-mail. When it is there, the request goes to the people who decide."
        )
    deciders = _role_names(known, [decider.role for decider in known.kind.stage(1).deciders])
    return f"It is the turn of: {deciders}. We write to you as soon as it is decided. You need not do anything."


def _reason_and_next(known: Known) -> tuple[str, str]:
    detail = known.notice.detail
    match known.notice.name:
        case "denied":
            return texts.denial(str(detail["reason"]))
        case "expired":
            return texts.expiry(for_documents=bool(detail["for_documents"]))
        case _:
            return texts.closing(str(detail["reason"]))


def _documents(known: Known) -> list[str] | None:
    return _document_names(known) if known.kind else None


def _document_names(known: Known) -> list[str]:
    names = {need.code: need.name for need in known.kind.documents} if known.kind else {}
    return [names.get(code, code.replace("_", " ")) for code in known.notice.detail["documents"]]


def _history(known: Known) -> list[dict[str, str]] | None:
    if known.community is None:
        return None
    steps = sorted(known.history, key=lambda step: datetime.fromisoformat(step["at"]))
    return [
        {
            "at": _moment(step["at"]),
            "text": texts.step(
                step["what"],
                _role_names(known, step.get("roles", [])),
                str(step.get("why") or step.get("reason") or ""),
            ),
        }
        for step in steps
    ]


def _role_names(known: Known, codes: Sequence[str]) -> str:
    assert known.community is not None
    found = (known.community.role(code) for code in codes)
    return " or ".join(role.name if role else code for role, code in zip(found, codes, strict=True))


def _moment(text: str) -> str:
    at = datetime.fromisoformat(text).astimezone(UTC)
    return f"{at:%B} {at.day}, {at.year}, {at:%H:%M} UTC"


_VALUES: Mapping[str, Callable[[Known], Any]] = {
    "request_tracking_number": _tracking_number,
    "kind_name": _kind_name,
    "role_name": _role_name,
    "place_name": _place_name,
    "applicant_name": _applicant_name,
    "due_at": _due_at,
    "status_url": _status_url,
    "queue_url": _queue_url,
    "reason_text": _reason_text,
    "next_step_text": _next_step_text,
    "documents": _documents,
    "history": _history,
    "user_id": lambda known: known.person.user_id,
    "secret": lambda _: SECRET_HERE,
}
