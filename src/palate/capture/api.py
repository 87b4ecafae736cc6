"""Recipes from Python: read one, compare two, and capture one from a training (the capture session)."""

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
    """Read the recipe of a model, a configuration or a file; a notebook shows it as a tree that opens.

    Args:
        thing: a `torch.nn.Module`, an optimizer, a dict, Namespace, dataclass, pydantic model, OmegaConf or Fiddle
            configuration, TrainingArguments; or the path of a .yaml, .json or .toml file.

    Raises:
        InputError: it does not configure a training, or it is a file whose meaning is not certain.
        NotFoundError: there is no such file.
    """
    if isinstance(thing, str | os.PathLike):
        return read_file(Path(thing))
    recipe: Recipe = recipe_of(thing)
    return recipe


def diff_recipes(before: Any, after: Any, *, declared: str | Sequence[str] = ()) -> Difference:
    """Compare two recipes; each change has its reason.

    Args:
        before: a recipe, or anything that `read_recipe` reads.
        after: the other.
        declared: what you meant to change: chunks ("model"), paths ("optimizer.lr") or their ends ("lr"). Any other
            change is a co-change, and would confound a verdict.
    """
    names = (declared,) if isinstance(declared, str) else tuple(declared)
    return explain(read_recipe(before), read_recipe(after), declared=names)


@dataclass(slots=True)
class Captured:
    """The result of a capture; `recipe` exists after the first optimizer step.

    If the block ends without a step, the recipe contains what was built, and a note says that nothing stepped.

    Attributes:
        result: the recipe, once there is one.
        fault: what went wrong when the training was read.
    """

    result: Recipe | None = None
    fault: Exception | None = None

    @property
    def recipe(self) -> Recipe:
        """Return the recipe.

        Raises:
            InputError: no optimizer has stepped yet, or the training could not be read.
        """
        if self.fault is not None:
            raise InputError(f"The training could not be read: {self.fault!r}.") from self.fault
        if self.result is None:
            raise InputError(
                "Nothing is captured yet: no optimizer has stepped.",
                todo="Read .recipe after the first optimizer.step(), or after the with block.",
            )
        return self.result


@contextlib.contextmanager
def capture(**settings: Any) -> Iterator[Captured]:
    """Capture the recipe of the training that starts in the block.

    Args:
        settings: the script's own settings, if they belong to the recipe.

    Yields:
        an object whose `recipe` exists after the first optimizer step.
    """
    captured = Captured()

    def then(seen: Seen) -> None:
        captured.result = snapshot(seen, settings=settings, home=Path.cwd() / ".palate")

    observer = Observer(then)
    observer.start()
    try:
        yield captured
    finally:
        observer.stop()
        captured.fault = observer.fault
