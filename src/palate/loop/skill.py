"""How the forecasters of a project do: skill over the reference, calibration, and how much they dared to forecast."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from palate.forecast.answer import Forecast
from palate.forecast.calibration import Calibration, calibration_of
from palate.forecast.score import Chances, chances_of, score_bounds
from palate.forecast.skill import Scored, Skill, skill_of
from palate.loop.ledger import OUTCOMES
from palate.store.chain import Chain, Record

BLIND, MID_RUN = "blind", "mid-run"
"""Forecasts made with nothing of the treatment to be seen, and those made after some of its points: never mixed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a forecaster stands.

    Attributes:
        author: who.
        kind: blind, or mid-run.
        skill: bits over the reference.
        calibration: confidence against what came true.
        forecast: questions that they forecast.
        asked: questions of the project that were settled or forecast.
    """

    author: str
    kind: str
    skill: Skill
    calibration: Calibration
    forecast: int
    asked: int

    @property
    def coverage(self) -> float:
        """The share of the questions that they forecast: skipping the hard ones shows."""
        return self.forecast / self.asked if self.asked else 0.0


def standings(chain: Chain) -> list[Standing]:
    """Read every forecaster's standing from the sealed chain, the one with most forecasts first."""
    said: dict[str, Record] = {record.hash: record for record in chain.records("forecast")}
    verdicts = {record.body["experiment"]: record.body["kind"] for record in chain.records("verdict")}
    asked = {record.body["experiment"] for record in chain.records("question")}
    groups: dict[tuple[str, str], list[tuple[Record, float]]] = {}
    for record in chain.records("score"):
        forecast = said.get(record.body["forecast"])
        if forecast is not None:
            kind = MID_RUN if forecast.body["evidence_seen"] else BLIND
            groups.setdefault((forecast.body["author"], kind), []).append((forecast, record.body["bits"]))
    counted = {record.hash: record.body["author"] for record in said.values()}
    found = [
        _standing(author, kind, scored, verdicts, sum(name == author for name in counted.values()), len(asked))
        for (author, kind), scored in groups.items()
    ]
    return sorted(found, key=lambda standing: -standing.skill.n)


def _standing(
    author: str,
    kind: str,
    scored: Sequence[tuple[Record, float]],
    verdicts: dict[str, str],
    forecast: int,
    asked: int,
) -> Standing:
    bits = [_scored(record, value) for record, value in scored]
    closed = [
        record.body for record, _ in scored if OUTCOMES.get(verdicts.get(record.body["experiment"], "")) is not None
    ]
    sure = [body["confidence"] / 100 for body in closed]
    hits = [OUTCOMES[verdicts[body["experiment"]]] == body["answer"] for body in closed]
    return Standing(
        author=author,
        kind=kind,
        skill=skill_of(bits),
        calibration=calibration_of(sure, hits, rng=np.random.default_rng(len(sure))),
        forecast=forecast,
        asked=asked,
    )


def _scored(record: Record, bits: float) -> Scored:
    """Give a score with the bounds that its forecast had when it was sealed."""
    body = record.body
    reference = Chances(**body["reference"])
    chances = chances_of(Forecast(answer=body["answer"], confidence=body["confidence"]), reference)
    least, most = score_bounds(chances, reference)
    return Scored(bits=min(max(bits, least), most), least=least, most=most)


def document_of(standing: Standing) -> dict[str, Any]:
    """Give a standing as plain JSON data; bounds that are not known yet are null."""
    told = asdict(standing)
    for name in ("low", "high"):
        told["skill"][name] = told["skill"][name] if np.isfinite(told["skill"][name]) else None
    return {**told, "coverage": standing.coverage}


def words_of(standing: Standing) -> list[str]:
    """Say where somebody stands: the word first, the number second, how many more third."""
    skill, calibration = standing.skill, standing.calibration
    kind = "" if standing.kind == BLIND else " (mid-run forecasts)"
    more = f", about {skill.more} more would tell" if skill.more else ""
    span = f" (between {skill.low:+.2f} and {skill.high:+.2f})" if skill.n else ""
    return [
        f"{standing.author}{kind}: {skill.state}, {skill.mean:+.2f} bits over the reference{span}{more}.",
        f"  {skill.n} scored; {standing.forecast} of {standing.asked} questions forecast ({standing.coverage:.0%}).",
        f"  {calibration.words}",
        *plot_of(calibration),
    ]


ROWS, COLUMNS = 11, 44


def plot_of(calibration: Calibration) -> list[str]:
    """Draw the reliability curve in characters: `o` what came true, `:` the band of a perfectly calibrated person."""
    if not calibration.curve:
        return []
    grid = [[" "] * COLUMNS for _ in range(ROWS)]
    for point in calibration.curve:
        column = round(point.said * (COLUMNS - 1))
        for row in range(_row(point.high), _row(point.low) + 1):
            grid[row][column] = ":"
        grid[_row(point.came_true)][column] = "o"
    labels = ["100 %", *[""] * (ROWS // 2 - 1), " 50 %", *[""] * (ROWS // 2 - 1), "  0 %"]
    told = [f"  {label:>5} |{''.join(cells)}" for label, cells in zip(labels, grid, strict=True)]
    return [*told, f"  {'':>5} +{'-' * COLUMNS}", f"  {'':>5}  0 %{'said':^{COLUMNS - 8}}100 %"]


def _row(share: float) -> int:
    return round((1 - share) * (ROWS - 1))
