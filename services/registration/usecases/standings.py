"""How a caller stands to a request or an application, found in our own database; `domain.POLICY` judges."""

from services.registration import domain, store
from shared import policy, replicas, telemetry
from shared.contracts.community import Application, Community, Kind
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import PersonId, application_place
from shared.policy import Standing

APPLICANT = "applicant"
"""Who acts, for the record, where nobody is signed in."""


async def require(tx: Transaction, action: str, request: domain.Request | None, by: PersonId | None) -> domain.Request:
    """Return the request if `by` may do `action` with it; None acts by the token of its proved address.

    Raises not_found for whoever may not, as for a request that is not there; then unauthenticated for
    an applicant whose account cannot act.
    """
    if request is None:
        raise Refusal("not_found")
    standings = await _standings(tx, request, by)
    policy.require(domain.POLICY, action, standings)
    if by is not None and Standing.APPLICANT in standings:
        await acting_person(tx, by)
    telemetry.correlate(request.id)
    return request


async def require_owner(
    tx: Transaction, action: str, community_id: str, application_code: str, by: PersonId
) -> tuple[Community, Application]:
    """Return the application if `by` owns it. Raises not_found else, also for one that is not there."""
    community = await replicas.load_community(tx, community_id)
    application = community.application(application_code) if community else None
    if community is None or application is None:
        raise Refusal("not_found")
    place_id = application_place(community.id, application.code)
    owning = {(role.code, place_id) for role in community.roles_with("own_application")}
    is_owner = not owning.isdisjoint(await store.list_roles(tx, by))
    policy.require(domain.POLICY, action, {Standing.APPLICATION_OWNER} if is_owner else {Standing.SIGNED_IN})
    return community, application


async def acting_person(tx: Transaction, caller: PersonId) -> store.KnownPerson:
    """Return the person of a token. Refuses one whose account cannot act, or of whom we have not heard yet."""
    me = await store.load_known_person(tx, caller)
    if me is None:
        raise Refusal("unavailable")
    if not me.can_act:
        raise Refusal("unauthenticated")
    return me


async def load_kind(tx: Transaction, request: domain.Request) -> tuple[Community, Kind]:
    """Return the community in the version under which a request was filed, and the request's kind."""
    community = await replicas.load_community(tx, request.community_id, request.community_version)
    assert community is not None, "a version stays while a request uses it"
    kind = community.kind(request.kind)
    assert kind is not None, "a version never changes"
    return community, kind


async def _standings(tx: Transaction, request: domain.Request, by: PersonId | None) -> set[Standing]:
    if by is None:
        return {Standing.APPLICANT_BY_TOKEN}
    found = {Standing.SIGNED_IN}
    if by in (request.person_id, request.known_as if request.is_draft else None):
        found.add(Standing.APPLICANT)
    elif not request.is_draft:
        community, _ = await load_kind(tx, request)
        if (community.help_desk_role.code, community.place_id) in await store.list_roles(tx, by):
            found.add(Standing.HELP_DESK)
    return found
