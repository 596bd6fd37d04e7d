"""The bytes of the identify script.

The identify script is Ensoras' official snippet in effect, made safe for any page: it declares
nothing, so a later `const Ensoras` of the page stays legal; it replaces a queue or function that
markup clobbered (`<a id=EnsorasQueue>`); it never throws; and it leaves the document when it has
run, so that no snapshot of the page keeps it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re

from ensoras_middleware.identity import Identity
from ensoras_middleware.widget_tag import TAG_LIMIT

# Violation reports quote the first 40 characters of a script (CSP Level 3, section 2.4.1), so no
# visitor's data may stand among them.
MARK = b"/* Ensoras identity verification, for this visitor only */"

_BEFORE = (
    MARK
    + b"(function(w,i){try{"
    + b"var s=w.document.currentScript;if(s&&s.localName==='script')s.remove();"
    + b"var live=function(o,k){try{var f=o[k];return typeof f==='function'&&!f.nodeType}"
    + b"catch(e){return false}};"
    + b"if(!live(w.EnsorasQueue,'push'))w.EnsorasQueue=[];"
    + b"if(!live(w,'Ensoras'))w.Ensoras=function(){w.EnsorasQueue.push(arguments)};"
    + b"if(i){w.Ensoras('identify',i);"
    + b"w.addEventListener('pageshow',function(e){if(e.persisted)w.location.reload()})}"
    + b"}catch(e){}})(window,"
)
_AFTER = b");"

_OWN_SCRIPT = re.compile(
    rb'<script(?: nonce="[^"]*+")?>%s[^}]*+\}%s</script>' % (re.escape(_BEFORE), re.escape(_AFTER))
)

# How far before the widget's address an identify script is looked for: as far as the tag may reach,
# and as far again, more than the longest script.
_REACH = 2 * TAG_LIMIT

_CALL_START = _BEFORE + b"{"
_REST = len(_CALL_START) - 1  # may be the end of what was seen, and the start of a chunk

# What HTML could read as markup; `}`, so that the first one ends the identity; and what JSON or a
# script cannot hold as it is.
_UNSAFE = re.compile(r"[^ !#-%(-;=?-\[\]-|~]")


def identify_script(identity: Identity) -> bytes:
    """Return the text of the identify script: pure ASCII, safe inside any `script` element."""
    call = f'{{"email":{_json(identity.email)},"hash":{_json(identity.hash)}}}'
    return _BEFORE + call.encode("ascii") + _AFTER


def _json(value: str) -> str:
    if not (value.isascii() and value.isalnum()):  # a hash is both
        value = _UNSAFE.sub(_escape, value)
    return f'"{value}"'


def _escape(char: re.Match[str]) -> str:
    units = char[0].encode("utf-16-be", "surrogatepass")  # two of them beyond U+FFFF
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def identity_of_script(text: bytes) -> Identity | None:
    """Return whom an identify script tells of, or `None` where the text is none."""
    if not (text.startswith(_CALL_START) and text.endswith(_AFTER)):
        return None
    try:
        return Identity(**json.loads(text[len(_BEFORE) : -len(_AFTER)]))
    except (ValueError, TypeError):
        return None


def script_element(script: bytes, nonce: str | None) -> bytes:
    """Return the `script` element with this text; `nonce` is that of the widget tag."""
    attribute = b' nonce="' + nonce.encode("ascii") + b'"' if nonce else b""
    return b"<script" + attribute + b">" + script + b"</script>"


def inserted(body: bytes, place: int, element: bytes) -> bytes:
    """Return `body` with an element at the offset `place`."""
    view = memoryview(body)  # slices of it copy nothing
    return b"".join((view[:place], element, view[place:]))


def hash_source(script: bytes) -> str:
    """Return the hash-source that lets this script run (CSP Level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode('ascii')}'"


def has_identify_script(body: bytes, needle: bytes, mention: int) -> bool:
    """Tell whether an identify script stands before some mention of the widget already.

    `needle` is what a mention is found by, `mention` the offset of the first one.
    """
    previous = 0
    while mention >= 0:
        if body.find(MARK, max(mention - _REACH, previous), mention) >= 0:
            return True
        previous, mention = mention, body.find(needle, mention + 1)
    return False


def without_identify_scripts(body: bytes) -> bytes:
    """Return `body` without the identity of any identify script, whosever it is."""
    # What something in between has rewritten is at least blanked.
    return IdentityBlanker().feed(_OWN_SCRIPT.sub(b"", body))


class IdentityBlanker:
    """Blanks the identities out of a stream that already carries identify scripts.

    Every byte stays where it was, so lengths hold. `found` tells whether there was one.
    """

    __slots__ = ("_inside", "_seen", "found")

    def __init__(self) -> None:
        self.found = False
        self._inside = False
        self._seen = b""  # the end of what was fed, in which a script may begin

    def feed(self, chunk: bytes) -> bytes:
        """Return the chunk, with spaces for identities."""
        joint = self._seen + chunk[:_REST]
        if self._inside or joint.find(_CALL_START) >= 0 or chunk.find(_CALL_START) >= 0:
            return self._blanked(chunk)
        self._seen = (chunk if len(chunk) >= _REST else joint)[-_REST:]
        return chunk

    def _blanked(self, chunk: bytes) -> bytes:
        text = bytearray(self._seen + chunk)
        position = len(self._seen) if self._inside else 0
        while True:
            if not self._inside:
                begin = text.find(_CALL_START, position)
                if begin < 0:
                    break
                self._inside = self.found = True
                position = begin + len(_CALL_START) - 1
            end = text.find(b"}", position) + 1
            stop = end or len(text)
            text[position:stop] = b" " * (stop - position)
            position = stop
            if not end:
                break
            self._inside = False
        self._seen = bytes(text[-_REST:])
        return bytes(text[len(text) - len(chunk) :])
