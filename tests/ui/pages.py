"""The pages under test, served without a database: the real views, templates, styles and headers."""

from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.directory import views
from shared.platform.mail import inbox
from shared.ui import assets, security
from shared.ui.environment import page_renderer
from shared.ui.page import Shell
from tests.ui.mails import fill
from tests.ui.services import SERVICES, application

SHELL = Shell(static_url="/directory/static")
TOKEN_PATH = "/directory/password/one-time-token"
LINKS_PATH = "/directory/password-links"

render = page_renderer("services.directory", SHELL)

# Every page in every state that a person can meet: name -> its HTML.
STATES: dict[str, Callable[[], str]] = {
    "set_password": lambda: render("directory/set_password.html", views.set_password_page(TOKEN_PATH)),
    "set_password_error": lambda: render(
        "directory/set_password.html", views.set_password_page(TOKEN_PATH, ["too_short"])
    ),
    "password_set": lambda: render("directory/password_set.html", views.password_set_page()),
    "link_invalid": lambda: render("directory/link_invalid.html", views.link_invalid_page(LINKS_PATH)),
    "link_invalid_error": lambda: render(
        "directory/link_invalid.html",
        views.link_invalid_page(LINKS_PATH, "K7M <Q>", user_id_is_malformed=True),
    ),
    "link_asked": lambda: render("directory/link_asked.html", views.link_asked_page()),
}


async def _show(request: Request) -> Response:
    return HTMLResponse(STATES[request.path_params["state"]]())


async def _set_password(request: Request) -> Response:
    if request.method == "GET":
        return HTMLResponse(STATES["set_password"]())
    password = str((await request.form()).get("password", ""))
    if len(password) < 15:
        return HTMLResponse(STATES["set_password_error"](), 422)
    return RedirectResponse("/states/password_set", 303)


async def _ask_for_link(request: Request) -> Response:
    user_id = str((await request.form()).get("user_id", ""))
    if len(user_id) != 8:
        return HTMLResponse(STATES["link_invalid_error"](), 422)
    return RedirectResponse("/states/link_asked", 303)


app = Starlette(
    routes=[
        Route("/states/{state}", _show),
        Route(TOKEN_PATH, _set_password, methods=["GET", "POST"]),
        Route(LINKS_PATH, _ask_for_link, methods=["POST"]),
        Mount("/directory/static", assets.static_files()),
    ],
    middleware=[Middleware(security.SecurityHeaders), Middleware(security.SameOriginForms)],
)


def front(mail_folder: Path) -> ASGIApp:
    """Return all pages under one origin, as the gateway shows them: these, each service's reference, the inbox."""
    mail = inbox(fill(mail_folder), None)

    async def lead(scope: Scope, receive: Receive, send: Send) -> None:
        first, _, rest = scope["path"].removeprefix("/").partition("/")
        is_reference = first in SERVICES and rest.startswith(("docs", "openapi.json", "static/"))
        serving = mail if first == "mail" else application(first) if is_reference else app
        if first == "errors":
            serving = application("directory")
        await serving(scope, receive, send)

    return lead
