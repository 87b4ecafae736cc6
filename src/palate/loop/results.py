"""What runs gave: every ended run of a plan, by arm and seed, and what else their journals say of them."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from palate.errors import PalateError
from palate.loop.logged import read_logged
from palate.question.plan import ARMS, Plan
from palate.question.question import Question
from palate.store.catalog import Catalog, RunRow, Summary
from palate.store.reader import read_event
from palate.training.loggers.hearing import PRINTED
from palate.training.outcome import USAGE_ERROR, lost_words, read_outcome
from palate.verdict.bank import usable
from palate.vocabulary import BASELINE, Arm, Outcome, goal_of_name

Right = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
_TIMES = ("time", "elapsed", "sec", "duration", "speed", "throughput", "sps", "fps")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One run that ended: its id, its seed, how long it took and how it went."""

    id: str
    seed: int
    elapsed_s: float
    points: int
    outcome: Outcome

    @property
    def lost(self) -> bool:
        """Whether points that it logged are not there: nothing can be said of it."""
        return self.outcome.ending == "lost points"


Results = Mapping[Arm, Mapping[int, RunResult]]
"""Ended runs by arm and seed."""


def collect(catalog: Catalog, plan: Plan, *, pointless: bool = False) -> dict[Arm, dict[int, RunResult]]:
    """Find, for each arm, its ended runs by seed: made for this question or for any other with the same key.

    Args:
        catalog: of the project.
        plan: whose runs they are.
        pointless: also those that with a change failed before their first point, or never logged the metric, and those
            that lost points, where there is no other at that seed. They are tried again when the question is run again.
            The former are judged (a baseline's are faults to fix); the latter are not, and their pairs are left out.
    """
    keys = set(plan.keys.values())
    catalog.refresh(keys=keys)  # what is judged is looked at, though it has ended
    runs = catalog.runs(keys)
    summaries: dict[str, list[Summary]] = {run.id: [] for run in runs}
    for summary in catalog.summaries(list(summaries)):
        summaries[summary.run_id].append(summary)
    results: dict[Arm, dict[int, RunResult]] = {arm: {} for arm in plan.arms}
    left: list[tuple[Arm, RunResult]] = []
    for run in runs:
        result = read_result(run, summaries[run.id], plan)
        if result is None or result.seed < plan.seeds.start:  # of seeds that are fresh, no other counts
            continue
        gave = bool(result.points) and result.outcome.ending not in ("no_metric", "lost points")
        for arm in (arm for arm, key in plan.keys.items() if key == run.key):
            if gave:
                results[arm].setdefault(result.seed, result)
            elif result.lost or (arm != BASELINE and not refused_usage(run)):
                left.append((arm, result))
    for arm, result in left if pointless else ():
        results[arm].setdefault(result.seed, result)
    return results


def bank_of(catalog: Catalog, question: Question) -> tuple[int, ...]:
    """Return the seeds of a question's baseline runs that are there: a bank, where they are enough for one.

    A fork has a trunk of its own, a claim asks for fresh seeds, and what was adopted was chosen by its runs, which look
    better than it is: none of them has a bank.
    """
    if question.target.fork is not None or question.target.incumbent or question.first_seed or question.spent:
        return ()
    seeds = sorted(bank_values(catalog, question))
    return tuple(seeds) if usable(seeds, question.budget) else ()


def bank_values(catalog: Catalog, question: Question) -> dict[int, float]:
    """Return the values of a question's baseline runs that finished, by seed, + is better."""
    sign = question.metric.sign
    found = baseline_results(catalog, question).items()
    return {seed: sign * one.outcome.value for seed, one in found if one.outcome.value is not None}


def baseline_results(catalog: Catalog, question: Question) -> dict[int, RunResult]:
    """Return a question's baseline runs that finished, by seed, whatever they were made for."""
    plan = replace(question.plan, arms={BASELINE: ()}, targets={}, states={})
    found = collect(catalog, plan)[BASELINE].items()
    return {seed: one for seed, one in found if one.outcome.value is not None and not one.lost}


def read_result(run: RunRow, summaries: Sequence[Summary], plan: Plan) -> RunResult | None:
    """Return one run as a result; None while it goes, where it was interrupted, or where nobody knows its seed."""
    outcome = read_outcome(run, summaries, plan.metric, plan.take)
    if outcome is None or run.seed is None:
        return None
    points = sum(summary.n for summary in summaries)
    return RunResult(id=run.id, seed=run.seed, elapsed_s=run.elapsed_s, points=points, outcome=outcome)


def lost_result(run: RunRow, seed: int, elapsed_s: float) -> RunResult:
    """Return a run that lost points as a result, whether or not its end could be written."""
    outcome = Outcome(ending="lost points", detail=lost_words(run.integrity))
    return RunResult(id=run.id, seed=seed, elapsed_s=elapsed_s, points=0, outcome=outcome)


def without_lost(results: Results) -> Results:
    """Leave out the runs that lost points."""
    return {arm: {seed: one for seed, one in by_seed.items() if not one.lost} for arm, by_seed in results.items()}


def refused_usage(run: RunRow) -> bool:
    """Whether a run's program refused its command line."""
    return run.detail.partition("\n")[0] == f"exit status {USAGE_ERROR}"


def as_shown(question: Question, results: Results) -> Question:
    """Return a question as its results are shown: in points only where all of them are shares."""
    return question.shown_for(one.outcome.value for by_seed in results.values() for one in by_seed.values())


def complete_pairs(results: Results, first: int = 0) -> int:
    """Count the seeds from the first on, without gaps, of which the runs of both arms have ended."""
    seed = first
    while all(seed in results[arm] for arm in ARMS):
        seed += 1
    return seed - first


def curves_identical(catalog: Catalog, results: Results) -> bool | None:
    """Whether every pair of runs logged bit for bit the same curves (wall-clock apart).

    Returns:
        None where all of them are equal, but say too little: few steps of a coarse metric agree by chance.
    """
    baseline, treatment = (results[arm] for arm in ARMS)
    seeds = [seed for seed in baseline if seed in treatment]
    bits = 0
    for seed in seeds:
        curves = _curves(catalog, baseline[seed].id)
        other = _curves(catalog, treatment[seed].id)
        if {name: curve.tobytes() for name, curve in curves.items()} != {n: c.tobytes() for n, c in other.items()}:
            return False
        bits += max((_bits(curve) for curve in curves.values()), default=0)
    if not seeds:
        return False
    return True if bits >= IDENTICAL_BITS else None


IDENTICAL_BITS = 20
"""What equal curves must say: by chance, 1 in a million. A value of a fine metric says all of it, and each step of a
coarse one (an accuracy on 16 examples) a bit."""

COARSE_PARTS = 1_000
"""Most parts of 1 that a coarse metric counts in; so many test examples, or decimal places to match."""

FLOAT32_ERROR = 4e-8


def _bits(curve: FloatArray) -> int:
    """Return how many yes-or-no questions a curve answers at least."""
    moved = int(np.count_nonzero(np.diff(curve)))
    return moved if _coarse(curve) else IDENTICAL_BITS * bool(moved)


def _coarse(curve: FloatArray) -> bool:
    """Whether all of a curve's values are simple fractions, or have up to 4 decimals."""
    values = np.unique(curve[np.isfinite(curve)])[:100]
    error = FLOAT32_ERROR * np.maximum(np.abs(values), 1.0)
    if np.all(np.abs(values * 1e4 - np.round(values * 1e4)) <= error * 1e4):
        return True
    near = (Fraction(value).limit_denominator(COARSE_PARTS) for value in values.tolist())
    return bool(np.all(np.abs(values - [float(one) for one in near]) <= error))


def _curves(catalog: Catalog, run_id: str) -> dict[str, FloatArray]:
    metrics = [summary.metric for summary in catalog.summaries([run_id])]
    kept = [metric for metric in metrics if not any(word in metric.lower() for word in _TIMES)]
    by = read_logged(catalog.project, run_id, kept).names  # of printed numbers, many say how fast or how full it is
    kept = [metric for metric in kept if by[metric] != PRINTED or goal_of_name(metric) is not None] or kept
    return {metric: np.ascontiguousarray(catalog.curve(run_id, metric).values, dtype=float) for metric in kept}


class Examples:
    """Read from the journals which test examples ended runs got right, each journal once.

    What both arms of a pair disagree on is a floor for how far few seeds can be trusted.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._project = catalog.project
        self._read: dict[str, Right | None] = {}

    def disagreement(self, results: Results, seeds: Sequence[int]) -> float:
        """Return the mean over pairs of (n01 + n10) / n_test^2 (McNemar); 0 where a run kept no examples."""
        shares = []
        for seed in seeds:
            one, other = (self._right(results[arm][seed].id) for arm in ARMS)
            if one is None or other is None or len(one) != len(other):
                return 0.0
            shares.append(float(np.sum(one != other)) / len(one) ** 2)
        return float(np.mean(shares)) if shares else 0.0

    def _right(self, run_id: str) -> Right | None:
        if run_id not in self._read:
            event = None
            with contextlib.suppress(PalateError):  # its journal went, or cannot be read: said where that was seen
                event = read_event(self._project.journal(run_id), "examples")
            self._read[run_id] = None if event is None else _unpack(event["right"], event["n"])
        return self._read[run_id]


def _unpack(text: str, n: int) -> Right:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8), bitorder="little")
    return bits[:n].astype(bool)
