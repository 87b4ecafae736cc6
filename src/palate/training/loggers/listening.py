"""Hear what a script logs already, while it runs: trackers, frameworks, tables and printed lines.

`listen` begins to hear for a run, `stop` ends it. What calls the trackers is patched when the script imports them, and
calls them as before; see `hearing` for what is kept of it. Standard library only.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.training.loggers import frameworks, patching, printed, tables, trackers
from palate.training.loggers.hearing import Hearing, is_first

if TYPE_CHECKING:
    from palate.training.run import Run

HEARS = "PALATE_HEARS"
"""Environment variable that lets Python programs be heard which a run starts that is no Python itself."""

_LAUNCHERS = frozenset({
    "torchrun", "torch.distributed.run", "torch.distributed.launch", "accelerate", "accelerate-launch",
    "accelerate.commands.launch", "deepspeed", "deepspeed.launcher.runner", "deepspeed.launcher.launch", "fabric",
})  # fmt: skip
"""Python programs that start a training as processes of their own, which are heard."""

_patched = False


def listen(run: "Run", metric_from: str = "") -> None:
    """Begin to hear for a run; what was heard for another run before is closed.

    Args:
        run: whose it is.
        metric_from: `NAME=PATTERN`, see `Hearing`.
    """
    global _patched
    stop()
    hearing = Hearing(run, metric_from)
    run.listens(hearing)
    patching.hearing = hearing
    if not _patched:
        from palate.capture.imports import Watch

        _patched = True
        tables.watch_csv()
        Watch({**trackers.WANTED, **frameworks.WANTED, **tables.WANTED}).start()
    printed.listen(hearing)


def listen_in_child() -> None:
    """Begin to hear in a Python process that a command started: not in one that shares the work of another.

    Nor in a launcher: what it prints of its own, such as a frame with exit statuses, is no metric.
    """
    launches = any(Path(word).name in _LAUNCHERS for word in sys.orig_argv[1:4])
    if not is_first() or launches or any("multiprocessing" in word for word in sys.orig_argv):
        return
    from palate.training.run import current_run

    for name, errors in (("stdout", "strict"), ("stderr", "backslashreplace")):
        stream = getattr(sys, name)
        if stream is not None:
            setattr(sys, name, printed.Stream(stream.fileno(), errors, stream.encoding))
    listen(current_run(), os.environ[HEARS].removeprefix("yes:"))
    sys.excepthook = _unheard(sys.excepthook)


def _unheard(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what prints the fault that ends a program: numbers in it are no metrics."""

    def hook(*fault: Any) -> None:
        printed.stop()
        original(*fault)

    return hook


def stop() -> None:
    """Write what was held back, and hear nothing more."""
    hearing, patching.hearing = patching.hearing, None
    printed.stop()
    if hearing is not None:
        hearing.close()
