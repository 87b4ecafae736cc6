"""The processes that runs start: which there are, whose they are, and how they end; standard library only.

On Linux none gets away: what a run leaves behind is adopted by the worker, what the worker leaves behind by its keeper,
and a process that is killed takes those with it that it started. Elsewhere a run's group of processes is known, and
what left that group is not.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

from palate.training.run import FOLDER

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""From linux/prctl.h."""

LINUX = sys.platform == "linux"

GONE = "ZX"
"""States of processes that have ended."""

STOPPED = "Tt"

KILL_S = 0.02
"""Seconds after which it is looked whether a process that was killed is gone."""

_LISTED = Path("/proc/thread-self/children")
"""There where the system lists the children of a process; some are built without."""


@cache
def _prctl() -> Callable[..., int]:
    if not LINUX:
        return lambda *_: -1
    import ctypes

    try:
        call: Callable[..., int] = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return lambda *_: -1
    return call


def adopt_orphans() -> None:
    """Become the parent of processes whose own parents have ended, so that they can be ended; on Linux."""
    _prctl()(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with(parent: int) -> None:
    """Let this process be killed when its parent ends; on Linux, and only where the parent has one thread."""
    _prctl()(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended meanwhile
        os._exit(1)


def children_of(pid: int) -> list[int]:
    """Return the processes that one started, and those that it adopted; nothing where the system does not tell."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        if not _LISTED.exists():
            return [one for one in map(int, _numbers("/proc")) if _parent_of(one) == pid]
        for thread in _numbers(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def _numbers(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.name.isdigit()]


def _parent_of(pid: int) -> int:
    words = _after_name(pid)
    return int(words[1]) if words else -1


def _after_name(pid: int) -> list[str]:
    """Return what the system tells of a process after its name: its state, its parent and more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def with_descendants(pids: Iterable[int]) -> list[int]:
    """Return processes and all that are below them, parents first."""
    found, waiting = [], list(pids)
    while waiting:
        here = waiting.pop()
        found.append(here)
        waiting += children_of(here)
    return found


def state_of(pid: int) -> str:
    """Return a process's state as one letter: see GONE and STOPPED; "" where there is none, or nobody tells."""
    return next(iter(_after_name(pid)), "")


def began_ticks(pid: int) -> int:
    """Return when a process began, in ticks of the system's clock; 0 where there is none, or nobody tells.

    A number may be another process's later; number and beginning together are not, as long as the system is up.
    """
    words = _after_name(pid)
    return int(words[19]) if len(words) > 19 else 0


def boot_id() -> str:
    """Return what tells one start of this machine from another; "" where nobody tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def is_there(pid: int) -> bool:
    """Return whether a process has not ended, as Linux tells.

    One whose first thread has may have others, which hold its files.
    """
    state = state_of(pid)
    if state not in GONE:
        return bool(state)
    try:
        return state == "Z" and len(_numbers(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def send(pid: int, number: int) -> bool:
    """Send a signal to a process; return whether it got there: not where there is none, or one of somebody else's."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def send_group(pid: int, number: int) -> bool:
    """Send a signal to a group of processes; return whether it got to any.

    Not where there is none that lives: macOS says of a group of ended ones that it may not be sent to.
    """
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_below(pid: int, most: int = 100) -> bool:
    """Kill all processes below one, again and again until there are none; return whether there are none left."""
    for _ in range(most):
        left = [one for one in with_descendants(children_of(pid)) if is_there(one)]
        for one in left:
            send(one, signal.SIGKILL)
        _bury_all()
        if not left:
            return True
        with contextlib.suppress(OSError):
            os.sched_yield()
    return False


def kill_of(folders: Mapping[str, int], most: int = 100) -> list[int]:
    """Kill what is left of runs whose adopter is gone, which nobody is the parent of; return what could not be ended.

    Such a process is known by the run's folder in its environment; where nobody tells that, by the run's group.

    Args:
        folders: of the runs, with the processes that they started as.
        most: times that it is looked.
    """
    left: list[int] = []
    for _ in range(most if folders else 0):
        left = _marked(folders) if LINUX else [-pid for pid in folders.values() if pid and send_group(pid, 0)]
        if not left:
            return []
        for one in left:
            send(one, signal.SIGKILL)
        time.sleep(KILL_S)
    return left


def _marked(folders: Iterable[str]) -> list[int]:
    marks = {f"{FOLDER}={folder}".encode() for folder in folders}
    found = []
    for one in map(int, _numbers("/proc")):
        with contextlib.suppress(OSError):
            variables = Path(f"/proc/{one}/environ").read_bytes().split(b"\0")
            if one != os.getpid() and not marks.isdisjoint(variables):
                found.append(one)
    return found


def _bury_all() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


class Left:
    """Tells of the processes that runs leave behind, to their adopter, whose they are.

    A process is known by its group, its session and the run's folder in its environment. One that has left all of
    these is of a run that went when it was first seen: it ends with the last of them.
    """

    def __init__(self) -> None:
        self._me = os.getpid()
        self._own = frozenset(children_of(self._me))
        self._owners: dict[int, frozenset[int]] = {}

    def of(self, pid: int, going: Mapping[int, str], ended: frozenset[int]) -> list[int]:
        """Return what is left of a run whose main process has ended.

        Args:
            pid: of that process.
            going: the folders of all runs that are not over, by the processes they started as.
            ended: those of which that process has ended.
        """
        alive = going.keys() - ended
        mine = [root for root in self._roots(going) if pid in self._owners[root]]
        roots = [root for root in mine if self._owners[root].isdisjoint(alive)]
        return [one for one in with_descendants(roots) if is_there(one)]

    def look(self, going: Mapping[int, str]) -> None:
        """Remember whose the processes are that are there now, and bury those that have ended."""
        for root in self._roots(going):
            if not is_there(root):
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(root, os.WNOHANG)
                self._owners.pop(root, None)
            elif not self._owners[root]:  # it came when no run went any more
                send(root, signal.SIGKILL)

    def _roots(self, going: Mapping[int, str]) -> list[int]:
        roots = [one for one in children_of(self._me) if one not in going and one not in self._own]
        for root in roots:
            if root not in self._owners:
                self._owners[root] = _owners_of(root, going)
        return roots


def _owners_of(pid: int, going: Mapping[int, str]) -> frozenset[int]:
    with contextlib.suppress(OSError):
        for one in (os.getpgid(pid), os.getsid(pid)):
            if one in going:
                return frozenset({one})
    with contextlib.suppress(OSError):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        for run, folder in going.items():
            if f"{FOLDER}={folder}".encode() in variables:
                return frozenset({run})
    return frozenset(going)
