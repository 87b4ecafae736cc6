"""Recipes as JSON text, with nothing lost: `loads(dumps(recipe)) == recipe`, in another process too."""

from collections.abc import Mapping
from typing import Any

from palate.bounded import parse_json
from palate.errors import InputError
from palate.recipe.codec import canonical_text, decode, encode
from palate.recipe.recipe import Recipe
from palate.recipe.tree import Chunk, Item, Note, Origin, Setting

SCHEMA = "palate.recipe/1"


def to_document(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain JSON data."""
    return {
        "schema": SCHEMA,
        "id": recipe.id,
        "root": item_document(recipe.root),
        "aliases": [[encode(list(path)) for path in group] for group in recipe.aliases],
        "env": item_document(recipe.env),
        "notes": [[note.kind, note.path, note.words] for note in recipe.notes],
    }


def from_document(document: Any) -> Recipe:
    """Undo `to_document`.

    Raises:
        InputError: the document is not a recipe, or a recipe that was changed or only half written.
    """
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        raise InputError(f"This is not a recipe: its schema is not {SCHEMA}.", todo="palate recipe export writes one.")
    try:
        recipe = Recipe(
            root=_chunk(item_of(document["root"])),
            aliases=tuple(tuple(tuple(decode(path)) for path in group) for group in document["aliases"]),
            env=_chunk(item_of(document["env"])),
            notes=tuple(Note(*note) for note in document["notes"]),
        )
    except RecursionError as error:
        raise InputError("The recipe is nested deeper than any recipe.") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(f"The recipe is damaged or half written: {error!r}.", todo="Export it again.") from error
    if recipe.id != document.get("id"):
        raise InputError("The recipe was changed after it was written: its id does not fit.", todo="Export it again.")
    return recipe


def dumps(recipe: Recipe) -> str:
    """Write a recipe as JSON text, always the same for the same recipe."""
    return canonical_text(to_document(recipe))


def loads(text: str) -> Recipe:
    """Read what `dumps` wrote.

    Raises:
        InputError: the text is not JSON, not a recipe, or damaged.
    """
    return from_document(parse_json(text, "The recipe"))


def item_document(item: Item) -> list[Any]:
    """Return an exact tree as lists: ["s", name, value, origin, source] and ["c", name, kind, items]."""
    if isinstance(item, Setting):
        fields = ["s", encode(item.name), encode(item.value), item.origin.value]
        return [*fields, item.source] if item.source else fields
    if not isinstance(item, Chunk):
        raise TypeError(f"{type(item).__name__}: only an exact tree is written; unfold it first")
    return ["c", encode(item.name), item.kind, [item_document(child) for child in item.items]]


def item_of(document: Any) -> Item:
    """Undo `item_document`."""
    if document[0] == "s":
        source = document[4] if len(document) > 4 else ""
        return Setting(decode(document[1]), decode(document[2]), Origin(document[3]), source)
    if document[0] == "c":
        return Chunk(decode(document[1]), document[2], tuple(item_of(child) for child in document[3]))
    raise ValueError(f"neither a setting nor a chunk: {document[0]!r}")


def _chunk(item: Item) -> Chunk:
    if not isinstance(item, Chunk):
        raise TypeError("the root is not a chunk")
    return item
