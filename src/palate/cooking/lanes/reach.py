"""What the body of a loop can reach, from the names that it uses: what must be alike in all runs, and what it changes.

Models, optimizers and what else was handed to `palate.start` have a value for each lane, and are left out. All else,
lists, dictionaries, objects and their attributes, closures, defaults and globals of functions, belongs to one process:
what of it differs from seed to seed keeps runs apart, and what the loop changes is handed to each run behind it.
"""

import dis
import hashlib
import logging
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache, partial
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from palate.cooking import randomness
from palate.cooking.lanes.tensors import LaneNumber

MOST = 20_000
"""Objects that are looked at."""

PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    range,
    PurePath,
    Enum,
    torch.dtype,
    torch.device,
    torch.Size,
)
_LEAVES = (*PLAIN, LaneNumber)
_CONTAINERS = (list, dict, set, deque)
_CODE = (types.CodeType, types.BuiltinFunctionType, types.ModuleType, type(None), types.GetSetDescriptorType,
         types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType, types.MappingProxyType,
         types.ClassMethodDescriptorType, types.MethodWrapperType)  # fmt: skip
_OPEN = ("fileno", "writerow", "execute", "sendall")
"""Methods of what is open to the outside: what goes in there goes in once for all."""

_LIBRARY = f"{logging.__file__.rpartition('/logging')[0]}/"
_OF_MODULES = ("_parameters", "_buffers", "_modules", "_flat_weights", "_flat_weight_refs")
_PALATE = __name__.partition(".")[0]

Step = tuple[str, Any]
"""One step of a path: ("name", n), ("attr", a), ("item", key), ("cell", n), ("global", n), ("default", n)."""

Path = tuple[Step, ...]


@dataclass(slots=True)
class Seen:
    """What was reached.

    Attributes:
        marks: what tells each object from what it will be when it was changed, by path.
        objects: those, by path.
        faults: what cannot be told.
    """

    marks: dict[Path, Any] = field(default_factory=dict)
    objects: dict[Path, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class Reach:
    """Looks at what a body reaches.

    Args:
        names: the values of the variables that it uses.
        own: what has a value for each lane: parts, the run, the loader of the loop.
        stored: names of variables that the loop sets, which are handed over by themselves.
    """

    def __init__(self, names: Mapping[str, Any], own: Iterable[Any], stored: frozenset[str] = frozenset()) -> None:
        self._names = dict(names)
        self._stored = stored
        self._own = {id(one) for one in own}
        self._kept = list(own)

    def look(self) -> Seen:
        """Return what is reached now."""
        seen, known = Seen(), set[int]()
        waiting: deque[tuple[Path, Any]] = deque(((("name", name),), value) for name, value in self._names.items())
        while waiting:
            path, value = waiting.popleft()
            if not isinstance(value, PLAIN):
                if id(value) in known or _is_palates(value):
                    continue
                known.add(id(value))
                self._kept.append(value)  # so that its number is not given to another
                if id(value) in self._own:
                    waiting += [] if not _is_model(value) else self._of_part(path, value)
                    continue
            if len(seen.objects) > MOST:
                seen.faults.append(f"it reaches more than {MOST:,} objects")
                break
            fault = _fault_of(value)
            if fault:
                seen.faults.append(f"{said(path)} {fault}")
                continue
            mark = _mark(value)
            if mark is not None:
                seen.marks[path], seen.objects[path] = mark, value
            waiting += [((*path, step), child) for step, child in self._held(value) if not isinstance(child, _LEAVES)]
        return seen

    def _held(self, value: Any) -> list[tuple[Step, Any]]:
        held = _children(value)
        return [one for one in held if one[0][0] != "global" or one[0][1] not in self._stored]

    def _of_part(self, path: Path, model: Any) -> Iterator[tuple[Path, Any]]:
        """Yield what a model of the training holds besides its weights: lists, hooks, counters of its own."""
        for name, module in model.named_modules():
            way = (*path, *(("module", part) for part in name.split(".") if part))
            yield way, _Attributes(module)


class _Attributes:
    """The attributes of a model of the training that are no weights, as an object of their own."""

    def __init__(self, module: Any) -> None:
        self.module = module


def own_marks(own: Iterable[Any]) -> list[Any]:
    """Return what tells the public attributes of optimizers, schedulers and the run: a training may add its own."""
    return [
        {name: (_short(one), _mark(one) if isinstance(one, _CONTAINERS) else None)
         for name, one in getattr(thing, "__dict__", {}).items()
         if not name.startswith("_") and name not in ("param_groups", "state", "defaults", "settings", "last_epoch")}
        for thing in own
    ]  # fmt: skip


def said(path: Path) -> str:
    """Write a path as it stands in code."""
    text = ""
    for kind, name in path:
        if kind == "item":
            text += f"[{name!r}]"
        elif kind in ("name", "global"):
            text = str(name)
        elif kind == "default":
            text += f"({name}=...)"
        else:
            text += f".{name}"
    return text


def digests(seen: Seen, seed: int | None) -> dict[str, tuple[str, str]]:
    """Return what tells the values that are reached from those of another run, by path.

    Each is told twice: as it is, and, for what objects and containers hold, with the run's own seed taken out: options
    hold it, and the loop may have no use for it.
    """
    found = {}
    for path, value in seen.objects.items():
        if isinstance(value, Tensor):
            flat = value.detach().cpu().contiguous().reshape(-1)
            content = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
            as_it_is = without = f"{value.dtype} {tuple(value.shape)} ".encode() + content
        else:
            as_it_is, without = (repr(one).encode() for one in (seen.marks[path], _without(seen.marks[path], seed)))
        found[repr(path)] = (_digest(as_it_is), _digest(without))
    return found


def are_alike(digests: Sequence[tuple[str, str] | None]) -> bool:
    """Return whether runs have the same there, or each its own seed in the same place."""
    return None not in digests and any(len(set(side)) == 1 for side in zip(*digests, strict=True))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _without(mark: Any, seed: int | None) -> Any:
    if isinstance(mark, tuple) and mark[:1] in (("plain",), ("globals",), ("cell",), ("function",), ("partial",)):
        return mark  # the loop names it itself
    if isinstance(mark, tuple):
        return tuple(_without(one, seed) for one in mark)
    if seed is not None and type(mark) is int and mark == seed:
        return "the seed"
    return "with the seed" if seed is not None and isinstance(mark, str) and str(seed) in mark else mark


def changed(before: Seen, after: Seen) -> dict[Path, Any]:
    """Return what was changed since an earlier look, by path; below what is handed over whole, nothing else."""
    found: dict[Path, Any] = {}
    for path, mark in sorted(after.marks.items(), key=lambda pair: len(pair[0])):
        whole = any(isinstance(found.get(path[:n]), _CONTAINERS) for n in range(1, len(path)))
        if not whole and before.marks.get(path) != mark:
            found[path] = after.objects[path]
    return found


def value_of(value: Any) -> Any:
    """Return what of a changed object is handed over: all that is in a container, plain attributes of an object."""
    if isinstance(value, _Attributes):
        value = value.module
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, types.CellType):
        return value.cell_contents
    if isinstance(value, (*_CONTAINERS, Tensor)) or type(value).__module__ == "numpy":
        return list(value) if isinstance(value, deque) else value
    held = value.read() if isinstance(value, _Globals) else _attributes(value)
    return {name: one for name, one in held if isinstance(one, (*PLAIN, LaneNumber))}


def liftable(value: Any) -> Any:
    """Return what of an object can be given a value for each lane; None for none of it."""
    if isinstance(value, Tensor | _Globals) or type(value).__module__ == "numpy" or len(_mark(value) or ()) > MOST:
        return None
    kept = value_of(value)
    return kept if kept and isinstance(kept, (*PLAIN, list, dict)) and _is_plain(kept) else None


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values())) and all(isinstance(name, PLAIN) for name in value)
    return isinstance(value, PLAIN) and not isinstance(value, Enum | PurePath)


def put(held: Any, value: Any) -> None:
    """Put a value into what is there of the same path."""
    held = held.module if isinstance(held, _Attributes) else held
    if isinstance(held, types.CellType):
        held.cell_contents = value
    elif isinstance(held, Tensor):
        with torch.no_grad():
            held.copy_(value)
    elif type(held).__module__ == "numpy":
        held[...] = value
    elif isinstance(held, _CONTAINERS):
        _put_container(held, value)
    else:
        for name, one in value.items():
            setattr(held, name, one)


def _put_container(held: Any, value: Any) -> None:
    """Put values into a container, and into those that it holds, so that whoever has one sees it."""
    kept: Any = dict(held) if isinstance(held, dict) else list(held)
    held.clear()
    if isinstance(held, set):
        held.update(value)
    elif isinstance(held, dict):
        held.update({name: _put_inner(kept.get(name), new) for name, new in value.items()})
    else:
        held.extend(_put_inner(old, new) for old, new in zip([*kept, *([None] * len(value))], value, strict=False))


def _put_inner(old: Any, new: Any) -> Any:
    if type(old) is not type(new) or not isinstance(old, _CONTAINERS):
        return new
    _put_container(old, new)
    return old


# ---- what an object is made of


def _children(value: Any) -> list[tuple[Step, Any]]:
    """Return what an object holds."""
    for kinds, held in _HOLDERS:
        if isinstance(value, kinds):
            return held(value)
    if type(value).__module__ == "numpy":
        return []
    return _of_attributes(value)


def _of_attributes(value: Any) -> list[tuple[Step, Any]]:
    return [(("attr", name), one) for name, one in _attributes(value)] + _of_class(value)


def _of_module_part(value: "_Attributes") -> list[tuple[Step, Any]]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    hooks = [(("hook", key), hook) for kind in kinds for key, hook in vars(value.module).get(kind, {}).items()]
    held = [
        one for one in _of_attributes(value.module) if not (one[0][1] in _OF_MODULES or one[0][1].endswith("_hooks"))
    ]
    return [*held, *hooks]


def _of_method(value: Any) -> list[tuple[Step, Any]]:
    held = [(("attr", "__self__"), value.__self__)]
    return held + ([(("attr", "__func__"), value.__func__)] if isinstance(value, types.MethodType) else [])


def _of_persons(value: Any) -> list[tuple[Step, Any]]:
    mine = _is_persons(value) if isinstance(value, type) else _is_persons_file(value)
    return [(("attr", name), one) for name, one in list(vars(value).items())] if mine else []


def _attributes(value: Any) -> list[tuple[str, Any]]:
    held = dict(getattr(value, "__dict__", {}))
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()) or ()]
    held |= {name: getattr(value, name) for name in slots if isinstance(name, str) and hasattr(value, name)}
    return [(name, one) for name, one in held.items() if not name.startswith("__")]


def _of_class(value: Any) -> list[tuple[Step, Any]]:
    return [(("attr", kind.__name__), kind) for kind in type(value).__mro__ if _is_persons(kind)]


def _of_function(value: types.FunctionType) -> list[tuple[Step, Any]]:
    code = value.__code__
    cells = [(("cell", name), cell) for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True)]
    names = code.co_varnames[: code.co_argcount]
    defaults = value.__defaults__ or ()
    held = {**dict(zip(names[len(names) - len(defaults) :], defaults, strict=True)), **(value.__kwdefaults__ or {})}
    found: list[tuple[Step, Any]] = [*cells, *((("default", name), one) for name, one in held.items())]
    found += [(("attr", name), one) for name, one in vars(value).items()]
    if not code.co_filename.startswith(_LIBRARY) and "site-packages" not in code.co_filename:
        shared = value.__globals__
        found += [(("global", name), shared[name]) for name in _names_in(code) if name in shared]
        plain = sorted(n for n in _names_in(code) if isinstance(shared.get(n, _ABSENT), (*PLAIN, LaneNumber)))
        found += [(("attr", "globals"), _Globals(shared, tuple(plain)))] if plain else []
    return found


_ABSENT = object()


class _Globals:
    """The plain globals that a function names, which it may set."""

    _shared: dict[str, Any]
    _named: tuple[str, ...]

    def __init__(self, shared: dict[str, Any], names: tuple[str, ...]) -> None:
        object.__setattr__(self, "_shared", shared)
        object.__setattr__(self, "_named", names)

    def read(self) -> list[tuple[str, Any]]:
        return [(name, self._shared.get(name)) for name in self._named]

    def __setattr__(self, name: str, value: Any) -> None:
        self._shared[name] = value


@lru_cache(maxsize=1_000)
def _names_in(code: types.CodeType) -> frozenset[str]:
    """Return the globals that a function's code reads or sets, those of functions inside of it among them."""
    names = {one.argval for one in dis.get_instructions(code) if one.opname in _GLOBALS}
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return frozenset(names.union(*map(_names_in, inner)))


_GLOBALS = ("LOAD_GLOBAL", "STORE_GLOBAL", "LOAD_NAME", "DELETE_GLOBAL")


_HOLDERS: list[tuple[Any, Callable[[Any], list[tuple[Step, Any]]]]] = [
    (_Attributes, _of_module_part),
    (list | tuple | deque, lambda one: [(("item", place), held) for place, held in enumerate(one)]),
    (Mapping, lambda one: [(("item", key), held) for key, held in one.items()]),
    (types.FunctionType, _of_function),
    (types.MethodType | types.BuiltinMethodType, _of_method),
    (partial, lambda one: [(("attr", name), getattr(one, name)) for name in ("func", "args", "keywords")]),
    (types.CellType, lambda one: [(("attr", "contents"), one.cell_contents)] if _is_full(one) else []),
    (type | types.ModuleType, _of_persons),
    (staticmethod | classmethod, lambda one: [(("attr", "function"), one.__func__)]),
    (property, lambda one: [(("attr", "function"), one.fget)]),
    (Tensor | set | frozenset | _Globals, lambda _: []),
]
"""What an object holds, by its kind."""


def _mark(value: Any) -> Any:
    """Return what changes when an object is changed; None for what cannot be, and for what is told by its parts."""
    for kinds, marked in _MARKS:
        if isinstance(value, kinds):
            return marked(value)
    if type(value).__module__ == "numpy":
        return ("array", hashlib.blake2b(value.tobytes(), digest_size=8).hexdigest())
    if randomness.is_generator(value):
        return ("generator", hashlib.blake2b(repr(randomness.take(value)).encode(), digest_size=8).hexdigest())
    return _mark_of_attributes(value)


def _mark_of_attributes(value: Any) -> Any:
    return ("object", *((name, _short(one)) for name, one in _attributes(value)))


def _mark_of_function(value: types.FunctionType) -> Any:
    own = [(step, _short(one)) for step, one in _of_function(value) if step[0] in ("default", "attr")]
    return ("function", *own)


def _mark_of_class(value: type) -> Any:
    pairs = list(vars(value).items()) if _is_persons(value) else []
    return ("class", *((name, _short(one)) for name, one in pairs if not name.startswith("__")))


_MARKS: list[tuple[Any, Callable[[Any], Any]]] = [
    (PLAIN, lambda one: ("plain", one)),
    (Tensor, lambda one: ("tensor", id(one), one._version)),
    (list | tuple | deque, lambda one: (type(one).__name__, len(one), *map(_short, one))),
    (Mapping, lambda one: (type(one).__name__, *((_short(key), _short(held)) for key, held in one.items()))),
    (set | frozenset, lambda one: (type(one).__name__, *sorted(map(repr, map(_short, one))))),
    (types.CellType, lambda one: ("cell", _short(one.cell_contents)) if _is_full(one) else None),
    (_Globals, lambda one: ("globals", *((name, _short(held)) for name, held in one.read()))),
    (types.FunctionType, _mark_of_function),
    (partial, lambda one: ("partial", *map(_short, one.args), *((n, _short(v)) for n, v in one.keywords.items()))),
    ((*_CODE, types.MethodType, staticmethod, classmethod, property), lambda _: None),
    (type, _mark_of_class),
    (_Attributes, lambda one: _mark_of_attributes(one.module)),
]
"""What tells an object from itself when it is changed, by its kind."""


def _short(value: Any) -> Any:
    """Return a plain value, and of any other only of which kind it is."""
    if isinstance(value, LaneNumber):
        return ("lanes", *value.values)
    return value if isinstance(value, PLAIN) and not isinstance(value, Enum) else f"<{type(value).__name__}>"


def _fault_of(value: Any) -> str:
    """Return why an object keeps runs apart, whatever it holds."""
    kind = type(value)
    if isinstance(value, logging.Logger):
        return "writes to a file" if any(isinstance(one, logging.FileHandler) for one in value.handlers) else ""
    if any(hasattr(kind, name) for name in _OPEN) and not isinstance(value, type):
        return "is open to the outside, and what the loop writes there is written once for all"
    if kind.__name__ == "_lru_cache_wrapper":
        return "keeps what it was called with"
    if hasattr(kind, "__next__") and not isinstance(value, type):
        return f"is a {kind.__name__}, which cannot be compared between runs"
    if isinstance(value, torch.optim.Optimizer | LRScheduler | torch.Generator) or (
        _is_model(value) and any(one.requires_grad for one in value.parameters())
    ):
        return "is used in the loop and is no part of it: name it in palate.start(...)"
    if randomness.is_generator(value) or kind.__name__ in ("lock", "RLock"):
        return f"is a {kind.__name__}, which cannot be kept for several runs at once"
    return ""


def _is_palates(value: object) -> bool:
    module = type(value).__module__
    return module.partition(".")[0] == _PALATE and not isinstance(value, _Attributes | _Globals | LaneNumber)


def _is_model(value: object) -> bool:
    return isinstance(value, torch.nn.Module)


def _is_full(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _is_persons(kind: type) -> bool:
    """Return whether a class is the person's own, and not a library's."""
    module = sys.modules.get(kind.__module__)
    return module is not None and _is_persons_file(module)


def _is_persons_file(module: types.ModuleType) -> bool:
    if module.__name__.partition(".")[0] == _PALATE:
        return False
    place = getattr(module, "__file__", None) or ("" if module.__name__ == "__main__" else _LIBRARY)
    return not place.startswith(_LIBRARY) and "site-packages" not in place
