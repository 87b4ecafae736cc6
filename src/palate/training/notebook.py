"""Run the cells of a notebook as Jupyter does, in the run's own process, by IPython's shell.

No kernel is started: what a kernel in another process receives, seeds, logs and computes could only be seen through its
messages. Here a cell is heard, its constants are read back and its recipe is captured as those of any script. The shell
is IPython's, so magics, shell commands, displays and top-level await are Jupyter's own; see docs/starting.md for what
is not there, which is a browser.
"""

import asyncio
import importlib.util
import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

from palate.question.notebooks import Cell, read_cells
from palate.training.run import current_run

KEEPS_GOING = "raises-exception"
"""The tag of a cell that may fail."""


def run_cells(file: str, code: bytes, module: types.ModuleType, arguments: list[str]) -> None:
    """Run a notebook's cells in their order; a cell that fails ends the run, and is named.

    Args:
        file: the notebook, as the run sees it.
        code: its content.
        module: what is `__main__`.
        arguments: of the command line.

    Raises:
        SystemExit: a cell failed, or asked for it.
    """
    path = Path(file)
    os.chdir(path.parent)  # where Jupyter starts a kernel
    sys.argv = [path.name, *arguments]
    sys.orig_argv = [sys.executable, *sys.argv]
    if not sys.flags.safe_path:
        sys.path.insert(0, str(path.parent))
    if importlib.util.find_spec("matplotlib_inline") is not None:
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    beside = current_run().folder
    with tempfile.TemporaryDirectory(prefix="ipython-", dir=beside, ignore_cleanup_errors=True) as folder:
        shell = _shell(module, folder)
        asyncio.run(_run_all(shell, read_cells(code, path.name), path.name))


def _shell(module: types.ModuleType, folder: str) -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):  # type: ignore[misc]
        """IPython's shell, which ends the run where a cell says exit()."""

        def ask_exit(self) -> None:
            raise SystemExit(0)

        def enable_gui(self, gui: str | None = None) -> None:
            """Do nothing: no window is opened, as in a kernel whose figures stand in the notebook."""

    settings = Config()
    settings.HistoryManager.enabled = False  # no file, and no thread that writes it
    settings.HistoryAccessor.enabled = False
    settings.InteractiveShell.colors = "nocolor" if _is_new() else "NoColor"
    settings.InteractiveShell.autocall = 0
    InteractiveShell.clear_instance()
    shell = Shell.instance(config=settings, user_module=module, ipython_dir=folder)
    InteractiveShell._instance = shell
    return shell


def _is_new() -> bool:
    from IPython import version_info

    return bool(version_info[0] >= 9)


async def _run_all(shell: Any, cells: tuple[Cell, ...], name: str) -> None:
    """Run cells in one event loop, as a kernel has one: tasks of a cell go on while the next ones wait."""
    for cell in cells:
        shell.execution_count = cell.number  # what a traceback calls the cell
        fault = await _run_cell(shell, cell)
        if isinstance(fault, SystemExit):
            raise fault
        if fault is not None and KEEPS_GOING not in cell.tags:
            raise SystemExit(_failed(name, cell, fault)) from None


async def _run_cell(shell: Any, cell: Cell) -> BaseException | None:
    """Run a cell; return what it raised, which the shell has printed."""
    told: dict[str, Any] = {"transformed_cell": cell.text, "preprocessing_exc_tuple": None}
    try:
        told["transformed_cell"] = shell.transform_cell(cell.text)
    except Exception:  # noqa: BLE001  a magic that cannot be read: the shell says so
        told["preprocessing_exc_tuple"] = sys.exc_info()
    if shell.should_run_async(cell.text, **told):
        result = await shell.run_cell_async(cell.text, store_history=True, **told)
        shell.events.trigger("post_execute")
        shell.events.trigger("post_run_cell", result)
    else:
        result = shell.run_cell(cell.text, store_history=True)
    fault: BaseException | None = result.error_before_exec or result.error_in_exec
    return fault


def _failed(name: str, cell: Cell, fault: BaseException) -> str:
    said = str(fault).strip().splitlines()
    cause = f"{type(fault).__name__}: {said[-1]}" if said else type(fault).__name__
    return f"Cell {cell.number} of {name} failed, which begins with {cell.first_line!r}: {cause}"
