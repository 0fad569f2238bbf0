"""An organization from within: who decides there, who works there, and its end."""

from collections import defaultdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from services.directory import domain, store, usecases
from services.directory.api.access import (
    EntitlementView,
    RoleView,
    communities_of,
    entitlement_view,
    role_view,
)
from services.directory.api.finding import PAGE_SIZE
from shared import policy, tokens, web
from shared.database import Database
from shared.ids import PersonId, PlaceId, ScopeId


class DecidingRoleView(web.View):
    """A role whose holders decide requests in this organization."""

    role: str = Field(examples=["SECURITY_OFFICIAL"])
    role_name: str = Field(examples=["Security Official"])
    held_in: str = Field(examples=["organization"])
    duties: str | None = Field(examples=["Represents the organization in IACS."])
    decides: list[str] = Field(
        description="The kinds of request that they may approve", examples=[["Join a user group as End User"]]
    )


class DeciderView(web.View):
    """Somebody who holds such a role."""

    role: str = Field(examples=["USER_GROUP_ADMINISTRATOR"])
    given_name: str = Field(examples=["Maria"])
    family_name: str = Field(examples=["Gonzalez"])
    group_id: PlaceId | None
    group_name: str | None = Field(examples=["XYZ Billing"])


class DecidersView(web.Page[DeciderView]):
    """Who may decide what in an organization: the roles, and a page of those who hold them in it."""

    roles: list[DecidingRoleView]


class PersonAccessView(web.View):
    """A person who works in the organization, with all that they hold there."""

    person_id: PersonId
    given_name: str = Field(examples=["Maria"])
    family_name: str = Field(examples=["Gonzalez"])
    roles: list[RoleView]
    entitlements: list[EntitlementView]


class ClosureBody(web.Body):
    """That you mean it."""

    confirm: str = Field(
        min_length=1,
        max_length=200,
        description="The organization's legal business name, letter by letter",
        examples=["XYZ Medical Group LLC"],
    )


def routes(db: Database, verifier: tokens.Verifier, cursors: web.Cursors) -> APIRouter:
    """Return what members, keepers and the help desk do in an organization."""
    router = APIRouter()
    signed_in = Depends(web.signed_in(verifier))

    @router.get(
        "/organizations/{organization_id}/deciders",
        responses=web.responses("unauthenticated", "not_found", "field_invalid"),
    )
    async def list_deciders(
        organization_id: UUID,
        me: Annotated[PersonId, signed_in],
        cursor: web.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=100)] = PAGE_SIZE,
    ) -> DecidersView:
        """Show who may decide what in an organization, to those who hold a role in it.

        Whoever decides from outside of it, such as the help desk, is shown by role alone.
        """
        organization = ScopeId(organization_id)
        purpose = f"deciders {organization_id} {me}"
        position = cursors.read(purpose, cursor)
        async with db.begin() as tx:
            found, standings = await usecases.standings_in(tx, organization, me)
            policy.require(domain.POLICY, "list_deciders", standings)
            community = (await communities_of(tx, found))[found.community_id]
            roles = domain.deciding_roles(community)
            rows = await store.list_holders(
                tx,
                organization,
                [role.code for role, _ in roles],
                after=UUID(position[0]) if position else None,
                limit=limit + 1,
            )
        return DecidersView(
            roles=[
                DecidingRoleView(
                    role=role.code,
                    role_name=role.name,
                    held_in=role.place,
                    duties=role.duties or None,
                    decides=[kind.name for kind in kinds],
                )
                for role, kinds in roles
            ],
            items=[DeciderView.model_validate(row, from_attributes=True) for row in rows[:limit]],
            next_cursor=cursors.behind(purpose, rows, limit, lambda row: (row.id,)),
        )

    @router.get(
        "/organizations/{organization_id}/people",
        responses=web.responses("unauthenticated", "not_found", "field_invalid"),
    )
    async def list_people(
        organization_id: UUID,
        me: Annotated[PersonId, signed_in],
        cursor: web.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=100)] = PAGE_SIZE,
    ) -> web.Page[PersonAccessView]:
        """List the people of an organization with their roles and entitlements in it, to those who keep it."""
        organization = ScopeId(organization_id)
        purpose = f"people {organization_id} {me}"
        position = cursors.read(purpose, cursor)
        roles: dict[UUID, list[Any]] = defaultdict(list)
        entitlements: dict[UUID, list[Any]] = defaultdict(list)
        async with db.begin() as tx:
            _, standings = await usecases.standings_in(tx, organization, me)
            policy.require(domain.POLICY, "list_people", standings)
            people = await store.list_people_in(
                tx, organization, after=UUID(position[0]) if position else None, limit=limit + 1
            )
            held, usable = await store.list_access_in(tx, organization, [row.id for row in people[:limit]])
            communities = await communities_of(tx, *held, *usable)
        for row in held:
            roles[row.person_id].append(role_view(communities, row))
        for row in usable:
            entitlements[row.person_id].append(entitlement_view(communities, row))
        items = [
            PersonAccessView(
                person_id=row.id,
                given_name=row.given_name,
                family_name=row.family_name,
                roles=roles[row.id],
                entitlements=entitlements[row.id],
            )
            for row in people[:limit]
        ]
        more = cursors.behind(purpose, people, limit, lambda row: (row.id,))
        return web.Page[PersonAccessView](items=items, next_cursor=more)

    @router.post(
        "/organizations/{organization_id}/closure",
        status_code=204,
        response_class=Response,
        responses=web.responses("unauthenticated", "not_found", "scope_closed", "field_invalid"),
    )
    async def close_organization(
        organization_id: UUID, body: ClosureBody, me: Annotated[PersonId, signed_in]
    ) -> Response:
        """Close an organization for good: its user groups, roles, entitlements and open requests end with it.

        For who keeps it, and for the help desk. Accounts stay, and what their holders may do elsewhere.
        """
        async with db.begin() as tx:
            await usecases.close_organization(tx, ScopeId(organization_id), me, confirm=body.confirm)
        return Response(status_code=204)

    return router
