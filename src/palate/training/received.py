"""What a run really received, noted while it runs: files, modules, environment variables, arguments, seeds.

A `Recorder` listens in the run's process and in Python processes that it starts, and appends a line to the run's
`received.jsonl` when it hears of something for the first time; so a run that is killed leaves what was heard until
then. Standard library only, and light: it is imported in every process that a run starts.
"""

import argparse
import atexit
import json
import opcode
import os
import random
import sys
import threading
import zlib
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from pathlib import Path
from types import FrameType
from typing import Any

from palate.training.apart import Guard

NOTES = "received.jsonl"
"""File in a run's folder with what was heard."""

NOTED, WORKS_IN = "PALATE_RECEIVED", "PALATE_WORK"
"""Environment variables that tell a process that a run starts where to note, and which folder is the run's own."""

SITE = str(Path(__file__).parent / "site")
"""Folder that starts a recorder in every Python process that a run starts."""

LONGEST = 200
"""The most characters of a value that are noted."""

NATIVE_SWITCHES = ("CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "XLA_FLAGS", "PYTORCH_CUDA_ALLOC_CONF",
                   "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "PYTHONOPTIMIZE")  # fmt: skip
"""Environment variables that libraries read below Python, and that change what they compute."""

_OF_THE_PLACE = ("PALATE_", "SSH_", "SLURM_", "PBS_", "LSB_", "XDG_", "LC_", "GIT_", "VSCODE_", "TMUX", "COLOR", "_")
_PLACE = frozenset({"PWD", "OLDPWD", "SHLVL", "TERM", "COLUMNS", "LINES", "DISPLAY", "HOME", "USER", "LOGNAME", "PATH",
                    "TMPDIR", "TEMP", "TMP", "HOSTNAME", "SHELL", "LANG", "PYTHONPATH", "PYTHONHASHSEED", "NO_COLOR",
                    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "JUPYTER_COLUMNS"})  # fmt: skip
"""Environment variables that say where a program runs and not what it does."""

_CODE = (".pyc", ".so", ".pth", ".egg-link", ".pyi")
_LIBRARY = (os.path.dirname(os.__file__), "/proc", "/sys", "/dev", "/etc", "<")
_PALATE = str(Path(__file__).resolve().parent.parent)

_recorder: "Recorder | None" = None
_hooked = False


class Recorder:
    """Notes what this process receives.

    Args:
        notes: the file to append to.
        work: the run's own folder; "" where it has none.
    """

    def __init__(self, notes: str, work: str = "") -> None:
        self._file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._folder = os.path.dirname(notes) + os.sep
        self._work = work + os.sep if work else ""
        self._guard = Guard(work) if work else None
        self._known: set[tuple[str, str]] = set()
        self._set: set[str] = set()
        self._parsed: list[tuple[argparse.ArgumentParser, argparse.Namespace]] = []
        self._constants: tuple[str, ...] = ()
        self._in_force = False

    def note(self, kind: str, *what: Any) -> None:
        """Append a line."""
        os.write(self._file, (json.dumps([kind, *what]) + "\n").encode())

    def once(self, kind: str, name: str, *what: Any) -> None:
        """Append a line unless this was noted before."""
        if (kind, name) not in self._known:
            self._known.add((kind, name))
            self.note(kind, name, *what)

    def opened(self, name: object, mode: object, flags: object) -> None:
        """Hear that a file is about to be opened; make it the run's own where it will be written to."""
        if not isinstance(name, str | bytes | os.PathLike):
            return
        text = os.fsdecode(os.fspath(name))
        number = flags if isinstance(flags, int) else 0
        if number & getattr(os, "O_DIRECTORY", 0):
            return
        path = text if text.startswith("/") else os.path.abspath(text)
        if ".." in path:
            path = os.path.normpath(path)
        if isinstance(mode, str) and mode:
            writes, keeps, fresh = not mode.startswith("r") or "+" in mode, "w" not in mode, "x" in mode
        else:
            writes = number & (os.O_WRONLY | os.O_RDWR) != 0
            keeps, fresh = not number & os.O_TRUNC, bool(number & os.O_EXCL)
        if writes:
            self.writes(path, keeps=keeps, fresh=fresh)
        else:
            self.reads(path)

    def reads(self, path: str) -> None:
        """Note a file that is read, before this run wrote it."""
        if ("read", path) in self._known or not self._is_own(path) or path.endswith(_CODE):
            return
        if ("wrote", path) not in self._known:
            self._known.add(("read", path))
            os.write(self._file, f'["read", {encode_basestring_ascii(path)}]\n'.encode())
        elif not (self._work and path.startswith(self._work)):
            self.once("read back", path)

    def writes(self, path: str, *, keeps: bool = True, fresh: bool = False) -> None:
        """Note a file that is written, and make it the run's own.

        Args:
            path: absolute.
            keeps: whether what is in it stays.
            fresh: whether it must not be there yet.
        """
        if path.startswith(self._folder) and not (self._work and path.startswith(self._work)):
            return  # the journal, and what is printed
        if self._guard is not None:
            if fresh:
                self._guard.own_entry(path)
            else:
                self._guard.own(path, keeps=keeps)
        if self._is_own(path) and "__pycache__" not in path:
            if keeps and not fresh and ("wrote", path) not in self._known and os.path.exists(path):
                self.reads(path)
            self.once("wrote", path, self._in_force)

    def _is_own(self, path: str) -> bool:
        if path.startswith(self._folder):
            return bool(self._work) and path.startswith(self._work)
        return not path.startswith(_LIBRARY) and "-packages/" not in path and not path.startswith(_PALATE)

    def variable(self, name: object, value: str | None, frame: FrameType | None) -> None:
        """Note an environment variable that the person's own code reads; one that is not there has no value."""
        if not isinstance(name, str) or ("variable", name) in self._known or name in self._set:
            return
        if name == "PALATE_SEED" and _own_line(frame):
            self.once("took seed", "PALATE_SEED", _own_line(frame))
        if name in _PLACE or name.startswith(_OF_THE_PLACE):
            return
        where = _own_line(frame)
        if where:
            self.once("variable", name, value, where)

    def set_variable(self, name: object) -> None:
        """Remember that the process itself set a variable: it is no input from then on."""
        if isinstance(name, str):
            self._set.add(name)

    def parsed(self, parser: argparse.ArgumentParser, values: argparse.Namespace, left: list[str]) -> None:
        """Note what a command line was read as."""
        flags = {flag: action.dest for action in parser._actions for flag in action.option_strings}
        types = {a.dest: getattr(a.type, "__name__", "") for a in parser._actions if a.type is not None}
        self._parsed.append((parser, values))
        self.note("parsed", _texts(vars(values)), flags, [str(word)[:LONGEST] for word in left], types)

    def seeds(self, what: str, value: object, frame: FrameType | None) -> None:
        """Note that the person's own code, or a library for it, seeds something."""
        text = repr(value)[:LONGEST]
        where = _nearest_own_line(frame)
        self.once("seed", f"{what} {text} {where}", what, text, where)

    def watch_constants(self, names: tuple[str, ...]) -> None:
        """Remember which constants of the script are to be read back."""
        self._constants = names

    def at_first_point(self) -> None:
        """Note what is in force when the first metric is logged."""
        if not self._in_force:
            self._in_force = True
            self.note("in force", *self._values())
            self.note_modules()

    def at_end(self) -> None:
        """Note what is in force where nothing was logged, and the modules that were imported."""
        self.at_first_point()
        self.note_modules()

    def _values(self) -> tuple[dict[str, str], dict[str, str]]:
        main = vars(sys.modules["__main__"])
        constants = {name: main[name] for name in self._constants if name in main}
        arguments: dict[str, Any] = {}
        for _, values in self._parsed:
            arguments |= vars(values)
        return _texts(constants), _texts(arguments)

    def note_modules(self) -> None:
        """Note the files of the person's own modules."""
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and path.endswith(".py") and self._is_own(path) and path.startswith("/"):
                self.once("module", path)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear of an audit event before it happens."""
        if event == "open":
            self.opened(*arguments[:3])
        elif self._guard is not None and event.startswith(("os.", "shutil.", "sqlite3.")):
            self._guard.hear(event, arguments)


def start_recorder(notes: str, work: str = "") -> Recorder:
    """Start to note what this process receives; the last one that was started counts."""
    global _recorder, _hooked
    recorder = Recorder(notes, work)
    for name in NATIVE_SWITCHES:
        recorder.once("variable", name, os.environ.get(name), "")
    _recorder = recorder
    watch_process()
    if not _hooked:
        _hooked = True
        sys.addaudithook(_heard)
    return recorder


def stop_recorder() -> None:
    """Stop noting; Python cannot remove an audit hook, which does nothing from then on."""
    global _recorder
    if _recorder is not None:
        _recorder.at_end()
        os.close(_recorder._file)
    _recorder = None


def start_in_child() -> None:
    """Start to note in a Python process that a run starts; a recorder that is there already goes on."""
    if _recorder is None:
        start_recorder(os.environ[NOTED], os.environ.get(WORKS_IN, ""))
        atexit.register(stop_recorder)


def own_file(path: str) -> None:
    """Make a file the run's own before it is written to."""
    if _recorder is not None and _recorder._guard is not None:
        _recorder._guard.own(path)


def tell(kind: str, name: str, *what: Any) -> None:
    """Note something once, where a recorder listens."""
    if _recorder is not None:
        _recorder.once(kind, name, *what)


def at_first_point() -> None:
    """Say that the first metric is logged."""
    if _recorder is not None:
        _recorder.at_first_point()


def seeded_before() -> tuple[str, ...]:
    """Return what was seeded before a recorder listened: by code that runs when a file is imported."""
    return tuple(sorted(_seeded))


_seeded: set[str] = set()
_watched: set[str] = set()


def watch_process() -> None:
    """Watch what seeds, what parses a command line and what reads environment variables; twice is fine."""
    if "environ" in _watched:
        return
    _watched.add("environ")
    _watch_environment()
    _watch_arguments()
    random.seed = _seeding("random", random.seed)
    from palate.capture.imports import Watch

    Watch({"numpy": _watch_numpy, "torch": _watch_torch, "h5py._hl.files": _watch_h5py,
           "safetensors.torch": _watch_safetensors, "cv2": _watch_cv2}).start()  # fmt: skip


def _watch_environment() -> None:
    cls: Any = type(os.environ)
    read, write = cls.__getitem__, cls.__setitem__

    def getitem(self: Any, key: Any) -> Any:
        if _recorder is None or self is not os.environ:
            return read(self, key)
        try:
            value = read(self, key)
        except KeyError:
            _recorder.variable(key, None, sys._getframe(1))
            raise
        _recorder.variable(key, value, sys._getframe(1))
        return value

    def setitem(self: Any, key: Any, value: Any) -> None:
        if _recorder is not None:
            _recorder.set_variable(key)
        write(self, key, value)

    cls.__getitem__, cls.__setitem__ = getitem, setitem


def _watch_arguments() -> None:
    original = argparse.ArgumentParser.parse_known_args

    def parse_known_args(self: Any, args: Any = None, namespace: Any = None) -> Any:
        values, left = original(self, args, namespace)
        if _recorder is not None:
            _recorder.parsed(self, values, left)
        return values, left

    argparse.ArgumentParser.parse_known_args = parse_known_args  # type: ignore[method-assign]


def _seeding(what: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that seeds as the original does, and is noted."""

    def seed(*arguments: Any, **keywords: Any) -> Any:
        if arguments or keywords:
            value = arguments[0] if arguments else next(iter(keywords.values()))
            if value is not None:
                if _nearest_own_line(sys._getframe(1)):
                    _seeded.add(what)
                if _recorder is not None:
                    _recorder.seeds(what, value, sys._getframe(1))
        return original(*arguments, **keywords)

    seed.__name__, seed.__doc__, seed.__wrapped__ = "seed", original.__doc__, original  # type: ignore[attr-defined]
    return seed


def _watch_numpy(numpy: Any) -> None:
    numpy.random.seed = _seeding("numpy", numpy.random.seed)
    numpy.random.default_rng = _seeding("numpy generator", numpy.random.default_rng)


def _watch_torch(torch: Any) -> None:
    torch.manual_seed = torch.random.manual_seed = _seeding("torch", torch.manual_seed)
    serialization: Any = sys.modules["torch.serialization"]
    torch.save = serialization.save = _native(torch.save, 1, "f", "w")


def _watch_h5py(module: Any) -> None:
    init = module.File.__init__

    def opens(self: Any, name: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> None:
        _native_file(name, "r" if mode == "r" else "w" if mode == "w" else "a")
        init(self, name, mode, *arguments, **keywords)

    module.File.__init__ = opens


def _watch_safetensors(module: Any) -> None:
    module.save_file = _native(module.save_file, 1, "filename", "w")
    module.load_file = _native(module.load_file, 0, "filename", "r")


def _watch_cv2(module: Any) -> None:
    module.imread = _native(module.imread, 0, "filename", "r")
    module.imwrite = _native(module.imwrite, 0, "filename", "w")


def _native(original: Callable[..., Any], place: int, name: str, mode: str) -> Callable[..., Any]:
    """Return a function that opens a file below Python, as the original does, and is noted."""

    def opens(*arguments: Any, **keywords: Any) -> Any:
        path = arguments[place] if len(arguments) > place else keywords.get(name)
        _native_file(path, mode)
        return original(*arguments, **keywords)

    opens.__name__, opens.__doc__ = original.__name__, original.__doc__
    opens.__module__, opens.__wrapped__ = original.__module__, original  # type: ignore[attr-defined]
    return opens


def _native_file(path: object, mode: str) -> None:
    if _recorder is not None and isinstance(path, str | os.PathLike):
        _recorder.opened(path, mode, 0)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if _recorder is not None and event in _EVENTS:
        _recorder.hear(event, arguments)


_EVENTS = frozenset({"open", "os.remove", "os.rename", "os.truncate", "os.chmod", "os.utime", "os.mkdir", "os.rmdir",
                     "os.link", "os.symlink", "sqlite3.connect", "shutil.rmtree"})  # fmt: skip


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Write values so that they can be compared."""
    return {str(name): _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    if not (value is None or isinstance(value, bool | int | float | str | tuple | list | dict)):
        return f"<{type(value).__name__}>"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... {zlib.crc32(text.encode()):08x}"


_COPIES = ("CALL", "PRECALL", "DICT_UPDATE", "DICT_MERGE")
"""How the instructions begin that read all variables of an environment at once: dict(os.environ), {**os.environ}."""


def _own_line(frame: FrameType | None) -> str:
    """Return the line of own code that reads a variable; "" where a library does, or where all variables are copied."""
    direct = frame is not None and not frame.f_code.co_filename.startswith("<frozen")
    if frame is not None and direct and opcode.opname[frame.f_code.co_code[frame.f_lasti]].startswith(_COPIES):
        return ""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen"):  # os and the mapping that it builds on
            if frame.f_code.co_name in ("__iter__", "copy", "__or__", "__ror__", "__eq__", "__repr__"):
                return ""
            frame = frame.f_back
            continue
        return "" if _is_library(name) else f"{name}:{frame.f_lineno}"
    return ""


def _nearest_own_line(frame: FrameType | None) -> str:
    """Return the line of own code nearest to a call."""
    while frame is not None:
        if not _is_library(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _is_library(name: str) -> bool:
    if "-packages/" in name or name.startswith(_PALATE):
        return True
    return name.startswith(_LIBRARY) and not name.startswith("<ipython") and "ipykernel" not in name


def _forget_in_thread() -> None:
    """Make a lock anew in a forked child: another thread may have held it."""
    if _recorder is not None and _recorder._guard is not None:
        _recorder._guard._busy = threading.local()


os.register_at_fork(after_in_child=_forget_in_thread)
