"""Where every history begins: two communities whose organizations, groups and roles came about as they do."""

from typing import Any

from services.approval.domain import Verdict
from services.directory import usecases as directory
from shared.contracts import registration
from shared.ids import PersonId, PlaceId, ScopeId, new_id
from shared.names import normalise_name
from tests.directory import builders
from tests.histories.world import COMMUNITIES, World

PROVIDERS, OBSERVATORY = "provider-supplier", "observatory"
NAME = "XYZ Medical LLC"


def what_is_created(effect: str, choice: int = 0) -> dict[str, Any]:
    """Return what a request says of the place that it creates; the same choice is the same place."""
    if effect == "activate_organization":
        return {"organization": builders.an_organization(NAME, duplicate_key=f"organization {choice}")}
    if effect == "create_practitioner":
        return {"practitioner": builders.a_practitioner(duplicate_key=f"practice {choice}")}
    if effect == "create_group":
        name = f"Group {choice}"
        return {"group": registration.GroupData(name=name, normalised_name=normalise_name(name))}
    return {}


async def begin(world: World) -> None:
    """Publish both communities, staff their help desks, and let the first organizations come about."""
    async with world.dbs["directory"].begin() as tx:
        for community in COMMUNITIES.values():
            await directory.apply_community(tx, community, by="operator")
    await world.take_up("directory")
    await world.trust_replica()
    help_desk = await world.appoint(PROVIDERS, "HELP_DESK")
    await world.appoint(PROVIDERS, "HELP_DESK")
    await world.appoint(PROVIDERS, "APPLICATION_OWNER", "CLAIM_STATUS")
    warden = await world.appoint(OBSERVATORY, "WARDEN")
    await world.deliver_all()

    one = await _granted(world, PROVIDERS, "register_organization", help_desk, choice=100)
    official = one.applicant.person_id
    await _granted(world, PROVIDERS, "become_backup_security_official", official, one)
    group = await _granted(world, PROVIDERS, "create_provider_group", official, one, choice=100)
    await _granted(world, PROVIDERS, "join_group", group.applicant.person_id, one, group)
    other = await _granted(world, PROVIDERS, "register_organization", help_desk, choice=101)
    await _granted(world, PROVIDERS, "create_provider_group", other.applicant.person_id, other, choice=100)
    await _granted(world, PROVIDERS, "register_practitioner", help_desk, choice=100)

    seen = await _granted(world, OBSERVATORY, "found_observatory", warden, choice=102)
    director = seen.applicant.person_id
    for _ in range(2):
        await _granted(world, OBSERVATORY, "become_dean", director, seen)
    await _granted(world, OBSERVATORY, "open_dome", (warden, director), seen, choice=100)


async def _granted(
    world: World,
    community_id: str,
    kind: str,
    by: PersonId | tuple[PersonId, ...],
    organization: registration.RequestSubmitted | None = None,
    group: registration.RequestSubmitted | None = None,
    *,
    choice: int = 0,
) -> registration.RequestSubmitted:
    wished = COMMUNITIES[community_id].kind(kind)
    assert wished is not None
    scope_id = organization.scope_id if organization else ScopeId(new_id())
    creates_group = wished.effect == "create_group"
    place_id = group.place_id if group else PlaceId(new_id()) if creates_group else PlaceId(scope_id)
    applicant_id = PersonId(new_id())
    world.people.append(applicant_id)
    it = world.file(community_id, kind, applicant_id, scope_id, place_id, **what_is_created(wished.effect, choice))
    world.supply(it)
    await world.deliver_all()
    for approver_id in by if isinstance(by, tuple) else (by,):
        row = (await world.requests())[-1]
        answer = await world.decide(it.request_id, approver_id, Verdict.APPROVE, row.version)
        assert not isinstance(answer, str), answer
    await world.deliver_all()
    assert it.request_id in world.model.granted
    return it
