"""Runs that produce nothing for long: it is said while they wait, with what their processes do; nothing is ended.

`Silence` is the rule, on what is seen of a run (`Sight`); `see` looks. Standard library only.
"""

import contextlib
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from palate.training import family

LOOK_S = 2.0
"""Interval at which runs are looked at."""

GROWS = 3.0
"""Each time that it is said again, it has lasted so many times as long."""

USUAL = 3.0
"""Times the longest pause so far that a pause may last before it is said."""

IDLE_SHARE = 0.01
"""Share of one core below which a run is idle: a process that only waits uses less to wake up now and then."""

BLIP_S = 0.05
"""Seconds of processor time that are nothing: what wakes up, looks and sleeps on."""

STATES = {"R": "computes", "S": "sleeps", "D": "waits for a disk", "I": "sleeps", "T": "is stopped", "t": "is stopped"}

READS = {"x86_64": "0", "aarch64": "63", "arm64": "63"}
"""Number of the system call `read`, by machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds after which a run that produces nothing is told: one that does nothing, and one that computes."""

    idle_s: float = 60.0
    busy_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is seen of a run at one moment.

    Attributes:
        grown: bytes that it has printed and logged.
        cpu_s: processor time of its processes.
        doing: what they do, in words.
    """

    grown: int
    cpu_s: float
    doing: str = ""


class Silence:
    """Tells when one run has produced nothing for too long.

    Args:
        patience: how long that is.
        now_s: when it begins.
    """

    def __init__(self, patience: Patience, now_s: float) -> None:
        self._patience = patience
        self._since_s = now_s
        self._grown = -1
        self._anchor = (now_s, 0.0)
        self._first_cpu_s = 0.0
        self._longest_s = 0.0
        self._said_s = 0.0

    def look(self, sight: Sight, now_s: float) -> str:
        """Return a clause where it is time to say something: since when nothing came, and what goes on; else ""."""
        if sight.grown != self._grown:
            self._begin(sight, now_s)
            return ""
        at_s, cpu_s = self._anchor
        if sight.cpu_s - cpu_s >= IDLE_SHARE * (now_s - at_s) + BLIP_S:
            self._anchor = (now_s, sight.cpu_s)
        quiet_s, idle_s = now_s - self._since_s, now_s - self._anchor[0]
        least_s = max(USUAL * self._longest_s, GROWS * self._said_s)
        idle = idle_s >= self._patience.idle_s
        if quiet_s < least_s or not (idle or quiet_s >= self._patience.busy_s):
            return ""
        self._said_s = quiet_s
        nothing = f"has printed and logged nothing for {_seconds(quiet_s)}"
        if idle:
            doing = sight.doing or "nobody can tell what it waits for"
            return f"{nothing} and used no processor time for {_seconds(idle_s)}: {doing}"
        computed = _seconds(sight.cpu_s - self._first_cpu_s)
        return f"{nothing}, but computes ({computed} of processor time since): {sight.doing or 'it goes on'}"

    def _begin(self, sight: Sight, now_s: float) -> None:
        """Begin anew: something came."""
        if self._grown >= 0:
            self._longest_s = max(self._longest_s, now_s - self._since_s)
        self._grown, self._since_s, self._said_s = sight.grown, now_s, 0.0
        self._anchor, self._first_cpu_s = (now_s, sight.cpu_s), sight.cpu_s


def _seconds(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


def see(pids: Iterable[int], files: Iterable[Path]) -> Sight | None:
    """Look at a run's processes, and at the files that it prints and logs into; None where the system does not tell."""
    if not family.LINUX:
        return None
    there = family.with_descendants(pids)
    return Sight(grown=sum(map(_size, files)), cpu_s=sum(map(cpu_of, there)), doing="; ".join(map(doing, there[:4])))


def _size(file: Path) -> int:
    with contextlib.suppress(OSError):
        return file.stat().st_size
    return 0


def cpu_of(pid: int) -> float:
    """Return the processor time of a process and of those that it waited for, in seconds; 0 where there is none."""
    words = family._after_name(pid)
    try:
        return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")
    except (ValueError, OSError):
        return 0.0


def doing(pid: int) -> str:
    """Say what a process does, and for what it waits where the system tells: `process 71 (python) sleeps`."""
    state = STATES.get(family.state_of(pid), "has ended")
    waits = _waits_for(pid) if state == "sleeps" else ""
    return f"process {pid} ({_name(pid)}) {waits or state}"


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    return "?"


def _waits_for(pid: int) -> str:
    """Say what a sleeping process reads from; "" where it does not read, or the system does not tell."""
    with contextlib.suppress(OSError, ValueError):
        call, first, *_ = Path(f"/proc/{pid}/syscall").read_text().split()
        if call == READS.get(platform.machine()):
            file = str(Path(f"/proc/{pid}/fd/{int(first, 16)}").readlink())
            if file.startswith(("/dev/pts", "/dev/tty", "/dev/console")) or int(first, 16) == 0:
                return f"waits for input (it reads from {file})"
            kind = (
                "another process" if file.startswith("pipe:") else "the network" if file.startswith("socket:") else file
            )
            return f"waits for {kind}"
    return ""
