"""Styles, scripts, fonts and icons: served from the package, and cached for as long as that is safe."""

from os import PathLike, stat_result

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from shared.ui.page import STATIC

FOREVER = "public, max-age=31536000, immutable"
A_DAY = "public, max-age=86400"  # Fonts and icons, which the compiled CSS names without a version.


class _CachedStaticFiles(StaticFiles):
    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = FOREVER if b"v=" in scope["query_string"] else A_DAY
        return response


def static_files() -> StaticFiles:
    """Return the application to mount at a shell's `static_url`."""
    return _CachedStaticFiles(directory=STATIC)
