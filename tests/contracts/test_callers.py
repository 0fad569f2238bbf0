"""Who shows no good token is nobody: at every operation that its document closes, before anything is looked at."""

from typing import Any

import pytest

from tests.contracts.applications import SERVICES, Service, document, operations
from tests.contracts.living import Living

CLOSED = [
    (service, label)
    for service in SERVICES
    for label, operation in operations(service).items()
    if operation.get("security") and {} not in operation["security"]
]
_ID = "0198c0de-0000-7000-8000-000000000001"


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x.y.z"}, {"cookie": "iacs_session=x"}], ids=str)
@pytest.mark.parametrize(("service", "label"), CLOSED, ids=[label for _, label in CLOSED])
def test_who_shows_no_good_token_is_nobody(
    service: Service, label: str, headers: dict[str, str], living: dict[str, Living]
) -> None:
    method, path = label.split(" ")
    operation = operations(service)[label]
    parameters = operation.get("parameters", [])
    for parameter in parameters:
        path = path.replace(f"{{{parameter['name']}}}", _ID)
    query = {it["name"]: "provider-supplier" for it in parameters if it["in"] == "query" and it.get("required")}
    it = living[service]
    it.http.cookies.clear()

    sent = it.http.request(method, path, params=query, json=_a_body(service, operation), headers=headers)
    answer = it.loop.run_until_complete(sent)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def _a_body(service: Service, operation: dict[str, Any]) -> Any:
    told = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if told is None:
        return None
    schema = document(service)["components"]["schemas"][told["schema"]["$ref"].rsplit("/", 1)[1]]
    if schema.get("examples"):
        return schema["examples"][0]
    return {name: field["examples"][0] for name, field in schema["properties"].items() if field.get("examples")}
