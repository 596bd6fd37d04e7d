"""Verifies logged-in customers in the Ensoras live-chat widget, on any Python web site.

The middleware is in `ensoras_middleware.asgi`, `ensoras_middleware.wsgi`, `flask_ensoras` and
`django_ensoras`. What is here needs the standard library alone, and is imported when it is first
used (PEP 562).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
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

_MODULES = {
    "ConfigurationError": "errors",
    "EnsorasError": "errors",
    "Identity": "identity",
    "Outcome": "outcome",
    "identity_hash": "identity",
    "secret_from_file": "secret",
    "verify_identity": "identity",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
