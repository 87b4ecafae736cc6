"""What costs time is done as often as its share allows."""

import pytest

from palate.cooking.pace import GAP, Pace


def walk(cost_s, step_s, steps, share=0.1):
    """Steps at which something is done that costs so much, by a clock that counts nothing else."""
    now_s = [0.0]
    pace, done = Pace(share, 1, lambda: now_s[0]), []
    for step in range(1, steps + 1):
        now_s[0] += step_s
        if step >= pace.next:
            now_s[0] += cost_s
            pace.spent_s += cost_s
            pace.choose(step)
            done.append(step)
    return done, pace.spent_s / now_s[0]


def test_what_costs_more_than_a_step_is_done_rarely():
    done, share = walk(cost_s=0.01, step_s=0.002, steps=2000)
    assert done[0] == 1
    assert share == pytest.approx(0.1, rel=0.1)


def test_what_costs_next_to_nothing_is_not_done_at_each_step():
    done, _ = walk(cost_s=0.0, step_s=0.002, steps=21)
    assert done == list(range(1, 22, GAP))
