"""Secrets in values: a keyed hash stands for each, and the value itself goes along only in memory."""

import functools
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from palate.atomic import name_beside, write_synced
from palate.recipe.codec import Secret, Unread
from palate.redaction.names import is_secret_name, is_strong_name
from palate.redaction.text import SHORTEST_KNOWN, find_secrets, names_a_place, redact_text

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
    named = type(name) is str and is_secret_name(name)
    if isinstance(value, str):
        if not value or names_a_place(value):
            return False
        return named or _WHOLE.fullmatch(value) is not None or bool(find_secrets(value))
    if isinstance(value, Unread):
        literal = named and re.search(r"[\"'][^\"']+[\"']", value.text) is not None
        return value.type != "absent" and (literal or bool(find_secrets(value.text, code=True)))
    if type(value) is int:
        return named and is_strong_name(str(name)) and len(str(abs(value))) >= _FEWEST_DIGITS
    return isinstance(value, list | tuple | bytes) and len(value) > 0 and named and not _is_numbers(value)


def _is_numbers(value: Sequence[Any] | bytes) -> bool:
    return not isinstance(value, bytes) and all(isinstance(member, int | float) for member in value)


def seal_secret(value: Any) -> Secret:
    """Hash a secret with this person's salt; the value goes along, and is never written."""
    digest = hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), key=_salt()[:64], digest_size=16)
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
        return {key: sealed(key, member) for key, member in value.items()}
    if type(value) in (list, tuple):
        flags = ("", *map(flag_of, value[:-1]))
        return type(value)(sealed(flag, member) for flag, member in zip(flags, value, strict=False))
    if isinstance(value, set | frozenset):
        return type(value)(sealed("", member) for member in value)
    return seal_secret(value) if _tells_secret(value) else value


def _tells_secret(value: Any) -> bool:
    """Return whether an object that is neither plain nor a container has a secret in its text."""
    if value is None or isinstance(value, bool | int | float | str | bytes | Unread | type) or callable(value):
        return False
    told = repr(value)
    return not told.startswith("<") and bool(find_secrets(told))


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
        yield from [value[one.start : one.end] for one in spans] or [value]
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif type(value) is int:
        yield str(value)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _texts_of(member)
    elif isinstance(value, Unread):
        yield from re.findall(r"[\"']([^\"']+)[\"']", value.text)


def known_secrets(*named: Mapping[str, object]) -> tuple[str, ...]:
    """Collect the values that are secret by their names, to be replaced wherever they stand; the longest first.

    Short values, and words that any text has, are left out.

    Args:
        named: an environment, settings ...

    >>> known_secrets({"WANDB_API_KEY": "0123abcd", "HOME": "/home/ada", "password": "1"})
    ('0123abcd',)
    """
    values = {text for settings in named for name, value in settings.items() for text in secrets_in(name, value)}
    return with_spellings(values)


def with_spellings(values: Iterable[str]) -> tuple[str, ...]:
    """Return values that are long enough to be replaced anywhere, also as JSON spells them; the longest first."""
    plain = {value for value in values if len(value) >= SHORTEST_KNOWN and value.lower() not in _COMMON}
    spelled = {json.dumps(value)[1:-1] for value in plain} | {repr(value)[1:-1] for value in plain}
    return tuple(sorted(plain | spelled, key=lambda value: (-len(value), value)))


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
