"""What Lightning trains is held by a callback: bit for bit what it is without, and gone on with from any step."""

import pytest
from tests.cooking.engines import Kitchen, curves

from palate.cooking.commands import answers

pytestmark = pytest.mark.slow

BODY = """
import logging, warnings
import lightning.pytorch as L
from palate.engines import mix
from palate.cooking.until import plateau, steps, target
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")

class Net(L.LightningModule):
    def __init__(self):
        super().__init__(); self.net = net
    def training_step(self, batch, i):
        x, y = batch
        out = self.net(x)
        loss = mix(ce=F.cross_entropy(out, y), l2=lambda: out.pow(2).mean())
        self.log("loss", loss, on_step=True, on_epoch=True); self.log("top", out.max(), on_epoch=True, reduce_fx="max")
        return loss
    def validation_step(self, batch, i):
        x, y = batch
        self.log("val_loss", F.cross_entropy(self.net(x + .1 * torch.randn_like(x)), y))
    def configure_optimizers(self):
        opt = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return {{"optimizer": opt, "lr_scheduler": {scheduler}}}

class Two(L.LightningModule):
    def __init__(self):
        super().__init__(); self.automatic_optimization = False
        self.gen = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6)); self.critic = nn.Linear(6, 1)
    def training_step(self, batch, i):
        og, oc = self.optimizers()
        fake = self.gen(torch.randn(len(batch[0]), 3))
        lc = self.critic(fake.detach()).mean() - self.critic(batch[0]).mean()
        oc.zero_grad(); self.manual_backward(lc); oc.step()
        lg = mix(adv=-self.critic(fake).mean(), l2=(fake - batch[0]).pow(2).mean())
        og.zero_grad(); self.manual_backward(lg); og.step()
    def configure_optimizers(self):
        return torch.optim.Adam(self.gen.parameters(), lr=.01), torch.optim.RMSprop(self.critic.parameters(), lr=.01)

callbacks = [{callbacks}]
if not BARE:
    from palate.engines.lightning import Palate
    callbacks.append(Palate("t", keep=every(1), until={until}))
model = {model}()
trainer = L.Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=callbacks,
                    enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1, {trainer})
trainer.fit(model, {loader}, DataLoader(TensorDataset(X, Y), batch_size=32))
report(model=model, **{{f"opt{{n}}": one for n, one in enumerate(trainer.optimizers)}},
       schedulers=[one.scheduler.state_dict() for one in trainer.lr_scheduler_configs],
       metrics={{name: float(value) for name, value in sorted(trainer.callback_metrics.items())}})
"""
COSINE = '{"scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(opt, 20), "interval": "step"}'
PLATEAU = '{"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=0), "monitor": "loss_epoch"}'
SHUFFLED = "DataLoader(Noisy(), batch_size=10, shuffle=True)"
PLAIN = {"model": "Net", "scheduler": COSINE, "trainer": "", "loader": SHUFFLED, "callbacks": "", "until": "None"}
EARLY = 'L.callbacks.EarlyStopping("val_loss", patience=1, min_delta=1.0)'
CASES = {
    "validation that draws random numbers, in the middle of an epoch": {"trainer": "val_check_interval=3"},
    "gradients added up, and a rest at the end of the data": {"trainer": "accumulate_grad_batches=2"},
    "a schedule by the mean of an epoch": {"scheduler": PLATEAU},
    "it stops early": {"callbacks": EARLY},
    "two optimizers by hand": {"model": "Two"},
    "workers": {"loader": "DataLoader(Noisy(), batch_size=10, shuffle=True, num_workers=2)"},
    "a stream": {"loader": "DataLoader(Stream(), batch_size=10)", "trainer": "limit_train_batches=6"},
}


def kitchen(folder, **how):
    return Kitchen(folder, BODY.format(**{**PLAIN, **how}), ("lightning.pytorch", "palate.engines.lightning"))


@pytest.mark.parametrize("how", CASES.values(), ids=list(CASES))
def test_attached_it_equals_the_bare_run_and_goes_on_bitwise(how, tmp_path):
    steps = (
        (0, 2, 4, 6) if how.get("trainer") in ("accumulate_grad_batches=2", "limit_train_batches=6") else (0, 3, 7, 8)
    )
    kitchen(tmp_path, **how).equals_bare_and_goes_on(steps)


def test_a_fork_ends_at_its_horizon_and_equals_itself(tmp_path):
    last = kitchen(tmp_path).forks_to_its_horizon_and_equals_itself()
    assert max(curves(last)["val_loss"]) == 9  # it is validated behind its last step


def test_a_fork_with_a_turned_knob_differs_from_its_control_by_that_alone(tmp_path):
    kitchen(tmp_path).differs_by_a_turned_knob_alone("schedulers")


def test_what_lightning_logs_and_the_terms_of_the_loss_are_in_the_run(tmp_path):
    cook = kitchen(tmp_path, trainer="val_check_interval=3")
    cook.held()
    logged = curves(cook.newest())
    assert {"ce", "l2", "loss_step", "loss_epoch", "val_loss"} <= logged.keys()
    assert sorted(logged["ce"]) == list(range(21))  # of training steps only, and not of validation
    assert sorted(logged["val_loss"]) == [2, 5, 9, 12, 16, 19]


def test_it_ends_when_a_condition_holds(tmp_path):
    kitchen(tmp_path, until="steps(9)").ends_behind(9)


def test_a_loader_without_a_length_is_refused_and_it_is_said_what_to_type(tmp_path):
    cook = kitchen(tmp_path, loader="DataLoader(Stream(), batch_size=10)")
    with pytest.raises(AssertionError, match="limit_train_batches"):
        cook.held()


def test_a_season_is_asked_for_while_it_trains(tmp_path):
    cook = kitchen(tmp_path, callbacks="Ask()", trainer="")
    body = cook.body.replace("callbacks = [", ASK + "callbacks = [", 1)
    Kitchen(tmp_path, body, cook.preload).held()
    (run_folder,) = (tmp_path / ".palate" / "runs").iterdir()
    (command,) = {path.name.split(".")[0] for path in (run_folder / "commands").iterdir()}
    told = answers(run_folder, command)
    assert told["in-force"]["in_force"] == {"l2": 0.5}
    assert told["in-force"]["step"] == told["applied"]["step"]


ASK = """
class Ask(L.Callback):
    "A person at another prompt."
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 2 and not BARE:
            import time
            from palate.cooking.commands import ask
            from palate.question.branch import parse_amount
            from palate.training.run import current_run
            ask(current_run().folder, {"l2": parse_amount("l2", ".5")}, author="me")
            time.sleep(.3)
"""
