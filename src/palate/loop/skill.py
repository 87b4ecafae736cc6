"""How the forecasters of a project do: skill over the reference, calibration, and how much they dared to forecast."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from palate.forecast.calibration import Calibration, Claim, calibration_of
from palate.forecast.skill import Scored, Skill, skill_of
from palate.loop.ledger import BLIND
from palate.store.chain import Chain, Record

WHEN = "when"
TEAM = "mean of all"
"""The mean of what everybody forecast blind, one more forecaster: it beats nearly everybody in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a forecaster stands, in one class of forecasts.

    Attributes:
        author: who.
        agent: whether it is an agent.
        kind: blind, "25 %" (of the curve seen), when.
        skill: bits over the reference, of gut answers.
        considered: mean bits with revisions in the place of the answers that were revised.
        revised: how many were.
        calibration: confidence against what came true.
        crps: mean continuous ranked probability score over the reference's (below 1 is better); None without any.
        forecast: questions that they forecast.
        asked: questions of the project, void ones left out.
        scores: of the gut answers, in the order in which they were scored.
        provisional: scored without a known noise, so in no skill.
        void: of their forecasts, questions that were voided.
        void_after: of these, voided when the outcome was visible.
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
    provisional: int = 0
    void: int = 0
    void_after: int = 0

    @property
    def coverage(self) -> float:
        """The share of the questions that they forecast: skipping the hard ones shows."""
        return self.forecast / self.asked if self.asked else 0.0


def standings(chain: Chain) -> list[Standing]:
    """Read every forecaster's standing from the sealed chain, the one with most forecasts first."""
    book = _Book(chain)
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in book.scores:
        groups[record.body["author"], record.body["kind"]].append(record)
    found = [_standing(book, author, kind, scores) for (author, kind), scores in groups.items()]
    found += _when_standings(chain)
    team = list(_team(book))
    if len({record.body["author"] for record in book.scores}) > 1 and team:
        found.append(_team_standing(book, team))
    return sorted(found, key=lambda standing: (standing.author == TEAM, -standing.skill.n))


class _Book:
    """What the chain says that standings need."""

    def __init__(self, chain: Chain) -> None:
        voided = {record.body["experiment"]: record.body for record in chain.records("void")}
        self.voided = voided
        self.scores = [r for r in chain.records("score") if r.body["experiment"] not in voided]
        self.said = {r.body.get("sealed_as", r.hash): r for r in chain.records("forecast")}
        self.asked = len({r.body["experiment"] for r in chain.records("question")} - set(voided))

    def forecasts_of(self, author: str) -> list[Record]:
        """Give the gut answers that somebody sealed."""
        return [record for record in self.said.values() if record.body["author"] == author]


def _standing(book: _Book, author: str, kind: str, scores: Sequence[Record]) -> Standing:
    sure = [record.body for record in scores if not record.body["provisional"]]
    gut = [body for body in sure if body["turn"] == "forecast"]
    second = {body["experiment"]: body["bits"] for body in sure if body["turn"] == "revision"}
    bits = tuple(_scored(body) for body in gut)
    claims = [_claim(body, book.said[body["forecast"]]) for body in gut if body["settled"]]
    mine = book.forecasts_of(author)
    void = [book.voided[r.body["experiment"]] for r in mine if r.body["experiment"] in book.voided]
    return Standing(
        author=author,
        agent=bool(scores[0].body["agent"]),
        kind=kind,
        skill=skill_of(bits),
        scores=bits,
        considered=fmean(second.get(body["experiment"], body["bits"]) for body in gut) if gut else 0.0,
        revised=len(second),
        calibration=calibration_of(claims, rng=np.random.default_rng(len(claims))),
        crps=_crps_ratio(gut),
        forecast=len({record.body["experiment"] for record in mine} - set(book.voided)),
        asked=book.asked,
        provisional=sum(record.body["provisional"] for record in scores),
        void=len(void),
        void_after=sum(body["outcome_seen"] for body in void),
    )


def _scored(body: Mapping[str, Any]) -> Scored:
    """Give a score with the bounds that its forecast had when it was sealed; rounding must not leave them."""
    return Scored(bits=max(body["bits"], body["least"]), least=body["least"], most=body["most"])


def _claim(body: Mapping[str, Any], said: Record) -> Claim:
    chances: dict[str, float] = body["chances"]
    answer = said.body.get("answer") or max(chances, key=lambda name: chances[name])
    return Claim(
        confidence=chances[answer],
        hit=body["settled"] == answer,
        better=chances["better"],
        was_better=body["settled"] == "better",
        name=body["experiment"],
    )


def _crps_ratio(bodies: Sequence[Mapping[str, Any]]) -> float | None:
    """Give the mean of the CRPS over the reference's, question by question: metrics have units of their own."""
    ratios = [body["crps"] / body["crps_reference"] for body in bodies if body["crps_reference"]]
    return math.exp(fmean(math.log(max(ratio, 1e-9)) for ratio in ratios)) if ratios else None


def _team(book: _Book) -> Iterator[Scored]:
    """Give the score of the mean of all blind gut answers, where there are two or more.

    All of them are held against the same reference, so the mean density's bits are the log of the mean of 2^bits.
    """
    by_question: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in book.scores:
        body = record.body
        if body["turn"] == "forecast" and body["kind"] == BLIND and not body["provisional"]:
            by_question[body["experiment"]].append(body)
    for bodies in by_question.values():
        if len(bodies) > 1:
            bits, least, most = (_pooled([b[name] for b in bodies]) for name in ("bits", "least", "most"))
            yield Scored(bits=max(bits, least), least=min(least, 0.0), most=max(most, 0.0))


def _pooled(bits: Sequence[float]) -> float:
    return math.log2(fmean(2.0**value for value in bits))


def _team_standing(book: _Book, scores: Sequence[Scored]) -> Standing:
    skill = skill_of(scores)
    nothing = calibration_of([], rng=np.random.default_rng(0))
    return Standing(
        author=TEAM, agent=False, kind=BLIND, skill=skill, considered=skill.mean, revised=0, calibration=nothing,
        crps=None, forecast=len(scores), asked=book.asked, scores=tuple(scores),
    )  # fmt: skip


def _when_standings(chain: Chain) -> Iterator[Standing]:
    """Give standings of when-forecasts, blind ones and such of running curves apart."""
    said = {record.hash: record.body for record in chain.records("when")}
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for record in chain.records("when_score"):
        groups[record.body["author"], record.body["kind"]].append(record.body)
    for (author, kind), bodies in groups.items():
        scores = tuple(_scored(body) for body in bodies)
        skill = skill_of(scores)
        claims = [_when_claim(body, said[body["forecast"]]) for body in bodies]
        yield Standing(
            author=author,
            agent=bool(bodies[0]["agent"]),
            kind=WHEN if kind == BLIND else f"{WHEN}, {kind}",
            skill=skill,
            scores=scores,
            considered=skill.mean,
            revised=0,
            calibration=calibration_of(claims, rng=np.random.default_rng(len(claims))),
            crps=None,
            forecast=sum(body["author"] == author for body in said.values()),
            asked=len(said),
        )


def _when_claim(body: Mapping[str, Any], said: Mapping[str, Any]) -> Claim:
    sure, hit = said["confidence"] / 100, body["happened"] == said["tenth"]
    return Claim(confidence=sure, hit=hit, better=sure, was_better=hit, name=body["run"])


def document_of(standing: Standing) -> dict[str, Any]:
    """Give a standing as plain JSON data; bounds that are not known yet are null."""
    told = asdict(standing)
    told["bits"] = [score["bits"] for score in told.pop("scores")]
    for name in ("low", "high"):
        told["skill"][name] = told["skill"][name] if np.isfinite(told["skill"][name]) else None
    return {**told, "coverage": standing.coverage}


def words_of(standing: Standing, *, plot: bool = True) -> list[str]:
    """Say where somebody stands: the word first, the number second, how many more third.

    Args:
        standing: of whom.
        plot: whether the reliability curve is drawn in characters below it.
    """
    skill, calibration = standing.skill, standing.calibration
    more = f", about {skill.more} more would tell" if skill.more else ""
    span = f" (between {skill.low:+.2f} and {skill.high:+.2f})" if skill.n else ""
    told = [f"{_who(standing)}: {skill.state}, {skill.mean:+.2f} bits over the reference{span}{more}."]
    told.append(f"  {_counts(standing)}")
    if standing.author == TEAM:
        return told
    told.append(f"  {calibration.words}")
    told += [f"  {line}" for line in (_trend(skill), _revisions(standing), _left_out(standing)) if line]
    return [*told, *(plot_of(calibration) if plot else ())]


def _who(standing: Standing) -> str:
    kinds = {BLIND: "", WHEN: " (when-forecasts)"}
    kind = kinds.get(standing.kind, f" ({standing.kind} of the curve seen)")
    return f"{standing.author}{' [agent]' if standing.agent else ''}{kind}"


def _counts(standing: Standing) -> str:
    things = "when-forecasts sealed" if standing.kind.startswith(WHEN) else "questions forecast"
    crps = "" if standing.crps is None else f" CRPS {standing.crps:.2f} of the reference's."
    share = f" ({standing.coverage:.0%})" if standing.asked else ""
    return f"{standing.skill.n} scored; {standing.forecast} of {standing.asked} {things}{share}.{crps}"


def _trend(skill: Skill) -> str:
    words = {"improving": "Getting better over time.", "falling": "Getting worse over time."}
    return words.get(skill.trend, "")


def _revisions(standing: Standing) -> str:
    if not standing.revised:
        return ""
    gain = standing.considered - standing.skill.mean
    return f"{standing.revised} revised after the reference was shown: {gain:+.2f} bits a forecast."


def _left_out(standing: Standing) -> str:
    parts = []
    if standing.provisional:
        parts.append(f"{standing.provisional} provisional, not counted")
    if standing.void:
        after = f", {standing.void_after} of them after the outcome" if standing.void_after else ""
        parts.append(f"{standing.void} voided{after}")
    return "; ".join(parts) + "." if parts else ""


ROWS, COLUMNS = 11, 51


def plot_of(calibration: Calibration) -> list[str]:
    """Draw the reliability curve of "better": `o` what came true, `:` where a calibrated person's would lie."""
    if not calibration.curve:
        return []
    grid = [[" "] * COLUMNS for _ in range(ROWS)]
    for point in calibration.curve:
        column = round(point.said * (COLUMNS - 1))
        for row in range(_row(point.high), _row(point.low) + 1):
            grid[row][column] = ":"
        grid[_row(point.came_true)][column] = "o"
    labels = ["100 %", *[""] * (ROWS // 2 - 1), " 50 %", *[""] * (ROWS // 2 - 1), "  0 %"]
    told = [f"  {label:>5} |{''.join(cells).rstrip()}" for label, cells in zip(labels, grid, strict=True)]
    foot = f"  {'':>5}  0 %{'said that it gets better':^{COLUMNS - 8}}100 %"
    return [
        "  how often it did (: is where a calibrated person's would lie)",
        *told,
        f"  {'':>5} +{'-' * COLUMNS}",
        foot,
    ]


def _row(share: float) -> int:
    return round((1 - share) * (ROWS - 1))
