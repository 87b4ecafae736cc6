"""Train by accelerate with two processes on the CPU."""

import argparse

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

accelerator = Accelerator(cpu=True)
set_seed(args.seed)
print(f"lr={args.learning_rate} seed={args.seed} rank={accelerator.process_index}", flush=True)
for epoch in range(2):
    value = torch.tensor([0.5 + args.learning_rate + 0.01 * torch.randn(()).item()])
    mean = accelerator.gather(value).mean().item()
    accelerator.print(f"epoch {epoch} val_acc: {mean:.6f}")
accelerator.end_training()
