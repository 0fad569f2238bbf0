"""What happens in the story: the eight points of domain 10, in their order."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from secrets import choice, randbelow

import httpx
from rich.console import Console

from services.directory import assembly, usecases
from services.directory.settings import DirectorySettings
from services.story.acts import COMMUNITY, Acts, Organization
from services.story.telling import Person, Step, StoryError
from shared import settings
from shared.platform import state

_SUBSCRIBER = Path(__file__).parents[2] / "examples" / "subscriber.py"


@dataclass(frozen=True)
class Story:
    """Tells the story through what people do, and what only an operator may: appoint people, and move the clock."""

    do: Acts
    settings: DirectorySettings

    @classmethod
    def at(cls, origin: str, told: Mapping[str, str], console: Console) -> "Story":
        """Return the story at one origin, whose operators are told this. Raises SettingsError."""
        return cls(Acts(origin, console), settings.load(DirectorySettings, dict(told)))

    @property
    def people(self) -> list[Person]:
        """Everybody who took part."""
        return self.do.tell.people

    @property
    def tins(self) -> list[str]:
        """The taxpayer numbers that were typed."""
        return self.do.tins

    def tell(self) -> list[Step]:
        """Tell it all; stop at the first step that does not hold. Returns every step."""
        try:
            self._tell()
        except (StoryError, httpx.HTTPError, subprocess.TimeoutExpired) as trouble:
            self.do.tell.stop(trouble)
        return self.do.tell.steps

    def _tell(self) -> None:
        helper = self.the_help_desk_opens()
        xyz = self.an_organization_registers(helper, "XYZ Medical Group")
        backup = self.a_backup_is_appointed(xyz)
        administrator, group_id = self.a_group_is_created(xyz)
        self.a_second_administrator_joins(xyz, group_id)
        user = self.an_end_user_joins(xyz, administrator, group_id)
        self.a_billing_company_works_for_three(helper, xyz, backup)
        self.applications_are_opened(xyz, administrator, user)
        self.a_practitioner_registers(helper)
        self.an_approver_does_nothing(xyz, backup, administrator, group_id)
        self.another_application_starts_late()

    # --- 1 ----------------------------------------------------------------------------------------

    def the_help_desk_opens(self) -> Person:
        """An operator appoints the help desk."""
        do, tell = self.do, self.do.tell
        tell.chapter("The help desk opens")
        helper = tell.person()

        def appoint() -> None:
            helper.user_id = asyncio.run(self._appoint(helper))

        tell.step(f"An operator gives {helper.name} the help desk's role", appoint)
        do.set_password_and_sign_in(helper)
        return helper

    async def _appoint(self, helper: Person) -> str:
        database = self.settings.open_database()
        try:
            async with database.begin() as tx:
                return await usecases.appoint(
                    tx,
                    assembly.keys(self.settings),
                    community_id=COMMUNITY,
                    role_code="HELP_DESK",
                    given_name=helper.given_name,
                    family_name=helper.family_name,
                    email=helper.email,
                    by="story",
                )
        finally:
            await database.close()

    def an_organization_registers(self, helper: Person, called: str) -> Organization:
        """A Security Official registers an organization; the help desk checks the IRS letter."""
        do, tell = self.do, self.do.tell
        name = f"{called} {do.run.upper()} LLC"
        tell.chapter(f"{name} registers with its Security Official")
        official = tell.person()
        do.tins.append(f"{choice((10, 20, 27, 45, 52, 84))}-{randbelow(10**7):07d}")
        data = {
            "legal_business_name": name,
            "tin": do.tins[-1],
            "street": f"{100 + randbelow(900)} Main Street",
            "city": "Baltimore",
            "state": "MD",
            "zip_code": "21244",
            "phone": "410-555-0100",
            "provider_type": "physician_practice",
            "npi": "1234567893",
        }
        filed = do.ask(official, f"{official.name} files for it", "register_organization", data=data)
        tell.step(
            "Before it is approved it is not listed, and a request for it is refused",
            lambda: self._is_unknown(name, filed.request_id),
        )
        do.send_letter(filed)
        do.decide(helper, filed, "The help desk approves")
        found = tell.step("It is listed", lambda: tell.until(lambda: do.organization(name), "it is not listed"))
        do.come_in(official)
        return Organization(str(found["id"]), name, official)

    def _is_unknown(self, name: str, organization_id: str) -> None:
        do, tell = self.do, self.do.tell
        tell.expect(not do.organization(name), "an unapproved organization is listed")
        early = {"organization_id": organization_id, "data": {"group_name": "Too early"}}
        tell.refused(do.post_request(tell.person(), "create_provider_group", **early), "organization_not_listed")

    # --- 2 ----------------------------------------------------------------------------------------

    def a_backup_is_appointed(self, xyz: Organization) -> Person:
        """The Security Official appoints a Backup."""
        do, tell = self.do, self.do.tell
        tell.chapter("A Backup Security Official")
        backup = tell.person()
        filed = do.ask(
            backup, f"{backup.name} asks to be it", "become_backup_security_official", organization_id=xyz.id
        )
        do.decide(xyz.official, filed, "The Security Official approves")
        do.come_in(backup)
        return backup

    def a_group_is_created(self, xyz: Organization) -> tuple[Person, str]:
        """A User Group Administrator asks for a group; what was filed badly is returned and corrected first."""
        do, tell = self.do, self.do.tell
        tell.chapter(f"A User Group Administrator asks {xyz.name} for a group")
        administrator, group = tell.person(), f"Billing {do.run}"
        filed = do.ask(
            administrator,
            f"{administrator.name} asks for the group “Biling”",
            "create_provider_group",
            organization_id=xyz.id,
            data={"group_name": f"Biling {do.run}"},
        )
        tell.mailed(xyz.official, "decision", "The Security Official hears of it by mail")
        early = tell.person()
        tell.step(
            f"{early.name} wants to join before it is approved: there is nothing to join",
            lambda: tell.refused(
                do.post_request(early, "join_group", organization_id=xyz.id, group_id=filed.request_id),
                "group_not_active",
            ),
        )
        do.decide(
            xyz.official,
            filed,
            "The Security Official returns it: the name is not clear",
            "return",
            reason="data_unclear",
            correct=["group_name"],
        )
        tell.mailed(administrator, "correct", "The applicant hears what to correct")
        tell.step(
            "The name is corrected",
            lambda: tell.until(
                lambda: do.correct(filed, {"group_name": group}).is_success or None, "the correction is not taken"
            ),
        )
        do.decide(xyz.official, filed, "The Security Official approves")
        group_id = do.group_opens(xyz.id, group)
        do.come_in(administrator)
        return administrator, group_id

    def a_second_administrator_joins(self, xyz: Organization, group_id: str) -> None:
        """A second administrator associates with the group that is there."""
        do, tell = self.do, self.do.tell
        tell.chapter("A second administrator associates with that group")
        second = tell.person()
        about = {"organization_id": xyz.id, "group_id": group_id}
        filed = do.ask(second, f"{second.name} asks to administer it", "administer_group", **about)
        do.decide(xyz.official, filed, "The Security Official approves")
        do.receive_user_id(second)

    # --- 3 ----------------------------------------------------------------------------------------

    def an_end_user_joins(self, xyz: Organization, administrator: Person, group_id: str) -> Person:
        """An end user joins; another changes their mind."""
        do, tell = self.do, self.do.tell
        tell.chapter("An end user joins")
        user, other = tell.person(), tell.person()
        about = {"organization_id": xyz.id, "group_id": group_id}
        filed = do.ask(user, f"{user.name} asks to join", "join_group", **about)
        tell.mailed(administrator, "decision", "The administrator hears of it by mail")
        do.decide(administrator, filed, "The administrator approves")
        do.come_in(user)
        roles = do.access_of(user)["roles"]
        tell.step(
            "The end user holds exactly the one role",
            lambda: tell.expect([role["role"] for role in roles] == ["END_USER"], f"roles are {roles}"),
        )
        do.becomes(filed, "granted", "The tracking number says so too")
        withdrawn = do.ask(other, f"{other.name} asks to join as well", "join_group", **about)
        tell.step(f"{other.name} withdraws", lambda: tell.ok(do.withdraw(other, withdrawn)))
        do.becomes(withdrawn, "withdrawn", "It is withdrawn: nobody has to decide it any more")
        return user

    # --- 4 ----------------------------------------------------------------------------------------

    def a_billing_company_works_for_three(self, helper: Person, xyz: Organization, backup: Person) -> None:
        """ABC works for three organizations: three requests, three groups, three decisions, one user ID."""
        do, tell = self.do, self.do.tell
        others = [self.an_organization_registers(helper, called) for called in ("Harbor Clinic", "Ridge Hospice")]
        tell.chapter("Billing company ABC works for three organizations")
        surrogate = tell.person()
        for organization, approver, whose in (
            (xyz, backup, "The Backup Security Official"),
            *((other, other.official, "Its Security Official") for other in others),
        ):
            group = f"ABC Billing {do.run}"
            filed = do.ask(
                surrogate,
                f"{surrogate.name} of ABC asks {organization.name} for a surrogate group",
                "create_surrogate_group",
                organization_id=organization.id,
                data={"group_name": group, "company_name": "ABC Billing Services Inc."},
            )
            do.decide(approver, filed, f"{whose} approves")
            do.group_opens(organization.id, group)
            if not surrogate.token:
                do.come_in(surrogate)
        tell.step("Three groups, and one user ID", lambda: self._holds_three(surrogate))

    def _holds_three(self, surrogate: Person) -> None:
        do, tell = self.do, self.do.tell

        def three() -> bool:
            mine = do.access_of(surrogate)
            roles = [role["role"] for role in mine["roles"]]
            return mine["user_id"] == surrogate.user_id and roles == ["USER_GROUP_ADMINISTRATOR"] * 3

        tell.until(lambda: three() or None, "the surrogate does not hold three roles under one user ID")

    # --- 5 ----------------------------------------------------------------------------------------

    def applications_are_opened(self, xyz: Organization, administrator: Person, user: Person) -> None:
        """The administrator asks for an application and the official approves; an end user needs both."""
        do, tell = self.do, self.do.tell
        tell.chapter("Applications")
        for person, role, approvers in (
            (administrator, "USER_GROUP_ADMINISTRATOR", [(xyz.official, "The Security Official approves")]),
            (
                user,
                "END_USER",
                [(administrator, "The administrator approves"), (xyz.official, "Then the Security Official approves")],
            ),
        ):
            filed = do.ask(
                person,
                f"{person.name} asks for the Claim Status Inquiry",
                "access_application",
                application="CLAIM_STATUS",
                role_assignment_id=do.role_of(person, role)["id"],
            )
            for approver, sentence in approvers:
                do.decide(approver, filed, sentence)
            do.becomes(filed, "granted", "The directory grants it")
            codes = [each["application"] for each in do.access_of(person)["entitlements"]]
            tell.expect(codes == ["CLAIM_STATUS"], f"{person.name} may use {codes}")

    # --- 6 ----------------------------------------------------------------------------------------

    def a_practitioner_registers(self, helper: Person) -> None:
        """A practitioner registers for personal use; no surrogate can be attached, no DMEPOS supplier registers."""
        do, tell = self.do, self.do.tell
        tell.chapter("An individual practitioner, and who should not register")
        doctor = tell.person()
        data = {
            "npi": _npi(),
            "street": f"{100 + randbelow(900)} Elm Street",
            "city": "Towson",
            "state": "MD",
            "zip_code": "21204",
        }
        filed = do.ask(doctor, f"{doctor.name} registers as a practitioner", "register_practitioner", data=data)
        do.decide(helper, filed, "The help desk approves")
        do.come_in(doctor)
        record = do.role_of(doctor, "INDIVIDUAL_PRACTITIONER")["place_id"]
        outsider = tell.person()
        tell.step(
            f"{outsider.name} wants to be the practitioner's surrogate: a practitioner has none",
            lambda: tell.until(
                lambda: self._is_refused_as_surrogate(outsider, record) or None, "a surrogate was not refused"
            ),
        )
        supplier = {
            "legal_business_name": f"Wheelchairs {do.run}",
            "tin": "12-3456789",
            "street": "1 Main Street",
            "city": "Baltimore",
            "state": "MD",
            "zip_code": "21244",
            "phone": "410-555-0100",
            "provider_type": "dmepos_supplier",
        }
        tell.step(
            "A DMEPOS supplier is told: not at this time",
            lambda: tell.refused(
                do.post_request(tell.person(), "register_organization", data=supplier), "provider_type_refused"
            ),
        )

    def _is_refused_as_surrogate(self, outsider: Person, record: str) -> bool:
        answer = self.do.post_request(
            outsider,
            "create_surrogate_group",
            organization_id=record,
            data={"group_name": "Helpers", "company_name": "Helpers Inc."},
        )
        return bool(answer.json().get("code") == "surrogate_for_practitioner")

    # --- 7 ----------------------------------------------------------------------------------------

    def an_approver_does_nothing(self, xyz: Organization, backup: Person, administrator: Person, group_id: str) -> None:
        """An administrator does nothing: reminder, escalation to both officials, then to the help desk."""
        do, tell = self.do, self.do.tell
        if self.settings.clock_file is None:
            tell.chapter("An approver does nothing (told only where the clock may be moved)")
            return
        tell.chapter("An approver does nothing, and weeks pass")
        user = tell.person()
        about = {"organization_id": xyz.id, "group_id": group_id}
        filed = do.ask(user, f"{user.name} asks to join", "join_group", **about)
        number = filed.tracking_number.lower()
        tell.step("It waits for the administrator", lambda: do.seen(administrator, filed))
        self.pass_time(timedelta(days=10))
        tell.mailed(administrator, "reminder", "After working days without a decision the administrator is reminded")
        self.pass_time(timedelta(days=5))
        for official, whose in ((xyz.official, "Security Official"), (backup, "Backup Security Official")):
            tell.mailed(official, number, f"After two weeks the {whose} is asked too")
        self.pass_time(timedelta(days=15))
        desk = tell.ok(do.http.get(f"/registration/v1/communities/{COMMUNITY}"))["help_desk"]["email"]
        tell.mailed(desk, number, "After two more the help desk hears of it, with its whole history")
        reads = [do.seen(who, filed) for who in (xyz.official, backup)]

        def both() -> None:
            with ThreadPoolExecutor() as at_once:
                answers = at_once.map(
                    lambda pair: do.post_decision(pair[0], pair[1], verdict="approve"),
                    zip((xyz.official, backup), reads, strict=True),
                )
                self._one_wins(list(answers))

        tell.step("Both officials decide at the same moment: one wins, the other learns who", both)
        do.becomes(filed, "granted", f"{user.name} is a member")

    def _one_wins(self, answers: list[httpx.Response]) -> None:
        won = [answer for answer in answers if answer.is_success]
        self.do.tell.expect(len(won) == 1, f"{len(won)} decisions were taken")
        (lost,) = (answer for answer in answers if not answer.is_success)
        self.do.tell.refused(lost, "already_decided")

    def pass_time(self, time: timedelta) -> None:
        """Let time pass for everybody: the domain's clock goes forward, and never back."""
        clock = self.settings.clock_file
        assert clock is not None, "told only where the clock may be moved"
        offset = float(clock.read_text().strip() or 0) if clock.exists() else 0.0
        state.write_whole(clock, str(offset + time.total_seconds()))
        self.do.tell.aside(f"→ {time.days} days pass")

    # --- 8 ----------------------------------------------------------------------------------------

    def another_application_starts_late(self) -> None:
        """A program that has read nothing yet ends with exactly what the people of the story may do."""
        tell = self.do.tell
        tell.chapter("Another CMS application starts late")

        def read() -> set[str]:
            told = subprocess.run(  # noqa: S603 - our own program.
                [sys.executable, _SUBSCRIBER, self.settings.kafka_servers, "--once"],
                capture_output=True,
                text=True,
                check=False,
                timeout=180,
            )
            tell.expect(told.returncode == 0, f"the subscriber ended with {told.returncode}: {told.stderr[-300:]}")
            held: set[str] = set()
            for line in told.stdout.splitlines():
                sign, _, grant = line.partition(" ")
                (held.add if sign == "+" else held.discard)(grant)
            return held

        held = tell.step("It reads the full state and the events from there on", read)
        tell.step("It knows exactly what each of them may do", lambda: self._agrees(held))

    def _agrees(self, held: set[str]) -> None:
        do, tell = self.do, self.do.tell
        for person in (each for each in tell.people if each.token):
            mine = do.access_of(person)
            theirs = {grant for grant in held if grant.startswith(mine["person_id"])}
            granted = {f"{mine['person_id']} {role['role']} {role['place_id']}" for role in mine["roles"]}
            granted |= {
                f"{mine['person_id']} {each['application']} {each['assignment_id']}" for each in mine["entitlements"]
            }
            tell.expect(theirs == granted, f"{person.name}: the application knows {theirs}, the directory {granted}")


def _npi() -> str:
    """Return a National Provider Identifier with its check digit (Luhn over 80840 and the number)."""
    digits = f"1{randbelow(10**8):08d}"
    total = 24  # What the prefix 80840 adds.
    for place, digit in enumerate(reversed(digits)):
        double = int(digit) * (2 if place % 2 == 0 else 1)
        total += double - 9 if double > 9 else double
    return digits + str(-total % 10)
