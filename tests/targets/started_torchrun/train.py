"""Train with two processes; the metric is a mean over both."""

import argparse
import random

import torch
import torch.distributed as spread

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=2)
args = parser.parse_args()

spread.init_process_group("gloo")
random.seed(args.seed)
torch.manual_seed(args.seed)
print(f"lr={args.lr} seed={args.seed} rank={spread.get_rank()}", flush=True)
for epoch in range(args.epochs):
    value = torch.tensor([0.5 + args.lr + random.gauss(0, 0.01)])
    spread.all_reduce(value)
    if spread.get_rank() == 0:
        print(f"epoch {epoch} val_acc: {value.item() / spread.get_world_size():.6f}", flush=True)
spread.destroy_process_group()
