"""Why a setting has its value: who decided it, what overrode it, and since which recipe it has it."""

from collections.abc import Sequence

from palate.errors import NotFoundError
from palate.recipe.recipe import Recipe
from palate.recipe.settings import nearest
from palate.recipe.tree import Origin, Path, Setting, find, leaves, path_text
from palate.recipe.values import same_value
from palate.recipe.words import value_words

_WORDS = {
    Origin.SET: "set",
    Origin.DEFAULT: "a default",
    Origin.DERIVED: "derived",
    Origin.REWRITTEN: "overridden",
    Origin.AMBIENT: "decided by the environment",
}

MOST = 7
"""The most settings that one name shows."""


def chain_of(recipe: Recipe, name: str, history: Sequence[tuple[str, Recipe]] = ()) -> list[str]:
    """Return the lines about every setting that a name means.

    Args:
        recipe: the recipe.
        name: a path, or the end of one: "optimiser.lr", "lr".
        history: earlier recipes with their keys, the oldest first.

    Raises:
        NotFoundError: no setting has this name.
    """
    known = [*leaves(recipe.root), *leaves(recipe.env)]
    matches = [(path, setting) for path, setting in known if _means(name, path)]
    if not matches:
        names = [path_text(path) for path, _ in known]
        raise NotFoundError(f"No setting is called {name}{nearest(name, names)}.")
    chain: list[str] = []
    for path, setting in matches[:MOST]:
        chain += _setting_lines(recipe, path, setting, history)
    if len(matches) > MOST:
        chain.append(f"... and {len(matches) - MOST} more of that name: give more of the path.")
    return chain


def _means(name: str, path: Path) -> bool:
    text = path_text(path)
    return text == name or text.endswith(f".{name}") or text.startswith(f"{name}.")


def _setting_lines(recipe: Recipe, path: Path, setting: Setting, history: Sequence[tuple[str, Recipe]]) -> list[str]:
    text = path_text(path)
    source = f": {setting.source}" if setting.source else ""
    chain = [f"{text} = {value_words(setting.value)}", f"  {_WORDS[setting.origin]}{source}"]
    notes = [note for note in recipe.notes if note.path and (text == note.path or text.endswith(f".{note.path}"))]
    chain += [f"  {note.kind}: {note.words}" for note in notes]
    return [*chain, *_since(path, setting, history)]


def _since(path: Path, setting: Setting, history: Sequence[tuple[str, Recipe]]) -> list[str]:
    """Write since which recipe of the project a setting has this value; nothing if no recipe had it."""
    earlier = [(key, item) for key, known in history if isinstance(item := find(known.root, path), Setting)]
    since: str | None = None
    before: Setting | None = None
    for key, item in earlier:
        if same_value(item.value, setting.value):
            since = since or key
        else:
            since, before = None, item
    if since is None:
        return []
    was = f", before it was {value_words(before.value)}" if before is not None else ""
    return [f"  since recipe {since}{was}"]
