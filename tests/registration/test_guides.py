"""The reference guides: they say what the community's file and the rules of the fields say, and no more.

What they say whole, as it was last read and agreed to, is in tests/registration/guides/. After a change that is meant,
write them anew with IACS_WRITE_SNAPSHOTS=1 and read the difference.
"""

import os
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter

import shared
from services.approval import domain as approval
from services.registration.domain import CODE_LIVES, fields, guide_texts, guides
from shared import reasons
from shared.contracts.community import Community, Decider
from shared.errors import CATALOGUE
from tests.registration.desk import Desk

FOLDER = Path(shared.__path__[0]) / "communities"
SHIPPED = [Community.model_validate(tomllib.loads(path.read_text())) for path in sorted(FOLDER.glob("*.toml"))]
PROVIDERS = next(it for it in SHIPPED if it.id == "provider-supplier")
STRANGE = Path(__file__).parents[1] / "journeys" / "communities" / "observatory.toml"
"""A community with three stages and a quorum, as no shipped one has."""
SNAPSHOTS = Path(__file__).parent / "guides"
EVERY_ROLE = [pytest.param(it, role.code, id=f"{it.id} {role.code}") for it in SHIPPED for role in it.roles]


def guide_of(code: str, community: Community = PROVIDERS) -> guides.Guide:
    found = guides.guide(community, code)
    assert found is not None
    return found


@pytest.mark.parametrize(("community", "code"), EVERY_ROLE)
def test_every_role_has_a_guide_with_its_duties_and_whom_to_ask(community: Community, code: str) -> None:
    guide = guide_of(code, community)
    assert guide.duties
    assert community.help_desk.email in guide.contact
    given = [kind.code for kind in community.kinds if kind.role == code]
    resting = [kind.code for kind in community.kinds for path in kind.paths if path.rests_on == code]
    assert [way.kind for way in guide.ways] == given + resting


@pytest.mark.parametrize(("community", "code"), EVERY_ROLE)
def test_each_field_is_told_with_its_rule_and_an_example_that_the_rule_accepts(community: Community, code: str) -> None:
    for way in guide_of(code, community).ways:
        kind = community.kind(way.kind)
        assert kind is not None
        asked = [*way.about_the_person, *way.about_the_request]
        assert [each.name for each in asked] == [
            name.removesuffix("?") for name in (*kind.applicant_fields, *kind.fields)
        ]
        for each in asked:
            assert each.rule == fields.rule_of(each.name).rule
            if each.name != "provider_type":
                assert each.example in fields.rule_of(each.name).accepts


@pytest.mark.parametrize(("community", "code"), EVERY_ROLE)
def test_each_error_on_the_way_is_explained_once_with_what_to_do(community: Community, code: str) -> None:
    for way in guide_of(code, community).ways:
        codes = [error.code for error in way.errors]
        assert len(codes) == len(set(codes))
        assert all(error.remedy == CATALOGUE[error.code].remedy for error in way.errors)
        assert ("document_refused" in codes) == bool(way.documents)
        assert ("not_invited" in codes) == community.invitation_needed


def test_the_guide_of_an_end_user_says_who_decides_an_application_and_in_which_order() -> None:
    (_, application) = guide_of("END_USER").ways
    first, second = application.decided_by
    assert first.startswith("1. User Group Administrator; if nobody is there, or after 14 days, also Security Official")
    assert second.startswith("2. Security Official or Backup Security Official;")
    assert second.endswith("Help Desk, who may deny or return it but not approve.")


def test_a_change_of_the_community_is_a_change_of_the_guide() -> None:
    role = PROVIDERS.roles[0].model_copy(update={"name": "Chief Official"})
    changed = PROVIDERS.model_copy(update={"roles": (role, *PROVIDERS.roles[1:])})
    assert guide_of("SECURITY_OFFICIAL", changed).name == "Chief Official"
    assert "Chief Official" in guide_of("BACKUP_SECURITY_OFFICIAL", changed).ways[0].decided_by[0]


def test_the_chart_says_what_goes_together_and_who_gives_each_role() -> None:
    lines = {line.code: line for line in guides.chart(PROVIDERS)}
    assert set(lines) == {role.code for role in PROVIDERS.roles}
    administrator = lines["USER_GROUP_ADMINISTRATOR"]
    assert administrator.given_by == ("Security Official or Backup Security Official",)
    assert "End User in the same group" in administrator.not_together_with
    assert lines["HELP_DESK"].given_by == ("an operator",)
    assert lines["SECURITY_OFFICIAL"].seats == 1


def test_the_approvers_guide_explains_every_reason_and_every_deadline() -> None:
    guide = guides.approvers_guide(PROVIDERS)
    assert [reason.code for reason in guide.denials] == list(reasons.DENIALS)
    assert [reason.code for reason in guide.returns] == list(reasons.RETURNS)
    stages = sum(len(kind.every_stage) for kind in PROVIDERS.kinds)
    assert len(guide.deadlines) == stages


def test_nobody_has_a_guide_of_a_role_that_is_not_there() -> None:
    assert guides.guide(PROVIDERS, "NO_SUCH_ROLE") is None


@pytest.mark.parametrize(("community", "code"), EVERY_ROLE)
def test_the_text_says_all_that_the_guide_says(community: Community, code: str) -> None:
    guide = guide_of(code, community)
    text = guide_texts.guide_text(guide)
    for way in guide.ways:
        for said in (way.name, *way.conditions, *way.documents, *way.decided_by, *way.what_happens):
            assert said in text
        assert all(error.code in text for error in way.errors)
        assert all(asked.label in text for asked in (*way.about_the_person, *way.about_the_request))
    assert text.endswith(f"{guide.contact}\n")


def everything_of(community: Community) -> str:
    """Return the chart, the guide of each role and the guide of approvers, one after the other."""
    of_roles = [guide_texts.guide_text(guide_of(role.code, community)) for role in community.roles]
    chart = guide_texts.chart_text(community.name, guides.chart(community))
    return "\n".join([chart, *of_roles, guide_texts.approvers_text(guides.approvers_guide(community))])


@pytest.mark.parametrize("file", [*sorted(FOLDER.glob("*.toml")), STRANGE], ids=lambda file: file.stem)
def test_the_guides_of_a_community_say_what_they_said(file: Path) -> None:
    said = everything_of(Community.model_validate(tomllib.loads(file.read_text())))
    stored = SNAPSHOTS / f"{file.stem}.txt"
    if os.environ.get("IACS_WRITE_SNAPSHOTS"):
        SNAPSHOTS.mkdir(exist_ok=True)
        stored.write_text(said, encoding="utf-8")
    assert stored.read_text(encoding="utf-8") == said, f"{stored.name} differs: {__doc__}"


def test_a_code_is_told_to_be_good_for_as_long_as_it_is() -> None:
    (way,) = guide_of("SECURITY_OFFICIAL").ways
    assert f"It is good for {CODE_LIVES // timedelta(hours=1)} hours." in way.what_happens[0]


@pytest.mark.parametrize("step_count", [0, 1, 2])
def test_a_stage_is_told_to_expire_when_approval_lets_it_expire(step_count: int) -> None:
    help_desk = Decider(role="HELP_DESK", held_in="community")
    changes = {"fallbacks": ((help_desk,),) * step_count, "escalate_after_days": 10, "expire_after_days": 20}
    stage = PROVIDERS.kinds[0].stages[0].model_copy(update=changes)
    kind = PROVIDERS.kinds[0].model_copy(update={"stages": (stage,)})
    (told,) = guides.approvers_guide(PROVIDERS.model_copy(update={"kinds": (kind,)})).deadlines
    began = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert told.endswith(f", expires after {(approval.stage_expires_at(stage, 0, began) - began).days} days.")
    added = ("", ", further approvers are added after 10 days", ", further approvers are added after 10 and 20 days")
    assert f"working days{added[step_count]}, expires" in told


def test_of_those_who_are_added_together_only_who_may_not_approve_is_told_so() -> None:
    step = (
        Decider(role="SECURITY_OFFICIAL", held_in="organization"),
        Decider(role="HELP_DESK", held_in="community", may_approve=False),
    )
    (kind,) = (kind for kind in PROVIDERS.kinds if kind.code == "join_group")
    stage = kind.stages[0].model_copy(update={"fallbacks": (step,)})
    changed = PROVIDERS.model_copy(update={"kinds": (kind.model_copy(update={"stages": (stage,)}),)})
    (told,) = guide_of("END_USER", changed).ways[0].decided_by
    assert told.endswith(
        "after 14 days, also Security Official, or Help Desk, who may deny or return it but not approve."
    )


# --- As they are served -----------------------------------------------------------------------------


async def test_the_guides_are_served_as_json_and_as_text(desk: Desk) -> None:
    place = f"/registration/v1/communities/{PROVIDERS.id}"
    for path, made, text in (
        ("roles", guides.chart(PROVIDERS), guide_texts.chart_text(PROVIDERS.name, guides.chart(PROVIDERS))),
        ("roles/END_USER/guide", guide_of("END_USER"), guide_texts.guide_text(guide_of("END_USER"))),
        (
            "approvers-guide",
            guides.approvers_guide(PROVIDERS),
            guide_texts.approvers_text(guides.approvers_guide(PROVIDERS)),
        ),
    ):
        as_json = await desk.http.get(f"{place}/{path}")
        assert (
            TypeAdapter(type(made) if not isinstance(made, tuple) else tuple[guides.Line, ...]).validate_python(
                as_json.json()
            )
            == made
        )
        as_text = await desk.http.get(f"{place}/{path}", params={"form": "text"})
        assert as_text.headers["content-type"] == "text/plain; charset=utf-8"
        assert as_text.text == text


@pytest.mark.parametrize("path", ["provider-supplier/roles/GHOST/guide", "nowhere/roles", "nowhere/approvers-guide"])
async def test_a_guide_of_nothing_is_not_found(desk: Desk, path: str) -> None:
    answer = await desk.http.get(f"/registration/v1/communities/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
