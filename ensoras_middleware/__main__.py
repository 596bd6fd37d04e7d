"""`python -m ensoras_middleware`."""

from __future__ import annotations

import sys

from ensoras_middleware.cli import main

if __name__ == "__main__":
    sys.exit(main())
