"""What a person may do: their roles and entitlements, shown and ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from services.directory import domain, store, usecases
from shared import policy, tokens, web
from shared.contracts.community import Community
from shared.database import Database, Transaction
from shared.errors import Refusal
from shared.ids import AssignmentId, EntitlementId, PersonId, PlaceId, ScopeId
from shared.policy import Standing
from shared.replicas import load_community


class RoleView(web.View):
    """One role that somebody holds."""

    id: AssignmentId
    role: str = Field(examples=["END_USER"])
    role_name: str = Field(examples=["End User"])
    place_kind: str = Field(examples=["group"])
    place_id: PlaceId
    scope_id: ScopeId
    community_id: str = Field(examples=["provider-supplier"])
    organization_name: str | None = Field(examples=["XYZ Medical Group LLC"])
    group_name: str | None = Field(examples=["XYZ Billing"])
    place_name: str | None = Field(
        description="The group, organization, application or community in which it is held; none for a practitioner",
        examples=["XYZ Billing"],
    )
    since: datetime


class EntitlementView(web.View):
    """One application that somebody may use, and the role that this rests on."""

    id: EntitlementId
    application: str = Field(examples=["PS_AND_R"])
    application_name: str = Field(examples=["Provider Statistical and Reimbursement System"])
    assignment_id: AssignmentId
    role: str = Field(examples=["END_USER"])
    role_name: str = Field(examples=["End User"])
    organization_name: str | None = Field(examples=["XYZ Medical Group LLC"])
    since: datetime


class MyAccessView(web.View):
    """Who you are here, every role you hold, and every application you may use."""

    person_id: PersonId
    user_id: str = Field(examples=["K7MQ42XP"])
    given_name: str = Field(examples=["Maria"])
    family_name: str = Field(examples=["Gonzalez"])
    roles: list[RoleView]
    entitlements: list[EntitlementView]


def routes(db: Database, verifier: tokens.Verifier) -> APIRouter:
    """Return how access is shown to its holder, given up, and taken away."""
    router = APIRouter()
    signed_in = Depends(web.signed_in(verifier))

    @router.get("/people/me", responses=web.responses("unauthenticated", "not_found"))
    async def my_access(me: Annotated[PersonId, signed_in]) -> MyAccessView:
        """Show who you are, every role you hold and every application you may use."""
        policy.require(domain.POLICY, "my_access", {Standing.SIGNED_IN})
        async with db.begin() as tx:
            person, account = await store.load_person(tx, me), await store.load_account(tx, me)
            roles = await store.list_roles_of(tx, me)
            entitlements = await store.list_entitlements_of(tx, me)
            communities = await communities_of(tx, *roles, *entitlements)
        if person is None or account is None:
            raise Refusal("not_found")
        return MyAccessView(
            person_id=me,
            user_id=account.user_id,
            given_name=person.given_name,
            family_name=person.family_name,
            roles=[role_view(communities, row) for row in roles],
            entitlements=[entitlement_view(communities, row) for row in entitlements],
        )

    @router.delete(
        "/role-assignments/{assignment_id}",
        status_code=204,
        response_class=Response,
        responses=web.responses("unauthenticated", "not_found", "last_security_official", "field_invalid"),
    )
    async def end_role(assignment_id: AssignmentId, me: Annotated[PersonId, signed_in]) -> Response:
        """Leave a role that you hold, or take it from its holder if you may approve who gets it.

        The entitlements that rest on it end with it. Nothing happens to a role that has ended already. Who keeps an
        organization alone finds a successor first, or closes it.
        """
        async with db.begin() as tx:
            await usecases.end_role(tx, assignment_id, me)
        return Response(status_code=204)

    @router.delete(
        "/entitlements/{entitlement_id}",
        status_code=204,
        response_class=Response,
        responses=web.responses("unauthenticated", "not_found", "field_invalid"),
    )
    async def end_entitlement(entitlement_id: EntitlementId, me: Annotated[PersonId, signed_in]) -> Response:
        """Give up an application that you may use, or take it from its user if you may approve who uses it.

        The role that it rests on stays. Nothing happens to an entitlement that has ended already.
        """
        async with db.begin() as tx:
            await usecases.end_entitlement(tx, entitlement_id, me)
        return Response(status_code=204)

    return router


async def communities_of(tx: Transaction, *rows: Any) -> Mapping[str, Community]:
    """Return the communities that these rows belong to, as they are now: names of roles and applications are theirs."""
    found = {}
    for community_id in {row.community_id for row in rows}:
        found[community_id] = await load_community(tx, community_id)
    return {community_id: community for community_id, community in found.items() if community is not None}


def role_view(communities: Mapping[str, Community], row: Any) -> RoleView:
    """Return a row of `store.list_roles_of` as people read it."""
    community = communities[row.community_id]
    role = community.role(row.role)
    return RoleView(
        id=row.id,
        role=row.role,
        role_name=role.name if role else row.role,
        place_kind=row.place_kind,
        place_id=row.place_id,
        scope_id=row.scope_id,
        community_id=row.community_id,
        organization_name=row.organization_name,
        group_name=row.group_name,
        place_name=row.group_name or row.organization_name or domain.place_name(community, row.place_id),
        since=row.effective_from,
    )


def entitlement_view(communities: Mapping[str, Community], row: Any) -> EntitlementView:
    """Return a row of `store.list_entitlements_of` as people read it."""
    community = communities[row.community_id]
    application, role = community.application(row.application), community.role(row.role)
    return EntitlementView(
        id=row.id,
        application=row.application,
        application_name=application.name if application else row.application,
        assignment_id=row.assignment_id,
        role=row.role,
        role_name=role.name if role else row.role,
        organization_name=row.organization_name,
        since=row.effective_from,
    )
