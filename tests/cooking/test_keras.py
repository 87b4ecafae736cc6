"""What Keras trains is logged, seeded and ended; it computes what it computes without palate."""

import importlib.util
import os
import subprocess
import sys

import pytest
from tests.cooking.engines import Kitchen, curves, events
from tests.cooking.trainings import HEAD, attempt

from palate.question.branch import Branch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed: pip install keras"),
]

MODEL = """
import warnings
import keras
warnings.filterwarnings("ignore", module="keras")
from palate.cooking.until import plateau, samples, steps, target
keras.utils.set_random_seed(3)
x, y = X.numpy(), Y.numpy()

def made(**how):
    net = keras.Sequential([keras.layers.Dense(16, "relu"), keras.layers.Dropout(.3), keras.layers.Dense(2)])
    net.compile(keras.optimizers.Adam(1e-2, **how), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"])
    return net

how = dict(epochs=3, batch_size=10, validation_data=(x[:20], y[:20]), verbose=0)
"""
BODY = (
    MODEL
    + """
model, callbacks = made({optimizer}), [{before}]
if not BARE:
    from palate.engines.keras import Palate
    callbacks.append(Palate("t", until={until}))
history = model.fit({data}, **{{**how, **dict({arguments})}}, callbacks=callbacks)
report(weights=[one.value.detach() for one in model.weights], history=history.history)
"""
)
PLAIN = {"data": "x, y", "optimizer": "", "before": "", "until": "None", "arguments": ""}


@pytest.fixture(autouse=True, scope="module")
def _on_torch(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


def kitchen(folder, **how):
    return Kitchen(folder, BODY.format(**{**PLAIN, **how}), ("keras", "palate.engines.keras"))


def fails(folder, body, environment=None):
    status, printed = attempt(folder, MODEL + body, environment=environment, preload=("keras", "palate.engines.keras"))
    assert status == 1, printed
    return printed


def runs(folder):
    return sorted((folder / ".palate" / "runs").iterdir(), key=lambda path: path.stat().st_ctime_ns)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"optimizer": "gradient_accumulation_steps=2"},
        {"before": "keras.callbacks.EarlyStopping('val_loss', min_delta=9, patience=1)"},
        {"data": "DataLoader(TensorDataset(X, Y), batch_size=10)", "arguments": "batch_size=None"},
    ],
    ids=["plain", "gradients added up", "it stops early", "a loader of torch"],
)
def test_it_computes_what_it_computes_without_palate(how, tmp_path):
    cook = kitchen(tmp_path, **how)
    bare = cook.bare()
    assert cook.held() == bare


def test_all_that_keras_tells_is_in_the_run_at_the_steps_that_were_done(tmp_path):
    cook = kitchen(tmp_path)
    cook.held()
    logged = curves(cook.newest())
    assert logged.keys() == {"accuracy", "loss", "val_accuracy", "val_loss"}
    assert sorted(logged["loss"]) == sorted(logged["accuracy"]) == list(range(1, 22))
    assert sorted(logged["val_loss"]) == [7, 14, 21]
    assert events(cook.newest(), "engine")[0]["engine"] == "Keras"
    assert events(cook.newest(), "steps")[-1]["steps"] == 21
    assert events(cook.newest(), "recipe")[0]["label"] == "t"


def test_gradients_that_are_added_up_are_one_step(tmp_path):
    cook = kitchen(tmp_path, optimizer="gradient_accumulation_steps=2")
    cook.held()
    logged = curves(cook.newest())
    assert sorted(logged["loss"]) == list(range(1, 11))  # of 21 batches
    assert sorted(logged["val_loss"]) == [3, 7, 10]


def test_what_callbacks_add_to_the_logs_is_logged_too(tmp_path):
    cook = kitchen(tmp_path, before="keras.callbacks.LearningRateScheduler(lambda epoch: .1 / (epoch + 1))")
    cook.held()
    rates = curves(cook.newest())["learning_rate"]
    assert rates == pytest.approx({7: 0.1, 14: 0.05, 21: 0.1 / 3})


@pytest.mark.parametrize(
    ("until", "ends", "validated"),
    [
        ("steps(9)", 9, [7, 9]),
        ("steps(14)", 14, [7, 14]),
        ("target('val_loss', 99) | steps(20)", 7, [7]),
        ("plateau('val_loss') | steps(600)", 21, [7, 14, 21]),
    ],
)
def test_it_ends_when_a_condition_holds_and_is_validated_there(until, ends, validated, tmp_path):
    cook = kitchen(tmp_path, until=until)
    cook.held()
    assert events(cook.newest(), "steps")[-1]["steps"] == ends
    assert sorted(curves(cook.newest())["val_loss"]) == validated
    assert [event["step"] for event in events(cook.newest(), "until")] == ([ends] if ends < 21 else [])


def test_the_same_palate_in_a_second_fit_goes_on_in_the_run(tmp_path):
    body = """
from palate.engines.keras import Palate
model, palate_ = made(), Palate("t", until=steps(9))
model.fit(x, y, callbacks=[palate_], **how)
first = palate_.run
model.evaluate(x, y, verbose=0, callbacks=[palate_])
model.predict(x, verbose=0, callbacks=[palate_])
model.fit(x, y, callbacks=[palate_], **{**how, "epochs": 1})
assert palate_.run is first
"""
    Kitchen(tmp_path, MODEL + body + "report()", ("keras", "palate.engines.keras")).held()
    (only,) = runs(tmp_path)
    assert sorted(curves(only)["loss"]) == list(range(1, 17))
    assert sorted(curves(only)["val_loss"]) == [7, 9, 16]


def test_another_palate_is_of_another_training_and_the_first_begins_anew_behind_it(tmp_path):
    body = """
from palate.engines.keras import Palate
a, b = Palate("a"), Palate("b")
for one in (a, b, a):
    made().fit(x, y, callbacks=one, **how)
"""
    Kitchen(tmp_path, MODEL + body + "report()", ("keras", "palate.engines.keras")).held()
    assert len(runs(tmp_path)) == 3
    for one in runs(tmp_path):
        assert sorted(curves(one)["val_loss"]) == [7, 14, 21]
        assert events(one, "ending")[0]["exit"] == "ok"


def test_two_palates_of_one_fit_are_refused_and_so_is_one_that_stands_there_twice(tmp_path):
    for callbacks in ("[Palate(), Palate()]", "[a, keras.callbacks.TerminateOnNaN(), a]"):
        printed = fails(
            tmp_path,
            f"from palate.engines.keras import Palate\na = Palate()\nmade().fit(x, y, callbacks={callbacks}, **how)",
        )
        assert "This fit has two callbacks of palate" in printed
        assert not (tmp_path / ".palate" / "runs").exists()


def test_a_fit_behind_one_that_failed_goes_on(tmp_path):
    body = """
from palate.engines.keras import Palate
class Fails(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 3: raise KeyboardInterrupt
model, one = made(), Palate("t")
try: model.fit(x, y, callbacks=[one, Fails()], **how)
except KeyboardInterrupt: pass
model.fit(x, y, callbacks=[one], **how)
"""
    Kitchen(tmp_path, MODEL + body + "report()", ("keras", "palate.engines.keras")).held()
    (only,) = runs(tmp_path)
    assert sorted(curves(only)["loss"]) == list(range(1, 26))


def test_a_metric_of_several_numbers_is_left_out_and_that_is_said(tmp_path):
    body = """
from palate.engines.keras import Palate
net = keras.Sequential([keras.layers.Dense(2, "softmax")])
net.compile("adam", "categorical_crossentropy", metrics=[keras.metrics.F1Score(average=None), "accuracy"])
net.fit(x, keras.utils.to_categorical(y, 2), callbacks=[Palate("t")], epochs=1, batch_size=10, verbose=0)
"""
    Kitchen(tmp_path, MODEL + body + "report()", ("keras", "palate.engines.keras")).held()
    assert curves(runs(tmp_path)[0]).keys() == {"accuracy", "loss"}
    (told,) = events(runs(tmp_path)[0], "said")
    assert told["words"] == "f1_score is left out: it is no number but ndarray of shape (2,)."


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ("'plateau'", "is no condition"),
        ("samples(100)", "tells nobody how many samples"),
        ("target('val_loss', .1) & target('val_loss', .2, goal='max')", "on both sides"),
    ],
)
def test_an_until_that_can_never_hold_is_refused_before_the_fit(until, words, tmp_path):
    printed = fails(tmp_path, f"from palate.engines.keras import Palate\nPalate(until={until})")
    assert words in printed
    assert not (tmp_path / ".palate").exists()


def test_what_was_asked_to_leave_from_a_capsule_or_turn_knobs_is_refused(tmp_path):
    printed = fails(
        tmp_path,
        "from palate.engines.keras import Palate\nmade().fit(x, y, callbacks=[Palate()], **how)",
        {"PALATE_BRANCH": Branch(stop=9).text()},
    )
    assert "Keras trains, and palate was asked to leave from a capsule or to turn knobs at a step." in printed


def test_a_season_is_refused_while_it_trains_and_it_is_said_why(tmp_path):
    body = """
from pathlib import Path
from palate.engines.keras import Palate
from palate.errors import RefusedError
from palate.loop.season import going_run
from palate.store.project import find_project
class Asks(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        try: going_run(find_project(Path.cwd(), os.environ), "last")
        except RefusedError as error: said.append(str(error))
said = []
made().fit(x, y, callbacks=[Palate("t"), Asks()], **{**how, "epochs": 1})
assert "cannot be seasoned: Keras trains it." in said[0], said
"""
    Kitchen(tmp_path, MODEL + body + "report()", ("keras", "palate.engines.keras")).held()


def test_nothing_is_seeded_unless_it_is_asked_for_and_then_weights_and_order_are_the_seeds(tmp_path):
    body = """
from palate.engines.keras import Palate, seed
{seed}
model = made()
model.fit(x, y, callbacks=[Palate("t")], **how)
report(weights=[one.value.detach() for one in model.weights])
"""

    def trained(seeded, chosen):
        cook = Kitchen(tmp_path, MODEL + body.format(seed=seeded), ("keras", "palate.engines.keras"))
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        environment = {"PALATE_RUN_DIR": str(folder), "PALATE_SEED": chosen, "PALATE_SETTINGS": ""}
        status, printed = attempt(tmp_path, cook.body, environment=environment, preload=cook.preload)
        assert status == 0, printed
        assert curves(folder)
        return cook.digests()

    assert trained("", "1") == trained("", "2")
    assert trained("assert seed() == 1", "1") == trained("seed()", "1") != trained("seed()", "2")
    assert trained("assert seed(7) == 7", "1") == trained("seed(7)", "2")


def test_a_second_training_in_a_run_of_palate_run_is_refused(tmp_path):
    (tmp_path / "given").mkdir()
    printed = fails(
        tmp_path,
        "from palate.engines.keras import Palate\nfor _ in range(2): made().fit(x, y, callbacks=[Palate()], **how)",
        {"PALATE_RUN_DIR": str(tmp_path / "given"), "PALATE_SEED": "1"},
    )
    assert "This run has a training already." in printed
    assert "Give the same Palate() to both fits" in printed


SCRIPT = (
    MODEL.replace("keras.utils.set_random_seed(3)", "")
    + """
from palate.engines.keras import Palate, seed
seed()
s = palate.settings(units=16)
net = keras.Sequential([keras.layers.Dense(s.units, "relu"), keras.layers.Dense(2)])
net.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
net.fit(x, y, callbacks=[Palate("t")], **how)
"""
)


def test_palate_run_compares_and_neither_fork_nor_season_nor_doctor_take_it_for_what_it_is_not(tmp_path):
    (tmp_path / "train.py").write_text(HEAD + SCRIPT)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PALATE_")}

    def call(*words):
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**plain, "PALATE_HOME": str(tmp_path / ".palate")},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    question = ("train.py", "-c", "units=4", "--metric", "val_loss", "--goal", "min", "--pairs", "2", "--no-forecast")
    done = call("-m", "palate", "run", *question)
    assert done.returncode == 0, done.stdout + done.stderr
    last = [curves(run)["val_loss"][21] for run in runs(tmp_path)]
    assert len(set(last)) == len(last) == 4  # two settings at two seeds
    done = call("train.py")
    assert done.returncode == 0, done.stderr
    hand = max(runs(tmp_path), key=lambda path: path.stat().st_mtime_ns).name
    for run in (hand, "last"):
        refused = call("-m", "palate", "fork", run, "--at", "9", "--set", "lr=x0.3", "--metric", "val_loss")
        assert refused.returncode == 4, refused.stdout + refused.stderr
        assert f"{hand} cannot be forked: Keras trains it." in refused.stderr
    refused = call("-m", "palate", "doctor", "--resume", "train.py")
    assert refused.returncode != 0
    assert "Keras trains, and palate was asked to leave from a capsule" in refused.stdout + refused.stderr
