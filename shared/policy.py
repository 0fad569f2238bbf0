"""Who may: one table for each service, one function that reads it, and no for an answer by default.

A service declares in its rules which standings an action is open to; a use case or an edge finds out,
in its own database, how the caller stands to the thing in question; `require` compares the two. Which
*roles* stand how is the community's data: whoever may decide a request is its approver whatever the
role is called, and the help desk is whichever role has that power.

Source: domain 2, R8; architecture 2.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum

from shared.errors import Refusal


class Standing(StrEnum):
    """How a caller stands to what an action is about."""

    ANYBODY = "anybody"
    """Also who is not signed in."""
    SIGNED_IN = "signed in"
    APPLICANT = "applicant"
    """Filed the request, and is signed in."""
    APPLICANT_BY_TOKEN = "applicant by token"  # noqa: S105 - a standing, no password.
    """Has proved the request's e-mail address within the last 30 minutes."""
    HOLDER = "holder"
    """Holds the role or the entitlement itself."""
    APPROVER = "approver"
    """Holds a role that decides the request, or that may take the role away, in its place."""
    MEMBER = "member"
    """Holds a role in the organization."""
    KEEPER = "keeper"
    """Holds a role without which the organization could not go on."""
    HELP_DESK = "help desk"
    """Staffs the help desk of the community."""
    APPLICATION_OWNER = "application owner"
    AUDITOR = "auditor"
    """Reads everything in the community and changes nothing."""


def of_powers(powers: Collection[str]) -> set[Standing]:
    """Return how whoever holds a role with these powers in a community itself stands to everything in it."""
    return {standing for power, standing in _OF_POWER.items() if power in powers}


_OF_POWER: Mapping[str, Standing] = {"help_desk": Standing.HELP_DESK, "audit": Standing.AUDITOR}

Policy = Mapping[str, frozenset[Standing]]
"""Action -> the standings that it is open to."""


def allows(policy: Policy, action: str, standings: Collection[Standing]) -> bool:
    """Tell whether an action is open to a caller of these standings. An action that is not listed is open to nobody."""
    return not policy.get(action, frozenset()).isdisjoint(standings)


def require(policy: Policy, action: str, standings: Collection[Standing], *, otherwise: str = "not_found") -> None:
    """Refuse as `otherwise` unless the action is open to a caller of these standings.

    Where existence is a secret, and it nearly always is, the answer is that there is no such thing.
    """
    if not allows(policy, action, standings):
        raise Refusal(otherwise)
