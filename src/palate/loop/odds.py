"""What to do with a change now: its odds by the runs so far and the project's past, as a clause and as data."""

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from palate.ledger.ledger import Asked, Ledger
from palate.ledger.records import SealedVerdict, SealedVoid, likeness_of
from palate.ledger.stack import claimed_names
from palate.loop.cost import Cost, hours_words
from palate.loop.judge import Judgement
from palate.loop.results import Results, as_shown, collect, complete_pairs, without_lost
from palate.question.plan import ARMS
from palate.question.question import Question
from palate.recipe.lexicon import OTHER, role_of_path
from palate.store.catalog import Catalog
from palate.verdict.adopt import (
    Level,
    Met,
    Odds,
    PastEffect,
    Prior,
    fit_prior,
    measure,
    meet,
    odds_words,
    pool_noise,
    weigh,
)
from palate.verdict.history import Noise
from palate.verdict.lazy import special
from palate.verdict.pairs import Pairs, make_pairs
from palate.verdict.words import size_words
from palate.vocabulary import BASELINE, TREATMENT, Metric

MOST_REPLAYED = 60
"""Past changes whose runs are read again, the newest; of older ones their verdicts count."""

NO_EFFECT_ERROR = 0.02
"""Standard error, in seed standard deviations, of the effect of a change whose runs were bit-identical: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What the runs of one past question gave; + is better.

    Attributes:
        name: the experiment.
        family: of its change.
        keys: of its arms.
        baseline: values by seed.
        treatment: values by seed, of those that the baseline has.
        pairs: of both.
    """

    name: str
    family: str
    keys: tuple[str, str]
    baseline: Mapping[int, float]
    treatment: Mapping[int, float]
    pairs: Pairs

    def first(self, most: int) -> "Tried":
        """Return it as it was after so many pairs."""
        seeds = [*self.treatment][:most]
        baseline, treatment = ({seed: arm[seed] for seed in seeds} for arm in (self.baseline, self.treatment))
        pairs = make_pairs([*baseline.values()], [*treatment.values()], resolution=self.pairs.resolution)
        return replace(self, baseline=baseline, treatment=treatment, pairs=pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the project knows of changes like one that is asked about, by experiment.

    Attributes:
        variances: of a difference, with degrees of freedom, of those with a verdict.
        units: standard deviation of one run over seeds.
        older: family and verdict of those that lie too far back to be replayed.
        tried: what the runs of the newest gave, in the order of asking.
    """

    variances: Mapping[str, tuple[float, int]]
    units: Mapping[str, float]
    older: Mapping[str, tuple[str, list[Any]]]
    tried: tuple[Tried, ...]

    def odds(self, name: str, most: int | None = None) -> Odds | None:
        """Return the odds of one of its changes; None where nobody knows the noise yet.

        The changes are replayed in the order in which they were asked about: what is believed of a baseline is what its
        adoption left, and what the runs of later changes told. What the others tell of changes as such makes the prior.

        Args:
            name: the experiment.
            most: pairs of it that count; all if None.
        """
        asked = next((one for one in self.tried if one.name == name), None)
        if asked is None:
            return None
        others = [one for one in self.tried if one.name != name]
        noise = self._noise(others, without=name)
        told = [unit for one, unit in self.units.items() if one != name]
        mine = asked if most is None else asked.first(most)
        unit = (
            statistics.median(told) if told else mine.pairs.seed_sd or math.sqrt((noise.variance if noise else 0) / 2)
        )
        if not unit:
            return None
        line = [mine if one.name == name else one for one in self.tried]
        rough = _replay(line, noise, unit, {})
        effects = [*self._older(unit), *(_effect(one, rough[one.name]) for one in others if one.name in rough)]
        priors = {family: fit_prior(effects, family) for family in {one.family for one in line}}
        met = _replay(line, noise, unit, priors).get(name)
        return None if met is None else weigh(met.measured, priors[mine.family])

    def _noise(self, others: list[Tried], *, without: str) -> Noise | None:
        known = [told for name, told in self.variances.items() if name != without]
        if not known:
            known = [
                (one.pairs.sum_of_squares / (one.pairs.n - 1), one.pairs.n - 1) for one in others if one.pairs.n > 1
            ]
        return pool_noise([variance for variance, _ in known], [df for _, df in known])

    def _older(self, unit: float) -> Iterator[PastEffect]:
        for family, (kind, _, n, raw, spread, *_rest) in self.older.values():
            if kind == "nothing":
                yield PastEffect(mean=0.0, error=NO_EFFECT_ERROR, df=9, family=family)
            elif kind != "failed" and raw is not None and spread and n:
                yield PastEffect(mean=raw / unit, error=spread / math.sqrt(n) / unit, df=max(n, 2), family=family)


def _effect(tried: Tried, met: Met) -> PastEffect:
    told = met.measured
    error = math.sqrt(told.variance / told.n) / told.unit
    if tried.pairs.identical:
        return PastEffect(mean=0.0, error=NO_EFFECT_ERROR, df=9, family=tried.family)
    return PastEffect(mean=told.mean / told.unit, error=error, df=told.df, family=tried.family)


@dataclass(frozen=True, slots=True)
class _Luck:
    """What is believed of how much luck is in the mean of an arm's runs at some seeds.

    Attributes:
        seeds: whose runs.
        mean: of the luck: above 0 where the arm was adopted for runs that looked good.
        variance: of that belief.
    """

    seeds: frozenset[int]
    mean: float
    variance: float

    def at(self, seeds: frozenset[int], noise: float) -> "_Luck":
        """Return it at other seeds, at which it is known as far as they are the same; `noise` is that of one run."""
        known, n = len(self.seeds & seeds), len(seeds)
        if not known:
            return _Luck(seeds, 0.0, noise / n)
        part = self.variance + noise * (1 / known - 1 / len(self.seeds))
        return _Luck(seeds, self.mean * known / n, (known**2 * part + (n - known) * noise) / n**2)


def _replay(line: list[Tried], noise: Noise | None, unit: float, priors: Mapping[str, Prior]) -> dict[str, Met]:
    """Hold each change against what is believed of its baseline at that time; see `meet`.

    Arms are compared at equal seeds, so that what they share by the seed cancels, and the variance of one run is half
    of that of a difference. What is carried from question to question is the luck in an arm's runs.
    """
    lucks: dict[str, _Luck] = {}
    met: dict[str, Met] = {}
    for one in line:
        measured = measure(one.pairs, noise, unit)
        if measured is None:
            continue
        own, (baseline, treatment), seeds = measured.variance / 2, one.keys, frozenset(one.treatment)
        luck = lucks.get(baseline, _Luck(seeds, 0.0, own / len(seeds))).at(seeds, own)
        before, after = (sum(arm[seed] for seed in seeds) / len(seeds) for arm in (one.baseline, one.treatment))
        level = Level(mean=before - luck.mean, variance=luck.variance)
        prior = priors.get(one.family, Prior())
        told = meet(level, after, len(seeds), noise=own, df=measured.df, unit=unit, prior=prior)
        met[one.name] = told
        if baseline not in lucks or len(lucks[baseline].seeds) <= len(seeds):
            lucks[baseline] = _Luck(seeds, before - told.baseline.mean, told.baseline.variance)
        lucks.setdefault(treatment, _Luck(seeds, after - told.treatment.mean, told.treatment.variance))
    return met


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
        return signed_words(effect, self.metric, self._width)

    def _size(self, effect: float) -> str:
        return size_words(effect, self.metric, self._width)

    @property
    def _width(self) -> float:
        """What decides how many digits are shown: how unsure the gain is, and at least a tenth of it."""
        return max(self.odds.high - self.odds.low, abs(self.odds.gain) / 10, 1e-12)


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
    verdict = judgement.verdict
    told = judgement.pairs is not None and verdict.kind != "failed" and not verdict.equal_curves
    return one and not void and told


def past_of(ledger: Ledger, catalog: Catalog, question: Question) -> Past:
    """Return what the project knows of changes like this one: same metric, data, and name of what is trained.

    All changes that were tried count, those without a verdict too: by the runs that are there. Claims and void
    questions do not, nor do questions of several changes.
    """
    alike = ledger.asked_like(likeness_of(question)) - claimed_names(ledger.chain) - ledger.having(SealedVoid.KIND)
    asked = ledger.asked()
    names = [name for name, one in asked.items() if name in alike and _family(one) is not None]
    judged = {name: told for name, told in _verdicts(ledger) if name in alike}
    newest = [_tried(catalog, ledger.read(name).question) for name in names[-MOST_REPLAYED:]]
    tried = tuple(one for one in newest if one is not None)
    older = {name: told for name, told in judged.items() if name not in set(names[-MOST_REPLAYED:])}
    return Past(
        variances={name: (told[1], told[2] - 1) for name, told in judged.items() if told[1] and told[2] > 1},
        units=_units(ledger, list(judged)[-MOST_REPLAYED:], tried),
        older={name: (_family(asked[name]) or "", told) for name, told in older.items() if name in names},
        tried=tried,
    )


def _units(ledger: Ledger, judged: list[str], tried: tuple[Tried, ...]) -> dict[str, float]:
    """Return the standard deviation of one run over seeds by past question, as its verdict or its pairs tell it."""
    told = {one.name: one.pairs.seed_sd for one in tried if one.pairs.n > 1 and one.pairs.seed_sd}
    verdicts = {name: ledger.read(name).verdict for name in judged}
    return told | {name: one.verdict.seed_sd for name, one in verdicts.items() if one and one.verdict.seed_sd}


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


def _tried(catalog: Catalog, question: Question) -> Tried | None:
    """Return what the runs of a past question gave; None where no pair has finished."""
    results = collect(catalog, question.plan)
    pairs = pairs_so_far(question, results)
    if pairs is None:
        return None
    baseline, treatment = (_values(question, results, arm) for arm in ARMS)
    family = family_of([change.path for change in question.changes], edited=question.edit is not None)
    keys = question.plan.keys
    return Tried(
        name=question.experiment,
        family=family,
        keys=(keys[BASELINE], keys[TREATMENT]),
        baseline=baseline,
        treatment={seed: value for seed, value in treatment.items() if seed in baseline},
        pairs=pairs,
    )


def _values(question: Question, results: Results, arm: str) -> dict[int, float]:
    values = ((seed, one.outcome.value) for seed, one in sorted(without_lost(results)[arm].items()))
    return {seed: question.metric.sign * value for seed, value in values if value is not None}


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


def tell_odds(
    ledger: Ledger, catalog: Catalog, question: Question, judgement: Judgement, cost: Cost | None = None
) -> Told | None:
    """Return what to do with a change by its runs so far; None where nothing can be said of it."""
    if not is_weighed(question, judgement, void=ledger.read(question.experiment).void is not None):
        return None
    pairs = pairs_so_far(question, judgement.results)
    odds = past_of(ledger, catalog, question).odds(question.experiment)
    if odds is None or pairs is None:
        return None
    if judgement.settled and odds.advice == "run more":  # no more runs will come: decide by what is there
        odds = replace(odds, advice="keep" if odds.gain > 0 else "drop")
    return Told(
        odds=odds,
        metric=as_shown(question, judgement.results).shown,
        raw=pairs.mean,
        runs=2 * odds.n,
        gpu_hours=cost.gpu_hours if cost is not None else 0.0,
        pair_gpu_hours=cost.pair_gpu_hours if cost is not None else 0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSize:
    """How large a claimed effect is by all of its pairs, whose number was fixed: the mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


def size_of_claim(question: Question, judgement: Judgement) -> ClaimSize | None:
    """Return the size of a claimed effect; None before all pairs have ended, or where fewer than two finished."""
    pairs = pairs_so_far(question, judgement.results)
    if not question.first_seed or pairs is None or pairs.n < 2:
        return None
    if complete_pairs(judgement.results, question.first_seed) < question.budget:
        return None
    half = float(special.stdtrit(pairs.n - 1, 0.975)) * math.sqrt(pairs.sum_of_squares / (pairs.n - 1) / pairs.n)
    return ClaimSize(mean=pairs.mean, low=pairs.mean - half, high=pairs.mean + half, n=pairs.n)


def signed_words(effect: float, metric: Metric, width: float) -> str:
    """Return an effect, + is better, in the metric's own sign, with as many digits as a width justifies."""
    width = max(width, abs(effect) / 10)
    return f"{'+' if effect * metric.sign >= 0 else '-'}{size_words(effect, metric, width)}"
