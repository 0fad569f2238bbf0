"""Who may do what at this service: each of its operations by name, and the standings that it is open to.

How a caller stands to a request, or to an application, is found in our own database; `shared.policy`
compares. Source: domain 5 (to act, the e-mail is proved again), domain 7 (documents), domain 3 (invitations).
"""

from shared.policy import Policy, Standing

_ANYBODY = frozenset({Standing.ANYBODY})
_APPLICANT = frozenset({Standing.APPLICANT, Standing.APPLICANT_BY_TOKEN})
_READER = _APPLICANT | {Standing.HELP_DESK}
_OWNER = frozenset({Standing.APPLICATION_OWNER})

POLICY: Policy = {
    "list_communities": _ANYBODY,
    "show_community": _ANYBODY,
    "show_roles": _ANYBODY,
    "show_role_guide": _ANYBODY,
    "show_approvers_guide": _ANYBODY,
    "show_status": _ANYBODY,  # Whoever has a tracking number: it shows nothing personal.
    "file_request": _ANYBODY,
    "prove_email": _ANYBODY,  # Whoever reads the mail.
    "ask_code_again": _ANYBODY,
    "submit": frozenset({Standing.APPLICANT}),
    "list_requests": frozenset({Standing.SIGNED_IN}),
    "show_request": _APPLICANT,
    "correct_request": _APPLICANT,
    "withdraw_request": _APPLICANT,
    "add_document": _APPLICANT,
    "list_documents": _READER,
    "get_document": _READER,
    "issue_invitations": _OWNER,
    "list_invitations": _OWNER,
}
