"""Skill and calibration: what may be said, and how often it is said falsely."""

import numpy as np
import pytest

from palate.errors import InputError
from palate.forecast.calibration import calibration_of
from palate.forecast.skill import Scored, log_wealth, skill_of

LOOKS = 300


def scores(bits, least, most):
    return [Scored(bits=float(b), least=least, most=most) for b in bits]


def people(said, reference, came_true, n, rng):
    """Scores of somebody who says the same every time."""
    won, lost = np.log2(said / reference), np.log2((1 - said) / (1 - reference))
    return np.where(rng.random((n, LOOKS)) < came_true, won, lost), lost, won


@pytest.mark.parametrize(("said", "reference"), [(0.8, 0.45), (0.97, 0.6), (0.6, 0.33), (0.9, 0.9)])
def test_somebody_without_skill_is_called_ahead_at_most_one_time_in_twenty_at_any_look(said, reference):
    rng = np.random.default_rng(7)
    won, lost = np.log2(said / reference), np.log2((1 - said) / (1 - reference))
    even = -lost / (won - lost) if won > lost else 0.5  # how often it comes true where the mean is nought
    bits, least, most = people(said, reference, even, 400, rng)
    ahead = sum(
        any(log_wealth(row[:n], np.full(n, least)) >= np.log(2 / 0.05) for n in range(5, LOOKS, 5)) for row in bits
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
        Scored(bits=2.0, least=-1.0, most=1.0)


def test_calibration_says_nothing_below_twenty_one_number_then_and_a_curve_from_fifty():
    rng = np.random.default_rng(1)
    few = calibration_of([0.8] * 19, [True] * 19, rng=rng)
    assert few.gap is None
    assert few.words == "1 more until calibration can be shown."
    sure = calibration_of([0.9] * 40, [k % 2 == 0 for k in range(40)], rng=rng)
    assert sure.gap == pytest.approx(0.4)
    assert sure.words.startswith("Too sure by 40%")
    assert sure.curve == ()
    said = np.repeat([0.5, 0.6, 0.7, 0.8, 0.9], 40)
    honest = calibration_of(said, rng.random(200) < said, rng=rng)
    assert [point.said for point in honest.curve] == [0.5, 0.6, 0.7, 0.8, 0.9]
    rates = [point.came_true for point in honest.curve]
    assert rates == sorted(rates)


def test_the_band_holds_a_perfectly_calibrated_person_nine_times_in_ten():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        said = rng.choice([0.5, 0.6, 0.7, 0.8, 0.9], 30)
        told = calibration_of(said, rng.random(30) < said, rng=rng)
        held += told.low <= told.gap <= told.high
    assert 0.84 <= held / 200 <= 0.96


def test_isotonic_rates_are_those_of_pool_adjacent_violators():
    said = [0.5] * 20 + [0.6] * 20 + [0.7] * 20
    hits = [True] * 12 + [False] * 8 + [True] * 8 + [False] * 12 + [True] * 16 + [False] * 4
    told = calibration_of(said, hits, rng=np.random.default_rng(3))
    assert [point.came_true for point in told.curve] == pytest.approx([0.5, 0.5, 0.8])  # 0.6 and 0.4 pooled


def test_confidences_that_are_no_probabilities_are_refused():
    with pytest.raises(InputError):
        calibration_of([1.2], [True], rng=np.random.default_rng(0))
