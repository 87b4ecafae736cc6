"""Curves of a project's runs, as the references take them."""

import numpy as np

from palate.errors import InputError, NotFoundError
from palate.forecast.curves import Curve
from palate.store.catalog import Catalog

FEWEST, MOST = 3, 400


def finished_curves(catalog: Catalog, label: str, metric: str, *, by_run: bool = False) -> list[Curve]:
    """Read the curves of a training's newest finished runs.

    Args:
        catalog: of the project.
        label: of the training.
        metric: which curve.
        by_run: whether each run is a family of its own, so that another seed of its arm may foretell it: that is what
            one has while a run goes. Else the runs of an arm are a family.
    """
    past = [row for row in catalog.runs() if row["key"] and row["label"] == label and row["exit"] == "ok"][-MOST:]
    curves = (read_curve(catalog, row["id"], metric, row["id"] if by_run else row["key"]) for row in past)
    return [curve for curve in curves if curve is not None]


def read_curve(catalog: Catalog, run_id: str, metric: str, family: str, total: float | None = None) -> Curve | None:
    """Read a curve's finite points; steps are counted from 1, so that a power law can be drawn through them.

    Returns:
        the curve; None where fewer than two points are there.
    """
    try:
        told = catalog.curve(run_id, metric)
    except NotFoundError:
        return None
    kept = np.isfinite(told.values)
    steps, places = np.unique(told.steps[kept], return_index=True)
    if len(steps) < 2:
        return None
    counted = np.asarray(steps - min(0, int(steps[0])) + 1, float)
    try:
        return Curve(steps=counted, values=told.values[kept][places], total=total or float(counted[-1]), family=family)
    except InputError:
        return None
