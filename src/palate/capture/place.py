"""The environment of a training: versions, hardware, environment variables, and the state of the code."""

import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from palate.capture.secrets import is_secret_name
from palate.recipe.tree import Chunk, Origin
from palate.recipe.values import from_value

SWITCHES = (
    "CUDA_", "NCCL_", "OMP_", "MKL_", "OPENBLAS_", "PYTORCH_", "TORCH", "HF_", "TRANSFORMERS_", "TOKENIZERS_", "XLA_",
    "PYTHONHASHSEED", "CUBLAS_", "ACCELERATE_", "WORLD_SIZE", "NVIDIA_TF32_OVERRIDE",
)  # fmt: skip
"""Environment variables that influence a training, by the beginnings of their names."""

PACKAGES = (
    "torch", "numpy", "transformers", "accelerate", "lightning", "pytorch-lightning", "timm", "datasets", "tokenizers",
    "torchvision", "torchaudio", "peft", "trl", "deepspeed", "flash-attn", "bitsandbytes", "xformers", "scikit-learn",
    "scipy", "pandas", "torchtune", "mmengine", "mmpretrain", "jax", "omegaconf",
)  # fmt: skip
"""Packages whose versions are recorded, if they are imported."""

GIT_S = 10.0
"""The most seconds that one call of git may take."""


def place(folder: Path) -> Chunk:
    """Describe the environment of a training; every setting is ambient."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": versions(),
        "hardware": hardware(),
        "switches": switches(),
        "code": git_state(folder),
    }
    items = [from_value(name, value, lambda _: (Origin.AMBIENT, "")) for name, value in facts.items() if value]
    return Chunk("env", "dict", tuple(items))


def versions() -> dict[str, str]:
    """Return the versions of the imported packages that influence a training."""
    known = {}
    for name in PACKAGES:
        if name.replace("-", "_") in sys.modules or (name == "scikit-learn" and "sklearn" in sys.modules):
            try:
                known[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return known


def hardware() -> dict[str, Any]:
    """Return the number of processors, and the GPUs if torch uses any."""
    facts: dict[str, Any] = {"cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        facts["gpus"] = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return facts


def switches() -> dict[str, str]:
    """Return the environment variables that influence a training, without those whose names look secret."""
    chosen = {name: value for name, value in os.environ.items() if name.startswith(SWITCHES)}
    return {name: value for name, value in sorted(chosen.items()) if not is_secret_name(name)}


def git_state(folder: Path) -> dict[str, Any]:
    """Return the commit, and a hash of what is not committed; empty if there is no repository."""
    commit = git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = git(folder, "diff", "HEAD", "--no-ext-diff", "--binary") or b""
    new = [name for name in (git(folder, "ls-files", "-o", "--exclude-standard", "-z") or b"").split(b"\0") if name]
    state: dict[str, Any] = {"commit": commit.decode().strip()[:12]}
    source = [name for name in new if name.endswith((b".py", b".yaml", b".yml", b".json", b".toml", b".sh"))]
    if changed or source:
        digest = hashlib.sha256(changed)
        for name in sorted(source):
            digest.update(name + (folder / os.fsdecode(name)).read_bytes())
        state["uncommitted"] = digest.hexdigest()[:12]
    return state


def commit_of(folder: Path) -> str | None:
    """Return the current commit of a folder's repository; None if there is no repository."""
    commit = git(folder, "rev-parse", "HEAD")
    return None if commit is None else commit.decode().strip()


def git(folder: Path, *words: str) -> bytes | None:
    """Return what git prints in a folder; None where it refuses, or where there is no git."""
    done = run_git(folder, *words)
    return done.stdout if done is not None and done.returncode == 0 else None


def run_git(folder: Path, *words: str) -> "subprocess.CompletedProcess[bytes] | None":
    """Run git in a folder; None where there is no git, or where it takes too long."""
    try:
        return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
