"""How the forecasters of a project do: skill over the reference, calibration, and how much they dared to forecast."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from palate.forecast.calibration import Calibration, Claim, calibration_of
from palate.forecast.skill import Scored, Skill, skill_of
from palate.ledger.ledger import Body, Book, asked_of
from palate.ledger.records import BLIND, TEAM, evidence_of_body
from palate.store.chain import Chain, Record

WHEN = "when"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a forecaster stands, in one class of forecasts.

    Attributes:
        author: who.
        agent: whether it is an agent.
        kind: blind, asked before, "25 %" (of the curve seen, at most), part seen, when.
        skill: bits over the reference, of gut answers; questions that share all their runs make one bet.
        considered: mean bits with revisions in the place of the answers that were revised.
        revised: how many were.
        calibration: confidence against what came true.
        crps: mean continuous ranked probability score over the reference's (below 1 is better); None without any.
        forecast: questions that were run and that they forecast in this class.
        asked: questions that were run and that they could have forecast; see `palate.ledger.ledger`.
        scores: of the gut answers, in the order in which they were made.
        open: of these, how many are of questions that were seen but never settled.
        provisional: scored without a known noise, so in no skill.
        unscored: of questions of which something was seen, too little to score by.
        waiting: of questions of which nothing has been run.
        void: of their forecasts, questions that were voided.
        void_seen: of these, voided when something of the treatment had been seen.
        void_by: others who voided any of these.
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

    @property
    def coverage(self) -> float:
        """The share of the questions that they forecast in this class: skipping the hard ones shows."""
        return self.forecast / self.asked if self.asked else 0.0


def standings(chain: Chain, still_open: Sequence[Body] = (), begun: frozenset[str] = frozenset()) -> list[Standing]:
    """Read every forecaster's standing from the sealed chain, the one with most forecasts first.

    Args:
        chain: the sealed chain.
        still_open: scores, as they would be sealed now, of questions that were seen but have no verdict.
        begun: experiments without a verdict of which runs of the treatment have ended.
    """
    book = Book(chain, still_open, begun)
    found = [_standing(book, author, kind) for author, kind in book.classes()]
    found += _when_standings(book)
    team = list(_team(book))
    if team:
        found.append(_team_standing(book, team))
    return sorted(found, key=lambda standing: (standing.author == TEAM, -standing.skill.n))


def _standing(book: Book, author: str, kind: str) -> Standing:
    mine = book.forecasts_of(author, kind)
    found = [book.scores[key] for r in mine if (key := r.body.get("sealed_as", r.hash)) in book.scores]
    scored = {body["experiment"] for body in found}
    rest = [name for r in mine if (name := r.body["experiment"]) not in scored and name not in book.void]
    gut = [body for body in found if not body["provisional"]]
    second = book.revisions_of(author)
    claims = [_claim(body, book.said[body["forecast"]]) for body in gut if body["settled"]]
    bits = tuple(_bets(gut))
    asked = asked_of(book.chain, author, book.begun)
    return Standing(
        author=author,
        agent=bool(mine[0].body["agent"]),
        kind=kind,
        skill=skill_of(bits),
        scores=bits,
        considered=_considered(gut, second),
        revised=sum(body["experiment"] in second for body in gut),
        calibration=calibration_of(claims, rng=np.random.default_rng(len(claims))),
        crps=_crps_ratio(gut),
        forecast=len({record.body["experiment"] for record in mine} & asked),
        asked=len(asked),
        open=sum(body["experiment"] not in book.closed for body in gut),
        provisional=sum(body["provisional"] for body in found),
        unscored=sum(name in book.seen for name in rest),
        waiting=sum(name not in book.seen for name in rest),
        **_voided(book, author, [record.body["experiment"] for record in mine]),
        unopened=book.unopened(author) if kind == BLIND else 0,
    )


def _voided(book: Book, author: str, names: Sequence[str]) -> dict[str, Any]:
    """Count, of forecasts by their experiments, the void ones and those voided late; name others who voided any."""
    void = [book.void[name] for name in names if name in book.void]
    others = sorted({body["author"] for body in void} - {author})
    return {"void": len(void), "void_seen": sum(body["seen"] for body in void), "void_by": tuple(others)}


def _bets(bodies: Sequence[Body]) -> Iterator[Scored]:
    """Make one bet of forecasts whose runs are the same, or happen to be: they win and lose together."""
    together: dict[str, list[Body]] = defaultdict(list)
    for body in bodies:
        together[body["runs"]].append(body)
    for same in together.values():
        bits, least, most = (fmean(max(b[name], b["least"]) for b in same) for name in ("bits", "least", "most"))
        yield Scored(bits=bits, least=least, most=most)


def _considered(gut: Sequence[Body], second: Mapping[str, Body]) -> float:
    """Give the mean bits with revisions in the place of the answers that were revised."""
    skill = fmean(score.bits for score in _bets(gut)) if gut else 0.0
    gains = [second[body["experiment"]]["bits"] - body["bits"] for body in gut if body["experiment"] in second]
    return skill + sum(gains) / len(gut) if gut else skill


def _claim(body: Body, said: Record) -> Claim:
    chances: dict[str, float] = body["chances"]
    answer = said.body.get("answer") or max(chances, key=lambda name: chances[name])
    return Claim(
        confidence=chances[answer],
        hit=body["settled"] == answer,
        better=chances["better"],
        was_better=body["settled"] == "better",
        name=body["experiment"],
    )


def _crps_ratio(bodies: Sequence[Body]) -> float | None:
    """Give the mean of the CRPS over the reference's, question by question: metrics have units of their own."""
    ratios = [body["crps"] / body["crps_reference"] for body in bodies if body["crps_reference"]]
    return math.exp(fmean(math.log(max(ratio, 1e-9)) for ratio in ratios)) if ratios else None


def _team(book: Book) -> Iterator[Scored]:
    """Give the score of the mean of all blind gut answers, where there are two or more.

    It is held against the reference that knew most, that of the last of them.
    """
    by_question: dict[str, list[Body]] = defaultdict(list)
    for key in book.said:
        body = book.scores.get(key)
        if body is not None and body["kind"] == BLIND and not body["provisional"]:
            by_question[body["experiment"]].append(body)
    for bodies in by_question.values():
        if len(bodies) > 1:
            reference = bodies[-1]["own"] - bodies[-1]["bits"]
            least, most = (_pooled([body[name] for body in bodies]) for name in ("least", "most"))
            bits = _pooled([body["own"] for body in bodies]) - reference
            yield Scored(bits=max(bits, least), least=min(least, 0.0), most=max(most, 0.0))


def _pooled(logs: Sequence[float]) -> float:
    """Give the log2 of the mean of what these are the log2 of."""
    top = max(logs)
    return top + math.log2(fmean(2.0 ** (value - top) for value in logs))


def _team_standing(book: Book, scores: Sequence[Scored]) -> Standing:
    skill = skill_of(scores)
    nothing = calibration_of([], rng=np.random.default_rng(0))
    return Standing(
        author=TEAM, agent=False, kind=BLIND, skill=skill, considered=skill.mean, revised=0, calibration=nothing,
        crps=None, forecast=len(scores), asked=len(book.seen - set(book.void)), scores=tuple(scores),
    )  # fmt: skip


def _when_standings(book: Book) -> Iterator[Standing]:
    """Give standings of when-forecasts, blind ones and such of running curves apart."""
    said = {r.hash: r.body for r in book.chain.records("when")}
    scores = {r.body["forecast"]: r.body for r in reversed(book.chain.records("when_score"))}
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, body in said.items():
        groups[body["author"], evidence_of_body(body).kind].append(key)
    for (author, kind), keys in groups.items():
        void = _voided(book, author, [said[key]["experiment"] for key in keys])
        done = [scores[key] for key in keys if key in scores and said[key]["experiment"] not in book.void]
        bits = tuple(_bets(done))
        skill = skill_of(bits)
        claims = [_when_claim(body, said[body["forecast"]]) for body in done]
        yield Standing(
            author=author,
            agent=bool(said[keys[0]]["agent"]),
            kind=WHEN if kind == BLIND else f"{WHEN}, {kind}",
            skill=skill,
            scores=bits,
            considered=skill.mean,
            revised=0,
            calibration=calibration_of(claims, rng=np.random.default_rng(len(claims)), curve=False),
            crps=None,
            forecast=len(keys) - void["void"],
            asked=0,
            **void,
        )


def _when_claim(body: Body, said: Body) -> Claim:
    sure, hit = said["confidence"] / 100, body["happened"] == said["tenth"]
    return Claim(confidence=sure, hit=hit, better=sure, was_better=hit, name=body["run"])
