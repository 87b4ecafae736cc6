"""Steps that are only counted: nothing that is due is missed by them, nothing is late that somebody waits for."""

import pytest

from palate.cooking import diverged, epochs, every, gate, minutes, samples, steps
from palate.store.reader import read_journal
from palate.training.run import Run

LOADER = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]
UNTIL = {
    "steps": steps(37),
    "samples": samples(50),
    "epochs": epochs(7),
    "a term's own gate": gate("a < 0.03"),
    "a gate that waits for steps": steps(40) & gate("a < 0.03"),
    "a term that comes late": gate("late > 0") & steps(10),
    "divergence": diverged() | steps(90),
    "what the loop logs itself": gate("own > 5") | steps(90),
    "minutes": minutes(1e-9) & steps(20),
}


def trained(folder, torch, until, *, watched=None):
    """Train, log, and return the steps that were done, the rows and what the journal says of the end."""
    folder.mkdir()
    parameter = torch.nn.Parameter(torch.ones(1))
    run = Run(folder).attach(optimizer=torch.optim.SGD([parameter], lr=0.01), keep=every(10**9), symptoms=False)
    if watched is not None:
        watched(run.live)
    done = 0
    for _ in run.steps(LOADER, until=until):
        late = {"late": torch.tensor(1.0)} if done == 60 else {}
        run.mix(a=torch.tensor(1.0 / (1 + done)), b=torch.tensor(float("inf") if done == 70 else 2.0), **late)
        if done == 20:
            run.log(done, own=6.0)
        done += 1
    run.close()
    read = read_journal(folder / "journal")
    rows = {name: (curve.steps.tolist(), curve.values.tolist()) for name, curve in read.curves.items()}
    return done, rows, [event["words"] for event in read.events if event["kind"] == "until"]


def restless(live):
    """Have each step looked at."""
    done = live._attend
    live.step_done = lambda samples, one, call=0, *, last=False: done(samples, one, call, 0.0, last=last)


@pytest.mark.parametrize("name", UNTIL)
def test_a_stage_ends_at_the_step_at_which_it_ends_where_each_is_looked_at(name, tmp_path, torch):
    told = trained(tmp_path / "quiet", torch, UNTIL[name])
    assert told == trained(tmp_path / "restless", torch, UNTIL[name], watched=restless)
    assert told[0] == len(told[1]["a"][0])


def test_most_steps_are_only_counted(tmp_path, torch):
    looked = []

    def watched(live):
        attend = live._attend
        live._attend = lambda *given, **named: (looked.append(live.step), attend(*given, **named))[1]

    assert trained(tmp_path / "run", torch, steps(2_000), watched=watched)[0] == 2_000
    assert len(looked) < 600  # one for each of 500 passes, one each .2 s, and those that log


@pytest.mark.parametrize("how", ["break", "raise"])
def test_rows_of_steps_that_were_done_are_written_however_the_loop_is_left(how, tmp_path, torch):
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=0.01)
    run = Run(tmp_path).attach(optimizer=optimizer, keep=every(10**9), symptoms=False)
    try:
        for place, _ in enumerate(run.steps(LOADER * 5)):
            run.mix(a=(parameter * place).sum()).backward()
            optimizer.step()
            if place == 13 and how == "break":
                break
            if place == 13:
                raise ZeroDivisionError
    except ZeroDivisionError:
        run.close()
    assert read_journal(tmp_path / "journal").curves["a"].steps.tolist()[:13] == list(range(13))
    run.close()


def test_terms_on_a_device_are_fetched_together_and_each_stands_at_its_own_step(tmp_path, torch):
    class Far(torch.Tensor):
        """A tensor that says that it is on a device."""

        is_cpu = False

    def away(value):
        return torch.tensor(value).as_subclass(Far)

    parameter = torch.nn.Parameter(torch.ones(1))
    run = Run(tmp_path).attach(optimizer=torch.optim.SGD([parameter], lr=0.01), keep=every(10**9), symptoms=False)
    held = []
    for place, _ in enumerate(run.steps(LOADER * 25)):
        run.mix(**({"far": away(place / 8), "near": torch.tensor(2.0)} if place % 5 else {"near": torch.tensor(1.0)}))
        held.append(len(run.live._mixer._on_device))
    run.close()
    curves = read_journal(tmp_path / "journal").curves
    assert curves["far"].steps.tolist() == [step for step in range(100) if step % 5]
    assert curves["far"].values.tolist() == [step / 8 for step in range(100) if step % 5]
    assert sorted(curves["near"].steps.tolist()) == list(range(100))
    assert 16 <= max(held) <= 32 + 1
