"""How a setting, or the seed, is handed over to what is run, and how what stands on its command line is read."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, Self

from palate.errors import InputError
from palate.question.source import Source
from palate.question.ways.constants import SEEDING
from palate.question.ways.declared import ABSENT, Declared
from palate.recipe.settings import Typed, fit_type, kind_told, parse_value, show_value

SWITCHES = ("store_true", "store_false", "optional", "negated")
_PLACED = re.compile(r"@(\d+)$")
_UNQUOTED = re.compile(r"[\w./+-][\w./:+-]*")


@dataclass(frozen=True, slots=True)
class Handover:
    """How a setting, or the seed, is handed over to what is run.

    Attributes:
        by: as a function's parameter, through palate.settings(), as a constant of a file, as a flag, as an override
            (`optim.lr=0.1`), as an environment variable, as the word at a place of the command line, as words with
            the value in them, or by turning a knob of the training while it goes ("season").
        name: the flag as it is typed (`--lr`), the constant that holds it (`config.py:Config.lr`), the override, the
            variable, the place, the words (`--gin_bindings=train.lr={literal}`), or the knob and the step (`lr@900`).
        action: what a flag does: "store_true" and "store_false" take no value, "optional" is --x and --no-x, "negated"
            is that with dots (--opt.no-x), "bool" is `type=bool`, "apart" has its value as a word of its own, "append"
            is repeated for each value, "comma" takes them in one word, "literal" and "yaml" write them as such.
        at: the place on the command line in front of which it stands; None for its end.
    """

    by: Literal["parameter", "settings", "constant", "flag", "season", "override", "environment", "position", "words"]
    name: str = ""
    action: str = ""
    at: int | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Read it as it is written: `parameter`, `constant seed`, `--lr`, `--amp:store_true`, `-b:apart@2`."""
        if text.startswith("-"):
            placed = _PLACED.search(text)
            flag, _, action = text[: placed.start() if placed else None].partition(":")
            return cls("flag", flag, action, int(placed[1]) if placed else None)
        by, _, name = text.partition(" ")
        return cls(by, name)  # type: ignore[arg-type]

    @classmethod
    def of(cls, declared: Declared, name: str = "") -> Self:
        """Return how a declared setting is handed over.

        Args:
            declared: the setting.
            name: of the constant, where that is not the setting's own.
        """
        if declared.how == "flag":
            return cls.read(declared.flag)
        return cls(declared.how, declared.flag or name)

    def __str__(self) -> str:
        if self.by == "flag":
            placed = "" if self.at is None else f"@{self.at}"
            return f"{self.name}:{self.action}{placed}" if self.action else f"{self.name}{placed}"
        return f"{self.by} {self.name}" if self.name else self.by

    @property
    def words(self) -> str:
        """How it is handed over, as a person would say it."""
        if self.by == "flag":
            shown = self.name if self.action in SWITCHES else f"{self.name}=VALUE"
            return f"{self.name} VALUE" if self.action == "apart" else shown
        if self.by == "position":
            return f"word {int(self.name) + 1} of the command line"
        return {
            "override": f"{self.name}=VALUE",
            "environment": f"the variable {self.name}",
            "words": self.name.replace("{literal}", "VALUE").replace("{value}", "VALUE"),
            "constant": f"written into {self._written_into()}",
            "settings": "palate.settings()",
            "parameter": "a parameter",
        }.get(self.by, self.by)

    def _written_into(self) -> str:
        file = self.name.rpartition(":")[0] or "the script"
        return f"the calls that seed {file}" if self.name.endswith(SEEDING) else file

    def as_arguments(self, value: Any) -> list[str]:
        """Write a value as command line arguments; none for another way, or where leaving the flag out says it."""
        if self.by == "override":
            return [f"{self.name}={_as_yaml(value)}"]
        if self.by == "words":
            shown = repr(value)
            return [self.name.replace("{literal}", shown).replace("{value}", _plain(value))]
        return self._as_flag(value) if self.by == "flag" else []

    def _as_flag(self, value: Any) -> list[str]:
        if self.action in ("optional", "negated"):
            return [self.name if value else self._negated()]
        if self.action in ("store_true", "store_false"):
            return [self.name] if value is (self.action == "store_true") else []
        several = isinstance(value, tuple | list)
        if self.action in ("literal", "yaml"):
            return [f"{self.name}={_plain(value) if self.action == 'literal' else _as_yaml(value, quoted=False)}"]
        if self.action == "comma" and several:
            return [f"{self.name}={','.join(map(_plain, value))}"]
        if self.action == "append":
            return [f"{self.name}={_plain(one)}" for one in (value if several else [value])]
        if several:
            return [self.name, *map(_plainly, value)]
        text = _plain(value)
        return [self.name, text] if self.action == "apart" else [f"{self.name}={text}"]  # argparse: -1e-5 is a flag

    def _negated(self) -> str:
        """Return the flag that turns a switch off."""
        if self.action == "optional":
            return f"--no-{self.name.lstrip('-')}"
        head, dot, last = self.name.lstrip("-").rpartition(".")
        return f"--{head}{dot}no-{last}"

    @property
    def spellings(self) -> tuple[str, ...]:
        """What stands for it on a command line."""
        return (self.name, self._negated()) if self.action in ("optional", "negated") else (self.name,)


def _plain(value: Any) -> str:
    return repr(value) if isinstance(value, float) else show_value(value)


def _plainly(value: Any) -> str:
    """Write one of several values; a float without an exponent, as argparse takes -1e-05 for a flag."""
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else show_value(value)


def _as_yaml(value: Any, *, quoted: bool = True) -> str:
    """Write a value as YAML in a word: true, null, [1, 2]; in quotes what Hydra would read as something else."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_as_yaml(one) for one in value)}]"
    said = isinstance(value, str) and quoted
    if said and not (_UNQUOTED.fullmatch(value) and isinstance(parse_value(value), str)):
        inner = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{inner}'"
    return _plain(value)


def handed_as_typed(name: str, others: Sequence[Handover]) -> Handover:
    """Return how a setting that was not found is handed over: as typed, in the manner of the script's other options."""
    if any(how.by == "override" for how in others) or name.startswith("+"):
        return Handover("override", name)
    flags = [how.name.lstrip("-") for how in others if how.by == "flag"]
    dashed = any("-" in flag for flag in flags) and not any("_" in flag for flag in flags)
    return Handover("flag", f"--{name.replace('_', '-') if dashed else name}")


def handover_named(name: str, text: str) -> Handover:
    """Return how a setting is handed over that is named in pyproject.toml.

    Args:
        name: of the setting.
        text: `--optim.lr`, `-b`, `optim.lr=` for an override, `$LR` for a variable, or words with {value} in them.

    Raises:
        InputError: it is none of these.

    >>> [str(handover_named("lr", text)) for text in ("--optim.lr", "optim.lr=", "$LR")]
    ['--optim.lr', 'override optim.lr', 'environment LR']
    """
    one_word = bool(text) and not any(letter.isspace() for letter in text)
    if one_word and ("{value}" in text or "{literal}" in text):
        return Handover("words", text)
    if one_word and text.startswith("-") and "=" not in text:
        return Handover("flag", text, "" if text.startswith("--") else "apart")
    if one_word and text.startswith("$") and text[1:].isidentifier():
        return Handover("environment", text[1:])
    if one_word and text.endswith("=") and not text.startswith("-"):
        return Handover("override", text[:-1])
    raise InputError(
        f"pyproject.toml, [tool.palate.settings]: {name} = {text!r} does not say how it is handed over.",
        why='It is a flag ("--optim.lr", "-b"), an override ("optim.lr="), a variable ("$LR"), or words with {value}.',
        todo=f'{name} = "--{name}"',
    )


def refuse_seed(source: Source, arguments: Sequence[str]) -> None:
    """Refuse a command line that sets the seed.

    Raises:
        InputError: it does.
    """
    seed = source.seed
    how = Handover.of(seed) if seed is not None else None
    named = how is not None and how.by in ("flag", "override")
    spelled = (how.name, *seed.aliases) if how is not None and seed is not None else ()
    if how is not None and named and any(text.partition("=")[0] in spelled for text in arguments):
        raise InputError(
            f"{how.name} is set by palate: a seed for each pair.",
            why="With one seed for all runs there would be one run.",
            todo=f"Leave {how.name} out.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """What a script's command line says.

    Attributes:
        settings: with the values that stand on it.
        argv: with switches by their whole names, so that an arm can leave them out.
        rest: what no declared setting takes.
        places: where each positional argument stands in `argv`.
        command: where the subcommand stands in it; None where there is none.
    """

    settings: dict[str, Any]
    argv: list[str]
    rest: list[str]
    places: dict[str, int]
    command: int | None

    @classmethod
    def read(cls, source: Source, arguments: Sequence[str]) -> Self:
        """Read the declared options out of a command line.

        Raises:
            InputError: a flag with `type=bool` is turned off, which argparse cannot do.
        """
        declared = source.settings if source.seed is None else {**source.settings, source.seed_name: source.seed}
        made = cls(
            settings={name: setting.value for name, setting in source.settings.items()},
            argv=[],
            rest=[],
            places={},
            command=None,
        )
        waiting, free = list(arguments), list[int]()
        flags = {name: setting for name, setting in source.settings.items() if setting.how == "flag"}
        while waiting:
            word = waiting.pop(0)
            name, value = _flag_of(word, flags)
            if name is not None:
                made._take_flag(name, word, value, flags[name], waiting)
            elif word in source.commands and made.command is None:
                made = replace(made, command=len(made.argv))
                made.argv.append(word)
                made.rest.append(word)
            elif not made._take_override(word, declared):
                free += [] if word.startswith("-") else [len(made.argv)]
                made.argv.append(word)
                made.rest.append(word)
        made._take_places(declared, free)
        made.settings.pop(source.seed_name, None)
        return made

    def _take_flag(self, name: str, word: str, value: str | None, flag: Declared, waiting: list[str]) -> None:
        how = Handover.of(flag)
        before = self.settings.get(name)
        if how.action in SWITCHES:
            on = how.action == "store_true" or (how.action in ("optional", "negated") and word == how.name)
            self.settings[name] = on
            self.argv.extend(how.as_arguments(on))
            return
        alone = how.action == "literal" and value is None and flag.kind.name == "bool" and not _is_truth(waiting)
        words = ["true"] if alone else [value] if value is not None else _values(waiting, flag.count)
        self.settings[name] = _read_words(words, before, flag, how)
        self.argv.extend([word] if value is not None or alone else [word, *words])

    def _take_override(self, word: str, declared: Mapping[str, Declared]) -> bool:
        name, equals, text = word.partition("=")
        one = declared.get(name)
        if not equals or one is None or one.how != "override":
            return False
        self.settings[name] = fit_type(self.settings.get(name), Typed(text), one.kind)
        self.argv.append(word)
        return True

    def _take_places(self, declared: Mapping[str, Declared], free: list[int]) -> None:
        """Give the words that no flag takes to the positional arguments, in their order."""
        named = [(name, one) for name, one in declared.items() if one.how == "position"]
        for place, (name, one) in enumerate(sorted(named, key=lambda pair: int(pair[1].flag))):
            if place < len(free):
                word = self.argv[free[place]]
                self.places[name] = free[place]
                self.settings[name] = fit_type(None if one.value is ABSENT else one.value, Typed(word), one.kind)
                self.rest.remove(word)
            else:
                self.places[name] = len(self.argv) + place - len(free)

    def handover(self, name: str, declared: Declared, constant: str = "") -> Handover:
        """Return how a setting is handed over where this is the command line."""
        how = Handover.of(declared, constant)
        if how.by == "position":
            return Handover("position", str(self.places[name]))
        return replace(how, at=self.command) if declared.owner == "" and how.by == "flag" else how


def _is_truth(waiting: list[str]) -> bool:
    return bool(waiting) and isinstance(parse_value(waiting[0]), bool)


def _flag_of(word: str, flags: Mapping[str, Declared]) -> tuple[str | None, str | None]:
    """Find the setting of a word of a command line, by a flag's whole name or a start that only it has.

    Returns:
        the setting, None where there is none; and the value behind `=`, None where there is none.
    """
    text, equals, value = word.partition("=")
    spelled = {
        spelling: name
        for name, setting in flags.items()
        for spelling in (*Handover.of(setting).spellings, *setting.aliases)
    }
    starting = {name for spelling, name in spelled.items() if text.startswith("--") and spelling.startswith(text)}
    name = spelled.get(text) or (starting.pop() if len(starting) == 1 and len(text) > 2 else None)
    return name, value if equals else None


def _values(waiting: list[str], count: int | None) -> list[str]:
    """Take a flag's values from a command line: so many, or all up to the next flag."""
    most = len(waiting) if count == -1 else count or 1
    stop = next((place for place, word in enumerate(waiting) if count == -1 and word.startswith("--")), most)
    taken, waiting[:] = waiting[:stop], waiting[stop:]
    return taken


def _read_words(words: list[str], before: Any, flag: Declared, how: Handover) -> Any:
    if how.action == "bool" and words and not parse_value(words[0]) and words[0]:
        raise InputError(f"{how.name} {words[0]}: {reads_any_text(how.name)}.")
    kind = kind_told(before, flag.kind)
    if flag.count is not None:
        return [fit_type(None, Typed(word), replace(kind, many=False)) for word in words]
    if how.action in ("append", "comma") and words:
        parts = words[0].split(",") if how.action == "comma" else words
        more = [fit_type(None, Typed(part), replace(kind, many=False)) for part in parts]
        return [*before, *more] if how.action == "append" and isinstance(before, list) else more
    return fit_type(before, Typed(words[0]), flag.kind) if words else before


def reads_any_text(flag: str) -> str:
    """Say why a flag with `type=bool` cannot be turned off, and what to write instead."""
    return (
        f"{flag} has type=bool, and bool('false') is True: the script would read any text as True; "
        f"declare it with action=argparse.BooleanOptionalAction instead of type=bool"
    )
