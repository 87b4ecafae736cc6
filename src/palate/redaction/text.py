"""Secrets in any text: a line that was printed, a traceback, a reason, a file."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from palate.redaction.names import is_secret_name, is_strong_name, is_weak_name, plain_name, word_of
from palate.redaction.shapes import RANDOM, by_randomness, by_shape, is_random

REDACTED = "<secret>"
"""What stands in a text for a secret."""

SHORTEST_KNOWN = 6
"""The fewest characters of a known value that is replaced wherever it stands: `1` or `true` would shred a text."""

BY_NAME = "value of"
"""How the kind begins of what is secret by its name."""

SHORTEST_IN_DATA = 10
"""The fewest characters of a known value that is replaced in a file that a run writes: it may be a result."""

SHORTEST_KEY = 18
"""The fewest characters of a word that can be a key by its form alone; a line of shorter words is read no further."""

_NAME = re.compile(
    r"(?:pass|secret|token|key|auth|cred|bearer|pwd?|cookie|webhook|conn|pat|psk|jwt|fernet|phrase|cl[eé]_api|clave_api|kennwort"
    r"|wachtwoord|contrase|parola|senha|heslo|has[lł]o|пароль|密码|密碼|パスワード|비밀번호)(?P<rest>[\w-]{0,30})"
    r"(?=(?:\\?[\"'`])?\]?\s*(?:[=:,\uff1a]|->)|\s|>[^<\s])"
)
"""The end of a name that may be a secret's, in a text in small letters, before what binds a value to it."""

_LOW_HINTS = ("pass", "secret", "token", "key", "auth", "cred", "bearer", "pw", "cookie", "webhook", "conn", "pat",
              "psk", "jwt", "fernet", "phrase", "_api", "wort", "woord", "contrase", "parola", "senha", "heslo",
              "haslo")  # fmt: skip
_FOREIGN_HINTS = ("contrase", "hasło", "пароль", "密码", "密碼", "パスワード", "비밀번호", "clé_api")
_NAME_LEFT = re.compile(r"[\w.-]{0,60}$")
_VALUE = re.compile(
    r"""(?P<close>\\?["'`])?\]?(?:\s*(?P<sep>=>|->|:=|==?|:|\uff1a|,|>(?=[^<\s]{1,400}</))\s*|(?P<space>\s+))"""
    r"""(?:[bruf]{0,2}(?P<quote>\"{3}|'{3}|\\?["'`])(?!(?P=quote))(?P<quoted>.{1,1000}?)(?P=quote)|(?P<bare>[^\s"'`,;)}\]<>(\\]{1,400}))"""
)
_NO_SECRET = re.compile(
    r"(?i)(?:none|null|true|false|undefined|not?|yes|is|was|has|are|will|for|of|the|and|or|must|cannot|can't|str|int"
    r"|float|bool|string|bytes|optional|required|expected|invalid|missing|given|found|failed|error|wrong|set|unset"
    r"|empty|input|getpass|authentication|parameter|settings|constant(?: \w+)?|secret|\.{3}|x{3,})$"
    r"|(?:os|args?|self|config|cfg|opts?|env|environ|settings)(?:\.|\[)|[\w./-]+:\d+$"
)
"""Words that stand behind a name without being its value, and code that gets it from elsewhere."""

STANDS_FOR = re.compile(r"\$\{.*|\$\w+|\{\{.*|\{\w*\}?|%\(.*|<[^>]*>?|\*+[@A-O]*|secret [0-9a-f]{6,32}")
"""A value that only names where the secret is (a variable, a field of a template), or that stands for one (`mask`)."""

_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[\w.@+ -]+){2,}/?|(?:~|\.{1,2})/[\w.@+ -]+")
"""A path, as of a file with credentials."""


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
    counted = low.replace(" tokens", " ")  # which trainings print in every line: tokens/s
    named = _has_any(counted, _LOW_HINTS) or (not low.isascii() and _has_any(low, _FOREIGN_HINTS))
    long = max(map(len, text.split()), default=0) >= SHORTEST_KEY
    if not (named or long or "://" in text or "xox" in text or "curl " in text or "mysql" in text):
        return []
    found = [Found(start, end, shape.kind, shape.rotate) for start, end, shape in by_shape(text, short_only=not long)]
    if named:
        found += _by_name(text, low if len(low) == len(text) else _lowered(text), code=code)
    if long:
        found += [Found(start, end, RANDOM.kind, RANDOM.rotate) for start, end, _ in by_randomness(text)]
    return _merged(found)


def _has_any(text: str, hints: tuple[str, ...]) -> bool:
    for hint in hints:  # noqa: SIM110  each line that a run prints comes here: a generator takes three times as long
        if hint in text:
            return True
    return False


def _merged(found: list[Found]) -> list[Found]:
    merged: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if merged and one.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Found(last.start, max(last.end, one.end), last.kind, last.rotate)
        else:
            merged.append(one)
    return merged


def _lowered(text: str) -> str:
    """Return a text in small letters, as long as it is: of some letters, the small one is two."""
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)


def _by_name(text: str, low: str, *, code: bool) -> Iterator[Found]:
    for hint in _NAME.finditer(low):
        left = _NAME_LEFT.search(text[max(0, hint.start() - 60) : hint.start()])
        assert left is not None
        name = left[0] + text[hint.start() : hint.end()]
        before = text[max(0, hint.start() - len(left[0]) - 2) : hint.start() - len(left[0])]
        dashed = name.startswith("-") or before in (
            "('",
            '("',
        )  # a flag, or the first word of a call: getenv("NAME", ...)
        weak = is_weak_name(name)
        value = _VALUE.match(text, hint.end()) if weak or is_secret_name(name) else None
        if value is not None and _is_value(name, value, dashed=dashed, code=code) and (not weak or _fits(name, value)):
            group = "bare" if value["quote"] is None else "quoted"
            yield Found(*value.span(group), f"{BY_NAME} {word_of(name)}", "whoever issued it")


def _fits(name: str, found: re.Match[str]) -> bool:
    """Whether the value behind a name that can mean something else is a secret."""
    return found["sep"] is not None and looks_secret(name, found["bare"] or found["quoted"])


def _is_value(name: str, found: re.Match[str], *, dashed: bool, code: bool) -> bool:
    """Whether what stands behind a secret's name is its value, and not a word of a sentence or of a program."""
    quoted = found["quote"] is not None
    value: str = found["quoted"] if quoted else found["bare"]
    if not _is_bound(found, value, dashed=dashed, code=code) or is_no_secret(value):
        return False
    if value.isdigit():
        return is_strong_name(name) and len(value) > 3
    if plain_name(value) == plain_name(name) or (value.upper() == value and not re.search(r"\d", value)):
        return False  # the same name, or a placeholder: --password PASSWORD
    if is_strong_name(name) or dashed:
        return len(value) > 2 and not (found["sep"] == ":" and not quoted and " " in found[0] and value.isalpha())
    return _is_credential(value)


def _is_bound(found: re.Match[str], value: str, *, dashed: bool, code: bool) -> bool:
    """Whether what stands behind a name belongs to it: by `=` or `:`, as a flag's value, as a default in a call."""
    quoted, sep = found["quote"] is not None, found["sep"]
    if not quoted and "\n" in found.string[found.start() : found.start("bare")]:
        return False  # the next line is about something else
    if sep is None:
        told = "\t" in found["space"] and _is_credential(value)  # a table
        return (dashed or told) and not quoted and not value.startswith("-")
    if sep == ",":
        is_name = found.string[found.end() : found.end() + 3].lstrip()[:1] == ":"  # of the next member
        bound = dashed or _is_credential(value)  # else a list of words
        return quoted and found["close"] is not None and bound and not is_name
    called = not quoted and found.string[found.end() : found.end() + 1] in ("(", "[")  # code that gets it
    return sep != "==" and not called and (quoted or not code)


def _is_credential(value: str) -> bool:
    """Whether a value looks as one that gives access: long, and not a word, a name or a sentence."""
    if " " in value or len(value) < SHORTEST_KNOWN or re.search(r"\d", value) is None:
        words = re.fullmatch(r"[a-z_.]+|[A-Z_]+|[A-Za-z]+|[\w./-]+/[\w./-]+", value)
        return len(value) >= 20 and " " not in value and not words
    return not re.fullmatch(r"[a-z_]+\d|\d+(?:\.\d+)*|\d+[a-z]{1,3}", value)


_WORD = re.compile(r"[A-Za-z]*\d{0,4}|\d+[A-Za-z]{0,3}")
_SIGNS = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), re.compile(r"\d"), re.compile(r"[^A-Za-z0-9_.,:/ ]"))


def looks_secret(name: str, value: str) -> bool:
    """Return whether text under a name that may be a secret's, such as `pw` or `pass`, is one, and not a plain word.

    >>> [looks_secret("pw", value) for value in ("train", "second_pass_2", "0.5", "hunter-xkcd-42", "q7Xz1Lw9Bv")]
    [False, False, False, True, True]
    """
    if len(value) < SHORTEST_KNOWN or re.search(r"\s", value) or is_no_secret(value) or _is_number(value):
        return False
    if re.search(r"[\[\](){}<>]|\w\.\w+\.\w", value) is not None:  # of a program
        return False
    common = plain_name(name) in ("key", "tokens", "hmac")
    if common and re.fullmatch(r"[0-9a-f]+", value) is not None:  # a hash
        return False
    signs = sum(kind.search(value) is not None for kind in _SIGNS) - common
    if all(map(_WORD.fullmatch, re.split(r"[-_./:]+", value))):
        return signs > 2 and re.search(r"[-.:]", value) is not None
    return signs > 1 and re.search(r"\d", value) is not None and "/" not in value[1:-1]


def looks_random(value: str) -> bool:
    """Return whether a value can be replaced wherever it stands in data: it has letters and digits, and is long.

    >>> [looks_random(value) for value in ("training", "100000", "0.1234567890", "1.25e-07-x", "q7Xz1Lw9Bv")]
    [False, False, False, True, True]
    """
    return (
        len(value) >= SHORTEST_IN_DATA
        and re.search(r"[A-Za-z]", value) is not None
        and re.search(r"\d", value) is not None
        and not _is_number(value)
    )


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def is_no_secret(value: str) -> bool:
    """Return whether a value is a word that says there is none here, a reference to one, or what stands for one.

    >>> [is_no_secret(value) for value in ("none", "${HF_TOKEN}", "secret 3f9c41", "****KLB@JAHB", "hunter2")]
    [True, True, True, True, False]
    """
    return _NO_SECRET.match(value) is not None or names_a_place(value)


def names_a_place(value: str) -> bool:
    """Return whether a value only names where a secret is, a file or a variable, or stands for one."""
    value = value.strip("'\"")
    return STANDS_FOR.fullmatch(value) is not None or (_PATH.fullmatch(value) is not None and not is_random(value))


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


def redact_data(text: str, known: Iterable[str] = ()) -> str:
    """Return the text of a file that a run wrote without its secrets; numbers, common words and random text stay.

    The latter may be a vocabulary, or hashes.

    >>> redact_data('{"n": 100000, "mode": "training", "key": "q7Xz1Lw9Bv"}', ("100000", "training", "q7Xz1Lw9Bv"))
    '{"n": 100000, "mode": "training", "key": "<secret>"}'
    """
    for value in known:
        if value in text and looks_random(value):
            text = text.replace(value, REDACTED)
    for one in reversed(find_secrets(text)):
        if one.kind != RANDOM.kind and (not one.kind.startswith(BY_NAME) or _is_told_as_secret(text, one)):
            text = f"{text[: one.start]}{REDACTED}{text[one.end :]}"
    return text


def _is_told_as_secret(text: str, one: Found) -> bool:
    """Return whether what stands behind a name in data is no number, and a text in quotes or no plain word."""
    value = text[one.start : one.end]
    mixed = re.search(r"\d", value) is not None and re.search(r"[^\d.,\s]", value) is not None
    return not _is_number(value) and (mixed or text[one.start - 1 : one.start] in ("'", '"'))


LONGEST_KEY = 250
"""Lines of the longest private key: RSA of 16,384 bits has 205."""

_BEGINS = re.compile(r"-----BEGIN (?:[A-Z0-9 ]*PRIVATE KEY|[A-Z0-9 ]*\Z)|^Private-Lines: \d+\Z")
_WHOLE_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY|^Private-Lines:")
_ENDS = re.compile(r"-----END |^Private-MAC:")


class Lines:
    """Redacts what a program prints, line by line: of a private key, every line from its beginning to its end.

    Where its end does not come, as of a key that was printed in part, lines are shown again after the longest key.

    Args:
        known: values that are secret wherever they stand.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = tuple(known)
        self._inside = 0  # lines of a key that may still come
        self._half = ""  # a beginning that was cut at the line's end: the next line tells of what

    def redact(self, line: str) -> str:
        """Return the next line, redacted."""
        if self._half:
            begins = any(_WHOLE_BEGIN.match(f"{self._half}{between}{line.strip()}") for between in ("", " "))
            self._half, self._inside = "", LONGEST_KEY if begins else 0
        if self._inside:
            end = _ENDS.search(line)
            self._inside = 0 if end else self._inside - 1
            if end is None or end[0].startswith("Private-MAC"):
                return f"{REDACTED}{_end_of(line)}"
            return f"{REDACTED}{redact_text(line[end.end() :].partition('-----')[2], self._known) or _end_of(line)}"
        redacted = redact_text(line, self._known)
        if "-----BEGIN " in line or "Private-Lines" in line:
            self._begin(line)
        return f"{redacted.rstrip()}{_end_of(line)}" if self._inside else redacted

    def _begin(self, line: str) -> None:
        """Notice the beginning of a key, or half of it."""
        text = line.rstrip()
        begins = _BEGINS.search(text)
        if begins is None or _ENDS.search(text, begins.end()):
            return
        if _WHOLE_BEGIN.match(begins[0]):
            self._inside = LONGEST_KEY
        else:
            self._half = begins[0]


def _end_of(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
