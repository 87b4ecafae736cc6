"""Turn one journal into the catalog's rows."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from palate.errors import StoreError
from palate.store.reader import Content, Curve, read_journal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as rows: the run, its journal's state, a summary and a curve a metric."""

    run: dict[str, Any]
    journal: dict[str, Any]
    summaries: list[dict[str, Any]]
    curves: dict[str, Curve]


def read_run(journal: Path) -> RunRow | None:
    """Read a run's journal into rows; None for a file that is no journal (yet)."""
    size = journal.stat().st_size
    try:
        content = read_journal(journal)
    except StoreError:
        return None
    run_id = journal.parent.name
    curves = {name: curve for name, curve in content.curves.items() if len(curve)}
    return RunRow(
        run=_run(run_id, content, curves),
        journal={"run_id": run_id, "bytes": size, "lost_bytes": content.lost_bytes},
        summaries=[_summary(run_id, name, curve) for name, curve in curves.items()],
        curves=curves,
    )


def _run(run_id: str, content: Content, curves: dict[str, Curve]) -> dict[str, Any]:
    start = content.last_event("start") or {}
    recipe = content.last_event("recipe") or {}
    ending = content.last_event("ending") or {}
    last_s = max((float(curve.elapsed_s[-1]) for curve in curves.values()), default=0.0)
    return {
        "id": run_id,
        "key": recipe.get("key", ""),
        "label": recipe.get("label", ""),
        "seed": recipe.get("seed"),
        "settings": json.dumps(recipe.get("settings", {})),
        "started_unix_s": start.get("unix_s", 0.0),
        "elapsed_s": ending.get("elapsed_s", last_s),
        "exit": ending.get("exit"),
        "detail": ending.get("detail", ""),
        "fresh": not recipe.get("key"),
    }


def _summary(run_id: str, metric: str, curve: Curve) -> dict[str, Any]:
    finite = curve.values[np.isfinite(curve.values)]
    last = float(curve.values[-1])
    return {
        "run_id": run_id,
        "metric": metric,
        "n": len(curve),
        "last": last if math.isfinite(last) else None,
        "last_text": None if math.isfinite(last) else repr(last),
        "least": float(finite.min()) if len(finite) else None,
        "most": float(finite.max()) if len(finite) else None,
        "last_step": int(curve.steps[-1]),
    }
