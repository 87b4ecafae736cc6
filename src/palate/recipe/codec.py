"""Settings as canonical text and as ids: equal exactly where the values are equal, types included.

1 is not 1.0, True is not 1, (1, 2) is not [1, 2], -0.0 is not 0.0, NaN equals NaN. What JSON
cannot say is tagged {"$": type, "v": ...}; what nobody can say exactly becomes `Opaque`.
"""

import enum
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

TAG = "$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """A value known by its source text or type alone: equal text means equal, nothing more."""

    type: str
    text: str

    def __str__(self) -> str:
        return self.text


def encode(value: object) -> Any:
    """Turn a value into plain JSON data that keeps its type."""
    if value is None or isinstance(value, bool) or type(value) in (int, str):
        return value
    if type(value) is float:
        return _encode_float(value)
    if isinstance(value, enum.Enum):
        return _tagged("enum", f"{type(value).__module__}.{type(value).__qualname__}.{value.name}")
    if type(value) is list:
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return _encode_mapping(value)
    return _encode_rest(value)


def _tagged(kind: str, payload: Any) -> dict[str, Any]:
    return {TAG: kind, "v": payload}


def _encode_float(value: float) -> Any:
    if math.isfinite(value):
        return value
    return _tagged("float", repr(value))


def _encode_mapping(value: Mapping[Any, Any]) -> Any:
    if type(value) is dict and all(type(key) is str for key in value) and TAG not in value:
        return {key: encode(item) for key, item in value.items()}
    pairs = [[encode(key), encode(item)] for key, item in value.items()]
    return _tagged("dict", sorted(pairs, key=lambda pair: canonical_text(pair[0])))


def _encode_rest(value: object) -> Any:
    if type(value) is tuple:
        return _tagged("tuple", [encode(item) for item in value])
    if isinstance(value, set | frozenset):
        return _tagged(type(value).__name__, sorted((encode(item) for item in value), key=canonical_text))
    if isinstance(value, bytes):
        return _tagged("bytes", value.hex())
    if isinstance(value, PurePath):
        return _tagged("path", str(value))
    if isinstance(value, Opaque):
        return _tagged("opaque", [value.type, value.text])
    if isinstance(value, type) or callable(value):
        return _tagged("name", f"{value.__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}")
    return _tagged("opaque", [f"{type(value).__module__}.{type(value).__qualname__}", repr(value)])


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "tuple": lambda payload: tuple(decode(item) for item in payload),
    "set": lambda payload: {decode(item) for item in payload},
    "frozenset": lambda payload: frozenset(decode(item) for item in payload),
    "bytes": bytes.fromhex,
    "path": PurePath,
    "dict": lambda payload: {decode(key): decode(item) for key, item in payload},
    "opaque": lambda payload: Opaque(type=payload[0], text=payload[1]),
    "name": lambda payload: Opaque(type="name", text=payload),
    "enum": lambda payload: Opaque(type="enum", text=payload),
}


def decode(payload: Any) -> Any:
    """Turn what `encode` gave back into values (names and enums come back as `Opaque`)."""
    if isinstance(payload, list):
        return [decode(item) for item in payload]
    if not isinstance(payload, dict):
        return payload
    if TAG in payload:
        return _DECODERS[payload[TAG]](payload["v"])
    return {key: decode(item) for key, item in payload.items()}


def canonical_text(payload: Any) -> str:
    """Write plain JSON data in the one way that is hashed: sorted keys, no spaces, shortest floats."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_id(value: object) -> str:
    """Give the SHA-256 of a value's canonical text, as 64 hex digits."""
    return hashlib.sha256(canonical_text(encode(value)).encode()).hexdigest()
