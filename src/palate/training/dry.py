"""A dry run: a training up to its first optimizer step, to read what is in force; nothing is trained."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from palate.errors import RunsFailedError, SetupFailedError
from palate.question.target import Target
from palate.recipe.document import loads
from palate.recipe.recipe import Recipe
from palate.recipe.settings import Change
from palate.training.local import Ended, Pool
from palate.training.outcome import tail_of
from palate.training.worker import RECIPE, UNREADABLE

DRY_SEED = 0


def capture_arms(
    target: Target, arms: Mapping[str, Sequence[Change]], *, pool: Pool, within_s: float | None = None
) -> dict[str, Recipe]:
    """Run each arm up to its first optimizer step, all at once, and read its recipe.

    Args:
        target: what is run.
        arms: the changes of each arm, by a name without slashes.
        pool: what carries the runs out; it stays open.
        within_s: seconds after which an arm that has not stepped is given up; it is left out of what is given.

    Raises:
        SetupFailedError: an arm fails before its first step, and `within_s` is None; else it is left out too.
    """
    found: dict[str, Recipe] = {}
    faults: list[SetupFailedError] = []
    with tempfile.TemporaryDirectory(prefix="palate-dry-") as folder:
        for name, changes in arms.items():
            here = Path(folder) / name
            here.mkdir()
            pool.submit(target.order(name, here, DRY_SEED, changes, capture="dry"))
        until = None if within_s is None else time.monotonic() + within_s
        waiting = set(arms)
        while waiting and (until is None or time.monotonic() < until):
            for ended in pool.poll():
                waiting.discard(ended.id)
                read = _read(Path(folder) / ended.id, ended)
                if isinstance(read, Recipe):
                    found[ended.id] = read
                else:
                    faults.append(read)
        for name in waiting:
            pool.give_up(name)
    if faults and within_s is None:
        raise faults[0]
    return found


def _read(folder: Path, ended: Ended) -> Recipe | SetupFailedError:
    path = folder / RECIPE
    if path.exists():
        return loads(path.read_text())
    printed = tail_of(folder / "output.log")
    if ended.status == UNREADABLE:
        return SetupFailedError(
            f"palate could not read this training ({ended.id}); the training itself is not at fault.",
            why=[f"| {line}" for line in printed],
            todo="Run it without being read; the lines above say what palate stumbled over.",
        )
    if not ended.status:
        return SetupFailedError("The program ended without being read: it is no Python that palate can watch.")
    return SetupFailedError(
        f"The training fails before its first optimizer step ({ended.id}, exit status {ended.status}).",
        why=[f"| {line}" for line in printed],
        todo="Mend it, then type the same command again.",
    )


def capture_target(target: Target, pool: Pool) -> Recipe:
    """Read the recipe of a target as it stands.

    Raises:
        RunsFailedError: it ended without one.
    """
    found = capture_arms(target, {"recipe": ()}, pool=pool)
    if "recipe" not in found:
        raise RunsFailedError(f"{target.label} ended without a recipe.", todo="palate doctor")
    return found["recipe"]
