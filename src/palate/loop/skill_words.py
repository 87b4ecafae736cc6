"""Standings in words, in characters, and as plain data."""

from dataclasses import asdict
from typing import Any

import numpy as np

from palate.forecast.calibration import Calibration
from palate.forecast.skill import Skill
from palate.loop.forecaster import BLIND, PART, REPEAT, TEAM
from palate.loop.skill import WHEN, Standing


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
    skill = standing.skill
    told = [f"{_who(standing)}: {_skill_words(skill)}", f"  {_counts(standing)}"]
    if standing.author == TEAM:
        return told
    told.append(f"  {standing.calibration.words}")
    told += [f"  {line}" for line in (_trend(skill), _revisions(standing), _left_out(standing)) if line]
    return [*told, *(plot_of(standing.calibration) if plot else ())]


def _skill_words(skill: Skill) -> str:
    if not skill.n:
        return "nothing is scored yet."
    more = f", about {skill.more} more would tell" if skill.more else ""
    span = f"(between {skill.low:+.2f} and {skill.high:+.2f})"
    return f"{skill.state}, {skill.mean:+.2f} bits over the reference {span}{more}."


def _who(standing: Standing) -> str:
    kinds = {
        BLIND: "",
        WHEN: " (when-forecasts)",
        REPEAT: " (changes that were tried before)",
        PART: " (part of the curve seen)",
    }
    kind = kinds.get(standing.kind, f" (up to {standing.kind} of the curve seen)")
    if standing.kind.startswith(f"{WHEN}, "):
        kind = f" (when-forecasts, {standing.kind.removeprefix(f'{WHEN}, ')} seen)"
    return f"{standing.author}{' [agent]' if standing.agent else ''}{kind}"


def _counts(standing: Standing) -> str:
    n = standing.skill.n
    if standing.kind.startswith(WHEN):
        return f"{n} scored of {standing.forecast} sealed."
    crps = "" if standing.crps is None else f" CRPS {standing.crps:.2f} of the reference's."
    share = f" ({standing.coverage:.0%})" if standing.asked else ""
    asked = f"{standing.asked} question{'s' * (standing.asked != 1)}"
    return f"{n} scored; {standing.forecast} of {asked} forecast{share}.{crps}"


def _trend(skill: Skill) -> str:
    words = {"improving": "Getting better over time.", "falling": "Getting worse over time."}
    return words.get(skill.trend, "")


def _revisions(standing: Standing) -> str:
    if not standing.revised:
        return ""
    gain = standing.considered - standing.skill.mean
    return f"{standing.revised} revised: {gain:+.2f} bits a forecast."


def _left_out(standing: Standing) -> str:
    others = f" by {', '.join(standing.void_by)}" if standing.void_by else ""
    seen = f", {standing.void_seen} of them after something was seen" if standing.void_seen else ""
    parts = (
        (standing.open, "left open, scored by the pairs that there are"),
        (standing.provisional, "provisional, not counted"),
        (standing.unscored, "seen, but too little to score by"),
        (standing.waiting, "not run yet"),
        (standing.void, f"voided{others}{seen}"),
        (standing.unopened, "promised and never opened"),
    )
    told = "; ".join(f"{count} {what}" for count, what in parts if count)
    return f"{told}." if told else ""


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
