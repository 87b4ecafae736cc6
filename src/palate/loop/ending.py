"""How a run that still goes will end, told from its curve so far and from finished runs of the same training."""

from typing import Any

import numpy as np

from palate.forecast.curves import Curve
from palate.forecast.endings import Ending, fit_endings, foretell
from palate.loop.curves import FEWEST, finished_curves, read_curve
from palate.store.catalog import Catalog


def foretell_run(catalog: Catalog, run: dict[str, Any]) -> dict[str, Ending]:
    """Say of each metric of a run that has not ended how it will end; empty where past runs do not tell."""
    if run["exit"] is not None:
        return {}
    found: dict[str, Ending] = {}
    for summary in catalog.summaries([run["id"]]):
        finished = finished_curves(catalog, run["label"], summary["metric"], by_run=True)
        ending = _ending(catalog, run["id"], summary["metric"], finished)
        if ending is not None:
            found[summary["metric"]] = ending
    return found


def _ending(catalog: Catalog, run_id: str, metric: str, finished: list[Curve]) -> Ending | None:
    if len(finished) < FEWEST:
        return None
    total = float(np.median([curve.total for curve in finished]))
    part = read_curve(catalog, run_id, metric, "", total)
    if part is None or part.share >= 1:
        return None
    endings = fit_endings(finished, part.share)
    return None if endings is None else foretell(endings, part)
