"""References: the conversion on a small document, and the page of every real service."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import jsonschema
import pytest
from fastapi import FastAPI

from shared import web
from shared.errors import CATALOGUE
from shared.openapi import ADDRESSABLE
from shared.ui import security
from shared.ui.environment import page_renderer
from shared.ui.page import Shell
from shared.ui.reference import Field, Operation, ReferencePage, reference_page
from tests.ui.html import Document
from tests.ui.services import SERVICES, application

every_service = pytest.mark.parametrize("service", SERVICES)


# --- The conversion -------------------------------------------------------------------------------


def a_document() -> dict[str, Any]:
    """A document with one call of each sort."""
    return {
        "info": {"title": "Toys"},
        "paths": {
            "/toys/v1/boxes/{box_id}/toys": {
                "post": {
                    "operationId": "add_toy",
                    "tags": ["toys"],
                    "summary": "Add a toy",
                    "description": "It must be `new`.\n\nTwice is once.",
                    "security": [{"token": []}],
                    "parameters": [
                        {
                            "name": "box_id",
                            "in": "path",
                            "required": True,
                            "schema": {"type": "string", "format": "uuid"},
                        },
                        {"name": "if-match", "in": "header", "schema": {"type": "string", "examples": ['"3"']}},
                        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 5}},
                        {
                            "name": "near",
                            "in": "query",
                            "schema": {"type": "string", "examples": ["a b&c"], "pattern": ADDRESSABLE},
                        },
                    ],
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ToyBody"}}}
                    },
                    "responses": {
                        "409": {
                            "description": "two of them",
                            "content": {
                                "application/problem+json": {
                                    "examples": {
                                        "box_full": {"summary": "The box is full", "description": "Take one out."},
                                        "box_closed": {"summary": "The box is closed"},
                                    }
                                }
                            },
                        },
                        "201": {
                            "description": "Successful Response",
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Toy"}}},
                        },
                    },
                }
            },
            "/toys/v1/picture": {
                "put": {
                    "operationId": "put_picture",
                    "tags": ["all", "pictures"],
                    "summary": "Send a picture",
                    "security": [{"token": []}, {}],
                    "requestBody": {"content": {"image/png": {}, "image/gif": {}}},
                    "responses": {"204": {"description": "Kept"}},
                },
                "get": {
                    "operationId": "get_picture",
                    "tags": ["pictures"],
                    "summary": "Get the picture",
                    "security": [{"session": []}],
                    "responses": {"200": {"description": "The picture", "content": {"image/png": {}}}},
                },
            },
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A `token`."},
                "session": {"type": "apiKey", "in": "cookie", "name": "toy_session", "description": "The cookie."},
            },
            "schemas": {
                "Colour": {"type": "string", "enum": ["red", "blue"]},
                "Part": {
                    "type": "object",
                    "required": ["weight"],
                    "properties": {"weight": {"type": "number", "minimum": 0.5}},
                },
                "ToyBody": {
                    "type": "object",
                    "required": ["name", "parts"],
                    "properties": {
                        "name": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 9,
                            "pattern": "^[a-z]+$",
                            "examples": ["it's"],
                        },
                        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}, "maxItems": 4},
                        "colour": {
                            "anyOf": [{"$ref": "#/components/schemas/Colour"}, {"type": "null"}],
                            "description": "Its paint.",
                        },
                    },
                },
                "Toy": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string", "format": "uuid"},
                        "made_at": {"type": "string", "format": "date-time"},
                        "colour": {"$ref": "#/components/schemas/Colour", "examples": ["blue"]},
                        "is_whole": {"type": "boolean"},
                        "broken_at": {"anyOf": [{"type": "string"}, {"type": "null"}], "examples": [None]},
                        "inside": {
                            "anyOf": [{"$ref": "#/components/schemas/Toy"}, {"type": "null"}],
                            "examples": [None],
                        },
                        "sizes": {"type": "array", "items": {"type": "integer"}},
                    },
                },
            },
        },
    }


def a_page() -> ReferencePage:
    return reference_page(a_document(), origin="http://toys.example", openapi_url="/toys/openapi.json")


def operation(operation_id: str) -> Operation:
    return next(one for section in a_page().sections for one in section.operations if one.id == operation_id)


def test_operations_stand_under_the_last_of_their_tags_in_the_documents_order() -> None:
    told = {section.title: [one.id for one in section.operations] for section in a_page().sections}
    assert told == {"Toys": ["add-toy"], "Pictures": ["put-picture", "get-picture"]}


def test_a_field_tells_its_kind_its_rule_and_an_example_through_references_lists_and_nulls() -> None:
    body = operation("add-toy").body
    assert body is not None
    assert [(one.name, one.kind, one.rule, one.example, one.is_required) for one in body.fields] == [
        ("name", "text", "1 to 9 characters; matches `^[a-z]+$`", "it's", True),
        ("parts", "list of object", "At most 4 items", '[{"weight": 0.5}]', True),
        ("parts[].weight", "number", "At least 0.5", "0.5", True),
        ("colour", "text or null", "Its paint; one of `red`, `blue`", "red", False),
    ]
    assert json.loads(body.example) == {"name": "it's", "parts": [{"weight": 0.5}]}


def test_a_parameter_tells_where_it_stands() -> None:
    told = [(one.name, one.place, one.rule, one.example, one.is_required) for one in operation("add-toy").parameters]
    assert told == [
        ("box_id", "path", "", "0198c0de-0000-7000-8000-000000000001", True),
        ("If-Match", "header", "", '"3"', False),
        ("limit", "query", "At least 1; `5` if left out", "5", False),
        ("near", "query", "No control characters", "a b&c", False),
    ]


def test_the_call_can_be_pasted_into_a_shell() -> None:
    assert operation("add-toy").curl.split(" \\\n  ") == [
        "curl 'http://toys.example/toys/v1/boxes/0198c0de-0000-7000-8000-000000000001/toys?near=a+b%26c'",
        '--header "Authorization: Bearer $TOKEN"',
        "--header 'If-Match: \"3\"'",
        "--header 'Content-Type: application/json'",
        """--data '{"name": "it'"'"'s", "parts": [{"weight": 0.5}]}'""",
    ]
    assert operation("put-picture").curl.split(" \\\n  ")[1:] == [
        "--request PUT",
        "--header 'Content-Type: image/png'",
        "--data-binary @file",
    ]
    assert operation("get-picture").curl.split(" \\\n  ")[1:] == ['--cookie "toy_session=$SESSION"', "--output file"]


def test_who_may_call_is_said_with_every_way() -> None:
    told = [operation(one).access for one in ("add-toy", "put-picture", "get-picture")]
    assert [(access.label, access.ways) for access in told] == [
        ("Only with a token", ("A `token`.",)),
        ("With or without a token", ("A `token`.",)),
        ("Only with a session", ("The cookie.",)),
    ]


def test_an_answer_is_an_example_of_its_schema() -> None:
    [answer] = operation("add-toy").answers
    assert (answer.status, answer.description) == ("201 Created", "")
    assert json.loads(answer.example) == {
        "id": "0198c0de-0000-7000-8000-000000000001",
        "made_at": "2026-11-24T14:05:00Z",
        "colour": "blue",
        "is_whole": True,
        "broken_at": None,
        "inside": None,
        "sizes": [1],
    }


def test_each_error_of_a_status_has_its_code_title_and_remedy() -> None:
    told = [(one.status, one.code, one.title, one.remedy) for one in operation("add-toy").errors]
    assert told == [
        ("409 Conflict", "box_full", "The box is full", "Take one out."),
        ("409 Conflict", "box_closed", "The box is closed", ""),
    ]


def test_a_schema_that_names_itself_comes_to_an_end() -> None:
    document = a_document()
    del document["components"]["schemas"]["Toy"]["properties"]["inside"]["examples"]
    assert reference_page(document, origin="", openapi_url="/toys/openapi.json").sections


def test_what_a_document_says_is_escaped() -> None:
    document = a_document()
    document["paths"]["/toys/v1/picture"]["get"]["summary"] = "<script>alert(1)</script>"
    page = reference_page(document, origin="", openapi_url="/toys/openapi.json")
    assert "<script>alert" not in page_renderer("shared.ui", Shell("/toys/static"))("ui/reference.html", page)


def test_what_is_said_beside_a_reference_goes_before_what_it_names() -> None:
    document = a_document()
    document["components"]["schemas"]["Colour"] |= {"examples": ["red"], "description": "A colour."}
    document["components"]["schemas"]["ToyBody"]["properties"] |= {
        "inner": {"$ref": "#/components/schemas/Colour", "description": "Its inside.", "examples": ["blue"]},
        "outer": {"allOf": [{"$ref": "#/components/schemas/Colour"}], "description": "Its outside."},
    }
    fields = _fields_of(document)
    assert (fields["inner"].example, fields["inner"].rule) == ("blue", "Its inside; one of `red`, `blue`")
    assert (fields["outer"].example, fields["outer"].rule) == ("red", "Its outside; one of `red`, `blue`")


def test_a_default_is_told_also_where_it_is_nothing_or_no_and_a_map_how_many_it_holds() -> None:
    document = a_document()
    document["components"]["schemas"]["ToyBody"]["properties"] = {
        "price": {"type": "integer", "default": 0},
        "is_new": {"type": "boolean", "default": False},
        "note": {"type": "string", "default": ""},
        "labels": {"type": "object", "maxProperties": 3},
    }
    rules = {name: field.rule for name, field in _fields_of(document).items()}
    assert rules == {
        "price": "`0` if left out",
        "is_new": "`false` if left out",
        "note": "",
        "labels": "At most 3 entries",
    }


def _fields_of(document: dict[str, Any]) -> dict[str, Field]:
    """Return what the one body of a document is made of."""
    page = reference_page(document, origin="", openapi_url="/toys/openapi.json")
    (body,) = (one.body for section in page.sections for one in section.operations if one.id == "add-toy")
    assert body is not None
    return {field.name: field for field in body.fields}


def test_a_call_holds_every_parameter_that_it_needs_each_so_that_it_stays_one_value() -> None:
    document = a_document()
    told = document["paths"]["/toys/v1/boxes/{box_id}/toys"]["post"]
    told["parameters"] = [
        {"name": "box_id", "in": "path", "required": True, "schema": {"type": "string"}, "example": "a/b c"},
        {"name": "size", "in": "query", "required": True, "schema": {"type": "integer", "minimum": 2}},
        {
            "name": "after",
            "in": "query",
            "description": "Where it goes on.",
            "schema": {"anyOf": [{"type": "string", "description": "A cursor."}, {"type": "null"}]},
        },
    ]
    page = reference_page(document, origin="http://toys.example", openapi_url="/toys/openapi.json")
    (one,) = page.sections[0].operations
    assert one.curl.startswith("curl 'http://toys.example/toys/v1/boxes/a%2Fb%20c/toys?size=2' ")
    after = one.parameters[-1]
    assert (after.kind, after.rule) == ("text", "Where it goes on")  # Null cannot be said in an address.


def test_an_error_without_codes_of_ours_is_told_by_its_description() -> None:
    document = a_document()
    document["paths"]["/toys/v1/picture"]["get"]["responses"]["502"] = {"description": "The gateway is alone"}
    page = reference_page(document, origin="", openapi_url="/toys/openapi.json")
    (error,) = page.sections[1].operations[1].errors
    assert (error.status, error.title) == ("502 Bad Gateway", "The gateway is alone")


def test_a_reference_leads_to_the_other_services_and_not_to_itself() -> None:
    page = reference_page(a_document(), origin="", openapi_url="/approval/openapi.json")
    assert page.others == tuple(
        (service.capitalize(), f"/{service}/docs") for service in ("registration", "directory", "notification")
    )


def test_the_page_shows_each_part_of_each_call() -> None:
    html = page_renderer("shared.ui", Shell("/toys/static"))("ui/reference.html", a_page())
    page = Document(html)
    articles = {one.attributes["aria-labelledby"]: " ".join(one.text.split()) for one in page.all("article")}
    for one in (operation(name) for name in ("add-toy", "put-picture", "get-picture")):
        shown = articles[one.id]
        assert f"Who may call {one.access.label}. {one.access.ways[0].replace('`', '')}" in shown
        assert f"Call {' '.join(one.curl.split())} Answer: {one.answers[0].status}" in shown
    add = articles["add-toy"]
    for row in (
        "box_id path, required UUID Any 0198c0de",
        "limit query, optional whole number At least 1; 5 if left out 5",
        "name required text 1 to 9 characters; matches ^[a-z]+$ it's",
        "colour optional text or null Its paint; one of red, blue red",
    ):
        assert row in add
    assert "It must be new. Twice is once." in add
    assert {"new", "red", "blue", "^[a-z]+$", "5", "token"} <= {one.text for one in page.all("code")}
    assert "Body The file itself, as image/png or image/gif. Call" in articles["put-picture"]
    assert "Answer: 204 No Content Kept." in articles["put-picture"]
    assert "Answer: 200 OK The picture, as image/png." in articles["get-picture"]


def test_of_several_ways_to_be_let_in_each_is_shown_as_a_choice_and_an_answer_without_a_body_says_so() -> None:
    document = a_document()
    told = document["paths"]["/toys/v1/picture"]["get"]
    told |= {"security": [{"token": []}, {"session": []}], "responses": {"204": {"description": "Successful Response"}}}
    page = reference_page(document, origin="", openapi_url="/toys/openapi.json")
    html = page_renderer("shared.ui", Shell("/toys/static"))("ui/reference.html", page)
    (shown,) = (one.text for one in Document(html).all("article") if one.attributes["aria-labelledby"] == "get-picture")
    shown = " ".join(shown.split())
    assert "Only with a token. A token. Or: The cookie. Call" in shown
    assert shown.endswith("Answer: 204 No Content No body.")


# --- The services ---------------------------------------------------------------------------------


def a_client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://iacs.example")


def operations_of(service: str) -> list[dict[str, Any]]:
    return [one for methods in application(service).openapi()["paths"].values() for one in methods.values()]


@cache
def page_of(service: str) -> ReferencePage:
    app = application(service)
    return reference_page(app.openapi(), origin="http://iacs.example", openapi_url=str(app.openapi_url))


def told_of(service: str) -> list[Operation]:
    return [one for section in page_of(service).sections for one in section.operations]


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


@every_service
async def test_a_reference_shows_every_operation_with_all_its_errors(service: str) -> None:
    async with a_client(application(service)) as client:
        answer = await client.get(f"/{service}/docs")
        assert (await client.get(f"/{service}/openapi.json")).json() == application(service).openapi()
    assert {name: answer.headers[name] for name in security.HEADERS} == security.HEADERS
    page = Document(answer.text)
    assert [one.text for one in page.all("h1")] == [f"IACS {service}: API reference"]
    ids = [one.attributes["id"] for one in page.elements if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        assert set(element.attributes.get("aria-labelledby", "").split()) <= set(ids)
        assert element.attributes.get("href", "#main").removeprefix("#") in {*ids, element.attributes.get("href")}
        assert not {"style", "onclick"} & element.attributes.keys()
    articles = {one.attributes["aria-labelledby"]: one.text for one in page.all("article")}
    assert len(articles) == len(operations_of(service))
    for method_and_path in operations_of(service):
        shown = articles[method_and_path["operationId"].replace("_", "-")]
        assert method_and_path["summary"] in shown
        for status, told in method_and_path["responses"].items():
            for code in told.get("content", {}).get(web.PROBLEM, {}).get("examples", {}):
                assert all(words in shown for words in (code, status, CATALOGUE[code].title, CATALOGUE[code].remedy))


@every_service
def test_every_operation_says_what_it_does_and_names_the_errors_of_its_statuses(service: str) -> None:
    for one in told_of(service):
        assert 5 < len(one.summary) <= 120, one.id
        assert one.answers, one.id
        assert {"unavailable", "internal"} <= {error.code for error in one.errors}, one.id
        assert all(error.code in CATALOGUE for error in one.errors), one.id
        needs_token = "unauthenticated" in {error.code for error in one.errors}
        assert needs_token or not one.access.label.startswith("Only"), one.id


@every_service
def test_every_example_is_one_that_the_service_takes_or_gives(service: str) -> None:
    document = application(service).openapi()
    bodies = {body.__name__: body for body in web.Body.__subclasses__()}
    told = {one.id: one for one in told_of(service)}
    for one in operations_of(service):
        shown = told[one["operationId"].replace("_", "-")]
        if shown.body and shown.body.fields:
            schema = one["requestBody"]["content"]["application/json"]["schema"]
            bodies[schema["$ref"].rpartition("/")[2]].model_validate_json(shown.body.example)
            assert all(field.example for field in shown.body.fields), shown.id
        for status, answer in one["responses"].items():
            schema = answer.get("content", {}).get("application/json", {}).get("schema")
            if status < "400" and schema:
                [text] = [each.example for each in shown.answers if each.status.startswith(status)]
                jsonschema.validate(json.loads(text), {**schema, "components": document["components"]})
                assert "" not in leaves(json.loads(text)), shown.id


def test_the_documents_tell_which_token_opens_what() -> None:
    told = {one["operationId"]: one.get("security") for service in SERVICES for one in operations_of(service)}
    assert told["decide"] == [{"access_token": []}]
    assert told["file_request"] == [{"access_token": []}, {}]
    assert told["add_document"] == [{"access_token": []}, {"action_token": []}]
    assert told["renew"] == [{"session": []}]
    assert told["show_status"] is None
    schemes = application("registration").openapi()["components"]["securitySchemes"]
    assert {(one["type"], one["scheme"], one["bearerFormat"]) for one in schemes.values()} == {
        ("http", "bearer", "JWT")
    }


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}])
async def test_a_call_without_its_token_is_a_problem_still(headers: dict[str, str]) -> None:
    async with a_client(application("approval")) as client:
        answer = await client.get("/approval/v1/requests", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (401, web.PROBLEM)
    assert answer.json()["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_an_optional_token_that_is_none_is_refused_and_not_overlooked() -> None:
    async with a_client(application("registration")) as client:
        answer = await client.post(
            "/registration/v1/requests",
            json={"community_id": "provider-supplier", "kind": "join_group"},
            headers={"Authorization": "Basic eDp5"},
        )
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@every_service
async def test_a_service_serves_its_assets_and_guards_its_forms_and_answers(service: str) -> None:
    async with a_client(application(service)) as client:
        asset = await client.get(f"/{service}/static/css/iacs.css")
        nothing = await client.get(f"/{service}/v1/nothing")
        forged = await client.post(f"/{service}/v1/anything", headers={"Sec-Fetch-Site": "cross-site"})
    assert asset.status_code == 200
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")
    assert forged.status_code == 403
    for answer in (asset, nothing, forged):
        assert answer.headers["content-security-policy"] == security.HEADERS["Content-Security-Policy"]
