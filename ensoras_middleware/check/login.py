"""Logging in through the site's own form, as a browser would.

Source: WHATWG HTML, section 4.10.21 (form submission).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode, urljoin

from ensoras_middleware.check.answer import Answer, shown_address
from ensoras_middleware.check.finding import CannotCheck
from ensoras_middleware.check.html import Control, Form, forms
from ensoras_middleware.check.visitor import Visitor, origin_of

_COOKIE_INSTEAD = "Log in with a browser instead, and give its cookie in ENSORAS_CHECK_COOKIE."
_TEXT = frozenset(["text", "email", "tel", "url"])
_NOT_SUBMITTED = frozenset(["submit", "image", "button", "reset", "file"])
_USER_NAME = re.compile(r"user|mail|log.?in|account|ident", re.IGNORECASE)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)


def log_in(visitor: Visitor, url: str, username: str, password: str) -> None:
    """Log the visitor in.

    Raises `CannotCheck` where there is no form that could do so, or it did not.
    """
    visitor.confined = True
    page = visitor.get(url)
    if page.status >= 400:
        raise CannotCheck(f"The log-in page {shown_address(page.url)} answers {page.status}.")
    form, base = _form_of(page)
    if form is None:
        raise CannotCheck(
            f"{shown_address(page.url)} has no form with one password field; perhaps a script "
            f"makes it. {_COOKIE_INSTEAD}"
        )
    fields = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": origin_of(page.url),
        "Referer": page.url,
        "Sec-Fetch-Site": "same-origin",
    }
    pairs = _filled(form, username, password)
    body = urlencode(pairs, encoding=_encoding(page), errors="xmlcharrefreplace").encode("ascii")
    _require_success(visitor, visitor.post(_target(form, page.url, base), fields, body))


def _filled(form: Form, username: str, password: str) -> list[tuple[str, str]]:
    user_name = _user_name_field(form)
    if user_name is None:
        raise CannotCheck(f"The log-in form has no field for a user name. {_COOKIE_INSTEAD}")
    filled = {id(user_name): username, id(_password_fields(form)[0]): password}
    return [(one.name, filled.get(id(one), one.value)) for one in _successful(form)]


def _require_success(visitor: Visitor, answer: Answer) -> None:
    again = has_login_form(answer)
    if answer.status >= 400 or again:
        raise CannotCheck(
            f"The log-in did not work: {shown_address(answer.url)} answers {answer.status}"
            f"{', with the form again' if again else ''}. Check user name and password; a site may "
            f"also ask for a second factor or a captcha. {_COOKIE_INSTEAD}"
        )
    if not visitor.has_cookies(answer.url):
        raise CannotCheck(f"The log-in set no cookie, so nobody is logged in. {_COOKIE_INSTEAD}")


def has_login_form(answer: Answer) -> bool:
    """Tell whether a page asks for a password, once."""
    return _form_of(answer)[0] is not None


def _form_of(page: Answer) -> tuple[Form | None, str | None]:
    # A form with two password fields signs somebody up, or changes a password.
    found, base = forms(page.body, _encoding(page))
    return next((form for form in found if len(_password_fields(form)) == 1), None), base


def _password_fields(form: Form) -> list[Control]:
    return [one for one in form.controls if one.kind == "password" and one.name]


def _user_name_field(form: Form) -> Control | None:
    texts = [one for one in form.controls if one.kind in _TEXT and one.name]
    ranked = [
        *(one for one in texts if "username" in one.attributes.get("autocomplete", "")),
        *(one for one in texts if one.kind == "email"),
        *(one for one in texts if _USER_NAME.search(one.name)),
        *texts,
    ]
    return ranked[0] if ranked else None


def _target(form: Form, url: str, base: str | None) -> str:
    button = next((one for one in form.controls if one.kind == "submit"), None)
    attributes = form.attributes | {
        name.removeprefix("form"): value
        for name, value in (button.attributes if button else {}).items()
        if name in ("formaction", "formmethod", "formenctype")
    }
    if attributes.get("method", "").lower() != "post":
        raise CannotCheck(
            "The log-in form is not sent by POST, so it would put the password into an address; "
            f"perhaps a script sends it. {_COOKIE_INSTEAD}"
        )
    if attributes.get("enctype", "").lower() in ("multipart/form-data", "text/plain"):
        raise CannotCheck(f"The log-in form has an encoding of its own. {_COOKIE_INSTEAD}")
    action = attributes.get("action", "").strip()
    try:
        target = urljoin(urljoin(url, base or ""), action) if action else url
    except ValueError:  # `//[`
        target = ""
    if not target.startswith(("http:", "https:")) or origin_of(target) != origin_of(url):
        raise CannotCheck(
            "The log-in form would send the password to another origin than its page's, which this "
            f"command never does. {_COOKIE_INSTEAD}"
        )
    return target.partition("#")[0]


def _successful(form: Form) -> Iterator[Control]:
    """Yield the controls that a browser submits; of the buttons the first one."""
    pressed = False
    for control in form.controls:
        attributes = control.attributes
        is_button = control.kind in ("submit", "image")
        if is_button and not pressed and "disabled" not in attributes:
            pressed = True
            if control.kind == "image":
                continue
        elif control.kind in _NOT_SUBMITTED:
            continue
        if control.kind in ("checkbox", "radio") and "checked" not in attributes:
            continue
        if control.name and "disabled" not in attributes:
            yield control


def _encoding(page: Answer) -> str:
    charset = _CHARSET.search(page.value("content-type"))
    try:
        "".encode(charset[1] if charset else "utf-8")
    except LookupError:
        return "utf-8"
    return charset[1] if charset else "utf-8"
