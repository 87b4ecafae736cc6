"""What training code calls: the current run, `log`, `settings` and `seed_everything`; standard library only.

A process that `palate run` started finds its run, seed and settings in environment variables. In any other process, the
first use opens a run of its own in the project's folder: an own run.
"""

import atexit
import contextlib
import itertools
import json
import os
import random
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, Self

from palate.errors import InputError, SettingError
from palate.recipe.codec import Unread, decode, encode
from palate.recipe.settings import apply_changes, with_changes
from palate.store.journal import Journal, is_inside
from palate.store.journal_file import not_writable
from palate.store.project import find_project
from palate.store.row import refuse_bad_row
from palate.training.cooked import Cooked

if TYPE_CHECKING:
    from palate.cooking.heard import Heard
    from palate.cooking.live import Live
    from palate.cooking.stage import Every

FOLDER, SEED, SETTINGS = "PALATE_RUN_DIR", "PALATE_SEED", "PALATE_SETTINGS"
"""Environment variables of a run that `palate run` started."""

LONGEST_LABEL = 100
"""Characters of a label that are in the name of a run's folder."""

_current: "Run | None" = None
_declared: dict[str, Any] = {}

_first_use = threading.RLock()
"""Held while a run or a journal is opened: what several threads use first is opened once."""


class _Ear(Protocol):
    """What hears the script's own trackers."""

    def close(self) -> None:
        """Write what was held back."""


class Run(Cooked):
    """One run: its folder, its journal, its seed and its settings.

    Attributes:
        folder: the run's folder; other files of the run can be put there.
        settings: the settings it was started with.
    """

    def __init__(self, folder: Path, *, seed: int | None = None, settings: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self._seed = seed
        self.settings: Mapping[str, Any] = dict(settings or {})
        self._journal: Journal | None = None
        self._label: str | None = None
        self._early: deque[tuple[int | None, dict[str, float]]] = deque()
        self._live: Live | None = None
        self._heard: Heard | None = None
        self._taster: Any = None
        self._ear: _Ear | None = None
        self._closed = False

    @property
    def id(self) -> str:
        """The run's name, which is that of its folder."""
        return self.folder.name

    @property
    def seed(self) -> int | None:
        """The seed of this run; outside of `palate run` the one that `palate.start` was given, if any."""
        _tell("took seed", "run.seed", "")
        return self._seed

    @property
    def journal(self) -> Journal:
        """The run's journal, opened on first use."""
        return self._journal or self._open()

    @property
    def journal_if_open(self) -> Journal | None:
        """The run's journal where something was logged; None where nothing was."""
        return self._journal

    def listens(self, ear: "_Ear") -> None:
        """Take what hears the script's own trackers: it writes what it holds back before the journal is closed."""
        self._ear = ear

    def says_first_point(self) -> None:
        """Say that the first metric was logged, though it may be written later."""
        _at_first_point()

    def _open(self) -> Journal:
        """Open the journal, once; write what signal handlers logged meanwhile."""
        with _first_use:
            if self._journal is None:
                journal = Journal.open(self.folder / "journal")
                if self._label is not None:
                    journal.event("recipe", key="", label=self._label, seed=self._seed, settings=self._sealed())
                self._journal = journal
                _at_first_point()
            while self._early:
                self.log(self._early[0][0], **self._early[0][1])
                self._early.popleft()
            return self._journal

    def log(self, step: int | None = None, /, **metrics: float) -> None:
        """Log metrics at a step; takes about 3 us, and is not lost if the process is killed.

        Args:
            step: a whole number, first or by its name: `log(10, loss=0.3)`, `log(step=10, loss=0.3)`; one more than the
                last if left out, of whichever thread. No metric can be named "step".
            metrics: one number each. NaN and infinities are stored; a run that ends with one counts as failed.

        Raises:
            InputError: a step that is not a whole number or is given twice, or a value that is not a number.
            JournalTakenError: another process logs to this run.
        """
        if "step" in metrics:
            step = _step_by_name(step, metrics)
        journal = self._journal
        if journal is None:
            refuse_bad_row(step, metrics)
            if is_inside(sys._getframe(1), _OPENING, self):  # a signal handler, while this thread opens the journal
                self._early.append((step, metrics))
                return
            journal = self._open()
        journal.log(step, metrics)
        if self._live is not None:
            self._live.saw(metrics)
        elif self._heard is not None:
            self._heard.saw(metrics)

    def attach(
        self, *, seed: int | None = None, keep: "Every | None" = None, symptoms: bool = True, **parts: Any
    ) -> Self:
        """Hold a training: what it is made of, so that it can be tasted, seasoned and forked; return this run.

        Args:
            seed: of the training, where it is not `palate run` that chose it; noted, nothing is seeded with it.
            keep: when a capsule is kept: every(50); often at first, then seldom, if None.
            symptoms: whether it is watched for what often goes wrong.
            parts: models, optimizers, schedulers, scalers, averages, generators, and dictionaries and lists that the
                training writes into: `model=net, optimizer=opt, best=best`.

        Raises:
            InputError: a part has no state, or the run holds a training already.
            RefusedError: the capsule that it is to go on from is of another training.
        """
        from palate.cooking.live import Live  # not in every process that imports palate
        from palate.question.branch import branch_of_process

        if self._has_training:
            raise InputError("This run holds a training already.", todo="Call palate.start, or run.attach, once.")
        self._live = Live(self, parts, seed=seed, keep=keep, branch=branch_of_process(), symptoms=symptoms)
        return self

    def hear(self, engine: str) -> "Heard":
        """Hear of a training whose engine has the loop: it is logged and stopped, but not held; see `engines.ear`.

        Args:
            engine: what has the loop: "Keras".

        Raises:
            InputError: the run has a training already.
            RefusedError: this process was asked to depart from a plain run, which such a training cannot.
        """
        from palate.cooking.heard import Heard
        from palate.question.branch import branch_of_process

        if self._has_training:
            raise InputError(
                "This run has a training already.",
                why="A run is of one training: a second would log over its steps.",
                todo="Give the same Palate() to both fits: the second goes on in the run, and in its steps.",
            )
        self._heard = Heard(self, engine, branch_of_process())
        return self._heard

    @property
    def _has_training(self) -> bool:
        """Whether a training was begun in it, held or heard of."""
        return self._live is not None or self._heard is not None

    def examples(self, right: Iterable[bool]) -> None:
        """Store, for each test example in a fixed order, whether this run classified it correctly.

        With few pairs, the examples on which the arms disagree give a lower bound of the noise. Call it once, at the
        end; 10,000 examples take 2.5 kB.
        """
        bits = [bool(one) for one in right]
        packed = sum(1 << place for place, one in enumerate(bits) if one).to_bytes((len(bits) + 7) // 8, "little")
        self.journal.event("examples", n=len(bits), right=packed.hex())

    def close(self) -> None:
        """Write what the training still holds, sync and close the journal; a second call does nothing."""
        if self._live is not None and not self._closed:
            self._live.close()
        if self._heard is not None and not self._closed:
            self._heard.close()
        if self._ear is not None and not self._closed:
            self._ear.close()
        if self._journal is not None:
            self._journal.close()
        self._closed = True

    def begin_own(self, label: str) -> None:
        """Open the journal of an own run; its label, its seed and its settings are the first that is written."""
        self._label = label
        self._open()

    def end_own(self, fault: BaseException | None) -> None:
        """Write into the journal of an own run how it ended, and close it.

        Args:
            fault: the exception that ended it; None where there was none.
        """
        if self._journal is not None and not self._closed:
            exit_word = "ok" if fault is None else "stopped" if isinstance(fault, KeyboardInterrupt) else "crashed"
            try:
                if self._live is not None:
                    self._live.close()
                if self._heard is not None:
                    self._heard.close()
            finally:  # what the training still held may be lost, how it ended is not
                self._live = self._heard = None
                self.journal.event("ending", exit=exit_word, detail="" if fault is None else self._told(fault)[:200])
        self.close()

    def _sealed(self) -> dict[str, Any]:
        """Return the settings as they are kept, without what is secret."""
        from palate.redaction import sealed  # not in every process that imports palate

        return {name: encode(sealed(name, value)) for name, value in self.settings.items()}

    def _told(self, fault: BaseException) -> str:
        """Return an exception as text, without the secrets of this process."""
        from palate.redaction import known_secrets, redact_text

        return redact_text(repr(fault), known_secrets(os.environ, self.settings))


_OPENING = {Run._open.__code__}


def _step_by_name(step: int | None, metrics: dict[str, Any]) -> int | None:
    """Take the step that was given by its name out of the metrics."""
    named: int | None = metrics.pop("step")
    if step is None:
        return named
    raise InputError(
        f"log({step}, step={named}) gives the step twice.",
        why="`step` is where the metrics are logged, and no metric.",
        todo=f"Give it once: log({step}, loss=...), or name the metric otherwise: log({step}, train_step={named})",
    )


def start(
    label: str = "",
    *,
    seed: int | None = None,
    keep: "Every | None" = None,
    symptoms: bool = True,
    **parts: Any,
) -> Run:
    """Begin a training that palate holds; return its run, with steps, mix, taste and the like.

        run = palate.start("colorize", model=net, optimizer=opt, scheduler=sched)
        for x, y in run.steps(loader):
            loss = run.mix(l1=F.l1_loss(net(x), y))

    Nothing of it draws a random number: the training computes, bit for bit, what it computes without palate.

    Args:
        label: names the run where `palate run` did not start it; the script's name if empty.
        seed: see `Run.attach`, as the rest.
        keep: when a capsule is kept.
        symptoms: whether it is watched for what often goes wrong.
        parts: what the training is made of.

    Raises:
        InputError, RefusedError: see `Run.attach`.
    """
    return next_run(label, seed).attach(seed=seed, keep=keep, symptoms=symptoms, **parts)


def next_run(label: str = "", seed: int | None = None) -> Run:
    """Return the run that a training begins in; where this process's own run has had one, that ends and another begins.

    Args:
        label: names the run where `palate run` did not start it; the script's name if empty.
        seed: of the training; noted, nothing is seeded with it.
    """
    global _current
    held = _current is not None and (_current._has_training or _current._closed)
    if _current is not None and held and not os.environ.get(FOLDER):
        _current.end_own(None)  # a notebook, or a script, begins another training
        _note_origin(_current.folder, several=True)
        _current = None
    run = _current or _first_run(label, seed)
    if not os.environ.get(FOLDER):
        _note_origin(run.folder, several=held)
    return run


def _note_origin(folder: Path, *, several: bool) -> None:
    """Keep what started a run with it; where it cannot be, the run cannot be forked, which is said there."""
    from palate.question.origin import note_origin

    with contextlib.suppress(OSError):
        note_origin(folder, several=several)


def current_run() -> Run:
    """Return the run of this process: the one for which `palate run` started it, otherwise an own run."""
    return _current or _first_run()


def held_run() -> Run | None:
    """Return the run of this process where it holds a training; None where it does not."""
    return _current if _current is not None and _current._live is not None else None


def _first_run(label: str = "", seed: int | None = None) -> Run:
    """Open the run of this process; of several threads that come first, one does, and the others get the same."""
    global _current
    with _first_use:
        if _current is None and os.environ.get(FOLDER):
            _current = Run(Path(os.environ[FOLDER]), seed=_seed(), settings=_given_settings())
            atexit.register(_current.close)
        elif _current is None:
            label = label or _own_label()
            run = Run(new_run_folder(label), seed=seed, settings=_declared or _own_constants())
            if _current is None:  # else a signal handler came first
                _current = run
                atexit.register(_end_own, run, os.getpid())
                run.begin_own(label)
            else:
                run.folder.rmdir()
        return _current


def _own_constants() -> dict[str, Any]:
    """Return the constants of the script that runs, as they stand in its file now; what is not a plain value is not.

    So a run that was made by hand, of a script that declares no settings, tells later what it was a run of.
    """
    import ast  # only where a script is run by itself

    file = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        tree = ast.parse(Path(file).read_bytes()) if file and file.endswith(".py") else None
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, Any] = {}
    for node in tree.body if tree is not None else ():
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value is not None:
            with contextlib.suppress(ValueError, TypeError, MemoryError, RecursionError):
                value = ast.literal_eval(node.value)
                if isinstance(value, bool | int | float | str):
                    found.setdefault(target.id, value)
    return found


def set_current(run: Run | None) -> None:
    """Make `run` the one that `palate.log` writes to."""
    global _current
    with _first_use:
        _current = run


def log(step: int | None = None, /, **metrics: float) -> None:
    """Log metrics at a step of this process's run: `palate.log(step, val_acc=0.93)`. See `Run.log`."""
    run = _current
    if run is None:
        refuse_bad_row(step, metrics)  # before there is a run
        run = _first_run()
    run.log(step, **metrics)


def settings(**defaults: Any) -> SimpleNamespace:
    """Declare a script's settings with their defaults; return them with the changes of `palate run -c name=value`.

    A default that only the script itself can tell (`n=os.cpu_count()`) and that no change names stays what it is.

    Raises:
        SettingError: a change names a setting that is not declared here.
    """
    given = _given_settings()
    told = {name: value for name, value in given.items() if not isinstance(value, Unread)}
    changes = apply_changes(defaults, told, flag="-c") if told else ()
    if given and set(given) - set(defaults):
        raise SettingError(f"{sorted(set(given) - set(defaults))} are not declared by this script's palate.settings().")
    values = with_changes(defaults, changes)
    _declared.update(values)
    if "palate.training.received" in sys.modules:
        from palate.redaction import sealed_text

        _tell("settings", "palate.settings", {name: sealed_text(name, value)[:200] for name, value in values.items()})
    return SimpleNamespace(**values)


def seed_everything(seed: int | None = None) -> int:
    """Seed Python, and numpy and torch (CUDA included) where they are imported; return the seed used.

    Args:
        seed: a whole number from 0 to 2**32 - 1; what `palate run` chose (PALATE_SEED) if None, else 0.

    Raises:
        InputError: the seed is out of range.
    """
    chosen = int(os.environ.get("PALATE_SEED") or 0) if seed is None else seed
    if not 0 <= chosen < 2**32:
        raise InputError(f"seed {chosen} is not between 0 and 2**32 - 1: numpy would refuse it.")
    if seed is None:
        _tell("took seed", "palate.seed_everything", "")
    random.seed(chosen)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(chosen)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(chosen)
    return chosen


def _tell(kind: str, name: str, *what: Any) -> None:
    """Note what this process received, where a recorder listens."""
    received = sys.modules.get("palate.training.received")
    if received is not None:
        received.tell(kind, name, *what)


def _at_first_point() -> None:
    received = sys.modules.get("palate.training.received")
    if received is not None:
        received.at_first_point()


def close_current() -> None:
    """Close the run that `palate.log` writes to, if there is one, and forget it."""
    if _current is not None:
        _current.close()
    set_current(None)


def new_run_folder(label: str) -> Path:
    """Make a new folder for an own run: time, label, process, and a number where that exists.

    Raises:
        StoreError: the project's folder cannot be written.
    """
    project = find_project(Path.cwd(), os.environ)
    project.make()
    plain = re.sub(r"[^\w.+-]+", "-", label)[:LONGEST_LABEL]  # a label may be "cifar/resnet"
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{plain}-{os.getpid()}"
    for one in itertools.chain([name], (f"{name}-{place}" for place in itertools.count(2))):
        with contextlib.suppress(FileExistsError):  # of two threads, one makes it
            try:
                (project.runs / one).mkdir(mode=0o700 | project.runs.stat().st_mode & 0o077)
            except OSError as error:
                if isinstance(error, FileExistsError):
                    raise
                raise not_writable(project.runs / one, error) from error
            break
    return project.runs / one


def environment_of(folder: Path, seed: int, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a run: its folder, its seed and its settings."""
    encoded = json.dumps({name: encode(value) for name, value in settings.items()})
    return {FOLDER: str(folder), SEED: str(seed), SETTINGS: encoded}


def _own_label() -> str:
    return Path(sys.argv[0] if sys.argv and sys.argv[0] else "notebook").stem or "run"


def _end_own(run: Run, process: int) -> None:
    """End the own run of this process when the process ends, as failed by an uncaught exception where there is one.

    At an interactive prompt and in notebooks, exceptions do not end the run and are ignored.
    """
    if os.getpid() == process:
        run.end_own(None if hasattr(sys, "ps1") else getattr(sys, "last_value", None))


def _given_settings() -> dict[str, Any]:
    text = os.environ.get(SETTINGS)
    return {name: decode(value) for name, value in json.loads(text).items()} if text else {}


def _unlock_after_fork() -> None:
    """Let a forked child open a run of its own: a thread that was opening one when it forked is not there any more."""
    global _first_use
    _first_use = threading.RLock()


os.register_at_fork(after_in_child=_unlock_after_fork)


def _seed() -> int | None:
    return int(os.environ[SEED]) if os.environ.get(SEED) else None
