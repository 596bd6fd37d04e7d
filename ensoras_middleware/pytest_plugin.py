"""The pytest fixture `ensoras_sandbox`: a local stand-in for Ensoras, for a site's own tests.

pytest imports this file wherever the package is installed, so it imports nothing until it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ensoras_middleware.sandbox.background import Sandbox


@pytest.fixture(scope="session")
def _ensoras_sandbox_of_the_session() -> Iterator[Sandbox]:
    try:
        from ensoras_middleware.sandbox.background import running_sandbox
    except ImportError as error:
        missing = error
    else:
        with running_sandbox() as sandbox:
            yield sandbox
        return
    # Here, where pytest does not show the ImportError and its traceback.
    pytest.fail(
        "The fixture `ensoras_sandbox` needs the extra `sandbox`: "
        f"pip install 'ensoras-middleware[sandbox]' ({missing}).",
        pytrace=False,
    )


@pytest.fixture
def ensoras_sandbox(_ensoras_sandbox_of_the_session: Sandbox) -> Sandbox:
    """A running stand-in for Ensoras: `origin`, `slug`, `secret`, `calls`, `rotate()`.

    It is the same for the whole session, but each test finds it without calls and with its first
    secret.
    """
    _ensoras_sandbox_of_the_session.reset()
    return _ensoras_sandbox_of_the_session
