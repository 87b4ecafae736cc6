"""What is kept of what is heard: which logger a name belongs to, at which steps, and what is said of it at the end.

- What the script logs by `palate.log` itself is not added a second time. So that it does not matter which of two lines
  comes first, the first row of each name is held back until the name is heard again.
- Of two trackers that log one name, the first has it. What the second logs is dropped where it is the same. Where it is
  not, both are kept under the names of their trackers as well, and the plain name is said to be ambiguous.
- Values from tables and printed lines are held back until the run ends, and are used for names that nobody else logs.
  A printed line that says what a setting of the run is says no metric.
"""

import functools
import itertools
import json
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from palate.training.loggers.lines import Found, Reader

if TYPE_CHECKING:
    from palate.training.run import Run

EVENT = "heard"
"""The event of a run's journal that says by whom each metric was logged, and which names are ambiguous."""

SETTINGS = "PALATE_KNOWN"
"""Environment variable with the run's settings that are numbers, by name, as JSON."""

PRINTED = "printed"
REMEMBERED = 64
"""Rows of each call that are remembered, in case that another tracker logs the same names."""

MOST_HELD = 10_000
"""Values of a name that are held back; of more, the newest are kept."""

_now = time.monotonic


class _Voice:
    """One way in which one logger logs: always the same names.

    Attributes:
        next: the step of the next row, where none is given.
        plain: whether all its names are its own, so that a row is written as it comes.
        first: the row that is held back.
        rows: the newest rows.
    """

    __slots__ = ("first", "logger", "names", "next", "plain", "rows")

    def __init__(self, logger: str, names: tuple[str, ...]) -> None:
        self.logger, self.names = logger, names
        self.next, self.plain = 0, False
        self.first: tuple[int, dict[str, float]] | None = None
        self.rows: deque[tuple[int, dict[str, float]]] = deque(maxlen=REMEMBERED)


class _Rival:
    """What a second tracker logs under a name that another one has."""

    __slots__ = ("differs", "matched", "rows", "waiting")

    def __init__(self) -> None:
        self.rows: deque[tuple[int, float]] = deque(maxlen=MOST_HELD)
        self.waiting: list[tuple[int, float]] = []
        self.matched = self.differs = False

    def compare(self, known: Mapping[int, float]) -> bool:
        """Hold what waits against what the name's owner logged; return whether it is found to differ only now."""
        left = []
        for step, value in self.waiting:
            if step in known:
                same = _same(known[step], value)
                self.matched, self.differs = self.matched or same, self.differs or not same
            elif any(_same(one, value) for one in known.values()):
                self.matched = True
            else:
                left.append((step, value))
        self.waiting = left[-REMEMBERED:]
        return self.differs


class Hearing:
    """Hears for one run, and writes into its journal.

    Args:
        run: whose journal it is.
        told: `NAME=PATTERN`, where a person said which printed value is a metric; "" where nobody did.
        alone: whether it is known that this process is the one that logs.
    """

    def __init__(self, run: "Run", told: str = "", *, alone: bool = False) -> None:
        self._run = run
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._deaf = False
        self._alone, self._first = alone, True
        self._voices: dict[tuple[str, tuple[str, ...]], _Voice] = {}
        self._ours: set[str] = set()
        self._owner: dict[str, str] = {}
        self._known: dict[str, dict[int, float]] = {}
        self._rivals: dict[tuple[str, str], _Rival] = {}
        self._tables: dict[str, dict[str, deque[tuple[int, float]]]] = {}
        self._printed: dict[str, deque[tuple[int | None, float]]] = {}
        self._missed: set[str] = set()
        self._settings = _own_settings()
        self._reader = Reader(told)
        if self._reader.told:
            self._owner[self._reader.told] = PRINTED

    def hear(self, logger: str, metrics: Mapping[Any, Any], step: Any = None) -> None:
        """Hear that a tracker logs; whatever goes wrong here is never the training's fault.

        Args:
            logger: its name: "wandb".
            metrics: by name, as it was given them; what is no number is left out, mappings are taken apart.
            step: as it was given; one more than the last of these names if None.
        """
        if self._deaf or os.getpid() != self._process:
            return
        try:
            numbers = numbers_of(metrics)
            if numbers:
                with self._lock:
                    self._row(logger, numbers, step)
        except Exception as fault:  # noqa: BLE001  the script logs to somebody else: its call has to succeed
            self._give_up(fault)

    def table(self, name: str, columns: Mapping[str, Iterable[tuple[int, float]]], *, anew: bool = False) -> None:
        """Hear of numbers that are written into a table: of the newest rows, or of all of them anew."""
        if self._deaf or os.getpid() != self._process:
            return
        try:
            with self._lock:
                if not self._is_first():
                    return
                held = self._tables.setdefault(name, {})
                if anew:
                    held.clear()
                self._begin()
                for column, rows in columns.items():
                    held.setdefault(column, deque(maxlen=MOST_HELD)).extend(rows)
        except Exception as fault:  # noqa: BLE001  as above
            self._give_up(fault)

    def line(self, text: str) -> None:
        """Hear of a line that is printed."""
        if self._deaf or os.getpid() != self._process:
            return
        try:
            found = self._reader.read(text)
        except Exception as fault:  # noqa: BLE001  as above
            self._give_up(fault)
            return
        if found is not None:
            self.found(found)

    def found(self, found: Found) -> None:
        """Hear of what a printed line says."""
        try:
            with self._lock:
                self._found(found)
        except Exception as fault:  # noqa: BLE001  as above
            self._give_up(fault)

    def close(self) -> None:
        """Write what was held back, and who logged what; a second call does nothing."""
        if self._deaf or os.getpid() != self._process:
            return
        try:
            with self._lock:
                if self._first:  # else what was heard before its rank was known is rank 0's to say
                    self._end()
        except Exception as fault:  # noqa: BLE001  as above
            self._give_up(fault)
        self._deaf = True

    def misses(self, call: str, fault: Exception) -> None:
        """Say, once, that a call could not be heard: it is of a version that palate does not know."""
        if call not in self._missed:
            self._missed.add(call)
            print(f"palate does not hear {call}: {type(fault).__name__}: {fault}", file=sys.__stderr__)

    def _give_up(self, fault: Exception) -> None:
        self._deaf = True
        words = f"palate hears no more of what this script logs: {type(fault).__name__}: {fault}"
        print(words, file=sys.__stderr__)

    def _row(self, logger: str, numbers: dict[str, float], step: Any) -> None:
        names = tuple(numbers)
        voice = self._voices.get((logger, names))
        if voice is None:
            if not self._is_first():
                return
            voice = self._voices[logger, names] = _Voice(logger, names)
            self._begin()
            voice.plain = all(self._owner.get(name) == logger and name in self._ours for name in names)
        at = voice.next if step is None else step if type(step) is int else _whole(step, voice.next)
        voice.next = at + 1
        is_new = not voice.rows
        voice.rows.append((at, numbers))
        if voice.plain:
            self._run.journal.log_soon(at, numbers, _now())
        elif is_new:
            voice.first = (at, numbers)
            for name in names:
                self._owner.setdefault(name, logger)
        else:
            self._release(voice)
            self._apart(voice, at, numbers)

    def _release(self, voice: _Voice) -> None:
        """Write the row that was held back; what the script logs by palate itself meanwhile is not among it."""
        if voice.first is None:
            return
        (at, numbers), voice.first = voice.first, None
        mine = self._by_palate()
        for name in voice.names:
            if name in mine:
                self._owner[name] = "palate"
        self._apart(voice, at, numbers)
        voice.plain = all(self._owner[name] == voice.logger and name not in self._known for name in voice.names)

    def _by_palate(self) -> set[str]:
        """Return the names that the script logs by palate itself."""
        journal = self._run.journal_if_open
        return set() if journal is None else set(journal.names) - self._ours

    def _apart(self, voice: _Voice, at: int, numbers: dict[str, float]) -> None:
        """Write what belongs to a logger, and hold the rest against what the owners of the names log."""
        own: dict[str, float] = {}
        for name, value in numbers.items():
            owner = self._owner[name]
            if owner == voice.logger:
                own[name] = value
                if name in self._known:
                    self._remember(name, at, value)
                    own |= self._by_its_owner(name, value)
            elif owner != "palate":
                self._against(name, voice.logger, at, value)
        if own:
            self._write(at, own)
        for name in own:
            self._compare(name)

    def _remember(self, name: str, at: int, value: float) -> None:
        known = self._known[name]
        known[at] = value
        if len(known) > MOST_HELD:
            del known[next(iter(known))]

    def _by_its_owner(self, name: str, value: float) -> dict[str, float]:
        """Return a value under the name of its logger too, where another one logs other values."""
        if any(rival.differs for (of, _), rival in self._rivals.items() if of == name):
            return {f"{self._owner[name]}/{name}": value}
        return {}

    def _against(self, name: str, logger: str, at: int, value: float) -> None:
        """Hear a value of a name that another logger has."""
        rival = self._rivals.get((name, logger))
        if rival is None:
            rival = self._rivals[name, logger] = _Rival()
            if name not in self._known:
                voices = [one for one in self._voices.values() if one.logger == self._owner[name] and name in one.names]
                self._known[name] = {at: row[name] for one in voices for at, row in one.rows}
                for one in voices:
                    one.plain = False
        if rival.differs:
            self._write(at, {f"{logger}/{name}": value})
            return
        rival.rows.append((at, value))
        rival.waiting.append((at, value))
        self._compare(name)

    def _compare(self, name: str) -> None:
        for (of, logger), rival in self._rivals.items():
            if of == name and not rival.differs and rival.compare(self._known[name]):
                self._part(name, logger, rival)

    def _part(self, name: str, logger: str, rival: _Rival) -> None:
        """Keep what two loggers log under one name by their names too, from the beginning."""
        rival.differs = True
        if f"{self._owner[name]}/{name}" not in self._ours:
            for at, value in self._known[name].items():
                self._write(at, {f"{self._owner[name]}/{name}": value})
        for at, value in rival.rows:
            self._write(at, {f"{logger}/{name}": value})
        rival.rows.clear()

    def _write(self, at: int, numbers: dict[str, float]) -> None:
        self._ours |= numbers.keys()
        self._run.journal.log_soon(at, numbers, _now())

    def _found(self, found: Found) -> None:
        """Hold back what a printed line says; what a person asked for is written as it comes."""
        if not self._is_first():
            return
        if found.told is not None:
            self._row(PRINTED, {self._reader.told: found.told}, found.step)
        numbers = {name: value for name, value in found.numbers.items() if self._settings.get(name) != value}
        if numbers:
            self._begin()
        for name, value in numbers.items():
            if name != self._reader.told:
                self._printed.setdefault(name, deque(maxlen=MOST_HELD)).append((found.step, value))

    def _begin(self) -> None:
        """Say that the first metric is logged, though it may not be written yet."""
        self._run.says_first_point()

    def _is_first(self) -> bool:
        """Return whether this process logs for those that train together; its rank may be known only later."""
        self._first = self._alone or (self._first and is_first())
        return self._first

    def _end(self) -> None:
        for voice in list(self._voices.values()):
            self._release(voice)
        for (name, logger), rival in self._rivals.items():
            if not rival.differs and not rival.matched and rival.rows and self._owner[name] != "palate":
                self._part(name, logger, rival)
        if self._tables or self._printed:
            self._run.journal  # noqa: B018  opened: what other processes logged to this run is in it
        self._end_tables()
        self._end_printed()
        if not self._ours:
            return
        ambiguous: dict[str, list[str]] = {}
        for (name, logger), rival in self._rivals.items():
            if rival.differs:
                ambiguous.setdefault(name, [self._owner[name]]).append(logger)
        names = {name: logger for name, logger in self._owner.items() if name in self._ours}
        self._run.journal.event(EVENT, names=names, ambiguous=ambiguous)

    def _end_tables(self) -> None:
        """Write the columns of tables that nobody logs otherwise; one that several have is named by its table."""
        taken = self._taken()
        named = [(column, table) for table, held in self._tables.items() for column in held if column not in taken]
        columns = [column for column, _ in named]
        for column, table in named:
            name = column if columns.count(column) == 1 else f"{table.rpartition('.')[0] or table}/{column}"
            self._write_held(name, table, list(self._tables[table][column]))

    def _end_printed(self) -> None:
        """Write what was printed and is logged by nobody else."""
        taken = self._taken()
        for name, rows in self._printed.items():
            if name not in taken:
                steps = [step for step, _ in rows if step is not None]
                rises = len(steps) == len(rows) and all(a < b for a, b in itertools.pairwise(steps))
                values = [value for _, value in rows]
                self._write_held(name, PRINTED, list(zip(steps if rises else itertools.count(), values, strict=False)))

    def _taken(self) -> set[str]:
        journal = self._run.journal_if_open
        return self._owner.keys() | (set() if journal is None else set(journal.names))

    def _write_held(self, name: str, logger: str, rows: list[tuple[int, float]]) -> None:
        self._owner[name] = logger
        for at, value in rows:
            self._write(at, {name: value})


def _own_settings() -> dict[str, float]:
    """Return the run's settings as they would be printed: a script that prints its configuration logs no metric."""
    known: dict[str, float] = json.loads(os.environ.get(SETTINGS, "{}"))
    return {name.rpartition(".")[2].lower().replace("-", "_"): value for name, value in known.items()}


def is_first() -> bool:
    """Whether this process is the one that logs, of several that train together."""
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"):
        if os.environ.get(name, "0") not in ("", "0"):
            return False
    spread = sys.modules.get("torch.distributed")
    return spread is None or not spread.is_available() or not spread.is_initialized() or spread.get_rank() == 0


def numbers_of(metrics: Mapping[Any, Any], around: str = "") -> dict[str, float]:
    """Return the numbers among what a tracker is given, those of mappings by names with slashes.

    >>> numbers_of({"loss": 0.5, "val": {"acc": 1}, "note": "warm"})
    {'loss': 0.5, 'val/acc': 1.0}
    """
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        if type(value) is float:
            numbers[around + name if around else name] = value
        elif isinstance(value, Mapping):
            numbers |= numbers_of(value, f"{around}{name}/")
        elif (number := _number(value)) is not None:
            numbers[f"{around}{name}"] = number
    return numbers


def _number(value: Any) -> float | None:
    """Return a value as a number: one of Python's, numpy's or a framework's; None where it is none."""
    if not hasattr(type(value), "__float__"):
        return None
    try:  # float() of what still has a gradient makes torch warn, which the script did not
        return float(value.detach() if hasattr(value, "detach") else value)
    except Exception:  # noqa: BLE001  a tensor of several elements, a picture, another's own class
        return None


def _whole(step: Any, otherwise: int) -> int:
    try:
        number = int(step)
    except (TypeError, ValueError, OverflowError):
        return otherwise
    return number


@functools.lru_cache(maxsize=1024)
def _isclose(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6)


def _same(one: float, other: float) -> bool:
    """Whether two trackers got the same value: one of them may have been given it in single precision."""
    return one == other or (one != one and other != other) or _isclose(one, other)
