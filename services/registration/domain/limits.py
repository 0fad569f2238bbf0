"""How long things are kept and how often they may be tried: every number of registration, with its source."""

from dataclasses import dataclass
from datetime import timedelta

DRAFT_KEPT = timedelta(days=14)
"""Source: domain 6."""
CODE_LIVES = timedelta(hours=24)
"""Source: domain 6."""
CODE_TRIES = 5
"""Wrong tries of one code. Source: domain 6."""
MUST_BE_OPENED_WITHIN = timedelta(hours=1)
"""Source: architecture 5 (inbox)."""
ANNOUNCED_AGAIN_AT_MOST = 3
"""Source: architecture 5 (inbox)."""
DOCUMENTS_OF_ONE_CODE = 10
INVITATION_LIVES = timedelta(days=60)
"""Source: domain 3."""
INVITED_AT_ONCE = 100
KEY_KEPT = timedelta(hours=24)
"""How long the same Idempotency-Key brings the same answer."""


@dataclass(frozen=True)
class Limit:
    """How often somebody may do something within any hour."""

    name: str
    at_most: int
    within: timedelta = timedelta(hours=1)


FILED_BY_EMAIL = Limit("filed by email", 10)
"""More drafts of one address are nobody's wishes; each mails a code. Source: domain 6 (codes)."""
FILED_BY_ADDRESS = Limit("filed by client address", 30)
"""A practice behind one address registers in an hour; a script does not. Source: domain 7 (nobody is given away)."""
FILED_BY_PERSON = Limit("filed by person", 30)
"""As an address's: whoever is signed in files one request for each organization. Source: R4."""
CODES = Limit("codes asked", 3)
"""For each request, besides the first, which comes by itself. Source: domain 6 (as of the password link)."""
WRONG_CODES = Limit("wrong codes", 15)
"""For each request: three codes' tries. A new code is no way round the five tries. Source: domain 6."""
