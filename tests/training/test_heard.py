"""What is heard counts once, under a name that one can tell, and never disturbs the training."""

import pytest

from palate.store.reader import read_event, read_journal
from palate.training.loggers.hearing import EVENT, Hearing, numbers_of
from palate.training.loggers.lines import Reader
from palate.training.run import Run


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "run")
    yield run
    run.close()


@pytest.fixture
def hearing(run):
    made = Hearing(run)
    run.listens(made)
    return made


def curves(run):
    run.close()
    path = run.folder / "journal"
    if not path.exists():
        return {}
    return {
        name: list(zip(one.steps.tolist(), one.values.tolist(), strict=True))
        for name, one in read_journal(path).curves.items()
    }


@pytest.mark.parametrize(
    ("line", "step", "numbers"),
    [
        ("epoch 3 loss 0.52 acc: 0.91", 3, {"loss": 0.52, "acc": 0.91}),
        ("val_loss=0.3", None, {"val_loss": 0.3}),
        (
            "Test set: Average loss: 0.0341, Accuracy: 9890/10000 (99%)",
            None,
            {"test_average_loss": 0.0341, "test_accuracy": 0.989},
        ),
        ("Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.301", 1, {"train_loss": 2.301}),
        ("step 250: train loss 1.9612, val loss 2.1", 250, {"train_loss": 1.9612, "val_loss": 2.1}),
        ("iter 10: loss 4.1200, time 12.51ms, mfu 3.14%", 10, {"loss": 4.12}),
        ("Epoch [3/10], Loss: 0.1, Val Acc: 91.20%", 3, {"loss": 0.1, "val_acc": 91.2}),
        ("Epoch: [0][ 10/100] Loss 2.3e+00 (2.4e+00) Acc@1 75.00 ( 74.00)", 0, {"loss": 2.3, "acc@1": 75.0}),
        (" * Acc@1 75.100 Acc@5 92.300", None, {"acc@1": 75.1, "acc@5": 92.3}),
        ("{'loss': 0.5, 'epoch': 1.0}", None, {"loss": 0.5, "epoch": 1.0}),
        ("2024-01-02 10:20:30,123 - INFO - trainer: loss=nan", None, {"loss": float("nan")}),
        ("Validation results - Epoch: 2 Avg accuracy: 0.91", 2, {"val_avg_accuracy": 0.91}),
        ("loss: tensor(0.25, device='cuda:0')", None, {"loss": 0.25}),
        ("final f1 = 0.8", None, {"final_f1": 0.8}),
    ],
)
def test_the_common_forms_of_printed_lines_are_read(line, step, numbers):
    found = Reader().read(line)
    assert found is not None
    assert repr((found.step, dict(found.numbers))) == repr((step, numbers))


@pytest.mark.parametrize(
    "line",
    [
        " 43%|####      | 43/100 [00:01<00:02, 30.1it/s, loss=0.3]",
        "12/12 ━━━━━━━━━━━━━━━━━━━━ 0s 3ms/step - accuracy: 0.5",
        "saved /home/x/model.py:379: UserWarning",
        "Loaded 60000 examples in 3 files",
        "version 1.2.3 of 2024-01-02",
        "it is 12:30:45",
        "loss",
        "x" * 5000 + " loss 0.5",
    ],
)
def test_bars_and_what_is_no_metric_are_left_out(line):
    assert Reader().read(line) is None


def test_a_pattern_of_a_persons_own_finds_its_metric_in_any_line():
    found = Reader("score=>> (\\d+) pts").read(">> 37 pts")
    assert found is not None and found.told == 37.0


def test_mappings_are_taken_apart_and_pictures_are_left_out():
    class Picture:
        pass

    given = {"a": {"b": 1, "c": {"d": 2.5}}, "picture": Picture(), "text": "3", "list": [1], "none": None}
    assert numbers_of(given) == {"a/b": 1.0, "a/c/d": 2.5}


def test_a_tensor_with_a_gradient_is_a_number_without_a_warning(torch):
    tensor = torch.ones(1, requires_grad=True) * 2
    assert numbers_of({"loss": tensor, "many": torch.ones(3)}) == {"loss": 2.0}


def test_rows_are_written_at_the_steps_of_the_tracker_or_its_own(run, hearing):
    for step in (0, 10, 20):
        hearing.hear("a", {"x": step / 10}, step)
        hearing.hear("a", {"y": step / 10})
    assert curves(run) == {"x": [(0, 0.0), (10, 1.0), (20, 2.0)], "y": [(0, 0.0), (1, 1.0), (2, 2.0)]}


@pytest.mark.parametrize("palate_first", [True, False])
def test_what_the_script_logs_by_palate_itself_is_not_added_twice_whichever_line_comes_first(
    run, hearing, palate_first
):
    for step in range(4):
        if palate_first:
            run.log(step, loss=1.0)
        hearing.hear("wandb", {"loss": 9.0, "lr": 0.1}, step)
        if not palate_first:
            run.log(step, loss=1.0)
    assert curves(run) == {"loss": [(step, 1.0) for step in range(4)], "lr": [(step, 0.1) for step in range(4)]}


def test_two_loggers_with_the_same_values_count_once_also_where_one_counts_its_own_steps(run, hearing):
    for step in range(5):
        hearing.hear("wandb", {"loss": 1 / (1 + step)}, step)
        hearing.hear("tensorboard", {"loss": 1 / (1 + step)}, 100 * step)
    assert list(curves(run)) == ["loss"]
    assert read_event(run.folder / "journal", EVENT)["names"] == {"loss": "wandb"}


def test_two_loggers_with_different_values_are_each_named_from_the_beginning(run, hearing):
    for step in range(5):
        hearing.hear("wandb", {"loss": 1.0 * step}, step)
        hearing.hear("mlflow", {"loss": 1.0 * step + (step > 2)}, step)
    got = curves(run)
    assert got["wandb/loss"] == got["loss"] == [(step, 1.0 * step) for step in range(5)]
    assert got["mlflow/loss"] == [(step, 1.0 * step + (step > 2)) for step in range(5)]
    assert read_event(run.folder / "journal", EVENT)["ambiguous"] == {"loss": ["wandb", "mlflow"]}


def test_trackers_come_before_tables_and_tables_before_printed_lines(run, hearing):
    for step in range(3):
        hearing.line(f"step {step} loss 0.1 acc 0.2 ppl 3.0")
        hearing.table("log.csv", {"loss": [(step, 0.5)], "acc": [(step, 0.6)]})
        hearing.hear("wandb", {"loss": 0.9}, step)
    got = {name: rows[-1] for name, rows in curves(run).items()}
    assert got == {"loss": (2, 0.9), "acc": (2, 0.6), "ppl": (2, 3.0)}


def test_a_column_of_two_tables_is_named_by_its_table(run, hearing):
    for name, value in (("train.csv", 0.1), ("val.csv", 0.2)):
        hearing.table(name, {"loss": [(0, value)]})
    assert curves(run) == {"train/loss": [(0, 0.1)], "val/loss": [(0, 0.2)]}


def test_steps_that_begin_again_in_each_epoch_are_counted(run, hearing):
    for batch in (0, 10, 0, 10):
        hearing.line(f"batch {batch} loss: {batch}")
    assert [step for step, _ in curves(run)["loss"]] == [0, 1, 2, 3]


def test_a_number_that_is_not_finite_is_stored_as_palate_log_stores_it(run, hearing):
    hearing.hear("wandb", {"loss": float("nan"), "x": float("inf")}, 0)
    got = curves(run)
    assert str(got["loss"]) == "[(0, nan)]" and got["x"] == [(0, float("inf"))]


def test_a_fault_in_hearing_is_told_once_and_the_call_of_the_tracker_succeeds(run, hearing, capfd):
    hearing.hear("wandb", {None: 1.0, "x": 1.0}, 0)
    hearing.hear("wandb", {None: 1.0, "x": 1.0}, 1)
    hearing.hear("wandb", {"x": 1.0}, 1)
    assert capfd.readouterr().err.count("palate hears no more") == 1


def test_nothing_is_written_where_nothing_is_heard(run, hearing):
    hearing.line("hello 3")
    assert curves(run) == {}


@pytest.mark.parametrize("variable", ["RANK", "SLURM_PROCID"])
def test_of_several_processes_the_first_alone_is_heard(run, hearing, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    hearing.hear("wandb", {"loss": 1.0}, 0)
    hearing.line("loss 0.5")
    assert curves(run) == {}
