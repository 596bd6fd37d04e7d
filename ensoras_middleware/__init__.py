"""Verifies logged-in customers in the Ensoras live-chat widget, on any Python web site.

The middleware is in `ensoras_middleware.asgi`, `ensoras_middleware.wsgi`, `flask_ensoras` and
`django_ensoras`. What is here needs the standard library alone.
"""

from __future__ import annotations

from ensoras_middleware.errors import ConfigurationError, EnsorasError
from ensoras_middleware.identity import Identity, identity_hash, verify_identity
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.secret import secret_from_file

__all__ = [
    "ConfigurationError",
    "EnsorasError",
    "Identity",
    "Outcome",
    "identity_hash",
    "secret_from_file",
    "verify_identity",
]
__version__ = "0.1.0"
