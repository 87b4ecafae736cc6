"""Where runs are placed: one a GPU, more where the first run's peak memory permits, by cores where no GPU is used.

The decisions are functions of figures. `Places` carries them out: it gives each run its devices when it starts, takes
them back when it has ended, and learns from what runs took. Standard library only.
"""

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from palate.training.devices import HIDDEN, Device, environment_for, filled_words, size_words
from palate.training.usage import Usage

THREAD_NAMES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that say how many threads libraries use."""

ROOM = 0.9
"""Share of a GPU's memory that runs may take together: what is reserved comes in pieces, and peaks differ by seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the person said of how runs are placed; None where nothing.

    Attributes:
        workers: runs at a time.
        per_gpu: runs a GPU; 0 hides the GPUs.
        threads: CPU threads a run.
        overrules: whether that number was said for palate, and overrules the environment's.
    """

    workers: int | None = None
    per_gpu: int | None = None
    threads: int | None = None
    overrules: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How many runs go where.

    Attributes:
        workers: runs at a time.
        threads: CPU threads a run.
        per_gpu: runs a GPU; 0 where runs are placed by cores.
        each: GPUs a run.
    """

    workers: int
    threads: int
    per_gpu: int = 0
    each: int = 0


def share_out(cores: int, workers: int | None = None, threads: int | None = None) -> tuple[int, int]:
    """Share the cores out: (runs at a time, threads a run). A run gets one thread unless there are fewer runs.

    >>> share_out(16), share_out(16, workers=4), share_out(2, threads=2)
    ((16, 1), (4, 4), (1, 2))
    """
    if workers is None:
        workers = max(1, cores // (threads or 1))
    return workers, threads or max(1, cores // workers)


def count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_variables(environ: Mapping[str, str], threads: int, *, overruled: bool = False) -> dict[str, str]:
    """Return the variables that say how many threads libraries use: as the person set them, else by a number.

    >>> thread_variables({"OMP_NUM_THREADS": "1"}, 4)["OMP_NUM_THREADS"]
    '1'

    Args:
        environ: the person's environment.
        threads: that a run has.
        overruled: whether the person said that number later, for palate.
    """
    given = {} if overruled else environ
    return {name: given.get(name) or str(threads) for name in THREAD_NAMES}


def threads_said(environ: Mapping[str, str]) -> int | None:
    """Return how many threads the person's environment gives a program; None where it says nothing.

    >>> threads_said({"OMP_NUM_THREADS": "4,2"}), threads_said({"MKL_NUM_THREADS": "3"}), threads_said({})
    (4, 3, None)
    """
    for name in THREAD_NAMES:
        first = environ.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first):
            return int(first)
    return None


def by_cores(cores: int, wish: Wish) -> Layout:
    """Place runs by cores alone."""
    workers, threads = share_out(cores, wish.workers, wish.threads)
    return Layout(workers=workers, threads=threads)


def lay_out(gpus: int, cores: int, wish: Wish, processes: int = 1) -> Layout:
    """Place runs before anything is known of them: one a GPU, and as many GPUs a run as it starts processes.

    Fewer runs than GPUs share all of them: with one run at a time, it sees every GPU, as by hand.

    >>> lay_out(4, 32, Wish()), lay_out(2, 32, Wish(workers=1))
    (Layout(workers=4, threads=8, per_gpu=1, each=1), Layout(workers=1, threads=32, per_gpu=1, each=2))

    Args:
        gpus: that may be used.
        cores: that may be used.
        wish: what the person said.
        processes: that the run's command starts together, one a GPU.
    """
    if not gpus or wish.per_gpu == 0:
        return by_cores(cores, wish)
    each = min(max(processes, 1), gpus)
    if wish.workers is not None and wish.per_gpu is None:
        each = max(each, gpus // wish.workers)
    places = gpus // each
    per_gpu = wish.per_gpu or max(1, math.ceil((wish.workers or 1) / places))
    workers = min(wish.workers or places * per_gpu, places * per_gpu)
    return Layout(workers=workers, threads=wish.threads or max(1, cores // workers), per_gpu=per_gpu, each=each)


def by_memory(layout: Layout, gpus: int, cores: int, wish: Wish, *, free: int, peak: int) -> Layout:
    """Place as many runs a GPU as its memory has room for, as far as there are cores; at least one.

    >>> by_memory(lay_out(2, 16, Wish()), 2, 16, Wish(), free=80 << 30, peak=20 << 30)
    Layout(workers=6, threads=2, per_gpu=3, each=1)

    Args:
        layout: the one so far.
        gpus: that may be used.
        cores: that may be used.
        wish: what the person said.
        free: bytes of a GPU that other programs do not hold: of the one that has the fewest.
        peak: bytes of a GPU that a run took at most.
    """
    places = max(gpus // max(layout.each, 1), 1)
    fits = math.floor(ROOM * free / peak)
    most = max(cores // (wish.threads or 1) // places, 1)
    per_gpu = max(1, min(fits, most))
    workers = places * per_gpu
    return replace(layout, per_gpu=per_gpu, workers=workers, threads=wish.threads or max(1, cores // workers))


class Places:
    """The places that runs take, of one question or one command.

    Args:
        wish: what the person said.
        cores: that may be used.
        find: looks which GPUs may be used; called when it is first needed, as that may take a moment.
        processes: that a run's command starts together.
    """

    def __init__(
        self,
        wish: Wish,
        *,
        cores: int | None = None,
        find: Callable[[], tuple[Device, ...]] = tuple,
        processes: int = 1,
    ) -> None:
        self._wish, self._cores, self._processes = wish, cores or count_cores(), processes
        self._find: Callable[[], tuple[Device, ...]] | None = find
        self._devices: tuple[Device, ...] = ()
        self._layout = by_cores(self._cores, wish)
        self._most: int | None = None
        self._peak: int | None = None
        self._going: dict[str, tuple[Device, ...]] = {}
        self._groups: dict[str, tuple[str, int]] = {}
        self._beside: dict[str, tuple[set[str], set[str]]] = {}

    def thread_variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that say how many threads a run's libraries use: the person's own stand as they are."""
        return thread_variables(environ, self.threads, overruled=self._wish.overrules)

    @property
    def said(self) -> bool:
        """Whether the person said how many runs go at a time, or a GPU: then nothing that is learned changes it."""
        return self._wish.workers is not None or self._wish.per_gpu is not None

    @property
    def hidden(self) -> bool:
        """Whether the person wants no GPU to be seen."""
        return self._wish.per_gpu == 0

    @property
    def devices(self) -> tuple[Device, ...]:
        """The GPUs that runs are placed on; none where they are placed by cores."""
        return self._devices if self.layout.per_gpu else ()

    @property
    def layout(self) -> Layout:
        """How many runs go where, as far as is known by now."""
        if self._find is not None:
            find, self._find = self._find, None
            self._devices = () if self._wish.per_gpu == 0 else find()
            self._layout = lay_out(len(self._devices), self._cores, self._wish, self._processes)
        return self._layout

    @property
    def workers(self) -> int:
        """Runs at a time."""
        return min(self.layout.workers, self._most or self.layout.workers)

    @property
    def threads(self) -> int:
        """CPU threads a run."""
        return self.layout.threads

    def words(self) -> list[str]:
        """Say how runs are placed at first, where there are GPUs."""
        if not self.devices:
            said = (
                self._wish.per_gpu and "No GPU was found: --per-gpu counts for nothing, and runs are placed by cores."
            )
            return [said] if said else []
        layout, count = self.layout, len(self._devices)
        one = f"{count} GPU{'s' * (count > 1)}: {layout.workers} run{'s' * (layout.workers > 1)} at a time"
        each = "" if layout.each < 2 else f", each on {layout.each} of them"
        return [f"{one}{each}.", *filled_words(self._devices)]

    def has_room(self, processes: int = 1) -> bool:
        """Return whether there is room for one more run on the GPUs; by cores, others count."""
        return not self.devices or self._chosen(processes) is not None

    def take(self, run_id: str, *, processes: int = 1, group: str = "") -> dict[str, str]:
        """Give a run its devices; return the environment in which it sees them.

        Args:
            run_id: of the run.
            processes: that its command starts together.
            group: of runs that are computed together: they share one place.
        """
        if self._wish.per_gpu == 0:
            self._going[run_id] = ()
            self._meet(run_id)
            return HIDDEN
        known = next((self._going[one] for one, (of, _) in self._groups.items() if group and of == group), None)
        chosen = known if known is not None else self._chosen(processes) or self.devices[: self.layout.each]
        self._groups[run_id] = (group, 0 if known is not None else 1)
        self._going[run_id] = chosen
        self._meet(run_id)
        return environment_for(chosen)

    def release(self, run_id: str) -> tuple[Device, ...]:
        """Take back the devices of a run that has ended; return them."""
        self._groups.pop(run_id, None)
        return self._going.pop(run_id, ())

    def beside(self, run_id: str, *, on_gpu: bool) -> int:
        """Return how many other runs went while a run did: on a GPU of its own, or anywhere; told once."""
        near, far = self._beside.pop(run_id, (set(), set()))
        return len(near if on_gpu else far)

    def learn(self, usage: Usage) -> str:
        """Learn from what a run took: place more a GPU, fewer, or by cores; return what changed, in words, else ""."""
        if self.said or not self.devices or usage.gpu_peak is None:
            return ""
        first, self._peak = self._peak is None, max(self._peak or 0, usage.gpu_peak)
        if not self._peak:
            self._layout = by_cores(self._cores, self._wish)
            return f"The first run used no GPU: from now on runs are placed by cores, {self.workers} at a time."
        free = [device.total - (device.used or 0) for device in self._devices if device.total]
        if len(free) < len(self._devices):
            return ""
        fits = by_memory(
            self._layout, len(self._devices), self._cores, self._wish, free=max(min(free), 0), peak=self._peak
        )
        return self._change(fits, first=first)

    def _change(self, fits: Layout, *, first: bool) -> str:
        """Place runs anew, more a GPU only after the first run."""
        before = self._layout
        if fits.per_gpu == before.per_gpu or (fits.per_gpu > before.per_gpu and not first):
            return ""
        self._layout = fits
        took = f"{'The first run' if first else 'A run'} took {size_words(self._peak)} of its GPU"
        return f"{took}: {fits.per_gpu} a GPU from now on, {self.workers} at a time (--per-gpu N says otherwise)."

    def limit(self, workers: int) -> None:
        """Make so many runs at a time from now on, at most."""
        self._most = workers

    def fewer(self, *, on_gpu: bool) -> int:
        """Place half as many runs at once from now on, a GPU or in all; return how many that is."""
        if not on_gpu or not self.devices:
            self._most = max(self.workers // 2, 1)
            return self._most
        per_gpu = max(self._layout.per_gpu // 2, 1)
        places = max(len(self._devices) // max(self._layout.each, 1), 1)
        self._layout = replace(self._layout, per_gpu=per_gpu, workers=min(self._layout.workers, places * per_gpu))
        self._wish = replace(self._wish, per_gpu=per_gpu)  # what was learned of memory does not raise it again
        return per_gpu

    def withdraw(self, lost: Collection[Device]) -> bool:
        """Give no run these devices any more; return whether there are others."""
        self._devices = tuple(one for one in self._devices if one not in lost)
        if not self._devices:
            return False
        wish = replace(self._wish, workers=min(self._layout.workers, len(self._devices) * self._layout.per_gpu))
        self._layout = lay_out(len(self._devices), self._cores, wish, self._processes)
        return True

    def _chosen(self, processes: int) -> tuple[Device, ...] | None:
        """Return the devices with the fewest runs that have room for one more; None where there are not enough."""
        loads = {device.id: 0 for device in self.devices}
        for run_id, devices in self._going.items():
            for device in devices:
                if device.id in loads:
                    loads[device.id] += self._groups.get(run_id, ("", 1))[1]
        free = [one for one in self.devices if loads[one.id] < self.layout.per_gpu]
        count = min(max(processes, self.layout.each), len(self.devices))
        return tuple(sorted(free, key=lambda one: loads[one.id])[:count]) if len(free) >= count else None

    def _meet(self, run_id: str) -> None:
        """Note which runs go at once, and which of them have a GPU in common."""
        mine = set(self._going[run_id])
        self._beside[run_id] = (set(), set())
        for other, devices in self._going.items():
            if other == run_id:
                continue
            for one, its in ((run_id, other), (other, run_id)):
                near, far = self._beside.setdefault(one, (set(), set()))
                far.add(its)
                if not mine.isdisjoint(devices):
                    near.add(its)
