"""Recipes from Python: read one of anything, hold two against each other."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palate.capture.adapters import recipe_of
from palate.capture.documents import read_file
from palate.recipe.reasons import Difference, explain
from palate.recipe.tree import Recipe


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
