"""What a Trainer of Hugging Face trains is held: bit for bit what it is without, and gone on with from any step."""

import pytest
from tests.cooking.engines import Kitchen, curves

pytestmark = pytest.mark.slow

BODY = """
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments
from palate.cooking.until import steps
from palate.engines import mix

class Net(nn.Module):
    def __init__(self):
        super().__init__(); self.net = net
    def forward(self, x=None, labels=None):
        out = self.net(x)
        return {{"loss": F.cross_entropy(out, labels), "logits": out}}

class Data(Noisy):
    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return {{"x": x, "labels": y}}

class Still(Dataset):
    def __len__(self): return len(X)
    def __getitem__(self, i): return {{"x": X[i], "labels": Y[i]}}

class Flow(IterableDataset):
    def __iter__(self):
        for x, y in Stream():
            yield {{"x": x, "labels": y}}

class Mine(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        out = model(**inputs)
        noise = torch.rand(1).item() * .1
        loss = mix(ce=out["loss"], l2=lambda: (out["logits"] + noise).pow(2).mean())
        return (loss, out) if return_outputs else loss

how = dict(num_train_epochs=3, per_device_train_batch_size=10, learning_rate=1e-2, eval_strategy="steps", eval_steps=3,
           logging_steps=2, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
           dataloader_pin_memory=False)
trainer = Mine(model=Net(), args=TrainingArguments("out", **{{**how, **dict({arguments})}}), train_dataset={data}(),
               eval_dataset=Still(), callbacks=[{callbacks}])
if not BARE:
    from palate.engines.hf import hold
    hold(trainer, "t", keep=every(1), until={until})
trainer.train()
named = ("runtime", "second", "flos", "train_")
log = [{{k: v for k, v in row.items() if not any(one in k for one in named)}} for row in trainer.state.log_history]
report(model=trainer.model, optimizer=trainer.optimizer.optimizer, scheduler=trainer.lr_scheduler, log=log[:-1])
"""
PLAIN = {"arguments": "", "data": "Data", "callbacks": "", "until": "None"}
EARLY = "metric_for_best_model='loss', greater_is_better=False"
CASES = {
    "evaluation that draws random numbers, in the middle of an epoch": {},
    "gradients added up, and a rest at the end of the data": {"arguments": "gradient_accumulation_steps=2"},
    "an evaluation an epoch, which it stops early by": {
        "arguments": f"eval_strategy='epoch', {EARLY}",
        "callbacks": "EarlyStoppingCallback(1, 1.0)",
    },
    "workers": {"arguments": "dataloader_num_workers=2"},
    "an order that is made from the number of the epoch": {
        "arguments": "accelerator_config={'use_seedable_sampler': True}, data_seed=5, num_train_epochs=4"
    },
    "a stream, of which accelerate reads a batch ahead": {"data": "Flow", "arguments": "max_steps=16"},
    "a limit of steps": {"arguments": "max_steps=16"},
}


def kitchen(folder, **how):
    return Kitchen(folder, BODY.format(**{**PLAIN, **how}), ("transformers.trainer", "palate.engines.hf"))


@pytest.mark.parametrize("how", CASES.values(), ids=list(CASES))
def test_attached_it_equals_the_bare_run_and_goes_on_bitwise(how, tmp_path):
    steps = (0, 2, 4, 6) if "accumulation" in how.get("arguments", "") else (0, 3, 7, 8)
    kitchen(tmp_path, **how).equals_bare_and_goes_on(steps)


def test_a_fork_ends_at_its_horizon_and_equals_itself(tmp_path):
    last = kitchen(tmp_path, data="Still").forks_to_its_horizon_and_equals_itself()
    assert max(curves(last)["eval_loss"]) == 10  # it is evaluated behind its last step


def test_a_fork_with_a_turned_knob_differs_from_its_control_by_that_alone(tmp_path):
    kitchen(tmp_path).differs_by_a_turned_knob_alone("scheduler")


def test_what_the_trainer_logs_and_the_terms_of_the_loss_are_in_the_run(tmp_path):
    cook = kitchen(tmp_path)
    cook.held()
    logged = curves(cook.newest())
    assert {"ce", "l2", "loss", "eval_loss", "learning_rate"} <= logged.keys()
    assert sorted(logged["ce"]) == list(range(21))  # of training steps only, and not of evaluations
    assert sorted(logged["eval_loss"]) == [3, 6, 9, 12, 15, 18, 21]


def test_it_ends_when_a_condition_holds(tmp_path):
    kitchen(tmp_path, until="steps(9)").ends_behind(9)
