"""Which GPUs there are and may be used: as the person hides them, as the driver lists them; standard library only.

What the person said comes first: `CUDA_VISIBLE_DEVICES`, on ROCm `HIP_VISIBLE_DEVICES` and `ROCR_VISIBLE_DEVICES`. What
is there is told by `nvidia-smi`, where that is missing or fails by the device files. No framework is imported: that
takes seconds, and some start the GPU.
"""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

CUDA, HIP, ROCR = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"

BY_BUS = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""Environment in which CUDA counts devices as `nvidia-smi` does; its own order is by speed."""

HIDDEN = {CUDA: "-1", HIP: "-1"}
"""Environment in which no framework sees a GPU. Some take an empty value for one that is not set."""

SMI_S = 2.0
"""Seconds that `nvidia-smi` may take."""

QUERY = ("--query-gpu=index,uuid,name,memory.total,memory.used", "--format=csv,noheader,nounits")

APPS = ("--query-compute-apps=pid,gpu_uuid,used_memory", "--format=csv,noheader,nounits")

MIB = 1 << 20

FILLED = 0.25
"""Share of a GPU's memory from which on what other programs hold is said."""

Ask = Callable[[Sequence[str]], str]
"""Calls `nvidia-smi` with some options; returns what it prints, "" where it is not there or fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU.

    Attributes:
        id: as the variable names it: an index, a UUID, a MIG id; "" where none can be chosen.
        variable: the environment variable that chooses it.
        name: of the model; "" where nobody tells.
        total, used: bytes of its memory, and those that were taken when it was looked at; None where nobody tells.
        by_bus: whether its id is an index in the order of the bus, as the driver lists them.
    """

    id: str
    variable: str = CUDA
    name: str = ""
    total: int | None = None
    used: int | None = None
    by_bus: bool = False

    @property
    def words(self) -> str:
        """Its id with its name, for people."""
        named = f"GPU {self.id}".rstrip()
        return f"{named} ({self.name})" if self.name else named


def find_devices(environ: Mapping[str, str], *, ask: Ask | None = None, root: Path = Path("/")) -> tuple[Device, ...]:
    """Return the GPUs that a training may use here; none where there are none, or they are hidden.

    Args:
        environ: the environment that says which may be used.
        ask: calls `nvidia-smi`.
        root: of the file system, where the device files are.
    """
    listed = _listed((ask or ask_smi)(QUERY))
    nodes = len([*(root / "dev").glob("nvidia[0-9]*")])
    if listed or nodes:
        return _chosen(environ.get(CUDA), listed or _numbered(CUDA, nodes), environ.get("CUDA_DEVICE_ORDER", ""))
    if (root / "dev" / "kfd").exists():
        return _of_rocm(environ, root)
    if sys.platform == "darwin" and platform.machine() == "arm64" and root == Path("/"):
        return (Device(id="", variable="", name="Apple MPS", total=memory_here()),)
    return ()


def ask_smi(options: Sequence[str]) -> str:
    """Call `nvidia-smi`; return what it prints, "" where it is not there, fails, or takes too long."""
    try:
        done = subprocess.run(
            ["nvidia-smi", *options],
            capture_output=True,
            text=True,
            timeout=SMI_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _listed(text: str) -> list[tuple[str, Device]]:
    """Read what `nvidia-smi` lists: the UUID and the device, whose id is its index."""
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return [
        (row[1], Device(id=row[0], name=row[2], total=_bytes(row[3]), used=_bytes(row[4]), by_bus=True))
        for row in rows
        if len(row) == 5 and row[0].isdecimal()
    ]


def _bytes(mib: str) -> int | None:
    return int(mib) * MIB if mib.isdecimal() else None


def _numbered(variable: str, count: int) -> list[tuple[str, Device]]:
    return [("", Device(id=str(number), variable=variable)) for number in range(count)]


def _chosen(said: str | None, listed: list[tuple[str, Device]], order: str) -> tuple[Device, ...]:
    """Return the devices that a variable names, each as it is named there; CUDA stops at the first that is none."""
    if said is None:
        return tuple(device for _, device in listed)
    alike = len({device.name for _, device in listed}) == 1 or order == BY_BUS["CUDA_DEVICE_ORDER"]
    found: list[Device] = []
    for word in (part.strip() for part in said.split(",")):
        device = _named(word, listed, alike=alike)
        if device is None or device.id in {one.id for one in found}:
            break
        found.append(device)
    return tuple(found)


def _named(word: str, listed: list[tuple[str, Device]], *, alike: bool) -> Device | None:
    """Return the device that a word of the variable means; None where there is none.

    An index means the driver's only where all are alike or CUDA counts as the driver does; else its memory is unknown.
    """
    if word.isdecimal():
        known = next((device for _, device in listed if device.id == word), None)
        if known is None:
            return None
        return replace(known, by_bus=False) if alike else Device(id=word, variable=known.variable)
    if word.startswith("MIG-"):
        return Device(id=word, name="a part of a GPU (MIG)")
    matches = [device for uuid, device in listed if word and uuid.startswith(word)]
    return replace(matches[0], id=word, by_bus=False) if len(matches) == 1 else None


def _of_rocm(environ: Mapping[str, str], root: Path) -> tuple[Device, ...]:
    """Return the GPUs of AMD's driver: as a variable names them, else those that the kernel lists."""
    variable = next((name for name in (HIP, ROCR, CUDA) if name in environ), HIP)
    nodes = (root / "sys/class/kfd/kfd/topology/nodes").glob("*/properties")
    count = sum(any(re.fullmatch("simd_count [1-9][0-9]*", line) for line in _lines(one)) for one in nodes)
    if variable not in environ:
        return tuple(device for _, device in _numbered(HIP, count))
    words = [word.strip() for word in environ[variable].split(",")]
    return tuple(Device(id=word, variable=variable) for word in words if word and word != "-1")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def memory_here() -> int | None:
    """Return the bytes of memory that this machine has; None where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def environment_for(devices: Sequence[Device]) -> dict[str, str]:
    """Return the variables by which a run sees these devices and no others."""
    if not devices or not devices[0].variable:
        return {}
    chosen = {devices[0].variable: ",".join(device.id for device in devices)}
    return {**BY_BUS, **chosen} if devices[0].by_bus else chosen


def filled_words(devices: Sequence[Device]) -> list[str]:
    """Say which GPUs other programs fill, a sentence each."""
    return [
        f"{device.words} is not free: other programs hold {size_words(device.used)} of {size_words(device.total)}."
        for device in devices
        if device.total and device.used is not None and device.used >= FILLED * device.total
    ]


def still_there(device: Device, *, ask: Ask | None = None) -> bool:
    """Return whether the driver still lists a device; where it lists nothing, nobody knows, and that counts as no."""
    listed = _listed((ask or ask_smi)(QUERY))
    return any(device.id == one.id or (uuid and uuid.startswith(device.id)) for uuid, one in listed)


def size_words(count: float | None) -> str:
    """Return a number of bytes in a unit that fits.

    >>> size_words(79.6 * 2**30), size_words(312 * 2**20), size_words(None)
    ('79.6 GiB', '312 MiB', 'an unknown size')
    """
    if count is None:
        return "an unknown size"
    if count >= 1 << 40:
        return f"{count / (1 << 40):,.3g} TiB" if count < 1 << 50 else f"{count / (1 << 50):,.3g} PiB"
    if count >= 1 << 30:
        return f"{count / (1 << 30):.3g} GiB"
    return (
        f"{count / MIB:.0f} MiB"
        if count >= MIB
        else f"{count / 1024:.0f} KiB"
        if count >= 1024
        else f"{count:.0f} bytes"
    )
