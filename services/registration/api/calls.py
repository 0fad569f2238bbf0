"""Who calls, and by what: an access token, an action token, or neither."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request

from services.registration import domain
from services.registration.keys import Keyring
from shared import openapi, policy, web
from shared.errors import Refusal
from shared.ids import PersonId, RequestId
from shared.policy import Standing
from shared.tokens import NotAToken, Verifier

_ACTION_TOKEN = openapi.Bearer(
    "action_token",
    "The `action_token` of this request, as a bearer token: proving its e-mail address answers with it.",
)

UNMET = (
    "surrogate_for_practitioner",
    "organization_not_listed",
    "group_not_active",
    "not_an_outsider",
    "security_official_vacant",
    "already_held",
    "separation_of_duty",
    "cardinality_reached",
)
"""What stands against a request whenever it is filed, submitted or corrected."""


async def bearer(
    authorization: Annotated[str | None, Depends(web.ACCESS_TOKEN)],
    _same: Annotated[str | None, Depends(_ACTION_TOKEN)],
) -> str | None:
    """Return the bearer token, whoever made it."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def whoever(verifier: Verifier, ring: Keyring) -> Callable[[RequestId, str | None], Awaitable[PersonId | None]]:
    """Return what tells who is signed in, or None for an applicant who acts by the token of the request.

    Refuses a call with neither. Asked before any transaction is open: verifying may read the keys.
    """

    async def who(request_id: RequestId, token: str | None) -> PersonId | None:
        if token is None:
            raise Refusal("unauthenticated")
        if ring.may_act(token, request_id):
            return None
        try:
            return (await verifier.caller(token)).person_id
        except NotAToken:
            raise Refusal("unauthenticated") from None

    return who


async def open_to_anybody(request: Request) -> None:
    """Refuse what the policy does not open to anybody: a route without a rule is a route for nobody."""
    policy.require(domain.POLICY, request.scope["route"].name, {Standing.ANYBODY})


def or_200(model: type[web.View], description: str, *codes: str) -> dict[int | str, dict[str, Any]]:
    """Document an operation that also answers 200, beside its errors."""
    return {200: {"model": model, "description": description}, **web.responses(*codes)}
