"""The reference guides: what each role is for, how one comes to hold it, what each error means.

Made from the community's own file and the rules of the fields, so that no guide says what the product
does not do. Pure. Source: the seed's reference guides (responsibilities, fields, error messages).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.registration.domain import fields
from shared import reasons
from shared.contracts.community import Community, Decider, Kind, Role, Stage
from shared.errors import CATALOGUE

_HELD_IN = {
    "organization": "the organization",
    "group": "one user group",
    "practitioner": "one practitioner record",
    "application": "one application",
    "community": "the whole community",
}
_CONDITIONS: Mapping[str, tuple[str, str]] = {
    "not_a_practitioner": (
        "It is an organization: an individual practitioner has no surrogates.",
        "surrogate_for_practitioner",
    ),
    "organization_active": ("The organization is approved. Only then is it listed.", "organization_not_listed"),
    "scope_active": ("The organization or the practitioner record is approved.", "organization_not_listed"),
    "group_active": ("The user group is approved and has an administrator.", "group_not_active"),
    "group_open": ("The user group is approved.", "group_not_active"),
    "applicant_is_outsider": ("The person holds no role inside the organization.", "not_an_outsider"),
    "role_held": ("The person is signed in and names the role that it rests on.", "role_not_held"),
    "application_open": ("The application is open to that role.", "application_not_open"),
}
_ALWAYS = ("field_invalid", "rate_limited")


@dataclass(frozen=True)
class Line:
    """One role of the chart: where it is held, by how many, who gives it, and what it cannot be combined with."""

    code: str
    name: str
    held_in: str
    seats: int | None
    given_by: tuple[str, ...]
    """For each kind that gives it, who decides, stage by stage."""
    not_together_with: tuple[str, ...]
    may_ask_for: tuple[str, ...]
    """The applications that may rest on it."""


@dataclass(frozen=True)
class Asked:
    """One thing that a request asks for."""

    name: str
    label: str
    rule: str
    example: str
    is_optional: bool


@dataclass(frozen=True)
class Explained:
    """One error that can be met on the way, and what to do."""

    code: str
    title: str
    remedy: str


@dataclass(frozen=True)
class Way:
    """One kind of request, from the form to the access."""

    kind: str
    name: str
    conditions: tuple[str, ...]
    about_the_person: tuple[Asked, ...]
    about_the_request: tuple[Asked, ...]
    documents: tuple[str, ...]
    decided_by: tuple[str, ...]
    what_happens: tuple[str, ...]
    errors: tuple[Explained, ...]


@dataclass(frozen=True)
class Guide:
    """Everything that somebody needs to know about one role, who has it or wants it."""

    community: str
    role: str
    name: str
    duties: str
    held_in: str
    ways: tuple[Way, ...]
    decides: tuple[str, ...]
    applications: tuple[str, ...]
    taken_by: tuple[str, ...]
    contact: str


@dataclass(frozen=True)
class Reason:
    """A reason that an approver may give, and when it is the right one."""

    code: str
    meaning: str


@dataclass(frozen=True)
class ApproversGuide:
    """What an approver does with a request, and by when."""

    community: str
    decisions: tuple[str, ...]
    denials: tuple[Reason, ...]
    returns: tuple[Reason, ...]
    deadlines: tuple[str, ...]
    errors: tuple[Explained, ...]
    contact: str


# --- The chart ------------------------------------------------------------------------------------


def chart(community: Community) -> tuple[Line, ...]:
    """Return the role chart of a community: one line for each role."""
    return tuple(
        Line(
            code=role.code,
            name=role.name,
            held_in=_HELD_IN[role.place],
            seats=role.seats,
            given_by=_given_by(community, role),
            not_together_with=_excluded(community, role),
            may_ask_for=tuple(each.name for each in community.applications if role.code in each.roles),
        )
        for role in community.roles
    )


def _given_by(community: Community, role: Role) -> tuple[str, ...]:
    if role.appointed_by_operator:
        return ("an operator",)
    ways = [_then(community, kind.stages) for kind in community.kinds if kind.role == role.code]
    return tuple(dict.fromkeys(ways))


def _then(community: Community, stages: Iterable[Stage]) -> str:
    return ", then ".join(_deciders(community, stage.deciders, stage.quorum) for stage in stages)


def _deciders(community: Community, deciders: Iterable[Decider], quorum: int = 1) -> str:
    names = " or ".join(_name(community, decider.role) for decider in deciders)
    return names if quorum == 1 else f"{quorum} of: {names}"


def _name(community: Community, code: str) -> str:
    role = community.role(code)
    return role.name if role else code


def _excluded(community: Community, role: Role) -> tuple[str, ...]:
    where = {"scope": "in the same organization", "place": "in the same group", "anywhere": "anywhere"}
    return tuple(
        dict.fromkeys(
            f"{_name(community, other)} {where[exclusion.within]}"
            for exclusion in community.exclusions
            for side in exclusion.between
            if role.code not in side and any(role.code in mine for mine in exclusion.between)
            for other in side
        )
    )


# --- One role -------------------------------------------------------------------------------------


def guide(community: Community, role_code: str) -> Guide | None:
    """Return the guide of a role, or None if the community has no such role."""
    role = community.role(role_code)
    if role is None:
        return None
    return Guide(
        community=community.name,
        role=role.code,
        name=role.name,
        duties=role.duties,
        held_in=_HELD_IN[role.place],
        ways=tuple(_ways(community, role)),
        decides=_decides(community, role),
        applications=tuple(
            f"{each.name}: {each.criteria} {each.not_for}".strip()
            for each in community.applications
            if role.code in each.roles
        ),
        taken_by=tuple(dict.fromkeys(_name(community, it.role) for it in community.removers_of(role.code))),
        contact=_contact(community),
    )


def _ways(community: Community, role: Role) -> Iterator[Way]:
    for kind in community.kinds:
        if kind.role == role.code:
            yield _way(community, kind, kind.stages)
        elif kind.stages_on(role.code) and kind.paths:
            yield _way(community, kind, kind.stages_on(role.code))


def _way(community: Community, kind: Kind, stages: tuple[Stage, ...]) -> Way:
    conditions = [_CONDITIONS[name][0] for name in kind.preconditions]
    if kind.needs_holder_of:
        conditions.append(f"The organization has a {_name(community, kind.needs_holder_of)}.")
    if community.invitation_needed:
        conditions.append("The person was invited by the owner of an application.")
    return Way(
        kind=kind.code,
        name=kind.name,
        conditions=tuple(conditions),
        about_the_person=tuple(_asked(community, name) for name in kind.applicant_fields),
        about_the_request=tuple(_asked(community, name) for name in kind.fields),
        documents=tuple(need.name for need in kind.documents),
        decided_by=tuple(_stage(community, number, stage) for number, stage in enumerate(stages, start=1)),
        what_happens=tuple(_what_happens(kind)),
        errors=_explained(_errors(community, kind)),
    )


def _asked(community: Community, field: str) -> Asked:
    name = field.removesuffix("?")
    rule = fields.rule_of(name)
    example = community.provider_types[0].code if name == "provider_type" and community.provider_types else rule.example
    return Asked(name, rule.label, rule.rule, example, field.endswith("?"))


def _stage(community: Community, number: int, stage: Stage) -> str:
    told = f"{number}. {_deciders(community, stage.deciders, stage.quorum)}"
    for step in stage.fallbacks:
        whole, part = ([each for each in step if each.may_approve is may] for may in (True, False))
        names = [_deciders(community, whole)] if whole else []
        names += [f"{_deciders(community, part)}, who may deny or return it but not approve"] if part else []
        told += f"; if nobody is there, or after {stage.escalate_after_days} days, also {', or '.join(names)}"
    return f"{told}."


def _what_happens(kind: Kind) -> Iterator[str]:
    if kind.applicant_fields:
        yield "A code of eight digits comes by mail and proves the address. It is good for 24 hours."
    else:
        yield "Sign in first: nothing about yourself is asked again."
    yield "You receive a tracking number, which shows at any time how far the request has come and whose turn it is."
    for need in kind.documents:
        yield f"Send in: {need.name}. The request expires after {kind.documents_expire_after_days} days without it."
    yield (
        f"An approver may return the request up to {kind.returns_at_most} times: then you have "
        f"{kind.returned_expires_after_days} days to correct it."
    )
    yield "Until it is decided you may withdraw it."
    if kind.effect == "grant_entitlement":
        yield "Once it is approved and carried out, you are told, and the application is open to you."
    else:
        yield (
            "Once it is approved and carried out, you are told. A new person receives a user ID, and in a mail of its "
            "own the link that sets the password; whoever has an account keeps the one user ID."
        )


def _errors(community: Community, kind: Kind) -> Iterator[str]:
    yield from _ALWAYS
    if not community.open:
        yield "community_closed"
    if community.invitation_needed:
        yield "not_invited"
    yield "code_wrong" if kind.applicant_fields else "unauthenticated"
    for name in kind.preconditions:
        yield _CONDITIONS[name][1]
    if kind.needs_holder_of:
        yield "security_official_vacant"
    yield "already_held"
    role = community.role(kind.role)
    if role is not None:
        yield "separation_of_duty"
        if role.seats is not None:
            yield "cardinality_reached"
    if "provider_type" in kind.fields and community.refused_provider_types:
        yield "provider_type_refused"
    if kind.documents:
        yield "document_refused"
    yield "could_not_be_confirmed"


def _explained(codes: Iterable[str]) -> tuple[Explained, ...]:
    return tuple(Explained(code, CATALOGUE[code].title, CATALOGUE[code].remedy) for code in sorted(set(codes)))


def _decides(community: Community, role: Role) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            kind.name
            for kind in community.kinds
            for stage in kind.every_stage
            if any(decider.role == role.code for decider in stage.deciders)
        )
    )


def _contact(community: Community) -> str:
    desk = community.help_desk
    return f"{desk.email}, phone {desk.phone}, TTY {desk.tty}, {desk.hours}"


# --- Approvers ------------------------------------------------------------------------------------


def approvers_guide(community: Community) -> ApproversGuide:
    """Return what an approver of this community needs to know."""
    return ApproversGuide(
        community=community.name,
        decisions=(
            "Approve: you know this person and that this is needed. Your decision says so in your name.",
            "Deny: with a reason. The request ends.",
            "Return: with a reason, and what is to be corrected. Your time stands still until the correction comes.",
            "The first valid decision counts. Whoever comes second is told which role decided, and when.",
            "An approval is not access yet: the directory carries it out, and then everybody is told.",
        ),
        denials=tuple(Reason(code, meaning) for code, meaning in reasons.DENIALS.items()),
        returns=tuple(Reason(code, meaning) for code, meaning in reasons.RETURNS.items()),
        deadlines=tuple(_deadlines(community)),
        errors=_explained(
            (
                "already_decided",
                "cardinality_reached",
                "expired",
                "if_match_required",
                "may_not_approve",
                "not_an_approver",
                "request_closed",
                "self_approval",
                "separation_of_duty",
                "stale_version",
            )
        ),
        contact=_contact(community),
    )


def _deadlines(community: Community) -> Iterator[str]:
    for kind in community.kinds:
        paths = [(f", as {_name(community, path.rests_on)}", path.stages) for path in kind.paths]
        for whose, stages in paths or [("", kind.stages)]:
            for number, stage in enumerate(stages, start=1):
                days = " and ".join(str(day) for day in stage.remind_after_working_days)
                steps = [stage.escalate_after_days * step for step, _ in enumerate(stage.fallbacks, start=1)]
                added = f", further approvers are added after {' and '.join(map(str, steps))} days" if steps else ""
                # A stage to which nobody is added waits as long as if somebody were.
                lasts = max(steps, default=stage.escalate_after_days) + stage.expire_after_days
                yield (
                    f"{kind.name}{whose}, stage {number}: reminded after {days} working days{added}, "
                    f"expires after {lasts} days."
                )
