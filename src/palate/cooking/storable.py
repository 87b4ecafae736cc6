"""Values as a capsule's file holds them: numbers, text, lists, dictionaries, tensors; reading them executes nothing.

Arrays of numpy's are written as their bytes. Any other object is pickled and sealed with the key of this user, so that
a pickle that somebody else made is never opened.
"""

import collections
import hashlib
import hmac
import importlib
import pickle
from collections.abc import Mapping
from typing import Any

from palate.errors import RefusedError
from palate.store.config import user_key

ARRAY, PICKLE, LEFT_OUT = "__palate_array__", "__palate_pickle__", "__palate_left_out__"
_KEPT_TYPES = (collections.OrderedDict, collections.Counter)
LARGEST_INT_BITS = 1_000
"""Larger whole numbers are pickled: torch reads none of more than 255 bytes."""

_PLAIN = (bool, int, float, complex, str, bytes)
_OF_TORCH = ("torch.dtype", "torch.device", "torch.Size")


def storable(value: Any, name: str, left_out: list[str]) -> Any:
    """Return a value as it can be stored; what cannot be is named in `left_out`."""
    if type(value) is int and value.bit_length() > LARGEST_INT_BITS:
        return _pickled(value, name, left_out)
    if value is None or type(value) in _PLAIN or hasattr(value, "untyped_storage") or _type_name(value) in _OF_TORCH:
        return value
    if (type(value) is dict or type(value) in _KEPT_TYPES) and all(map(_is_plain_key, value)):
        inner = {key: storable(one, f"{name}.{key}".lstrip("."), left_out) for key, one in value.items()}
        return inner if type(value) is dict else type(value)(inner)
    if type(value) in (list, tuple):
        return type(value)(storable(one, f"{name}[{place}]", left_out) for place, one in enumerate(value))
    if _is_plain_array(value):
        return {ARRAY: value.dtype.str, "shape": list(value.shape), "bytes": value.tobytes()}
    return _pickled(value, name, left_out)


def _is_plain_key(key: Any) -> bool:
    return type(key) in (str, int, float, bool) and key not in (ARRAY, PICKLE, LEFT_OUT)


def _is_plain_array(value: Any) -> bool:
    """Return whether something is an array or a number of numpy's that its bytes tell wholly."""
    own = type(value).__module__ == "numpy" and hasattr(value, "dtype") and type(value).__name__ != "matrix"
    return own and not value.dtype.hasobject and value.dtype.names is None


def _pickled(value: Any, name: str, left_out: list[str]) -> Any:
    try:
        content = pickle.dumps(value)
    except Exception as error:  # noqa: BLE001  any object's own code raises anything
        left_out.append(f"{name}: a {type(value).__qualname__} ({type(error).__name__})")
        return {LEFT_OUT: type(value).__qualname__}
    return {PICKLE: content, "seal": _seal(content)}


def restored(value: Any) -> Any:
    """Undo `storable`.

    Raises:
        RefusedError: it holds an object that this user did not write.
    """
    if isinstance(value, Mapping):
        if ARRAY in value:
            np = importlib.import_module("numpy")

            array = np.frombuffer(value["bytes"], dtype=value[ARRAY]).reshape(value["shape"]).copy()
            return array if value["shape"] else array[()]
        if PICKLE in value:
            seal, content = str(value.get("seal", "")).encode(), value[PICKLE]
            if not isinstance(content, bytes) or not hmac.compare_digest(seal, _seal(content).encode()):
                raise RefusedError(
                    "The capsule holds an object that this user did not write, and it is not opened.",
                    why="Opening it would execute what it says.",
                    todo="Make the capsule here: run the training again.",
                )
            return pickle.loads(value[PICKLE])  # noqa: S301  sealed by this user
        return type(value)({key: restored(one) for key, one in value.items()})  # type: ignore[call-arg]
    if type(value) in (list, tuple):
        return type(value)(restored(one) for one in value)
    return value


def lacks(value: Any) -> bool:
    """Return whether something was left out of a stored value."""
    if isinstance(value, Mapping):
        return LEFT_OUT in value or any(lacks(one) for one in value.values())
    return isinstance(value, list | tuple) and any(lacks(one) for one in value)


def _seal(content: bytes) -> str:
    return hmac.new(user_key(), content, hashlib.sha256).hexdigest()


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
