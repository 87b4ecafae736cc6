"""What is sealed, in words and as plain data: standings, scored forecasts one by one, what one experiment holds."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from palate.forecast.answer import said_words
from palate.forecast.calibration import Calibration
from palate.forecast.skill import Skill
from palate.forecast.when import NEVER
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.ledger.records import (
    BLIND,
    PART,
    REPEAT,
    TEAM,
    SealedForecast,
    SealedScore,
    SealedVoid,
    SealedWhen,
    SealedWhenScore,
    reference_body,
    said_body,
)
from palate.ledger.standings import WHEN, Standing


def document_of(standing: Standing) -> dict[str, Any]:
    """Return a standing as plain JSON data; bounds that are not known yet are null."""
    document = asdict(standing)
    document["bits"] = [score["bits"] for score in document.pop("scores")]
    for name in ("low", "high"):
        document["skill"][name] = document["skill"][name] if np.isfinite(document["skill"][name]) else None
    return {**document, "coverage": standing.coverage}


def words_of(standing: Standing, *, plot: bool = True) -> list[str]:
    """Say where somebody stands: the word first, the number second, how many more third.

    Args:
        standing: of whom.
        plot: whether the reliability curve is drawn in characters below it.
    """
    skill = standing.skill
    lines = [f"{_who(standing)}: {_skill_words(skill)}", f"  {_counts(standing)}"]
    if standing.author == TEAM:
        return lines
    lines.append(f"  {standing.calibration.words}")
    lines += [f"  {family.words}." for family in standing.families]
    lines += [f"  {line}" for line in (_trend(skill), _revisions(standing), _left_out(standing)) if line]
    return [*lines, *(plot_of(standing.calibration) if plot else ())]


def _skill_words(skill: Skill) -> str:
    if not skill.n:
        return "nothing is scored yet."
    more = f", about {skill.more} more would tell" if skill.more else ""
    span = f"(between {skill.low:+.2f} and {skill.high:+.2f})"
    return f"{skill.state}, {skill.mean:+.2f} bits a forecast against the project's own odds {span}{more}."


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
    share = f" ({standing.coverage:.0%})" if standing.asked else ""
    asked = f"{standing.asked} question{'s' * (standing.asked != 1)}"
    return f"{n} scored; {standing.forecast} of {asked} forecast{share}."


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
    seen = f", {standing.void_seen} of them after something was seen: counted at worst" if standing.void_seen else ""
    parts = (
        (standing.open, "left open, scored by the pairs that there are"),
        (standing.provisional, "provisional, not counted"),
        (standing.unscored, "seen, but too little to score by"),
        (standing.waiting, "not run yet"),
        (standing.void, f"voided{others}{seen}"),
        (standing.unopened, "promised and never opened"),
    )
    words = "; ".join(f"{count} {what}" for count, what in parts if count)
    return f"{words}." if words else ""


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
    rows = [f"  {label:>5} |{''.join(cells).rstrip()}" for label, cells in zip(labels, grid, strict=True)]
    foot = f"  {'':>5}  0 %{'said that it gets better':^{COLUMNS - 8}}100 %"
    return [
        "  how often it did (: is where a calibrated person's would lie)",
        *rows,
        f"  {'':>5} +{'-' * COLUMNS}",
        foot,
    ]


def _row(share: float) -> int:
    return round((1 - share) * (ROWS - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredForecast:
    """A forecast, or a revision, with its score and its question."""

    experiment: SealedExperiment
    sealed: SealedForecast
    score: SealedScore

    @property
    def counted(self) -> float | None:
        """The bits that are in its author's mean: of first answers that are scored with a known noise.

        One that was voided after something was seen counts at worst, as in skill.
        """
        score, void = self.score.score, self.experiment.void
        if self.score.turn != "forecast" or score.provisional or (void is not None and not void.seen):
            return None
        if void is None:
            return score.bits
        return score.least if void.author == self.score.author.name else min(score.bits, 0.0)

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        score, question = self.score.score, self.experiment.question
        return {
            "experiment": self.experiment.id,
            "author": self.score.author.name,
            "turn": self.score.turn,
            "kind": self.score.kind,
            "bits": score.bits,
            "least": score.least,
            "most": score.most,
            "brier": score.brier,
            "crps": score.crps,
            "crps_reference": score.crps_reference,
            "provisional": score.provisional,
            "question": question.text,
            "said": said_words(self.sealed.said, question.shown.scale, question.shown.unit),
            "verdict": self.score.settled or "not settled",
            "void": self.experiment.void is not None,
        }

    def line(self, who: str) -> str:
        """Say in a line how it did, naming its author as `who`."""
        row = self.document()
        notes = [row["kind"]] if row["kind"] != BLIND else []
        notes += [word for word in ("provisional", "void") if row[word]]
        notes += ["revision"] if row["turn"] == "revision" else []
        noted = f" [{', '.join(notes)}]" if notes else ""
        words = f"{who} said {row['said']}; it was {row['verdict']}{noted}"
        return f"{row['experiment']}  {row['bits']:+5.1f} bits  {words}:  {row['question']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredWhen:
    """A when-forecast with its score; void where its question is."""

    sealed: SealedWhen
    score: SealedWhenScore
    void: bool

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        score = self.score.score
        return {
            "run": self.score.run,
            "event": self.sealed.event.words,
            "said": self.sealed.when.words,
            "void": self.void,
            "kind": self.score.kind,
            "happened": self.score.happened,
            "bits": score.bits,
            "rps": score.rps,
            "rps_reference": score.rps_reference,
        }

    def line(self) -> str:
        """Say in a line how it did."""
        happened = "never" if self.score.happened == NEVER else f"in tenth {self.score.happened + 1}"
        noted = " [void]" if self.void else ""
        words = f"{self.sealed.event.words} {self.sealed.when.words}; it was {happened}{noted}"
        return f"{self.score.run}  {self.score.score.bits:+5.1f} bits  {words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCard:
    """Somebody's scored forecasts, oldest first, and how much they forecast.

    Attributes:
        author: whose.
        scored: forecasts and revisions, in the order in which they were scored.
        whens: when-forecasts.
        asked: questions that were run and that they could have forecast.
        forecast: how many of these they did forecast.
    """

    author: str
    scored: tuple[ScoredForecast, ...]
    whens: tuple[ScoredWhen, ...]
    asked: int
    forecast: int

    @property
    def mean_bits(self) -> float | None:
        """Mean bits over the reference of the first answers that count; None without any."""
        bits = [bits for one in self.scored if (bits := one.counted) is not None]
        return fmean(bits) if bits else None

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data, schema `palate.score/1`."""
        return {
            "schema": "palate.score/1",
            "author": self.author,
            "scored": [one.document() for one in self.scored],
            "when": [one.document() for one in self.whens],
            "mean_bits": self.mean_bits,
            "asked": self.asked,
            "forecast": self.forecast,
            "coverage": self.forecast / self.asked if self.asked else None,
        }

    def lines(self, who: str) -> list[str]:
        """Return it as lines for people, naming the author as `who`."""
        whens = [one.line() for one in self.whens]
        if not self.scored:
            return whens or ["No forecast has been scored yet.", "Next: palate try | palate run FILE.py -c name=value"]
        counts = f"{self.forecast} of {self.asked} questions forecast."
        if self.mean_bits is not None:
            counts = f"{self.mean_bits:+.2f} bits a forecast against the project's own odds (first answers). {counts}"
        rows = [one.line(who) for one in self.scored]
        return [*rows, *whens, counts, "Whether that is skill or luck: palate skill"]


def score_card(ledger: Ledger, author: str) -> ScoreCard:
    """Return somebody's scored forecasts, and how much they forecast."""
    asked = ledger.asked_of(author)
    forecast = {
        experiment.id
        for experiment in ledger.experiments("forecast", "revision")
        if any(sealed.author.name == author for sealed in experiment.forecasts)
    }
    return ScoreCard(
        author=author,
        scored=tuple(one for one in scored_forecasts(ledger) if one.score.author.name == author),
        whens=tuple(_scored_whens(ledger, author)),
        asked=len(asked),
        forecast=len(forecast & asked),
    )


def scored_forecasts(ledger: Ledger) -> list[ScoredForecast]:
    """List everybody's scored forecasts and revisions in the order in which they were scored."""
    experiments = {experiment.id: experiment for experiment in ledger.experiments(SealedScore.KIND)}
    scored = []
    for experiment in experiments.values():
        sealed = {one.hash: one for one in experiment.forecasts}
        scored += [ScoredForecast(experiment=experiment, sealed=sealed[s.forecast], score=s)
                   for s in experiment.scores.values() if s.forecast in sealed]  # fmt: skip
    return sorted(scored, key=lambda one: one.score.number)


def _scored_whens(ledger: Ledger, author: str) -> Iterator[ScoredWhen]:
    sealed = {one.hash: one for one in ledger.whens()}
    void = ledger.having(SealedVoid.KIND)
    for score in ledger.when_scores():
        if score.author.name == author and score.forecast in sealed:
            forecast = sealed[score.forecast]
            yield ScoredWhen(sealed=forecast, score=score, void=forecast.subject.experiment in void)


def forecast_document(sealed: SealedForecast) -> dict[str, Any]:
    """Return a sealed forecast as plain JSON data."""
    return {
        **said_body(sealed.said),
        "turn": sealed.turn,
        "author": sealed.author.name,
        "agent": sealed.author.agent,
        "kind": sealed.kind,
        **sealed.evidence.body(),
        "reference": reference_body(sealed.reference),
        "sealed": sealed.hash,
        "at": sealed.at.isoformat(),
    }


def experiment_document(experiment: SealedExperiment, author: str) -> dict[str, Any]:
    """Return what an author may see of a question's forecasts as plain JSON data, schema `palate.forecast/1`."""
    first, revision = experiment.of(author), experiment.of(author, "revision")
    return {
        "schema": "palate.forecast/1",
        "experiment": experiment.id,
        "question": experiment.question.text,
        "forecast": forecast_document(first) if first else None,
        "revision": forecast_document(revision) if revision else None,
        "forecasts": [forecast_document(sealed) for sealed in experiment.visible(author)],
        "hidden": experiment.hidden(author),
        "skipped": list(experiment.skipped),
        "void": experiment.void.reason if experiment.void else None,
    }


def experiment_lines(experiment: SealedExperiment, author: str) -> list[str]:
    """Return what an author may see of a question's forecasts as lines for people."""
    lines = [f"{experiment.id}  {experiment.question.text}"]
    visible, hidden = experiment.visible(author), experiment.hidden(author)
    lines += [_forecast_line(sealed, experiment) for sealed in visible]
    if hidden:
        lines.append(f"{hidden} of others: hidden until yours is sealed or theirs is opened.")
    if not visible and not hidden:
        lines.append("No forecast is sealed.")
    if experiment.is_missing(author):
        lines.append(f"Yours is not:  palate forecast {experiment.id} better:80")
    if experiment.skipped:
        lines.append(f"Skipped by {', '.join(experiment.skipped)}.")
    if experiment.void is not None:
        after = " after something was seen" if experiment.void.seen else ""
        lines.append(f"Void{after} by {experiment.void.author}: {experiment.void.reason}")
    return lines


def _forecast_line(sealed: SealedForecast, experiment: SealedExperiment) -> str:
    evidence = sealed.evidence
    seen = f"{evidence.points} points seen, {evidence.words}" if evidence.words else "blind"
    turn = " then" if sealed.turn == "revision" else ""
    elsewhere = ", from a colleague's project" if sealed.colleague else ""
    why = f'   "{sealed.said.why}"' if sealed.said.why else ""
    metric = experiment.question.shown
    said = said_words(sealed.said, metric.scale, metric.unit)
    words = f"{sealed.author.name}{' [agent]' if sealed.author.agent else ''}{turn}: {said}"
    return f"{words}   sealed {sealed.hash[:12]} at {sealed.at:%Y-%m-%d %H:%M:%S} UTC, {seen}{elsewhere}{why}"
