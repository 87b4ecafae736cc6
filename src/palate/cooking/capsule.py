"""Capsules: all that decides the future of a run, taken between two steps and written beside the loop.

    keeper = Keeper(folder)
    keeper.keep(step, body)          # copies the tensors, which is all that the training waits for
    read_capsule(path)               # nothing in it is executed

A capsule is a file of torch's; `storable` says what it holds. Beside it stands what
it is of, as JSON, so that lists need no torch.
"""

import collections
import contextlib
import copy
import importlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from palate.atomic import name_beside, replace_file
from palate.cooking.storable import restored, storable
from palate.errors import NotFoundError, StoreError
from palate.question.branch import capsule_path
from palate.store.private import make_folder

FOLDER, FORMAT = "capsules", 1


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a capsule is of; kept beside it as JSON.

    Attributes:
        step: steps that were done.
        stage, epoch, position: where in the training: number of the stage, of the pass, batches of the pass.
        bytes: its size.
        unix_s: when it was taken.
        parts: names of what it holds, with their types.
        left_out: what it does not hold though the training has it, a line each.
        why: what it was taken for: "start", "kept", "tasted", "season".
        versions: of Python and torch.
        seed: of the run, where it is known.
        knobs: what could be turned then, with what was in force.
    """

    step: int
    stage: int = 0
    epoch: int = 0
    position: int = 0
    bytes: int = 0
    unix_s: float = 0.0
    parts: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    why: str = "kept"
    versions: Mapping[str, str]
    seed: int | None = None
    knobs: Mapping[str, float | str | None] = field(default_factory=dict)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read it from JSON data; what a newer palate added is left out."""
        known = {one.name: body[one.name] for one in fields(cls) if one.name in body}
        return cls(**{**known, "left_out": tuple(known.get("left_out", ()))})


def capsules_of(folder: Path) -> dict[int, About]:
    """Return what capsules a run has, by step; those that are whole."""
    found = {}
    for path in sorted((folder / FOLDER).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            about = About.read(json.loads(path.read_text(encoding="utf-8")))
            if path.with_suffix(".pt").stat().st_size == about.bytes:
                found[about.step] = about
    return found


def capsule_before(folder: Path, step: int) -> tuple[Path, About]:
    """Return a run's last capsule at or before a step.

    Raises:
        NotFoundError: it has none.
    """
    kept = {at: about for at, about in capsules_of(folder).items() if at <= step}
    if not kept:
        raise NotFoundError(
            f"{folder.name} has no capsule at or before step {step}.",
            why="A fork leaves from a capsule; palate.start keeps them while the training goes.",
            todo="Run the training again with palate.start and run.steps, or name a later step: --at",
        )
    return capsule_path(folder, max(kept)), kept[max(kept)]


def read_capsule(path: Path) -> dict[str, Any]:
    """Return what a capsule holds; nothing in it is executed.

    Raises:
        StoreError: it cannot be read, is damaged, or is of a newer palate.
    """
    torch = importlib.import_module("torch")

    try:
        body: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        form = body["format"]
    except Exception as error:
        raise StoreError(
            f"The capsule {path} cannot be read.",
            why=f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}",
            todo="Fork from another one: palate fork RUN --at STEP",
        ) from error
    if form != FORMAT:
        raise StoreError(f"The capsule {path} is of format {form}; this palate reads {FORMAT}.", todo="Update palate.")
    try:
        return {name: restored(value) for name, value in body.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"The capsule {path} holds what palate does not write.", why=f"{type(error).__name__}: {error}"
        ) from error


class Keeper:
    """Copies what a capsule holds and writes it in a thread of its own.

    The tensors are copied into memory that the capsule before it used: .02 s for 10 million parameters with Adam, and
    .07 s for the first one, whose memory is new. The rest is done in the thread. While one capsule is being written,
    another one that is merely kept is left out; one that somebody needs (`needed`) is waited for.

    Args:
        folder: the run's.
        say: hears what went wrong, in a sentence; the training is never disturbed.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._waiting: queue.Queue[tuple[About, Any] | None] = queue.Queue()
        self._free = threading.Event()
        self._free.set()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._memory: dict[tuple[Any, ...], list[Any]] = {}
        self.cost_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether a capsule is still being written."""
        return not self._free.is_set()

    def keep(self, about: About, body: Mapping[str, Any], *, needed: bool = False) -> bool:
        """Take a capsule now, write it later; return whether it is taken."""
        if self.busy and not needed:
            return False
        started_s = time.perf_counter()
        self._free.wait()
        copied = _Copier(self._memory).copy(body)
        self.cost_s = time.perf_counter() - started_s
        self._free.clear()
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="palate-capsules", daemon=True)
            self._thread.start()
        self._waiting.put((about, copied))
        return True

    def wait(self) -> None:
        """Wait until all that was taken is written."""
        if self._process == os.getpid():
            self._free.wait()

    def close(self) -> None:
        """Wait until all is written, and end the thread."""
        self.wait()
        if self._thread is not None and self._process == os.getpid():
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _write_all(self) -> None:
        while (taken := self._waiting.get()) is not None:
            try:
                write_capsule(self._folder, *taken)
            except Exception as error:  # noqa: BLE001  an outermost loop: the training goes on without this capsule
                self._say(f"The capsule of step {taken[0].step} could not be written: {type(error).__name__}: {error}")
            finally:
                self._free.set()


def write_capsule(folder: Path, about: About, body: Mapping[str, Any]) -> About:
    """Write a capsule and what it is of, each whole or not at all; return what it is of, with its size.

    Raises:
        OSError: it cannot be written.
    """
    torch = importlib.import_module("torch")

    left_out: list[str] = list(about.left_out)
    path = capsule_path(folder, about.step)
    make_folder(path.parent)
    beside = name_beside(path)
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            torch.save({"format": FORMAT, **storable(body, "", left_out)}, file)
            file.flush()
            os.fsync(file.fileno())
        size = beside.stat().st_size
        beside.replace(path)
    except RuntimeError as error:  # how torch tells of a disk that is full
        raise OSError(str(error).splitlines()[0]) from error
    finally:
        beside.unlink(missing_ok=True)
    told = {**asdict(about), "bytes": size, "unix_s": time.time(), "left_out": left_out}
    replace_file(path.with_suffix(".json"), json.dumps(told).encode(), 0o600)
    return About.read(told)


def remove_capsule(folder: Path, step: int) -> None:
    """Remove one; what it is of goes first, so that nobody finds half of it."""
    path = capsule_path(folder, step)
    for one in (path.with_suffix(".json"), path):
        with contextlib.suppress(OSError):
            one.unlink()


def _copy_of(value: Any) -> Any:
    """Return a copy of an object; itself where none can be made: what cannot be copied is not stored either."""
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001  any object's own code raises anything
        return value


class _Copier:
    """Copies tensors into memory that is used again, each storage once."""

    def __init__(self, memory: dict[tuple[Any, ...], list[Any]]) -> None:
        self._memory = memory
        self._used: dict[tuple[Any, ...], int] = {}
        self._done: dict[tuple[Any, ...], Any] = {}

    def copy(self, value: Any) -> Any:
        """Return a copy of a structure whose tensors are its own."""
        if type(value) in (dict, collections.Counter, collections.OrderedDict):
            return type(value)({key: self.copy(one) for key, one in value.items()})
        if type(value) in (list, tuple):
            return type(value)([self.copy(one) for one in value])
        return self._tensor(value) if hasattr(value, "untyped_storage") else _copy_of(value)

    def _tensor(self, tensor: Any) -> Any:
        tensor = tensor.detach()
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if place not in self._done or not tensor.numel():
            self._done[place] = self._into_memory(tensor)
        return self._done[place]

    def _into_memory(self, tensor: Any) -> Any:
        if not tensor.is_contiguous() or tensor.device.type != "cpu":
            return tensor.clone().cpu()
        kind = (tensor.dtype, tuple(tensor.shape))
        place = self._used.get(kind, 0)
        self._used[kind] = place + 1
        known = self._memory.setdefault(kind, [])
        if place == len(known):
            known.append(tensor.clone())
            return known[place]
        np = importlib.import_module("numpy")
        torch = importlib.import_module("torch")

        # numpy copies in this thread; torch would wake its threads, and wait for all of them on a machine that is busy
        np.copyto(*(one.reshape(-1).view(torch.uint8).numpy() for one in (known[place], tensor)))
        return known[place]
