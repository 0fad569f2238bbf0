"""What the OpenAPI document of a service says beyond what FastAPI finds out by itself.

FastAPI knows paths and types. That every error is a problem, that a docstring's first sentence is a
summary, and which token opens what, it learns here. Source: OpenAPI 3.1.0.
"""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from pydantic import BaseModel

CONTROLS = r"\u0000-\u001f\u007f-\u009f"
"""Signs that are in no address that is answered (shared/edge.py), as a regular expression writes a range."""
ADDRESSABLE = f"^[^{CONTROLS}]*$"
_REF = "#/components/schemas/{model}"
_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")


class Bearer(SecurityBase):
    """A dependency: the Authorization header as it came. `description` tells a caller which token to send.

    It refuses nothing: whoever reads the header judges it, so that every "no" stays a problem.
    """

    def __init__(self, name: str, description: str) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description=description)
        self.scheme_name = name

    async def __call__(self, request: Request) -> str | None:
        """Return the header."""
        return request.headers.get("authorization")


OPTIONAL: Mapping[str, Any] = {"security": [{}]}
"""`openapi_extra` of an operation that may be called without its token as well."""


def operation_id(route: APIRoute) -> str:
    """Return the name that generated clients and links use: that of the function."""
    return route.name


def completed(
    document: dict[str, Any],
    problem: type[BaseModel],
    *,
    malformed: Mapping[str, Any],
    invalid: Mapping[str, Any],
    too_large: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the document with what FastAPI does not know.

    `malformed`, `invalid` and `too_large` tell what a call gets that cannot be read, does not fit or carries too much.
    """
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schema = problem.model_json_schema(ref_template=_REF)
    schemas |= {**schema.pop("$defs", {}), problem.__name__: schema}
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["summary"], operation["description"] = _summary(operation.get("description", ""))
            if any(_FASTAPIS_OWN[0] in str(answer) for answer in operation["responses"].values()):
                operation["responses"]["422"] = dict(invalid)
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and not parameter["schema"].keys() & {"format", "pattern", "enum"}:
                    parameter["schema"]["pattern"] = ADDRESSABLE
            if "requestBody" in operation or "parameters" in operation:
                operation["responses"].setdefault("400", dict(malformed))
            if "requestBody" in operation:
                operation["responses"].setdefault("413", dict(too_large))
    return document


def _summary(docstring: str) -> tuple[str, str]:
    """Return the first clause of a docstring, and the rest of it as sentences."""
    found = re.match(r"(.*?)(?:[:;.]\s+|\.?$)(.*)", docstring, re.DOTALL)
    assert found is not None
    summary, rest = found.groups()
    return " ".join(summary.split()), rest[:1].upper() + rest[1:]
