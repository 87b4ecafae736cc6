"""The run as training code sees it; standard library only, so that it costs a training process nothing."""

import atexit
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from palate.errors import InputError, SettingError
from palate.recipe.codec import decode, encode
from palate.recipe.settings import apply_changes, with_changes
from palate.store.journal import Journal
from palate.store.project import find_project

FOLDER, SEED, SETTINGS = "PALATE_RUN_DIR", "PALATE_SEED", "PALATE_SETTINGS"


class Run:
    """One run: where training code logs to, and what it was told.

    Attributes:
        folder: the run's folder; put whatever belongs to the run there.
        seed: the seed of this run, None outside of `palate run`.
        settings: the settings it was started with.
    """

    def __init__(self, folder: Path, *, seed: int | None = None, settings: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.seed = seed
        self.settings: Mapping[str, Any] = dict(settings or {})
        self._journal: Journal | None = None

    @property
    def id(self) -> str:
        """The run's name: its folder's."""
        return self.folder.name

    @property
    def journal(self) -> Journal:
        """The run's journal, opened at the first need."""
        if self._journal is None:
            self._journal = Journal.open(self.folder / "journal")
        return self._journal

    def log(self, step: int | None = None, /, **metrics: float) -> None:
        """Log metrics at a step; about 3 us, survives kill -9.

        Args:
            step: a whole number; one more than the last if left out.
            metrics: one number each. NaN and infinities are kept, and end the run as failed if they come last.

        Raises:
            InputError: a step that is no whole number, or a value that is no number.
            JournalTakenError: another process logs to this run.
        """
        journal = self._journal or self.journal
        journal.log(journal.last_step + 1 if step is None else step, metrics)

    def examples(self, right: Iterable[bool]) -> None:
        """Keep, for each test example in a fixed order, whether this run got it right.

        With few pairs, what both arms disagree on is a floor for how far seeds can be trusted. Call it once, at the
        end; 10,000 examples take 2.5 kB.
        """
        told = [bool(one) for one in right]
        packed = sum(1 << place for place, one in enumerate(told) if one).to_bytes((len(told) + 7) // 8, "little")
        self.journal.event("examples", n=len(told), right=packed.hex())

    def close(self) -> None:
        """Sync and close the journal."""
        if self._journal is not None:
            self._journal.close()

    def begin_own(self, label: str) -> None:
        """Write into the journal of a run that nobody planned what it is a run of."""
        encoded = {name: encode(value) for name, value in self.settings.items()}
        self.journal.event("recipe", key="", label=label, seed=self.seed, settings=encoded)

    def end_own(self, fault: BaseException | None) -> None:
        """Write into the journal of a run that nobody planned how it ended, and close it.

        Args:
            fault: what ended it; None where nothing did.
        """
        if self._journal is not None:
            exit_word = "ok" if fault is None else "stopped" if isinstance(fault, KeyboardInterrupt) else "crashed"
            self.journal.event("ending", exit=exit_word, detail="" if fault is None else repr(fault)[:200])
        self.close()


_current: Run | None = None


_declared: dict[str, Any] = {}


def current_run() -> Run:
    """Give this process's run: the one `palate run` started it for, else a new one in the project's folder."""
    global _current
    if _current is None:
        if os.environ.get(FOLDER):
            _current = Run(Path(os.environ[FOLDER]), seed=_seed(), settings=_told())
            atexit.register(_current.close)
        else:
            _current = _own_run()
            atexit.register(_end_own, _current, os.getpid())
    return _current


def _end_own(run: Run, process: int) -> None:
    """End this process's own run as the process ends: by a fault that nobody caught, if there is one.

    At a prompt and in notebooks faults end nothing, so the last one says nothing of the run.
    """
    if os.getpid() == process:
        run.end_own(None if hasattr(sys, "ps1") else getattr(sys, "last_value", None))


def set_current(run: Run | None) -> None:
    """Make `run` the one that `palate.log` writes to."""
    global _current
    _current = run


def new_run_folder(label: str) -> Path:
    """Name a folder for a run that nobody planned: when, what, which process, and of several at once which."""
    runs = find_project(Path.cwd(), os.environ).runs
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{label}-{os.getpid()}"
    names = itertools.chain([name], (f"{name}-{place}" for place in itertools.count(2)))
    return next(folder for one in names if not (folder := runs / one).exists())


def _own_run() -> Run:
    label = Path(sys.argv[0] if sys.argv and sys.argv[0] else "notebook").stem or "run"
    folder = new_run_folder(label)
    find_project(Path.cwd(), os.environ).make()
    run = Run(folder, settings=_declared)
    run.begin_own(label)
    return run


def log(step: int | None = None, /, **metrics: float) -> None:
    """Log metrics at a step of this process's run: `palate.log(step, val_acc=0.93)`. See `Run.log`."""
    current_run().log(step, **metrics)


def settings(**defaults: Any) -> SimpleNamespace:
    """Declare a script's settings with their defaults; get them as `palate run -c name=value` changed them.

    Raises:
        SettingError: a change names a setting that is not declared here.
    """
    told = _told()
    changes = apply_changes(defaults, told, flag="-c") if told else ()
    if told and set(told) - set(defaults):
        raise SettingError(f"{sorted(set(told) - set(defaults))} are not declared by this script's palate.settings().")
    kept = with_changes(defaults, changes)
    _declared.update(kept)
    return SimpleNamespace(**kept)


def _told() -> dict[str, Any]:
    text = os.environ.get(SETTINGS)
    return {name: decode(value) for name, value in json.loads(text).items()} if text else {}


def _seed() -> int | None:
    return int(os.environ[SEED]) if os.environ.get(SEED) else None


def environment_of(folder: Path, seed: int, told: Mapping[str, Any]) -> dict[str, str]:
    """Give the environment variables that tell a process its run, its seed and its settings."""
    encoded = json.dumps({name: encode(value) for name, value in told.items()})
    return {FOLDER: str(folder), SEED: str(seed), SETTINGS: encoded}


def seed_everything(seed: int | None = None) -> int:
    """Seed Python, and numpy and torch (CUDA included) where they are imported; give the seed used.

    Args:
        seed: a whole number from 0 to 2**32 - 1; what `palate run` chose (PALATE_SEED) if None, else 0.

    Raises:
        InputError: the seed is out of range.
    """
    chosen = int(os.environ.get("PALATE_SEED") or 0) if seed is None else seed
    if not 0 <= chosen < 2**32:
        raise InputError(f"seed {chosen} is not between 0 and 2**32 - 1: numpy would refuse it.")
    random.seed(chosen)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(chosen)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(chosen)
    return chosen
