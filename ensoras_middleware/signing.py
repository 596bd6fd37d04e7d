"""Who the user of one request is to Ensoras, and why nobody, where nobody.

The same for pages and for the identity endpoint.
"""

from __future__ import annotations

from ensoras_middleware.identity import Identity, NotSigned, canonical_email, identity_hash
from ensoras_middleware.log import PROBLEMS, kind_and_place
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.secret import UnusableSecret, drop_coroutine
from ensoras_middleware.widget import Widget


class Signing:
    """Reads and signs the user of one request; `outcome` is set where there is nobody.

    No function of the site's is called while a variable holds the e-mail or a hash: where one
    raises what is no `Exception`, error trackers show the variables of the frames it passes.
    """

    __slots__ = ("_email", "_widget", "outcome")

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._email: str | None = None  # of the user to identify, canonical
        self.outcome: Outcome | None = None

    def user_is(self, email: object) -> None:
        """There is a user with this e-mail, or nobody, if `get_email` has returned `None`.

        A string of the site's own making may raise anything.
        """
        if email is None:
            self._because(Outcome.ANONYMOUS)
            return
        drop_coroutine(email)
        self._email = canonical_email(email)
        if self._email is None:
            self._because(Outcome.EMAIL_REFUSED, _kind_of(email))

    def user_failed(self, error: Exception) -> None:
        """There is nobody, for reading the user has raised this."""
        if isinstance(error, NotSigned):
            self._because(error.outcome)
        else:
            self._because(Outcome.USER_ERROR, kind_and_place(error))

    def _identity_for(self, slug: str) -> Identity | None:
        """Return what the widget with this slug may be told of the user."""
        assert self._email is not None
        try:
            secret = self._widget.secret(slug)
        except UnusableSecret as error:
            self._because(Outcome.SECRET_ERROR, slug, str(error))
            return None
        except Exception as error:
            self._because(Outcome.SECRET_ERROR, slug, kind_and_place(error))
            return None
        if secret is None:
            self._because(Outcome.NO_SECRET, slug)
            return None
        return Identity(self._email, identity_hash(self._email, secret))

    def _because(self, outcome: Outcome, *details: str) -> None:
        if outcome in PROBLEMS:
            kind = " ".join((outcome.value, *details))
            self._widget.warn_once(kind, PROBLEMS[outcome], *details)
        if self.outcome is None:
            self.outcome = outcome


def _kind_of(email: object) -> str:
    if isinstance(email, str):
        return "this one" if email.strip() else "an empty one"
    return f"a {type(email).__name__}"
