"""Ridge logistic regression over named features, with the base rates as its starting point; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

PENALTY = 1.0
STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """A fitted model: (features, classes) weights, added to the (classes,) logs of the base rates."""

    names: tuple[str, ...]
    weights: FloatArray
    offset: FloatArray

    def chances(self, features: Mapping[str, float]) -> FloatArray:
        """Give the (classes,) probabilities for some features; names that were never seen say nothing."""
        row = np.array([features.get(name, 0.0) for name in self.names])
        told: FloatArray = _softmax((self.offset + row @ self.weights)[None, :])[0]
        return told


def fit_ridge(rows: Sequence[Mapping[str, float]], wanted: FloatArray, rates: FloatArray) -> Ridge:
    """Fit by minorisation: each step uses the fixed bound of the curvature by Boehning (1992), so none overshoots.

    Args:
        rows: n mappings from a feature's name to its value.
        wanted: (n, k) what came out: probabilities, where it is not known.
        rates: (k,) base rates.
    """
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    table = np.array([[row.get(name, 0.0) for name in names] for row in rows]).reshape(len(rows), len(names))
    offset = np.log(rates)
    bound = np.linalg.inv(0.5 * table.T @ table + PENALTY * np.eye(len(names)))
    weights = np.zeros((len(names), len(rates)))
    for _ in range(STEPS):
        slope = table.T @ (wanted - _softmax(offset + table @ weights)) - PENALTY * weights
        weights = weights + bound @ slope
    return Ridge(names=names, weights=weights, offset=offset)


def _softmax(logits: FloatArray) -> FloatArray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    told: FloatArray = raised / raised.sum(axis=1, keepdims=True)
    return told
