"""All SQL of notification: rows to domain values and back.

`requests` is what we hear of requests, `notices` the notices and who reads them, `sending` their way out,
`knowing` all that a notice may have to say, `departures` and `settlements` what is told a while later,
`copies` the replicas.
"""

from services.notification.store.copies import (
    Reader,
    list_holders,
    load_reader,
    save_people,
    save_places,
    save_user_id,
)
from services.notification.store.departures import Due, add_departure, delete_departures, lock_departures, save_told
from services.notification.store.knowing import load_known
from services.notification.store.notices import (
    Attempt,
    Filter,
    Listed,
    Mine,
    add_notices,
    delete_notices,
    hasten,
    list_attempts,
    list_mine,
    list_notices,
    list_told,
    load_notice,
    wipe_bodies,
    withdraw,
)
from services.notification.store.requests import (
    delete_drafts,
    delete_requests,
    keep_request,
    load_community_id,
    wipe_contacts,
)
from services.notification.store.sending import (
    Claimed,
    Tried,
    lock_due,
    lock_overdue,
    save_expired,
    save_fates,
    save_lease,
    save_look_again,
    save_release,
    save_renderings,
)
from services.notification.store.settlements import add_settlements, take_settlements

__all__ = [
    "Attempt",
    "Claimed",
    "Due",
    "Filter",
    "Listed",
    "Mine",
    "Reader",
    "Tried",
    "add_departure",
    "add_notices",
    "add_settlements",
    "delete_departures",
    "delete_drafts",
    "delete_notices",
    "delete_requests",
    "hasten",
    "keep_request",
    "list_attempts",
    "list_holders",
    "list_mine",
    "list_notices",
    "list_told",
    "load_community_id",
    "load_known",
    "load_notice",
    "load_reader",
    "lock_departures",
    "lock_due",
    "lock_overdue",
    "save_expired",
    "save_fates",
    "save_lease",
    "save_look_again",
    "save_people",
    "save_places",
    "save_release",
    "save_renderings",
    "save_told",
    "save_user_id",
    "take_settlements",
    "wipe_bodies",
    "wipe_contacts",
    "withdraw",
]
