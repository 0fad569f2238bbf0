"""How long it is known who asked in vain: one period, which registration, approval and notification all keep to."""

from datetime import timedelta

UNGRANTED_KEPT = timedelta(days=90)
"""After the end of a request without a grant, or of an invitation that nobody took. Source: domain 7 (erasure)."""
