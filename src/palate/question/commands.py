"""What a command trains, and what of that can be changed: of its Python file, its shell script or its Makefile.

A command of launchers and one Python file has the settings of that file, handed over as it takes them. A shell script
or a Makefile has variables, and passes on what the Python files take that it starts: their constants and variables
always, their flags where it writes `"$@"`.
"""

import hashlib
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from palate.errors import InputError, NotFoundError, PalateError
from palate.question.entries import entry_module, folders_of, is_of_palate, python_program
from palate.question.fingerprint import code_of_file, imports_of, sources_of, versions_of
from palate.question.folder import path_inside, place_of
from palate.question.handover import CommandLine, Handover
from palate.question.launched import ASSIGNED, SHELLS, Launched, refuse_missing, take_apart
from palate.question.source import SEED_NAMES, Source, read_source
from palate.question.started import imported_file, started_file
from palate.question.ways.constants import OF_THE_MACHINE
from palate.question.ways.declared import ABSENT
from palate.question.ways.shell import (
    Makefile,
    Started,
    Variable,
    expanded,
    read_makefile,
    shell_variables,
    started_by,
    takes_words,
)
from palate.recipe.codec import Secret
from palate.recipe.settings import UNSAID, Kind, Typed, fit_type, nearest
from palate.redaction import is_secret, sealed

MOST_TEXT = 1 << 20
"""Bytes of a shell script or a Makefile that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """A Python file that a command starts as it is.

    Attributes:
        file: of the script or the module.
        launched: the command.
        label: what it is called.
        same: whether it is a plain start by the Python that palate runs in.
    """

    file: Path
    launched: Launched
    label: str
    same: bool = False


@dataclass(kw_only=True)
class Script:
    """A shell script, the text of one, a Makefile, or any other program.

    Attributes:
        words: what is started.
        arguments: its own, of both arms.
        label: what it is called.
        file: the script or Makefile; "" for a program of which nothing is known.
        settings, how, kinds, choices, counts, seed_by: as of `Target`.
        code, sources, versions: fingerprints.
        takes_any: whether any name is handed over as a flag.
        open: why what it starts may take settings that were not found; then they are handed over as typed.
        closed: what to type where a setting is not found and it cannot be handed over.
    """

    words: tuple[str, ...]
    arguments: tuple[str, ...]
    label: str
    file: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    how: dict[str, Handover] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)
    choices: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seed_by: Handover | None = None
    code: str = ""
    sources: frozenset[str] = frozenset()
    versions: dict[str, str] = field(default_factory=dict)
    takes_any: bool = False
    open: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()

    def takes_variables(self, variables: Mapping[str, Variable], given: Mapping[str, str], file: str) -> None:
        """Make settings of variables.

        Args:
            variables: by name.
            given: their values on the command line or in the environment.
            file: in which constants are written.
        """
        for name, one in variables.items():
            if OF_THE_MACHINE.search(name):
                continue
            how = {
                "environment": Handover("environment", name),
                "position": Handover("position", str(one.place)),
                "constant": Handover("constant", f"{file}:{name}"),
                "make": Handover("words", f"{name}={{value}}"),
            }[one.by]
            own = given.get(name, one.text) if one.by != "constant" else one.text
            if one.by == "position" and one.place < len(self.arguments):
                own = self.arguments[one.place]
            if name in SEED_NAMES:
                self.seed_by = self.seed_by or how
            elif not (one.by == "constant" and not own):
                self._take(name, ABSENT if own is None else fit_type(None, Typed(own), UNSAID), how)

    def takes_python(self, source: Source, given: Sequence[str], *, passes: bool, inside: str) -> None:
        """Make settings of what a Python file takes that is started inside.

        Args:
            source: the file.
            given: its arguments, as the script writes them.
            passes: whether the script passes its own on.
            inside: the file, seen from the script; "" where it cannot be written for a run.
        """
        own = list(self.arguments) if passes else []
        self.open += source.unread if passes else ()
        known, unknown = _known_words(given)
        line = CommandLine.read(source, [*known, *own])
        fixed = {one.lstrip("-").partition("=")[0] for one in given if one.startswith("-")}
        declared = [*source.settings.items(), *([(source.seed_name, source.seed)] if source.seed is not None else [])]
        for name, one in declared:
            how = _through(line.handover(name, one, name), passes=passes, inside=inside)
            if how is None:
                continue
            if name == source.seed_name:
                set_there = how.by == "flag" and how.name.lstrip("-") in fixed and "PALATE_SEED" in " ".join(given)
                self.seed_by = self.seed_by or (None if set_there else how)
            elif self._take(name, ABSENT if how.name in unknown else line.settings.get(name, one.value), how):
                self.kinds |= {name: one.kind} if one.kind != UNSAID else {}
                self.choices |= {name: one.choices} if one.choices else {}
                self.counts |= {name: one.count} if one.count is not None else {}

    def _take(self, name: str, value: Any, how: Handover) -> bool:
        if name in self.how:
            return False
        self.settings[name], self.how[name] = value, how
        return True


def _known_words(given: Sequence[str]) -> tuple[list[str], set[str]]:
    """Return the arguments that a script writes out, and the flags whose values only a run of it knows."""
    known, unknown = list[str](), set[str]()
    for word in given:
        if "$" not in word:
            known.append(word)
        elif word.startswith("-"):
            unknown.add(word.partition("=")[0])
        elif known and known[-1].startswith("-"):
            unknown.add(known.pop())
    return known, unknown


def _through(how: Handover, *, passes: bool, inside: str) -> Handover | None:
    """Return how a setting of a Python file is handed over that a script starts; None where it cannot be."""
    if how.by == "constant":
        file = Path(inside)
        named = how.name if ":" in how.name else f"{file.name}:{how.name}"
        return replace(how, name=str(file.parent / named)) if inside else None
    if how.by in ("flag", "override", "words"):
        return replace(how, at=None) if passes else None
    return how if how.by in ("environment", "settings") else None


def read_command(words: list[str], here: Path) -> Python | Script:
    """Find what a command trains.

    Args:
        words: as typed.
        here: the folder that it is started in.

    Raises:
        NotFoundError: a program, a script, a module or a make target is not there.
        InputError: it does not say what is trained.
    """
    if words[:1] == ["time"] and shutil.which("time") is None:  # a word of the shell's: it changes nothing that is run
        words = words[1:]
    launched = take_apart(words)
    _refuse_programs(launched, here)
    if launched.what in ("script", "module"):
        return _python(launched, here)
    if launched.what == "make":
        return _of_make(launched, here)
    if launched.what in ("shell", "text"):
        return _of_shell(launched, here)
    return _of_program(launched, here)


def _refuse_programs(launched: Launched, here: Path) -> None:
    """Refuse a program at the front of a command, and one behind launchers of this environment, that is not there."""
    words = list(launched.words)
    while words and ASSIGNED.fullmatch(words[0]):
        words.pop(0)
    files = [path.name for path in here.glob("*") if path.suffix in (".py", ".sh")]
    refuse_missing([*words, *launched.arguments], files, str(Path(sys.executable).parent))


def started(words: Sequence[str]) -> tuple[str, ...]:
    """Return words as a program is started with them: variables in front go behind `env`; `time` is often a shell's."""
    words = list(words)
    if words and ASSIGNED.fullmatch(words[0]):
        words = ["env", *words]
    return tuple(words)


def _python(launched: Launched, here: Path) -> Python:
    same = launched.bare and not launched.launchers and not launched.variables and is_of_palate(launched.python)
    if launched.what == "script":
        file = _script_file(launched, here)
        return Python(file=file, launched=launched, label=file.stem, same=same and file.suffix == ".py")
    interpreter = launched.python or _interpreter(launched)
    found = started_file(launched.name, [here, *folders_of(interpreter)])
    if found is None:
        raise NotFoundError(
            f"There is no module {launched.name} in {here}, nor in the environment of {interpreter or 'the command'}.",
            why="Its file is read for its settings.",
            todo="Call palate in the folder from which the command works, or name the file instead of -m.",
        )
    same = same and is_in_project(found, here) and found == started_file(launched.name, [here])
    return Python(file=found, launched=launched, label=launched.name.split(".")[-1], same=same)


def _interpreter(launched: Launched) -> str:
    """Return the Python that a launcher which is a Python program is executed by."""
    for name in reversed(launched.launchers):
        found = python_program(name.split()[0])
        if found is not None:
            return found.python
    return "python"


def _script_file(launched: Launched, here: Path) -> Path:
    file = here / launched.name
    if file.is_file():
        return file
    near = nearest(launched.name, [path.name for path in here.glob("*.py")])
    first = shlex.join(launched.words[:-1])
    raise NotFoundError(
        f"{launched.name}: there is no such file, and {first or 'the command'} would start it{near}",
        why="The script stands behind the launcher's options, and its own arguments behind the script.",
        todo=f"palate run -c name=value -- {first} train.py",
    )


def _of_program(launched: Launched, here: Path) -> Python | Script:
    """Find what a program is: a console entry point, an executable script, or anything else."""
    found = python_program(launched.name) if not launched.python else None
    if found is not None:
        module = entry_module(launched.name, found)
        path = Path(shutil.which(launched.name) or launched.name)
        code = imported_file(module, folders_of(found.python)) if module else path
        if code is not None:
            return Python(file=code, launched=launched, label=Path(launched.name).name)
    path = Path(shutil.which(launched.name) or here / launched.name)
    if _is_shell(path):
        return _of_shell(launched, here)
    known = path.is_file() and path_inside(str(path.absolute()), str(here)) is not None
    label = Path(launched.name).name
    return Script(
        words=started(launched.words),
        arguments=launched.arguments,
        label=label,
        code=hashlib.sha256(path.read_bytes()).hexdigest() if known else _hash_of_words(launched.words),
        takes_any=True,
    )


def _hash_of_words(words: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def _is_shell(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            first = file.readline(200).decode("utf-8", "replace")
    except OSError:
        return False
    return first.startswith("#!") and any(Path(word).name in SHELLS for word in first[2:].split())


def _of_shell(launched: Launched, here: Path) -> Script:
    if launched.what == "text":
        own, arguments = _called_and_given(launched)
        made = Script(words=started((*launched.words, *own)), arguments=arguments, label="command")
        return read_shell(made, launched.name, None, here, launched.variables)
    path = here / launched.name
    if not path.is_file():
        raise NotFoundError(
            f"{launched.name}: there is no such file.", todo=f"palate run -c name=value -- {launched.words[0]} train.sh"
        )
    made = Script(words=started(launched.words), arguments=launched.arguments, label=path.stem)
    return read_shell(made, _text_of(path), path, here, launched.variables)


def _called_and_given(launched: Launched) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what the text of a `bash -c` is called, which is its first word and `$0` there, and its arguments.

    Where none is typed, it is what the shell calls it, so that what is handed over is not taken for that.
    """
    if launched.arguments or not takes_words(launched.name):
        return launched.arguments[:1], launched.arguments[1:]
    shells = [word for word in launched.words[:-1] if Path(word).name in SHELLS]
    return tuple(shells[-1:]), ()


def read_shell(made: Script, text: str, path: Path | None, here: Path, variables: Mapping[str, str]) -> Script:
    """Add to a command what a shell script says.

    Args:
        made: the command.
        text: of the script.
        path: of the script; None where it is the text of `bash -c`.
        here: the folder that it is started in.
        variables: that stand in front of the command.
    """
    top = path.absolute().parent if path is not None else here.absolute()
    made.file = os.path.normpath(path.absolute()) if path is not None else ""
    found = shell_variables(text)
    if path is None:  # nothing is written into a text on the command line
        found = {name: one for name, one in found.items() if one.by == "environment"}
    given = {name: value for name in found if (value := variables.get(name, os.environ.get(name))) is not None}
    made.takes_variables(found, given, Path(made.file).name)
    values = {name: one.text for name, one in found.items() if one.text is not None}
    codes = [hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()]
    passed = False
    for one in started_by(text, {**values, **{name: given[name] for name in values if name in given}}):
        passed |= one.passes and not _started_python(one, top, here)
        codes += _take_started(made, one, top, here)
    any_flag = passed or (takes_words(text) and not any(how.by == "flag" for how in made.how.values()))
    made.takes_any = any_flag and not any(one.by == "position" for one in found.values())
    made.code = codes[0] if len(codes) == 1 else hashlib.sha256("\n".join(codes).encode()).hexdigest()
    name = path.name if path is not None else "The text"
    if not takes_words(text):
        made.closed = (
            f'{name} passes no arguments on. Write "$@" behind its program:  python train.py "$@"',
            "Or take it from a variable there:  LR=${LR:-0.1}",
        )
    return made


def _take_started(made: Script, one: Started, top: Path, here: Path) -> list[str]:
    """Take over what a Python file that is started takes; return the hash of its code."""
    file = _started_python(one, top, here)
    if file is None:
        return []
    launched = take_apart(one.words)
    try:
        source = read_source(file, [*launched.arguments, *made.arguments])
        made.versions |= versions_of(imports_of(source))
        inside = path_inside(os.path.normpath(file.absolute()), str(top)) or ""
        made.takes_python(source, launched.arguments, passes=one.passes, inside=inside)
        made.sources |= sources_of(source)
        return [code_of_file(source, "")]
    except PalateError:  # not a Python file that can be read: the run says so
        return []


def _started_python(one: Started, top: Path, here: Path) -> Path | None:
    """Return the Python file that words start; None where it is not that, or not there."""
    try:
        launched = take_apart(one.words)
    except InputError:
        return None
    if launched.what == "module":
        return started_file(launched.name, [here, top])
    if launched.what != "script" or not launched.name.endswith(".py"):
        return None
    name = expanded(launched.name, {})
    places = (here / name, top / name, top / Path(name).name)
    return next((one for one in places if one.is_file()), None)


_MAKE_VALUES = ("-C", "--directory", "-f", "--file", "--makefile", "-I", "-o", "-W", "-j", "-l", "--eval", "-E")


def _of_make(launched: Launched, here: Path) -> Script:
    begin = next(place for place, word in enumerate(launched.words) if Path(word).name == launched.name) + 1
    folder, named, targets, given = _make_words(launched.words[begin:])
    top = here / folder
    path = next(
        (top / one for one in (named or ("GNUmakefile", "makefile", "Makefile")) if (top / one).is_file()), None
    )
    made = Script(
        words=started(launched.words), arguments=(), label=targets[0] if targets else path.stem if path else "make"
    )
    made.label = made.label.replace("/", "-")
    if path is None:
        raise NotFoundError(
            f"make: there is no {named[0] if named else 'Makefile'} in {top}.",
            todo="palate run -c LR=0.3 -- make -C FOLDER TARGET",
        )
    text = _text_of(path)
    read = read_makefile(text)
    _refuse_target(read, targets, top)
    made.file = os.path.normpath(path.absolute())
    conditional = {n: v for n in read.variables if (v := given.get(n, launched.variables.get(n))) is not None}
    made.takes_variables(read.variables, conditional, path.name)
    codes = [hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()]
    for one in read.started(targets, given):
        codes += _take_started(made, one, top.absolute(), top)
    made.code = hashlib.sha256("\n".join(codes).encode()).hexdigest()
    made.closed = ("Make it a variable of the Makefile:  LR ?= 0.1   and  python train.py --lr $(LR)",)
    return made


def _make_words(words: Sequence[str]) -> tuple[str, list[str], list[str], dict[str, str]]:
    """Return make's folder, its files, its targets and its variables."""
    folder, files, targets, given = "", list[str](), list[str](), dict[str, str]()
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if word[:2] in ("-C", "-f") and len(word) > 2 and not word.startswith("--"):
            name, value, equals = word[:2], word[2:], "="
        if name in _MAKE_VALUES and not equals:
            value = waiting.pop(0) if waiting and (name not in ("-j", "-l") or waiting[0].isdigit()) else ""
        if name in ("-C", "--directory"):
            folder = str(Path(folder, value))
        elif name in ("-f", "--file", "--makefile"):
            files.append(value)
        elif not word.startswith("-") and equals:
            given[name.rstrip(":?")] = value
        elif not word.startswith("-"):
            targets.append(word)
    return folder, files, targets, given


def _refuse_target(read: Makefile, targets: Sequence[str], top: Path) -> None:
    lost = [one for one in targets if one not in read.rules and not (top / one).exists()]
    if lost and read.whole:
        known = [name for name in read.rules if not name.startswith(".")]
        raise NotFoundError(
            f"make: there is no target {lost[0]}{nearest(lost[0], known)}",
            why=f"The Makefile has: {', '.join(known[:20])}.",
            todo=f"palate run -c name=value -- make {known[0] if known else 'TARGET'}",
        )


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MOST_TEXT).decode("utf-8", "surrogateescape")


def is_in_project(file: Path, here: Path) -> bool:
    """Return whether a run has a file of its own in the place of this one, into which another value can be written."""
    return path_inside(os.path.normpath(file.absolute()), place_of(here, Path()).root) is not None


def refuse_kept(found: Python | Script) -> None:
    """Refuse a command with a secret in front of what is trained: the words that start a run are kept with it.

    Raises:
        InputError: it has one.
    """
    words = started(found.launched.words) if isinstance(found, Python) else found.words
    for word, kept in zip(words, sealed("", words), strict=True):
        assigned = ASSIGNED.fullmatch(word)
        if isinstance(kept, Secret) or (assigned and is_secret(assigned[1], assigned[2])):
            raise InputError(
                f"{assigned[1] if assigned else 'A word of the command'} is a secret, and a run keeps what started it.",
                todo="Export it in the shell instead, where the command finds it:  export NAME=...",
            )
