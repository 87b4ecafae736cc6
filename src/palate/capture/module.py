"""The recipe of a `torch.nn.Module`: classes, attributes, parameters, buffers, ties; the module is not run.

`print(model)` shows only what `extra_repr` returns. A recipe keeps every plain attribute, shapes, dtypes and gradient
flags, attached configurations, hashes of small buffers, and which parameters and modules are the same object.
"""

import sys
from collections.abc import Iterator
from typing import Any

from palate.capture.code import class_symbol
from palate.capture.describe import describe, named, tensor_of
from palate.errors import InputError
from palate.recipe.codec import Opaque, Symbol
from palate.recipe.recipe import Recipe
from palate.recipe.tree import BUFFER, PARAMETER, Chunk, Item, Note, Origin, Path, Setting, chunk_id, leaves, path_text
from palate.recipe.values import from_value

MACHINERY = ("lightning.", "pytorch_lightning.", "accelerate.", "torch.utils.hooks.", "torch._dynamo.")
"""Packages whose private objects on a module are not kept; a person's own private objects are."""

DEEPEST = 200
"""The most levels of modules in modules."""

ATTACHED = "attached"
"""The name of the chunk with the configurations that modules share."""


def torch_module() -> Any:
    """Return torch, which must be imported already.

    Raises:
        InputError: torch is not imported, so no object can be a model.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        raise InputError("No model can be read without torch.", todo="pip install 'palate[torch]'")
    return torch


def module_recipe(model: Any, name: str = "model") -> Recipe:
    """Read a model as it is now.

    Args:
        model: a `torch.nn.Module`, on any device, "meta" included.
        name: the name of the root.

    Raises:
        InputError: it is not a module.
    """
    torch = torch_module()
    if not isinstance(model, torch.nn.Module):
        raise InputError(
            f"{type(model).__name__} is not a torch.nn.Module.", todo="Give the model, or a function that builds it."
        )
    reading = _Reading(torch)
    root = reading.module(model, name, ())
    if reading.attached:
        root = Chunk(root.name, root.kind, (*root.items, Chunk(ATTACHED, "dict", tuple(reading.attached))))
    ties = tuple(tuple(paths) for paths in reading.parameters.values() if len(paths) > 1)
    return Recipe(root, ties, notes=tuple(_notes(root, ties)))


def _notes(root: Chunk, ties: tuple[tuple[Path, ...], ...]) -> Iterator[Note]:
    """Yield notes on what `print` does not show: ties, and modules in attributes that are not registered."""
    for paths in ties:
        words = f"{' = '.join(map(path_text, paths))}: one parameter; what trains or freezes one does so to both"
        yield Note("tied", str(root.name), words)
    for path, setting in leaves(root):
        members = setting.value if isinstance(setting.value, list | tuple) else (setting.value,)
        if any(isinstance(part, Opaque) and part.type.startswith("unregistered") for part in members):
            words = f"{path_text(path)} holds modules that are not registered: no optimizer is given their parameters"
            yield Note("untrained", str(root.name), words)


class _Reading:
    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._base = frozenset(vars(torch.nn.Module()))
        self._seen: dict[int, Path] = {}
        self._shared: dict[int, str] = {}
        self._extra_reprs: dict[type, bool] = {}
        self.parameters: dict[int, list[Path]] = {}
        self.attached: list[Item] = []

    def module(self, module: Any, name: Any, path: Path) -> Chunk:
        if len(path) > DEEPEST:
            raise InputError(f"{path_text(path[:5])}... is nested more than {DEEPEST} modules deep.")
        self._seen[id(module)] = path
        items = [*self._own(module), *self._tensors(module, path), *self._children(module, path)]
        return Chunk(name, "module", tuple(items))

    def _own(self, module: Any) -> Iterator[Item]:
        attributes = vars(module)
        yield Setting("class", class_symbol(type(module)))
        if not module.training:
            yield Setting("training", False)
        base = self._base
        for key, value in attributes.items():
            if key not in base or key == "forward":
                item = self._attribute(key, value)
                if not _is_machinery(key, item):
                    yield item
        for hooks in ("_forward_hooks", "_forward_pre_hooks"):
            theirs = [hook for hook in (attributes.get(hooks) or {}).values() if not _is_palates(hook)]
            if theirs:
                yield Setting(hooks.removeprefix("_"), describe(theirs))
        if self._has_extra_repr(type(module)):
            yield Setting("says", _extra_repr(module))

    def _attribute(self, key: str, value: Any) -> Item:
        kind = type(value)
        if kind is int or kind is bool or kind is float or value is None:
            return Setting(key, value)
        if hasattr(value, "to_dict") and not isinstance(value, type):
            return Setting(key, self._reference(value))
        if isinstance(value, self._torch.nn.Module):
            return Setting(key, self._unregistered(value))
        if kind in (list, tuple) and any(isinstance(member, self._torch.nn.Module) for member in value):
            return from_value(key, [self._unregistered(member) for member in value])
        return from_value(key, named(key, value))

    def _unregistered(self, value: Any) -> Any:
        """Describe a module that is not registered, so that its parameters are not trained; or any other value."""
        if not isinstance(value, self._torch.nn.Module):
            return describe(value)
        if id(value) in self._seen:
            return Symbol(kind="reference", text=path_text(self._seen[id(value)]))
        kind = class_symbol(type(value)).text
        return Opaque(type=f"unregistered {kind}", fingerprint=chunk_id(module_recipe(value).root)[:16])

    def _reference(self, config: Any) -> Any:
        """Keep a shared configuration once, and return a reference to it."""
        if id(config) not in self._shared:
            name = type(config).__name__
            taken = len([known for known in self._shared.values() if known.split(" ")[0] == name])
            name = f"{name} {taken + 1}" if taken else name
            self._shared[id(config)] = name
            for key, part in _parts(config):
                self._shared.setdefault(id(part), f"{name}.{key}")
            chunk = from_value(name, describe(config))
            self.attached.append(chunk)
        return Symbol(kind="reference", text=f"{ATTACHED}.{self._shared[id(config)]}")

    def _has_extra_repr(self, kind: type) -> bool:
        """Return whether a class has its own `extra_repr`, which may show more than its attributes."""
        if kind not in self._extra_reprs:
            owner = next(base for base in kind.__mro__ if "extra_repr" in vars(base))
            self._extra_reprs[kind] = not owner.__module__.startswith("torch.")
        return self._extra_reprs[kind]

    def _tensors(self, module: Any, path: Path) -> Iterator[Item]:
        for key, parameter in module._parameters.items():
            if parameter is None:
                yield Setting(key, None)
                continue
            self.parameters.setdefault(id(parameter), []).append((*path, key))
            yield Setting(key, self._tensor(parameter, fingerprint=False), Origin.SET, PARAMETER)
        for key, buffer in module._buffers.items():
            yield Setting(key, None if buffer is None else self._tensor(buffer, fingerprint=True), Origin.SET, BUFFER)
        if module._non_persistent_buffers_set:
            yield Setting("non_persistent", tuple(sorted(module._non_persistent_buffers_set)))

    def _tensor(self, tensor: Any, *, fingerprint: bool) -> Any:
        if isinstance(tensor, self._torch.nn.parameter.UninitializedTensorMixin):
            return Symbol(kind="lazy", text=f"not shaped yet {str(tensor.dtype).removeprefix('torch.')}")
        return tensor_of(tensor, fingerprint=fingerprint)

    def _children(self, module: Any, path: Path) -> Iterator[Item]:
        children = module._modules
        numbered = list(children) == [str(number) for number in range(len(children))]
        for number, (key, child) in enumerate(children.items()):
            name = number if numbered else key
            if child is None:
                yield Setting(name, None)
            elif id(child) in self._seen:
                yield Setting(name, Symbol(kind="reference", text=path_text(self._seen[id(child)]) or "itself"))
            else:
                yield self.module(child, name, (*path, name))


def _is_palates(hook: Any) -> bool:
    """Return whether a hook is one that palate looks at a training with; it changes nothing."""
    held = getattr(hook, "func", hook)
    return any(str(getattr(one, "__module__", "")).startswith("palate.") for one in (held, type(held)))


def _is_machinery(key: str, item: Item) -> bool:
    """Return whether an attribute is internal to a framework: a trainer, a hook's handle, a value of its compiler."""
    if key.startswith(("_torchdynamo", "_dynamo")):
        return True
    kind = item.kind.removeprefix("object ") if isinstance(item, Chunk) else ""
    if isinstance(item, Setting) and isinstance(item.value, Opaque | Symbol):
        kind = item.value.type if isinstance(item.value, Opaque) else item.value.text
    return key.startswith("_") and kind.startswith(MACHINERY)


def _extra_repr(module: Any) -> Any:
    try:
        return str(module.extra_repr())
    except Exception as error:  # noqa: BLE001  the person's own method may raise anything
        return f"extra_repr failed: {type(error).__name__}: {error}"


def _parts(config: Any) -> Iterator[tuple[str, Any]]:
    for key, part in getattr(config, "__dict__", {}).items():
        if hasattr(part, "to_dict") and not isinstance(part, type):
            yield key, part
