"""Until when runs are started: no pair that would end too late, and none once somebody asked for no more."""

from palate.training.limits import Limits


class Clock:
    """A clock that is set by hand, in seconds."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def limits(hours, clock, **more):
    return Limits(hours, now_s=clock, **more)


def test_without_hours_everything_is_started_for_ever():
    clock = Clock()
    free = limits(None, clock)
    clock.now_s = 1e9
    assert free.allow(["baseline", "treatment"], 1)
    assert not free.are_over()
    assert free.stopped == ""


def test_a_pair_is_not_started_that_would_end_after_the_hours_as_long_as_the_longest_run_so_far():
    clock = Clock()
    one = limits(1, clock)
    one.learn("baseline", 500.0, 900.0)
    one.learn("treatment", 1200.0)
    clock.now_s = 3600 - 2100
    assert one.allow(["baseline", "treatment"], 1)
    clock.now_s += 1
    assert not one.allow(["baseline", "treatment"], 1)
    assert one.stopped == "within 1 h, as the next pair would end later"
    assert one.allow(["treatment"], 1)  # the other half of a pair that has begun
    assert one.allow(["baseline", "treatment"], 2)  # side by side
    clock.now_s = 3600 - 1199
    assert not one.allow(["baseline", "treatment"], 2)
    assert one.allow(["baseline"], 1)


def test_an_arm_of_which_no_run_has_ended_is_taken_to_be_as_long_as_the_other():
    clock = Clock()
    one = limits(1, clock)
    assert one.allow(["baseline", "treatment"], 1)
    one.learn("baseline", 1700.0)
    clock.now_s = 1700.0
    assert one.allow(["treatment"], 1)
    assert not one.allow(["baseline", "treatment"], 1)


def test_what_goes_at_the_end_of_the_hours_has_a_tenth_of_them_more_and_a_quarter_of_an_hour_at_most():
    for hours, grace_s in ((1, 360), (8, 900), (0.01, 3.6)):
        clock = Clock()
        one = limits(hours, clock)
        clock.now_s = hours * 3600 + grace_s - 0.1
        assert not one.are_over()
        assert not one.allow(["baseline"], 1)
        assert one.stopped.startswith("after ")
        clock.now_s += 0.2
        assert one.are_over()
        assert one.stopped.startswith("after ")


def test_who_asks_for_no_more_gets_no_more():
    asked = []
    one = limits(None, Clock(), asked=lambda: bool(asked))
    assert one.allow(["baseline"], 1)
    asked.append(True)
    assert not one.allow(["baseline"], 1)
    assert one.stopped == "as was asked"
