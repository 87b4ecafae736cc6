"""The recipes of a project, one file for each recipe key, and the user's names for chunks."""

import functools
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.bounded import parse_json, read_text
from palate.errors import InputError, NotFoundError, PalateError, StoreError
from palate.recipe.document import dumps, item_document, item_of, loads
from palate.recipe.names import Named
from palate.recipe.recipe import Recipe
from palate.recipe.tree import Chunk
from palate.store.private import make_folder, replace_file

VOCABULARY = "vocabulary.json"
SCHEMA = "palate.vocabulary/1"


_UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Words:
    """A user's vocabulary: chunks with names, and hashes of the proposed names that they refused."""

    named: tuple[Named, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipes:
    """The recipes of a project."""

    home: Path

    @property
    def folder(self) -> Path:
        """The folder of the recipe files."""
        return self.home / "recipes"

    def keep(self, key: str, recipe: Recipe) -> None:
        """Write a recipe under the key of its runs; the file is complete or does not exist."""
        make_folder(self.folder)
        replace_file(self.folder / f"{key}.json", dumps(recipe), synced=False)

    def find(self, key: str) -> Recipe | None:
        """Return the recipe of a key, or None."""
        try:
            return loads(read_text(self.folder / f"{key}.json")) if _is_key(key) else None
        except NotFoundError:
            return None

    def known(self, key: str) -> Recipe | None:
        """Return the recipe of a key where it can be read; a file that is damaged is named, and left out."""
        try:
            return self.find(key)
        except (PalateError, OSError, ValueError) as error:
            what = error.what if isinstance(error, PalateError) else str(error)
            _say_left_out(self.folder / f"{key}.json", what)
            return None

    def all(self) -> list[tuple[str, Recipe]]:
        """Return every recipe with its key, the oldest first."""
        files = sorted(self.folder.glob("*.json"), key=lambda file: (file.stat().st_mtime_ns, file.name))
        return [(file.stem, loads(read_text(file))) for file in files]

    def words(self) -> Words:
        """Read the vocabulary.

        Raises:
            StoreError: its file is damaged.
        """
        try:
            document = parse_json(read_text(self.home / VOCABULARY), VOCABULARY)
            named = tuple(_named(entry) for entry in document["named"])
            return Words(named, tuple(_text(refused) for refused in document["refused"]))
        except NotFoundError:
            return Words()
        except (*_UNREADABLE, InputError) as error:
            raise StoreError(
                f"{self.home / VOCABULARY} is damaged: {error}.", todo="Fix it, or move it away."
            ) from error

    def put_words(self, words: Words) -> None:
        """Write the vocabulary."""
        make_folder(self.home, top=True)
        document = {"schema": SCHEMA, "named": [_entry(n) for n in words.named], "refused": list(words.refused)}
        replace_file(self.home / VOCABULARY, json.dumps(document))


def _entry(named: Named) -> dict[str, Any]:
    return {"name": named.name, "role": named.role, "slot": named.slot, "base": item_document(named.base)}


def _named(entry: dict[str, Any]) -> Named:
    base = item_of(entry["base"])
    if not isinstance(base, Chunk):
        raise TypeError("a name stands for a chunk")
    return Named(name=_text(entry["name"]), role=_text(entry["role"]), slot=_text(entry["slot"]), base=base)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _is_key(key: str) -> bool:
    """Whether a key, which a journal claims, is one: nothing else names a file here."""
    return re.fullmatch(r"[0-9a-f]{1,64}", key) is not None


@functools.cache
def _say_left_out(file: Path, why: str) -> None:
    print(
        f"palate: {file} cannot be read, and is left out: {why}\n"
        "  Remove it: recipes are read anew from the next runs.",
        file=sys.stderr,
    )


def renamed(words: Words, old: str, new: str) -> Words:
    """Return the vocabulary with a name changed.

    Raises:
        InputError: there is no such name, or the new one is taken.
    """
    names = [named.name for named in words.named]
    if old not in names:
        raise InputError(f"There is no chunk named {old}.", why=f"There are: {', '.join(names) or 'none'}.")
    if new in names:
        raise InputError(f"{new} is a name already.", why="A name never changes its meaning.")
    return Words(
        tuple(Named(name=new if n.name == old else n.name, role=n.role, slot=n.slot, base=n.base) for n in words.named),
        words.refused,
    )


def with_named(words: Words, new: Sequence[Named]) -> Words:
    """Return the vocabulary with new names; a name that is taken gets a version, so that none changes its meaning."""
    named = list(words.named)
    for one in new:
        name, version = one.name, 1
        while name in {known.name for known in named}:
            version += 1
            name = f"{one.name}-v{version}"
        named.append(Named(name=name, role=one.role, slot=one.slot, base=one.base))
    return Words(tuple(named), words.refused)
