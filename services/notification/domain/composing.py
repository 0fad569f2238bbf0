"""How a letter is composed: each value that a template names, from what is known. None where it is not known yet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from services.notification.domain import texts
from services.notification.domain.letters import NEEDS, Known, place_of
from shared.contracts.community import Community
from shared.ids import application_place

SECRET_HERE = "⟦secret⟧"
"""Stands in a stored rendering for what only the mail itself holds."""


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
    values["recipient_name"] = _recipient_name(known)
    values["help_desk"] = known.present.help_desk if known.present else None
    address = _address(known)
    missing = tuple(sorted(name for name, value in {**values, "address": address}.items() if value is None))
    if missing or address is None:
        return Missing(missing)
    return Letter(address, values)


# --- To whom ----------------------------------------------------------------------------------


def _address(known: Known) -> str | None:
    notice = known.notice
    if notice.address:
        return notice.address
    if notice.recipient == "help_desk":
        return known.present.help_desk.email if known.present else None
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


# --- What was asked for, by whom, where -------------------------------------------------------


def _tracking_number(known: Known) -> str | None:
    number = known.request.tracking_number if known.request else None
    # A mail can fail before its request is submitted, or be about no request at all.
    return number or ("" if known.notice.name == "delivery_failed_help_desk" else None)


def _kind_name(known: Known) -> str | None:
    if known.kind is not None:
        return known.kind.name
    return "" if known.notice.name == "delivery_failed_help_desk" else None


def _asked_for(known: Known) -> str | None:
    kind = known.kind
    if kind is None or known.community is None or known.request is None:
        return None
    if kind.effect != "grant_entitlement":
        return f"the role {known.community.gives(kind)}"
    code = known.request.application
    return f"the application {known.community.gives(kind, code)}" if code else None


def _place_name(known: Known) -> str | None:
    kind, place_id = place_of(known.notice, known.request)
    community = known.present
    if known.request is None and kind is None:
        kind = "community"
    organization = (known.request.organization_name if known.request else None) or known.organization_name
    match kind:
        case "community":
            return community.name if community else None
        case "organization":
            return organization
        case "group":
            group = (known.request.group_name if known.request else None) or known.group_name
            return f"{group}, {organization}" if group and organization else None
        case "practitioner":
            name = known.applicant.name or known.mentioned.name or known.person.name
            return f"the practitioner record of {name}" if name else None
        case "application" if community:
            names = {str(application_place(community.id, one.code)): one.name for one in community.applications}
            return names.get(str(place_id), "an application")
        case _:
            return None


def _applicant_name(known: Known) -> str | None:
    if known.notice.name != "delivery_failed_help_desk":
        return known.applicant.name
    if known.notice.detail.get("to") == "applicant":
        return known.applicant.name or known.mentioned.name or "the applicant"
    return known.mentioned.name or "a person whose name is not known yet"


def _now_open(known: Known) -> str | None:
    """Return what the grant has opened besides, or nothing. Source: domain 9 (organization listed; group open)."""
    if known.kind is None:
        return None
    opened = texts.NOW_OPEN.get(known.kind.effect)
    place = _place_name(known)
    if opened is None:
        return ""
    return opened.format(place=place[0].upper() + place[1:]) if place else None


def _role_name(known: Known) -> str | None:
    community = known.present
    return _role_names(community, [str(known.notice.detail["role"])]) if community else None


def _application_name(known: Known) -> str | None:
    return _application_names(known, [str(known.notice.detail["application"])])[0] if known.present else None


def _applications(known: Known) -> list[str] | None:
    return _application_names(known, known.applications) if known.present else None


def _application_names(known: Known, codes: Sequence[str]) -> list[str]:
    assert known.present is not None
    found = ((code, known.present.application(code)) for code in codes)
    return [application.name if application else code for code, application in found]


# --- When -------------------------------------------------------------------------------------


def _at(name: str) -> Callable[[Known], str | None]:
    def shown(known: Known) -> str | None:
        return _moment(known, str(known.notice.detail[name]))

    return shown


def _moment(known: Known, text: str) -> str | None:
    """Return a moment as people of this community read it, in the time zone of its calendar."""
    if known.present is None:
        return None
    at = datetime.fromisoformat(text).astimezone(ZoneInfo(known.present.calendar.time_zone))
    hour = at.hour % 12 or 12
    half = "a.m." if at.hour < 12 else "p.m."
    return f"{at:%B} {at.day}, {at.year}, {hour}:{at:%M} {half} {at:%Z}"


def _age(known: Known) -> str | None:
    filed_at = next((step["at"] for step in known.history if step["what"] == "submitted"), None)
    if filed_at is None:
        return None
    return _days(datetime.fromisoformat(known.notice.detail["at"]) - datetime.fromisoformat(filed_at))


def _days_left(known: Known) -> str:
    detail = known.notice.detail
    return _days(datetime.fromisoformat(detail["due_at"]) - datetime.fromisoformat(detail["at"]))


def _days(time: timedelta) -> str:
    if time.days < 1:
        return "less than a day"
    return f"{time.days} day{'' if time.days == 1 else 's'}"


# --- Where to go ------------------------------------------------------------------------------


def _status_url(known: Known) -> str | None:
    number = known.request.tracking_number if known.request else None
    return f"{known.public_url}/registration/v1/statuses/{quote(number, safe='')}" if number else None


# --- Why, and what now ------------------------------------------------------------------------


def _reason_text(known: Known) -> str | None:  # noqa: PLR0911 - one answer for each notice.
    detail = known.notice.detail
    match known.notice.name:
        case "grant_refused_help_desk":
            return texts.refusal(str(detail["reason"]))
        case "escalated_help_desk":
            return texts.escalation(str(detail["why"]))
        case "delivery_failed_help_desk":
            return texts.undelivered(str(detail["name"]), str(detail["why"]), detail["status"])
        case "returned":
            return texts.returned(str(detail["reason"]))
        case "withdrawal_refused":
            return texts.withdrawal_refused(str(detail["reason"]))
        case "role_ended":
            return texts.ended(str(detail["cause"]))[0]
        case "entitlement_ended":
            return texts.application_ended(str(detail["cause"]))[0]
        case "role_ended_superior" | "role_ended_superior_help_desk":
            return texts.ended_for_others(str(detail["cause"]))
        case _:
            return _reason_and_next(known)[0]


def _next_step_text(known: Known) -> str | None:
    detail = known.notice.detail
    match known.notice.name:
        case "grant_refused_help_desk":
            return texts.after_refusal(str(detail["reason"]))
        case "role_ended":
            return texts.ended(str(detail["cause"]))[1]
        case "entitlement_ended":
            return texts.application_ended(str(detail["cause"]))[1]
        case "request_received":
            return _whose_turn(known)
        case _:
            return _reason_and_next(known)[1]


def _whose_turn(known: Known) -> str | None:
    kind, request = known.kind, known.request
    if kind is None or request is None or known.community is None:
        return None
    if documents := _document_names(known):
        return (
            f"It is your turn: we need from you: {'; '.join(documents)}. Send it through the status page of your "
            "request, not by e-mail. When it is there, the request goes to the people who decide."
        )
    stages = kind.stages_on(request.resting_role)
    if not stages:
        return None
    deciders = _role_names(known.community, [decider.role for decider in stages[0].deciders])
    return f"It is the turn of: {deciders}. We write to you as soon as it is decided. You need not do anything."


def _reason_and_next(known: Known) -> tuple[str, str]:
    detail = known.notice.detail
    match known.notice.name:
        case "denied":
            return texts.denial(str(detail["reason"]))
        case "expired":
            return texts.expiry(str(detail["missed"]))
        case _:
            return texts.closing(str(detail["reason"]))


def _vacancy(known: Known) -> str | None:
    role, place = _role_name(known), _place_name(known)
    if role is None or place is None:
        return None
    return f"Nobody holds the role {role} at {place} now." if known.notice.detail["vacant"] else ""


def _documents(known: Known) -> list[str] | None:
    return _document_names(known) if known.kind else None


def _document_names(known: Known) -> list[str]:
    return [_field_name(known, code) for code in known.notice.detail["documents"]]


def _corrections(known: Known) -> list[str] | None:
    return [_field_name(known, code) for code in known.notice.detail["correct"]] if known.kind else None


def _field_name(known: Known, code: str) -> str:
    names = {need.code: need.name for need in known.kind.documents} if known.kind else {}
    return names.get(code) or texts.field(code)


# --- What happened ----------------------------------------------------------------------------


def _history(known: Known) -> list[dict[str, str | None]] | None:
    if known.community is None:
        return None
    steps = sorted(known.history, key=lambda step: datetime.fromisoformat(step["at"]))
    return [
        {
            "at": _moment(known, step["at"]),
            "text": texts.step(
                step["what"],
                _role_names(known.community, step.get("roles", [])),
                str(step.get("why") or step.get("reason") or ""),
            ),
        }
        for step in steps
    ]


def _settled(known: Known) -> list[dict[str, str]] | None:
    """Return the lines of a digest; None as long as one of them lacks something."""
    lines = []
    for item, part in zip(known.notice.detail["settled"], known.parts, strict=True):
        role = _role_names(part.community, [item["role"]]) if part.community and item["role"] else ""
        line = {
            "kind": _kind_name(part),
            "place": _place_name(part),
            "how": texts.settled(item["how"], role),
            "at": _moment(known, item["at"]),
        }
        lines.append({name: value for name, value in line.items() if value is not None})
        if len(lines[-1]) < len(line):
            return None
    return lines


def _role_names(community: Community, codes: Sequence[str]) -> str:
    found = (community.role(code) for code in codes)
    return " or ".join(role.name if role else code for role, code in zip(found, codes, strict=True))


_VALUES: Mapping[str, Callable[[Known], Any]] = {
    "age_text": _age,
    "applicant_name": _applicant_name,
    "application_name": _application_name,
    "applications": _applications,
    "asked_for": _asked_for,
    "invitation_code": lambda known: SECRET_HERE if known.notice.detail["has_code"] else "",
    "community_name": lambda known: known.present.name if known.present else None,
    "corrections": _corrections,
    "criteria": lambda known: known.notice.detail["criteria"],
    "days_left_text": _days_left,
    "documents": _documents,
    "due_at": _at("due_at"),
    "ended_at": _at("at"),
    "history": _history,
    "kind_name": _kind_name,
    "next_step_text": _next_step_text,
    "not_for": lambda known: known.notice.detail["not_for"],
    "notice_url": lambda known: f"{known.public_url}/notification/v1/notices/{known.notice.about_id}",
    "now_open_text": _now_open,
    "person_name": lambda known: known.mentioned.name,
    "place_name": _place_name,
    "queue_url": lambda known: f"{known.public_url}/approval/v1/requests",
    "reason_text": _reason_text,
    "request_tracking_number": _tracking_number,
    "role_name": _role_name,
    "secret": lambda _: SECRET_HERE,
    "settled": _settled,
    "since_at": _at("since_at"),
    "start_url": lambda known: f"{known.public_url}/",
    "status_url": _status_url,
    "user_id": lambda known: known.person.user_id,
    "vacancy_text": _vacancy,
}
