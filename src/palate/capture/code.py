"""What code says, as a hash: for lambdas and for a person's own classes the name alone does not tell."""

import functools
import hashlib
import sys
import sysconfig
import types
import weakref
from typing import Any

from palate.recipe.codec import Symbol


def code_bytes(code: types.CodeType) -> bytes:
    """Give a code object as bytes: what it does, not where it stands."""
    constants = [c for c in code.co_consts if not isinstance(c, types.CodeType)]
    inner = b"".join(code_bytes(c) for c in code.co_consts if isinstance(c, types.CodeType))
    return code.co_code + repr((constants, code.co_names)).encode() + inner


@functools.cache
def is_own(module: str) -> bool:
    """Whether a module is a person's own: neither the standard library's nor an installed package's."""
    if module in ("__main__", "__mp_main__"):
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if not file:
        return False
    paths = sysconfig.get_paths()
    library = (paths["stdlib"], paths["purelib"], paths["platlib"])
    return not file.startswith(library) and "site-packages" not in file


_known: "weakref.WeakKeyDictionary[type, Symbol]" = weakref.WeakKeyDictionary()


def class_symbol(cls: type) -> Symbol:
    """Name a class; one of the person's own carries a hash of its code, and of its own bases' code."""
    if cls not in _known:
        _known[cls] = _class_symbol(cls)
    return _known[cls]


def _class_symbol(cls: type) -> Symbol:
    own = [base for base in cls.__mro__ if is_own(base.__module__)]
    digest = hashlib.sha256()
    for base in own:
        for name, part in sorted(vars(base).items()):
            code = getattr(getattr(part, "__func__", getattr(part, "fget", part)), "__code__", None)
            if code is not None:
                digest.update(name.encode() + code_bytes(code))
    text = f"{cls.__module__}.{cls.__qualname__}"
    return Symbol(kind="class", text=text, code=digest.hexdigest()[:16] if own else "")


def function_symbol(function: Any) -> Symbol:
    """Name a function; a person's own, and any lambda, carries a hash of code, defaults and what it closes over."""
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    code = getattr(function, "__code__", None)
    told = ""
    if code is not None and (is_own(module) or "<" in name):
        held = [cell_text(cell) for cell in function.__closure__ or ()]
        rest = repr((function.__defaults__, sorted((function.__kwdefaults__ or {}).items()), held))
        told = hashlib.sha256(code_bytes(code) + rest.encode()).hexdigest()[:16]
    return Symbol(kind="function", text=f"{module}.{name}", code=told)


def cell_text(cell: Any) -> str:
    """Write what a closure holds, where it can be written."""
    try:
        held = cell.cell_contents
    except ValueError:
        return "empty"
    code = getattr(held, "__code__", None)
    if code is not None:
        return code_bytes(code).hex()
    return repr(held) if type(held) in (int, float, str, bool, tuple, type(None)) else type(held).__qualname__
