"""A tab of a real Chromium that tells what the widget in its page was told.

Shared by the browser matrix: a stand-in for the widget, and the ways in which a visitor comes to a
page.
"""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Error, Page

from ensoras_middleware import verify_identity

# What a page restored from the back/forward cache does not do again is run its scripts: what the
# widget was told then is what it still shows.
WIDGET = b"""
(() => {
  const widget = (window.widget = { told: [], shown: null, leaves: null });
  const hear = (call) => { if (call[0] === "identify") widget.told.push(call[1]); };
  [...(window.EnsorasQueue || [])].forEach(hear);
  window.EnsorasQueue = { push: hear };
  window.Ensoras = function () { hear(arguments); };
  addEventListener("pagehide", () => { widget.shown = widget.leaves = null; });
  // A page that is on its way out, because it reloads itself, is not what the visitor ends with.
  addEventListener("beforeunload", () => { widget.leaves = true; });
  addEventListener("pageshow", (event) => { widget.shown = event.persisted ? "memory" : "load"; });
})();
"""

# What the windows `of` a page show, each once it is there: `pageshow` follows the `load` event,
# which waits for async scripts, so by then all has been told. Asked of the page itself, for
# Playwright loses sight of the frames of a page that is restored.
SHOWN = """
  (of) => new Promise((resolve) => {
    const look = () => {
      const frames = [...document.querySelectorAll("iframe")];
      const windows = of === "page" ? [window] : frames.map((frame) => frame.contentWindow);
      const shown = windows.map(
        ({ widget }) => widget && !widget.leaves && widget.shown
      );
      if (document.readyState === "complete" && shown.every(Boolean)) {
        resolve(windows.map((one, at) => [one.location.pathname, one.widget.told, shown[at]]));
      } else setTimeout(look, 2);
    };
    look();
  })
"""

# Playwright's own click waits for frames to be painted, a third of all the time of the matrix.
CLICK = """
  (id) => new Promise((resolve) => {
    const look = () => {
      const link = document.getElementById(id);
      if (link) resolve(link.click());
      else setTimeout(look, 2);
    };
    look();
  })
"""

CONTROL = b"""<!doctype html><title>Control</title><link rel="icon" href="data:,"><script>
window.widget = { told: [], shown: null };
addEventListener("pageshow", (event) => { widget.shown = event.persisted ? "memory" : "load"; });
</script>"""


@dataclass(frozen=True)
class Sight:
    """A page as the visitor sees it: its path, whom the widget was told, and how it came."""

    path: str
    told: str | None
    from_memory: bool


class Tab:
    """One tab; `base` is the address of the site, `secret` that of the widget."""

    def __init__(self, page: Page, base: str, secret: str) -> None:
        self.page = page
        self.base = base
        self.secret = secret

    def type(self, path: str) -> None:
        """Open an address as if it were typed."""
        self.page.goto(self.base + path, wait_until="commit")

    def follow(self, link: str) -> None:
        """Click the link with this id."""
        with self.page.expect_navigation(wait_until="commit"):
            self.page.evaluate(CLICK, link)

    def back(self) -> None:
        # A page that is restored from memory fires no `load` event.
        self.page.go_back(wait_until="commit")

    def forward(self) -> None:
        self.page.go_forward(wait_until="commit")

    def reload(self) -> None:
        self.page.reload(wait_until="commit")

    def log_in(self, email: str) -> None:
        """Log in as this user, as a script of the page that is open would; "" logs out."""
        answer = self.page.evaluate(
            "email => fetch('/user', {method: 'POST', body: new URLSearchParams({email})})"
            ".then(response => response.status)",
            email,
        )
        assert answer == 204

    def sight(self) -> Sight:
        """Return what is to be seen once the page is there."""
        (sight,) = self._sights("page")
        return sight

    def frames(self) -> list[Sight]:
        """Return what is to be seen in the frames of the page once they are there."""
        return self._sights("frames")

    def _sights(self, of: str) -> list[Sight]:
        try:
            shown_pages = self.page.evaluate(SHOWN, of)
        except Error as error:  # the page has reloaded itself
            if "context was destroyed" not in error.message:
                raise
            shown_pages = self.page.evaluate(SHOWN, of)
        sights = []
        for path, told, shown in shown_pages:
            assert len(told) <= 1
            told = [one["email"] for one in told if verify_identity(**one, secret=self.secret)]
            sights.append(Sight(path, told[0] if told else None, shown == "memory"))
        return sights


@contextlib.contextmanager
def widget_server() -> Iterator[str]:
    """Serve the stand-in for the widget, and a control page without any; yield the origin."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            is_widget = self.path.startswith("/cdn/v1/widget/")
            body = WIDGET if is_widget else CONTROL
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if is_widget else "text/html")
            self.send_header("Content-Length", str(len(body)))
            if is_widget:
                self.send_header("Cache-Control", "max-age=3600")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
