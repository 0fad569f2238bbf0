"""Filing a wish over HTTP: what can be asked for, by whom, and what is said of it."""

import asyncio
import json
from datetime import timedelta
from uuid import UUID

import pytest

from services.registration import domain, keys, tables
from services.registration.domain import fields
from shared import edge, secrets
from shared.contracts import approval, registration
from shared.ids import new_id
from shared.tables import audit, outbox
from tests.registration.desk import (
    BIRTH_DATE,
    SSN,
    TIN,
    Desk,
    a_wish,
    an_applicant,
    an_organization,
    bearer,
    someone_waits_for_a_lock,
)


def pointers(answer: object) -> list[str]:
    assert isinstance(answer, dict)
    return [error["pointer"] for error in answer["errors"]]


async def test_a_community_shows_what_each_kind_asks_for_who_decides_and_what_it_gives(desk: Desk) -> None:
    listed = (await desk.http.get("/registration/v1/communities")).json()
    assert listed["items"] == [{"id": "provider-supplier", "name": "Provider/Supplier Community", "open": True}]
    shown = (await desk.http.get("/registration/v1/communities/provider-supplier")).json()
    assert shown["help_desk"]["tty"] == "1-555-555-0101"
    kinds = {kind["kind"]: kind for kind in shown["kinds"]}
    organization, group = kinds["register_organization"], kinds["create_provider_group"]
    assert organization["gives"] == "Security Official"
    assert organization["documents"] == [
        {"document": "irs_letter", "name": "IRS letter (CP-575 or accepted substitute)"}
    ]
    assert group["decided_by"] == [["Security Official", "Backup Security Official"]]
    assert (organization["needs"], group["needs"], kinds["join_group"]["needs"]) == (
        [],
        ["organization_id"],
        ["group_id"],
    )
    tin = next(field for field in organization["fields"] if field["name"] == "tin")
    assert (tin["required"], tin["accepting"], tin["refusing"]) == (
        True,
        list(fields.RULES["tin"].accepts),
        list(fields.RULES["tin"].refuses),
    )
    assert [field["name"] for field in organization["fields"] if not field["required"]] == ["npi", "ptans"]


async def test_an_unknown_community_is_not_found(desk: Desk) -> None:
    assert (await desk.http.get("/registration/v1/communities/nowhere")).status_code == 404
    answer = await desk.file(a_wish(community_id="nowhere"))
    assert (answer.status_code, pointers(answer.json())) == (422, ["/community_id"])


async def test_a_new_persons_wish_waits_for_the_proof_of_the_address_and_nothing_is_submitted(desk: Desk) -> None:
    filed = await desk.filed()
    assert (filed["state"], filed["whose_turn"]) == ("awaiting_email_proof", "Applicant")
    (asked,) = await desk.announced(registration.EmailCodeAsked)
    assert (asked.email, asked.purpose, str(asked.request_id)) == (
        "maria@clinic.example",
        "prove_email",
        filed["request_id"],
    )
    assert await desk.announced(registration.RequestSubmitted) == []


async def test_the_code_proves_the_address_and_submits_the_request(desk: Desk) -> None:
    filed = await desk.filed()
    code = await desk.code(filed["request_id"])
    assert len(code) == 8
    assert code.isdigit()
    answer = await desk.prove(filed["request_id"], code)
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["expires_in"]) == ("submitted", 1800)
    assert answer.headers["cache-control"] == "no-store"
    (said,) = await desk.announced(registration.RequestSubmitted)
    assert said.scope_id == said.place_id
    assert said.place_kind == "organization"
    assert said.documents_needed == ("irs_letter",)
    assert said.applicant.email == "maria@clinic.example"
    assert said.organization is not None
    assert secrets.unseal(desk.directory_key.as_dict(private=True), said.organization.tin_sealed) == "123456789"
    assert said.organization.normalised_name == "xyz clinic"


async def test_events_of_a_request_carry_it_as_subject_and_correlation_and_its_scope(desk: Desk) -> None:
    filed = await desk.submitted()
    (request,) = await desk.rows(tables.request)
    said = await desk.rows(outbox)
    assert len(said) == 2
    for row in said:
        assert (row.subject, str(row.correlation_id)) == (filed["request_id"], filed["request_id"])
        assert row.scope_id == request.scope_id


async def test_equal_organizations_get_equal_duplicate_keys_and_others_do_not(desk: Desk) -> None:
    await desk.submitted()
    await desk.submitted(
        applicant=an_applicant(ssn="219-09-9998", email="other@clinic.example"),
        data=an_organization(legal_business_name="xyz CLINIC llc", street="7500 Security Blvd", zip_code="21244"),
    )
    await desk.submitted(
        applicant=an_applicant(ssn="219-09-9997", email="third@clinic.example"),
        data=an_organization(tin="12-3456780"),
    )
    said = [event.organization for event in await desk.announced(registration.RequestSubmitted)]
    assert said[0] and said[1] and said[2]
    assert said[0].duplicate_key == said[1].duplicate_key != said[2].duplicate_key
    assert said[0].tin_fingerprint == said[1].tin_fingerprint != said[2].tin_fingerprint


async def test_no_secret_is_readable_in_the_database_nor_in_any_event(desk: Desk) -> None:
    filed = await desk.filed()
    code = await desk.code(filed["request_id"])
    await desk.prove(filed["request_id"])
    held = await desk.dump()
    assert "Gonzalez" in held  # The dump does look into every table.
    for secret in (SSN, SSN.replace("-", ""), TIN, TIN.replace("-", ""), BIRTH_DATE, code):
        assert secret not in held


async def test_a_locked_field_opens_only_in_its_own_row(desk: Desk) -> None:
    await desk.filed()
    (row,) = await desk.rows(tables.identity)
    assert set(row.secrets) == {"ssn", "birth_date", "tin"}
    assert all(locked.startswith("k1.") for locked in row.secrets.values())
    vault = secrets.Vault({"k1": bytes([3]) * 32})
    assert vault.open(row.secrets["ssn"], bound_to=f"identity.secrets.ssn.{row.request_id}") == "219099999"
    with pytest.raises(secrets.UnreadableError):
        vault.open(row.secrets["ssn"], bound_to=f"identity.secrets.ssn.{new_id()}")


async def test_a_wrong_code_is_refused_and_the_try_remains(desk: Desk) -> None:
    filed = await desk.filed()
    answer = await desk.prove(filed["request_id"], "wrong")
    assert (answer.status_code, answer.json()["code"]) == (422, "code_wrong")
    (code,) = await desk.rows(tables.email_code)
    assert code.try_count == 1


async def test_after_five_tries_even_the_right_code_is_refused(desk: Desk) -> None:
    filed = await desk.filed()
    for _ in range(7):
        assert (await desk.prove(filed["request_id"], "00000000x")).status_code == 422
    assert (await desk.prove(filed["request_id"])).json()["code"] == "code_wrong"


async def test_a_code_is_used_once(desk: Desk) -> None:
    filed = await desk.filed()
    code = await desk.code(filed["request_id"])
    assert (await desk.prove(filed["request_id"], code)).status_code == 200
    assert (await desk.prove(filed["request_id"], code)).json()["code"] == "code_wrong"


async def test_a_code_lives_a_day(desk: Desk) -> None:
    filed = await desk.filed()
    desk.wait(domain.CODE_LIVES)
    assert (await desk.prove(filed["request_id"])).json()["code"] == "code_wrong"


async def test_only_the_newest_code_counts(desk: Desk) -> None:
    filed = await desk.filed()
    old = await desk.code(filed["request_id"])
    await desk.http.post(f"/registration/v1/requests/{filed['request_id']}/email-code")
    assert (await desk.prove(filed["request_id"], old)).json()["code"] == "code_wrong"
    assert (await desk.prove(filed["request_id"])).status_code == 200


async def test_a_code_may_be_asked_again_three_times_an_hour(desk: Desk) -> None:
    filed = await desk.filed()
    url = f"/registration/v1/requests/{filed['request_id']}/email-code"
    answers = [await desk.http.post(url) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert answers[3].json()["code"] == "rate_limited"
    assert 3540 <= int(answers[3].headers["retry-after"]) <= 3600  # Until the first of the three counts no more.
    assert len(await desk.announced(registration.EmailCodeAsked)) == 1 + 3
    desk.wait(timedelta(hours=1))
    assert (await desk.http.post(url)).status_code == 202
    assert len(await desk.announced(registration.EmailCodeAsked)) == 1 + 4


async def test_asking_a_code_for_a_request_that_is_not_here_is_not_found_like_everywhere(desk: Desk) -> None:
    answer = await desk.http.post(f"/registration/v1/requests/{new_id()}/email-code")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_who_has_an_account_is_answered_and_limited_like_anybody_who_asks_a_code(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.grant(filed["request_id"])
    before = len(await desk.announced(registration.EmailCodeAsked))
    url = f"/registration/v1/requests/{filed['request_id']}/email-code"
    answers = [await desk.http.post(url) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert len(await desk.announced(registration.EmailCodeAsked)) == before


async def test_a_code_asked_for_after_submission_gives_a_new_token_and_submits_nothing_again(desk: Desk) -> None:
    filed = await desk.submitted()
    await desk.http.post(f"/registration/v1/requests/{filed['request_id']}/email-code")
    again = await desk.prove(filed["request_id"])
    assert (again.status_code, again.json()["state"]) == (200, "submitted")
    assert again.json()["action_token"]
    assert len(await desk.announced(registration.RequestSubmitted)) == 1


async def test_a_request_that_is_not_there_cannot_be_proved(desk: Desk) -> None:
    assert (await desk.prove(str(new_id()), "12345678")).status_code == 404


async def test_faults_are_told_together_and_nothing_is_kept(desk: Desk) -> None:
    wish = a_wish(applicant=an_applicant(ssn="666-12-3456"), data=an_organization(tin=12, city=None))
    answer = await desk.file(wish)
    assert (answer.status_code, answer.json()["code"]) == (422, "field_invalid")
    assert pointers(answer.json()) == ["/applicant/ssn", "/data/tin", "/data/city"]
    assert "666-12-3456" not in answer.text
    assert await desk.rows(tables.request) == []


async def test_an_unusual_tin_is_accepted_with_a_warning(desk: Desk) -> None:
    answer = await desk.file(a_wish(data=an_organization(tin="07-1234567")))
    assert answer.status_code == 201
    assert [warning["pointer"] for warning in answer.json()["warnings"]] == ["/data/tin"]


async def test_a_dmepos_supplier_hears_not_at_this_time(desk: Desk) -> None:
    answer = await desk.file(a_wish(data=an_organization(provider_type="dmepos_supplier")))
    assert (answer.status_code, answer.json()["code"]) == (409, "provider_type_refused")
    assert answer.json()["detail"] == "DMEPOS suppliers should not register for IACS at this time."


async def test_a_closed_community_takes_no_request(desk: Desk) -> None:
    await desk.publish(desk.community.model_copy(update={"open": False, "version": 2}))
    answer = await desk.file(a_wish())
    assert (answer.status_code, answer.json()["code"]) == (409, "community_closed")


async def test_a_community_that_closes_before_the_proof_takes_the_draft_no_more(desk: Desk) -> None:
    filed = await desk.filed()
    await desk.publish(desk.community.model_copy(update={"open": False, "version": 2}))
    assert (await desk.prove(filed["request_id"])).json()["code"] == "community_closed"
    assert await desk.announced(registration.RequestSubmitted) == []


async def test_a_request_keeps_the_version_of_its_community(desk: Desk) -> None:
    filed = await desk.filed()
    fewer = tuple(kind for kind in desk.community.kinds if kind.code == "join_group")
    await desk.publish(desk.community.model_copy(update={"kinds": fewer, "version": 2}))
    assert (await desk.prove(filed["request_id"])).status_code == 200
    (said,) = await desk.announced(registration.RequestSubmitted)
    assert said.community_version == 1


async def test_unknown_unapproved_and_foreign_organizations_get_one_and_the_same_answer(desk: Desk) -> None:
    suspended = await desk.organization("suspended")
    answers = []
    for organization_id in (new_id(), suspended):
        wish = a_wish("create_provider_group", data={"group_name": "Billing"}, organization_id=str(organization_id))
        answers.append(await desk.file(wish))
    answers.append(await desk.file(a_wish("join_group", group_id=str(new_id()))))
    told = [{k: v for k, v in answer.json().items() if k != "trace_id"} for answer in answers]
    assert told[0] == told[1] == told[2]
    assert (answers[0].status_code, told[0]["code"]) == (409, "organization_not_listed")


async def test_an_organization_without_security_official_takes_no_backup(desk: Desk) -> None:
    vacant = await desk.organization(security_official=False)
    answer = await desk.file(a_wish("become_backup_security_official", organization_id=str(vacant)))
    assert (answer.status_code, answer.json()["code"]) == (409, "security_official_vacant")
    staffed = await desk.organization()
    answer = await desk.file(a_wish("become_backup_security_official", organization_id=str(staffed)))
    assert answer.status_code == 201


async def test_only_an_active_group_of_the_named_organization_can_be_joined(desk: Desk) -> None:
    organization_id, other = await desk.organization(), await desk.organization()
    active, orphaned = await desk.group(organization_id), await desk.group(organization_id, "without_administrator")

    async def join(kind: str, **ids: object) -> str:
        answer = await desk.file(a_wish(kind, **{name: str(value) for name, value in ids.items()}))
        return str(answer.json().get("code", answer.status_code))

    assert await join("join_group", group_id=active) == "201"
    assert await join("join_group", group_id=active, organization_id=organization_id) == "201"
    assert await join("join_group", group_id=active, organization_id=other) == "group_not_active"
    assert await join("join_group", group_id=orphaned) == "group_not_active"
    assert await join("administer_group", group_id=orphaned) == "201"
    assert await join("join_group", group_id=new_id(), organization_id=organization_id) == "group_not_active"


async def test_a_precondition_that_fell_away_is_refused_at_the_proof_and_the_code_stays_good(desk: Desk) -> None:
    organization_id = await desk.organization()
    group_id = await desk.group(organization_id)
    filed = await desk.filed(kind="join_group", data={}, group_id=str(group_id))
    async with desk.db.begin() as tx:
        await tx.execute(tables.user_group.update().values(status="closed"))
    assert (await desk.prove(filed["request_id"])).json()["code"] == "group_not_active"
    async with desk.db.begin() as tx:
        await tx.execute(tables.user_group.update().values(status="active"))
    assert (await desk.prove(filed["request_id"])).status_code == 200


async def test_a_request_about_an_organization_is_said_in_that_organizations_scope(desk: Desk) -> None:
    organization_id = await desk.organization()
    group_id = await desk.group(organization_id)
    await desk.submitted(kind="join_group", data={}, group_id=str(group_id))
    await desk.submitted(
        kind="create_provider_group", data={"group_name": "Night Shift"}, organization_id=str(organization_id)
    )
    joined, created = await desk.announced(registration.RequestSubmitted)
    assert (joined.scope_id, joined.place_id, joined.place_kind) == (organization_id, group_id, "group")
    assert created.scope_id == organization_id
    assert created.place_id not in (organization_id, group_id)
    assert created.group == registration.GroupData(name="Night Shift", normalised_name="night shift")
    assert joined.applicant.person_id == created.applicant.person_id


async def test_a_signed_in_person_submits_at_once_with_the_name_of_the_account(desk: Desk) -> None:
    person_id = await desk.account()
    answer = await desk.file(a_wish(applicant=None), desk.token(person_id))
    assert (answer.status_code, answer.json()["state"]) == (201, "submitted")
    (said,) = await desk.announced(registration.RequestSubmitted)
    assert (said.applicant.person_id, said.applicant.email) == (person_id, "account@clinic.example")
    assert await desk.announced(registration.EmailCodeAsked) == []
    assert [act.actor for act in await desk.rows(audit)] == [str(person_id)]


async def test_a_person_whose_account_cannot_act_or_is_not_heard_of_files_nothing(desk: Desk) -> None:
    locked = await desk.account(status="locked")
    answer = await desk.file(a_wish(applicant=None), desk.token(locked))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    answer = await desk.file(a_wish(applicant=None), desk.token(new_id()))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert (await desk.file(a_wish(applicant=None), "no token at all")).status_code == 401
    assert await desk.rows(tables.request) == []


async def test_filing_again_signed_in_returns_the_open_request(desk: Desk) -> None:
    token = desk.token(await desk.account())
    first = await desk.file(a_wish(applicant=None), token)
    again = await desk.file(a_wish(applicant=None), token)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["request_id"] == again.json()["request_id"]
    other = await desk.file(a_wish(applicant=None, data=an_organization(tin="12-3456780")), token)
    assert other.status_code == 201


async def test_two_kinds_about_one_place_are_two_requests(desk: Desk) -> None:
    token, group_id = desk.token(await desk.account()), await desk.group(await desk.organization())
    wishes = [a_wish(kind, applicant=None, group_id=str(group_id)) for kind in ("join_group", "administer_group")]
    assert [(await desk.file(wish, token)).status_code for wish in wishes] == [201, 201]


async def test_one_kind_in_two_communities_is_two_requests(desk: Desk) -> None:
    await desk.publish(desk.community.model_copy(update={"id": "elsewhere"}))
    token = desk.token(await desk.account())
    for community_id in (desk.community.id, "elsewhere"):
        assert (await desk.file(a_wish(applicant=None, community_id=community_id), token)).status_code == 201


async def test_two_simultaneous_filings_of_one_person_make_one_request(desk: Desk) -> None:
    token = desk.token(await desk.account())
    answers = await asyncio.gather(*(desk.file(a_wish(applicant=None), token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len(await desk.rows(tables.request)) == 1


async def test_a_new_person_who_files_again_learns_of_the_open_request_only_after_the_proof(desk: Desk) -> None:
    first = await desk.submitted()
    second = await desk.file(a_wish())
    assert second.status_code == 201
    assert second.json()["request_id"] != first["request_id"]
    proved = (await desk.prove(second.json()["request_id"])).json()
    assert (proved["request_id"], proved["tracking_number"]) == (first["request_id"], first["tracking_number"])
    assert len(await desk.announced(registration.RequestSubmitted)) == 1
    assert len(await desk.rows(tables.request)) == 1


async def test_two_simultaneous_first_requests_of_one_person_get_one_person_id(desk: Desk) -> None:
    drafts = [await desk.filed(), await desk.filed(data=an_organization(tin="12-3456780"))]
    answers = await asyncio.gather(*(desk.prove(draft["request_id"]) for draft in drafts))
    assert [answer.status_code for answer in answers] == [200, 200]
    said = await desk.announced(registration.RequestSubmitted)
    assert len({event.applicant.person_id for event in said}) == 1
    assert len(await desk.rows(tables.person)) == 1


async def test_the_second_of_two_first_requests_waits_and_then_meets_the_first_ones_person(desk: Desk) -> None:
    drafts = [await desk.filed(), await desk.filed(data=an_organization(tin="12-3456780"))]
    (row, _) = await desk.rows(tables.identity)
    async with desk.db.begin() as tx:  # Somebody has made the person but not committed ...
        await tx.execute(
            tables.person.insert().values(
                id=new_id(), ssn_fingerprint=row.ssn_fingerprint, identity_fingerprint=row.identity_fingerprint
            )
        )
        late = asyncio.create_task(desk.prove(drafts[0]["request_id"]))
        await someone_waits_for_a_lock(desk.db)  # ... when the proof comes.
    assert (await late).status_code == 200
    (person,) = await desk.rows(tables.person)
    (said,) = await desk.announced(registration.RequestSubmitted)
    assert said.applicant.person_id == person.id


async def test_without_an_ssn_name_birth_date_and_email_make_one_person(desk: Desk) -> None:
    organization_id = await desk.organization()
    groups = [await desk.group(organization_id) for _ in range(4)]
    applicant = an_applicant()
    del applicant["ssn"]
    shouted = [applicant | loud for loud in ({"given_name": "MARIA"}, {"email": "MARIA@clinic.example"})]
    for group_id, who in zip(groups, (applicant, *shouted, an_applicant()), strict=True):
        await desk.submitted(kind="join_group", data={}, group_id=str(group_id), applicant=who)
    said = await desk.announced(registration.RequestSubmitted)
    assert len({event.applicant.person_id for event in said}) == 1
    (person,) = await desk.rows(tables.person)
    assert person.ssn_fingerprint is not None


async def granted_person(desk: Desk, **applicant: str) -> str:
    """Let a first request be granted, so that its person has an account; return the person's id."""
    filed = await desk.submitted(applicant=an_applicant(**applicant))
    await desk.grant(filed["request_id"])
    person_id = next(row.person_id for row in await desk.rows(tables.request) if str(row.id) == filed["request_id"])
    await desk.account(person_id)
    return str(person_id)


async def test_a_match_with_an_account_holder_is_answered_like_a_new_person_and_told_to_the_account(desk: Desk) -> None:
    new = await desk.file(a_wish())
    await desk.prove(new.json()["request_id"])
    await desk.grant(new.json()["request_id"])
    person_id = next(row.person_id for row in await desk.rows(tables.request))
    await desk.account(person_id)

    again = await desk.file(
        a_wish(applicant=an_applicant(email="elsewhere@other.example"), data=an_organization(tin="12-3456780"))
    )
    own = {"request_id", "tracking_number"}
    assert (again.status_code, {k: v for k, v in again.json().items() if k not in own}) == (
        new.status_code,
        {k: v for k, v in new.json().items() if k not in own},
    )
    asked = (await desk.announced(registration.EmailCodeAsked))[-1]
    assert (asked.purpose, asked.email, asked.code_sealed) == ("sign_in_needed", "account@clinic.example", "")
    assert str(asked.person_id) == str(person_id)
    shown = await desk.status(again.json()["tracking_number"])
    assert shown["state"] == "awaiting_email_proof"
    assert (await desk.prove(again.json()["request_id"], "12345678")).json()["code"] == "code_wrong"


async def test_a_request_that_waits_for_a_sign_in_is_proved_by_no_code_at_all(desk: Desk) -> None:
    await granted_person(desk)
    filed = await desk.filed(data=an_organization(tin="12-3456780"))
    async with desk.db.begin() as tx:  # As if the unmailed code had been guessed.
        known = secrets.fingerprint(bytes([2]) * 32, "email code", filed["request_id"], "12345678")
        await tx.execute(
            tables.email_code.update()
            .where(tables.email_code.c.request_id == filed["request_id"])
            .values(code_fingerprint=known)
        )
    assert (await desk.prove(filed["request_id"], "12345678")).json()["code"] == "code_wrong"
    assert len(await desk.announced(registration.RequestSubmitted)) == 1


async def test_a_request_that_waits_for_a_sign_in_is_submitted_by_that_very_person(desk: Desk) -> None:
    person_id = await granted_person(desk)
    filed = await desk.filed(data=an_organization(tin="12-3456780"), applicant=an_applicant(given_name="Mary"))
    url = f"/registration/v1/requests/{filed['request_id']}/submission"
    stranger = await desk.account()
    assert (await desk.http.post(url)).status_code == 401
    assert (await desk.http.post(url, headers=bearer(desk.token(stranger)))).status_code == 404
    mine = bearer(desk.token(UUID(person_id)))
    first, again = await desk.http.post(url, headers=mine), await desk.http.post(url, headers=mine)
    assert (first.status_code, first.json()["state"], again.json()) == (200, "submitted", first.json())
    said = await desk.announced(registration.RequestSubmitted)
    assert len(said) == 2
    assert (str(said[1].applicant.person_id), said[1].applicant.given_name) == (person_id, "Maria")
    row = next(row for row in await desk.rows(tables.identity) if str(row.request_id) == filed["request_id"])
    assert set(row.secrets) == {"tin"}


async def test_a_community_that_closes_before_the_sign_in_takes_the_draft_no_more(desk: Desk) -> None:
    mine = bearer(desk.token(UUID(await granted_person(desk))))
    filed = await desk.filed(data=an_organization(tin="12-3456780"))
    await desk.publish(desk.community.model_copy(update={"open": False, "version": 2}))
    answer = await desk.http.post(f"/registration/v1/requests/{filed['request_id']}/submission", headers=mine)
    assert (answer.status_code, answer.json()["code"]) == (409, "community_closed")
    assert len(await desk.announced(registration.RequestSubmitted)) == 1


async def test_what_was_given_before_the_sign_in_is_not_asked_for_again_by_the_draft(desk: Desk) -> None:
    me = UUID(await granted_person(desk))
    organization_id = await desk.organization()
    group_id = await desk.group(organization_id)
    filed = await desk.filed(kind="join_group", data={}, group_id=str(group_id))
    await desk.assignment(me, "END_USER", group_id, organization_id, place_kind="group")
    url = f"/registration/v1/requests/{filed['request_id']}/submission"
    answer = await desk.http.post(url, headers=bearer(desk.token(me)))
    assert (answer.status_code, answer.json()["code"]) == (409, "already_held")
    assert len(await desk.announced(registration.RequestSubmitted)) == 1


async def test_where_ssn_and_identity_are_of_two_accounts_the_one_of_the_ssn_is_told(desk: Desk) -> None:
    by_identity = await granted_person(desk, ssn="219-09-9998")
    by_ssn = await granted_person(desk, email="elsewhere@other.example")
    await desk.filed()
    asked = (await desk.announced(registration.EmailCodeAsked))[-1]
    assert (asked.purpose, str(asked.person_id)) == ("sign_in_needed", by_ssn)
    assert by_ssn != by_identity


async def test_who_can_sign_in_no_more_files_and_proves_like_a_new_person(desk: Desk) -> None:
    await desk.account(UUID(await granted_person(desk)), status="closed", version=2)
    filed = await desk.filed(data=an_organization(tin="12-3456780"))
    asked = (await desk.announced(registration.EmailCodeAsked))[-1]
    assert (asked.purpose, asked.email) == ("prove_email", "maria@clinic.example")
    assert (await desk.prove(filed["request_id"])).json()["state"] == "submitted"
    first, second = await desk.announced(registration.RequestSubmitted)
    assert first.applicant.person_id == second.applicant.person_id


async def test_asking_again_for_a_request_that_waits_for_a_sign_in_mails_the_account_again(desk: Desk) -> None:
    await granted_person(desk)
    filed = await desk.filed(data=an_organization(tin="12-3456780"))
    await desk.http.post(f"/registration/v1/requests/{filed['request_id']}/email-code")
    assert [event.purpose for event in await desk.announced(registration.EmailCodeAsked)][-2:] == [
        "sign_in_needed",
        "sign_in_needed",
    ]


async def test_an_account_that_came_between_filing_and_proof_is_told_too(desk: Desk) -> None:
    drafts = [await desk.filed(), await desk.filed(data=an_organization(tin="12-3456780"))]
    await desk.prove(drafts[0]["request_id"])
    await desk.grant(drafts[0]["request_id"])
    answer = await desk.prove(drafts[1]["request_id"])
    assert (answer.status_code, answer.json()["code"]) == (409, "could_not_be_confirmed")
    assert (await desk.announced(registration.EmailCodeAsked))[-1].purpose == "sign_in_needed"
    assert len(await desk.announced(registration.RequestSubmitted)) == 1


async def test_what_an_account_holder_has_is_told_to_nobody_who_has_but_a_code(desk: Desk) -> None:
    group_id = await desk.group(await desk.organization())
    draft = await desk.filed(kind="join_group", data={}, group_id=str(group_id))
    first = await desk.submitted()
    await desk.grant(first["request_id"])
    person_id = next(row.person_id for row in await desk.rows(tables.request) if row.person_id)
    await desk.assignment(person_id, "END_USER", group_id, new_id(), place_kind="group")
    assert (await desk.prove(draft["request_id"])).json()["code"] == "could_not_be_confirmed"


async def test_a_match_with_an_open_applicant_at_another_address_is_for_the_help_desk_to_look_into(desk: Desk) -> None:
    await desk.submitted()
    answer = await desk.submitted(
        applicant=an_applicant(email="elsewhere@other.example"), data=an_organization(tin="12-3456780")
    )
    assert answer["state"] == "submitted"
    first, second = await desk.announced(registration.RequestSubmitted)
    assert (first.concern, second.concern) == (None, "identity_mismatch")
    assert first.applicant.person_id == second.applicant.person_id


async def test_a_match_at_another_address_for_the_same_kind_and_place_is_refused_at_the_proof(desk: Desk) -> None:
    await desk.submitted()
    filed = await desk.file(a_wish(applicant=an_applicant(email="elsewhere@other.example")))
    assert filed.status_code == 201
    code = await desk.code(filed.json()["request_id"])
    answer = await desk.prove(filed.json()["request_id"], code)
    assert (answer.status_code, answer.json()["code"]) == (409, "could_not_be_confirmed")
    assert (await desk.prove(filed.json()["request_id"], code)).json()["code"] == "code_wrong"  # It is used.
    assert len(await desk.announced(registration.RequestSubmitted)) == 1


async def test_who_was_denied_and_has_a_new_address_files_the_same_again_without_a_concern(desk: Desk) -> None:
    denied = await desk.submitted()
    await desk.approval(approval.RequestDenied, denied["request_id"], version=2, reason="wrong_path")
    await desk.submitted(applicant=an_applicant(email="elsewhere@other.example"))
    first, second = await desk.announced(registration.RequestSubmitted)
    assert (first.applicant.person_id, second.concern) == (second.applicant.person_id, None)


async def test_an_equal_identity_with_another_ssn_is_refused_at_the_proof(desk: Desk) -> None:
    await desk.submitted()
    filed = await desk.filed(applicant=an_applicant(ssn="219-09-9998"), data=an_organization(tin="12-3456780"))
    assert (await desk.prove(filed["request_id"])).json()["code"] == "could_not_be_confirmed"


async def test_a_duplicate_of_an_active_organization_is_accepted_like_any_other(desk: Desk) -> None:
    first = await desk.submitted()
    await desk.grant(first["request_id"])
    other = await desk.file(a_wish(applicant=an_applicant(ssn="219-09-9998", email="other@clinic.example")))
    assert other.status_code == 201
    assert (await desk.prove(other.json()["request_id"])).json()["state"] == "submitted"


async def test_a_status_shows_no_personal_data(desk: Desk) -> None:
    filed = await desk.submitted()
    answer = await desk.http.get(f"/registration/v1/statuses/{filed['tracking_number'].lower()}")
    assert answer.json()["kind"] == "Register an organization and become its Security Official"
    assert answer.json()["documents"] == [
        {"document": "irs_letter", "name": "IRS letter (CP-575 or accepted substitute)", "received": False}
    ]
    assert [moment["what"] for moment in answer.json()["timeline"]] == ["filed", "submitted"]
    for personal in ("Maria", "Gonzalez", "maria@clinic.example", "XYZ", "555-0142"):
        assert personal not in answer.text


async def test_an_unknown_tracking_number_is_not_found(desk: Desk) -> None:
    for number in (keys.new_tracking_number(), "IACS-1", "IACS-%E2%98%83", "x" * 500):
        answer = await desk.http.get(f"/registration/v1/statuses/{number}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_tracking_number_is_80_random_bits_without_look_alikes() -> None:
    numbers = {keys.new_tracking_number() for _ in range(1000)}
    assert len(numbers) == 1000
    for number in numbers:
        assert keys.tracking_number(number) == number
        assert [len(part) for part in number.split("-")] == [4, 4, 4, 4, 4]
        assert not set(number[5:]) & set("ILOU")
    assert keys.tracking_number("iacs oil0 0000 0000 0000") == "IACS-0110-0000-0000-0000"


async def test_a_call_with_a_large_body_is_refused_although_documents_are_let_through(desk: Desk) -> None:
    wish = a_wish(data=an_organization(street="x" * (edge.MAXIMUM_BODY_BYTES + 1)))
    answer = await desk.file(wish)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_what_is_no_text_is_a_fault_and_never_an_error_of_ours(desk: Desk) -> None:
    for odd in (None, 7, True, {"a": 1}, ["x"], "\x00", "\ud800", "é" * 5000):
        for body in (
            a_wish(data=an_organization(street=odd)),
            a_wish(applicant=an_applicant() | {"given_name": odd}),
            a_wish() | {"kind": odd},
            a_wish(community_id=odd),
            a_wish(organization_id=odd),
        ):
            raw = json.dumps(body)
            headers = {"content-type": "application/json"}
            answer = await desk.http.post("/registration/v1/requests", content=raw, headers=headers)
            # Neither U+0000 nor half a pair is text: such a body is not read at all.
            refused = 400 if odd in ("\x00", "\ud800") else 422
            assert answer.status_code in (201, refused), answer.text
