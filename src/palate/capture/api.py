"""Recipes from Python: read one of anything, hold two against each other."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.capture.adapters import recipe_of
from palate.capture.documents import read_file
from palate.capture.observe import Observer, Seen
from palate.capture.snapshot import snapshot
from palate.errors import InputError
from palate.recipe.difference import Difference, explain
from palate.recipe.recipe import Recipe


def read_recipe(thing: Any) -> Recipe:
    """Read the recipe of a model, a configuration, or a file; shown as a tree that opens in a notebook.

    Args:
        thing: a `torch.nn.Module`, an optimizer, a dict, Namespace, dataclass, pydantic model, OmegaConf or Fiddle
            configuration, TrainingArguments; or the path of a .yaml, .json or .toml file.

    Raises:
        InputError: nothing that configures a training, or a file that cannot be read for sure.
        NotFoundError: there is no such file.
    """
    if isinstance(thing, str | os.PathLike):
        return read_file(Path(thing))
    recipe: Recipe = recipe_of(thing)
    return recipe


def diff_recipes(before: Any, after: Any, *, declared: str | Sequence[str] = ()) -> Difference:
    """Say what differs between two recipes, each change with its reason.

    Args:
        before: a recipe, or anything that `read_recipe` reads.
        after: the other.
        declared: what was meant to change: chunks ("model"), paths ("optimizer.lr") or their ends ("lr"). What else
            differs is a co-change, and would confound a verdict.
    """
    names = (declared,) if isinstance(declared, str) else tuple(declared)
    return explain(read_recipe(before), read_recipe(after), declared=names)


@dataclass(slots=True)
class Captured:
    """What a capture found; `recipe` is there from the first optimizer step on.

    Where the block ends without one, it tells what was built, with a note that nothing stepped.
    """

    found: Recipe | None = None
    fault: Exception | None = None

    @property
    def recipe(self) -> Recipe:
        """The recipe.

        Raises:
            InputError: no optimizer has stepped yet.
        """
        if self.fault is not None:
            raise InputError(f"The training could not be read: {self.fault!r}.") from self.fault
        if self.found is None:
            raise InputError(
                "Nothing is captured yet: no optimizer has stepped.",
                todo="Read .recipe after the first optimizer.step(), or behind the with block.",
            )
        return self.found


@contextlib.contextmanager
def capture(**settings: Any) -> Iterator[Captured]:
    """Capture the recipe of the training that starts inside of the block.

    Args:
        settings: settings of the script's own that belong to the recipe.

    Yields:
        what will hold the recipe, from the first optimizer step on.
    """
    captured = Captured()

    def then(seen: Seen) -> None:
        captured.found = snapshot(seen, settings=settings, home=Path.cwd() / ".palate")

    observer = Observer(then)
    observer.start()
    try:
        yield captured
    finally:
        observer.stop()
        captured.fault = observer.fault
