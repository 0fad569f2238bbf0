"""What somebody asks for: an order as typed, the wish that it makes, and the place that this is about.

Nothing here knows a request kind or a role by name: all of it is read from the community.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from services.registration.domain import fields
from shared import names
from shared.contracts.community import Community, Kind
from shared.errors import FieldFault, Refusal
from shared.ids import AssignmentId, PlaceId, ScopeId, application_place

Values = Mapping[str, str | tuple[str, ...]]

_AN_ID = "0198c0de-0000-7000-8000-000000000001"


@dataclass(frozen=True)
class Order:
    """What somebody asks for, as typed."""

    kind: str
    data: Mapping[str, str | Sequence[str]]
    applicant: Mapping[str, str] | None = None
    organization_id: ScopeId | None = None
    group_id: PlaceId | None = None
    application: str | None = None
    role_assignment_id: AssignmentId | None = None
    invitation: str | None = None


@dataclass(frozen=True)
class Oddity:
    """What looks unusual but is accepted."""

    pointer: str
    sentence: str


@dataclass(frozen=True)
class RestsOn:
    """The applicant's role assignment on which an entitlement is to rest, and the scope it is held in."""

    assignment_id: AssignmentId
    role: str
    place_kind: str
    place_id: PlaceId
    scope_id: ScopeId


@dataclass(frozen=True)
class Wish:
    """A checked order: every value in the form that is stored."""

    community: Community
    kind: Kind
    data: Values
    applicant: Mapping[str, str] | None
    organization_id: ScopeId | None
    group_id: PlaceId | None
    application: str | None = None
    rests_on: RestsOn | None = None
    oddities: tuple[Oddity, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where the wished role is held. For kinds that create their place, the ids are freshly minted."""

    scope_id: ScopeId
    kind: str
    id: PlaceId


def check(community: Community, order: Order, *, signed_in: bool, today: date) -> Wish:
    """Return the wish that `order` makes.

    Raises, in this order: community_closed; field_invalid for an unknown kind; unauthenticated for a kind
    that asks for no personal field, since only a signed-in person is known without; provider_type_refused
    with the community's sentence (to mend other fields would be wasted); field_invalid with every fault
    at once. Source: domain 3, 4, 7.
    """
    if not community.open:
        raise Refusal("community_closed")
    kind = community.kind(order.kind)
    if kind is None:
        raise Refusal(
            "field_invalid",
            faults=(FieldFault("/kind", "must be a kind of request of this community", community.kinds[0].code),),
        )
    if not kind.applicant_fields and not signed_in:
        raise Refusal("unauthenticated")
    if _asks(kind.fields, "provider_type"):
        _refuse_type(community, order.data.get("provider_type"))
    faults: list[FieldFault] = []
    applicant: Mapping[str, str] | None = None
    if signed_in and order.applicant is not None:
        faults.append(FieldFault("/applicant", "is known of a signed-in person: leave it out", "leave it out"))
    elif not signed_in:
        cleaned = _clean("/applicant", kind.applicant_fields, order.applicant or {}, (community, today), faults)
        applicant = {name: value for name, value in cleaned.items() if isinstance(value, str)}
    data = _clean("/data", kind.fields, order.data, (community, today), faults)
    _check_place(community, kind, order, faults)
    if faults:
        raise Refusal("field_invalid", faults=tuple(faults))
    return Wish(
        community,
        kind,
        data,
        applicant,
        order.organization_id,
        order.group_id,
        order.application,
        oddities=tuple(_oddities(data)),
    )


def check_correction(
    community: Community, kind: Kind, data: Mapping[str, str | Sequence[str]], *, today: date
) -> Values:
    """Return the corrected data of a request of `kind`. Refuses as `check` does what is filed anew."""
    if _asks(kind.fields, "provider_type"):
        _refuse_type(community, data.get("provider_type"))
    faults: list[FieldFault] = []
    cleaned = _clean("/data", kind.fields, data, (community, today), faults)
    if faults:
        raise Refusal("field_invalid", faults=tuple(faults))
    return cleaned


def needs(community: Community, kind: Kind) -> tuple[str, ...]:
    """Return by which members of a body an order of `kind` names what there is already."""
    place = community.place_kind(kind)
    if kind.effect == "grant_entitlement":
        return ("application", "role_assignment_id")
    if kind.effect == "create_group":
        return ("organization_id",)
    if kind.effect != "assign_role":
        return ()
    if place == "application":
        return ("application",)
    return {"group": ("group_id",), "community": ()}.get(place, ("organization_id",))


def makes_scope(kind: Kind) -> bool:
    """Tell whether what `kind` creates is a scope of its own: an organization or a practitioner record."""
    return kind.effect in ("activate_organization", "create_practitioner")


def place_of(wish: Wish, new_id: UUID) -> Place:
    """Return where `wish` takes place; `new_id` becomes the place's id if the wish creates it.

    Source: domain 7 (registration mints scope and place ids).
    """
    kind, held_in = wish.kind, wish.community.place_kind(wish.kind)
    if makes_scope(kind):
        return Place(ScopeId(new_id), held_in, PlaceId(new_id))
    if held_in == "application":
        assert wish.application is not None, "checked"
        place_id = application_place(wish.community.id, wish.application)
        return Place(wish.rests_on.scope_id if wish.rests_on else ScopeId(place_id), held_in, place_id)
    if held_in == "community":
        return Place(ScopeId(wish.community.place_id), held_in, wish.community.place_id)
    assert wish.organization_id is not None, "checked, or taken from the group"
    if kind.effect == "create_group":
        return Place(wish.organization_id, held_in, PlaceId(new_id))
    if held_in == "group":
        assert wish.group_id is not None, "checked"
        return Place(wish.organization_id, held_in, wish.group_id)
    return Place(wish.organization_id, held_in, PlaceId(wish.organization_id))


def place_words(
    kind: Kind, place: Place, data: Values, application: str | None = None, rests_on: RestsOn | None = None
) -> tuple[str, ...]:
    """Return the words that make two wishes of one kind be about the same place. Source: R5, domain 4."""
    match kind.effect:
        case "activate_organization":
            return ("organization", *duplicate_words(data))
        case "create_practitioner":
            return ("practitioner", text(data, "npi"))
        case "create_group":
            return ("group", str(place.scope_id), names.normalise_name(text(data, "group_name")))
        case "grant_entitlement":
            assert application is not None and rests_on is not None, "checked"
            return ("application", application, str(rests_on.assignment_id))
        case _:
            return (place.kind, str(place.id))


def duplicate_words(data: Values) -> tuple[str, ...]:
    """Return the words whose keyed hash is equal for equal organizations: TIN, name, ZIP5, street."""
    return (
        text(data, "tin"),
        names.normalise_business_name(text(data, "legal_business_name")),
        text(data, "zip_code")[:5],
        names.normalise_street(text(data, "street")),
    )


def text(data: Values, name: str) -> str:
    """Return a single value, empty if it was left out."""
    value = data.get(name, "")
    assert isinstance(value, str)
    return value


def _asks(names: Iterable[str], name: str) -> bool:
    return name in names or f"{name}?" in names


def _refuse_type(community: Community, given: object) -> None:
    for refused in community.refused_provider_types:
        if given == refused.code:
            raise Refusal("provider_type_refused", refused.sentence)


def _clean(
    at: str,
    names: Sequence[str],
    given: Mapping[str, str | Sequence[str]],
    about: tuple[Community, date],
    faults: list[FieldFault],
) -> Values:
    """Return the given values in the form that is stored; what is wrong is added to `faults`."""
    community, today = about
    found: dict[str, str | tuple[str, ...]] = {}
    asked = {name.removesuffix("?"): name.endswith("?") for name in names}
    faults += [
        FieldFault(f"{at}/{_pointed(name)}", "is not asked for: leave it out", "leave it out")
        for name in given
        if name not in asked
    ]
    for name, is_optional in asked.items():
        rule = fields.rule_of(name)
        value = given.get(name)
        where = f"{at}/{name}"
        if value is None or value in ("", [], ()):
            if not is_optional:
                faults.append(FieldFault(where, f"is missing: {rule.rule}", _example(rule, community)))
        elif rule.is_list:
            values = [value] if isinstance(value, str) else list(value)
            cleaned = [_one(rule, each, community, today) for each in values]
            faults += [
                FieldFault(f"{where}/{number}", rule.rule, rule.example)
                for number, each in enumerate(cleaned)
                if each is None
            ]
            found[name] = tuple(dict.fromkeys(each for each in cleaned if each is not None))
            if len(found[name]) > fields.LIST_LENGTH:
                faults.append(FieldFault(where, f"{fields.LIST_LENGTH} values at most, each {rule.rule}", rule.example))
        else:
            one = _one(rule, value, community, today) if isinstance(value, str) else None
            if one is None:
                faults.append(FieldFault(where, rule.rule, _example(rule, community)))
            else:
                found[name] = one
    return found


def _one(rule: fields.FieldRule, typed: str, community: Community, today: date) -> str | None:
    value = rule.clean(typed.strip(), today)
    if rule.name == "provider_type" and value not in {choice.code for choice in community.provider_types}:
        return None
    return value


def _example(rule: fields.FieldRule, community: Community) -> str:
    if rule.name == "provider_type" and community.provider_types:
        return community.provider_types[0].code
    return rule.example


def _pointed(name: str) -> str:
    return name[:40].replace("~", "~0").replace("/", "~1")


_NAMED: Mapping[str, tuple[str, str]] = {
    "organization_id": ("the id of a listed organization", _AN_ID),
    "group_id": ("the id of an existing group", _AN_ID),
    "application": ("the code of an application of this community", "CLAIM_STATUS"),
    "role_assignment_id": ("the id of one of your own role assignments", _AN_ID),
}


def _check_place(community: Community, kind: Kind, order: Order, faults: list[FieldFault]) -> None:
    needed = needs(community, kind)
    given = {
        "group_id": order.group_id,
        "organization_id": order.organization_id,
        "application": order.application,
        "role_assignment_id": order.role_assignment_id,
    }
    for name in needed:
        if given[name] is None:
            rule, example = _NAMED[name]
            faults.append(FieldFault(f"/{name}", f"is missing: {rule}", example))
    unwanted = [name for name in given if name not in needed and given[name] is not None]
    if "group_id" in needed and "organization_id" in unwanted:
        unwanted.remove("organization_id")  # It may be named besides: then it must be the group's.
    if not community.invitation_needed and order.invitation is not None:
        unwanted.append("invitation")
    faults += [FieldFault(f"/{name}", "is not asked for: leave it out", "leave it out") for name in unwanted]
    if "application" in needed and order.application and community.application(order.application) is None:
        codes = [application.code for application in community.applications]
        faults.append(FieldFault("/application", f"must be {_NAMED['application'][0]}", ", ".join(codes[:1]) or "none"))


def _oddities(data: Values) -> Iterable[Oddity]:
    if "tin" in data and fields.ein_is_unusual(text(data, "tin")):
        yield Oddity("/data/tin", "The IRS list has no number that begins like this one: check it against the letter.")
