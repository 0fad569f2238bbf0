"""Keeps who holds which role and may use which application. Run: python subscriber.py HOST:PORT [--once]"""

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRecord

STATE, EVENTS = "iacs.directory.state.v1", "iacs.directory.v1"
ROLE, ENTITLEMENT = ("person_id", "role", "place_id"), ("person_id", "application", "assignment_id")
KINDS = {f"iacs.directory.{kind}.v1": ROLE for kind in ("role_assignment.state", "role.granted", "role.ended")}
KINDS |= {f"iacs.directory.entitlement.{kind}.v1": ENTITLEMENT for kind in ("state", "granted", "ended")}


class Subscriber:
    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.held: dict[str, list[str]] = {}  # By subject: person, role or application, where or on what it rests.
        self.known: dict[str, tuple[int, int]] = {}  # By subject: up to where we know it.
        self.last: dict[str, int] = {}  # By source: the number of its last event.

    async def run(self, once: bool) -> None:
        await self.read(STATE, to_end=True)
        await self.read(EVENTS, to_end=once)

    async def read(self, topic: str, to_end: bool) -> None:
        # No group, nothing committed: each start reads everything, and ends with the same.
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=self.servers, auto_offset_reset="earliest")
        await consumer.start()
        try:
            ends = await consumer.end_offsets(consumer.assignment())
            while not to_end or any([await consumer.position(place) < end for place, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        await self.take(record)
        finally:
            await consumer.stop()

    async def take(self, record: ConsumerRecord) -> None:
        ce = {name[3:]: value.decode() for name, value in record.headers if name.startswith("ce_")}
        if "sequence" in ce:
            source, number = ce["source"], int(ce["sequence"])
            if number > self.last.setdefault(source, number - 1) + 1:
                await self.read(STATE, to_end=True)  # A gap: we missed something, the state did not.
            self.last[source] = max(self.last[source], number)
        if ce.get("type") not in KINDS:
            return  # Not about access, or younger than this program.
        at = (int(ce.get("sequence") or ce["asofsequence"]), int(ce.get("entityversion", 0)))
        subject = ce["subject"]
        if at <= self.known.get(subject, (0, 0)):
            return  # A repeat, or an event that the state counts already.
        self.known[subject] = at
        body = json.loads(record.value) if record.value else {}  # No value: deleted.
        is_held = ce["type"].endswith(".granted.v1") or body.get("status") == "active"
        if is_held and subject not in self.held:
            self.held[subject] = [body[name] for name in KINDS[ce["type"]]]
            print("+", *self.held[subject], flush=True)
        elif not is_held and subject in self.held:
            print("-", *self.held.pop(subject), flush=True)


if __name__ == "__main__":
    asyncio.run(Subscriber(sys.argv[1]).run(once="--once" in sys.argv))
