"""What to do with a change now: its odds by the runs so far and the project's past, as a clause and as data."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palate.ledger.ledger import Asked, Ledger
from palate.ledger.records import SealedVerdict, SealedVoid, likeness_of
from palate.ledger.stack import claimed_names
from palate.loop.cost import Cost, hours_words
from palate.loop.judge import Judgement
from palate.loop.results import Results, collect, without_lost
from palate.question.plan import ARMS
from palate.question.question import Question
from palate.recipe.lexicon import OTHER, role_of_path
from palate.store.catalog import Catalog
from palate.verdict.adopt import Measured, Odds, PastEffect, Prior, fit_prior, measure, odds_words, pool_noise, weigh
from palate.verdict.history import Noise
from palate.verdict.pairs import Pairs, make_pairs
from palate.verdict.words import size_words
from palate.vocabulary import Metric

MOST_JUDGED, MOST_OPEN = 400, 30
"""Past changes that the prior is fitted to, the newest: those with a verdict, and those that have none."""

NO_EFFECT_ERROR = 0.02
"""Standard error, in seed standard deviations, of the effect of a change whose runs were bit-identical: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the project knows of changes like one that is asked about.

    Attributes:
        noise: of a difference; None where no earlier question tells it.
        unit: standard deviation of one run over seeds; None as the noise.
        effects: of all changes that were tried, by experiment.
    """

    noise: Noise | None
    unit: float | None
    effects: Mapping[str, PastEffect]

    def prior(self, family: str, *, without: str = "") -> Prior:
        """Return the prior of a family's effects, fitted to all changes but one."""
        return fit_prior([one for name, one in self.effects.items() if name != without], family)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The odds of a change as they are told.

    Attributes:
        odds: the posterior of its effect.
        metric: as it is shown.
        raw: the mean difference as measured, + is better.
        runs: runs of both arms that it rests on.
        gpu_hours: that those took; 0 where nobody knows.
        pair_gpu_hours: of one more pair.
    """

    odds: Odds
    metric: Metric
    raw: float
    runs: int = 0
    gpu_hours: float = 0.0
    pair_gpu_hours: float = 0.0

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data; effects are in the metric's unit, + is better."""
        odds = self.odds
        numbers = {name: getattr(odds, name) for name in ("helps", "gain", "loss", "low", "high", "sd", "worth")}
        hours = {"gpu_hours": round(self.gpu_hours, 6)} if self.gpu_hours else {}
        return {
            "advice": odds.advice,
            "odds": odds_words(odds.helps),
            **{name: round(value, 9) for name, value in numbers.items()},
            "raw": self.raw,
            "pairs": odds.n,
            "prior": {"source": odds.prior.source, "past": odds.prior.past, "alike": odds.prior.alike},
            "runs": self.runs,
            **hours,
            "words": self.words,
        }

    @property
    def sealed(self) -> dict[str, float]:
        """The numbers that are sealed with an adoption."""
        odds = self.odds
        kept = {name: getattr(odds, name) for name in ("helps", "gain", "loss", "low", "high", "sd")}
        return {**{name: round(value, 9) for name, value in kept.items()}, "raw": self.raw, "pairs": odds.n}

    @property
    def words(self) -> str:
        """The advice in a sentence; it claims nothing."""
        odds = self.odds
        helps = f"{odds_words(odds.helps)} that it helps"
        if odds.advice == "run more":
            more = f" (about {hours_words(self.pair_gpu_hours)} a pair)" if self.pair_gpu_hours else ""
            between = f"between {self._signed(odds.low)} and {self._signed(odds.high)}"
            return f"Run more before you decide{more}: {helps}, {between}."
        if odds.advice == "keep":
            return (
                f"Keep it for now: {helps}, about {self._signed(odds.gain)}; wrong costs about {self._size(odds.loss)}."
            )
        return f"Drop it for now: {helps}, about {self._signed(odds.gain)}."

    @property
    def rests_words(self) -> str:
        """What the odds rest on besides the runs."""
        prior = self.odds.prior
        if prior.source == "default":
            few = f"{prior.past} past changes of the project" if prior.past else "no past changes of the project"
            return f"These odds rest on what changes do in general, and on {few}."
        alike = f", {prior.alike} of them of this kind" if prior.alike else ""
        return f"These odds rest on {prior.past} past changes of the project{alike}."

    def _signed(self, effect: float) -> str:
        moved = effect * self.metric.sign
        return f"{'+' if moved >= 0 else '-'}{self._size(effect)}"

    def _size(self, effect: float) -> str:
        return size_words(effect, self.metric, max(self.odds.high - self.odds.low, 1e-12))


def family_of(paths: list[str], *, edited: bool) -> str:
    """Name the family of a change: the chunk of the recipe that it is in, or code; a name that is in none stands alone.

    >>> family_of(["optimizer.lr"], edited=False), family_of([], edited=True)
    ('optimiser', 'code')
    """
    if edited:
        return "code"
    roles = {role if (role := role_of_path(tuple(path.split(".")))) != OTHER else path for path in paths}
    return " + ".join(sorted(roles))


def is_weighed(question: Question, judgement: Judgement, *, void: bool) -> bool:
    """Whether odds are said of a question: of one change, whose runs finished and differ."""
    one = len(question.declared) == 1 and not question.confounders
    return one and not void and judgement.pairs is not None and judgement.verdict.kind not in ("failed", "nothing")


def past_of(ledger: Ledger, catalog: Catalog, question: Question) -> Past:
    """Return what the project knows of changes like this one: same metric, data, and name of what is trained.

    What the question itself gave is left out. All changes that were tried count, those without a verdict too: by
    the runs that are there. Claims and void questions do not, nor do questions of several changes.
    """
    alike = ledger.asked_like(likeness_of(question)) - claimed_names(ledger.chain) - ledger.having(SealedVoid.KIND)
    alike -= {question.experiment}
    asked = ledger.asked()
    judged = [(name, told) for name, told in _verdicts(ledger) if name in alike][-MOST_JUDGED:]
    usable = [(told[1], told[2] - 1) for _, told in judged if told[1] and told[2] and told[2] > 1]
    noise = pool_noise([variance for variance, _ in usable], [df for _, df in usable])
    pairs = _open_pairs(ledger, catalog, alike - {name for name, _ in judged})
    if noise is None and pairs:
        own = [(one.sum_of_squares / (one.n - 1), one.n - 1) for one in pairs.values() if one.n > 1]
        noise = pool_noise([variance for variance, _ in own], [df for _, df in own])
    unit = _unit(ledger, [name for name, _ in judged], [one for one in pairs.values() if one.n > 1])
    effects: dict[str, PastEffect] = {}
    for name, (kind, _, n, raw, spread) in judged:
        family = _family(asked[name])
        if family is None or kind == "failed" or unit is None:
            continue
        if kind == "nothing":
            effects[name] = PastEffect(mean=0.0, error=NO_EFFECT_ERROR, df=9, family=family)
        elif raw is not None and spread and n:
            effects[name] = PastEffect(mean=raw / unit, error=spread / math.sqrt(n) / unit, df=max(n, 2), family=family)
    for name, one in pairs.items():
        family, measured = _family(asked[name]), measure(one, noise, unit)
        if family is not None and measured is not None and unit is not None:
            error = math.sqrt(measured.variance / measured.n) / unit
            effects[name] = PastEffect(mean=measured.mean / unit, error=error, df=measured.df, family=family)
    return Past(noise=noise, unit=unit, effects=effects)


def _unit(ledger: Ledger, judged: list[str], open_pairs: list[Pairs]) -> float | None:
    """Return the standard deviation of one run over seeds: the median of what past questions give; None of none."""
    verdicts = (ledger.read(name).verdict for name in judged[-MOST_OPEN:])
    told = [one.verdict.seed_sd for one in verdicts if one is not None and one.verdict.seed_sd]
    told += [one.seed_sd for one in open_pairs if one.seed_sd]
    return statistics.median(told) if told else None


def _verdicts(ledger: Ledger) -> list[tuple[str, list[Any]]]:
    """List the first verdict of each experiment by the fields that the index keeps, oldest first."""
    chain = ledger.chain
    first: dict[str, list[Any]] = {}
    for number, fields in chain.kept(SealedVerdict.KIND):
        first.setdefault(chain.experiment_at(number), fields)
    return list(first.items())


def _family(asked: Asked) -> str | None:
    """Return the family of a question's change; None where it is of several changes."""
    paths, edited = [change["path"] for change in asked.changes], asked.edit is not None
    return family_of(paths, edited=edited) if len(paths) + edited == 1 else None


def _open_pairs(ledger: Ledger, catalog: Catalog, names: frozenset[str]) -> dict[str, Pairs]:
    """Return the pairs so far of the newest questions that have no verdict."""
    order = [name for name in ledger.asked() if name in names][-MOST_OPEN:]
    read = {name: ledger.read(name).question for name in order}
    found = {name: pairs_so_far(one, collect(catalog, one.plan)) for name, one in read.items()}
    return {name: pairs for name, pairs in found.items() if pairs is not None}


def pairs_so_far(question: Question, results: Results, most: int | None = None) -> Pairs | None:
    """Return the pairs of a question of which both runs finished, the first `most`; None where there is none."""
    arms = [without_lost(results)[arm] for arm in ARMS]
    seeds = [seed for seed in question.plan.seeds if all(seed in by_seed for by_seed in arms)][:most]
    values = [tuple(by_seed[seed].outcome.value for by_seed in arms) for seed in seeds]
    both = [(a, b) for a, b in values if a is not None and b is not None]
    if not both:
        return None
    metric = question.metric
    return make_pairs(*zip(*both, strict=True), sign=metric.sign, resolution=metric.resolution)


def odds_by(question: Question, pairs: Pairs, past: Past, *, experiment: str = "") -> tuple[Measured, Odds] | None:
    """Return the odds of a question's change by some pairs of it; None where nobody knows the noise."""
    measured = measure(pairs, past.noise, past.unit)
    if measured is None:
        return None
    family = family_of([change.path for change in question.changes], edited=question.edit is not None)
    return measured, weigh(measured, past.prior(family, without=experiment or question.experiment))


def tell_odds(
    ledger: Ledger, catalog: Catalog, question: Question, judgement: Judgement, cost: Cost | None = None
) -> Told | None:
    """Return what to do with a change by its runs so far; None where nothing can be said of it."""
    if not is_weighed(question, judgement, void=ledger.read(question.experiment).void is not None):
        return None
    pairs = pairs_so_far(question, judgement.results)
    found = None if pairs is None else odds_by(question, pairs, past_of(ledger, catalog, question))
    if found is None:
        return None
    _, odds = found
    return Told(
        odds=odds,
        metric=question.shown,
        raw=pairs.mean if pairs is not None else 0.0,
        runs=2 * odds.n,
        gpu_hours=cost.gpu_hours if cost is not None else 0.0,
        pair_gpu_hours=cost.pair_gpu_hours if cost is not None else 0.0,
    )
