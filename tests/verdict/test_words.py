"""What verdicts say: one sentence a case, with the numbers that it may claim."""

import pytest

from palate.verdict.outlook import Outlook
from palate.verdict.rule import Failures, Verdict
from palate.verdict.words import (
    LUCK,
    duration_words,
    effect_words,
    fails_differently,
    failure_words,
    headline,
    size_words,
)
from palate.vocabulary import Metric

ACC = Metric(name="val_acc", goal="max", points=True)
COULD = " This is about typical runs: 0 of 6 with the change went bad; up to 39 % still could."
LOSS = Metric(name="val_loss", goal="min")


def verdict(kind, **more):
    numbers = {"n": 6, "budget": 20, "effect": 0.019, "low": 0.003, "high": 0.036, "margin": 0.01, "spread": 0.01}
    return Verdict(kind=kind, **{**numbers, **more})


SAID = [
    (verdict("better"), ACC, {}, f"Better: +1.9 points (between +0.3 and +3.6), 6 pairs. {LUCK}{COULD}"),
    (verdict("worse", effect=-0.019, low=-0.036, high=-0.003), ACC, {},
     f"Worse: -1.9 points (between -3.6 and -0.3), 6 pairs. {LUCK}{COULD}"),
    (verdict("better"), LOSS, {}, f"Better: -0.019 (between -0.036 and -0.003), 6 pairs. {LUCK}{COULD}"),
    (verdict("better"), ACC, {"changes": 3},
     "Three things changed at once: the gain is real, which change caused it is unknown: "
     f"+1.9 points (between +0.3 and +3.6), 6 pairs. {LUCK}{COULD}"),
    (verdict("worse", effect=-0.019, low=-0.036, high=-0.003), ACC, {"changes": 8},
     "8 things changed at once: the loss is real, which change caused it is unknown: "
     f"-1.9 points (between -3.6 and -0.3), 6 pairs. {LUCK}{COULD}"),
    (verdict("better_small", effect=0.004, low=0.001, high=0.007), ACC, {},
     "Better, but too small to matter: +0.40 points (between +0.10 and +0.70), 6 pairs, under 1.0 points."),
    (verdict("same"), ACC, {}, "No difference that matters: whatever it is, it is under 1.0 points (6 pairs)." + COULD),
    (verdict("nothing", n=2), ACC, {}, "Did nothing: 2 pairs bit-identical. Is the change wired in?"),
    (verdict("better", failures=Failures(baseline=0, treatment=2, baseline_runs=8, treatment_runs=8)), ACC, {},
     "2 of 8 runs with the change failed, 0 of 8 without. "
     f"Better among runs that finished: +1.9 points (between +0.3 and +3.6), 6 pairs. {LUCK}"),
    (verdict("better", failures=Failures(baseline=1, treatment=1, baseline_runs=8, treatment_runs=8)), ACC, {},
     "1 of 8 runs with the change failed, 1 of 8 without. "
     f"Better among runs that finished: +1.9 points (between +0.3 and +3.6), 6 pairs. {LUCK}"),
    (verdict("same", n=8, failures=Failures(treatment=4, baseline_runs=10, treatment_runs=10)), ACC, {},
     "4 of 10 runs with the change failed, 0 of 10 without. No difference that matters among runs that finished: "
     "whatever it is, it is under 1.0 points (8 pairs)."),
    (verdict("failed", failures=Failures(baseline=1, treatment=8, baseline_runs=8, treatment_runs=8)), ACC, {},
     "Failed: 8 of 8 runs with the change failed, baseline 1 of 8."),
    (verdict("failed", failures=Failures(baseline=8, treatment=7, baseline_runs=8, treatment_runs=8)), ACC, {},
     "Failed: 8 of 8 runs of the baseline itself failed."),
    (verdict("failed", failures=Failures(baseline=2, treatment=2, baseline_runs=2, treatment_runs=2)), ACC, {},
     "Failed: 2 of 2 runs with the change failed, baseline 2 of 2."),
    (verdict("failed", failures=Failures(baseline=2, baseline_runs=2)), ACC, {},
     "Failed: 2 of 2 runs of the baseline itself failed."),
    (verdict("worse", effect=-0.019, low=-0.036, high=-0.003,
             failures=Failures(baseline=1, treatment=0, baseline_runs=7, treatment_runs=6)), ACC, {},
     "0 of 6 runs with the change failed, 1 of 7 without. "
     f"Worse among runs that finished: -1.9 points (between -3.6 and -0.3), 6 pairs. {LUCK}"),
    (verdict("better"), ACC, {"changes": 2},
     "Two things changed at once: the gain is real, which change caused it is unknown: "
     f"+1.9 points (between +0.3 and +3.6), 6 pairs. {LUCK}{COULD}"),
    (verdict("same", margin=0.005, n=1), ACC, {},
     "No difference that matters: whatever it is, it is under 0.50 points (1 pair)."
     " This is about typical runs: 0 of 1 with the change went bad; up to 95 % still could."),
    (verdict("unclear", low=-0.01), ACC, {"outlook": Outlook(chance=0.49, low=4, high=9)},
     "Cannot tell yet: 6 pairs, somewhere between -1.0 and +3.6 points; the budget settles it with 49% chance, "
     "a bigger budget would help."),
    (verdict("unclear", low=-0.01), ACC, {"outlook": Outlook(chance=0.6, low=2, high=2), "pair_s": 20.0},
     "Cannot tell yet: 6 pairs, somewhere between -1.0 and +3.6 points; 2 more pairs expected (about 40 s at most)."),
    (verdict("unclear", reason="no_pairs"), ACC, {}, "Cannot tell yet: no pair has finished."),
    (verdict("unclear", reason="one_pair", n=1), ACC, {},
     "Cannot tell yet: one run each says nothing about noise; 1 more pair at least."),
    (verdict("unclear", reason="frozen_seeds"), ACC, {},
     "Cannot tell: the seed changes nothing, so all these runs are one run. Is the seed wired in?"),
    (verdict("unclear", low=-0.01), ACC, {}, "Cannot tell yet: 6 pairs, somewhere between -1.0 and +3.6 points."),
    (verdict("unclear", low=-0.01), LOSS, {}, "Cannot tell yet: 6 pairs, somewhere between -0.036 and +0.010."),
    (verdict("unclear", low=-0.01, reason="budget", n=20), ACC, {},
     "Cannot tell within 20 pairs: somewhere between -1.0 and +3.6 points. A bigger budget, or a larger margin, "
     "would settle it."),
    (verdict("unclear", low=-0.01), ACC, {"outlook": Outlook(chance=0.9, low=2, high=5), "pair_s": 30.0},
     "Cannot tell yet: 6 pairs, somewhere between -1.0 and +3.6 points; 2-5 more pairs expected "
     "(about 2 min at most)."),
    (verdict("unclear", low=-0.01), ACC, {"outlook": Outlook(chance=0.5, low=1, high=1)},
     "Cannot tell yet: 6 pairs, somewhere between -1.0 and +3.6 points; 1 more pair expected."),
    (verdict("unclear", low=-0.01), ACC, {"outlook": Outlook(chance=0.3, low=4, high=9, remedies=("a larger margin",))},
     "Cannot tell yet: 6 pairs, somewhere between -1.0 and +3.6 points; the budget settles it with 30% chance, "
     "a larger margin would help."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "metric", "more", "words"), SAID, ids=[f"{s.kind}-{k}" for k, (s, *_) in enumerate(SAID)]
)
def test_a_verdict_says_what_its_numbers_support(said, metric, more, words):
    assert headline(said, metric, **more) == words


def test_an_effect_without_numbers_says_nothing():
    assert effect_words(Verdict(kind="unclear", n=0, budget=20), ACC) == ""


@pytest.mark.parametrize(
    ("value", "width", "words"),
    [(0.0123456, 0.01, "1.2"), (0.5, 0.4, "50"), (1e-9, 1e-9, "1e-07"), (3e7, 2e7, "3e+09"), (0.001, 0.0003, "0.100")],
)
def test_a_size_has_two_figures_of_its_interval(value, width, words):
    assert size_words(value, ACC, width) == f"{words} points"


def test_durations_have_the_unit_that_fits():
    assert [duration_words(s) for s in (0.4, 89.4, 90, 5399, 5400, 9000)] == [
        "0 s", "89 s", "2 min", "90 min", "1.5 h", "2.5 h",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "words"),
    [(9.9e-5, "1.23"), (1e-4, "1.23457"), (0.1, "1.23"), (0.11, "1.23"), (1.0, "1.2"), (29.9, "1.2"), (30.0, "1"),
     (999_999.0, "1"), (1e6, "1.23")],
)  # fmt: skip
def test_the_figures_of_a_size_change_at_the_borders_of_its_interval(width, words):
    assert size_words(1.2345678, LOSS, width) == words


@pytest.mark.parametrize(
    ("changes", "word"), [(2, "Two"), (4, "Four"), (5, "Five"), (6, "Six"), (7, "Seven"), (8, "8")]
)
def test_small_numbers_of_changes_are_words(changes, word):
    assert headline(verdict("better"), ACC, changes=changes).startswith(f"{word} things changed at once")


@pytest.mark.parametrize(("runs", "p"), [(2, 2 / 2**4), (3, 2 / 2**6), (4, 2 / 2**8)])
def test_boschloos_test_of_all_failed_against_none_is_that_by_hand(runs, p):
    """Of both arms with n runs, p^n (1 - p)^n is largest at p = 1/2: 1 / 4^n, on either side."""
    assert fails_differently(Failures(treatment=runs, baseline_runs=runs, treatment_runs=runs)) == pytest.approx(p)


COUNTED = [
    (Failures(baseline_runs=8, treatment_runs=8), None),
    (Failures(baseline=2, treatment=2, baseline_runs=8, treatment_runs=8), "too few to tell the rates apart"),
    (Failures(baseline=2, treatment=3, baseline_runs=8, treatment_runs=8), "too few to tell the rates apart"),
    (Failures(treatment=2, baseline_runs=2, treatment_runs=2), "too few to tell the rates apart"),
    (Failures(treatment=3, baseline_runs=3, treatment_runs=3), "the change makes runs fail more often"),
    (Failures(baseline=3, baseline_runs=3, treatment_runs=3), "the change makes runs fail less often"),
    (Failures(baseline=1, treatment=8, baseline_runs=10, treatment_runs=10), "the change makes runs fail more often"),
    (Failures(baseline=8, treatment=1, baseline_runs=10, treatment_runs=10), "the change makes runs fail less often"),
    (Failures(baseline=10, treatment=6, baseline_runs=100, treatment_runs=8), "the change makes runs fail more often"),
    (Failures(baseline=6, treatment=10, baseline_runs=8, treatment_runs=100), "the change makes runs fail less often"),
]
"""By counts: what they say of the rates at the end; in the last two, more runs failed where a smaller share did."""


@pytest.mark.parametrize(("failures", "said"), COUNTED)
def test_failures_are_counted_and_at_the_end_their_rates_are_compared(failures, said):
    counts = (
        f"Failures: {failures.treatment} of {failures.treatment_runs} with the change, "
        f"{failures.baseline} of {failures.baseline_runs} without"
    )
    assert failure_words(failures, at_end=False) == (f"{counts}." if said else "")
    assert failure_words(failures, at_end=True) == (f"{counts}: {said}." if said else "")


def test_the_rates_are_told_apart_below_a_level_of_5_percent():
    """4 failed runs against none: with 10 runs each p = 0.042, with 11 each, of which 4 are a smaller share, 0.053."""
    for runs, p, said in ((10, 0.0422, "fail more often"), (11, 0.0528, "too few")):
        failures = Failures(treatment=4, baseline_runs=runs, treatment_runs=runs)
        assert fails_differently(failures) == pytest.approx(p, abs=5e-5)
        assert said in failure_words(failures, at_end=True)
