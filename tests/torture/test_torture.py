"""After twelve troubles everything that was promised holds; and each promise, once broken, would be seen to be."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.testing.torture import invariants, report
from shared.testing.torture.evidence import Evidence, Row
from shared.testing.torture.troubles import plan
from tests.torture.run import Outcome, torture

SEED = 255008
TROUBLES = plan(SEED, 12, longest_seconds=2.0, rest_seconds=0.5)

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def outcome() -> Iterator[Outcome]:
    with tempfile.TemporaryDirectory(prefix="iacs torture ") as folder:
        yield torture(Path(folder), SEED, TROUBLES, workers=3)


def test_after_twelve_troubles_every_promise_holds(outcome: Outcome) -> None:
    assert outcome.holds, f"{outcome.report}\n{outcome.happened}"


def test_every_process_that_was_killed_is_seen_to_have_died(outcome: Outcome) -> None:
    kills = outcome.evidence.bully.kill_counts
    assert kills
    assert kills.keys() <= outcome.evidence.deaths.keys()


def test_of_the_twelve_one_is_of_each_kind_and_all_services_and_all_that_they_stand_on_are_killed() -> None:
    kinds = {trouble.kind for trouble in TROUBLES}
    assert len(kinds) == 9
    assert "kafka down" in kinds  # It is killed for that.
    killed = {trouble.target for trouble in TROUBLES if trouble.kind == "kill"}
    assert killed == {"nursery", "postgres", "mail", "gateway"}


def test_a_seed_always_draws_the_same_troubles_and_every_kind_of_them() -> None:
    assert plan(7, 30) == plan(7, 30) != plan(8, 30)
    assert len({trouble.kind for trouble in plan(7, 30)}) == 9


def without_first(name: str, **having: object) -> Callable[[Evidence], Evidence]:
    """Return what takes away the first row that is so."""

    def break_it(it: Evidence) -> Evidence:
        rows = list(it.rows[name])
        rows.remove(next(row for row in rows if having.items() <= row.items()))
        return dataclasses.replace(it, rows={**it.rows, name: rows})

    return break_it


def with_first(name: str, **values: object) -> Callable[[Evidence], Evidence]:
    """Return what changes the first row."""

    def break_it(it: Evidence) -> Evidence:
        first, *others = it.rows[name]
        return dataclasses.replace(it, rows={**it.rows, name: [{**first, **values}, *others]})

    return break_it


def _with_rows(it: Evidence, name: str, rows: list[Row]) -> Evidence:
    return dataclasses.replace(it, rows={**it.rows, name: rows})


def _a_mail_too_many(it: Evidence) -> Evidence:
    sent = next(row for row in it.rows["notices"] if row["state"] == "sent" and row["attempt_count"] == 1)
    more = [mail for mail in it.mails if mail["message_id"] == sent["message_id"]]
    return dataclasses.replace(it, mails=[*it.mails, *more])


def _a_mail_too_few(it: Evidence) -> Evidence:
    gone = it.mails[0]["message_id"]  # It may lie there twice.
    return dataclasses.replace(it, mails=[mail for mail in it.mails if mail["message_id"] != gone])


def without_event(wire: str) -> Callable[[Evidence], Evidence]:
    """Return what takes one event of a type away, as often as it was sent."""

    def break_it(it: Evidence) -> Evidence:
        lost = next(same for same in it.copies.values() if same[0].about.type == wire)
        return dataclasses.replace(it, records=[record for record in it.records if record not in lost])

    return break_it


def _out_of_order(it: Evidence) -> Evidence:
    bully = dataclasses.replace(it.bully, cut_places=set())
    return dataclasses.replace(it, records=it.records[::-1], bully=bully)


def _other_bytes(it: Evidence) -> Evidence:
    return dataclasses.replace(it, records=[*it.records, dataclasses.replace(it.good[0], value=b"{}")])


def _one_parked(it: Evidence) -> Evidence:
    place = {"topic": "iacs.approval.v1", "partition": 0, "offset": 0, "key": b"mine", "error": "Boom"}
    return dataclasses.replace(it, parked={**it.parked, "directory": [*it.parked["directory"], place]})


def _a_crash(it: Evidence) -> Evidence:
    book = dataclasses.replace(it.book, answers=[dataclasses.replace(it.book.answers[0], status=500)])
    return dataclasses.replace(it, book=book)


def _a_decision_denied(it: Evidence) -> Evidence:
    book = dataclasses.replace(it.book, calls=[call for call in it.book.calls if call.asked_of("decisions") is None])
    return dataclasses.replace(it, book=book)


def _a_gap(it: Evidence) -> Evidence:
    return dataclasses.replace(it, audit={**it.audit, "approval": it.audit["approval"][1:]})


BROKEN: list[tuple[invariants.Check, Callable[[Evidence], Evidence]]] = [
    (invariants.acts_end, lambda it: dataclasses.replace(it, unfinished=["somebody waits"])),
    (invariants.filed_once, without_first("requests")),
    (invariants.submitted_once, without_first("asked")),
    (invariants.submitted_once, without_event("iacs.registration.request.submitted.v1")),
    (invariants.decided_once, without_first("decisions")),
    (invariants.decided_once, _a_decision_denied),
    (invariants.reached, with_first("requests", state="expired")),
    (invariants.access_is_what_was_approved, without_first("cases", outcome="applied")),
    (invariants.ended_once, with_first("roles", status="revoked")),
    (invariants.said_is_what_is, without_first("roles", status="active")),
    (invariants.said_is_what_is, without_event("iacs.directory.role.granted.v1")),
    (invariants.replicas_agree, with_first("approvals_roles", version=99)),
    (invariants.replicas_agree, without_first("notifications_roles")),
    (invariants.all_was_sent, without_event("iacs.notification.notice.sent.v1")),
    (invariants.repeats_are_the_same, _other_bytes),
    (invariants.sequences_are_whole, without_event("iacs.approval.request.opened.v1")),
    (invariants.sequences_are_whole, _out_of_order),
    (invariants.one_message_for_a_notice, _a_mail_too_many),
    (invariants.one_message_for_a_notice, _a_mail_too_few),
    (invariants.granted_is_told_once, with_first("asked", state="granted", id="another")),
    (invariants.nothing_is_forgotten, lambda it: _with_rows(it, "unattended", [{"id": "1", "state": "pending"}])),
    (invariants.poison_is_parked, _one_parked),
    (invariants.records_are_numbered, _a_gap),
    (invariants.front_door_answers, _a_crash),
    (invariants.only_the_killed_died, lambda it: dataclasses.replace(it, deaths={**it.deaths, "approval": 11})),
]


def test_every_promise_is_broken_once_here() -> None:
    assert {check for check, _ in BROKEN} == set(invariants.CHECKS)


@pytest.mark.parametrize(
    ("check", "break_it"), BROKEN, ids=[f"{check.__name__}-{n}" for n, (check, _) in enumerate(BROKEN)]
)
def test_a_broken_promise_is_seen(
    outcome: Outcome, check: invariants.Check, break_it: Callable[[Evidence], Evidence]
) -> None:
    assert list(check(outcome.evidence)) == []
    assert list(check(break_it(outcome.evidence))), check.__doc__


def test_a_failure_shows_the_sentence_the_request_and_what_happened(outcome: Outcome) -> None:
    asked = outcome.evidence.rows["asked"]
    granted = next(row for row in asked if row["state"] == "granted")
    told_else = [{**row, "state": "withdrawn"} if row is granted else row for row in asked]
    broken = _with_rows(outcome.evidence, "asked", told_else)
    verdict = report.judge(broken)
    told = report.told(verdict, broken, SEED)
    assert not verdict.holds
    assert f"seed {SEED}" in told
    assert "✗ Every request has reached the state that its decisions imply" in told
    assert str(granted["id"]) in told
