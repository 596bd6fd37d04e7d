"""The Flask extension: verifies logged-in customers in the Ensoras live-chat widget.

    Ensoras(app)

It reads `ENSORAS_…` from `app.config`. Create it after `Compress(app)` and before `Talisman(app)`:
Flask runs `after_request` functions in the reverse order.
"""

from __future__ import annotations

from flask_ensoras.extension import Ensoras

__all__ = ["Ensoras"]
