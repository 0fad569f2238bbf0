"""What an approver's program meets: the queue, one request, and every refusal of a decision."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from services.approval.domain import Verdict
from services.approval.views import DecisionBody
from shared.contracts.community import Decider
from shared.errors import CATALOGUE, Refusal
from shared.ids import PersonId, RequestId
from shared.web import STATUS
from tests.approval.builders import (
    ADMINISTRATOR,
    BACKUP,
    COMMUNITY,
    HELP_DESK,
    SECURITY_OFFICIAL,
    a_submission,
    an_organization,
    new_person,
)
from tests.approval.desk import Desk, Place
from tests.approval.test_stages import of_end_user

REQUESTS = "/approval/v1/requests"
APPROVE = {"verdict": "approve"}
DENY = {"verdict": "deny", "reason": "unknown_person"}
REFUSALS = (
    "already_decided",
    "already_held",
    "application_not_open",
    "cardinality_reached",
    "expired",
    "field_invalid",
    "group_not_active",
    "idempotency_key_reused",
    "if_match_required",
    "may_not_approve",
    "not_an_approver",
    "not_an_outsider",
    "organization_not_listed",
    "request_closed",
    "role_not_held",
    "security_official_vacant",
    "self_approval",
    "separation_of_duty",
    "stale_version",
    "surrogate_for_practitioner",
    "unauthenticated",
)


async def pending(desk: Desk) -> tuple[Place, RequestId, PersonId]:
    """Return an organization, a request for a group in it, and the Security Official who may decide it."""
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    return place, await desk.submit(kind="create_provider_group", scope_id=place.id), official


async def show(desk: Desk, request_id: RequestId, by: PersonId) -> httpx.Response:
    return await desk.http.get(f"{REQUESTS}/{request_id}", headers=desk.token(by))


async def decide(
    desk: Desk, request_id: object, by: PersonId, body: Any = APPROVE, *, if_match: str | None = '"1"', key: str = ""
) -> httpx.Response:
    headers = desk.token(by)
    if if_match is not None:
        headers["if-match"] = if_match
    if key:
        headers["idempotency-key"] = key
    return await desk.http.post(f"{REQUESTS}/{request_id}/decisions", json=body, headers=headers)


def refused(answer: httpx.Response, code: str) -> dict[str, Any]:
    """Return what a refusal says, once it is the documented one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    said: dict[str, Any] = answer.json()
    entry = CATALOGUE[code]
    assert (answer.status_code, said["code"], said["title"]) == (STATUS[entry.family], code, entry.title)
    assert answer.headers["cache-control"] == "no-store"
    return said


# --- The queue ------------------------------------------------------------------------------------


async def test_the_queue_is_paged_the_oldest_first_and_a_cursor_is_its_readers_own(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    backup = await desk.holder(BACKUP, place.id)
    moment = desk.db.clock()
    desk.db.clock = lambda: moment  # A page ends between two that were opened at the same moment.
    opened = []
    for number in range(5):
        opened.append(await desk.submit(kind="create_provider_group", scope_id=place.id))
        if number == 2:
            desk.wait(timedelta(seconds=1))
    await desk.submit(kind="create_provider_group", scope_id=place.id, applicant_id=official)

    async def page(by: PersonId, **query: Any) -> httpx.Response:
        return await desk.http.get(REQUESTS, params={"limit": 2, **query}, headers=desk.token(by))

    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        answer = (await page(official, **cursor)).json()
        seen += [item["id"] for item in answer["items"]]
        cursor = {"cursor": answer["next_cursor"]}
    assert seen == [str(request_id) for request_id in opened]
    assert cursor == {"cursor": None}

    first = (await page(official)).json()["next_cursor"]
    new = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.decide(opened[0], backup, Verdict.DENY)
    rest = (await page(official, cursor=first, limit=100)).json()["items"]
    assert [item["id"] for item in rest] == [str(request_id) for request_id in [*opened[2:], new]]

    refused(await page(backup, cursor=first), "field_invalid")
    refused(await page(official, cursor=first[:-4] + "AAAA"), "field_invalid")
    for limit in (0, 101):
        refused(await page(official, limit=limit), "field_invalid")


async def test_who_holds_several_roles_sees_a_request_once(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    await desk.hear(desk.assignment(official, BACKUP, place.id))
    await desk.submit(kind="create_provider_group", scope_id=place.id)
    answer = await desk.http.get(REQUESTS, headers=desk.token(official))
    assert len(answer.json()["items"]) == 1


async def test_an_item_says_who_wants_which_role_where(desk: Desk) -> None:
    place = await desk.place(name="XYZ Medical LLC")
    administrator = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    row = await desk.request(request_id)
    answer = await desk.http.get(REQUESTS, headers=desk.token(administrator))
    (item,) = answer.json()["items"]
    assert (item["applicant_name"], item["role"], item["gives"]) == ("Rosa Delgado", "END_USER", "End User")
    assert (item["organization_name"], item["place_name"]) == ("XYZ Medical LLC", "Billing")
    assert (item["state"], item["version"], item["id"]) == ("pending", 1, str(row.id))
    assert "applicants.example" not in answer.text


async def test_a_wish_for_an_application_says_which_on_what_it_rests_and_how_many_stages_that_takes(
    desk: Desk,
) -> None:
    _, request_id, administrator, _ = await of_end_user(desk)
    (item,) = (await desk.http.get(REQUESTS, headers=desk.token(administrator))).json()["items"]
    assert (item["id"], item["application"], item["role"]) == (str(request_id), "CLAIM_STATUS", None)
    assert (item["gives"], item["place_name"], item["rests_on"]) == (*["Claim Status Inquiry"] * 2, "END_USER")
    assert (item["stage"], item["stage_count"]) == (1, 2)


# --- One request ------------------------------------------------------------------------------------


async def test_a_request_is_shown_with_its_version_its_history_and_who_may_decide(desk: Desk) -> None:
    place = await desk.place()
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    await desk.holder(HELP_DESK, COMMUNITY.place_id, account="disabled")  # They decide nothing.
    it = a_submission("register_organization")
    await desk.submit(it)
    await desk.document(it.request_id)
    answer = await show(desk, it.request_id, help_desk)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert answer.headers["cache-control"] == "no-store"
    shown = answer.json()
    assert [step["what"] for step in shown["history"]] == ["opened", "document_added", "awaiting_decision"]
    (queue,) = shown["may_decide"]
    assert (queue["role"], queue["role_name"], queue["approver_count"], queue["may_approve"]) == (
        HELP_DESK,
        "Help Desk",
        1,
        True,
    )
    (document,) = shown["documents"]
    assert document["code"] == "irs_letter"
    assert document["href"] == f"/registration/v1/requests/{it.request_id}/documents/{document['id']}"

    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    backup = await desk.holder(BACKUP, place.id)
    own = await desk.submit(kind="create_provider_group", scope_id=place.id, applicant_id=backup)
    may_decide = (await show(desk, own, official)).json()["may_decide"]
    counts = {queue["role"]: queue["approver_count"] for queue in may_decide}
    assert counts == {SECURITY_OFFICIAL: 1, BACKUP: 0}, "nobody decides on their own"

    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.decide(request_id, official)
    await desk.refuse(request_id, "cardinality_reached")
    shown = (await show(desk, request_id, official)).json()
    assert [(step["what"], step["reason"]) for step in shown["history"]][-2:] == [
        ("not_granted", "cardinality_reached"),
        ("escalated", "cardinality_reached"),
    ]
    assert (shown["refusal"], [queue["why"] for queue in shown["may_decide"]]) == (
        "cardinality_reached",
        ["cannot_be_granted"],
    )


async def test_an_approver_is_not_shown_their_own_request(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id, applicant_id=official)
    refused(await show(desk, request_id, official), "not_found")


async def test_the_help_desk_and_auditors_look_at_every_request_of_their_community(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    await desk.decide(request_id, official, Verdict.DENY)
    other = await desk.submit()
    listed = "/approval/v1/communities/provider-supplier/requests"
    cursors: list[str] = []
    for role in (HELP_DESK, "AUDITOR"):
        reader = await desk.holder(role, COMMUNITY.place_id)
        answer = await desk.http.get(listed, headers=desk.token(reader))
        assert [it["id"] for it in answer.json()["items"]] == [str(request_id), str(other)]
        answer = await desk.http.get(listed, params={"state": "denied"}, headers=desk.token(reader))
        assert [it["id"] for it in answer.json()["items"]] == [str(request_id)]
        first = (await desk.http.get(listed, params={"limit": 1}, headers=desk.token(reader))).json()
        rest = await desk.http.get(listed, params={"cursor": first["next_cursor"]}, headers=desk.token(reader))
        assert [it["id"] for it in rest.json()["items"]] == [str(other)]
        for query in [{"cursor": each} for each in cursors] + [{"cursor": first["next_cursor"], "state": "denied"}]:
            refused(await desk.http.get(listed, params=query, headers=desk.token(reader)), "field_invalid")
        cursors.append(first["next_cursor"])
        assert (await show(desk, request_id, reader)).status_code == 200
        refused(await decide(desk, request_id, reader), "not_an_approver")
        unheard = await desk.http.get(listed.replace("supplier", "x"), headers=desk.token(reader))
        refused(unheard, "not_found")
    refused(await desk.http.get(listed, headers=desk.token(official)), "not_found")


async def test_a_queue_tells_why_each_request_is_there(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(scope_id=place.id, place_id=place.group_id)
    await desk.look()
    await desk.look()
    (item,) = (await desk.http.get(REQUESTS, headers=desk.token(official))).json()["items"]
    assert (item["id"], item["why"]) == (str(request_id), "no_approver")


async def test_the_same_organization_asked_for_twice_is_marked(desk: Desk) -> None:
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    for _ in range(2):
        request_id = await desk.submit(an_organization())
        await desk.document(request_id)
    items = (await desk.http.get(REQUESTS, headers=desk.token(help_desk))).json()["items"]
    assert [it["is_duplicate"] for it in items] == [True, True]
    await desk.decide(request_id, help_desk, Verdict.DENY)
    (item,) = (await desk.http.get(REQUESTS, headers=desk.token(help_desk))).json()["items"]
    assert item["is_duplicate"] is False


async def test_an_organization_that_is_there_already_is_marked_as_long_as_it_is(desk: Desk) -> None:
    help_desk, place = await desk.holder(HELP_DESK, COMMUNITY.place_id), await desk.place()
    it = an_organization()
    assert it.organization is not None
    same = it.organization.model_copy(update={"duplicate_key": str(place.id)})
    await desk.document(await desk.submit(it.model_copy(update={"organization": same})))
    for status, is_marked in (("active", True), ("suspended", True), ("closed", False)):
        await desk.hear(desk.organization(place, status=status))
        (item,) = (await desk.http.get(REQUESTS, headers=desk.token(help_desk))).json()["items"]
        assert item["is_duplicate"] is is_marked


# --- Claims -----------------------------------------------------------------------------------------


async def test_a_claim_is_seen_by_the_others_for_half_an_hour_and_stops_nobody(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    backup = await desk.holder(BACKUP, place.id)
    url = f"{REQUESTS}/{request_id}/claim"
    claimed = await desk.http.put(url, headers=desk.token(official))
    mine, theirs = [(await show(desk, request_id, who)).json() for who in (official, backup)]
    assert (mine["claimed_by_me"], theirs["claimed_by_me"]) == (True, False)
    assert theirs["claimed_until"] is not None
    assert (claimed.status_code, claimed.json()) == (200, {"claimed_until": theirs["claimed_until"]})
    assert theirs["version"] == 1
    desk.wait(timedelta(minutes=31))
    mine, theirs = [(await show(desk, request_id, who)).json() for who in (official, backup)]
    assert (mine["claimed_by_me"], theirs["claimed_until"]) == (False, None)
    await desk.http.put(url, headers=desk.token(official))
    assert (await decide(desk, request_id, backup)).status_code == 201
    refused(await desk.http.put(url, headers=desk.token(official)), "request_closed")


async def test_nobody_claims_their_own_request(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    request_id = await desk.submit(kind="create_provider_group", scope_id=place.id, applicant_id=official)
    url = f"{REQUESTS}/{request_id}/claim"
    refused(await desk.http.put(url, headers=desk.token(official)), "not_an_approver")


async def test_a_claim_is_taken_over_and_taken_back(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    backup = await desk.holder(BACKUP, place.id)
    url = f"{REQUESTS}/{request_id}/claim"
    await desk.http.put(url, headers=desk.token(official))
    await desk.http.put(url, headers=desk.token(backup))
    assert (await desk.http.delete(url, headers=desk.token(official))).status_code == 204  # No longer theirs.
    assert (await show(desk, request_id, backup)).json()["claimed_by_me"]
    await desk.http.delete(url, headers=desk.token(backup))
    assert (await show(desk, request_id, backup)).json()["claimed_until"] is None
    refused(await desk.http.put(url, headers=desk.token(new_person())), "not_an_approver")


async def test_a_claim_ends_with_the_stage_it_was_made_in(desk: Desk) -> None:
    _, request_id, administrator, official = await of_end_user(desk)
    await desk.http.put(f"{REQUESTS}/{request_id}/claim", headers=desk.token(administrator))
    assert (await show(desk, request_id, administrator)).json()["claimed_by_me"]
    await desk.decide(request_id, administrator)
    assert (await show(desk, request_id, official)).json()["claimed_until"] is None


async def test_the_help_desk_claims_what_could_not_be_granted_and_retries_it_with_nothing_left_of_the_refusal(
    desk: Desk,
) -> None:
    _, request_id, official = await pending(desk)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    await desk.decide(request_id, official)
    await desk.refuse(request_id)
    claimed = await desk.http.put(f"{REQUESTS}/{request_id}/claim", headers=desk.token(help_desk))
    assert claimed.status_code == 200
    await desk.decide(request_id, help_desk, Verdict.RETRY)
    shown = (await show(desk, request_id, help_desk)).json()
    assert (shown["state"], shown["refusal"]) == ("approved", None)


async def test_a_stranger_and_an_unknown_request_get_the_same_answer(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    other_place = await desk.place()
    strangers = [new_person(), await desk.holder(SECURITY_OFFICIAL, other_place.id)]

    def without_trace(answer: httpx.Response) -> dict[str, Any]:
        return {name: value for name, value in answer.json().items() if name != "trace_id"}

    for stranger in strangers:
        theirs = await show(desk, request_id, stranger)
        refused(theirs, "not_found")
        assert without_trace(theirs) == without_trace(await show(desk, RequestId(new_person()), official))
        theirs = await decide(desk, request_id, stranger)
        refused(theirs, "not_an_approver")
        assert without_trace(theirs) == without_trace(await decide(desk, new_person(), official))


async def test_who_lost_the_role_sees_the_request_no_more(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    assert (await show(desk, request_id, official)).status_code == 200
    await desk.hear(desk.assignment(official, SECURITY_OFFICIAL, place.id, status="revoked"))
    refused(await show(desk, request_id, official), "not_found")


async def test_without_a_good_token_nothing_is_told(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    good = desk.token(official)["authorization"]
    for authorization in (None, "Bearer ", "Basic abc", "Bearer abc", good[:-8] + "AAAAAAAA"):
        headers = {} if authorization is None else {"authorization": authorization}
        for answer in (
            await desk.http.get(REQUESTS, headers=headers),
            await desk.http.get(f"{REQUESTS}/{request_id}", headers=headers),
            await desk.http.post(f"{REQUESTS}/{request_id}/decisions", json=APPROVE, headers=headers),
        ):
            refused(answer, "unauthenticated")
            assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


# --- The decision -----------------------------------------------------------------------------------


async def test_a_decision_is_answered_and_repeated_under_its_key(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    etag = (await show(desk, request_id, official)).headers["etag"]
    answer = await decide(desk, request_id, official, if_match=etag, key='"k-1"')
    assert answer.status_code == 201
    made = answer.json()
    assert (made["verdict"], made["state"], made["version"], made["decided_as"]) == (
        "approve",
        "approved",
        2,
        SECURITY_OFFICIAL,
    )
    again = await decide(desk, request_id, official, if_match=None, key="k-1")
    assert (again.status_code, again.json()) == (201, made)
    refused(await decide(desk, request_id, official, DENY, key="k-1"), "idempotency_key_reused")
    told = refused(await decide(desk, request_id, official, if_match=etag), "already_decided")
    assert (told["decided_by"], told["state"]) == (SECURITY_OFFICIAL, "approved")
    assert told["decided_at"] == made["decided_at"]


async def test_a_key_and_a_body_used_for_one_request_do_not_answer_for_another(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    other_id = await desk.submit(kind="create_provider_group", scope_id=place.id)
    assert (await decide(desk, request_id, official, key="k-1")).status_code == 201
    refused(await decide(desk, other_id, official, key="k-1"), "idempotency_key_reused")
    assert (await desk.request(other_id)).state == "pending"


async def test_the_version_that_was_read_must_be_told_and_be_the_present_one(desk: Desk) -> None:
    _, request_id, official = await pending(desk)
    refused(await decide(desk, request_id, official, if_match=None), "if_match_required")
    for if_match in ('"2"', 'W/"1"', "1", "*", '"one"'):
        told = refused(await decide(desk, request_id, official, if_match=if_match), "stale_version")
        assert told["current_version"] == 1
    assert (await decide(desk, request_id, official)).status_code == 201


async def test_an_applicant_and_a_queue_that_may_not_are_forbidden(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    their_own = await desk.submit(kind="create_provider_group", scope_id=place.id, applicant_id=official)
    refused(await decide(desk, their_own, official), "self_approval")
    await desk.look()
    await desk.look()
    refused(await decide(desk, their_own, help_desk), "may_not_approve")
    assert (await decide(desk, their_own, help_desk, DENY)).status_code == 201


async def test_each_conflict_says_what_stands_against_the_decision(desk: Desk) -> None:
    place = await desk.place()
    official = await desk.holder(SECURITY_OFFICIAL, place.id)
    administrator = await desk.holder(ADMINISTRATOR, place.group_id, place.id)
    for _ in range(4):
        await desk.holder(ADMINISTRATOR, place.group_id, place.id)

    async def wish(kind: str, **changes: Any) -> RequestId:
        return await desk.submit(kind=kind, **({"scope_id": place.id, "place_id": place.group_id} | changes))

    refused(await decide(desk, await wish("administer_group"), official), "cardinality_reached")
    refused(await decide(desk, await wish("join_group", applicant_id=official), administrator), "separation_of_duty")

    joining, creating = await wish("join_group"), await desk.submit(kind="create_provider_group", scope_id=place.id)
    await desk.hear(desk.group(place, status="without_administrator"))
    refused(await decide(desk, joining, administrator), "group_not_active")

    await desk.sql("UPDATE organization SET status = 'closed'")
    refused(await decide(desk, creating, official), "organization_not_listed")


async def test_a_vacant_seat_of_the_security_official_is_told(desk: Desk) -> None:
    kinds = tuple(
        kind.model_copy(
            update={
                "stages": (
                    kind.stages[0].model_copy(update={"deciders": (Decider(role=BACKUP, held_in="organization"),)}),
                )
            }
        )
        if kind.code == "become_backup_security_official"
        else kind
        for kind in COMMUNITY.kinds
    )
    await desk.publish(COMMUNITY.model_copy(update={"version": 2, "kinds": kinds}))
    place = await desk.place()
    backup = await desk.holder(BACKUP, place.id)
    request_id = await desk.submit(kind="become_backup_security_official", scope_id=place.id, community_version=2)
    refused(await decide(desk, request_id, backup), "security_official_vacant")


@pytest.mark.parametrize("kind", ["join_group", "administer_group"])
async def test_of_a_kind_that_asks_for_nothing_nothing_is_returned_to_be_corrected(desk: Desk, kind: str) -> None:
    place = await desk.place()
    role, where = {
        "join_group": (ADMINISTRATOR, place.group_id),
        "administer_group": (SECURITY_OFFICIAL, place.id),
    }[kind]
    approver = await desk.holder(role, where, place.id)
    request_id = await desk.submit(kind=kind, scope_id=place.id, place_id=place.group_id)
    body = {"verdict": "return", "reason": "data_unclear"}
    told = refused(await decide(desk, request_id, approver, {**body, "correct": ["group_name"]}), "field_invalid")
    (error,) = told["errors"]
    assert error["pointer"] == "/correct"
    assert "asks for nothing" in error["rule"]
    assert "leave it out" in error["rule"]
    assert (await decide(desk, request_id, approver, body)).status_code == 201


async def test_what_has_ended_says_how(desk: Desk) -> None:
    place, request_id, official = await pending(desk)
    help_desk = await desk.holder(HELP_DESK, COMMUNITY.place_id)
    await desk.decide(request_id, official)
    await desk.refuse(request_id)
    version = f'"{(await desk.request(request_id)).version}"'
    refused(await decide(desk, request_id, help_desk, APPROVE, if_match=version), "field_invalid")
    closed = await decide(desk, request_id, help_desk, {"verdict": "close"}, if_match=version)
    assert (closed.status_code, closed.json()["state"]) == (201, "closed")
    refused(await decide(desk, request_id, help_desk, {"verdict": "close"}), "request_closed")

    late = await desk.submit(kind="create_provider_group", scope_id=place.id)
    desk.wait(timedelta(days=45))
    refused(await decide(desk, late, official), "expired")
    assert (await desk.request(late)).state == "expired"  # Committed, although the answer is a refusal.
    refused(await decide(desk, late, official), "expired")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdict": "perhaps"},
        {"verdict": "deny"},
        {"verdict": "deny", "reason": "because"},
        {"verdict": "approve", "reason": "unknown_person"},
        {"verdict": "approve", "note": "more than is asked"},
        {"verdict": "return"},
        {"verdict": "return", "reason": "suspected_fraud"},
        {"verdict": "deny", "reason": "unknown_person", "correct": ["group_name"]},
        {"verdict": "return", "reason": "data_unclear", "correct": ["Group name"]},
        {"verdict": "return", "reason": "data_unclear", "correct": ["group_name"] * 41},
        [],
    ],
)
def test_a_decision_has_its_shape(body: Any) -> None:
    with pytest.raises((ValidationError, Refusal)):
        DecisionBody.model_validate(body).order(1)


async def test_the_shape_is_looked_at_before_the_request(desk: Desk) -> None:
    stranger = new_person()
    told = refused(await decide(desk, new_person(), stranger, {"verdict": "deny"}), "field_invalid")
    assert told["errors"][0]["pointer"] == "/reason"
    refused(await decide(desk, "not-an-id", stranger), "field_invalid")
    refused(await decide(desk, new_person(), stranger, key="two words"), "field_invalid")
    answer = await desk.http.post(f"{REQUESTS}/{new_person()}/decisions", content=b"{", headers=desk.token(stranger))
    refused(answer, "field_invalid")


async def test_the_description_names_every_operation_parameter_and_refusal(desk: Desk) -> None:
    paths = (await desk.http.get("/approval/openapi.json")).json()["paths"]
    operations = {(method, path): told for path, methods in paths.items() for method, told in methods.items()}
    assert set(operations) == {
        ("get", REQUESTS),
        ("get", "/approval/v1/communities/{community_id}/requests"),
        ("get", f"{REQUESTS}/{{request_id}}"),
        ("put", f"{REQUESTS}/{{request_id}}/claim"),
        ("delete", f"{REQUESTS}/{{request_id}}/claim"),
        ("post", f"{REQUESTS}/{{request_id}}/decisions"),
    }
    for operation in operations.values():
        assert operation["summary"]
        assert {"401", "422", "503"} <= set(operation["responses"])
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert "application/problem+json" in response["content"]
    deciding = operations["post", f"{REQUESTS}/{{request_id}}/decisions"]
    told = {status for status in deciding["responses"] if status < "500"}
    assert told - {"400", "413"} == {"201", "401", "403", "404", "409", "412", "422", "428"}
    assert {parameter["name"].lower() for parameter in deciding["parameters"]} == {
        "request_id",
        "if-match",
        "idempotency-key",
    }
    described = " ".join(response["description"] for response in deciding["responses"].values())
    assert {code for code in REFUSALS if f"`{code}`" not in described} == set()
