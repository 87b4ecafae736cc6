"""Skill and calibration: what may be said, and how often it is said falsely."""

import numpy as np
import pytest

from palate.errors import InputError
from palate.forecast.calibration import Claim, calibration_of
from palate.forecast.skill import Scored, log_wealth, skill_of, trend_of

LOOKS = 300


def scores(bits, least, most):
    return [Scored(bits=float(b), least=least, most=most) for b in bits]


def people(said, reference, came_true, n, rng):
    """Scores of somebody who says the same every time."""
    won, lost = np.log2(said / reference), np.log2((1 - said) / (1 - reference))
    return np.where(rng.random((n, LOOKS)) < came_true, won, lost), lost, won


@pytest.mark.parametrize(
    ("said", "reference"),
    [
        (0.8, 0.45),
        (0.9, 0.9),
        pytest.param(0.97, 0.6, marks=pytest.mark.slow),
        pytest.param(0.6, 0.33, marks=pytest.mark.slow),
    ],
)
def test_somebody_without_skill_is_called_ahead_at_most_one_time_in_twenty_at_any_look(said, reference):
    rng = np.random.default_rng(7)
    won, lost = np.log2(said / reference), np.log2((1 - said) / (1 - reference))
    even = -lost / (won - lost) if won > lost else 0.5  # how often it comes true where the mean is nought
    bits, least, most = people(said, reference, even, 400, rng)
    ahead = sum(
        any(log_wealth(row[:n], np.full(n, least)) >= np.log(1 / 0.05) for n in range(5, LOOKS, 5)) for row in bits
    )
    assert ahead / 400 <= 0.05
    assert most >= 0


def test_somebody_with_skill_is_called_ahead_within_200_forecasts():
    rng = np.random.default_rng(8)
    bits, least, most = people(0.8, 0.45, 0.8, 50, rng)
    states = [skill_of(scores(row[:200], least, most)).state for row in bits]
    assert states.count("ahead") / 50 >= 0.9
    assert "behind" not in states


def test_the_interval_covers_the_truth_and_says_how_many_more():
    rng = np.random.default_rng(9)
    bits, least, most = people(0.7, 0.5, 0.6, 200, rng)
    truth = 0.6 * most + 0.4 * least
    told = [skill_of(scores(row[:80], least, most)) for row in bits]
    assert np.mean([skill.low <= truth <= skill.high for skill in told]) >= 0.95
    some = skill_of(scores([0.83, 0.83, -1.46, 0.83, 0.83] * 3, least=-1.46, most=0.84))
    assert some.state == "can't tell yet"
    assert 5 < some.more < 100


def test_without_forecasts_nothing_is_said():
    assert skill_of([]).state == "can't tell yet"
    with pytest.raises(InputError):
        Scored(bits=-2.0, least=-1.0, most=1.0)


@pytest.mark.slow
def test_an_average_is_judged_not_the_forecasts_that_are_easy_to_bet_on():
    """Good where little can be lost, bad where much can: on average there is nothing to be ahead of."""
    rng = np.random.default_rng(12)
    ahead = 0
    for _ in range(100):
        timid = [Scored(bits=float(b), least=-0.6, most=0.5) for b in np.where(rng.random(150) < 0.8, 0.5, -0.6)]
        bold = [Scored(bits=float(b), least=-4.0, most=1.5) for b in np.where(rng.random(150) < 0.674, 1.5, -4.0)]
        mixed = [one for pair in zip(timid, bold, strict=True) for one in pair]
        mean = (0.8 * 0.5 - 0.2 * 0.6 + 0.674 * 1.5 - 0.326 * 4.0) / 2
        assert mean < 0
        ahead += any(skill_of(mixed[:n]).state == "ahead" for n in range(20, 300, 40))
    assert ahead / 100 <= 0.05


@pytest.mark.slow
def test_somebody_who_stays_the_same_is_called_improving_at_most_one_time_in_twenty():
    rng = np.random.default_rng(13)
    bits = np.where(rng.random((100, 240)) < 0.75, 0.8, -1.5)
    told = [any(trend_of(scores(row[:n], -1.6, 0.9)) != "can't tell yet" for n in range(30, 240, 15)) for row in bits]
    assert np.mean(told) <= 0.05


def test_somebody_who_learns_is_found_out_to_improve():
    rng = np.random.default_rng(14)
    right = 0.5 + 0.45 * np.minimum(np.arange(320) / 80, 1)
    rows = np.where(rng.random((20, 320)) < right, 0.8, -1.5)
    told = [trend_of(scores(row, -1.6, 0.9)) for row in rows]
    assert told.count("improving") >= 15
    assert "falling" not in told
    assert trend_of(scores(rows[0][::-1], -1.6, 0.9)) != "improving"
    assert trend_of(scores(rows[0][:20], -1.6, 0.9)) == "can't tell yet"


def test_a_trend_is_not_seen_where_bounds_are_wide_and_nothing_changes():
    """One forecast by quantiles makes the range of possible means wide: the means that matter must still be tried."""
    rng = np.random.default_rng(15)
    for _ in range(10):
        told = scores(rng.choice([-0.3, 0.3], 900) + 0.2, -4.6, 6.0)
        assert trend_of(told) == "can't tell yet"


def claims(said, hits):
    return [Claim(confidence=c, hit=bool(h), better=c, was_better=bool(h), name=f"e{k}")
            for k, (c, h) in enumerate(zip(said, hits, strict=True))]  # fmt: skip


def test_calibration_says_nothing_below_twenty_one_number_then_and_a_curve_from_fifty():
    rng = np.random.default_rng(1)
    few = calibration_of(claims([0.8] * 19, [True] * 19), rng=rng)
    assert few.gap is None
    assert few.words == "1 more until calibration can be shown."
    sure = calibration_of(claims([0.9] * 40, [k % 2 == 0 for k in range(40)]), rng=rng)
    assert sure.gap == pytest.approx(0.4)
    assert sure.words.startswith("Too sure by 40%")
    timid = calibration_of(claims([0.5] * 40, [True] * 40), rng=rng)
    assert timid.words.startswith("Too unsure by 50% (chance alone: up to ")
    assert calibration_of(claims([0.8] * 60, [True] * 60), rng=rng, curve=False).curve == ()
    assert sure.curve == ()
    said = np.repeat([0.5, 0.6, 0.7, 0.8, 0.9], 40)
    honest = calibration_of(claims(said, rng.random(200) < said), rng=rng)
    assert [point.said for point in honest.curve] == [0.5, 0.6, 0.7, 0.8, 0.9]
    rates = [point.came_true for point in honest.curve]
    assert rates == sorted(rates)
    assert sum(len(point.names) for point in honest.curve) == 200


def test_the_curve_is_of_better_on_an_axis_that_is_not_folded():
    told = [Claim(confidence=0.9, hit=True, better=0.05, was_better=False)] * 30
    told += [Claim(confidence=0.7, hit=True, better=0.7, was_better=True)] * 30
    curve = calibration_of(told, rng=np.random.default_rng(0)).curve
    assert [(point.said, point.came_true) for point in curve] == [(0.05, 0.0), (0.7, 1.0)]


def test_the_band_holds_a_perfectly_calibrated_person_nine_times_in_ten():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        said = rng.choice([0.5, 0.6, 0.7, 0.8, 0.9], 30)
        told = calibration_of(claims(said, rng.random(30) < said), rng=rng)
        held += told.low <= told.gap <= told.high
    assert 0.84 <= held / 200 <= 0.96


def test_isotonic_rates_are_those_of_pool_adjacent_violators():
    said = [0.5] * 20 + [0.6] * 20 + [0.7] * 20
    hits = [True] * 12 + [False] * 8 + [True] * 8 + [False] * 12 + [True] * 16 + [False] * 4
    told = calibration_of(claims(said, hits), rng=np.random.default_rng(3))
    assert [point.came_true for point in told.curve] == pytest.approx([0.5, 0.5, 0.8])  # 0.6 and 0.4 pooled


def test_confidences_that_are_no_probabilities_are_refused():
    with pytest.raises(InputError):
        Claim(confidence=1.2, hit=True, better=0.5, was_better=False)
