"""The tokens of HTML, as regular expressions over bytes (WHATWG HTML, section 13.2.5).

Every expression runs in time linear in what it reads: repeated classes are possessive, and each
branch of an alternation starts with bytes that no other branch starts with; only attributes that
are not plain are read a second time. None of them knows where in a document it stands; `scanner`
does.

Bytes are enough: in each encoding that reaches us, the bytes of `<`, `>`, `"`, `'`, `=` and `/`
mean these characters wherever they stand.
"""

from __future__ import annotations

import re

# The `(?!)` that ends some alternations matches nothing. Without it Python up to 3.11.4 forgets
# where a possessive repetition began its last, failing round (CPython issue 106052).

WHITE_SPACE = b"\t\n\f\r "  # a CR is normalised to LF before the tokenizer sees it
WS = rb"[\t\n\f\r ]"
NAME_END = rb"(?=[\t\n\f\r />])"

# Attributes (sections 13.2.5.32 to 13.2.5.40). A leading `=` belongs to the name; an unquoted
# value may hold quotes, `=` and `/`, but does not begin with a quote.
_ATTRIBUTE_NAME = rb"[^\t\n\f\r />][^\t\n\f\r />=]*+"
_VALUE = rb"""(?:"[^"]*+"|'[^']*+'|(?!["'])[^\t\n\f\r >]*+)"""
_ATTRIBUTE = rb"%(name)s(?:%(ws)s*+=%(ws)s*+%(value)s|(?!%(ws)s*+=))" % {
    b"name": _ATTRIBUTE_NAME,
    b"ws": WS,
    b"value": _VALUE,
}
_ANY_ATTRIBUTES = rb"(?:%s++|/(?!>)|%s|(?!))*+" % (WS, _ATTRIBUTE)
TAG_NAME = rb"[a-zA-Z][^\t\n\f\r />]*+"


def plain_attributes(value: bytes) -> bytes:
    """Return what matches attributes as nearly all are written, up to the `>` or `/>`.

    Each `=` stands directly between a name and a value, and outside of quotes is no `<`: what looks
    like the end is the end. `value` is a pattern of an `=` and what follows it; see `plain_value`.
    """
    return rb"""[^"'=/<>]*+(?:(?<![\t\n\f\r "'])(?:%s)[^"'=/<>]*+|(?!))*+""" % value


def plain_value(quoted: bytes = rb"[^%s]*+", unquoted: bytes = rb"(?!)") -> bytes:
    """Return what matches `=` and a value: `quoted` inside the quotes `%s`, `unquoted` without."""
    quotes = [b"%s(?:%s)%s" % (one, quoted.replace(b"%s", one), one) for one in (b'"', b"'")]
    return b"=(?:%s)" % b"|".join([*quotes, rb"%s(?=[\t\n\f\r >])" % unquoted])


PLAIN_ATTRIBUTES = plain_attributes(plain_value())
ATTRIBUTES = rb"(?:%s(?=/?>)|%s)" % (PLAIN_ATTRIBUTES, _ANY_ATTRIBUTES)

TAG = re.compile(rb"<(?P<end>/?)(?P<name>%s)%s(?P<solidus>/?)>" % (TAG_NAME, ATTRIBUTES))
ATTRIBUTE = re.compile(
    rb"""(%(name)s)(?:%(ws)s*+=%(ws)s*+(?:"([^"]*+)"|'([^']*+)'|([^\t\n\f\r >]*+)))?+"""
    % {b"name": _ATTRIBUTE_NAME, b"ws": WS}
)

# Comments end at `-->` or `--!>`, and at once after `<!--` with `>` or `->` (13.2.5.43 to 52).
COMMENT_ENDS_AT_ONCE = re.compile(rb"-?>")
COMMENT_END = re.compile(rb"--!?>")

# What the tokenizer reads up to the first `>`, whatever it holds: `<?…`, `</3…`, `<!…`. A doctype
# is one of them, for a `>` ends it even inside its quotes (13.2.5.41, 13.2.5.53 to 68).
BOGUS_COMMENT_TEXT = rb"<(?:\?|!(?!--)|/(?![a-zA-Z]))[^>]*+>"
BOGUS_COMMENT = re.compile(BOGUS_COMMENT_TEXT)
LITERAL_LESS_THAN = re.compile(rb"<[^a-zA-Z/!?]")

# A `<` after which the text ends before it is known what it begins.
# Longer names are cut when a chunk ends in a tag: no element that matters has one.
NAME_LIMIT = 66
TAG_START = re.compile(rb"</?%s" % TAG_NAME)

UNDECIDED = re.compile(rb"<(?:/|!-?|/?[a-zA-Z][^\t\n\f\r />]*+)?\Z")

# Elements whose content is not markup (13.2.6.4.7, with scripting on). The end tag needs the
# same name and one of the bytes that end a tag name.
RAW_TEXT = (
    "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript",
)  # fmt: skip


def any_case(name: str) -> str:
    # Not `re.IGNORECASE`: with it the engine does not search for the literal `<` first.
    return "".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in name)


RAW_TEXT_END = {
    name.encode(): re.compile(f"</{any_case(name)}".encode() + NAME_END) for name in RAW_TEXT
}

# Script data (13.2.5.4, 13.2.5.15 to 31): `<!--` escapes it, `<script` inside that escapes it
# twice, and then `</script` ends the inner escape only.
SCRIPT_DATA = re.compile(b"<(?:(!--)|/" + any_case("script").encode() + NAME_END + b")")
SCRIPT_DATA_ESCAPED = re.compile(b"-->|<(/?)" + any_case("script").encode() + NAME_END)

# A tag that the text breaks off inside: its name, what is certain about its attributes, the rest.
_VALUE_GIVEN = rb"""(?:"[^"]*+"|'[^']*+'|(?!["'])[^\t\n\f\r >]*+(?=[\t\n\f\r >]))"""
_NO_VALUE = rb"(?=%s*+[^\t\n\f\r =])" % WS
_CERTAIN = re.compile(
    rb"(</?%(tag)s%(end)s)(?:%(ws)s++|/(?=[^>])|%(name)s(?:%(ws)s*+=%(ws)s*+%(given)s|%(none)s)|(?!))*+"
    % {
        b"tag": TAG_NAME,
        b"end": NAME_END,
        b"ws": WS,
        b"name": _ATTRIBUTE_NAME,
        b"given": _VALUE_GIVEN,
        b"none": _NO_VALUE,
    }
)
_UNCERTAIN = re.compile(rb"%s%s*+(?:=%s*+(.?))?" % (_ATTRIBUTE_NAME, WS, WS))


def shortened_tag(text: bytes) -> bytes:
    """Return a short text behind which the tokenizer reads on as it does behind `text`.

    `text` is a tag that the end of the input breaks off somewhere behind its name. Its attributes
    are lost; its name is kept, with a solidus, which says nothing but that this is not plain.
    """
    certain = _CERTAIN.match(text)
    assert certain is not None, "a tag with a whole name"
    name = certain[1][: len("</") + NAME_LIMIT + 1] + b"/"
    if b"<" in text[1:]:  # a shadow host's start tag is sought by its last `<`
        name += b"<=x"
    rest = text[certain.end() :]
    attribute = _UNCERTAIN.match(rest)
    if attribute is None:  # before an attribute name, or behind a solidus
        return name + b" " + rest
    value = attribute[1]
    return name + b" a" if value is None else name + b" a=" + value


def script_data_end(
    text: bytes, position: int, escapes: int
) -> tuple[re.Match[bytes] | None, int, int]:
    """Return the end tag of the script, and from where in which state to read on without one."""
    while True:
        expression = SCRIPT_DATA_ESCAPED if escapes else SCRIPT_DATA
        found = expression.search(text, position)
        if found is None:
            return None, position, escapes
        position = found.end()
        if found[0] == b"<!--":
            escapes = 1
            position -= 2  # these dashes may be those of `-->`
        elif found[0] == b"-->":
            escapes = 0
        elif escapes and not found[1]:
            escapes = 2
        elif escapes == 2:
            escapes = 1
        else:
            return found, position, escapes


def attribute_list(tag: re.Match[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the attributes of a whole tag, as (lower-case name, value)."""
    found = ATTRIBUTE.findall(tag.string, tag.end("name"), tag.end() - 1)
    return [(name.lower(), double or single or bare) for name, double, single, bare in found]


def by_name(attributes: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the attributes by name; the first of a name wins.

    Source: WHATWG HTML, section 13.2.5.33 (attribute name state).
    """
    return dict(attributes[::-1])
