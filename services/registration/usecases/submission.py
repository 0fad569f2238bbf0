"""A request is submitted: what must hold then, and what is said of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict

from services.registration import domain, store
from services.registration.keys import Keyring
from shared import names, outbox
from shared.contracts import registration as events
from shared.contracts.community import Community, Kind, role_conflict, unmet_precondition
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId


class Said(TypedDict):
    """What an event tells of the thing that a request is to create."""

    organization: events.OrganizationData | None
    group: events.GroupData | None
    practitioner: events.PractitionerData | None


async def refuse_unmet(
    tx: Transaction,
    community: Community,
    kind: Kind,
    it: domain.Request,
    person_id: PersonId | None,
    *,
    is_filed: bool = False,
) -> None:
    """Refuse what cannot be: a scope that is not here, an unmet precondition, then a role in the way.

    A scope of another community is as unknown as one that is not there. Source: R3, R6, domain 2, 4.
    """
    place = it.place
    around = await store.load_surroundings(tx, community.id, kind, place, person_id, it.application, it.rests_on)
    is_in_a_scope = it.rests_on is not None or place.kind in ("organization", "group", "practitioner")
    if is_in_a_scope and not domain.makes_scope(kind) and around.organization_status is None:
        raise Refusal("organization_not_listed")
    code = unmet_precondition(community, kind, around, is_filed=is_filed)
    if code is None and kind.role is not None:
        seats_taken = await store.count_holders(tx, place.id, kind.role)
        code = role_conflict(community, kind.role, place.id, place.scope_id, around.holdings, seats_taken)
    if code is not None:
        raise Refusal(code)


async def use_invitation(tx: Transaction, draft: domain.Request, who: domain.Identity) -> None:
    """Use up the invitation of a draft, in the transaction that submits it. Raises not_invited."""
    if draft.invitation_id is not None and not await store.use_invitation(
        tx, draft.invitation_id, draft.id, who.email_fingerprint
    ):
        raise Refusal("not_invited")


async def submit_once(
    tx: Transaction, ring: Keyring, draft: domain.Request, kind: Kind, who: domain.Identity, person_id: PersonId
) -> domain.Request:
    """Submit a draft of a person whose row is locked, unless they have an open one for the same place."""
    open_one = await store.load_open_request(tx, person_id, draft)
    if open_one is not None:
        await store.delete_request(tx, draft.id)
        return open_one
    await use_invitation(tx, draft, who)
    request = submitted(tx, ring, draft, kind, who, person_id)
    await store.save_submission(tx, request, who)
    return request


def submitted(
    tx: Transaction, ring: Keyring, draft: domain.Request, kind: Kind, who: domain.Identity, person_id: PersonId
) -> domain.Request:
    """Announce a request as its person's, and return it as it then stands."""
    event = events.RequestSubmitted(
        request_id=draft.id,
        tracking_number=draft.tracking_number,
        community_id=draft.community_id,
        community_version=draft.community_version,
        kind=kind.code,
        scope_id=draft.place.scope_id,
        place_kind=draft.place.kind,
        place_id=draft.place.id,
        applicant=events.Applicant(
            person_id=person_id,
            given_name=who.applicant.given_name,
            family_name=who.applicant.family_name,
            email=who.applicant.email,
            phone=who.applicant.phone,
        ),
        **said_of(ring, draft, kind, who),
        application=draft.application,
        rests_on=_rests_on(draft.rests_on),
        concern="identity_mismatch" if draft.concern == "identity_mismatch" else None,
        documents_needed=tuple(need.code for need in kind.documents),
        submitted_at=tx.now,
    )
    event_id = outbox.announce(tx, scope=draft.place.scope_id, subject=draft.id, event=event)
    return replace(
        draft,
        person_id=person_id,
        submitted_at=tx.now,
        submitted_event_id=event_id,
        progress=domain.Progress("submitted", tx.now),
    )


def said_of(ring: Keyring, it: domain.Request, kind: Kind, who: domain.Identity) -> Said:
    """Return what is said of the thing that a request is to create, if it creates one."""
    return {
        "organization": _organization(ring, it, who) if kind.effect == "activate_organization" else None,
        "group": _group(who.data) if kind.effect == "create_group" else None,
        "practitioner": _practitioner(ring, who.data) if kind.effect == "create_practitioner" else None,
    }


def _organization(ring: Keyring, it: domain.Request, who: domain.Identity) -> events.OrganizationData:
    tin = ring.open(it.id, "tin", who.secrets["tin"])
    data: Mapping[str, str | tuple[str, ...]] = {**who.data, "tin": tin}
    return events.OrganizationData(
        legal_business_name=domain.text(data, "legal_business_name"),
        normalised_name=names.normalise_business_name(domain.text(data, "legal_business_name")),
        tin_sealed=ring.seal_for_directory(tin),
        tin_fingerprint=ring.fingerprint("tin", tin),
        duplicate_key=ring.fingerprint("duplicate", *domain.duplicate_words(data)),
        street=domain.text(data, "street"),
        city=domain.text(data, "city"),
        state=domain.text(data, "state"),
        zip_code=domain.text(data, "zip_code"),
        phone=domain.text(data, "phone"),
        provider_type=domain.text(data, "provider_type"),
        npi=domain.text(data, "npi"),
        ptans=_ptans(data),
    )


def _group(data: domain.Values) -> events.GroupData:
    name = domain.text(data, "group_name")
    return events.GroupData(
        name=name, normalised_name=names.normalise_name(name), company_name=domain.text(data, "company_name")
    )


def _practitioner(ring: Keyring, data: domain.Values) -> events.PractitionerData:
    npi = domain.text(data, "npi")
    return events.PractitionerData(
        npi=npi,
        duplicate_key=ring.fingerprint("npi", npi),
        street=domain.text(data, "street"),
        city=domain.text(data, "city"),
        state=domain.text(data, "state"),
        zip_code=domain.text(data, "zip_code"),
        ptans=_ptans(data),
    )


def _ptans(data: domain.Values) -> tuple[str, ...]:
    ptans = data.get("ptans", ())
    return (ptans,) if isinstance(ptans, str) else ptans


def _rests_on(it: domain.RestsOn | None) -> events.RestsOn | None:
    if it is None:
        return None
    return events.RestsOn(assignment_id=it.assignment_id, role=it.role, place_kind=it.place_kind, place_id=it.place_id)
