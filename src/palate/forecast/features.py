"""Features of a change, and the ridge logistic regression that predicts its outcome from them; pure.

`family_of` and `features_of` describe a change by the settings that it changes, in which direction and how far.
`fit_ridge` learns from past changes how features move the probabilities of the outcomes away from the base rates.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.recipe.lexicon import normal_path, role_of_path
from palate.recipe.settings import Change, show_value

FloatArray = npt.NDArray[np.float64]
Features = Mapping[str, float]
"""Features by name; a name that is absent is 0."""

MOST_HALVINGS = 4.0
"""Size of a change in factors of two, at most: larger changes count as this."""

PENALTY = 1.0
"""Ridge penalty of every weight."""

STEPS = 60
"""Iterations of the fit."""


def family_of(changes: Sequence[Change]) -> str:
    """Name the family of a change: the settings it changes, with the direction where they are numbers.

    >>> family_of([Change(path="optimizer.lr", before=1e-3, after=3e-3)])
    'lr up'
    """
    return " + ".join(sorted(" ".join(part for part in (_leaf(c), _way(c)) if part) for c in changes))


def features_of(changes: Sequence[Change]) -> dict[str, float]:
    """Return the features of a change: settings, their roles, directions, sizes, and whether there are several.

    >>> features_of([Change(path="lr", before=1e-3, after=4e-3)])
    {'lr': 1.0, 'optimiser': 1.0, 'lr up': 1.0, 'lr far': 0.5}
    """
    features: dict[str, float] = {}
    for change in changes:
        leaf, way = _leaf(change), _way(change)
        features[leaf] = 1.0
        features[role_of_path(tuple(change.path.split(".")))] = 1.0
        if way:
            features[f"{leaf} {way}"] = 1.0
            features[f"{leaf} far"] = round(min(_halvings(change), MOST_HALVINGS) / MOST_HALVINGS, 6)
        else:
            features[f"{leaf} = {show_value(change.after)}"] = 1.0
    if len(changes) > 1:
        features["several"] = 1.0
    return features


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
    """Return by how many factors of two a number changes; MOST_HALVINGS from or to 0, or where the sign changes."""
    one, other = float(change.before), float(change.after)
    return abs(math.log2(other / one)) if one * other > 0 else MOST_HALVINGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """A fitted model: (features, classes) weights, added to the (classes,) logarithms of the base rates."""

    names: tuple[str, ...]
    weights: FloatArray
    offset: FloatArray

    def chances(self, features: Features) -> FloatArray:
        """Return the (classes,) probabilities for some features; names that were not in the fit have no effect."""
        row = np.array([features.get(name, 0.0) for name in self.names])
        chances: FloatArray = _softmax((self.offset + row @ self.weights)[None, :])[0]
        return chances


def fit_ridge(rows: Sequence[Features], wanted: FloatArray, rates: FloatArray) -> Ridge:
    """Fit multinomial logistic regression with a ridge penalty, the base rates as offset.

    Each step minimises a quadratic bound of the loss with the fixed curvature of Boehning (1992), so that no step
    increases the loss.

    Args:
        rows: features of n changes.
        wanted: (n, k) outcomes, as probabilities where they are not certain.
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
    chances: FloatArray = raised / raised.sum(axis=1, keepdims=True)
    return chances
