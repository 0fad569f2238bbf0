"""A wish is filed: checked, placed, and kept as a draft; or submitted at once for who is signed in.

Where a known person must not be given away, both ways do the same work and give the same answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from services.registration import domain, keys, store
from services.registration.domain import fields
from services.registration.keys import Keyring
from services.registration.usecases import limits, proof, submission
from services.registration.usecases.standings import APPLICANT, acting_person
from shared import audit, replicas, telemetry
from shared.contracts.community import Community
from shared.database import Transaction
from shared.errors import Refusal, invalid
from shared.ids import AssignmentId, PersonId, RequestId, new_id


@dataclass(frozen=True)
class Filed:
    """A request as it stands after filing."""

    request: domain.Request
    is_new: bool
    oddities: tuple[domain.Oddity, ...] = ()


@dataclass(frozen=True)
class Filer:
    """Who files: the person of an access token, if there is one, and the network address they come from."""

    person_id: PersonId | None
    client: str
    at_most_from_client: int = domain.FILED_BY_ADDRESS.at_most
    """How many an hour are taken from one network address."""

    def counted_as(self, ring: Keyring) -> str:
        """Return by what the filer is told from others."""
        return str(self.person_id or ring.client_fingerprint(self.client))


async def file_request(tx: Transaction, ring: Keyring, community_id: str, order: domain.Order, filer: Filer) -> Filed:
    """File one wish. A signed-in person's is submitted at once; anybody else proves their address first.

    Refuses as `domain.check` does, then rate_limited, organization_not_listed or field_invalid for a place
    or a role that is not there, not_invited, the first unmet precondition, and what stands against the
    role. At most one request of a person is open for a kind and a place (R5): filing it again returns that
    one. Somebody who is not signed in learns so only after the proof.
    """
    caller = filer.person_id
    me = None if caller is None else await acting_person(tx, caller)
    community = await replicas.load_community(tx, community_id)
    if community is None:
        raise invalid("/community_id", "must be a community that this service lists", "provider-supplier")
    wish = domain.check(community, order, signed_in=me is not None, today=tx.now.date())
    email = me.applicant.email if me else (wish.applicant or {}).get("email", "")
    await _count(tx, ring, filer, email)
    wish = await _placed(tx, wish, order.role_assignment_id, caller)
    place = domain.place_of(wish, new_id())
    request_id = RequestId(new_id())
    telemetry.correlate(request_id)
    words = domain.place_words(wish.kind, place, wish.data, wish.application, wish.rests_on)
    draft = domain.Request(
        id=request_id,
        tracking_number=keys.new_tracking_number(),
        community_id=community.id,
        community_version=community.version,
        kind=wish.kind.code,
        place=place,
        place_key=ring.fingerprint("place", *words),
        filed_at=tx.now,
        progress=domain.Progress("awaiting_email_proof", tx.now),
        application=wish.application,
        rests_on=wish.rests_on,
    )
    if caller is not None:  # Before anything else is asked of the wish: it may stand against a second one alone.
        await store.lock_person(tx, caller)
        open_one = await store.load_open_request(tx, caller, draft)
        if open_one is not None:
            return Filed(open_one, is_new=False)
    draft = replace(draft, invitation_id=await _invitation(tx, ring, community, order.invitation, email, draft))
    await submission.refuse_unmet(tx, community, wish.kind, draft, caller)
    if me is not None and caller is not None:
        return await _file_signed_in(tx, ring, draft, wish, caller, me.applicant)
    who = _identity(ring, draft.id, wish)
    holder = await store.find_account_holder(tx, who.key)
    if holder is not None:
        draft = replace(draft, known_as=holder.person_id, progress=domain.Progress("awaiting_sign_in", tx.now))
    await store.add_request(tx, draft, who)
    audit.record(tx, actor=APPLICANT, act="file_request", subject=draft.id, scope=place.scope_id)
    await proof.send_code(tx, ring, draft, who.applicant.email, holder)
    return Filed(draft, is_new=True, oddities=wish.oddities)


async def earlier_answer(tx: Transaction, ring: Keyring, caller: str, key: str, body: str) -> store.Answer | None:
    """Take an Idempotency-Key for a filing with this body; or return how it was answered the first time.

    Raises idempotency_key_reused if the key came with another body.
    """
    body_fingerprint = ring.fingerprint("body", body)
    known = await store.add_key(tx, caller, key, body_fingerprint)
    if known is not None and known.body_fingerprint != body_fingerprint:
        raise Refusal("idempotency_key_reused")
    return known


async def keep_answer(tx: Transaction, caller: str, key: str, status: int, content: dict[str, Any]) -> None:
    """Keep how a filing was answered, for whoever sends it again under its key."""
    await store.save_answer(tx, caller, key, status, content)


async def _file_signed_in(
    tx: Transaction,
    ring: Keyring,
    draft: domain.Request,
    wish: domain.Wish,
    caller: PersonId,
    applicant: domain.Applicant,
) -> Filed:
    who = replace(_identity(ring, draft.id, wish), applicant=applicant)
    who = replace(who, email_fingerprint=ring.email_fingerprint(applicant.email))
    await submission.use_invitation(tx, draft, who)
    request = submission.submitted(tx, ring, draft, wish.kind, who, caller)
    await store.add_request(tx, request, who)
    audit.record(tx, actor=caller, act="file_request", subject=request.id, scope=request.place.scope_id)
    return Filed(request, is_new=True, oddities=wish.oddities)


async def _count(tx: Transaction, ring: Keyring, filer: Filer, email: str) -> None:
    if filer.person_id is not None:
        await limits.count_within(tx, domain.FILED_BY_PERSON, str(filer.person_id))
        return
    # Always in this order, so that two who share one of them never wait for each other in a circle.
    await limits.count_within(tx, domain.FILED_BY_EMAIL, ring.email_fingerprint(email))
    from_client = replace(domain.FILED_BY_ADDRESS, at_most=filer.at_most_from_client)
    await limits.count_within(tx, from_client, ring.client_fingerprint(filer.client))


async def _placed(
    tx: Transaction, wish: domain.Wish, assignment_id: AssignmentId | None, caller: PersonId | None
) -> domain.Wish:
    """Return a wish with what the directory has told of the things that it names."""
    if wish.group_id is not None and wish.organization_id is None:
        scope_id = await store.load_scope_of_group(tx, wish.group_id)
        if scope_id is None:
            raise Refusal("organization_not_listed")  # An unknown group's organization is as unknown.
        wish = replace(wish, organization_id=scope_id)
    if assignment_id is not None:
        assert caller is not None, "a kind that rests on a role is for signed-in people, as its check has seen"
        rests_on = await store.load_own_assignment(tx, caller, assignment_id)
        if rests_on is None:
            raise invalid(
                "/role_assignment_id",
                "must be one of your own role assignments that has not ended",
                "0198c0de-0000-7000-8000-000000000001",
            )
        wish = replace(wish, rests_on=rests_on)
    return wish


async def _invitation(
    tx: Transaction, ring: Keyring, community: Community, typed: str | None, email: str, draft: domain.Request
) -> UUID | None:
    """Return the invitation to file with, where one is needed. One answer for whatever is wrong with it."""
    if not community.invitation_needed:
        return None
    found = await store.find_invitation(
        tx, community.id, ring.invitation_fingerprint(typed or ""), ring.email_fingerprint(email), draft
    )
    if found is None:
        raise Refusal("not_invited")
    return found


def _identity(ring: Keyring, request_id: RequestId, wish: domain.Wish) -> domain.Identity:
    """Return what is stored of an applicant and their data: secret fields locked, the others as typed."""
    applicant = wish.applicant or {}
    hidden, data = lock_secrets(ring, request_id, wish.data)
    own, _ = lock_secrets(ring, request_id, applicant)
    ssn = applicant.get("ssn")
    return domain.Identity(
        applicant=domain.Applicant(
            *(applicant.get(name, "") for name in ("given_name", "family_name", "email", "phone"))
        ),
        email_fingerprint=ring.email_fingerprint(applicant.get("email", "")),
        key=domain.PersonKey(
            ssn=ring.fingerprint("ssn", ssn) if ssn else None,
            identity=ring.fingerprint("identity", *domain.identity_words(applicant)) if applicant else None,
        ),
        data=data,
        secrets={**own, **hidden},
    )


def lock_secrets(
    ring: Keyring, request_id: RequestId, values: Mapping[str, str | tuple[str, ...]]
) -> tuple[dict[str, str], domain.Values]:
    """Return the secret ones of some values, locked, and the others as they are."""
    secret = {name for name in values if fields.rule_of(name).is_secret}
    locked = {
        name: ring.lock(request_id, name, value)
        for name, value in values.items()
        if name in secret and isinstance(value, str)
    }
    return locked, {name: value for name, value in values.items() if name not in secret}
