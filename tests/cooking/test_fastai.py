"""What fastai trains is logged, seeded and ended; it computes what it computes without palate."""

import importlib.util

import pytest
from tests.cooking.engines import Kitchen, curves, events
from tests.cooking.trainings import attempt

from palate.question.branch import Branch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("fastai") is None,
        reason="fastai is not installed: it asks for torchvision; docs/adapters.md says how it is tested",
    ),
]

MODEL = """
import warnings
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.schedule import *
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback, TerminateOnNaNCallback
from fastai.callback.training import GradientAccumulation, ShortEpochCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader as Loader
from fastai.learner import Callback, CancelStepException, Learner, load_learner
from fastai.metrics import accuracy
from palate.cooking.until import plateau, samples, steps, target
warnings.filterwarnings("ignore", module="fastai")
warnings.filterwarnings("ignore", module="torch")

def made(cbs=(), metrics=accuracy, **how):
    torch.manual_seed(3); random.seed(3)
    rows = [(X[i], Y[i]) for i in range(64)]
    dls = DataLoaders(Loader(rows, bs=10, shuffle=True, num_workers=0), Loader(rows[:20], bs=20, num_workers=0))
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(.3), nn.Linear(16, 2))
    learn = Learner(dls, net, loss_func=F.cross_entropy, lr=.01, metrics=metrics, cbs=list(cbs), path=".", **how)
    learn.logger = lambda *_: None
    return learn
"""
BODY = (
    MODEL
    + """
learn = made([{callbacks}])
if not BARE:
    from palate.engines.fastai import Palate
    learn.add_cb(Palate("t", until={until}))
with learn.no_mbar():
    {fit}
report(model=learn.model, losses=[float(one) for one in learn.recorder.losses],
       values=[[float(one) for one in row] for row in learn.recorder.values])
"""
)
PLAIN = {"callbacks": "", "until": "None", "fit": "learn.fit_one_cycle(3)"}
PRELOAD = ("fastai.learner", "fastai.callback.all", "palate.engines.fastai")


def kitchen(folder, **how):
    return Kitchen(folder, BODY.format(**{**PLAIN, **how}), PRELOAD)


def trained(folder, body):
    """Train something of the test's own; return the folders of its runs."""
    Kitchen(folder, MODEL + "from palate.engines.fastai import Palate, seed\n" + body + "\nreport()", PRELOAD).held()
    return runs(folder)


def fails(folder, body, environment=None):
    code = MODEL + "from palate.engines.fastai import Palate\n" + body
    status, printed = attempt(folder, code, environment=environment, preload=PRELOAD)
    assert status == 1, printed
    return printed


def runs(folder):
    return sorted((folder / ".palate" / "runs").iterdir(), key=lambda path: path.stat().st_ctime_ns)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"callbacks": "GradientAccumulation(20)"},
        {"callbacks": "EarlyStoppingCallback(min_delta=9, patience=1)"},
        {"callbacks": "MixedPrecision(amp_mode='bf16')"},
        {"fit": "learn.fine_tune(2, freeze_epochs=1)"},
        {"until": "steps(10**6)"},
    ],
    ids=["plain", "gradients added up", "it stops early", "mixed precision", "fine-tuned", "with a condition"],
)
def test_it_computes_what_it_computes_without_palate(how, tmp_path):
    cook = kitchen(tmp_path, **how)
    bare = cook.bare()
    assert cook.held() == bare


def test_all_that_fastai_shows_is_in_the_run_at_the_steps_that_were_done(tmp_path):
    cook = kitchen(tmp_path)
    cook.held()
    logged = curves(cook.newest())
    assert logged.keys() == {"raw_loss", "train_loss", "lr", "valid_loss", "accuracy"}
    for name in ("raw_loss", "train_loss", "lr"):
        assert sorted(logged[name]) == list(range(1, 22))
    assert sorted(logged["valid_loss"]) == sorted(logged["accuracy"]) == [7, 14, 21]
    assert max(logged["accuracy"].values()) <= 1 < max(logged["valid_loss"].values()) + 1
    assert events(cook.newest(), "engine")[0]["engine"] == "fastai"
    assert (
        events(cook.newest(), "steps")[-1] | {"samples": 192, "steps": 21, "epoch": 3}
        == (events(cook.newest(), "steps")[-1])
    )


def test_gradients_that_are_added_up_are_one_step(tmp_path):
    cook = kitchen(tmp_path, callbacks="GradientAccumulation(20)")
    cook.held()
    assert sorted(curves(cook.newest())["raw_loss"]) == list(range(1, 10))  # of 21 batches, of which each 7th has 4
    assert sorted(curves(cook.newest())["valid_loss"]) == [3, 6, 9]


def test_a_step_that_is_left_out_because_a_gradient_overflowed_is_none(tmp_path):
    body = """
class Overflows(Callback):
    order = 10
    def before_step(self):
        if self.train_iter % 2: raise CancelStepException
learn = made([Palate("t"), Overflows()])
with learn.no_mbar(): learn.fit(1)
"""
    (only,) = trained(tmp_path, body)
    assert sorted(curves(only)["raw_loss"]) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("until", "ends", "validated"),
    [
        ("steps(9)", 9, [7, 9]),
        ("steps(14)", 14, [7, 14]),
        ("samples(25)", 3, [3]),
        ("target('valid_loss', 99) | steps(20)", 7, [7]),
        ("plateau('valid_loss') | steps(600)", 21, [7, 14, 21]),
    ],
)
def test_it_ends_when_a_condition_holds_and_is_validated_there(until, ends, validated, tmp_path):
    cook = kitchen(tmp_path, until=until, callbacks="SaveModelCallback()")
    cook.held()
    assert events(cook.newest(), "steps")[-1]["steps"] == ends
    assert sorted(curves(cook.newest())["valid_loss"]) == validated
    assert [event["step"] for event in events(cook.newest(), "until")] == ([ends] if ends < 21 else [])


def test_what_other_callbacks_end_is_logged_to_its_end(tmp_path):
    body = """
class Nan(Callback):
    def after_loss(self):
        if self.training and self.train_iter == 3: self.learn.loss = self.learn.loss * float("nan")
for number, cbs in enumerate(([EarlyStoppingCallback(min_delta=9, patience=1)], [ShortEpochCallback(.5)],
                              [Nan(), TerminateOnNaNCallback()])):
    learn = made([Palate(str(number)), *cbs])
    with learn.no_mbar(): learn.fit(2 + (not number))
"""
    early, short, ended = trained(tmp_path, body)
    assert sorted(curves(early)["valid_loss"]) == [7, 14]
    assert sorted(curves(short)["raw_loss"]) == list(range(1, 11))
    assert sorted(curves(short)["valid_loss"]) == sorted(curves(short)["accuracy"]) == [5, 10]
    assert max(curves(short)["accuracy"].values()) <= 1
    assert sorted(curves(ended)["raw_loss"]) == [1, 2, 3, 4]
    assert curves(ended)["raw_loss"][4] != curves(ended)["raw_loss"][4]


def test_metrics_of_the_training_are_logged_by_the_names_of_fastais_table(tmp_path):
    body = """
from fastai.metrics import AccumMetric
from fastai.learner import Recorder
import sklearn.metrics
def pair(out, y): return torch.tensor([1., 2.])
learn = made([Palate("t")], metrics=[accuracy, AccumMetric(pair, flatten=False)])
learn.recorder.train_metrics = True
with learn.no_mbar(): learn.fit(1)
"""
    (only,) = trained(tmp_path, body)
    assert {"train_accuracy", "valid_accuracy", "train_loss", "valid_loss"} <= curves(only).keys()
    assert not any("pair" in name for name in curves(only))
    assert all("is left out: it is no number but" in told["words"] for told in events(only, "said"))
    assert len(events(only, "said")) == 2


def test_several_fits_of_a_palate_are_one_run_and_what_is_no_training_is_not_logged(tmp_path):
    body = """
learn = made([Palate("t", until=steps(9))])
with learn.no_mbar():
    learn.fine_tune(2, freeze_epochs=1)
    first = learn.palate.palate_run
    learn.validate(); learn.get_preds()
    learn.lr_find(num_it=3, show_plot=False)
    learn.fit(1)
assert learn.palate.palate_run is first
"""
    (only,) = trained(tmp_path, body)
    assert sorted(curves(only)["valid_loss"]) == [7, 14, 16, 23]  # 7 frozen, 9 of 14 by the condition, 7
    assert sorted(curves(only)["raw_loss"]) == list(range(1, 24))


def test_another_palate_is_of_another_training(tmp_path):
    body = """
learn = made()
with learn.no_mbar():
    for name in "ab": learn.fit(1, cbs=[Palate(name)])
"""
    assert [sorted(curves(run)["valid_loss"]) for run in trained(tmp_path, body)] == [[7], [7]]


def test_two_palates_of_one_fit_are_refused_and_so_is_one_that_stands_there_twice(tmp_path):
    for callbacks in ("[Palate(), Palate()]", "[a, a]"):
        printed = fails(tmp_path, f"a = Palate()\nmade({callbacks}).fit(1)")
        assert "This fit has two callbacks of palate" in printed
        assert not (tmp_path / ".palate" / "runs").exists()


def test_a_fit_behind_one_that_failed_goes_on(tmp_path):
    body = """
class Fails(Callback):
    def after_batch(self):
        if self.train_iter == 4: raise KeyboardInterrupt
learn = made([Palate("t", until=steps(6))])
with learn.no_mbar():
    try: learn.fit(3, cbs=[Fails()])
    except KeyboardInterrupt: pass
    learn.fit(3)
"""
    (only,) = trained(tmp_path, body)
    assert sorted(curves(only)["raw_loss"]) == list(range(1, 10))  # 3 whose end is known, and 6


def test_a_learner_with_palate_is_exported_and_loaded(tmp_path):
    body = """
class Rows(list):
    def new_empty(self): return Rows()
sys.modules["__main__"].Rows = Rows
learn = made([Palate("t", until=steps(9))])
for one in learn.dls: one.dataset = Rows(one.dataset)
with learn.no_mbar(): learn.fit(1)
learn.export("learner.pkl")
warnings.simplefilter("ignore")
again = load_learner("learner.pkl")
assert len(again.cbs) == len(learn.cbs)
with learn.no_mbar(): learn.fit(1)
"""
    (only,) = trained(tmp_path, body)
    assert sorted(curves(only)["valid_loss"]) == [7, 14]


@pytest.mark.parametrize(
    ("until", "words"),
    [("'plateau'", "is no condition"), ("target('valid_loss', .1) & target('valid_loss', .2, goal='max')", "on both")],
)
def test_an_until_that_can_never_hold_is_refused_before_the_fit(until, words, tmp_path):
    assert words in fails(tmp_path, f"Palate(until={until})")
    assert not (tmp_path / ".palate").exists()


def test_what_was_asked_to_leave_from_a_capsule_or_turn_knobs_is_refused(tmp_path):
    printed = fails(tmp_path, "made([Palate()]).fit(1)", {"PALATE_BRANCH": Branch(stop=9).text()})
    assert "fastai trains, and palate was asked to leave from a capsule or to turn knobs at a step." in printed


def test_nothing_is_seeded_unless_it_is_asked_for_and_then_the_training_is_the_seeds(tmp_path):
    body = """
from palate.engines.fastai import Palate, seed
torch.manual_seed(3); random.seed(3)
{seed}
rows = [(X[i], Y[i]) for i in range(64)]
dls = DataLoaders(Loader(rows, bs=10, shuffle=True, num_workers=0), Loader(rows[:20], bs=20, num_workers=0))
learn = Learner(dls, nn.Linear(6, 2), loss_func=F.cross_entropy, cbs=[Palate("t")])
learn.logger = lambda *_: None
with learn.no_mbar(): learn.fit(1)
report(model=learn.model)
"""

    def digests(seeded, chosen):
        cook = Kitchen(tmp_path, MODEL + body.format(seed=seeded), PRELOAD)
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        environment = {"PALATE_RUN_DIR": str(folder), "PALATE_SEED": chosen, "PALATE_SETTINGS": ""}
        status, printed = attempt(tmp_path, cook.body, environment=environment, preload=cook.preload)
        assert status == 0, printed
        assert curves(folder)
        return cook.digests()

    assert digests("", "1") == digests("", "2")
    assert digests("assert seed() == 1", "1") == digests("seed()", "1") != digests("seed()", "2")
    assert digests("assert seed(7) == 7", "1") == digests("seed(7)", "2")


def test_a_second_training_in_a_run_of_palate_run_is_refused(tmp_path):
    (tmp_path / "given").mkdir()
    printed = fails(
        tmp_path,
        "for _ in range(2): made([Palate()]).fit(1)",
        {"PALATE_RUN_DIR": str(tmp_path / "given"), "PALATE_SEED": "1"},
    )
    assert "This run has a training already." in printed
    assert "Give the same Palate() to both fits" in printed
