"""Hear what a script logs already, while it runs: trackers, frameworks, tables and printed lines.

`listen` begins to hear for a run, `stop` ends it. What calls the trackers is patched when the script imports them, and
calls them as before; see `hearing` for what is kept of it. Standard library only.
"""

import atexit
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from palate.question.launched import is_spawner
from palate.training.loggers import frameworks, patching, printed, tables, trackers
from palate.training.loggers.among import OF, Among
from palate.training.loggers.beside import Beside
from palate.training.loggers.hearing import Hearing, is_first
from palate.training.usage import tell_own

if TYPE_CHECKING:
    from palate.training.run import Run

HEARS = "PALATE_HEARS"
"""Environment variable that lets Python programs be heard which a run starts, and says how: see `listen_in_child`."""

_patched = False


def listen(run: "Run", metric_from: str = "", *, among: bool = False) -> None:
    """Begin to hear for a run; what was heard for another run before is closed.

    Args:
        run: whose it is.
        metric_from: `NAME=PATTERN`, see `Hearing`.
        among: whether this process is one of those of a command, of which one writes the journal; see `among`.
    """
    stop()
    stands_for: Any = Among(run) if among else run
    hearing = Hearing(stands_for, metric_from)
    run.listens(hearing)
    patching.hearing = hearing
    _patch()
    printed.listen(hearing)
    os.environ |= {HEARS: f"beside:{metric_from}", OF: str(os.getpid())}


def _patch() -> None:
    global _patched
    if not _patched:
        from palate.capture.imports import Watch

        _patched = True
        tables.watch_csv()
        Watch({**trackers.WANTED, **frameworks.WANTED, **tables.WANTED}).start()


def listen_in_child() -> None:
    """Begin to hear in a Python process that a run started.

    The first that logs, of those that a command started, writes into the journal; see `among`. One that Python started
    notes what it hears beside the journal, which another has; see `beside`. A launcher is not heard: what it prints of
    its own, such as a frame with exit statuses, is no metric.
    """
    kind, _, metric_from = os.environ[HEARS].partition(":")
    if is_spawner(sys.orig_argv):
        return
    if kind == "yes" and (not is_first() or any("multiprocessing" in word for word in sys.orig_argv)):
        return
    from palate.training.run import FOLDER, current_run

    printed.cover_own_streams()
    if kind == "yes":
        atexit.register(tell_own, current_run().folder)
        listen(current_run(), metric_from, among=True)
        sys.excepthook = _unheard(sys.excepthook)
    else:
        _listen_beside(Beside(os.environ[FOLDER], metric_from))


def _unheard(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what prints the fault that ends a program: numbers in it are no metrics."""

    def hook(*fault: Any) -> None:
        printed.stop()
        original(*fault)

    return hook


def _listen_beside(beside: Beside) -> None:
    patching.hearing = beside
    _patch()
    printed.listen(beside)


def _after_fork() -> None:
    """Let a process that was forked note beside the journal what it logs, as one that was started does."""
    from palate.training.run import FOLDER

    if patching.hearing is not None and FOLDER in os.environ:
        printed.forget_begun()
        metric_from = os.environ.get(HEARS, "").partition(":")[2]
        _listen_beside(Beside(os.environ[FOLDER], metric_from))


os.register_at_fork(after_in_child=_after_fork)


def stop() -> None:
    """Write what was held back, and hear nothing more."""
    hearing, patching.hearing = patching.hearing, None
    printed.stop()
    if hearing is not None:
        hearing.close()
