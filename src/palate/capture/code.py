"""Symbols of classes and functions; with a hash of the code for lambdas and for a person's own."""

import functools
import hashlib
import inspect
import sys
import sysconfig
import types
import weakref
from typing import Any

from palate.recipe.codec import Symbol

PLAIN = (bool, int, float, str, bytes, tuple, type(None))
"""Types whose `repr` is part of the hash."""

DEEPEST = 3
"""How many levels of functions that call functions are hashed."""

_known: "weakref.WeakKeyDictionary[type, Symbol]" = weakref.WeakKeyDictionary()


def class_symbol(cls: type) -> Symbol:
    """Return the symbol of a class; for a person's own class with a hash of its code, whatever the path of its file.

    The hash covers its methods (below decorators), its plain attributes, and what the methods use of their module.
    """
    if cls not in _known:
        _known[cls] = _class_symbol(cls)
    return _known[cls]


def _class_symbol(cls: type) -> Symbol:
    own = [base for base in cls.__mro__ if is_own(base.__module__)]
    if not own:
        return Symbol(kind="class", text=f"{cls.__module__}.{cls.__qualname__}")
    digest = hashlib.sha256()
    for base in own:
        for name, part in sorted(vars(base).items()):
            if name not in ("__module__", "__qualname__", "__doc__", "__firstlineno__"):
                digest.update(name.encode() + _part_bytes(part))
    return Symbol(kind="class", text=cls.__qualname__.rpartition("<locals>.")[2], code=digest.hexdigest()[:16])


def _part_bytes(part: Any) -> bytes:
    function = getattr(part, "__func__", getattr(part, "fget", part))
    if isinstance(function, types.FunctionType):
        return function_bytes(function)
    return repr(part).encode() if type(part) in PLAIN else b""


def function_symbol(function: Any) -> Symbol:
    """Return the symbol of a function; for a lambda or a person's own with a hash of code, defaults and closure."""
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    code = getattr(function, "__code__", None)
    own = code is not None and (is_own(module) or "<" in name)
    if not own:
        return Symbol(kind="function", text=f"{module}.{name}")
    cells = [cell_text(cell) for cell in function.__closure__ or ()]
    rest = repr((function.__defaults__, sorted((function.__kwdefaults__ or {}).items()), cells))
    digest = hashlib.sha256(function_bytes(function) + rest.encode()).hexdigest()[:16]
    return Symbol(kind="function", text=name.rpartition("<locals>.")[2], code=digest)


def cell_text(cell: Any) -> str:
    """Write the value of a closure's cell, or its type if the value cannot be written."""
    try:
        content = cell.cell_contents
    except ValueError:
        return "empty"
    code = getattr(content, "__code__", None)
    if code is not None:
        return code_bytes(code).hex()
    return repr(content) if type(content) in PLAIN else type(content).__qualname__


def function_bytes(function: Any, seen: frozenset[int] = frozenset()) -> bytes:
    """Return what a function does as bytes: its code below decorators, and what it uses of its module."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None or id(function) in seen or len(seen) > DEEPEST:
        return b""
    inner = seen | {id(function)}
    used = [(name, function.__globals__[name]) for name in _names(code) if name in function.__globals__]
    parts = [code_bytes(code)]
    for name, value in used:
        if isinstance(value, types.FunctionType) and is_own(value.__module__ or ""):
            parts.append(name.encode() + function_bytes(value, inner))
        elif type(value) in PLAIN:
            parts.append(f"{name}={value!r}".encode())
    return b"".join(parts)


def _names(code: types.CodeType) -> list[str]:
    inner = [name for part in code.co_consts if isinstance(part, types.CodeType) for name in _names(part)]
    return sorted({*code.co_names, *inner})


def code_bytes(code: types.CodeType) -> bytes:
    """Return what a code object does as bytes, without file names and line numbers."""
    constants = [c for c in code.co_consts if not isinstance(c, types.CodeType)]
    inner = b"".join(code_bytes(c) for c in code.co_consts if isinstance(c, types.CodeType))
    return code.co_code + repr((constants, code.co_names)).encode() + inner


@functools.cache
def is_own(module: str) -> bool:
    """Return whether a module is a person's own: not of the standard library and not of an installed package."""
    if module in ("__main__", "__mp_main__"):
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return is_own_file(file) if file else False


def is_own_file(file: str) -> bool:
    """Return whether a file is a person's own: not of the standard library and not of an installed package."""
    paths = sysconfig.get_paths()
    library = (paths["stdlib"], paths["purelib"], paths["platlib"])
    return not file.startswith(library) and "site-packages" not in file
