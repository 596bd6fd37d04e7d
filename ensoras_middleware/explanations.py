"""What each outcome tells the site's owner: why it happens, and what to do.

`docs/troubleshooting.md` shows the same texts.
"""

from __future__ import annotations

from typing import NamedTuple

from ensoras_middleware.outcome import Outcome


class Explanation(NamedTuple):
    """One outcome in words, in Markdown."""

    cause: str
    remedy: str


_NOTHING = "Nothing: this is as it should be."

EXPLANATIONS = {
    Outcome.IDENTIFIED: Explanation(
        "A customer is logged in, and the identify script stands before the widget tag.",
        "Nothing. If the chat still shows no account tools, the secret is not the one of this "
        "widget: `ensoras-middleware check` compares them.",
    ),
    Outcome.STREAMING: Explanation(
        "A customer is logged in, and the page is sent in pieces: its headers left before its "
        "widget tag was seen. It is identified where the tag follows.",
        "Nothing. If no script stands in the page: with a Content-Security-Policy give the tag a "
        "nonce, or set `ENSORAS_WIDGET_SLUG`, so that the script's hash is known beforehand.",
    ),
    Outcome.ANONYMOUS: Explanation(
        "The page names the widget, and nobody is logged in as far as the middleware can see, or "
        "nobody with an e-mail.",
        "Nothing, for a visitor without an account. For a customer: their account has no e-mail; "
        "or `get_email` returned `None`; or the log-in is not the framework's own, and needs a "
        "`get_email`: the page of your framework says which packages work by themselves.",
    ),
    Outcome.EMAIL_REFUSED: Explanation(
        "The address of the logged-in customer cannot be signed safely: it is no string, not of "
        "the form `local@domain`, longer than 254 characters, or not plain ASCII.",
        "See that `get_email` returns the address, not a name, an object or, outside ASGI, a "
        "coroutine. Else let the customer enter another address.",
    ),
    Outcome.UNVERIFIED: Explanation(
        "The site knows that this customer never proved to own the address "
        "(`email_verified`, django-allauth, Flask-Security).",
        "Let the customer confirm the address. Where nobody can enter a stranger's address: "
        "`ENSORAS_TRUST_EMAILS`.",
    ),
    Outcome.IMPERSONATED: Explanation(
        "A member of staff acts as a customer, and must not chat as that customer.",
        "Nothing, or `ENSORAS_ALLOW_IMPERSONATION`.",
    ),
    Outcome.USER_ERROR: Explanation(
        "Reading the logged-in user raised an exception. The log names its type and place.",
        "Mend `get_email`, or the user's class, at that place.",
    ),
    Outcome.WITHHELD: Explanation(
        "A customer is logged in, but nobody opens this response as a page of your site: another "
        "site asked for it, a script or service worker did, or its policy sandboxes it.",
        "Nothing. A script of yours that puts the page into view sends `Accept: text/html`; one "
        "that needs the identity alone asks the identity endpoint.",
    ),
    Outcome.NO_SECRET: Explanation(
        "There is no secret for the slug of the page's widget tag.",
        "Add the slug to the mapping `secret`, or let the callable return its secret; or correct "
        "the slug in the tag.",
    ),
    Outcome.SECRET_ERROR: Explanation(
        "The secret could not be had, or cannot be one: the callable raised, or the secret is "
        "too short, a placeholder or no text. The log says which.",
        "Mend the callable or the secret it returns; copy the secret from the Ensoras dashboard.",
    ),
    Outcome.NO_TAG: Explanation(
        "The widget's address stands in the page, but in no tag that a browser would run: in a "
        "comment, a script that loads it, a `noscript`, a `template` or an attribute.",
        "Put the tag into the page as the Ensoras dashboard shows it, best directly before "
        "`</body>`; or let `embed` write it. Scripts that load it must ask the identity endpoint.",
    ),
    Outcome.AMBIGUOUS: Explanation(
        "The page's markup before the widget tag is broken in a way that browsers read "
        "differently, or its encoding is unsure.",
        "Validate the page; unclosed `select`, `svg`, `math` and comments are the usual ones. Or "
        "put the tag further up, into the head.",
    ),
    Outcome.DANGLING: Explanation(
        "An attribute of the widget tag holds `<script` or `<style`, as if somebody had injected "
        "unclosed markup before it. Browsers ignore the nonce of such a tag.",
        "Look for an unclosed quote before the tag, and for output that is not escaped.",
    ),
    Outcome.CSP_BLOCKED: Explanation(
        "The page's Content-Security-Policy lets no script run; with `embed`: not the widget's.",
        "Add the widget's origin, `https://app.ensoras.com`, to `script-src` and `connect-src`; or "
        "exclude the page.",
    ),
    Outcome.NO_WIDGET: Explanation(
        "The page does not hold the address of this widget: it has no tag, or one with another "
        "slug or origin than the settings.",
        "Compare the tag with `ENSORAS_WIDGET_SLUG` and `ENSORAS_WIDGET_ORIGIN`; or put it into "
        "the page; or let `embed` write it, which needs a `</body>`. A tag manager that loads the "
        "widget leaves no tag. Nothing, where no chat is wanted.",
    ),
    Outcome.NOT_HTML: Explanation("The response is not `text/html`.", _NOTHING),
    Outcome.EXCLUDED: Explanation(
        "`ENSORAS_EXCLUDE`, in Django also `MEDIA_URL`, or a decorator excludes it.",
        "Nothing, or take it out of the list. A path excludes all that is below it.",
    ),
    Outcome.STATUS: Explanation(
        "The status has no body, or a part of one: 204, 205, 206, 304.",
        "Nothing. A page view that keeps ending in 304 is answered by a cache in between.",
    ),
    Outcome.HEAD: Explanation("It answers a HEAD request, and has no body.", _NOTHING),
    Outcome.ENCODED: Explanation(
        "The page was compressed before it reached the middleware, which cannot read it.",
        "Move the compressing middleware to the outside of this one; the page of your framework "
        "shows the order.",
    ),
    Outcome.ATTACHMENT: Explanation(
        "The response is a download (`Content-Disposition`), not a page.", _NOTHING
    ),
    Outcome.CHARSET: Explanation(
        "The page is in UTF-16, UTF-7 or another encoding that does not keep ASCII.",
        "Send pages in UTF-8.",
    ),
    Outcome.PATHSEND: Explanation(
        "The server sends the file by itself (ASGI `http.response.pathsend`).",
        "Nothing. A page with the widget must be sent as bytes.",
    ),
    Outcome.ERROR: Explanation(
        "A fault of this middleware. Your page went out as it was; the log says where.",
        "Report it, with the line of the log.",
    ),
}
