"""Where stages, epochs and rounds end, counted on loops without a training in them."""

from types import SimpleNamespace

import pytest

from palate.cooking import Stage, cycle, cycles_without_improvement, epochs, every, gate, steps, tasted
from palate.cooking.live import Live
from palate.cooking.tastings import Word, say_word
from palate.errors import InputError

LOADER = [0, 1, 2, 3]


class FakeRun:
    """A run that keeps what it hears in memory."""

    def __init__(self, folder):
        self.folder, self.events, self.rows = folder, [], []
        self.journal = SimpleNamespace(
            event=self.event, log_soon=lambda step, row, _: self.rows.append((step, row)), write_late=lambda: None
        )

    def event(self, kind, **told):
        self.events.append({"kind": kind, **told})

    def log(self, step=None, /, **metrics):
        self.rows.append((step, metrics))


@pytest.fixture
def live(tmp_path, torch):
    made = Live(FakeRun(tmp_path), {}, keep=every(10**9))
    yield made
    made.close()


def fired(live):
    return [event["stage"] for event in live.run.events if event["kind"] == "until"]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_epochs_are_complete_passes(live, n):
    assert len(list(live.steps(LOADER, until=epochs(n)))) == 4 * n
    assert fired(live) == ["training"]


def test_epochs_count_from_the_beginning_of_their_stage(live):
    seen = {}
    for stage in live.stages(Stage("a", until=steps(6)), Stage("b", until=epochs(2))):
        seen[stage.name] = len(list(live.steps(LOADER)))
    assert seen == {"a": 6, "b": 8}
    assert fired(live) == ["a", "b"]


def test_two_loops_with_ends_of_their_own_count_each_from_its_beginning(live):
    assert len(list(live.steps(LOADER, until=steps(5)))) == 5
    assert len(list(live.steps(LOADER, until=steps(3)))) == 3


def test_inside_of_epochs_a_stage_ends_once_and_no_later_loop_goes_on(live):
    done = []
    for stage in live.stages(Stage("a", until=steps(6))):
        for epoch in live.epochs(10):
            for part in ("one", "two"):
                done += [(epoch, part, batch, stage.name) for batch in live.steps(LOADER)]
    assert len(done) == 6
    assert fired(live) == ["a"]


@pytest.mark.parametrize(("best", "rounds"), [(1, 3), (2, 4), (4, 6)])
def test_a_cycle_ends_behind_so_many_rounds_without_improvement_the_first_one_included(live, best, rounds):
    stages = [Stage("a", until=steps(2)), Stage("b", until=steps(1))]
    seen = 0
    for stage in live.stages(cycle(*stages, until=cycles_without_improvement(2, "score", goal="max"))):
        list(live.steps(LOADER))
        seen += stage.name == "b"
        if stage.name == "b":
            live.saw({"score": 1.0 if seen == best else 1.0 - abs(seen - best)})
        assert seen < 20
    assert seen == rounds


def test_a_tag_ends_the_stage_in_which_it_was_given_and_no_later_one(live):
    from datetime import UTC, datetime, timedelta

    early = datetime.now(UTC) - timedelta(seconds=60)
    (live.run.folder / "samples").mkdir()
    say_word(live.run.folder, Word(author="ada", time=early, step=1, kind="tag", value="done"))
    live.seasoning.next_poll_s = 0.0
    seen = 0
    for _ in live.stages(Stage("a", until=tasted("done") | steps(30))):
        for _ in live.steps(LOADER):
            live.seasoning.next_poll_s = 0.0
            seen += 1
    assert seen == 30


def test_a_loop_that_is_left_by_break_counts_its_step(live):
    for batch in live.steps(LOADER):
        live._stepped = {"optimizer"}
        if batch == 2:
            break
    assert live.step == 3


def test_conditions_that_contradict_each_other_are_refused_before_a_step(live):
    with pytest.raises(InputError, match="can never hold"):
        list(live.steps(LOADER, until=gate("loss < 1") & gate("loss > 2")))
    with pytest.raises(InputError, match="cannot be carried out"):
        list(
            live.stages(Stage("a", until=steps(1)), Stage("b", until=cycles_without_improvement(2, "fid", goal="min")))
        )


def test_passes_of_a_loop_that_the_training_counts_are_not_numbered_by_palate(live):
    class Loader(list):
        sampler = SimpleNamespace(set_epoch=lambda number: numbers.append(number))

    numbers = []
    for _ in range(3):
        list(live.steps(Loader(LOADER)))
    assert numbers == []
    list(live.steps(Loader(LOADER), until=epochs(2)))
    assert numbers == [0, 1]
