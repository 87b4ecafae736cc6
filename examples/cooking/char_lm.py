"""Teach a small network to write Python, one character at a time, from the standard library's own sources.

python examples/cooking/char_lm.py --seed 1
palate taste last                                 # what it writes, as the training goes on
palate season last lr=x0.3 dropout=.2             # while it goes
"""

import argparse
import os
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import palate
from palate.cooking import steps

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=400)
parser.add_argument("--lr", type=float, default=5e-3, help="at the highest; it rises for a tenth of the steps")
parser.add_argument("--dropout", type=float, default=0.0, help="share of the GRU's outputs; a knob while it goes")
parser.add_argument("--megabytes", type=float, default=1.0, help="of sources")
parser.add_argument("--width", type=int, default=128)
args = parser.parse_args()

torch.manual_seed(args.seed)
torch.set_num_threads(1)

WINDOW, BATCH, PROMPTS = 64, 32, ["def ", "import ", "class "]
sources = sorted(Path(os.__file__).parent.glob("*.py"))
text = "".join(file.read_text(encoding="utf-8", errors="ignore") for file in sources)[: int(args.megabytes * 1e6)]
letters = sorted(set(text[:1_000_000]) & {chr(code) for code in range(128)})
number = {letter: place for place, letter in enumerate(letters)}
codes = torch.tensor([number[letter] for letter in text if letter in number])
windows = codes[: len(codes) // (WINDOW + 1) * (WINDOW + 1)].view(-1, WINDOW + 1)
held_out = windows[-len(windows) // 10 :][:512]  # the last files, never trained on
loader = DataLoader(TensorDataset(windows[: -len(windows) // 10]), batch_size=BATCH, shuffle=True, drop_last=True)


class Writer(nn.Module):
    def __init__(self, letters, width):
        super().__init__()
        self.embed, self.gru = nn.Embedding(letters, 32), nn.GRU(32, width, batch_first=True)
        self.head = nn.Linear(width, letters)

    def forward(self, codes, memory=None, dropout=0.0):
        out, memory = self.gru(self.embed(codes), memory)
        return self.head(F.dropout(out, dropout, self.training)), memory


def loss_of(windows, dropout=0.0):
    scores, _ = net(windows[:, :-1], dropout=dropout)
    return F.cross_entropy(scores.flatten(0, 1), windows[:, 1:].flatten())


def evaluate():
    net.eval()
    return {"val_loss": loss_of(held_out)}


def write(length=240, temperature=0.7):
    net.eval()
    for prompt in PROMPTS:
        written, feed, memory = prompt, torch.tensor([[number[letter] for letter in prompt]]), None
        while len(written) < length:
            scores, memory = net(feed, memory)
            feed = torch.multinomial((scores[:, -1] / temperature).softmax(-1), 1)
            written += letters[int(feed)]
        yield written


net = Writer(len(letters), args.width)
opt = torch.optim.AdamW(net.parameters(), lr=args.lr)
sched = torch.optim.lr_scheduler.OneCycleLR(opt, args.lr, total_steps=args.steps, pct_start=0.1)

run = palate.start("char_lm", seed=args.seed, model=net, optimizer=opt, scheduler=sched)
for (batch,) in run.steps(loader, until=steps(args.steps)):
    loss = run.mix(ce=loss_of(batch, run.knob("dropout", args.dropout, low=0, high=0.9)))
    opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    opt.step()
    sched.step()
    run.taste(every=max(1, args.steps // 10), metrics=evaluate, texts=write)
