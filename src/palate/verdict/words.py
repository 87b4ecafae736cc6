"""Verdicts and failures in words: sentences that claim no more than the numbers support; quick to import."""

import math
from typing import TYPE_CHECKING

from palate.vocabulary import Metric

if TYPE_CHECKING:
    from palate.verdict.outlook import Outlook
    from palate.verdict.rule import Failures, Verdict

LUCK = "You would see this by luck less than 1 time in 20, even while watching."

LEVEL = 0.05
"""Level of the test for different failure rates."""

PLAIN = (1e-4, 1e6)
"""Numbers between these are written out; smaller and larger ones with an exponent."""

WHOLE = 30.0
"""From this width on, whole numbers are enough."""

_NUMBERS = {2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six", 7: "Seven"}


def headline(
    verdict: "Verdict",
    metric: Metric,
    *,
    changes: int = 1,
    outlook: "Outlook | None" = None,
    pair_s: float | None = None,
    pair_gpu: str = "",
) -> str:
    """Return the verdict in one or two sentences.

    Args:
        verdict: the verdict.
        metric: for the unit and the scale.
        changes: how many settings differ between the arms; with more than one, the gain is not credited to any of them.
        outlook: the prediction for further pairs, where the verdict is open.
        pair_s: seconds that a pair takes with all workers.
        pair_gpu: GPU-hours of the pairs that are expected, in words; "" where no GPU is used.
    """
    if verdict.kind == "failed":
        return _failed(verdict)
    if verdict.kind == "nothing":
        return f"Did nothing: {_pairs(verdict.n)} bit-identical. Is the change wired in?"
    if verdict.kind == "unclear":
        return _unclear(verdict, metric, outlook, pair_s, pair_gpu) + _among(verdict)
    return _settled(verdict, metric, changes) + _among(verdict)


def effect_words(verdict: "Verdict", metric: Metric) -> str:
    """Return the effect with its interval, in the metric's own sign: `+0.6 points (between +0.2 and +1.1)`."""
    if verdict.effect is None or verdict.low is None or verdict.high is None:
        return ""
    form = _form(metric, verdict.high - verdict.low)
    effect, low, high = (_signed(metric, x, form) for x in _own_sign(metric, verdict))
    return f"{effect}{metric.unit} (between {low} and {high})"


def size_words(value: float, metric: Metric, width: float) -> str:
    """Return a size without a sign, with as many digits as an interval of this width justifies."""
    return f"{abs(value) * metric.scale:{_form(metric, width)}}{metric.unit}"


def _settled(verdict: "Verdict", metric: Metric, changes: int) -> str:
    if verdict.kind == "same":
        bound = size_words(verdict.margin or 0.0, metric, verdict.margin or 1.0)
        return f"No difference that matters: whatever it is, it is under {bound} ({_pairs(verdict.n)})."
    word = "Better" if verdict.kind.startswith("better") else "Worse"
    numbers = f"{effect_words(verdict, metric)}, {_pairs(verdict.n)}"
    if verdict.kind.endswith("small"):
        bound = size_words(verdict.margin or 0.0, metric, verdict.margin or 1.0)
        return f"{word}, but too small to matter: {numbers}, under {bound}."
    if changes > 1:
        moved = "gain" if word == "Better" else "loss"
        count = _NUMBERS.get(changes, str(changes))
        return (
            f"{count} things changed at once: the {moved} is real, which change caused it is unknown: {numbers}. {LUCK}"
        )
    return f"{word}{_qualifier(verdict)}: {numbers}. {LUCK}"


def _qualifier(verdict: "Verdict") -> str:
    """Return what qualifies "better" and "worse" where the arms failed unequally."""
    return " among runs that finished" if verdict.failures.unequal else ""


def _unclear(verdict: "Verdict", metric: Metric, outlook: "Outlook | None", pair_s: float | None, pair_gpu: str) -> str:
    if verdict.reason == "no_pairs":
        return "Cannot tell yet: no pair has finished."
    if verdict.reason == "frozen_seeds":
        return "Cannot tell: the seed changes nothing, so all these runs are one run. Is the seed wired in?"
    if verdict.reason == "one_pair" and verdict.noise == "history":
        return _one_run_each(verdict, metric)
    if verdict.reason == "one_pair":
        return "Cannot tell yet: one run each says nothing about noise; 1 more pair at least."
    low, high = verdict.low or 0.0, verdict.high or 0.0
    if metric.sign < 0:
        low, high = -high, -low
    form = _form(metric, high - low)
    where = f"somewhere between {_signed(metric, low, form)} and {_signed(metric, high, form)}{metric.unit}"
    if verdict.reason:
        return f"Cannot tell within {_pairs(verdict.n)}: {where}. A bigger budget, or a larger margin, would settle it."
    return f"Cannot tell yet: {_pairs(verdict.n)}, {where}{_more(outlook, pair_s, pair_gpu)}."


def _one_run_each(verdict: "Verdict", metric: Metric) -> str:
    """Say which effects one run each and the known noise allow; no verdict."""
    raw, low, high = verdict.raw or 0.0, verdict.low or 0.0, verdict.high or 0.0
    if metric.sign < 0:
        raw, low, high = -raw, -high, -low
    form = _form(metric, high - low)
    told, least, most = (_signed(metric, value, form) for value in (raw, low, high))
    return f"Cannot tell yet: one run each: {told}{metric.unit}; the noise allows {least} to {most}."


def _more(outlook: "Outlook | None", pair_s: float | None, pair_gpu: str) -> str:
    if outlook is None:
        return ""
    if outlook.low is None or outlook.high is None or outlook.chance < 0.5:
        remedies = " or ".join(outlook.remedies) or "a bigger budget"
        return f"; the budget settles it with {outlook.chance:.0%} chance, {remedies} would help"
    span = f"{outlook.low}" if outlook.low == outlook.high else f"{outlook.low}-{outlook.high}"
    hours = f" and {pair_gpu}" if pair_gpu else ""
    took = "" if pair_s is None else f" (about {duration_words(pair_s * outlook.high)}{hours} at most)"
    return f"; {span} more pair{'s' if span != '1' else ''} expected{took}"


def duration_words(seconds: float) -> str:
    """Return a duration in a unit that fits: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _failed(verdict: "Verdict") -> str:
    counts = verdict.failures
    if counts.treatment_runs and counts.treatment == counts.treatment_runs:
        rest = f"baseline {counts.baseline} of {counts.baseline_runs}"
        return f"Failed: {counts.treatment} of {counts.treatment_runs} runs with the change failed, {rest}."
    return f"Failed: {counts.baseline} of {counts.baseline_runs} runs of the baseline itself failed."


def _among(verdict: "Verdict") -> str:
    counts = verdict.failures
    if not (counts.baseline or counts.treatment):
        return ""
    finished = counts.treatment_runs - counts.treatment
    text = f" Among runs that finished ({finished} of {counts.treatment_runs} with the change"
    if counts.baseline:
        text += f", {counts.baseline_runs - counts.baseline} of {counts.baseline_runs} without"
    return text + ")."


def _own_sign(metric: Metric, verdict: "Verdict") -> tuple[float, float, float]:
    effect, low, high = verdict.effect or 0.0, verdict.low or 0.0, verdict.high or 0.0
    return (effect, low, high) if metric.sign > 0 else (-effect, -high, -low)


def _form(metric: Metric, width: float) -> str:
    """Return the format of numbers that are as exact as an interval of this width: about two of its figures."""
    shown = abs(width) * metric.scale
    if not PLAIN[0] <= shown < PLAIN[1]:
        return ".3g"
    digits = 0 if shown >= WHOLE else max(1, math.ceil(-math.log10(shown)) + 1)
    return f".{digits}f"


def _signed(metric: Metric, value: float, form: str) -> str:
    return f"{value * metric.scale:+{form}}"


def _pairs(n: int) -> str:
    return f"{n} pair{'s' if n != 1 else ''}"


def fails_differently(failures: "Failures") -> float | None:
    """Return the p-value of Boschloo's exact test of equal failure rates (Boschloo 1970); None where no run failed.

    It is valid for a single look, at the end of the budget.
    """
    if not (failures.baseline or failures.treatment):
        return None
    from scipy.stats import boschloo_exact  # takes .5 s to import, and is rarely needed

    table = [
        [failures.treatment, failures.baseline],
        [failures.treatment_runs - failures.treatment, failures.baseline_runs - failures.baseline],
    ]
    return float(boschloo_exact(table).pvalue)


def failure_words(failures: "Failures", *, at_end: bool) -> str:
    """Return the failures in a sentence, at the end with a comparison of the rates; empty where no run failed."""
    counts = (
        f"Failures: {failures.treatment} of {failures.treatment_runs} with the change,"
        f" {failures.baseline} of {failures.baseline_runs} without"
    )
    p = fails_differently(failures)
    if p is None:
        return ""
    if not at_end:
        return f"{counts}."
    if p >= LEVEL:
        return f"{counts}: too few to tell the rates apart."
    more = failures.treatment * failures.baseline_runs > failures.baseline * failures.treatment_runs
    return f"{counts}: the change makes runs fail {'more' if more else 'less'} often."
