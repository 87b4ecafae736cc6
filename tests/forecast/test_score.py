"""Scores: equal to closed forms and to scoringrules, bounded as sealed, and proper at any number of seeds."""

import math
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from palate.errors import InputError
from palate.forecast.answer import ANSWERS, SIZES, Forecast, Spread
from palate.forecast.chances import Chances, mixed, normalised
from palate.forecast.density import (
    CLASSES,
    SHAPE,
    Cells,
    Scale,
    _tilts,
    chances_of,
    class_densities,
    densities_of,
    reference_densities,
    tilt_bounds,
)
from palate.forecast.score import Entry, Observed, _kink, score, score_all, score_bounds

EVEN = Chances(worse=0.3, same=0.3, better=0.3, crash=0.1)
WEIGHTS, WIDTHS = np.array(SHAPE).T
FORECASTS = st.one_of(
    st.builds(Forecast, answer=st.sampled_from(ANSWERS), confidence=st.integers(34, 97)),
    st.builds(
        Forecast,
        answer=st.sampled_from(["worse", "better"]),
        confidence=st.integers(34, 97),
        size=st.sampled_from(SIZES),
    ),
)
REFERENCES = st.tuples(*[st.floats(0.02, 1.0)] * 4).map(
    lambda four: normalised(dict(zip(("worse", "same", "better", "crash"), four, strict=True)))
)


def seen(difference, error, settled=None, margin=1.0, seed_sd=1.0, unit=1.0):
    scale = Scale(margin=margin, seed_sd=seed_sd, unit=unit)
    return Observed(difference=difference, standard_error=error, scale=scale, settled=settled)


def bits_of(said, difference, error, reference=EVEN, **scale):
    return score(Entry(said=said, reference=reference, seen=seen(difference, error, **scale))).bits


def test_invalid_chances_and_scales_are_refused():
    with pytest.raises(InputError):
        Chances(worse=0.5, same=0.5, better=0.5, crash=0.0)
    with pytest.raises(InputError):
        Scale(margin=0.0, seed_sd=1.0)


@given(FORECASTS, REFERENCES)
def test_chances_sum_to_one_keep_the_confidence_and_take_a_crash_from_the_reference(forecast, reference):
    chances = chances_of(forecast, reference)
    assert chances.of(forecast.answer) == pytest.approx(forecast.confidence / 100)
    if forecast.answer != "crash":
        left = (1 - forecast.confidence / 100) / (1 - reference.of(forecast.answer))
        assert chances.crash == pytest.approx(reference.crash * left)


def test_mixing_chances_is_linear():
    one, other = Chances(worse=1, same=0, better=0, crash=0), Chances(worse=0, same=0.5, better=0.5, crash=0)
    assert mixed([(1, one), (3, other)]).same == pytest.approx(0.375)


def flat_reference(margin=1.0, crash=0.05):
    """Chances that are the masses of the base density, so that the forecast is the base density itself."""
    masses = [
        float((WEIGHTS * (ndtr(high / WIDTHS) - ndtr(low / WIDTHS))).sum())
        for low, high in pairwise([-np.inf, -margin, margin, np.inf])
    ]
    return Chances(
        **{n: m * (1 - crash) for n, m in zip(("worse", "same", "better"), masses, strict=True)}, crash=crash
    )


@pytest.mark.parametrize("difference", [0.0, 0.3, -2.0, 9.0])
@pytest.mark.parametrize("error", [0.02, 0.4, 1.5])
def test_log_scores_and_crps_are_those_of_scoringrules_where_the_density_is_a_normal_mixture(difference, error):
    import scoringrules

    reference = flat_reference()
    cells = Cells([Scale(margin=1.0, seed_sd=1.0)])
    at, noise = np.array([[difference]]), np.array([error])
    density = reference_densities([reference], cells).blurred(cells.blurred(at, noise), at, noise)[0, 0]
    means, sds = np.zeros(len(WIDTHS)), np.hypot(WIDTHS, error)
    assert -math.log(density) == pytest.approx(float(scoringrules.logs_mixnorm(difference, means, sds, WEIGHTS)))
    scored = score(
        Entry(said=Forecast(answer="same", confidence=60), reference=reference, seen=seen(difference, error))
    )
    wanted = float(scoringrules.crps_mixnorm(difference, means, sds, WEIGHTS))
    assert scored.crps_reference == pytest.approx(wanted, rel=2e-3)


def test_the_crps_of_any_density_is_its_defining_integral():
    for said in (Forecast(answer="better", confidence=90, size="1-2"), Spread(low=-0.5, middle=1.0, high=4.0)):
        scored = score(Entry(said=said, reference=EVEN, seen=seen(2.0, 0.5)))
        cells = Cells([Scale(margin=1.0, seed_sd=1.0)])
        grid, noise = np.linspace(-60, 60, 24_001)[None], np.array([0.5])
        density = densities_of([said], [EVEN], cells, [1]).blurred(cells.blurred(grid, noise), grid, noise)[0]
        step = grid[0, 1] - grid[0, 0]
        below = np.cumsum(density) * step - density * step / 2
        assert below[-1] == pytest.approx(1, abs=1e-6)
        assert scored.crps == pytest.approx(((below - (grid[0] >= 2.0)) ** 2).sum() * step, rel=1e-2)


def test_a_blurred_density_is_the_convolution_of_the_sharp_one():
    said, error = Spread(low=-0.5, middle=1.0, high=4.0), 0.7
    cells = Cells([Scale(margin=1.0, seed_sd=1.0)])
    dense = densities_of([said], [EVEN], cells, [1])
    edges = np.linspace(-60, 60, 48_001)
    below = dense.below(cells.below(edges[None]), edges[None])[0]
    middle = (edges[1:] + edges[:-1]) / 2
    for at in (-1.5, 0.2, 1.0, 1.4, 3.0):
        wanted = (np.diff(below) * np.exp(-0.5 * ((at - middle) / error) ** 2)).sum() / (error * math.sqrt(2 * math.pi))
        point, noise = np.array([[at]]), np.array([error])
        assert dense.blurred(cells.blurred(point, noise), point, noise)[0, 0] == pytest.approx(wanted, rel=1e-4)


def test_cells_lie_at_the_margin_and_at_the_sizes_on_both_sides_alike():
    cells = Cells([Scale(margin=0.5, seed_sd=1.0), Scale(margin=3.0, seed_sd=1.0)])
    assert cells.edges[0].tolist() == [-math.inf, -4, -2, -1, -0.5, 0.5, 1, 2, 4, math.inf]
    assert cells.edges[1].tolist() == [-math.inf, -4, -3, -2, -1, 1, 2, 3, 4, math.inf]
    assert cells.classes[0].tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 2]
    assert cells.classes[1].tolist() == [0, 0, 1, 1, 1, 1, 1, 2, 2]
    assert cells.sizes[0].tolist() == [3, 2, 1, 0, 0, 0, 1, 2, 3]
    assert np.allclose(cells.mass, cells.mass[:, ::-1])
    assert cells.mass.sum(axis=1) == pytest.approx([1, 1])


def test_the_base_density_of_effects_is_the_designs():
    assert SHAPE == ((0.5, 0.4), (0.3, 1.0), (0.17, 2.5), (0.03, 6.0))
    assert WEIGHTS.sum() == pytest.approx(1)


@pytest.mark.parametrize("goal", [1, -1])
def test_quantiles_are_kept_and_change_sign_where_lower_is_better(goal):
    said = Spread(low=-0.5, middle=1.0, high=4.0)
    cells = Cells([Scale(margin=1.0, seed_sd=1.0)])
    quantiles = np.array([[-0.5, 1.0, 4.0] if goal > 0 else [-4.0, -1.0, 0.5]])
    below = densities_of([said], [EVEN], cells, [goal]).below(cells.below(quantiles), quantiles)[0]
    assert below == pytest.approx([0.1, 0.5, 0.9], abs=1e-6)


@pytest.mark.parametrize(("difference", "error"), [(0.3, 0.5), (-2.0, 0.8), (5.0, 1.0)])
def test_class_densities_are_their_defining_integrals(difference, error):
    from scipy.integrate import quad

    def prior(effect):
        return sum(weight * NormalDist(0, 2 * width).pdf(effect) for weight, width in SHAPE)

    wanted = []
    for low, high in pairwise([-80, -1, 1, 80]):
        points = [x for x in (difference,) if low < x < high] or None
        joint = quad(lambda e: prior(e) * NormalDist(e, error).pdf(difference), low, high, points=points, limit=300)[0]
        wanted.append(joint / quad(prior, low, high, limit=300)[0])
    got = class_densities(Cells([Scale(margin=1.0, seed_sd=1.0, unit=2.0)]), np.array([difference]), np.array([error]))
    assert got[0] == pytest.approx(np.array(wanted), rel=1e-4, abs=1e-8)


def test_without_noise_brier_and_bits_are_those_of_the_chances():
    import scoringrules

    said = Forecast(answer="better", confidence=80)
    mine = chances_of(said, EVEN)
    scored = score(Entry(said=said, reference=EVEN, seen=seen(3.0, 1e-6, "better")))
    assert scored.bits == pytest.approx(math.log2(0.8 / 0.3))
    wanted = [mine.of(name) for name in ANSWERS]
    assert scored.brier == pytest.approx(2 * float(scoringrules.brier_score(1.0, 0.8)) - 0.2**2 + sum(
        chance**2 for name, chance in zip(ANSWERS, wanted, strict=True) if name != "better"
    ))  # fmt: skip


def test_a_crash_is_an_outcome_of_its_own_and_scores_0_for_quantiles():
    failed = Observed(difference=None, standard_error=1, scale=Scale(margin=1, seed_sd=1), settled="crash")
    said = Forecast(answer="crash", confidence=70)
    assert score(Entry(said=said, reference=EVEN, seen=failed)).bits == pytest.approx(math.log2(0.7 / 0.1))
    quiet = score(Entry(said=Spread(low=0, middle=1, high=2), reference=EVEN, seen=failed))
    assert quiet.bits == 0
    assert quiet.crps is None


@pytest.mark.parametrize("confidence", [60, 84, 85, 94, 95, 99])
def test_the_surer_the_answer_the_fewer_small_effects_of_it_are_expected_and_never_more_large_ones(confidence):
    rows = dict(zip(CLASSES, _tilts("better", confidence, None), strict=True))
    own = rows["better"]
    assert own == {60: (1, 1, 1, 1), 84: (1, 1, 1, 1), 85: (0.6, 1, 1, 1), 94: (0.6, 1, 1, 1)}.get(
        confidence, (0.3, 0.7, 1, 1)
    )
    assert list(own) == sorted(own)
    assert max(own) == 1


def test_a_right_size_gains_bits_and_a_wrong_one_loses_some():
    plain, sized = (Forecast(answer="better", confidence=70, size=size) for size in (None, ">4"))
    assert bits_of(sized, 6.0, 0.2) > bits_of(plain, 6.0, 0.2) + 1
    assert bits_of(sized, 1.3, 0.2) < bits_of(plain, 1.3, 0.2)


@given(FORECASTS, REFERENCES, st.floats(-200, 200), st.floats(0.01, 5), st.floats(0.1, 4), st.floats(0.25, 4))
def test_scores_lie_within_the_bounds_that_were_known_when_sealed(said, reference, difference, error, margin, unit):
    least, most = score_bounds(said, reference)
    bits = bits_of(said, difference, error, reference, margin=margin, unit=unit)
    assert least - 1e-6 <= bits <= most + 1e-6


@given(NUMBERS := st.lists(st.floats(-9, 9), min_size=3, max_size=3, unique=True).map(sorted), st.floats(-200, 200))
def test_quantiles_cannot_lose_more_than_their_bound(three, difference):
    low, middle, high = three
    if not low < middle - 1e-3 < high - 2e-3:
        return
    said = Spread(low=low, middle=middle, high=high)
    assert bits_of(said, difference, 0.5) >= score_bounds(said, EVEN)[0] - 1e-6


def test_quantiles_far_from_what_comes_lose_what_the_bound_says():
    reference = Chances(worse=0.1, same=0.7, better=0.1, crash=0.1)
    said = Spread(low=99.0, middle=100.0, high=101.0)
    lost = bits_of(said, 0.0, 0.2, reference, margin=8.0)
    assert lost == pytest.approx(score_bounds(said, reference)[0], abs=0.02)


def test_the_kink_of_an_absolute_difference_is_taken_out_of_the_trapezoidal_rule_exactly():
    grid, height = np.linspace(-2, 2, 9)[None], 0.3
    density, step = np.full_like(grid, height), 0.5
    for observed in (-0.9, 0.0, 0.13, 1.2):
        rule = float(np.trapezoid((density * np.abs(grid - observed))[0], grid[0]))
        exact = height * ((2 + observed) ** 2 + (2 - observed) ** 2) / 2
        ends = step**2 / 12 * 2 * height  # the rule's own error: the slopes at both ends
        kink = float(_kink(density, grid, np.array([[observed]]))[0])
        assert rule - exact == pytest.approx(kink + ends, abs=1e-12)


@pytest.mark.parametrize("three", [(-50, 0, 50), (-1, 0, 200), (40, 50, 60), (99.99, 100, 100.01)])
def test_the_crps_of_distant_or_very_wide_quantiles_is_its_defining_integral(three):
    low, middle, high = three
    said, cells, noise = (
        Spread(low=low, middle=middle, high=high),
        Cells([Scale(margin=1.0, seed_sd=1.0)]),
        np.array([0.5]),
    )
    scored = score(Entry(said=said, reference=EVEN, seen=seen(2.0, 0.5)))
    grid = np.linspace(min(-60, 4 * low - 50), max(60, 4 * high + 50), 100_001)[None]
    density = densities_of([said], [EVEN], cells, [1]).blurred(cells.blurred(grid, noise), grid, noise)[0]
    step = grid[0, 1] - grid[0, 0]
    below = np.cumsum(density) * step - density * step / 2
    assert scored.crps == pytest.approx(((below - (grid[0] >= 2.0)) ** 2).sum() * step, rel=1e-2)


@pytest.mark.parametrize("margin", [20.0, 200.0, 1e6])
@pytest.mark.parametrize("unit", [0.25, 1.0])
def test_a_margin_of_many_seed_sds_works_as_any_other(margin, unit):
    def bits(said, difference):
        return bits_of(said, difference * margin, 0.5, margin=margin, unit=unit)

    better, worse, same = (Forecast(answer=answer, confidence=97) for answer in ("better", "worse", "same"))
    assert bits(better, 1.5) > 1 and bits(better, -1.5) < -3 and bits(better, 0.1) < -3
    assert bits(worse, 1.5) < -3 and bits(same, 1.5) < -3 and bits(same, 0.1) > 1
    right = Spread(low=0.5 * margin, middle=1.5 * margin, high=2 * margin)
    assert bits(right, 1.5) > 0 > bits(right, -1.5)


def test_a_batch_has_the_scores_of_single_forecasts():
    rng = np.random.default_rng(0)
    said = [
        Forecast(answer="better", confidence=70),
        Spread(low=-1, middle=0.2, high=1),
        Forecast(answer="crash", confidence=40),
    ]
    entries = [
        Entry(
            said=said[k % 3],
            reference=EVEN,
            seen=seen(float(rng.normal()), 0.5, margin=0.5 + k % 2),
            sign=1 - 2 * (k % 2),
        )
        for k in range(600)
    ]
    scores = score_all(entries)
    for k in (0, 1, 2, 255, 256, 599):
        assert scores[k].bits == pytest.approx(score(entries[k]).bits)
        assert scores[k].crps == pytest.approx(score(entries[k]).crps)


def test_a_score_without_a_known_noise_is_provisional():
    observed = Observed(
        difference=1.0, standard_error=1.4, scale=Scale(margin=1, seed_sd=1), settled=None, noise="none"
    )
    assert score(Entry(said=Forecast(answer="better", confidence=60), reference=EVEN, seen=observed)).provisional


def test_the_bounds_of_a_tilt_are_the_inverse_of_each_other_and_hold_the_ratio_one():
    for answer, size in (("better", None), ("better", SIZES[0]), ("worse", None), ("same", None)):
        for low, high in tilt_bounds(Forecast(answer=answer, confidence=80, size=size)).values():
            assert low * high == pytest.approx(1)
            assert 0 < low <= 1 <= high
    assert any(high > 1.01 for _, high in tilt_bounds(Forecast(answer="better", confidence=95)).values())
