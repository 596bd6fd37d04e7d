"""What a page says in `meta` elements and forms, as far as the standard library reads HTML."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from html.parser import HTMLParser

Attributes = list[tuple[str, str | None]]

_NOT_RUN = frozenset(["noscript", "template", "textarea", "title", "xmp", "iframe"])


@dataclass(slots=True)
class Control:
    """One control of a form; `kind` is the type of an input, or the name of another element."""

    kind: str
    name: str
    value: str = field(repr=False)
    attributes: dict[str, str] = field(repr=False)


@dataclass(slots=True)
class Form:
    """One form and its controls, in their order."""

    attributes: dict[str, str] = field(repr=False)
    controls: list[Control] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.policies: list[str] = []
        self.base: str | None = None
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._select: Control | None = None
        self._in_head = True
        self._not_run: str | None = None

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        attributes: dict[str, str] = {}
        for name, value in attrs:
            attributes.setdefault(name, value or "")
        if self._not_run is None:
            self._read(tag, attributes)
            if tag in _NOT_RUN:
                self._not_run = tag

    def _read(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "body":
            self._in_head = False
        elif tag == "meta":
            # Elsewhere than in the head it is ignored (CSP Level 3, section 3.3).
            is_policy = attributes.get("http-equiv", "").lower() == "content-security-policy"
            if is_policy and self._in_head:
                self.policies.append(attributes.get("content", ""))
        elif tag == "base" and self.base is None:
            self.base = attributes.get("href")
        elif tag == "form" and self._form is None:
            self._form = Form(attributes)
            self.forms.append(self._form)
        elif tag in ("input", "button", "select", "textarea"):
            self._control(tag, attributes)
        elif tag == "option" and self._select is not None:
            value = attributes.get("value", "")
            if "selected" in attributes or "first" not in self._select.attributes:
                self._select.value = value
            self._select.attributes["first"] = ""

    def _control(self, tag: str, attributes: dict[str, str]) -> None:
        default = {"input": "text", "button": "submit"}.get(tag, tag)
        kind = attributes.get("type", default).lower() if tag in ("input", "button") else tag
        value = attributes.get("value", "on" if kind in ("checkbox", "radio") else "")
        control = Control(kind, attributes.get("name", ""), value, attributes)
        owner = self._form
        if "form" in attributes:
            named = [one for one in self.forms if one.attributes.get("id") == attributes["form"]]
            owner = named[0] if named else None
        if owner is not None:
            owner.controls.append(control)
        if tag == "select":
            self._select = control

    def handle_endtag(self, tag: str) -> None:
        if tag == self._not_run:
            self._not_run = None
        elif tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "head":
            self._in_head = False


def _read(body: bytes, encoding: str) -> _Reader:
    reader = _Reader()
    with contextlib.suppress(AssertionError):  # at `<![x`, up to Python 3.13
        reader.feed(body.decode(encoding, "replace"))
        reader.close()
    return reader


def meta_policies(body: bytes) -> list[str]:
    """Return the policies in the `meta` elements of a page's head."""
    if b"content-security-policy" not in body.lower():  # `html.parser` takes its time
        return []
    return _read(body, "latin-1").policies


def forms(body: bytes, encoding: str = "utf-8") -> tuple[list[Form], str | None]:
    """Return the forms of a page, and the `href` of its `base` element, if there is one."""
    reader = _read(body, encoding)
    return reader.forms, reader.base
