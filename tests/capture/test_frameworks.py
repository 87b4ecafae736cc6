"""Real frameworks, unchanged: Lightning, the Trainer of Hugging Face, and one package in two versions."""

import os
import textwrap

import pytest

from palate.recipe.document import from_document
from palate.recipe.tree import Origin, find

pytestmark = pytest.mark.slow

HUGGING_FACE = """
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

config = BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, vocab_size=32)
model = BertForSequenceClassification(config)
data = [{"input_ids": torch.arange(8), "labels": torch.tensor(0)} for _ in range(8)]
args = TrainingArguments(
    output_dir="out", learning_rate=1e-3, max_steps=2, per_device_train_batch_size=4, use_cpu=True, report_to="none",
    warmup_steps=1, lr_scheduler_kwargs='{"last_epoch": -1}', hub_token="hf_secret",
)
Trainer(model=model, args=args, train_dataset=data).train()
"""

LIGHTNING = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
import lightning

class Lit(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 1)
    def training_step(self, batch, number):
        return self.net(batch[0]).square().mean()
    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 5)]

trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                            enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=0.5)
trainer.fit(Lit(), DataLoader(TensorDataset(torch.randn(16, 4)), batch_size=4))
"""


def value(recipe, *path):
    return find(recipe.root, path).value


def dry(workplace, name="train.py"):
    document = workplace.json("dry", name)
    return from_document(document["recipe"]), document["notes"]


def test_the_trainer_of_hugging_face_is_read_with_what_post_init_rewrote(workplace):
    workplace.write(textwrap.dedent(HUGGING_FACE))
    recipe, notes = dry(workplace)
    chunks = [chunk.name for chunk in recipe.root.items]
    assert {"model", "optimiser", "schedule", "TrainingArguments"} <= set(chunks)
    rewritten = find(recipe.root, ("TrainingArguments", "lr_scheduler_kwargs"))
    assert find(rewritten, ("last_epoch",)).origin is Origin.REWRITTEN
    assert any("lr_scheduler_kwargs" in note and "__post_init__" in note for note in notes)
    assert "hf_secret" not in str(recipe)
    assert value(recipe, "optimiser", "class").text.endswith("AdamW")
    decay = find(recipe.root, ("optimiser", "weight_decay"))  # given by the Trainer, group by group
    assert (decay.value, decay.origin) == (0.0, Origin.DERIVED)


def test_lightning_is_read_from_outside(workplace):
    workplace.write(LIGHTNING)
    recipe, _ = dry(workplace)
    assert value(recipe, "optimiser", "lr") == 0.02
    assert value(recipe, "schedule", "step_size") == 5
    assert value(recipe, "Trainer", "gradient_clip_val") == 0.5
    assert find(recipe.root, ("Trainer", "max_epochs")).origin is Origin.SET
    assert find(recipe.root, ("Trainer", "devices")).origin is Origin.DEFAULT
    assert find(recipe.root, ("optimiser", "lr")).source == "train.py:14"


PACKAGE = """
import torch
class Yogi(torch.optim.SGD):
    def __init__(self, params, lr=0.1, momentum={momentum}, dampening={dampening}):
        super().__init__(params, lr=lr, momentum=momentum, dampening=dampening)
"""
TRAINING = """
import torch, yogi
model = torch.nn.Linear(2, 1)
optimizer = yogi.Yogi(model.parameters(), lr=0.1)
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
"""


def install(folder, version, **defaults):
    """Install a small package the way pip does: a module and its metadata."""
    folder.mkdir()
    (folder / "yogi.py").write_text(PACKAGE.format(**defaults))
    info = folder / f"yogi-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: yogi\nVersion: {version}\n")


def test_a_default_that_changed_between_two_installed_versions_is_drift_not_a_co_change(workplace):
    install(workplace.folder / "old", "1.0", momentum=0.0, dampening=0.0)
    install(workplace.folder / "new", "2.0", momentum=0.9, dampening=0.0)
    workplace.write(TRAINING)
    for version in ("old", "new"):
        path = os.pathsep.join([str(workplace.folder / version), os.environ.get("PYTHONPATH", "")])
        exported = workplace.call("recipe", "export", "train.py", "-o", f"{version}.json", PYTHONPATH=path)
        assert exported.returncode == 0, exported.stderr
    document = workplace.json("recipe", "diff", "old.json", "new.json")
    reasons = {change["path"]: change["reason"] for change in document["changes"]}
    assert reasons["optimiser.momentum"] == "default drift"
    assert "optimiser.dampening" not in reasons
    [change] = [c for c in document["changes"] if c["path"] == "optimiser.momentum"]
    assert change["before"]["source"] == "yogi 1.0 Yogi"
    assert change["after"]["source"] == "yogi 2.0 Yogi"
    assert document["confounders"] == 1
