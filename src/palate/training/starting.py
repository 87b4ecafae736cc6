"""Start a script, a module or a notebook in this process as Python starts it: paths, names, arguments, `__main__`.

What a script sees differs from `python train.py` only where docs/starting.md says so. Changed constants are written
into the run's own copy of the code first, where processes that the run starts read them too.
"""

import builtins
import contextlib
import functools
import importlib.machinery
import os
import runpy
import sys
import traceback
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.question.folder import Place, path_inside
from palate.question.notebooks import NOTEBOOK, with_python
from palate.question.started import as_module, folder_of_module
from palate.question.target import Task
from palate.recipe.codec import decode
from palate.training import received
from palate.training import run as training_run

Message = dict[str, Any]

_PALATE = f"{Path(__file__).resolve().parent}{os.sep}"
_NO_PARENT = "attempted relative import with no known parent package"


@dataclass(frozen=True, slots=True)
class Seen:
    """A script as a run sees it.

    Attributes:
        file: the file that is run.
        real: the same with links resolved: its folder is the one that is imported from.
        root: the folder that its imports are looked for in.
        work: the run's own folder; "" where it has none.
    """

    file: str
    real: str
    root: str
    work: str

    @classmethod
    def of(cls, task: Task, order: Message) -> "Seen":
        """Find a task's script in the run's own folder."""
        work = os.environ[received.WORKS_IN]
        place = Place.read(order["place"]) if work else None

        def shown(path: str) -> str:
            return path if place is None else os.path.normpath(place.shown(path, work))

        real = os.path.realpath(task.file)
        root = folder_of_module(real, task.module) if task.module else str(Path(real).parent)
        file = shown(task.file)
        if file == task.file:  # by a link from outside, or nothing of it is in the run's own folder
            file = shown(real) if shown(real) != real else file
        return cls(file, shown(real), shown(root), work)

    def is_own(self, path: str) -> bool:
        """Whether a file is in the run's own folder, and may be written to."""
        return bool(self.work) and path_inside(path, self.work) is not None


def leave_own_start(task: Task) -> None:
    """Forget the working folder that `python -m` of palate's own put in front of what is imported from."""
    if task.kind == "script" and not sys.flags.safe_path and sys.path:
        del sys.path[0]


def start_script(task: Task, order: Message) -> None:
    """Run a script with the constants of an order; what it raises is raised."""
    seen = Seen.of(task, order)
    code = Path(seen.file).read_bytes()
    constants = {name: decode(value) for name, value in order["constants"].items()}
    if constants:
        code = _with_constants(seen, code, constants)
    module = sys.modules["__main__"] = _main_module()
    _start_children_here()
    run = functools.partial(_run_file, seen, code)
    if task.module:
        run = functools.partial(_run_module, task.module, seen, code)
    elif seen.file.endswith(NOTEBOOK):
        from palate.training.notebook import run_cells

        run = functools.partial(run_cells, seen.file, code)
    try:
        run(module, list(order["argv"]))
    finally:  # a script that ends by sys.exit, or by a fault, writes what its training still holds
        training_run.current_run().close()


def write_constants(task: Task, order: Message, constants: Mapping[str, Any]) -> None:
    """Write constants into the run's own copy of what a command starts: of a text, into the files that it names."""
    if task.file:
        seen = Seen.of(task, order)
        _with_constants(seen, Path(seen.file).read_bytes(), constants)
        return
    work = os.environ[received.WORKS_IN]
    here = str(Path(work, Place.read(order["place"]).cwd)) if work else str(Path.cwd())
    _with_constants(Seen("", "", here, work), b"", constants)


def _main_module() -> types.ModuleType:
    module = types.ModuleType("__main__")
    module.__dict__.update(__annotations__={}, __builtins__=builtins)
    return module


def _start_children_here() -> None:
    """Let multiprocessing's children start where the run does, where it was imported before."""
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.ORIGINAL_DIR = str(Path.cwd())


def _run_file(seen: Seen, code: bytes, module: types.ModuleType, arguments: list[str]) -> None:
    typed = os.path.relpath(seen.file) if seen.is_own(seen.file) or not seen.work else seen.file
    sys.argv = [typed, *arguments]
    sys.orig_argv = [sys.executable, *sys.argv]
    _import_from(seen.root)
    loader = importlib.machinery.SourceFileLoader("__main__", seen.file)
    module.__dict__.update(__loader__=loader, __file__=seen.file, __cached__=None)
    try:
        exec(compile(code, seen.file, "exec"), module.__dict__)  # noqa: S102  the user's own script
    except ImportError as fault:
        if _NO_PARENT in str(fault) and fault.__traceback__ is not None:
            fault.add_note(_as_package_words(seen))
        raise


def _as_package_words(seen: Seen) -> str:
    typed = as_module(Path(seen.file), Path.cwd())
    how = f" Type: {typed}" if typed else ""
    return f"python {os.path.relpath(seen.file)} does not start it either: it is part of a package.{how}"


def _run_module(name: str, seen: Seen, code: bytes, module: types.ModuleType, arguments: list[str]) -> None:
    """Run a module as `python -m` does."""
    sys.argv = ["-m", *arguments]
    sys.orig_argv = [sys.executable, "-m", name, *arguments]
    _import_from(str(Path.cwd()))
    _, spec, compiled = runpy._get_module_details(name)  # type: ignore[attr-defined]
    if os.path.realpath(spec.origin) != os.path.realpath(seen.file):
        raise ImportError(f"-m {name} finds {spec.origin} and not {seen.file}")
    if not seen.is_own(seen.file):  # a file of the person's, whose constants are changed here alone
        compiled = compile(code, seen.file, "exec")
    sys.argv[0] = spec.origin
    module.__dict__.update(
        __file__=spec.origin, __cached__=spec.cached, __loader__=spec.loader, __package__=spec.parent, __spec__=spec
    )
    exec(compiled, module.__dict__)  # noqa: S102  the user's own module


def _import_from(folder: str) -> None:
    if not sys.flags.safe_path:
        sys.path.insert(0, folder)


def _with_constants(seen: Seen, code: bytes, constants: Mapping[str, Any]) -> bytes:
    """Return a script's code with other constants; in the run's own folder, write it there, and those of other files.

    Raises:
        RuntimeError: constants of other files are to be changed, and they are not in the run's own folder.
    """
    from palate.question.ways.constants import script_file, with_constants

    by_file: dict[str, dict[str, Any]] = {}
    for name, value in constants.items():
        file, _, inside = name.rpartition(":")
        by_file.setdefault(file, {})[inside] = value
    for file, values in by_file.items():
        path = str(script_file(file, Path(seen.root))) if file else seen.file
        if file and not seen.is_own(path):
            raise RuntimeError(f"{file} cannot be changed for one run: it is not in a folder of the run's own")
        changed = _changed(path, Path(path).read_bytes() if file else code, values, with_constants)
        for one in [path] if file else dict.fromkeys((seen.file, seen.real)):
            if seen.is_own(one):  # children that read the file again find the same constants
                received.own_file(one)
                Path(one).write_bytes(changed)
        code = code if file else changed
    return code


def _changed(path: str, code: bytes, values: Mapping[str, Any], with_constants: Any) -> bytes:
    if path.endswith(NOTEBOOK):
        return with_python(code, path, lambda python: with_constants(python, values))
    if path.endswith((".sh", ".bash")):
        from palate.question.ways.shell import with_shell_constants

        return with_shell_constants(code, values)
    return with_constants(code, values)  # type: ignore[no-any-return]


def show_fault(fault: BaseException) -> str:
    """Return an exception that ended a script as Python shows it, without the frames that started the script.

    Where the script has a hook of its own for that, it is called, and "" is returned.
    """
    theirs = fault.__traceback__
    while theirs is not None and _is_start(theirs):
        theirs = theirs.tb_next
    if sys.excepthook is not sys.__excepthook__:
        with contextlib.suppress(Exception):
            sys.excepthook(type(fault), fault, theirs)
            return ""
    if theirs is None and not isinstance(fault, SyntaxError):  # palate's own
        theirs = fault.__traceback__
    return "".join(traceback.format_exception(type(fault), fault, theirs))


def _is_start(frame: types.TracebackType) -> bool:
    name = frame.tb_frame.f_code.co_filename
    return name.startswith((_PALATE, "<frozen runpy>")) or name == runpy.__file__
