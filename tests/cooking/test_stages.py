"""Stages and cycles of them: their losses, what they train, when they end, and going on in the middle of one."""

import re

import pytest
from tests.cooking.test_live import SHUFFLED, digests, run_of
from tests.cooking.trainings import attempt, run

from palate.cooking import Stage, cycle, cycles_without_improvement, every, steps
from palate.cooking.capsule import capsules_of
from palate.cooking.stage import Cadence, Spot, after, matches, stage_at
from palate.errors import InputError
from palate.question.branch import Branch, capsule_path
from palate.store.reader import read_journal

A, B, C = Stage("a"), Stage("b"), Stage("c")
CYCLE = cycle(A, B, until=steps(100))


def test_stages_and_rounds_of_a_cycle_follow_each_other():
    plan, spot, seen = (C, CYCLE, C), Spot(), []
    while (stage := stage_at(plan, spot)) is not None:
        seen.append((stage.name, spot.round))
        spot = after(plan, spot, lambda _, spot=spot: spot.round == 2)
    assert seen == [("c", 0), ("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2), ("c", 0)]


@pytest.mark.parametrize(
    ("name", "wanted", "does"),
    [
        ("model.head.weight", ["head"], True),
        ("model.header.weight", ["head"], False),
        ("gen.layers.3.weight", ["layers.3"], True),
        ("gen.layers.30.weight", ["layers.3"], False),
        ("gen.layers.3.weight", ["gen"], True),
        ("gen.layers.3.weight", ["critic", "bias"], False),
    ],
)
def test_a_name_is_matched_at_its_parts(name, wanted, does):
    assert matches(name, wanted) is does


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Stage(""),
        lambda: Stage("a", losses={"l1": -1}),
        lambda: Stage("a", losses={"l1": float("nan")}),
        lambda: Stage("a", losses={"l1": True}),
        lambda: Stage("a", train="head"),
        lambda: Stage("a", until=5),
        lambda: cycle(until=steps(3)),
        lambda: every(0),
        lambda: every(True),
        lambda: every(2.5),
    ],
)
def test_a_stage_that_cannot_be_is_refused_when_it_is_made(wrong):
    with pytest.raises(InputError):
        wrong()


def test_capsules_thin_out_so_that_few_are_kept_and_the_newest_stays():
    cadence, kept = Cadence(None), {}
    for step in range(1, 20_000):
        if cadence.is_due(step, now_s=float(step), cost_s=0.001):
            kept[step] = 1000
            for gone in list(cadence.surplus(kept)):
                del kept[gone]
    assert 4 <= len(kept) <= 17
    assert max(kept) > 10_000
    wished = Cadence(every(7))
    assert [step for step in range(1, 30) if wished.is_due(step, 0.0, 99.0)] == [7, 14, 21, 28]
    assert list(wished.surplus(dict.fromkeys(range(100), 1))) == []


def test_capsules_that_cost_much_are_kept_seldom():
    cadence = Cadence(None)
    due = [step for step in range(1, 10_000) if cadence.is_due(step, now_s=step / 100, cost_s=0.3)]
    assert len(due) <= 10  # of 100 s, 3 % are 3 s: ten times .3 s


STAGED = """
from palate.cooking import Stage, cycle, cycles_without_improvement, gate, steps
opt = torch.optim.SGD(net.parameters(), lr=.1, momentum=.9)
run = palate.start("t", model=net, optimizer=opt, keep=every(1))
first = Stage("first", losses={"ce": 1, "size": 0}, until=steps(5))
head = Stage("head", losses={"size": .5}, train=["4"], until=steps(3))
rest = Stage("rest", train=["0", "1"], until=steps(2))
for stage in run.stages(first, cycle(head, rest, until=cycles_without_improvement(2, "score", goal="max"))):
    for x, y in run.steps(loader):
        out = net(x)
        loss = run.mix(ce=F.cross_entropy(out, y), size=lambda: out.pow(2).mean())
        opt.zero_grad(); loss.backward(); opt.step()
    if stage is rest:
        run.log(run.step, score=1.0 if run.step < 12 else 0.5)
    print(stage.name, run.step, [name for name, one in net.named_parameters() if one.requires_grad])
report(model=net, optimizer=opt)
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("staged")
    printed = run(folder, SHUFFLED + STAGED)
    return folder, run_of(folder), digests(folder), printed


@pytest.mark.slow
def test_a_stage_trains_what_it_says_with_its_losses_and_ends(staged):
    _, trunk, _, printed = staged
    told = re.findall(r"^(\w+) (\d+) (\[.*\])$", printed, re.MULTILINE)
    assert [(name, int(step)) for name, step, _ in told][:3] == [("first", 5), ("head", 8), ("rest", 10)]
    assert "['4.weight', '4.bias']" in told[1][2]
    assert "['0.weight', '0.bias', '1.weight', '1.bias']" in told[2][2]
    assert [name for name, *_ in told] == ["first", *["head", "rest"] * 3]  # best in round 1, two rounds without
    content = read_journal(trunk / "journal")
    fired = [event for event in content.events if event["kind"] == "until"]
    assert fired[0]["stage"] == "first" and fired[-1]["stage"] == "cycle"
    assert "score" in fired[-1]["words"]
    assert content.curves["size"].steps[0] == 5  # at weight 0 it was not evaluated


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 5, 7, 8, 12, 15])
def test_it_goes_on_in_the_middle_of_any_stage_and_round(staged, step):
    folder, trunk, wanted, printed = staged
    assert step in capsules_of(trunk)
    branch = Branch(capsule=str(capsule_path(trunk, step)), at=step)
    again = run(folder, SHUFFLED + STAGED, environment={"PALATE_BRANCH": branch.text()})
    assert digests(folder) == wanted
    assert printed.splitlines()[-1] == again.splitlines()[-1]


WRONG = {
    "a name that no parameter has": ('Stage("a", train=["tail"], until=steps(3))', "no parameter's name has it"),
    "no stage": ("", "has no stage"),
    "no stage but a number": ("3", "takes stages and cycles"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("stages", "said"), WRONG.values(), ids=list(WRONG))
def test_stages_that_cannot_be_are_refused_before_a_step(stages, said, tmp_path):
    body = f"""
from palate.cooking import Stage, steps
opt = torch.optim.SGD(net.parameters(), lr=.1)
run = palate.start("t", model=net, optimizer=opt)
for stage in run.stages({stages}):
    for x, y in run.steps(loader):
        raise SystemExit(7)
"""
    status, printed = attempt(tmp_path, SHUFFLED + body)
    assert status == 1
    assert said in printed


@pytest.mark.slow
def test_a_loader_that_is_used_up_is_said_and_not_gone_through_for_ever(tmp_path):
    body = """
from palate.cooking import steps
opt = torch.optim.SGD(net.parameters(), lr=.1)
run = palate.start("t", model=net, optimizer=opt)
for x, y in run.steps(iter([(X, Y)] * 3), until=steps(10)):
    F.cross_entropy(net(x), y).backward(); opt.step()
"""
    status, printed = attempt(tmp_path, SHUFFLED + body)
    assert status == 1
    assert "gives no more batches" in printed


def test_conditions_that_count_to_nothing_are_refused():
    with pytest.raises(InputError):
        cycles_without_improvement(0, "fid")
    with pytest.raises(InputError):
        steps(0)
