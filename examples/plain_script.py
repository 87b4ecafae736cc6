"""A plain PyTorch script: constants at the top, one call of palate.log. Nothing else knows of palate.

    palate run examples/plain_script.py -c lr=0.03 --metric val_loss --forecast better:70

The constants are its settings; `seed` is set by palate for each run.
"""

import torch
from torch import nn

import palate

lr = 0.003
hidden = 16
epochs = 30
seed = 0

torch.manual_seed(seed)
x = torch.linspace(-3, 3, 512).unsqueeze(1)
y = torch.sin(2 * x) + 0.1 * torch.randn_like(x)
train, held_out = torch.randperm(512).split([384, 128])

net = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=lr)

for epoch in range(epochs):
    for batch in train[torch.randperm(len(train))].split(32):
        loss = nn.functional.mse_loss(net(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        palate.log(epoch, loss=loss.item(), val_loss=nn.functional.mse_loss(net(x[held_out]), y[held_out]).item())
