"""Values as canonical text and as ids: equal exactly if the values are equal, types included.

1 is not 1.0, True is not 1, (1, 2) is not [1, 2], -0.0 is not 0.0, NaN equals NaN. A value that JSON has no form for is
written as {"$": type, "v": ...}; a value that cannot be written exactly becomes `Opaque`.
"""

import enum
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from palate.errors import InputError

TAG = "$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A value of which only a text is known: source code, as `nn.ReLU` before a file is run, or "<not set>"."""

    type: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A value that its name says exactly: a class, a function, a member of an enum, a dtype, a path in the same tree.

    Attributes:
        kind: class, function, enum, dtype, device, reference, or the type of a value that its text says exactly.
        text: the name.
        code: a hash of its code, if the name alone does not identify it (a lambda, a function of the person's own).
    """

    kind: str
    text: str
    code: str = ""

    def __str__(self) -> str:
        return self.text if self.kind not in ("class", "function", "enum") else self.text.rpartition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """What a recipe keeps of a tensor: shape, dtype, whether it is trained, and a hash of a small buffer's content."""

    shape: tuple[int, ...]
    dtype: str
    grad: bool = False
    fingerprint: str = ""

    def __str__(self) -> str:
        size = "x".join(map(str, self.shape)) or "scalar"
        return f"{size} {self.dtype}"


class Secret:
    """A value that is never written: only its salted hash, which shows whether two secrets are equal.

    The value itself goes along in memory, so that a run can be given it. It takes no part in comparisons, in texts, in
    copies and in what is pickled; so this is no dataclass, whose fields `asdict` would list.

    Attributes:
        hash: of the value.
    """

    __slots__ = ("_value", "hash")

    def __init__(self, *, hash: str, value: Any = None) -> None:  # noqa: A002  the word of what is written
        self.hash = hash
        self._value = value

    @property
    def is_open(self) -> bool:
        """Whether the value is known here."""
        return self._value is not None

    @property
    def value(self) -> Any:
        """The value itself; None where it is not known."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.hash == self.hash

    def __hash__(self) -> int:
        return hash((Secret, self.hash))

    def __str__(self) -> str:
        return f"secret {self.hash[:6]}"

    def __repr__(self) -> str:
        return f"secret {self.hash[:12]}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _closed_secret, (self.hash,)


def _closed_secret(digest: str) -> Secret:
    """Return a secret without its value: what a copy or a pickle holds."""
    return Secret(hash=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """A value whose parts cannot be read; without a fingerprint it cannot be compared with any other."""

    type: str
    fingerprint: str | None = None

    def __str__(self) -> str:
        known = f" {self.fingerprint[:6]}" if self.fingerprint else ", content unknown"
        return f"<{self.type.rpartition('.')[2]}{known}>"


_ENCODERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    Unread: ("opaque", lambda v: [v.type, v.text]),
    Symbol: ("symbol", lambda v: [v.kind, v.text, v.code]),
    Tensor: ("tensor", lambda v: [list(v.shape), v.dtype, v.grad, v.fingerprint]),
    Secret: ("secret", lambda v: v.hash),
    Opaque: ("object", lambda v: [v.type, v.fingerprint]),
}
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "tuple": lambda payload: tuple(decode(item) for item in payload),
    "set": lambda payload: {decode(item) for item in payload},
    "frozenset": lambda payload: frozenset(decode(item) for item in payload),
    "bytes": bytes.fromhex,
    "path": PurePath,
    "dict": lambda payload: {decode(key): decode(item) for key, item in payload},
    "opaque": lambda payload: Unread(type=payload[0], text=payload[1]),
    "symbol": lambda payload: Symbol(kind=payload[0], text=payload[1], code=payload[2]),
    "tensor": lambda payload: Tensor(
        shape=tuple(payload[0]), dtype=payload[1], grad=payload[2], fingerprint=payload[3]
    ),
    "secret": lambda payload: Secret(hash=payload),
    "object": lambda payload: Opaque(type=payload[0], fingerprint=payload[1]),
    "name": lambda payload: Symbol(kind="name", text=payload),
    "enum": lambda payload: Symbol(kind="enum", text=payload),
}


def encode(value: object) -> Any:
    """Turn a value into plain JSON data that keeps its type."""
    if value is None or isinstance(value, bool) or type(value) in (int, str):
        return value
    if type(value) is float:
        return _encode_float(value)
    if isinstance(value, enum.Enum):
        return encode(Symbol(kind="enum", text=f"{type(value).__module__}.{type(value).__qualname__}.{value.name}"))
    if type(value) is list:
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return _encode_mapping(value)
    return _encode_rest(value)


def _encode_float(value: float) -> Any:
    if math.isfinite(value):
        return value
    return _tagged("float", repr(value))


def _encode_mapping(value: Mapping[Any, Any]) -> Any:
    if all(type(key) is str for key in value) and TAG not in value:  # any mapping: a plain one is what is read back
        return {key: encode(item) for key, item in value.items()}
    pairs = [[encode(key), encode(item)] for key, item in value.items()]
    return _tagged("dict", sorted(pairs, key=lambda pair: canonical_text(pair[0])))


def _encode_rest(value: object) -> Any:
    encoder = _ENCODERS.get(type(value))
    if encoder is not None:
        return _tagged(encoder[0], encoder[1](value))
    if type(value) is tuple:
        return _tagged("tuple", [encode(item) for item in value])
    if isinstance(value, set | frozenset):
        return _tagged(type(value).__name__, sorted((encode(item) for item in value), key=canonical_text))
    if isinstance(value, bytes):
        return _tagged("bytes", value.hex())
    if isinstance(value, PurePath):
        return _tagged("path", str(value))
    if isinstance(value, type) or callable(value):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return _encode_rest(Symbol(kind="name", text=f"{value.__module__}.{name}"))
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if type(value).__repr__ is object.__repr__:  # its text would be its address
        return _encode_rest(Opaque(type=kind))
    return _encode_rest(Unread(type=kind, text=repr(value)))


def _tagged(kind: str, payload: Any) -> dict[str, Any]:
    return {TAG: kind, "v": payload}


def decode(payload: Any) -> Any:
    """Undo `encode`; classes, functions and members of enums come back as `Symbol`.

    Raises:
        InputError: the payload has a tag that no version of palate writes.
    """
    if isinstance(payload, list):
        return [decode(item) for item in payload]
    if not isinstance(payload, dict):
        return payload
    if TAG not in payload:
        return {key: decode(item) for key, item in payload.items()}
    try:
        return _DECODERS[payload[TAG]](payload["v"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"a recipe holds the value {payload!r}, which palate cannot read.") from error


def canonical_text(payload: Any) -> str:
    """Write plain JSON data in its canonical form, which is hashed: sorted keys, no spaces, shortest floats."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_id(value: object) -> str:
    """Return the SHA-256 of a value's canonical text, as 64 hex digits."""
    return hashlib.sha256(canonical_text(encode(value)).encode()).hexdigest()
