"""What people do while all goes wrong: every kind of request, every decision, withdrawals, removals."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from secrets import token_hex

from services.directory.settings import DirectorySettings
from services.story import Story
from services.story.acts import Filed, Organization
from services.story.telling import Person, bearer
from tests.torture.actors import Actor, Tokens


@dataclass(frozen=True)
class Cast:
    """Those who are there before anything goes wrong."""

    helper: Person
    organization: Organization
    backup: Person
    administrator: Person
    group_id: str
    settings: DirectorySettings
    tokens: Tokens

    @property
    def approvers(self) -> tuple[Person, ...]:
        """Whose tokens must not run out."""
        return self.helper, self.organization.official, self.backup, self.administrator


def opening(story: Story) -> Cast:
    """Return the cast, come into being through the public API as in the story."""
    helper = story.the_help_desk_opens()
    organization = story.an_organization_registers(helper, "XYZ Medical Group")
    backup = story.a_backup_is_appointed(organization)
    administrator, group_id = story.a_group_is_created(organization)
    return Cast(helper, organization, backup, administrator, group_id, story.settings, Tokens())


@dataclass
class Scene:
    """One scene's people and dice. Each method is a scene of its own."""

    do: Actor
    cast: Cast
    dice: random.Random

    def play(self, name: str) -> None:
        """Play one scene to its end."""
        self.cast.tokens.refresh(self.do, *self.cast.approvers)
        SCENES[name](self)

    def join(self) -> None:
        """Somebody joins the group; the administrator approves or denies."""
        filed = self._joins(self.do.tell.person())
        if self.dice.random() < 0.7:
            self.do.must_judge(self.cast.administrator, filed)
        else:
            self.do.must_judge(self.cast.administrator, filed, "deny", reason="unknown_person")

    def withdraw(self) -> None:
        """Somebody changes their mind, perhaps while the administrator is deciding."""
        person = self.do.tell.person()
        filed = self._joins(person)
        self.do.withdraw(person, filed)
        if self.dice.random() < 0.5:
            self.do.judged(self.cast.administrator, filed, "approve")

    def use_application(self) -> None:
        """An end user asks for an application: the administrator and then an official approve."""
        person = self._member()
        filed = self._asks_for_application(person, "END_USER")
        self.do.must_judge(self.cast.administrator, filed)
        self.do.must_judge(self._official(), filed)
        self.do.becomes(filed, "granted", "It is granted")
        if self.dice.random() < 0.5:
            self._ends(person, person)  # And with the role the entitlement ends.

    def lose_role(self) -> None:
        """A member leaves, or the administrator takes the role away."""
        person = self._member()
        self._ends(person, person if self.dice.random() < 0.5 else self.cast.administrator)

    def create_group(self) -> None:
        """A group is asked for, perhaps returned and corrected, and decided by two officials at once."""
        person, name = self.do.tell.person(), f"Group {token_hex(4)}"
        filed = self._asks(person, "create_provider_group", data={"group_name": name})
        if self.dice.random() < 0.5:
            self.do.must_judge(self._official(), filed, "return", reason="data_unclear", correct=["group_name"])
            self.do.corrected(filed, {"group_name": f"{name} A"})
            name = f"{name} A"
        if self.dice.random() < 0.6:
            self._both_decide(filed)
        else:
            self.do.must_judge(self._official(), filed)
        if self.dice.random() < 0.4 and self.do.tell.until(lambda: self.do.state_of(filed), "") == "granted":
            group_id = self.do.group_opens(self.cast.organization.id, name)
            self.do.must_judge(self._official(), self._asks(None, "administer_group", group_id=group_id))

    def administer(self) -> None:
        """Somebody is to administer a new group, too."""
        name = f"Group {token_hex(4)}"
        first = self._asks(None, "create_provider_group", data={"group_name": name})
        self.do.must_judge(self._official(), first)
        group_id = self.do.group_opens(self.cast.organization.id, name)
        self.do.must_judge(self._official(), self._asks(None, "administer_group", group_id=group_id))

    def be_surrogate(self) -> None:
        """A billing company's administrator gets a group, and asks for an application for it."""
        person = self.do.tell.person()
        data = {"group_name": f"ABC {token_hex(4)}", "company_name": "ABC Billing Services Inc."}
        self.do.must_judge(self._official(), self._asks(person, "create_surrogate_group", data=data))
        self.do.come_in(person)
        filed = self._asks_for_application(person, "USER_GROUP_ADMINISTRATOR")
        self._both_decide(filed)

    def practise(self) -> None:
        """A practitioner registers; the help desk approves, denies or returns."""
        data = {
            "npi": _npi(self.dice),
            "street": f"{self.dice.randint(1, 9999)} Elm Street",
            "city": "Towson",
            "state": "MD",
            "zip_code": "21204",
        }
        person = self.do.tell.person()
        filed = self.do.ask(person, "A practitioner registers", "register_practitioner", data=data)
        if self.dice.random() < 0.3:
            self.do.must_judge(self.cast.helper, filed, "deny", reason="ineligible")
            return
        if self.dice.random() < 0.3:
            self.do.must_judge(self.cast.helper, filed, "return", reason="data_unclear", correct=["street"])
            self.do.corrected(filed, {**data, "street": "1 Elm Street"})
        self.do.must_judge(self.cast.helper, filed)

    def register(self) -> None:
        """An organization registers with its letter; then its official appoints a backup, and makes a group."""
        story = Story(self.do, self.cast.settings)
        mine = story.an_organization_registers(self.cast.helper, f"Clinic {token_hex(3)}")
        backup, maker = self.do.tell.person(), self.do.tell.person()
        filed = self.do.ask(backup, "A backup asks", "become_backup_security_official", organization_id=mine.id)
        self.do.must_judge(mine.official, filed)
        group = self.do.ask(
            maker, "A group", "create_provider_group", organization_id=mine.id, data={"group_name": "Billing"}
        )
        self.do.must_judge(mine.official, group)

    # --- What scenes are made of ----------------------------------------------------------------

    def _official(self) -> Person:
        return self.dice.choice((self.cast.organization.official, self.cast.backup))

    def _asks(self, person: Person | None, kind: str, **more: object) -> Filed:
        more = {"organization_id": self.cast.organization.id, **more}
        return self.do.ask(person or self.do.tell.person(), f"Somebody asks: {kind}", kind, **more)

    def _joins(self, person: Person) -> Filed:
        return self._asks(person, "join_group", group_id=self.cast.group_id)

    def _member(self) -> Person:
        person = self.do.tell.person()
        self.do.must_judge(self.cast.administrator, self._joins(person))
        self.do.come_in(person)
        return person

    def _asks_for_application(self, person: Person, role: str) -> Filed:
        role_id = self.do.role_of(person, role)["id"]
        return self.do.ask(
            person, "An application", "access_application", application="CLAIM_STATUS", role_assignment_id=role_id
        )

    def _ends(self, holder: Person, by: Person) -> None:
        role_id = self.do.role_of(holder, "END_USER")["id"]
        self.do.tell.ok(self.do.http.delete(f"/directory/v1/role-assignments/{role_id}", headers=bearer(by.token)))

    def _both_decide(self, filed: Filed) -> None:
        """Let both officials decide at the same moment: exactly one decision is taken."""
        both = (self.cast.organization.official, "approve"), (self.cast.backup, "deny")
        with ThreadPoolExecutor(2) as at_once:
            answers = list(
                at_once.map(
                    lambda one: self.do.judged(
                        one[0], filed, one[1], **({"reason": "not_needed"} if one[1] == "deny" else {})
                    ),
                    both,
                )
            )
        taken = [answer for answer in answers if answer.status_code == 201]
        self.do.tell.expect(len(taken) == 1, f"{len(taken)} decisions were taken on {filed.request_id}")


SCENES: dict[str, Callable[[Scene], None]] = {
    "join": Scene.join,
    "withdraw": Scene.withdraw,
    "use_application": Scene.use_application,
    "lose_role": Scene.lose_role,
    "create_group": Scene.create_group,
    "administer": Scene.administer,
    "be_surrogate": Scene.be_surrogate,
    "practise": Scene.practise,
    "register": Scene.register,
}


def _npi(dice: random.Random) -> str:
    """Return a National Provider Identifier with its check digit (Luhn over 80840 and the number)."""
    digits = f"1{dice.randrange(10**8):08d}"
    total = 24  # What the prefix 80840 adds.
    for place, digit in enumerate(reversed(digits)):
        double = int(digit) * (2 if place % 2 == 0 else 1)
        total += double - 9 if double > 9 else double
    return digits + str(-total % 10)
