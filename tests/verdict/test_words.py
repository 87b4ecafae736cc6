"""What verdicts say: one sentence a case, with the numbers that it may claim."""

import pytest

from palate.verdict.outlook import Outlook
from palate.verdict.rule import Failures, Verdict
from palate.verdict.words import LUCK, duration_words, effect_words, headline, size_words
from palate.vocabulary import Metric

ACC = Metric(name="val_acc", goal="max", points=True)
LOSS = Metric(name="val_loss", goal="min")


def verdict(kind, **more):
    numbers = {"n": 6, "budget": 20, "effect": 0.019, "low": 0.003, "high": 0.036, "margin": 0.01, "spread": 0.01}
    return Verdict(kind=kind, **{**numbers, **more})


SAID = [
    (verdict("better"), ACC, {}, f"Better: +1.9 points (between +0.3 and +3.6), 6 pairs. {LUCK}"),
    (verdict("worse", effect=-0.019, low=-0.036, high=-0.003), ACC, {},
     f"Worse: -1.9 points (between -3.6 and -0.3), 6 pairs. {LUCK}"),
    (verdict("better"), LOSS, {}, f"Better: -0.019 (between -0.036 and -0.003), 6 pairs. {LUCK}"),
    (verdict("better"), ACC, {"changes": 3},
     "Three things changed at once: the gain is real, which change caused it is unknown: "
     f"+1.9 points (between +0.3 and +3.6), 6 pairs. {LUCK}"),
    (verdict("worse", effect=-0.019, low=-0.036, high=-0.003), ACC, {"changes": 8},
     "8 things changed at once: the loss is real, which change caused it is unknown: "
     f"-1.9 points (between -3.6 and -0.3), 6 pairs. {LUCK}"),
    (verdict("better_small", effect=0.004, low=0.001, high=0.007), ACC, {},
     "Better, but too small to matter: +0.40 points (between +0.10 and +0.70), 6 pairs, under 1.0 points."),
    (verdict("same"), ACC, {}, "No difference that matters: whatever it is, it is under 1.0 points (6 pairs)."),
    (verdict("nothing", n=2), ACC, {}, "Did nothing: 2 pairs bit-identical. Is the change wired in?"),
    (verdict("better", failures=Failures(baseline=0, treatment=2, baseline_runs=8, treatment_runs=8)), ACC, {},
     f"Better among runs that finished: +1.9 points (between +0.3 and +3.6), 6 pairs. {LUCK}"
     " Among runs that finished (6 of 8 with the change)."),
    (verdict("better", failures=Failures(baseline=1, treatment=1, baseline_runs=8, treatment_runs=8)), ACC, {},
     f"Better: +1.9 points (between +0.3 and +3.6), 6 pairs. {LUCK}"
     " Among runs that finished (7 of 8 with the change, 7 of 8 without)."),
    (verdict("failed", failures=Failures(baseline=1, treatment=8, baseline_runs=8, treatment_runs=8)), ACC, {},
     "Failed: 8 of 8 runs with the change failed, baseline 1 of 8."),
    (verdict("failed", failures=Failures(baseline=8, treatment=7, baseline_runs=8, treatment_runs=8)), ACC, {},
     "Failed: 8 of 8 runs of the baseline itself failed."),
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
