"""Whether the data that a baseline read are still what they were; light to import."""

from dataclasses import replace
from pathlib import Path

from palate.capture.files import hash_file
from palate.question.question import Question
from palate.recipe.codec import content_id
from palate.recipe.recipe import Recipe
from palate.recipe.tree import Chunk, Setting, find
from palate.store.project import Project
from palate.store.recipes import Recipes
from palate.vocabulary import BASELINE


def with_changed_data(project: Project, question: Question) -> tuple[Question, tuple[str, ...]]:
    """Tell from the files that the baseline read whether its runs are still of the same data.

    Returns:
        the question, its runs told apart from earlier ones where files changed; and the files that did.
    """
    recipe = Recipes(project.home).find(question.plan.keys[BASELINE])
    known = files_of(recipe) if recipe is not None else {}
    now = {name: hash_file(path) if (path := Path(name)).is_file() else "gone" for name in known}
    changed = tuple(name for name, content in now.items() if content != known[name])
    if not changed:
        return question, ()
    return replace(question, data=content_id([question.data, now])), changed


def files_of(recipe: Recipe) -> dict[str, str]:
    """Return the files that a training read before its first step, with the hashes of what was in them."""
    files = find(recipe.root, ("data", "files"))
    return (
        {item.name: item.value for item in files.items if isinstance(item, Setting)} if isinstance(files, Chunk) else {}
    )
