"""What is asked of a run while it goes, and what the run answers: a file a command, a file an answer.

A file is written under another name first, so that nobody reads half of one; and each has its own, so that two people
can ask at once, on a network's disk too. They stay: who changed what, when, and what came of it.

| file in `commands/`        | who writes it | what it says                                       |
|----------------------------|---------------|----------------------------------------------------|
| `<id>.asked.json`          | a person      | the knobs and amounts, with author, time and reason |
| `<id>.applied.json`        | the run       | the step at which they were turned, and what was    |
| `<id>.refused.json`        | the run       | why not                                            |
| `<id>.in-force.json`       | the run       | what the next step really used                     |
"""

import json
import os
import secrets
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from palate.bounded import parse_json, read_text
from palate.errors import InputError, PalateError
from palate.question.branch import Amount, parse_amount
from palate.store.private import make_folder, replace_file

FOLDER = "commands"
MOST_BYTES = 100_000
Answer = Literal["applied", "refused", "in-force"]
ANSWERS: tuple[Answer, ...] = ("applied", "refused", "in-force")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Knobs to turn.

    Attributes:
        id: names it, and puts commands in the order of their time.
        amounts: by the name of the knob.
        author: who asks.
        why: a few words.
        unix_s: when.
        forecast: what the author expects, as it was typed; empty where nothing was said.
        undo: whether it puts back what the last one turned, instead.
    """

    id: str
    amounts: Mapping[str, Amount]
    author: str = ""
    why: str = ""
    unix_s: float = 0.0
    forecast: str = ""
    undo: bool = False

    @property
    def words(self) -> str:
        """The command as it is typed."""
        return " ".join(f"{name}={amount}" for name, amount in self.amounts.items())


@dataclass(slots=True)
class Inbox:
    """What was asked of a run and is not answered yet; costs one look at a folder's time where nothing is new.

    Attributes:
        folder: the run's.
    """

    folder: Path
    _seen: set[str] = field(default_factory=set)
    _changed_ns: int = -1

    def look(self) -> list[Command | tuple[str, PalateError]]:
        """Return new commands in the order of their time; one that cannot be read comes with its fault."""
        place = self.folder / FOLDER
        try:
            changed_ns = os.stat(place).st_mtime_ns  # noqa: PTH116  five times a second, beside a training
        except OSError:
            return []
        if changed_ns == self._changed_ns:
            return []
        self._changed_ns = changed_ns if time.time_ns() - changed_ns > 2_000_000_000 else -1
        try:
            names = {path.name for path in place.iterdir()}
        except OSError:  # a file in the place of the folder: nobody can ask for anything
            return []
        new = sorted(name for name in names if name.endswith(".asked.json") and name not in self._seen)
        self._seen |= set(new)
        ids = [name.removesuffix(".asked.json") for name in new]
        return [_read(place, one) for one in ids if not any(f"{one}.{kind}.json" in names for kind in ANSWERS)]


def _read(place: Path, command: str) -> Command | tuple[str, PalateError]:
    try:
        if not stat.S_ISREG(os.lstat(place / f"{command}.asked.json").st_mode):
            raise InputError("The command is no plain file.", todo="palate season RUN lr=x0.3   writes one")
        body = parse_json(read_text(place / f"{command}.asked.json", most=MOST_BYTES), "The command")
        return _command_of(command, body)
    except PalateError as error:
        return command, error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return command, InputError("The command cannot be read.", why=f"{type(error).__name__}: {error}")


def _command_of(command: str, body: Any) -> Command:
    amounts = {str(name): parse_amount(str(name), given) for name, given in body["amounts"].items()}
    if not amounts and not body.get("undo"):
        raise InputError("The command turns no knob.", todo="palate season RUN lr=x0.3")
    return Command(
        id=command,
        amounts=amounts,
        author=str(body.get("author", "")),
        why=str(body.get("why", "")),
        unix_s=float(body.get("unix_s", 0.0)),
        forecast=str(body.get("forecast", "")),
        undo=bool(body.get("undo", False)),
    )


def ask(
    folder: Path,
    amounts: Mapping[str, Amount],
    *,
    author: str,
    why: str = "",
    forecast: str = "",
    undo: bool = False,
) -> str:
    """Ask a run to turn some knobs, or to put back the last turn; return the id of the command.

    Raises:
        OSError: the run's folder cannot be written.
    """
    command = f"{time.time_ns():020d}-{secrets.token_hex(3)}"
    body = {
        "amounts": {name: str(amount) for name, amount in amounts.items()},
        "author": author,
        "why": why,
        "unix_s": time.time(),
        "forecast": forecast,
        "undo": undo,
    }
    make_folder(folder / FOLDER)
    replace_file(folder / FOLDER / f"{command}.asked.json", json.dumps(body))
    return command


def answer(folder: Path, command: str, kind: Answer, body: Mapping[str, Any]) -> None:
    """Answer a command.

    Raises:
        OSError: the run's folder cannot be written.
    """
    replace_file(folder / FOLDER / f"{command}.{kind}.json", json.dumps({**body, "unix_s": time.time()}), synced=False)


def answers(folder: Path, command: str) -> dict[Answer, dict[str, Any]]:
    """Return what a run has answered so far."""
    told: dict[Answer, dict[str, Any]] = {}
    for kind in ANSWERS:
        path = folder / FOLDER / f"{command}.{kind}.json"
        if path.is_file():
            told[kind] = parse_json(path.read_text(encoding="utf-8"), "The answer")
    return told
