"""Writes docs/asyncapi.json: the public topics as AsyncAPI 3.0, for who subscribes to them.

All of it comes from the models, the topics and the envelope; by hand are only the reading rules and
what examples look like. `--check` tells whether the file says what they say.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic.json_schema import models_json_schema

from services.contracts import published
from shared import envelope, ids, topics
from shared.contracts.base import Event, State
from shared.topics import Topic

FILE = Path(__file__).resolve().parent.parent / "docs" / "asyncapi.json"
VERSION = "1.0.0"
"""Of the published language. Within version 1 it only grows, as the topics' names promise."""

Body = type[Event] | type[State]
Json = dict[str, Any]

_BINDING = {"bindingVersion": "0.5.0"}
_TRAIT = "cloudEvent"
_ALWAYS = (
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_subject",
    "ce_time",
    "ce_dataschema",
    "ce_partitionkey",
    "ce_recordedtime",
    "ce_correlationid",
    "content-type",
    "traceparent",
)


# --- The document -----------------------------------------------------------------------------


def document() -> Json:
    """Return the whole document."""
    public = [topic for topic in topics.TOPICS if topic.public]
    bodies = [body for body in published() if topics.BY_NAME[body.topic].public]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "IACS public events",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [
                {"name": "access", "description": "Says what access exists"},
                {"name": "decision", "description": "Says what was asked and decided. Never access"},
                {"name": "state", "description": "What is true of one entity now: the latest record counts"},
            ],
        },
        "defaultContentType": envelope.JSON,
        "servers": _SERVERS,
        "channels": {_channel_name(topic): _channel(topic, bodies) for topic in public},
        "operations": {_operation_name(topic): _operation(topic, bodies) for topic in public},
        "components": {
            "messages": {body.wire: _message(body) for body in bodies},
            "messageTraits": {_TRAIT: _trait()},
            "schemas": _schemas(bodies),
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _channel_name(topic: Topic) -> str:
    owner, *rest = topic.name.split(".")[1:-1]
    return owner + ("State" if rest else "Events")


def _operation_name(topic: Topic) -> str:
    name = _channel_name(topic)
    return f"send{name[0].upper()}{name[1:]}"


def _channel(topic: Topic, bodies: Sequence[Body]) -> Json:
    settings: Json = {name: int(value) for name, value in topic.settings.items() if name != "cleanup.policy"}
    return {
        "address": topic.name,
        "title": _TITLES[topic.name][0],
        "description": _TITLES[topic.name][1],
        "messages": {
            body.wire: {"$ref": f"#/components/messages/{body.wire}"} for body in bodies if body.topic == topic.name
        },
        "tags": _tags(topic),
        "bindings": {
            "kafka": {
                "partitions": topics.PARTITION_COUNT,
                "topicConfiguration": {"cleanup.policy": [topic.settings["cleanup.policy"]], **settings},
                **_BINDING,
            }
        },
        "x-iacs-reading": _reading(topic),
    }


def _operation(topic: Topic, bodies: Sequence[Body]) -> Json:
    channel = f"#/channels/{_channel_name(topic)}"
    return {
        "action": "send",
        "title": _TITLES[topic.name][0],
        "summary": f"We send, you receive: {topic.name}",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{body.wire}"} for body in bodies if body.topic == topic.name],
        "bindings": {"kafka": {"groupId": _GROUP_ID, **_BINDING}},
    }


def _tags(topic: Topic) -> list[Json]:
    names = ["access" if topic.owner == "directory" else "decision"] + (["state"] if topic.is_state else [])
    return [{"name": name} for name in names]


def _message(body: Body) -> Json:
    topic = topics.BY_NAME[body.topic]
    counted = ("ce_entityversion", "ce_asofsequence") if topic.is_state else ("ce_sequence",)
    return {
        "name": body.wire,
        "title": _words(body.__name__),
        "summary": _first_paragraph(body),
        "contentType": envelope.JSON,
        "traits": [{"$ref": f"#/components/messageTraits/{_TRAIT}"}],
        "tags": _tags(topic),
        "headers": {
            "type": "object",
            "properties": {
                "ce_type": {"const": body.wire},
                "ce_dataschema": {"const": envelope.schema_of(body.wire)},
                "ce_source": {"pattern": f"^/iacs/{topic.name}/scopes/{_UUID}$".replace(".", r"\.")},
            },
            # A trait's list would be replaced by this one, not joined with it: so this one is whole.
            "required": [*_ALWAYS, *counted],
        },
        "payload": {"$ref": f"#/components/schemas/{_schema_name(body)}"},
        "bindings": {"kafka": {"key": _key(body), **_BINDING}},
        "examples": examples(body),
    }


def _schemas(bodies: Sequence[Body]) -> Json:
    _, found = models_json_schema(
        [(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}"
    )
    schemas: Json = found["$defs"]
    return schemas


def _schema_name(body: Body) -> str:
    return body.__name__


def _key(body: Body) -> Json:
    if not topics.BY_NAME[body.topic].is_state:
        return {"type": "string", "format": "uuid", "description": "The scope's id, equal to ce_partitionkey"}
    if "definition" in body.model_fields:
        return {"type": "string", "pattern": "^[^@]+@[0-9]+$", "description": "The community's id, @, its version"}
    return {"type": "string", "format": "uuid", "description": "The entity's id, equal to ce_subject"}


def _words(name: str) -> str:
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return spaced[0].upper() + spaced[1:]


def _first_paragraph(body: Body) -> str:
    return " ".join((body.__doc__ or "").split("\n\n", maxsplit=1)[0].split())


# --- Headers ----------------------------------------------------------------------------------

_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NUMBER = {"type": "string", "pattern": f"^[0-9]{{{envelope.SEQUENCE_DIGITS}}}$"}


def _trait() -> Json:
    """Return what every record's headers have in common: what `envelope.headers_of` writes."""
    return {
        "contentType": envelope.JSON,
        "correlationId": {
            "location": "$message.header#/ce_correlationid",
            "description": "The request that led to this; where there was none, the act",
        },
        "headers": {
            "type": "object",
            "required": list(_ALWAYS),
            "properties": {
                "ce_specversion": {"const": envelope.SPEC_VERSION},
                "ce_id": _uuid("Of this fact. A repeat has the same"),
                "ce_source": {"type": "string", "description": "One scope on one topic: ce_sequence counts within it"},
                "ce_type": {"type": "string", "description": "Skip, and count, types that you do not know"},
                "ce_subject": {"type": "string", "description": "Which request, role assignment or entity"},
                "ce_time": _moment("When it happened. Order comes from ce_sequence, never from times"),
                "ce_dataschema": {"type": "string", "format": "uri", "description": "The JSON Schema of the body"},
                "ce_partitionkey": _uuid("The scope: what shares it stays in order"),
                "ce_recordedtime": _moment("When it was made ready to send"),
                "ce_sequence": {**_NUMBER, "description": "On events: 1, 2, 3 … without gaps within ce_source"},
                "ce_entityversion": {
                    "type": "string",
                    "pattern": "^[0-9]{1,19}$",
                    "description": "On states: rises with each record of the entity",
                },
                "ce_asofsequence": {
                    **_NUMBER,
                    "description": "On states: the last event of the scope that this record counts",
                },
                "ce_correlationid": _uuid("The request that led to this; where there was none, the act"),
                "ce_causationid": _uuid("The ce_id of the event that led to this, if one did"),
                "content-type": {"const": envelope.JSON},
                "traceparent": {
                    "type": "string",
                    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
                    "description": "W3C trace context",
                },
            },
        },
    }


def _uuid(description: str) -> Json:
    return {"type": "string", "format": "uuid", "description": description}


def _moment(description: str) -> Json:
    return {"type": "string", "format": "date-time", "description": description}


# --- Reading rules ----------------------------------------------------------------------------


def _reading(topic: Topic) -> Json:
    rules: Json = {
        "access": _ACCESS[topic.owner],
        "ordering": "Everything of one scope (ce_partitionkey: an organization with all its groups and roles, or "
        "the community, person or directory itself) is on one partition, in order. Between scopes there is no order.",
        "delivery": "At least once. A repeat has the same ce_source and ce_id, and the same bytes.",
        "unknownTypes": "Skip them and count them. Within v1 types and optional fields are added, never taken away.",
    }
    if topic.is_state:
        rules |= {
            "retention": "Each entity's latest record is kept. A record without a value deletes its entity: it comes a "
            f"year after the entity's end, and stays readable for {_days(topic, 'delete.retention.ms')} days.",
            "versions": "Of one entity the record with the highest ce_entityversion counts: drop one that is not above "
            "the one you have, also after a deletion.",
            "snapshotAndTail": f"Read this topic from its beginning to its end, then {topic.stream} from its "
            "beginning. Of the events about an entity skip those whose ce_sequence is not above the ce_asofsequence "
            "of that entity's record: it counts them already.",
        }
    else:
        rules |= {
            "retention": f"{_days(topic, 'retention.ms')} days. Who was away for longer begins with the state topic.",
            "gaps": "Within one ce_source ce_sequence has no gaps. A gap means that you missed something: "
            + (
                "read the state topic again."
                if topic.owner == "directory"
                else "read this topic again from its beginning."
            ),
            "consumerGroups": "Yours, and named <agency>.<application>.<purpose>. The first read needs none.",
        }
    return rules | {"deprecation": "None is planned."}


def _days(topic: Topic, setting: str) -> int:
    return timedelta(milliseconds=int(topic.settings[setting])).days


_ABOUT = """\
Who may act for which Medicare provider organization, told to other CMS applications as CloudEvents 1.0 on Kafka \
(binary mode: attributes in headers named ce_…, the body is JSON).

Only the topics of the directory say what access exists. What approval says is that somebody decided: an approval \
becomes access when the directory says role.granted, and not before.

Bodies carry ids, codes and moments; never a person's name, address or number. How to read, with a complete \
subscriber: docs/subscribing.md."""

_ACCESS = {
    "approval": "None of these events is access. request.approved is a decision; the directory may still refuse it "
    "(directory.grant.refused).",
    "directory": "A person holds a role in a place from role.granted to role.ended. The role's meaning in your "
    "application is yours. An account that is locked, disabled or closed cannot act, whatever it holds.",
}
_TITLES = {
    "iacs.approval.v1": ("Requests and decisions", "Where each request stands, and what was decided. Not access."),
    "iacs.directory.v1": ("What access exists, as events", "Organizations, groups, roles: each change as a fact."),
    "iacs.directory.state.v1": (
        "What access exists, as state",
        "The latest of each organization, group, role assignment, account, community and token key.",
    ),
}
_GROUP_ID = {
    "type": "string",
    "pattern": r"^[a-z0-9-]+\.[a-z0-9-]+\.[a-z0-9-]+$",
    "description": "Yours, and named <agency>.<application>.<purpose>",
}
_SECURITY_SCHEMES = {
    "mutualTls": {"type": "X509", "description": "A client certificate of your application"},
    "scramSha512": {"type": "scramSha512", "description": "A user and password of your application, over TLS"},
    "plain": {"type": "plain", "description": "SASL/PLAIN over TLS. Development only"},
}
_SERVERS = {
    "production": {
        "host": "kafka.iacs.example:9093",
        "protocol": "kafka-secure",
        "description": "TLS. You may read the public topics and nothing else",
        "security": [
            {"$ref": "#/components/securitySchemes/mutualTls"},
            {"$ref": "#/components/securitySchemes/scramSha512"},
        ],
    },
    "development": {
        "host": "kafka.dev.iacs.example:9093",
        "protocol": "kafka-secure",
        "description": "Shared by those who develop against IACS; made-up data only",
        "security": [{"$ref": "#/components/securitySchemes/plain"}],
    },
    "embedded": {
        "host": "127.0.0.1:{port}",
        "protocol": "kafka",
        "description": "The one that `make run` starts on your own machine; it asks for nothing",
        "variables": {"port": {"description": "`iacs status` shows it", "default": "9092"}},
    },
}


# --- Examples ---------------------------------------------------------------------------------


def examples(body: Body) -> list[Json]:
    """Return two examples of a type, headers and payload: with all that may be there, and with what must be."""
    return [_example(body, number) for number in (0, 1)]


def stand_ins() -> list[str]:
    """Return the fields of public types for which nobody has said yet what they look like."""
    found: set[str] = set()
    for body in published():
        if topics.BY_NAME[body.topic].public:
            schema = body.model_json_schema()
            for owner in (schema, *schema.get("$defs", {}).values()):
                found |= {
                    f"{owner['title']}.{name}"
                    for name, field in owner["properties"].items()
                    if name not in _VALUES and not _from_schema(field, 0, schema)[1]
                }
    return sorted(found)


def _example(body: Body, number: int) -> Json:
    schema = body.model_json_schema()
    values = _object(schema, schema, number) | dict(_SPECIAL.get(body.wire, ({}, {}))[number])
    made = body.model_validate(values)
    named = (values.get(name) for name in ("scope_id", "organization_id", "practitioner_id"))
    scope = UUID(next((value for value in named if value), None) or str(_scope_of_its_own(body, values)))
    payload = made.model_dump(mode="json")
    is_state = topics.BY_NAME[body.topic].is_state
    happened = next(
        (datetime.fromisoformat(values[name]) for name in values if name.endswith(("_at", "_from", "_until"))),
        datetime.fromisoformat(_HAPPENED[number]),
    )
    row = {
        "id": _id(f"{body.wire} event", number),
        "topic": body.topic,
        "scope_id": scope,
        "type": body.wire,
        "subject": _subject(body, payload),
        "time": happened,
        "recorded_at": happened + timedelta(milliseconds=38),
        "sequence": None if is_state else 7 + number,
        "entity_version": 1 + number if is_state else None,
        "as_of_sequence": 7 + number if is_state else None,
        "correlation_id": payload.get("request_id") or _id("request", number),
        "causation_id": None if number else _id("cause", number),
        "traceparent": f"00-{_hash(body.wire)[:32]}-{_hash(body.wire)[32:48]}-01",
    }
    return {
        "name": f"{body.__name__[0].lower()}{body.__name__[1:]}{number + 1}",
        "summary": ("With everything that may be there", "With only what must be there")[number],
        "headers": {name: value.decode() for name, value in envelope.headers_of(row)},
        "payload": payload,
    }


def _object(schema: Json, root: Json, number: int) -> Json:
    required = schema.get("required", [])
    made: Json = {}
    for name, field in schema["properties"].items():
        if name in required or number == 0:
            made[name] = _VALUES[name][number] if name in _VALUES else _from_schema(field, number, root)[0]
            if made[name] is None and name in required:  # None says "left out", which it may not be here.
                made[name] = _VALUES[name][0]
    return made


def _from_schema(field: Mapping[str, Any], number: int, root: Json) -> tuple[Any, bool]:
    """Return a value that fits, and whether it says something or merely stands in."""
    field = next((choice for choice in field.get("anyOf", []) if choice.get("type") != "null"), field)
    found: tuple[Any, bool]
    match field:
        case {"$ref": reference}:
            found = _object(root["$defs"][reference.rsplit("/")[-1]], root, number), True
        case {"enum": choices}:
            found = choices[number % len(choices)], True
        case {"const": value}:
            found = value, True
        case {"format": "date-time"}:
            found = _HAPPENED[number], True
        case {"format": "uuid"}:
            found = str(_id(field.get("title", "item"), number)), False
        case {"type": "boolean"}:
            found = number == 0, True
        case {"type": "integer"}:
            found = field.get("minimum", 0) + 1, True
        case {"type": "array", "items": items}:
            value, says_something = _from_schema(items, number, root)
            found = [value], says_something
        case {"type": "object"}:
            found = {}, False
        case _:
            found = "example", False
    return found


def _subject(body: Body, payload: Json) -> str:
    if "definition" in payload:
        return f"{payload['community_id']}@{payload['version']}"
    # What an event or state is about comes first in it.
    return str(payload[next(iter(body.model_fields))])


def _scope_of_its_own(body: Body, values: Json) -> UUID:
    if "person_id" in body.model_fields:
        return UUID(values["person_id"])
    return ids.community_place(values["community_id"]) if "community_id" in body.model_fields else ids.directory_scope()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _id(what: str, number: int) -> UUID:
    """Return an id that looks like ours and never changes."""
    return UUID(f"0199a3c{number}-5e10-7a2{number}-9b40-{_hash(f'{what} {number}')[:12]}")


_HAPPENED = ("2026-11-02T14:05:09.120000+00:00", "2026-11-04T09:31:44.702000+00:00")
_EXPIRES = ("2026-12-02T14:05:09.120000+00:00", "2026-12-04T09:31:44.702000+00:00")
_COMMUNITY = "provider-supplier"
_HELP_DESK = str(ids.community_place(_COMMUNITY))


def _ids(what: str) -> tuple[str, str]:
    return str(_id(what, 0)), str(_id(what, 1))


def _assignment(number: int, role: str) -> str:
    return str(ids.assignment_id(ids.RequestId(_id("request", number)), role))


def _entitlement(number: int) -> str:
    return str(ids.entitlement_id(ids.RequestId(_id("request", number))))


_VALUES: Mapping[str, tuple[Any, Any]] = {
    "request_id": _ids("request"),
    "person_id": _ids("person"),
    "applicant_id": _ids("person"),
    "decided_by": _ids("decider"),
    "approver_ids": ([_ids("decider")[0], _ids("second decider")[0]], []),
    "scope_id": _ids("organization"),
    "organization_id": _ids("organization"),
    "group_id": _ids("group"),
    "place_id": (_ids("group")[0], _ids("organization")[1]),
    "place_kind": ("group", "organization"),
    "practitioner_id": _ids("practitioner record"),
    "assignment_id": (_assignment(0, "END_USER"), _assignment(1, "BACKUP_SECURITY_OFFICIAL")),
    "entitlement_id": (_entitlement(0), _entitlement(1)),
    "application": ("CLAIM_STATUS", "PS_AND_R"),
    "company_name": ("ABC Billing Services Inc.", ""),
    "returned_by": _ids("decider"),
    "closed_by": _ids("decider"),
    "ended_by": _ids("decider"),
    "correct": (["group_name"], []),
    "entitlements_end_at": _EXPIRES,
    "closes_at": _EXPIRES,
    "community_id": (_COMMUNITY, _COMMUNITY),
    "community_version": (1, 1),
    "kind": ("join_group", "become_backup_security_official"),
    "role": ("END_USER", "BACKUP_SECURITY_OFFICIAL"),
    "decided_as": ("USER_GROUP_ADMINISTRATOR", "SECURITY_OFFICIAL"),
    "capacity": (
        {"role": "USER_GROUP_ADMINISTRATOR", "place_kind": "group", "place_id": _ids("group")[0]},
        {"role": "SECURITY_OFFICIAL", "place_kind": "organization", "place_id": _ids("organization")[1]},
    ),
    "queues": (
        [{"role": "USER_GROUP_ADMINISTRATOR", "place_kind": "group", "place_id": _ids("group")[0]}],
        [{"role": "HELP_DESK", "place_kind": "community", "place_id": _HELP_DESK}],
    ),
    "queue": (
        {"role": "SECURITY_OFFICIAL", "place_kind": "organization", "place_id": _ids("organization")[0]},
        {"role": "HELP_DESK", "place_kind": "community", "place_id": _HELP_DESK},
    ),
    "stage": (1, 1),
    "round": (1, 1),
    "version": (2, 3),
    "previous_state": ("pending", None),
    "documents_awaited": (["irs_letter"], []),
    "refusal": ("role_conflict", None),
    "expires_at": _EXPIRES,
    "effective_until": _EXPIRES,
    "not_after": ("2027-01-31T14:05:09.120000+00:00", "2027-02-02T09:31:44.702000+00:00"),
    "state": ("MD", "VA"),
    "city": ("Baltimore", "Richmond"),
    "legal_business_name": ("Chesapeake Family Practice LLC", "James River Hospice Inc"),
    "name": ("Billing office", "Night shift"),
    "normalised_name": ("billing office", "night shift"),
    "duplicate_key": (_hash("Chesapeake Family Practice"), _hash("James River Hospice")),
    "reason": ("unknown_person", "document_mismatch"),
    "why": ("no_approver", "overdue"),
    "kid": _ids("token key"),
    "jwk": (
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            "use": "sig",
            "alg": "ES256",
        },
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            "use": "sig",
            "alg": "ES256",
        },
    ),
    "definition": ({"id": _COMMUNITY, "version": 2, "name": "Provider/Supplier Community"},) * 2,
}
"""What a field looks like, in the first and in the second example. What is not here is made from its type."""

_SPECIAL: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "iacs.approval.request.opened.v1": (
        {"version": 1, "previous_state": None, "stage": 0, "state": "awaiting_documents"},
        {"version": 1, "state": "pending"},
    ),
    "iacs.approval.request.awaiting_decision.v1": (
        {"community_address": False},
        {"approver_ids": [], "community_address": True},
    ),
    "iacs.approval.request.reopened.v1": ({"why": "approver_lost_authority"}, {"why": "approver_lost_authority"}),
    "iacs.approval.request.reminded.v1": (
        {"documents_awaited": [], "stage": 1},
        {"awaited": "documents", "stage": 0, "state": "awaiting_documents", "documents_awaited": ["irs_letter"]},
    ),
    "iacs.approval.request.returned.v1": ({"reason": "data_unclear"}, {"reason": "document_mismatch"}),
    "iacs.approval.request.withdrawal_refused.v1": ({"why": "already_decided"}, {"why": "already_decided"}),
    "iacs.approval.request.closed.v1": ({"why": "cannot_be_granted"}, {"why": "cannot_be_granted"}),
    "iacs.approval.request.escalated.v1": ({"why": "cannot_be_granted", "may_approve": False}, {}),
    "iacs.directory.grant.refused.v1": ({"reason": "role_conflict"}, {"reason": "approver_lost_authority"}),
    # An operator appointed this one: there was no request.
    "iacs.directory.role.granted.v1": (
        {},
        {"role": "HELP_DESK", "place_kind": "community", "place_id": _HELP_DESK, "scope_id": _HELP_DESK},
    ),
    "iacs.directory.entitlement.granted.v1": ({}, {"role": "USER_GROUP_ADMINISTRATOR"}),
    "iacs.directory.entitlement.ended.v1": ({"effective_until": _HAPPENED[0]}, {"effective_until": _HAPPENED[1]}),
    "iacs.directory.entitlement.state.v1": (
        {"effective_until": None},
        {"status": "ended", "effective_from": _HAPPENED[0], "effective_until": _HAPPENED[1]},
    ),
    "iacs.directory.role.ended.v1": ({"effective_until": _HAPPENED[0]}, {"effective_until": _HAPPENED[1]}),
    "iacs.directory.role_assignment.state.v1": (
        {"effective_until": None},
        {"status": "ended", "effective_from": _HAPPENED[0], "effective_until": _HAPPENED[1]},
    ),
    "iacs.directory.account.changed.v1": (
        {"previous_state": "active", "state": "locked", "until": "2026-11-02T14:20:09.120000+00:00"},
        {"previous_state": "invited", "state": "active"},
    ),
    "iacs.directory.account.state.v1": ({"status": "active"}, {"status": "locked"}),
    "iacs.directory.community.state.v1": ({"version": 2}, {"version": 2}),
}
"""What a single type's examples have otherwise."""


def text() -> str:
    """Return what the file must hold."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file, or with --check say that it is out of date."""
    wanted = text()
    if "--check" in sys.argv:
        if not FILE.exists() or FILE.read_text(encoding="utf-8") != wanted:
            sys.exit("Out of date: docs/asyncapi.json. Run `make contracts`.")
        return
    FILE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
