"""A small CNN on mnist1d (Greydanus & Kobak 2020): 4,000 one-dimensional digits, made by the package's generator.

About one second a run on one core. `palate run palate.examples.mnist1d_cnn:train -c width=24`
"""

import torch
from mnist1d.data import get_dataset_args, make_dataset
from torch import nn
from torch.nn import functional as F  # noqa: N812

import palate

made = make_dataset(get_dataset_args())
x_train = torch.tensor(made["x"], dtype=torch.float32).unsqueeze(1)
x_test = torch.tensor(made["x_test"], dtype=torch.float32).unsqueeze(1)
y_train, y_test = torch.tensor(made["y"]), torch.tensor(made["y_test"])


def build(width: int) -> nn.Module:
    """Three strided convolutions and a linear layer: (n, 1, 40) -> (n, 10)."""
    return nn.Sequential(
        nn.Conv1d(1, width, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv1d(width, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv1d(width, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * 5, 10),
    )


@palate.experiment(metric="val_acc", goal="max", resolution=0.001)
def train(
    run: palate.Run,
    *,
    lr: float = 1e-2,
    width: int = 16,
    label_smoothing: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: int = 100,
    epochs: int = 15,
) -> None:
    """Train with AdamW and a one-cycle schedule; log the accuracy on 1,000 held-out digits after each epoch."""
    torch.manual_seed(run.seed)
    net = build(width)
    steps = epochs * (len(x_train) // batch_size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    for epoch in range(1, epochs + 1):
        for batch in torch.randperm(len(x_train)).split(batch_size):
            loss = F.cross_entropy(net(x_train[batch]), y_train[batch], label_smoothing=label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            accuracy = (net(x_test).argmax(1) == y_test).float().mean()
        run.log(epoch, loss=loss.item(), val_acc=accuracy.item())
