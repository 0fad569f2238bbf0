"""Ids: unique, sorted by their making, and derived where a repeat must name the same thing."""

from uuid import UUID

from shared.ids import RequestId, assignment_id, community_place, directory_scope, new_id


def test_ids_are_unique_and_sorted_by_the_moment_of_their_making() -> None:
    made = [new_id() for _ in range(10_000)]

    assert made == sorted(set(made))
    assert {one.version for one in made} == {7}


def test_a_request_leads_to_one_assignment_for_each_role() -> None:
    request, other = RequestId(new_id()), RequestId(new_id())

    assert assignment_id(request, "END_USER") == assignment_id(request, "END_USER")
    assert assignment_id(request, "END_USER") != assignment_id(request, "SECURITY_OFFICIAL")
    assert assignment_id(request, "END_USER") != assignment_id(other, "END_USER")


def test_derived_ids_are_what_every_service_and_every_release_derives() -> None:
    # Stored in four databases and on topics: another value here is another place.
    assert community_place("provider-supplier") == UUID("1cbcfb48-204b-56b1-81bf-7fe43b32b634")
    assert directory_scope() == UUID("2330b503-dda4-551c-ad54-7a24aca5ac4a")
    assert assignment_id(RequestId(UUID("0198c0de-0000-7000-8000-000000000001")), "END_USER") == UUID(
        "c658ff44-d5f8-559e-b98b-c1ed555ab250"
    )
