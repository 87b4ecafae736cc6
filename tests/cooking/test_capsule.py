"""Capsules: what they hold comes back as it was, nothing in them is executed, and each part of them matters."""

import collections
import json
import pickle
import random
import shutil

import numpy as np
import pytest
from tests.cooking.test_live import SHUFFLED, digests, run_of
from tests.cooking.trainings import attempt, run

from palate.cooking import randomness
from palate.cooking.capsule import About, Keeper, capsule_before, capsules_of, read_capsule, write_capsule
from palate.cooking.storable import lacks, restored, storable
from palate.errors import NotFoundError, RefusedError, StoreError
from palate.question.branch import Amount, Branch, capsule_path

ABOUT = About(step=7, parts={}, versions={})


class Odd:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value

    __hash__ = None


def test_what_a_capsule_holds_comes_back_as_it_was(torch, tmp_path):
    body = {
        "tensor": torch.arange(3, dtype=torch.bfloat16),
        "array": np.arange(4, dtype=np.uint32).reshape(2, 2),
        "number": np.float64(0.1),
        "state": random.Random(1).getstate(),
        "counter": collections.Counter(a=2),
        "ordered": collections.OrderedDict(b=1),
        "betas": (0.9, 0.999),
        "odd": Odd(3),
        "nothing": None,
    }
    about = write_capsule(tmp_path, ABOUT, body)
    read = read_capsule(capsule_path(tmp_path, 7))
    assert about.bytes == capsule_path(tmp_path, 7).stat().st_size
    assert torch.equal(read["tensor"], body["tensor"]) and read["tensor"].dtype == torch.bfloat16
    assert np.array_equal(read["array"], body["array"]) and read["array"].dtype == np.uint32
    for name in ("number", "state", "counter", "ordered", "betas", "odd", "nothing"):
        assert read[name] == body[name]
        assert type(read[name]) is type(body[name])
    assert capsules_of(tmp_path) == {7: about}


def test_what_cannot_be_stored_is_named_and_the_rest_is_kept(tmp_path, torch):
    about = write_capsule(tmp_path, ABOUT, {"parts": {"best": {"now": lambda: 3, "loss": 1.0}}})
    assert len(about.left_out) == 1 and about.left_out[0].startswith("parts.best.now: a function")
    read = read_capsule(capsule_path(tmp_path, 7))
    assert read["parts"]["best"]["loss"] == 1.0
    assert lacks(read["parts"]["best"]) and not lacks(read["format"])


def test_an_object_that_another_user_pickled_is_never_opened():
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("it was opened",))

    forged = {"__palate_pickle__": pickle.dumps(Trap()), "seal": "0" * 64}
    with pytest.raises(RefusedError, match="did not write"):
        restored({"best": [forged]})
    kept = storable(Odd(2), "", [])
    with pytest.raises(RefusedError):
        restored({**kept, "__palate_pickle__": kept["__palate_pickle__"] + b"."})


def test_a_damaged_or_newer_capsule_is_a_store_error(torch, tmp_path):
    write_capsule(tmp_path, ABOUT, {"a": torch.zeros(100)})
    path = capsule_path(tmp_path, 7)
    whole = path.read_bytes()
    for content in (b"", b"no capsule", whole[: len(whole) // 2], whole.replace(b"PK\x03\x04", b"XX\x03\x04", 1)):
        path.write_bytes(content)
        with pytest.raises(StoreError, match="cannot be read"):
            read_capsule(path)
    path.write_bytes(whole[:100])
    assert capsules_of(tmp_path) == {}  # its size is not what was written
    torch.save({"format": 99}, path)
    with pytest.raises(StoreError, match="format 99"):
        read_capsule(path)
    path.with_suffix(".json").write_text("{")
    assert capsules_of(tmp_path) == {}


def test_the_last_capsule_at_or_before_a_step_is_found(torch, tmp_path):
    for step in (0, 50, 100):
        write_capsule(tmp_path, About(step=step, parts={}, versions={}), {})
    assert capsule_before(tmp_path, 99)[1].step == 50
    assert capsule_before(tmp_path, 100)[1].step == 100
    with pytest.raises(NotFoundError, match="has no capsule"):
        capsule_before(tmp_path / "none", 10)


def test_what_is_kept_is_what_was_there_then_whatever_happens_to_it_after(torch, tmp_path):
    said = []
    keeper = Keeper(tmp_path, said.append)
    weights = torch.zeros(1000)
    for step in range(5):
        weights += 1
        assert keeper.keep(About(step=step, parts={}, versions={}), {"weights": weights}, needed=True)
    weights += 100
    keeper.close()
    assert said == []
    for step in range(5):
        assert read_capsule(capsule_path(tmp_path, step))["weights"].unique().tolist() == [step + 1]


def test_tied_tensors_are_kept_once_and_both_come_back(torch, tmp_path):
    tied = torch.arange(1000.0)
    keeper = Keeper(tmp_path, pytest.fail)
    keeper.keep(ABOUT, {"a": tied, "b": tied, "c": tied.clone()})
    keeper.close()
    read = read_capsule(capsule_path(tmp_path, 7))
    assert read["a"].data_ptr() == read["b"].data_ptr() != read["c"].data_ptr()


def test_a_disk_that_cannot_be_written_leaves_the_training_alone_and_is_said(torch, tmp_path):
    said = []
    (tmp_path / "capsules").write_text("in the way")
    keeper = Keeper(tmp_path, said.append)
    assert keeper.keep(ABOUT, {"a": torch.zeros(3)})
    keeper.close()
    assert len(said) == 1 and "step 7 could not be written" in said[0]


@pytest.mark.parametrize("kind", ["torch", "numpy", "legacy numpy", "python"])
def test_a_generator_goes_on_from_a_state_and_from_a_seed(torch, kind):
    make = {
        "torch": torch.Generator,
        "numpy": lambda: np.random.default_rng(1),
        "legacy numpy": lambda: np.random.RandomState(1),
        "python": lambda: random.Random(1),
    }[kind]
    draw = {
        "torch": lambda one: torch.rand(1, generator=one).item(),
        "numpy": lambda one: one.normal(),
        "legacy numpy": lambda one: one.normal(),
        "python": lambda one: one.gauss(0, 1),
    }[kind]
    one, other = make(), make()
    draw(one)
    state = restored(storable(randomness.take(one), "", []))
    wanted = [draw(one) for _ in range(3)]
    randomness.put(other, state)
    assert [draw(other) for _ in range(3)] == wanted
    for generator in (one, other):
        randomness.seed(generator, 2**60 + 5)
    assert draw(one) == draw(other)


def test_all_shared_generators_are_taken_and_put_back(torch):
    state = restored(storable(randomness.take_global(), "", []))
    wanted = (random.random(), np.random.rand(), torch.rand(1).item())
    randomness.put_global(state)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == wanted


def test_generators_are_found_behind_a_loader(torch):
    from torch.utils.data import DataLoader, TensorDataset

    class Data(TensorDataset):
        def __init__(self):
            super().__init__(torch.zeros(8, 2))
            self.random = {"flip": np.random.default_rng(0)}

    loader = DataLoader(Data(), shuffle=True, generator=torch.Generator())
    assert set(randomness.generators_behind(loader)) == {".generator", ".dataset.random['flip']"}


# ---- each part of a capsule matters: with the part of an earlier one in its place, the run does not go on as it was

TRAINING = """
from torch.optim.swa_utils import AveragedModel
opt = torch.optim.Adam(net.parameters(), lr=.01)
sched = torch.optim.lr_scheduler.StepLR(opt, 3, .7)
ema = AveragedModel(net, use_buffers=True)
best = {"sum": 0.}
loader.dataset.own = np.random.default_rng(5)
run = palate.start("t", model=net, optimizer=opt, scheduler=sched, ema=ema, best=best, keep=every(1))
for epoch in run.epochs(4):
    for i, (x, y) in enumerate(run.steps(loader)):
        knob = run.knob("noise", .1 * (1 + run.step), low=0, high=100)
        loss = run.mix(ce=F.cross_entropy(net(x + .01 * knob + .01 * float(loader.dataset.own.normal())), y))
        (loss / 2).backward()
        if run.step % 2:
            opt.step(); opt.zero_grad(); sched.step(); ema.update_parameters(net)
        best["sum"] += float(loss.detach()) * (1 + epoch)
report(model=net, optimizer=opt, scheduler=sched, ema=ema, best=best)
"""
FORGOTTEN = [
    ("parts", "model"), ("parts", "optimizer"), ("parts", "scheduler"), ("parts", "ema"), ("parts", "best"),
    ("random", "torch"), ("random", "numpy"), ("random", "python"), ("pass", "before"), ("pass", "position"),
    ("pass", "now"), ("gradients",), ("epoch",), ("step",), ("declared",), ("knobs",), ("weights",),
]  # fmt: skip


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("omitted")
    turns = {4: {"noise": Amount("times", 9.0), "lr": Amount("times", 0.5), "ce": Amount("to", 2.0)}}
    run(folder, SHUFFLED + TRAINING, environment={"PALATE_BRANCH": Branch(turns=turns).text()})
    return folder, run_of(folder), digests(folder)


@pytest.mark.slow
@pytest.mark.parametrize("way", FORGOTTEN, ids=[".".join(way) for way in FORGOTTEN])
def test_a_capsule_that_forgot_a_part_does_not_go_on_as_the_run_did(way, trunk, torch, tmp_path):
    folder, kept, wanted = trunk
    body, earlier = (torch.load(capsule_path(kept, step), weights_only=True) for step in (7, 2))
    *above, last = way
    spoilt, other = body, earlier
    for name in above:
        spoilt, other = spoilt[name], other[name]
    spoilt[last] = other[last] if spoilt[last] is not None else None
    path = tmp_path / "spoilt.pt"
    torch.save(body, path)
    status, printed = attempt(folder, SHUFFLED + TRAINING, environment={"PALATE_BRANCH": at(path)})
    assert status != 0 or digests(folder) != wanted, printed


@pytest.mark.slow
def test_the_capsule_that_forgot_nothing_goes_on_as_the_run_did(trunk, tmp_path):
    folder, kept, wanted = trunk
    shutil.copy2(capsule_path(kept, 7), tmp_path / "whole.pt")
    run(folder, SHUFFLED + TRAINING, environment={"PALATE_BRANCH": at(tmp_path / "whole.pt")})
    assert digests(folder) == wanted


def at(path):
    text = Branch(capsule=str(path), at=7).text()
    assert json.loads(text)["at"] == 7
    return text
