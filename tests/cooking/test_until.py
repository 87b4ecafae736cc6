"""When a stage ends: conditions hold as written, go on exactly after a break, and are read back."""

import contextlib
import json
import math
import pkgutil
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate import cooking
from palate.cooking.condition import Joined
from palate.cooking.followers import _fitted, _rise_of, noise_of
from palate.cooking.until import (
    WORDS,
    Moment,
    condition_body,
    condition_of,
    cycles_without_improvement,
    diverged,
    epochs,
    faults_of,
    gate,
    minutes,
    parse_condition,
    plateau,
    samples,
    steps,
    target,
    tasted,
    worse,
)
from palate.errors import InputError

METRICS = ("val_loss", "val_acc", "critic")
VALUES = st.sampled_from([0.1, 0.2, 0.3, 0.31, 0.5, 0.9, 2.0, 30.0, math.nan, math.inf, -math.inf])
NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12) | st.sampled_from(
    ["val loss", 'a"b', "a\\b", "x < 1 &", "map50(B)", "loss |"]
)
NUMBERS = st.floats(-1e6, 1e6) | st.integers(-1000, 1000)
GOALS = st.sampled_from(["min", "max"])
OVERS = st.integers(1, 8) | st.just("auto")
NOISES = st.sampled_from([0, 0.05, 0.5, "auto"])


def parts(metrics, values):
    """Every word of the vocabulary."""
    return st.one_of(
        st.builds(steps, st.integers(1, 40)),
        st.builds(epochs, st.sampled_from([0.5, 1, 2])),
        st.builds(minutes, st.sampled_from([0.25, 0.5, 1])),
        st.builds(samples, st.integers(1, 400)),
        st.builds(tasted, st.sampled_from(["done", 'so "so"'])),
        st.builds(target, metrics, values, GOALS),
        st.builds(gate, metrics, st.sampled_from(["<", "<=", ">", ">="]), values),
        st.builds(plateau, metrics, OVERS, NOISES, GOALS),
        st.builds(worse, metrics, OVERS, NOISES, GOALS),
        st.builds(diverged, st.none() | metrics),
        st.builds(diverged, metrics, st.sampled_from([1.5, 10])),
        st.builds(cycles_without_improvement, st.integers(1, 3), metrics, GOALS),
    )


def conditions(metrics, values):
    return st.recursive(
        parts(metrics, values),
        lambda inner: st.tuples(inner, inner, st.booleans()).map(lambda t: t[0] | t[1] if t[2] else t[0] & t[1]),
        max_leaves=5,
    )


WRITTEN = conditions(NAMES, NUMBERS)
WATCHED = conditions(st.sampled_from(METRICS), st.sampled_from([0.2, 0.3, 0.5]))


@st.composite
def histories(draw):
    """Up to 40 steps: something is logged at some of them, a person tags the run, cycles begin."""
    count = draw(st.sampled_from([0, 3, 10, 40]))
    logged = draw(st.lists(st.dictionaries(st.sampled_from(METRICS), VALUES), min_size=count, max_size=count))
    tagged = draw(st.integers(1, 80))
    length = draw(st.integers(1, 10))
    return [
        Moment(
            step=step,
            samples=step * 8,
            epoch=step / 10,
            elapsed_s=step * 1.5,
            cycle=step // length,
            metrics=metrics,
            tags={"done"} if step >= tagged else (),
        )
        for step, metrics in enumerate(logged, 1)
    ]


def fired_in(condition, history, state=None):
    watch = condition.watch(state)
    return next((fired for moment in history if (fired := watch.saw(moment))), None)


def step_of(condition, history):
    fired = fired_in(condition, history)
    return math.inf if fired is None else fired.step


def curve(values, metric="val_loss", every=25):
    """What is logged every so many steps, and nothing in between."""
    return [
        Moment(step=step, metrics={metric: values[step // every - 1]} if step % every == 0 else {})
        for step in range(1, len(values) * every + 1)
    ]


# What is written is what is read


@given(WRITTEN)
def test_a_condition_is_read_back_from_its_text(condition):
    assert parse_condition(str(condition)) == condition


@given(WRITTEN)
def test_a_condition_is_read_back_from_its_json(condition):
    assert condition_of(json.loads(json.dumps(condition_body(condition)))) == condition


@given(WRITTEN)
def test_the_text_is_the_python_that_builds_the_condition(condition):
    assert eval(str(condition), {"__builtins__": {}}, dict(WORDS)) == condition


def test_and_binds_tighter_than_or_in_the_text_too():
    a, b, c = steps(1), epochs(2), tasted("done")
    assert str(a | b & c) == 'steps(1) | epochs(2) & tasted("done")'
    assert str((a | b) & c) == '(steps(1) | epochs(2)) & tasted("done")'


@given(WRITTEN, WRITTEN, WRITTEN)
def test_joining_is_associative(a, b, c):
    assert (a | b) | c == a | (b | c)
    assert (a & b) & c == a & (b & c)


def test_every_word_prints_as_it_is_written():
    for text in (
        "steps(600)",
        "epochs(1.5)",
        "minutes(30)",
        "samples(100000)",
        'tasted("done")',
        'gate("critic_loss < 0.65")',
        'target("val_acc", 0.95)',
        'target("score", 3, goal="max")',
        'plateau("val_loss", over=500)',
        'plateau("score", noise=0.004, goal="min")',
        'worse("val_loss")',
        "diverged()",
        'diverged("loss", times=10)',
        'cycles_without_improvement(2, "fid")',
    ):
        assert str(parse_condition(text)) == text


def test_gates_are_written_in_two_ways():
    assert gate("critic_loss < .65") == gate("critic_loss", "<", 0.65)
    assert gate("a b>=-1e3") == gate("a b", ">=", -1000)


def test_the_goal_stands_in_the_json_whatever_the_name_says():
    assert condition_body(plateau("val_loss")) == {"until": "plateau", "metric": "val_loss", "goal": "min"}


# What is refused


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: steps(0), "n is 0, which is less than 1"),
        (lambda: steps(-3), "n is -3, which is less than 1"),
        (lambda: steps(2.5), "n is 2.5, which is not whole"),
        (lambda: steps(True), "n is True, which is no number"),
        (lambda: steps("6"), "n is '6', which is no number"),
        (lambda: steps(10**400), "no number to wait for"),
        (lambda: minutes(math.nan), "n is nan, which is no number to wait for"),
        (lambda: epochs(0), "n is 0, which is not more than 0"),
        (lambda: samples(1.5), "not whole"),
        (lambda: target("val_acc", math.inf), "value is inf"),
        (lambda: target("val_acc", None), "value is None"),
        (lambda: target("score", 1), 'say goal="max" or goal="min"'),
        (lambda: target("score", 1, goal="up"), "goal 'up' is neither 'max' nor 'min'"),
        (lambda: target("", 1), "the metric is '', which is no name"),
        (lambda: target(3, 1), "the metric is 3, which is no name"),
        (lambda: tasted("  "), "the tag is '  ', which is no name"),
        (lambda: tasted("a\nb"), "not one line"),
        (lambda: tasted("a" * 201), "not one line"),
        (lambda: gate("loss = 1"), "compares no metric with a number"),
        (lambda: gate("loss == 1"), "'==' is no comparison: < <= > >="),
        (lambda: gate("loss < much"), "compares no metric with a number"),
        (lambda: gate("loss", "~", 1), "'~' is no comparison"),
        (lambda: gate("loss", "<"), "value is None"),
        (lambda: gate("loss < nan"), "value is nan"),
        (lambda: gate(7), "7 compares no metric with a number"),
        (lambda: plateau("val_loss", over=0), "over is 0, which is less than 1"),
        (lambda: plateau("val_loss", over=0.5), "over is 0.5, which is not whole"),
        (lambda: plateau("val_loss", noise=-1), "noise is -1, which is less than 0"),
        (lambda: worse("val_loss", over=True), "over is True"),
        (lambda: diverged(times=3), "times needs a metric"),
        (lambda: diverged("loss", times=1), "times is 1, which is not more than 1"),
        (lambda: cycles_without_improvement(0, "val_loss"), "n is 0"),
        (lambda: Joined(how="any", parts=(steps(1),)), "joins no conditions"),
        (lambda: Joined(how="none", parts=(steps(1), steps(2))), "joins no conditions"),
    ],
)
def test_bad_input_is_refused_when_the_condition_is_made(make, said):
    with pytest.raises(InputError) as refused:
        make()
    assert said in str(refused.value)
    assert refused.value.todo


def test_all_faults_of_a_part_are_said_at_once():
    with pytest.raises(InputError) as refused:
        plateau("score", over=0, noise=math.nan)
    assert "is higher better" in refused.value.what and "over is 0" in refused.value.what
    assert "noise is nan" in refused.value.what


def test_all_faults_of_a_text_are_said_at_once():
    with pytest.raises(InputError) as refused:
        parse_condition("steps(0) | bake(3) & (epochs(-1) | gate('loss')) | target('val_acc')")
    for said in ("steps: n is 0", "'bake' is none of", "epochs: n is -1", "gate: 'loss'", "target: missing"):
        assert said in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "steps",
        "steps(",
        "steps(600) or diverged()",
        "not diverged()",
        "steps(1) + steps(2)",
        "__import__('os').system('true')",
        "steps(__import__('os').getpid())",
        "steps(*[1])",
        "steps(**{'n': 1})",
        "steps(n=1, n=2)",
        "steps(1, 2)",
        "steps(True)",
        "steps(-600)",
        "steps(--600)",
        "steps([x for x in 'a'])",
        "tasted(f'{1}')",
        "tasted('\\d\n')",
        "tasted('\\ud800')",
        "(lambda: steps(1))()",
        "steps(1); steps(2)",
        "steps(1)\0",
        "(" * 300,
        "|".join("a" * 900),
        "steps(1) | " * 300 + "steps(1)",
        "steps(" + "9" * 1900 + ")",
    ],
)
def test_text_that_is_no_condition_is_refused_and_not_carried_out(text):
    with pytest.raises(InputError):
        parse_condition(text)


@given(st.text("stepgauv(|&)'\"<0123., =-", max_size=60))
def test_any_text_is_a_condition_or_refused(text):
    with contextlib.suppress(InputError):
        assert parse_condition(str(parse_condition(text))) == parse_condition(text)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"until": "steps"},
        {"until": "steps", "n": 1, "m": 2},
        {"until": "steps", "n": "1"},
        {"until": "bake", "n": 1},
        {"until": ["steps"], "n": 1},
        {"until": "any", "parts": []},
        {"until": "any", "parts": [{"until": "steps", "n": 1}]},
        {"until": "all", "parts": [{"until": "steps", "n": 1}, 3]},
        {"until": "any", "parts": [{"until": "steps", "n": 1}] * 2, "more": 1},
        {"until": "target", "metric": "score", "value": 1},
        {"until": "target", "metric": ["val_acc"], "value": 1},
    ],
)
def test_json_that_is_no_condition_is_refused(body):
    with pytest.raises(InputError):
        condition_of(body)


def test_json_that_is_too_deep_is_refused():
    body = {"until": "steps", "n": 1}
    for number in range(100_000):
        body = {"until": ("any", "all")[number % 2], "parts": [body, {"until": "steps", "n": number + 2}]}
    with pytest.raises(InputError):
        condition_of(body)


def test_a_condition_that_is_too_long_to_be_read_back_is_not_made():
    with pytest.raises(InputError, match="too long"):
        Joined(how="any", parts=tuple(steps(n) for n in range(1, 400)))


def test_the_words_and_or_and_not_are_refused_as_python_would_drop_a_part():
    with pytest.raises(InputError, match="neither true nor false"):
        steps(1) and diverged()
    with pytest.raises(TypeError):
        steps(1) | 600


# When each part holds


def test_counts_fire_when_they_are_reached():
    history = [Moment(step=k, samples=k * 32, epoch=k / 4, elapsed_s=k * 10.0) for k in range(1, 50)]
    assert fired_in(steps(7), history).step == 7
    assert fired_in(samples(100), history).step == 4
    assert fired_in(epochs(2), history).step == 8
    assert fired_in(minutes(0.5), history).step == 3
    assert fired_in(steps(7), history).words == "7 steps at step 7"


def test_a_tag_fires_and_stays():
    history = [Moment(step=1), Moment(step=2, tags=["done"]), Moment(step=3), Moment(step=4)]
    fired = fired_in(tasted("done"), history)
    assert (fired.step, fired.words) == (2, 'a person tagged the run "done" by step 2')
    assert fired_in(tasted("done") & steps(4), history).step == 4
    assert fired_in(tasted("burnt"), history) is None


def test_a_target_is_reached_in_the_direction_of_its_metric():
    assert step_of(target("val_acc", 0.9), curve([0.8, 0.9], "val_acc", 1)) == 2
    assert step_of(target("val_loss", 0.2), curve([0.8, math.nan, 0.1], every=1)) == 3
    assert step_of(target("score", 0.2, goal="min"), curve([0.8, 0.2], "score", 1)) == 2


def test_a_gate_and_a_count_hold_together_now():
    until = gate("critic_loss < .65") & steps(200)
    falls_and_rises = curve([0.9, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.6], "critic_loss")
    assert fired_in(until, falls_and_rises).step == 250
    stays = curve([0.9] + [0.6] * 9, "critic_loss")
    fired = fired_in(until, stays)
    assert fired.step == 200
    assert fired.words == "critic_loss was 0.6 at step 200 (< 0.65 was asked); and 200 steps at step 200"
    assert list(fired.evidence) == ['gate("critic_loss < 0.65")', "steps(200)"]


def test_a_plateau_says_since_when_and_from_where():
    falling = [2.0, 1.0, 0.5, 0.312]
    fired = fired_in(plateau("val_loss", over=500, noise=0.004), curve(falling + [0.311, 0.314] * 20))
    assert fired.step == 600
    assert fired.words == "val_loss has not fallen by more than its noise (0.004) for 500 steps: best 0.311 at step 125"
    evidence = fired.evidence['plateau("val_loss", over=500, noise=0.004)']
    assert (evidence["reference"], evidence["since"], evidence["best"]) == (0.312, 100, 0.311)
    assert evidence["recent"][-1] == [600, 0.314]
    json.dumps(fired.evidence, allow_nan=False)


def test_a_metric_that_must_rise_has_a_plateau_too():
    fired = fired_in(plateau("val_acc", over=50), curve([0.1, 0.9, 0.9, 0.8], "val_acc"))
    assert fired.step == 100
    assert fired.words == "val_acc has not risen by more than its noise (0) for 50 steps: best 0.9 at step 50"


def test_patience_counts_steps_and_not_evaluations():
    often = curve([1 / min(k, 10) for k in range(1, 1000)], every=5)
    seldom = curve([1.0] + [0.1] * 100, every=50)
    assert step_of(plateau("val_loss", over=300), often) == 50 + 300
    assert step_of(plateau("val_loss", over=300), seldom) == 100 + 300


def test_small_gains_add_up_to_an_improvement():
    slow = [1 - 0.001 * k for k in range(200)]
    assert step_of(plateau("val_loss", over=250, noise=0.004), curve(slow)) == math.inf


def test_gains_that_drown_in_noise_are_seen_as_a_slope():
    def goes_on(until, metric, sign, seed):
        rng = random.Random(seed)
        values = [sign * (3 - 0.0005 * step + rng.gauss(0, 0.05)) for step in range(25, 5001, 25)]
        return step_of(until, curve(values, metric)) == math.inf

    seeds = range(30)
    assert sum(goes_on(plateau("val_loss"), "val_loss", 1, seed) for seed in seeds) >= 25
    assert sum(goes_on(plateau("score", goal="max"), "score", -1, seed) for seed in seeds) >= 25
    single = plateau("val_loss", over=300, noise=0.2)  # as is said: few single values are better by .2
    assert sum(goes_on(single, "val_loss", 1, seed) for seed in seeds) <= 5


def test_the_slope_is_that_of_least_squares():
    # y = 2, 4, 5 at x = 0, 1, 2: slope 1.5, residuals -1/6, 1/3, -1/6, standard error sqrt(1/6 / 1 / 2) = .288675
    line = []
    for x, y in enumerate([2, 4, 5]):
        line = _fitted(line, x, y)
    assert _rise_of(line) == pytest.approx(1.5 / 0.288675, rel=1e-5)
    assert _rise_of(_fitted(_fitted([], 0, 1), 1, 2)) == 0
    assert _rise_of(_fitted(_fitted(_fitted([], 0, 1), 1, 1), 2, 1)) == 0


def test_the_default_waits_for_two_fifths_of_the_steps():
    values = [2.0 - k / 60 for k in range(48)] + [1.3] * 100
    fired = fired_in(plateau("val_loss"), curve(values))
    assert fired.step == 2000  # it improved last at step 1,200


def test_the_default_waits_for_ten_values_however_seldom_they_come():
    assert step_of(plateau("val_loss"), curve([1.0] + [0.5] * 20, every=1000)) == 12_000
    assert step_of(plateau("val_loss"), curve([0.5] * 1000, every=1)) == 201


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_what_is_no_number_is_no_improvement_and_never_the_best(bad):
    fired = fired_in(plateau("val_loss", over=3), curve([0.5, bad, bad, bad], every=1))
    assert (fired.step, fired.evidence['plateau("val_loss", over=3)']["best"]) == (4, 0.5)
    alone = fired_in(plateau("val_loss", over=3), curve([bad] * 9, every=1))
    assert alone.step == 4
    assert "no value of it was a number" in alone.words


def test_worse_needs_every_value_to_be_worse():
    until = worse("val_loss", over=100, noise=0.1)
    assert step_of(until, curve([1, 0.5, 0.7, 0.8, 0.7, 0.9, 1.0])) == 175
    assert step_of(until, curve([1, 0.5, 0.7, 0.8, 0.55, 0.9, 1.0])) == math.inf
    assert step_of(until, curve([1, 0.5, *[math.nan] * 5])) == 175
    assert (
        fired_in(until, curve([1, 0.5, *[0.7] * 5])).words
        == "val_loss has been worse than its best by more than its noise (0.1) for 100 steps: best 0.5 at step 50"
    )


def test_worse_waits_by_default_as_long_as_a_plateau():
    assert step_of(worse("val_loss"), curve([0.5] + [0.9] * 99)) == 275
    assert step_of(worse("val_loss"), curve([0.5] + [0.9] * 99, every=1000)) == 11_000  # 10 values


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_divergence_is_what_is_no_number(bad):
    history = [Moment(step=1, metrics={"a": 1.0}), Moment(step=2), Moment(step=3, metrics={"a": 1.0, "b": bad})]
    assert step_of(diverged(), history) == 3
    assert step_of(diverged("b"), history) == 3
    assert step_of(diverged("a"), history) == math.inf
    json.dumps(fired_in(diverged(), history).evidence, allow_nan=False)


def test_divergence_is_a_leap_beyond_the_running_median():
    calm = [1.0, 1.2] * 10
    fired = fired_in(diverged("loss", times=10), curve([*calm, 10.9, 12.1], "loss", 1))
    assert fired.step == 22
    assert fired.words.startswith("loss is 12.1 at step 22 (more than 10 times its running median")
    assert step_of(diverged("loss", times=10), curve([1.0, 1.0, 50.0], "loss", 1)) == math.inf  # too few to know


def test_divergence_that_recovers_does_not_hold_any_more():
    until = diverged("loss") & steps(3)
    assert step_of(until, curve([math.nan, 1.0, 1.0], "loss", 1)) == math.inf
    assert step_of(until, curve([math.nan, math.nan, math.nan], "loss", 1)) == 3


def test_cycles_are_judged_where_the_next_one_begins():
    bests = {1: [5, 3], 2: [4, 2], 3: [2, math.nan], 4: [6, 2.5], 5: [1]}
    history, step = [], 0
    for cycle, values in bests.items():
        for value in values:
            step += 1
            history.append(Moment(step=step, cycle=cycle, metrics={"val_fid": value}))
    fired = fired_in(cycles_without_improvement(2, "val_fid"), history)
    assert fired.step == 9
    assert fired.words == "val_fid was no better in 2 cycles in a row by step 9: best 2"
    assert step_of(cycles_without_improvement(3, "val_fid"), history) == math.inf


def test_a_better_cycle_starts_the_count_again():
    bests = [5, 6, 4, 6, 3, 6, 6, 1]
    history = [Moment(step=cycle, cycle=cycle, metrics={"val_fid": best}) for cycle, best in enumerate(bests, 1)]
    assert step_of(cycles_without_improvement(2, "val_fid"), history) == 8


def test_a_cycle_in_which_nothing_was_logged_says_nothing():
    logged = {1: {"val_fid": 3.0}, 2: {}, 3: {}, 4: {"val_fid": math.nan}, 5: {}}
    history = [Moment(step=cycle, cycle=cycle, metrics=metrics) for cycle, metrics in logged.items()]
    assert step_of(cycles_without_improvement(1, "val_fid"), history) == 5


def test_noise_is_two_standard_deviations_whatever_the_trend():
    rng = random.Random(3)
    measured = [noise_of([5 - 0.1 * k + rng.gauss(0, 0.02) for k in range(40)]) for _ in range(400)]
    assert sum(measured) / len(measured) == pytest.approx(0.04, rel=0.1)


def test_noise_does_not_feel_a_jump():
    calm = [0.01 * (-1) ** k for k in range(40)]
    assert noise_of([value + 5 * (k > 20) for k, value in enumerate(calm)]) == pytest.approx(noise_of(calm))


# Laws of following


@given(WATCHED, histories(), st.integers(0, 40))
def test_a_watch_goes_on_exactly_where_another_stopped(condition, history, cut):
    whole = condition.watch()
    for moment in history:
        whole.saw(moment)
    first = condition.watch()
    for moment in history[:cut]:
        first.saw(moment)
    second = condition.watch(json.loads(json.dumps(first.state(), allow_nan=False)))
    for moment in history[cut:]:
        second.saw(moment)
    assert second.fired == whole.fired
    assert second.state() == whole.state()
    assert second.never() == whole.never()


@given(WATCHED, WATCHED, histories())
def test_or_fires_with_the_first_and_and_not_before_the_last(a, b, history):
    first, last = sorted((step_of(a, history), step_of(b, history)))
    assert step_of(a | b, history) == first
    assert step_of(a & b, history) >= last


@given(WATCHED, WATCHED, WATCHED, histories())
def test_and_and_or_are_those_of_logic(a, b, c, history):
    assert step_of(a | b, history) == step_of(b | a, history)
    assert step_of(a & b, history) == step_of(b & a, history)
    assert step_of(a & (b | c), history) == step_of(a & b | a & c, history)
    assert step_of(a | b & c, history) == step_of((a | b) & (a | c), history)
    assert step_of(a | a & b, history) == step_of(a, history) == step_of(a & (a | b), history)


@given(WATCHED, histories())
def test_a_state_is_not_changed_by_what_is_seen_later(condition, history):
    watch = condition.watch()
    for moment in history[:20]:
        watch.saw(moment)
    state = watch.state()
    written = json.dumps(state)
    for moment in history[20:]:
        watch.saw(moment)
    assert json.dumps(state) == written


@given(WATCHED, histories())
def test_what_fired_stays_and_names_the_parts_that_held(condition, history):
    watch = condition.watch()
    seen = [watch.saw(moment) for moment in history]
    if (fired := watch.fired) is not None:
        assert all(later is fired for later in seen[fired.step - 1 :])
        assert set(fired.evidence) <= set(condition.followers())
        assert fired.evidence and fired.words
        json.dumps(fired.evidence, allow_nan=False)


def test_a_state_of_another_condition_is_refused():
    state = steps(600).watch().state()
    with pytest.raises(InputError, match="belongs to 'steps"):
        steps(500).watch(state)
    with pytest.raises(InputError, match="not whole"):
        steps(600).watch({"until": "steps(600)"})
    with pytest.raises(InputError, match="should be"):
        steps(600).watch({**state, "parts": {"steps(600)": {"held": False}}})


def test_what_fired_is_not_judged_again():
    watch = gate("x < 1").watch()
    history = curve([2, 0.5, 0.4, 3], "x", 1)
    assert [fired and fired.evidence['gate("x < 1")']["latest"] for fired in map(watch.saw, history)] == [
        None,
        0.5,
        0.5,
        0.5,
    ]


def test_a_state_is_a_copy_and_stays_small():
    watch = (plateau("val_loss", over=10_000) | diverged("val_loss", times=1000)).watch()
    sizes = []
    for moment in curve([0.123456789] * 500, every=10):
        watch.saw(moment)
        if moment.step in (1000, 5000):
            sizes.append((state := watch.state(), len(json.dumps(state))))
    assert [len(json.dumps(state)) for state, _ in sizes] == [size for _, size in sizes]
    assert max(size for _, size in sizes) < 3000


def test_two_watches_of_one_condition_share_nothing():
    until = plateau("val_loss", over=3)
    history = curve([0.5] * 9, every=1)
    assert fired_in(until, history) == fired_in(until, history)


# What can never fire


def test_a_metric_that_was_never_logged_is_named():
    watch = (plateau("val_loss") | target("val_acc", 1) & gate("critic < 1") | diverged() | steps(600)).watch()
    for step in range(1, 501):
        watch.saw(Moment(step=step, metrics={"val_acc": 0.5, "loss": 1.0}))
    assert watch.never() == (
        'val_loss was not logged in 500 steps: plateau("val_loss") waits for it.',
        'critic was not logged in 500 steps: gate("critic < 1") waits for it.',
    )


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (gate("x < 1") & gate("x > 2"), "no x is on both sides"),
        (gate("x < 1") & gate("x >= 1"), "no x is on both sides"),
        (gate("x <= 1") & steps(3) & gate("x > 1"), "no x is on both sides"),
        (gate("x < 1") & gate("x < 3") & gate("x > 2"), "no x is on both sides"),
        (gate("x < 3") & gate("x > 2") & gate("x > 4"), "no x is on both sides"),
        (steps(3) | target("val_acc", 0.9) & gate("val_acc < 0.5"), "no val_acc is on both sides"),
        (steps(601), "never ends a stage of 600 steps"),
        (plateau("val_loss", over=600), "never ends a stage of 600 steps"),
        (cycles_without_improvement(2, "val_fid"), "in no cycle"),
    ],
)
def test_what_can_never_hold_is_found_before_the_training(condition, said):
    (fault,) = faults_of(condition, known_steps=600)
    assert said in fault


def test_what_may_hold_is_no_fault():
    fine = [
        gate("x <= 1") & gate("x >= 1"),
        gate("x < 1") | gate("x > 2"),
        gate("x < 1") & gate("y > 2"),
        gate("x < 3") & gate("x < 1") & gate("x > 0"),
        steps(600),
        plateau("val_loss", over=599),
    ]
    assert [faults_of(condition, known_steps=600) for condition in fine] == [()] * 6
    assert faults_of(cycles_without_improvement(2, "val_fid"), cycles=True) == ()


def test_it_needs_nothing_but_the_standard_library():
    code = "import sys, palate.cooking.until; print([m for m in ('numpy', 'torch', 'scipy') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_no_module_of_the_room_hides_a_word_of_the_vocabulary():
    modules = {one.name for one in pkgutil.iter_modules(cooking.__path__)}
    assert not modules & set(cooking.__all__)  # importing such a module would put it in the word's place
