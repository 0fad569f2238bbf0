"""What a request is: checked wishes, where they take place, and how far each has come.

Nothing here knows a request kind, a role or a stage by name: all of it is read from the community.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

from services.registration.domain import fields
from shared import names
from shared.contracts.community import Community, Kind
from shared.errors import FieldFault, Refusal
from shared.ids import PersonId, PlaceId, RequestId, ScopeId

State = Literal[
    "awaiting_email_proof",
    "awaiting_sign_in",
    "submitted",
    "awaiting_documents",
    "pending",
    "approved",
    "refused",
    "granted",
    "denied",
    "expired",
    "withdrawn",
    "closed",
]
DRAFT: tuple[State, ...] = ("awaiting_email_proof", "awaiting_sign_in")
FINAL: tuple[State, ...] = ("granted", "denied", "expired", "withdrawn", "closed")

DRAFT_KEPT = timedelta(days=14)
IDENTITY_KEPT = timedelta(days=90)
CODE_LIVES = timedelta(hours=24)
CODE_TRIES = 5
CODES_AN_HOUR = 3
MUST_BE_OPENED_WITHIN = timedelta(hours=1)
ANNOUNCED_AGAIN_AT_MOST = 3
DOCUMENTS_OF_ONE_CODE = 10

Values = Mapping[str, str | tuple[str, ...]]

_AN_ID = "0198c0de-0000-7000-8000-000000000001"


# --- Filing ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """What somebody asks for, as typed."""

    kind: str
    data: Mapping[str, str | Sequence[str]]
    applicant: Mapping[str, str] | None = None
    organization_id: ScopeId | None = None
    group_id: PlaceId | None = None


@dataclass(frozen=True)
class Oddity:
    """What looks unusual but is accepted."""

    pointer: str
    sentence: str


@dataclass(frozen=True)
class Wish:
    """A checked order: every value in the form that is stored."""

    community: Community
    kind: Kind
    data: Values
    applicant: Mapping[str, str] | None
    organization_id: ScopeId | None
    group_id: PlaceId | None
    oddities: tuple[Oddity, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where the wished role is held. For kinds that create their place, the ids are freshly minted."""

    scope_id: ScopeId
    kind: str
    id: PlaceId


def check(community: Community, order: Order, *, signed_in: bool, today: date) -> Wish:
    """Return the wish that `order` makes.

    Raises, in this order: community_closed; field_invalid for an unknown kind; provider_type_refused
    with the community's sentence (to mend other fields would be wasted); field_invalid with every
    fault at once. Source: domain 3, 4, 7.
    """
    if not community.open:
        raise Refusal("community_closed")
    kind = community.kind(order.kind)
    if kind is None:
        raise Refusal(
            "field_invalid",
            faults=(FieldFault("/kind", "must be a kind of request of this community", community.kinds[0].code),),
        )
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
    return Wish(community, kind, data, applicant, order.organization_id, order.group_id, tuple(_oddities(data)))


def needs_group(community: Community, kind: Kind) -> bool:
    """Tell whether `kind` is about a group that exists already."""
    return kind.effect == "assign_role" and place_kind(community, kind) == "group"


def needs_organization(community: Community, kind: Kind) -> bool:
    """Tell whether `kind` is about an organization that exists already."""
    return kind.effect == "create_group" or (
        kind.effect == "assign_role" and place_kind(community, kind) == "organization"
    )


def place_kind(community: Community, kind: Kind) -> str:
    """Return the kind of place in which the role that `kind` gives is held."""
    role = community.role(kind.role)
    assert role is not None, "the directory publishes no community with a fault"
    return role.place


def place_of(wish: Wish, new_id: UUID) -> Place:
    """Return where `wish` takes place; `new_id` becomes the place's id if the wish creates it.

    Source: domain 7 (registration mints scope and place ids).
    """
    held_in = place_kind(wish.community, wish.kind)
    if wish.kind.effect == "activate_organization":
        return Place(ScopeId(new_id), held_in, PlaceId(new_id))
    if held_in == "community":
        return Place(ScopeId(wish.community.place_id), held_in, wish.community.place_id)
    assert wish.organization_id is not None, "checked, or taken from the group"
    if wish.kind.effect == "create_group":
        return Place(wish.organization_id, held_in, PlaceId(new_id))
    if held_in == "group":
        assert wish.group_id is not None, "checked"
        return Place(wish.organization_id, held_in, wish.group_id)
    return Place(wish.organization_id, held_in, PlaceId(wish.organization_id))


def place_words(wish: Wish, place: Place) -> tuple[str, ...]:
    """Return the words that make two wishes be about the same place. Source: R5, domain 4."""
    if wish.kind.effect == "activate_organization":
        return ("organization", *duplicate_words(wish.data))
    if wish.kind.effect == "create_group":
        return ("group", str(place.scope_id), names.normalise_name(text(wish.data, "group_name")))
    return (place.kind, str(place.id))


def duplicate_words(data: Values) -> tuple[str, ...]:
    """Return the words whose keyed hash is equal for equal organizations: TIN, name, ZIP5, street."""
    return (
        text(data, "tin"),
        names.normalise_business_name(text(data, "legal_business_name")),
        text(data, "zip_code")[:5],
        names.normalise_street(text(data, "street")),
    )


def identity_words(applicant: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words whose keyed hash is equal for one person without an SSN. Source: domain 7."""
    return (
        names.normalise_name(applicant["given_name"]),
        names.normalise_name(applicant["family_name"]),
        applicant.get("birth_date", ""),
        applicant["email"].casefold(),
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


def _check_place(community: Community, kind: Kind, order: Order, faults: list[FieldFault]) -> None:
    about_group, about_organization = needs_group(community, kind), needs_organization(community, kind)
    if about_group and order.group_id is None:
        faults.append(FieldFault("/group_id", "is missing: the id of an existing group", _AN_ID))
    if about_organization and order.organization_id is None:
        faults.append(FieldFault("/organization_id", "is missing: the id of a listed organization", _AN_ID))
    if not about_group and order.group_id is not None:
        faults.append(FieldFault("/group_id", "is not asked for: leave it out", "leave it out"))
    if not about_group and not about_organization and order.organization_id is not None:
        faults.append(FieldFault("/organization_id", "is not asked for: leave it out", "leave it out"))


def _oddities(data: Values) -> Iterable[Oddity]:
    if "tin" in data and fields.ein_is_unusual(text(data, "tin")):
        yield Oddity("/data/tin", "The IRS list has no number that begins like this one: check it against the letter.")


# --- How far it has come --------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far one request has come, as far as registration has heard."""

    state: State
    since_at: datetime
    version: int = 0
    """Approval's version of the request; 0 until approval has opened it."""
    stage: int = 0
    round: int = 0
    refused_round: int = 0
    """The last round in which the directory could not grant it; 0 if none."""
    roles: tuple[str, ...] = ()
    """Who may decide now, by role code."""
    reason: str | None = None
    decided_as: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it is final."""
        return self.state in FINAL


@dataclass(frozen=True)
class Step:
    """One thing that approval did about a request."""

    state: State | None
    """None where the state stays."""
    version: int
    stage: int
    round: int
    at: datetime
    roles: tuple[str, ...] = ()
    adds_roles: bool = False
    reason: str | None = None
    decided_as: str | None = None


def after_step(now: Progress, step: Step) -> Progress | None:
    """Return how far a request has come after `step`, or None if the step says nothing new.

    Approval's events arrive in order, but never in step with the directory's. An older version is
    ignored. So is an approval of a round that the directory has already refused: its refusal came
    second and was merely heard first. What has ended stays ended. Source: domain 5, R12.
    """
    if now.has_ended or step.version < now.version:
        return None
    state = step.state or now.state
    if state == "approved" and step.round <= now.refused_round:
        state = "refused"
    if state == "submitted":
        state = "pending"  # Whatever approval does about it, it has taken it in.
    roles = tuple(dict.fromkeys(now.roles + step.roles)) if step.adds_roles else step.roles
    return Progress(
        state=state,
        since_at=step.at if state != now.state else now.since_at,
        version=step.version,
        stage=step.stage,
        round=step.round,
        refused_round=now.refused_round,
        roles=() if state in FINAL or state == "approved" else roles,
        reason=step.reason,
        decided_as=step.decided_as or now.decided_as,
    )


def after_grant(now: Progress, at: datetime) -> Progress | None:
    """Return how far it has come once the directory has granted it, or None if that is known.

    Only the directory says what access exists, so this holds whatever was heard of approval.
    """
    if now.state == "granted":
        return None
    return replace(now, state="granted", since_at=at, roles=(), reason=None)


def after_refused_grant(now: Progress, round_: int, reason: str, at: datetime) -> Progress | None:
    """Return how far it has come once the directory could not grant it, or None if a later round is known."""
    if now.has_ended or round_ <= now.refused_round:
        return None
    if now.round > round_:
        return replace(now, refused_round=round_)  # It was reopened, or approved again, since.
    since = now.since_at if now.state == "refused" else at
    return replace(now, state="refused", since_at=since, refused_round=round_, reason=reason)


# --- Who it is --------------------------------------------------------------------------------


@dataclass(frozen=True)
class PersonKey:
    """By what one human is recognised: keyed hashes, never the numbers."""

    ssn: str | None
    identity: str | None


@dataclass(frozen=True)
class Human:
    """A row of the people that registration has met."""

    id: PersonId
    key: PersonKey


def same_person(key: PersonKey, met: Iterable[Human]) -> Human | None:
    """Return who of `met` is the person of `key`, or None if the rows contradict each other.

    The SSN decides; name, birth date and e-mail decide where one side has no SSN. Two rows, or equal
    identities with different SSNs, are for the help desk to look into. Source: domain 7.
    """
    rows = list(met)
    by_ssn = next((human for human in rows if key.ssn is not None and human.key.ssn == key.ssn), None)
    by_identity = next((human for human in rows if human.key.identity == key.identity), None)
    if by_ssn is None:
        contradicts = by_identity is not None and key.ssn is not None and by_identity.key.ssn is not None
        return None if contradicts else by_identity
    return by_ssn if by_identity is None or by_identity.id == by_ssn.id else None


@dataclass(frozen=True)
class Applicant:
    """Who files, as far as it is said to others."""

    given_name: str
    family_name: str
    email: str
    phone: str = ""


@dataclass(frozen=True)
class Identity:
    """Who filed and what they typed, with the secret fields as they are stored."""

    applicant: Applicant
    email_fingerprint: str
    key: PersonKey
    data: Values
    secrets: Mapping[str, str]
    """Field name -> the encrypted value."""


@dataclass(frozen=True)
class Request:
    """One wish of one applicant."""

    id: RequestId
    tracking_number: str
    community_id: str
    community_version: int
    kind: str
    place: Place
    place_key: str
    filed_at: datetime
    progress: Progress
    known_as: PersonId | None = None
    person_id: PersonId | None = None
    submitted_at: datetime | None = None
    submitted_event_id: UUID | None = None

    @property
    def is_draft(self) -> bool:
        """Whether it has not been submitted: it is nobody's yet."""
        return self.progress.state in DRAFT


def prove(code: "Code | None", fingerprint_of_typed: str, at: datetime) -> bool:
    """Tell whether what was typed proves the address: the newest code, unused, in time, within five tries."""
    return code is not None and code.is_good(at) and hmac.compare_digest(code.fingerprint, fingerprint_of_typed)


@dataclass(frozen=True)
class Code:
    """A code that was mailed."""

    id: UUID
    fingerprint: str
    expires_at: datetime
    try_count: int
    used_at: datetime | None

    def is_good(self, at: datetime) -> bool:
        """Whether it may still be tried."""
        return self.used_at is None and at < self.expires_at and self.try_count < CODE_TRIES


# --- What people are told -------------------------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """What happens next, in a sentence, and whose turn it is, by role."""

    next_step: str
    whose_turn: str | None
    """None once nothing is left to do."""


def shown_state(state: State) -> State:
    """Return the state that may be shown: that a person is known already is nobody's to learn."""
    return "awaiting_email_proof" if state == "awaiting_sign_in" else state


def outlook(community: Community, kind: Kind, progress: Progress, missing_documents: Sequence[str]) -> Outlook:
    """Return what happens next with a request of this kind. No personal data."""
    deciders = progress.roles or _deciders(kind, progress.stage)
    names = _either(_role_name(community, code) for code in deciders)
    role = _role_name(community, kind.role)
    if progress.state == "awaiting_documents" and missing_documents:
        return Outlook(f"Send us: {', '.join(missing_documents)}.", "Applicant")
    code = Outlook("Type the eight digits of the message that we sent to your e-mail address.", "Applicant")
    by_state: Mapping[State, Outlook] = {
        "awaiting_email_proof": code,
        "awaiting_sign_in": code,  # The same words: that a person is known already is nobody's to learn.
        "submitted": Outlook("Your request is on its way to those who decide it.", "IACS"),
        "awaiting_documents": Outlook("Your documents are here. The request goes on to those who decide it.", "IACS"),
        "pending": Outlook(f"Your request waits for a decision by: {names}.", names),
        "approved": Outlook("Your request was approved. Your access is being set up.", "IACS"),
        "refused": Outlook("Your request was approved but could not be carried out. It is being looked into.", names),
        "granted": Outlook(f"Done: you now hold the role {role}. Sign in to use it.", None),
        "denied": Outlook("Your request was denied. The message that we sent you says why.", None),
        "expired": Outlook("Nobody decided in time. File a new request if you still need it.", None),
        "withdrawn": Outlook("You withdrew your request.", None),
        "closed": Outlook("Your request was closed without a decision. The help desk can tell you more.", None),
    }
    return by_state[progress.state]


@dataclass(frozen=True)
class Reader:
    """A person as far as the reading of documents goes: which roles they hold where."""

    roles: frozenset[tuple[str, UUID]] = field(default_factory=frozenset)
    """Role code and place id of each active assignment."""


def may_read_documents(community: Community, kind: Kind, reader: Reader) -> bool:
    """Tell whether somebody who is not the applicant may read the documents of a request.

    Only those whom an operator appointed, and who can be asked to decide this kind. Source: domain 7.
    """
    codes = {decider.role for stage in kind.stages for decider in stage.chain}
    roles = [community.role(code) for code in codes]
    return any(
        role is not None and role.appointed_by_operator and (role.code, community.place_id) in reader.roles
        for role in roles
    )


def _deciders(kind: Kind, stage: int) -> tuple[str, ...]:
    number = min(max(stage, 1), len(kind.stages))
    return tuple(decider.role for decider in kind.stage(number).deciders)


def _role_name(community: Community, code: str) -> str:
    role = community.role(code)
    return role.name if role else code


def _either(names: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(names))
