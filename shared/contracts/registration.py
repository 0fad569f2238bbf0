"""What registration says: a wish was filed, and what was supplied for it. Internal.

These events name people and hold their e-mail addresses, so no application outside reads them.
They never hold an SSN, a birth date or a readable TIN.
"""

from typing import Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.base import Code, Event, Moment, Record
from shared.ids import DocumentId, PersonId, PlaceId, RequestId, ScopeId

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
    provider_type: Code
    npi: str = ""
    ptans: tuple[str, ...] = ()


class GroupData(Record):
    """What a new user group is called."""

    name: str
    normalised_name: str


class RequestSubmitted(Event):
    """One applicant has one wish, filed once, with the e-mail address proved."""

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
    documents_needed: tuple[Code, ...] = ()
    submitted_at: Moment


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
