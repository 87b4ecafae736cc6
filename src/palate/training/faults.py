"""What ended a run besides its own code: memory that ran out, with its size, and a GPU that went.

Read from what was printed last, from the signal that ended it and from what the kernel counts. The wording is that of
PyTorch, numpy, JAX and TensorFlow. Standard library only.
"""

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from palate.training.devices import size_words

TAIL = 200
"""Lines of what was printed last in which a fault is looked for: JAX and launchers print much behind theirs."""

UNITS = {"b": 0, "byte": 0, "bytes": 0} | {
    f"{letter}{rest}": power for power, letter in enumerate("kmgtpe", 1) for rest in ("ib", "b")
}
"""Powers of 1024 by what a size is given in; PyTorch and JAX write GB and mean GiB."""

RAISED_WITHIN = 2000
"""Characters before a fault in which it is seen that it was raised, and not told by the script in a word of its own."""

RAISED_ON = re.compile(
    r"ChildFailedError|CalledProcessError|ProcessRaisedException|another exception occurred|direct cause of|"
    r"RESOURCE_EXHAUSTED|ResourceExhausted|MemoryError|out of memory|DataLoader worker"
)
"""What a later traceback says that only passes a fault on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What ended a run.

    Attributes:
        kind: memory that ran out, or a GPU that went.
        on_gpu: whether it was the GPU's.
        asked: bytes that were asked for last; None where nobody tells.
        total, free: bytes that there are, and that were free; None where nobody tells.
        who: what ran out, or went: "GPU 0", "the kernel".
    """

    kind: Literal["out of memory", "device lost"]
    on_gpu: bool = False
    asked: int | None = None
    total: int | None = None
    free: int | None = None
    who: str = ""

    def could_never_fit(self, here: int | None) -> bool:
        """Return whether more was asked for than there is at all, with nobody else there.

        Args:
            here: bytes of memory that the machine has; None where nobody tells.
        """
        there = self.total if self.on_gpu else here
        return self.asked is not None and there is not None and self.asked > there

    @property
    def words(self) -> str:
        """It in a line: `out of memory: it asked for 2 GiB; GPU 0 has 79.1 GiB, 1.2 GiB free`."""
        if self.kind == "device lost":
            return f"the GPU went: {self.who}"
        asked = f"it asked for {size_words(self.asked)}" if self.asked is not None else ""
        there = ""
        if self.total is not None:
            there = f"{self.who or 'there'} has {size_words(self.total)}"
            there += f", {size_words(self.free)} free" if self.free is not None else ""
        said = "; ".join(part for part in (asked, there or self.who) if part)
        return f"out of memory: {said}" if said else "out of memory"


def fault_in(printed: str, *, status: int, oom_kills: int = 0, cpu_peak: int = 0) -> Fault | None:
    """Return what ended a run that failed; None where it was its own code, or nobody knows.

    Args:
        printed: the last lines that it printed.
        status: its exit status, -n for signal n.
        oom_kills: processes that the kernel killed for want of memory while it went.
        cpu_peak: bytes that the run had in memory at most, as far as it was seen.
    """
    if status == 0:
        return None
    if oom_kills and (
        status in (-signal.SIGKILL, 128 + signal.SIGKILL) or "Killed" in printed or "killed by signal" in printed
    ):
        had = f"the kernel killed it; it had {size_words(cpu_peak)}" if cpu_peak else "the kernel killed it"
        return Fault(kind="out of memory", who=had)
    found = [(match.start(), read(match)) for pattern, read in _READERS for match in pattern.finditer(printed)]
    if not found:
        return None
    place, fault = max(found, key=lambda one: one[0])
    return fault if _ended_by_it(printed, place) else None


def _ended_by_it(printed: str, place: int) -> bool:
    """Return whether a fault that was printed is what ended the run: not one that was caught, before another fault."""
    head = "Traceback (most recent call last)"
    later = printed[place:].split(head)[1:]
    raised = re.search("Traceback|Error|terminate called", printed[max(place - RAISED_WITHIN, 0) : place + 40])
    return raised is not None and all(RAISED_ON.search(one) for one in later)


def _bytes(number: str, unit: str) -> int | None:
    power = UNITS.get(unit.lower())
    return None if power is None else int(float(number) * 1024**power)


def _cuda(match: re.Match[str]) -> Fault:
    text = match.group(0)
    return Fault(
        kind="out of memory",
        on_gpu=True,
        asked=_size(r"Tried to allocate ([0-9.]+) ?(\w+)", text),
        total=_size(r"total capacity of ([0-9.]+) ?(\w+)", text) or _size(r"([0-9.]+) (\w+) total capacity", text),
        free=_size(r"of which ([0-9.]+) ?(\w+) is free", text) or _size(r"; ([0-9.]+) (\w+) free", text),
        who=next((f"GPU {one}" for one in re.findall(r"GPU ([0-9]+)", text)), "the GPU"),
    )


def _size(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text)
    return _bytes(*found.groups()) if found else None


def _of_cpu(match: re.Match[str]) -> Fault:
    return Fault(kind="out of memory", asked=_bytes(*match.groups()))


def _of_jax(match: re.Match[str]) -> Fault:
    found = re.search(r"allocate ([0-9.]+) ?([A-Za-z]+)", match.group(0))
    return Fault(kind="out of memory", on_gpu=True, asked=_bytes(*found.groups()) if found else None, who="the GPU")


def _of_tensorflow(match: re.Match[str]) -> Fault:
    on_gpu = "GPU" in match.group(0)
    shape = re.search(r"shape ?\[[0-9,]+\] and type \w+", match.group(0))
    where = "the GPU" if on_gpu else "memory"
    return Fault(
        kind="out of memory", on_gpu=on_gpu, who=f"{where} had no room for a tensor of {shape[0]}" if shape else where
    )


def _lost(match: re.Match[str]) -> Fault:
    return Fault(kind="device lost", on_gpu=True, who=match.group(0).strip())


_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Fault]], ...] = (
    (re.compile(r"(?:CUDA|HIP|MPS backend)(?: error:)? out of memory[^\n]*"), _cuda),
    (re.compile(r"DefaultCPUAllocator: [^\n]*?you tried to allocate ([0-9]+) (bytes)"), _of_cpu),
    (re.compile(r"MemoryError: Unable to allocate ([0-9.]+) (\w+)"), _of_cpu),
    (re.compile(r"^MemoryError(?!: Unable to allocate)[^\n]*", re.MULTILINE), lambda _: Fault(kind="out of memory")),
    (re.compile(r"std::bad_alloc"), lambda _: Fault(kind="out of memory")),
    (re.compile(r"RESOURCE_EXHAUSTED: [^\n]*"), _of_jax),
    (re.compile(r"ResourceExhaustedError\b[^\n]*(?:\n[^\n]*OOM when allocating[^\n]*)?"), _of_tensorflow),
    (
        re.compile(
            r"CUDA error: (?:unspecified launch failure|no CUDA-capable device is detected|uncorrectable ECC error"
            r"|all CUDA-capable devices are busy or unavailable|CUDA-capable device\(s\) is/are busy or unavailable"
            r"|device not (?:ready|available)|the driver [^\n]*|unknown error|system not yet"
            r" initialized)[^\n]*|GPU is lost[^\n]*|GPU has fallen off the bus[^\n]*|NVRM: Xid[^\n]*"
            r"|Unable to determine the device handle for GPU[^\n]*"
        ),
        _lost,
    ),
)
