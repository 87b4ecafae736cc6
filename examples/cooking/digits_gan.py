"""Teach two small networks to draw digits: one draws, the other tells drawn from real.

    python examples/cooking/digits_gan.py --seed 1
    palate taste last
    palate season last optimizer.critic.lr=x0.5 --why "the critic wins"

`frechet` is the distance of Frechet between drawn and real pixels, as if both were normal: lower is better.
"""

import argparse
from itertools import pairwise

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import palate
from palate.cooking import steps

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=3000)
parser.add_argument("--lr", type=float, default=1e-3, help="of both")
parser.add_argument("--noise", type=float, default=0.1, help="on what the critic sees; a knob while it goes")
parser.add_argument("--width", type=int, default=128)
args = parser.parse_args()

torch.manual_seed(args.seed)
torch.set_num_threads(1)

LATENT = 16
real_digits = torch.tensor(load_digits().data, dtype=torch.float32) / 16
loader = DataLoader(TensorDataset(real_digits), batch_size=64, shuffle=True, drop_last=True)


def layers(*sizes):
    pairs = pairwise(sizes)
    return nn.Sequential(*(part for i, o in pairs for part in (nn.Linear(i, o), nn.LeakyReLU(0.2))))[:-1]


def guess(images, noise=0.0):
    """Return the critic's scores: above 0 where it takes an image for a real one."""
    return critic(images + noise * torch.randn_like(images))


def is_real(scores):
    return F.binary_cross_entropy_with_logits(scores, torch.ones_like(scores))


def is_drawn(scores):
    return F.binary_cross_entropy_with_logits(scores, torch.zeros_like(scores))


def draw(count):
    return torch.sigmoid(painter(torch.randn(count, LATENT)))


def frechet(drawn, real):
    """|m - n|^2 + tr(S + T - 2 (S T)^1/2), of means m, n and covariances S, T."""
    mean = (drawn.mean(0) - real.mean(0)).pow(2).sum()
    one, other = torch.cov(drawn.double().T), torch.cov(real.double().T)
    root = torch.linalg.eigvals(one @ other).real.clamp(min=0).sqrt().sum()
    return mean + one.trace() + other.trace() - 2 * root


def evaluate():
    return {"frechet": frechet(draw(1000), real_digits)}


def sample():
    return draw(64).view(-1, 1, 8, 8)


painter, critic = layers(LATENT, args.width, args.width, 64), layers(64, args.width, args.width, 1)
painter_opt = torch.optim.Adam(painter.parameters(), lr=args.lr, betas=(0.5, 0.99))
critic_opt = torch.optim.Adam(critic.parameters(), lr=args.lr, betas=(0.5, 0.99))

run = palate.start(
    "digits_gan",
    seed=args.seed,
    model={"painter": painter, "critic": critic},
    optimizer={"painter": painter_opt, "critic": critic_opt},
)
for (real,) in run.steps(loader, until=steps(args.steps)):
    noise = run.knob("noise", args.noise, low=0, high=1)
    drawn = draw(len(real))
    critic_loss = is_real(guess(real, noise)) + is_drawn(guess(drawn.detach(), noise))
    critic_opt.zero_grad()
    critic_loss.backward()
    critic_opt.step()

    loss = run.mix(adv=is_real(guess(drawn, noise)))
    painter_opt.zero_grad()
    loss.backward()
    painter_opt.step()
    run.log(run.step, critic_loss=critic_loss.item())
    run.taste(every=100, grid=sample, metrics=evaluate, value_range=(0, 1))
