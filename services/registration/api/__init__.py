"""What registration answers over HTTP: what can be asked for, filing, proof, wishes, documents, invitations."""

from services.registration.api.routes import LARGER_BODIES, routes

__all__ = ["LARGER_BODIES", "routes"]
