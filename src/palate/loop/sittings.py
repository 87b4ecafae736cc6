"""Sittings: what one process does for a question, kept where others can see it, stop it, and go on with it.

A sitting is a folder: what was typed (`job.json`), what is done so far (`state.json`), what somebody asks of it
(`stop`), what a process without a terminal prints (`output.log`), and a file that its process has locked (`lock`). The
lock ends with the process, however that ends, so it tells who lives; a process number alone never does. It can be
handed to a process that is started. Light to import.
"""

import contextlib
import itertools
import json
import os
import shlex
import shutil
import socket
import time
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from palate.recipe.codec import Secret
from palate.redaction import redact_text, sealed
from palate.store.leftovers import is_gone
from palate.store.locks import is_at, lock
from palate.store.private import make_folder, open_file, replace_file
from palate.training.family import LINUX, STOPPED, began_ticks, boot_id, state_of

FOLDER = "sittings"
"""Folder of the sittings, in the project's."""

OUTPUT, STOP = "output.log", "stop"

SITTING = "PALATE_SITTING"
"""The environment variable by which a process gets its sitting: the descriptor of its lock, and its folder."""

SILENT_S = 60.0
"""Seconds without a word after which a sitting of another machine is not said to go, where locks do not reach there."""

MOST_NOTICED = 5

MOST_KEPT = 200
"""Sittings from which on the oldest are taken away that came to their end."""

_UNTOLD = "[redacted]"

Life = Literal["goes", "elsewhere", "ended", "interrupted"]
"""It goes on this machine, or on another one; it has ended, as it says; its process is gone, and it says nothing."""

How = Literal["done", "limit", "stopped", "failed"]
"""Nothing is left to run; hours, or somebody who asked for no more; Ctrl-C, a signal, `palate stop`; an error."""

_all: "weakref.WeakSet[Held]" = weakref.WeakSet()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a sitting is about, and whose process it is.

    Attributes:
        experiment: its id; `text` its question in words.
        argv: the command as it was typed, without its first word; None in the place of a word that is secret.
        folder: where it was typed.
        detached: whether it goes without a terminal.
        hours: that runs are started for at most.
        budget: seed pairs at most.
        metric: the name of what is judged.
        unit: what the budget counts: seed pairs, or runs.
        pid, ticks, boot, host: the process, when it began, since which start of which machine.
        began_unix_s: when the sitting began.
    """

    experiment: str
    text: str
    argv: tuple[str | None, ...]
    folder: str
    detached: bool = False
    hours: float | None = None
    budget: int = 0
    metric: str = ""
    unit: Literal["pairs", "runs"] = "pairs"
    pid: int = 0
    ticks: int = 0
    boot: str = ""
    host: str = ""
    began_unix_s: float = 0.0

    def of_this_process(self) -> Self:
        """Return it as that of the process that calls, from now on."""
        pid = os.getpid()
        now_s, host = time.time(), socket.gethostname()
        return replace(self, pid=pid, ticks=began_ticks(pid), boot=boot_id(), host=host, began_unix_s=now_s)

    @property
    def here(self) -> bool:
        """Whether it was begun on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_process(self) -> bool:
        """Whether its process is there, and is no other that has its number now."""
        if not self.here or self.boot != boot_id():
            return False
        if not LINUX:  # a number is all that is known: whoever has the lock wrote it
            return not is_gone(self.pid)
        return bool(state_of(self.pid)) and self.ticks == began_ticks(self.pid)

    @property
    def typed(self) -> str:
        """The command as it is typed again, with secrets left out."""
        return shlex.join(["palate", *(word if word is not None else _UNTOLD for word in self.argv)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """A run that goes: its id, arm, seed, when it was begun, and how many steps it has where a setting says so."""

    id: str
    arm: str
    seed: int
    began_unix_s: float
    length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a sitting ended, and what it said then."""

    how: How
    at_unix_s: float
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is done so far.

    Attributes:
        at_unix_s: when it was written.
        opened: whether the question is open and its runs are made; before, arms are read.
        pairs: seed pairs that were looked at.
        effect: what they say, in words; `verdict` the kind of it.
        runs: those that go.
        made: runs made, `failed` of which failed.
        took_s: seconds that a run of an arm took, on average.
        workers: runs at a time.
        noticed: what was noticed, the newest last.
        stopping: whether no more runs are started, as somebody asked.
        ending: how it ended; None before.
    """

    at_unix_s: float = 0.0
    opened: bool = False
    pairs: int = 0
    effect: str = ""
    verdict: str = ""
    runs: tuple[Going, ...] = ()
    made: int = 0
    failed: int = 0
    took_s: Mapping[str, float] = field(default_factory=dict)
    workers: int = 1
    noticed: tuple[str, ...] = ()
    stopping: bool = False
    ending: Ending | None = None


class Held:
    """A sitting of this process.

    Attributes:
        folder: where it is kept; None where nothing can be written: then it goes on unseen.
        job: what it is about.
        state: what is done so far.
    """

    def __init__(self, folder: Path | None, descriptor: int, job: Job) -> None:
        self.folder, self.job, self.state = folder, job, State()
        self._descriptor = descriptor
        _all.add(self)

    @property
    def descriptor(self) -> int:
        """Of its lock: a process that inherits it holds the sitting."""
        return self._descriptor

    def tell(self, state: State) -> None:
        """Keep what is done so far; a disk that is full keeps what it has."""
        self.state = replace(state, at_unix_s=time.time())
        self._write("state.json", asdict(self.state))

    def tell_job(self, job: Job) -> None:
        """Keep what it is about."""
        self.job = job
        self._write("job.json", asdict(job))

    def asked_to_stop(self) -> bool:
        """Return whether somebody asked for no more runs."""
        return self.folder is not None and (self.folder / STOP).exists()

    def end(self, how: How, *words: str) -> None:
        """Say how it ended, once: what is said first counts."""
        if self.state.ending is None:
            told = tuple(redact_text(line) for line in words)
            self.tell(replace(self.state, runs=(), ending=Ending(how=how, at_unix_s=time.time(), words=told)))

    def close(self) -> None:
        """Let it go; twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def is_kept(self) -> bool:
        """Whether others can see it."""
        return self._descriptor >= 0 and self.folder is not None and _read(self.folder) is not None

    def _write(self, name: str, body: dict[str, Any]) -> None:
        if self.folder is not None:
            with contextlib.suppress(OSError):
                replace_file(self.folder / name, json.dumps(body), synced=name == "job.json")


def sit(home: Path, job: Job, *, alone: bool = False) -> Held | None:
    """Begin a sitting of this process, in the first place of its experiment that nobody holds.

    Args:
        home: the project's folder.
        job: what it is about.
        alone: only in its first place.

    Returns:
        the sitting; None where it is to be alone and somebody else has it.
    """
    try:
        return _sit(home, job.of_this_process(), alone)
    except OSError:
        return Held(None, -1, job)


def _sit(home: Path, job: Job, alone: bool) -> Held | None:
    make_folder(home / FOLDER)
    _forget_oldest(home)
    for number in itertools.count(1):
        folder = home / FOLDER / (job.experiment if number == 1 else f"{job.experiment}-{number}")
        make_folder(folder)
        descriptor = open_file(folder / "lock", os.O_RDWR | os.O_NOFOLLOW)
        if _take(descriptor, folder):
            for name in ("state.json", STOP):
                (folder / name).unlink(missing_ok=True)
            held = Held(folder, descriptor, job)
            held.tell_job(job)
            return held
        os.close(descriptor)
        if alone:
            break
    return None


def _forget_oldest(home: Path) -> None:
    """Take away the oldest sittings that came to their end, where there are many: what they gave is sealed."""
    if sum(1 for _ in (home / FOLDER).iterdir()) > MOST_KEPT:
        done = [one for one in sittings_of(home) if one.life == "ended" and not one.can_go_on]
        for one in done[: len(done) - MOST_KEPT // 2]:
            shutil.rmtree(one.folder, ignore_errors=True)


def _take(descriptor: int, folder: Path) -> bool:
    """Lock a sitting; where locks are not known, it is free unless its process lives."""
    try:
        if lock(descriptor):
            return is_at(descriptor, folder / "lock")
    except BlockingIOError:
        return _is_looked_at(descriptor) and is_at(descriptor, folder / "lock")
    seen = _read(folder)
    return seen is None or not seen.job.is_process


def _is_looked_at(descriptor: int) -> bool:
    """Wait a moment for somebody who only looks whether it is held; return whether it is this process's then."""
    for _ in range(20):
        time.sleep(0.01)
        with contextlib.suppress(BlockingIOError):
            return lock(descriptor)
    return False


def inherited(environment: Mapping[str, str]) -> Held | None:
    """Take over the sitting that this process was started for; None where a person started it."""
    descriptor, _, place = environment.get(SITTING, "").partition(":")
    folder = Path(place)
    seen = _read(folder) if descriptor.isdecimal() else None
    if seen is None or not is_at(int(descriptor), folder / "lock"):
        return None
    os.set_inheritable(int(descriptor), False)
    held = Held(folder, int(descriptor), seen.job)
    held.tell_job(seen.job.of_this_process())
    held.tell(State())
    return held


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """A sitting as others see it."""

    folder: Path
    job: Job
    state: State
    life: Life

    @property
    def done(self) -> int:
        """How much of the budget is done."""
        return self.state.pairs if self.job.unit == "pairs" else self.state.made

    @property
    def name(self) -> str:
        """What is typed to name it."""
        return self.job.experiment

    @property
    def goes(self) -> bool:
        """Whether a process is at it."""
        return self.life in ("goes", "elsewhere")

    @property
    def can_go_on(self) -> bool:
        """Whether there is something to go on with."""
        return self.life == "interrupted" or (self.state.ending is not None and self.state.ending.how != "done")

    @property
    def stands_still(self) -> bool:
        """Whether its process was stopped (Ctrl-Z), and does nothing."""
        return self.life == "goes" and self.job.is_process and state_of(self.job.pid) in STOPPED

    def cause(self) -> str:
        """Say why it was interrupted, as far as that is known."""
        if self.job.here and self.job.boot and boot_id() and self.job.boot != boot_id():
            return "the machine was started anew meanwhile"
        where = "" if self.job.here else f" on {self.job.host}"
        return f"its process {self.job.pid}{where} is gone without a word: killed, or its disk was full"

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        state = asdict(self.state)
        return {
            "experiment": self.job.experiment,
            "question": self.job.text,
            "life": self.life,
            **({"cause": self.cause()} if self.life == "interrupted" else {}),
            "pairs": self.state.pairs,
            "budget": self.job.budget,
            "unit": self.job.unit,
            **{name: state[name] for name in ("effect", "verdict", "made", "failed", "runs", "noticed", "stopping")},
            "hours": self.job.hours,
            "began_unix_s": self.job.began_unix_s,
            "told_unix_s": self.state.at_unix_s,
            "ending": state["ending"],
            "process": {name: getattr(self.job, name) for name in ("pid", "host")},
            "detached": self.job.detached,
            "output": str(self.folder / OUTPUT) if self.job.detached else None,
            "typed": self.job.typed,
        }


def sittings_of(home: Path, experiment: str = "") -> list[Sitting]:
    """List the sittings, the newest last.

    Args:
        home: the project's folder.
        experiment: the start of its id; all of them if "".
    """
    try:
        folders = [one for one in (home / FOLDER).iterdir() if one.name.startswith(experiment)]
    except OSError:
        return []
    seen = [one for folder in folders if (one := _read(folder)) is not None]
    return sorted(seen, key=lambda one: one.job.began_unix_s)


def newest_of(home: Path) -> dict[str, Sitting]:
    """Return by experiment the sitting that tells most of it: one that goes, else the newest."""
    found: dict[str, Sitting] = {}
    for one in sittings_of(home):
        if one.goes or one.name not in found or not found[one.name].goes:
            found[one.name] = one
    return found


def _read(folder: Path) -> Sitting | None:
    """Read a sitting; None where it is none, or half of one."""
    try:
        job = _job_of(json.loads((folder / "job.json").read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    try:
        state = _state_of(json.loads((folder / "state.json").read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        state = State()
    return Sitting(folder=folder, job=job, state=state, life=_life(folder, job, state))


def _job_of(body: dict[str, Any]) -> Job:
    return Job(**{**body, "argv": tuple(word if word is None else str(word) for word in body["argv"])})


def _state_of(body: dict[str, Any]) -> State:
    ending = body["ending"] and Ending(**{**body["ending"], "words": tuple(body["ending"]["words"])})
    runs = tuple(Going(**one) for one in body["runs"])
    return State(**{**body, "runs": runs, "noticed": tuple(body["noticed"]), "ending": ending})


def _life(folder: Path, job: Job, state: State) -> Life:
    held = _is_held(folder)
    if held is None:  # locks say nothing here
        held = job.is_process
    if held:
        return "goes" if job.here else "elsewhere"
    if state.ending is not None:
        return "ended"
    if not job.here and time.time() - state.at_unix_s < SILENT_S:  # of locks nothing may be known across machines
        return "elsewhere"
    return "interrupted"


def _is_held(folder: Path) -> bool | None:
    """Return whether a process has a sitting's lock; None where nobody can tell. Those who look share the lock."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return None if not lock(descriptor, shared=True) else False
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)


def argv_kept(argv: list[str], known: tuple[str, ...]) -> tuple[str | None, ...]:
    """Return a command line as it is kept: None for each word that holds a secret.

    Args:
        argv: the words.
        known: values that are secret wherever they stand.

    >>> argv_kept(["run", "t.py", "-c", "lr=1", "--", "--password", "hunter2x"], ())
    ('run', 't.py', '-c', 'lr=1', '--', '--password', None)
    """
    words: list[Any] = sealed("", list(argv))
    return tuple(None if _is_secret(word, known) else word for word in words)


def _is_secret(word: Any, known: tuple[str, ...]) -> bool:
    if isinstance(word, Secret):
        return True
    name, equals, value = word.partition("=")
    return redact_text(word, known) != word or (bool(equals) and isinstance(sealed(name.lstrip("-"), value), Secret))


def _forget_after_fork() -> None:
    for held in list(_all):
        held.close()


os.register_at_fork(after_in_child=_forget_after_fork)
