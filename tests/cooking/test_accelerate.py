"""A loop with Accelerate's loader, optimizer and scheduler is held like any other, and goes on bit for bit."""

import pytest
from tests.cooking.engines import Kitchen, events

from palate.question.branch import parse_amount

pytestmark = pytest.mark.slow

BODY = """
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
accelerator = Accelerator(gradient_accumulation_steps={accumulate},
                          dataloader_config=DataLoaderConfiguration(use_seedable_sampler={seedable}))
loader = DataLoader({data}, batch_size=10, shuffle={shuffle}, num_workers={workers})
opt = torch.optim.AdamW(net.parameters(), lr=1e-2)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 14)
net, opt, loader, sched = accelerator.prepare(net, opt, loader, sched)
if not BARE:
    run = palate.start("t", model=accelerator.unwrap_model(net), optimizer=opt, scheduler=sched,
                       accelerator=accelerator, keep=every(1))
for epoch in (range(3) if BARE else run.epochs(3)):
    for x, y in (loader if BARE else run.steps(loader)):
        with accelerator.accumulate(net):
            ce = F.cross_entropy(net(x), y)
            accelerator.backward(ce if BARE else run.mix(ce=ce))
            opt.step(); sched.step(); opt.zero_grad()
    accelerator.gather(torch.ones(1))
report(model=net, optimizer=opt.optimizer, scheduler=sched.scheduler)
"""
PLAIN = {"accumulate": 1, "seedable": False, "data": "Noisy()", "shuffle": True, "workers": 0}
CASES = {
    "examples that draw random numbers, a batch ahead": {},
    "gradients added up, and a rest at the end of the data": {"accumulate": 2},
    "an order that is made from the number of the epoch": {"seedable": True},
    "workers": {"workers": 2},
    "a stream": {"data": "Stream()", "shuffle": False},
}


def kitchen(folder, **how):
    return Kitchen(folder, BODY.format(**{**PLAIN, **how}), ("accelerate",))


@pytest.mark.parametrize("how", CASES.values(), ids=list(CASES))
def test_attached_it_equals_the_bare_run_and_goes_on_bitwise(how, tmp_path):
    kitchen(tmp_path, **how).equals_bare_and_goes_on((0, 3, 7, 8, 10, 14, 21))


@pytest.mark.parametrize("seedable", [False, True])
def test_replicates_have_an_order_of_their_own_and_equal_themselves(seedable, tmp_path):
    cook = kitchen(tmp_path, seedable=seedable, data="TensorDataset(X, Y)", accumulate=2)
    cook.held()
    trunk = cook.newest()
    first, again, other = (cook.held(cook.branch(trunk, 3, replicate=number)) for number in (1, 1, 2))
    assert first == again
    assert first["model"] != other["model"]
    assert first["scheduler"] == other["scheduler"]  # as many steps


def test_a_turned_knob_is_in_force_in_the_optimizer_that_accelerate_wraps(tmp_path):
    cook = kitchen(tmp_path)
    cook.held()
    trunk = cook.newest()
    cook.held(cook.branch(trunk, 4, turns={5: {"lr": parse_amount("lr", "x0.5")}}))
    (told,) = events(cook.newest(), "in force")
    (season,) = events(cook.newest(), "season")
    assert told["step"] == 5
    assert told["in_force"]["lr"] == pytest.approx(season["before"]["lr"] * 0.5, rel=0.02)


def test_it_is_said_where_the_accelerator_was_not_handed_over(tmp_path):
    cook = Kitchen(
        tmp_path, BODY.format(**{**PLAIN, "accumulate": 2}).replace("accelerator=accelerator, ", ""), ("accelerate",)
    )
    cook.held()
    assert "an accelerator, which adds gradients up" in (tmp_path / "output.txt").read_text()
