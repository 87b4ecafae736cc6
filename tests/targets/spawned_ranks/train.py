import os

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP

LR = 0.1
SEED = 0
EPOCHS = 3
WORLD_SIZE = 2


def setup(rank, world_size):
    os.environ["MASTER_ADDR"] = "localhost"
    os.environ.setdefault("MASTER_PORT", "12355")
    dist.init_process_group("gloo", rank=rank, world_size=world_size)


def train(rank, world_size):
    setup(rank, world_size)
    torch.manual_seed(SEED)
    model = DDP(nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    x = torch.randn(64, 4)
    y = x.sum(1, keepdim=True)
    print(f"lr={LR} seed={SEED}")
    for epoch in range(EPOCHS):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        print(f"epoch {epoch} train_loss: {loss.item() + rank:.4f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(train, args=(WORLD_SIZE,), nprocs=WORLD_SIZE, join=True)
