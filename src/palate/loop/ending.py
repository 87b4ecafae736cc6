"""How a run that still goes will end, told from its curve so far and from finished runs of the same training."""

from typing import Any

import numpy as np

from palate.errors import InputError, NotFoundError
from palate.forecast.curves import Curve, Ending, fit_references, foretell
from palate.store.catalog import Catalog

FEWEST, MOST = 3, 400


def foretell_run(catalog: Catalog, run: dict[str, Any]) -> dict[str, Ending]:
    """Say of each metric of a run that has not ended how it will end; empty where past runs do not tell.

    Another seed of the same arm may foretell it, so every past run is a family of its own.
    """
    if run["exit"] is not None:
        return {}
    past = [row for row in catalog.runs() if row["label"] == run["label"] and row["exit"] == "ok"][-MOST:]
    found: dict[str, Ending] = {}
    for summary in catalog.summaries([run["id"]]):
        ending = _ending(catalog, run["id"], summary["metric"], past)
        if ending is not None:
            found[summary["metric"]] = ending
    return found


def _ending(catalog: Catalog, run_id: str, metric: str, past: list[dict[str, Any]]) -> Ending | None:
    finished = [curve for row in past if (curve := _curve(catalog, row["id"], metric, row["id"])) is not None]
    if len(finished) < FEWEST:
        return None
    total = float(np.median([curve.total for curve in finished]))
    part = _curve(catalog, run_id, metric, "", total)
    if part is None or len(part.values) < 2 or part.share >= 1:
        return None
    references = fit_references(finished, part.share)
    return None if references is None else foretell(references, part)


def _curve(catalog: Catalog, run_id: str, metric: str, family: str, total: float | None = None) -> Curve | None:
    """Read a curve's finite points; steps are counted from 1, so that a power law can be drawn through them."""
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
