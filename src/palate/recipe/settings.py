"""Settings by name, and the changes that a person declares against them."""

import ast
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from palate.errors import SettingError
from palate.recipe.codec import Opaque, Secret, Symbol, Tensor, Unread, content_id, encode

Settings = Mapping[str, Any]
"""The settings of a recipe, by name."""

_WORDS = {"true": True, "false": False, "none": None, "null": None}


KindName = Literal["", "bool", "int", "float", "str"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting takes, where its declaration says it.

    Attributes:
        name: the type of its value, or of its values; "" where nobody says, and its value of now tells.
        optional: whether None is a value of its own, though it is text.
        many: whether it takes several values.
    """

    name: KindName = ""
    optional: bool = False
    many: bool = False


UNSAID = Kind()
"""What a setting takes whose declaration says nothing of it."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A value as it was typed: only its setting tells whether `1.10` is a number or text."""

    text: str

    def __str__(self) -> str:
        return self.text


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


def read_typed(text: str, before: object, kind: Kind) -> Any:
    """Read a value that was typed, as what its setting takes: text stays as it is typed.

    Args:
        text: what was typed.
        before: the setting's value of now, whose type counts where the declaration says none.
        kind: what the declaration says.

    >>> read_typed("1.10", "1.9", Kind()), read_typed("1.10", 1.9, Kind()), read_typed(".1", 0, Kind("float"))
    ('1.10', 1.1, 0.1)
    """
    if kind.many and text[:1] in ("[", "("):
        inner = text.strip()[1:-1].strip().rstrip(",")
        parts = [part.strip() for part in inner.split(",")] if inner else []
        return [_read_one(part.strip("'\""), None, kind) for part in parts]
    return _read_one(text, before, kind)


def read_verbatim(text: str) -> Any:
    """Read what a program that nobody can look into is given: a number only where it is written just so, else text."""
    value = parse_value(text)
    plain = isinstance(value, list | tuple) or (type(value) in (int, float) and repr(value) == text)
    return value if plain else text


def _read_one(text: str, before: object, kind: Kind) -> Any:
    name = kind.name or kind_of(before)
    if name == "str":
        return None if kind.optional and text.lower() in ("none", "null") else text
    if name in ("int", "float"):
        try:
            return int(text) if name == "int" else float(text)
        except ValueError:
            pass
    return parse_value(text)


def kind_of(value: object) -> KindName:
    """Return what a value of now says of what its setting takes."""
    name = type(value).__name__
    return name if name in _PLAIN else ""  # type: ignore[return-value]


def parse_assignments(texts: Iterable[str]) -> dict[str, Typed]:
    """Read texts of the form `name=value`; what a value is, its setting tells.

    Raises:
        SettingError: a text has no name or no `=`, or a name has two different values. Lists all faults.
    """
    assigned: dict[str, Typed] = {}
    faults: list[str] = []
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().lstrip("-").strip()
        if not equals or not name:
            faults.append(f"{text!r} has no name=value.")
        elif name in assigned and encode(parse_value(assigned[name].text)) != encode(parse_value(value)):
            faults.append(f"{name} is given twice: {assigned[name]} and {value}.")
        else:
            assigned[name] = Typed(value)
    if faults:
        raise SettingError("The change cannot be read.", why=faults, todo="Write it as: -c lr=3e-3")
    return assigned


def apply_changes(
    known: Settings, assigned: Mapping[str, Any], *, flag: str = "-c", kinds: Mapping[str, Kind] | None = None
) -> tuple[Change, ...]:
    """Check assignments against the settings that exist; return the changes, those without effect included.

    A whole number becomes a float if the setting is a float, so `lr=1` and `lr=1.0` are the same recipe.

    Args:
        known: the settings that exist.
        assigned: values by name: as they were typed, or as they are.
        flag: how a change is declared, for the words of a refusal.
        kinds: what settings take, where their declarations say it; the type of the value of now counts else.

    Raises:
        SettingError: a name does not exist (with the nearest that does), or a value has another type.
    """
    told = {name: kind_told(known[name], (kinds or {}).get(name, UNSAID)) for name in known}
    faults = [fault for name, value in assigned.items() if (fault := _fault(known, told, name, value, flag))]
    if faults:
        raise SettingError(
            "The change does not fit this experiment.",
            why=faults,
            todo=f"It has: {', '.join(known) or 'no settings'}",
        )
    return tuple(
        Change(path=name, before=known[name], after=fit_type(known[name], value, told[name]))
        for name, value in assigned.items()
    )


def kind_told(before: object, kind: Kind) -> Kind:
    """Return what a setting takes where its declaration does not say it but its value of now is several texts."""
    texts = isinstance(before, list | tuple) and before and all(isinstance(one, str) for one in before)
    return replace(kind, name="str", many=True) if texts and not kind.name else kind


def _fault(known: Settings, kinds: Mapping[str, Kind], name: str, value: object, flag: str) -> str | None:
    if name not in known:
        return f"{flag} {name}: there is no such setting{nearest(name, known)}"
    before, kind = known[name], kinds[name]
    after, wanted = fit_type(before, value, kind), kind.name or kind_of(before)
    values = after if kind.many and isinstance(after, list | tuple) else [after]
    if not wanted or after is before or all(one is None or kind_of(one) == wanted for one in values):
        return None
    whole = not kind.name and wanted == "int" and isinstance(after, float)
    hint = f"; if fractions are meant, give it the default {before}.0, or declare it a float" if whole else ""
    typed = value if isinstance(value, Typed) else show_value(value)
    return f"{flag} {name}={typed}: {name} is {_PLAIN[wanted]} ({show_value(before)}), not {_a(after)}{hint}"


_PLAIN = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}


def _a(value: object) -> str:
    return _PLAIN.get(type(value).__name__, f"a {type(value).__name__}")


def fit_type(before: object, value: Any, kind: Kind = UNSAID) -> Any:
    """Return a new value as what its setting takes, if nothing is lost.

    Args:
        before: the setting's value of now.
        value: as it was typed, or as it is.
        kind: what the setting's declaration says of it.
    """
    after = read_typed(value.text, before, kind) if isinstance(value, Typed) else value
    if isinstance(after, list | tuple) and (kind.many or isinstance(before, tuple)):
        fitted = [_fit_one(one, kind.name) for one in after]
        return tuple(fitted) if isinstance(before, tuple) else fitted
    after = _fit_one(after, kind.name or kind_of(before))
    same = isinstance(before, int) and isinstance(after, float) and after == before and not isinstance(before, bool)
    return before if same else after


def _fit_one(value: Any, wanted: KindName) -> Any:
    if wanted == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return show_value(value) if wanted == "str" and isinstance(value, int | float) else value


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """Return a suggestion for a mistyped name: `; did you mean x?`, or nothing if no known name is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
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
