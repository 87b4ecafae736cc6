"""However a run ends: its end is told in the right words, what it printed is kept, and nothing of it is left."""

import pytest
from tests.training.deaths import WAYS, carry_out, left_over

QUICK = ("os._exit", "kill -9", "a signal without a name", "a closed output")


def ended_as_stated(folder, ways, **options):
    """Carry ways out; say which ended otherwise, or left something out."""
    words = carry_out(folder, ways, **options)
    assert {name: says for name, (says, _) in words.items()} == {way.name: way.says for way in ways}
    assert [way.name for way in ways if way.prints not in words[way.name][1]] == []
    assert left_over() == []


def test_a_run_that_ends_badly_is_told_and_takes_with_it_what_it_started(tmp_path):
    ended_as_stated(tmp_path, tuple(way for way in WAYS if way.name in QUICK))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(WAYS), 7))
def test_however_a_run_ends_its_end_is_told_and_nothing_is_left(tmp_path, first):
    ended_as_stated(tmp_path, WAYS[first : first + 7], timeout_s=4)
