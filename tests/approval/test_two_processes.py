"""Two approvers, two processes, two hundred requests: each is decided exactly once."""

import asyncio
import multiprocessing
from datetime import datetime
from typing import Any

from services.approval import tables
from shared.contracts import approval
from shared.tables import outbox
from tests.approval import racer
from tests.approval.builders import BACKUP, SECURITY_OFFICIAL, a_submission
from tests.approval.desk import Desk

COUNT = 200


async def test_of_two_processes_that_decide_a_request_one_wins_and_the_other_learns_who(desk: Desk) -> None:
    place = await desk.place()
    approvers = [await desk.holder(SECURITY_OFFICIAL, place.id), await desk.holder(BACKUP, place.id)]
    submissions = [a_submission("create_provider_group", scope_id=place.id) for _ in range(COUNT)]
    for it in submissions:
        await desk.submit(it)
    ids = [it.request_id for it in submissions]

    ours, theirs = await asyncio.to_thread(_race, desk.db.dsn, approvers, ids)

    decided = {row.request_id: row for row in await desk.rows(tables.decision)}
    assert len(decided) == len(await desk.rows(tables.decision)) == COUNT
    for request_id, first, second in zip(ids, ours, theirs, strict=True):
        winner, loser = (first, second) if "won_as" in first else (second, first)
        made = decided[request_id]
        assert (winner["won_as"], datetime.fromisoformat(winner["at"])) == (made.role, made.decided_at)
        assert (loser["refused"], loser["decided_by"]) == ("already_decided", made.role)
        assert datetime.fromisoformat(loser["decided_at"]) == made.decided_at
    wires = (approval.RequestApproved.wire, approval.RequestDenied.wire)
    said = [row.subject for row in await desk.rows(outbox) if row.type in wires]
    assert sorted(said) == sorted(str(it) for it in ids)


def _race(dsn: str, approvers: list[Any], ids: list[Any]) -> list[list[dict[str, str]]]:
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(len(approvers))
    tell = [spawn.Pipe(duplex=False) for _ in approvers]
    processes = [
        spawn.Process(target=racer.race, args=(dsn, approver, ids, start, tell[n][1]), daemon=True)
        for n, approver in enumerate(approvers)
    ]
    for process in processes:
        process.start()
    for _, sending in tell:
        sending.close()  # So that one that dies is an end of file here, not a wait.
    try:
        return [receiving.recv() for receiving, _ in tell]
    finally:
        for process in processes:
            process.join(timeout=30)
            process.kill()
