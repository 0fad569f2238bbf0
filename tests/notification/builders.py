"""Valid facts for notification's tests, and how they reach it: as Kafka records, through its consumer."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from joserfc.jwk import ECKey

import shared
from services.notification import consumers, smtp, timers
from shared import envelope, secrets
from shared.contracts import approval, directory, registration
from shared.contracts.base import Event, State
from shared.contracts.community import Community
from shared.database import Database
from shared.delivery import Delivery
from shared.ids import (
    AssignmentId,
    EntitlementId,
    PersonId,
    PlaceId,
    RequestId,
    ScopeId,
    application_place,
    community_place,
    new_id,
)

PUBLIC_URL = "https://iacs.example"
MAIL_FROM = "IACS <no-reply@iacs.example>"
SEAL_KEY: dict[str, Any] = dict(ECKey.generate_key("P-256").as_dict(private=True))


def community_of(name: str) -> Community:
    """Return a community that is shipped."""
    return Community.model_validate(
        tomllib.loads((Path(shared.__path__[0]) / "communities" / f"{name}.toml").read_text())
    )


COMMUNITY = community_of("provider-supplier")
TOKEN = "tok_en-Of-the-link"
HELP_DESK = COMMUNITY.help_desk.email
NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + timedelta(days=30)

_offsets = count()


@dataclass(frozen=True)
class Record:
    """A Kafka record as a consumer gets it."""

    topic: str
    headers: Sequence[tuple[str, bytes | None]]
    value: bytes | None
    partition: int = 0
    offset: int = field(default_factory=lambda: next(_offsets))
    key: bytes | None = None


def record(
    body: Event | State, *, subject: UUID, scope: UUID | None = None, version: int | None = None, gone: bool = False
) -> Record:
    """Return the record that the relay would send for `body`; a `gone` one is its tombstone."""
    row = {
        "id": new_id(),
        "topic": body.topic,
        "scope_id": scope or subject,
        "type": body.wire,
        "subject": str(subject),
        "time": NOW,
        "recorded_at": NOW,
        "sequence": None if isinstance(body, State) else 1,
        "entity_version": (version or 1) if isinstance(body, State) else None,
        "as_of_sequence": None,
        "correlation_id": None,
        "causation_id": None,
        "traceparent": "",
    }
    value = None if gone else body.model_dump_json().encode()
    return Record(body.topic, list(envelope.headers_of(row)), value)


async def feed(db: Database, *records: Record, bell: timers.Bell | None = None) -> None:
    """Let notification hear these records, in one batch. It must not have to wait for anything."""

    async def wait(seconds: float) -> None:
        raise AssertionError("the world is at fault")

    handlers = consumers.handlers(bell.ring) if bell else consumers.handlers()
    await Delivery(db, handlers).take(records, wait=wait)
    async with db.begin() as tx:
        assert await tx.raw.fetch("SELECT error FROM parked") == []


def sealed(plain: str) -> str:
    """Seal a secret to notification, as registration and the directory do."""
    public = ECKey.import_key(SEAL_KEY).as_dict(private=False)
    return secrets.seal(public, plain)


def sender(
    db: Database, server: smtp.Server, *, bell: timers.Bell | None = None, answer_seconds: float = 10.0, **more: Any
) -> timers.Sender:
    """Return one of the workers that send."""
    return timers.Sender(
        db,
        smtp.Post(server, answer_seconds=answer_seconds),
        bell or timers.Bell(),
        seal_key=SEAL_KEY,
        mail_from=MAIL_FROM,
        public_url=PUBLIC_URL,
        **more,
    )


def the_community(community: Community = COMMUNITY) -> Record:
    """A community, as the directory publishes it."""
    state = directory.CommunityState(
        community_id=community.id, version=community.version, current=True, definition=community.model_dump(mode="json")
    )
    return record(state, subject=community_place(community.id))


def person(person_id: PersonId, name: str = "Ada Approver", *, version: int = 1, user_id: str | None = None) -> Record:
    """A person's state: the address is made of the name."""
    given_name, family_name = name.split()
    return record(
        directory.PersonState(
            person_id=person_id,
            given_name=given_name,
            family_name=family_name,
            email=f"{given_name}.{family_name}@people.example".lower(),
            user_id=user_id,
        ),
        subject=person_id,
        version=version,
    )


@dataclass(frozen=True)
class ARequest:
    """One request, by default of Rosa Delgado for a provider group in an active organization."""

    kind: str = "create_provider_group"
    place_kind: str = "group"
    id: RequestId = field(default_factory=lambda: RequestId(new_id()))
    scope_id: ScopeId = field(default_factory=lambda: ScopeId(new_id()))
    place_id: PlaceId = field(default_factory=lambda: PlaceId(new_id()))
    applicant_id: PersonId = field(default_factory=lambda: PersonId(new_id()))
    email: str = "rosa@applicants.example"
    tracking_number: str = "7QK2-M4XP-93TD"
    application: str | None = None
    rests_on: registration.RestsOn | None = None

    def _about(self, stage: int = 1, round_: int = 1, version: int = 1) -> dict[str, Any]:
        return {
            "request_id": self.id,
            "scope_id": self.scope_id,
            "community_id": COMMUNITY.id,
            "community_version": COMMUNITY.version,
            "kind": self.kind,
            "place_kind": self.place_kind,
            "place_id": self.place_id,
            "applicant_id": self.applicant_id,
            "stage": stage,
            "round": round_,
            "version": version,
            "application": self.application,
        }

    def _said(self, event: Event) -> Record:
        return record(event, subject=self.id, scope=self.scope_id)

    def code_asked(self, code: str = "48151623", *, lives: timedelta = timedelta(hours=24), **more: Any) -> Record:
        return self._said(
            registration.EmailCodeAsked(
                request_id=self.id,
                scope_id=self.scope_id,
                community_id=COMMUNITY.id,
                kind=self.kind,
                email=more.pop("email", self.email),
                code_sealed=sealed(code),
                expires_at=NOW + lives,
                **more,
            )
        )

    def submitted(self, *, documents: tuple[str, ...] = ()) -> Record:
        organization = None
        if self.kind == "register_organization":
            organization = registration.OrganizationData(
                legal_business_name="XYZ Clinic",
                normalised_name="xyz clinic",
                tin_sealed="sealed",
                tin_fingerprint="fingerprint",
                duplicate_key="key",
                street="1 Main Street",
                city="Baltimore",
                state="MD",
                zip_code="21201",
                phone="410-555-0100",
                provider_type="clinic",
            )
        return self._said(
            registration.RequestSubmitted(
                request_id=self.id,
                tracking_number=self.tracking_number,
                community_id=COMMUNITY.id,
                community_version=COMMUNITY.version,
                kind=self.kind,
                scope_id=self.scope_id,
                place_kind=self.place_kind,
                place_id=self.place_id,
                applicant=registration.Applicant(
                    person_id=self.applicant_id, given_name="Rosa", family_name="Delgado", email=self.email
                ),
                organization=organization,
                group=registration.GroupData(name="Billing", normalised_name="billing")
                if self.kind == "create_provider_group"
                else None,
                application=self.application,
                rests_on=self.rests_on,
                documents_needed=documents,
                submitted_at=NOW,
            )
        )

    def organization(self, name: str = "XYZ Clinic", *, version: int = 1) -> Record:
        return record(
            directory.OrganizationState(
                organization_id=self.scope_id,
                community_id=COMMUNITY.id,
                status="active",
                legal_business_name=name,
                city="Baltimore",
                state="MD",
                duplicate_key="key",
                effective_from=NOW,
            ),
            subject=self.scope_id,
            version=version,
        )

    def group(self, name: str = "Billing") -> Record:
        return record(
            directory.GroupState(
                group_id=self.place_id,
                organization_id=self.scope_id,
                community_id=COMMUNITY.id,
                status="active",
                group_kind="provider",
                name=name,
                normalised_name=name.lower(),
                effective_from=NOW,
            ),
            subject=self.place_id,
            scope=self.scope_id,
        )

    def opened(self, *, documents: tuple[str, ...] = ()) -> Record:
        return self._said(
            approval.RequestOpened(
                **self._about(stage=0 if documents else 1),
                state="awaiting_documents" if documents else "pending",
                documents_awaited=documents,
                opened_at=NOW,
                expires_at=LATER,
            )
        )

    def awaiting(
        self, *approver_ids: PersonId, help_desk: bool = False, stage: int = 1, round_: int = 1, version: int = 1
    ) -> Record:
        return self._said(
            approval.RequestAwaitingDecision(
                **self._about(stage, round_, version),
                queues=(
                    approval.Queue(
                        role="SECURITY_OFFICIAL", place_kind="organization", place_id=PlaceId(self.scope_id)
                    ),
                ),
                approver_ids=approver_ids,
                community_address=help_desk,
                since_at=NOW,
                expires_at=LATER,
            )
        )

    def reminded(
        self, *approver_ids: PersonId, number: int = 1, help_desk: bool = False, documents: tuple[str, ...] = ()
    ) -> Record:
        return self._said(
            approval.RequestReminded(
                **self._about(stage=0 if documents else 1),
                awaited="documents" if documents else "decision",
                number=number,
                approver_ids=approver_ids,
                community_address=help_desk,
                documents_awaited=documents,
                since_at=NOW,
                reminded_at=NOW + timedelta(days=3 * number),
                expires_at=LATER,
            )
        )

    def resubmitted(self, group_name: str) -> Record:
        return self._said(
            registration.RequestResubmitted(
                request_id=self.id,
                scope_id=self.scope_id,
                round=1,
                revision=2,
                group=registration.GroupData(name=group_name, normalised_name=group_name.lower()),
                resubmitted_at=NOW,
            )
        )

    def returned(self, *correct: str, reason: str = "document_mismatch", round_: int = 1) -> Record:
        return self._said(
            approval.RequestReturned(
                **self._about(round_=round_, version=2),
                returned_by=PersonId(new_id()),
                capacity=self._capacity,
                reason=reason,
                correct=correct,
                returned_at=NOW,
                expires_at=NOW + timedelta(days=14),
            )
        )

    def reopened(self, why: str = "resubmitted", *, round_: int = 2) -> Record:
        return self._said(
            approval.RequestReopened(
                **self._about(round_=round_, version=3), why=why, reopened_at=NOW, expires_at=LATER
            )
        )

    def withdrawn(self, *, round_: int = 1) -> Record:
        return self._said(approval.RequestWithdrawn(**self._about(round_=round_, version=2), withdrawn_at=NOW))

    def withdrawal_refused(self, why: str = "already_decided") -> Record:
        return self._said(approval.RequestWithdrawalRefused(**self._about(version=2), why=why, refused_at=NOW))

    def escalated(
        self,
        *,
        to_help_desk: bool = True,
        role: str = "BACKUP_SECURITY_OFFICIAL",
        why: Any = "no_approver",
        refusal: str | None = None,
        at: datetime = NOW,
    ) -> Record:
        place = COMMUNITY.place_id if to_help_desk else PlaceId(self.scope_id)
        return self._said(
            approval.RequestEscalated(
                **self._about(),
                queue=approval.Queue(
                    role="HELP_DESK" if to_help_desk else role,
                    place_kind="community" if to_help_desk else "organization",
                    place_id=place,
                ),
                why=why,
                refusal=refusal,
                escalated_at=at,
                expires_at=LATER,
            )
        )

    @property
    def _capacity(self) -> approval.Capacity:
        return approval.Capacity(role="SECURITY_OFFICIAL", place_kind="organization", place_id=PlaceId(self.scope_id))

    def approved(self, by: PersonId | None = None) -> Record:
        decided_by = by or PersonId(new_id())
        return self._said(
            approval.RequestApproved(
                **self._about(version=2), decided_by=decided_by, capacity=self._capacity, decided_at=NOW
            )
        )

    def denied(self, reason: str = "unknown_person", by: PersonId | None = None) -> Record:
        return self._said(
            approval.RequestDenied(
                **self._about(version=2),
                decided_by=by or PersonId(new_id()),
                capacity=self._capacity,
                reason=reason,
                decided_at=NOW,
            )
        )

    def expired(self, *, stage: int = 1, previous_state: str = "pending") -> Record:
        about = {**self._about(stage=stage, version=2), "previous_state": previous_state}
        return self._said(approval.RequestExpired(**about, expired_at=NOW))

    def closed(self, why: str = "cannot_be_granted") -> Record:
        return self._said(approval.RequestClosed(**self._about(version=2), why=why, closed_at=NOW))

    def granted(self, *, account_issued: bool = True, entitlement: bool = False) -> Record:
        return self._said(
            directory.GrantApplied(
                request_id=self.id,
                round=1,
                scope_id=self.scope_id,
                place_id=self.place_id,
                person_id=self.applicant_id,
                assignment_id=None if entitlement else AssignmentId(new_id()),
                entitlement_id=EntitlementId(new_id()) if entitlement else None,
                account_issued=account_issued,
                applied_at=NOW,
            )
        )

    def grant_refused(self, reason: str = "cardinality_reached") -> Record:
        return self._said(
            directory.GrantRefused(request_id=self.id, round=1, scope_id=self.scope_id, reason=reason, refused_at=NOW)
        )

    def account_issued(self, token: str = TOKEN, user_id: str = "K7MQ42XP") -> Record:
        return account_issued(self.applicant_id, request_id=self.id, token=token, user_id=user_id)


def account_issued(
    person_id: PersonId, *, request_id: RequestId | None = None, token: str = TOKEN, user_id: str = "K7MQ42XP"
) -> Record:
    """An account's first link; without a request, an operator made the account."""
    return record(
        directory.AccountIssued(
            person_id=person_id,
            user_id=user_id,
            community_id=COMMUNITY.id,
            request_id=request_id,
            link_sealed=sealed(token),
            link_expires_at=NOW + timedelta(hours=72),
            issued_at=NOW,
        ),
        subject=person_id,
    )


def link_asked(person_id: PersonId, token: str = TOKEN) -> Record:
    """Another link for the password."""
    return record(
        directory.PasswordLinkAsked(
            person_id=person_id,
            user_id="K7MQ42XP",
            community_id=COMMUNITY.id,
            link_id=new_id(),
            link_sealed=sealed(token),
            link_expires_at=NOW + timedelta(hours=72),
            asked_at=NOW,
        ),
        subject=person_id,
    )


def account_changed(
    person_id: PersonId, state: str, *, at: datetime = NOW, until: datetime | None = None, before: str = "active"
) -> Record:
    """An account is in another state; a locked one until a moment."""
    return record(
        directory.AccountChanged(
            person_id=person_id,
            previous_state=before,
            state=state,
            changed_at=at,
            community_id=COMMUNITY.id,
            until=until,
        ),
        subject=person_id,
    )


def invited(
    email: str, *, code: str | None = "7QK2M4XP93TD", not_for: str = "Not for <b>small</b> practices."
) -> Record:
    """An application is there for whoever reads this address."""
    invitation_id = new_id()
    place = application_place(COMMUNITY.id, "PS_AND_R")
    return record(
        registration.InvitationIssued(
            invitation_id=invitation_id,
            scope_id=ScopeId(place),
            community_id=COMMUNITY.id,
            application="PS_AND_R",
            email=email,
            criteria="Everybody who files cost reports.",
            not_for=not_for,
            code_sealed=sealed(code) if code else "",
            expires_at=NOW + timedelta(days=60),
            issued_at=NOW,
        ),
        subject=invitation_id,
        scope=place,
    )


def new_person() -> PersonId:
    """A fresh person id."""
    return PersonId(new_id())
