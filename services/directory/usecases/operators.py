"""What operators do, and what the directory does for itself: keys, communities, appointments."""

from datetime import timedelta
from uuid import UUID

from joserfc.jwk import ECKey

from services.directory import domain, store
from services.directory.usecases import accounts, roles, states
from services.directory.usecases.keys import Keys
from shared import audit, tokens
from shared.contracts import community as rules
from shared.contracts.community import Community, Role
from shared.contracts.directory import RoleGranted
from shared.database import Transaction
from shared.errors import Refusal
from shared.ids import (
    AssignmentId,
    PersonId,
    PlaceId,
    ScopeId,
    application_place,
    directory_scope,
    new_id,
)
from shared.replicas import load_community

SIGNING_KEY_LIVES = timedelta(days=90)


async def ensure_signing_key(tx: Transaction, keys: Keys) -> None:
    """Make the first key that signs access tokens, or the next when the present one nears its end."""
    await store.lock_scope(tx, directory_scope())
    newest = await store.newest_signing_key(tx)
    if newest is not None and newest.not_after - tx.real_now > SIGNING_KEY_LIVES / 3:
        return
    kid = str(new_id())
    key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": tokens.ALGORITHM})
    private = key.as_dict(private=True)
    public = {name: value for name, value in private.items() if name != "d"}
    row = await store.add_signing_key(
        tx,
        private_locked=keys.vault.lock(str(private["d"]), bound_to=f"signing_key {kid}"),
        kid=kid,
        jwk=public,
        not_before=tx.real_now,
        not_after=tx.real_now + SIGNING_KEY_LIVES,
    )
    audit.record(tx, actor="directory", act="make_signing_key", subject=UUID(kid))
    states.publish(tx, "token_key", row._mapping)


async def apply_community(tx: Transaction, it: Community, *, by: str) -> bool:
    """Publish a version of a community; False when this very version is published already.

    Raises community_invalid, which names every fault. Earlier versions stay for the requests that
    were filed under them.
    """
    await store.lock_communities(tx)
    versions = await store.list_versions(tx, it.id)
    same = next((row for row in versions if row.version == it.version), None)
    if same is not None and same.definition == it.model_dump(mode="json"):
        return False
    domain.check_community(it, [row.version for row in versions])
    retired = await store.retire_versions(tx, it.id)
    row = await store.add_community(tx, it)
    audit.record(tx, actor=by, act="apply_community", subject=it.place_id, version=it.version)
    # The new one first: who has heard of half of it knows two current versions, and takes the newer; else, none.
    states.publish(tx, "community", row._mapping)
    for old in retired:
        states.publish(tx, "community", old._mapping)
    return True


async def appoint(
    tx: Transaction,
    keys: Keys,
    *,
    community_id: str,
    role_code: str,
    by: str,
    application: str | None = None,
    user_id: str | None = None,
    given_name: str = "",
    family_name: str = "",
    email: str = "",
) -> str:
    """Give a role that operators appoint (help desk, application owner, auditor); return the person's user ID.

    To a new person of this name and address, or to the known one of `user_id`: nobody has two accounts (R1). Raises
    not_found for an unknown community, application or user ID, or a role that people ask for; then as
    rules.role_conflict says.
    """
    community, role, place_id = await _appointed(tx, community_id, role_code, application)
    await store.lock_scope(tx, ScopeId(place_id))
    if user_id is None:
        person_id = PersonId(new_id())
        await store.add_person(tx, id=person_id, given_name=given_name, family_name=family_name, email=email, phone="")
        user_id = await accounts.make_account(tx, keys, person_id, community_id, None)
    else:
        account = await _known(tx, user_id)
        person_id, user_id = account.person_id, account.user_id
    await store.lock_person(tx, person_id)
    holdings = [held.holding for held in await store.list_held(tx, person_id)]
    taken = await store.count_seats(tx, role_code, place_id)
    conflict = rules.role_conflict(community, role_code, place_id, place_id, holdings, taken)
    if conflict is not None:
        raise Refusal(conflict)
    granted = RoleGranted(
        assignment_id=AssignmentId(new_id()),
        person_id=person_id,
        role=role_code,
        place_kind=role.place,
        place_id=place_id,
        scope_id=ScopeId(place_id),
        community_id=community_id,
        effective_from=tx.now,
    )
    await roles.give_role(tx, granted, community.version, by=by, act="appoint")
    return user_id


async def dismiss(
    tx: Transaction, *, community_id: str, role_code: str, user_id: str, by: str, application: str | None = None
) -> None:
    """Take a role that operators appoint from its holder.

    Raises not_found for what cannot be appointed, and for who does not hold it.
    """
    _, _, place_id = await _appointed(tx, community_id, role_code, application)
    account = await _known(tx, user_id)
    await store.lock_scope(tx, ScopeId(place_id))
    found = await store.find_assignment(tx, account.person_id, role_code, place_id)
    if found is None:
        raise Refusal("not_found", f"{user_id} is not {role_code} there.")
    await roles.end_assignment(tx, found.id, "revoked", by=None, actor=by)


async def _appointed(
    tx: Transaction, community_id: str, role_code: str, application: str | None
) -> tuple[Community, Role, PlaceId]:
    """Return community, role and place of an appointment. Raises not_found."""
    community = await load_community(tx, community_id)
    role = community.role(role_code) if community else None
    if community is None or role is None or not role.appointed_by_operator:
        raise Refusal("not_found", f"No community {community_id} with a role {role_code} that operators appoint.")
    if role.place == "community" and application is None:
        return community, role, community.place_id
    if role.place == "application" and community.application(application) is not None:
        return community, role, application_place(community.id, str(application))
    known = ", ".join(each.code for each in community.applications)
    raise Refusal(
        "not_found",
        f"{role.name} is held in one application: name it, it is one of {known}."
        if role.place == "application"
        else f"{role.name} is not held in an application: name none.",
    )


async def _known(tx: Transaction, user_id: str) -> domain.Account:
    account = await store.find_account(tx, domain.normalise_user_id(user_id))
    if account is None:
        raise Refusal("not_found", f"Nobody has the user ID {user_id}.")
    return account
