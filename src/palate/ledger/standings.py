"""How the forecasters of a project do: skill over the reference, calibration, and how much they dared to forecast."""

import gc
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import numpy as np

from palate.forecast.calibration import Calibration, Claim, calibration_of
from palate.forecast.families import Family, Told, families_of
from palate.forecast.score import score_bounds
from palate.forecast.skill import Scored, Skill, skill_of
from palate.ledger.ledger import Ledger
from palate.ledger.records import (
    BLIND,
    TEAM,
    SealedAnswer,
    SealedPromise,
    SealedScore,
    SealedVerdict,
    SealedVoid,
    SealedWhen,
    SealedWhenScore,
)

WHEN = "when"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a forecaster stands, in one class of forecasts.

    Attributes:
        author: who.
        agent: whether it is an agent.
        kind: blind, asked before, "25 %" (of the curve seen, at most), part seen, when.
        skill: bits over the reference, of first answers; questions that share all their runs make one bet.
        considered: mean bits with revisions in the place of the answers that were revised.
        revised: how many were.
        calibration: confidence against what came true.
        crps: mean continuous ranked probability score over the reference's (below 1 is better); None without any.
        forecast: questions that were run and that they forecast in this class.
        asked: questions that were run and that they could have forecast; see `Ledger.asked_of`.
        scores: of the first answers, in the order in which they were made.
        open: of these, how many are of questions that were seen but never settled.
        provisional: scored without a known noise, so in no skill.
        unscored: of questions of which something was seen, too little to score by.
        waiting: of questions of which nothing has been run.
        void: of their forecasts, questions that were voided.
        void_seen: of these, voided when something of the treatment had been seen; they count in skill (see `_dropped`).
        void_by: others who voided any of these.
        families: how they do by what is changed, from five forecasts of a family on, the worst first.
        unopened: promises of theirs that were not opened although the outcome is there.
    """

    author: str
    agent: bool
    kind: str
    skill: Skill
    considered: float
    revised: int
    calibration: Calibration
    crps: float | None
    forecast: int
    asked: int
    scores: tuple[Scored, ...]
    open: int = 0
    provisional: int = 0
    unscored: int = 0
    waiting: int = 0
    void: int = 0
    void_seen: int = 0
    void_by: tuple[str, ...] = ()
    unopened: int = 0
    families: tuple[Family, ...] = ()

    @property
    def coverage(self) -> float:
        """The share of the questions that they forecast in this class: skipping the hard ones shows."""
        return self.forecast / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What the ledger says that standings need.

    Attributes:
        ledger: all that is sealed.
        first: the first answers, oldest first.
        scores: by the hash of the forecast, the scores of questions that are not void.
        void: the void questions.
        begun: experiments without a verdict of which runs of the treatment have ended.
        closed: experiments with a verdict.
    """

    ledger: Ledger
    first: tuple[SealedAnswer, ...]
    scores: Mapping[str, SealedScore]
    void: Mapping[str, SealedVoid]
    begun: frozenset[str]
    closed: frozenset[str]

    @property
    def seen(self) -> frozenset[str]:
        """Experiments of which runs of the treatment have ended."""
        return self.closed | self.begun


def standings(ledger: Ledger, still_open: Sequence[SealedScore], begun: frozenset[str]) -> list[Standing]:
    """Return every forecaster's standing, the one with most forecasts first.

    Args:
        ledger: all that is sealed.
        still_open: scores, as they would be sealed now, of questions that were seen but have no verdict.
        begun: experiments without a verdict of which runs of the treatment have ended.
    """
    with _collecting_rarely():
        return _standings(_facts(ledger, still_open, begun))


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Let the garbage collector run rarely: all that is read stays, and each run walks over all of it."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _standings(facts: _Facts) -> list[Standing]:
    classes: dict[tuple[str, str], list[SealedAnswer]] = defaultdict(list)
    for sealed in facts.first:
        classes[sealed.author.name, sealed.kind].append(sealed)
    standing = [_standing(facts, *of_whom, forecasts) for of_whom, forecasts in classes.items()]
    standing += _when_standings(facts)
    team = list(_team(facts))
    if team:
        standing.append(_team_standing(facts, team))
    return sorted(standing, key=lambda one: (one.author == TEAM, -one.skill.n))


def _facts(ledger: Ledger, still_open: Sequence[SealedScore], begun: frozenset[str]) -> _Facts:
    void = {sealed.experiment: sealed for sealed in reversed(ledger.voids())}
    scored = [score for score in (*ledger.scores(), *still_open) if score.experiment not in void]
    return _Facts(
        ledger=ledger,
        first=tuple(ledger.answers()),
        scores={score.forecast: score for score in reversed(scored)},
        void=void,
        begun=begun,
        closed=ledger.having(SealedVerdict.KIND),
    )


def _standing(facts: _Facts, author: str, kind: str, forecasts: Sequence[SealedAnswer]) -> Standing:
    scored = [(sealed, facts.scores[sealed.hash]) for sealed in forecasts if sealed.hash in facts.scores]
    with_score = {sealed.experiment for sealed, _ in scored}
    rest = [s.experiment for s in forecasts if s.experiment not in with_score and s.experiment not in facts.void]
    counted = [(sealed, score) for sealed, score in scored if not score.score.provisional]
    first = [score for _, score in counted]
    revisions = _revisions_of(facts, author)
    claims = [_claim(sealed, score) for sealed, score in counted if score.settled]
    bits = (*_bets(first), *_dropped(facts, author, forecasts))
    asked = facts.ledger.asked_of(author, facts.begun)
    void, void_seen, void_by = _voided(facts, author, [sealed.experiment for sealed in forecasts])
    return Standing(
        author=author,
        agent=forecasts[0].author.agent,
        kind=kind,
        skill=skill_of(bits),
        scores=bits,
        considered=_considered(first, revisions, bits),
        revised=sum(score.experiment in revisions for score in first),
        calibration=calibration_of(claims, rng=np.random.default_rng(len(claims))),
        crps=_crps_ratio(first),
        forecast=len({sealed.experiment for sealed in forecasts} & asked),
        asked=len(asked),
        open=sum(score.experiment not in facts.closed for score in first),
        provisional=sum(score.score.provisional for _, score in scored),
        unscored=sum(name in facts.seen for name in rest),
        waiting=sum(name not in facts.seen for name in rest),
        void=void,
        void_seen=void_seen,
        void_by=void_by,
        unopened=_unopened(facts, author) if kind == BLIND else 0,
        families=tuple(families_of(_told(facts, counted))),
    )


def _told(facts: _Facts, counted: Sequence[tuple[SealedAnswer, SealedScore]]) -> Iterator[Told]:
    """Yield forecasts with an outcome by what was changed in their questions."""
    asked = facts.ledger.asked()
    for sealed, score in counted:
        if score.settled and sealed.experiment in asked:
            claim, question = _claim(sealed, score), asked[sealed.experiment]
            changed = sorted(str(change["path"]).rpartition(".")[2] for change in question.changes)
            yield Told(
                family=" + ".join(changed) or "the code",
                confidence=claim.confidence,
                hit=claim.hit,
                better=claim.better,
                was_better=claim.was_better,
                bits=score.score.bits,
            )


def _revisions_of(facts: _Facts, author: str) -> dict[str, SealedScore]:
    """Return the scores of somebody's revisions by experiment, whatever they had seen by then."""
    return {
        score.experiment: score
        for score in facts.scores.values()
        if score.author.name == author and score.turn == "revision" and not score.score.provisional
    }


def _unopened(facts: _Facts, author: str) -> int:
    """Count somebody's promises whose outcome is there and which they did not open."""
    promised = facts.ledger.experiments(SealedPromise.KIND)
    return sum(
        promise.author == author
        for experiment in promised
        if experiment.id in facts.closed
        for promise in experiment.promises.values()
    )


def _voided(facts: _Facts, author: str, names: Sequence[str]) -> tuple[int, int, tuple[str, ...]]:
    """Count, of forecasts by their experiments, the void ones and those voided late; name others who voided any."""
    voids = [facts.void[name] for name in names if name in facts.void]
    others = sorted({void.author for void in voids} - {author})
    return len(voids), sum(void.seen for void in voids), tuple(others)


def _dropped(facts: _Facts, author: str, forecasts: Sequence[SealedAnswer]) -> Iterator[Scored]:
    """Yield the scores of somebody's forecasts of questions that were voided when something of them had been seen.

    Losses must not be dropped by voiding: who voids a question of theirs then has the least score that their answer
    can get. What somebody else voids counts as it was scored, where it was a loss: under whatever name it is voided.
    """
    for sealed in forecasts:
        void = facts.void.get(sealed.experiment)
        if void is None or not void.seen:
            continue
        experiment = facts.ledger.read(sealed.experiment)
        forecast = next((one for one in experiment.forecasts if one.hash == sealed.hash), None)
        if forecast is None:
            continue
        least, most = score_bounds(forecast.said, forecast.reference.chances)
        scored = experiment.scores.get(sealed.hash)
        if void.author == author:
            yield Scored(bits=least, least=least, most=most)
        elif scored is not None and scored.score.bits < 0:
            yield Scored(bits=max(scored.score.bits, least), least=least, most=most)


class _Numbers(Protocol):
    """The bits of a score, and what they could have been at least and at most."""

    @property
    def bits(self) -> float: ...
    @property
    def least(self) -> float: ...
    @property
    def most(self) -> float: ...


class _Bet(Protocol):
    """A score that is bet with, and the runs that it rests on."""

    @property
    def runs(self) -> str: ...
    @property
    def score(self) -> _Numbers: ...


def _bets(scores: Sequence[_Bet]) -> Iterator[Scored]:
    """Make one bet of forecasts whose runs are the same, or happen to be: they win and lose together."""
    together: dict[str, list[_Numbers]] = defaultdict(list)
    for one in scores:
        together[one.runs].append(one.score)
    for same in together.values():
        if len(same) == 1:
            only = same[0]
            yield Scored(bits=max(only.bits, only.least), least=only.least, most=max(only.most, only.least))
            continue
        yield Scored(
            bits=fmean(max(score.bits, score.least) for score in same),
            least=fmean(score.least for score in same),
            most=fmean(max(score.most, score.least) for score in same),
        )


def _considered(first: Sequence[SealedScore], revisions: Mapping[str, SealedScore], bits: Sequence[Scored]) -> float:
    """Return the mean bits with revisions in the place of the answers that were revised."""
    if not bits:
        return 0.0
    skill = fmean(bet.bits for bet in bits)
    revised = [score for score in first if score.experiment in revisions]
    return skill + sum(revisions[score.experiment].score.bits - score.score.bits for score in revised) / len(bits)


def _claim(sealed: SealedAnswer, score: SealedScore) -> Claim:
    chances = score.score.chances
    answer = sealed.answer or max(chances.by_name, key=chances.of)
    return Claim(
        confidence=chances.of(answer),
        hit=score.settled == answer,
        better=chances.better,
        was_better=score.settled == "better",
        name=score.experiment,
    )


def _crps_ratio(scores: Sequence[SealedScore]) -> float | None:
    """Return the mean of the CRPS over the reference's, question by question: metrics have units of their own."""
    numbers = (sealed.score for sealed in scores)
    ratios = [score.crps / score.crps_reference for score in numbers if score.crps_reference and score.crps is not None]
    return math.exp(fmean(math.log(max(ratio, 1e-9)) for ratio in ratios)) if ratios else None


def _team(facts: _Facts) -> Iterator[Scored]:
    """Yield the score of the mean of all blind first answers, where there are two or more.

    It is held against the reference that knew most, that of the last of them.
    """
    by_question: dict[str, list[SealedScore]] = defaultdict(list)
    for sealed in facts.first:
        score = facts.scores.get(sealed.hash)
        if score is not None and score.kind == BLIND and not score.score.provisional:
            by_question[score.experiment].append(score)
    for scores in by_question.values():
        if len(scores) > 1:
            last = scores[-1].score
            least, most = _pooled([s.score.least for s in scores]), _pooled([s.score.most for s in scores])
            bits = _pooled([s.score.own for s in scores]) - (last.own - last.bits)
            yield Scored(bits=max(bits, least), least=min(least, 0.0), most=max(most, 0.0))


def _pooled(logs: Sequence[float]) -> float:
    """Return the log2 of the mean of what these are the log2 of."""
    top = max(logs)
    return top + math.log2(fmean(2.0 ** (value - top) for value in logs))


def _team_standing(facts: _Facts, scores: Sequence[Scored]) -> Standing:
    skill = skill_of(scores)
    nothing = calibration_of([], rng=np.random.default_rng(0))
    return Standing(
        author=TEAM, agent=False, kind=BLIND, skill=skill, considered=skill.mean, revised=0, calibration=nothing,
        crps=None, forecast=len(scores), asked=len(facts.seen - set(facts.void)), scores=tuple(scores),
    )  # fmt: skip


def _when_standings(facts: _Facts) -> Iterator[Standing]:
    """Yield standings of when-forecasts, blind ones and such of running curves apart."""
    scores = {score.forecast: score for score in facts.ledger.when_scores()}
    groups: dict[tuple[str, str], list[SealedWhen]] = defaultdict(list)
    for sealed in facts.ledger.whens():
        groups[sealed.author.name, sealed.evidence.kind].append(sealed)
    for (author, kind), forecasts in groups.items():
        void, void_seen, void_by = _voided(facts, author, [sealed.subject.experiment for sealed in forecasts])
        scored = [(s, scores[s.hash]) for s in forecasts if s.hash in scores and s.subject.experiment not in facts.void]
        bits = tuple(_bets([score for _, score in scored]))
        skill = skill_of(bits)
        claims = [_when_claim(sealed, score) for sealed, score in scored]
        yield Standing(
            author=author,
            agent=forecasts[0].author.agent,
            kind=WHEN if kind == BLIND else f"{WHEN}, {kind}",
            skill=skill,
            scores=bits,
            considered=skill.mean,
            revised=0,
            calibration=calibration_of(claims, rng=np.random.default_rng(len(claims)), curve=False),
            crps=None,
            forecast=len(forecasts) - void,
            asked=0,
            void=void,
            void_seen=void_seen,
            void_by=void_by,
        )


def _when_claim(sealed: SealedWhen, score: SealedWhenScore) -> Claim:
    sure, hit = sealed.when.confidence / 100, score.happened == sealed.when.tenth
    return Claim(confidence=sure, hit=hit, better=sure, was_better=hit, name=score.run)
