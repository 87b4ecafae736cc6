"""A regression with Accelerate, which has no tracker."""

import argparse

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
set_seed(args.seed)
accelerator = Accelerator(cpu=True)
accelerator.init_trackers("line")
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
model, optimizer = accelerator.prepare(model, optimizer)
x = torch.randn(64, 4)
for step in range(10):
    loss = torch.nn.functional.mse_loss(model(x), x.sum(1, keepdim=True))
    accelerator.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    accelerator.log({"train_loss": loss.item()}, step=step)
accelerator.end_training()
