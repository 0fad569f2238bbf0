"""What must be true of the product once all is quiet, whatever has happened to it."""

import json
from collections import defaultdict

from shared import deployment
from shared.testing.product import Product, by_source


def everything_holds(product: Product) -> None:
    """What must be true once all is quiet, whatever has happened."""
    records = [r for r in product.records() if any(name == "ce_id" for name, _ in r.headers)]

    grants = product.rows("directory", "SELECT person_id, role, place_id FROM role_assignment WHERE status = 'active'")
    latest: dict[bytes | None, tuple[int, str, tuple[str, str, str]]] = {}
    for record in records:
        if record.about.type == "iacs.directory.role_assignment.state.v1":
            body = json.loads(record.value or b"{}")
            grant = (body["person_id"], body["role"], body["place_id"])
            latest[record.key] = (record.about.entity_version or 0, body["status"], grant)
    assert {g for _, status, g in latest.values() if status == "active"} == {
        (str(g["person_id"]), g["role"], str(g["place_id"])) for g in grants
    }

    sources = by_source(records)
    assert {s: n for s, n in sources.items() if n != list(range(1, len(n) + 1))} == {}

    # One approval, one grant: by natural key, not by luck.
    answers = product.rows("directory", "SELECT outcome, count(*) AS n FROM grant_case GROUP BY outcome")
    approved = product.rows("approval", "SELECT count(*) AS n FROM request WHERE state IN ('granted', 'approved')")
    assert {a["outcome"]: a["n"] for a in answers}.get("applied") == approved[0]["n"]

    # The same notice to the same person is one message, however often it was sent.
    mails = defaultdict(set)
    for row in product.rows("notification", "SELECT * FROM notice WHERE state = 'sent'"):
        mails[row["message_id"]].add(row["id"])
    assert all(len(notices) == 1 for notices in mails.values())

    for service in deployment.SERVICES:
        assert product.parked(service) == []
