"""The warm worker: imports the task once, then forks a new child for each run; standard library only.

Started as `python -m palate.training.worker REQUEST_FD REPLY_FD`; the first request is the task. Requests and replies
are JSON lines. A child starts from the worker's memory: torch is imported only once, and no run can see the state of
another. Each works in a folder of its own (see `apart`), notes what it receives (see `received`), and starts with
random numbers of its own unless the training's code seeded them. A failure of a child (a segmentation fault, os._exit,
the out-of-memory killer) ends that child alone. The worker imports with one thread;
where the training's code starts threads, CUDA, JAX or TensorFlow when it is imported, each run is a process of its own
instead (see `fresh`), and the worker begins anew without that code. What happens to runs once they are started is in
`children`, what happens to this process in `keeper`.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from palate.cooking.lanes.meeting import VARIABLE as LANES
from palate.question.branch import VARIABLE as BRANCH
from palate.question.folder import Place, path_inside
from palate.question.target import WARM_PACKAGES, Order, Task
from palate.recipe.codec import Unread, decode, encode
from palate.training import apart, family, generators, ports, received
from palate.training import run as training_run
from palate.training.children import Children, Message
from palate.training.fresh import count_threads, has_cuda_started, why_fresh
from palate.training.keeper import keep
from palate.training.loggers import listening
from palate.training.loggers.hearing import SETTINGS
from palate.training.loggers.printed import open_streams
from palate.training.output import Pipe, print_fault
from palate.training.placing import thread_variables, threads_said
from palate.training.starting import leave_own_start, show_fault, start_script, write_constants
from palate.training.usage import tell_own

IN_WORKER = "PALATE_INSIDE_WORKER"
"""Environment variable that is set in the worker and its children."""

UNREADABLE = 70
"""Exit status of a dry run that palate failed to read; the training itself is not at fault."""

RECIPE = "recipe.json"
"""File in a run's folder to which its captured recipe is written."""

LONGEST_FAULT = 20_000
"""The most characters of a traceback that are sent where the task cannot be imported: its end."""


def main() -> None:
    """Load the task, report that it is ready, and start runs until the requests end."""
    if sys.argv[1] == "--alone":
        _alone(int(sys.argv[2]))
        return
    if sys.argv[1] == "--anew":
        _anew(*map(int, sys.argv[2:5]))
        return
    request_fd, reply_fd = int(sys.argv[1]), int(sys.argv[2])
    for descriptor in (request_fd, reply_fd):
        os.set_inheritable(descriptor, False)  # what a run starts must not hold them
    keep(sys.stdout.fileno())
    text, pending = _first_line(request_fd)
    task = Task.read(json.loads(text))
    os.environ[IN_WORKER] = "1"
    environment, folder = dict(os.environ), os.getcwd()
    sys.argv = [task.file or task.kind]
    leave_own_start(task)
    received.watch_process()
    family.adopt_orphans()
    with _seen_by_worker(task) as seen:
        try:
            call = load(seen)
            _warm_up()
            if task.kind == "script":  # nothing of the training's own is there yet: what is looks through less
                gc.freeze()
        except BaseException:  # noqa: BLE001  an outermost loop: whatever the user's file raises is reported
            _reply(reply_fd, {"failed": traceback.format_exc()[-LONGEST_FAULT:]})
            raise SystemExit(1) from None
        why = why_fresh(sys.modules, threads=count_threads(), cuda=has_cuda_started(sys.modules))
        if not why:
            forked = functools.partial(_run_child, call=call, imported=generators.Imported())
            _serve(request_fd, reply_fd, task, forked, pending)
    if why:
        os.chdir(folder)
        _begin_anew((request_fd, reply_fd), environment, {"task": task.body(), "why": why, "pending": list(pending)})


def _serve(
    request_fd: int,
    reply_fd: int,
    task: Task,
    forked: Callable[[Message], None] | None,
    pending: bytes,
    why: str = "",
) -> None:
    """Start runs until the requests end."""
    _reply(reply_fd, {"ready": True, "alone": why, "pid": os.getpid()})
    children = Children(
        request_fd, reply_fd, lambda order, printed: _start(order, forked, task, printed, children), pending
    )
    children.serve()


def _begin_anew(ends: tuple[int, int], environment: dict[str, str], body: dict[str, Any]) -> None:
    """Become a worker that has loaded nothing: what the task started, memory of a GPU included, is let go."""
    kept = tempfile.TemporaryFile()
    kept.write(json.dumps(body).encode())
    kept.seek(0)
    for descriptor in (*ends, kept.fileno()):
        os.set_inheritable(descriptor, True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    given = ("-m", "palate.training.worker", "--anew", *map(str, (*ends, kept.fileno())))
    os.execve(sys.executable, [sys.executable, *given], environment)


def _anew(request_fd: int, reply_fd: int, kept: int) -> None:
    """Serve as a worker that has loaded nothing: each run is a program of its own."""
    for descriptor in (request_fd, reply_fd):
        os.set_inheritable(descriptor, False)
    with os.fdopen(kept, "rb") as file:
        body = json.loads(file.read())
    task = Task.read(body["task"])
    sys.argv = [task.file or task.kind]
    _serve(request_fd, reply_fd, task, None, bytes(body["pending"]), body["why"])


def _first_line(descriptor: int) -> tuple[bytes, bytes]:
    """Return the first line that comes, and what came behind it."""
    text = b""
    while b"\n" not in text:
        block = os.read(descriptor, 1 << 16)
        if not block:
            raise SystemExit(0)
        text += block
    line, _, rest = text.partition(b"\n")
    return line, rest


@contextlib.contextmanager
def _seen_by_worker(task: Task) -> Iterator[Task]:
    """Give a function of another state of the code a folder to be imported from; any other task stays as it is."""
    place = task.place
    if place is None or not place.over or task.kind not in ("function", "module"):
        yield task
        return
    folder, mine = os.path.realpath(tempfile.mkdtemp(prefix="palate-worker-")), os.getpid()
    work = os.path.join(folder, apart.WORK)
    try:
        apart.make_folder(place, work)
        os.chdir(os.path.join(work, place.cwd))
        _show_paths(place, work)
        received.imported_from(work)
        yield replace(task, file=place.shown(task.file, work))
    finally:
        if os.getpid() == mine:  # and no child that is forked meanwhile
            os.chdir("/")
            shutil.rmtree(folder, ignore_errors=True)


def _alone(descriptor: int) -> None:
    """Load the task in this process and carry out one order: what a fork would do, without one."""
    with os.fdopen(descriptor, "rb") as file:
        request = json.loads(file.read())
    order, task = request["order"], Task.read(request["task"])
    received.watch_process()
    leave_own_start(task)
    _run_child(order, lambda order: load(_as_seen(task, order))(order))


def _as_seen(task: Task, order: Message) -> Task:
    """Return a task whose function is imported from the run's own folder; a script is mapped where it is run."""
    work = os.environ[received.WORKS_IN]
    if not work or task.kind != "function":
        return task
    return replace(task, file=Place.read(order["place"]).shown(task.file, work))


def message_of(order: Order, threads: int, variables: Mapping[str, str] | None = None) -> Message:
    """Return an order as plain JSON data.

    Args:
        order: one run.
        threads: that it may have.
        variables: that tell its libraries so; by the environment of this process if None.
    """
    variables = thread_variables(os.environ, threads) if variables is None else variables
    return {
        "id": order.id,
        "folder": str(order.folder),
        "seed": order.seed,
        "settings": {name: encode(value) for name, value in order.settings.items()},
        "takes_seed": order.takes_seed,
        "argv": list(order.argv),
        "constants": {name: encode(value) for name, value in (order.constants or {}).items()},
        "known": {name: encode(value) for name, value in order.known.items()},
        "capture": order.capture,
        "guarded": order.guarded,
        "secrets": list(order.secrets),
        "owner": os.getpid(),
        "traced": {name: list(lines) for name, lines in order.traced.items()},
        "handed": list(order.environment),
        "environment": {
            **training_run.environment_of(order.folder, order.seed, order.settings),
            **order.environment,
            BRANCH: order.branch.text() if order.branch is not None else "",
            LANES: order.lanes,
            **order.devices,
            **variables,
        },
        "threads": threads_said(variables) or threads,
        "devices": dict(order.devices),
        "metric_from": order.metric_from,
        "place": order.place and order.place.body(),
    }


def load(task: Task) -> Callable[[Message], None]:
    """Import what a task needs; return the function that executes one order."""
    if task.kind == "command":
        return lambda order: _run_command(task, order)
    for package in task.warm:
        if package in WARM_PACKAGES and importlib.util.find_spec(package) is not None:
            importlib.import_module(package)
    if task.kind == "script":
        return lambda order: start_script(task, order)
    function = _function(task)
    return lambda order: _run_function(function, order)


def _function(task: Task) -> Callable[..., Any]:
    if task.kind == "pickle":
        import cloudpickle

        return cloudpickle.loads(Path(task.file).read_bytes())  # type: ignore[no-any-return]
    if task.kind == "module":
        value = getattr(importlib.import_module(task.module), task.name)
    else:
        value = getattr(_import_file(Path(task.file)), task.name)
    return getattr(value, "function", value)  # type: ignore[no-any-return]


def _import_file(path: Path) -> Any:
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _warm_up() -> None:
    """Import what torch imports only at the first optimizer (1.2 s)."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    for name in ("live", "until", "looks", "lanes.joint"):  # what a held training imports
        with contextlib.suppress(ImportError, AttributeError):  # of another torch: each run is then made by itself
            importlib.import_module(f"palate.cooking.{name}")


def _start(
    order: Message, forked: Callable[[Message], None] | None, task: Task, printed: Pipe, children: Children
) -> int:
    """Start a run: by a fork of this process, or as a program of its own, which imports everything anew.

    Threads do not survive a fork; and where lines are traced, what a file does when it is imported is traced too. The
    order of such a program goes through a file without a name: what it holds may be secret.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        alone = None
        if forked is None or order["traced"]:
            alone = stack.enter_context(tempfile.TemporaryFile())
            alone.write(json.dumps({"order": order, "task": task.body()}).encode())
            alone.seek(0)
        worker = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                family.end_with(worker)
                children.forget()
                printed.print_here()
                if alone is None and forked is not None:
                    forked(order)
                elif alone is not None:
                    os.set_inheritable(alone.fileno(), True)
                    given = ("-m", "palate.training.worker", "--alone", str(alone.fileno()))
                    os.execv(sys.executable, [sys.executable, *given])
            except BaseException:  # noqa: BLE001  an outermost loop: the traceback goes to the run's output
                print_fault(traceback.format_exc())
            finally:
                os._exit(1)
    return pid


def _run_child(order: Message, call: Callable[[Message], None], imported: generators.Imported | None = None) -> None:
    status = 1
    try:
        open_streams()
        if imported is not None:
            imported.renew()
        status = carry_out(order, call, _leave_at_once)
        tell_own(order["folder"])
    except BaseException:  # noqa: BLE001  an outermost loop: the traceback goes to the run's output
        print_fault(traceback.format_exc())
    finally:
        _leave(status)


def carry_out(order: Message, call: Callable[[Message], None], leave: Callable[[int], None]) -> int:
    """Carry out one order in this process; return its exit status. What it raises is printed.

    Args:
        order: one run.
        call: as `load` returns it.
        leave: ends a dry run at its first optimizer step, with an exit status.
    """
    try:
        _prepare(order)
        with _watched(order, leave):
            call(order)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else _print_error(end.code)
    except Exception as fault:  # noqa: BLE001  an outermost loop: the traceback goes to the run's output
        print_fault(show_fault(fault))
        return 1
    finally:  # a function that raised has not closed its run
        listening.stop()
    return 0


def _print_error(message: object) -> int:
    print_fault(f"{message}\n")
    return 1


def _leave(status: int) -> None:
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # first, as Python does: pools end their workers there
        atexit._run_exitfuncs()
        received.stop_recorder()  # only now: what ends with the process may still write
    except BaseException:  # noqa: BLE001  an outermost loop: the traceback goes to the run's output
        print_fault(traceback.format_exc())
    finally:
        _leave_at_once(status)


def _prepare(order: Message) -> None:
    folder = Path(order["folder"])
    os.environ.update(order["environment"])
    received.handed_over(order["handed"])
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(order["threads"])
    work, theirs = "", ("", "")
    if order["place"]:
        place = Place.read(order["place"])
        secret = any(value in str(decode(one)) for one in order["constants"].values() for value in order["secrets"])
        work = apart.work_folder(place, str(folder), order["owner"], secret=secret)
        theirs = (place.root, place.over)
        apart.make_folder(place, work, guarded=order["guarded"])
        os.chdir(os.path.join(work, place.cwd))
        os.environ["PWD"] = str(Path.cwd())
        os.environ["GIT_OPTIONAL_LOCKS"] = "0"
        repository = os.path.join(place.root, ".git")
        if path_inside(work, place.root) is None and os.path.exists(repository):  # git does not find it from there
            os.environ |= {"GIT_DIR": repository, "GIT_WORK_TREE": place.root}
        _show_paths(place, work)
    notes = str(folder / received.NOTES)
    known = {name: decode(value) for name, value in order["known"].items()}
    os.environ[SETTINGS] = json.dumps({name: value for name, value in known.items() if type(value) in (int, float)})
    os.environ |= {received.NOTED: notes, received.WORKS_IN: work, received.SHOWS: os.pathsep.join(theirs)}
    paths = [received.SITE, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    settings = {name: decode(value) for name, value in order["settings"].items()}
    if order["guarded"]:  # a command is given one as its launcher takes it: see `_run_command`
        os.environ |= ports.with_port((), os.environ)[1]
    run = training_run.Run(folder, seed=order["seed"], settings=settings)
    training_run.set_current(run)
    received.start_recorder(notes, work, theirs).watch_constants(tuple(order["known"]))
    if order.get("capture") != "dry":
        listening.listen(run, order.get("metric_from", ""))


def _show_paths(place: Place, work: str) -> None:
    """Let imports find what the run sees, and not the person's folder behind it."""
    sys.path[:] = [received.shown_path(path, work, place.root) for path in sys.path]


@contextlib.contextmanager
def _watched(order: Message, leave: Callable[[int], None]) -> Iterator[None]:
    """Capture the recipe at the first optimizer step, where the order says so; a dry run ends at that step."""
    if order.get("traced"):
        from palate.training.reached import tracing

        with tracing(order["traced"], os.environ[received.WORKS_IN]):
            yield
        return
    if not order.get("capture"):
        yield
        return
    from palate.capture.observe import Observer

    observer = Observer(lambda observed: _captured(order, observed, leave))
    observer.start()
    try:
        yield
    except BaseException:
        observer.abandon()
        raise
    observer.stop()


def _captured(order: Message, observed: Any, leave: Callable[[int], None]) -> None:
    try:
        _write_recipe(order, observed)
        status = 0
    except Exception:  # noqa: BLE001  an outermost loop: the traceback goes to the run's output
        print_fault(traceback.format_exc())
        status = UNREADABLE
    if order["capture"] == "dry":
        leave(status)


def _leave_at_once(status: int) -> None:
    """End this process where it stands: nothing of the training's own is called any more."""
    try:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # closed, or one of the run's own
                stream.flush()
    finally:
        os._exit(status)


def _write_recipe(order: Message, observed: Any) -> None:
    from palate.capture.snapshot import snapshot
    from palate.recipe.document import dumps

    run = training_run.current_run()
    settings = {name: decode(value) for name, value in order["known"].items()}
    if order["place"]:
        place, work = Place.read(order["place"]), os.environ[received.WORKS_IN]
        observed.files.shown = lambda path: place.person(path, work)
        recipe = snapshot(observed, settings=settings, home=Path(place.home), folder=Path(place.root, place.cwd))
    else:
        recipe = snapshot(observed, settings=settings, home=run.folder.parent)
    (run.folder / RECIPE).write_text(dumps(recipe), encoding="utf-8")


def _run_function(function: Callable[..., Any], order: Message) -> None:
    run = training_run.current_run()
    settings = {name: value for name, value in run.settings.items() if not isinstance(value, Unread)}
    if order["takes_seed"]:
        settings["seed"] = order["seed"]
    function(run, **settings)
    run.close()


def _run_command(task: Task, order: Message) -> None:
    work = os.environ[received.WORKS_IN]
    words, more = ports.with_port(ports.without_handed(task.argv, order["handed"]), os.environ)
    place = Place.read(order["place"]) if work else None
    shown = [place.shown(word, work) for word in words] if place is not None else words
    constants = {name: decode(value) for name, value in order["constants"].items()}
    if constants:
        write_constants(task, order, constants)
    received.stop_recorder()
    os.environ |= {**more, received.CONSTANTS: json.dumps(list(order["known"]))}
    os.environ[listening.HEARS] = f"yes:{order.get('metric_from', '')}"
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a program that it becomes would too
        signal.signal(number, signal.SIG_DFL)
    os.execvp(shown[0], [*shown, *order["argv"]])


def _reply(descriptor: int, message: dict[str, Any]) -> None:
    os.write(descriptor, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
