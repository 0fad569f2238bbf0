"""What is told when a role, an entitlement or the keeping of a place has ended: to whom it was, and who is left."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update

from services.notification import domain, usecases
from services.notification.tables import departure, notice
from shared.database import Database
from shared.ids import PersonId, PlaceId, ScopeId, new_id
from tests.notification import builders, holdings
from tests.notification.builders import HELP_DESK, LATER, NOW, ARequest, Record, feed, new_person
from tests.notification.conftest import MailServer, Received, post_all
from tests.notification.holdings import AnAssignment


@dataclass
class Clinic:
    """XYZ Clinic with its group Billing: one holder of each role, by name."""

    scope_id: ScopeId = field(default_factory=lambda: ScopeId(new_id()))
    group_id: PlaceId = field(default_factory=lambda: PlaceId(new_id()))
    people: dict[str, PersonId] = field(default_factory=dict)
    roles: dict[str, AnAssignment] = field(default_factory=dict)

    def holder(self, given_name: str, role: str, place_kind: str = "organization") -> list[Record]:
        """Let somebody hold a role: `<name> Name`."""
        place = PlaceId(self.scope_id) if place_kind == "organization" else self.group_id
        one = self.people[given_name] = new_person()
        held = self.roles[given_name] = AnAssignment(one, place, self.scope_id, role, place_kind)
        return [builders.person(one, f"{given_name} Name"), held.state()]

    def places(self) -> list[Record]:
        whole = ARequest(scope_id=self.scope_id, place_id=self.group_id)
        return [whole.organization(), whole.group()]

    def staff(self) -> list[Record]:
        return [
            *self.places(),
            *self.holder("Sofia", "SECURITY_OFFICIAL"),
            *self.holder("Boris", "BACKUP_SECURITY_OFFICIAL"),
            *self.holder("Uma", "USER_GROUP_ADMINISTRATOR", "group"),
            *self.holder("Emil", "END_USER", "group"),
        ]


def address(given_name: str) -> str:
    return f"{given_name}.name@people.example".lower()


async def tell(db: Database, mails: MailServer) -> dict[str, list[Received]]:
    """Let the moment pass after which those who are left are told; return who got what."""
    async with db.begin() as tx:
        await tx.execute(update(departure).values(tell_at=func.now()))
        await tx.execute(update(notice).values(next_at=func.now()).where(notice.c.state == "waiting"))
    async with db.begin() as tx:
        await usecases.tell_departures(tx)
    await post_all(db, mails)
    got: dict[str, list[Received]] = {}
    for one in mails.received:
        got.setdefault(one.recipient, []).append(one)
    return got


async def count(db: Database, table: Any) -> int:
    async with db.begin() as tx:
        return int(await tx.value(select(func.count()).select_from(table)))


async def test_who_lost_a_role_and_who_decides_on_it_are_told_and_who_removed_it_is_not(
    db: Database, mails: MailServer
) -> None:
    clinic = Clinic()
    await feed(db, *clinic.staff(), *clinic.holder("Otto", "USER_GROUP_ADMINISTRATOR", "group"))
    emil = clinic.roles["Emil"]
    await feed(db, emil.entitled("CLAIM_STATUS"), emil.entitled("PS_AND_R", ended_at=NOW - timedelta(days=9)))
    await feed(db, emil.ended("revoked", by=clinic.people["Uma"]), emil.state("revoked", version=2))
    got = await tell(db, mails)
    assert set(got) == {address(name) for name in ("Emil", "Otto", "Sofia", "Boris")}
    [mine] = got[address("Emil")]
    assert mine.subject == "A role of yours has ended"
    for part in (mine.text, mine.html):
        assert "the role End User at Billing, XYZ Clinic" in part
        assert "has removed it" in part
        assert "Claim Status Inquiry" in part
        assert "Provider Statistical" not in part  # Had ended before.
    [theirs] = got[address("Otto")]
    assert "Emil Name no longer holds the role End User at Billing, XYZ Clinic." in theirs.text
    assert "Claim Status Inquiry" in theirs.text


async def test_a_security_official_who_leaves_is_told_of_to_the_backup_and_to_the_help_desk(
    db: Database, mails: MailServer
) -> None:
    clinic = Clinic()
    await feed(db, *clinic.staff())
    sofia = clinic.roles["Sofia"]
    await feed(db, sofia.ended("left", by=sofia.person_id), sofia.state("ended", version=2))
    got = await tell(db, mails)
    assert set(got) == {address("Sofia"), address("Boris"), HELP_DESK}
    assert "You left it." in got[address("Sofia")][0].text
    for recipient in (address("Boris"), HELP_DESK):
        assert "Nobody holds the role Security Official at XYZ Clinic now." in got[recipient][0].text


async def test_the_help_desk_hears_where_nobody_is_left_who_decides(db: Database, mails: MailServer) -> None:
    clinic = Clinic()
    await feed(db, *clinic.places(), *clinic.holder("Uma", "USER_GROUP_ADMINISTRATOR", "group"))
    await feed(db, clinic.roles["Uma"].ended("left"))  # Her state as it was: it may be heard later than the event.
    got = await tell(db, mails)
    assert set(got) == {address("Uma"), HELP_DESK}
    assert got[HELP_DESK][0].subject == "Help desk: somebody no longer holds a role"
    assert "Nobody holds the role User Group Administrator" in got[HELP_DESK][0].text


async def test_a_group_is_left_without_its_administrator_also_where_another_group_has_one(
    db: Database, mails: MailServer
) -> None:
    clinic = Clinic()
    other = AnAssignment(new_person(), PlaceId(new_id()), clinic.scope_id, "USER_GROUP_ADMINISTRATOR")
    await feed(db, *clinic.staff(), other.state())
    await feed(db, clinic.roles["Uma"].ended("left"))
    got = await tell(db, mails)
    for name in ("Sofia", "Boris"):
        [mail] = got[address(name)]
        assert "Nobody holds the role User Group Administrator at Billing, XYZ Clinic now." in mail.text


async def test_who_no_longer_holds_a_role_there_is_not_among_those_who_are_left(
    db: Database, mails: MailServer
) -> None:
    clinic = Clinic()
    await feed(db, *clinic.staff(), clinic.roles["Uma"].state("ended", version=2), clinic.roles["Emil"].ended())
    assert set(await tell(db, mails)) == {address(name) for name in ("Emil", "Sofia", "Boris")}


async def test_what_has_closed_as_a_whole_is_told_to_its_members_alone(db: Database, mails: MailServer) -> None:
    clinic = Clinic()
    await feed(db, *clinic.staff())
    await feed(db, *(one.ended("scope_closed") for one in clinic.roles.values()))
    got = await tell(db, mails)
    assert {recipient: len(found) for recipient, found in got.items()} == {
        address(name): 1 for name in ("Sofia", "Boris", "Uma", "Emil")
    }
    assert "has closed" in got[address("Emil")][0].text


async def test_the_end_of_a_role_is_told_once_however_often_it_is_heard(db: Database, mails: MailServer) -> None:
    clinic = Clinic()
    await feed(db, *clinic.staff())
    for _ in range(2):
        await feed(db, clinic.roles["Emil"].ended())
        got = await tell(db, mails)
    assert {recipient: len(found) for recipient, found in got.items()} == {
        address(name): 1 for name in ("Emil", "Uma", "Sofia", "Boris")
    }
    assert await count(db, departure) == 1


async def test_who_comes_after_it_was_told_is_not_told_of_it(db: Database, mails: MailServer) -> None:
    clinic = Clinic()
    await feed(db, *clinic.staff(), clinic.roles["Emil"].ended())
    assert address("Uma") in await tell(db, mails)
    await feed(db, *clinic.holder("Nora", "USER_GROUP_ADMINISTRATOR", "group"))
    assert address("Nora") not in await tell(db, mails)


async def test_who_is_left_is_asked_only_when_their_roles_may_have_been_heard_of(
    db: Database, mails: MailServer
) -> None:
    clinic = Clinic()
    await feed(db, *clinic.places(), *clinic.holder("Emil", "END_USER", "group"), clinic.roles["Emil"].ended())
    async with db.begin() as tx:
        assert await usecases.tell_departures(tx) == 0  # A moment too early.
    await feed(db, *clinic.holder("Uma", "USER_GROUP_ADMINISTRATOR", "group"))
    assert address("Uma") in await tell(db, mails)


async def test_an_application_that_ends_with_its_role_is_told_with_the_role_whichever_is_heard_first(
    db: Database, mails: MailServer
) -> None:
    first, second = Clinic(), Clinic()
    await feed(db, *first.staff())
    emil = first.roles["Emil"]
    await feed(db, emil.entitled("CLAIM_STATUS"), emil.entitlement_ended("CLAIM_STATUS"), emil.ended())
    got = await tell(db, mails)
    assert [one.subject for one in got[address("Emil")]] == ["A role of yours has ended"]
    await feed(db, *second.places(), *second.holder("Erna", "END_USER", "group"))
    erna = second.roles["Erna"]
    await feed(db, erna.entitled("CLAIM_STATUS"), erna.ended(), erna.entitlement_ended("CLAIM_STATUS"))
    got = await tell(db, mails)
    assert [one.subject for one in got[address("Erna")]] == ["A role of yours has ended"]


async def test_an_application_that_ends_alone_is_told_after_a_moment_of_holding_back(
    db: Database, mails: MailServer
) -> None:
    clinic = Clinic()
    await feed(db, *clinic.staff())
    emil = clinic.roles["Emil"]
    await feed(db, emil.entitlement_ended("CLAIM_STATUS"), emil.entitlement_ended("PS_AND_R", "left"))
    await feed(db, builders.person(emil.person_id, "Emil Name", version=2))  # Hastens nothing that is held.
    await post_all(db, mails)
    assert mails.received == []
    got = await tell(db, mails)
    assert [one.subject for one in got[address("Emil")]] == ["You can no longer use an application"] * 2
    assert "application Claim Status Inquiry in the role End User. The role itself stays." in " ".join(
        one.text for one in got[address("Emil")]
    )


async def test_an_application_that_ended_before_its_role_is_told_by_itself(db: Database, mails: MailServer) -> None:
    clinic = Clinic()
    await feed(db, *clinic.staff())
    emil = clinic.roles["Emil"]
    await feed(db, emil.entitled("CLAIM_STATUS", ended_at=NOW), emil.entitlement_ended("CLAIM_STATUS"))
    await feed(db, emil.ended(at=LATER))
    got = await tell(db, mails)
    assert sorted(one.subject for one in got[address("Emil")]) == [
        "A role of yours has ended",
        "You can no longer use an application",
    ]


async def test_a_suspended_organization_is_told_to_its_group_administrators_and_the_help_desk_with_the_day(
    db: Database, mails: MailServer
) -> None:
    clinic = Clinic()
    await feed(db, *clinic.places(), *clinic.holder("Uma", "USER_GROUP_ADMINISTRATOR", "group"))
    await feed(db, *clinic.holder("Emil", "END_USER", "group"), holdings.suspended(clinic.scope_id))
    got = await tell(db, mails)
    assert set(got) == {address("Uma"), HELP_DESK}
    for recipient in got:
        [mail] = got[recipient]
        assert "XYZ Clinic" in mail.text
        assert f"{builders.LATER:%B}" in mail.text


async def test_a_group_without_administrator_is_told_to_those_who_keep_the_organization(
    db: Database, mails: MailServer
) -> None:
    clinic = Clinic()
    await feed(db, *clinic.staff(), holdings.group_left(clinic.group_id, clinic.scope_id))
    got = await tell(db, mails)
    assert set(got) == {address("Sofia"), address("Boris")}
    assert "Nobody administers Billing, XYZ Clinic any more." in got[address("Boris")][0].html


async def test_a_group_without_administrator_of_an_organization_that_nobody_keeps_is_the_help_desks(
    db: Database, mails: MailServer
) -> None:
    clinic = Clinic()
    await feed(db, holdings.group_left(clinic.group_id, clinic.scope_id))
    assert await tell(db, mails) == {}  # Whose community it is is not known yet.
    async with db.begin() as tx:
        assert await tx.value(select(departure.c.tell_at > func.now())) is True  # Nor asked again each second.
    await feed(db, *clinic.places())
    assert set(await tell(db, mails)) == {HELP_DESK}


def test_the_superiors_of_another_community_follow_from_its_file() -> None:
    """No role is wired in: here departments are led, and a contract officer decides."""
    community = builders.community_of("fi-carrier-mac")
    scope, group = ScopeId(new_id()), PlaceId(new_id())
    officer, lead = new_person(), new_person()
    holders = [
        domain.Holder(officer, "CONTRACT_OFFICER", scope),
        domain.Holder(lead, "DEPARTMENT_LEAD", group),
    ]
    fact = domain.RoleEnded(
        AnAssignment(new_person(), group, scope).id,
        new_person(),
        "ANALYST",
        "group",
        group,
        scope,
        community.id,
        "left",
        None,
        NOW,
    )
    ended = domain.consequences(fact).departure
    assert ended is not None
    assert lead in {one.recipient_id for one in domain.told_of(ended, community, holders)}
