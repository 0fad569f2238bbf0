"""One function for each thing that registration can be asked to do. Lock, decide, save, record, announce."""

from services.registration.usecases.documents import (
    add_document,
    expect_document,
    list_documents,
)
from services.registration.usecases.filing import (
    Filed,
    Filer,
    earlier_answer,
    file_request,
    keep_answer,
)
from services.registration.usecases.invitations import (
    Issued,
    issue_invitations,
    list_invitations,
)
from services.registration.usecases.progress import (
    note_grant,
    note_refused_grant,
    note_refused_withdrawal,
    note_step,
)
from services.registration.usecases.proof import (
    ask_code_again,
    prove_email,
    submit_signed_in,
)
from services.registration.usecases.standings import (
    acting_person,
    load_kind,
)
from services.registration.usecases.timers import (
    announce_again,
    clean_up,
    erase_identities,
    expire_drafts,
)
from services.registration.usecases.wishes import (
    correct_request,
    show_request,
    withdraw_request,
)

__all__ = [
    "acting_person",
    "Filed",
    "Filer",
    "Issued",
    "add_document",
    "announce_again",
    "ask_code_again",
    "clean_up",
    "correct_request",
    "earlier_answer",
    "erase_identities",
    "expect_document",
    "expire_drafts",
    "file_request",
    "issue_invitations",
    "keep_answer",
    "list_documents",
    "list_invitations",
    "load_kind",
    "note_grant",
    "note_refused_grant",
    "note_refused_withdrawal",
    "note_step",
    "prove_email",
    "show_request",
    "submit_signed_in",
    "withdraw_request",
]
