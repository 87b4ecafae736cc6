"""Any Python value as a value of a recipe: exact if its parts can be read, else opaque; and objects that were built."""

import argparse
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import logging
import re
import sys
import types
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from palate.capture.code import class_symbol, function_symbol
from palate.capture.probes import Built
from palate.recipe.codec import Opaque, Secret, Symbol, Tensor, Unread, canonical_text, encode
from palate.recipe.numbering import holds_unknown
from palate.recipe.tree import Chunk, Item, Origin, Setting
from palate.recipe.values import Fields, from_value
from palate.redaction import is_secret, redact_text, seal_secret, sealed
from palate.redaction.names import covers

PLAIN = (bool, int, float, str, bytes, type(None))
"""Types whose values are kept as they are."""

WRITTEN_EXACTLY = (
    range, slice, complex, decimal.Decimal, fractions.Fraction, datetime.date, datetime.time, datetime.timedelta,
    datetime.timezone, re.Pattern, uuid.UUID,
)  # fmt: skip
"""Types whose `repr` is exact."""

DEEPEST = 12
"""The most levels of nesting that are described; deeper values are opaque."""

OBJECTS = 3
"""The most levels of objects in objects that are described; deeper ones (a trainer's internals) are opaque."""

LONG = 1000
"""The most members of a list or dictionary that is kept in full; of a longer one, its length and a hash are kept."""

SMALL = 4096
"""The most elements of a buffer or an array whose content is hashed."""

_HEAP_TYPE = 1 << 9
"""The flag of a class that was defined in Python, not in C."""

_MACHINERY = (types.ModuleType, types.FrameType, types.TracebackType, logging.Logger, logging.Handler)
"""Types of the interpreter and of logging, which are never described."""


def describe(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Return what a recipe keeps of a value.

    Args:
        value: anything.
        above: ids of the objects around it, so that an object which contains itself is noticed.
    """
    kind = type(value)
    if kind is object:  # a sentinel: there is nothing in it
        return Symbol(kind="object", text="object()")
    if kind in PLAIN or kind in (Tensor, Symbol, Secret, Opaque, Unread):
        return value
    if id(value) in above or len(above) > DEEPEST:
        return Opaque(type=_name(kind))
    inner = (*above, id(value))
    if kind in (list, tuple, set, frozenset, dict) and len(value) > LONG:
        return _long(value, inner)
    if kind in (list, tuple, set, frozenset):
        return _members(value, inner)
    if kind is dict:
        return {describe_key(key): named(key, member, inner) for key, member in value.items()}
    return _special(value, inner)


def named(name: Any, value: Any, above: tuple[int, ...] = ()) -> Any:
    """Describe a value that has a name; of a secret, only a salted hash is kept."""
    if is_secret(name, value):
        return seal_secret(value)
    described = _guarded(describe(value, above))
    return sealed(name, described) if type(described) is dict and covers(name) else described


def _guarded(described: Any) -> Any:
    """Return what was described with secrets by their form sealed, and the texts of code that hold some redacted."""
    if isinstance(described, Unread | Symbol) and redact_text(described.text) != described.text:
        return seal_secret(described.text)
    return sealed("", described) if type(described) in (list, tuple, set, frozenset) else described


def describe_key(key: Any) -> Any:
    """Describe a key of a dictionary; text, numbers and tuples of them are kept as they are."""
    if type(key) in PLAIN:
        return key
    if type(key) is tuple:
        return tuple(map(describe_key, key))
    described = describe(key)
    return described if type(described) in (Symbol, Tensor) else Symbol(kind=_name(type(key)), text=repr(key))


def _long(value: Any, above: tuple[int, ...]) -> Opaque:
    """Describe a long list or dictionary by its length and a hash of its content."""
    members = list(value.items()) if isinstance(value, dict) else list(value)
    described = [describe(part, above) for part in members]
    kind = f"{type(value).__name__} of {len(value)}"
    if any(map(holds_unknown, described)):
        return Opaque(type=kind)
    text = canonical_text(encode(described if type(value) is not set else set(described)))
    return Opaque(type=kind, fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16])


def _members(value: Any, above: tuple[int, ...]) -> Any:
    described = [describe(member, above) for member in value]
    if type(value) is list:
        return described
    if type(value) is tuple:
        return tuple(described)
    try:
        return type(value)(described)
    except TypeError:  # members that cannot be hashed any more
        return Opaque(type=type(value).__name__)


def _special(value: Any, above: tuple[int, ...]) -> Any:
    for takes, describe_kind in _DESCRIBERS:
        if takes(value):
            return describe_kind(value, above)
    return _object(value, above)


def _enum(value: Any, _: tuple[int, ...]) -> Any:
    return Symbol(kind="enum", text=f"{_name(type(value))}.{value.name}")


def _exact(value: Any, _: tuple[int, ...]) -> Any:
    return Symbol(kind=_name(type(value)), text=repr(value))


def _partial(value: "functools.partial[Any]", above: tuple[int, ...]) -> Any:
    parts = {"function": value.func, **{f"argument {n}": part for n, part in enumerate(value.args)}, **value.keywords}
    return Fields("functools.partial", {name: named(name, part, above) for name, part in parts.items()})


def _method(value: types.MethodType, _: tuple[int, ...]) -> Any:
    return function_symbol(value.__func__)


def _mapping(value: Mapping[Any, Any], above: tuple[int, ...]) -> Any:
    return Fields(_name(type(value)), {describe_key(key): named(key, member, above) for key, member in value.items()})


def _namespace(value: Any, above: tuple[int, ...]) -> Any:
    return Fields(_name(type(value)), {key: named(key, member, above) for key, member in vars(value).items()})


def _dataclass(value: Any, above: tuple[int, ...]) -> Any:
    fields = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    return Fields(_name(type(value)), {key: named(key, member, above) for key, member in fields.items()})


def _pydantic(value: Any, above: tuple[int, ...]) -> Any:
    fields = {**dict(value), **(value.__pydantic_extra__ or {})}
    return Fields(_name(type(value)), {key: named(key, member, above) for key, member in fields.items()})


def _config(value: Any, above: tuple[int, ...]) -> Any:
    """Describe a configuration that has `to_dict`, with the choice of attention kernels, which `to_dict` leaves out."""
    fields = dict(value.to_dict())
    for name in ("_attn_implementation", "_experts_implementation"):
        if getattr(value, name, None) is not None:
            fields[name.removeprefix("_")] = getattr(value, name)
    fields.pop("transformers_version", None)
    return Fields(_name(type(value)), {key: named(key, member, above) for key, member in fields.items()})


def _omega(value: Any, above: tuple[int, ...]) -> Any:
    from omegaconf import OmegaConf

    container = OmegaConf.to_container(value, resolve=True, throw_on_missing=False)
    return describe(container, above)


def _tensor(value: Any, _: tuple[int, ...]) -> Any:
    return tensor_of(value, fingerprint=True)


def _array(value: Any, _: tuple[int, ...]) -> Any:
    small = value.size <= SMALL and value.dtype.kind != "O"
    digest = hashlib.sha256(value.tobytes()).hexdigest()[:16] if small else ""
    return Tensor(shape=tuple(value.shape), dtype=f"numpy {value.dtype}", fingerprint=digest)


def _torch_name(value: Any, _: tuple[int, ...]) -> Any:
    return Symbol(kind=type(value).__name__, text=str(value).removeprefix("torch."))


def _object(value: Any, above: tuple[int, ...]) -> Any:
    """Describe any other object by its attributes; opaque if its class, or a base of it, is not written in Python."""
    kind = type(value)
    if len(above) > OBJECTS + 1 or isinstance(value, _MACHINERY) or _is_module(value):
        return Opaque(type=_name(kind))
    if any(not base.__flags__ & _HEAP_TYPE for base in kind.__mro__[:-1]) or not hasattr(value, "__dict__"):
        return Opaque(type=_name(kind))
    attributes = {name: named(name, part, above) for name, part in _attributes(value)}
    return Fields(_name(kind), attributes) if attributes else class_symbol(kind)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    yield from vars(value).items()
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)


def _is_torch(*names: str) -> Callable[[Any], bool]:
    def takes(value: Any) -> bool:
        kind = type(value)
        return kind.__module__.partition(".")[0] == "torch" and kind.__name__ in names

    return takes


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _is_kind(module: str, name: str) -> Callable[[Any], bool]:
    return lambda value: any(
        c.__name__ == name and c.__module__.partition(".")[0] == module for c in type(value).__mro__
    )


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


_DESCRIBERS: tuple[tuple[Callable[[Any], bool], Callable[[Any, tuple[int, ...]], Any]], ...] = (
    (lambda v: isinstance(v, enum.Enum), _enum),
    (lambda v: isinstance(v, type), lambda v, _: class_symbol(v)),
    (lambda v: isinstance(v, functools.partial), _partial),
    (lambda v: isinstance(v, types.MethodType), _method),
    (lambda v: isinstance(v, types.FunctionType | types.BuiltinFunctionType), lambda v, _: function_symbol(v)),
    (lambda v: isinstance(v, PurePath), lambda v, _: PurePath(v)),
    (lambda v: isinstance(v, WRITTEN_EXACTLY), _exact),
    (_is_tensor, _tensor),
    (_is_torch("dtype", "device", "memory_format", "layout"), _torch_name),
    (_is_torch("Size"), lambda v, _: tuple(v)),
    (_is_kind("numpy", "ndarray"), _array),
    (_is_kind("numpy", "generic"), _exact),
    (_is_kind("omegaconf", "Container"), _omega),
    (_is_kind("pydantic", "BaseModel"), _pydantic),
    (lambda v: isinstance(v, argparse.Namespace | types.SimpleNamespace), _namespace),
    (_is_kind("transformers", "PretrainedConfig"), _config),
    (_is_kind("transformers", "PreTrainedConfig"), _config),
    (lambda v: dataclasses.is_dataclass(v), _dataclass),
    (lambda v: isinstance(v, Mapping), _mapping),
    (lambda v: isinstance(v, int | float | str | bytes), _exact),
)


def tensor_of(value: Any, *, fingerprint: bool) -> Tensor:
    """Describe a torch tensor by shape, dtype and gradient flag, and a small one also by a hash of its content."""
    digest = ""
    if fingerprint and value.numel() <= SMALL and value.device.type != "meta" and not value.is_sparse:
        plain = value.detach().cpu().contiguous().flatten()
        digest = hashlib.sha256(plain.view(_bytes_type()).numpy().tobytes()).hexdigest()[:16] if plain.numel() else ""
    dtype = str(value.dtype).removeprefix("torch.")
    return Tensor(shape=tuple(value.shape), dtype=dtype, grad=bool(value.requires_grad), fingerprint=digest)


def _bytes_type() -> Any:
    return sys.modules["torch"].uint8


def built_chunk(name: str, built: Built, *, without: Sequence[str] = ()) -> Chunk:
    """Describe an object by its class and its constructor's arguments."""
    cls = type(built.made)
    items: list[Item] = [Setting("class", class_symbol(cls), Origin.SET, built.source)]
    home = version_of(cls)
    for key, value in built.given.items():
        if key not in without:
            items.append(from_value(key, named(key, value), lambda _: (Origin.SET, built.source)))
    for key, value in built.defaults.items():
        if key not in without:
            items.append(from_value(key, named(key, value), lambda _: (Origin.DEFAULT, home)))
    return Chunk(name, "dict", tuple(items))


def version_of(cls: type) -> str:
    """Return the source of a class's defaults: package, version and class."""
    from importlib import metadata

    package = cls.__module__.partition(".")[0]
    try:
        return f"{package} {metadata.version(package)} {cls.__name__}"
    except metadata.PackageNotFoundError:
        return cls.__name__


def numbered_name(name: str, names: Sequence[str]) -> str:
    """Return a name with its count behind it if it occurs more than once in `names`, which end with it."""
    count = names.count(name)
    return name if count < 2 else f"{name} {count}"
