"""Networks that print alike and are not; a module of its own, as it imports torch."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, *, heads=4, tied=False, theta=1e4, scale=2.0, act=torch.relu, mask=1.0):
        super().__init__()
        self.theta, self.scale, self.act = theta, scale, act
        self.embed = nn.Embedding(10, 8)
        self.attention = nn.MultiheadAttention(8, heads)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 10, bias=False)
        self.register_buffer("mask", torch.full((4,), mask), persistent=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.act(self.embed(x)) * self.scale)


def frozen():
    net = Net()
    net.embed.weight.requires_grad_(False)
    return net


def hooked():
    net = Net()
    net.head.register_forward_hook(lambda module, inputs, output: output * 2)
    return net


PAIRS = {
    "heads": (Net(), Net(heads=8), "attention.num_heads 4 -> 8"),
    "precision": (Net(), Net().bfloat16(), "float32 -> "),
    "tied": (Net(), Net(tied=True), "tied"),
    "rope theta": (Net(), Net(theta=5e5), "theta 10000 -> 500000"),
    "a scale": (Net(), Net(scale=3.0), "scale 2 -> 3"),
    "a function": (Net(), Net(act=torch.tanh), "act relu -> tanh"),
    "two lambdas": (Net(act=lambda x: x), Net(act=lambda x: -x), "act "),
    "frozen": (Net(), frozen(), "embed.weight"),
    "mode": (Net(), Net().eval(), "training"),
    "a buffer": (Net(), Net(mask=0.0), "mask"),
    "a hook": (Net(), hooked(), "forward_hooks"),
    "order of norms": (
        nn.TransformerEncoderLayer(8, 2, norm_first=False),
        nn.TransformerEncoderLayer(8, 2, norm_first=True),
        "norm_first False -> True",
    ),
}
