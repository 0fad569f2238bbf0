"""Who calls: everybody from nobody to the auditor, each with what they would send to be let in."""

import asyncio
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

from joserfc.jwk import ECKey

from services.directory import assembly, store
from services.directory.settings import DirectorySettings
from services.registration import keys as registration
from services.registration.settings import RegistrationSettings
from services.story.telling import Person, bearer
from shared import deployment, secrets, settings, tokens
from shared.ids import PersonId, new_id
from shared.testing.product import Product
from tests.who_may import house
from tests.who_may.house import House

BAD_TOKENS = ("expired", "wrong audience", "bad signature")
COLUMNS = (
    "nobody",
    *BAD_TOKENS,
    "SO",
    "BSO",
    "UGA",
    "EU",
    "practitioner",
    "help desk",
    "application owner",
    "auditor",
    "SO elsewhere",
    "UGA other group",
    "EU other group",
    "applicant",
    "applicant's token",
    "another's token",
    "other help desk",
)
COMMUNITY_WIDE = ("help desk", "auditor")
"""Who meets the objects of every organization of the community: what is not theirs is another community's."""
_APPLICATION = "CLAIM_STATUS"
_AT_ONCE = 3
"""More than this only ask each other's way: everybody who waits asks again and again."""


@dataclass(frozen=True, repr=False)
class Cast:
    """Everybody, around one organization and another one of the same community."""

    here: House
    elsewhere: House
    people: Mapping[str, Person]
    """Column -> who stands in it, for those who sign in."""
    things: Mapping[str, str]
    """What there is here, by the names that arrangements use -> its id."""
    things_elsewhere: Mapping[str, str]
    """Things of the same kinds in the other organization."""
    bad: Mapping[str, tuple[str, ...]]
    """Column -> the help desk's access token and an applicant's 30-minute token, each with one fault."""
    good: tuple[str, ...]
    """The same two without a fault."""
    anothers_token: str
    said: Mapping[str, int]
    """What `said_of` returned before anybody called."""

    def headers(self, column: str, about: str) -> list[dict[str, str]]:
        """Return what a caller sends to be let in; `about` names the request that is called about.

        Several for what has a fault: none of them may open anything.
        """
        if column == "nobody":
            return [{}]
        if column in self.bad:
            access, act = self.bad[column]
            return [bearer(access), bearer(act)] if about in self.here.action_tokens else [bearer(access)]
        if column == "applicant's token":
            return [bearer(self.here.action_tokens.get(about, self.here.action_tokens["join"]))]
        if column == "another's token":
            return [bearer(self.anothers_token)]
        return [bearer(self.people[column].token)]


def gather(product: Product) -> Cast:
    """Let everybody come into being, as much at once as can be."""
    helper = house.a_story(product).the_help_desk_opens()
    with ThreadPoolExecutor(_AT_ONCE) as at_once:
        building = at_once.submit(house.build, product, helper, "XYZ Medical Group")
        other = at_once.submit(house.build, product, helper, "Harbor Clinic")
        staff = {
            column: at_once.submit(_appointed, product, role, community, application)
            for column, role, community, application in (
                ("application owner", "APPLICATION_OWNER", "provider-supplier", _APPLICATION),
                ("auditor", "AUDITOR", "provider-supplier", None),
                ("other help desk", "CONTRACTOR_SUPPORT", "fi-carrier-mac", None),
            )
        }
        practitioner = at_once.submit(_a_practitioner, product, helper)
        here = building.result()
        backup = at_once.submit(house.a_story(product).a_backup_is_appointed, here.organization)
        others = at_once.submit(_another_group, product, here)
        house.practise(here.do, helper, here.applicant)
        people = {column: waiting.result() for column, waiting in staff.items()}
        people |= {"SO": here.organization.official, "UGA": here.administrator, "EU": here.user}
        people |= {"SO elsewhere": other.result().organization.official, "applicant": here.applicant}
        people |= {"help desk": helper, "BSO": backup.result()}
        people["UGA other group"], people["EU other group"] = others.result()
        people["practitioner"], practitioners_wish = practitioner.result()
    newcomers_wish, anothers_token = _a_newcomer(product, here)
    product.wait_quiet()
    elsewhere = other.result()
    good, bad = _tokens(product, here, helper)
    return Cast(
        here,
        elsewhere,
        people,
        {
            **here.things,
            "become BSO": newcomers_wish,
            "practitioner's application": practitioners_wish,
            "notice": _notice_of(product, here),
        },
        {
            **elsewhere.things,
            "become BSO": elsewhere.things["new group"],
            "practitioner's application": elsewhere.things["application"],
            "notice": _notice_of(product, elsewhere),
        },
        bad,
        good,
        anothers_token,
        said_of(product, here, elsewhere),
    )


def said_of(product: Product, *houses: House) -> Mapping[str, int]:
    """Return how many facts each service has told of these organizations: nothing changes without one."""
    scopes = [house.things["organization"] for house in houses]
    query = "SELECT count(*) AS n FROM outbox WHERE scope_id = ANY ($1::uuid[])"
    return {service: product.rows(service, query, scopes)[0]["n"] for service in deployment.SERVICES}


def _appointed(product: Product, role: str, community: str, application: str | None) -> Person:
    do = house.a_story(product).do
    who = do.tell.person()
    told = product.command(
        *("operator", "appoint", "--role", role, "--community", community, "--data", str(product.data), "--json"),
        *("--given-name", who.given_name, "--family-name", who.family_name, "--email", who.email),
        *(("--application", application) if application else ()),
    )
    who.user_id = json.loads(told)["user_id"]
    do.set_password_and_sign_in(who)
    return who


def _a_practitioner(product: Product, helper: Person) -> tuple[Person, str]:
    do = house.a_story(product).do
    doctor = do.tell.person()
    house.practise(do, helper, doctor)
    role_id = do.role_of(doctor, "INDIVIDUAL_PRACTITIONER")["id"]
    wish = do.ask(doctor, "asks", "access_application", application=_APPLICATION, role_assignment_id=role_id)
    return doctor, wish.request_id


def _another_group(product: Product, here: House) -> tuple[Person, Person]:
    """Let a second user group be opened here, with an administrator and an end user of its own."""
    do = house.a_story(product).do
    administrator, group_id = house.open_group(do, here.organization, "Archive")
    user = do.tell.person()
    joining = do.ask(user, "asks", "join_group", organization_id=here.organization.id, group_id=group_id)
    do.decide(administrator, joining, "approves")
    do.come_in(user)
    return administrator, user


def _a_newcomer(product: Product, here: House) -> tuple[str, str]:
    """Let somebody ask to become a further Backup; return the request, and its applicant's token."""
    do = house.a_story(product).do
    asked = do.ask(do.tell.person(), "asks", "become_backup_security_official", organization_id=here.organization.id)
    do.seen(here.organization.official, asked)
    return asked.request_id, asked.action_token


def _notice_of(product: Product, its: House) -> str:
    rows = product.rows("notification", "SELECT id FROM notice WHERE request_id = $1", its.things["join"])
    return str(rows[0]["id"])


def _tokens(product: Product, here: House, helper: Person) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]:
    """Mint an access token with the directory's own key and an action token with registration's: good, and at fault."""
    told = settings.load(DirectorySettings, dict(product.told))
    issued = tokens.Issued.at(told.public_url)
    elsewhere = tokens.Issued(issued.issuer, "https://elsewhere.example")
    kid, key = asyncio.run(_signing_key(told))
    stranger = ECKey.generate_key("P-256", {"kid": kid})
    now = int(time.time())
    (row,) = product.rows("directory", "SELECT person_id FROM account WHERE user_id = $1", helper.user_id)
    caller = tokens.Caller(PersonId(row["person_id"]), uuid4(), now)
    ours = settings.load(RegistrationSettings, dict(product.told)).secret_key

    def access(signed_with: ECKey = key, whom: tokens.Issued = issued, at: int = now) -> str:
        return tokens.mint(signed_with, kid, whom, caller, token_id=new_id(), now=at)

    def act(signed_with: bytes = ours, purpose: str = registration.ACT_PURPOSE, lives_seconds: int = 600) -> str:
        subject = here.things["join"]
        return secrets.own_token(signed_with, purpose=purpose, subject=subject, lives_seconds=lives_seconds)

    return (access(), act()), {
        "expired": (access(at=now - tokens.LIVES_SECONDS - 1), act(lives_seconds=-1)),
        "wrong audience": (access(whom=elsewhere), act(purpose="cursor")),
        "bad signature": (access(signed_with=stranger), act(signed_with=bytes(32))),
    }


async def _signing_key(told: DirectorySettings) -> tuple[str, ECKey]:
    database = told.open_database()
    await database.start()
    try:
        async with database.begin() as tx:
            row = await store.signing_key(tx)
            assert row is not None
            public = await store.load_public_key(tx, row.kid)
    finally:
        await database.close()
    private = assembly.keys(told).vault.open(row.private_locked, bound_to=f"signing_key {row.kid}")
    return str(row.kid), ECKey.import_key({**public, "d": private})
