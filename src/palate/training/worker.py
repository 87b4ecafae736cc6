"""The warm worker: imports the task once, then forks a new child for each run; standard library only.

Started as `python -m palate.training.worker REQUEST_FD REPLY_FD TASK`. Requests and replies are JSON lines. A child
starts from the worker's memory: torch is imported only once, and no run can see the state of another. A failure of a
child (a segmentation fault, os._exit, the out-of-memory killer) ends that child alone. The worker imports with one
thread, because a thread pool that exists before the fork would hang in the child.
"""

import atexit
import contextlib
import importlib
import importlib.util
import json
import os
import runpy
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from palate.question.target import WARM_PACKAGES, Order, Task
from palate.recipe.codec import Unread, decode, encode
from palate.training import run as training_run

IN_WORKER = "PALATE_INSIDE_WORKER"
"""Environment variable that is set in the worker and its children."""

UNREADABLE = 70
"""Exit status of a dry run that palate failed to read; the training itself is not at fault."""

RECIPE = "recipe.json"
"""File in a run's folder to which its captured recipe is written."""

POLL_S = 0.02
"""Interval at which ended children are looked for."""

Message = dict[str, Any]
"""An order as it is sent to the worker: plain JSON data."""


def main() -> None:
    """Load the task, report that it is ready, and start runs until the requests end."""
    request_fd, reply_fd, task = int(sys.argv[1]), int(sys.argv[2]), Task(**json.loads(sys.argv[3]))
    os.environ[IN_WORKER] = "1"
    sys.argv = [task.file or task.kind]
    try:
        call = load(task)
        _warm_up()
    except BaseException:  # noqa: BLE001  an outermost loop: whatever the user's file raises is reported
        _reply(reply_fd, {"failed": traceback.format_exc()})
        raise SystemExit(1) from None
    _reply(reply_fd, {"ready": True})
    _serve(request_fd, reply_fd, call)


def message_of(order: Order, threads: int) -> Message:
    """Return an order as plain JSON data.

    Args:
        order: one run.
        threads: that it may have.
    """
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
        "environment": training_run.environment_of(order.folder, order.seed, order.settings),
        "threads": threads,
    }


def load(task: Task) -> Callable[[Message], None]:
    """Import what a task needs; return the function that executes one order."""
    if task.kind == "command":
        return lambda order: _run_command(list(task.argv), order)
    for package in task.warm:
        if package in WARM_PACKAGES and importlib.util.find_spec(package) is not None:
            importlib.import_module(package)
    if task.kind == "script":
        return lambda order: _run_script(task.file, order)
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
    """Import what torch imports only at the first optimizer (1.2 s), and refuse a process in which CUDA has started."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    if torch.cuda.is_initialized():
        raise RuntimeError(
            "This file starts CUDA when it is imported, and a process cannot be forked after that. "
            "Move what touches the GPU (.cuda(), .to('cuda'), torch.zeros(device='cuda')) into the function."
        )


def _serve(request_fd: int, reply_fd: int, call: Callable[[Message], None]) -> None:
    children: dict[int, str] = {}
    pending = b""
    while True:
        if select.select([request_fd], [], [], POLL_S if children else None)[0]:
            block = os.read(request_fd, 1 << 16)
            if not block:
                break
            *lines, pending = (pending + block).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = _start(order, call)
                children[pid] = order["id"]
                _reply(reply_fd, {"id": order["id"], "pid": pid})
        _reap(children, reply_fd)
    for pid in children:
        _kill_group(pid)
        os.waitpid(pid, 0)


def _reap(children: dict[int, str], reply_fd: int) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        if pid in children:
            _reply(reply_fd, {"id": children.pop(pid), "status": os.waitstatus_to_exitcode(status)})


def _start(order: Message, call: Callable[[Message], None]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _child(order, call)
    return pid


def _child(order: Message, call: Callable[[Message], None]) -> None:
    status = 1
    try:
        os.setsid()
        _redirect(Path(order["folder"]) / "output.log")
        status = carry_out(order, call, _leave_at_once)
    except BaseException:  # noqa: BLE001  an outermost loop: the traceback goes to the run's output
        traceback.print_exc()
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
    except Exception:  # noqa: BLE001  an outermost loop: the traceback goes to the run's output
        traceback.print_exc()
        return 1
    return 0


def _print_error(message: object) -> int:
    print(message, file=sys.stderr)
    return 1


def _leave(status: int) -> None:
    try:
        atexit._run_exitfuncs()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _redirect(path: Path) -> None:
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, target)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _prepare(order: Message) -> None:
    os.environ.update(order["environment"])
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(order["threads"])
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(order["threads"])
    settings = {name: decode(value) for name, value in order["settings"].items()}
    folder = Path(order["folder"])
    training_run.set_current(training_run.Run(folder, seed=order["seed"], settings=settings))


@contextlib.contextmanager
def _watched(order: Message, leave: Callable[[int], None]) -> Iterator[None]:
    """Capture the recipe at the first optimizer step, where the order says so; a dry run ends at that step."""
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
        traceback.print_exc()
        status = UNREADABLE
    if order["capture"] == "dry":
        leave(status)


def _leave_at_once(status: int) -> None:
    """End this process where it stands: nothing of the training's own is called any more."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _write_recipe(order: Message, observed: Any) -> None:
    from palate.capture.snapshot import snapshot
    from palate.recipe.document import dumps

    run = training_run.current_run()
    settings = {name: decode(value) for name, value in order["known"].items()}
    recipe = snapshot(observed, settings=settings, home=Path(order["folder"]).parent)
    (run.folder / RECIPE).write_text(dumps(recipe))


def _run_function(function: Callable[..., Any], order: Message) -> None:
    run = training_run.current_run()
    settings = {name: value for name, value in run.settings.items() if not isinstance(value, Unread)}
    if order["takes_seed"]:
        settings["seed"] = order["seed"]
    function(run, **settings)
    run.close()


def _run_script(file: str, order: Message) -> None:
    sys.argv = [file, *order["argv"]]
    sys.path.insert(0, str(Path(file).parent))
    if order["constants"]:
        _run_with_constants(file, {name: decode(value) for name, value in order["constants"].items()})
    else:
        runpy.run_path(file, run_name="__main__")
    training_run.current_run().close()


def _run_with_constants(file: str, constants: dict[str, Any]) -> None:
    import ast
    import types

    from palate.question.source import top_constants

    tree = ast.parse(Path(file).read_bytes(), filename=file)
    for name, node in top_constants(tree):
        if name in constants:
            _replace(node, ast.parse(repr(constants[name]), mode="eval").body)
    module = types.ModuleType("__main__")
    module.__file__ = file
    sys.modules["__main__"] = module
    exec(compile(tree, file, "exec"), module.__dict__)  # noqa: S102  the user's own script


def _replace(node: Any, by: Any) -> None:
    """Replace one expression of a tree by another, in place."""
    for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
        setattr(by, name, getattr(node, name))
    node.__class__, node.__dict__ = by.__class__, {**by.__dict__}


def _run_command(argv: list[str], order: Message) -> None:
    os.execvp(argv[0], [*argv, *order["argv"]])


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reply(descriptor: int, message: dict[str, Any]) -> None:
    os.write(descriptor, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
