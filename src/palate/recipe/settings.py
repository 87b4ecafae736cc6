"""Settings by name, and the changes that a person declares against them."""

import ast
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palate.errors import SettingError
from palate.recipe.codec import Opaque, Secret, Symbol, Tensor, Unread, content_id, encode

Settings = Mapping[str, Any]
"""The settings of a recipe, by name."""

_WORDS = {"true": True, "false": False, "none": None, "null": None}
_MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting that the treatment has different from the baseline."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        before, after = (show_value(value, digits=9) for value in (self.before, self.after))
        return f"{self.path} {before} -> {after}"


def recipe_id(settings: Settings) -> str:
    """Return the id of a recipe: a hash of its values alone, whatever their order or origin."""
    return content_id(dict(settings))


def show_value(value: object, digits: int = 6) -> str:
    """Write a value as a person would type it; a float with at most `digits` significant digits."""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return str(value) if isinstance(value, str | Unread | Symbol | Tensor | Secret | Opaque) else repr(value)


def parse_value(text: str) -> Any:
    """Read a value that was typed: true, false, none, a Python literal, else the text itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Read texts of the form `name=value`.

    Raises:
        SettingError: a text has no name or no `=`, or a name has two different values. Lists all faults.
    """
    assigned: dict[str, Any] = {}
    faults: list[str] = []
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().lstrip("-").strip()
        if not equals or not name:
            faults.append(f"{text!r} has no name=value.")
        elif name in assigned and encode(assigned[name]) != encode(parse_value(value)):
            faults.append(f"{name} is given twice: {show_value(assigned[name])} and {value}.")
        else:
            assigned[name] = parse_value(value)
    if faults:
        raise SettingError("The change cannot be read.", why=faults, todo="Write it as: -c lr=3e-3")
    return assigned


def apply_changes(known: Settings, assigned: Mapping[str, Any], *, flag: str = "-c") -> tuple[Change, ...]:
    """Check assignments against the settings that exist; return the changes, those without effect included.

    A whole number becomes a float if the setting is a float, so `lr=1` and `lr=1.0` are the same recipe.

    Raises:
        SettingError: a name does not exist (with the nearest that does), or a value has another type.
    """
    faults = [fault for name, value in assigned.items() if (fault := _fault(known, name, value, flag))]
    if faults:
        raise SettingError(
            "The change does not fit this experiment.",
            why=faults,
            todo=f"It has: {', '.join(known) or 'no settings'}",
        )
    return tuple(
        Change(path=name, before=known[name], after=fit_type(known[name], value)) for name, value in assigned.items()
    )


def _fault(known: Settings, name: str, value: object, flag: str) -> str | None:
    before = known.get(name, _MISSING)
    if before is _MISSING:
        return f"{flag} {name}: there is no such setting{nearest(name, known)}"
    after = fit_type(before, value)
    plain = (bool, int, float, str)
    if type(before) in plain and after is not None and type(after) is not type(before):
        return f"{flag} {name}={show_value(value)}: {name} is {_a(before)} ({show_value(before)}), not {_a(after)}"
    return None


def _a(value: object) -> str:
    names = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}
    return names.get(type(value).__name__, f"a {type(value).__name__}")


def fit_type(before: object, after: Any) -> Any:
    """Convert a new value to the type that the setting has now, if nothing is lost."""
    if isinstance(before, float) and isinstance(after, int) and not isinstance(after, bool):
        return float(after)
    if isinstance(before, str) and isinstance(after, int | float | bool | None) and not isinstance(after, str):
        return show_value(after)
    if isinstance(before, tuple) and isinstance(after, list):
        return tuple(after)
    return after


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a suggestion for a mistyped name: `; did you mean x?`, or nothing if no known name is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def with_changes(settings: Settings, changes: Sequence[Change]) -> dict[str, Any]:
    """Return the settings after the changes."""
    return {**settings, **{change.path: change.after for change in changes}}


def differences(baseline: Settings, treatment: Settings) -> tuple[Change, ...]:
    """Return every setting in which two recipes differ; `<not set>` stands for a setting that one of them lacks."""
    absent = Unread(type="absent", text="<not set>")
    return tuple(
        Change(path=name, before=baseline.get(name, absent), after=treatment.get(name, absent))
        for name in dict.fromkeys((*baseline, *treatment))
        if encode(baseline.get(name, absent)) != encode(treatment.get(name, absent))
    )
