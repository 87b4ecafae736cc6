"""What runs take: peak memory, of the GPU too, processor time, and whether the kernel ran out of memory.

The worker looks at the processes of each run a few times a second (`Meter`); a run's own process tells what torch
reserved on its GPU when it ends (`tell_own`), the driver tells it of processes that do not. Standard library only.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from palate.training import family
from palate.training.devices import APPS, CUDA, MIB

TOLD = "usage.json"
"""File in a run's folder in which its own process tells what it took."""

LOOK_S = 0.5
"""Interval at which the memory of runs is looked at; what comes and goes in between is not seen."""

SMI_S = (0.5, 5.0)
"""Interval at which the driver is asked what processes hold of GPUs: at first, and at most; it doubles."""

CONTEXT = 500 << 20
"""Bytes that CUDA itself takes on a GPU beside what torch reserves, about: its context and kernels."""

OTHERS = frozenset({"jax", "jaxlib", "tensorflow", "cupy", "numba", "pycuda", "xgboost", "lightgbm"})
"""Packages that use a GPU without torch: where one is imported, torch's word is not enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one run took.

    Attributes:
        cpu_peak: bytes that its processes had in memory at most, all together.
        cpu_s: seconds of processor time; None where the system does not tell.
        gpu_peak: bytes that it took of a GPU at most; 0 for none, None where nobody can tell.
        gpus: how many GPUs it had.
        device: their name; "" where it had none, or nobody tells.
        sees: CUDA_VISIBLE_DEVICES in its own process at the end; "" where nobody tells.
        oom_kills: how often the kernel killed a process for want of memory while it went: one of this run, or another.
    """

    cpu_peak: int = 0
    cpu_s: float | None = None
    gpu_peak: int | None = None
    gpus: int = 0
    device: str = ""
    sees: str = ""
    oom_kills: int = 0

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return asdict(self)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Undo `body`; what a newer palate adds is left out."""
        return cls(**{one.name: body[one.name] for one in fields(cls) if one.name in body})

    @property
    def used_gpu(self) -> bool:
        """Whether it is known to have used a GPU."""
        return bool(self.gpu_peak)

    def gpu_hours(self, elapsed_s: float) -> float:
        """Return the GPU-hours of a run that took so long: those of the GPUs that it had, where it used any."""
        return max(self.gpus, 1) * elapsed_s / 3600 if self.used_gpu else 0.0


def tell_own(folder: str | os.PathLike[str]) -> None:
    """Tell, at the end of a run's own process, what it took of a GPU; nothing is imported or started for it.

    One that started others cannot say that none was used. Of several that tell, the one that took most stands.
    """
    told, file = own_gpu(sys.modules) or {}, Path(folder, TOLD)
    if not told.get("gpu_peak") and _had_children():
        told = {}
    with contextlib.suppress(OSError, ValueError):
        before = json.loads(file.read_text()).get("gpu_peak", -1) if file.exists() else -2
        if told.get("gpu_peak", -1) > before:
            file.write_text(json.dumps({**told, "sees": os.environ.get(CUDA, "")}))


def _had_children() -> bool:
    try:
        import resource
    except ImportError:
        return True
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0 or bool(family.children_of(os.getpid()))


def own_gpu(modules: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what this process took of a GPU, as torch tells; None where it cannot be told.

    Args:
        modules: that are imported, by name.
    """
    torch, others = modules.get("torch"), not OTHERS.isdisjoint(modules)
    try:
        if torch is not None and torch.cuda.is_initialized():
            peaks = {one: int(torch.cuda.max_memory_reserved(one)) for one in range(torch.cuda.device_count())}
            most = max(peaks, key=peaks.__getitem__)
            return {"gpu_peak": peaks[most] + CONTEXT, "device": torch.cuda.get_device_name(most)}
        if torch is not None and torch.backends.mps.is_available() and torch.mps.driver_allocated_memory():
            return {"gpu_peak": int(torch.mps.driver_allocated_memory()), "device": "Apple MPS"}
    except Exception:  # noqa: BLE001  a stand-in, an old release, a GPU that went: then nobody can tell
        return None
    return None if others else {"gpu_peak": 0}


class _Run:
    """What was seen of one run by now."""

    def __init__(self, kills: int) -> None:
        self.cpu_peak = 0
        self.gpu_peak: int | None = None
        self.kills = kills


class Meter:
    """Looks what runs take while they go.

    Args:
        root: of the file system, where the kernel tells of processes and groups.
        smi: the program that tells what processes hold of GPUs; "" for none.
    """

    def __init__(self, root: Path = Path("/"), smi: str = "nvidia-smi") -> None:
        self._root, self._smi = root, smi
        self._runs: dict[str, _Run] = {}
        self._next_s = self._smi_next_s = 0.0
        self._smi_pause_s = SMI_S[0]
        self._asked: subprocess.Popen[str] | None = None
        self._events = events_file(root)

    def begin(self, run_id: str) -> None:
        """Begin to look at a run."""
        self._runs[run_id] = _Run(self._kills())
        self._next_s = self._smi_next_s = 0.0
        self._smi_pause_s = SMI_S[0]

    def due(self) -> bool:
        """Return whether it is time to look."""
        return time.monotonic() >= self._next_s

    def look(self, processes: Mapping[str, Iterable[int]], *, gpus: bool) -> None:
        """Look at the processes of each run.

        Args:
            processes: of each run that goes, by its id.
            gpus: whether runs may use GPUs.
        """
        self._next_s = time.monotonic() + LOOK_S
        for run_id, pids in processes.items():
            if run_id in self._runs:
                seen = self._runs[run_id]
                seen.cpu_peak = max(seen.cpu_peak, memory_of(pids, self._root))
        if gpus and self._smi:
            self._take_apps(processes)

    def end(self, run_id: str, folder: Path, rusage: Any = None) -> Usage:
        """Return what a run took that has ended; its GPUs are for who placed it to say.

        Args:
            run_id: of the run.
            folder: of the run, where its own process may have told something.
            rusage: what the system counted of its main process and those that this waited for; None if unknown.
        """
        seen = self._runs.pop(run_id, None) or _Run(self._kills())
        usage = Usage(cpu_peak=seen.cpu_peak, gpu_peak=seen.gpu_peak, oom_kills=max(self._kills() - seen.kills, 0))
        if rusage is not None:
            most = rusage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            usage = replace(usage, cpu_peak=max(most, usage.cpu_peak), cpu_s=rusage.ru_utime + rusage.ru_stime)
        return with_told(usage, folder)

    def _kills(self) -> int:
        return oom_kills(self._events, self._root)

    def _take_apps(self, processes: Mapping[str, Iterable[int]]) -> None:
        """Take in what the driver tells, and ask it again after a while; nobody waits for it."""
        now_s = time.monotonic()
        if self._asked is None and now_s >= self._smi_next_s:
            self._smi_next_s = now_s + self._smi_pause_s
            self._smi_pause_s = min(2 * self._smi_pause_s, SMI_S[1])
            self._asked = _ask(self._smi)
            if self._asked is None:
                self._smi = ""
        elif self._asked is not None and self._asked.poll() is not None:
            text, _ = self._asked.communicate()
            self._asked = None
            held = held_by(text)
            for run_id, pids in processes.items():
                by_gpu: dict[str, int] = {}
                for gpu, count in (one for pid in pids for one in held.get(pid, {}).items()):
                    by_gpu[gpu] = by_gpu.get(gpu, 0) + count
                if by_gpu and run_id in self._runs:
                    seen = self._runs[run_id]
                    seen.gpu_peak = max(seen.gpu_peak or 0, *by_gpu.values())


def with_told(usage: Usage, folder: Path) -> Usage:
    """Add what a run's own process told; the driver may have seen more, of other processes of the run."""
    try:
        told = json.loads((folder / TOLD).read_text())
        usage = replace(usage, sees=str(told.get("sees", "")))
        peak, device = int(told["gpu_peak"]), str(told.get("device", ""))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return usage
    return replace(usage, gpu_peak=max(peak, usage.gpu_peak or 0), device=device)


def _ask(smi: str) -> "subprocess.Popen[str] | None":
    try:
        return subprocess.Popen(
            [smi, *APPS], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    except OSError:
        return None


def held_by(text: str) -> dict[int, dict[str, int]]:
    r"""Read which bytes of which GPU processes hold, as the driver lists them.

    >>> held_by("4711, GPU-a, 1024\n4712, GPU-a, [N/A]\n")
    {4711: {'GPU-a': 1073741824}}
    """
    held: dict[int, dict[str, int]] = {}
    for line in text.splitlines():
        pid, gpu, mib = ([part.strip() for part in line.split(",")] + ["", ""])[:3]
        if pid.isdecimal() and mib.isdecimal():
            held.setdefault(int(pid), {})[gpu] = int(mib) * MIB
    return held


def memory_of(pids: Iterable[int], root: Path = Path("/")) -> int:
    """Return the bytes that processes have in memory: files that several map count once."""
    anonymous, shared = 0, 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            lines = (root / f"proc/{pid}/status").read_text(errors="replace").splitlines()
            told = {
                name: int(rest.split()[0])
                for name, _, rest in (line.partition(":") for line in lines)
                if name[:3] == "Rss"
            }
            anonymous += told.get("RssAnon", 0)
            shared = max(shared, told.get("RssFile", 0) + told.get("RssShmem", 0))
    return (anonymous + shared) * 1024


def events_file(root: Path = Path("/")) -> Path | None:
    """Return the file in which the kernel counts the processes of this group that it killed for want of memory."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, kinds, place = line.split(":", 2)
        name = "memory.events" if not kinds else "memory.oom_control" if "memory" in kinds.split(",") else ""
        for mount in ("sys/fs/cgroup/memory", "sys/fs/cgroup", "sys/fs/cgroup/unified") if name else ():
            for inside in (place.lstrip("/"), ""):  # in a container, its own group is the root
                if (file := root / mount / inside / name).is_file():
                    return file
    return None


def oom_kills(events: Path | None, root: Path = Path("/")) -> int:
    """Return how many processes the kernel has killed for want of memory: in this group, else in the whole system."""
    for file in (events, root / "proc/vmstat"):
        if file is None:
            continue
        with contextlib.suppress(OSError, ValueError):
            for line in file.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0
