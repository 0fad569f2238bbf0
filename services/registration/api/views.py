"""What registration answers with."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from services.registration import keys
from services.registration.domain import fields
from shared import web

_SOME_ID = "0198c0de-0000-7000-8000-000000000001"


class OddityView(web.View):
    """What looks unusual but was accepted."""

    pointer: str = Field(examples=["/data/tin"])
    sentence: str = Field(
        examples=["The IRS list has no number that begins like this one: check it against the letter."]
    )


class FiledView(web.View):
    """A request after filing. `tracking_number` shows its state to whoever has it."""

    request_id: UUID
    tracking_number: str = Field(examples=["IACS-7M3Q-0XKD-92HT-VB4E"])
    state: str = Field(examples=["awaiting_email_proof"])
    next_step: str = Field(examples=["Type the eight digits of the message that we sent to your e-mail address."])
    whose_turn: str | None = Field(examples=["Applicant"])
    warnings: list[OddityView] = Field(default_factory=list)


class SubmittedView(FiledView):
    """A request after it was submitted."""

    state: str = Field(examples=["submitted"])
    next_step: str = Field(examples=["Your request is on its way to those who decide it."])
    whose_turn: str | None = Field(examples=["IACS"])


class ProvedView(SubmittedView):
    """A request whose applicant is proved. `action_token` is a bearer token for this one request."""

    action_token: str = Field(examples=["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTk4YzBkZSJ9.c2VhbGVk"])
    expires_in: int = Field(description="Seconds", examples=[keys.ACT_SECONDS])


class AskedView(web.View):
    """The one answer to everybody who asks for a code."""

    detail: str = Field(examples=["If this request can be proved by e-mail, a new code is on its way."])


class DocumentView(web.View):
    """A document that was received."""

    document_id: UUID
    document: str = Field(examples=["irs_letter"])
    media_type: str = Field(examples=["application/pdf"])
    sha256: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
    size_bytes: int = Field(examples=[48213])
    added_at: datetime


class DocumentsView(web.View):
    """The documents of a request."""

    items: list[DocumentView]


class NeedView(web.View):
    """A document that is needed, and whether it is here."""

    document: str = Field(examples=["irs_letter"])
    name: str = Field(examples=["IRS letter (CP-575 or accepted substitute)"])
    received: bool


class MomentView(web.View):
    """One thing that happened; `by` are the names of the roles concerned."""

    at: datetime
    what: str = Field(examples=["submitted"])
    by: list[str] = Field(examples=[["User Group Administrator"]])


class CorrectView(web.View):
    """A field or a document to look at."""

    code: str = Field(examples=["group_name"])
    name: str = Field(examples=["Name of the user group"])


class StatusView(web.View):
    """Where a request stands. Holds no personal data."""

    tracking_number: str = Field(examples=["IACS-7M3Q-0XKD-92HT-VB4E"])
    community: str = Field(examples=["Provider/Supplier Community"])
    kind: str = Field(examples=["Join a user group as End User"])
    state: str = Field(examples=["pending"])
    since: datetime
    next_step: str = Field(examples=["Your request waits for a decision by: User Group Administrator."])
    whose_turn: str | None = Field(examples=["User Group Administrator"])
    reason: str | None = Field(examples=[None])
    correct: list[CorrectView] = Field(
        description="What to look at while it is returned",
        examples=[[{"code": "group_name", "name": "Name of the user group"}]],
    )
    until: datetime | None = Field(
        description="When it ends by itself unless somebody acts", examples=["2026-12-08T14:05:00Z"]
    )
    wish: str | None = Field(
        description="What the applicant wishes and approval has not granted: withdrawal_asked, withdrawal_refused or "
        "correction_sent",
        examples=["withdrawal_asked"],
    )
    documents: list[NeedView]
    timeline: list[MomentView]


class OwnApplicantView(web.View):
    """What an applicant said of themselves, without the secret fields."""

    given_name: str = Field(examples=["Maria"])
    family_name: str = Field(examples=["Gonzalez"])
    email: str = Field(examples=["maria@clinic.example"])
    phone: str | None = Field(examples=["410-555-0142"])


class RequestView(StatusView):
    """A request as its own applicant sees it: with what was filed, without the secret fields."""

    request_id: UUID
    community_id: str = Field(examples=["provider-supplier"])
    kind_code: str = Field(examples=["join_group"])
    gives: str = Field(examples=["End User"])
    scope_id: UUID = Field(description="The organization, practitioner record, community or application")
    place_kind: str = Field(examples=["group"])
    place_id: UUID
    application: str | None = Field(examples=["CLAIM_STATUS"])
    role_assignment_id: UUID | None = Field(examples=[_SOME_ID])
    revision: int = Field(description="1 as filed; one more with each correction", examples=[1])
    applicant: OwnApplicantView | None = Field(description="None once it was erased")
    data: dict[str, str | list[str]] = Field(
        description="The `fields` of the kind but the secret ones, by name", examples=[{"group_name": "XYZ Billing"}]
    )


class RequestLineView(web.View):
    """One request of the list."""

    request_id: UUID
    tracking_number: str = Field(examples=["IACS-7M3Q-0XKD-92HT-VB4E"])
    community_id: str = Field(examples=["provider-supplier"])
    kind: str = Field(examples=["Join a user group as End User"])
    kind_code: str = Field(examples=["join_group"])
    gives: str = Field(examples=["End User"])
    scope_id: UUID
    place_kind: str = Field(examples=["group"])
    place_id: UUID
    state: str = Field(examples=["pending"])
    since: datetime
    next_step: str = Field(examples=["Your request waits for a decision by: User Group Administrator."])
    whose_turn: str | None = Field(examples=["User Group Administrator"])


class ChoiceView(web.View):
    """One value that a field may take."""

    code: str = Field(examples=["clinic"])
    name: str = Field(examples=["Clinic or group practice"])


class FieldView(web.View):
    """One field to fill in: `accepting` are values that are good as they stand, `refusing` are not."""

    name: str = Field(examples=["birth_date"])
    label: str = Field(examples=["Date of birth"])
    hint: str = Field(examples=["Year, month and day"])
    required: bool
    several: bool = Field(examples=[False])
    format: str = Field(examples=[fields.RULES["birth_date"].rule])
    accepting: list[str] = Field(examples=[list(fields.RULES["birth_date"].accepts)])
    refusing: list[str] = Field(examples=[list(fields.RULES["birth_date"].refuses[:2])])
    choices: list[ChoiceView] = Field(default_factory=list)


class DocumentNeedView(web.View):
    """A document that a kind of request needs."""

    document: str = Field(examples=["irs_letter"])
    name: str = Field(examples=["IRS letter (CP-575 or accepted substitute)"])


class PathView(web.View):
    """Who decides if the request rests on a role."""

    rests_on: str = Field(examples=["END_USER"])
    name: str = Field(examples=["End User"])
    decided_by: list[list[str]] = Field(examples=[[["User Group Administrator"], ["Security Official"]]])


class KindView(web.View):
    """One kind of request: what it asks for, who decides, what it gives."""

    kind: str = Field(examples=["join_group"])
    name: str = Field(examples=["Join a user group as End User"])
    gives: str = Field(examples=["End User"])
    needs: list[str] = Field(
        description="What there is already and is to be named: organization_id, group_id, application, "
        "role_assignment_id",
        examples=[["group_id"]],
    )
    signed_in: bool = Field(description="Whether only a signed-in person can ask for it", examples=[False])
    applicant_fields: list[FieldView]
    fields: list[FieldView]
    documents: list[DocumentNeedView]
    decided_by: list[list[str]] = Field(
        description="For each stage, the roles of which any one decides", examples=[[["User Group Administrator"]]]
    )
    paths: list[PathView] = Field(description="Instead, where it depends on the role that it rests on")


class HelpDeskView(web.View):
    """How to reach the help desk."""

    email: str = Field(examples=["help-desk@iacs.example"])
    phone: str = Field(examples=["1-555-555-0100"])
    tty: str = Field(examples=["1-555-555-0101"])
    hours: str = Field(examples=["Monday to Friday, 7 a.m. to 7 p.m. Eastern time"])


class CommunityLineView(web.View):
    """One community of the list."""

    id: str = Field(examples=["provider-supplier"])
    name: str = Field(examples=["Provider/Supplier Community"])
    open: bool


class CommunitiesView(web.View):
    """The communities that there are."""

    items: list[CommunityLineView]


class ApplicationView(web.View):
    """One application of a community."""

    application: str = Field(examples=["CLAIM_STATUS"])
    name: str = Field(examples=["Claim Status Inquiry"])
    open: bool
    roles: list[str] = Field(description="The roles that may ask for it", examples=[["END_USER"]])
    criteria: str | None = Field(examples=["Everybody who bills Medicare."])
    not_for: str | None = Field(examples=["DMEPOS suppliers should not register at this time."])


class CommunityView(CommunityLineView):
    """A community, with every kind of request that it takes."""

    version: int
    invitation_needed: bool = Field(description="Whether a request is filed only with an invitation", examples=[False])
    applications: list[ApplicationView]
    help_desk: HelpDeskView
    refused_provider_types: list[ChoiceView] = Field(description="With the sentence that each is shown")
    kinds: list[KindView]


class InvitationView(web.View):
    """One address that was told. The code is in the mail alone."""

    invitation_id: UUID
    email: str = Field(examples=["auditor@contractor.example"])
    state: str = Field(description="issued, used or expired", examples=["issued"])
    issued_at: datetime
    expires_at: datetime


class InvitationsView(web.View):
    """The addresses that will be told."""

    items: list[InvitationView]
