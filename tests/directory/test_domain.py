"""The directory's rules, without anything around them."""

from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest

from services.directory import domain
from services.directory.domain import NOBODY, Account, Evidence, Session
from shared.contracts.community import Community, Holding, Stage, Surroundings
from shared.errors import Refusal
from shared.ids import PlaceId, ScopeId, new_id
from tests.directory.builders import ADMINISTRATOR, COMMUNITY, NOON, SECURITY_OFFICIAL, new_person

SCOPE, GROUP = ScopeId(new_id()), PlaceId(new_id())


def around(**changes: Any) -> Surroundings:
    whole: dict[str, Any] = {"organization_status": "active", "scope_id": SCOPE}
    return Surroundings(**(whole | changes))


# In the order of the promise: what is found, and the answer.
FOUND: list[tuple[dict[str, Any], str]] = [
    ({"undecided_stage": 1}, "approver_lost_authority"),
    ({"organization_status": "closed"}, "organization_not_listed"),
    ({"is_duplicate_organization": True}, "duplicate_organization"),
    ({"is_duplicate_practitioner": True}, "duplicate_practitioner"),
    ({"is_group_name_taken": True}, "group_name_taken"),
    ({"holdings": (Holding(SECURITY_OFFICIAL, SCOPE, SCOPE),)}, "separation_of_duty"),
    ({"seats_taken": 5}, "cardinality_reached"),
]


def refusal(**changes: Any) -> str | None:
    """Return why a group cannot be created, for what is found beside a whole that stands in no way."""
    kind = COMMUNITY.kind("create_provider_group")
    assert kind is not None
    of_place = {name: changes.pop(name) for name in ("organization_status", "holdings") if name in changes}
    whole: dict[str, Any] = {"surroundings": around(**of_place), "seats_taken": 0}
    return domain.refusal_of_grant(COMMUNITY, kind, GROUP, SCOPE, Evidence(**(whole | changes)))


def test_an_approval_against_which_nothing_stands_is_granted() -> None:
    assert refusal() is None


@pytest.mark.parametrize(("found", "reason"), FOUND, ids=[reason for _, reason in FOUND])
def test_each_thing_that_stands_against_a_grant_has_its_reason(found: dict[str, Any], reason: str) -> None:
    assert refusal(**found) == reason


@pytest.mark.parametrize(("first", "second"), [*combinations(FOUND, 2)])
def test_of_two_reasons_the_first_is_told(
    first: tuple[dict[str, Any], str], second: tuple[dict[str, Any], str]
) -> None:
    assert refusal(**(second[0] | first[0])) == first[1]


def test_who_holds_this_role_in_this_place_already_is_not_given_it_again() -> None:
    assert refusal(holdings=(Holding(ADMINISTRATOR, GROUP, SCOPE),)) == "already_held"
    assert refusal(holdings=(Holding(ADMINISTRATOR, new_id(), SCOPE),)) is None


def test_a_user_id_has_eight_characters_that_nobody_misreads() -> None:
    for _ in range(200):
        user_id = domain.new_user_id()
        assert len(user_id) == 8
        assert not set(user_id) - set("ABCDEFGHJKLMNPQRSTUVWXYZ23456789")
    assert len({domain.new_user_id() for _ in range(200)}) == 200


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("K7MQ42XP", "K7MQ42XP"),
        (" k7mq-42xp ", "K7MQ42XP"),
        ("K7MQ 42XP", "K7MQ42XP"),
        ("K7MQ42X", ""),
        ("K7MQ42XPP", ""),
        ("K7MQ42XO", ""),
        ("K7MQ42X\0", ""),
        ("", ""),
    ],
)
def test_a_typed_user_id_is_read_as_it_is_meant_and_what_can_be_none_is_none(typed: str, meant: str) -> None:
    assert domain.normalise_user_id(typed) == meant


@pytest.mark.parametrize(
    "password",
    ["plover anvil sextant mulch", "ünïcödé wörds ärë fïne töo", "7h!s-1s-a-l0ng-0ne-w1th-s1gns", "x9 " + "Qz7!" * 31],
)
def test_a_long_uncommon_password_is_good(password: str) -> None:
    domain.check_password(password, personal=["K7MQ42XP", "Rosa", "Delgado"])


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("", "15 to 128"),
        ("plover anvil s", "15 to 128"),
        ("Qz7! plover anvil " * 8, "15 to 128"),
        ("passwordpassword", "too common"),
        ("123456789012345", "too common"),
        ("qwertyuiopasdfgh", "too common"),
        ("aaaaaaaaaaaaaaaaaaaa", "too common"),
        ("rosadelgadok7mq42xp", "too common"),
    ],
)
def test_a_short_overlong_or_common_password_is_refused(password: str, rule: str) -> None:
    with pytest.raises(Refusal) as refused:
        domain.check_password(password, personal=["K7MQ42XP", "Rosa", "Delgado"])
    (fault,) = refused.value.faults
    assert fault.pointer == "/password"
    assert rule in fault.rule


def an_account(**changes: Any) -> Account:
    whole: dict[str, Any] = {
        "person_id": new_person(),
        "user_id": "K7MQ42XP",
        "state": "active",
        "password_hash": "hash",
        "failure_count": 0,
        "locked_until": None,
    }
    return Account(**(whole | changes))


def test_only_an_active_account_with_a_password_may_try() -> None:
    assert an_account().may_try(NOON)
    assert not an_account(password_hash=None).may_try(NOON)
    for state in ("invited", "locked", "disabled", "closed"):
        assert not an_account(state=state).may_try(NOON)


def test_the_tenth_failure_locks_for_fifteen_minutes() -> None:
    account = an_account()
    for count in range(1, 10):
        account = account.after_failure(NOON)
        assert account == an_account(person_id=account.person_id, failure_count=count)
    locked = account.after_failure(NOON)
    assert locked == replace(account, state="locked", failure_count=0, locked_until=NOON + timedelta(minutes=15))
    assert not locked.may_try(NOON + timedelta(minutes=14, seconds=59))
    assert locked.may_try(NOON + timedelta(minutes=15))


def test_a_failure_after_a_lock_is_the_first_of_ten() -> None:
    over = an_account(state="locked", locked_until=NOON)
    assert over.after_failure(NOON) == replace(over, state="active", failure_count=1, locked_until=None)
    assert not replace(over, password_hash=None).may_try(NOON)


def test_nobody_may_never_try() -> None:
    assert not NOBODY.may_try(NOON)


def test_a_session_lives_thirty_minutes_unused_and_twelve_hours_at_most() -> None:
    session = Session(new_id(), new_person(), NOON, NOON, None)
    assert session.is_alive(NOON + timedelta(minutes=29, seconds=59))
    assert not session.is_alive(NOON + timedelta(minutes=30))
    late = NOON + timedelta(hours=11, minutes=59)
    assert replace(session, last_used_at=late).is_alive(late)
    assert not replace(session, last_used_at=late).is_alive(NOON + timedelta(hours=12))
    assert not replace(session, ended_at=NOON).is_alive(NOON)


def test_a_community_file_is_refused_with_every_fault_at_once() -> None:
    broken = COMMUNITY.kinds[1].model_copy(
        update={"role": "NOBODY", "stages": (Stage(deciders=COMMUNITY.kinds[1].stages[0].deciders),)}
    )
    community: Community = COMMUNITY.model_copy(update={"version": 3, "kinds": (*COMMUNITY.kinds, broken)})
    with pytest.raises(Refusal) as refused:
        domain.check_community(community, [2, 3])
    faults = refused.value.facts["community_faults"]
    assert isinstance(faults, list)
    for part in (
        "kinds: become_backup_security_official is declared twice",
        "gives the unknown role NOBODY",
        "ends with no queue that an operator can staff",
        "version: 3 is published already; the next is 4",
    ):
        assert any(part in fault for fault in faults), (part, faults)
    domain.check_community(COMMUNITY, [])
