"""The OpenAPI documents are whole: each operation says what it does, shows how it is called, and clashes with none."""

import re
from collections import Counter
from typing import Any

import pytest

from shared.errors import CATALOGUE
from shared.web import PROBLEM, STATUS
from tests.contracts.applications import SERVICES, Service, document, operations

OPERATIONS = [(service, label) for service in SERVICES for label in operations(service)]
EVERY = pytest.mark.parametrize(("service", "label"), OPERATIONS, ids=[label for _, label in OPERATIONS])


@EVERY
def test_an_operation_says_in_a_line_what_it_does(service: Service, label: str) -> None:
    summary = operations(service)[label]["summary"]

    assert 3 < len(summary) < 120
    assert not summary.endswith(".")


@EVERY
def test_each_parameter_shows_a_value_that_would_do(service: Service, label: str) -> None:
    bare = [
        parameter["name"]
        for parameter in operations(service)[label].get("parameters", [])
        if not _shows_a_value(service, parameter["schema"]) and "example" not in parameter
    ]

    assert bare == []


@EVERY
def test_each_free_text_in_an_address_says_what_it_may_not_hold(service: Service, label: str) -> None:
    texts = [
        parameter["schema"]
        for parameter in operations(service)[label].get("parameters", [])
        if parameter["in"] == "path" and not {"format", "enum"} & parameter["schema"].keys()
    ]
    assert all("pattern" in schema for schema in texts)
    assert not any(re.search(schema["pattern"], "one\x15two") for schema in texts)


@EVERY
def test_each_body_shows_a_whole_that_would_do(service: Service, label: str) -> None:
    for media_type, content in operations(service)[label].get("requestBody", {}).get("content", {}).items():
        schema = _resolved(service, content["schema"])
        if media_type != "application/json":
            continue  # A document is bytes; its types are its example.
        fields = schema.get("properties", {})
        assert (
            schema.get("examples")
            or content.get("examples")
            or all(_shows_a_value(service, it) for it in fields.values())
        )


@EVERY
def test_each_error_is_documented_by_a_code_of_the_catalogue_at_its_status(service: Service, label: str) -> None:
    for status, told in operations(service)[label]["responses"].items():
        for code in told.get("content", {}).get(PROBLEM, {}).get("examples", {}):
            assert STATUS[CATALOGUE[code].family] == int(status)
        assert status[0] == "2" or PROBLEM in told["content"]


@pytest.mark.parametrize("service", SERVICES)
def test_no_two_addresses_differ_in_the_names_of_their_parameters_alone(service: Service) -> None:
    shapes = Counter(re.sub(r"\{[^}]*\}", "{}", path) for path in document(service)["paths"])

    assert [shape for shape, count in shapes.items() if count > 1] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_has_a_name_of_its_own(service: Service) -> None:
    names = Counter(operation["operationId"] for operation in operations(service).values())

    assert [name for name, count in names.items() if count > 1] == []


def _shows_a_value(service: Service, schema: dict[str, Any]) -> bool:
    """Tell whether a schema shows what would do: an example, a default, a list of all, or a format that says it."""
    whole = _resolved(service, schema)
    if any(name in whole for name in ("examples", "default", "enum", "const")):
        return True
    if whole.get("format") == "uuid" or whole.get("type") == "boolean":
        return True  # Everybody knows one.
    return any(_shows_a_value(service, each) for each in whole.get("anyOf", []) if each.get("type") != "null")


def _resolved(service: Service, schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    return {**document(service)["components"]["schemas"][name], **schema} if name else schema
