"""What a run really received, noted while it runs: files, modules, environment variables, arguments, seeds.

A `Recorder` listens in the run's process and in Python processes that it starts, and appends a line to the run's
`received.jsonl` when it hears of something for the first time; so a run that is killed leaves what was heard until
then. Standard library only, and light: it is imported in every process that a run starts.
"""

import atexit
import contextlib
import errno
import fcntl
import functools
import json
import opcode
import os
import random
import re
import stat
import sys
import threading
import zlib
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from pathlib import Path
from types import FrameType
from typing import Any

from palate.cooking.lanes.meeting import meeting_folder
from palate.training import parsers
from palate.training.apart import Guard

NOTES = "received.jsonl"
"""File in a run's folder with what was heard."""

NOTED, WORKS_IN, SHOWS = "PALATE_RECEIVED", "PALATE_WORK", "PALATE_SHOWS"
CONSTANTS = "PALATE_CONSTANTS"
"""Environment variable with the names, as JSON, of what is read back in the processes of a command."""

SECRETS = "PALATE_SECRETS"
"""Environment variable with the place, in memory, where a run's processes tell the secrets that they set themselves."""

"""Environment variables that tell a process that a run starts where to note, which folder is the run's own, and which
folders that one shows."""

SITE = str(Path(__file__).parent / "site")
"""Folder that starts a recorder in every Python process that a run starts."""

LONGEST = 200
"""The most characters of a value that are noted."""

CHECKED_EACH = 16
"""Lines after which it is looked again whether the notes' file is still theirs."""

HIGH = 400
"""The number from which on one is taken for the notes' file."""

MOST_PARSED = 20
"""Command lines of a process that are noted."""

NATIVE_SWITCHES = ("CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "XLA_FLAGS", "PYTORCH_CUDA_ALLOC_CONF",
                   "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "PYTHONOPTIMIZE")  # fmt: skip
"""Environment variables that libraries read below Python, and that change what they compute."""

_OF_THE_PLACE = ("PALATE_", "SSH_", "SLURM_", "PBS_", "LSB_", "XDG_", "VSCODE_", "TMUX", "TORCHELASTIC_")
_PLACE = frozenset({"PWD", "OLDPWD", "SHLVL", "_", "TERM", "COLORTERM", "COLUMNS", "LINES", "DISPLAY", "WINDOWID",
                    "HOME", "USER", "LOGNAME", "PATH", "TMPDIR", "TEMP", "TMP", "HOSTNAME", "SHELL", "LANG",
                    "RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT", "PET_MASTER_PORT",
                    "PYTHONPATH", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE",
                    "PYTORCH_NVML_BASED_CUDA_CHECK", "TORCHINDUCTOR_CACHE_DIR", "NO_COLOR",
                    "OMP_NUM_THREADS", "MKL_NUM_THREADS",
                    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
                    "OPENBLAS_NUM_THREADS", "GIT_DIR", "GIT_WORK_TREE", "GIT_OPTIONAL_LOCKS"})  # fmt: skip
"""Environment variables that say where a program runs and not what it does."""

_SALT = re.compile(r"/palate/\.?salt[^/]*$")
"""What the hashes of secrets are made with; palate reads it while a run goes."""

_CODE = (".pyc", ".so", ".egg-link")
_LIBRARY = (f"{os.path.dirname(os.__file__)}{os.sep}", "/proc/", "/sys/", "/dev/", "/etc/", "<")
_PALATE = f"{Path(__file__).resolve().parent.parent}{os.sep}"

_recorder: "Recorder | None" = None
_hooked = False
_imported_from = ""


class Recorder:
    """Notes what this process receives.

    Args:
        notes: the file to append to.
        work: the run's own folder; "" where it has none.
        theirs: the folders that it shows: the person's, and one that stands over it.
    """

    def __init__(self, notes: str, work: str = "", theirs: tuple[str, ...] = ()) -> None:
        self._notes = notes
        self._file, self._number = _open_high(notes)
        self._folder = os.path.dirname(notes) + os.sep
        self._palates = (self._folder, *([f"{met}{os.sep}"] if (met := meeting_folder()) else []))
        self._work = work + os.sep if work else ""
        self._guard = Guard(work, theirs) if work else None
        self._known: set[tuple[str, str]] = set()
        self._parsed: list[Callable[[], Mapping[str, Any]]] = []
        self._constants: tuple[str, ...] = ()
        self._in_force = False
        self._numpy_begins = _numpy_state()
        self._cwd = ""
        self._appended = 0

    def note(self, kind: str, *what: Any) -> None:
        """Append a line."""
        self._append((json.dumps([kind, *what]) + "\n").encode())

    def _append(self, line: bytes) -> None:
        """Append to the notes; a program that closes all files may have closed them, and have taken the number."""
        self._appended += 1
        try:
            mine = self._appended % CHECKED_EACH or os.fstat(self._file).st_ino == self._number
            if mine:
                os.write(self._file, line)
                return
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
        self._file, self._number = _open_high(self._notes)
        os.write(self._file, line)

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
        path = text if text.startswith("/") else f"{self._here()}/{text}"
        if "/." in path or "//" in path:
            path = os.path.normpath(path)
        if number & getattr(os, "O_DIRECTORY", 0):
            self.enters(path)
        elif isinstance(mode, str) and mode:
            if mode.startswith("r") and "+" not in mode:
                self.reads(path)
            else:
                self.writes(path, keeps="w" not in mode, fresh="x" in mode, seen="+" in mode and "w" not in mode)
        elif number & (os.O_WRONLY | os.O_RDWR):
            keeps = not number & os.O_TRUNC
            seen = keeps and bool(number & os.O_RDWR)
            self.writes(path, keeps=keeps, fresh=bool(number & os.O_EXCL), seen=seen)
        else:
            self.reads(path)

    def _here(self) -> str:
        """Return the working folder, asked for once until it changes."""
        if not self._cwd:
            self._cwd = os.getcwd()
        return self._cwd

    def enters(self, path: str) -> None:
        """Make a folder the run's own, before it works in it by other ways than its path."""
        if self._guard is not None:
            self._guard.secure(path)

    def reads(self, path: str) -> None:
        """Note a file that is read, before this run wrote it."""
        path = self._in_work(path)
        if ("read", path) in self._known or not self._is_own(path) or path.endswith(_CODE):
            return
        if ("wrote", path) not in self._known:
            self._known.add(("read", path))
            try:
                known = os.stat(path)
                state = f"{known.st_size}, {known.st_mtime_ns}"
                if stat.S_ISDIR(known.st_mode):
                    self.enters(path)
                    return
            except OSError:
                state = "-1, 0"
            self._append(f'["read", {encode_basestring_ascii(path)}, {state}]\n'.encode())
        elif not (self._work and path.startswith(self._work)):
            self.once("read back", path)

    def _in_work(self, path: str) -> str:
        """Return where the run's own folder has what the worker imported from its."""
        return self._work + path[len(_imported_from) :] if _imported_from and path.startswith(_imported_from) else path

    def writes(self, path: str, *, keeps: bool = True, fresh: bool = False, seen: bool = False) -> None:
        """Note a file that is written, and make it the run's own.

        Args:
            path: absolute.
            keeps: whether what is in it stays.
            fresh: whether it must not be there yet.
            seen: whether what is in it can be read as well.
        """
        if path.startswith(self._palates) and not (self._work and path.startswith(self._work)):
            return  # the journal, and what is printed
        if self._guard is not None:
            if fresh:
                self._guard.own_entry(path)
            else:
                self._guard.own(path, keeps=keeps)
        if self._is_own(path) and "__pycache__" not in path:
            if seen and ("wrote", path) not in self._known and os.path.exists(path):
                self.reads(path)
            self.once("wrote", path, self._in_force)

    def _is_own(self, path: str) -> bool:
        if path.startswith(self._palates):
            return bool(self._work) and path.startswith(self._work)
        if _SALT.search(path):
            return False
        if path.startswith("/dev/shm/"):  # noqa: S108  a place for data, unlike the rest of /dev
            return True
        return not path.startswith((*_LIBRARY, _PALATE)) and not _is_installed(path)

    def lists(self, folder: object) -> None:
        """Note a folder whose entries are listed, but for what Python itself looks for when it imports."""
        importing = sys._getframe(3).f_code.co_filename.startswith(("<frozen importlib", _PALATE))
        if importing or not isinstance(folder, str | os.PathLike):
            return
        path = os.path.abspath(os.fspath(folder))
        if self._guard is not None:
            self._guard.show(path)
        if ("wrote", path) not in self._known and self._is_own(path + os.sep):
            self.once("listed", path)

    def starts(self, words: list[str], environment: Any) -> None:
        """Hear that a program is about to be started. Nothing guards or notes what it does, unless it is Python."""
        name = os.path.basename(words[0]) if words else "sh"
        told = environment is None or NOTED in environment or NOTED.encode() in environment
        bare = any(word in ("-I", "-S", "-E", "-IS") for word in words[1:4])
        if name in _HARMLESS or (name.startswith("python") and told and not bare):
            return
        if self._guard is not None:
            self._guard.secure()
        self.once("program", name)

    def looks_for(self, path: object) -> None:
        """Note a file that is looked for and not opened."""
        if not isinstance(path, str | os.PathLike):
            return
        text = os.path.abspath(os.fspath(path))
        known = ("read", text) in self._known or ("wrote", text) in self._known
        if isinstance(text, str) and not known and self._is_own(text) and not text.endswith(_CODE):
            self.once("looked", text, os.path.lexists(text))

    def variable(self, name: object, value: str | None, frame: FrameType | None) -> None:
        """Note an environment variable that the person's own code reads; one that is not there has no value."""
        if name == "PALATE_SEED" and _own_line(frame):
            self.once("took seed", "PALATE_SEED", _own_line(frame))
        if not isinstance(name, str) or ("variable", name) in self._known or name in _set_here | _handed:
            return
        if name in _PLACE or name.startswith(_OF_THE_PLACE):
            return
        where = self._in_work(_own_line(frame))
        if where:
            self.once("variable", name, shown_variable(name, value), where)

    def parsed(
        self,
        values: Callable[[], Mapping[str, Any]],
        flags: Mapping[str, str],
        left: list[str],
        types: Mapping[str, str],
    ) -> None:
        """Note what a command line was read as; see `parsers.Note`."""
        if len(self._parsed) < MOST_PARSED:
            self._parsed.append(values)
            self.note("parsed", _texts(values()), flags, _words(left), types)

    def seeds(self, what: str, value: object, frame: FrameType | None) -> None:
        """Note that the person's own code, or a library for it, seeds something."""
        where = self._in_work(_nearest_own_line(frame))
        if where:
            self.once("seed", f"{what} {where}", what, repr(value)[:LONGEST], where, self._program())

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
        """Note what is in force now, the first time where nothing was logged, and the modules that were imported."""
        if self._in_force:
            self.note("at end", *self._values())
        self.at_first_point()
        self.note_modules()
        if self._numpy_begins not in (None, _numpy_state()):
            self.once("drawn", "numpy")

    def numpy_begins(self, *, seeded: bool) -> None:
        """Remember where numpy's own generator stands; once it is seeded, what it draws is of the run's seed."""
        self._numpy_begins = None if seeded else _numpy_state()

    def _values(self) -> tuple[dict[str, str], dict[str, str]]:
        main = vars(sys.modules["__main__"])
        constants = {name: value for name in self._constants for value in _held(main, name)}
        arguments: dict[str, Any] = {}
        for values in self._parsed:
            arguments |= values()
        return _texts(constants), _texts(arguments)

    def _program(self) -> str:
        """Return the file of the person's own that this process executes; "" where it is a library's."""
        path = getattr(sys.modules["__main__"], "__file__", None)
        path = self._in_work(os.path.abspath(path)) if isinstance(path, str) else ""
        return path if path and self._is_own(path) else ""

    def note_modules(self) -> None:
        """Note the files of the person's own modules, and which of them is executed."""
        if program := self._program():
            self.once("program file", program)
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if not isinstance(path, str):
                continue
            path = self._in_work(path)
            if ("module", path) in self._known:
                continue
            if path.startswith("/") and path.endswith(".py") and self._is_own(path):
                self.once("module", path, *_size_and_time(path))

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear of an audit event before it happens."""
        if event == "open":
            self.opened(*arguments[:3])
        elif event in ("os.listdir", "os.scandir"):
            self.lists(arguments[0])
        elif event == "os.chdir":
            self._cwd = ""
            if isinstance(arguments[0], str | os.PathLike):
                self.enters(os.path.abspath(os.fspath(arguments[0])))
        elif event in _PROGRAMS:
            self.starts(*_PROGRAMS[event](arguments))
        elif self._guard is not None and event.startswith(("os.", "shutil.", "sqlite3.")):
            self._guard.hear(event, arguments)


def _held(main: Mapping[str, Any], name: str) -> list[Any]:
    """Return what a constant is: of the script, of a module of its own, of a dictionary or a class; else nothing."""
    first, *parts = name.split(".")
    module = sys.modules.get(first)
    found = main.get(first, _NOTHING if module is None else vars(module))
    for part in parts:
        found = found.get(part, _NOTHING) if isinstance(found, Mapping) else getattr(found, part, _NOTHING)
    return [] if found is _NOTHING else [found]


_NOTHING = object()


def tell_secret(name: str, value: str) -> None:
    """Tell who keeps what a run prints that it set an environment variable which is secret, as `load_dotenv` does."""
    place = os.environ.get(SECRETS)
    if not place:
        return
    from palate.redaction import is_secret

    if is_secret(name, value):
        with contextlib.suppress(OSError):
            descriptor = os.open(place, os.O_WRONLY | os.O_APPEND)
            os.write(descriptor, json.dumps(value).encode() + b"\n")
            os.close(descriptor)


def _open_high(path: str) -> tuple[int, int]:
    """Open a file to append to, with a number that is rarely closed by mistake; return the number and its inode."""
    low = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except OSError:
        return low, os.fstat(low).st_ino
    os.close(low)
    return high, os.fstat(high).st_ino


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        known = os.stat(path)
    except OSError:
        return -1, 0
    return known.st_size, known.st_mtime_ns


def shown_variable(name: str, value: str | None) -> str | None:
    """Return an environment variable's value as it is kept: a secret as a hash."""
    if value is None:
        return None
    from palate.redaction import is_secret, seal_secret

    return f"secret {seal_secret(value).hash}" if is_secret(name, value) else value


def start_recorder(notes: str, work: str = "", theirs: tuple[str, ...] = ()) -> Recorder:
    """Start to note what this process receives; the last one that was started counts."""
    global _recorder, _hooked
    recorder = Recorder(notes, work, theirs)
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
    recorder, _recorder = _recorder, None
    if recorder is not None:
        with contextlib.suppress(OSError):  # a full disk: what was noted until then is there
            recorder.at_end()
        os.close(recorder._file)


def start_in_child() -> None:
    """Start to note in a Python process that a run starts; a recorder that is there already goes on."""
    if _recorder is not None:
        return
    work, theirs = os.environ.get(WORKS_IN, ""), tuple(os.environ.get(SHOWS, "").split(os.pathsep))
    if work and theirs[0]:  # imports find what the run sees, also where a package is installed from the person's folder
        sys.path[:] = [shown_path(path, work, theirs[0]) for path in sys.path]
    recorder = start_recorder(os.environ[NOTED], work, theirs)
    recorder.watch_constants(tuple(json.loads(os.environ.get(CONSTANTS, "[]"))))
    atexit.register(stop_recorder)


def shown_path(path: str, work: str, root: str) -> str:
    """Return a folder that is imported from as a run sees it; one that packages are installed in stays as it is."""
    kept = _is_installed(f"{path}/") or path.startswith((work, sys.prefix))
    return path if kept or not (path + os.sep).startswith(root + os.sep) else work + path[len(root) :]


def imported_from(folder: str) -> None:
    """Say from which folder this process imported what its runs use: it shows what each run's own folder shows."""
    global _imported_from
    _imported_from = f"{folder}{os.sep}"


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


unseeded: list[Any] = []
"""Generators of numpy's that were made without a seed before a recorder listened."""

_seeded: set[str] = set()
_set_here: set[str] = set()
"""Environment variables that the person's own code set, also before a recorder listened: they are no inputs."""

_handed: set[str] = set()
"""Environment variables that hand a setting or the seed over: what they are belongs to the run, not to the place."""

_watched: set[str] = set()


def handed_over(names: list[str]) -> None:
    """Say which environment variables hand a setting or the seed over to this run."""
    _handed.clear()
    _handed.update(names)


def watch_process() -> None:
    """Watch what seeds, what parses a command line and what reads environment variables; twice is fine."""
    if "environ" in _watched:
        return
    _watched.add("environ")
    _watch_environment()
    parsers.watch_argparse(_note_parsed)
    _watch_looks()
    random.seed = _seeding("random", random.seed, "random", "seed")
    from palate.capture.imports import Watch

    wanted = {"numpy": _watch_numpy, "torch": _watch_torch, "h5py._hl.files": _watch_h5py, "cv2": _watch_cv2,
              "safetensors": _watch_safe_open, "safetensors.torch": _watch_safetensors}  # fmt: skip
    Watch(wanted | parsers.watching(_note_parsed)).start()


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
        if isinstance(key, str) and _own_line(sys._getframe(1)):
            _set_here.add(key)
        write(self, key, value)

    cls.__getitem__, cls.__setitem__ = getitem, setitem


def _watch_looks() -> None:
    """Watch questions whether a file is there: they raise no audit event."""
    for place, names in ((os.path, ("exists", "isfile", "isdir")), (Path, ("exists", "is_file", "is_dir"))):
        for name in names:
            setattr(place, name, _looking(getattr(place, name)))


def _looking(original: Callable[..., bool]) -> Callable[..., bool]:
    @functools.wraps(original)
    def looks(path: Any, *arguments: Any, **keywords: Any) -> bool:
        if _recorder is not None and not _is_library(sys._getframe(1).f_code.co_filename):
            _recorder.looks_for(path)
        return original(path, *arguments, **keywords)

    return looks


def _note_parsed(*what: Any) -> None:
    if _recorder is not None:
        _recorder.parsed(*what)


def _seeding(what: str, original: Callable[..., Any], module: str, name: str) -> Callable[..., Any]:
    """Return a function that seeds as the original does, and is noted; pickle finds it by its module and name."""

    def seed(*arguments: Any, **keywords: Any) -> Any:
        value = arguments[0] if arguments else next(iter(keywords.values()), None)
        if value is not None:
            if _nearest_own_line(sys._getframe(1)):
                _seeded.add(what)
            if _recorder is not None:
                _recorder.seeds(what, value, sys._getframe(1))
        made = original(*arguments, **keywords)
        if value is None and made is not None and _recorder is None:
            unseeded.append(made)
        return made

    functools.update_wrapper(seed, original)
    seed.__module__, seed.__name__, seed.__qualname__ = module, name, name
    return seed


def _numpy_state() -> tuple[int, bytes] | None:
    """Return where numpy's own generator stands; None where numpy is not imported."""
    random = sys.modules.get("numpy.random")
    if random is None:
        return None
    state = random.get_state(legacy=False)["state"]
    return int(state["pos"]), state["key"].tobytes()


def _watch_numpy(numpy: Any) -> None:
    random = numpy.random
    random.seed = _with_beginning(_seeding("numpy", random.seed, "numpy.random", "seed"))
    random.set_state = _with_beginning(random.set_state)
    if _recorder is not None:
        _recorder.numpy_begins(seeded=False)
    random.default_rng = _seeding("numpy generator", random.default_rng, "numpy.random", "default_rng")


def _with_beginning(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def begins(*arguments: Any, **keywords: Any) -> Any:
        made = original(*arguments, **keywords)
        if _recorder is not None:
            _recorder.numpy_begins(seeded=bool(arguments or keywords))
        return made

    return begins


def _watch_torch(torch: Any) -> None:
    torch.manual_seed = torch.random.manual_seed = _seeding("torch", torch.manual_seed, "torch", "manual_seed")
    serialization: Any = sys.modules["torch.serialization"]
    torch.save = serialization.save = _native(torch.save, 1, "f", "w")
    torch.jit.save = _native(torch.jit.save, 1, "f", "w")


def _watch_h5py(module: Any) -> None:
    init = module.File.__init__

    def opens(self: Any, name: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> None:
        _native_file(name, "r" if mode == "r" else "w" if mode == "w" else "a")
        init(self, name, mode, *arguments, **keywords)

    module.File.__init__ = opens


def _watch_safetensors(module: Any) -> None:
    module.save_file = _native(module.save_file, 1, "filename", "w")
    module.load_file = _native(module.load_file, 0, "filename", "r")


def _watch_safe_open(module: Any) -> None:
    module.safe_open = _native(module.safe_open, 0, "filename", "r")


def _watch_cv2(module: Any) -> None:
    module.imread = _native(module.imread, 0, "filename", "r")
    module.imwrite = _native(module.imwrite, 0, "filename", "w")


def _native(original: Callable[..., Any], place: int, name: str, mode: str) -> Callable[..., Any]:
    """Return a function that opens a file below Python, as the original does, and is noted."""

    @functools.wraps(original)
    def opens(*arguments: Any, **keywords: Any) -> Any:
        path = arguments[place] if len(arguments) > place else keywords.get(name)
        _native_file(path, mode)
        return original(*arguments, **keywords)

    return opens


def _native_file(path: object, mode: str) -> None:
    if _recorder is not None and isinstance(path, str | os.PathLike):
        _recorder.opened(path, mode, 0)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "os.putenv":
        tell_secret(*map(os.fsdecode, arguments))
    elif _recorder is not None and event in _EVENTS:
        try:
            _recorder.hear(event, arguments)
        except OSError:  # a full disk, a run that is ending: never the training's fault
            return


def _words_of(command: object) -> list[str]:
    """Return the words of a command, as a program is started with them."""
    if isinstance(command, str | bytes | os.PathLike):
        return os.fsdecode(os.fspath(command)).split()
    return [os.fsdecode(os.fspath(word)) for word in command] if isinstance(command, list | tuple) else []


_PROGRAMS: Mapping[str, Callable[[tuple[Any, ...]], tuple[list[str], object]]] = {
    "subprocess.Popen": lambda a: (_words_of(a[1]) or _words_of(a[0]), a[3]),
    "os.system": lambda _: (["sh"], None),
    "os.posix_spawn": lambda a: (_words_of(a[1]), a[2]),
    "os.exec": lambda a: (_words_of(a[1]), a[2]),
}
"""Events of programs that are started, and how their words and environment are read."""

_HARMLESS = frozenset({"git", "nvidia-smi", "uname", "hostname", "which", "lscpu", "ldconfig", "gcc", "g++", "cc",
                       "c++", "nvcc", "ninja", "ld", "true", "sleep", "lsb_release", "stty", "tput"})  # fmt: skip
"""Programs that neither read a training's data nor write into its folder."""

_EVENTS = frozenset({*_PROGRAMS, "open", "os.chdir", "os.listdir", "os.scandir", "os.remove", "os.rename",
                     "os.truncate", "os.chmod", "os.utime", "os.mkdir", "os.rmdir", "os.link", "os.symlink",
                     "sqlite3.connect", "shutil.rmtree"})  # fmt: skip


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Write values so that they can be compared; of a secret, its hash."""
    return {str(name): _text(str(name), value) for name, value in values.items()}


def _words(words: list[str]) -> list[str]:
    """Write words of a command line; of a secret, its hash."""
    from palate.redaction import sealed

    return [repr(word) if type(word) is not str else word[:LONGEST] for word in sealed("", list(map(str, words)))]


def _text(name: str, value: Any) -> str:
    if not (value is None or isinstance(value, bool | int | float | str | tuple | list | dict)):
        return f"<{type(value).__name__}>"
    from palate.redaction import sealed_text

    text = sealed_text(name, value)
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


def _is_installed(path: str) -> bool:
    return "/site-packages/" in path or "/dist-packages/" in path


def _is_library(name: str) -> bool:
    if name.startswith(_PALATE) or _is_installed(name):
        return True
    return name.startswith(_LIBRARY) and not name.startswith("<ipython") and "ipykernel" not in name


def _after_fork() -> None:
    """Let the guard of a forked child hear again: the thread that forked may have been in the middle of its work."""
    if _recorder is not None and _recorder._guard is not None:
        _recorder._guard._busy = threading.local()


os.register_at_fork(after_in_child=_after_fork)
