"""Per-example results: which test examples both arms disagree on, a floor for what seeds can be trusted to show."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from palate.loop.evidence import Results
from palate.loop.question import ARMS
from palate.store.project import Project
from palate.store.reader import read_journal

Right = npt.NDArray[np.bool_]


class Examples:
    """Read from the journals which examples ended runs got right; each journal once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._read: dict[str, Right | None] = {}

    def disagreement(self, results: Results, seeds: Sequence[int]) -> float:
        """Give the mean over pairs of (n01 + n10) / n_test^2 (McNemar); 0 where a run kept no examples."""
        found = []
        for seed in seeds:
            one, other = (self._right(results[arm][seed].id) for arm in ARMS)
            if one is None or other is None or len(one) != len(other):
                return 0.0
            found.append(float(np.sum(one != other)) / len(one) ** 2)
        return float(np.mean(found)) if found else 0.0

    def _right(self, run_id: str) -> Right | None:
        if run_id not in self._read:
            event = read_journal(self._project.journal(run_id)).last_event("examples")
            self._read[run_id] = None if event is None else _unpack(event["right"], event["n"])
        return self._read[run_id]


def _unpack(text: str, n: int) -> Right:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8), bitorder="little")
    return bits[:n].astype(bool)
