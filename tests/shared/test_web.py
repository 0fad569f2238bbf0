"""The HTTP edge: every "no" as problem details without a word of what went on inside, and calls kept small."""

import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from io import StringIO
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header
from joserfc.jwk import ECKey
from pydantic import Field
from sqlalchemy import insert, text

from shared import edge, outbox, telemetry, tokens, web
from shared.database import Database
from shared.errors import CATALOGUE, FieldFault, Refusal
from shared.ids import PersonId, new_id
from shared.tables import replica
from shared.tokens import Caller, Issued, Verifier
from shared.web import Cursors

ISSUED = Issued("https://iacs.example", "iacs")
KEY = ECKey.generate_key("P-256")
SECRET = "123-45-6789"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class PersonBody(web.Body):
    name: str = Field(min_length=2)
    age: int = 0


async def keys() -> dict[str, dict[str, Any]]:
    return {"k1": dict(KEY.as_dict(private=False))}


def toy(database: Database) -> APIRouter:
    router = APIRouter(prefix="/v1")
    verifier = Verifier(ISSUED, keys)

    @router.post(
        "/people", status_code=201, responses=web.responses("could_not_be_confirmed", "field_invalid", "expired")
    )
    async def add(body: PersonBody) -> dict[str, str]:
        return {"name": body.name, "trace": telemetry.trace().traceparent}

    @router.post("/documents")
    async def upload(body: dict[str, str]) -> int:
        return len(body["content"])

    @router.get("/documents")
    async def documents() -> None:
        pass

    @router.get("/refusals/{code}")
    async def refuse(code: str) -> None:
        raise Refusal(code, request_id=UUID(int=7), decided_at=NOON, retry_after_seconds=42)

    @router.get("/faults")
    async def faults() -> None:
        raise Refusal("field_invalid", faults=(FieldFault("/name", "must be a name", "Ann"),))

    @router.get("/bug")
    async def bug() -> None:
        raise KeyError(SECRET)

    @router.get("/world")
    async def world() -> None:
        raise asyncpg.AdminShutdownError(SECRET)

    @router.get("/constraint")
    async def constraint() -> None:
        async with database.begin() as tx:
            await tx.execute(text("INSERT INTO inbox VALUES (NULL, :value, 't')"), {"value": SECRET})

    @router.get("/me")
    async def me(person: Annotated[PersonId, Depends(web.signed_in(verifier))]) -> PersonId:
        return person

    @router.get("/caller")
    async def caller(it: Annotated[Caller | None, Depends(web.identified(verifier))]) -> bool:
        return it is not None

    @router.get("/conditional")
    async def conditional(
        if_match: Annotated[str | None, Header()] = None, idempotency_key: Annotated[str | None, Header()] = None
    ) -> list[object]:
        return [web.expected_version(if_match), web.idempotency_key(idempotency_key)]

    @router.get("/items/{item_id}")
    async def item(item_id: UUID, limit: Annotated[int, Field(ge=1, le=100)] = 10) -> UUID:
        return item_id

    return router


@pytest.fixture
def app(one_database: Database) -> FastAPI:
    return web.build("toy", "Toy", one_database, [toy(one_database)], larger_bodies={"/toy/v1/documents": 200_000})


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://toy/toy") as calling:
        yield calling


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the problem that an answer tells, which must be of this status and code, and say nothing else."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert SECRET not in answer.text
    told: dict[str, Any] = answer.json()
    assert (told["code"], told["status"]) == (code, status)
    assert told["title"]
    assert told["detail"]
    return told


# --- Problems -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CATALOGUE)
async def test_a_refusal_is_told_with_its_code_its_remedy_and_its_facts(client: httpx.AsyncClient, code: str) -> None:
    entry = CATALOGUE[code]

    answer = await client.get(f"/v1/refusals/{code}")

    told = problem(answer, web.STATUS[entry.family], code)
    assert told["type"] == f"/errors/{code}"
    assert (told["title"], told["detail"]) == (entry.title, entry.remedy)
    assert told["request_id"] == str(UUID(int=7))
    assert told["decided_at"] == "2026-03-02T12:00:00Z"  # RFC 3339, as every other moment.
    assert "retry_after_seconds" not in told
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get("retry-after") == ("42" if answer.status_code in (429, 503) else None)
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


async def test_faults_of_fields_are_told_one_by_one(client: httpx.AsyncClient) -> None:
    told = problem(await client.get("/v1/faults"), 422, "field_invalid")

    assert told["errors"] == [{"pointer": "/name", "rule": "must be a name", "example": "Ann"}]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"name": "A"}, ["/name"]),
        ({}, ["/name"]),
        ({"name": "  A  "}, ["/name"]),
        ({"name": "Ann", "ssn": SECRET}, ["/ssn"]),
        ({"name": 1, "age": SECRET}, ["/name", "/age"]),
        ([], [""]),
    ],
)
async def test_a_body_of_the_wrong_shape_is_told_by_its_fields(
    client: httpx.AsyncClient, body: object, pointers: list[str]
) -> None:
    told = problem(await client.post("/v1/people", json=body), 422, "field_invalid")

    assert [fault["pointer"] for fault in told["errors"]] == pointers
    assert all(fault["rule"] for fault in told["errors"])


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"[" * 50_000,
        b'{"name": NaN}',
        b'{"name": "Ann", "age": -Infinity}',
        b'{"name": "Ann", "age": ' + b"9" * 5000 + b"}",
        b'{"name": "Ann", "name": "Bob"}',
        b'{"name": "An\\u0000n"}',
        b'{"na\\u0000me": "Ann"}',
        b'{"name": ["Ann", {"x": "\\ud800"}]}',
    ],
    ids=str,
)
async def test_a_body_that_is_not_json_as_all_read_it_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    types = ("application/json", "Application/JSON", "application/merge-patch+json; charset=utf-8")
    once = [[("content-type", each)] for each in types]
    twice = [
        [("content-type", each) for each in both] for both in (("application/json", "text/plain"), ("x/y", *types))
    ]
    for headers in [*once, *twice]:
        answer = await client.post("/v1/people", content=body, headers=headers)

        told = problem(answer, 400, "malformed")
        assert len(told["trace_id"]) == 32


@pytest.mark.parametrize("name", ["An\\u0000n", "\U0001f600\U0001f600", "Zo\xeb"], ids=ascii)
async def test_text_that_only_looks_odd_is_taken(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.post("/v1/people", json={"name": name})).json()["name"] == name


async def test_a_call_without_its_body_is_told_so(client: httpx.AsyncClient) -> None:
    problem(await client.post("/v1/people", headers={"content-type": "application/json"}), 422, "field_invalid")


@pytest.mark.parametrize("path", ["/v1/refusals/%00", "/v1/nothing%00", "/v1/items/7?x=%00"])
async def test_no_address_holds_what_no_text_holds(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path), 400, "malformed")


@pytest.mark.parametrize("encoded", ["%01", "%09", "%0A", "%0D", "%1F", "%7F", "%C2%85"])
@pytest.mark.parametrize("path", ["/v1/documents", "/metrics", "/v1/nothing"])
async def test_no_address_ends_in_what_nobody_can_see(client: httpx.AsyncClient, path: str, encoded: str) -> None:
    told = problem(await client.get(f"{path}{encoded}"), 400, "malformed")
    assert told["detail"] == "The address holds a control character, like %0A: leave it out."


async def test_a_value_that_is_asked_for_may_have_two_lines(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/documents?text=one%0Atwo")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/items/7",
        "/v1/items/0198c0de-0000-7000-8000-000000000001?limit=0",
        "/v1/items/0198c0de-0000-7000-8000-000000000001?limit=x",
    ],
)
async def test_what_stands_in_a_path_or_query_is_checked(client: httpx.AsyncClient, path: str) -> None:
    told = problem(await client.get(path), 422, "field_invalid")

    assert told["errors"][0]["pointer"] in ("/item_id", "/limit")


@pytest.mark.parametrize("path", ["/v1/nothing", "https://toy/docs", "https://toy/redoc", "https://toy/errors/none"])
async def test_an_unknown_path_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path), 404, "not_found")


async def test_the_type_of_a_problem_leads_to_a_page_that_explains_it(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v1/refusals/expired")).json()

    page = await client.get(f"https://toy{told['type']}")

    assert page.status_code == 200
    assert all(words in page.text for words in (told["title"], told["detail"], CATALOGUE["expired"].why, "409"))


async def test_a_method_that_is_not_there_is_named_with_those_that_are(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/v1/people")

    told = problem(answer, 405, "method_not_allowed")
    assert (answer.headers["allow"], told["type"]) == ("POST", "/errors/method_not_allowed")
    assert len(told["trace_id"]) == 32


async def test_all_methods_of_an_address_are_named_and_not_those_of_one_route_alone(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/v1/documents")

    assert answer.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("path", ["/v1/documents", "/v1/refusals/expired", "/v1/nowhere", "/docs"])
async def test_who_asks_for_the_head_gets_that_of_the_whole_answer(client: httpx.AsyncClient, path: str) -> None:
    head, whole = await client.head(path), await client.get(path)

    assert head.status_code == whole.status_code
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers["content-type"] == whole.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/v1/bug", 500, "internal"), ("/v1/world", 503, "unavailable"), ("/v1/constraint", 500, "internal")],
)
async def test_nothing_of_an_error_inside_leaves_the_house(
    client: httpx.AsyncClient, path: str, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.get(path)

    assert set(problem(answer, status, code)) == {"type", "title", "status", "detail", "code", "trace_id"}
    assert answer.headers.get("retry-after") == ("5" if status == 503 else None)
    assert ("a call failed" in caplog.text) == (status == 500)  # It is noted, without what it was about.
    assert SECRET not in caplog.text


# --- Traces -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/bug", "/v1/world"])
async def test_the_trace_of_an_answer_finds_the_line_that_says_where_the_call_failed(
    client: httpx.AsyncClient, path: str, logs: StringIO
) -> None:
    trace_id = (await client.get(path)).json()["trace_id"]

    assert trace_id in [json.loads(line).get("trace_id") for line in logs.getvalue().splitlines()]


@pytest.mark.parametrize("path", ["/v1/faults", "/v1/bug", "/v1/world", "/v1/nothing"])
async def test_a_problem_names_the_trace_that_the_caller_sent(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers={"traceparent": TRACE})

    assert answer.json()["trace_id"] == TRACE.split("-")[1]


@pytest.mark.parametrize("sent", [None, "", "x", TRACE + "-00", TRACE.upper(), "ff" + TRACE[2:], f"{TRACE}\t"])
async def test_a_call_without_a_good_trace_begins_one(client: httpx.AsyncClient, sent: str | None) -> None:
    headers = {} if sent is None else {"traceparent": sent}
    first, second = [(await client.get("/v1/faults", headers=headers)).json()["trace_id"] for _ in range(2)]

    if sent != f"{TRACE}\t":  # Spaces around a header are nobody's.
        assert first != second
    assert len(first) == 32


async def test_a_handler_works_in_the_callers_trace(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/people", json={"name": "Ann"}, headers={"traceparent": TRACE})

    assert answer.json()["trace"] == TRACE


# --- Size ---------------------------------------------------------------------------------------


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    yield b'{"name": "'
    for start in range(0, size - 12, 1000):
        yield b"x" * min(1000, size - 12 - start)
    yield b'"}'


def at_once(size: int) -> bytes:
    return b'{"name": "' + b"x" * (size - 12) + b'"}'


@pytest.mark.parametrize("body", [at_once, in_pieces], ids=["declared", "streamed"])
async def test_a_call_carries_so_much_and_no_more(client: httpx.AsyncClient, body: Callable[[int], Any]) -> None:
    most = edge.MAXIMUM_BODY_BYTES
    headers = {"content-type": "application/json"}

    assert (await client.post("/v1/people", content=body(most), headers=headers)).status_code == 201
    problem(await client.post("/v1/people", content=body(most + 1), headers=headers), 413, "too_large")


async def test_a_call_that_declares_too_much_is_refused_unread(client: httpx.AsyncClient) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    headers = {"content-type": "application/json", "content-length": str(edge.MAXIMUM_BODY_BYTES + 1)}

    problem(await client.post("/v1/people", content=never(), headers=headers), 413, "too_large")


async def test_a_path_may_take_more_and_that_is_its_limit(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/documents", json={"content": "x" * 100_000})).json() == 100_000
    problem(await client.post("/v1/documents", json={"content": "x" * 200_000}), 413, "too_large")
    headers = {"content-type": "application/json"}
    problem(await client.post("/v1/documents", content=in_pieces(200_001), headers=headers), 413, "too_large")


# --- Who calls ------------------------------------------------------------------------------------


def bearer(*, now: int | None = None) -> dict[str, str]:
    caller = Caller(PersonId(new_id()), new_id(), int(time.time()))
    token = tokens.mint(KEY, "k1", ISSUED, caller, token_id=new_id(), now=now or int(time.time()))
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
async def test_a_person_is_known_by_a_bearer_token(client: httpx.AsyncClient, scheme: str) -> None:
    headers = {"authorization": bearer()["authorization"].replace("Bearer", scheme)}
    assert UUID((await client.get("/v1/me", headers=headers)).json())
    assert (await client.get("/v1/caller", headers=bearer())).json() is True
    assert (await client.get("/v1/caller")).json() is False


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic YW5uOmFubg=="},
        {"authorization": "Bearer x.y.z"},
        {"authorization": "Bearer \xe4"},
        bearer(now=1_000_000_000),
    ],
    ids=["none", "no token", "empty token", "another scheme", "no token of ours", "umlaut", "expired"],
)
async def test_who_shows_no_good_token_is_nobody(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    sent = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    answer = await client.get("/v1/me", headers=sent)

    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    if headers:  # A token that is not good is refused even where none is needed.
        problem(await client.get("/v1/caller", headers=sent), 401, "unauthenticated")


# --- Conditions and keys ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "version"), [(None, None), ('"3"', 3), (' "12" ', 12), (web.strong_etag(7), 7), ('"0"', 0)]
)
def test_if_match_asks_for_a_version(sent: str | None, version: int | None) -> None:
    assert web.expected_version(sent) == version


@pytest.mark.parametrize("sent", ["3", 'W/"3"', "*", '"3", "4"', '""', '"x"', '"-1"', '"3', "", '"' + "9" * 19 + '"'])
def test_an_if_match_that_is_no_strong_tag_of_ours_matches_nothing(sent: str) -> None:
    with pytest.raises(Refusal) as found:
        web.expected_version(sent)
    assert found.value.code == "stale_version"


@pytest.mark.parametrize(
    ("sent", "key"), [(None, None), ('"k-1"', "k-1"), ("k-1", "k-1"), (" k-1 ", "k-1"), ("x" * 128, "x" * 128)]
)
def test_an_idempotency_key_is_quoted_or_bare(sent: str | None, key: str | None) -> None:
    assert web.idempotency_key(sent) == key


@pytest.mark.parametrize("sent", ["", '""', "a b", "ä", "x" * 129, "a\x7f"])
async def test_an_idempotency_key_that_cannot_be_kept_is_refused(client: httpx.AsyncClient, sent: str) -> None:
    with pytest.raises(Refusal) as found:
        web.idempotency_key(sent)
    assert found.value.faults[0].pointer == "Idempotency-Key"


async def test_conditions_reach_their_endpoint(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/conditional", headers={"if-match": '"3"', "idempotency-key": '"k"'})
    assert answer.json() == [3, "k"]

    problem(await client.get("/v1/conditional", headers={"if-match": "3"}), 412, "stale_version")


# --- Cursors ------------------------------------------------------------------------------------


def test_a_cursor_goes_on_where_it_was_sealed() -> None:
    cursors = Cursors(bytes(32))
    one = new_id()

    assert cursors.read("queue of ann", cursors.seal("queue of ann", one, 3)) == [str(one), "3"]
    assert cursors.read("queue of ann", None) is None
    assert cursors.read("queue of ann", "") is None


def test_a_cursor_of_another_list_key_or_day_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cursors = Cursors(bytes(32))
    cursor = cursors.seal("queue of ann", new_id())
    head, body, signature = cursor.split(".")
    foreign = Cursors(bytes(range(32))).seal("queue of ann", new_id())
    spoilt = [
        foreign,
        head,
        f"{head}.{body}.",
        f"{head}.{body[:-2]}.{signature}",
        cursor[:-1],
        "x",
        "ä",
        "..",
        "W10.e30.x",
    ]
    for one in spoilt:
        with pytest.raises(Refusal) as found:
            cursors.read("queue of ann", one)
        assert found.value.faults[0].pointer == "cursor"
    with pytest.raises(Refusal):
        cursors.read("queue of bob", cursor)

    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 24 * 3600 + 1)
    with pytest.raises(Refusal):
        cursors.read("queue of ann", cursor)


# --- Operations -----------------------------------------------------------------------------------


async def test_the_openapi_document_lists_the_errors_of_an_operation(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    told = document["paths"]["/toy/v1/people"]["post"]["responses"]
    assert set(told) == {"201", "400", "409", "413", "422", "500", "503"}
    assert "`could_not_be_confirmed`" in told["409"]["description"]
    assert "`expired`" in told["409"]["description"]
    assert "`unavailable`" in told["503"]["description"]
    assert "application/problem+json" in told["409"]["content"]
    assert "/toy/healthz" not in document["paths"]


async def test_a_service_is_ready_when_its_replicas_have_once_been_complete(database: Database) -> None:
    app = web.build("toy", "Toy", database, [], needs_replicas=["iacs.directory.state.v1"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://toy/toy") as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["missing"]) == (503, ["replica of iacs.directory.state.v1"])

        async with database.begin() as tx:
            await tx.execute(insert(replica).values(topic="iacs.directory.state.v1", complete_at=text("now()")))
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"ready": True, "missing": []})

        async with database.begin() as tx:
            await tx.raw.execute("DROP TABLE replica")
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["missing"]) == (503, ["database"])


async def test_a_service_is_not_ready_before_its_database_has_had_the_migrations_that_its_code_needs(
    database: Database,
) -> None:
    app = web.build("approval", "Approval", database, [])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://toy/approval") as client:
        assert (await client.get("/readyz")).json() == {"ready": True, "missing": []}
        for had, missing in {"approval_0000": ["migration approval_0001"], "approval_0002": []}.items():
            async with database.begin() as tx:
                await tx.raw.execute("UPDATE alembic_version SET version_num = $1", had)
            assert (await client.get("/readyz")).json()["missing"] == missing


async def test_without_its_database_a_service_is_alive_and_not_ready() -> None:
    app = web.build("toy", "Toy", Database("postgresql://iacs@127.0.0.1:1/none", flush=outbox.flush), [])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://toy/toy") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503


async def test_a_process_that_is_stuck_says_so(one_database: Database) -> None:
    app = web.build("toy", "Toy", one_database, [], is_alive=lambda: False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://toy/toy") as client:
        assert (await client.get("/healthz")).status_code == 503


async def test_calls_are_counted_by_operation_and_status(client: httpx.AsyncClient) -> None:
    await client.get("/v1/bug")
    await client.get(f"/v1/items/{new_id()}")
    await client.get("/v1/nothing%00")
    metrics = (await client.get("/metrics")).text

    assert 'iacs_http_seconds_count{operation="bug",status="500"}' in metrics
    assert 'iacs_http_seconds_count{operation="item",status="200"}' in metrics
    assert 'iacs_http_seconds_count{operation="?",status="400"}' in metrics
    assert SECRET not in metrics


def test_every_problem_fits_its_documented_shape() -> None:
    for code in CATALOGUE:
        content = json.loads(bytes(web.problem(Refusal(code)).body))
        assert web.Problem.model_validate(content).code == code
