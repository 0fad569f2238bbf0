"""Every operation of every service is tried by everybody: what each of them gets, read as one table.

The table is who_may.txt; after a change that is meant, write it anew with IACS_WRITE_GOLDEN=1 and read the difference.
What must hold whatever the table says stands here as well.
"""

import difflib
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.story.telling import bearer
from shared import deployment
from shared.testing.product import Product
from tests.who_may import arrangements, cast, table
from tests.who_may.arrangements import Arrangement, Things
from tests.who_may.cast import BAD_TOKENS, COLUMNS, COMMUNITY_WIDE, Cast
from tests.who_may.table import Answer

GOLDEN = Path(__file__).parent / "who_may.txt"
_CODES_AN_HOUR = 3
_SIGNED_IN = tuple(c for c in COLUMNS if c not in ("nobody", *BAD_TOKENS) and not c.endswith("token"))
_READING_BY_POST = "POST /directory/v1/organization-searches"

Got = Mapping[tuple[str, str], httpx.Response]
"""(The name of an arrangement, column) -> what that caller got."""


@pytest.fixture(scope="module")
def everybody(product: Product) -> Cast:
    """Everybody who calls."""
    return cast.gather(product)


@pytest.fixture(scope="module")
def http(product: Product) -> Iterator[httpx.Client]:
    """A client of the one origin."""
    with httpx.Client(base_url=product.origin, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def got(everybody: Cast, http: httpx.Client) -> Got:
    """What everybody gets for everything, in the order of the table."""
    for _ in range(_CODES_AN_HOUR):
        http.post(f"/registration/v1/requests/{everybody.things['settled']}/email-code")
    return {(it.name, column): _tried(http, everybody, it, column) for it in arrangements.ALL for column in COLUMNS}


def _tried(http: httpx.Client, everybody: Cast, it: Arrangement, column: str) -> httpx.Response:
    """Return what this caller gets; whoever comes with several tokens, what the luckiest of them opens."""
    answers = [_call(http, it, everybody.things, headers) for headers in everybody.headers(column, it.request)]
    return min(answers, key=lambda answer: (answer.status_code == 401, answer.status_code))


def _call(http: httpx.Client, it: Arrangement, things: Things, headers: Mapping[str, str]) -> httpx.Response:
    return http.request(
        it.method,
        it.path(things),
        params=it.query(things) if it.query else None,
        json=it.json(things) if it.json else None,
        content=it.content,
        headers={**it.headers, **headers},
    )


def _brief(answer: httpx.Response) -> Answer:
    return Answer(answer.status_code, str(answer.json()["code"]) if answer.is_error else "")


def _whole(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """Return all that an answer tells, but for what is another's in every answer."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    body = answer.json() if answer.content else {}
    return answer.status_code, headers, {name: value for name, value in body.items() if name != "trace_id"}


def _row(got: Got, it: Arrangement) -> list[Answer]:
    return [_brief(got[it.name, column]) for column in COLUMNS]


def test_every_operation_of_every_service_is_arranged(http: httpx.Client) -> None:
    told = set()
    for service in deployment.SERVICES:
        for path, operations in http.get(f"/{service}/openapi.json").json()["paths"].items():
            told |= {f"{method.upper()} {path}" for method in operations}
    arranged = {it.operation for it in arrangements.ALL}
    assert told == arranged, (
        f"add to tests/who_may/arrangements.py: {sorted(told - arranged)}; take out: {sorted(arranged - told)}. "
        "Then write the table anew with IACS_WRITE_GOLDEN=1 and read the row."
    )


def test_who_may_do_what_is_as_it_was_last_read_and_agreed_to(got: Got) -> None:
    now = table.text(COLUMNS, {it.name: _row(got, it) for it in arrangements.ALL})
    if os.environ.get("IACS_WRITE_GOLDEN"):
        GOLDEN.write_text(now, encoding="utf-8")
    agreed = GOLDEN.read_text(encoding="utf-8")
    if now != agreed:
        lines = difflib.unified_diff(agreed.splitlines(), now.splitlines(), "agreed", "now", n=0, lineterm="")
        difference = "\n".join(lines)
        pytest.fail(
            f"who may do what has changed:\n{difference}\n\nIf every cell is meant: IACS_WRITE_GOLDEN=1 python -m "
            "pytest tests/who_may, read the difference of tests/who_may/who_may.txt, commit it with the change.",
            pytrace=False,
        )


def test_a_token_with_one_fault_opens_nothing_that_is_not_open_without_a_token(got: Got) -> None:
    for it in arrangements.ALL:
        row = {column: _brief(got[it.name, column]) for column in ("nobody", *BAD_TOKENS)}
        if row["nobody"].status == 401:
            assert set(row.values()) == {Answer(401, "unauthenticated")}, it.name
        assert all(row[column] in (row["nobody"], Answer(401, "unauthenticated")) for column in BAD_TOKENS), it.name


def test_the_same_token_without_its_fault_is_taken(everybody: Cast, http: httpx.Client) -> None:
    access, act = everybody.good
    assert http.get("/directory/v1/people/me", headers=bearer(access)).status_code == 200
    own = f"/registration/v1/requests/{everybody.things['join']}"
    assert http.get(own, headers=bearer(act)).status_code == 200


def test_an_auditor_changes_no_more_than_a_stranger_does(got: Got) -> None:
    changing = [it for it in arrangements.ALL if it.method != "GET" and it.operation != _READING_BY_POST]
    assert changing
    for it in changing:
        assert _brief(got[it.name, "auditor"]) == _brief(got[it.name, "SO elsewhere"]), it.name


def test_documents_are_for_their_applicant_and_the_help_desk_alone(got: Got) -> None:
    readers = {"registration": {"applicant", "applicant's token"}, "registered": {"SO", "applicant's token"}}
    reading = [it for it in arrangements.ALL if it.method == "GET" and "/documents" in it.operation]
    assert {it.request for it in reading} == set(readers)
    for it in reading:
        assert {c for c in COLUMNS if got[it.name, c].is_success} == {*readers[it.request], "help desk"}, it.name


def test_a_tin_is_searched_for_by_the_help_desk_alone(got: Got, everybody: Cast) -> None:
    name = f"{_READING_BY_POST} [by TIN]"
    found = {column: got[name, column].json()["items"] for column in COLUMNS if got[name, column].is_success}
    assert {column for column, items in found.items() if items} == {"help desk"}
    assert [item["id"] for item in found["help desk"]] == [everybody.things["organization"]]


def test_only_who_waits_for_no_decision_of_their_own_decides(got: Got) -> None:
    deciders = {
        "join": {"UGA"},
        "new group": {"SO", "BSO"},
        "become BSO": {"SO"},
        "application": {"SO", "BSO"},
        "registration": {"help desk"},
        "practitioner's application": {"application owner"},
    }
    for request, may in deciders.items():
        name = f"POST /approval/v1/requests/{{request_id}}/decisions [{request}]"
        let_in = {c for c in COLUMNS if _brief(got[name, c]).status not in (401, 404)}
        assert let_in == may, name


def test_no_answer_holds_what_is_of_another_organization_or_group(got: Got, everybody: Cast) -> None:
    public = ("organization", "group")
    here, elsewhere = (
        {thing for name, thing in things.items() if name not in public} | house.addresses
        for things, house in (
            (everybody.things, everybody.here),
            (everybody.things_elsewhere, everybody.elsewhere),
        )
    )
    practitioners = everybody.things["practitioner's application"]
    of_the_group = {everybody.things[name] for name in ("join", "settled", "ended role", "ended entitlement")}
    of_others = {everybody.things[name] for name in ("join", "settled", "new group", "application", "become BSO")}
    strangers = ("nobody", *BAD_TOKENS, "SO elsewhere", "practitioner", "application owner", "other help desk")
    hidden = {column: set(elsewhere) for column in COLUMNS if column not in (*COMMUNITY_WIDE, "SO elsewhere")}
    hidden |= {column: hidden.get(column, set()) | here for column in strangers}
    hidden |= {column: hidden[column] - {practitioners} for column in ("practitioner", "application owner")}
    hidden["EU"] |= of_others
    hidden |= {column: hidden[column] | of_the_group for column in ("UGA other group", "EU other group")}
    for (name, column), answer in got.items():
        asked = str(answer.request.url)  # What the caller has named may come back.
        shown = {thing for thing in hidden.get(column, ()) if thing in answer.text and thing not in asked}
        assert not shown, (name, column, shown)


def test_what_is_of_another_organization_is_as_unknown_as_what_is_not_there(
    got: Got, everybody: Cast, http: httpx.Client
) -> None:
    tried = 0
    for it in arrangements.ALL:
        named = [name for name in it.ids.values() if name in everybody.things]
        for column in _SIGNED_IN if named and not it.is_public else ():
            if got[it.name, column].status_code == 404:
                continue
            (headers,) = everybody.headers(column, it.request)
            for replaced in _some_of(named):
                nowhere = {**everybody.things, **{name: str(uuid4()) for name in replaced}}
                unknown = _call(http, it, nowhere, headers)
                assert unknown.status_code == 404, (it.name, column, replaced)
                tried += 1
                if column not in COMMUNITY_WIDE and column != "SO elsewhere":
                    theirs = {**everybody.things, **{name: everybody.things_elsewhere[name] for name in replaced}}
                    assert _whole(_call(http, it, theirs, headers)) == _whole(unknown), (it.name, column, replaced)
    assert tried > len(_SIGNED_IN)


def test_an_application_on_somebody_elses_role_is_refused_as_on_one_that_is_not_there(
    everybody: Cast,
) -> None:
    do, asking = everybody.here.do, everybody.people["EU"]
    others = (
        do.role_of(everybody.people["UGA"], "USER_GROUP_ADMINISTRATOR")["id"],
        do.role_of(everybody.people["UGA other group"], "USER_GROUP_ADMINISTRATOR")["id"],
        everybody.things_elsewhere["ended role"],
    )

    def asked(role_assignment_id: str) -> tuple[int, dict[str, str], Any]:
        about = {"application": "CLAIM_STATUS", "role_assignment_id": role_assignment_id}
        return _whole(do.post_request(asking, "access_application", **about))

    unknown = asked(str(uuid4()))
    assert unknown[0] == 422
    assert [asked(other) for other in others] == [unknown] * len(others)


def _some_of(names: list[str]) -> list[tuple[str, ...]]:
    """Return every choice of at least one."""
    return [chosen for count in range(1, len(names) + 1) for chosen in itertools.combinations(names, count)]


def test_what_is_public_of_an_organization_is_the_same_for_everybody(got: Got, everybody: Cast) -> None:
    for it in arrangements.ALL:
        if it.is_public:
            assert len(set(_row(got, it))) == 1, it.name


def test_calling_everything_changes_nothing(got: Got, everybody: Cast, product: Product) -> None:
    assert everybody.said == cast.said_of(product, everybody.here, everybody.elsewhere)
