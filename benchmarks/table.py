"""A benchmark's row, and how rows are put out."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass

ROOMS = (
    "loop", "verdict", "recipe", "forecast", "practice", "training", "web", "house", "arms", "guard", "cooking",
    "symptoms", "starts",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure.

    Attributes:
        name: what was measured.
        measured: the figure.
        unit: its unit.
        target: what it must reach; None for a figure that is only there to compare with.
        at_least: whether more is better.
    """

    name: str
    measured: float
    unit: str = ""
    target: float | None = None
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        return self.measured >= self.target if self.at_least else self.measured <= self.target


def put_out(room: str, rows: Iterable[Row], *, as_json: bool) -> bool:
    """Print rows as they come, or one document; give whether every target is reached."""
    done = []
    for row in rows:
        done.append(row)
        if not as_json:
            print(_line(row), flush=True)
    load = os.getloadavg()[0]
    if as_json:
        told = [{**asdict(row), "holds": row.holds} for row in done]
        print(
            json.dumps({"schema": "palate.bench/1", "room": room, "load": load, "cores": os.cpu_count(), "rows": told})
        )
    else:
        print(f"load {load:.1f} on {os.cpu_count()} cores")
    return all(row.holds is not False for row in done)


def _line(row: Row) -> str:
    target = "" if row.target is None else f"{'>=' if row.at_least else '<='} {row.target:g}"
    holds = {True: "holds", False: "FALLS SHORT", None: ""}[row.holds]
    return f"{row.name:<72} {row.measured:>12.4g} {row.unit:<8} {target:>10}  {holds}"
