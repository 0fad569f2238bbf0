"""What the directory can be asked to do: one function each, inside a transaction that the edge owns.

Lock, decide, save, record, announce.
"""

from services.directory.usecases.accounts import (
    SignedIn,
    ask_password_link,
    check_client,
    digest,
    note_failed_client,
    owner_of_link,
    renew,
    set_password,
    sign_in,
    sign_out,
)
from services.directory.usecases.departures import (
    close_organization,
    end_entitlement,
    end_role,
    fire_timer,
    standings_in,
)
from services.directory.usecases.everything import say_everything
from services.directory.usecases.grants import correct_dossier, drop_dossier, keep_approval, keep_dossier
from services.directory.usecases.keys import Keys
from services.directory.usecases.operators import apply_community, appoint, dismiss, ensure_signing_key
from services.directory.usecases.searching import search_organizations
from services.directory.usecases.states import KINDS

__all__ = [
    "KINDS",
    "Keys",
    "SignedIn",
    "appoint",
    "apply_community",
    "ask_password_link",
    "check_client",
    "close_organization",
    "correct_dossier",
    "digest",
    "dismiss",
    "drop_dossier",
    "end_entitlement",
    "end_role",
    "ensure_signing_key",
    "fire_timer",
    "keep_approval",
    "keep_dossier",
    "note_failed_client",
    "owner_of_link",
    "renew",
    "say_everything",
    "search_organizations",
    "set_password",
    "sign_in",
    "sign_out",
    "standings_in",
]
