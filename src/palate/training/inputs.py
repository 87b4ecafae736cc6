"""What a run received, read back when it has ended: its inputs with hashes, what it wrote, what was in force."""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from palate.question.folder import Place, path_inside
from palate.redaction import redact_data, redact_text
from palate.store.private import write_file
from palate.training.apart import COPIES, WORK, bring_home, clear_folder
from palate.training.named import files_named
from palate.training.received import NOTES, shown_variable
from palate.training.states import ABSENT, EVERYTHING, PRESENT, FileState, state_of_all

RECEIVED = "received.json"
"""File in a run's folder with what it received."""

MOST_HASHED = 2000
"""Files of a run that are hashed; of more, size and time of change are kept."""

MOST_BYTES = 512 << 20
"""Bytes of a run's files that are hashed; beyond, size and time of change are kept."""


MOST_REDACTED = 1 << 20
"""The most bytes of a file that a run wrote and that secrets are taken out of."""

_KEPT = ("journal", "output.log", NOTES, RECEIVED, COPIES, "reached", "recipe.json")
"""Files in a run's folder that palate writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A command line as it was read: values and types by name, names by flag, and what was not taken."""

    values: Mapping[str, str]
    flags: Mapping[str, str]
    left: tuple[str, ...]
    types: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeding:
    """A call that seeds: of what, with which value, at which line (`train.py:12`), in a process that executes what."""

    of: str
    value: str
    where: str
    program: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What a run received.

    Attributes:
        files: what it read, by name: seen from the person's folder where it is in it.
        modules: those of them that are its own modules.
        programs: those that its processes execute, in the order in which they were heard of.
        read_past: what it read, or imported, from the person's folder itself, past its own.
        variables: environment variables that its own code read, as it got them; None for one that was not set.
        lines_of: where its own code reads a variable.
        outside: those of them that were set inside the run, as by torchrun for its ranks, with what palate itself had.
        wrote: files that it wrote into its own folder, with their sizes in bytes.
        wrote_outside: files that it wrote anywhere else, with whether that was after its first point.
        read_back: files outside of its own folder that it read after it had written them.
        parsed: the command lines that were read in it.
        constants, arguments: what was in force when it logged first.
        last_constants, last_arguments: what was in force when it ended, where it ended by itself after it had logged.
        settings: what `palate.settings()` gave; None where it was not called.
        seeds: what seeds it.
        took_seed: how its own code got the run's seed, as "PALATE_SEED"; empty where nothing shows that it did.
        apart: whether it worked in a folder of its own.
        redacted: files that it wrote, and that secrets were taken out of since.
        turned: knobs that were turned in it, with what was in force then.
        drawn: what drew random numbers that nothing had seeded: "numpy", of its own generator.
        unheard: versions of Pythons in it that are too old to be listened to.
    """

    files: Mapping[str, FileState] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    read_past: tuple[str, ...] = ()
    variables: Mapping[str, str | None] = field(default_factory=dict)
    lines_of: Mapping[str, str] = field(default_factory=dict)
    outside: Mapping[str, str | None] = field(default_factory=dict)
    wrote: Mapping[str, int] = field(default_factory=dict)
    wrote_outside: Mapping[str, bool] = field(default_factory=dict)
    read_back: tuple[str, ...] = ()
    parsed: tuple[Parsed, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    last_constants: Mapping[str, str] = field(default_factory=dict)
    last_arguments: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] | None = None
    seeds: tuple[Seeding, ...] = ()
    took_seed: tuple[str, ...] = ()
    apart: bool = False
    redacted: tuple[str, ...] = ()
    turned: Mapping[str, str] = field(default_factory=dict)
    unheard: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()

    def read_first(self, place: Place | None) -> set[str]:
        """Return the absolute paths of what it read before it wrote it."""
        root = place.root if place is not None else os.getcwd()
        return {name if name.startswith("/") else os.path.join(root, name) for name in self.files}

    def lines(self) -> list[str]:
        """Return it as lines for people, each under what it is of; nothing is said of what there is nothing of."""
        read = [name for name in self.files if name not in self.modules]
        variables = [_variable(name, value) for name, value in self._own_read()]
        seeds = [f"{one.of} {one.value} at {one.where}" for one in self.seeds]
        wrote = [f"{name} ({size} B)" for name, size in self.wrote.items()]
        found = {
            "Read": read,
            "Imported": self.modules,
            "Variables": variables,
            "Seeds": [*seeds, *(f"by {how}" for how in self.took_seed)],
            "Wrote": wrote,
            "Outside": self.wrote_outside,
            "Redacted": self.redacted,
        }
        return [f"{name:<11}{_some(list(what))}" for name, what in found.items() if what]

    def _own_read(self) -> list[tuple[str, str | None]]:
        """Return the variables that own code read."""
        return [(name, value) for name, value in self.variables.items() if name in self.lines_of]

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data, schema `palate.received/1`."""
        return {"schema": "palate.received/1", **asdict(self)}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Undo `body`."""
        return cls(
            files={name: FileState(**state) for name, state in body["files"].items()},
            modules=tuple(body["modules"]),
            programs=tuple(body.get("programs", ())),
            read_past=tuple(body["read_past"]),
            variables=body["variables"],
            lines_of=body["lines_of"],
            outside=body.get("outside", {}),
            wrote=body["wrote"],
            wrote_outside=body["wrote_outside"],
            read_back=tuple(body["read_back"]),
            parsed=tuple(Parsed(**{**one, "left": tuple(one["left"])}) for one in body["parsed"]),
            constants=body["constants"],
            arguments=body["arguments"],
            last_constants=body.get("last_constants", {}),
            last_arguments=body.get("last_arguments", {}),
            settings=body["settings"],
            seeds=tuple(Seeding(**one) for one in body["seeds"]),
            took_seed=tuple(body["took_seed"]),
            apart=body["apart"],
            redacted=tuple(body.get("redacted", ())),
            turned=body.get("turned", {}),
            unheard=tuple(body.get("unheard", ())),
            drawn=tuple(body.get("drawn", ())),
        )


def _variable(name: str, value: str | None) -> str:
    """Say what a variable was; of a secret, the start of its hash."""
    if value is None:
        return f"{name} not set"
    secret = re.fullmatch(r"secret [0-9a-f]{32}", value)
    return f"{name}={value[: len('secret ') + 6] if secret else value}"


def _some(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def read_received(folder: Path) -> Received | None:
    """Return what a run received; None where that was not noted, or cannot be read."""
    try:
        return Received.read(json.loads((folder / RECEIVED).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def take_received(
    folder: Path,
    place: Place | None,
    own: Iterable[str] = (),
    secrets: Iterable[str] = (),
    words: Iterable[str] = (),
) -> Received | None:
    """Read back what a run that has ended received, keep it in its folder, and clear its folder of what is not its own.

    Secrets are taken out of small text files that the run wrote into its folder, such as its arguments; which, is told.

    Args:
        folder: the run's folder.
        place: what it saw; None where it worked in the person's folder.
        own: files of its folder that palate put there.
        secrets: values that are secret wherever they stand.
        words: of the command that started it; what a shell or make reads by them is an input too.

    Returns:
        what it received; None where nothing was noted.
    """
    notes = read_notes(folder / NOTES)
    work = os.path.realpath(folder / WORK) if (folder / WORK).is_symlink() else str(folder / WORK)
    wrote = clear_folder(place, work, own) if place is not None and (folder / WORK).is_dir() else []
    secrets = tuple(secrets)
    redacted = _redact_written(work, [name for name, _ in wrote], secrets)
    redacted += _redact_written(str(folder), _beside(folder), secrets)
    if place is not None:
        bring_home(str(folder), place.home)
    if not notes:
        return None
    received = _received(notes, place, work, dict(wrote))
    named = files_named(words, place) if place is not None else []
    more = {name: () for name in named if name not in received.files and name not in received.wrote}
    received = replace(received, files={**received.files, **_states(more, place)})
    received = replace(_without_secrets(received), redacted=tuple(redacted))
    write_file(folder / RECEIVED, json.dumps(received.body()))
    (folder / NOTES).unlink(missing_ok=True)
    return received


def _beside(folder: Path) -> list[str]:
    """Return the files that a run wrote beside those that palate keeps of it, and close them to others."""
    found: list[str] = []
    mode = 0o700 | folder.stat().st_mode & 0o077
    for above, folders, names in os.walk(folder):
        top = Path(above) == folder
        folders[:] = [name for name in folders if not (top and name == WORK)]
        found += [os.path.relpath(Path(above, name), folder) for name in names if not (top and name in _KEPT)]
    for name in found:
        path = folder / name
        if not path.is_symlink() and path.is_file():
            with contextlib.suppress(OSError):
                path.chmod(path.stat().st_mode & mode)
    return found


def _redact_written(work: str, names: Iterable[str], secrets: tuple[str, ...]) -> list[str]:
    """Take the secrets out of small text files that a run wrote, as it may have written what it was given.

    Returns:
        the names of those that had some.
    """
    done = []
    for name in names:
        path = Path(work, name)
        with contextlib.suppress(OSError, UnicodeDecodeError):  # gone meanwhile, or no text
            if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_REDACTED:
                continue
            text = path.read_bytes().decode()
            redacted = redact_data(text, secrets)
            if redacted != text:
                path.write_bytes(redacted.encode())
                done.append(redact_text(name))
    return done


def _without_secrets(received: Received) -> Received:
    """Return what was received with no secret in a file's name; such a file counts as another one from then on."""
    names = (*received.files, *received.wrote, *received.wrote_outside, *received.read_back)
    clean = {name: told for name in names if (told := redact_text(name)) != name}
    if not clean:
        return received

    def named(name: str) -> str:
        return clean.get(name, name)

    return replace(
        received,
        files={named(name): state for name, state in received.files.items()},
        modules=tuple(map(named, received.modules)),
        programs=tuple(map(named, received.programs)),
        read_past=tuple(map(named, received.read_past)),
        wrote={named(name): size for name, size in received.wrote.items()},
        wrote_outside={named(name): after for name, after in received.wrote_outside.items()},
        read_back=tuple(map(named, received.read_back)),
    )


def read_notes(path: Path) -> list[list[Any]]:
    """Return what was noted of a run, in its order; nothing where nothing was."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    notes = []
    for line in lines:
        try:
            notes.append(json.loads(line))
        except ValueError:  # the last line of a run that was killed
            continue
    return notes


def _received(notes: list[list[Any]], place: Place | None, work: str, wrote: Mapping[str, int]) -> Received:
    by_kind: dict[str, list[list[Any]]] = {}
    for kind, *what in notes:
        by_kind.setdefault(kind, []).append(what)

    def named(path: str) -> str:
        return _name(path, place, work)

    modules = {named(path): tuple(state) for path, *state in by_kind.get("module", [])}
    read = {named(path): tuple(state) for path, *state in by_kind.get("read", [])}
    listed: dict[str, tuple[int, ...]] = {f"{named(path)}/": () for (path,) in by_kind.get("listed", [])}
    noted = {**modules, **read, **listed}
    inputs = {name: state for name, state in noted.items() if name not in wrote or _is_theirs(name, place)}
    outside = {path: after for path, after in by_kind.get("wrote", []) if not path.startswith(work + os.sep)}
    looked = {
        named(path): FileState(0, 0, PRESENT if there else ABSENT)
        for path, there in by_kind.get("looked", [])
        if path not in outside
    }
    unheard = "program" in by_kind or "module" not in by_kind  # a program that is not Python may read anything
    variables = {name: (value, where) for name, value, where in by_kind.get("variable", [])}
    in_force, at_end = by_kind.get("in force", []), by_kind.get("at end", [])
    return Received(
        files={
            **{name: state for name, state in looked.items() if name not in wrote or state.hash == ABSENT},
            **_states(inputs, place),
            **({EVERYTHING: state_of_all(place)} if place is not None and unheard else {}),
        },
        modules=tuple(modules),
        programs=tuple(
            dict.fromkeys(
                named(path)
                for path in (
                    *(path for (path,) in by_kind.get("program file", [])),
                    *(program for *_, program in by_kind.get("seed", []) if program),
                )
            )
        ),
        read_past=tuple(
            dict.fromkeys(
                named(path)
                for path, *_ in (*by_kind.get("module", []), *by_kind.get("read", []))
                if place is not None and not path.startswith((work + os.sep, place.home)) and named(path) != path
            )
        ),
        variables={name: value for name, (value, _) in variables.items()},
        outside={
            name: outer
            for name, (value, _) in variables.items()
            if (outer := shown_variable(name, os.environ.get(name))) != value
        },
        lines_of={name: _line(where, place, work) for name, (_, where) in variables.items() if where},
        wrote=wrote,
        wrote_outside=outside,
        read_back=tuple(path for path, *_ in by_kind.get("read back", [])),
        parsed=tuple(
            Parsed(values=values, flags=flags, left=tuple(left), types=types)
            for values, flags, left, types in by_kind.get("parsed", [])
        ),
        constants={name: value for constants, _ in in_force for name, value in constants.items()},
        arguments={name: value for _, arguments in in_force for name, value in arguments.items()},
        last_constants={name: value for constants, _ in at_end for name, value in constants.items()},
        last_arguments={name: value for _, arguments in at_end for name, value in arguments.items()},
        settings=by_kind["settings"][0][1] if "settings" in by_kind else None,
        seeds=tuple(
            Seeding(of=of, value=value, where=_line(where, place, work), program=named(program) if program else "")
            for _, of, value, where, program in by_kind.get("seed", [])
        ),
        took_seed=tuple(dict.fromkeys(how for how, *_ in by_kind.get("took seed", []))),
        apart=place is not None,
        turned=dict(by_kind.get("turned", [])),
        drawn=tuple(dict.fromkeys(what for what, *_ in by_kind.get("drawn", []))),
        unheard=tuple(dict.fromkeys(version for version, *_ in by_kind.get("unheard", []))),
    )


def _is_theirs(name: str, place: Place | None) -> bool:
    """Whether a file that a run wrote was there before: then the run read the person's first."""
    return place is not None and os.path.exists(place.source(name))


def _name(path: str, place: Place | None, work: str) -> str:
    """Return a file's name: seen from the person's folder where it is in it, or stands for one that is."""
    for folder in (work, *([place.root] if place is not None else [])):
        inside = path_inside(path, folder)
        if inside is not None:
            return inside or "."
    return path


def _line(where: str, place: Place | None, work: str) -> str:
    file, _, number = where.rpartition(":")
    return f"{_name(file, place, work)}:{number}" if file else ""


def _states(noted: Mapping[str, tuple[int, ...]], place: Place | None) -> dict[str, FileState]:
    """Return what each file was when it was read; of one that changed meanwhile, nobody knows the content.

    Args:
        noted: size and time of change when it was read, by name; nothing of a listed folder.
        place: the folder that the run saw.
    """
    states: dict[str, FileState] = {}
    left = MOST_BYTES
    for name, state in noted.items():
        path = name if place is None else place.path(name)
        only_its_own = bool(state) and state[0] >= 0 and not os.path.lexists(path)
        if only_its_own or os.path.isdir(path) != name.endswith("/"):
            continue
        now = FileState.of(path, hashed=len(states) < MOST_HASHED and left > 0)
        left -= now.size
        same = not state or state[0] < 0 or now.hash == PRESENT or (now.size, now.changed_ns) == state
        states[name] = now if same else FileState(state[0], state[1], "")
    return states
