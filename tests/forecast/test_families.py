"""What one is good and bad at, by family: planted people, whose faults are known, and such without any."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.forecast.families import CHANCE, Told, count_chances, families_of


def person(rng, family, said, right, n, better=None, was_better=None):
    """Forecasts of a family by somebody who says so sure that they are right so often."""
    hits = rng.random(n) < right
    gains = rng.random(n) < (right if was_better is None else was_better)
    return [
        Told(family=family, confidence=said, hit=bool(h), better=better or said, was_better=bool(g), bits=h - 0.7)
        for h, g in zip(hits, gains, strict=True)
    ]


def test_somebody_biased_by_family_is_told_each_fault_and_no_other():
    rng = np.random.default_rng(3)
    found = {"lr": 0, "batch": 0, "width": 0}
    for _ in range(200):
        told = [
            *person(rng, "lr", 0.97, 0.4, 12, better=0.5, was_better=0.5),
            *person(rng, "batch", 0.5, 0.97, 12, better=0.5, was_better=0.5),
            *person(rng, "width", 0.5, 0.5, 12, better=0.9, was_better=0.2),
        ]
        by_name = {family.name: family.faults for family in families_of(told)}
        found["lr"] += "too sure" in by_name["lr"]
        found["batch"] += "too timid" in by_name["batch"]
        found["width"] += "expects better too often" in by_name["width"]
        assert "too timid" not in by_name["lr"]
        assert "expects better too rarely" not in by_name["width"]
    assert min(found.values()) >= 0.95 * 200


@pytest.mark.parametrize("n", [5, 8, 20])
def test_of_people_whose_chances_are_right_each_fault_is_told_of_one_in_ten_at_most(n):
    rng = np.random.default_rng(4)
    told = [
        {fault for family in families_of(person(rng, "lr", 0.7, 0.7, n, better=0.4, was_better=0.4))
         for fault in family.faults}
        for _ in range(2000)
    ]  # fmt: skip
    for fault in ("too sure", "too timid", "expects better too often", "expects better too rarely"):
        assert np.mean([fault in faults for faults in told]) <= CHANCE + 0.02


def test_fewer_than_five_tell_nothing_and_the_worst_family_comes_first():
    rng = np.random.default_rng(5)
    few, bad = person(rng, "lr", 0.9, 0.0, 4), person(rng, "width", 0.9, 0.0, 5)
    good = person(rng, "dropout", 0.9, 1.0, 5)
    assert [family.name for family in families_of([*few, *good, *bad])] == ["width", "dropout"]
    assert families_of(bad)[0].words.startswith("width: 0 of 5 right at 90% sure on average: too sure")


@given(st.lists(st.floats(0, 1), max_size=7))
def test_the_chances_of_a_count_are_those_of_all_ways_to_it(probabilities):
    exact = [0.0] * (len(probabilities) + 1)
    for ways in product((0, 1), repeat=len(probabilities)):
        exact[sum(ways)] += math.prod(p if way else 1 - p for p, way in zip(probabilities, ways, strict=True))
    assert count_chances(probabilities) == pytest.approx(exact)
