"""A regression with PyTorch, logged to TensorBoard."""

import argparse

import torch
from torch.utils.tensorboard import SummaryWriter


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x = torch.randn(64, 4)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 0.0]) + 0.1 * torch.randn(64)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    writer = SummaryWriter("runs/line")
    for step in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x).squeeze(), y)
        loss.backward()
        optimizer.step()
        writer.add_scalar("Loss/train", loss, step)
        writer.add_scalars("norms", {"weight": model.weight.norm(), "bias": model.bias.norm()}, step)
    writer.add_scalar("Loss/test", loss.item(), 20)
    writer.close()


if __name__ == "__main__":
    main()
