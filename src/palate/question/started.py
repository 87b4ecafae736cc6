"""How Python is told to start a file: by its path, or as a module by `-m`; found without importing anything."""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from palate.errors import InputError, NotFoundError

MODULE = "-m "
"""How the text begins of a target that is started as a module: `-m package.train`."""


def module_in(text: str) -> str:
    """Return the name of the module that a target is started by; "" where it is started otherwise.

    >>> module_in("-m package.train"), module_in("train.py")
    ('package.train', '')
    """
    return text[len(MODULE) :].strip() if text.startswith(MODULE) else ""


def file_of_module(module: str, folder: Path) -> Path:
    """Return the file that `python -m MODULE` starts in a folder: a package's is its `__main__.py`.

    No package is imported for that, unlike by Python: importing may start a training.

    Raises:
        InputError: the text is no module's name.
        NotFoundError: there is no such module, or it is a package that cannot be started.
    """
    _refuse_no_name(module)
    where = _folders(folder)
    spec = _spec_of(module, where)
    if spec is None:
        raise _not_found(module, folder)
    if spec.submodule_search_locations is not None:
        spec = _spec_of(f"{module}.__main__", where)
        if spec is None:
            raise NotFoundError(
                f"{module} is a package without __main__.py, so python -m {module} does not start either.",
                todo=f"Name one of its modules: palate run -m {module}.train",
            )
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise InputError(f"{module} is no Python file: {spec.origin or spec.name}.")
    return Path(os.path.normpath(spec.origin))


def _folders(folder: Path) -> list[Path]:
    return [folder, *(Path(path) for path in sys.path if path)]


def started_file(module: str, folders: Sequence[Path]) -> Path | None:
    """Return the file that `python -m MODULE` starts where Python looks in these folders; None where there is none."""
    spec = _spec_of(module, folders)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = _spec_of(f"{module}.__main__", folders)
    return _python_file(spec)


def imported_file(module: str, folders: Sequence[Path]) -> Path | None:
    """Return the file that `import MODULE` executes, of a package its `__init__.py`; None where there is none."""
    return _python_file(_spec_of(module, folders))


def _python_file(spec: ModuleSpec | None) -> Path | None:
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(os.path.normpath(spec.origin))


def _spec_of(module: str, folders: Sequence[Path]) -> ModuleSpec | None:
    """Find a module where Python looks, package by package."""
    where: list[str] | None = [str(folder) for folder in folders]
    spec = None
    for part in module.split("."):  # each by its last name: by the whole one, its parent would have to be imported
        spec = PathFinder.find_spec(part, where) if where is not None else None
        if spec is None:
            return None
        where = _inside(spec, where, part)
    return spec


def _inside(spec: ModuleSpec, where: list[str] | None, part: str) -> list[str] | None:
    """Return where the modules of a package are; None of what is no package."""
    if spec.submodule_search_locations is None:
        return None
    if spec.loader is None:  # a package without `__init__.py`
        return [str(Path(folder, part)) for folder in where or () if Path(folder, part).is_dir()]
    return list(spec.submodule_search_locations)


def _refuse_no_name(module: str) -> None:
    is_file = module.endswith(".py")  # Python says so too, of train.py
    if all(part.isidentifier() for part in module.split(".")) and not is_file:
        return
    path = module.removesuffix(".py").strip("./")
    named = ".".join(part for part in path.split("/") if part)
    known = "/" in module or is_file
    raise InputError(
        f"{module!r} is not the name of a module.",
        why="-m takes a name with dots, as python -m does.",
        todo=f"palate run -m {named}   or by its path: palate run {module}"
        if known
        else "palate run -m package.module",
    )


def _not_found(module: str, folder: Path) -> NotFoundError:
    *parents, last = module.split(".")
    beside = sorted(path.stem for path in folder.joinpath(*parents).glob("*.py") if not path.stem.startswith("_"))
    return NotFoundError(
        f"There is no module {module} here.",
        why=[
            f"It is looked for in {folder}, as python -m does.",
            *([f"{'.'.join(parents) or 'Beside it'} has: {', '.join(beside[:8])}"] if beside and last else []),
        ],
        todo="palate run -m package.module -c name=value",
    )


def refuse_forgotten_m(text: str) -> None:
    """Refuse a module's name where a file is wanted, and say what is typed for it."""
    named = all(part.isidentifier() for part in text.split(".")) and not text.endswith((".py", ".ipynb"))
    if not named or Path(text).exists() or _spec_of(text, _folders(Path.cwd())) is None:
        return
    raise NotFoundError(
        f"{text}: there is no such file, but a module of that name.",
        todo=f"As python -m {text} starts it:  palate run -m {text} -c name=value",
    )


def folder_of_module(file: str, module: str) -> str:
    """Return the folder that a module is imported from.

    >>> folder_of_module("/p/package/train.py", "package.train"), folder_of_module("/p/package/__main__.py", "package")
    ('/p', '/p')
    """
    path = Path(file)
    is_package = path.name == "__main__.py" and not module.endswith("__main__")
    return str(path.parents[len(module.split(".")) - (0 if is_package else 1)])


def root_of(file: Path, module: str = "") -> Path:
    """Return the folder that stands first where a file's imports are looked for, links resolved as Python does."""
    real = file.resolve()
    return Path(folder_of_module(str(real), module)) if module else real.parent


def as_module(file: Path, cwd: Path) -> str:
    """Return what is typed to start a file of a package as a module; "" where it is in no package."""
    top = file.parent
    while (top / "__init__.py").is_file() and top != top.parent:
        top = top.parent
    if top == file.parent:
        top = cwd if file.parent.is_relative_to(cwd) and file.parent != cwd else file.parent.parent
    name = ".".join(file.relative_to(top).with_suffix("").parts).removesuffix(".__main__")
    if not all(part.isidentifier() for part in name.split(".")):
        return ""
    there = "" if top == cwd else f"cd {os.path.relpath(top, cwd)}; "
    return f"{there}palate run -m {name}"
