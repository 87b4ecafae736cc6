"""Why a setting is what it is: its value, who set it, what overrode it, since when."""

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
    Origin.AMBIENT: "decided by the place",
}
MOST = 7


def chain_of(recipe: Recipe, name: str, history: Sequence[tuple[str, Recipe]] = ()) -> list[str]:
    """Tell the chain of every setting that a name means.

    Args:
        recipe: the recipe.
        name: a path, or the end of one: "optimiser.lr", "lr".
        history: earlier recipes with their keys, the oldest first.

    Raises:
        NotFoundError: no setting is called that.
    """
    known = [*leaves(recipe.root), *leaves(recipe.env)]
    found = [(path, setting) for path, setting in known if _means(name, path)]
    if not found:
        names = [path_text(path) for path, _ in known]
        raise NotFoundError(f"No setting is called {name}{nearest(name, names)}.")
    told: list[str] = []
    for path, setting in found[:MOST]:
        told += _told(recipe, path, setting, history)
    if len(found) > MOST:
        told.append(f"... and {len(found) - MOST} more of that name: give more of the path.")
    return told


def _means(name: str, path: Path) -> bool:
    text = path_text(path)
    return text == name or text.endswith(f".{name}") or text.startswith(f"{name}.")


def _told(recipe: Recipe, path: Path, setting: Setting, history: Sequence[tuple[str, Recipe]]) -> list[str]:
    text = path_text(path)
    source = f": {setting.source}" if setting.source else ""
    told = [f"{text} = {value_words(setting.value)}", f"  {_WORDS[setting.origin]}{source}"]
    notes = [note for note in recipe.notes if note.path and (text == note.path or text.endswith(f".{note.path}"))]
    told += [f"  {note.kind}: {note.words}" for note in notes]
    return [*told, *_since(path, setting, history)]


def _since(path: Path, setting: Setting, history: Sequence[tuple[str, Recipe]]) -> list[str]:
    """Say since which recipe of the project it has had this value."""
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
