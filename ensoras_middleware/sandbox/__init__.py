"""A local stand-in for Ensoras: widget, identity verification and dashboard on one loopback port.

For demos, tests and a developer's machine. It shows its secret to whoever opens it, so it answers
to loopback host names only. Needs the extra `sandbox`.
"""

from __future__ import annotations

from ensoras_middleware.sandbox.app import create_app

__all__ = ["create_app"]
