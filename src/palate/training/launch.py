"""."""

from dataclasses import dataclass

from palate.question.target import Target
from palate.training.local import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kitchen:
    """What runs are carried out with: runs at a time, threads a run, seconds a run may take."""

    workers: int
    threads: int
    timeout_s: float | None = None


def start_pool(target: Target, kitchen: Kitchen) -> Pool:
    """Start the warm worker for a target."""
    return Pool(target.task, workers=kitchen.workers, threads=kitchen.threads, timeout_s=kitchen.timeout_s)
