"""Finding organizations, groups and applications."""

import re
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import ConfigDict, Field

from services.directory import domain, store, usecases
from shared import policy, tokens, web
from shared.contracts.community import Application, Community
from shared.database import Database
from shared.errors import Refusal, invalid
from shared.ids import PersonId, PlaceId, ScopeId
from shared.names import normalise_business_name
from shared.policy import Standing
from shared.replicas import load_community

PAGE_SIZE = 50
_ANYBODY = frozenset({Standing.ANYBODY})


class OrganizationView(web.View):
    """An active organization, as a person looking for it needs to see it."""

    id: ScopeId
    legal_business_name: str = Field(examples=["XYZ Medical Group LLC"])
    city: str = Field(examples=["Baltimore"])
    state: str = Field(examples=["MD"])


class FoundOrganizationView(OrganizationView):
    """An organization, as those who decide about it need to see it."""

    community_id: str = Field(examples=["provider-supplier"])
    status: Literal["active", "suspended", "closed"]
    npi: str | None = Field(examples=["1234567893"])


class SearchBody(web.Body):
    """By which number an organization is looked for: one of the two."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tin": "12-3456789"}]})

    tin: str | None = Field(
        default=None, max_length=20, description="Nine digits; for the help desk alone", examples=["12-3456789"]
    )
    npi: str | None = Field(
        default=None,
        max_length=20,
        description="Ten digits; for whoever decides something, the help desk and the auditor",
        examples=["1234567893"],
    )
    cursor: str | None = Field(
        default=None, max_length=2000, description="The next_cursor of the page before", examples=[None]
    )
    limit: int = Field(default=PAGE_SIZE, ge=1, le=100, examples=[PAGE_SIZE])


class GroupView(web.View):
    """A user group that people may ask about."""

    id: PlaceId
    name: str = Field(examples=["XYZ Billing"])
    kind: Literal["provider", "surrogate"]
    company_name: str | None = Field(description="Whose people a surrogate group is for", examples=["ABC Billing Inc."])
    status: Literal["active", "without_administrator"]


class RoleNameView(web.View):
    """A role by its code and its name."""

    code: str = Field(examples=["END_USER"])
    name: str = Field(examples=["End User"])


class ApplicationView(web.View):
    """A CMS application that is open, and for whom it is."""

    code: str = Field(examples=["PS_AND_R"])
    name: str = Field(examples=["Provider Statistical and Reimbursement System"])
    roles: list[RoleNameView] = Field(description="Who may ask for it: holders of one of these")
    criteria: str | None = Field(description="Who should ask for it", examples=["Providers that file cost reports."])
    not_for: str | None = Field(description="Who should not", examples=["Practices that file no cost report."])


def routes(db: Database, keys: usecases.Keys, verifier: tokens.Verifier, cursors: web.Cursors) -> APIRouter:
    """Return what people look up before they ask for anything, and the search by number."""
    router = APIRouter()
    signed_in = Depends(web.signed_in(verifier))

    @router.get("/organizations", responses=web.responses("field_invalid"))
    async def list_organizations(
        name: Annotated[
            str, Query(max_length=200, description="Its legal business name begins so", examples=["XYZ"])
        ] = "",
        similar: Annotated[
            str,
            Query(
                max_length=200,
                description="Its legal business name has something like this in it. The likest come first, on one page",
            ),
        ] = "",
        cursor: web.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=100)] = PAGE_SIZE,
    ) -> web.Page[OrganizationView]:
        """List active organizations by name. One that is not active is not listed."""
        policy.require(domain.POLICY, "list_organizations", _ANYBODY)
        if name and similar:
            raise invalid("/similar", "goes without name: ask for the one or for the other", "leave it out")
        if similar:
            words = normalise_business_name(similar)
            if not words:
                raise invalid("/similar", "has letters or digits in it", "Medical Group")
            async with db.begin() as tx:
                rows = await store.list_similar_organizations(tx, words, limit=limit)
            return web.Page[OrganizationView](items=[_organization(row) for row in rows])
        prefix = normalise_business_name(name)
        purpose = f"organizations {prefix}"
        position = cursors.read(purpose, cursor)
        after = (position[0], UUID(position[1])) if position else None
        async with db.begin() as tx:
            rows = await store.list_organizations(tx, prefix=prefix, after=after, limit=limit + 1)
        more = cursors.behind(purpose, rows, limit, _by_name)
        return web.Page[OrganizationView](items=[_organization(row) for row in rows[:limit]], next_cursor=more)

    @router.post("/organization-searches", responses=web.responses("unauthenticated", "not_found", "field_invalid"))
    async def search_organizations(
        body: SearchBody, me: Annotated[PersonId, signed_in]
    ) -> web.Page[FoundOrganizationView]:
        """Find organizations by their TIN or NPI, which never stand in a URL.

        A TIN is for the help desk, which sees every organization of its community. Who decides something in a
        community finds its active organizations by NPI. The record says who searched, never for which number.
        """
        if (body.tin is None) == (body.npi is None):
            raise invalid("/tin", "give either a TIN or an NPI", "12-3456789")
        tin, npi = _nine_digits(body.tin), _ten_digits(body.npi)
        # A cursor can be read by whoever has it: it is bound to the TIN's fingerprint, and holds no TIN.
        purpose = f"organizations of {npi or keys.tin_fingerprint(tin)} for {me}"
        position = cursors.read(purpose, body.cursor)
        after = (position[0], UUID(position[1])) if position else None
        async with db.begin() as tx:
            rows = await usecases.search_organizations(
                tx, keys, me, tin=tin, npi=npi, after=after, limit=body.limit + 1
            )
        return web.Page[FoundOrganizationView](
            items=[
                FoundOrganizationView(
                    **_organization(row).model_dump(),
                    community_id=row.community_id,
                    status=row.status,
                    npi=row.npi or None,
                )
                for row in rows[: body.limit]
            ],
            next_cursor=cursors.behind(purpose, rows, body.limit, _by_name),
        )

    @router.get("/organizations/{organization_id}", responses=web.responses("organization_not_listed", "field_invalid"))
    async def show_organization(organization_id: UUID) -> OrganizationView:
        """Show one active organization. Unknown and unapproved ones get the same answer."""
        policy.require(domain.POLICY, "show_organization", _ANYBODY)
        async with db.begin() as tx:
            row = await store.load_listed_organization(tx, ScopeId(organization_id))
        if row is None:
            raise Refusal("organization_not_listed")
        return _organization(row)

    @router.get(
        "/organizations/{organization_id}/groups", responses=web.responses("organization_not_listed", "field_invalid")
    )
    async def list_groups(
        organization_id: UUID, cursor: web.Cursor = None, limit: Annotated[int, Query(ge=1, le=100)] = PAGE_SIZE
    ) -> web.Page[GroupView]:
        """List the user groups of an active organization by name."""
        policy.require(domain.POLICY, "list_groups", _ANYBODY)
        purpose = f"groups {organization_id}"
        position = cursors.read(purpose, cursor)
        after = (position[0], UUID(position[1])) if position else None
        async with db.begin() as tx:
            if await store.load_listed_organization(tx, ScopeId(organization_id)) is None:
                raise Refusal("organization_not_listed")
            rows = await store.list_groups(tx, ScopeId(organization_id), after=after, limit=limit + 1)
        more = cursors.behind(purpose, rows, limit, _by_name)
        items = [
            GroupView(id=row.id, name=row.name, kind=row.kind, company_name=row.company_name or None, status=row.status)
            for row in rows[:limit]
        ]
        return web.Page[GroupView](items=items, next_cursor=more)

    @router.get("/applications", responses=web.responses("not_found", "field_invalid"))
    async def list_applications(
        community_id: Annotated[str, Query(max_length=40, examples=["provider-supplier"])],
    ) -> web.Page[ApplicationView]:
        """List the open applications of a community, who should ask for each, and who should not."""
        policy.require(domain.POLICY, "list_applications", _ANYBODY)
        async with db.begin() as tx:
            community = await load_community(tx, community_id)
        if community is None:
            raise Refusal("not_found")
        return web.Page[ApplicationView](
            items=[_application(community, it) for it in community.applications if it.open]
        )

    return router


def _nine_digits(typed: str | None) -> str:
    if typed is None:
        return ""
    found = re.fullmatch(r"([0-9]{2})-?([0-9]{7})", typed)
    if found is None:
        raise invalid("/tin", "nine digits, with or without the dash after the second", "12-3456789")
    return found[1] + found[2]


def _by_name(row: Any) -> tuple[object, ...]:
    """Return where an organization or a group stands in a list by name."""
    return row.normalised_name, row.id


def _ten_digits(typed: str | None) -> str:
    if typed is not None and not re.fullmatch(r"[12][0-9]{9}", typed):
        raise invalid("/npi", "ten digits, the first of them 1 or 2", "1234567893")
    return typed or ""


def _application(community: Community, it: Application) -> ApplicationView:
    return ApplicationView(
        code=it.code,
        name=it.name,
        roles=[RoleNameView(code=role.code, name=role.name) for role in community.roles if role.code in it.roles],
        criteria=it.criteria or None,
        not_for=it.not_for or None,
    )


def _organization(row: object) -> OrganizationView:
    return OrganizationView.model_validate(row, from_attributes=True)
