"""What runs cost: time, peak memory, GPU-hours; read from their journals, and said of the pairs that are to come."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palate.errors import PalateError
from palate.loop.results import Results
from palate.store.project import Project
from palate.store.reader import read_event
from palate.training.devices import size_words
from palate.training.usage import Usage
from palate.verdict.words import duration_words

WORTH_A_WORD = 1 << 30
"""Bytes of memory from which on a run's are said with the verdict, where it uses no GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the runs of a question cost.

    Attributes:
        pair_s: seconds that one more pair costs, one run after the other.
        pair_gpu_hours: GPU-hours of it; 0 where no GPU is used, or nobody can tell.
        gpu_hours: GPU-hours of all runs that are there.
        cpu_peak: bytes of memory that a run took at most; 0 where nobody looked.
        gpu_peak: bytes of a GPU that a run took at most; None where nobody can tell.
        device: the GPU's name.
    """

    pair_s: float
    pair_gpu_hours: float = 0.0
    gpu_hours: float = 0.0
    cpu_peak: int = 0
    gpu_peak: int | None = None
    device: str = ""

    @property
    def words(self) -> str:
        """What a run takes at most, and all of them together, in a clause; "" where it is not worth a word."""
        if not self.gpu_peak and self.cpu_peak < WORTH_A_WORD:
            return ""
        took = f"a run took {size_words(self.cpu_peak)} of memory at most"
        if not self.gpu_peak:
            return took
        named = f" ({self.device})" if self.device else ""
        return f"{took}, {size_words(self.gpu_peak)} of its GPU{named}; {hours_words(self.gpu_hours)} in all"


def cost_of(project: Project, results: Results) -> Cost | None:
    """Return what the runs that ended cost; None where there is none."""
    runs = [result for by_seed in results.values() for result in by_seed.values()]
    arms = sum(1 for by_seed in results.values() if by_seed)
    if not runs:
        return None
    taken = {one.id: usage for one in runs if (usage := usage_of(project, one.id)) is not None}
    hours = [taken[one.id].gpu_hours(one.elapsed_s) for one in runs if one.id in taken]
    peaks = [one.gpu_peak for one in taken.values() if one.gpu_peak is not None]
    return Cost(
        pair_s=arms * sum(one.elapsed_s for one in runs) / len(runs),
        pair_gpu_hours=arms * sum(hours) / len(hours) if hours else 0.0,
        gpu_hours=sum(hours),
        cpu_peak=max((one.cpu_peak for one in taken.values()), default=0),
        gpu_peak=max(peaks, default=None),
        device=next((one.device for one in taken.values() if one.used_gpu and one.device), ""),
    )


def usage_of(project: Project, run_id: str) -> Usage | None:
    """Return what a run took; None where nobody looked, or its journal cannot be read."""
    with contextlib.suppress(PalateError, OSError, TypeError):
        event = read_event(project.journal(run_id), "usage")
        return None if event is None else Usage.read(event)
    return None


def hours_words(hours: float) -> str:
    """Return GPU-hours with two figures: `.4 GPU-hours`.

    >>> hours_words(0.4), hours_words(12.34), hours_words(0.00123)
    ('.4 GPU-hours', '12 GPU-hours', '.0012 GPU-hours')
    """
    text = f"{hours:.0f}" if hours >= 10 else f"{hours:.4f}" if hours < 0.01 else f"{hours:.2g}"
    return f"{text.removeprefix('0')} GPU-hours"


def usage_words(usage: Usage, elapsed_s: float) -> str:
    """Say what one run took, in a line."""
    parts = [duration_words(elapsed_s), f"{size_words(usage.cpu_peak)} of memory at most"]
    if usage.used_gpu:
        named = f" ({usage.device})" if usage.device else ""
        parts += [f"{size_words(usage.gpu_peak)} of its GPU{named}", hours_words(usage.gpu_hours(elapsed_s))]
    elif usage.gpus and usage.gpu_peak is None:
        parts.append("what it took of its GPU cannot be told")
    return f"It took {', '.join(parts)}."


def usage_document(usage: Usage, elapsed_s: float) -> Mapping[str, Any]:
    """Return what one run took as plain JSON data."""
    return {**usage.body(), "gpu_hours": round(usage.gpu_hours(elapsed_s), 6)}
