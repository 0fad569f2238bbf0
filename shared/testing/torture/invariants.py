"""What must hold once all is quiet, whatever has happened. Each function's first line is the promise it checks."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared import deployment, topics
from shared.testing.product import by_source
from shared.testing.torture.calls import Call
from shared.testing.torture.evidence import Evidence, topics_of
from shared.testing.torture.troubles import POISON_KEY


@dataclass(frozen=True)
class Fault:
    """One way in which a promise was broken, and the request concerned if it is one."""

    says: str
    request_id: str | None = None


Check = Callable[[Evidence], Iterator[Fault]]
CHECKS: list[Check] = []


def promised(check: Check) -> Check:
    """Enter a check in the list."""
    CHECKS.append(check)
    return check


@promised
def acts_end(it: Evidence) -> Iterator[Fault]:
    """Everything that people began came to its end."""
    for what in it.unfinished:
        yield Fault(what)


@promised
def filed_once(it: Evidence) -> Iterator[Fault]:
    """Every request that was accepted is there once, and no other is."""
    accepted = Counter(call.answer["request_id"] for call in it.promises("POST", "/v1/requests") if call.status == 201)
    there = Counter(row["id"] for row in it.rows["requests"])
    for request_id in accepted | there:
        if (accepted[request_id], there[request_id]) != (1, 1):
            yield Fault(f"accepted {accepted[request_id]} times, stored {there[request_id]} times", request_id)


@promised
def submitted_once(it: Evidence) -> Iterator[Fault]:
    """Every submitted request was announced once, opened once by approval, and has one dossier in the directory."""
    announced = Counter(it.subjects("iacs.registration.request.submitted.v1"))
    opened = Counter(row["id"] for row in it.rows["asked"])
    known = Counter(row["request_id"] for row in it.rows["cases"])
    submitted = {row["id"] for row in it.rows["requests"] if row["person_id"]}
    for request_id in submitted | set(opened) | set(announced) | set(known):
        counts = (int(request_id in submitted), announced[request_id], opened[request_id], known[request_id])
        if counts != (1, 1, 1, 1):
            yield Fault(f"submitted, announced, opened, known {counts} times", request_id)


@promised
def decided_once(it: Evidence) -> Iterator[Fault]:
    """Every decision that was accepted is there once under its key, and no other is."""
    accepted = {call.key: call for call in it.promises("POST", "/decisions")}
    stored = {row["idempotency_key"]: row for row in it.rows["decisions"]}
    for key in accepted.keys() | stored.keys():
        call, row = accepted.get(key), stored.get(key)
        if call is None:
            assert row is not None
            yield Fault("a decision was stored that nobody was told of", row["request_id"])
        elif row is None or row["verdict"] != call.sent["verdict"]:
            yield Fault("an accepted decision is not there", call.asked_of("decisions"))
    if len(stored) != len(it.rows["decisions"]):
        yield Fault("two decisions have one key")


@promised
def reached(it: Evidence) -> Iterator[Fault]:
    """Every request has reached the state that its decisions imply, and registration tells the same as approval."""
    by_request: dict[str, list[Call]] = defaultdict(list)
    for call in it.book.calls:
        for ending in ("decisions", "corrections", "withdrawal", "email-proof"):
            if request_id := call.asked_of(ending):
                by_request[request_id].append(call)
    asked = {row["id"]: row["state"] for row in it.rows["asked"]}
    for row in it.rows["requests"]:
        expected = _implied(by_request[row["id"]], is_submitted=row["person_id"] is not None)
        if row["state"] not in expected:
            yield Fault(f"{row['kind']} is {row['state']}, expected {' or '.join(sorted(expected))}", row["id"])
        if row["person_id"] and asked.get(row["id"]) != row["state"]:
            yield Fault(f"registration says {row['state']}, approval {asked.get(row['id'])}", row["id"])


def _implied(calls: list[Call], *, is_submitted: bool) -> set[str]:
    """Return where a request may stand after these calls."""
    if not is_submitted:
        return {"awaiting_email_proof", "awaiting_sign_in"}
    decided = [call for call in calls if call.asked_of("decisions") and call.is_promise]
    last = max(decided, key=lambda call: call.answer["decided_at"], default=None)
    after = {"approve": {"granted"}, "deny": {"denied"}, "return": {"returned"}}
    if last is not None and (last.answer["state"] != "pending"):
        verdict = last.sent["verdict"]
        if verdict != "return":
            return after[verdict]
        is_corrected = any(call.asked_of("corrections") and call.is_promise for call in calls)
        return {"pending"} if is_corrected else {"returned"}
    # A wish whose answer was lost, and which was then refused as done, has had its effect all the same.
    if any(call.asked_of("withdrawal") for call in calls):
        return {"withdrawn"}
    return {"pending", "awaiting_documents"}


@promised
def access_is_what_was_approved(it: Evidence) -> Iterator[Fault]:
    """Roles and entitlements in the directory are exactly the approvals that were not refused."""
    given = Counter(
        row["request_id"] for name in ("roles", "entitlements") for row in it.rows[name] if row["request_id"]
    )
    granted = {row["id"] for row in it.rows["asked"] if row["state"] == "granted"}
    applied = {row["request_id"] for row in it.rows["cases"] if row["outcome"] == "applied"}
    for request_id in set(given) | granted | applied:
        counts = (given[request_id], int(request_id in granted), int(request_id in applied))
        if counts != (1, 1, 1):
            yield Fault(f"given, granted, applied {counts} times", request_id)


@promised
def ended_once(it: Evidence) -> Iterator[Fault]:
    """Every role that was left or taken has ended, no other has, and no entitlement outlives its role."""
    ended = {row["id"]: row for row in it.rows["roles"] if row["status"] != "active"}
    for assignment_id in it.ended_ids ^ ended.keys():
        yield Fault(f"the role assignment {assignment_id} ended {int(assignment_id in ended)} times")
    for row in it.rows["entitlements"]:
        if (row["status"] == "active") == (row["assignment_id"] in ended):
            yield Fault(f"an entitlement is {row['status']} beside its role", row["request_id"])


@promised
def said_is_what_is(it: Evidence) -> Iterator[Fault]:
    """The directory's events and newest states say exactly what its tables say."""
    for name, noun in (("roles", "role"), ("entitlements", "entitlement")):
        rows = {row["id"]: row for row in it.rows[name]}
        over = {row_id for row_id, row in rows.items() if row["status"] != "active"}
        for event, expected in (("granted", set(rows)), ("ended", over)):
            said = Counter(it.subjects(f"iacs.directory.{noun}.{event}.v1"))
            for row_id in set(said) | expected:
                if said[row_id] != int(row_id in expected):
                    yield Fault(f"{noun}.{event} was said {said[row_id]} times of {row_id}")
    newest: dict[str, int] = {}
    for record in it.good:
        if record.about.type in (
            "iacs.directory.role_assignment.state.v1",
            "iacs.directory.entitlement.state.v1",
        ):
            version = record.about.entity_version or 0
            newest[record.about.subject] = max(version, newest.get(record.about.subject, 0))
    there = {row["id"]: row["version"] for name in ("roles", "entitlements") for row in it.rows[name]}
    for row_id in newest.keys() | there.keys():
        if newest.get(row_id) != there.get(row_id):
            yield Fault(f"the state of {row_id}: version {newest.get(row_id)} told, {there.get(row_id)} stored")


@promised
def replicas_agree(it: Evidence) -> Iterator[Fault]:
    """Approval and notification know of every role what the directory knows."""
    true = {row["id"]: (row["version"], row["status"]) for row in it.rows["roles"]}
    for service, rows in (("approval", "approvals_roles"), ("notification", "notifications_roles")):
        known = {row["id"]: (row["version"], row["status"]) for row in it.rows[rows]}
        for row_id in true.keys() | known.keys():
            if true.get(row_id) != known.get(row_id):
                yield Fault(f"{service} knows {row_id} as {known.get(row_id)}, the directory as {true.get(row_id)}")


@promised
def all_was_sent(it: Evidence) -> Iterator[Fault]:
    """What lies on each topic is exactly what its service's outbox says, byte by byte."""
    for service in deployment.SERVICES:
        rows = {(row["topic"], str(row["id"])): row for row in it.outbox[service]}
        on_log = {place for place in it.copies if place[0] in topics_of(service)}
        for place in rows.keys() ^ on_log:
            yield Fault(f"{' '.join(place)} is {'in the outbox' if place in rows else 'on the topic'} only")
        for place in rows.keys() & on_log:
            body = None if rows[place]["body"] is None else rows[place]["body"].encode()
            if rows[place]["sent_at"] is None or it.copies[place][0].value != body:
                yield Fault(f"{' '.join(place)} is not as the outbox says")


@promised
def repeats_are_the_same(it: Evidence) -> Iterator[Fault]:
    """A record that was sent again is the same to the byte, on the same partition."""
    for place, same in it.copies.items():
        if len({(one.partition, one.key, one.value, one.headers) for one in same}) > 1:
            yield Fault(f"{' '.join(place)} was sent again with other bytes")


@promised
def sequences_are_whole(it: Evidence) -> Iterator[Fault]:
    """Within each source the sequences are contiguous and in order (in order only where the log was not cut)."""
    cut = it.bully.cut_places
    in_order = by_source([record for record in it.good if (record.topic, record.partition) not in cut])
    for source, numbers in in_order.items():
        if numbers != list(range(1, len(numbers) + 1)):
            yield Fault(f"{source}: {numbers}")
    for source, numbers in by_source(it.good).items():
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            yield Fault(f"{source}: {sorted(numbers)}")


@promised
def one_message_for_a_notice(it: Evidence) -> Iterator[Fault]:
    """Every notice was mailed under one Message-ID, and again only after a try whose end nobody knows."""
    copies = Counter(mail["message_id"] for mail in it.mails)
    ended: dict[str, set[int]] = defaultdict(set)
    for row in it.rows["attempts"]:
        if row["outcome"] in ("accepted", "deferred", "refused", "unreachable"):
            ended[row["notice_id"]].add(row["number"])
    notices = {row["message_id"]: row for row in it.rows["notices"] if row["message_id"]}
    for message_id in copies.keys() - notices.keys():
        yield Fault(f"a mail came of no notice: {message_id}")
    for message_id, row in notices.items():
        unknown = row["attempt_count"] - len(ended[row["id"]])
        if row["state"] == "sent" and copies[message_id] == 0:
            yield Fault(f"{row['name']} counts as sent and never came", row["request_id"])
        if copies[message_id] > 1 + unknown:
            yield Fault(f"{row['name']} came {copies[message_id]} times", row["request_id"])


@promised
def granted_is_told_once(it: Evidence) -> Iterator[Fault]:
    """Whose request was granted was told so by one notice, and nobody else was."""
    told = Counter(
        row["request_id"]
        for row in it.rows["notices"]
        if row["name"] in ("granted_new_person", "granted_known_person", "granted_application")
        and row["state"] == "sent"
    )
    granted = {row["id"] for row in it.rows["asked"] if row["state"] == "granted"}
    for request_id in set(told) | granted:
        if told[request_id] != int(request_id in granted):
            yield Fault(f"told {told[request_id]} times", request_id)


@promised
def nothing_is_forgotten(it: Evidence) -> Iterator[Fault]:
    """No open request is without a timer and without a queue."""
    for row in it.rows["unattended"]:
        yield Fault(f"it is {row['state']}, and nothing will ever happen", row["id"])


@promised
def poison_is_parked(it: Evidence) -> Iterator[Fault]:
    """Every bad record is parked once by each service that reads its topic, and nothing else is."""
    bad = {(record.topic, record.partition, record.offset) for record in it.records if record.key == POISON_KEY}
    for service in deployment.SERVICES:
        parked = Counter((row["topic"], row["partition"], row["offset"]) for row in it.parked[service])
        for place in {place for place in bad if place[0] in it.hears[service]} - parked.keys():
            yield Fault(f"{service} did not park {place}")
        for row in it.parked[service]:
            place = (row["topic"], row["partition"], row["offset"])
            if row["key"] != POISON_KEY or parked[place] != 1:
                yield Fault(f"{service} parked {place}: {row['error']}")


@promised
def records_are_numbered(it: Evidence) -> Iterator[Fault]:
    """Each service's audit record is numbered without a gap."""
    for service, rows in it.audit.items():
        numbers = {row["number"] for row in rows}
        if odd := numbers ^ set(range(1, len(rows) + 1)):
            yield Fault(f"{service}: {len(rows)} entries, and these numbers are missing or too many: {odd}")


@promised
def front_door_answers(it: Evidence) -> Iterator[Fault]:
    """No service answered with a 5xx other than 503."""
    for (status, path), count in Counter((one.status, one.path) for one in it.book.answers).items():
        if status >= 500 and status != 503:
            yield Fault(f"{status} from {path}, {count} times")


@promised
def only_the_killed_died(it: Evidence) -> Iterator[Fault]:
    """No process ended by itself: each that had to be started again had been killed, or its nursery had."""
    kills = it.bully.kill_counts
    for name, deaths in it.deaths.items():
        inflicted = kills.get(name, 0) + (kills.get("nursery", 0) if name in deployment.SERVICES else 0)
        if deaths > inflicted:
            yield Fault(f"{name} ended {deaths} times and was killed {inflicted} times")


assert set(topics.BY_NAME) == {name for service in deployment.SERVICES for name in topics_of(service)}
