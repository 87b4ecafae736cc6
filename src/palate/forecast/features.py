"""What a change looks like to a forecaster: its family, and features by name; light to import."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.recipe.lexicon import normal_path, role_of_path
from palate.recipe.settings import Change, show_value

Features = Mapping[str, float]


MOST_HALVINGS = 4.0
"""A change by more than 2^4 is no larger than that to a forecaster."""


def family_of(changes: Sequence[Change]) -> str:
    """Name the family of a change: the settings it changes, and which way where they are numbers.

    >>> family_of([Change(path="optimizer.lr", before=1e-3, after=3e-3)])
    'lr up'
    """
    return " + ".join(sorted(" ".join(part for part in (_leaf(c), _way(c)) if part) for c in changes))


def features_of(changes: Sequence[Change]) -> dict[str, float]:
    """Give what may decide how a change goes: settings, chunks, directions, how far, how many at once.

    >>> features_of([Change(path="lr", before=1e-3, after=4e-3)])
    {'lr': 1.0, 'optimiser': 1.0, 'lr up': 1.0, 'lr far': 0.5}
    """
    found: dict[str, float] = {}
    for change in changes:
        leaf, way = _leaf(change), _way(change)
        found[leaf] = 1.0
        found[role_of_path(tuple(change.path.split(".")))] = 1.0
        if way:
            found[f"{leaf} {way}"] = 1.0
            found[f"{leaf} far"] = round(min(_halvings(change), MOST_HALVINGS) / MOST_HALVINGS, 6)
        else:
            found[f"{leaf} = {show_value(change.after)}"] = 1.0
    if len(changes) > 1:
        found["several"] = 1.0
    return found


def _leaf(change: Change) -> str:
    return normal_path(change.path.split(".")).rpartition(".")[2] or change.path


def _way(change: Change) -> str:
    one, other = change.before, change.after
    if not (_is_number(one) and _is_number(other)):
        return ""
    return "up" if other > one else "down"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _halvings(change: Change) -> float:
    """Say by how many factors of two a number changes; from or to 0, and across it, as far as can be."""
    one, other = float(change.before), float(change.after)
    return abs(math.log2(other / one)) if one * other > 0 else MOST_HALVINGS


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
