"""Which examples of validation are trained on: hashes of their values, compared."""

from collections.abc import Mapping, Sequence
from typing import Any

from palate.cooking.seen import Rows

GIVEN_ROWS = 200_000
VALIDATION_ROWS = 2_000
TRAINING_ROWS = 20_000
BATCH_ROWS = 256
"""Most examples whose hashes are kept: of training where it is given, else of what is noted; and most of one batch."""


class RowTable:
    """Hashes of examples of validation, and of those that were trained on.

    Args:
        validation: inputs of validation, as one tensor or batches (tensors, or tuples that begin with one).
        training: inputs of training in the same form, where all are at hand: then none need be noted.
    """

    def __init__(self, validation: Any, training: Any = None) -> None:
        self._validation = _all_hashes(validation, VALIDATION_ROWS)
        self._training: set[int] = set() if training is None else _all_hashes(training, GIVEN_ROWS)
        self._given = training is not None
        self._unread: list[Any] = []

    @property
    def full(self) -> bool:
        """Whether as many training examples are kept as are compared."""
        return self._given or len(self._training) >= TRAINING_ROWS

    def note(self, inputs: Any) -> None:
        """Keep the hashes of a training batch, on its device."""
        self._unread.append(_hashes(inputs, BATCH_ROWS))

    def counts(self) -> Rows:
        """Return how many examples were seen on both sides."""
        for hashes in self._unread:
            self._training.update(_read(hashes))
        self._unread = []
        both = len(self._validation & self._training)
        return Rows(training=len(self._training), validation=len(self._validation), both=both)


def _all_hashes(inputs: Any, most: int) -> set[int]:
    """Return the hashes of the first rows of a tensor, or of batches."""
    found: list[int] = []
    for batch in [inputs] if hasattr(inputs, "shape") else inputs:
        found += _read(_hashes(batch, most - len(found)))
        if len(found) >= most:
            break
    return set(found)


def _read(hashes: Any) -> list[int]:
    return [one for one in hashes.tolist() if one] if hashes is not None else []


def _hashes(batch: Any, most: int) -> Any:
    """Return a hash for each of the first rows of a batch, 0 for rows whose values are all the same; None without rows.

    Each value is mixed with its place by odd factors and shifts, and the sum is taken modulo 2^64: made on the device,
    without random numbers, with one transfer for all rows. A sum without shifts takes different texts for equal.
    """
    import torch

    values = _first_tensor(batch)
    if values is None or values.dim() < 2 or most <= 0:
        return None
    rows = values.detach()[:most].reshape(min(most, len(values)), -1).contiguous()
    if rows.is_floating_point():
        rows = rows.float().contiguous().view(torch.int32)
    bits = rows.to(torch.int64)
    places = torch.arange(1, bits.shape[1] + 1, device=bits.device, dtype=torch.int64)
    mixed = (bits + places * 0x9E3779B97F4A7C1) * 0x2545F4914F6CDD1D
    mixed = (mixed ^ (mixed >> 29)) * 0x369DEA0F31A53F85
    hashes = (mixed ^ (mixed >> 32)).sum(dim=1)
    plain = (bits == bits[:, :1]).all(dim=1)
    return hashes.masked_fill(plain, 0)


def _first_tensor(batch: Any) -> Any:
    """Return the first tensor in a batch, however it is packed; None without one."""
    if hasattr(batch, "detach"):
        return batch
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return next((found for found in map(_first_tensor, batch) if found is not None), None)
    return None
