"""Propriety over the entry menu: whoever believes an entry expects most by saying it, at 1, 3 and 5 seeds.

Effects follow a menu entry's own density; runs add noise; every other entry is tried. The rule that palate uses scores
the blurred density. Two tempting ones are held against it: the expected score under the posterior of the effect, and
the class of the noisy point estimate.
"""

from functools import cache
from typing import Literal

import numpy as np

from palate.forecast.answer import SIZES, Forecast
from palate.forecast.chances import CLASSES, Chances
from palate.forecast.density import Cells, FloatArray, Scale, chances_of, densities_of, reference_densities

Rule = Literal["density", "posterior", "point"]
SEEDS = (1, 3, 5)
REFERENCE = Chances(worse=0.31, same=0.38, better=0.26, crash=0.05)
MENU = tuple(
    Forecast(answer=answer, confidence=sure, size=size)
    for answer in CLASSES
    for sure in (40, 50, 60, 70, 80, 90, 97)
    for size in ((None, *SIZES) if answer != "same" else (None,))
)
REACH, POINTS = 40.0, 2001


@cache
def outcomes(seeds: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Give a grid of outcomes: places, each entry's probability of them, the reference's, and effects given them.

    Returns:
        places (g,), menu (m, g), reference (g,), and (c, g) the posterior of each cell under the reference.
    """
    cells = Cells([Scale(margin=1.0, seed_sd=1.0)] * len(MENU))
    grid = np.sinh(np.linspace(-np.arcsinh(REACH), np.arcsinh(REACH), POINTS))
    at, error = np.broadcast_to(grid, (len(MENU), POINTS)), np.full(len(MENU), np.sqrt(2 / seeds))
    parts = cells.blurred(at, error)
    references = [REFERENCE] * len(MENU)
    width = np.gradient(grid)
    menu = densities_of(MENU, references, cells, [1] * len(MENU)).blurred(parts, at, error) * width
    theirs = reference_densities(references[:1], cells)
    joint = parts[0] * theirs.ratios[0] * width[:, None]
    return grid, menu, joint.sum(axis=1), (joint / joint.sum(axis=1, keepdims=True)).T


def expected(rule: Rule, seeds: int) -> FloatArray:
    """Give (m, m) expected scores: a row for what is believed, a column for what is said; a crash is an outcome."""
    grid, menu, reference, posterior = outcomes(seeds)
    sure = np.array([[chances_of(one, REFERENCE).of(name) for name in (*CLASSES, "crash")] for one in MENU])
    said = np.array([[REFERENCE.of(name) for name in (*CLASSES, "crash")]])
    finished = (1 - sure[:, 3:]) * menu
    finished = finished / finished.sum(axis=1, keepdims=True) * (1 - sure[:, 3:])
    crashed = sure[:, 3:] * np.log2(sure[:, 3] / said[0, 3])
    if rule == "density":
        told = np.log2((1 - sure[:, 3:]) * menu / ((1 - REFERENCE.crash) * reference))
    elif rule == "point":
        place = 1 + (grid > 1).astype(int) - (grid < -1).astype(int)
        told = np.log2(sure[:, place] / said[:, place])
    else:
        cells = Cells([Scale(margin=1.0, seed_sd=1.0)])
        ratio = np.log2(sure[:, cells.classes[0]] / said[:, cells.classes[0]])
        told = ratio @ posterior
    return finished @ told.T + crashed


def worst_regret(rule: Rule, seeds: int) -> float:
    """Give how many bits somebody can gain at most by saying something else than they believe."""
    table = expected(rule, seeds)
    return float((table.max(axis=1) - np.diag(table)).max())
