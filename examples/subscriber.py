"""Keeps who holds which role in which place. Run: python subscriber.py HOST:PORT [--once]"""

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRecord

STATE, EVENTS = "iacs.directory.state.v1", "iacs.directory.v1"
ASSIGNMENT = "iacs.directory.role_assignment.state.v1"
GRANTED, ENDED = "iacs.directory.role.granted.v1", "iacs.directory.role.ended.v1"


class Subscriber:
    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.held: dict[str, tuple[str, str, str]] = {}  # By role assignment: person, role, place.
        self.known: dict[str, tuple[int, int]] = {}  # By role assignment: up to where we know it.
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
        if ce.get("type") not in (ASSIGNMENT, GRANTED, ENDED):
            return  # Not about roles, or younger than this program.
        at = (int(ce.get("sequence") or ce["asofsequence"]), int(ce.get("entityversion", 0)))
        assignment = ce["subject"]
        if at <= self.known.get(assignment, (0, 0)):
            return  # A repeat, or an event that the state counts already.
        self.known[assignment] = at
        body = json.loads(record.value) if record.value else {}  # No value: deleted.
        is_held = ce["type"] == GRANTED or body.get("status") == "active"
        if is_held and assignment not in self.held:
            self.held[assignment] = (body["person_id"], body["role"], body["place_id"])
            print("+", *self.held[assignment], flush=True)
        elif not is_held and assignment in self.held:
            print("-", *self.held.pop(assignment), flush=True)


if __name__ == "__main__":
    asyncio.run(Subscriber(sys.argv[1]).run(once="--once" in sys.argv))
