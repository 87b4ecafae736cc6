"""Skill and calibration: the claims, and their error rates."""

import numpy as np
import pytest

from palate.errors import InputError
from palate.forecast.calibration import BAND, CURVE_FROM, Claim, calibration_of
from palate.forecast.skill import CLOSE, Scored, _rise_after, log_wealth, skill_of, trend_of

LOOKS = 300


def scores(bits, least, most):
    return [Scored(bits=float(b), least=least, most=most) for b in bits]


def people(said, reference, came_true, n, rng):
    """Scores of a forecaster who gives the same answer every time."""
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
def test_without_skill_ahead_is_claimed_with_5_percent_at_most_over_all_looks(said, reference):
    rng = np.random.default_rng(7)
    won, lost = np.log2(said / reference), np.log2((1 - said) / (1 - reference))
    even = -lost / (won - lost) if won > lost else 0.5  # rate of right answers at which the mean score is 0
    bits, least, most = people(said, reference, even, 400, rng)
    ahead = sum(
        any(log_wealth(row[:n], np.full(n, least)) >= np.log(1 / 0.05) for n in range(5, LOOKS, 5)) for row in bits
    )
    assert ahead / 400 <= 0.05
    assert most >= 0


def test_with_skill_ahead_is_claimed_within_200_forecasts():
    rng = np.random.default_rng(8)
    bits, least, most = people(0.8, 0.45, 0.8, 50, rng)
    states = [skill_of(scores(row[:200], least, most)).state for row in bits]
    assert states.count("ahead") / 50 >= 0.9
    assert "behind" not in states


@pytest.mark.slow
def test_the_interval_covers_the_truth_and_says_how_many_more():
    rng = np.random.default_rng(9)
    bits, least, most = people(0.7, 0.5, 0.6, 200, rng)
    truth = 0.6 * most + 0.4 * least
    skills = [skill_of(scores(row[:80], least, most)) for row in bits]
    assert np.mean([skill.low <= truth <= skill.high for skill in skills]) >= 0.95
    some = skill_of(scores([0.83, 0.83, -1.46, 0.83, 0.83] * 3, least=-1.46, most=0.84))
    assert some.state == "can't tell yet"
    assert 5 < some.more < 100


def test_without_a_gain_nothing_is_foretold():
    assert skill_of(scores([0.0] * 5, least=-1.0, most=1.0)).more is None
    assert skill_of(scores([0.8], least=-1.0, most=1.0)).more is None


def test_a_rise_is_the_least_over_all_constants_of_two_bets_with_half_the_wealth_each():
    rng = np.random.default_rng(5)
    bits, least, most = rng.uniform(-1, 1, 60), np.full(60, -1.0), np.full(60, 1.0)

    def wealth(gains, room, mean):
        sizes = np.array([0.3, 0.6, 1.0])
        factors = 1 + np.minimum(sizes[:, None], 0.95 / np.maximum.accumulate(room)) * (gains - mean)
        return (1 + factors.prod(axis=1).mean()) / 2

    exact = min(
        np.log(wealth(-bits[:20], most[:20] - c, -c)) + np.log(wealth(bits[20:], c - least[20:], c))
        for c in np.linspace(-0.999, 0.999, 4001)
    )
    found = _rise_after(20, bits, least, most)
    assert exact - CLOSE - 1e-6 <= found <= exact + 1e-6


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_certainty_is_a_probability_and_the_band_holds_nine_of_ten(chance):
    assert Claim(confidence=chance, hit=True, better=chance, was_better=True).confidence == chance
    assert BAND == (5.0, 95.0)


def test_without_forecasts_there_is_no_claim_and_scores_outside_their_bounds_are_refused():
    assert skill_of([]).state == "can't tell yet"
    with pytest.raises(InputError):
        Scored(bits=-2.0, least=-1.0, most=1.0)


@pytest.mark.slow
def test_the_average_score_is_tested_not_the_score_of_the_easy_forecasts():
    """Positive scores where little can be lost, negative ones where much can: the average is below 0."""
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
def test_without_a_trend_one_is_claimed_with_5_percent_at_most():
    rng = np.random.default_rng(13)
    bits = np.where(rng.random((100, 240)) < 0.75, 0.8, -1.5)
    claimed = [
        any(trend_of(scores(row[:n], -1.6, 0.9)) != "can't tell yet" for n in range(30, 240, 15)) for row in bits
    ]
    assert np.mean(claimed) <= 0.05


def test_a_forecaster_who_learns_is_detected_as_improving():
    rng = np.random.default_rng(14)
    right = 0.5 + 0.45 * np.minimum(np.arange(320) / 80, 1)
    rows = np.where(rng.random((20, 320)) < right, 0.8, -1.5)
    trends = [trend_of(scores(row, -1.6, 0.9)) for row in rows]
    assert trends.count("improving") >= 15
    assert "falling" not in trends
    assert trend_of(scores(rows[0][::-1], -1.6, 0.9)) != "improving"
    assert trend_of(scores(rows[0][:20], -1.6, 0.9)) == "can't tell yet"


def test_no_trend_is_claimed_where_bounds_are_wide_and_nothing_changes():
    """Forecasts by quantiles make the range of possible means wide; the grid must be fine where it decides."""
    rng = np.random.default_rng(15)
    for _ in range(10):
        steady = scores(rng.choice([-0.3, 0.3], 900) + 0.2, -4.6, 6.0)
        assert trend_of(steady) == "can't tell yet"


def claims(said, hits):
    return [Claim(confidence=c, hit=bool(h), better=c, was_better=bool(h), name=f"e{k}")
            for k, (c, h) in enumerate(zip(said, hits, strict=True))]  # fmt: skip


def test_calibration_has_a_gap_from_twenty_forecasts_on_and_a_curve_from_fifty():
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


def test_the_curve_is_over_the_probability_of_better_from_0_to_1():
    forecasts = [Claim(confidence=0.9, hit=True, better=0.05, was_better=False)] * 30
    forecasts += [Claim(confidence=0.7, hit=True, better=0.7, was_better=True)] * 30
    curve = calibration_of(forecasts, rng=np.random.default_rng(0)).curve
    assert [(point.said, point.came_true) for point in curve] == [(0.05, 0.0), (0.7, 1.0)]


def test_the_band_contains_a_perfectly_calibrated_forecaster_with_90_percent():
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(200):
        said = rng.choice([0.5, 0.6, 0.7, 0.8, 0.9], 30)
        calibration = calibration_of(claims(said, rng.random(30) < said), rng=rng)
        inside += calibration.low <= calibration.gap <= calibration.high
    assert 0.84 <= inside / 200 <= 0.96


def test_isotonic_rates_pool_adjacent_violators():
    said = [0.5] * 20 + [0.6] * 20 + [0.7] * 20
    hits = [True] * 12 + [False] * 8 + [True] * 8 + [False] * 12 + [True] * 16 + [False] * 4
    calibration = calibration_of(claims(said, hits), rng=np.random.default_rng(3))
    assert [point.came_true for point in calibration.curve] == pytest.approx([0.5, 0.5, 0.8])  # 0.6 and 0.4 pooled


def test_confidences_that_are_not_probabilities_are_refused():
    with pytest.raises(InputError):
        Claim(confidence=1.2, hit=True, better=0.5, was_better=False)


@pytest.mark.parametrize(("n", "has"), [(CURVE_FROM - 1, False), (CURVE_FROM, True)])
def test_the_curve_is_drawn_from_exactly_so_many_claims_on(n, has):
    made = claims([0.5 + 0.01 * (place % 40) for place in range(n)], [place % 3 for place in range(n)])
    assert bool(calibration_of(made, rng=np.random.default_rng(0)).curve) is has
