"""What registration says: a wish was filed, and what was supplied for it. Internal.

These events name people and hold their e-mail addresses, so no application outside reads them.
They never hold an SSN, a birth date or a readable TIN.
"""

from typing import Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.base import Code, Event, Moment, Record
from shared.ids import AssignmentId, DocumentId, PersonId, PlaceId, RequestId, ScopeId

TOPIC = "iacs.registration.v1"


class Applicant(Record):
    """Who files. A known person's id is their account's; a new person's is fixed at submission."""

    person_id: PersonId
    given_name: str
    family_name: str
    email: str
    phone: str = ""


class OrganizationData(Record):
    """What an organization says of itself. The TIN is readable to the directory alone."""

    legal_business_name: str
    normalised_name: str
    tin_sealed: str = Field(description="JWE (compact) sealed to the directory's key: nine digits")
    tin_fingerprint: str = Field(description="Keyed hash, base64url: equal for equal TINs")
    duplicate_key: str = Field(description="Keyed hash of TIN + name + location; equal means duplicate")
    street: str
    city: str
    state: str
    zip_code: str
    phone: str
    provider_type: str = Field(default="", pattern=r"^([A-Za-z][A-Za-z0-9_]{0,63})?$", description="Empty if not asked")
    npi: str = ""
    ptans: tuple[str, ...] = ()


class GroupData(Record):
    """What a new user group is called."""

    name: str
    normalised_name: str
    company_name: str = Field(default="", description="Whose people a surrogate group is for")


class PractitionerData(Record):
    """What an individual practitioner says of the practice."""

    npi: str
    duplicate_key: str = Field(description="Keyed hash of the NPI; equal means duplicate")
    street: str
    city: str
    state: str
    zip_code: str
    ptans: tuple[str, ...] = ()


class RestsOn(Record):
    """The role assignment of the applicant on which an entitlement is to rest."""

    assignment_id: AssignmentId
    role: Code
    place_kind: Code
    place_id: PlaceId


class RequestSubmitted(Event):
    """One applicant has one wish, filed once, with the e-mail address proved.

    A `concern` is for the help desk to look into before anybody decides.
    """

    wire = "iacs.registration.request.submitted.v1"
    topic = TOPIC

    request_id: RequestId
    tracking_number: str
    community_id: str
    community_version: int
    kind: Code
    scope_id: ScopeId
    place_kind: Code
    place_id: PlaceId
    applicant: Applicant
    organization: OrganizationData | None = None
    group: GroupData | None = None
    practitioner: PractitionerData | None = None
    application: Code | None = None
    rests_on: RestsOn | None = None
    revision: int = Field(default=1, ge=1, description="1 as filed; one more with each correction")
    concern: Literal["identity_mismatch"] | None = None
    documents_needed: tuple[Code, ...] = ()
    submitted_at: Moment


class RequestResubmitted(Event):
    """The applicant has corrected what approval had returned in `round`; what it asks for now is all here."""

    wire = "iacs.registration.request.resubmitted.v1"
    topic = TOPIC

    request_id: RequestId
    scope_id: ScopeId
    round: int = Field(ge=1, description="The round in which it was returned")
    revision: int = Field(ge=2)
    organization: OrganizationData | None = None
    group: GroupData | None = None
    practitioner: PractitionerData | None = None
    resubmitted_at: Moment


class WithdrawalAsked(Event):
    """The applicant wishes to withdraw the request. Approval alone ends it, and answers. Source: R7."""

    wire = "iacs.registration.request.withdrawal_asked.v1"
    topic = TOPIC

    request_id: RequestId
    scope_id: ScopeId
    asked_at: Moment


class InvitationIssued(Event):
    """The owner of an application tells somebody that it is there for them. Source: domain 3, 9."""

    wire = "iacs.registration.invitation.issued.v1"
    topic = TOPIC

    invitation_id: UUID
    scope_id: ScopeId = Field(description="The application as a place")
    community_id: str
    application: Code
    email: str
    criteria: str
    not_for: str
    code_sealed: str = Field(
        default="", description="JWE (compact) sealed to notification's key; empty if none is asked for"
    )
    expires_at: Moment
    issued_at: Moment


class DocumentAdded(Event):
    """A document that the request's kind asks for was received. Its content stays in registration."""

    wire = "iacs.registration.request.document_added.v1"
    topic = TOPIC

    request_id: RequestId
    scope_id: ScopeId
    document_id: DocumentId
    document: Code
    media_type: str
    sha256: str
    size_bytes: int
    added_at: Moment


class EmailCodeAsked(Event):
    """Somebody typed this address: send it the code that proves it can be read.

    `sign_in_needed` says that the person is known already: the message tells the account's own
    address to sign in instead, and there is no code.
    """

    wire = "iacs.registration.email_code.asked.v1"
    topic = TOPIC

    request_id: RequestId
    scope_id: ScopeId
    community_id: str
    kind: Code
    email: str
    purpose: Literal["prove_email", "sign_in_needed"] = "prove_email"
    person_id: UUID | None = None
    code_sealed: str = Field(default="", description="JWE (compact) sealed to notification's key")
    expires_at: Moment
