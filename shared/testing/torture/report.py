"""Tells what was done, whether each promise held, and what was measured."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from shared.testing.product import Product
from shared.testing.torture.evidence import Evidence, about_request
from shared.testing.torture.invariants import CHECKS, Fault

_FAULTS_SHOWN = 8
_AFTERMATH_SECONDS = 6.0
_OUTAGES = ("kafka down", "smtp")


@dataclass(frozen=True)
class Verdict:
    """Each promise, and how it was broken."""

    found: list[tuple[str, list[Fault]]]

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return not any(faults for _, faults in self.found)


def judge(evidence: Evidence) -> Verdict:
    """Check every promise."""
    return Verdict([((check.__doc__ or "").splitlines()[0], list(check(evidence))) for check in CHECKS])


def told(verdict: Verdict, evidence: Evidence, seed: int) -> str:
    """Return the report: each promise in one sentence, then the numbers."""
    lines = [f"Torture with seed {seed}: {len(evidence.bully.windows)} troubles"]
    for sentence, faults in verdict.found:
        lines.append(f"  {'✗' if faults else '✓'} {sentence}")
        lines += [f"      {fault.request_id or ''} {fault.says}".replace("  ", " ") for fault in faults[:_FAULTS_SHOWN]]
    return "\n".join([*lines, *(f"  · {line}" for line in measured(evidence))])


def measured(it: Evidence) -> list[str]:
    """Return what was counted and timed."""
    ends = Counter(row["state"] for row in it.rows["requests"])
    kinds = Counter(row["kind"] for row in it.rows["requests"])
    troubles = Counter(trouble.kind for _, _, trouble in it.bully.windows)
    again = sum(len(same) - 1 for same in it.copies.values())
    copies = sum(count - 1 for count in Counter(mail["message_id"] for mail in it.mails).values())
    outage = [answer.seconds for answer in it.book.answers if _is_outage(it, answer.at)]
    return [
        f"requests: {_counts(kinds)}; they ended {_counts(ends)}",
        f"promises: {sum(call.is_promise for call in it.book.calls)}, of which repeated until answered "
        f"{sum(call.is_promise and call.try_count > 1 for call in it.book.calls)}; "
        f"decisions {len(it.rows['decisions'])}, roles {len(it.rows['roles'])} ({len(it.ended_ids)} ended), "
        f"entitlements {len(it.rows['entitlements'])}",
        f"troubles: {_counts(troubles)}; kills of {_counts(Counter(it.bully.kill_counts)) or 'nothing'}",
        f"records on topics: {len(it.records)}; lying there twice by a relay {again - it.bully.appended_count}, "
        f"by us {it.bully.appended_count}; sent again after a cut {it.lost_count}; "
        f"parked {sum(map(len, it.parked.values()))}",
        f"mails: {len(it.mails)} for {sum(row['state'] == 'sent' for row in it.rows['notices'])} notices; "
        f"repeated under the same id {copies}",
        f"answers of services: {len(it.book.answers)}, {_times([one.seconds for one in it.book.answers])}; "
        f"503 {sum(one.status == 503 for one in it.book.answers)} times; "
        f"tries without any service's answer {it.book.unanswered_count}",
        f"while only Kafka or mail was away: {len(outage)} answers, {_times(outage)}",
    ]


def what_happened(product: Product, verdict: Verdict, evidence: Evidence) -> str:
    """Return what is needed to understand a failure: the timeline, and the requests concerned."""
    lines = ["Timeline (seconds, who, what):", *map(str, evidence.book.timeline.moments)]
    concerned = [fault.request_id for _, faults in verdict.found for fault in faults if fault.request_id]
    for request_id in list(dict.fromkeys(concerned))[:_FAULTS_SHOWN]:
        lines += [f"Request {request_id}:"]
        lines += [
            f"  {call.at:8.2f} {call.method} {call.path}: {call.status} after {call.try_count} tries"
            for call in evidence.book.calls
            if request_id in (call.answer.get("request_id"), call.path.split("/")[-2])
        ]
        lines += [f"  {line}" for line in about_request(product, evidence, request_id)]
    return "\n".join(lines)


def _is_outage(it: Evidence, at: float) -> bool:
    """Whether nothing but Kafka or mail was in trouble then, nor just before."""

    def is_light(kind: str, target: str) -> bool:
        return kind in _OUTAGES or (kind in ("pause", "kill") and target in ("kafka", "mail"))

    around = [
        is_light(trouble.kind, trouble.target)
        for began, ended, trouble in it.bully.windows
        if began <= at < ended + (0 if is_light(trouble.kind, trouble.target) else _AFTERMATH_SECONDS)
    ]
    return bool(around) and all(around)


def _times(seconds: Iterable[float]) -> str:
    found = sorted(seconds)
    return f"p50 {median(found) * 1000:.0f} ms, max {found[-1]:.1f} s" if found else "none"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
