"""Passwords that statements hand over: found by their place in the SQL, and shown as stars.

What a statement means by a password is masked, what is only data is not: `ALTER ROLE … PASSWORD '…'`, options of user
mappings and servers, connection strings; also inside of bodies, strings and comments. A star stands for each character,
so that every line and column stays what it was.
"""

import re
from collections.abc import Iterable, Iterator

from dashboard.core.parser import STRING, SyntaxFault, words_of

Span = tuple[int, int]  # 0-based character offsets

SHORTEST = 4  # characters of a password that is worth looking for in what a server says

_WORDS = frozenset({"password", "passwd", "pwd", "sslpassword"})
_WORD = r"\b(?:ssl)?(?:password|passwd|pwd)\b"
_HINTS = ("passw", "pwd", "://")  # without any of these there is nothing to look for
# In a text that is no SQL by itself: a comment, a message, a file that cannot be read.
_QUOTED = re.compile(rf"{_WORD}\"?\s+(?:e|u&)?'((?:[^'\\]|''|\\.)*)", re.IGNORECASE)
# In a string, where quotes are doubled, once for each level.
_DOUBLED = re.compile(rf"{_WORD}\"*\s+(?:e|u&)?('{{2,}})(?!')(.{{0,1000}}?)(?<!')\1(?!')", re.IGNORECASE | re.DOTALL)
_CONNECTION = re.compile(rf"{_WORD}\s*=\s*(?:''([^']*)''|'([^']*)'|([^\s'&;]+))", re.IGNORECASE)
_ADDRESS = re.compile(r"://[^\s/:@']*:([^\s/@']+)@")
_BEGINS_CONNECTION = re.compile(r"\s*[a-z_]+\s*=\s*\S", re.IGNORECASE)
_TAG = re.compile(r"\$\w*\$")


def masked(text: str) -> str:
    """The text with a star for each character of a password; all else stays in its place."""
    return _starred(text, spans(text))


def secrets_of(text: str) -> frozenset[str]:
    """The passwords in a text that are long enough to be looked for elsewhere."""
    found = (text[start:end] for start, end in spans(text))
    return frozenset(form for one in found for form in (one, one.replace("''", "'")) if len(form) >= SHORTEST)


def without(message: str, secrets: Iterable[str]) -> str:
    """What somebody else said about a text, without the passwords in it."""
    for secret in sorted(secrets, key=len, reverse=True):
        message = message.replace(secret, "*" * len(secret))
    return _starred(message, _in_plain(message)) if _may_hold(message) else message


def spans(text: str) -> list[Span]:
    """Where passwords stand, without their quotes."""
    if not _may_hold(text):
        return []
    try:
        return list(_in_sql(text))
    except SyntaxFault:
        return list(_in_plain(text))


def _may_hold(text: str) -> bool:
    lowered = text.lower()
    return any(hint in lowered for hint in _HINTS)


def _in_sql(text: str) -> Iterator[Span]:
    before = ""
    for kind, start, end in words_of(text):
        word = text[start:end]
        if kind == STRING:
            inner = _inside(word)
            found = [inner] if before in _WORDS else _in_string(word, *inner)
            yield from _shifted(found, start)
        elif word.startswith(("--", "/*")):
            yield from _shifted(_in_plain(word), start)
            continue
        before = word.strip('"').lower()


def _inside(word: str) -> Span:
    """A string without its quotes, which may be `$tag$` too."""
    tag = _TAG.match(word)
    return (tag.end(), len(word) - tag.end()) if tag else (word.index("'") + 1, len(word) - 1)


def _in_string(word: str, start: int, end: int) -> Iterator[Span]:
    inner = word[start:end]
    if not _may_hold(inner):
        return
    if not word.startswith("$"):
        yield from _shifted((one.span(2) for one in _DOUBLED.finditer(inner)), start)
        yield from _shifted(_in_connection(inner), start)
    elif _BEGINS_CONNECTION.match(inner):
        yield from _shifted(_in_connection(inner), start)
    else:
        yield from _shifted(spans(inner), start)


def _in_connection(text: str) -> Iterator[Span]:
    yield from (one.span(one.lastindex or 0) for one in _CONNECTION.finditer(text))
    yield from (one.span(1) for one in _ADDRESS.finditer(text))


def _in_plain(text: str) -> Iterator[Span]:
    yield from (one.span(1) for one in _QUOTED.finditer(text))
    yield from (one.span(2) for one in _DOUBLED.finditer(text))
    yield from _in_connection(text)


def _shifted(found: Iterable[Span], by: int) -> Iterator[Span]:
    return ((start + by, end + by) for start, end in found)


def _starred(text: str, found: Iterable[Span]) -> str:
    pieces, done = [], 0
    for start, end in sorted(found):
        if end > done:
            pieces += [text[done : max(start, done)], re.sub(r"[^\r\n]", "*", text[max(start, done) : end])]
            done = end
    return "".join((*pieces, text[done:]))
