"""Who may see what people were told. Source: domain 2 (help desk, auditor), architecture 5, shared/policy.py."""

from collections.abc import Collection

from shared.contracts.community import Community
from shared.policy import Policy, Standing, of_powers

MAY_ACT = ("invited", "active")
"""The states in which an account may act. Source: domain 1, approver."""

_READERS = frozenset({Standing.HELP_DESK, Standing.AUDITOR})

POLICY: Policy = {
    "list_notices": _READERS,
    "list_notices_of_request": _READERS,
    "list_own_notices": frozenset({Standing.SIGNED_IN}),
    "show_notice": _READERS,
}
"""Action -> who may. An action is named like the endpoint that does it."""


def standings(
    community: Community | None, account_status: str | None, held_roles: Collection[str] = ()
) -> frozenset[Standing]:
    """Return how a person stands to what is kept about `community`, or to their own notices.

    `held_roles` are what the person holds in the community itself. Whose account may not act stands
    no different from a stranger.
    """
    if account_status not in MAY_ACT:
        return frozenset()
    found = {Standing.SIGNED_IN}
    for role in community.roles if community else ():
        if role.code in held_roles:
            found |= of_powers(role.powers)
    return frozenset(found)
