"""The place: versions, hardware, switches, and the state of the code, uncommitted changes included."""

import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from palate.capture.secrets import is_secret_name
from palate.recipe.tree import Chunk, Item, Origin, Setting
from palate.recipe.values import from_value

SWITCHES = (
    "CUDA_", "NCCL_", "OMP_", "MKL_", "OPENBLAS_", "PYTORCH_", "TORCH", "HF_", "TRANSFORMERS_", "TOKENIZERS_", "XLA_",
    "PYTHONHASHSEED", "CUBLAS_", "ACCELERATE_", "WORLD_SIZE", "NVIDIA_TF32_OVERRIDE",
)  # fmt: skip
"""Variables of the environment that decide how a training goes, by the beginnings of their names."""

PACKAGES = (
    "torch", "numpy", "transformers", "accelerate", "lightning", "pytorch-lightning", "timm", "datasets", "tokenizers",
    "torchvision", "torchaudio", "peft", "trl", "deepspeed", "flash-attn", "bitsandbytes", "xformers", "scikit-learn",
    "scipy", "pandas", "torchtune", "mmengine", "mmpretrain", "jax", "omegaconf",
)  # fmt: skip
GIT_S = 10.0


def place(folder: Path) -> Chunk:
    """Describe where a training runs; every setting is ambient."""
    told: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": versions(),
        "hardware": hardware(),
        "switches": switches(),
        "code": git_state(folder),
    }
    items = [from_value(name, value, lambda _: (Origin.AMBIENT, "")) for name, value in told.items() if value]
    return Chunk("env", "dict", tuple(items))


def versions() -> dict[str, str]:
    """Give the versions of the packages that are imported and matter."""
    found = {}
    for name in PACKAGES:
        if name.replace("-", "_") in sys.modules or (name == "scikit-learn" and "sklearn" in sys.modules):
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return found


def hardware() -> dict[str, Any]:
    """Give the processors, and the accelerators where torch knows any."""
    told: dict[str, Any] = {"cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        told["gpus"] = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return told


def switches() -> dict[str, str]:
    """Give the variables of the environment that decide how a training goes; secrets only by name."""
    chosen = {name: value for name, value in os.environ.items() if name.startswith(SWITCHES)}
    return {name: value for name, value in sorted(chosen.items()) if not is_secret_name(name)}


def git_state(folder: Path) -> dict[str, Any]:
    """Give the commit, and a fingerprint of what is not committed; empty where there is no repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = _git(folder, "diff", "HEAD", "--no-ext-diff", "--binary") or b""
    new = [name for name in (_git(folder, "ls-files", "-o", "--exclude-standard", "-z") or b"").split(b"\0") if name]
    told: dict[str, Any] = {"commit": commit.decode().strip()[:12]}
    source = [name for name in new if name.endswith((b".py", b".yaml", b".yml", b".json", b".toml", b".sh"))]
    if changed or source:
        digest = hashlib.sha256(changed)
        for name in sorted(source):
            digest.update(name + (folder / os.fsdecode(name)).read_bytes())
        told["uncommitted"] = digest.hexdigest()[:12]
    return told


def commit_of(folder: Path) -> str | None:
    """Give the commit that a folder's repository is at; None where there is no repository."""
    told = _git(folder, "rev-parse", "HEAD")
    return None if told is None else told.decode().strip()


def _git(folder: Path, *words: str) -> bytes | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def ambient(name: str, value: Any) -> Item:
    """Make an ambient setting."""
    return Setting(name, value, Origin.AMBIENT)
