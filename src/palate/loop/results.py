"""The evidence for a question: what its runs gave, in the order of the seeds, and the first look that settles it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from palate.question.question import ARMS, Question
from palate.question.target import Target
from palate.recipe.settings import Change
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.store.reader import read_journal
from palate.training.outcome import read_outcome
from palate.verdict.pairs import Pairs, make_pairs
from palate.verdict.rule import DISAGREEMENT_PAIRS, Failures, Terms, Verdict, judge
from palate.vocabulary import Arm, Metric, Outcome, Take


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One run that ended: its id, its seed, how long it took and how it went."""

    id: str
    seed: int
    elapsed_s: float
    points: int
    outcome: Outcome


Results = Mapping[Arm, Mapping[int, RunResult]]


Found = dict[Arm, dict[int, RunResult]]


class Plan(Protocol):
    """Which runs are wanted: a target, its arms, their seeds, and how a run is read."""

    @property
    def target(self) -> Target:
        """What is run."""

    @property
    def metric(self) -> Metric:
        """What is judged."""

    @property
    def take(self) -> Take:
        """Which value of the curve counts."""

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms, the baseline first."""

    @property
    def seeds(self) -> range:
        """The seeds that may be run."""

    def settings(self, arm: Arm) -> dict[str, Any]:
        """All settings of an arm."""

    def changes_of(self, arm: Arm) -> tuple[Change, ...]:
        """What an arm has different from the baseline."""

    def run_key(self, arm: Arm) -> str:
        """Id of what decides a run of an arm but its seed."""


def collect(catalog: Catalog, plan: Plan) -> Found:
    """Find, for each arm, its ended runs by seed: made for this question or for any other with the same key.

    A run that failed before its first point is no outcome but a fault to mend: it is not taken, so it is tried again.
    """
    catalog.refresh()
    return {arm: _of_key(catalog, plan, plan.run_key(arm)) for arm in plan.arms}


def _of_key(catalog: Catalog, plan: Plan, key: str) -> dict[int, RunResult]:
    rows = catalog.runs([key])
    summaries: dict[str, list[dict[str, Any]]] = {row["id"]: [] for row in rows}
    for summary in catalog.summaries(list(summaries)):
        summaries[summary["run_id"]].append(summary)
    found: dict[int, RunResult] = {}
    for row in rows:
        result = read_result(row, summaries[row["id"]], plan)
        if result is not None and result.points and result.outcome.ending != "no_metric":
            found.setdefault(result.seed, result)
    return found


def read_result(row: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]], plan: Plan) -> RunResult | None:
    """Read one run's rows as a result; None while it goes or where it was interrupted."""
    outcome = read_outcome(row, summaries, plan.metric, plan.take)
    if outcome is None:
        return None
    points = sum(summary["n"] for summary in summaries)
    return RunResult(id=row["id"], seed=row["seed"], elapsed_s=row["elapsed_s"], points=points, outcome=outcome)


Disagreement = Callable[[Results, Sequence[int]], float]


def _none(_: Results, __: Sequence[int]) -> float:
    return 0.0


def _whole(results: Results, looks: int) -> list[int]:
    """Seeds of which both halves finished."""
    return [seed for seed in range(looks) if all(results[arm][seed].outcome.value is not None for arm in ARMS)]


def first_settled(
    question: Question,
    terms: Terms,
    results: Results,
    *,
    identical: bool | None = None,
    disagreement: Disagreement = _none,
) -> tuple[Verdict, Pairs | None]:
    """Judge look after look, in the order of the seeds; give the first verdict that settles it, else the last.

    Seeds count from 0 without gaps: a pair that is still missing ends the looking, whatever came after it, so
    that quick runs have no say in what is seen.

    Args:
        question: for the metric.
        terms: what it is judged on.
        results: ended runs by arm and seed.
        identical: whether the arms' curves are equal, where all their values are.
        disagreement: gives for some seeds how far per-example results of the arms disagree; see `judge`.
    """
    verdict, pairs = judge(None, terms), None
    for looks in range(1, complete_pairs(results) + 1):
        pairs, failures = _first(question, results, looks)
        equal = identical if pairs is not None and pairs.identical else None
        floor = disagreement(results, _whole(results, looks)) if looks <= DISAGREEMENT_PAIRS else 0.0
        verdict = judge(pairs, terms, failures=failures, bit_identical=equal, disagreement=floor)
        if verdict.settled:
            break
    if complete_pairs(results) >= question.budget and not verdict.settled and not verdict.reason:
        verdict = replace(verdict, reason="budget")  # a failed half leaves fewer pairs, and no more will come
    return verdict, pairs


def complete_pairs(results: Results) -> int:
    """Count the seeds from 0 on, without gaps, of which the runs of both arms have ended."""
    seed = 0
    while all(seed in results[arm] for arm in ARMS):
        seed += 1
    return seed


def _first(question: Question, results: Results, looks: int) -> tuple[Pairs | None, Failures]:
    by_arm = {arm: [results[arm][seed].outcome for seed in range(looks)] for arm in ARMS}
    both = [
        (a.value, b.value) for a, b in zip(*by_arm.values(), strict=True) if a.value is not None and b.value is not None
    ]
    failed = {arm: sum(outcome.failed for outcome in outcomes) for arm, outcomes in by_arm.items()}
    failures = Failures(
        baseline=failed["baseline"], treatment=failed["treatment"], baseline_runs=looks, treatment_runs=looks
    )
    if not both:
        return None, failures
    baseline, treatment = zip(*both, strict=True)
    metric = question.metric
    return make_pairs(baseline, treatment, sign=metric.sign, resolution=metric.resolution), failures


def curves_identical(catalog: Catalog, results: Results) -> bool:
    """Whether every pair of runs logged bit for bit the same curves (wall-clock apart)."""
    seeds = [seed for seed in results["baseline"] if seed in results["treatment"]]
    return bool(seeds) and all(
        _curves(catalog, results["baseline"][seed].id) == _curves(catalog, results["treatment"][seed].id)
        for seed in seeds
    )


_TIMES = ("time", "elapsed", "sec", "duration", "speed", "throughput")


def _curves(catalog: Catalog, run_id: str) -> dict[str, bytes]:
    names = [row["metric"] for row in catalog.summaries([run_id])]
    kept = [name for name in names if not any(word in name.lower() for word in _TIMES)]
    return {name: np.ascontiguousarray(catalog.curve(run_id, name).values).tobytes() for name in kept}


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
