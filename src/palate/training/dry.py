"""Dry runs: a training is run up to its first optimizer step, to read its recipe; nothing is trained."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from palate.errors import RunsFailedError, SetupFailedError
from palate.question.target import Target
from palate.recipe.document import loads
from palate.recipe.recipe import Recipe
from palate.recipe.settings import Change
from palate.training.apart import bring_home
from palate.training.launch import Ended, Engines
from palate.training.outcome import tail_of
from palate.training.worker import RECIPE, UNREADABLE

DRY_SEED = 0


def capture_arms(
    target: Target,
    arms: Mapping[str, Sequence[Change]],
    *,
    engines: Engines,
    home: Path,
    within_s: float | None = None,
) -> dict[str, Recipe]:
    """Run each arm up to its first optimizer step, as many at once as there are workers, and read its recipe.

    Args:
        target: what is run.
        arms: the changes of each arm, by a name without slashes.
        engines: execute the runs; they stay open.
        home: palate's own folder, in which they get theirs where it exists.
        within_s: seconds after which an arm without an optimizer step is ended; it is left out of the result.

    Raises:
        SetupFailedError: an arm fails before its first step and `within_s` is None; otherwise it is left out too.
    """
    recipes: dict[str, Recipe] = {}
    faults: list[SetupFailedError] = []
    place = home if home.is_dir() else None
    # a run that was given up may still write when the folder goes
    with tempfile.TemporaryDirectory(prefix="dry-", dir=place, ignore_cleanup_errors=True) as folder:
        for name, changes in arms.items():
            here = Path(folder) / name
            here.mkdir()
            engines.submit(target.task, target.order(name, here, DRY_SEED, changes, capture="dry"))
        until = None if within_s is None else time.monotonic() + within_s
        waiting = set(arms)
        while waiting and (until is None or time.monotonic() < until):
            for ended in engines.poll():
                waiting.discard(ended.id)
                result = _read(Path(folder) / ended.id, ended)
                if isinstance(result, Recipe):
                    recipes[ended.id] = result
                else:
                    faults.append(result)
        for name in waiting:
            engines.stop(name)
        for name in arms:
            bring_home(str(Path(folder) / name), str(home))
    if faults and within_s is None:
        raise faults[0]
    return recipes


def _read(folder: Path, ended: Ended) -> Recipe | SetupFailedError:
    """Return the recipe of a dry run that has ended, or the error that explains why there is none."""
    path = folder / RECIPE
    if path.exists():
        return loads(path.read_text(encoding="utf-8"))
    printed = tail_of(folder / "output.log")
    if ended.status == UNREADABLE:
        return SetupFailedError(
            f"palate could not read this training ({ended.id}); the training itself is not at fault.",
            why=[f"| {line}" for line in printed],
            todo="Run it without being read; the lines above show where palate failed.",
        )
    if not ended.status:
        return SetupFailedError("The program ended without being read: it is not Python that palate can watch.")
    return SetupFailedError(
        f"The training fails before its first optimizer step ({ended.id}, exit status {ended.status}).",
        why=[f"| {line}" for line in printed],
        todo="Fix it, then type the same command again.",
    )


def capture_target(target: Target, engines: Engines, *, home: Path) -> Recipe:
    """Return the recipe of a target without changes.

    Raises:
        RunsFailedError: it ended without one.
    """
    recipes = capture_arms(target, {"recipe": ()}, engines=engines, home=home)
    if "recipe" not in recipes:
        raise RunsFailedError(f"{target.label} ended without a recipe.", todo="palate doctor")
    return recipes["recipe"]
