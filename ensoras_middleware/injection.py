"""One response: whether it is identified, with which header fields and bytes.

This is all of the decision and none of the input and output. An adapter tells it the request,
then the status, header fields and body of the host's answer, reads the user where that is
needed, and sends what it returns. The host's own lists and bytes are never changed.

Whatever goes wrong in here ends in the host's own bytes, and one line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from ensoras_middleware import caching, embedding, snippet
from ensoras_middleware.caching import Fields
from ensoras_middleware.eligibility import Request, refusal
from ensoras_middleware.log import STRANGER, say
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.placing import Placing
from ensoras_middleware.widget import Widget

OUTCOME_FIELD = "X-Ensoras-Outcome"


class Injection(Placing):
    """What becomes of one response.

    Where `outcome` is set by construction, `fields` and the host's own body go out. Elsewhere
    the adapter goes one of two ways, and tells who the user is with `user_is`, or `user_failed`
    where that raises:

    * a whole body: `names_widget`, and if it does, the user and `whole`;
    * a stream: the user, `start_stream`, then `feed` for each chunk, and `finish`.

    Then `fields` are those that go out.
    """

    __slots__ = ("_blanker", "_held", "_sent")

    def __init__(
        self,
        widget: Widget,
        request: Request,
        status: int,
        fields: Fields,
        *,
        exempt: bool = False,  # by a decorator of the view
    ) -> None:
        super().__init__(widget, request, fields)
        self._blanker: snippet.IdentityBlanker | None = None
        self._held = b""  # the end of the stream that may belong to a widget tag
        self._sent = 0  # how much of the stream has gone out before it, in bytes
        try:
            self._judge(status, exempt)
        except Exception as error:
            self._failed(error, b"")

    def _judge(self, status: int, exempt: bool) -> None:
        fields = self._host_fields
        reason = refusal(self._request, status, fields)
        if reason is not Outcome.NOT_HTML and (exempt or self._widget.excludes(self._request.path)):
            reason = Outcome.EXCLUDED
        if reason is Outcome.HEAD:
            fields = caching.with_vary_cookie(fields)
        if reason is not None:
            self._because(reason)
            self._decide(reason, fields)

    def is_whole(self, received: int) -> bool:
        """Tell whether so many bytes of body are all that the host has announced."""
        lengths = [value for name, value in self._host_fields if name.lower() == "content-length"]
        return lengths == [str(received)]

    # A whole body ---------------------------------------------------------------------------

    def names_widget(self, body: bytes) -> bool:
        """Tell whether a whole body has the widget, or may get it; elsewhere no user matters."""
        try:
            self._mention = body.find(self._widget.needle)
            if self._mention >= 0 or (self._widget.embed and embedding.may_end_body(body)):
                return True
            self._decide(Outcome.NO_WIDGET, self._host_fields)
        except Exception as error:  # a body that is no bytes is the server's to refuse
            self._failed(error, b"")
        return False

    def whole(self, body: bytes) -> bytes:
        """Return the body that goes out in place of `body`."""
        try:
            if snippet.has_identify_script(body, self._widget.needle, self._mention):
                body = self._without_strangers(body)
            return self._whole(body)
        except Exception as error:
            return self._failed(error, body)

    def _without_strangers(self, body: bytes) -> bytes:
        """Drop identify scripts with which the page arrives, as it may from a cache inside us."""
        say(logging.ERROR, STRANGER)
        body = snippet.without_identify_scripts(body)
        self._mention = body.find(self._widget.needle)
        fields = caching.never_reused(caching.with_vary_cookie(self._host_fields))
        self._host_fields = caching.with_content_length(fields, len(body))
        return body

    def _whole(self, body: bytes) -> bytes:
        self._look_for_tag()
        if self._widget.embed:
            self._look_for_body_end()
        place = None if self._scanner is None else self._next_place(self._scanner, body)
        if place is None and self._mention < 0:
            self._stay_without_widget()
            return body
        fields = caching.with_vary_cookie(self._host_fields)
        if self.outcome is Outcome.WITHHELD:
            fields = caching.never_reused(fields)
        if place is None:
            self._decide(self.outcome or Outcome.NO_TAG, fields)
            return body
        if place.script is None:
            outcome = self.outcome or Outcome.ANONYMOUS
            fields = caching.of_equivalent_body(fields)
        else:
            outcome = Outcome.IDENTIFIED
            fields = caching.never_reused(self._admitting(fields, place.script, place.nonce))
        # Told while no variable holds the page with its script: see `Signing`.
        length = len(body) + len(place.elements)
        self._decide(outcome, caching.with_content_length(fields, length))
        return snippet.inserted(body, place.start, place.elements)

    def _stay_without_widget(self) -> None:
        """Leave a page alone in which the widget could not be written, whoever asks for it."""
        if self._nonce is None:
            embedding.warn_that_it_cannot_run(self._widget)
            outcome = Outcome.CSP_BLOCKED
        elif self._scanner is not None and self._scanner.doubt is not None:
            outcome = Outcome.AMBIGUOUS
        else:
            outcome = Outcome.NO_WIDGET
        self._decide(outcome, self._host_fields)

    # A stream -------------------------------------------------------------------------------

    def start_stream(self) -> None:
        """Decide about the fields of a stream, which leave before its widget tag is seen."""
        try:
            self._blanker = snippet.IdentityBlanker()
            self._start_stream()
        except Exception as error:
            self._failed(error, b"")

    def _start_stream(self) -> None:
        fields = caching.with_vary_cookie(self._host_fields)
        self._look_for_tag()
        if self._widget.embed:
            self._look_for_body_end()
        if self._email is not None and self._widget.slug is not None:
            self._script = self._script_for(self._widget.slug)
            if self._script is not None:
                fields = self._admitting(fields, self._script, None)
            else:
                self._email = None
                if self._nonce is None:
                    self._scanner = None
        if self._email is not None or self.outcome is Outcome.WITHHELD:
            fields = caching.never_reused(fields)
        elif self._scanner is not None:
            fields = caching.of_equivalent_body(fields)
        if self._scanner is not None:
            fields = caching.with_content_length(fields, None)
        outcome = self.outcome or Outcome.STREAMING
        if self._widget.embed and self._nonce is None:
            embedding.warn_that_it_cannot_run(self._widget)
            outcome = outcome if self._scanner is not None else Outcome.CSP_BLOCKED
        self._decide(outcome, fields)

    @property
    def may_ask_for_secret(self) -> bool:
        """Tell whether `feed` may: where the page's widget tag says which widget it is."""
        searching = self._scanner is not None and self._email is not None
        return searching and self._script is None

    def feed(self, chunk: bytes) -> bytes:
        """Return what can leave of the stream, now that the host has sent this chunk."""
        held, self._held = self._held, b""
        try:
            return self._feed(held, chunk)
        except Exception as error:  # its outcome has been told, with the fields
            self._widget.warn_of_fault(error)
            self._scanner = None
            return held + chunk if held else chunk

    def _feed(self, held: bytes, chunk: bytes) -> bytes:
        assert self._blanker is not None  # since the stream was started
        is_told = self._blanker.found
        chunk = self._blanker.feed(chunk)
        if self._blanker.found and not is_told:
            say(logging.ERROR, STRANGER)
        data = held + chunk
        if self._scanner is None:
            return data
        place = self._next_place(self._scanner, chunk)
        if place is not None:
            self._scanner = None
            return snippet.inserted(data, place.start - self._sent, place.elements)
        if self._scanner is None or self._scanner.ended:
            self._scanner = None
            return data
        cut = self._scanner.released - self._sent
        self._sent += cut
        self._held = data[cut:]
        return data[:cut]

    def finish(self) -> bytes:
        """Return what was held back, at the end of the stream."""
        self._scanner = None
        held, self._held = self._held, b""
        return held

    def stream(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what leaves of a whole stream, each chunk when it can; for synchronous adapters."""
        try:
            for chunk in chunks:
                if isinstance(chunk, bytes):
                    if data := self.feed(chunk):
                        yield data
                    del data  # error trackers show the variables of frames
                else:  # the server's to refuse
                    if held := self.finish():
                        yield held
                    yield chunk
        except Exception:  # what was held back belongs before it
            if held := self.finish():
                yield held
            raise
        if held := self.finish():
            yield held

    # Ends -----------------------------------------------------------------------------------

    def leave(self, outcome: Outcome) -> None:
        """Leave the response as it is, for a reason that only the adapter knows."""
        self._decide(outcome, self._host_fields)

    def _decide(self, outcome: Outcome, fields: Fields) -> None:
        self.outcome = outcome
        self.fields = fields
        if self._widget.debug:
            self.fields = [*fields, (OUTCOME_FIELD, outcome.value)]
        self._widget.tell(outcome)

    def _failed(self, error: Exception, body: bytes) -> bytes:
        self._widget.warn_of_fault(error)
        self._scanner = None
        self._decide(Outcome.ERROR, self._host_fields)
        return body
