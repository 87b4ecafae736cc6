"""The environment of a training: versions, hardware, environment variables, and the state of the code."""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from palate.capture.files import hash_file
from palate.recipe.tree import Chunk, Origin
from palate.recipe.values import from_value
from palate.redaction import is_secret

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

GIT = (
    "git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.bareRepository=explicit",
    "-c", "protocol.allow=never",
)  # fmt: skip
"""Git, which starts no program that a repository names for watching files, as a hook, or for fetching what it lacks;
and which takes no folder for a repository that only looks like one."""

GIT_READS = {
    "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0",
}  # fmt: skip
"""Its environment besides: it may not refresh the index, which is the person's, and asks nobody."""

SOURCE = (b".py", b".yaml", b".yml", b".json", b".toml", b".sh")
"""How the names of files end that count as code before they are committed."""

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
    return {name: value for name, value in sorted(chosen.items()) if not is_secret(name, value)}


def git_state(folder: Path) -> dict[str, Any]:
    """Return the commit, and a hash of what is not committed; empty if there is no repository.

    What cannot be read (a broken link, a pipe, a file of somebody else's, changes that git takes too long to list) is
    left out of the hash and named.
    """
    commit = git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = _hash_of_changes(folder)
    unread = ["changes of tracked files"] if changed is None else []
    new = [name for name in (git(folder, "ls-files", "-o", "--exclude-standard", "-z") or b"").split(b"\0") if name]
    parts = [changed.encode()] if changed else []
    for name in sorted(new):
        if not name.endswith(SOURCE):
            continue
        path = folder / os.fsdecode(name)
        try:
            if not path.is_file():
                raise FileNotFoundError
            parts.append(name + b" " + hash_file(path).encode())
        except OSError:
            unread.append(str(path.relative_to(folder)))
    state: dict[str, Any] = {"commit": commit.decode().strip()[:12]}
    if parts:
        state["uncommitted"] = hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
    return {**state, "unread": unread} if unread else state


def _hash_of_changes(folder: Path) -> str | None:
    """Hash how tracked files differ from the commit; "" where they do not, None where git cannot say."""
    asked = ("-C", str(folder), "diff", "HEAD", "--no-ext-diff", "--no-textconv", "--full-index")
    words = [*GIT, *asked]
    given = {**os.environ, **GIT_READS}
    try:
        with tempfile.TemporaryFile() as file:
            done = subprocess.run(words, stdout=file, stderr=subprocess.DEVNULL, timeout=GIT_S, check=False, env=given)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return None if done.returncode else digest if file.tell() else ""
    except (OSError, subprocess.TimeoutExpired):
        return None


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
        return subprocess.run(
            [*GIT, "-C", str(folder), *words],
            capture_output=True,
            timeout=GIT_S,
            check=False,
            env={**os.environ, **GIT_READS},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
