"""What a person points at when they ask for a recipe: a file, a model, a script, a run, an experiment."""

import contextlib
import importlib
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.capture.adapters import recipe_of
from palate.capture.code import is_own
from palate.capture.documents import SUFFIXES, read_file
from palate.errors import InputError, NotFoundError, PalateError
from palate.ledger.ledger import Ledger
from palate.loop.fork import training_of
from palate.loop.season import course_of
from palate.question.folder import place_of
from palate.question.target import Target, find_target
from palate.recipe.recipe import Recipe
from palate.recipe.tree import path_text
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.store.recipes import Recipes
from palate.training.dry import capture_target
from palate.training.launch import Engines, Resources
from palate.training.local import start_local
from palate.vocabulary import BASELINE, TREATMENT

_ID = re.compile(r"(last|[0-9a-f]{4,8})(?::(baseline|treatment))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a subject is read.

    Attributes:
        loader: for YAML files; see `read_file`.
        meta: build models without memory for their weights.
        arguments: command line arguments of a script.
    """

    loader: str = "auto"
    meta: bool = False
    arguments: tuple[str, ...] = ()


def find_recipe(text: str, project: Project, reading: Reading | None = None) -> Recipe:
    """Find the recipe of what a person points at.

    Args:
        text: `config.yaml`, `model.py:build`, `package.module:name`, `train.py` (run up to its first optimizer step),
            a run's id, or an experiment's, as `3f9c`, `3f9c:baseline`, `last`.
        project: where runs and recipes are kept.
        reading: how it is read.

    Raises:
        NotFoundError: there is nothing of that name.
        InputError: it is nothing that a recipe can be read from.
    """
    reading = reading or Reading()
    path = Path(text)
    if path.suffix in SUFFIXES:
        return read_file(path, loader=reading.loader)
    place, colon, name = text.partition(":")
    known = _ID.fullmatch(text)
    if known and not path.exists():
        return _of_experiment(project, known[1], known[2] or TREATMENT)
    if colon and name:
        return _of_object(text, place, name, reading, project)
    if path.suffix == ".py":
        return dry(find_target(text, reading.arguments), project)
    if path.exists():
        raise InputError(
            f"{text} is nothing that a recipe can be read from.",
            todo=f"Give a {', '.join(SUFFIXES)} or .py file, model.py:build, a run or an experiment.",
        )
    return _of_run(project, text)


def dry(target: Target, project: Project) -> Recipe:
    """Run a target up to its first optimizer step, and read its recipe there."""
    resources = Resources(start=start_local, place=place_of(Path.cwd(), project.home))
    with Engines(resources) as engines:
        return capture_target(target, engines, home=project.home)


def _of_object(text: str, place: str, name: str, reading: Reading, project: Project) -> Recipe:
    """Import what is named; call it where it builds something."""
    try:
        target: Target | None = find_target(text, reading.arguments)
    except PalateError:
        target = None
    if target is not None and target.task.kind in ("function", "module"):
        return dry(target, project)
    before = set(sys.modules)
    try:
        thing = _imported(place, name)
        if callable(thing) and not hasattr(thing, "named_parameters") and not isinstance(thing, dict):
            with _on_meta(reading.meta):
                thing = _called(text, thing)
        recipe: Recipe = recipe_of(thing)
    finally:
        _forget(set(sys.modules) - before)
    return recipe


def _forget(modules: set[str]) -> None:
    """Let go of the person's own modules: A/net.py and B/net.py are two, and so are what they import."""
    for name in modules:
        if is_own(name):
            del sys.modules[name]


def _imported(place: str, name: str) -> Any:
    path = Path(place)
    here, module_name = Path.cwd(), place
    if path.suffix == ".py":
        if not path.exists():
            raise NotFoundError(f"{place}: there is no such file.")
        here, module_name = path.absolute().parent, path.stem
    sys.path.insert(0, str(here))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise NotFoundError(
            f"{place} cannot be imported: {error}.", todo="palate recipe show model.py:build"
        ) from error
    except Exception as error:
        what = f"{place} cannot be imported: {type(error).__name__}: {error}"
        raise InputError(what, why=_last_lines(error)) from error
    finally:
        sys.path.remove(str(here))
    if not hasattr(module, name):
        known = [key for key in vars(module) if not key.startswith("_")]
        raise NotFoundError(f"{place} has no {name}.", why=f"It has: {', '.join(known[:20])}.")
    return getattr(module, name)


def _called(text: str, builder: Any) -> Any:
    try:
        return builder()
    except TypeError as error:
        raise InputError(
            f"{text} cannot be called without arguments: {error}.",
            todo="Point at a function that builds the model with no arguments:  def build(): return Net(width=64)",
        ) from error
    except Exception as error:
        raise InputError(f"{text} fails: {type(error).__name__}: {error}", why=_last_lines(error)) from error


def _last_lines(error: Exception) -> list[str]:
    """Return where in the person's own code an error arose."""
    lines = "".join(traceback.format_exception(error)).strip().splitlines()
    return [f"| {line}" for line in lines[-6:]]


@contextlib.contextmanager
def _on_meta(wanted: bool) -> Any:
    if not wanted:
        yield
        return
    import torch

    with torch.device("meta"):
        yield


def _of_experiment(project: Project, name: str, arm: str) -> Recipe:
    question = Ledger.of(project.chain).read(name).question
    recipe = Recipes(project.home).find(question.plan.keys[arm])
    if recipe is None:
        raise NotFoundError(
            f"The recipe of {question.experiment}:{arm} was not captured.",
            why="Recipes are captured of trainings that use torch, before their first run.",
            todo=f"palate dry {question.target.file}",
        )
    return recipe


def _of_run(project: Project, name: str) -> Recipe:
    with Catalog.open(project) as catalog:
        catalog.refresh()
        run = catalog.find_run(name)
    recipe = Recipes(project.home).find(run.key)
    if recipe is None and not run.key:
        return dry(training_of(project, run)[0], project)
    if recipe is None:
        raise NotFoundError(f"The recipe of {run.id} was not captured.", todo="palate dry FILE.py")
    return recipe


def course_of_subject(project: Project, text: str) -> list[str]:
    """Return what happened in the course of what a person points at, a line each; nothing where it is no run."""
    if not project.run_folder(text).joinpath("journal").is_file():
        return []
    return course_of(project, text)


def arms_of(project: Project, name: str) -> tuple[Recipe, Recipe, Sequence[str]]:
    """Return the recipes of an experiment's two arms, and the settings that were declared."""
    question = Ledger.of(project.chain).read(name).question
    one, other = (_of_experiment(project, name, arm) for arm in (BASELINE, TREATMENT))
    return one, other, [path_text(("settings", change.path)) for change in question.changes]
