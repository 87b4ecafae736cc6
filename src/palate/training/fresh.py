"""Why runs cannot be forked from a process that has loaded the training's code: each is then a process of its own.

Threads do not survive a fork, and neither do CUDA, JAX and TensorFlow, which fail or hang in the child. Standard
library only.
"""

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = {"jax": "imports JAX", "jaxlib": "imports JAX", "tensorflow": "imports TensorFlow"}
"""Packages that hang or fail behind a fork once they are imported, and what is said of them."""


def why_fresh(modules: Mapping[str, Any], *, threads: int, cuda: bool) -> str:
    """Return why runs cannot be forked from a process, as a clause about the code that it loaded; "" where they can.

    >>> why_fresh({}, threads=3, cuda=False), why_fresh({}, threads=1, cuda=False)
    ('starts threads', '')

    Args:
        modules: that are imported, by name.
        threads: of the process.
        cuda: whether CUDA has started in it.
    """
    if cuda:
        return "starts CUDA"
    for name, words in NAMES.items():
        if name in modules:
            return words
    return "starts threads" if threads > 1 else ""


def has_cuda_started(modules: Mapping[str, Any]) -> bool:
    """Return whether this process has started CUDA: by torch, or by anything that has the driver's memory device open.

    Asking the driver which GPUs there are (`torch.cuda.is_available`) opens others of its devices, and not that one.
    """
    torch = modules.get("torch")
    try:
        if torch is not None and torch.cuda.is_initialized():
            return True
    except Exception:  # noqa: BLE001  a stand-in, or an old release
        return True
    return "/dev/nvidia-uvm" in _open_files()


def _open_files() -> list[str]:
    """Return the files that this process has open, where the system tells."""
    found = []
    with contextlib.suppress(OSError):
        for file in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):  # the one that lists them
                found.append(str(file.readlink()))
    return found


def count_threads() -> int:
    """Count the threads of this process, those of native code included where the system tells."""
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return threading.active_count()
