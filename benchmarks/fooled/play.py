"""Let simulated users draw seeds of real runs and be told what policies say; count how often they are fooled.

The protocol, frozen: a user draws 20 seeds without replacement and gets both arms' scores at them, in that order. Truth
is the mean over all seeds. The margin is one seed standard deviation of the task's base arm. Fooled is a claim of the
wrong sign, a winner where there is none (A/A: both arms are halves of one), or "no difference" where there is one as
large as the margin. Classes by the size of the truth in seed standard deviations: null (A/A), small (under .5), medium
(under 1.5), large.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.fooled import STORED
from benchmarks.fooled.policies import BUDGET, NO_CLAIM, POLICIES, Draws, FloatArray, Policy
from palate.verdict.history import Past, RunNoise, noise_of

USERS = 4000
PAST = 10
PAST_PAIRS = 8
BATCHES = 10
SEED = 20_261_001


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two arms of a task: their scores (seeds,) at the same seeds, and the truth in the metric's unit."""

    task: str
    name: str
    baseline: FloatArray
    treatment: FloatArray
    truth: float
    step: float
    margin: float

    @property
    def size(self) -> str:
        """Its class."""
        size = abs(self.truth) / self.margin
        return "null" if self.truth == 0 else "small" if size < 0.5 else "medium" if size < 1.5 else "large"


@dataclass(slots=True)
class Tally:
    """What a policy's users were told, summed up."""

    users: int = 0
    fooled: int = 0
    settled: int = 0
    right: int = 0
    pairs: int = 0


def load() -> dict[str, dict[str, FloatArray]]:
    """Read the stored scores: task -> arm -> (seeds,)."""
    found: dict[str, dict[str, FloatArray]] = defaultdict(dict)
    with np.load(STORED) as stored:
        for name in stored.files:
            task, arm, what = name.split("/")
            if what == "score" and task in STEPS:
                found[task][arm] = stored[name].astype(np.float64)
    return found


STEPS = {"digits": 1 / 597, "digits_split": 1 / 597, "cancer": 1 / 200, "mnist1d_mlp": 1e-3, "mnist1d_cnn": 1e-3}


def comparisons(scores: dict[str, dict[str, FloatArray]]) -> Iterator[Comparison]:
    """Give every pair of arms of every task."""
    for task, arms in scores.items():
        margin = float(arms["base"].std(ddof=1))
        for one, other in itertools.combinations(arms, 2):
            truth = float(arms[other].mean() - arms[one].mean())
            if truth:
                yield Comparison(
                    task=task,
                    name=f"{one} v {other}",
                    baseline=arms[one],
                    treatment=arms[other],
                    truth=truth,
                    step=STEPS[task],
                    margin=margin,
                )


def users_of(comparison: Comparison, users: int, rng: np.random.Generator) -> Draws:
    """Draw each user's seeds; both arms at the same ones."""
    seeds = rng.permuted(np.tile(np.arange(len(comparison.baseline)), (users, 1)), axis=1)[:, :BUDGET]
    return Draws(
        baseline=comparison.baseline[seeds],
        treatment=comparison.treatment[seeds],
        step=comparison.step,
        margin=comparison.margin,
    )


def null_users(task: str, values: FloatArray, margin: float, users: int, rng: np.random.Generator) -> Draws:
    """Draw users of an arm against itself: two times 20 of its runs, none twice."""
    seeds = rng.permuted(np.tile(np.arange(len(values)), (users, 1)), axis=1)[:, : 2 * BUDGET]
    return Draws(
        baseline=values[seeds[:, :BUDGET]], treatment=values[seeds[:, BUDGET:]], step=STEPS[task], margin=margin
    )


def past_noise(others: list[Comparison], rng: np.random.Generator, *, paired: bool = True) -> RunNoise | None:
    """Fit history as a project would have it: 10 other comparisons of the task, 8 pairs each, paired or not."""
    chosen = rng.choice(len(others), size=min(PAST, len(others)), replace=False)
    past = []
    for place in chosen:
        seeds = rng.permutation(len(others[place].baseline))[:PAST_PAIRS]
        same = seeds if paired else rng.permutation(len(others[place].baseline))[:PAST_PAIRS]
        arms = others[place].treatment[seeds], others[place].baseline[same]
        run_variance = float((arms[0].var(ddof=1) + arms[1].var(ddof=1)) / 2)
        gaps = arms[0] - arms[1]
        past.append(Past(variance=float(gaps.var(ddof=1)), df=PAST_PAIRS - 1, run_variance=run_variance))
    return noise_of(past)


def tally(policy: Policy, draws: Draws, truth: float, into: Tally) -> None:
    """Add what these users were told."""
    claim, used = policy(draws)
    settled = claim != NO_CLAIM
    winner = settled & (claim != 0)
    wrong = (winner & (claim * truth <= 0)) | ((claim == 0) & (abs(truth) >= draws.margin))
    into.users += len(claim)
    into.fooled += int(wrong.sum())
    into.settled += int(settled.sum())
    into.right += int((settled & ~wrong).sum())
    into.pairs += int(used.sum())


def play(policies: dict[str, Policy], *, users: int = USERS, with_history: bool = True) -> dict[str, dict[str, Tally]]:
    """Play every comparison; give policy -> class -> tally ("all" sums the classes but null)."""
    rng = np.random.default_rng(SEED)
    told: dict[str, dict[str, Tally]] = defaultdict(lambda: defaultdict(Tally))
    every = list(comparisons(load()))
    for comparison in every:
        draws = users_of(comparison, users, rng)
        for name, policy in policies.items():
            for group in (comparison.size, "all"):
                tally(policy, draws, comparison.truth, told[name][group])
        if with_history:
            others = [o for o in every if o.task == comparison.task and o.name != comparison.name]
            for part in np.array_split(np.arange(users), BATCHES):
                known = replace(
                    draws,
                    baseline=draws.baseline[part],
                    treatment=draws.treatment[part],
                    noise=past_noise(others, rng),
                )
                for group in (comparison.size, "all"):
                    tally(policies["palate"], known, comparison.truth, told["palate with history"][group])
    _play_null(policies, told, users, rng, every, with_history=with_history)
    return told


def _play_null(
    policies: dict[str, Policy],
    told: dict[str, dict[str, Tally]],
    users: int,
    rng: np.random.Generator,
    every: list[Comparison],
    *,
    with_history: bool,
) -> None:
    """Play A/A: every arm against itself."""
    for task, arms in load().items():
        margin = float(arms["base"].std(ddof=1))
        for arm, values in arms.items():
            draws = null_users(task, values, margin, users, rng)
            for name, policy in policies.items():
                tally(policy, draws, 0.0, told[name]["null"])
                tally(policy, draws, 0.0, told[name][f"null/{task}/{arm}"])
            past = [c for c in every if c.task == task and arm not in c.name.split(" v ")]
            for part in np.array_split(np.arange(users), BATCHES) if with_history else ():
                noise = past_noise(past, rng, paired=False)  # as these users are: two arms of other seeds
                known = replace(draws, baseline=draws.baseline[part], treatment=draws.treatment[part], noise=noise)
                tally(policies["palate"], known, 0.0, told["palate with history"]["null"])
                tally(policies["palate"], known, 0.0, told["palate with history"][f"null/{task}/{arm}"])


PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"
BEGIN, END = "<!-- fooled: begin -->", "<!-- fooled: end -->"


def table(told: dict[str, dict[str, Tally]]) -> str:
    """Write the policies side by side, as Markdown."""
    rows = [
        "| policy | fooled | fooled where nothing differs | settled and right | runs used |",
        "|---|---|---|---|---|",
    ]
    for policy, groups in told.items():
        every, null = groups["all"], groups["null"]
        shares = [100 * n / t.users for n, t in ((every.fooled, every), (null.fooled, null), (every.right, every))]
        rows.append(f"| {policy} | {' | '.join(f'{x:.2f} %' for x in shares)} | {2 * every.pairs / every.users:.0f} |")
    return "\n".join(rows)


def main() -> None:
    """Play everything and write the table into the documents: `python -m benchmarks.fooled.play`."""
    made = table(play(POLICIES))
    print(made)
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
