"""What a notice says: the values of its template, from what is known of request, person and community.

A value that is not known yet is None, and then the whole notice waits: nothing is sent by halves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from services.notification.domain.facts import RequestFacts
from services.notification.domain.notices import Notice
from shared.contracts.community import Community, Kind

_REQUEST = ("request_tracking_number", "kind_name", "asked_for", "place_name")
_ASKED = (*_REQUEST, "applicant_name", "due_at", "queue_url")
_REMINDER = (*_ASKED, "since_at", "age_text")
_ENDED = (*_REQUEST, "reason_text", "next_step_text", "status_url")
_ROLE_ENDED = ("role_name", "place_name", "ended_at", "reason_text", "applications")
_LEFT = ("place_name", "ended_at", "due_at")

NEEDS: Mapping[str, tuple[str, ...]] = {
    "account_created": ("user_id", "place_name"),
    "account_locked": ("since_at", "due_at"),
    "closed": _ENDED,
    "decision_needed": _ASKED,
    "decision_needed_help_desk": _ASKED,
    "decision_reminder": _REMINDER,
    "decision_reminder_help_desk": _REMINDER,
    "delivery_failed_help_desk": (
        "applicant_name",
        "kind_name",
        "request_tracking_number",
        "reason_text",
        "notice_url",
    ),
    "denied": _ENDED,
    "documents_awaited": (*_REQUEST, "documents", "due_at", "status_url"),
    "documents_reminder": (*_REQUEST, "documents", "due_at", "days_left_text", "status_url"),
    "email_code": ("secret",),
    "entitlement_ended": ("application_name", "role_name", "ended_at", "reason_text", "next_step_text"),
    "escalated": (*_REQUEST, "age_text", "due_at", "status_url"),
    "escalated_help_desk": (*_ASKED, "reason_text", "history"),
    "expired": _ENDED,
    "grant_refused_help_desk": (*_REQUEST, "applicant_name", "reason_text", "next_step_text", "history", "queue_url"),
    "granted_application": (*_REQUEST, "start_url"),
    "granted_known_person": (*_REQUEST, "now_open_text"),
    "granted_new_person": (*_REQUEST, "now_open_text", "user_id"),
    "group_left": (*_LEFT, "queue_url"),
    "group_left_help_desk": _LEFT,
    "invitation": (
        "application_name",
        "community_name",
        "criteria",
        "not_for",
        "invitation_code",
        "due_at",
        "start_url",
    ),
    "organization_suspended": _LEFT,
    "organization_suspended_help_desk": _LEFT,
    "profile_sign_in_needed": ("kind_name", "due_at"),
    "request_received": (*_REQUEST, "next_step_text", "status_url"),
    "returned": (*_REQUEST, "reason_text", "corrections", "due_at", "status_url"),
    "role_ended": (*_ROLE_ENDED, "next_step_text"),
    "role_ended_superior": (*_ROLE_ENDED, "person_name", "vacancy_text"),
    "role_ended_superior_help_desk": (*_ROLE_ENDED, "person_name", "vacancy_text"),
    "set_password": ("secret",),
    "settled_by_others": ("settled", "queue_url"),
    "withdrawal_refused": (*_REQUEST, "reason_text", "status_url"),
    "withdrawn": (*_REQUEST, "status_url"),
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
    """The recipient."""
    mentioned: Person = field(default_factory=Person)
    """Somebody else of whom it speaks: who was not reached, or whose role has ended."""
    community: Community | None = None
    """As it was when the request was filed."""
    community_now: Community | None = None
    organization_name: str | None = None
    group_name: str | None = None
    applications: tuple[str, ...] = ()
    """The codes of those whose use has ended with the role."""
    parts: tuple["Known", ...] = ()
    """In a digest: what is known of each request in it, in its order."""

    @property
    def present(self) -> Community | None:
        """The community as it is now, or else as it was."""
        return self.community_now or self.community

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


def place_of(notice: Notice, request: RequestFacts | None) -> tuple[str | None, str | None]:
    """Return kind and id of the place that a notice speaks of: where the role is held, or is asked for.

    An application is asked for on the strength of a role, so its place is the role's.
    """
    if request is None:
        return notice.detail.get("place_kind"), notice.detail.get("place_id")
    if request.place_kind == "application":
        return request.resting_kind, str(request.resting_id) if request.resting_id else None
    return request.place_kind, str(request.place_id) if request.place_id else None


def shown_secret(notice_name: str, plain: str, public_url: str) -> str:
    """Return a secret as its mail shows it: a code as it is, a link's token as the link."""
    if notice_name == "set_password":
        return f"{public_url}/directory/password/{quote(plain, safe='')}"
    return plain
