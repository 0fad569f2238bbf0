"""Every answer keeps to its service's OpenAPI document, whatever is sent: thousands of calls, good and bad.

schemathesis makes them from the documents: every example, every edge of every schema, and what a
seeded search finds between. Nothing is random, so a call that failed fails again.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contracts.applications import SERVICES, Service, document, operations
from tests.contracts.living import AnyCase, Living

EXAMPLE_COUNT = 15
Test = TypeVar("Test", bound=Callable[..., None])
_CONFIG: dict[str, Any] = {
    "seed": 1,
    "generation": {
        "deterministic": True,
        "no-shrink": True,
        "max-examples": EXAMPLE_COUNT,
        # No schema can say that text holds no U+0000: tests/shared/test_web.py tells that it is refused everywhere.
        "allow-x00": False,
        "with-security-parameters": False,  # Who calls is somebody who lives here.
    },
    "checks": {
        "positive_data_acceptance": {
            # 412 and 428: a decision names the version that it was made on, which no schema knows.
            "expected-statuses": ["2xx", "401", "403", "404", "409", "412", "428", "429"],
        }
    },
}
RULED = {
    "file_request": "what a kind of request asks for is its community's data",
    "correct_request": "as above",
    "prove_email": "only the mailed code is right",
    "issue_invitations": "an address is judged like every other field of a request",
    "add_document": "its content decides",
    "decide": "which reason goes with which verdict no JSON Schema of one object can say plainly",
    "search_organizations": "one of two numbers, each by its own rule",
    "close_organization": "the name must be that of the organization",
    "list_organizations": "two parameters that do not go together",
}
"""Operations that refuse what fits their schema, by a rule that no schema tells, with the reason."""


def _schema(service: Service) -> Any:
    return from_dict(document(service), config=schemathesis.Config.from_dict(_CONFIG))


SCHEMAS = {service: _schema(service) for service in SERVICES}
KEEPING = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""What is checked of a deed, whose author decides whether it is good: some are meant to be refused."""


@pytest.mark.parametrize("service", SERVICES)
def test_what_people_really_do_is_answered_as_documented(service: Service, living: dict[str, Living]) -> None:
    it = living[service]
    for found in SCHEMAS[service].get_all_operations():
        operation = found.ok()
        for deed in it.deeds.get(operation.definition.raw["operationId"], ()):
            case = operation.Case(media_type="application/json" if isinstance(deed.body, dict) else None)
            answer = it.do(case, deed)
            case.validate_response(answer, checks=KEEPING)
            assert it.undocumented(case, answer) is None


def each_call_of(service: Service) -> Callable[[Test], Test]:
    return cast("Callable[[Test], Test]", SCHEMAS[service].parametrize())  # schemathesis types it not.


@each_call_of("registration")
def test_registration_answers_as_documented(case: AnyCase, living: dict[str, Living]) -> None:
    keeps_to_its_document(living["registration"], case)


@each_call_of("approval")
def test_approval_answers_as_documented(case: AnyCase, living: dict[str, Living]) -> None:
    keeps_to_its_document(living["approval"], case)


@each_call_of("directory")
def test_the_directory_answers_as_documented(case: AnyCase, living: dict[str, Living]) -> None:
    keeps_to_its_document(living["directory"], case)


@each_call_of("notification")
def test_notification_answers_as_documented(case: AnyCase, living: dict[str, Living]) -> None:
    keeps_to_its_document(living["notification"], case)


def keeps_to_its_document(service: Living, case: AnyCase) -> None:
    """Call once and judge the answer by every check that schemathesis has, and by the codes that are documented."""
    answer, is_deed = service.call(case)
    left_out = [ignored_auth]  # It calls again by a client of its own; test_callers.py asks the same.
    if answer.status_code == 422 and (_name_of(case) in RULED or "cursor" in case.query):  # A cursor is sealed.
        left_out.append(positive_data_acceptance)
    if is_deed:
        case.validate_response(answer, checks=KEEPING)
    else:
        case.validate_response(answer, excluded_checks=left_out)
    assert service.undocumented(case, answer) is None


def _name_of(case: AnyCase) -> str:
    return str(case.operation.definition.raw["operationId"])


def test_every_operation_was_entered_and_not_only_knocked_at(living: dict[str, Living]) -> None:
    shut = {
        label
        for service in SERVICES
        for label in operations(service)
        if not {code for at, code in living[service].told if at == label} & {"200", "201", "202", "204"}
    }
    assert shut == set()
