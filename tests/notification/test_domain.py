"""Which notices follow, what they say, and what becomes of a mail: without any world around."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import services.notification
from services.notification import domain
from services.notification.domain import texts
from shared import reasons
from shared.ids import PersonId, PlaceId, RequestId, ScopeId, new_id
from shared.policy import Standing
from tests.notification.builders import COMMUNITY, HELP_DESK, LATER, NOW, PUBLIC_URL

TEMPLATES = Path(services.notification.__path__[0]) / "templates" / "mail"


def a_request(**changed: Any) -> domain.RequestFacts:
    whole = domain.RequestFacts(
        RequestId(new_id()),
        ScopeId(new_id()),
        COMMUNITY.id,
        COMMUNITY.version,
        "create_provider_group",
        "group",
        PlaceId(new_id()),
        PersonId(new_id()),
        "7QK2-M4XP-93TD",
        "Rosa",
        "Delgado",
        "rosa@applicants.example",
        None,
        "Billing",
    )
    return replace(whole, **changed)


def a_turn(stage: int = 1, round_: int = 1, request: domain.RequestFacts | None = None) -> domain.Turn:
    about = request or a_request()
    assert about.applicant_id is not None
    return domain.Turn(about, about.applicant_id, stage, round_, NOW)


def awaited(turn: domain.Turn, *approver_ids: PersonId, help_desk: bool = False) -> domain.DecisionAwaited:
    return domain.DecisionAwaited(turn, ("SECURITY_OFFICIAL",), approver_ids, help_desk, LATER)


def names(then: domain.Consequences) -> list[str]:
    return [notice.name for notice in then.notices]


def known(notice: domain.Notice, **more: Any) -> domain.Known:
    given: dict[str, Any] = {"community": COMMUNITY, "community_now": COMMUNITY, "organization_name": "XYZ"}
    return domain.Known(notice, PUBLIC_URL, **given | more)


def said(notice: domain.Notice, request: domain.RequestFacts, **more: Any) -> domain.Letter:
    letter = domain.compose(known(notice, request=request, **more))
    assert isinstance(letter, domain.Letter), letter
    return letter


# --- Which notices follow ---------------------------------------------------------------------


def test_an_approval_is_told_to_nobody_and_makes_open_work_pointless() -> None:
    then = domain.consequences(domain.Settled(a_turn(), "approved", role="SECURITY_OFFICIAL"))
    assert then.notices == ()
    assert then.pointless >= {"decision_needed", "decision_needed_help_desk", "escalated_help_desk"}
    assert then.ends_at is None


@pytest.mark.parametrize("how", ["denied", "expired", "closed"])
def test_an_end_without_a_grant_is_told_to_the_applicant_alone(how: Any) -> None:
    turn = a_turn()
    [notice] = domain.consequences(domain.Settled(turn, how, "not_needed")).notices
    assert (notice.name, notice.recipient, notice.recipient_id) == (how, "applicant", turn.applicant_id)


def test_each_approver_is_told_once_in_each_round_of_each_stage() -> None:
    first, second = PersonId(new_id()), PersonId(new_id())
    turn = a_turn()
    before = domain.consequences(awaited(turn, first)).notices
    again = domain.consequences(awaited(turn, first, second)).notices
    assert [notice.recipient_id for notice in again] == [first, second]
    assert again[0].id == before[0].id
    assert again[1].id != before[0].id
    occasions = {
        domain.consequences(awaited(replace(turn, stage=stage, round=round_), first)).notices[0].id
        for stage in (1, 2)
        for round_ in (1, 2)
    }
    assert len(occasions) == 4


def test_a_new_stage_makes_work_of_the_one_before_pointless_but_not_its_own() -> None:
    then = domain.consequences(awaited(a_turn(stage=2), PersonId(new_id())))
    assert "decision_needed" in then.pointless
    assert then.kept == then.notices[0].version


def test_the_help_desk_hears_at_its_address_unless_it_was_told_why_the_request_came() -> None:
    turn = a_turn()
    assert names(domain.consequences(awaited(turn, help_desk=True))) == ["decision_needed_help_desk"]
    told = {("escalated_help_desk", f"{turn.occasion}.no_approver")}
    assert names(domain.consequences(awaited(turn, help_desk=True), told)) == []


def test_an_escalation_within_the_organization_is_not_the_help_desks() -> None:
    fact = domain.Escalated(a_turn(), "BACKUP_SECURITY_OFFICIAL", False, "no_approver", None, LATER)
    assert domain.consequences(fact).notices == ()


def test_an_escalation_to_the_help_desk_is_told_with_its_why() -> None:
    request = a_request()
    fact = domain.Escalated(a_turn(request=request), "HELP_DESK", True, "no_approver", None, LATER)
    [notice] = domain.consequences(fact).notices
    letter = said(notice, request, history=[domain.consequences(fact).step])
    assert letter.address == HELP_DESK
    assert "Nobody at the organization can decide" in letter.values["reason_text"]
    assert letter.values["history"][0]["text"].endswith("It came to: Help Desk.")


def test_a_refused_grant_is_told_once_whoever_is_heard_first() -> None:
    request = a_request()
    from_directory = domain.GrantRefused(request, 1, "cardinality_reached", NOW)
    from_approval = domain.Escalated(
        a_turn(request=request), "HELP_DESK", True, "cannot_be_granted", "cardinality_reached", LATER
    )
    [one], [other] = (domain.consequences(fact).notices for fact in (from_directory, from_approval))
    assert one.name == "grant_refused_help_desk"
    assert one.id == other.id


def test_that_nobody_answers_is_told_each_time_and_is_no_refusal_which_is_told_after_it() -> None:
    request = a_request()
    asked = domain.Escalated(a_turn(request=request), "HELP_DESK", True, "cannot_be_granted", "unanswered", LATER)
    later = replace(asked, turn=replace(asked.turn, at=LATER))
    refused = domain.GrantRefused(request, asked.turn.round, "group_name_taken", LATER)
    notices = [domain.consequences(fact).notices[0] for fact in (asked, later, refused)]
    assert len({one.id for one in notices}) == 3
    first, _, last = (said(one, request).values for one in notices)
    assert "It may be access already" in first["reason_text"]
    assert "cannot be closed" in first["next_step_text"]
    assert "a user group of this name already" in last["reason_text"]
    assert "choose “Close”" in last["next_step_text"]


def test_a_grant_whose_approver_lost_authority_goes_back_and_bothers_nobody() -> None:
    assert domain.consequences(domain.GrantRefused(a_request(), 1, "approver_lost_authority", NOW)).notices == ()


@pytest.mark.parametrize(("account_issued", "name"), [(True, "granted_new_person"), (False, "granted_known_person")])
def test_access_is_told_by_the_grant(account_issued: bool, name: str) -> None:
    then = domain.consequences(domain.Granted(a_request(), PersonId(new_id()), account_issued, False, NOW))
    assert names(then) == [name]
    assert then.ends_at == NOW


def test_access_is_told_once_though_an_approval_that_was_announced_again_is_answered_twice() -> None:
    again = domain.Granted(a_request(), PersonId(new_id()), False, False, NOW)
    assert domain.consequences(again, {("granted_new_person", "1")}).notices == ()


@pytest.mark.parametrize(
    ("cause", "why"),
    [("left", "You gave it up."), ("lapsed", "Nobody has kept your organization"), ("revoked", "has removed it")],
)
def test_who_keeps_the_role_hears_why_the_application_ended_and_not_why_a_role_would(cause: str, why: str) -> None:
    assert why in texts.application_ended(cause)[0]
    assert texts.application_ended(cause) != texts.ended(cause)


def test_a_failed_mail_is_told_to_the_help_desk_once_and_never_about_its_own() -> None:
    [notice] = domain.consequences(awaited(a_turn(), PersonId(new_id()))).notices
    [told] = domain.undelivered(notice, why="refused", status=550)
    [again] = domain.undelivered(notice, why="refused", status=551)
    [overdue] = domain.undelivered(notice, why="overdue")
    assert told.id == again.id
    assert told.id != overdue.id  # What has waited for a day may fail for good later.
    assert domain.undelivered(told, why="refused", status=550) == ()


def test_only_help_desk_and_auditor_read_and_only_while_their_account_may_act() -> None:
    for able in ("invited", "active"):
        assert Standing.HELP_DESK in domain.standings(COMMUNITY, able, {"HELP_DESK"})
        assert Standing.AUDITOR in domain.standings(COMMUNITY, able, {"AUDITOR"})
    cannot_act: tuple[str | None, ...] = ("locked", "disabled", "closed", None)
    for status in cannot_act:
        assert domain.standings(COMMUNITY, status, {"HELP_DESK"}) == frozenset()
    for role in ("SECURITY_OFFICIAL", "APPLICATION_OWNER", "AN_UNKNOWN_ROLE"):
        assert domain.standings(COMMUNITY, "active", {role}) == {Standing.SIGNED_IN}
    assert domain.standings(None, "active", {"HELP_DESK"}) == {Standing.SIGNED_IN}


# --- What they say ----------------------------------------------------------------------------


def test_every_notice_is_composed_of_exactly_what_its_template_names() -> None:
    assert {path.stem for path in TEMPLATES.glob("*.txt")} - {"base"} == set(domain.NEEDS)
    every = {name for needs in domain.NEEDS.values() for name in needs}
    for notice, needs in domain.NEEDS.items():
        [header] = re.findall(r"\A\{#.*?#\}", (TEMPLATES / f"{notice}.txt").read_text(), re.DOTALL)
        words = re.findall(r"[a-z_]+", header.partition("besides what the layout takes:")[2])
        assert set(words) & every == set(needs), notice


@pytest.mark.parametrize("reason", sorted(texts.DENIALS))
def test_a_denial_gives_its_reason_and_a_next_step_in_words(reason: str) -> None:
    request = a_request()
    [notice] = domain.consequences(domain.Settled(a_turn(request=request), "denied", reason)).notices
    values = said(notice, request).values
    assert values["reason_text"] == texts.DENIALS[reason][0]
    assert values["next_step_text"] == texts.DENIALS[reason][1]
    assert reason not in values["reason_text"]
    assert values["help_desk"].phone == COMMUNITY.help_desk.phone


@pytest.mark.parametrize("reason", [*reasons.RETURNS, "brand_new"])
def test_a_return_says_what_to_look_at_and_never_that_somebody_said_no(reason: str) -> None:
    request = a_request()
    returned = domain.Returned(a_turn(request=request), reason, (), "SECURITY_OFFICIAL", NOW)
    [notice] = domain.consequences(returned).notices
    words = said(notice, request).values["reason_text"]
    assert words == texts.returned(reason)
    assert "said no" not in words
    assert (reason in texts.RETURNS) == (reason != "brand_new")


@pytest.mark.parametrize("reason", reasons.DENIALS)
def test_every_reason_to_deny_has_words_of_its_own(reason: str) -> None:
    assert texts.denial(reason) != texts.denial("brand_new")


def test_the_applicant_is_never_told_of_suspected_fraud() -> None:
    assert texts.denial("suspected_fraud") == texts.DENIALS["not_confirmed"]


def test_a_reason_that_is_younger_than_this_catalogue_still_has_words() -> None:
    for reason, next_step in (texts.denial("brand_new"), texts.closing("brand_new")):
        assert reason.endswith(".") and next_step.endswith(".")
    assert "brand_new" in texts.refusal("brand_new")


def test_an_expiry_says_whether_documents_or_a_decision_was_missing() -> None:
    request = a_request()
    for stage, word in ((0, "documents"), (1, "decided")):
        [notice] = domain.consequences(domain.Settled(a_turn(stage, request=request), "expired")).notices
        assert word in said(notice, request).values["reason_text"]


def test_a_receipt_says_whose_turn_it_is_and_which_documents_are_needed() -> None:
    request = a_request()
    assert request.applicant_id is not None
    [notice] = domain.consequences(domain.Submitted(request, request.applicant_id, (), NOW)).notices
    assert "Security Official or Backup Security Official" in said(notice, request).values["next_step_text"]
    first = a_request(kind="register_organization", place_kind="organization", organization_name="XYZ")
    [notice] = domain.consequences(domain.Submitted(first, request.applicant_id, ("irs_letter",), NOW)).notices
    assert "IRS letter (CP-575 or accepted substitute)" in said(notice, first).values["next_step_text"]


def test_a_group_is_named_with_its_organization() -> None:
    request = a_request(group_name=None)
    [notice] = domain.consequences(domain.Settled(a_turn(request=request), "denied", "not_needed")).notices
    assert said(notice, request, group_name="Claims").values["place_name"] == "Claims, XYZ"
    missing = domain.compose(known(notice, request=request))
    assert missing == domain.Missing(("place_name",))


def test_a_notice_waits_for_everything_that_is_not_known() -> None:
    [notice] = domain.consequences(awaited(a_turn(), PersonId(new_id()))).notices
    missing = domain.compose(domain.Known(notice, PUBLIC_URL))
    assert isinstance(missing, domain.Missing)
    assert {"address", "recipient_name", "help_desk", "kind_name", "request_tracking_number"} <= set(missing.names)


def test_a_moment_is_written_out() -> None:
    request = a_request()
    fact = replace(awaited(a_turn(request=request), PersonId(new_id())), expires_at=NOW.replace(2026, 12, 8, 17, 5))
    [notice] = domain.consequences(fact).notices
    letter = said(notice, request, person=domain.Person("Ada", "Approver", "ada@people.example"))
    assert letter.values["due_at"] == "December 8, 2026, 12:05 p.m. EST"


def test_a_token_becomes_a_link_and_a_code_stays_as_it_is() -> None:
    assert domain.shown_secret("set_password", "a/b", PUBLIC_URL) == f"{PUBLIC_URL}/directory/password/a%2Fb"
    assert domain.shown_secret("email_code", "48151623", PUBLIC_URL) == "48151623"


# --- What becomes of a mail -------------------------------------------------------------------


def fate(outcome: domain.Outcome, **more: Any) -> domain.Fate:
    given: dict[str, Any] = {"attempts": 1, "tried_for": timedelta()}
    return domain.fate_of(outcome, **given | more)


def test_an_answer_decides_the_fate_of_a_mail() -> None:
    assert fate(domain.Accepted()) == domain.Sent()
    assert fate(domain.Refused(550)) == domain.Failed(550, "refused")
    assert fate(domain.CannotBeMade("bad_address")) == domain.Failed(0, "bad_address")
    for outcome, state in (
        (domain.Deferred(451), "due"),
        (domain.Unreachable(), "due"),
        (domain.Lost(), "unknown"),
    ):
        again = fate(outcome)
        assert isinstance(again, domain.TryAgain)
        assert again.state == state


def test_a_mail_that_may_have_left_stays_one_until_there_is_an_answer() -> None:
    again = fate(domain.Deferred(451), may_have_left=True)
    assert isinstance(again, domain.TryAgain)
    assert again.state == "unknown"


def test_the_pause_doubles_up_to_a_minute_and_is_spread() -> None:
    pauses = [domain.back_off(attempts, jitter=1.0).total_seconds() for attempts in range(1, 10)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert domain.back_off(10_000, jitter=0.0) == timedelta(seconds=30)


def test_after_five_days_without_an_answer_a_mail_has_failed() -> None:
    assert isinstance(fate(domain.Deferred(451), tried_for=timedelta(days=4, hours=23)), domain.TryAgain)
    assert fate(domain.Deferred(451), tried_for=timedelta(days=5)) == domain.Failed(451, "given_up")
