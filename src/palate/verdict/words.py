"""Verdicts and failures in words: sentences that claim no more than the numbers support; quick to import."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from palate.vocabulary import Metric

if TYPE_CHECKING:
    from palate.verdict.outlook import Outlook
    from palate.verdict.rule import Failures, Verdict

LUCK = "You would see this by luck less than 1 time in 20, even while watching."

LEVEL = 0.05
"""Level of the test for different failure rates."""

PAIRING_FROM = 5
"""Pairs from which it is said what pairing was worth."""

LITTLE_WORTH = 0.1
"""Correlation of the arms below which pairing by seed saves next to nothing."""

PLAIN = (1e-4, 1e6)
"""Numbers between these are written out; smaller and larger ones with an exponent."""

SEEN_FROM = 4
"""Pairs from which groups of runs are told apart; as in `shape`, which needs numpy."""

WHOLE = 30.0
"""From this width on, whole numbers are enough."""

FEW = 30
"""Runs without a bad one below which it is said how many more could still be bad: at 30, less than 1 in 10."""

SHRUNK = 0.1
"""Share of the measured difference from which it stands beside the shrunk one."""

MOST_DIGITS = 6

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
    first = _failures_first(verdict)
    if verdict.kind == "unclear":
        return first + _unclear(verdict, metric, outlook, pair_s, pair_gpu) + shape_words(verdict)
    return first + _settled(verdict, metric, changes) + shape_words(verdict) + _could_words(verdict)


UNTESTED = {
    "no_pairs": "Cannot tell yet: no pair has finished.",
    "frozen_seeds": "Cannot tell: the seed changes nothing, so all these runs are one run. Is the seed wired in?",
    "one_pair": "Cannot tell yet: one run each says nothing about noise; 1 more pair at least.",
}
"""By the reason, what is said where there was nothing to test."""


def tied_words(verdict: "Verdict", metric: Metric) -> str:
    """Say of pairs that are all equal what is known of the runs, and what would tell more."""
    equal = f"Equal at this resolution: all {verdict.n} pairs have the same {metric.name}"
    if verdict.reason == "ties_alike":
        return (
            f"{equal}, and the curves are equal too; that is all that was logged, and so few steps can agree by chance."
            " A finer metric would tell: log the loss."
        )
    known = (
        "the curves differ"
        if verdict.reason == "ties_differ"
        else "whether the runs are identical is not known from values alone"
    )
    return f"{equal}; {known}. A finer metric (the loss), or more pairs, would tell."


def shape_words(verdict: "Verdict") -> str:
    """Say what was found in the noise that the verdict must not hide, a sentence each; "" where nothing was."""
    shape, n = verdict.shape, verdict.n
    said = []
    for counts, how in ((shape.low, "worse"), (shape.high, "better")):
        named = [
            f"{count} of {n} runs {arm}"
            for count, arm in zip(reversed(counts), ("with the change", "without"), strict=True)
            if count
        ]
        if named:
            said.append(f"{' and '.join(named)} ended far {how} than the rest")
    if shape.skewed:
        said.append(f"runs {'with the change' if shape.skewed == 'treatment' else 'without it'} have a long tail")
    if shape.uneven and verdict.about == "typical":
        said[-1] += ": this is about the typical run (the median), not the mean"
    if shape.groups:
        low, high, low_changed, high_changed = shape.groups
        said.append(
            f"runs fall into two groups, worse and better ({low} and {high} without the change, {low_changed} and"
            f" {high_changed} with it): the mean is that of no single run"
        )
    if shape.spread_ratio:
        wider = shape.spread_ratio if shape.spread_ratio > 1 else 1 / shape.spread_ratio
        arm = "with" if shape.spread_ratio > 1 else "without"
        said.append(f"runs {arm} the change scatter {wider:.0f} times as wide")
    if shape.dependence:
        said.append(
            f"successive seeds resemble each other (correlation {shape.dependence:+.1f}), so they count as fewer runs:"
            " does a run leave something for the next?"
        )
    return "".join(f" {one[0].upper()}{one[1:]}." for one in said)


def _could_words(verdict: "Verdict") -> str:
    """Say how many runs could still go bad where few were seen and none did."""
    seen_bad = verdict.failures.treatment or verdict.failures.baseline or any(verdict.shape.low) or verdict.shape.groups
    if seen_bad or verdict.kind.endswith("small") or not 0 < verdict.n < FEW:
        return ""
    still = 100 * (1 - LEVEL ** (1 / verdict.n))  # as shape.still_could, which needs numpy
    return f" This is about typical runs: 0 of {verdict.n} with the change went bad; up to {still:.0f} % still could."


def effect_words(verdict: "Verdict", metric: Metric) -> str:
    """Return the effect with its interval, in the metric's own sign: `+0.6 points (between +0.2 and +1.1)`."""
    if verdict.effect is None or verdict.low is None or verdict.high is None:
        return ""
    values = _own_sign(metric, verdict)
    form = _form(metric, verdict.high - verdict.low)
    if verdict.kind.startswith(("better", "worse")):
        form = _without_zeros(metric, values, form)
    effect, low, high = (_signed(metric, x, form) for x in values)
    return f"{effect}{metric.unit} (between {low} and {high}{_measured(verdict, metric, form, effect)})"


def _measured(verdict: "Verdict", metric: Metric, form: str, effect: str) -> str:
    """Return the difference as measured, where the effect shown is visibly shrunk towards zero."""
    if verdict.raw is None or verdict.effect is None or verdict.about != "mean":
        return ""
    raw = _signed(metric, metric.sign * verdict.raw, form)
    return (
        f"; {raw} as measured"
        if raw != effect and abs(verdict.raw - verdict.effect) > SHRUNK * abs(verdict.raw)
        else ""
    )


def _without_zeros(metric: Metric, values: Sequence[float], form: str) -> str:
    """Return a format with so many digits that none of these numbers is shown as 0, unless it is."""
    if not form.endswith("f"):
        return form
    digits = int(form[1:-1])
    while digits < MOST_DIGITS and any(value and not float(_signed(metric, value, f".{digits}f")) for value in values):
        digits += 1
    return f".{digits}f"


def size_words(value: float, metric: Metric, width: float) -> str:
    """Return a size without a sign, with as many digits as an interval of this width justifies."""
    return f"{abs(value) * metric.scale:{_form(metric, width)}}{metric.unit}"


def _settled(verdict: "Verdict", metric: Metric, changes: int) -> str:
    if verdict.kind == "same":
        bound = size_words(verdict.margin or 0.0, metric, verdict.margin or 1.0)
        return (
            f"No difference that matters{_qualifier(verdict)}: whatever it is, it is under {bound}"
            f" ({_evidence(verdict)})."
        )
    word = "Better" if verdict.kind.startswith("better") else "Worse"
    numbers = f"{effect_words(verdict, metric)}, {_evidence(verdict)}"
    if verdict.kind.endswith("small"):
        bound = size_words(verdict.margin or 0.0, metric, verdict.margin or 1.0)
        return f"{word}{_qualifier(verdict)}, but too small to matter: {numbers}, under {bound}."
    if changes > 1:
        moved = "gain" if word == "Better" else "loss"
        count = _NUMBERS.get(changes, str(changes))
        return (
            f"{count} things changed at once: the {moved} is real, which change caused it is unknown: {numbers}. {LUCK}"
        )
    return f"{word}{_qualifier(verdict)}: {numbers}. {LUCK}"


def _qualifier(verdict: "Verdict") -> str:
    """Return of which runs a verdict speaks, where not of all."""
    typical = " in the typical run" if verdict.about == "typical" else ""
    return typical + (" among runs that finished" if verdict.failures.baseline or verdict.failures.treatment else "")


def _unclear(verdict: "Verdict", metric: Metric, outlook: "Outlook | None", pair_s: float | None, pair_gpu: str) -> str:
    if verdict.reason == "one_pair" and verdict.noise == "history":
        return _one_run_each(verdict, metric)
    if verdict.reason in UNTESTED:
        return UNTESTED[verdict.reason]
    if verdict.reason.startswith("ties"):
        return tied_words(verdict, metric)
    low, high = verdict.low or 0.0, verdict.high or 0.0
    if metric.sign < 0:
        low, high = -high, -low
    form = _form(metric, high - low)
    where = f"somewhere between {_signed(metric, low, form)} and {_signed(metric, high, form)}{metric.unit}"
    if verdict.shape.waits:
        missing = min(SEEN_FROM, verdict.budget) - verdict.n
        return (
            f"Cannot tell yet: {_pairs(verdict.n)}, {where}. So few runs that fall into groups, or scatter very"
            f" differently, could look the same: {missing} more pair{'s' * (missing != 1)} would tell."
        )
    if verdict.about == "typical":
        outlook = None  # it is on the mean
    if verdict.reason:
        return (
            f"Cannot tell within {_evidence(verdict)}: {where}. A bigger budget, or a larger margin, would settle it."
        )
    return f"Cannot tell yet: {_evidence(verdict)}, {where}{_more(outlook, pair_s, pair_gpu)}."


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


def _failures_first(verdict: "Verdict") -> str:
    """Return how many runs failed, which comes before what the others say; "" where none did."""
    counts = verdict.failures
    if not (counts.baseline or counts.treatment):
        return ""
    return (
        f"{counts.treatment} of {counts.treatment_runs} runs with the change failed,"
        f" {counts.baseline} of {counts.baseline_runs} without. "
    )


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
    shown = f"{value * metric.scale:+{form}}"
    return shown if float(shown) else shown[1:]  # neither +0.0 nor -0.0


def _evidence(verdict: "Verdict") -> str:
    """Return what a verdict rests on: its pairs, and the baseline runs beside them."""
    beside = f" beside {verdict.bank} more baseline run{'s' * (verdict.bank != 1)}" if verdict.bank else ""
    return f"{_pairs(verdict.n)}{beside}"


def _pairs(n: int) -> str:
    return f"{n} pair{'s' if n != 1 else ''}"


def kind_words(kind: str, failures: Mapping[str, int], about: str = "mean") -> str:
    """Return a verdict in a few words, for a table: with what the bare word would hide.

    Args:
        kind: the verdict's.
        failures: failed runs and runs of each arm, by the names of `Failures`.
        about: "mean", or "typical".
    """
    baseline, treatment = failures.get("baseline", 0), failures.get("treatment", 0)
    word = f"{kind} in the typical run" if about == "typical" else kind
    if kind == "failed" or not (baseline or treatment):
        return word
    failed = [f"{treatment} of {failures.get('treatment_runs', 0)} failed"] if treatment else []
    if baseline:
        failed.append(f"{baseline} of {failures.get('baseline_runs', 0)} without the change failed")
    return f"{word} among finished, {', '.join(failed)}"


def pairing_words(correlation: float | None, n: int) -> str:
    """Say what pairing by seed saved, with the range that the correlation leaves; "" where nothing can be said.

    Unpaired arms need 1 / (1 - r) times as many runs for the same interval. The range is Fisher's, of 95 %, for r.
    """
    if correlation is None or n < PAIRING_FROM:
        return ""
    z, half = math.atanh(max(min(correlation, 0.999), -0.999)), 1.96 / math.sqrt(n - 3)
    low, high = math.tanh(z - half), math.tanh(z + half)
    if high < LITTLE_WORTH:
        return f"Pairing by seed buys nothing here (correlation of the arms over seeds {correlation:+.2f})."
    if low <= 0:
        return (
            "Whether pairing by seed helps is not known yet"
            f" (correlation of the arms {correlation:+.2f}, between {low:+.2f} and {high:+.2f})."
        )
    saved, least, most = (round(n * r / (1 - min(r, 0.98))) for r in (correlation, low, high))
    return (
        f"Pairing by seed saved about {saved} runs an arm (between {least} and {most}; correlation {correlation:+.2f})."
    )


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
