"""What is sent to registration."""

from collections.abc import Mapping
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue

from services.registration import domain
from services.registration.domain import fields
from shared import web
from shared.ids import AssignmentId, PlaceId, ScopeId

_APPLICANT = {
    name: fields.RULES[name].example for name in ("given_name", "family_name", "birth_date", "email", "phone", "ssn")
}
_SOME_ID = "0198c0de-0000-7000-8000-000000000001"


class RequestBody(web.Body):
    """One wish. `applicant` is left out when signed in; the community says which fields a kind asks for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "community_id": "provider-supplier",
                    "kind": "join_group",
                    "group_id": _SOME_ID,
                    "applicant": dict(_APPLICANT),
                }
            ]
        }
    )

    community_id: str = Field(pattern=r"^[a-z][a-z0-9-]{1,39}$", examples=["provider-supplier"])
    kind: str = Field(min_length=1, max_length=64, examples=["join_group"])
    applicant: dict[str, JsonValue] | None = Field(
        default=None,
        max_length=50,
        description="The `applicant_fields` of the kind, by name; left out when signed in",
        examples=[dict(_APPLICANT)],
    )
    organization_id: UUID | None = Field(
        default=None, description="If the kind needs an organization that there is", examples=[_SOME_ID]
    )
    group_id: UUID | None = Field(
        default=None, description="If the kind needs a group that there is", examples=[_SOME_ID]
    )
    application: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="If the kind is about an application: its code",
        examples=["CLAIM_STATUS"],
    )
    role_assignment_id: UUID | None = Field(
        default=None,
        description="If the kind gives an entitlement: which of your role assignments it is to rest on",
        examples=[_SOME_ID],
    )
    invitation: str | None = Field(
        default=None,
        min_length=1,
        max_length=40,
        description="If the community takes requests by invitation only: the code of yours",
        examples=["7M3Q-0XKD-92HT-VB4E"],
    )
    data: dict[str, JsonValue] = Field(
        default_factory=dict,
        max_length=50,
        description=f"The `fields` of the kind, by name; of several values, a list of {fields.LIST_LENGTH} at most",
        examples=[{"group_name": "XYZ Billing"}],
    )

    def order(self) -> domain.Order:
        """Return what is asked for, in our own words."""
        applicant = None if self.applicant is None else {n: _line(v) for n, v in self.applicant.items()}
        return domain.Order(
            kind=self.kind,
            data=_data(self.data),
            applicant=applicant,
            organization_id=None if self.organization_id is None else ScopeId(self.organization_id),
            group_id=None if self.group_id is None else PlaceId(self.group_id),
            application=self.application,
            role_assignment_id=None if self.role_assignment_id is None else AssignmentId(self.role_assignment_id),
            invitation=self.invitation,
        )


class CorrectionBody(web.Body):
    """A returned request, corrected."""

    data: dict[str, JsonValue] = Field(
        default_factory=dict,
        max_length=50,
        description="All `fields` of the kind, by name. A secret one that is left out stays as it was filed",
        examples=[{"group_name": "XYZ Billing"}],
    )

    def values(self) -> dict[str, str | list[str]]:
        """Return what was typed."""
        return _data(self.data)


class ProofBody(web.Body):
    """The eight digits that were mailed."""

    code: str = Field(min_length=1, max_length=20, examples=["04711815"])


class InvitationsBody(web.Body):
    """A notice that an application is there; each address gets one of its own."""

    community_id: str = Field(pattern=r"^[a-z][a-z0-9-]{1,39}$", examples=["fi-carrier-mac"])
    application: str = Field(min_length=1, max_length=64, examples=["COST_REPORT_AUDIT"])
    emails: list[str] = Field(
        min_length=1, max_length=domain.INVITED_AT_ONCE, examples=[["auditor@contractor.example"]]
    )
    criteria: str | None = Field(
        default=None,
        max_length=500,
        description="Who should register; as the community says it if left out",
        examples=["Contractors that audit the cost reports of providers."],
    )
    not_for: str | None = Field(
        default=None,
        max_length=500,
        description="Who should not; as the community says it if left out",
        examples=["Contractors without an audit department should not register for it."],
    )


def _data(given: Mapping[str, JsonValue]) -> dict[str, str | list[str]]:
    return {name: _line_or_lines(value) for name, value in given.items()}


def _line(value: JsonValue) -> str:
    """Return a text; anything else becomes one that no rule accepts, so that its field is named."""
    return value if isinstance(value, str) else "\n"


def _line_or_lines(value: JsonValue) -> str | list[str]:
    return [_line(each) for each in value] if isinstance(value, list) else _line(value)
