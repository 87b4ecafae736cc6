"""A regression with the Hugging Face Trainer."""

import argparse

import torch
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments, set_seed


class LineConfig(PretrainedConfig):
    model_type = "line"


class Line(PreTrainedModel):
    config_class = LineConfig

    def __init__(self, config):
        super().__init__(config)
        self.layer = torch.nn.Linear(4, 1)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, x, labels):
        out = self.layer(x).squeeze(-1)
        return {"loss": torch.nn.functional.mse_loss(out, labels), "logits": out}


def rows(n, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator)
    return [{"x": one, "labels": one.sum()} for one in x]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning_rate", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    set_seed(args.seed)
    trainer = Trainer(
        model=Line(LineConfig()),
        args=TrainingArguments(
            output_dir="out", learning_rate=args.learning_rate, seed=args.seed, num_train_epochs=2,
            per_device_train_batch_size=8, logging_steps=2, eval_strategy="epoch", save_strategy="no",
            report_to="none", disable_tqdm=True, use_cpu=True,
        ),
        train_dataset=rows(64, 1),
        eval_dataset=rows(32, 2),
    )  # fmt: skip
    trainer.train()


if __name__ == "__main__":
    main()
