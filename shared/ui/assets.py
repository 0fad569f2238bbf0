"""Styles, scripts, fonts and icons: served from the package, and cached for as long as that is safe."""

import hashlib
from functools import cache
from os import PathLike, stat_result
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

DIRECTORY = Path(__file__).parent / "static"

FOREVER = "public, max-age=31536000, immutable"
A_DAY = "public, max-age=86400"  # Fonts and icons, which the compiled CSS names without a version.


@cache
def url(static_url: str, path: str) -> str:
    """Return the address of the asset at `path`. It changes with the content, so it may be kept for ever."""
    digest = hashlib.sha256((DIRECTORY / path).read_bytes()).hexdigest()
    return f"{static_url}/{path}?v={digest[:12]}"


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
    return _CachedStaticFiles(directory=DIRECTORY)
