"""Recipes of live objects: models, optimizers, and the common kinds of configurations."""

import argparse
import dataclasses
import types
from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from palate.capture.describe import describe, named
from palate.capture.module import module_recipe
from palate.errors import InputError
from palate.recipe.recipe import Recipe
from palate.recipe.tree import Chunk, Origin, Setting
from palate.recipe.values import from_value

FieldOrigins = Mapping[Any, tuple[Any, Origin]]
"""The fields of an object: their values, and who decided them."""


@singledispatch
def recipe_of(thing: Any) -> Recipe:
    """Make a recipe of a live object.

    Args:
        thing: a `torch.nn.Module`, an optimizer, a dictionary, an argparse Namespace, a dataclass, a pydantic model,
            an OmegaConf or Fiddle configuration, TrainingArguments, or a recipe itself.

    Raises:
        InputError: the object does not configure a training.
    """
    kinds = [(cls.__module__.partition(".")[0], cls.__name__) for cls in type(thing).__mro__]
    for (package, name), adapt in _BY_NAME.items():
        if (package, name) in kinds:
            adapted: Recipe = adapt(thing)
            return adapted
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        return _root(thing, _with_defaults(thing, _field_defaults(thing)))
    if isinstance(thing, Mapping):
        return _root(thing, {key: (value, Origin.SET) for key, value in thing.items()})
    raise InputError(
        f"{type(thing).__module__}.{type(thing).__qualname__} is nothing that a recipe can be read from.",
        todo="Give a model, a configuration (dict, Namespace, dataclass, pydantic, OmegaConf, Fiddle), or a file.",
    )


@recipe_of.register
def _(thing: Recipe) -> Recipe:
    return thing


@recipe_of.register(dict)
def _(thing: dict[Any, Any]) -> Recipe:
    root = from_value("recipe", {key: named(key, value) for key, value in thing.items()})
    return Recipe(root if isinstance(root, Chunk) else Chunk("recipe", "dict", ()))


@recipe_of.register(argparse.Namespace)
@recipe_of.register(types.SimpleNamespace)
def _(thing: Any) -> Recipe:
    return _root(thing, {key: (value, Origin.SET) for key, value in vars(thing).items()})


def _root(thing: Any, fields: FieldOrigins) -> Recipe:
    """Make a recipe of an object's fields."""
    kind = type(thing)
    source = f"{kind.__qualname__}"
    items = tuple(
        from_value(key, named(key, value), lambda _, o=origin: (o, source if o is Origin.DEFAULT else ""))  # type: ignore[misc]
        for key, (value, origin) in fields.items()
    )
    label = "dict" if isinstance(thing, dict) else f"object {kind.__module__}.{kind.__qualname__}"
    return Recipe(Chunk("recipe", label, items))


def _with_defaults(thing: Any, defaults: Mapping[str, Any]) -> dict[str, tuple[Any, Origin]]:
    """Return the fields of a dataclass with their origins; a value that equals its default counts as the default."""
    fields = {}
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name, None)
        default = field.name in defaults and describe(defaults[field.name]) == describe(value)
        fields[field.name] = (value, Origin.DEFAULT if default else Origin.SET)
    return fields


def _field_defaults(thing: Any) -> dict[str, Any]:
    defaults = {}
    for field in dataclasses.fields(thing):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    return defaults


def _pydantic(thing: Any) -> Recipe:
    given = thing.model_fields_set
    fields = {**dict(thing), **(thing.__pydantic_extra__ or {})}
    return _root(thing, {k: (v, Origin.SET if k in given else Origin.DEFAULT) for k, v in fields.items()})


def _omega(thing: Any) -> Recipe:
    container = describe(thing)
    if not isinstance(container, dict):
        raise InputError("An OmegaConf list is not a recipe.", todo="Give the configuration that contains it.")
    recipe: Recipe = recipe_of(container)
    return recipe


def _fiddle(thing: Any) -> Recipe:
    return Recipe(_fiddle_chunk("recipe", thing))


def _fiddle_chunk(name: Any, thing: Any) -> Chunk:
    """Describe a Fiddle configuration: what it builds, the arguments that were set, and the defaults of the others."""
    import fiddle

    items: list[Any] = [Setting("class", describe(fiddle.get_callable(thing)))]
    given = thing.__arguments__
    defaults = {
        key: parameter.default
        for key, parameter in thing.__signature_info__.parameters.items()
        if key not in given and parameter.default is not parameter.empty
    }
    for key, value in given.items():
        nested = isinstance(value, fiddle.Buildable)
        items.append(_fiddle_chunk(key, value) if nested else from_value(key, named(key, value)))
    items += [from_value(key, named(key, v), lambda _: (Origin.DEFAULT, "")) for key, v in defaults.items()]
    return Chunk(name, "dict", tuple(items))


def _optimizer(thing: Any) -> Recipe:
    groups = [{key: value for key, value in group.items() if key != "params"} for group in thing.param_groups]
    for settings, group in zip(groups, thing.param_groups, strict=True):
        settings["tensors"] = len(group["params"])
    return recipe_of({"class": type(thing), **({"groups": groups} if len(groups) > 1 else groups[0])})


def _config(thing: Any) -> Recipe:
    return recipe_of(dict(describe(thing)))


_BY_NAME: Mapping[tuple[str, str], Any] = {
    ("torch", "Module"): module_recipe,
    ("torch", "Optimizer"): _optimizer,
    ("pydantic", "BaseModel"): _pydantic,
    ("omegaconf", "Container"): _omega,
    ("fiddle", "Buildable"): _fiddle,
    ("transformers", "PretrainedConfig"): _config,
    ("transformers", "PreTrainedConfig"): _config,
}
