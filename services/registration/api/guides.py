"""The reference guides, as JSON or as text: for anybody to read."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import TypeAdapter

from services.registration.api import calls
from services.registration.domain import guide_texts, guides
from shared import replicas, web
from shared.contracts.community import Community
from shared.database import Database
from shared.errors import Refusal

CommunityId = Annotated[str, Path(examples=["provider-supplier"])]
Form = Annotated[Literal["json", "text"], Query(description="`text` is plain text, and Markdown as well")]


def endpoints(db: Database) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["guides"], dependencies=[Depends(calls.open_to_anybody)])

    async def load(community_id: str) -> Community:
        async with db.begin() as tx:
            community = await replicas.load_community(tx, community_id)
        if community is None:
            raise Refusal("not_found")
        return community

    @router.get(
        "/communities/{community_id}/roles",
        response_model=None,
        responses=_told(list[guides.Line], [_LINE]),
    )
    async def show_roles(community_id: CommunityId, form: Form = "json") -> Response:
        """Show the role chart: who holds which role where, who gives it, what cannot be combined."""
        community = await load(community_id)
        lines = guides.chart(community)
        if form == "text":
            return PlainTextResponse(guide_texts.chart_text(community.name, lines))
        return JSONResponse([asdict(line) for line in lines])

    @router.get(
        "/communities/{community_id}/roles/{role}/guide",
        response_model=None,
        responses=_told(guides.Guide, _GUIDE),
    )
    async def show_role_guide(
        community_id: CommunityId, role: Annotated[str, Path(examples=["END_USER"])], form: Form = "json"
    ) -> Response:
        """Show the reference guide of a role: responsibilities, fields, errors, who approves, what happens."""
        guide = guides.guide(await load(community_id), role)
        if guide is None:
            raise Refusal("not_found")
        return PlainTextResponse(guide_texts.guide_text(guide)) if form == "text" else JSONResponse(asdict(guide))

    @router.get(
        "/communities/{community_id}/approvers-guide",
        response_model=None,
        responses=_told(guides.ApproversGuide, _APPROVERS),
    )
    async def show_approvers_guide(community_id: CommunityId, form: Form = "json") -> Response:
        """Show the reference guide of approvers: what they may say, the reasons, and by when."""
        guide = guides.approvers_guide(await load(community_id))
        return PlainTextResponse(guide_texts.approvers_text(guide)) if form == "text" else JSONResponse(asdict(guide))

    return router


def _told(shape: Any, example: Any) -> dict[int | str, dict[str, Any]]:
    schema = TypeAdapter(shape).json_schema(ref_template="#/$defs/{model}")
    return {
        **web.responses("not_found", "field_invalid"),
        200: {
            "description": "The guide",
            "content": {
                "application/json": {"schema": {**_without_references(schema), "examples": [example]}},
                "text/plain": {"schema": {"type": "string"}},
            },
        },
    }


def _without_references(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with what it refers to written out: the document has no place of ours for definitions."""
    definitions = schema.pop("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return whole(definitions[part["$ref"].removeprefix("#/$defs/")])
            return {name: whole(value) for name, value in part.items()}
        return [whole(each) for each in part] if isinstance(part, list) else part

    found: dict[str, Any] = whole(schema)
    return found


_LINE = {
    "code": "USER_GROUP_ADMINISTRATOR",
    "name": "User Group Administrator",
    "held_in": "one user group",
    "seats": 5,
    "given_by": ["Security Official or Backup Security Official"],
    "not_together_with": ["End User in the same group"],
    "may_ask_for": ["Claim Status Inquiry"],
}
_ERROR = {
    "code": "group_not_active",
    "title": "This group does not take members at this time",
    "remedy": "Wait until the group is approved, or contact the organization.",
}
_CONTACT = "help-desk@iacs.example, phone 1-555-555-0100, TTY 1-555-555-0101, Monday to Friday"
_GUIDE = {
    "community": "Provider/Supplier Community",
    "role": "END_USER",
    "name": "End User",
    "duties": "Works in a user group and uses the applications that its approvers have agreed to.",
    "held_in": "one user group",
    "ways": [
        {
            "kind": "join_group",
            "name": "Join a user group as End User",
            "conditions": ["The user group is approved and has an administrator."],
            "about_the_person": [
                {
                    "name": "email",
                    "label": "E-mail address",
                    "rule": "an e-mail address of at most 254 characters",
                    "example": "maria@clinic.example",
                    "is_optional": False,
                }
            ],
            "about_the_request": [],
            "documents": [],
            "decided_by": ["1. User Group Administrator."],
            "what_happens": ["Until it is decided you may withdraw it."],
            "errors": [_ERROR],
        }
    ],
    "decides": [],
    "applications": ["Claim Status Inquiry: Everybody who bills Medicare or works for somebody who does."],
    "taken_by": ["User Group Administrator"],
    "contact": _CONTACT,
}
_APPROVERS = {
    "community": "Provider/Supplier Community",
    "decisions": ["Deny: with a reason. The request ends."],
    "denials": [{"code": "unknown_person", "meaning": "You do not know this person."}],
    "returns": [{"code": "document_missing", "meaning": "A document is missing, incomplete, or cannot be read."}],
    "deadlines": ["Join a user group as End User, stage 1: reminded after 3 and 7 working days."],
    "errors": [_ERROR],
    "contact": _CONTACT,
}
