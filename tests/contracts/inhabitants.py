"""Who and what lives in each service: made once by the desks of the services' own tests."""

import asyncio
import time
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
from sqlalchemy import insert

from services.approval import tables as approval_tables
from services.approval.domain import Verdict
from services.directory import tables as directory_tables
from services.registration import tables as registration_tables
from shared import tokens
from shared.contracts import approval, directory
from shared.contracts.community import Community
from shared.database import Database
from shared.ids import PersonId, application_place, new_id
from shared.tables import replica
from tests.approval import builders as approval_builders
from tests.approval import desk as approval_desk
from tests.contracts.applications import DIRECTORY_KEY, NOTIFICATION_KEY, SIGNER, Service
from tests.contracts.living import Deed, Living
from tests.directory import desk as directory_desk
from tests.directory.builders import COMMUNITY, TIN, role_of
from tests.notification import builders as notices
from tests.notification.test_api import account, holds
from tests.registration import desk as registration_desk

_COMMUNITIES = Path(__file__).parents[2] / "shared" / "communities"
_NOBODY: Final[Mapping[str, str]] = {}


async def in_approval(db: Database, http: httpx.AsyncClient, _: Path) -> Living:
    """Requests in every state, two officials, a user group's administrator, the help desk and an auditor."""
    desk = approval_desk.Desk(db, http, SIGNER)
    await desk.publish(approval_builders.COMMUNITY)
    await desk.trust_tokens()
    async with db.begin() as tx:
        await tx.execute(insert(replica).values(topic=directory.STATE_TOPIC, complete_at=tx.now))
    place = await desk.place()
    official = await desk.holder("SECURITY_OFFICIAL", place.id)
    administrator = await desk.holder("USER_GROUP_ADMINISTRATOR", place.group_id, place.id)
    helper = await desk.holder("HELP_DESK", COMMUNITY.place_id)
    auditor = await desk.holder("AUDITOR", COMMUNITY.place_id)
    its: dict[str, Any] = {"scope_id": place.id, "place_id": place.group_id}
    requests = [await desk.submit(kind="join_group", **its) for _ in range(12)]
    requests += [await desk.submit(kind="administer_group", **its) for _ in range(4)]
    own = [await desk.submit(kind="join_group", applicant_id=person, **its) for person in (administrator, official)]
    registering = [await desk.submit(approval_builders.an_organization(scope_id=new_id())) for _ in range(3)]
    for request_id in registering[:2]:
        await desk.document(request_id)
    await desk.decide(requests[0], administrator, Verdict.DENY)
    await desk.decide(requests[1], administrator)
    stale, held, corrected = requests[2], requests[3], {"correct": ["irs_letter"]}
    await desk.decide(held, administrator)
    await desk.refuse(held)
    by_administrator, by_official, by_helper, by_auditor, by_stranger = (
        desk.token(person) for person in (administrator, official, helper, auditor, approval_builders.new_person())
    )

    def deciding(request_id: UUID, by: Mapping[str, str], version: int | None, **body: Any) -> Deed:
        condition = {} if version is None else {"if-match": f'"{version}"'}
        return Deed({**by, **condition}, {"request_id": str(request_id)}, body)

    versions = {row.id: row.version for row in await desk.rows(approval_tables.request)}
    return Living(
        "approval",
        http,
        asyncio.get_running_loop(),
        callers=[by_administrator, by_official, by_helper, by_auditor, by_stranger, _NOBODY],
        known={"request_id": [str(it) for it in [*requests, *own, *registering]], "community_id": [COMMUNITY.id]},
        deeds={
            "decide": [
                *(deciding(it, by_administrator, versions[it], verdict="approve") for it in requests[4:8]),
                *(
                    deciding(it, by_administrator, versions[it], verdict="deny", reason="wrong_path")
                    for it in requests[8:10]
                ),
                deciding(
                    requests[10], by_administrator, versions[requests[10]], verdict="return", reason="document_missing"
                ),
                deciding(
                    registering[0],
                    by_helper,
                    versions[registering[0]],
                    verdict="return",
                    reason="document_missing",
                    **corrected,
                ),
                deciding(registering[1], by_helper, versions[registering[1]], verdict="approve"),
                deciding(held, by_helper, versions[held], verdict="retry"),
                deciding(requests[0], by_administrator, 1, verdict="approve"),
                deciding(stale, by_administrator, 99, verdict="approve"),
                deciding(stale, by_administrator, None, verdict="approve"),
                deciding(stale, by_stranger, 1, verdict="approve"),
                deciding(own[0], by_administrator, versions[own[0]], verdict="approve"),
                deciding(own[1], by_official, versions[own[1]], verdict="approve"),
                deciding(stale, by_administrator, versions[stale], verdict="approve", reason="wrong_path"),
            ],
            "claim": [Deed(by_administrator, {"request_id": str(it)}) for it in (stale, requests[0])],
            "release": [Deed(by_administrator, {"request_id": str(it)}) for it in (stale, requests[0])],
            "list_requests": [Deed(by_helper, {"community_id": COMMUNITY.id})],
            "list_queue": [Deed(by_administrator)],
            "show": [Deed(by, {"request_id": str(stale)}) for by in (by_administrator, by_helper)],
        },
    )


async def in_directory(db: Database, http: httpx.AsyncClient, _: Path) -> Living:
    """Two organizations with groups, people of every role in them, entitlements and a practitioner."""
    desk = directory_desk.Desk(db, http)
    await desk.prepare()
    one, other = await desk.organization(), await desk.organization("Riverside Clinic")
    group, _second = await desk.group(one), await desk.group(one, group_name="Claims")
    members = [await desk.joined(one, group) for _ in range(6)]
    backup = await desk.backup(one)
    for it in members[:4]:
        await desk.entitled(it, one.applicant.person_id)
    practitioner = await desk.practitioner()
    people = [
        one.applicant.person_id,
        group.applicant.person_id,
        members[0].applicant.person_id,
        backup.applicant.person_id,
        practitioner.applicant.person_id,
        desk.help_desk,
    ]
    user_ids = [str((await desk.account(person)).user_id) for person in people]
    callers = [await desk.headers(person) for person in people]
    session = await desk.sign_in(user_ids[-1])
    cookie = {"cookie": f"iacs_session={session.cookies['iacs_session']}"}
    entitlements = [str(row.id) for row in await desk.rows(directory_tables.entitlement)]
    roles = [str(role_of(it)) for it in (one, other, group, *members, backup, practitioner)]
    return Living(
        "directory",
        http,
        asyncio.get_running_loop(),
        callers=[*callers, *callers, _NOBODY],
        known={
            "organization_id": [str(one.scope_id), str(one.scope_id), str(other.scope_id)],
            "community_id": [COMMUNITY.id],
            "assignment_id": roles,
            "entitlement_id": entitlements,
            "name": ["XYZ", "R"],
            "similar": ["Riverside", "xyz group"],
        },
        deeds={
            "search_organizations": [
                Deed(callers[-1], body={"tin": TIN}),
                Deed(callers[-1], body={"npi": "1234567893"}),
                Deed(callers[0], body={"npi": "1234567893"}),
            ],
            "sign_in": [
                *(Deed(body={"user_id": user_id, "password": directory_desk.PASSWORD}) for user_id in user_ids[:2]),
                Deed(body={"user_id": user_ids[0], "password": "not the password at all"}),
            ],
            "ask_password_link": [Deed(body={"user_id": user_id}) for user_id in (user_ids[0], "K7MQ42XP")],
            "close_organization": [
                Deed(callers[-1], {"organization_id": str(other.scope_id)}, {"confirm": "Riverside Clinic"}),
                Deed(callers[0], {"organization_id": str(one.scope_id)}, {"confirm": "Riverside Clinic"}),
            ],
            "end_role": [
                Deed(callers[0], {"assignment_id": str(role_of(one))}),
                Deed(callers[1], {"assignment_id": str(role_of(members[5]))}),
                Deed(callers[5], {"assignment_id": str(role_of(other))}),
            ],
            "end_entitlement": [Deed(callers[1], {"entitlement_id": entitlements[0]})],
            "list_deciders": [Deed(callers[2], {"organization_id": str(one.scope_id)})],
            "list_people": [Deed(callers[0], {"organization_id": str(one.scope_id)})],
            "renew": [Deed(cookie), Deed({"cookie": "iacs_session=x"})],
            "sign_out": [Deed({"cookie": "iacs_session=x"})],
            "list_organizations": [Deed(values={"community_id": COMMUNITY.id, "name": "XYZ"})],
            "show_organization": [Deed(values={"organization_id": str(one.scope_id)})],
            "list_groups": [Deed(values={"organization_id": str(one.scope_id)})],
            "list_applications": [Deed(values={"community_id": COMMUNITY.id})],
            "my_access": [Deed(callers[0])],
        },
    )


async def in_registration(db: Database, http: httpx.AsyncClient, folder: Path) -> Living:
    """Requests in every state, each with its action token, documents, members, an owner and the help desk."""
    shipped, contractors = (
        Community.model_validate(tomllib.loads((_COMMUNITIES / f"{name}.toml").read_text()))
        for name in ("provider-supplier", "fi-carrier-mac")
    )
    desk = registration_desk.Desk(db, http, shipped, DIRECTORY_KEY, NOTIFICATION_KEY, SIGNER, folder)
    await desk.publish(shipped)
    await desk.publish(contractors.model_copy(update={"open": True}))
    await desk.trust_tokens()
    async with db.begin() as tx:
        for topic in (directory.STATE_TOPIC, directory.PEOPLE_TOPIC):
            await tx.execute(insert(replica).values(topic=topic, complete_at=tx.now))
    organization_id = await desk.organization()
    group_id = await desk.group(organization_id)
    member, helper, owner, stranger = [await desk.account() for _ in range(4)]
    held = await desk.assignment(member, "END_USER", group_id, organization_id, place_kind="group")
    await desk.assignment(helper, "HELP_DESK", shipped.place_id, shipped.place_id, place_kind="community")
    owned = application_place("provider-supplier", "PS_AND_R")
    await desk.assignment(owner, "APPLICATION_OWNER", owned, owned, place_kind="application")

    drafts = [await desk.filed(applicant=_somebody(n), data=_organization(n)) for n in range(6)]
    sent = [await desk.submitted(applicant=_somebody(n), data=_organization(n)) for n in range(10, 18)]
    for filed in sent[:2]:
        said = {
            "returned_by": new_id(),
            "reason": "document_mismatch",
            "correct": ["street"],
            "expires_at": notices.LATER,
        }
        await desk.approval(approval.RequestReturned, filed["request_id"], version=2, **said)
    await desk.approval(approval.RequestDenied, sent[2]["request_id"], version=2, reason="wrong_path")
    documents = []
    for filed in sent[:4]:
        url = f"/registration/v1/requests/{filed['request_id']}/documents/irs_letter"
        answer = await http.post(url, content=registration_desk.PDF, headers=_bearer(filed["action_token"]))
        documents += [answer.json()["document_id"]] if answer.status_code == 201 else []

    async def an_account_holders_draft() -> Deed:
        filed = await desk.submitted(applicant=_somebody(50), data=_organization(50))
        await desk.grant(filed["request_id"])
        (person_id,) = [
            row.person_id for row in await desk.rows(registration_tables.request) if str(row.id) == filed["request_id"]
        ]
        await desk.account(person_id)
        draft = await desk.filed(applicant=_somebody(50), data=_organization(51))
        return Deed(_bearer(desk.token(person_id)), {"request_id": draft["request_id"]})

    def by_its_applicant(filed: dict[str, Any], body: Any = None, **values: str) -> Deed:
        return Deed(_bearer(filed["action_token"]), {"request_id": filed["request_id"], **values}, body)

    codes = [(it, await desk.code(it["request_id"])) for it in drafts[:3]]
    submission = await an_account_holders_draft()
    by_member, by_helper, by_owner, by_stranger = (
        _bearer(desk.token(person)) for person in (member, helper, owner, stranger)
    )
    a_wish = registration_desk.a_wish
    here = {"community_id": shipped.id}
    access = here | {"kind": "access_application", "application": "CLAIM_STATUS"}
    owned_by_owner = here | {"application": "PS_AND_R"}
    return Living(
        "registration",
        http,
        asyncio.get_running_loop(),
        callers=[by_member, by_helper, by_owner, by_stranger, _NOBODY],
        known={
            "request_id": [it["request_id"] for it in [*sent, *drafts]],
            "document": ["irs_letter", *documents],
            "tracking_number": [it["tracking_number"] for it in sent],
            "community_id": [shipped.id, contractors.id],
            "application": ["PS_AND_R", "COST_REPORT_AUDIT"],
            "role": [role.code for role in shipped.roles],
        },
        deeds={
            "file_request": [
                Deed(by_member, body=access | {"role_assignment_id": str(held)}),
                Deed(by_stranger, body=access | {"role_assignment_id": str(held)}),
                Deed(by_member, body=a_wish("join_group", applicant=None, group_id=str(group_id))),
                Deed(by_stranger, body=a_wish("join_group", applicant=None, group_id=str(group_id))),
                *(Deed(body=a_wish(applicant=_somebody(n), data=_organization(n))) for n in range(20, 26)),
                Deed(body=a_wish("join_group", applicant=_somebody(31), group_id=str(new_id()))),
                Deed(
                    body=a_wish(
                        "create_provider_group",
                        applicant=_somebody(32),
                        organization_id=str(new_id()),
                        data={"group_name": "A"},
                    )
                ),
                Deed(
                    body=a_wish(applicant=_somebody(33), data=_organization(33) | {"provider_type": "dmepos_supplier"})
                ),
                Deed(
                    body=a_wish(
                        "register_contractor",
                        community_id=contractors.id,
                        applicant=_somebody(34),
                        data=_organization(34) | {"provider_type": "mac"},
                    )
                ),
            ],
            "prove_email": [
                *(Deed(values={"request_id": it["request_id"]}, body={"code": code}) for it, code in codes),
                Deed(values={"request_id": drafts[3]["request_id"]}, body={"code": "00000000"}),
            ],
            "correct_request": [
                by_its_applicant(sent[0], {"data": _organization(10)}),
                by_its_applicant(sent[1], {"data": {"street": "\n"}}),
                by_its_applicant(sent[2], {"data": _organization(12)}),
                by_its_applicant(sent[3], {"data": _organization(13)}),
            ],
            "show_request": [by_its_applicant(sent[0])],
            "withdraw_request": [by_its_applicant(sent[5]), by_its_applicant(sent[2])],
            "submit": [submission],
            "add_document": [
                by_its_applicant(sent[4], registration_desk.PDF, document="irs_letter"),
                by_its_applicant(sent[4], registration_desk.PNG, document="irs_letter"),
                by_its_applicant(sent[4], b"hello", document="irs_letter"),
                by_its_applicant(sent[2], registration_desk.PDF, document="irs_letter"),
            ],
            "get_document": [by_its_applicant(sent[0], document=documents[0])],
            "list_documents": [by_its_applicant(sent[0]), Deed(by_helper, {"request_id": sent[0]["request_id"]})],
            "issue_invitations": [
                Deed(by_owner, body=owned_by_owner | {"emails": ["a@clinic.example"]}),
                Deed(by_owner, body=owned_by_owner | {"emails": ["no address"]}),
            ],
            "list_invitations": [Deed(by_owner, owned_by_owner)],
            "list_requests": [Deed(by_member)],
            "list_communities": [Deed()],
            "show_community": [Deed(values=here)],
            "show_roles": [Deed(values=here)],
            "show_role_guide": [Deed(values=here | {"role": "SECURITY_OFFICIAL"})],
            "show_approvers_guide": [Deed(values=here)],
            "show_status": [Deed(values={"tracking_number": sent[0]["tracking_number"]})],
            "ask_code_again": [Deed(values={"request_id": it["request_id"]}) for it in drafts[4:]],
        },
    )


async def in_notification(db: Database, http: httpx.AsyncClient, _: Path) -> Living:
    """Notices about two requests, their applicant, the help desk and an auditor."""
    one, other = notices.ARequest(), notices.ARequest(email="b@applicants.example")
    official, helper, auditor = (notices.new_person() for _ in range(3))
    key = directory.TokenKeyState(
        kid="k1", jwk=dict(SIGNER.as_dict(private=False)), not_before=notices.NOW, not_after=notices.LATER
    )
    await notices.feed(db, notices.the_community(), notices.record(key, subject=new_id()))
    await notices.feed(
        db,
        holds(helper),
        holds(auditor, role="AUDITOR"),
        *(account(person) for person in (helper, auditor, official)),
        notices.person(official),
        one.organization(),
        one.group(),
        one.code_asked(),
        one.submitted(),
        one.awaiting(official, help_desk=True),
        other.code_asked(),
        other.submitted(),
    )
    listed = await http.get("/notification/v1/notices", headers=_signed_in(helper))
    people = (helper, auditor, official, notices.new_person())
    return Living(
        "notification",
        http,
        asyncio.get_running_loop(),
        callers=[*map(_signed_in, people[:2]), *map(_signed_in, people), _NOBODY],
        known={
            "request_id": [str(one.id), str(other.id)],
            "recipient_id": [str(official), str(one.applicant_id)],
            "notice_id": [it["id"] for it in listed.json()["items"]],
            "notice": ["decision_needed", "email_code"],
        },
        deeds={
            "list_own_notices": [Deed(_signed_in(official))],
            "list_notices": [Deed(_signed_in(helper))],
            "show_notice": [Deed(_signed_in(helper), {"notice_id": listed.json()["items"][0]["id"]})],
            "list_notices_of_request": [Deed(_signed_in(helper), {"request_id": str(one.id)})],
        },
    )


MOVE_IN: Mapping[Service, Callable[[Database, httpx.AsyncClient, Path], Awaitable[Living]]] = {
    "registration": in_registration,
    "approval": in_approval,
    "directory": in_directory,
    "notification": in_notification,
}


def _bearer(token: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {token}"}


def _signed_in(person_id: PersonId) -> Mapping[str, str]:
    now = int(time.time())
    caller = tokens.Caller(person_id, new_id(), now)
    return _bearer(tokens.mint(SIGNER, "k1", approval_desk.ISSUED, caller, token_id=new_id(), now=now))


def _somebody(number: int) -> dict[str, str]:
    return registration_desk.an_applicant(ssn=f"219-09-{1000 + number}", email=f"maria{number}@clinic.example")


def _organization(number: int) -> dict[str, Any]:
    return registration_desk.an_organization(tin=f"12-34567{number:02d}")
