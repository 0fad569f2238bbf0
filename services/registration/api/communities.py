"""What can be asked for, and where a request stands: for anybody to read."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from services.registration import keys, store
from services.registration.api import calls, showing, views
from shared import replicas, telemetry, web
from shared.database import Database
from shared.errors import Refusal


def endpoints(db: Database) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(dependencies=[Depends(calls.open_to_anybody)])

    @router.get("/communities", tags=["communities"], responses=web.responses())
    async def list_communities() -> views.CommunitiesView:
        """List the communities."""
        async with db.begin() as tx:
            found = await replicas.list_communities(tx)
        return views.CommunitiesView(items=[views.CommunityLineView(id=c.id, name=c.name, open=c.open) for c in found])

    @router.get("/communities/{community_id}", tags=["communities"], responses=web.responses("not_found"))
    async def show_community(
        community_id: Annotated[str, Path(examples=["provider-supplier"])],
    ) -> views.CommunityView:
        """Show what a community's members can ask for, field by field."""
        async with db.begin() as tx:
            community = await replicas.load_community(tx, community_id)
        if community is None:
            raise Refusal("not_found")
        return showing.community_view(community)

    @router.get("/statuses/{tracking_number}", tags=["status"], responses=web.responses("not_found"))
    async def show_status(
        tracking_number: Annotated[str, Path(examples=["IACS-7M3Q-0XKD-92HT-VB4E"])],
    ) -> views.StatusView:
        """Show where a request stands, to whoever has its tracking number."""
        number = keys.tracking_number(tracking_number)
        if number is None:
            raise Refusal("not_found")
        async with db.begin() as tx:
            request = await store.load_request_by_number(tx, number)
            if request is None:
                raise Refusal("not_found")
            telemetry.correlate(request.id)
            return await showing.status_view(tx, request)

    return router
