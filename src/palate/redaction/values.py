"""Secrets in values: a keyed hash stands for each, and the value itself goes along only in memory."""

import base64
import functools
import hashlib
import json
import os
import re
import sys
import urllib.parse
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from palate.atomic import name_beside, write_synced
from palate.recipe.codec import Secret, Unread
from palate.redaction.names import is_secret_name, is_strong_name, is_weak_name, name_of_path, name_under
from palate.redaction.text import SHORTEST_KNOWN, find_secrets, looks_secret, names_a_place, redact_text

SALT = "PALATE_SALT"
"""The environment variable that sets the salt."""

_WHOLE = re.compile(
    r"(?:hf_|ghp_|gho_|github_pat_|xox[abp]-|AKIA)[A-Za-z0-9_\-]{4,}|sk-(?=[\w-]*\d)[A-Za-z0-9_\-]{4,}"
    r"|(?i:authorization:\s*\S.*|bearer\s+\S{4,})"
)
"""A whole value that begins as keys do: shorter ones count than within a text."""

_FEWEST_DIGITS = 4

_COMMON = frozenset({
    "changeme", "password", "passwd", "secret", "default", "example", "testing", "tester", "username", "localhost",
    "public", "private", "unknown", "required", "optional", "enabled", "disabled", "access", "token", "tokens",
    "api_key", "apikey", "placeholder", "redacted", "string", "hidden", "postgres", "anonymous", "bearer", "123456",
})  # fmt: skip
"""Values that words of a text are too."""


def is_secret(name: object, value: object) -> bool:
    """Return whether a value is secret, by its name or by its form.

    Numbers are only where nothing but a password is called so; a reference such as `${HF_TOKEN}` is none.
    """
    name = name_of_path(name) if type(name) is str else ""
    named = is_secret_name(name)
    if isinstance(value, str):
        if not value or names_a_place(value):
            return False
        return named or _is_weak(name, value) or _WHOLE.fullmatch(value) is not None or bool(find_secrets(value))
    if isinstance(value, Unread):
        literal = named and re.search(r"[\"'][^\"']+[\"']", value.text) is not None
        return value.type != "absent" and (literal or bool(find_secrets(value.text, code=True)))
    if type(value) is int:
        return named and is_strong_name(name) and len(str(abs(value))) >= _FEWEST_DIGITS
    return _are_secret(name, value) if isinstance(value, list | tuple | set | frozenset | bytes) else False


def _are_secret(name: str, value: Collection[Any]) -> bool:
    """Return whether bytes, or several values as one, are secret."""
    if isinstance(value, bytes):
        text = value.decode("ascii", errors="replace")
        return bool(value) and (
            is_secret_name(name) or _is_weak(name, text) or (value.isascii() and is_secret("", text))
        )
    if is_secret_name(name):
        return len(value) > 0 and not all(isinstance(member, int | float) for member in value)
    return any(isinstance(member, str) and _is_weak(name, member) for member in value)


def _is_weak(name: str, text: str) -> bool:
    return is_weak_name(name) and looks_secret(name, text)


def seal_secret(value: Any) -> Secret:
    """Hash a secret with this person's salt; the value goes along, and is never written."""
    told = (
        repr(value)
        if not isinstance(value, set | frozenset)
        else repr((type(value).__name__, sorted(map(repr, value))))
    )
    digest = hashlib.blake2b(told.encode("utf-8", "surrogatepass"), key=_salt()[:64], digest_size=16)
    return Secret(hash=digest.hexdigest(), value=value)


def sealed(name: object, value: Any) -> Any:
    """Return a value as it may be written: each secret in it, at whatever depth, sealed.

    Of a list of words, a secret's value is also the one behind its flag: `--password X`.
    """
    if isinstance(value, Secret):
        return value
    if is_secret(name, value):
        return seal_secret(value)
    if type(value) is dict:
        above = name_of_path(name) if type(name) is str else ""
        return {key: sealed(name_under(above, key), member) for key, member in value.items()}
    if type(value) in (list, tuple):
        flags = ("", *value[:-1])
        return type(value)(_sealed_word(before, member) for before, member in zip(flags, value, strict=False))
    if isinstance(value, set | frozenset):
        return type(value)(sealed("", member) for member in value)
    return seal_secret(value) if _tells_secret(value) else value


def _tells_secret(value: Any) -> bool:
    """Return whether an object that is neither plain nor a container has a secret in its text."""
    if value is None or isinstance(value, bool | int | float | str | bytes | Unread | type) or callable(value):
        return False
    told = repr(value)
    return not told.startswith("<") and bool(find_secrets(told))


def _sealed_word(before: object, word: Any) -> Any:
    """Return a word of a command line as it may be written, by the one before it and by how it holds a password."""
    clean = sealed(flag_of(before), word)
    if not isinstance(clean, str):
        return clean
    glued = _GLUED.fullmatch(clean)
    user = _USER.fullmatch(clean) if before in ("-u", "--user") else None
    text = glued[1] if glued is not None else user[1] if user is not None else ""
    return seal_secret(word) if user is not None or (text and looks_secret("pw", text)) else clean


_GLUED = re.compile(r"-p([^\s=-]\S{5,})")
_USER = re.compile(r"[^\s:/]+:(?!\d+$)([^\s/]\S{2,})")
"""How passwords are handed over without a name: `-pX`, as mysql takes them, and `-u ada:X`, as curl does."""


def flag_of(word: object) -> str:
    """Return the name that a flag gives to the word behind it; "" where it is none."""
    return word if isinstance(word, str) and word.startswith("-") and "=" not in word else ""


def sealed_all(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they may be written. See `sealed`."""
    return {name: sealed(name, value) for name, value in values.items()}


def sealed_text(name: str, value: Any) -> str:
    """Return a value's text as it may be noted: of a secret, what it hashes to, so that a change still shows."""
    clean = sealed(name, value)
    return repr(clean) if isinstance(clean, Secret) else redact_text(repr(clean))


def opened(value: Any) -> Any:
    """Undo `sealed`, as far as the values are known: what a run itself is given."""
    if isinstance(value, Secret):
        return value.value if value.is_open else value
    if type(value) is dict:
        return {key: opened(member) for key, member in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(map(opened, value))
    return value


def hidden(value: Any) -> Iterator[Secret]:
    """Yield the secrets in a value that is sealed."""
    if isinstance(value, Secret):
        yield value
    members = value.values() if type(value) is dict else value if type(value) in (list, tuple, set, frozenset) else ()
    for member in members:
        yield from hidden(member)


def is_open(value: Any) -> bool:
    """Return whether all secrets in a value are known."""
    return all(secret.is_open for secret in hidden(value))


def secrets_in(name: object, value: Any) -> Iterator[str]:
    """Yield the texts of the secrets in a value, sealed or not."""
    for secret in hidden(sealed(name, value)):
        if secret.is_open:
            yield from _texts_of(secret.value)


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        spans = [] if _WHOLE.fullmatch(value) else find_secrets(value)
        handed = _GLUED.fullmatch(value) or _USER.fullmatch(value)
        if handed is not None:
            yield handed[1]
        yield from [value[one.start : one.end] for one in spans] or [value]
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif type(value) is int:
        yield str(value)
    elif isinstance(value, list | tuple | set | frozenset):
        for member in value:
            yield from _texts_of(member)
    elif isinstance(value, Unread):
        yield from re.findall(r"[\"']([^\"']+)[\"']", value.text)


def known_secrets(*named: Mapping[str, object]) -> tuple[str, ...]:
    """Collect the values that are secret by their names, to be replaced wherever they stand; the longest first.

    Short values, and words that any text has, are left out.

    Args:
        named: an environment, settings ...

    >>> known_secrets({"WANDB_API_KEY": "0123abc", "HOME": "/home/ada", "password": "1"})
    ('0123abc',)
    """
    values = {text for settings in named for name, value in settings.items() for text in secrets_in(name, value)}
    return with_spellings(values)


def with_spellings(values: Iterable[str]) -> tuple[str, ...]:
    """Return values that are long enough to be replaced anywhere, also as others spell them; the longest first.

    Others are JSON and Python, base64 at each of its three places, percent signs, and each line of one with many.
    """
    plain = {value for value in values if _can_be_replaced(value)}
    lines = {line for value in plain if "\n" in value for line in map(str.strip, value.splitlines())}
    plain |= {line for line in lines if len(line) >= SHORTEST_LINE and not line.startswith("-----")}
    spelled = {text for value in plain for text in _spellings(value)}
    return tuple(sorted(plain | spelled, key=lambda value: (-len(value), value)))


def _can_be_replaced(value: str) -> bool:
    return len(value) >= SHORTEST_KNOWN and value.lower() not in _COMMON


SHORTEST_LINE = 12
"""The fewest characters of a line of a secret that are replaced without the others."""

SHORTEST_ENCODED = 8
"""The fewest characters of a secret that is looked for in base64: the parts that are always the same are shorter."""


def _spellings(value: str) -> Iterator[str]:
    """Yield a value as JSON and Python spell it, in percent signs, and in base64 whatever stands around it."""
    yield json.dumps(value)[1:-1]
    yield repr(value)[1:-1]
    yield urllib.parse.quote(value, safe="", errors="replace")
    if len(value) < SHORTEST_ENCODED:
        return
    content = value.encode("utf-8", "surrogatepass")
    for before in range(3):
        start, end = -(-before * 8 // 6), (before + len(content)) * 8 // 6
        text = base64.b64encode(bytes(before) + content).decode()[start:end]
        yield text
        if "+" in text or "/" in text:
            yield text.replace("+", "-").replace("/", "_")


@functools.cache
def _salt() -> bytes:
    """Return the salt of this person's secrets; it is made once and kept next to their preferences."""
    if os.environ.get(SALT):
        return os.environ[SALT].encode()
    try:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        salt = _kept_salt(base / "palate" / "salt")
    except (OSError, RuntimeError):  # no home, or none that can be written
        salt = b""
    if not salt:
        print(
            "palate: no folder can keep the salt of your secrets, so those of two sessions cannot be compared: runs "
            f"with secrets are made anew. Set {SALT} to any long text to keep it yourself.",
            file=sys.stderr,
        )
        os.environ[SALT] = os.urandom(32).hex()  # for the runs of this session
        salt = os.environ[SALT].encode()
    return salt


def _kept_salt(path: Path) -> bytes:
    """Return the salt of a file, which is made complete where it is not there: of two processes, one makes it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = name_beside(path)
        try:
            write_synced(beside, os.urandom(32).hex().encode(), 0o600)
            os.link(beside, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    return path.read_bytes()
