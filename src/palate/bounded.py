"""Text that others wrote, read within bounds: its size, its depth, the number of its values; standard library only.

Whatever is too large, too deep or not what it should be is an InputError that says the bound, before it costs much.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from palate.errors import InputError, NotFoundError

MOST_BYTES = 16 << 20
"""The largest file that is read."""

MOST_TOML = 1 << 20
"""The largest TOML text: it is read in Python, a megabyte a second."""

MOST_VALUES = 1_000_000
"""The most values of one document."""

DEEPEST = 200
"""The most levels of nesting; configurations have about ten."""

MOST_DOTS = 100
"""The most parts of a dotted name in TOML: reading one takes the square of them."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)  # gives nothing back, so that it keeps nothing
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_BESIDE_NAMES = re.compile(r"[,=\n\[\]{}]")
_SPACES = str.maketrans("", "", " \t\r")


def read_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """Read a file of UTF-8 text, with or without a byte order mark.

    Raises:
        NotFoundError: there is no such file.
        InputError: it cannot be read, is no UTF-8, or is larger than `most` bytes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: there is no such file.") from error
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be read: {reason}.", todo="Name a file that you may read.") from error
    _refuse_large(len(content), most, str(path))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} cannot be read: it is not UTF-8 text ({error}).", todo="Save it as UTF-8.") from error


def _refuse_large(size: int, most: int, what: str) -> None:
    if size > most:
        raise InputError(
            f"{what} is larger than {most >> 20} MB.",
            why=f"At most {most >> 20} MB are read: what is larger is no document of settings or forecasts.",
        )


def parse_json(text: str, what: str, *, exact: bool = True) -> Any:
    """Read one JSON document.

    Args:
        text: of the document.
        what: names it in what is refused.
        exact: refuse also NaN, infinity and what JSON's own rules leave out; a configuration may hold them.

    Raises:
        InputError: it is no JSON, names something twice, or is larger, deeper or longer than is read.
    """
    _refuse_large(len(text), MOST_BYTES, what)
    _refuse_many(text, what)
    try:
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: _members(pairs, what),
            parse_constant=_no_constant if exact else None,
            parse_float=_finite if exact else None,
        )
    except json.JSONDecodeError as error:
        raise InputError(f"{what} is not a complete JSON document: {error}.", todo="Was it half written?") from error
    except RecursionError as error:
        raise _too_deep(what) from error
    except ValueError as error:  # NaN, an endless number, an int of thousands of digits
        raise InputError(f"{what} holds a number that cannot be used: {str(error).partition(';')[0]}.") from error
    _refuse_deep(text, value, what)
    if _SURROGATE.search(text):
        _refuse_surrogates(value, what)
    return value


def _members(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1} if len(names) < 1000 else {"a name"})
        raise InputError(
            f"{what}: {', '.join(twice)} is given more than once.",
            why="JSON readers would silently take the last.",
            todo="Leave one.",
        )
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is beyond what a number can be")
    return number


_TOML_ASIDE = re.compile(r"""\#[^\n]*|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""", re.DOTALL)
"""Comments and strings of TOML, in which dots are no parts of names."""


def _refuse_many(text: str, what: str) -> None:
    """Refuse too many values before any is made: each but the first stands behind a comma or a bracket."""
    if _marks(text) > MOST_VALUES and _marks(_STRING.sub("", text)) > MOST_VALUES:
        raise InputError(f"{what} holds more than {MOST_VALUES:,} values, which is more than is read.")


def _marks(text: str) -> int:
    return sum(map(text.count, ",[{"))


def _refuse_deep(text: str, value: Any, what: str) -> None:
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise _too_deep(what)
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _too_deep(what: str) -> InputError:
    return InputError(f"{what} is nested deeper than {DEEPEST} levels, which is deeper than any recipe.")


def _refuse_surrogates(value: Any, what: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what} holds half a character (a lone surrogate), which is no text.") from error


def _has_long_name(text: str) -> bool:
    return any(part.count(".") > MOST_DOTS for part in _BESIDE_NAMES.split(text.translate(_SPACES)))


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """Read one TOML document.

    Raises:
        InputError: it is no TOML, or larger, deeper or longer than is read.
    """
    _refuse_large(len(text), MOST_TOML, what)
    if _has_long_name(text) and _has_long_name(_TOML_ASIDE.sub('""', text)):
        raise InputError(f"{what} holds a name of more than {MOST_DOTS} parts, which is more than is read.")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise _too_deep(what) from error
    except ValueError as error:  # tomllib's own, and an int of thousands of digits
        raise InputError(f"{what} is not valid TOML: {error}.") from error
