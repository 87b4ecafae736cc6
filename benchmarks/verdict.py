"""What verdicts are worth: false ones where nothing is different, with a look after each pair."""

import json
import math
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import adopt, bank, history, shape, simulated, terms
from benchmarks.fooled import credit
from benchmarks.fooled.play import Tally, play
from benchmarks.fooled.policies import POLICIES
from benchmarks.table import Row
from palate.verdict.boundary import critical
from palate.verdict.outlook import look_ahead
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import Terms, judge

PATHS = 20_000
PEER_PYTHON = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"
BUDGET = 20


def noises(rng: np.random.Generator, size: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Seed noise of several shapes, all with mean 0."""
    contaminated = rng.standard_normal(size) * np.where(rng.random(size) < 0.1, 5.0, 1.0)
    return {
        "normal": rng.standard_normal(size),
        "t3": rng.standard_t(3, size),
        "skewed": rng.exponential(size=size) - 1,
        "contaminated": contaminated,
    }


def false_verdicts(arms: np.ndarray) -> float:
    """Share of experiments (paths, 2, budget) that are ever called better or worse, looking after each pair."""
    wrong = np.zeros(len(arms), dtype=bool)
    for n in range(2, arms.shape[2] + 1):
        seen = arms[:, :, :n]
        difference = seen[:, 1] - seen[:, 0]
        mean = difference.mean(axis=1)
        within = ((difference - mean[:, None]) ** 2).sum(axis=1)
        spread = np.sqrt((seen.var(axis=2, ddof=1).sum(axis=1) + within) / n)
        wrong |= np.abs(mean) > critical(n, BUDGET) * spread / math.sqrt(n)
    return float(wrong.mean())


def same_rule(arms: np.ndarray) -> bool:
    """Whether the vectors above say of each experiment what `judge` says of it, its assumptions unchecked."""
    for path in arms:
        fast = any(false_verdicts(path[None, :, :n]) for n in range(2, BUDGET + 1))
        slow = any(
            judge(
                make_pairs(path[0, :n], path[1, :n], resolution=1e-9),
                Terms(budget=BUDGET, margin=1e-9, assumptions=False),
            ).settled
            for n in range(2, BUDGET + 1)
        )
        if fast != slow:
            return False
    return True


def fooled_rows() -> Iterator[Row]:
    """Play the frozen protocol on real runs: see benchmarks/fooled/play.py."""
    told = play(POLICIES)
    for policy, groups in told.items():
        every, null = groups["all"], groups["null"]
        yield Row(name=f"real runs, fooled: {policy}", measured=100 * every.fooled / every.users, unit="%")
        yield Row(name=f"real runs, fooled where nothing differs: {policy}", measured=_share(null), unit="%")
        yield Row(name=f"real runs, runs used: {policy}", measured=2 * every.pairs / every.users)
    yield from peer_rows()
    mine, habit = told["palate"], told["larger of one run each"]["all"]
    share = _share(mine["all"])
    yield Row(name="palate: fooled on real runs", measured=share, unit="%", target=1)
    yield Row(
        name="palate: times below the larger of one run each", measured=_share(habit) / share, target=20, at_least=True
    )
    nulls = [_share(tally) for name, tally in mine.items() if name.startswith("null/")]
    yield Row(name="palate: A/A on real runs, mean over arms", measured=sum(nulls) / len(nulls), unit="%", target=5)
    yield Row(name="palate: A/A on real runs, worst arm", measured=max(nulls), unit="%", target=6)
    right = 100 * mine["all"].right / mine["all"].users
    yield Row(name="palate: settled correctly within 20 pairs", measured=right, unit="%", target=95, at_least=True)
    known = told["palate with history"]["all"]
    yield Row(name="palate with history: runs to a verdict", measured=2 * known.pairs / known.users, target=13)
    reused = known.pairs / known.users
    yield Row(name="palate with history: new runs to a verdict, baseline re-used", measured=reused, target=7)


def peer_rows() -> Iterator[Row]:
    """Ask other libraries about the same users, fewer of them: each in its own process, for its own dependencies."""
    if not PEER_PYTHON.exists():
        return
    for policy, users in (("improvement", 1), ("stochastic_order", 1), ("bayesian", 200)):
        command = [str(PEER_PYTHON), "-m", "benchmarks.fooled.peers", policy, str(users)]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=PEER_PYTHON.parents[2], check=True)
        told = {group: Tally(**tally) for group, tally in json.loads(ended.stdout.splitlines()[-1]).items()}
        for group, words in (("all", "fooled"), ("null", "fooled where nothing differs")):
            name = f"real runs, {words}: {PEERS[policy]} ({told[group].users} users)"
            yield Row(name=name, measured=_share(told[group]), unit="%")


PEERS = {
    "improvement": "rliable's P(improvement), 5 runs",
    "stochastic_order": "deepsig's ASO, 5 runs",
    "bayesian": "baycomp's t-test, 5 runs",
}


def _share(tally: Tally) -> float:
    return 100 * tally.fooled / tally.users


def rows() -> Iterator[Row]:
    """Measure false verdicts by the shape of the noise and how far the arms move together, and the speed."""
    rng = np.random.default_rng(2026)
    yield from terms.rows()
    checked = same_rule(rng.standard_normal((200, 2, BUDGET)))
    yield Row(
        name="the vectorised rule agrees with judge() on 200 experiments", measured=checked, target=1, at_least=True
    )
    for name, noise in noises(rng, (PATHS, 2, BUDGET)).items():
        share = 100 * false_verdicts(noise)
        yield Row(
            name=f"false verdicts, A/A, {name} noise, 20,000 paths, a look a pair", measured=share, unit="%", target=5.5
        )
    shared = rng.standard_normal((PATHS, 1, BUDGET)) * math.sqrt(0.6)
    paired = shared + rng.standard_normal((PATHS, 2, BUDGET)) * math.sqrt(0.4)
    share = 100 * false_verdicts(paired)
    yield Row(name="false verdicts, A/A, arms that correlate .6 over seeds", measured=share, unit="%", target=5.5)
    yield from simulated.rows()
    yield from history.rows()
    yield from bank.rows()
    yield from shape.rows()
    yield from credit.rows()
    yield from fooled_rows()
    pairs = make_pairs(rng.standard_normal(20), rng.standard_normal(20))
    started = time.process_time()
    for _ in range(500):
        judge(pairs)
    yield Row(name="a verdict on 20 pairs, CPU", measured=(time.process_time() - started) * 2, unit="ms", target=1)
    started = time.process_time()
    for _ in range(1000):
        judge(pairs)
    yield Row(name="1,000 experiments re-judged, CPU", measured=time.process_time() - started, unit="s", target=1)
    few = pairs.first(4)
    now, started = judge(few), time.process_time()
    for _ in range(20):
        look_ahead(few, now, rng=rng)
    yield Row(name="'N more pairs', CPU", measured=(time.process_time() - started) * 50, unit="ms", target=100)
    yield from adopt.rows()
