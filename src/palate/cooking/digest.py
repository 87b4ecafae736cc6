"""Digests of all that a training holds, so that two processes can be compared bit by bit."""

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from palate.cooking import randomness
from palate.cooking.parts import take_state
from palate.store.private import replace_file

CLOCKS = ("_runtime", "_per_second")
"""Ends of names of what a clock says, which is never twice the same."""


def digests_of(parts: Mapping[str, Any]) -> dict[str, str]:
    """Return a digest of the state of each part, and of the random numbers that the process shares."""
    told = {name: digest(take_state(part)) for name, part in parts.items()}
    return {**told, "random numbers": digest(randomness.take_global())}


def digest(value: Any) -> str:
    """Return a digest of a structure: of its numbers and text, and of the bytes of its tensors and arrays."""
    hashed = hashlib.sha256()
    for piece in _pieces(value):
        hashed.update(piece)
    return hashed.hexdigest()[:16]


def write_digests(path: Path, step: int, parts: Mapping[str, Any]) -> None:
    """Write the digests of a training that has ended, with the step at which it did."""
    replace_file(path, json.dumps({"step": step, "digests": digests_of(parts)}), synced=False)


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            if str(name).endswith(CLOCKS):
                continue
            yield repr(name).encode()
            yield from _pieces(one)
    elif isinstance(value, list | tuple):
        yield b"["
        for one in value:
            yield from _pieces(one)
    elif hasattr(value, "untyped_storage"):
        yield from _of_tensor(value)
    elif hasattr(value, "tobytes"):
        yield value.tobytes()
    else:
        yield from _of_object(value)


def _of_tensor(tensor: Any) -> Iterator[bytes]:
    torch = importlib.import_module("torch")
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    yield f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    yield flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _of_object(value: Any) -> Iterator[bytes]:
    """Yield what an object is in every process: no order of a set, and no place in memory."""
    if isinstance(value, set | frozenset):
        yield repr(sorted(map(repr, value))).encode()
    elif " object at 0x" in repr(value):
        yield type(value).__qualname__.encode()
        yield from _pieces(getattr(value, "__dict__", {}))
    else:
        yield repr(value).encode()
