"""The rules of a request, without a database: orders, places, progress, outlook."""

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.registration import domain
from shared import reasons
from shared.contracts.community import Community, Kind
from shared.errors import Refusal
from shared.ids import PersonId, PlaceId, ScopeId, new_id
from tests.registration.desk import an_applicant, an_organization

TODAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def an_order(**changes: Any) -> domain.Order:
    whole: dict[str, Any] = {
        "kind": "register_organization",
        "applicant": an_applicant(),
        "data": an_organization(),
    }
    return domain.Order(**(whole | changes))


def refusal_of(community: Community, order: domain.Order, *, signed_in: bool = False) -> Refusal:
    with pytest.raises(Refusal) as caught:
        domain.check(community, order, signed_in=signed_in, today=TODAY)
    return caught.value


def kind_of(community: Community, code: str) -> Kind:
    kind = community.kind(code)
    assert kind is not None
    return kind


def test_every_value_is_kept_in_its_one_stored_form(provider_supplier: Community) -> None:
    order = an_order(data=an_organization(state="md", phone="(410) 555 0100", ptans=["ab12", "AB12", "c3d4"]))
    wish = domain.check(provider_supplier, order, signed_in=False, today=TODAY)
    assert wish.data["tin"] == "123456789"
    assert (wish.data["state"], wish.data["phone"], wish.data["ptans"]) == ("MD", "410-555-0100", ("AB12", "C3D4"))
    assert wish.applicant is not None
    assert wish.applicant["ssn"] == "219099999"


def test_all_faults_are_told_at_once_each_with_its_place_its_rule_and_an_example(provider_supplier: Community) -> None:
    order = an_order(
        applicant=an_applicant(ssn="000-00-0000", email="nobody", shoe_size="9"),
        data=an_organization(tin="00-1234567", zip_code="", ptans=["ok12", "!"]),
    )
    refusal = refusal_of(provider_supplier, order)
    assert refusal.code == "field_invalid"
    assert [fault.pointer for fault in refusal.faults] == [
        "/applicant/shoe_size",
        "/applicant/email",
        "/applicant/ssn",
        "/data/tin",
        "/data/zip_code",
        "/data/ptans/1",
    ]
    assert all(fault.rule and fault.example for fault in refusal.faults)


def test_every_value_of_a_list_is_kept_and_a_list_that_is_too_long_is_named(provider_supplier: Community) -> None:
    numbers = [f"A{number:05}" for number in range(51)]
    wish = domain.check(
        provider_supplier, an_order(data=an_organization(ptans=numbers[:50])), signed_in=False, today=TODAY
    )
    assert wish.data["ptans"] == tuple(numbers[:50])
    (fault,) = refusal_of(provider_supplier, an_order(data=an_organization(ptans=numbers))).faults
    assert (fault.pointer, fault.rule) == ("/data/ptans", "50 values at most, each 4 to 15 letters and digits")


def test_a_fault_never_repeats_what_was_typed(provider_supplier: Community) -> None:
    typed = {"ssn": "666-12-3456", "birth_date": "2020-01-01", "email": "secret@@x"}
    refusal = refusal_of(provider_supplier, an_order(applicant=an_applicant(**typed)))
    told = str(refusal) + str(refusal.faults)
    assert not any(value in told for value in typed.values())


def test_a_closed_community_takes_nothing(provider_supplier: Community) -> None:
    closed = provider_supplier.model_copy(update={"open": False})
    assert refusal_of(closed, an_order(data={})).code == "community_closed"


def test_a_refused_provider_type_hears_the_sentence_of_the_community_before_any_fault(
    provider_supplier: Community,
) -> None:
    refusal = refusal_of(provider_supplier, an_order(data={"provider_type": "dmepos_supplier"}))
    assert refusal.code == "provider_type_refused"
    assert refusal.detail == "DMEPOS suppliers should not register for IACS at this time."


def test_a_provider_type_that_the_community_does_not_list_is_a_fault(provider_supplier: Community) -> None:
    refusal = refusal_of(provider_supplier, an_order(data=an_organization(provider_type="bakery")))
    assert [(fault.pointer, fault.example) for fault in refusal.faults] == [
        ("/data/provider_type", "physician_practice")
    ]


def test_an_unknown_kind_is_a_fault_that_names_a_known_one(provider_supplier: Community) -> None:
    refusal = refusal_of(provider_supplier, an_order(kind="fly"))
    assert [(fault.pointer, fault.example) for fault in refusal.faults] == [("/kind", "register_organization")]


def test_a_signed_in_person_gives_no_personal_field_again(provider_supplier: Community) -> None:
    assert [fault.pointer for fault in refusal_of(provider_supplier, an_order(), signed_in=True).faults] == [
        "/applicant"
    ]
    wish = domain.check(provider_supplier, an_order(applicant=None), signed_in=True, today=TODAY)
    assert wish.applicant is None


def test_a_field_with_a_question_mark_may_be_left_out(provider_supplier: Community) -> None:
    applicant = an_applicant()
    del applicant["ssn"]
    order = an_order(kind="join_group", data={}, applicant=applicant, group_id=PlaceId(new_id()))
    assert domain.check(provider_supplier, order, signed_in=False, today=TODAY).applicant == applicant
    assert [fault.pointer for fault in refusal_of(provider_supplier, an_order(applicant=applicant)).faults] == [
        "/applicant/ssn"
    ]


def test_a_kind_asks_for_the_places_that_it_is_about_and_for_no_other(provider_supplier: Community) -> None:
    somewhere = new_id()
    asked = {
        kind.code: [f.pointer for f in refusal_of(provider_supplier, an_order(kind=kind.code, data={})).faults]
        for kind in provider_supplier.kinds
        if kind.code not in ("register_organization", "access_application")
    }
    assert asked["become_backup_security_official"] == ["/organization_id"]
    assert asked["create_provider_group"] == ["/data/group_name", "/organization_id"]
    assert asked["create_surrogate_group"] == ["/data/group_name", "/data/company_name", "/organization_id"]
    assert asked["administer_group"] == asked["join_group"] == ["/group_id"]
    superfluous = an_order(organization_id=ScopeId(somewhere), group_id=PlaceId(somewhere))
    assert [f.pointer for f in refusal_of(provider_supplier, superfluous).faults] == ["/group_id", "/organization_id"]


def test_a_kind_that_creates_its_place_gets_a_fresh_id_for_it(provider_supplier: Community) -> None:
    fresh, organization_id = new_id(), ScopeId(new_id())
    wish = domain.check(provider_supplier, an_order(), signed_in=False, today=TODAY)
    assert domain.place_of(wish, fresh) == domain.Place(ScopeId(fresh), "organization", PlaceId(fresh))
    order = an_order(kind="create_provider_group", data={"group_name": "Billing"}, organization_id=organization_id)
    wish = domain.check(provider_supplier, order, signed_in=False, today=TODAY)
    assert domain.place_of(wish, fresh) == domain.Place(organization_id, "group", PlaceId(fresh))


def test_equal_organizations_and_equal_group_names_are_the_same_place(provider_supplier: Community) -> None:
    def words(**data: Any) -> tuple[str, ...]:
        order = an_order(data=an_organization(**data))
        wish = domain.check(provider_supplier, order, signed_in=False, today=TODAY)
        return domain.place_words(wish.kind, domain.place_of(wish, new_id()), wish.data)

    same = words(legal_business_name="XYZ CLINIC LLC", zip_code="21244", street="7500 security blvd")
    assert words() == same
    assert words(tin="12-3456780") != same
    assert words(street="7501 Security Blvd") != same
    assert words(zip_code="21245") != same


def progress(**changes: Any) -> domain.Progress:
    whole: dict[str, Any] = {"state": "submitted", "since_at": NOW}
    return domain.Progress(**(whole | changes))


def step(state: domain.State | None, version: int = 1, **changes: Any) -> domain.Step:
    whole: dict[str, Any] = {"state": state, "version": version, "stage": 1, "round": 1, "at": NOW}
    return domain.Step(**(whole | changes))


def test_an_older_version_says_nothing_new() -> None:
    assert domain.after_step(progress(state="approved", version=3), step("pending", 2)) is None


def test_the_same_version_may_still_bring_news() -> None:
    now = domain.after_step(progress(state="pending", version=2), step("pending", 2, roles=("B",)))
    assert now is not None
    assert now.roles == ("B",)


def test_what_has_ended_stays_ended() -> None:
    for state in domain.FINAL:
        ended = progress(state=state, version=1)
        assert domain.after_step(ended, step("pending", 9)) is None
        assert domain.after_refused_grant(ended, 9, "x", NOW) is None


def test_an_escalation_adds_a_queue_and_keeps_the_earlier() -> None:
    now = domain.after_step(progress(state="pending", roles=("A",)), step(None, roles=("B",), adds_roles=True))
    assert now is not None
    assert (now.state, now.roles) == ("pending", ("A", "B"))


def test_the_directory_may_be_heard_before_approval() -> None:
    granted = domain.after_grant(progress(), NOW)
    assert granted is not None
    assert granted.state == "granted"
    assert domain.after_step(granted, step("approved", 5)) is None


def test_a_grant_that_was_refused_before_its_approval_is_heard_is_not_shown_as_approved() -> None:
    refused = domain.after_refused_grant(progress(), 1, "cardinality_reached", NOW)
    assert refused is not None
    late = domain.after_step(refused, step("approved", 3, round=1))
    assert late is not None
    assert late.state == "refused"
    retried = domain.after_step(late, step("approved", 4, round=2))
    assert retried is not None
    assert retried.state == "approved"


def test_a_refused_grant_is_remembered_while_approvals_earlier_news_are_still_arriving() -> None:
    now = domain.after_refused_grant(progress(), 1, "cardinality_reached", NOW)
    for late in (step("pending", 1), step("approved", 2, round=1)):
        assert now is not None
        now = domain.after_step(now, late)
    assert now is not None
    assert now.state == "refused"


def test_a_refused_grant_of_an_earlier_round_takes_nothing_back() -> None:
    reopened = progress(state="pending", version=4, round=2)
    now = domain.after_refused_grant(reopened, 1, "approver_lost_authority", NOW)
    assert now is not None
    assert now.state == "pending"
    assert domain.after_refused_grant(now, 1, "approver_lost_authority", NOW) is None


def test_approval_and_directory_lead_to_one_end_however_they_interleave() -> None:
    """Each topic keeps its own order; every merge of the two must show the same in the end."""
    said = [("a", step("pending", 1)), ("a", step("approved", 2)), ("a", step("pending", 3, round=2))]
    said += [("a", step("approved", 4, round=2))]
    heard: list[tuple[str, Any]] = [*said, ("d", 1), ("d", "granted")]
    ends = set()
    for order in itertools.permutations(range(len(heard))):
        in_order = all(
            [n for n in order if heard[n][0] == topic] == sorted(n for n in order if heard[n][0] == topic)
            for topic in "ad"
        )
        if not in_order:
            continue
        now = progress()
        for n in order:
            topic, what = heard[n]
            if topic == "a":
                after = domain.after_step(now, what)
            elif what == "granted":
                after = domain.after_grant(now, NOW)
            else:
                after = domain.after_refused_grant(now, what, "approver_lost_authority", NOW)
            now = after or now
        ends.add(now.state)
    assert ends == {"granted"}


def test_the_moment_of_a_state_is_when_it_began() -> None:
    later = NOW + timedelta(days=1)
    began = domain.after_step(progress(), step("pending", 1))
    assert began is not None
    again = domain.after_step(began, step("pending", 1, at=later))
    assert again is not None
    assert again.since_at == NOW


def test_each_state_says_what_happens_next_and_whose_turn_it_is(provider_supplier: Community) -> None:
    kind = kind_of(provider_supplier, "create_provider_group")

    def turn(state: domain.State, **changes: Any) -> str | None:
        it = domain.outlook(provider_supplier, kind, progress(state=state, **changes), [])
        assert it.next_step
        return it.whose_turn

    assert turn("awaiting_email_proof") == "Applicant"
    assert turn("submitted") == turn("approved") == "IACS"
    assert turn("pending") == "Security Official or Backup Security Official"
    assert turn("pending", roles=("HELP_DESK",)) == "Help Desk"
    assert turn("returned") == "Applicant"
    assert [turn(state) for state in domain.FINAL] == [None] * len(domain.FINAL)


def test_while_documents_are_awaited_the_missing_ones_are_named(provider_supplier: Community) -> None:
    kind = kind_of(provider_supplier, "register_organization")
    waiting = progress(state="awaiting_documents")
    missing = domain.outlook(provider_supplier, kind, waiting, ["IRS letter"])
    assert (missing.next_step, missing.whose_turn) == ("Send us: IRS letter.", "Applicant")
    assert domain.outlook(provider_supplier, kind, waiting, []).whose_turn == "IACS"


def test_a_request_that_waits_for_a_sign_in_looks_like_one_that_waits_for_a_code(provider_supplier: Community) -> None:
    kind = kind_of(provider_supplier, "join_group")
    one, other = (
        domain.outlook(provider_supplier, kind, progress(state=state), [])
        for state in ("awaiting_email_proof", "awaiting_sign_in")
    )
    assert one == other
    assert domain.shown_state("awaiting_sign_in") == "awaiting_email_proof"


# --- What is told of it ---------------------------------------------------------------------------


def told(community: Community, code: str, now: domain.Progress, **about: Any) -> domain.Outlook:
    return domain.outlook(community, kind_of(community, code), now, [], **about)


def test_of_several_stages_those_after_are_told_too(provider_supplier: Community) -> None:
    about = {"application": "CLAIM_STATUS", "resting_role": "END_USER"}
    first = told(provider_supplier, "access_application", progress(state="pending", stage=1), **about)
    assert first == domain.Outlook(
        "Your request waits for a decision by: User Group Administrator; then by: Security Official or Backup "
        "Security Official.",
        "User Group Administrator",
    )
    second = told(provider_supplier, "access_application", progress(state="pending", stage=2), **about)
    assert second.next_step == "Your request waits for a decision by: Security Official or Backup Security Official."
    on_another = told(
        provider_supplier,
        "access_application",
        progress(state="pending", stage=1),
        application="CLAIM_STATUS",
        resting_role="INDIVIDUAL_PRACTITIONER",
    )
    assert on_another.whose_turn == "Application Owner"


def test_what_is_given_is_named_role_or_application(provider_supplier: Community) -> None:
    granted = progress(state="granted")
    application = told(provider_supplier, "access_application", granted, application="CLAIM_STATUS")
    assert application.next_step == "Done: you may now use Claim Status Inquiry. Sign in to use it."
    practitioner = told(provider_supplier, "register_practitioner", granted)
    assert practitioner.next_step == "Done: you now hold the role Individual Practitioner. Sign in to use it."


def test_reminders_and_escalations_are_told(provider_supplier: Community) -> None:
    now = progress(state="pending", stage=1, reminded=2, escalated="overdue")
    sentence = told(provider_supplier, "join_group", now).next_step
    assert sentence.endswith("It has waited long, so a further queue was asked. They were reminded 2 times.")


@pytest.mark.parametrize("code", sorted({*reasons.DENIALS, *reasons.RETURNS} - {"suspected_fraud"}))
def test_every_reason_that_an_applicant_may_see_has_a_sentence(code: str) -> None:
    assert domain.REASONS[code].endswith(".")


def test_a_reason_that_has_no_sentence_is_told_in_general_words(provider_supplier: Community) -> None:
    now = progress(state="returned", reason="something_new")
    assert "Something is to be corrected." in told(provider_supplier, "join_group", now).next_step


def test_reminders_and_escalations_belong_to_one_stage_and_round() -> None:
    now = progress(state="pending", stage=1, round=1, reminded=2, escalated="overdue", until_at=NOW)
    same = domain.after_step(now, step("pending", 1, roles=("A",)))
    assert same is not None
    assert (same.reminded, same.escalated, same.until_at) == (2, "overdue", NOW)
    later = domain.after_step(now, step("pending", 2, stage=2))
    assert later is not None
    assert (later.reminded, later.escalated, later.until_at) == (0, None, None)


def test_a_correction_is_on_its_way_until_approval_has_moved_the_request() -> None:
    sent = progress(state="returned", round=1, stage=1, correction_sent=True, correct=("street",))
    assert not sent.may_be_corrected
    reminded = domain.after_step(sent, step(None, 1))
    assert reminded is not None
    assert (reminded.correction_sent, reminded.correct) == (True, ("street",))
    for state in ("pending", "returned", "expired"):
        after = domain.after_step(sent, step(state, 2, round=2))
        assert after is not None
        assert not after.correction_sent
        assert after.correct == ()
    again = domain.after_step(sent, step("returned", 3, round=2))
    assert again is not None
    assert again.may_be_corrected


def test_a_wish_to_withdraw_lasts_until_it_is_answered(provider_supplier: Community) -> None:
    asked = progress(state="pending", withdrawal="asked")
    assert told(provider_supplier, "join_group", asked).whose_turn == "IACS"
    later = domain.after_step(asked, step("pending", 2))
    assert later is not None
    assert later.withdrawal == "asked"
    refused = domain.after_refused_withdrawal(later)
    assert refused is not None
    assert refused.withdrawal == "refused"
    assert domain.after_refused_withdrawal(refused) is None
    ended = domain.after_step(asked, step("withdrawn", 2))
    assert ended is not None
    assert told(provider_supplier, "join_group", ended).next_step == "You withdrew your request."


def human(ssn: str | None, identity: str) -> domain.Human:
    return domain.Human(PersonId(new_id()), domain.PersonKey(ssn, identity))


def test_the_ssn_says_who_it_is_and_name_birth_date_and_email_where_there_is_none() -> None:
    known, other = human("s", "i"), human(None, "j")
    assert domain.same_person(domain.PersonKey("s", "new"), [known]) == known
    assert domain.same_person(domain.PersonKey(None, "i"), [known]) == known
    assert domain.same_person(domain.PersonKey("new", "j"), [other]) == other


def test_fingerprints_that_contradict_each_other_are_nobody() -> None:
    known, other = human("s", "i"), human("t", "j")
    assert domain.same_person(domain.PersonKey("new", "i"), [known]) is None
    assert domain.same_person(domain.PersonKey("s", "j"), [known, other]) is None


def test_a_code_is_good_once_in_time_and_within_five_tries() -> None:
    def proved(**changes: Any) -> bool:
        whole: dict[str, Any] = {
            "id": new_id(),
            "fingerprint": "f",
            "expires_at": NOW + domain.CODE_LIVES,
            "try_count": 0,
            "used_at": None,
        }
        typed = changes.pop("typed", "f")
        return domain.prove(domain.Code(**(whole | changes)), typed, changes.pop("at", NOW))

    assert proved()
    assert proved(try_count=4)
    assert not proved(try_count=5)
    assert not proved(used_at=NOW)
    assert not proved(expires_at=NOW)
    assert not proved(typed="g")
    assert not domain.prove(None, "f", NOW)
