"""Secrets in any text: a line that was printed, a traceback, a reason, a file."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from palate.redaction.names import is_secret_name, is_strong_name
from palate.redaction.shapes import RANDOM, by_randomness, by_shape

REDACTED = "<secret>"
"""What stands in a text for a secret."""

SHORTEST_KNOWN = 6
"""The fewest characters of a known value that is replaced wherever it stands: `1` or `true` would shred a text."""

SHORTEST_KEY = 18
"""The fewest characters of a word that can be a key by its form alone; a line of shorter words is read no further."""

_WORDS = re.compile(r"(?i)pass|secret|token|key|auth|cred|bearer|pwd|cookie|webhook|conn|\bpat\b")
_LOW_HINTS = ("pass", "secret", "token", "key", "auth", "cred", "bearer", "pwd", "cookie", "webhook", "conn", "pat")
_NAME_LEFT = re.compile(r"[\w.-]{0,60}$")
_NAME_RIGHT = re.compile(r"[\w-]{0,30}")
_VALUE = re.compile(
    r"""(?P<close>\\?["'])?\]?(?:\s*(?P<sep>=>|:=|==?|:|,)\s*|(?P<space>\s+))"""
    r"""(?:[bruf]{0,2}(?P<quote>\\?["'`])(?!(?P=quote))(?P<quoted>.{1,4000}?)(?P=quote)|(?P<bare>[^\s"'`,;)}\]<>(\\]{1,400}))"""
)
_NO_SECRET = re.compile(
    r"(?i)(?:\$|\{|<|%\(|\*+$|\.{3}|x{3,}$|none$|null$|true$|false$|undefined$|not?$|yes$|is$|was$|expected|invalid"
    r"|required|missing|must$|cannot$|can't$|for$|of$|the$|and$|or$|str$|int$|float$|bool$|string$|bytes$|optional"
    r"|os\.|env|args?\.|self\.|config\.|cfg\.|opts?\.|getpass|input$|error|failed|wrong|set$|unset$|empty$|found"
    r"|authentication|has$|are$|will$|has_|given$)"
)


@dataclass(frozen=True, slots=True)
class Found:
    """A secret in a text: where, what it is, and where it is made anew."""

    start: int
    end: int
    kind: str
    rotate: str = ""


def find_secrets(text: str, *, code: bool = False) -> list[Found]:
    """Find the secrets of a text by name and by form; those that overlap are one.

    Args:
        text: any.
        code: whether it is a program: then only what stands in quotes is a value.
    """
    low = text.lower()
    named = any(hint in low for hint in _LOW_HINTS)
    long = max(map(len, text.split()), default=0) >= SHORTEST_KEY
    if not (named or long or "://" in text or "xox" in text):
        return []
    found = [Found(start, end, shape.kind, shape.rotate) for start, end, shape in by_shape(text, short_only=not long)]
    if named:
        found += _by_name(text, code=code)
    if long:
        found += [Found(start, end, RANDOM.kind, RANDOM.rotate) for start, end, _ in by_randomness(text)]
    return _merged(found)


def _merged(found: list[Found]) -> list[Found]:
    merged: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if merged and one.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Found(last.start, max(last.end, one.end), last.kind, last.rotate)
        else:
            merged.append(one)
    return merged


def _by_name(text: str, *, code: bool) -> Iterator[Found]:
    done = 0
    for hint in _WORDS.finditer(text):
        if hint.start() < done:
            continue
        left = _NAME_LEFT.search(text[max(0, hint.start() - 60) : hint.start()])
        right = _NAME_RIGHT.match(text, hint.end())
        assert left is not None and right is not None
        name = left[0] + text[hint.start() : right.end()]
        done = right.end()
        dashed = name.startswith("-")
        value = _VALUE.match(text, right.end()) if is_secret_name(name) else None
        if value is not None and _is_value(name, value, dashed=dashed, code=code):
            group = "bare" if value["quote"] is None else "quoted"
            yield Found(*value.span(group), f"value of {name.strip('-.')}", "whoever issued it")


def _is_value(name: str, found: re.Match[str], *, dashed: bool, code: bool) -> bool:
    """Whether what stands behind a secret's name is its value, and not a word of a sentence or of a program."""
    quoted = found["quote"] is not None
    value: str = found["quoted"] if quoted else found["bare"]
    if found["space"] is not None and not (dashed and not quoted and not value.startswith("-")):
        return False  # a word behind a word; a flag's value is one
    if found["sep"] == "," and not (quoted and found["close"] and (dashed or not code or _is_credential(value))):
        return False  # a list of words; a flag's value in a list of arguments is one, and a default behind a name
    if found["sep"] == "==" or (code and not quoted) or _NO_SECRET.match(value):
        return False
    if value.isdigit():
        return is_strong_name(name) and len(value) > 3
    if value.upper() == value and not re.search(r"\d", value):
        return False  # a placeholder: --password PASSWORD
    if is_strong_name(name) or dashed:
        return len(value) > 2 and not (found["sep"] == ":" and not quoted and " " in found[0] and value.isalpha())
    return _is_credential(value)


def _is_credential(value: str) -> bool:
    """Whether a value looks as one that gives access: long, and not a word, a name or a sentence."""
    if " " in value or len(value) < SHORTEST_KNOWN or re.search(r"\d", value) is None:
        words = re.fullmatch(r"[a-z_.]+|[A-Z_]+|[A-Za-z]+|[\w./-]+/[\w./-]+", value)
        return len(value) >= 20 and " " not in value and not words
    return not re.fullmatch(r"[a-z_]+\d|\d+(?:\.\d+)*|\d+[a-z]{1,3}", value)


def redact_text(text: str, known: Iterable[str] = ()) -> str:
    """Return a text with `<secret>` in the place of each secret.

    Args:
        text: any; a line at a time, or a whole.
        known: values that are secret wherever they stand; see `known_secrets`.

    >>> redact_text("task-1234 done, password=hunter2 for postgres://ada:s3cret@db/x")
    'task-1234 done, password=<secret> for postgres://ada:<secret>@db/x'
    """
    for value in known:
        if value in text:
            text = text.replace(value, REDACTED)
    found = find_secrets(text)
    for one in reversed(found):
        text = f"{text[: one.start]}{REDACTED}{text[one.end :]}"
    return text


class Lines:
    """Redacts what a program prints, line by line: of a private key, every line from its beginning to its end.

    Args:
        known: values that are secret wherever they stand.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = tuple(known)
        self._inside = False

    def redact(self, line: str) -> str:
        """Return the next line, redacted."""
        if self._inside:
            _, end, after = line.partition("-----END ")
            self._inside = not end
            rest = redact_text(after.partition("-----")[2], self._known) if end else _end_of(line)
            return f"{REDACTED}{rest}"
        redacted = redact_text(line, self._known)
        self._inside = "PRIVATE KEY-----" in line and "-----BEGIN " in line and "-----END " not in line
        return f"{redacted.rstrip()}{_end_of(line)}" if self._inside else redacted


def _end_of(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
