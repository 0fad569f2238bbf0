"""What approvers, the help desk and auditors are shown of a request, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from services.approval import domain
from services.approval.domain import State, Verdict
from shared import web
from shared.contracts.community import Community
from shared.ids import PersonId, PlaceId, RequestId, ScopeId

_AN_ID = "0198c0de-0000-7000-8000-000000000001"


def _codes(reasons: tuple[str, ...]) -> str:
    return ", ".join(f"`{reason}`" for reason in reasons)


class RequestView(web.View):
    """A request, as its approvers see it: who wants which role or application where, and until when."""

    id: RequestId
    kind: str = Field(examples=["join_group"])
    kind_name: str = Field(examples=["Join a user group as End User"])
    role: str | None = Field(description="The role that it gives, if it gives one", examples=["END_USER"])
    application: str | None = Field(description="The application that it opens, if it opens one", examples=[None])
    gives: str = Field(description="The name of that role or application", examples=["End User"])
    rests_on: str | None = Field(description="The role of the applicant that it rests on", examples=[None])
    applicant_name: str = Field(
        description="Empty 90 days after an end without a grant, as is the name of what was to be created",
        examples=["Maria Gonzalez"],
    )
    organization_id: ScopeId
    organization_name: str = Field(examples=["XYZ Medical Group LLC"])
    place_kind: str = Field(examples=["group"])
    place_id: PlaceId
    place_name: str = Field(examples=["XYZ Billing"])
    state: State = Field(examples=["pending"])
    stage: int
    stage_count: int = Field(description="How many stages it goes through", examples=[1])
    round: int
    version: int = Field(description="Send it as If-Match to decide on what you have read", examples=[3])
    opened_at: datetime
    expires_at: datetime
    why: Literal["stage", "no_approver", "overdue", "cannot_be_granted", "concern"] | None = Field(
        description="Why it is in this queue", examples=["stage"]
    )
    refusal: str | None = Field(default=None, description="Why the approval could not be granted", examples=[None])
    concern: str | None = Field(default=None, description="What the help desk is to look into", examples=[None])
    is_duplicate: bool = Field(
        default=False, description="Whether the same organization or practice exists or is asked for", examples=[False]
    )
    claimed_until: datetime | None = Field(
        default=None, description="Until when somebody says they look at it. It may be decided all the same"
    )
    claimed_by_me: bool = Field(default=False, examples=[False])


class StepView(web.View):
    """One step of a request's life."""

    at: datetime
    what: str = Field(examples=["opened"])
    role: str | None = Field(examples=[None])
    reason: str | None = Field(examples=[None])


class MayDecideView(web.View):
    """A role that may decide, where, and how many people hold it now who may decide on this request."""

    role: str = Field(examples=["USER_GROUP_ADMINISTRATOR"])
    role_name: str = Field(examples=["User Group Administrator"])
    place_kind: str = Field(examples=["group"])
    place_id: PlaceId
    may_approve: bool
    why: str = Field(examples=["stage"])
    approver_count: int = Field(examples=[2])


class DocumentView(web.View):
    """A document received; registration serves its content to the help desk."""

    id: UUID
    code: str = Field(examples=["irs_letter"])
    added_at: datetime
    href: str = Field(examples=[f"/registration/v1/requests/{_AN_ID}/documents/{_AN_ID}"])


class RequestDetail(RequestView):
    """One request with its history, and who may decide it."""

    history: list[StepView]
    may_decide: list[MayDecideView]
    documents: list[DocumentView]


class DecisionBody(web.Body):
    """What an approver decides."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"verdict": "approve"}]})

    verdict: Verdict = Field(
        description="`return` for correction; `retry` and `close` only of what could not be granted",
        examples=["approve"],
    )
    reason: str | None = Field(
        default=None,
        description=f"Why it is denied: {_codes(domain.DENIAL_REASONS)}. "
        f"Why it is returned: {_codes(domain.RETURN_REASONS)}. Only with these",
        examples=["unknown_person"],
    )
    correct: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")], ...] = Field(
        default=(),
        max_length=40,
        description="With `return`: the fields and documents, by their codes, that the applicant is to look at",
        examples=[["group_name"]],
    )

    def order(self, expected_version: int | None) -> domain.Order:
        """Return it as the rules read it. Raises field_invalid when its parts do not fit together."""
        return domain.check_order(domain.Order(self.verdict, self.reason, expected_version, self.correct))


class DecisionView(web.View):
    """The decision as it was made. It is not access: that is told once the directory has granted it."""

    request_id: RequestId
    verdict: Verdict
    reason: str | None = Field(examples=[None])
    state: State = Field(examples=["approved"])
    stage: int
    round: int
    version: int = Field(examples=[4])
    decided_as: str = Field(examples=["SECURITY_OFFICIAL"])
    decided_at: datetime


class ClaimView(web.View):
    """Until when the others see that you look at a request. It stops nobody."""

    claimed_until: datetime


def shown(row: Any, community: Community, me: PersonId, now: datetime) -> dict[str, Any]:
    """Return what every view shows of a request."""
    kind = community.kind(row.kind)
    assert kind is not None, "a request is opened only for a kind of its community"
    claimed = row.claimed_until is not None and row.claimed_until > now
    application = community.application(row.application)
    return {
        "id": row.id,
        "kind": row.kind,
        "kind_name": kind.name,
        "role": kind.role,
        "application": row.application,
        "gives": community.gives(kind, row.application),
        "rests_on": row.resting_role,
        "applicant_name": row.applicant_name,
        "organization_id": row.scope_id,
        "organization_name": row.organization_name,
        "place_kind": row.place_kind,
        "place_id": row.place_id,
        "place_name": {
            "group": row.group_name,
            "application": application.name if application else row.application,
        }.get(row.place_kind, row.organization_name),
        "state": row.state,
        "stage": row.stage,
        "stage_count": len(kind.stages_on(row.resting_role)),
        "round": row.round,
        "version": row.version,
        "opened_at": row.opened_at,
        "expires_at": row.expires_at,
        "why": row.why,
        "refusal": row.refusal,
        "concern": row.concern,
        "is_duplicate": row.is_duplicate,
        "claimed_until": row.claimed_until if claimed else None,
        "claimed_by_me": claimed and row.claimed_by == me,
    }


def role_name(community: Community, code: str) -> str:
    """Return what a role is called."""
    role = community.role(code)
    return role.name if role else code
