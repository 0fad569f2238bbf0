"""HTML comes in: the one page a person meets before they can sign in, where a link sets a password."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from services.directory import domain, passwords, store, usecases, views
from shared import policy
from shared.database import Database
from shared.errors import Refusal
from shared.policy import Standing

PREFIX = "/directory"
_ANYBODY = frozenset({Standing.ANYBODY})

Render = Callable[[str, Any], str]


def routes(db: Database, keys: usecases.Keys, render: Render) -> APIRouter:
    """Return the directory's pages."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    def page(template: str, view: Any, status: int = 200) -> HTMLResponse:
        return HTMLResponse(render(f"directory/{template}.html", view), status, {"cache-control": "no-store"})

    def invalid_link() -> HTMLResponse:
        return page("link_invalid", views.link_invalid_page(f"{PREFIX}/password-links"), 404)

    @router.get("/password/{token}")
    async def show_password_form(token: str) -> HTMLResponse:
        """Show the form that a set-password link leads to."""
        policy.require(domain.POLICY, "show_password_form", _ANYBODY)
        async with db.begin() as tx:
            account = await usecases.owner_of_link(tx, token)
        if account is None:
            return invalid_link()
        return page("set_password", views.set_password_page(f"{PREFIX}/password/{token}"))

    @router.post("/password/{token}")
    async def set_password(token: str, password: Annotated[str, Form()] = "") -> Response:
        """Store the password; 303 to a page that says so, 422 with the form again."""
        policy.require(domain.POLICY, "set_password", _ANYBODY)
        async with db.begin() as tx:
            account = await usecases.owner_of_link(tx, token)
            person = await store.load_person(tx, account.person_id) if account else None
        if account is None or person is None:
            return invalid_link()
        fault = _problem_with(password, [account.user_id, person.given_name, person.family_name, person.email])
        if fault is not None:
            view = views.set_password_page(f"{PREFIX}/password/{token}", [fault])
            return page("set_password", view, 422)
        password_hash = await asyncio.to_thread(passwords.hashed, password)
        async with db.begin() as tx:
            was_set = await usecases.set_password(tx, token, password_hash)
        return RedirectResponse(f"{PREFIX}/password-set", 303) if was_set else invalid_link()

    @router.get("/password-set")
    async def show_password_set() -> HTMLResponse:
        policy.require(domain.POLICY, "show_password_set", _ANYBODY)
        return page("password_set", views.password_set_page())

    @router.post("/password-links")
    async def ask_password_link(user_id: Annotated[str, Form()] = "") -> Response:
        """Send a new link; the same answer whether or not there is such a user ID."""
        policy.require(domain.POLICY, "ask_password_link", _ANYBODY)
        if not domain.normalise_user_id(user_id):
            view = views.link_invalid_page(f"{PREFIX}/password-links", user_id, user_id_is_malformed=True)
            return page("link_invalid", view, 422)
        async with db.begin() as tx:
            await usecases.ask_password_link(tx, keys, user_id)
        return RedirectResponse(f"{PREFIX}/password-link-asked", 303)

    @router.get("/password-link-asked")
    async def show_link_asked() -> HTMLResponse:
        policy.require(domain.POLICY, "show_link_asked", _ANYBODY)
        return page("link_asked", views.link_asked_page())

    return router


def _problem_with(password: str, personal: list[str]) -> views.PasswordProblem | None:
    least, most = domain.PASSWORD_LENGTHS
    if not password:
        return "missing"
    if len(password) < least:
        return "too_short"
    if len(password) > most:
        return "too_long"
    try:
        domain.check_password(password, personal=personal)
    except Refusal:
        return "too_common"
    return None
